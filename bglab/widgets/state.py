"""The state of an explorer as a value: one validated field per control."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, NamedTuple

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.images import FAMILIES
from bglab.variants import VARIANTS, Adjustment, GivenImage, Noise, Plain, Texture, Variant, given


class Range(NamedTuple):
    """Range, step, label and unit of a slider."""

    low: float
    high: float
    step: float
    label: str
    unit: str = ""


#: Every slider by the field that it sets; the browser draws the sliders from this table.
SLIDERS = {
    "mix": Range(0.0, 1.0, 0.01, "Mix", "%"),
    "background_blur": Range(0.0, 10.0, 0.1, "Background blur", "px"),
    "brightness": Range(0.2, 1.8, 0.01, "Background brightness", "%"),
    "feather": Range(0.0, 6.0, 0.1, "Feather edge", "px"),
    "grow": Range(-10, 10, 1, "Grow mask", "px"),
    "dx": Range(-1.0, 1.0, 0.005, "Move right", "%"),
    "dy": Range(-1.0, 1.0, 0.005, "Move down", "%"),
    "scale": Range(0.2, 3.0, 0.01, "Scale", "%"),
    "saliency_opacity": Range(0.0, 1.0, 0.01, "Saliency opacity", "%"),
}

#: Classes that a saliency map may explain.
TARGETS = ("predicted", "true", "background")
NOISES = ("gaussian", "uniform")
#: Kinds of background; it is written as the kind, and after a colon which one of the kind.
KINDS = ("own", "scene", "variant", "colour", "texture", "noise", "image")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class State:
    """All settings of an explorer.

    Attributes:
        scene: Id of the image.
        background: ``own``, ``scene:ID``, ``variant:NAME``, ``colour:#rrggbb``, ``texture:FAMILY``,
            ``noise:gaussian``, ``noise:uniform`` or ``image:NAME``.
        mix: Share of the change that is shown, from 0 (the photograph) to 1; see `bglab.variants.Adjustment` for this
            and all fields up to ``flip``.
        saliency_opacity: Opacity of the Grad-CAM overlay, from 0 (hidden) to 1.
        target: Class that the overlay explains: ``predicted``, ``true`` or ``background``.
        model: Position of the classifier whose overlay is shown.
    """

    scene: str
    background: str = "own"
    mix: float = 1.0
    background_blur: float = 0.0
    brightness: float = 1.0
    feather: float = 0.0
    grow: int = 0
    dx: float = 0.0
    dy: float = 0.0
    scale: float = 1.0
    flip: bool = False
    saliency_opacity: float = 0.0
    target: str = "predicted"
    model: int = 0

    def __post_init__(self) -> None:
        for name, slider in SLIDERS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not slider.low <= value <= slider.high:
                raise BadInput(f"expected {name} between {slider.low:g} and {slider.high:g}, got {value!r:.60}")
        if not isinstance(self.grow, int):
            raise BadInput(f"expected grow in whole pixels, got {self.grow!r}")
        for name in ("scene", "background", "target"):
            if not isinstance(getattr(self, name), str):
                raise BadInput(f"expected {name} as text, got {getattr(self, name)!r:.60}")
        if not isinstance(self.flip, bool):
            raise BadInput(f"expected flip to be True or False, got {self.flip!r:.60}")
        if self.target not in TARGETS:
            raise UnknownName(unknown_name("saliency target", self.target, TARGETS))
        if isinstance(self.model, bool) or not isinstance(self.model, int) or self.model < 0:
            raise BadInput(f"expected model to be the position of a classifier, from 0 on, got {self.model!r}")
        kind, _, rest = self.background.partition(":")
        _check_background(kind, rest, self.background)

    @property
    def adjustment(self) -> Adjustment:
        """The changes to mask, placement and background, without the choice of scene and background."""
        return Adjustment(**{name: getattr(self, name) for name in Adjustment._fields})

    @property
    def changed(self) -> dict[str, Any]:
        """The scene, and all fields that differ from their defaults."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def but(self, changes: Mapping[str, Any]) -> State:
        """Return a copy of the state with some fields changed.

        Raises:
            UnknownName: If there is no such field; the message lists all.
            BadInput: If a value is out of range.
        """
        for name in changes:
            if name not in FIELDS:
                raise UnknownName(unknown_name("setting of the explorer", name, FIELDS))
        return State(**(asdict(self) | dict(changes)))


#: Names of all settings, in the order of the class.
FIELDS = tuple(f.name for f in fields(State))


def base_variant(background: str, images: Mapping[str, GivenImage]) -> Variant:
    """Turn a background into a variant, before any adjustment.

    Args:
        background: Background as written in `State.background`.
        images: Uploaded backgrounds by name.

    Raises:
        UnknownName: If there is no such uploaded background.
    """
    kind, _, rest = background.partition(":")
    if kind == "own":
        return VARIANTS["original"]
    if kind == "variant":
        return VARIANTS[rest]
    if kind == "scene":
        return given(rest, name=f"given_{rest}")
    if kind == "image":
        if rest not in images:
            raise UnknownName(unknown_name("uploaded background", rest, list(images)))
        return given(images[rest], name=f"given_{rest}")
    if kind == "colour":
        red, green, blue = bytes.fromhex(rest.removeprefix("#"))
        return given(Plain((red, green, blue)), name=f"given_{rest.removeprefix('#').lower()}")
    if kind == "texture":
        return given(Texture(rest), name=f"given_{rest}")
    return given(Noise("uniform" if rest == "uniform" else "gaussian"), name=f"given_{rest}_noise")


def _check_background(kind: str, rest: str, written: str) -> None:
    """Refuse a background that is not well formed.

    Raises:
        UnknownName: If the kind, variant, texture family or noise is unknown.
        BadInput: If a colour is malformed, or a name is missing.
    """
    if kind not in KINDS:
        raise UnknownName(unknown_name("kind of background", kind, KINDS))
    known = {"variant": list(VARIANTS), "texture": list(FAMILIES), "noise": NOISES}
    if kind in known and rest not in known[kind]:
        raise UnknownName(unknown_name({"texture": "texture family"}.get(kind, kind), rest, known[kind]))
    if kind == "colour" and not _COLOUR.fullmatch(rest):
        raise BadInput(f"expected a colour such as colour:#3366cc, got '{written}'")
    if kind in {"scene", "image"} and not rest:
        raise BadInput(f"expected the id of a {kind} after '{kind}:', got '{written}'")
