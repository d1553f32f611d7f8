"""A cache of decoded scenes: memory-mapped arrays of one image size that load in milliseconds.

`prepare` decodes scenes with their masks, boxes and plates, `prepare_photographs` the images alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int, UInt8
from PIL import Image

from bglab.errors import BadInput, printable
from bglab.images import Box, crop_box, from_levels, open_image, resize_crop, to_levels
from bglab.scenes.array_store import ArrayStore, Entry, Item
from bglab.scenes.scene import PublishedImage, Rejection, Scene, SceneRecord, SceneSet, log_notices
from bglab.scenes.sources import open_scenes
from bglab.seeding import digest


def _without_files(scenes: SceneSet) -> SceneSet:
    return replace(scenes, read=_read_elsewhere, read_image=None, published=None)


def _read_elsewhere(record: SceneRecord) -> Scene:
    raise BadInput(f"expected {record.id} to be read where the scenes were opened, and not by a worker")


@dataclass(frozen=True, eq=False)
class PreparedScenes:
    """Decoded scenes of one size; row i of every array belongs to scene i of ``scenes``.

    Attributes:
        scenes: The scene set, without the scenes that could not be used; its ``notices`` include those of the scenes.
        size: Side of the images in pixels.
        images: RGB images with values in [0, 255].
        masks: Foreground masks, True for the foreground.
        plates: Backgrounds without a foreground: tiled as in Only-BG-T, or provided by the source.
        boxes: Foreground boxes ``(x0, y0, x1, y1)``, half-open, in pixels of this size.
        has_plate: Whether the scene has a plate. If its box leaves no background to tile, the plate is black and
            never used.
        rejected: All scenes of the set that could not be used, with reasons.
        digest: Hexadecimal digest of all arrays, for provenance.
    """

    scenes: SceneSet
    size: int
    images: UInt8[np.ndarray, "n 3 s s"]
    masks: Bool[np.ndarray, "n s s"]
    plates: UInt8[np.ndarray, "n 3 s s"]
    boxes: Int[np.ndarray, "n 4"]
    has_plate: Bool[np.ndarray, " n"]
    rejected: tuple[Rejection, ...]
    digest: str

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle for a worker, which has the pixels in the arrays and needs none of the files."""
        parts = [getattr(self, each.name) for each in fields(self)]
        return PreparedScenes, (_without_files(self.scenes), *parts[1:])

    def __len__(self) -> int:
        return len(self.scenes)

    @property
    def space(self) -> str:
        """Label space of the set."""
        return self.scenes.space

    @property
    def classes(self) -> tuple[str, ...]:
        """Class names of the set, in the order of the labels."""
        return self.scenes.classes


@dataclass(frozen=True, eq=False)
class PreparedPhotographs:
    """Decoded images of one size, without masks, for variants that need neither mask nor box.

    Attributes:
        scenes: The scene set; its records are those of all images, row by row, including images without a usable mask.
        size: Side of the images in pixels.
        images: RGB images with values in [0, 255].
        rejected: Images of the set that could not be used, with reasons.
        digest: Hexadecimal digest of all pixels.
    """

    scenes: SceneSet
    size: int
    images: UInt8[np.ndarray, "n 3 s s"]
    rejected: tuple[Rejection, ...]
    digest: str

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        """Pickle for a worker, which has the pixels in the arrays and needs none of the files."""
        parts = [getattr(self, each.name) for each in fields(self)]
        return PreparedPhotographs, (_without_files(self.scenes), *parts[1:])

    def __len__(self) -> int:
        return len(self.scenes)


@dataclass(frozen=True, eq=False)
class PreparedImages:
    """Decoded images of one variant as published with a release, of one size.

    Attributes:
        published: The published image in each row of ``images``.
        images: RGB images with values in [0, 255].
        rejected: Images that could not be read, with reasons.
        digest: Hexadecimal digest of all pixels.
    """

    published: tuple[PublishedImage, ...]
    images: UInt8[np.ndarray, "n 3 s s"]
    rejected: tuple[Rejection, ...]
    digest: str

    def __len__(self) -> int:
        return len(self.published)


#: What stands for scenes wherever they are expected; a path is a folder of images.
ScenesLike = SceneSet | PreparedScenes | str | Path


def as_scenes(scenes: ScenesLike) -> SceneSet:
    """Return a set as it is, also of prepared scenes, or open it if a URI or a folder is given (see `open_scenes`).

    Raises:
        BadInput: If it is none of them.
    """
    if isinstance(scenes, (str, Path)):
        return open_scenes(scenes)
    if isinstance(scenes, PreparedScenes):
        return scenes.scenes
    if isinstance(scenes, SceneSet):
        return scenes
    raise BadInput(
        "expected scenes: a URI such as 'cutouts' or 'in9:PATH', a folder of images, or what bglab.open_scenes "
        f"returns, got {type(scenes).__name__}"
    )


