"""Scenes at full resolution, the protocol of Time for a Background Check!: settings, scenes and variants.

The paper changes backgrounds on the original image, before the evaluation transform of each network (`stream`).
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.images import EvaluationTransform, Plates, open_plates
from bglab.names import draw_name, split_draw
from bglab.scenes import AreaCensus, SceneRecord, SceneSet, area_census, open_by_box, open_scenes, stored_scenes
from bglab.seeding import digest, keyed_generator
from bglab.variants.rules import (
    Absent,
    Background,
    Draw,
    Keep,
    Patch,
    Region,
    SceneBatch,
    Texture,
)
from bglab.variants.variant import VARIANTS, Variant

#: Incremented whenever the pixels of streamed variants change.
_VERSION = 1

#: Number of scenes whose backgrounds serve as plates of ``on_scenes``.
_LENT = 64


@dataclass(frozen=True)
class StreamSettings:
    """Options of the full-resolution protocol; the defaults are the paper's where it states them.

    Attributes:
        seed: Seed of textures, noise and other random draws.
        draws: Number of draws of each random variant (the paper averages three runs for Caltech101).
        smallest: Minimum fraction of the image that a foreground covers (section 3: 5 %).
        largest: Maximum fraction of the image that a foreground covers (section 3: 70 %).
        textures: Source of the plates of ``on_texture``, see `bglab.images.open_plates`.
        backdrops: Source of the plates of ``on_scenes``: ``own`` tiles the backgrounds of other scenes of the set,
            ``folder:PATH`` reads photographs of places.
        workers: Number of decoding threads; 0 is one per CPU core.
        keep_crops: Whether to cache finished crops under the data folder, so that the next network with the same
            transform decodes nothing. They take 150 kB per image and variant at 224 pixels.
    """

    seed: int = 0
    draws: int = 3
    smallest: float = 0.05
    largest: float = 0.70
    textures: str = "procedural"
    backdrops: str = "own"
    workers: int = 0
    keep_crops: bool = False


@final
@dataclass(frozen=True)
class Backdrop(Background):
    """A photograph of a place, drawn while streaming."""

    wording = "a photograph of a place"
    is_random = True

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Raise, since plates of the photographs' sizes are available only while streaming.

        Raises:
            BadInput: Always.
        """
        raise BadInput(
            "expected on_scenes to be made at full resolution; compose it with resolution='full', or use mixed_rand"
        )


_SCENES = (
    Variant("on_scenes", Keep("box"), Backdrop(), place="ImageNet-BG's kind of background, our addition", is_full=True),
    Variant("on_scenes_mask", Keep("mask"), Backdrop(), place="by mask", is_full=True),
)

#: Variants at full resolution: those out of `VARIANTS` that need no donor, and two that are made only there.
STREAMED: Catalogue[Variant] = Catalogue(
    "variant at full resolution",
    {name: v for name, v in VARIANTS.items() if v.donor == "none"} | {v.name: v for v in _SCENES},
)

#: Background influence: variants without the object (section 3, Figures 1 and 2).
INFLUENCE = ("white_fg",)
#: Background invariance: variants with the object on another background (sections 3 and 4, Figures 4 and 5).
INVARIANCE = (
    "on_white",
    "on_texture",
    "on_gaussian_noise",
    "on_uniform_noise",
    "on_green",
    "on_yellow",
    "on_grey",
)


