"""Scenes at full resolution, as Time for a Background Check! uses them: settings, variants, and what both depend on.

The paper changes backgrounds on the original image; what the network then sees is whatever its own evaluation
transform leaves of it (`bglab.variants.streaming`).
"""

from __future__ import annotations

import functools
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
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
    Own,
    Patch,
    Region,
    SceneBatch,
    Texture,
)
from bglab.variants.variant import VARIANTS, Variant

#: Raised whenever streamed pixels would come out differently.
_VERSION = 1

#: Backgrounds of other scenes kept at hand for ``on_scenes``.
_LENT = 64


@dataclass(frozen=True)
class StreamSettings:
    """The protocol's options; the defaults are the paper's where it states them.

    Attributes:
        seed: Seed of textures, noise and other random draws.
        draws: How often each random variant is drawn (the paper averages three runs for Caltech101).
        smallest: Least part of the image a foreground takes, a fraction (section 3: 5 %).
        largest: Greatest part (70 %).
        textures: Where ``on_texture`` takes its plates from; see `bglab.images.open_plates`.
        backdrops: Where ``on_scenes`` takes its plates from: ``own`` tiles the backgrounds of other scenes of the
            set, ``folder:PATH`` takes photographs of places.
        workers: Threads that decode; 0 is one a processor core.
        keep_crops: Keep finished crops under the data folder, so that the next network with the same transform
            decodes nothing. 150 kB per image and variant at 224 pixels.
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
    """A photograph of a place; which one is drawn while streaming."""

    wording = "a photograph of a place"
    is_random = True

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Refuse: plates of any size are known to the stream only.

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

#: Every variant that can be streamed: those that need no donor out of the set, and two of its own.
STREAMED: Catalogue[Variant] = Catalogue(
    "variant at full resolution",
    {name: v for name, v in VARIANTS.items() if v.donor == "none"} | {v.name: v for v in _SCENES},
)

#: Background influence: the object is gone (section 3, Figures 1 and 2).
INFLUENCE = ("white_fg",)
#: Background invariance: the object is kept, everything else replaced (sections 3 and 4, Figures 4 and 5).
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
    """Scenes at full resolution whose foregrounds have a usable size, with all that their variants need.

    Attributes:
        by_box: Foreground = the union of the true class's boxes, as in the paper.
        source: What the scenes were opened from.
        census: How many scenes the area rule kept.
        settings: The protocol's options.
        textures: Plates of ``on_texture``.
        backdrops: Plates of ``on_scenes``.
    """

    by_box: SceneSet
    source: SceneSet | str
    census: AreaCensus
    settings: StreamSettings
    textures: Plates
    backdrops: Plates

    @property
    def name(self) -> str:
        """Name for results: the set, that it is at full resolution, and any textures that are not ours."""
        plates = [p.source for p in (self.textures, self.backdrops) if p.source not in {"procedural", "own"}]
        return "-".join([self.by_box.name, "full", *plates])

    @functools.cached_property
    def stamp(self) -> str:
        """Digest of what the images are made from, down to the files' times: an edited file is decoded again."""
        files = [file.stat() for record in self.by_box.records for file in record.files]
        return digest([self.by_box.fingerprint, *(f"{status.st_size} {status.st_mtime_ns}" for status in files)])

    @functools.cached_property
    def by_mask(self) -> SceneSet:
        """Those of the scenes that have a mask of their own, with it (VOC outlines a part of its images)."""
        outlined = stored_scenes(self.source)
        return outlined.select(ids=set(self.by_box.ids) & set(outlined.ids))

    def select(self, ids: Collection[str]) -> FullScenes:
        """Return the scenes with these ids only, for example those of a test split."""
        return replace(self, by_box=self.by_box.select(ids=set(ids) & set(self.by_box.ids)))

    def scenes(self, region: Region) -> SceneSet:
        """Return the scenes with boxes or with masks as their foregrounds."""
        return self.by_box if region == "box" else self.by_mask

    def plates(self, variant: Variant) -> Plates | None:
        """Return the plates that a variant draws its backgrounds from; None if it draws none."""
        if isinstance(variant.background, Texture):
            return self.textures
        return self.backdrops if isinstance(variant.background, Backdrop) else None

    def definition(self, variant: Variant, transform: EvaluationTransform) -> str:
        """Return a digest of everything that determines the pixels of a variant, without rendering any."""
        plates = self.plates(variant)
        drawn_from = plates.stamp if plates else ""
        seed = self.settings.seed if is_random(variant) else 0
        return digest([str(_VERSION), self.stamp, transform.key, repr(variant), str(seed), drawn_from])