def as_prepared(scenes: ScenesLike, size: int = 224, *, progress: bool = True) -> PreparedScenes:
    """Return prepared scenes as they are; open and prepare a URI or a set.

    Args:
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        size: Side of the prepared images in pixels; ignored for prepared scenes, which have one.
        progress: Show a progress bar while scenes are decoded for the first time.

    Raises:
        BadInput: If no scene can be used, or the cache cannot be written.
    """
    return scenes if isinstance(scenes, PreparedScenes) else prepare(as_scenes(scenes), size, progress=progress)


def prepare(scenes: ScenesLike, size: int = 224, *, progress: bool = True) -> PreparedScenes:
    """Decode all scenes, or load them from the ``cache`` folder of the data folder.

    Images are resized so that the short side is ``size / crop_fraction``, and centre-cropped; masks are resized by
    nearest pixel; backgrounds are tiled at full resolution and then resized (Noise or Signal, Appendix A). A scene
    that cannot be used is listed in ``rejected``, never replaced.

    Args:
        scenes: Scenes to prepare, their URI, or a folder.
        size: Side of the prepared images in pixels.
        progress: Whether to show a progress bar while decoding.

    Raises:
        BadInput: If no scene can be used, or the cache cannot be written.
    """
    scenes = as_scenes(scenes)

    def build(position: int) -> Entry:
        scene = scenes[position]
        return Entry(prepare_one(scene, size, scenes.crop_fraction), {"id": scene.id, "notices": scene.notices})

    found = _store(scenes, size).load_or_build(build, f"preparing {scenes.name}" if progress else None)
    prepared = _loaded(scenes, size, *found)
    log_notices(scenes.name, prepared.scenes.notices[len(scenes.notices) :])
    return prepared


def find_prepared(scenes: SceneSet, size: int = 224) -> PreparedScenes | None:
    """Load what `prepare` returns if it is in the cache; otherwise None, and nothing is decoded.

    Args:
        scenes: Scenes to look for.
        size: Side of the prepared images in pixels.

    Raises:
        BadInput: If no scene could be used when they were prepared.
    """
    store = _store(scenes, size)
    # without looking at thousands of files if there is nothing
    found = store.load() if store.is_there else None
    return None if found is None else _loaded(scenes, size, *found)


def _store(scenes: SceneSet, size: int) -> ArrayStore:
    shapes: dict[str, tuple[tuple[int, ...], type]] = {
        "images": ((3, size, size), np.uint8),
        "masks": ((size, size), np.bool_),
        "plates": ((3, size, size), np.uint8),
        "boxes": ((4,), np.int32),
        "has_plate": ((), np.bool_),
    }
    items = [Item(record.id, record.file, record.files) for record in scenes.records]
    return ArrayStore(f"{scenes.fingerprint}-{size}", items, shapes)


def _loaded(scenes: SceneSet, size: int, arrays: dict[str, np.ndarray], index: dict) -> PreparedScenes:
    """Put the arrays and the index of a cache entry together."""
    rejected = (*scenes.rejected, *(Rejection(*r) for r in index["rejected"]))
    kept = [scenes.positions[row["id"]] for row in index["rows"]]
    if not kept:
        raise BadInput(f"expected usable scenes in {scenes.name}, but all were rejected; the first: {_first(rejected)}")
    notices = (notice for row in index["rows"] for notice in row["notices"])
    usable = replace(
        scenes, records=tuple(scenes.records[i] for i in kept), unmasked=(), notices=(*scenes.notices, *notices)
    )
    return PreparedScenes(scenes=usable, size=size, rejected=rejected, digest=index["digest"], **arrays)


def prepare_photographs(scenes: SceneSet, size: int = 224, *, progress: bool = True) -> PreparedPhotographs:
    """Decode the labelled images of a set without their masks, or load them from the cache.

    Images are resized and cropped as by `prepare`. Original and other variants that need neither mask nor box use all
    images that can be read, and no object is cut out for them, which takes most of the time of `prepare`.

    Args:
        scenes: Scenes whose images are decoded: `SceneSet.photographs`.
        size: Side of the prepared images in pixels.
        progress: Whether to show a progress bar while decoding.

    Raises:
        BadInput: If no image can be read, or the cache cannot be written.
    """
    records = scenes.photographs

    def build(position: int) -> Entry:
        image = from_levels(scenes.photograph(records[position]))
        return Entry({"images": squared(image, size, scenes.crop_fraction)}, {"position": position})

    name = digest([scenes.fingerprint, "photographs", str(scenes.crop_fraction), *(record.id for record in records)])
    items = [Item(record.id, record.file, record.files[:1]) for record in records]
    store = ArrayStore(f"{name}-{size}", items, {"images": ((3, size, size), np.uint8)})
    arrays, index = store.load_or_build(build, f"reading {scenes.name}" if progress else None)
    shown = {printable(record.file) for record in scenes.unmasked}
    rejected = (*(r for r in scenes.rejected if r.file not in shown), *(Rejection(*r) for r in index["rejected"]))
    if not index["rows"]:
        raise BadInput(f"expected readable images in {scenes.name}, got none; the first: {_first(rejected)}")
    kept = tuple(records[row["position"]] for row in index["rows"])
    usable = replace(scenes, records=kept, unmasked=())
    return PreparedPhotographs(usable, size, arrays["images"], rejected, index["digest"])


