"""Sceneries: the nine kinds of backgrounds, one for each class, and the shadows that objects cast there."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bglab.synthetic.scenery.brushes import Canvas
from bglab.synthetic.scenery.closeups import jungle, leaf, reef, stage
from bglab.synthetic.scenery.landscapes import desert, forest, lawn, sky, street


class Scenery(NamedTuple):
    """One kind of background.

    Attributes:
        paint: Paints one from a generator and the image's side in pixels; it looks the same at any resolution.
        flat: Height of a shadow on its ground relative to the object's; 0 where shadows fall on a wall behind.
        shadow: Greatest darkness of a shadow, in [0, 1].
    """

    paint: Callable[[np.random.Generator, int], Canvas]
    flat: float
    shadow: float

    @property
    def name(self) -> str:
        """Name, e.g. "lawn"."""
        return self.paint.__name__


#: By the label of the class that belongs there (`bglab.labels.IN9_NAMES`).
SCENERIES: tuple[Scenery, ...] = (
    Scenery(lawn, 0.14, 0.5),
    Scenery(sky, 0.0, 0.12),
    Scenery(street, 0.12, 0.55),
    Scenery(desert, 0.16, 0.45),
    Scenery(forest, 0.13, 0.5),
    Scenery(leaf, 0.0, 0.45),
    Scenery(stage, 0.14, 0.6),
    Scenery(jungle, 0.0, 0.4),
    Scenery(reef, 0.0, 0.18),
)
