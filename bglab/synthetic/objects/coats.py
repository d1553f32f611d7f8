"""Coats: colours of furs, eyes and thin lines, shared by several kinds of objects and independent of the scenery."""

from __future__ import annotations

from bglab.synthetic.colors import Color
from bglab.synthetic.objects.outlines import Outline, Part, Points, limb, oval

#: Colours of furred animals, each as (main, lighter, darker).
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


def eye(x: float, y: float, radius: float, iris: Color = BLACK) -> list[Part]:
    """Draw an eye with a highlight."""
    parts = [Part(oval(x, y, radius, radius), BLACK if iris is BLACK else iris, 0.85)]
    if iris is not BLACK:
        parts.append(Part(oval(x + 0.1 * radius, y, 0.62 * radius, 0.68 * radius), BLACK, 0.85))
    parts.append(Part(oval(x + 0.35 * radius, y - 0.35 * radius, 0.34 * radius, 0.34 * radius), WHITE, 0.9))
    return parts


def stroke(points: Points, radius: float) -> Outline:
    """Return the outline of a stroke of constant thickness."""
    return limb(points, [radius] * len(points))
