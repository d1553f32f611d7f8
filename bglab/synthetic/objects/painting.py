"""Painting: from a drawing to antialiased colours, light and shade, and the shadow it casts.

The index of each part is painted on an enlarged canvas and looked up in a palette, so the coverage of every pixel is
counted, not estimated; light is then added at the image's own resolution.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, Int, UInt8, UInt64

from bglab.synthetic.objects.outlines import FRACTION_BITS, Drawing, fixed, rotation
from bglab.synthetic.textures import TILE, tile

_SOBEL = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], dtype=np.float32)


class Pose(NamedTuple):
    """Affine map from a drawing's coordinates to fractions of the image.

    Attributes:
        matrix: Scale, rotation and mirroring, applied to row vectors.
        offset: Translation, added afterwards.
    """

    matrix: Float[np.ndarray, "2 2"]
    offset: Float[np.ndarray, " 2"]

    @property
    def scale(self) -> float:
        """Length of a unit of the drawing, as a fraction of the image's side."""
        return float(np.hypot(*self.matrix[0]))


class Cutout(NamedTuple):
    """A painted object.

    Attributes:
        colors: RGB times coverage, in [0, 255].
        coverage: Fraction of each pixel that the object covers.
    """

    colors: Float[np.ndarray, "3 h w"]
    coverage: Float[np.ndarray, "h w"]


class Light(NamedTuple):
    """Direction and colour of the light.

    Attributes:
        x: Horizontal direction towards the light, from −1 (left) to 1 (right).
        y: Vertical direction towards the light; −1 is straight above.
        warmth: Colour, from −1 (blue) to 1 (golden).
    """

    x: float
    y: float
    warmth: float


def place(
    drawing: Drawing,
    *,
    mirrored: bool,
    turn: float,
    share: float,
    margin: float,
    at: tuple[float, float],
) -> Pose:
    """Fit a drawing into the unit square.

    Args:
        drawing: Object to place.
        mirrored: Whether it faces left instead of right.
        turn: Rotation in degrees, clockwise.
        share: Fraction of the image that its box should cover; long objects cover less where the frame is too narrow.
        margin: Least distance of the object from the frame, as a fraction of the image's side.
        at: Position of the box within the free space, each in [0, 1]; (0.5, 1) is the middle of the lower edge.
    """
    matrix = rotation(turn)
    if mirrored:
        matrix = np.array([[-1.0, 0.0], [0.0, 1.0]]) @ matrix
    points = np.concatenate([part.outline for part in drawing.parts]) @ matrix
    low, high = points.min(axis=0), points.max(axis=0)
    extent = high - low
    room = 1 - 2 * margin
    scale = min(np.sqrt(share / (extent[0] * extent[1])), room / extent.max())
    corner = margin + (room - scale * extent) * at
    return Pose(matrix * scale, corner - scale * low)


def paint(
    drawing: Drawing, pose: Pose, *, size: int, light: Light, phase: tuple[float, float], contrast: float
) -> Cutout:
    """Paint a drawing in full colour.

    Args:
        drawing: Object to paint.
        pose: Its position in the image, from `place`.
        size: Side of the image in pixels.
        light: Light that shades the object.
        phase: Offset into the coat's texture, each in [0, 1].
        contrast: Factor on the colours' distance from mid-grey: 1 as drawn, 0 a flat grey shape.
    """
    enlarged = 4 if size <= 80 else 3 if size <= 160 else 2
    points = np.concatenate([part.outline for part in drawing.parts]) @ pose.matrix + pose.offset
    low, high = np.floor(points.min(axis=0) * size).astype(int), np.ceil(points.max(axis=0) * size).astype(int)
    corner, stop = np.maximum(low - 1, 0), np.minimum(high + 1, size)
    width, height = (stop - corner).tolist()
    parts = _numbered_parts(drawing, (points * size - corner) * enlarged, width * enlarged, height * enlarged)
    layers = _averaged(_palette(drawing), parts, width, height)
    # covered or not: whole subpixels, whatever rounding to 8 bits did
    coverage = np.rint(layers[3] * np.float32(enlarged**2 / 255)) * np.float32(1 / enlarged**2)
    colors, relief, hide = layers[:3], layers[4] * np.float32(1 / 255), layers[5] * np.float32(1 / 255)
    _add_pattern(colors, hide, drawing, pose, phase, size=size, corner=corner)
    _add_light(colors, relief, coverage, drawing.shine, light, across=100 * size * pose.scale)
    if contrast != 1:
        grey = np.float32(128) * coverage
        colors = grey + np.float32(contrast) * (colors - grey)
    whole = Cutout(np.zeros((3, size, size), dtype=np.float32), np.zeros((size, size), dtype=np.float32))
    rows, columns = slice(corner[1], stop[1]), slice(corner[0], stop[0])
    whole.colors[:, rows, columns] = np.clip(colors, 0, np.float32(255) * coverage)
    whole.coverage[rows, columns] = coverage
    return whole


