"""Bounding boxes ``(x0, y0, x1, y1)`` in pixels, half-open: columns ``x0`` to ``x1 - 1``, rows ``y0`` to ``y1 - 1``."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool

Box = tuple[int, int, int, int]


def box_of(mask: Bool[np.ndarray, "h w"]) -> Box:
    """Compute the bounding box of a mask.

    Returns:
        The smallest half-open box that contains every True pixel; ``(0, 0, 0, 0)`` for an empty mask.

    Example:
        >>> box_of(np.array([[False, False, False], [False, True, True]]))
        (1, 1, 3, 2)
    """
    rows, columns = np.flatnonzero(mask.any(axis=1)), np.flatnonzero(mask.any(axis=0))
    if rows.size == 0:
        return (0, 0, 0, 0)
    return (int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1)


def joined_box(*boxes: Box) -> Box:
    """Compute the smallest box that contains all the given boxes.

    Example:
        >>> joined_box((1, 2, 3, 4), (0, 3, 2, 9))
        (0, 2, 3, 9)
    """
    x0, y0, x1, y1 = zip(*boxes, strict=True)
    return (min(x0), min(y0), max(x1), max(y1))
