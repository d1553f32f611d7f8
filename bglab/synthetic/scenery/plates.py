"""Plates: the backgrounds that cut-outs are pasted on, each a stack of painted bands, by habitat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import UInt8

from bglab.catalogue import Catalogue
from bglab.seeding import keyed_generator
from bglab.synthetic.scenery.brushes import to_image
from bglab.synthetic.scenery.paints import Paint, cloudy_sky, drapery, foliage, photo, receding, under_water
from bglab.synthetic.scenery.surfaces import ASPHALT, BOARDS, GRASS, LITTER, SEABED, SNOW, Surface

PlateRule = Literal["natural", "any", "drawn"]

#: Version of the plates' pixels, to be raised with every change of them; part of every fingerprint.
VERSION = 2

#: For each habitat, whether an object there hovers in the frame (true) or stands in its lower part.
HOVERS = Catalogue(
    "habitat",
    {
        "meadow": False,
        "forest": False,
        "savanna": False,
        "stones": False,
        "sand": False,
        "snow": False,
        "shore": False,
        "road": False,
        "paving": False,
        "stage": False,
        "sky": True,
        "treetops": True,
        "leaf": True,
        "underwater": True,
    },
)

#: Habitats in which a class is usually photographed, for cut-outs without habitats of their own.
HABITATS_BY_CLASS = Catalogue(
    "class",
    {
        "dog": ("meadow", "forest", "snow"),
        "bird": ("sky", "treetops"),
        "vehicle": ("road",),
        "reptile": ("stones", "sand"),
        "carnivore": ("forest", "savanna"),
        "insect": ("leaf",),
        "instrument": ("stage",),
        "primate": ("forest",),
        "fish": ("underwater",),
    },
)


@dataclass(frozen=True)
class Band:
    """One painted part of a plate, from its top edge down to the plate's lower edge.

    Attributes:
        paint: Paint that fills it.
        top: Range of the height of its top edge, as a fraction of the plate's height.
        fade: Height of the soft transition at its top, as a fraction of the plate's height.
    """

    paint: Paint
    top: tuple[float, float] = (0.0, 0.0)
    fade: float = 0.012


@dataclass(frozen=True)
class Plate:
    """A recipe for backgrounds.

    Attributes:
        habitats: Habitats that it can show.
        bands: Bands from the farthest to the nearest; each covers the ones before.
    """

    habitats: tuple[str, ...]
    bands: tuple[Band, ...]

    @property
    def is_drawn(self) -> bool:
        """Whether it needs no photograph."""
        return all(band.paint.is_drawn for band in self.bands)

    @property
    def hovers(self) -> bool:
        """Whether objects hover in it, rather than stand in its lower part."""
        return HOVERS[self.habitats[0]]


_FAIR = cloudy_sky((88, 140, 205), (196, 216, 232), 0.5)
_CLEAR = cloudy_sky((70, 128, 200), (178, 206, 230), 0.58)
_PALE = cloudy_sky((190, 203, 216), (226, 230, 234), 0.56)
_EVENING = cloudy_sky((96, 116, 158), (240, 196, 150), 0.54)
_GROVE = cloudy_sky((70, 128, 200), (178, 206, 230), 0.58, ((34, 62, 30), (104, 132, 62)))
_PARK = cloudy_sky((190, 203, 216), (226, 230, 234), 0.56, ((34, 62, 30), (104, 132, 62)))
_BUSH = cloudy_sky((190, 203, 216), (226, 230, 234), 0.56, ((104, 96, 56), (168, 150, 96)))

_CONIFERS = photo("foolbox", "imagenet_08_915.jpg", 0, 30, 512, 180)
_BANK = photo("foolbox", "imagenet_07_609.jpg", 0, 0, 512, 145)
_HILLS = photo("foolbox", "imagenet_06_609.jpg", 0, 15, 512, 134)
_LITTER = photo("foolbox", "imagenet_16_251.jpg", 150, 425, 425, 512)
_LAWN = photo("foolbox", "imagenet_05_853.jpg", 0, 320, 512, 512)
_SUNNY_LAWN = photo("foolbox", "imagenet_15_99.jpg", 0, 395, 205, 512)
_GRAVEL_TRACK = photo("foolbox", "imagenet_06_609.jpg", 0, 372, 512, 512)
_ROCKS = photo("foolbox", "imagenet_07_609.jpg", 0, 392, 512, 512)
_TABLE = photo("skimage", "coffee.png", 485, 130, 600, 400)
_PLASTER = photo("foolbox", "imagenet_09_455.jpg", 0, 0, 512, 68)
_BRICKS = photo("skimage", "brick.png", 0, 0, 512, 512, tint=((60, 30, 22), (232, 178, 150)))
_GRASS = photo("skimage", "grass.png", 0, 0, 512, 512, tint=((20, 38, 10), (176, 204, 112)))

_GREEN_GRASS = receding(Surface("grass", 2.0, 1.6), (102, 126, 64))
_DRY_GRASS = receding(Surface("grass", 2.0, 1.4), (160, 136, 88))
_GRIT = receding(Surface("gravel", 2.0, 1.5), (134, 130, 124))
_SAND = receding(Surface("cloud", 1.2, 0.3, "grain", 0.2), (214, 190, 142))
_WET_SAND = receding(Surface("cloud", 1.2, 0.3, "grain", 0.2), (168, 150, 122), rise=0.1)
_SNOW = receding(SNOW, (236, 241, 247))
_SEA = receding(Surface("ripple", 3.0, 0.5), (84, 122, 148))
_ASPHALT = receding(ASPHALT, (104, 104, 106), rise=0.1)
_TURF = receding(GRASS, (88, 126, 52))
_SOIL = receding(LITTER, (118, 90, 66))
_BOARDS = receding(BOARDS, (150, 100, 60), far=0.7, rise=0.04)
_SEABED = receding(SEABED, (132, 160, 152), far=0.8, rise=0.1)

_HORIZON = (0.40, 0.52)

PLATES = Catalogue(
    "plate",
    {
        "village": Plate(("meadow",), (Band(photo("foolbox", "imagenet_05_853.jpg", 0, 0, 512, 512)),)),
        "lawn": Plate(("meadow",), (Band(photo("foolbox", "imagenet_05_853.jpg", 0, 320, 190, 512)),)),
        "glade": Plate(("meadow", "forest"), (Band(_BANK), Band(_SUNNY_LAWN, (0.42, 0.5), fade=0.03))),
        "pasture": Plate(("meadow",), (Band(_FAIR), Band(_GREEN_GRASS, _HORIZON))),
        "clearing": Plate(("forest", "meadow"), (Band(_CONIFERS), Band(_LAWN, (0.5, 0.58), fade=0.02))),
        "turf": Plate(
            ("meadow",),
            (Band(_GROVE), Band(_TURF, (0.46, 0.54))),
        ),
        "wood": Plate(("forest",), (Band(_CONIFERS), Band(_LITTER, (0.56, 0.66), fade=0.1))),
        "slope": Plate(("forest",), (Band(_BANK), Band(_LITTER, (0.5, 0.6), fade=0.08))),
        "undergrowth": Plate(("forest",), (Band(foliage(0.02)), Band(_SOIL, (0.52, 0.6), fade=0.08))),
        "steppe": Plate(("savanna",), (Band(_EVENING), Band(_DRY_GRASS, _HORIZON, fade=0.02))),
        "dry_hills": Plate(("savanna", "stones"), (Band(_HILLS), Band(_DRY_GRASS, (0.42, 0.5)))),
        "parched": Plate(
            ("savanna",),
            (
                Band(_BUSH),
                Band(receding(GRASS, (196, 168, 108)), (0.44, 0.5)),
            ),
        ),
        "rocks": Plate(("stones",), (Band(_BANK), Band(_ROCKS, (0.42, 0.52), fade=0.05))),
        "pebbles": Plate(
            ("stones", "leaf"),
            (
                Band(photo("foolbox", "imagenet_19_305.jpg", 0, 0, 512, 140)),
                Band(photo("foolbox", "imagenet_19_305.jpg", 0, 385, 512, 512), (0.4, 0.5), fade=0.2),
            ),
        ),
        "scree": Plate(("stones",), (Band(_PALE), Band(_GRIT, (0.36, 0.46)))),
        "dunes": Plate(("sand",), (Band(_CLEAR), Band(_SAND, _HORIZON))),
        "desert": Plate(("sand", "stones"), (Band(_EVENING), Band(_SOIL, (0.44, 0.54)))),
        "snowfield": Plate(("snow",), (Band(_CLEAR), Band(_SNOW, _HORIZON, fade=0.02))),
        "winter_wood": Plate(("snow",), (Band(_CONIFERS), Band(_SNOW, (0.5, 0.58), fade=0.03))),
        "beach": Plate(
            ("shore", "sand"),
            (
                Band(_FAIR),
                Band(_SEA, (0.36, 0.42)),
                Band(_WET_SAND, (0.62, 0.70), fade=0.02),
            ),
        ),
        "lake": Plate(
            ("shore",),
            (
                Band(_CONIFERS),
                Band(_SEA, (0.42, 0.48), fade=0.02),
                Band(_GRIT, (0.66, 0.74), fade=0.02),
            ),
        ),
        "track": Plate(("road", "stones"), (Band(_HILLS), Band(_GRAVEL_TRACK, (0.44, 0.52), fade=0.02))),
        "wood_road": Plate(("road",), (Band(_BANK), Band(_ASPHALT, (0.5, 0.58)))),
        "highway": Plate(
            ("road",),
            (
                Band(_FAIR),
                Band(_TURF, (0.38, 0.44)),
                Band(_ASPHALT, (0.52, 0.58)),
            ),
        ),
        "alley": Plate(("paving",), (Band(_PLASTER), Band(_BRICKS, (0.5, 0.6)))),
        "pavement": Plate(("paving",), (Band(_BRICKS),)),
        "square": Plate(
            ("paving",),
            (Band(_PARK), Band(_ASPHALT, (0.5, 0.58))),
        ),
        "red_curtain": Plate(("stage",), (Band(drapery((150, 26, 34))), Band(_BOARDS, (0.76, 0.84)))),
        "dark_curtain": Plate(("stage",), (Band(drapery((52, 56, 80))), Band(_TABLE, (0.74, 0.82)))),
        "studio": Plate(("stage",), (Band(_PLASTER), Band(_TABLE, (0.72, 0.80)))),
        "table": Plate(("stage",), (Band(_TABLE),)),
        "grey_sky": Plate(("sky",), (Band(photo("foolbox", "imagenet_14_129.jpg", 0, 0, 512, 150)),)),
        "dusk": Plate(("sky",), (Band(photo("skimage", "rocket.jpg", 95, 0, 300, 120)),)),
        "fair_sky": Plate(("sky",), (Band(_FAIR),)),
        "evening_sky": Plate(("sky",), (Band(_EVENING),)),
        "haze": Plate(
            ("sky", "treetops"),
            (
                Band(photo("foolbox", "imagenet_17_22.jpg", 0, 0, 512, 112)),
                Band(photo("foolbox", "imagenet_17_22.jpg", 0, 392, 512, 512), (0.3, 0.4), fade=0.4),
            ),
        ),
        "conifers": Plate(("treetops",), (Band(photo("foolbox", "imagenet_08_915.jpg", 0, 0, 265, 265)),)),
        "thicket": Plate(("treetops",), (Band(_BANK),)),
        "blurred_foliage": Plate(("treetops", "leaf"), (Band(foliage(0.06)),)),
        "blade": Plate(("leaf",), (Band(photo("foolbox", "imagenet_18_317.jpg", 0, 0, 122, 512, blur=0.008)),)),
        "leaf": Plate(("leaf",), (Band(photo("foolbox", "imagenet_18_317.jpg", 395, 150, 512, 512, blur=0.008)),)),
        "grass": Plate(("leaf",), (Band(_GRASS),)),
        "reef": Plate(
            ("underwater",),
            (Band(under_water((96, 190, 216), (24, 92, 140))), Band(_SEABED, (0.72, 0.82), fade=0.12)),
        ),
        "open_sea": Plate(("underwater",), (Band(under_water((60, 150, 206), (8, 40, 96))),)),
        "lagoon": Plate(("underwater",), (Band(under_water((120, 206, 196), (28, 104, 112))),)),
    },
)


def choose_plate(rule: PlateRule, habitats: tuple[str, ...], rng: np.random.Generator) -> str:
    """Choose the plate of one scene.

    Args:
        rule: ``natural`` chooses among plates of the object's habitats, ``any`` among all plates, ``drawn`` is
            ``natural`` without photographs.
        habitats: Habitats of the object.
        rng: Generator for the choice.

    Example:
        >>> choose_plate("drawn", ("snow",), np.random.default_rng(0))
        'snowfield'
    """
    fitting = [
        name
        for name, plate in PLATES.items()
        if (rule == "any" or set(plate.habitats) & set(habitats)) and (rule != "drawn" or plate.is_drawn)
    ]
    return fitting[int(rng.integers(len(fitting)))]


def paint_plate(name: str, size: int, seed: int, key: str) -> UInt8[np.ndarray, "3 s s"]:
    """Paint a plate.

    Args:
        name: One of `PLATES`.
        size: Side in pixels.
        seed: Seed of the scene set.
        key: Key of the generator besides the seed, such as the scene's id; other keys give other variations.

    Raises:
        UnknownName: If there is no such plate.
        MissingData: If the plate needs a photograph whose package is not installed.

    Example:
        >>> paint_plate("dunes", 32, 0, "camel").shape
        (3, 32, 32)
    """
    rng = keyed_generator(seed, "cut-out plate", name, key)
    bands = PLATES[name].bands
    tops = [round(size * rng.uniform(*band.top)) for band in bands]
    fades = [max(1, round(band.fade * size)) for band in bands]
    tones = np.zeros((3, size, size), np.float32)
    for i, band in enumerate(bands):
        # a band is painted only as far as it shows, so that a narrow strip of a photograph shows whole
        hidden = [top + fade for top, fade in zip(tops[i + 1 :], fades[i + 1 :], strict=True)]
        rows = slice(tops[i], min(hidden, default=size))
        depth = np.arange(rows.stop - rows.start, dtype=np.float32)[:, None] + 0.5
        weight = np.clip(depth / fades[i], 0, 1) if band.top[1] > 0 else 1
        tones[:, rows] += weight * (band.paint.fill(rng, size, rows) - tones[:, rows])
    return np.ascontiguousarray(to_image(tones).transpose(2, 0, 1))
