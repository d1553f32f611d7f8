"""Stream photographs at full resolution through variants into a network's own resize and crop.

Time for a Background Check! changes backgrounds on the original image; what the network then sees is whatever its
own evaluation transform leaves of it. Each photograph is decoded once for all variants, by a few threads, and only
finished crops wait for the engine, so memory does not grow with the set.
"""

from __future__ import annotations

import functools
import os
from collections import deque
from collections.abc import Callable, Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import NamedTuple, final

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from bglab.catalogue import Catalogue
from bglab.errors import BadInput
from bglab.images import EvaluationTransform, Plates, open_plates
from bglab.names import draw_name
from bglab.scenes import AreaCensus, Rejection, Scene, SceneRecord, SceneSet, area_census, open_by_box, stored_scenes
from bglab.seeding import digest, keyed_generator
from bglab.variants.rules import (
    Absent,
    Background,
    Draw,
    GivenImage,
    Keep,
    Noise,
    NoisyBackground,
    NoisyForeground,
    Own,
    Patch,
    Region,
    SceneBatch,
    Texture,
)
from bglab.variants.variant import VARIANTS, Variant, render

#: Raised whenever streamed pixels would come out differently.
_VERSION = 1

#: Backgrounds of other scenes kept at hand for ``on_scenes``.
_LENT = 64


@dataclass(frozen=True)
class StreamSettings:
    """The protocol's options; the defaults are the paper's where it states them.

    Attributes:
        seed: Of textures, noise and everything else drawn.
        draws: How often each random variant is drawn (the paper averages three runs for Caltech101).
        smallest: Least part of the image a foreground takes, a fraction (section 3: 5 %).
        largest: Greatest part (70 %).
        textures: Where ``on_texture`` takes its plates from; see `bglab.images.open_plates`.
        backdrops: Where ``on_scenes`` takes its plates from: ``own`` tiles the backgrounds of other scenes of the
            set, ``folder:PATH`` takes photographs of places.
        workers: Threads that decode; 0 is one a processor core.
        keep_crops: Keep finished crops under the data folder, so that the next network with the same transform
            decodes nothing. 150 kB an image and variant at 224 pixels.
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

    def plate(self, scenes: SceneBatch, donors: SceneBatch | None, key: Draw) -> UInt8[Tensor, "3 h w"]:
        """Refuse: plates of any size are known to the stream only.

        Raises:
            BadInput: Always.
        """
        raise BadInput("expected on_scenes to be streamed at full resolution; use evaluate, or mixed_rand for donors")


_SCENES = (
    Variant("on_scenes", Keep("box"), Backdrop(), place="ImageNet-BG's kind of background, our addition"),
    Variant("on_scenes_mask", Keep("mask"), Backdrop(), place="by mask"),
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


class Block(NamedTuple):
    """A few finished images of some variants.

    Attributes:
        variants: Names, in the order of the first axis.
        records: The scenes, in the order of the second axis.
        donors: For each variant, which plate each scene stands on; "" if its own, a colour or noise.
        crops: The images, as the network takes them.
        rejected: Scenes between those of this block and of the one before that could not be used.
    """

    variants: tuple[str, ...]
    records: tuple[SceneRecord, ...]
    donors: tuple[tuple[str, ...], ...]
    crops: UInt8[np.ndarray, "v n 3 s s"]
    rejected: tuple[Rejection, ...]


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
        """Give only some of the scenes, those of a test split for example."""
        return replace(self, by_box=self.by_box.select(ids=set(ids) & set(self.by_box.ids)))

    def scenes(self, region: Region) -> SceneSet:
        """Give the scenes with the masks that a variant's foreground asks for."""
        return self.by_box if region == "box" else self.by_mask

    def plates(self, variant: Variant) -> Plates | None:
        """Give the stock a variant draws its backgrounds from; None if it has none."""
        if isinstance(variant.background, Texture):
            return self.textures
        return self.backdrops if isinstance(variant.background, Backdrop) else None

    def definition(self, variant: Variant, transform: EvaluationTransform) -> str:
        """Digest everything that decides about the pixels of one variant, before any is made."""
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
        variant = STREAMED[name] if isinstance(name, str) else name
        if variant.donor != "none":
            raise BadInput(f"expected variants without donors at full resolution, got '{variant.name}'; compose it")
        draws = max(1, settings.draws) if is_random(variant) else 1
        expanded += [replace(variant, name=draw_name(variant.name, draw)) for draw in range(draws)]
    return tuple(expanded)


def is_random(variant: Variant) -> bool:
    """Say whether another seed would give other pixels."""
    drawn = Texture | Noise | NoisyBackground | Backdrop
    return isinstance(variant.background, drawn) or isinstance(variant.foreground, NoisyForeground)


def region_of(variant: Variant) -> Region:
    """Say which foreground a variant is cut by; ``box`` where it makes no difference, because boxes cost nothing."""
    foreground = variant.foreground
    if is_untouched(variant) or isinstance(foreground, Absent):
        return "box"
    return foreground.region if isinstance(foreground, Keep | Patch) else "mask"


