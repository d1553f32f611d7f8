"""Outlines: the smooth closed curves that silhouettes and scenery are drawn from.

x points to the right and y down; each drawing has units of its own.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bglab.synthetic.colors import Color

Outline = Float[np.ndarray, "_ 2"]
Points = Sequence[tuple[float, float]]


class Part(NamedTuple):
    """One flat piece of a drawing; later parts cover earlier ones.

    Attributes:
        outline: Corners of the area that it covers.
        color: RGB in [0, 255].
        relief: Height towards the viewer, in [0, 1], from which light and shade are computed.
        hide: Strength of the coat's pattern on it, in [0, 1]; 0 for eyes, claws, windows.
    """

    outline: Outline
    color: Color
    relief: float = 0.8
    hide: float = 0.0


class Drawing(NamedTuple):
    """An object in its own coordinates.

    Attributes:
        parts: Parts from back to front.
        pattern: Name of the coat's texture.
        pattern_color: RGB of the pattern, in [0, 255].
        pattern_scale: Side of one tile of the texture, in units of the drawing.
        shine: Strength of the highlights, in [0, 1]: 0 for fur, 1 for lacquer.
    """

    parts: list[Part]
    pattern: str = "fur"
    pattern_color: Color = (0, 0, 0)
    pattern_scale: float = 100.0
    shine: float = 0.0


#: Points of a curve per control point.
STEPS = 5

#: Bits after the binary point in the coordinates of `fixed`.
FRACTION_BITS = 4

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)

#: The unit circle.
ROUND: Outline = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)], axis=1)


def polygon(*points: tuple[float, float]) -> Outline:
    """Return the polygon with these corners."""
    return np.array(points, dtype=np.float64)


def blob(*points: tuple[float, float]) -> Outline:
    """Return a smooth closed curve through the points (Catmull-Rom).

    Example:
        >>> blob((0, 0), (1, 0), (1, 1), (0, 1)).shape
        (20, 2)
    """
    return _closed_basis(len(points)) @ np.array(points, dtype=np.float64)


def oval(x: float, y: float, radius_x: float, radius_y: float, turn: float = 0.0) -> Outline:
    """Return an ellipse, turned clockwise by an angle in degrees."""
    ring = ROUND * (radius_x, radius_y)
    return (ring @ rotation(turn) if turn else ring) + (x, y)


def limb(points: Points, radii: Sequence[float]) -> Outline:
    """Return the outline of a tapered stroke with round ends along a smooth curve.

    Args:
        points: Points on the centre line.
        radii: Half the thickness at each point.

    Example:
        >>> limb([(0, 0), (10, 0)], [1, 1]).min(axis=0).round().tolist()
        [-1.0, -1.0]
    """
    if len(points) == 2:
        return _bar(points, radii)
    basis = _open_basis(len(points))
    middle = len(basis) // 2
    # centre line and radius, then their slopes, by one product
    curve = basis @ np.array([(x, y, r) for (x, y), r in zip(points, radii, strict=True)], dtype=np.float64)
    centre, along = curve[:middle, :2], curve[middle:, :2]
    along *= (curve[:middle, 2] / (np.hypot(along[:, 0], along[:, 1]) + 1e-9))[:, None]
    side = along[:, ::-1] * (-1, 1)
    outline = np.empty((2 * (middle + len(_CAP)), 2))
    outline[:middle] = centre + side
    outline[middle : middle + len(_CAP)] = centre[-1] + _CAP @ (along[-1], side[-1])
    outline[middle + len(_CAP) : -len(_CAP)] = (centre - side)[::-1]
    outline[-len(_CAP) :] = centre[0] - _CAP @ (along[0], side[0])
    return outline


def _bar(points: Points, radii: Sequence[float]) -> Outline:
    """Return a straight limb; there are many, and plain arithmetic is faster here than arrays."""
    (x0, y0), (x1, y1) = points
    length = math.hypot(x1 - x0, y1 - y0) + 1e-9
    x, y = (x1 - x0) / length, (y1 - y0) / length
    corners = []
    for (at_x, at_y), radius, way in ((points[1], radii[1], 1), (points[0], radii[0], -1)):
        for ahead, aside in _BAR_CAP:
            along, side = way * ahead * radius, way * aside * radius
            corners.append((at_x + along * x - side * y, at_y + along * y + side * x))
    return np.array(corners)


def rotation(degrees: float) -> Float[np.ndarray, "2 2"]:
    """Return the matrix that rotates row vectors clockwise by an angle in degrees (y points down)."""
    cos, sin = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    return np.array([[cos, sin], [-sin, cos]])


def turned(outline: Outline, degrees: float, pivot: tuple[float, float]) -> Outline:
    """Rotate an outline clockwise about a point."""
    return (outline - pivot) @ rotation(degrees) + pivot


def fixed(points: Float[np.ndarray, "*k 2"], side: int) -> Int[np.ndarray, "*k 2"]:
    """Convert fractions of an image's side to OpenCV's fixed-point pixels, whose centres are whole numbers.

    Args:
        points: Corners of one outline or of several.
        side: Side of the image in pixels; 1 if the points are in pixels.
    """
    unit = 2**FRACTION_BITS
    return np.floor(points * (side * unit) - (0.5 * unit - 0.5)).astype(np.int32)


# from the left side over the tip to the right side, without the sides themselves
_CAP = np.stack([np.cos(a := np.radians([60.0, 30.0, 0.0, -30.0, -60.0])), np.sin(a)], axis=1)

# the same for a straight limb, with the sides
_BAR_CAP = tuple((math.cos(math.radians(a)), math.sin(math.radians(a))) for a in (90, 60, 30, 0, -30, -60, -90))


def _segment_weights() -> tuple[Float[np.ndarray, "t 4"], Float[np.ndarray, "t 4"]]:
    """Return the weights of a Catmull-Rom segment's four control points along it, and their derivatives."""
    t = np.linspace(0, 1, STEPS, endpoint=False)[:, None]
    matrix = 0.5 * np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]])
    powers = np.concatenate([t**0, t, t**2, t**3], axis=1)
    rates = np.concatenate([0 * t, t**0, 2 * t, 3 * t**2], axis=1)
    return powers @ matrix, rates @ matrix


@functools.cache
def _closed_basis(count: int) -> Float[np.ndarray, "m n"]:
    """Return the matrix from ``count`` control points to a smooth closed curve."""
    weights, _ = _segment_weights()
    basis = np.zeros((count * STEPS, count))
    for segment in range(count):
        for k in range(4):
            basis[segment * STEPS : (segment + 1) * STEPS, (segment + k - 1) % count] += weights[:, k]
    return basis


@functools.cache
def _open_basis(count: int) -> Float[np.ndarray, "m n"]:
    """Return the matrix from ``count`` control points to a smooth open curve and, below, to its slopes."""
    weights, rates = _segment_weights()
    basis = np.zeros(((count - 1) * STEPS + 1, count))
    slopes = np.zeros_like(basis)
    for segment in range(count - 1):
        rows = slice(segment * STEPS, (segment + 1) * STEPS)
        for k in range(4):
            point = min(max(segment + k - 1, 0), count - 1)
            basis[rows, point] += weights[:, k]
            slopes[rows, point] += rates[:, k]
    basis[-1, -1] = 1
    slopes[-1, -1], slopes[-1, -2] = 1, -1
    return np.concatenate([basis, slopes])
