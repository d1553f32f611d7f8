"""Uploaded images: read from a file, segmented inside a box, their mask edited with a brush."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images import (
    Box,
    ImageSource,
    box_of,
    crop_box,
    from_levels,
    grab_cut,
    open_image,
    read_matte,
    resize_crop,
    tile_box,
)
from bglab.labels import OUTSIDE
from bglab.variants import SceneBatch

#: Longest side at which an image is stored for GrabCut, which takes about a second at this size.
_WORK_PX = 640


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An uploaded image, or the copy of a scene whose mask is edited.

    Attributes:
        large: Square image for GrabCut, at most 640 pixels per side.
        batch: The image at the size of the scenes, with its mask, as a batch of one.
        label: Its label among the classes that are shown, or OUTSIDE if unknown.
        box: Box that it was last segmented with, ``x0, y0, x1, y1`` as shares of the side; empty if there was none.
        edited: Whether the mask was edited by hand since then.
        source: Name of the file; "" for a copy of a scene.
        scene: Id of the scene that it is a copy of; "" for an upload.
    """

    large: UInt8[np.ndarray, "3 s s"]
    batch: SceneBatch
    label: int
    box: tuple[float, ...] = ()
    edited: bool = False
    source: str = ""
    scene: str = ""


class UploadedImages:
    """Uploaded images by name.

    Args:
        size: Side of the scenes with which they are explored, in pixels.
        seed: Seed for GrabCut.
    """

    def __init__(self, size: int, seed: int = 0) -> None:
        self._size = size
        self._seed = seed
        self._images: dict[str, UploadedImage] = {}

    def __getitem__(self, name: str) -> UploadedImage:
        return self._images[name]

    def __contains__(self, name: object) -> bool:
        return name in self._images

    def __iter__(self) -> Iterator[str]:
        return iter(self._images)

    def __len__(self) -> int:
        return len(self._images)

    def add(
        self,
        source: ImageSource,
        name: str,
        *,
        box: Box | None = None,
        label: int = OUTSIDE,
        taken: Collection[str] = (),
    ) -> str:
        """Add an image; without a box or transparency its mask is the central two thirds, until `cut` segments it.

        Args:
            source: File, its bytes, or an image of Pillow; transparency becomes the mask.
            name: Name of the image; a number is added to one that is taken.
            box: Box around the object, half-open, in pixels of the file.
            label: Its label among the classes that are shown, or OUTSIDE.
            taken: Names in use elsewhere.

        Returns:
            The name under which it is stored.

        Raises:
            BadInput: If it is not an image, the box lies outside of it, or GrabCut finds nothing in the box.
        """
        image, matte = open_image(source), read_matte(source)
        side = min(max(image.size), _WORK_PX)
        key = free_name(name, {*self._images, *taken})
        if matte is None:
            sixth = side // 6
            mask = _box_mask((sixth, sixth, side - sixth, side - sixth), side)
        else:
            mask = square(Image.fromarray((matte * 255).astype(np.uint8)), side)[0] > 127
        large = square(image, side)
        self._images[key] = UploadedImage(large, self._as_batch(key, large, mask), label, source=name)
        if box is not None:
            try:
                self.cut(key, [v / side for v in _box_in_square(box, image.size, side)])
            except BadInput:
                del self._images[key]
                raise
        return key

    def copy(self, name: str, scene: str, batch: SceneBatch, label: int) -> str:
        """Add a copy of a scene, unless there is one already; return its name."""
        if name not in self._images:
            copied = SceneBatch((name,), batch.images, batch.masks, batch.plates, batch.boxes)
            self._images[name] = UploadedImage(batch.images[0].numpy(), copied, label, scene=scene)
        return name

    def cut(self, name: str, box: Sequence[float]) -> None:
        """Segment the object inside a box by GrabCut.

        Args:
            name: Name of the image.
            box: ``x0, y0, x1, y1`` as shares of the side; corners may come in any order.

        Raises:
            BadInput: If the box is too small, or GrabCut finds nothing in it.
        """
        image = self._images[name]
        side = image.large.shape[-1]
        x0, x1 = sorted(min(max(round(v * side), 0), side) for v in (box[0], box[2]))
        y0, y1 = sorted(min(max(round(v * side), 0), side) for v in (box[1], box[3]))
        if min(x1 - x0, y1 - y0) < 8:
            raise BadInput(f"expected a box of at least 8 × 8 pixels, got {x1 - x0} × {y1 - y0}; draw it larger")
        mask = grab_cut(image.large, (x0, y0, x1, y1), seed=self._seed)
        shares = tuple(round(v / side, 4) for v in (x0, y0, x1, y1))
        self._store(name, mask, replace(image, box=shares, edited=False))

    def set_mask(self, name: str, mask: Bool[np.ndarray, "h w"]) -> None:
        """Replace the mask by one that was edited by hand.

        Raises:
            BadInput: If the mask marks nothing.
        """
        if not mask.any():
            raise BadInput("expected some foreground in the mask, got an empty one; undo the last stroke")
        self._store(name, mask, replace(self._images[name], edited=True))

    def set_label(self, name: str, label: int) -> None:
        """Set the label of an image, or OUTSIDE."""
        self._images[name] = replace(self._images[name], label=label)

    def _store(self, name: str, mask: Bool[np.ndarray, "h w"], image: UploadedImage) -> None:
        self._images[name] = replace(image, batch=self._as_batch(name, image.large, mask))

    def _as_batch(self, name: str, large: UInt8[np.ndarray, "3 s s"], mask: Bool[np.ndarray, "h w"]) -> SceneBatch:
        """Resize an image and its mask to the size of the scenes, and tile its background."""
        image = torch.from_numpy(square(from_levels(large), self._size))
        small = np.array(Image.fromarray(mask).resize((self._size, self._size), Image.Resampling.NEAREST))
        if not small.any():
            raise BadInput(
                f"expected some foreground in the mask, got none at {self._size} × {self._size} pixels; mark more of it"
            )
        box = box_of(small)
        whole = box == (0, 0, self._size, self._size)
        plate = torch.zeros_like(image) if whole else tile_box(image, box)
        boxes = torch.tensor([box], dtype=torch.int32)
        return SceneBatch((name,), image[None], torch.from_numpy(small)[None], plate[None], boxes)


