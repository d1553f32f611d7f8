"""The images of an explorer by name: scenes of a set, uploaded images, and uploaded backgrounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import Int, UInt8
from PIL import Image
from torch import Tensor

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.images import Box, ImageSource, open_image, paste_crop
from bglab.labels import OUTSIDE
from bglab.scenes import PreparedScenes, SceneRecord, SceneSet, ScenesOnDemand, mask_file, write_mask
from bglab.variants import GivenImage, SceneBatch, scene_tensors
from bglab.widgets.display_space import NINE, DisplaySpace
from bglab.widgets.uploads import UploadedImages, free_name, square


class ImageCollection:
    """Scenes of a set, together with what was uploaded next to them.

    Args:
        source: Scenes to explore, prepared or prepared on demand.
        seed: Seed for GrabCut.
        display: Classes in which labels are given.

    Attributes:
        display: Classes in which labels are given.
        labels: Label of each scene of the set among these classes, or OUTSIDE.
        uploads: Uploaded images, and copies of scenes whose mask was edited.
        backgrounds: Uploaded backgrounds by name.
    """

    def __init__(self, source: PreparedScenes | ScenesOnDemand, seed: int = 0, display: DisplaySpace = NINE) -> None:
        self.size = source.size
        self.display = display
        self.labels: Int[np.ndarray, " n"] = display.labels(source.scenes)
        self.uploads = UploadedImages(source.size, seed)
        self.backgrounds: dict[str, GivenImage] = {}
        self._source = source
        self._tensors = scene_tensors(source) if isinstance(source, PreparedScenes) else None

    @property
    def scenes(self) -> SceneSet:
        """The set, without its uploads."""
        return self._source.scenes

    @property
    def prepared(self) -> PreparedScenes:
        """The set, prepared as a whole.

        Raises:
            BadInput: If its scenes are prepared on demand.
        """
        if isinstance(self._source, ScenesOnDemand):
            raise BadInput(
                f"expected all scenes of {self.scenes.name} to be prepared, since this background is drawn from all "
                "that can be used, but they are prepared as they are chosen; run bglab.prepare(scenes) once, which "
                "takes a while, then this cell again"
            )
        return self._source

    @property
    def unusable(self) -> dict[str, str]:
        """Reason for each scene that was found to be unusable since the set was opened, by id."""
        return dict(self._source.rejected) if isinstance(self._source, ScenesOnDemand) else {}

    def check(self, scene: str) -> None:
        """Refuse an id that names neither a scene nor an upload.

        Raises:
            UnknownName: The message lists the closest ids.
        """
        if scene not in self.uploads and scene not in self.scenes.positions:
            raise UnknownName(unknown_name("scene", scene, [*self.uploads, *self.scenes.near(scene)]))

    def label(self, scene: str) -> int:
        """Return a scene's label among the classes of the display, or OUTSIDE if it is unknown or none of them."""
        if scene in self.uploads:
            return self.uploads[scene].label
        return int(self.labels[self.scenes.positions[scene]])

    def batch(self, scene: str) -> SceneBatch:
        """Return a scene as a batch of one."""
        if scene in self.uploads:
            return self.uploads[scene].batch
        position = self.scenes.positions[scene]
        if self._tensors is not None:
            return self._tensors.batch(slice(position, position + 1), "cpu")
        assert isinstance(self._source, ScenesOnDemand)
        arrays = self._source.arrays(position)
        names = ("images", "masks", "plates", "boxes")
        return SceneBatch((scene,), **{name: torch.from_numpy(arrays[name].copy())[None] for name in names})

    def lends(self, record: SceneRecord, position: int) -> bool:
        """Return whether a scene of the set can lend its background, as far as that is known without preparing it."""
        if isinstance(self._source, PreparedScenes):
            return bool(self._source.has_plate[position])
        return record.id not in self._source.rejected

    def check_lends(self, scene: str) -> None:
        """Refuse a scene of the set that has no background to lend.

        Raises:
            BadInput: If its box leaves no background to tile, or it cannot be used.
        """
        if scene in self.uploads:
            return
        position, source = self.scenes.positions[scene], self._source
        if isinstance(source, ScenesOnDemand):
            lends = bool(source.arrays(position)["has_plate"])
        else:
            lends = bool(source.has_plate[position])
        if not lends:
            raise BadInput(f"expected a scene with some background around its box, got {scene}; choose another")

    def photographs(self, start: int, stop: int) -> UInt8[Tensor, "n 3 h w"]:
        """Return the photographs at these positions of the set; fewer at its end."""
        if self._tensors is not None:
            return self._tensors.batch(slice(start, stop), "cpu").images
        assert isinstance(self._source, ScenesOnDemand)
        images = [self._source.photograph(position) for position in range(len(self.scenes))[start:stop]]
        return torch.from_numpy(np.stack(images)) if images else torch.zeros(0, 3, self.size, self.size).byte()

    def thumbnails(self, kind: str, start: int, stop: int, side: int) -> list[UInt8[np.ndarray, "3 _ _"]]:
        """Return images for thumbnails at these positions of the set; fewer at its end.

        Args:
            kind: ``scene`` for photographs, ``plate`` for backgrounds; photographs if those are made on demand.
            start: First position.
            stop: Position after the last.
            side: Side of the thumbnails in pixels; the images may be larger.
        """
        if isinstance(self._source, PreparedScenes):
            arrays = self._source.images if kind == "scene" else self._source.plates
            return [np.asarray(array) for array in arrays[start:stop]]
        return [self._source.thumbnail(position, side) for position in range(len(self.scenes))[start:stop]]

    def add(self, source: ImageSource, name: str, *, box: Box | None = None, label: int = OUTSIDE) -> str:
        """Add an uploaded image, see `UploadedImages.add`; return its id, which no scene of the set has.

        Raises:
            BadInput: If it is not an image, the box lies outside of it, or GrabCut finds nothing in the box.
        """
        return self.uploads.add(source, name, box=box, label=label, taken=self.scenes.positions)

    def add_background(self, source: ImageSource, name: str) -> str:
        """Add an uploaded background; return the name under which it can be chosen.

        Raises:
            BadInput: If it is not an image.
        """
        image = square(open_image(source), self.size)
        key = free_name(name, set(self.backgrounds))
        self.backgrounds[key] = GivenImage(torch.from_numpy(image))
        return key

    def editable(self, scene: str) -> str:
        """Return the id of an upload to edit; a scene of the set is copied first, since the set never changes.

        Raises:
            UnknownName: If there is no such scene.
        """
        self.check(scene)
        if scene in self.uploads:
            return scene
        return self.uploads.copy(f"{scene} (edited)", scene, self.batch(scene), self.label(scene))

    def cutout(self, scene: str) -> Image.Image:
        """Return a scene's object on a transparent background (RGBA)."""
        batch = self.batch(scene)
        colours = batch.images[0].permute(1, 2, 0).numpy()
        alpha = batch.masks[0].numpy().astype(np.uint8)[..., None] * 255
        return Image.fromarray(np.concatenate([colours, alpha], axis=-1))

    def save_mask(self, scene: str, path: Path | None = None) -> Path:
        """Write the mask of a scene as a PNG of two levels; see `bglab.widgets.explorer.Explorer.save_mask`."""
        origin = self.uploads[scene].scene if scene in self.uploads else scene
        mask = self.batch(scene).masks[0].numpy()
        if not origin:
            if path is None:
                raise BadInput(f"expected a path for the mask of the uploaded image {scene}, got none; give a path")
            return write_mask(path, mask)
        record = self.scenes.records[self.scenes.positions[origin]]
        target = mask_file(self.scenes, record) if path is None else path
        # the file has more pixels than the scene as it is shown, and some beyond the crop
        return write_mask(target, paste_crop(self.scenes.read(record).mask, mask, self.scenes.crop_fraction))
