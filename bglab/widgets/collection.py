"""The images of an explorer by name: scenes of a set, uploaded images, and uploaded backgrounds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.images import Box, open_image
from bglab.labels import OUTSIDE, to_in9
from bglab.scenes import PreparedScenes, SceneSet
from bglab.variants import GivenImage, SceneBatch, scene_tensors
from bglab.widgets.uploads import UploadedImages, free_name, square

#: Label spaces that map to the nine classes.
IN9_SPACES = ("in9", "imagenet")


class ImageCollection:
    """Scenes of a prepared set, together with what was uploaded next to them.

    Args:
        prepared: Scenes to explore.
        seed: Seed for GrabCut.

    Attributes:
        uploads: Uploaded images, and copies of scenes whose mask was edited.
        backgrounds: Uploaded backgrounds by name.
    """

    def __init__(self, prepared: PreparedScenes, seed: int = 0) -> None:
        self.prepared = prepared
        self.size = prepared.size
        self.uploads = UploadedImages(prepared.size, seed)
        self.backgrounds: dict[str, GivenImage] = {}
        self._tensors = scene_tensors(prepared)

    @property
    def scenes(self) -> SceneSet:
        """The set, without its uploads."""
        return self.prepared.scenes

    @property
    def has_in9_labels(self) -> bool:
        """Whether the scenes' labels map to the nine classes."""
        return self.scenes.space in IN9_SPACES

    def check(self, scene: str) -> None:
        """Refuse an id that names neither a scene nor an upload.

        Raises:
            UnknownName: The message lists the closest ids.
        """
        if scene not in self.uploads and scene not in self.scenes.positions:
            raise UnknownName(unknown_name("scene", scene, [*self.uploads, *self.scenes.near(scene)]))

    def label(self, scene: str) -> int:
        """Return a scene's class among the nine (0–8), or OUTSIDE if it is unknown or none of them."""
        if scene in self.uploads:
            return self.uploads[scene].label
        record = self.scenes.records[self.scenes.positions[scene]]
        if self.scenes.space == "in9":
            return record.label
        if self.scenes.space == "imagenet" and record.native_label != OUTSIDE:
            return int(to_in9(np.array([record.native_label]))[0])
        return OUTSIDE

    def batch(self, scene: str) -> SceneBatch:
        """Return a scene as a batch of one."""
        if scene in self.uploads:
            return self.uploads[scene].batch
        position = self.scenes.positions[scene]
        return self._tensors.batch(slice(position, position + 1), "cpu")

    def photographs(self, start: int, stop: int) -> UInt8[Tensor, "n 3 h w"]:
        """Return the photographs at these positions of the set; fewer at its end."""
        return self._tensors.batch(slice(start, stop), "cpu").images

    def add(self, source: bytes | Path, name: str, *, box: Box | None = None, label: int = OUTSIDE) -> str:
        """Add an uploaded image, see `UploadedImages.add`; return its id, which no scene of the set has.

        Raises:
            BadInput: If it is not an image, the box lies outside of it, or GrabCut finds nothing in the box.
        """
        return self.uploads.add(source, name, box=box, label=label, taken=self.scenes.positions)

    def add_background(self, source: bytes | Path, name: str) -> str:
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
        return self.uploads.copy(f"{scene} (edited)", self.batch(scene), self.label(scene))

    def cutout(self, scene: str) -> Image.Image:
        """Return a scene's object on a transparent background (RGBA)."""
        batch = self.batch(scene)
        colours = batch.images[0].permute(1, 2, 0).numpy()
        alpha = batch.masks[0].numpy().astype(np.uint8)[..., None] * 255
        return Image.fromarray(np.concatenate([colours, alpha], axis=-1))
