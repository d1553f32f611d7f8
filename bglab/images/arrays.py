"""RGB images of Pillow as arrays of shape (3, height, width), and back, band by band: faster than by transposing."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8
from PIL import Image

#: Pixels that are copied at a time: the bands of a large image would take as much memory again.
_STRIP_PX = 2**22


def to_levels(image: Image.Image) -> UInt8[np.ndarray, "3 h w"]:
    """Return the levels of an RGB image as a contiguous array of its own.

    Example:
        >>> to_levels(Image.new("RGB", (3, 2), (255, 0, 9)))[:, 0, 0].tolist()
        [255, 0, 9]
    """
    levels = np.empty((3, image.height, image.width), dtype=np.uint8)
    rows = max(1, _STRIP_PX // image.width)
    for top in range(0, image.height, rows):
        strip = levels[:, top : top + rows]
        part = image if rows >= image.height else image.crop((0, top, image.width, top + strip.shape[1]))
        for band, values in zip(part.split(), strip, strict=True):
            values[:] = np.frombuffer(band.tobytes(), dtype=np.uint8).reshape(values.shape)
    return levels


def from_levels(levels: UInt8[np.ndarray, "3 h w"]) -> Image.Image:
    """Return levels as an RGB image."""
    return Image.merge("RGB", [Image.fromarray(np.ascontiguousarray(band)) for band in levels])
