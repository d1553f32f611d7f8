"""Brushes: the primitives that scenery is painted with; lengths are fractions of the image's side, y points down."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from bglab.synthetic.colors import Color, Colors, shades
from bglab.synthetic.objects.outlines import FRACTION_BITS, Outline, fixed
from bglab.synthetic.textures import tile

#: Colours in [0, 255], one plane per channel, that light can be multiplied into.
Tones = Float[np.ndarray, "3 h w"]
#: An image that OpenCV can draw on.
Canvas = UInt8[np.ndarray, "h w 3"]
Amount = Float[np.ndarray, "#h w"]
Outlines = Float[np.ndarray, "k _ 2"]


def gradient(size: int, *stops: tuple[float, Color]) -> Tones:
    """Return a vertical gradient through colours at given heights."""
    y = (np.arange(size) + 0.5) / size
    heights = [stop[0] for stop in stops]
    columns = np.array([np.interp(y, heights, [stop[1][k] for stop in stops]) for k in range(3)], dtype=np.float32)
    return np.repeat(columns[:, :, None], size, axis=2)


def blend_in(tones: Tones, color: Color, amount: Amount) -> None:
    """Blend a colour in, with a weight in [0, 1] per pixel."""
    tones *= 1 - amount
    tones += amount * np.array(color, dtype=np.float32)[:, None, None]


def modulate(tones: Tones, pattern: Amount, strength: float) -> None:
    """Darken where a pattern is below 0.5 and lighten where it is above, by up to half of ``strength``."""
    tones *= np.float32(1 - 0.5 * strength) + np.float32(strength) * pattern


def to_image(tones: Tones) -> Canvas:
    """Convert to an 8-bit image with interleaved channels."""
    return cv2.merge(list(np.clip(tones + np.float32(0.5), 0, 255).astype(np.uint8)))


def fill_bottom(image: Canvas, tones: Float[np.ndarray, "3 rows w"]) -> None:
    """Replace the lowest rows of an image."""
    image[-tones.shape[1] :] = to_image(tones)


def to_tones(image: Canvas) -> Tones:
    """Convert an 8-bit image to floating-point planes."""
    return np.array(cv2.split(image), dtype=np.float32)


def fill(image: Canvas, outline: Outline, color: Color) -> None:
    """Fill an outline, antialiased."""
    cv2.fillPoly(image, [fixed(outline, image.shape[0])], color, cv2.LINE_AA, FRACTION_BITS)


def fill_alike(image: Canvas, outlines: Outlines, color: Color) -> None:
    """Fill outlines that do not overlap in one colour, by one call of OpenCV."""
    cv2.fillPoly(image, list(fixed(outlines, image.shape[0])), color, cv2.LINE_AA, FRACTION_BITS)


def fill_each(image: Canvas, outlines: Outlines, colors: Colors) -> None:
    """Fill outlines with equal numbers of corners in order, each in its colour, antialiased."""
    fill_stacks(image, [(outlines, 1.0)], colors)


def fill_stacks(image: Canvas, layers: Sequence[tuple[Outlines, float]], colors: Colors) -> None:
    """Fill stacks of outlines, such as leaves with their veins; a later stack covers an earlier one.

    Args:
        image: Image to paint on.
        layers: For each layer, one outline per stack, and the factor by which the stack's colour is shaded there.
        colors: Colour of each stack.
    """
    stacks = [(fixed(outlines, image.shape[0]), shades(colors, tone).tolist()) for outlines, tone in layers]
    for k in range(len(colors)):
        for outlines, tones in stacks:
            cv2.fillPoly(image, [outlines[k]], tones[k], cv2.LINE_AA, FRACTION_BITS)


class Sprite(NamedTuple):
    """A small drawing that is painted many times: the points of all outlines, where each ends, and its shade."""

    points: Outline
    stops: tuple[int, ...]
    tones: Float[np.ndarray, "p 1"]

    @classmethod
    def of(cls, parts: Sequence[tuple[Outline, float]]) -> Sprite:
        """Build a sprite from outlines and shades."""
        stops = tuple(np.cumsum([len(outline) for outline, _ in parts]).tolist())
        return cls(np.concatenate([p[0] for p in parts]), stops, np.array([[p[1]] for p in parts]))


def fill_sprite(
    image: Canvas, sprite: Sprite, at: tuple[float, float], scale: tuple[float, float], color: Color
) -> None:
    """Paint a sprite once, in shades of one colour."""
    corners, start = fixed(sprite.points * scale + at, image.shape[0]), 0
    for stop, tone in zip(sprite.stops, shades(np.array([color]), sprite.tones).tolist(), strict=True):
        cv2.fillPoly(image, [corners[start:stop]], tone, cv2.LINE_AA, FRACTION_BITS)
        start = stop


def scattered(
    template: Outline,
    at: Float[np.ndarray, "k 2"],
    scale: Float[np.ndarray, "k 1"] | Float[np.ndarray, "k 2"],
    degrees: Float[np.ndarray, " k"] | None = None,
) -> Outlines:
    """Return copies of an outline, each scaled, rotated clockwise about its origin, and moved to a place."""
    copies = template * scale[:, None, :]
    if degrees is not None:
        cos, sin = np.cos(np.radians(degrees))[:, None], np.sin(np.radians(degrees))[:, None]
        x, y = copies[..., 0], copies[..., 1]
        copies = np.empty_like(copies)
        copies[..., 0], copies[..., 1] = x * cos - y * sin, x * sin + y * cos
    return copies + at[:, None, :]


def soften(image: Canvas, radius: float) -> Canvas:
    """Blur what is out of focus; the radius is a fraction of the image's height."""
    reach = 2 * round(radius * image.shape[0]) + 1
    if reach < 3:
        return image
    return cv2.GaussianBlur(image, (reach, reach), 0, borderType=cv2.BORDER_REFLECT)


