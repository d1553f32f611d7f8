"""Silhouettes: for each of the nine classes the kinds of things it is drawn as, and how they pose."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bglab.sources import _creatures, _insects, _mammals, _things
from bglab.sources._outlines import Drawing


class Species(NamedTuple):
    """One kind of thing.

    Attributes:
        draw: Draws one, facing right, with proportions and colours of its own.
        turns: Range of degrees by which it is turned, clockwise.
        stands: True if it belongs in the lower part of the picture.
    """

    draw: Callable[[np.random.Generator], Drawing]
    turns: tuple[float, float]
    stands: bool

    @property
    def name(self) -> str:
        """What it is, in words."""
        return self.draw.__name__.replace("_", " ")


#: By label (`bglab.labels.IN9_NAMES`): dog, bird, vehicle, reptile, carnivore, insect, instrument, primate, fish.
SPECIES: tuple[tuple[Species, ...], ...] = (
    (Species(_mammals.standing_dog, (-5, 5), stands=True), Species(_mammals.sitting_dog, (-5, 5), stands=True)),
    (
        Species(_creatures.songbird, (-8, 8), stands=False),
        Species(_creatures.gull, (-20, 14), stands=False),
        Species(_creatures.wader, (-4, 4), stands=True),
    ),
    (
        Species(_things.car, (-3, 3), stands=True),
        Species(_things.bus, (-2, 2), stands=True),
        Species(_things.lorry, (-2, 2), stands=True),
    ),
    (
        Species(_creatures.turtle, (-6, 6), stands=True),
        Species(_creatures.lizard, (-15, 15), stands=True),
        Species(_creatures.snake, (-8, 8), stands=True),
    ),
    (Species(_mammals.bear, (-4, 4), stands=True), Species(_mammals.big_cat, (-4, 4), stands=True)),
    (
        Species(_insects.ladybird, (-180, 180), stands=False),
        Species(_insects.beetle, (-180, 180), stands=False),
        Species(_insects.butterfly, (-180, 180), stands=False),
        Species(_insects.dragonfly, (-180, 180), stands=False),
    ),
    (
        Species(_things.guitar, (20, 50), stands=True),
        Species(_things.violin, (12, 45), stands=True),
        Species(_things.drum, (-5, 5), stands=True),
        Species(_things.piano, (-2, 2), stands=True),
    ),
    (Species(_mammals.monkey, (-5, 5), stands=True), Species(_mammals.ape, (-4, 4), stands=True)),
    (
        Species(_creatures.reef_fish, (-18, 18), stands=False),
        Species(_creatures.trout, (-18, 18), stands=False),
        Species(_creatures.shark, (-12, 12), stands=False),
    ),
)
