"""``synthetic9``: rendered scenes of nine classes with exact masks and a known correlation of class and background.

The set has what no photograph has: a chosen correlation between class and background (``rho``), the true mask,
and the true background behind the object. The metrics are tested on it, and it is enough data to train on a
laptop. Each scene depends on the seed and its id only, and looks the same at any resolution.

``Scene.plate`` is the scenery without the object and its shadow. Only-BG-T of Noise or Signal (§2) has to
estimate what is behind the object by tiling a strip of the background; here it is known, so mixed variants use
clean plates. For the paper's construction, apply ``tile_box`` to ``image``.
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
from bglab.synthetic import SCENERIES, SPECIES, Cutout, Light, paint, place, shadow

#: Version of the pixels, to be raised when the same options give others; part of every fingerprint.
RENDERER = 1

#: Names of the sceneries; class k belongs in scenery k.
SCENERY_NAMES = tuple(scenery.name for scenery in SCENERIES)

_AT_MOST = 1_000_000
_MARGIN = 0.04
_RANGES = {"rho": (0, 1), "size": (32, 1024), "foreground": (0.05, 0.7), "contrast": (0, 2)}


@dataclass(frozen=True)
class Dials:
    """Parameters of the rendered scenes.

    Attributes:
        seed: Seed for everything that is drawn at random.
        rho: Probability in [0, 1] that a scene gets the scenery of its class; otherwise its scenery is drawn
            uniformly from all nine, including that of its class.
        size: Side of the images in pixels, 32 to 1024.
        foreground: Typical fraction of the image that the object's box covers, 0.05 to 0.7; single scenes vary
            by up to a third, and long objects are limited by the frame.
        contrast: Contrast of the object's colours about mid-grey, 0 to 2: 1 as drawn, 0 a flat grey silhouette.
            The scenery does not change, and the object's colours never depend on it.

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
    """What a scene shows, known without rendering it.

    Attributes:
        id: Id of the scene.
        label: Class, 0–8.
        scenery: Index of its scenery, 0–8; equal to the label if it is the scenery of its class.
        species: Kind of object, e.g. "big cat".
        mirrored: Whether the object faces left.
        turn: Rotation of the object in degrees, clockwise.
        share: Fraction of the image that its box should cover.
        at: Position of its box within the free space, each in [0, 1]; (0.5, 1) is the middle of the lower edge.
        light: Direction and warmth of the light.
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
    """Open a set of synthetic scenes, whose labels cycle through the nine classes.

    Args:
        path: Must be empty; there is nothing to read.
        uri: URI that names the set and its options.
        n: Number of scenes, 1 to 1,000,000.
        rho: Probability of the scenery of the scene's class; this and the options below are those of `Dials`.
        size: Side of the images in pixels.
        seed: Seed of the set.
        foreground: Typical fraction of the image that the object's box covers.
        contrast: Contrast of the object's colours.

    Raises:
        BadInput: If there is a path, or an option is not a number or out of range.

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
        credit="Rendered by bglab; without photographs or third-party rights.",
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
        seed: Seed of the set.
        index: Position in the set.
        rho: See `Dials`.
        size: Side in pixels.
        foreground: See `Dials`.
        contrast: See `Dials`.

    Raises:
        BadInput: If an option is out of range.

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
    """Describe a scene, above all its scenery, without rendering it.

    A classifier that predicts the index of the scenery relies on the background alone; on Mixed-Rand its
    accuracy must fall to chance, whatever its accuracy on the original images.

    Args:
        scene: Record of the set, or an id.
        seed: Seed of the set.
        rho: ``rho`` of the set; see `Dials`.
        foreground: ``foreground`` of the set; see `Dials`.

    Raises:
        BadInput: If the id is not that of a synthetic scene.

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
    # the scenery and the pose use different random numbers, so neither can depend on the other
    tied, other, *u = keyed_generator(seed, "synthetic9", name, "description").random(11).tolist()
    scenery = label if tied < rho else int(other * len(SCENERIES))
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
    """Draw a scene's object alone, with the exact coverage of every pixel.

    The scenery is not used: the object's colours are the same on any background.

    Args:
        described: Description of the scene.
        dials: Parameters of the set; ``rho`` does not matter.

    Example:
        >>> cutout = draw_object(describe("synthetic-000002"), Dials(size=64))
        >>> cutout.coverage.shape, float(cutout.coverage.max())
        ((64, 64), 1.0)
    """
    species = next(s for s in SPECIES[described.label] if s.name == described.species)
    rng = keyed_generator(dials.seed, "synthetic9", described.id, "object")
    phase = tuple(rng.random(2).tolist())
    drawing = species.draw(rng)
    pose = place(
        drawing,
        mirrored=described.mirrored,
        turn=described.turn,
        share=described.share,
        margin=_MARGIN,
        at=described.at,
    )
    return paint(drawing, pose, size=dials.size, light=described.light, phase=phase, contrast=dials.contrast)


def _read(record: SceneRecord, *, dials: Dials) -> Scene:
    return _render(record.id, dials)


def _render(name: str, dials: Dials) -> Scene:
    described = describe(name, seed=dials.seed, rho=dials.rho, foreground=dials.foreground)
    scenery = SCENERIES[described.scenery]
    # keyed by the scenery as well, so that a scene looks the same for every rho that leaves its scenery
    plate = scenery.paint(keyed_generator(dials.seed, "synthetic9", name, "plate", scenery.name), dials.size)
    planes = np.array(cv2.split(plate))
    cutout = draw_object(described, dials)
    shade = shadow(cutout.coverage, described.light, flat=scenery.flat, strength=scenery.shadow)
    behind = shade * (1 - cutout.coverage)
    image = np.rint(cutout.colors + planes * behind).astype(np.uint8)
    mask = cutout.coverage >= 0.5
    return Scene(name, described.label, OUTSIDE, image, mask, box_of(mask), planes)


def _id(index: int) -> str:
    return f"synthetic-{index:06d}"


def _name(settings: Mapping[str, float]) -> str:
    """Name a set by the settings that differ from their defaults."""
    defaults = {"n": 900, **asdict(Dials())}
    changed = [f"{name}={value}" for name, value in settings.items() if value != defaults[name]]
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
    """Return the error for an option that is not a number or out of range."""
    whole = {"n": f"from 1 to {_AT_MOST}", "seed": "like 0", "size": "from 32 to 1024 (pixels)"}
    low, high = _RANGES.get(option, (0, 0))
    wanted = f"a whole number {whole[option]}" if option in whole else f"a number from {low} to {high}"
    default = {"n": 900, **{field.name: field.default for field in fields(Dials)}}[option]
    return BadInput(
        f"expected option {option} of synthetic9 to be {wanted}, got '{value}'; write for example "
        f"synthetic9?{option}={default}"
    )