def open_full(scenes: SceneSet | str, settings: StreamSettings | None = None, *, progress: bool = True) -> FullScenes:
    """Open scenes for the protocol: keep those whose foreground has a usable size, and open the plates.

    Args:
        scenes: A URI for `open_scenes`, for example ``imagenet:PATH``, or a set (its boxes are then taken as they
            are: one a scene).
        settings: The protocol's options.
        progress: Show a bar while annotations are read.

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
    kept = by_box.select(ids=census.ids)
    textures = open_plates(chosen.textures, seed=chosen.seed)
    own = chosen.backdrops == "own"
    backdrops = _own_backdrops(kept, chosen.seed) if own else open_plates(chosen.backdrops)
    return FullScenes(kept, scenes, census, chosen, textures, backdrops)


def reopen_full(scenes: SceneSet, settings: StreamSettings | None = None, *, progress: bool = True) -> FullScenes:
    """Open a set at full resolution as if from its URI, so that foregrounds are the union of the class's boxes.

    A set of only some scenes of its URI keeps to those; one whose URI cannot be opened again, or whose labels were
    changed, is taken as it is, with one box per scene.

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
    full = _open_once(scenes.uri, whole.fingerprint, chosen, progress=progress)
    return full if whole.fingerprint == scenes.fingerprint else full.select(scenes.ids)


@functools.lru_cache(maxsize=2)
def _open_once(uri: str, fingerprint: str, settings: StreamSettings, *, progress: bool) -> FullScenes:
    """Measure all foregrounds once for several variants; another fingerprint is another set."""
    del fingerprint  # part of the key
    return open_full(uri, settings, progress=progress)


def find_streamed(variant: str | Variant) -> Variant:
    """Return a variant that can be made at full resolution, by name or as it is.

    Args:
        variant: A name out of `STREAMED`, also that of a further draw (``on_texture~1``), or a variant of your own.

    Raises:
        UnknownName: If there is no such variant.
        BadInput: If it needs a donor.
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
    """Look up variants and repeat the random ones, each draw under a name of its own.

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
    """Return the region that a variant is cut by; ``box``, which is cheaper, where it makes no difference."""
    foreground = variant.foreground
    if is_untouched(variant) or isinstance(foreground, Absent):
        return "box"
    return foreground.region if isinstance(foreground, Keep | Patch) else "mask"


def is_untouched(variant: Variant) -> bool:
    """Check whether a variant shows the unmodified photograph."""
    return isinstance(variant.foreground, Keep) and isinstance(variant.background, Own)


def _own_backdrops(scenes: SceneSet, seed: int) -> Plates:
    """Take the tiled backgrounds of some scenes of the set, drawn by the seed, as plates for the others."""
    order = keyed_generator(seed, "backdrops", scenes.fingerprint).permutation(len(scenes))
    chosen = tuple(scenes.records[i] for i in order[:_LENT])

    @functools.lru_cache(maxsize=_LENT)
    def read(position: int) -> UInt8[np.ndarray, "3 h w"]:
        # a scene that cannot lend passes its place on to the next one
        for record in (*chosen[position:], *chosen[:position]):
            plate = _tiled_background(scenes, record)
            if plate is not None:
                return plate
        raise BadInput(f"expected scenes of {scenes.name} to lend their backgrounds, but none can; give folder:PATH")

    names = tuple(record.id for record in chosen)
    return Plates("own", names, digest([str(seed), *names]), is_tileable=False, read=read)


def _tiled_background(scenes: SceneSet, record: SceneRecord) -> UInt8[np.ndarray, "3 h w"] | None:
    from bglab.images import tile_box

    try:
        scene = scenes.read(record)
        return tile_box(torch.from_numpy(scene.image), scene.box).numpy()
    except BadInput:
        return None