def shadow(
    coverage: Float[np.ndarray, "h w"], light: Light, *, flat: float, strength: float
) -> Float[np.ndarray, "h w"]:
    """Compute the factor in [0, 1] by which an object's soft shadow darkens the background.

    Args:
        coverage: Fraction of each pixel that the object covers.
        light: Light that casts the shadow.
        flat: Height of the shadow on the ground relative to the object's; 0 for a shadow on a wall behind it.
        strength: Greatest darkness, in [0, 1].
    """
    size = coverage.shape[0]
    rows = np.flatnonzero(coverage.max(axis=1) > 0)
    top, foot = float(rows[0]), float(rows[-1])
    if flat > 0:
        lean = -0.9 * light.x * flat
        matrix = np.array([[1, -lean, lean * foot], [0, flat, foot * (1 - flat) + 0.25 * flat * (foot - top)]])
        softness = 0.016
    else:
        reach = 0.05 * size
        matrix = np.array([[1, 0, -light.x * reach], [0, 1, -light.y * reach]])
        softness = 0.028
    thrown = cv2.warpAffine(coverage, matrix, (size, size), flags=cv2.INTER_LINEAR)
    # a box filter run twice is soft enough, and ends after a known distance: beyond it the plate is untouched
    radius = 2 * max(1, round(softness * size)) + 1
    for _ in range(2):
        thrown = cv2.blur(thrown, (radius, radius), borderType=cv2.BORDER_CONSTANT)
    return 1 - strength * thrown


def _numbered_parts(
    drawing: Drawing, points: Float[np.ndarray, "m 2"], width: int, height: int
) -> UInt8[np.ndarray, "s t"]:
    """Paint the index of each part, from 1, on an enlarged canvas without antialiasing."""
    canvas = np.zeros((height, width), dtype=np.uint8)
    corners = fixed(points, 1)
    start = 0
    for number, part in enumerate(drawing.parts, start=1):
        stop = start + len(part.outline)
        cv2.fillPoly(canvas, [corners[start:stop]], number, cv2.LINE_8, FRACTION_BITS)
        start = stop
    return canvas


def _palette(drawing: Drawing) -> UInt64[np.ndarray, " p"]:
    """Pack each part's colour, 255 for covered, relief and hide into the eight bytes of a number."""
    rows = [(*part.color, 255, 255 * part.relief, 255 * part.hide, 0, 0) for part in drawing.parts]
    table = np.zeros((len(rows) + 1, 8), dtype=np.uint8)
    table[1:] = np.clip(rows, 0, 255)
    return table.view(np.uint64)[:, 0]


def _averaged(
    palette: UInt64[np.ndarray, " p"], parts: UInt8[np.ndarray, "s t"], width: int, height: int
) -> Float[np.ndarray, "6 h w"]:
    """Look up the palette of the part at each subpixel and average over the pixels of the image."""
    layers = palette.take(parts).view(np.uint8).reshape(*parts.shape, 8)
    layers = cv2.resize(layers, (width, height), interpolation=cv2.INTER_AREA)
    return np.array(cv2.split(layers)[:6], dtype=np.float32)


def _add_pattern(
    colors: Float[np.ndarray, "3 h w"],
    hide: Float[np.ndarray, "h w"],
    drawing: Drawing,
    pose: Pose,
    phase: tuple[float, float],
    *,
    size: int,
    corner: Int[np.ndarray, "2"],
) -> None:
    """Blend in the coat's texture, which moves and rotates with the object, where parts show it."""
    # a tile no finer than the pixels of the image, or thin stripes would alias
    side, units_per_pixel = TILE, 1 / (size * pose.scale)
    while side > 16 and side * units_per_pixel > drawing.pattern_scale:
        side //= 2
    inverse = pose.matrix.T / pose.scale**2
    zoom = side / drawing.pattern_scale
    shift = (corner / size - pose.offset) @ inverse * zoom + np.array(phase) * side
    pattern = cv2.warpAffine(
        tile(drawing.pattern, side),
        np.column_stack([inverse.T * (zoom / size), shift]),
        hide.shape[::-1],
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    # hide is already weighted by coverage, so the result stays "colour times coverage"
    weight = pattern * hide
    colors *= 1 - weight
    colors += weight * np.array(drawing.pattern_color, dtype=np.float32)[:, None, None]


def _add_light(
    colors: Float[np.ndarray, "3 h w"],
    relief: Float[np.ndarray, "h w"],
    coverage: Float[np.ndarray, "h w"],
    shine: float,
    light: Light,
    *,
    across: float,
) -> None:
    """Shade the object by the slope of its blurred relief, a height map, towards the light.

    ``across`` is the object's size in pixels, with which the blurs scale.
    """
    # the wide and the narrow blur are weighed first: one derivative then serves both
    wide, narrow = _blurred(relief, max(0.09 * across, 0.6)), _blurred(relief, max(0.022 * across, 0.6))
    height = cv2.addWeighted(wide, 0.155 * max(0.09 * across, 0.6), narrow, 0.065 * max(0.022 * across, 0.6), 0)
    toward = light.x * _SOBEL + light.y * _SOBEL.T
    shade = 1 - cv2.filter2D(height, cv2.CV_32F, toward, borderType=cv2.BORDER_REFLECT_101)
    if shine:
        colors += np.float32(420 * shine) * np.clip(shade - np.float32(1.16), 0, 0.5) * coverage
    shade = np.clip(shade, 0.35, 1.5)
    for plane, warmth in zip(colors, (0.07, 0.0, -0.09), strict=True):
        plane *= shade * np.float32(1 + warmth * light.warmth)


def _blurred(plane: Float[np.ndarray, "h w"], sigma: float) -> Float[np.ndarray, "h w"]:
    """Apply a Gaussian blur, a wide one at a quarter of the resolution."""
    if sigma > 6:
        height, width = plane.shape
        small = cv2.resize(plane, (-(-width // 4), -(-height // 4)), interpolation=cv2.INTER_AREA)
        return cv2.resize(_blurred(small, sigma / 4), (width, height), interpolation=cv2.INTER_LINEAR)
    reach = round(2.2 * sigma) * 2 + 1
    return cv2.GaussianBlur(plane, (reach, reach), sigma, borderType=cv2.BORDER_CONSTANT)
