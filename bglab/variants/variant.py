"""The variants of both papers, each a foreground rule, a background rule and a donor rule."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from bglab.catalogue import Catalogue
from bglab.errors import BadInput
from bglab.images import composite
from bglab.names import display_name
from bglab.seeding import keyed_generator
from bglab.variants.rules import (
    BLACK,
    WHITE,
    Absent,
    Background,
    Blurred,
    BoxFilled,
    Draw,
    Foreground,
    GivenImage,
    Keep,
    Noise,
    NoisyBackground,
    NoisyForeground,
    Own,
    Patch,
    Plain,
    Region,
    SceneBatch,
    Texture,
    Tiled,
)

if TYPE_CHECKING:
    import pandas as pd

DonorRule = Literal["none", "self", "same_class", "any_class", "next_class", "given"]


@dataclass(frozen=True)
class Variant:
    """A modification of a scene's foreground or background.

    Attributes:
        name: Name in commands and result tables.
        foreground: Rule for the foreground.
        background: Rule for the background.
        donor: Rule for the scene that provides the background: ``none``; ``self``; ``same_class`` (another scene of
            the class); ``any_class`` (a class drawn uniformly from all, including the scene's own, then a scene of
            it); ``next_class`` (the next class in folder order that has scenes); ``given`` (``donor_scene``).
        place: Paper and table or figure that define the variant.
        donor_scene: Id of the donor with the rule ``given``.
        drawn_as: Name that seeds donors, textures and noise, so that an adjusted variant has the same ones as the
            variant it is made from; "" uses ``name``.
        is_full: Whether its paper makes it from the photograph at full resolution, before the network's resize and
            crop, which is then the default for scenes with photographs.
    """

    name: str
    foreground: Foreground
    background: Background
    donor: DonorRule = "none"
    place: str = ""
    donor_scene: str = ""
    drawn_as: str = ""
    is_full: bool = field(default=False, repr=False)  # decides where, not how, pixels are made

    @property
    def title(self) -> str:
        """Name as printed in the papers."""
        return display_name(self.name)

    @property
    def is_untouched(self) -> bool:
        """Whether it shows the unmodified photograph, as Original does."""
        return isinstance(self.foreground, Keep) and isinstance(self.background, Own)

    @property
    def needs_mask(self) -> bool:
        """Whether making it takes the mask, the box or the background of a scene; Original needs none of them.

        Example:
            >>> [name for name, variant in VARIANTS.items() if not variant.needs_mask]
            ['original']
        """
        if self.is_untouched:
            return False
        return self.donor != "none" or self.foreground.needs_mask or self.background.needs_mask


def _nos(place: str) -> str:
    return f"Noise or Signal, {place}"


def _tbc(place: str) -> str:
    return f"Time for a Background Check!, {place}"


_KEEP, _OWN, _TILED = Keep(), Own(), Tiled()

_NOISE_OR_SIGNAL = (
    Variant("original", _KEEP, _OWN, place=_nos("Table 1")),
    Variant("only_bg_b", Absent(), BoxFilled(BLACK), place=_nos("Table 1")),
    Variant("only_bg_t", Absent(), _TILED, "self", _nos("Table 1")),
    Variant("no_fg", Patch(BLACK), _OWN, place=_nos("Table 1")),
    Variant("only_fg", _KEEP, Plain(BLACK), place=_nos("Table 1")),
    Variant("mixed_same", _KEEP, _TILED, "same_class", _nos("Table 1")),
    Variant("mixed_rand", _KEEP, _TILED, "any_class", _nos("Table 1")),
    Variant("mixed_next", _KEEP, _TILED, "next_class", _nos("Table 1")),
    Variant("bg_blurred", _KEEP, Blurred(), place=_nos("Figure 13")),
)

_WHITENED = (
    Variant("white_fg", Patch(WHITE, "box"), _OWN, place=_tbc("Figure 1"), is_full=True),
    Variant("white_fg_mask", Patch(WHITE, "mask"), _OWN, place="the same by mask", is_full=True),
)

_PLATES: dict[str, Background] = {
    "on_white": Plain(WHITE),
    "on_texture": Texture(),
    "on_gaussian_noise": Noise("gaussian"),
    "on_uniform_noise": Noise("uniform"),
    "on_green": Plain((0, 128, 0)),
    "on_yellow": Plain((255, 255, 0)),
    "on_grey": Plain((128, 128, 128)),
}

_REGIONS: dict[str, Region] = {"": "box", "_mask": "mask"}

_ON_PLATES = tuple(
    # the paper cuts out the annotated box; the suffix _mask tells the results of the additional option apart
    Variant(name + suffix, Keep(region), plate, place=_tbc("Figure 4") if region == "box" else "by mask", is_full=True)
    for suffix, region in _REGIONS.items()
    for name, plate in _PLATES.items()
)

_CONTROLS = (
    Variant("core_noise", NoisyForeground(), _OWN, place="RFS, Moayeri et al. 2022"),
    Variant("spurious_noise", _KEEP, NoisyBackground(), place="RFS, Moayeri et al. 2022"),
    Variant("on_own_tiled", _KEEP, _TILED, "self", "control for cut-and-paste artefacts"),
)

#: All variants by name. A new one is a new row in this file.
VARIANTS: Catalogue[Variant] = Catalogue(
    "variant", {v.name: v for v in (*_NOISE_OR_SIGNAL, *_WHITENED, *_ON_PLATES, *_CONTROLS)}
)

#: The eight sub-data-sets of Noise or Signal, in the order of its Table 1.
IN9_VARIANTS = tuple(v.name for v in _NOISE_OR_SIGNAL if v.name != "bg_blurred")


def given(
    background: Background | str | UInt8[Tensor, "3 h w"],
    *,
    foreground: Foreground = _KEEP,
    name: str = "given",
) -> Variant:
    """Make a variant with a given background.

    Args:
        background: A rule (``Plain(…)``), the id of a scene whose tiled background is used, or an RGB image, 0-255.
        foreground: Rule for the foreground; by default the object, cut out by its mask.
        name: Name in result tables.

    Example:
        >>> given("n02090379_1168").donor
        'given'
    """
    if isinstance(background, str):
        return Variant(name, foreground, Tiled(), "given", donor_scene=background)
    if isinstance(background, Background):
        return Variant(name, foreground, background)
    return Variant(name, foreground, GivenImage(background))


def find_variant(variant: str | Variant) -> Variant:
    """Return the variant of a name; variants are returned unchanged.

    Raises:
        UnknownName: If there is no such variant; the message suggests the nearest name.
    """
    return VARIANTS[variant] if isinstance(variant, str) else variant


def render(
    variant: Variant, scenes: SceneBatch, donors: SceneBatch | None = None, *, seed: int = 0
) -> UInt8[Tensor, "n 3 h w"]:
    """Render a variant of some scenes; all rendering goes through this function.

    Args:
        variant: Variant to render.
        scenes: Scenes that provide the foregrounds.
        donors: Scenes that provide the backgrounds, row by row; None for variants without donors.
        seed: Seed of textures and noise.

    Returns:
        RGB images, 0-255, of the same size and on the same device as the scenes.
    """
    key = Draw(seed, variant.drawn_as or variant.name)
    colours, alpha = variant.foreground.draw(scenes, key)
    plates = variant.background.plate(scenes, donors, key)
    return composite(colours, plates, alpha).expand_as(scenes.images)


def pair_donors(
    variant: Variant,
    ids: Sequence[str],
    labels: Int[np.ndarray, " n"],
    lends: Bool[np.ndarray, " n"],
    *,
    seed: int = 0,
) -> Int[np.ndarray, " n"]:
    """Choose the donor of each scene's background.

    The draw of a scene is seeded by (seed, variant, scene id) and candidates are sorted by id, so it does not depend on
    the order of the set.

    Args:
        variant: Variant whose donor rule is used.
        ids: Scene ids, in the order of the set.
        labels: Labels of the scenes.
        lends: Whether each scene has a background that it can provide.
        seed: Seed of the draw.

    Returns:
        Positions of the donors; -1 for scenes without one. Variants of the donor rule ``none`` give each scene's own
        position.

    Raises:
        BadInput: If a given donor is not in the set, or has no background.
    """
    if variant.donor in {"none", "self"}:
        own = np.arange(len(ids))
        return own if variant.donor == "none" else np.where(lends, own, -1)
    if variant.donor == "given":
        return np.full(len(ids), _given_position(variant, ids, lends))
    pools: dict[int, list[int]] = {}
    for position in sorted(np.flatnonzero(lends).tolist(), key=lambda i: ids[i]):
        pools.setdefault(int(labels[position]), []).append(int(position))
    classes = sorted(pools)
    return np.array([_draw_donor(variant, i, ids[i], int(labels[i]), pools, classes, seed) for i in range(len(ids))])


def _draw_donor(
    variant: Variant,
    own: int,
    scene: str,
    label: int,
    pools: dict[int, list[int]],
    classes: list[int],
    seed: int,
) -> int:
    """Draw the donor of one scene, skipping classes without a candidate; -1 if no class has one."""
    rng = keyed_generator(seed, "donor", variant.drawn_as or variant.name, scene)
    if variant.donor == "next_class":
        following = [c for c in classes if c > label] + [c for c in classes if c < label]
        order = following[:1]
    elif variant.donor == "same_class":
        order = [label]
    else:
        order = [classes[i] for i in rng.permutation(len(classes))]
    for chosen in order:
        candidates = [i for i in pools.get(chosen, []) if i != own]
        if candidates:
            return candidates[int(rng.integers(len(candidates)))]
    return -1


def _given_position(variant: Variant, ids: Sequence[str], lends: Bool[np.ndarray, " n"]) -> int:
    if variant.donor_scene not in ids:
        near = ", ".join(list(ids)[:5])
        raise BadInput(f"expected a scene of the set to lend its background, got '{variant.donor_scene}'; try {near}")
    position = list(ids).index(variant.donor_scene)
    if not lends[position]:
        raise BadInput(f"scene {variant.donor_scene} has no background to lend (its box covers it); choose another")
    return position


def at_strength(variant: Variant, sigma: float) -> Variant:
    """Return a variant with another strength of noise or blur, with the strength in its name.

    Args:
        variant: Variant whose foreground or background rule has a ``sigma``.
        sigma: Standard deviation, in grey levels for noise and in pixels for blur.

    Raises:
        BadInput: If the variant has neither noise nor blur.

    Example:
        >>> at_strength(VARIANTS["core_noise"], 32).name
        'core_noise_32'
    """
    name = f"{variant.name}_{sigma:g}"
    if isinstance(variant.foreground, NoisyForeground):
        return replace(variant, name=name, foreground=replace(variant.foreground, sigma=sigma))
    if isinstance(variant.background, NoisyBackground | Blurred | Noise):
        return replace(variant, name=name, background=replace(variant.background, sigma=sigma))
    raise BadInput(f"expected a variant with noise or blur, got '{variant.name}'; choose core_noise or bg_blurred")


_DONORS = {
    "none": "",
    "self": "the image itself",
    "same_class": "another image of the same class",
    "any_class": "an image of any class",
    "next_class": "an image of the next class",
    "given": "a chosen image",
}


def variant_table(names: Sequence[str] = IN9_VARIANTS) -> pd.DataFrame:
    """Tabulate how variants are made, as in Noise or Signal, Table 1.

    Args:
        names: Names out of `VARIANTS`.

    Returns:
        Columns ``[Variant, Foreground, Background, Background from, Defined in]``.

    Example:
        >>> variant_table(["no_fg"]).iloc[0].tolist()
        ['No-FG', 'painted black, by its mask', 'as photographed', '', 'Noise or Signal, Table 1']
    """
    import pandas as pd

    rows = [
        (variant.title, variant.foreground.text, variant.background.text, _DONORS[variant.donor], variant.place)
        for variant in (VARIANTS[name] for name in names)
    ]
    return pd.DataFrame(rows, columns=["Variant", "Foreground", "Background", "Background from", "Defined in"])