def ground(
    rng: np.random.Generator, size: int, name: str, horizon: float, grain: float = 1.0
) -> Float[np.ndarray, "g w"]:
    """Project a texture onto level ground that recedes to the horizon.

    Args:
        rng: Generator for the offset into the texture.
        size: Side of the image in pixels.
        name: Name of the texture; see `bglab.synthetic.textures.tile`.
        horizon: Height of the horizon.
        grain: Factor on the texture's frequency.

    Returns:
        The texture in [0, 1] for the rows below the horizon, fading to 0.5 in the distance.
    """
    first = first_row(size, horizon)
    u, v = rng.random(2)
    near = np.array([0.0, 1 / (1 - horizon), 0.16 - horizon / (1 - horizon)])
    scale = 0.5 * grain
    matrix = np.array([[scale, 0, -0.5 * scale], [0, 0, -scale], [0, 0, 0]])
    matrix += np.outer([2 * u, 2 * v, 1], near)
    # from fractions to pixels, and down to the first row of the ground
    to_fraction = np.array([[1 / size, 0, 0.5 / size], [0, 1 / size, (first + 0.5) / size], [0, 0, 1]])
    matrix = np.diag([size, size, 1]) @ matrix @ to_fraction
    pattern = cv2.warpPerspective(
        tile(name, 2 * size),
        matrix,
        (size, size - first),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    calm = np.linspace(0, 1, size - first, dtype=np.float32) ** 0.6
    return np.float32(0.5) + (pattern - np.float32(0.5)) * calm[:, None]


def first_row(size: int, horizon: float) -> int:
    """Return the index of the first row that lies wholly below a height."""
    return min(int(np.ceil(horizon * size)), size - 2)


def blades(
    rng: np.random.Generator, count: int, base: tuple[float, float], length: tuple[float, float], thick: float
) -> Float[np.ndarray, "k 3 2"]:
    """Return leaning blades of grass, far ones first, as triangles.

    Args:
        rng: Generator for their positions, lengths and directions.
        count: Number of blades.
        base: Range of the heights of their roots.
        length: Length of the farthest and of the nearest.
        thick: Half the thickness of the nearest at its root.
    """
    depth = np.sort(rng.random(count))
    x, lean = rng.random(count), rng.normal(0, 0.3, count)
    y = base[0] + (base[1] - base[0]) * depth
    long = (length[0] + (length[1] - length[0]) * depth) * rng.uniform(0.6, 1.1, count)
    half = thick * (0.4 + 0.6 * depth)
    corners = [(x - half, y), (x + half, y), (x + lean * long, y - long)]
    return np.array(corners).transpose(2, 0, 1)


def ragged(rng: np.random.Generator, count: int, y: float, height: float, *, steps: bool = False) -> Outline:
    """Return the area below a jagged or stepped skyline."""
    x = np.linspace(-0.05, 1.05, count)
    crest = y - height * rng.random(count)
    if steps:
        x, crest = np.repeat(x, 2)[1:], np.repeat(crest, 2)[:-1]
    top = np.stack([x, crest], axis=1)
    return np.concatenate([top, [[1.05, 1.05], [-0.05, 1.05]]])


def wavy(rng: np.random.Generator, y: float, height: float, waves: float) -> Outline:
    """Return the area below a soft rolling line."""
    x = np.linspace(-0.02, 1.02, 40)
    phases = rng.random(2) * 2 * np.pi
    crest = y + height * (
        0.7 * np.sin(waves * 2 * np.pi * x + phases[0]) + 0.3 * np.sin(waves * 5.3 * np.pi * x + phases[1])
    )
    return np.concatenate([np.stack([x, crest], axis=1), [[1.02, 1.05], [-0.02, 1.05]]])
