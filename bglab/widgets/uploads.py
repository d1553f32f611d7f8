"""Images of one's own: taken in from a file, cut out by a box, mended by a brush."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images import Box, box_of, crop_box, grab_cut, open_image, read_matte, resize_crop, tile_box
from bglab.labels import OUTSIDE
from bglab.variants import SceneBatch

#: Longest side at which an image is kept for cutting out; GrabCut takes about a second there.
_WORK_PX = 640


@dataclass(frozen=True, eq=False)
class UploadedImage:
    """An image of one's own.

    Attributes:
        large: Square, up to 640 pixels a side, for cutting out.
        batch: The same at the size of the scenes, with its mask.
        label: Its class among the nine, or OUTSIDE if unknown.
        box: What it was last cut out by, as shares of the side.
        mended: Whether a brush changed its mask since.
        source: Name of its file; "" if it is a copy of a scene.
    """

    large: UInt8[np.ndarray, "3 s s"]
    batch: SceneBatch
    label: int
    box: tuple[float, ...] = ()
    mended: bool = False
    source: str = ""


class UploadedImages:
    """Images of one's own by name.

    Args:
        size: Side of the scenes they are explored with.
        seed: Of GrabCut.
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
        source: bytes | Path | UInt8[np.ndarray, "3 h w"],
        name: str,
        *,
        box: Box | None = None,
        label: int = OUTSIDE,
        taken: Collection[str] = (),
    ) -> str:
        """Take in an image; without box and transparency its mask is the middle until it is cut out.

        Args:
            source: A file, its bytes, or RGB levels; transparency becomes the mask.
            name: What to call it; a name that is taken gets a number.
            box: Around the object, half-open, in pixels of the file.
            label: Its class among the nine, or OUTSIDE.
            taken: Names that are in use elsewhere.

        Returns:
            The name under which it is kept.

        Raises:
            BadInput: If it is no image, the box lies outside, or GrabCut finds nothing in it.
        """
        if isinstance(source, np.ndarray):
            image, matte = _as_image(source), None
        else:
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

    def copy(self, name: str, batch: SceneBatch, label: int) -> str:
        """Take in a copy of a scene, unless that was done before."""
        if name not in self._images:
            copied = SceneBatch((name,), batch.images, batch.masks, batch.plates, batch.boxes)
            self._images[name] = UploadedImage(batch.images[0].numpy(), copied, label)
        return name

    def cut(self, name: str, box: Sequence[float]) -> None:
        """Cut the object out of its box by GrabCut, seeded.

        Args:
            name: Which image.
            box: ``x0, y0, x1, y1`` as shares of the side.

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
        self._keep(name, mask, replace(image, box=shares, mended=False))

    def mend(self, name: str, mask: Bool[np.ndarray, "h w"]) -> None:
        """Take a mask that was mended by hand.

        Raises:
            BadInput: If the mask marks nothing.
        """
        if not mask.any():
            raise BadInput("expected some foreground to be left, but the brush removed it all; undo the last stroke")
        self._keep(name, mask, replace(self._images[name], mended=True))

    def set_label(self, name: str, label: int) -> None:
        """Say what an image shows."""
        self._images[name] = replace(self._images[name], label=label)

    def _keep(self, name: str, mask: Bool[np.ndarray, "h w"], image: UploadedImage) -> None:
        self._images[name] = replace(image, batch=self._as_batch(name, image.large, mask))

    def _as_batch(self, name: str, large: UInt8[np.ndarray, "3 s s"], mask: Bool[np.ndarray, "h w"]) -> SceneBatch:
        """Bring an image and its mask to the size of the scenes, and tile its background."""
        image = torch.from_numpy(square(_as_image(large), self._size))
        small = np.array(Image.fromarray(mask).resize((self._size, self._size), Image.Resampling.NEAREST))
        if not small.any():
            raise BadInput("expected a foreground that can be seen, but at this size nothing is left of the mask")
        box = box_of(small)
        whole = box == (0, 0, self._size, self._size)
        plate = torch.zeros_like(image) if whole else tile_box(image, box)
        boxes = torch.tensor([box], dtype=torch.int32)
        return SceneBatch((name,), image[None], torch.from_numpy(small)[None], plate[None], boxes)


def square(image: Image.Image, side: int) -> UInt8[np.ndarray, "c s s"]:
    """Resize the short side and crop the middle."""
    levels = np.asarray(resize_crop(image, side, 1.0))
    return np.ascontiguousarray(levels.reshape(side, side, -1).transpose(2, 0, 1))


def free_name(name: str, taken: Collection[str]) -> str:
    """Give a name that is not taken, by counting up.

    Example:
        >>> free_name("cat", {"cat", "cat 2"})
        'cat 3'
    """
    plain = name.strip() or "image"
    candidates = (plain if i == 1 else f"{plain} {i}" for i in range(1, len(taken) + 2))
    return next(candidate for candidate in candidates if candidate not in taken)


def _as_image(levels: UInt8[np.ndarray, "3 h w"]) -> Image.Image:
    return Image.fromarray(np.ascontiguousarray(levels.transpose(1, 2, 0)))


def _box_in_square(box: Box, size: tuple[int, int], side: int) -> Box:
    """Follow a box of the file through resizing and cropping."""
    width, height = size
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise BadInput(f"expected a box within {width} × {height} pixels, got {box}; give x0, y0, x1, y1")
    moved = crop_box(box, width, height, side, 1.0)
    if moved == (0, 0, 0, 0):
        raise BadInput(f"expected a box within the middle square of the image, got {box}; crop the image first")
    return moved


def _box_mask(box: Box, side: int) -> Bool[np.ndarray, "s s"]:
    mask = np.zeros((side, side), dtype=bool)
    mask[box[1] : box[3], box[0] : box[2]] = True
    return mask
