"""Coats and lacquers: the colours that objects are drawn in; none of them knows the scenery."""

from __future__ import annotations

import numpy as np

from bglab.synthetic.objects.outlines import Color, Outline, Part, Points, limb, oval

#: Rows of (main, lighter, darker) of furred animals.
FURS: tuple[tuple[Color, Color, Color], ...] = (
    ((176, 124, 70), (226, 190, 140), (110, 70, 36)),
    ((58, 48, 44), (150, 110, 76), (28, 24, 24)),
    ((222, 208, 184), (246, 240, 228), (150, 128, 100)),
    ((214, 160, 84), (240, 214, 160), (150, 98, 44)),
    ((128, 122, 118), (204, 200, 194), (76, 72, 72)),
    ((120, 74, 42), (206, 164, 112), (70, 42, 24)),
)

BLACK: Color = (22, 20, 20)
WHITE: Color = (246, 244, 238)


def jitter(rng: np.random.Generator, color: Color, amount: float = 14) -> Color:
    """Shift a colour a little, all channels together and each on its own."""
    shifts = rng.uniform(-amount, amount, 4)
    red, green, blue = (c + shifts[0] + 0.5 * s for c, s in zip(color, shifts[1:], strict=True))
    return (red, green, blue)


def shaded(color: Color, factor: float) -> Color:
    """Make a colour darker (below 1) or lighter (above 1, towards white)."""
    if factor <= 1:
        return (color[0] * factor, color[1] * factor, color[2] * factor)
    return blend(color, (255, 255, 255), factor - 1)


def blend(first: Color, second: Color, share: float) -> Color:
    """Mix two colours; ``share`` is the second one's."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def vivid(rng: np.random.Generator, value: float = 220, saturation: float = 0.75) -> Color:
    """Draw any hue, at most as bright (0–255) and saturated (0–1) as given."""
    hue, dull, pale = rng.random(3)
    hue, value, saturation = 6 * hue, value * (1 - 0.25 * dull), saturation * (1 - 0.4 * pale)
    red, green, blue = (
        value * (1 - saturation * min(max(min(k, 4 - k), 0.0), 1.0))
        for k in ((hue + 5) % 6, (hue + 3) % 6, (hue + 1) % 6)
    )
    return (red, green, blue)


def pick(rng: np.random.Generator, count: int) -> int:
    """Choose a number below ``count``."""
    return int(rng.random() * count)


def eye(x: float, y: float, radius: float, iris: Color = BLACK) -> list[Part]:
    """Draw an eye with its glint."""
    parts = [Part(oval(x, y, radius, radius), BLACK if iris is BLACK else iris, 0.85)]
    if iris is not BLACK:
        parts.append(Part(oval(x + 0.1 * radius, y, 0.62 * radius, 0.68 * radius), BLACK, 0.85))
    parts.append(Part(oval(x + 0.35 * radius, y - 0.35 * radius, 0.34 * radius, 0.34 * radius), WHITE, 0.9))
    return parts


def stroke(points: Points, radius: float) -> Outline:
    """Draw a line of constant thickness."""
    return limb(points, [radius] * len(points))
