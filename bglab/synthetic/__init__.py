"""The renderer behind the synthetic scenes and the scenery of the cut-outs: objects and the places they stand in."""

from bglab.synthetic.objects.painting import Cutout, Light, paint, place, shadow
from bglab.synthetic.objects.silhouettes import SPECIES
from bglab.synthetic.scenery.families import FAMILIES
from bglab.synthetic.scenery.plates import (
    HABITATS_BY_CLASS,
    HOVERS,
    PLATES,
    VERSION,
    PlateRule,
    choose_plate,
    paint_plate,
)

__all__ = [
    "Cutout",
    "FAMILIES",
    "HABITATS_BY_CLASS",
    "HOVERS",
    "Light",
    "PLATES",
    "PlateRule",
    "SPECIES",
    "VERSION",
    "choose_plate",
    "paint",
    "paint_plate",
    "place",
    "shadow",
]
