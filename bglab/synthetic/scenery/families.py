"""Scenery: the nine families of backgrounds, one for each class, and the shadows things cast there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bglab.synthetic.scenery.brushes import Canvas
from bglab.synthetic.scenery.closeups import jungle, leaf, reef, stage
from bglab.synthetic.scenery.landscapes import desert, forest, lawn, sky, street


class Family(NamedTuple):
    """One family of scenery.

    Attributes:
        paint: Paints one of it at a resolution; the image is the same at any.
        flat: Height of shadows on its ground relative to the object; 0 where they fall on a wall behind.
        shadow: Darkness of shadows, in [0, 1].
    """

    paint: Callable[[np.random.Generator, int], Canvas]
    flat: float
    shadow: float

    @property
    def name(self) -> str:
        """What it shows."""
        return self.paint.__name__


#: By the label of the class that is at home there.
FAMILIES: tuple[Family, ...] = (
    Family(lawn, 0.14, 0.5),
    Family(sky, 0.0, 0.12),
    Family(street, 0.12, 0.55),
    Family(desert, 0.16, 0.45),
    Family(forest, 0.13, 0.5),
    Family(leaf, 0.0, 0.45),
    Family(stage, 0.14, 0.6),
    Family(jungle, 0.0, 0.4),
    Family(reef, 0.0, 0.18),
)
