"""Silhouettes: the kinds of objects that each of the nine classes is drawn as, and their poses."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from bglab.synthetic.objects.creatures import gull, lizard, reef_fish, shark, snake, songbird, trout, turtle, wader
from bglab.synthetic.objects.insects import beetle, butterfly, dragonfly, ladybird
from bglab.synthetic.objects.mammals import ape, bear, big_cat, monkey, sitting_dog, standing_dog
from bglab.synthetic.objects.outlines import Drawing
from bglab.synthetic.objects.things import bus, car, drum, guitar, lorry, piano, violin


class Species(NamedTuple):
    """One kind of object.

    Attributes:
        draw: Draws one, facing right, with random proportions and colours.
        turns: Range of its rotation, in degrees clockwise.
        stands: Whether it belongs in the lower part of the image.
    """

    draw: Callable[[np.random.Generator], Drawing]
    turns: tuple[float, float]
    stands: bool

    @property
    def name(self) -> str:
        """Name in words, e.g. "big cat"."""
        return self.draw.__name__.replace("_", " ")


#: By label (`bglab.labels.IN9_NAMES`): dog, bird, vehicle, reptile, carnivore, insect, instrument, primate, fish.
SPECIES: tuple[tuple[Species, ...], ...] = (
    (Species(standing_dog, (-5, 5), stands=True), Species(sitting_dog, (-5, 5), stands=True)),
    (
        Species(songbird, (-8, 8), stands=False),
        Species(gull, (-20, 14), stands=False),
        Species(wader, (-4, 4), stands=True),
    ),
    (
        Species(car, (-3, 3), stands=True),
        Species(bus, (-2, 2), stands=True),
        Species(lorry, (-2, 2), stands=True),
    ),
    (
        Species(turtle, (-6, 6), stands=True),
        Species(lizard, (-15, 15), stands=True),
        Species(snake, (-8, 8), stands=True),
    ),
    (Species(bear, (-4, 4), stands=True), Species(big_cat, (-4, 4), stands=True)),
    (
        Species(ladybird, (-180, 180), stands=False),
        Species(beetle, (-180, 180), stands=False),
        Species(butterfly, (-180, 180), stands=False),
        Species(dragonfly, (-180, 180), stands=False),
    ),
    (
        Species(guitar, (20, 50), stands=True),
        Species(violin, (12, 45), stands=True),
        Species(drum, (-5, 5), stands=True),
        Species(piano, (-2, 2), stands=True),
    ),
    (Species(monkey, (-5, 5), stands=True), Species(ape, (-4, 4), stands=True)),
    (
        Species(reef_fish, (-18, 18), stands=False),
        Species(trout, (-18, 18), stands=False),
        Species(shark, (-12, 12), stands=False),
    ),
)
