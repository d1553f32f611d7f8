"""Masks as COCO writes them: run lengths, plain or compressed, and polygons."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput
from bglab.images.limits import check_size

# annotation tools round vertices outwards, so that some lie a little beyond the border
_TOLERANCE_PX = 1.0
_MOST_BITS = 60


def decode_rle(counts: str | bytes | Sequence[Any], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Decode a run-length encoded mask.

    Runs of background and foreground alternate, beginning with background, column by column from the top left.

    Args:
        counts: Lengths of the runs in pixels, or their compressed text as pycocotools writes it.
        height: Height of the mask in pixels.
        width: Width of the mask in pixels.

    Raises:
        BadInput: If the text is damaged, a run is negative or no whole number, the runs do not sum to
            ``height × width``, or that is more than `bglab.images.limits` allows.

    Example:
        >>> decode_rle([1, 2, 3], 2, 3).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]
        >>> decode_rle("123", 2, 3).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    if isinstance(counts, (str, bytes)):
        runs = _decompress(counts)
    else:
        runs = [run for run in counts if isinstance(run, int | np.integer) and not isinstance(run, bool)]
        if len(runs) != len(counts):
            raise BadInput("expected whole numbers as the run lengths of a mask, got others; export the mask again")
    if any(run < 0 for run in runs):
        raise BadInput(f"expected run lengths of at least 0, got {min(runs)}; export the mask again")
    if sum(runs) != height * width:
        raise BadInput(
            f"expected run lengths that sum to {height * width} pixels, for a mask of {width} × {height}, got "
            f"{sum(runs)}; export the mask again"
        )
    check_size(width, height, "run lengths")
    marked = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(marked, np.array(runs, dtype=np.int64)).reshape(width, height).T)


def _decompress(text: str | bytes) -> list[int]:
    """Read run lengths from compressed text: 5 bits per character, and differences to the last run but one."""
    codes = [ord(character) - 48 for character in text] if isinstance(text, str) else [code - 48 for code in text]
    if any(not 0 <= code < 64 for code in codes):
        raise BadInput("expected compressed run lengths, got characters that they never have; export the mask again")
    runs: list[int] = []
    value, shift = 0, 0
    for code in codes:
        value |= (code & 0x1F) << shift
        shift += 5
        if shift > _MOST_BITS:
            raise BadInput("expected compressed run lengths, got one longer than any image; export the mask again")
        if code & 0x20:  # the number goes on
            continue
        if code & 0x10:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value, shift = 0, 0
    if shift:
        raise BadInput("expected complete compressed run lengths, but the last one is cut off; export the mask again")
    return runs


def polygons_mask(polygons: Sequence[Any], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Rasterise the union of polygons; see `bglab.images.polygon_mask`.

    Args:
        polygons: For each polygon the coordinates ``x0, y0, x1, y1, …`` of its vertices in pixels; the image spans
            ``(0, 0)`` to ``(width, height)``.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        BadInput: If there is no polygon, or one has fewer than 3 vertices, an odd number of coordinates, one that is
            not a number, or one more than a pixel outside the image.

    Example:
        >>> polygons_mask([[0, 0, 1, 0, 1, 2, 0, 2], [2, 0, 3, 0, 3, 1, 2, 1]], 2, 4).astype(int).tolist()
        [[1, 0, 1, 0], [1, 0, 0, 0]]
    """
    from bglab.images.masks import polygon_mask  # imported here, since run lengths do not need OpenCV

    if not polygons:
        raise BadInput("expected at least one polygon, got none; draw the outline again")
    check_size(width, height, "an annotation")
    mask = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        mask |= polygon_mask(_vertices(polygon, height, width), height, width)
    return mask


def _vertices(polygon: Any, height: int, width: int) -> list[tuple[float, float]]:
    """Pair the coordinates of a polygon and check them."""
    try:
        flat = np.array(polygon, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        flat = np.zeros(0)
    if flat.ndim != 1 or flat.size < 6 or flat.size % 2:
        raise BadInput(
            f"expected a polygon of at least 3 corners as x0, y0, x1, y1, …, got {str(polygon)[:60]}; draw the "
            "outline again"
        )
    points = flat.reshape(-1, 2)
    low, high = -_TOLERANCE_PX, np.array([width, height]) + _TOLERANCE_PX
    strays = points[~((points >= low) & (points <= high)).all(axis=1)]  # NaN is not within either
    if len(strays):
        x, y = strays[0].tolist()
        raise BadInput(
            f"expected a polygon within {width} × {height} pixels, got a corner at ({x:g}, {y:g}); draw the outline "
            "again"
        )
    return [(x, y) for x, y in points.tolist()]