def prepare_published(scenes: SceneSet, variant: str, size: int = 224, *, progress: bool = True) -> PreparedImages:
    """Decode the published images of one variant of a release, or load them from the cache.

    Args:
        scenes: Scenes of a release, from ``in9:PATH``.
        variant: Name of a published variant, such as ``mixed_rand``.
        size: Side of the prepared images in pixels.
        progress: Whether to show a progress bar while decoding.

    Raises:
        BadInput: If the set has no published images, or none can be read.
        MissingData: If the release on disk does not contain the variant.
        UnknownName: If the release has no such variant.
    """
    if scenes.published is None:
        raise BadInput(
            f"expected a release with published images, but {scenes.name} has scenes only; "
            "leave out --published to compose the variants"
        )
    published = scenes.published(variant)

    def build(position: int) -> Entry:
        image = open_image(published[position].file)
        return Entry({"images": squared(image, size, scenes.crop_fraction)}, {"position": position})

    name = digest([scenes.fingerprint, variant, *(p.file.name for p in published)])
    items = [Item(p.scene, str(p.file), (p.file,)) for p in published]
    store = ArrayStore(f"{name}-{size}", items, {"images": ((3, size, size), np.uint8)})
    arrays, index = store.load_or_build(build, f"reading {variant}" if progress else None)
    rejected = tuple(Rejection(*r) for r in index["rejected"])
    if not index["rows"]:
        raise BadInput(f"expected readable images of {variant} in {scenes.name}, got none; {_first(rejected)}")
    kept = tuple(published[row["position"]] for row in index["rows"])
    return PreparedImages(kept, arrays["images"], rejected, index["digest"])


def prepare_one(scene: Scene, size: int, crop_fraction: float) -> dict[str, np.ndarray]:
    """Prepare one scene as `prepare` does: image, mask, plate, box and ``has_plate``, by the names of `PreparedScenes`.

    Args:
        scene: Scene at the resolution of its file.
        size: Side of the prepared image in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps.

    Raises:
        BadInput: If the crop contains no foreground.
    """
    height, width = scene.mask.shape
    whole = scene.decoded
    mask = resize_crop(Image.fromarray(scene.mask), size, crop_fraction, smooth=False)
    box = crop_box(scene.box, width, height, size, crop_fraction)
    if box[0] >= box[2] or box[1] >= box[3] or not np.asarray(mask).any():
        raise BadInput(
            f"expected the foreground of scene {scene.id} within the centre crop, but it lies outside; "
            "the scene is skipped"
        )
    plate, has_plate = _plate(scene)
    return {
        "images": squared(whole, size, crop_fraction),
        "masks": np.asarray(mask),
        "plates": squared(from_levels(plate), size, crop_fraction),
        "boxes": np.array(box, dtype=np.int32),
        "has_plate": np.array(has_plate),
    }


def _plate(scene: Scene) -> tuple[UInt8[np.ndarray, "3 h w"], bool]:
    """Compute the scene's background at full resolution, and whether it has one (otherwise it is black)."""
    if scene.plate is not None:
        return scene.plate, True
    import torch  # imported here because it takes seconds, and cached scenes load without it

    from bglab.images import tile_box

    box: Box = scene.box
    try:
        return tile_box(torch.from_numpy(scene.image), box).numpy(), True
    except BadInput:
        return np.zeros_like(scene.image), False


def squared(image: Image.Image, size: int, crop_fraction: float) -> UInt8[np.ndarray, "3 s s"]:
    """Resize and crop an image as `prepare` does."""
    return to_levels(resize_crop(image, size, crop_fraction))


def _first(rejected: Sequence[Rejection]) -> str:
    return f"{rejected[0].scene}: {rejected[0].reason}" if rejected else "there were no files"


def memory_bytes(count: int, size: int) -> int:
    """Compute the size in bytes of the images, masks and plates of prepared scenes, on disk or on a device.

    Args:
        count: Number of scenes.
        size: Side of the images in pixels.

    Example:
        >>> round(memory_bytes(4050, 224) / 1e9, 2)
        1.42
    """
    return count * (2 * 3 * math.prod((size, size)) + size * size)
