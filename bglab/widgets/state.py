"""What an explorer shows, as a value: one field a control, checked, and written as code."""

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
    """What a slider allows, and what its unit is called."""

    low: float
    high: float
    step: float
    label: str
    unit: str = ""


#: Every slider by its field; the browser draws them from this table.
SLIDERS = {
    "mix": Range(0.0, 1.0, 0.01, "Mix", "%"),
    "background_blur": Range(0.0, 10.0, 0.1, "Background blur", "px"),
    "brightness": Range(0.2, 1.8, 0.01, "Background brightness", "%"),
    "feather": Range(0.0, 6.0, 0.1, "Feather", "px"),
    "grow": Range(-10, 10, 1, "Grow mask", "px"),
    "dx": Range(-1.0, 1.0, 0.005, "Move right", "%"),
    "dy": Range(-1.0, 1.0, 0.005, "Move down", "%"),
    "scale": Range(0.2, 3.0, 0.01, "Scale", "%"),
    "saliency_opacity": Range(0.0, 1.0, 0.01, "Saliency", "%"),
}

#: What the class score behind a saliency map may be.
TARGETS = ("predicted", "true", "background")
NOISES = ("gaussian", "uniform")
#: How a background is written: a kind, and which one of it.
KINDS = ("own", "scene", "variant", "colour", "texture", "noise", "image")
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")


@dataclass(frozen=True)
class State:
    """Everything that is chosen in an explorer.

    Attributes:
        scene: Id of the image.
        background: ``own``, ``scene:ID``, ``variant:NAME``, ``colour:#rrggbb``, ``texture:FAMILY``,
            ``noise:gaussian``, ``noise:uniform`` or ``image:NAME``.
        mix: See `bglab.variants.Adjustment`, as for all fields up to ``flip``.
        saliency_opacity: Of the Grad-CAM overlay; 0 hides it.
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
                raise BadInput(f"expected {name} between {slider.low:g} and {slider.high:g}, got {value!r}")
        if self.target not in TARGETS:
            raise UnknownName(unknown_name("saliency target", self.target, TARGETS))
        if isinstance(self.model, bool) or not isinstance(self.model, int) or self.model < 0:
            raise BadInput(f"expected model to be the position of a classifier, from 0 on, got {self.model!r}")
        kind, _, rest = self.background.partition(":")
        _check_background(kind, rest, self.background)

    @property
    def adjustment(self) -> Adjustment:
        """Give the part that changes pixels beside the choice of scene and background."""
        return Adjustment(**{name: getattr(self, name) for name in Adjustment._fields})

    @property
    def changed(self) -> dict[str, Any]:
        """Give the fields that differ from their defaults, and the scene."""
        return {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}

    def but(self, changes: Mapping[str, Any]) -> State:
        """Give the state with some fields changed.

        Raises:
            UnknownName: If one of them is no field; the message lists all.
            BadInput: If a value is out of its range.
        """
        for name in changes:
            if name not in FIELDS:
                raise UnknownName(unknown_name("setting of the explorer", name, FIELDS))
        return State(**(asdict(self) | dict(changes)))


#: Names of all settings, in the order of the class.
FIELDS = tuple(f.name for f in fields(State))


def base_variant(background: str, images: Mapping[str, GivenImage]) -> Variant:
    """Turn a background as it is written into a variant, before anything is adjusted by hand.

    Args:
        background: As in `State.background`.
        images: Uploaded backgrounds by name.

    Raises:
        UnknownName: If it names an image that is not there.
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
    """Refuse a background that cannot be meant.

    Raises:
        UnknownName: If kind, variant, texture family or noise are unknown.
        BadInput: If a colour is none, or a name is missing.
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