def is_untouched(variant: Variant) -> bool:
    """Say whether a variant shows the photograph as it is."""
    return isinstance(variant.foreground, Keep) and isinstance(variant.background, Own)


def stream(
    full: FullScenes,
    variants: Sequence[Variant],
    transform: EvaluationTransform,
    *,
    block_size: int = 16,
) -> Iterator[Block]:
    """Decode each scene once, make its variants at full resolution, and give crops in the set's order.

    Args:
        full: From `open_full`.
        variants: From `expand`; all of one region.
        transform: Of the network.
        block_size: Scenes a block.

    Raises:
        BadInput: If variants of both regions are mixed.
    """
    if len({region_of(variant) for variant in variants}) != 1:
        raise BadInput("expected variants that cut out either boxes or masks, got both; stream them one after another")
    scenes = full.scenes(region_of(variants[0]))
    names = tuple(variant.name for variant in variants)
    workers = full.settings.workers or os.cpu_count() or 1
    make = functools.partial(_make, full, scenes, tuple(variants), transform)
    made: list[_Made] = []
    rejected: list[Rejection] = []
    for outcome in _in_order(make, scenes.records, workers, ahead=block_size + 2 * workers):
        if isinstance(outcome, Rejection):
            rejected.append(outcome)
            continue
        made.append(outcome)
        if len(made) == block_size:
            yield _block(names, made, rejected)
            made, rejected = [], []
    if made or rejected:
        yield _block(names, made, rejected, transform.size)


class _Made(NamedTuple):
    """One scene's images, one a variant, and the plates they stand on."""

    record: SceneRecord
    donors: tuple[str, ...]
    crops: UInt8[np.ndarray, "v 3 s s"]


def _block(names: tuple[str, ...], made: Sequence[_Made], rejected: Sequence[Rejection], size: int = 1) -> Block:
    crops = np.stack([m.crops for m in made], axis=1) if made else np.zeros((len(names), 0, 3, size, size), np.uint8)
    donors = tuple(zip(*(m.donors for m in made), strict=True)) or ((),) * len(names)
    return Block(names, tuple(m.record for m in made), donors, crops, tuple(rejected))


def _make(
    full: FullScenes,
    scenes: SceneSet,
    variants: tuple[Variant, ...],
    transform: EvaluationTransform,
    record: SceneRecord,
) -> _Made | Rejection:
    """Make the images of one scene; runs in a thread of the pool."""
    try:
        scene = scenes.read(record)
        images = [_image(full, variant, scene) for variant in variants]
    except BadInput as problem:
        return Rejection(record.id, str(record.files[0]) if record.files else "", str(problem))
    crops = np.stack([transform(image) for _, image in images])
    return _Made(record, tuple(donor for donor, _ in images), crops)


def _image(full: FullScenes, variant: Variant, scene: Scene) -> tuple[str, Image.Image]:
    """Make one variant of a scene at full resolution; give the name of the plate it stands on, and the image."""
    if is_untouched(variant):
        return "", _as_image(scene.image)
    image, mask = torch.from_numpy(scene.image).unsqueeze(0), torch.from_numpy(scene.mask).unsqueeze(0)
    batch = SceneBatch((scene.id,), image, mask, image, torch.tensor([scene.box]))
    donor, plates = "", full.plates(variant)
    if plates is not None:
        rng = keyed_generator(full.settings.seed, variant.name, scene.id)
        donor, plate = plates.draw(rng, *scene.mask.shape)
        variant = replace(variant, background=GivenImage(torch.from_numpy(np.ascontiguousarray(plate))))
    rendered = render(_by_its_mask(variant), batch, seed=full.settings.seed)[0]
    return donor, _as_image(rendered.numpy())


def _as_image(levels: UInt8[np.ndarray, "3 h w"]) -> Image.Image:
    """Hand levels to Pillow channel by channel, which costs a tenth of turning the array around first."""
    return Image.merge("RGB", [Image.fromarray(np.ascontiguousarray(channel)) for channel in levels])


def _by_its_mask(variant: Variant) -> Variant:
    """Cut by the scene's mask, which is the union of the boxes where the variant asks for boxes."""
    foreground = variant.foreground
    if isinstance(foreground, Keep | Patch):
        return replace(variant, foreground=replace(foreground, region="mask"))
    return variant


def _in_order(
    make: Callable[[SceneRecord], _Made | Rejection], records: Sequence[SceneRecord], workers: int, *, ahead: int
) -> Iterator[_Made | Rejection]:
    """Work through records with some threads, give results in order, and hold only so many at once."""
    pending: deque[Future[_Made | Rejection]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix="bglab-decode") as pool:
        try:
            for record in records:
                pending.append(pool.submit(make, record))
                if len(pending) > ahead:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            for future in pending:
                future.cancel()


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
