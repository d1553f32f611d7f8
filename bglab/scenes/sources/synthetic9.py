"""``synthetic9``: nine classes drawn by ourselves, with exact masks and a dial for background reliance.

The set has what no photograph can give: a known correlation between class and background (``rho``), a true
mask, and the true background behind the object. It is what every metric is checked against, and enough data
to train on a laptop. Each scene is drawn from its seed and id alone, so scene i never depends on the others,
and rendering at another resolution gives the same image.

``Scene.plate`` is the scenery itself, without the object and its shadow. Only-BG-T of Noise or Signal (§2)
has to guess what is behind the object by tiling a strip of background; here nothing needs to be guessed, so
mixed variants get clean plates on purpose. Only ``tile_box`` on ``image`` gives the papers' construction.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import NamedTuple

import cv2
import numpy as np

from bglab.errors import BadInput
from bglab.images import box_of
from bglab.labels import IN9_NAMES, OUTSIDE
from bglab.scenes.scene import Scene, SceneRecord, SceneSet
from bglab.seeding import digest, keyed_generator
from bglab.synthetic import FAMILIES, SPECIES, Cutout, Light, paint, place, shadow

#: Changes whenever the same options would give other pixels; part of every fingerprint.
RENDERER = 1

#: Names of the scenery families; family k is the home of class k.
SCENERY_NAMES = tuple(family.name for family in FAMILIES)

_AT_MOST = 1_000_000
_MARGIN = 0.04
_RANGES = {"rho": (0, 1), "size": (32, 1024), "foreground": (0.05, 0.7), "contrast": (0, 2)}


@dataclass(frozen=True)
class Dials:
    """What can be set about the scenes.

    Attributes:
        seed: Another seed gives other scenes.
        rho: Probability in [0, 1] that a scene gets its own class's scenery; otherwise the family is drawn
            uniformly from all nine, the own one included.
        size: Side of the images in pixels, 32 to 1024.
        foreground: Typical share of the image that the object's box covers, 0.05 to 0.7; single scenes vary
            by up to a third, and long objects stop where the frame does.
        contrast: Of the object's colours about mid-grey, 0 to 2: 1 as drawn, 0 a flat grey silhouette. The
            scenery is untouched, and the object's colours never depend on it.

    Raises:
        BadInput: If a value is out of its range.
    """

    seed: int = 0
    rho: float = 0.8
    size: int = 224
    foreground: float = 0.35
    contrast: float = 1.0

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise _unusable(name, getattr(self, name))


class Description(NamedTuple):
    """What is known of a scene without rendering it.

    Attributes:
        id: Of the scene.
        label: Its class, 0–8.
        scenery: Its scenery family, 0–8; equal to the label if the object is at home.
        species: What the class is drawn as, e.g. "big cat".
        mirrored: True if it faces left.
        turn: Degrees it is turned, clockwise.
        share: Part of the image its box is meant to cover.
        at: Where its box lies in the free room, each in [0, 1]; (0.5, 1) is the middle of the lower edge.
        light: Direction of the light and its warmth.
    """

    id: str
    label: int
    scenery: int
    species: str
    mirrored: bool
    turn: float
    share: float
    at: tuple[float, float]
    light: Light


def open_source(
    path: str = "",
    *,
    uri: str,
    n: str | int = 900,
    rho: str | float = Dials.rho,
    size: str | int = Dials.size,
    seed: str | int = Dials.seed,
    foreground: str | float = Dials.foreground,
    contrast: str | float = Dials.contrast,
) -> SceneSet:
    """Open so many synthetic scenes, the nine classes in turn; see `Dials` for the options.

    Args:
        path: Must be empty; there is nothing to read.
        uri: What was asked for.
        n: Number of scenes.
        rho: Share of scenes tied to their own scenery, 0–1.
        size: Side in pixels.
        seed: Any whole number.
        foreground: Typical share of the image that the object's box covers.
        contrast: Of the object's colours.

    Raises:
        BadInput: If an option is no number or out of range.

    Example:
        >>> scenes = open_source(uri="synthetic9?n=18&size=64", n="18", size="64")
        >>> scenes
        SceneSet(synthetic9:n=18,size=64: 18 scenes in 9 classes)
        >>> scenes[4].image.shape, scenes[4].label
        ((3, 64, 64), 4)
    """
    if path:
        raise BadInput(
            f"expected no path after synthetic9, whose scenes are drawn and not read, got '{path}'; "
            "write options after a question mark, like synthetic9?n=900&size=64"
        )
    count = _whole("n", n)
    if not 1 <= count <= _AT_MOST:
        raise _unusable("n", n)
    dials = Dials(
        seed=_whole("seed", seed),
        rho=_number("rho", rho),
        size=_whole("size", size),
        foreground=_number("foreground", foreground),
        contrast=_number("contrast", contrast),
    )
    settings = {"n": count, **asdict(dials)}
    return SceneSet(
        uri=uri,
        name=_name(settings),
        space="in9",
        classes=IN9_NAMES,
        records=tuple(SceneRecord(_id(index), index % len(IN9_NAMES)) for index in range(count)),
        read=functools.partial(_read, dials=dials),
        fingerprint=digest(["synthetic9", f"renderer={RENDERER}", *(f"{k}={v!r}" for k, v in settings.items())]),
        crop_fraction=1.0,
        credit="Drawn by bglab itself; no photograph and nobody's rights involved.",
    )


def render_scene(
    seed: int,
    index: int,
    *,
    rho: float = Dials.rho,
    size: int = Dials.size,
    foreground: float = Dials.foreground,
    contrast: float = Dials.contrast,
) -> Scene:
    """Render one scene; its class is ``index % 9``.

    Args:
        seed: Of the set.
        index: Position in the set.
        rho: See `Dials`.
        size: Side in pixels.
        foreground: See `Dials`.
        contrast: See `Dials`.

    Example:
        >>> render_scene(0, 3, size=48).image.shape
        (3, 48, 48)
    """
    return _render(_id(index), Dials(seed, rho, size, foreground, contrast))


def describe(
    scene: SceneRecord | str,
    *,
    seed: int = Dials.seed,
    rho: float = Dials.rho,
    foreground: float = Dials.foreground,
) -> Description:
    """Tell what a scene shows without rendering it: its scenery above all.

    A classifier that answers with the scenery's family is the perfect background reader; on Mixed-Rand it
    must fall to chance, whatever it scores on the original images.

    Args:
        scene: A record of the set, or an id.
        seed: Of the set; ``rho`` and ``foreground`` likewise.
        rho: See `Dials`.
        foreground: See `Dials`.

    Raises:
        BadInput: If the id is not of this set.

    Example:
        >>> described = describe("synthetic-000004", rho=1.0)
        >>> described.label, SCENERY_NAMES[described.scenery]
        (4, 'forest')
    """
    name = scene if isinstance(scene, str) else scene.id
    prefix, _, number = name.partition("-")
    if prefix != "synthetic" or not (number.isdecimal() and number.isascii() and len(number) == 6):
        raise BadInput(f"expected the id of a synthetic scene, like synthetic-000004, got '{name}'; see scenes.ids")
    label = int(number) % len(IN9_NAMES)
    # the family and the pose take numbers of their own, so neither can depend on the other
    tied, other, *u = keyed_generator(seed, "synthetic9", name, "description").random(11).tolist()
    scenery = label if tied < rho else int(other * len(FAMILIES))
    species = SPECIES[label][int(u[0] * len(SPECIES[label]))]
    share = foreground * math.exp(0.6 * u[1] - 0.3)
    low, high = _RANGES["foreground"]
    return Description(
        id=name,
        label=label,
        scenery=scenery,
        species=species.name,
        mirrored=bool(u[2] < 0.5),
        turn=species.turns[0] + (species.turns[1] - species.turns[0]) * float(u[3]),
        share=min(max(share, low), high),
        at=(float(u[4]), float(0.7 + 0.3 * u[5] if species.stands else 0.15 + 0.7 * u[5])),
        light=Light(x=float(1.8 * u[6] - 0.9), y=float(-0.9 + 0.5 * u[7]), warmth=float(2 * u[8] - 1)),
    )


def draw_object(described: Description, dials: Dials) -> Cutout:
    """Draw a scene's object alone, with the true coverage of every pixel.

    Nothing of the scenery enters here: the object's colours are the same before any background.

    Args:
        described: Of the scene.
        dials: Of the set; ``rho`` does not matter.

    Example:
        >>> cutout = draw_object(describe("synthetic-000002"), Dials(size=64))
        >>> cutout.coverage.shape, float(cutout.coverage.max())
        ((64, 64), 1.0)
    """
    species = next(s for s in SPECIES[described.label] if s.name == described.species)
    rng = keyed_generator(dials.seed, "synthetic9", described.id, "object")
    phase = tuple(rng.random(2).tolist())
    drawing = species.draw(rng)
    placement = place(
        drawing,
        mirrored=described.mirrored,
        turn=described.turn,
        share=described.share,
        margin=_MARGIN,
        at=described.at,
    )
    return paint(drawing, placement, size=dials.size, light=described.light, phase=phase, contrast=dials.contrast)


def _read(record: SceneRecord, *, dials: Dials) -> Scene:
    return _render(record.id, dials)


def _render(name: str, dials: Dials) -> Scene:
    described = describe(name, seed=dials.seed, rho=dials.rho, foreground=dials.foreground)
    family = FAMILIES[described.scenery]
    # keyed by the family as well, so that a scene keeps its scenery for every rho that leaves it there
    plate = family.paint(keyed_generator(dials.seed, "synthetic9", name, "plate", family.name), dials.size)
    planes = np.array(cv2.split(plate))
    cutout = draw_object(described, dials)
    shade = shadow(cutout.coverage, described.light, flat=family.flat, strength=family.shadow)
    behind = shade * (1 - cutout.coverage)
    image = np.rint(cutout.colors + planes * behind).astype(np.uint8)
    mask = cutout.coverage >= 0.5
    return Scene(name, described.label, OUTSIDE, image, mask, box_of(mask), planes)


def _id(index: int) -> str:
    return f"synthetic-{index:06d}"


def _name(settings: Mapping[str, float]) -> str:
    """Name a set by the settings that are not the usual ones."""
    usual = {"n": 900, **asdict(Dials())}
    changed = [f"{name}={value}" for name, value in settings.items() if value != usual[name]]
    return f"synthetic9:{','.join(changed)}" if changed else "synthetic9"


def _whole(option: str, value: str | float) -> int:
    try:
        number = int(value)
    except (ValueError, OverflowError):
        raise _unusable(option, value) from None
    if number != float(value):
        raise _unusable(option, value)
    return number


def _number(option: str, value: str | float) -> float:
    try:
        return float(value)
    except ValueError:
        raise _unusable(option, value) from None


def _unusable(option: str, value: str | float) -> BadInput:
    """Write the error for an option that is no number or out of its range."""
    whole = {"n": f"from 1 to {_AT_MOST}", "seed": "like 0", "size": "from 32 to 1024 (pixels)"}
    low, high = _RANGES.get(option, (0, 0))
    wanted = f"a whole number {whole[option]}" if option in whole else f"a number from {low} to {high}"
    usual = {"n": 900, **{field.name: field.default for field in fields(Dials)}}[option]
    return BadInput(
        f"expected option {option} of synthetic9 to be {wanted}, got '{value}'; write for example "
        f"synthetic9?{option}={usual}"
    )