def as_source(source: object) -> ImageSource:
    """Convert what users hand over as an image to what images are read from.

    Args:
        source: Path as a string or Path; bytes, bytearray or memoryview; image of Pillow; or an array of uint8 of shape
            (h, w, 3), (h, w, 4) with alpha, or (h, w) for grey.

    Raises:
        BadInput: If it is none of them; the message says what it is.
    """
    if isinstance(source, str):
        return Path(source).expanduser()
    if isinstance(source, Path | bytes | bytearray | memoryview | Image.Image):
        return source
    if isinstance(source, np.ndarray):
        is_shaped = source.ndim == 2 or (source.ndim == 3 and source.shape[2] in {3, 4})
        if source.dtype != np.uint8 or not is_shaped or not source.size:
            raise BadInput(
                f"expected levels as an array (h, w, 3) of uint8, got {source.shape} of {source.dtype}; put the "
                "channels last, and scale to 0 to 255"
            )
        return Image.fromarray(np.ascontiguousarray(source))
    raise BadInput(
        f"expected an image as a path, bytes, image of Pillow or array, got {type(source).__name__}; convert it to one"
    )


def square(image: Image.Image, side: int) -> UInt8[np.ndarray, "c s s"]:
    """Resize the short side to ``side`` pixels and crop the centre."""
    levels = np.asarray(resize_crop(image, side, 1.0))
    return np.ascontiguousarray(levels.reshape(side, side, -1).transpose(2, 0, 1))


def free_name(name: str, taken: Collection[str]) -> str:
    """Return a name that is not taken, by appending a number.

    Example:
        >>> free_name("cat", {"cat", "cat 2"})
        'cat 3'
    """
    plain = name.strip() or "image"
    candidates = (plain if i == 1 else f"{plain} {i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _box_in_square(box: Box, size: tuple[int, int], side: int) -> Box:
    """Map a box from pixels of the file to pixels of the resized and cropped square."""
    width, height = size
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise BadInput(f"expected a box within {width} × {height} pixels, got {box}; pass (x0, y0, x1, y1)")
    moved = crop_box(box, width, height, side, 1.0)
    if moved == (0, 0, 0, 0):
        raise BadInput(f"expected a box that overlaps the central square of the image, got {box}; crop the image first")
    return moved


def _box_mask(box: Box, side: int) -> Bool[np.ndarray, "s s"]:
    mask = np.zeros((side, side), dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
