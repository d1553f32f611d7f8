"""The renderer: objects of the nine classes, sceneries behind them, and the plates of cut-outs, drawn from seeds.

Only the sources ``synthetic9`` and ``cutouts`` of `bglab.scenes` use it, through the names below.
"""

from bglab.synthetic.objects.painting import Cutout, Light, paint, place, shadow
from bglab.synthetic.objects.silhouettes import SPECIES
from bglab.synthetic.scenery.plates import (
    HABITATS_BY_CLASS,
    HOVERS,
    PLATES,
    VERSION,
    PlateRule,
    choose_plate,
    paint_plate,
)
from bglab.synthetic.scenery.sceneries import SCENERIES

__all__ = [
    "Cutout",
    "SCENERIES",
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
