"""Resizing an image of which only a crop is wanted, with the pixels of Pillow's own resize in less time.

Pillow resizes in two passes, along the rows and then along the columns, and rounds in between, so the passes can be
made one after the other with everything outside the crop left out.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import numpy as np
from PIL import Image

_Filter = Image.Resampling

#: Half the width of each filter, in pixels of the smaller of the two images.
_SUPPORT = {_Filter.BILINEAR: 1.0, _Filter.BICUBIC: 2.0}
#: Modes of one pass per band; others are converted by Pillow before and after.
_MODES = frozenset({"L", "RGB"})
#: Images that are taller, as a multiple of their width, are resized along the columns first by some versions of Pillow.
_TALLEST = 1.75


def resize_and_crop_image(
    image: Image.Image, resized: tuple[int, int], corner: tuple[int, int], size: int, resample: Image.Resampling
) -> Image.Image:
    """Resize an image and crop a square; the pixels are those of ``image.resize(...).crop(...)``, but cost less.

    Args:
        image: Image of any mode.
        resized: Width and height of the whole image after the resize, in pixels.
        corner: Left and top of the crop in the resized image, in pixels.
        size: Side of the crop in pixels.
        resample: Filter of Pillow.
    """
    (left, top), right, bottom = corner, corner[0] + size, corner[1] + size
    if not _is_separable(image, resized, corner, size, resample):
        return image.resize(resized, resample).crop((left, top, right, bottom))
    width, height = image.size
    first, last = _rows_read(height, resized[1], top, bottom, _SUPPORT[resample])
    count = last - first
    if count < height:
        image = image.crop((0, first, width, last))
    across = _span(width, resized[0], left, right)
    if across:
        image = image.resize((size, count), resample, (across.start, 0, across.stop, count))
    else:
        image = image.resize((resized[0], count), resample).crop((left, 0, right, count))
    down = _span(height, resized[1], top, bottom)
    if down:
        return image.resize((size, size), resample, (0, down.start - first, size, down.stop - first))
    if count < height:  # the positions of the rows are rounded differently unless all of them are there
        whole = Image.new(image.mode, (size, height))
        whole.paste(image, (0, first))
        image = whole
    return image.resize((size, resized[1]), resample).crop((0, top, size, bottom))


def _is_separable(
    image: Image.Image, resized: tuple[int, int], corner: tuple[int, int], size: int, resample: Image.Resampling
) -> bool:
    """Check that an image is of the usual kind, which is resized in two passes, along the rows first."""
    inside = min(corner) >= 0 and corner[0] + size <= resized[0] and corner[1] + size <= resized[1]
    # with both sides scaled alike; otherwise a version of Pillow may choose the cheaper order
    alike = abs(resized[0] * image.height - resized[1] * image.width) <= max(image.size)
    usual = image.mode in _MODES and resample in _SUPPORT and image.height <= _TALLEST * image.width
    return inside and alike and usual and _rows_come_first()


class _Span(NamedTuple):
    """Part of a side of an image, in its pixels."""

    start: float
    stop: float


def _span(side: int, resized: int, first: int, last: int) -> _Span | None:
    """Return the part of a side that becomes pixels ``first`` to ``last``; None if that is no exact number.

    Pillow takes such parts in single precision. They are exact if the resized side is a power of two, as is 256, the
    usual short side.
    """
    if side == resized or side >= 2**14 or resized > 2**9 or resized & (resized - 1):
        return None
    return _Span(first * side / resized, last * side / resized)


def _rows_read(height: int, resized: int, top: int, bottom: int, support: float) -> tuple[int, int]:
    """Return the first row, and the one after the last, that pixels ``top`` to ``bottom`` are computed from."""
    scale = height / resized
    reach = support * max(scale, 1.0)
    first, last = (top + 0.5) * scale - reach, (bottom - 0.5) * scale + reach
    # a row more at each end, in case of rounding
    return max(int(first) - 1, 0), min(int(last) + 2, height)


@functools.cache
def _rows_come_first() -> bool:
    """Check once that this version of Pillow resizes images of the usual shapes along their rows first."""
    for height, width in ((48, 28), (28, 48)):
        levels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
        image = Image.fromarray(levels)
        resized = (image.width // 2, image.height // 2)
        rows = image.resize((resized[0], image.height), _Filter.BILINEAR)
        if rows.resize(resized, _Filter.BILINEAR) != image.resize(resized, _Filter.BILINEAR):
            return False
    return True