@dataclass(frozen=True, eq=False)
class FullScenes:
    """Scenes at full resolution whose foregrounds have a usable size, with the plates of their variants.

    Attributes:
        by_box: The scenes; the foreground is the union of the true class's boxes, as in the paper.
        source: Set or URI that the scenes were opened from.
        census: Foreground areas: the usable scenes and the number of others.
        settings: Options of the protocol.
        textures: Plates of ``on_texture``.
        backdrops: Plates of ``on_scenes``.
        open_stored: Function that opens the scenes with the masks of their source, once for all parts of the set.
    """

    by_box: SceneSet
    source: SceneSet | str
    census: AreaCensus
    settings: StreamSettings
    textures: Plates
    backdrops: Plates
    open_stored: Callable[[], SceneSet] = field(repr=False)

    @property
    def name(self) -> str:
        """Name in results: that of the set, ``full``, and any sources of plates that are not the default."""
        plates = [p.source for p in (self.textures, self.backdrops) if p.source not in {"procedural", "own"}]
        return "-".join([self.by_box.name, "full", *plates])

    @functools.cached_property
    def stamp(self) -> str:
        """Digest of the scenes and of their files' sizes and modification times."""
        return _stamp(self.by_box)

    @functools.cached_property
    def by_mask(self) -> SceneSet:
        """The scenes that have a segmentation mask, with it as foreground (VOC has masks for some of its images)."""
        outlined = self.open_stored()
        return outlined.select(ids=set(self.by_box.ids) & set(outlined.ids))

    def select(self, ids: Collection[str]) -> FullScenes:
        """Return only the scenes with these ids, for example those of a test split, and their part of the census."""
        chosen = self.by_box.select(ids=set(ids) & set(self.by_box.ids))
        return replace(self, by_box=chosen, census=self.census.select(ids))

    def scenes(self, region: Region) -> SceneSet:
        """Return the scenes with boxes (``box``) or segmentation masks (``mask``) as foregrounds."""
        return self.by_box if region == "box" else self.by_mask

    def plates(self, variant: Variant) -> Plates | None:
        """Return the plates that a variant draws its backgrounds from, or None."""
        if isinstance(variant.background, Texture):
            return self.textures
        return self.backdrops if isinstance(variant.background, Backdrop) else None

    def definition(self, variant: Variant, transform: EvaluationTransform) -> str:
        """Return a digest of everything that determines the pixels of a variant, without rendering them."""
        plates = self.plates(variant)
        drawn_from = plates.stamp if plates else ""
        seed = self.settings.seed if is_random(variant) else 0
        return digest([str(_VERSION), self.stamp, transform.key, repr(variant), str(seed), drawn_from])


def open_full(scenes: SceneSet | str, settings: StreamSettings | None = None, *, progress: bool = True) -> FullScenes:
    """Open scenes at full resolution, select those with a foreground of usable size, and open the plates.

    Args:
        scenes: A URI for `bglab.scenes.open_scenes`, for example ``imagenet:PATH``, or a set, whose scenes then have
            one box each.
        settings: Options of the protocol; None uses the defaults.
        progress: Whether to show a progress bar while annotations are read.

    Raises:
        BadInput: If no scene has a foreground of usable size.
    """
    chosen = settings or StreamSettings()
    by_box = open_by_box(scenes)
    census = area_census(by_box, chosen.smallest, chosen.largest, progress=progress)
    if not census.ids:
        raise BadInput(
            f"expected foregrounds of {chosen.smallest:.0%} to {chosen.largest:.0%} of the image in {by_box.name}, "
            f"got none of {census.total}; widen the limits"
        )
    usable = by_box.select(ids=census.ids)
    textures = open_plates(chosen.textures, seed=chosen.seed)
    own = chosen.backdrops == "own"
    backdrops = _own_backdrops(usable, chosen.seed) if own else open_plates(chosen.backdrops)
    stored = functools.cache(functools.partial(stored_scenes, scenes))
    return FullScenes(usable, scenes, census, chosen, textures, backdrops, stored)


def reopen_full(scenes: SceneSet, settings: StreamSettings | None = None, *, progress: bool = True) -> FullScenes:
    """Open a set at full resolution from its URI, so that foregrounds are the union of the class's boxes.

    If the set is a selection, only its scenes are opened. If its URI cannot be opened again or its labels were
    changed, the set itself is used, with one box per scene.

    Args:
        scenes: From `bglab.scenes.open_scenes`, or a selection of such a set.
        settings: Options of the protocol; None uses the defaults.
        progress: Whether to show a progress bar while annotations are read.

    Raises:
        BadInput: If no scene has a foreground of usable size.
    """
    chosen = settings or StreamSettings()
    try:
        whole = open_scenes(scenes.uri)
    except (UnknownName, MissingData):
        return open_full(scenes, chosen, progress=progress)
    known = {record.id: record.label for record in whole.records}
    if whole.space != scenes.space or any(known.get(record.id) != record.label for record in scenes.records):
        return open_full(scenes, chosen, progress=progress)
    full = _open_once(scenes.uri, _stamp(open_by_box(scenes.uri)), chosen, progress=progress)
    return full if set(scenes.ids) == set(known) else full.select(scenes.ids)


@functools.lru_cache(maxsize=2)
def _open_once(uri: str, stamp: str, settings: StreamSettings, *, progress: bool) -> FullScenes:
    """Open scenes once for several variants."""
    del stamp  # only a key of the cache: files may have changed since the last call
    return open_full(uri, settings, progress=progress)


