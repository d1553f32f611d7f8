"""Scenery: the nine families of backgrounds, one for each class, and the shadows things cast there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bglab.sources import _habitats, _landscapes
from bglab.sources._brushes import Picture


class Family(NamedTuple):
    """One family of scenery.

    Attributes:
        paint: Paints one of it at a resolution; the picture is the same at any.
        flat: Height of shadows on its ground relative to the object; 0 where they fall on a wall behind.
        shadow: Darkness of shadows, in [0, 1].
    """

    paint: Callable[[np.random.Generator, int], Picture]
    flat: float
    shadow: float

    @property
    def name(self) -> str:
        """What it shows."""
        return self.paint.__name__


#: By the label of the class that is at home there.
FAMILIES: tuple[Family, ...] = (
    Family(_landscapes.lawn, 0.14, 0.5),
    Family(_landscapes.sky, 0.0, 0.12),
    Family(_landscapes.street, 0.12, 0.55),
    Family(_landscapes.desert, 0.16, 0.45),
    Family(_landscapes.forest, 0.13, 0.5),
    Family(_habitats.leaf, 0.0, 0.45),
    Family(_habitats.stage, 0.14, 0.6),
    Family(_habitats.jungle, 0.0, 0.4),
    Family(_habitats.reef, 0.0, 0.18),
)
