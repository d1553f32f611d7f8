"""Colours, RGB in [0, 255]: blending, shading and random choice, of single ones and of arrays."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Num

Color = tuple[float, float, float]
Colors = Num[np.ndarray, "k 3"]


def blend(first: Color, second: Color, share: float) -> Color:
    """Blend two colours; ``share``, in [0, 1], is the weight of the second."""
    red, green, blue = (a + (b - a) * share for a, b in zip(first, second, strict=True))
    return (red, green, blue)


def shaded(color: Color, factor: float) -> Color:
    """Make a colour darker (below 1) or lighter (above 1, towards white).

    Example:
        >>> shaded((100, 100, 200), 0.5), shaded((55, 55, 255), 1.5)
        ((50.0, 50.0, 100.0), (155.0, 155.0, 255.0))
    """
    if factor <= 1:
        return (color[0] * factor, color[1] * factor, color[2] * factor)
    return blend(color, (255, 255, 255), factor - 1)


def shades(colors: Num[np.ndarray, "#k 3"], factor: float | Float[np.ndarray, "#k 1"]) -> Colors:
    """Shade an array of colours by one factor or by one each; see `shaded`."""
    return colors * np.minimum(factor, 1) + (255 - colors) * np.maximum(factor - 1, 0)


def jitter(rng: np.random.Generator, color: Color, amount: float = 14) -> Color:
    """Shift a colour at random: all channels together, and each by up to half as much."""
    shifts = rng.uniform(-amount, amount, 4)
    red, green, blue = (c + shifts[0] + 0.5 * s for c, s in zip(color, shifts[1:], strict=True))
    return (red, green, blue)


def tints(rng: np.random.Generator, count: int, first: Color, second: Color, spread: float = 10) -> Colors:
    """Draw colours between two, each shifted by up to ``spread``."""
    start, end = np.array(first), np.array(second)
    share, shift = rng.random((2, count, 1))
    return start + (end - start) * share + spread * (2 * shift - 1)


def vivid(rng: np.random.Generator, value: float = 220, saturation: float = 0.75) -> Color:
    """Draw a colour of any hue, at most as bright (0–255) and as saturated (0–1) as given."""
    hue, dull, pale = rng.random(3)
    hue, value, saturation = 6 * hue, value * (1 - 0.25 * dull), saturation * (1 - 0.4 * pale)
    red, green, blue = (
        value * (1 - saturation * min(max(min(k, 4 - k), 0.0), 1.0))
        for k in ((hue + 5) % 6, (hue + 3) % 6, (hue + 1) % 6)
    )
    return (red, green, blue)


def pick(rng: np.random.Generator, count: int) -> int:
    """Draw an index below ``count``."""
    return int(rng.random() * count)