def _stamp(scenes: SceneSet) -> str:
    """Hash a set and the sizes and modification times of its files, since an edited file may have the same size."""
    return digest([scenes.fingerprint, *(_state(file) for record in scenes.records for file in record.files)])


def _state(file: Path) -> str:
    try:
        status = file.stat()
    except OSError as problem:
        return f"error {problem.errno}"
    return f"{status.st_size} {status.st_mtime_ns}"


def find_streamed(variant: str | Variant) -> Variant:
    """Return the full-resolution variant of a name; variants are returned unchanged.

    Args:
        variant: A name out of `STREAMED`, possibly of a further draw (``on_texture~1``), or a variant of your own.

    Raises:
        UnknownName: If there is no such variant; the message suggests the nearest name.
        BadInput: If the variant needs a donor.
    """
    if isinstance(variant, str):
        base, draw = split_draw(variant)
        found = STREAMED[base]
        # the name becomes that of a file, so nothing but a draw's number may follow the variant's own
        if draw_name(base, draw) != variant or (draw and not is_random(found)):
            raise UnknownName(
                f"unknown draw '{variant}' of the variant '{base}'; write {base}, "
                f"or {draw_name(base, 1)} for its second draw if it is random"
            )
        variant = replace(found, name=variant)
    if variant.donor != "none":
        raise BadInput(f"expected variants without donors at full resolution, got '{variant.name}'; compose it")
    return variant


def expand(names: Sequence[str | Variant], settings: StreamSettings) -> tuple[Variant, ...]:
    """Look up full-resolution variants, and repeat random ones for each draw under a name of its own.

    Args:
        names: Names out of `STREAMED`, or variants.
        settings: Options of the protocol, with the number of draws.

    Raises:
        UnknownName: If there is no such variant.
        BadInput: If a variant needs a donor.

    Example:
        >>> [v.name for v in expand(["on_white", "on_texture"], StreamSettings(draws=2))]
        ['on_white', 'on_texture', 'on_texture~1']
    """
    expanded: list[Variant] = []
    for name in names:
        variant = find_streamed(name)
        draws = max(1, settings.draws) if is_random(variant) else 1
        expanded += [replace(variant, name=draw_name(variant.name, draw)) for draw in range(draws)]
    return tuple(expanded)


def is_random(variant: Variant) -> bool:
    """Check whether a variant's pixels depend on the seed."""
    return variant.background.is_random or variant.foreground.is_random


def region_of(variant: Variant) -> Region:
    """Return the region that a variant's foreground is cut out by; ``box``, which is cheaper, if both are equal."""
    foreground = variant.foreground
    if variant.is_untouched or isinstance(foreground, Absent):
        return "box"
    return foreground.region if isinstance(foreground, Keep | Patch) else "mask"


def _own_backdrops(scenes: SceneSet, seed: int) -> Plates:
    """Make plates of the tiled backgrounds of some scenes of the set, drawn by the seed."""
    order = keyed_generator(seed, "backdrops", scenes.fingerprint).permutation(len(scenes))
    chosen = tuple(scenes.records[i] for i in order[:_LENT])
    names = tuple(record.id for record in chosen)

    @functools.lru_cache(maxsize=_LENT)
    def tiled(position: int) -> UInt8[np.ndarray, "3 h w"] | None:
        return _tiled_background(scenes, chosen[position])

    def usable(position: int, scene: str) -> int:
        # a scene shows no background of its own, and one without a usable background is replaced by the next
        for other in (*range(position, len(chosen)), *range(position)):
            if names[other] != scene and tiled(other) is not None:
                return other
        raise BadInput(
            f"expected other scenes of {scenes.name} to lend {scene} a background, but none can; give folder:PATH"
        )

    def read(position: int) -> UInt8[np.ndarray, "3 h w"]:
        plate = tiled(position)
        if plate is None:
            raise BadInput(f"expected scene {names[position]} to lend its background, but it has none; draw another")
        return plate

    stamp = digest([str(seed), "of other scenes", *names])
    return Plates("own", names, stamp, is_tileable=False, read=read, usable=usable)


def _tiled_background(scenes: SceneSet, record: SceneRecord) -> UInt8[np.ndarray, "3 h w"] | None:
    from bglab.images import tile_box

    try:
        scene = scenes.read(record)
        return tile_box(torch.from_numpy(scene.image), scene.box).numpy()
    except BadInput:
        return None
