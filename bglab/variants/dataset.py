"""Data sets to classify: a variant composed from scenes, or a release's own images of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.errors import BadInput, UnknownName
from bglab.images import EvaluationTransform
from bglab.labels import OUTSIDE
from bglab.names import split_draw
from bglab.scenes import (
    PreparedScenes,
    Rejection,
    SceneSet,
    as_prepared,
    as_scenes,
    open_scenes,
    prepare_published,
)
from bglab.variants.full_resolution import STREAMED, FullScenes, StreamSettings, find_streamed, region_of, reopen_full
from bglab.variants.scene_tensors import scene_tensors
from bglab.variants.streaming import stream
from bglab.variants.variant import VARIANTS, Variant, find_variant, pair_donors, render

Positions = slice | Sequence[int] | Int[np.ndarray, " n"]

#: Where a variant is made: at one size for all scenes, or on the photograph before the network's resize and crop.
Resolution = Literal["prepared", "full"]

_USUAL_SIZE = 224


class DatasetRow(NamedTuple):
    """Scene and labels of one image of a data set.

    Attributes:
        scene: Scene of the foreground.
        donor: Scene of the background; "" if it is the same scene, none, or unknown.
        label: True class in the set's own label space.
        native_label: True ImageNet index, or OUTSIDE.
    """

    scene: str
    donor: str
    label: int
    native_label: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """An ordered set of images of one variant, rendered on access.

    Attributes:
        name: Name of the scenes, as used in result folders.
        variant: Variant of the images.
        space: Label space of ``label``.
        classes: Names of that space's classes.
        rows: One entry per image.
        size: Side of the images in pixels.
        seed: Seed of donors, textures and noise.
        published: Whether the images are a release's published ones.
        fingerprint: Digest of the scenes' definition.
        digest: Digest of the pixels that the images are made from.
        rejected: Scenes that are skipped, and why.
        images: Renders rows on a device: ``images(positions, device)`` returns uint8 ``n 3 size size``.
        full: Scenes at full resolution if the variant is made there, before the network's own resize and crop; None
            if it is made from prepared scenes of ``size`` pixels.
    """

    name: str
    variant: Variant
    space: str
    classes: tuple[str, ...]
    rows: tuple[DatasetRow, ...]
    size: int
    seed: int
    published: bool
    fingerprint: str
    digest: str
    rejected: tuple[Rejection, ...]
    images: Callable[[Positions, torch.device | str], UInt8[Tensor, "n 3 h w"]] = field(repr=False)
    full: FullScenes | None = field(default=None, repr=False)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> UInt8[Tensor, "3 h w"]:
        """Render one image, by position or by its scene's id."""
        if isinstance(key, str):
            found = [i for i, row in enumerate(self.rows) if row.scene == key]
            if not found:
                raise UnknownName(f"no scene '{key}' in {self.name}, {self.variant.name}; see dataset.rows")
            key = found[0]
        return self.images([range(len(self))[key]], "cpu")[0]

    def __repr__(self) -> str:
        origin = "published" if self.published else f"composed, seed {self.seed}"
        return f"Dataset({self.name}, {self.variant.name}: {len(self)} images, {origin})"

    @property
    def resolution(self) -> Resolution:
        """Where the variant is made: on prepared scenes, or at full resolution."""
        return "prepared" if self.full is None else "full"

    def seen_through(self, transform: EvaluationTransform) -> Dataset:
        """Return the data set as a network sees it that resizes and crops like this.

        Images made at full resolution depend on the network's transform; prepared ones stay as they are.
        """
        return self if self.full is None else full_dataset(self.full, self.variant, transform)

    @property
    def key(self) -> str:
        """Name for result tables and folders: different pixels never share one."""
        parts = [re.sub(r"[^A-Za-z0-9._]+", "-", self.name), self.fingerprint[:6]]
        # networks of every input size share the data set of full-resolution images, whose name says what it is
        if self.full is None and self.size != _USUAL_SIZE:
            parts.append(f"{self.size}px")
        if self.published:
            parts.append("published")
        elif self.seed:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)


def compose(
    scenes: SceneSet | PreparedScenes | FullScenes | str,
    variant: str | Variant,
    *,
    seed: int = 0,
    size: int = 224,
    resolution: Resolution | None = None,
    progress: bool = True,
) -> Dataset:
    """Compose a variant from scenes; images are rendered batch by batch, on the classifier's device.

    Args:
        scenes: A set, its prepared form, its full-resolution form, or a URI for `open_scenes`.
        variant: A name out of `VARIANTS` or `STREAMED`, or a variant of your own.
        seed: Seed of donors, textures and noise; ignored for full-resolution scenes, whose settings have one.
        size: Side of prepared images in pixels; ignored for prepared scenes, which have one.
        resolution: Where the variant is made: ``prepared``, on images of ``size`` pixels (Noise or Signal), or
            ``full``, on the photograph before the network's own resize and crop (Time for a Background Check!, with
            its rule that a foreground takes 5 % to 70 % of the image). None is what `default_resolution` says.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If no scene of the set can show the variant.

    Example:
        >>> dataset = compose("synthetic9?n=18&size=32", "mixed_next", size=32, progress=False)
        >>> len(dataset), dataset.rows[0].label
        (18, 0)
    """
    _check_resolution(resolution)
    if isinstance(scenes, FullScenes):
        if resolution == "prepared":
            raise BadInput(
                "expected a set or prepared scenes for the resolution prepared, got scenes at full resolution"
            )
        return full_dataset(scenes, find_streamed(variant))
    if isinstance(scenes, str):
        scenes = open_scenes(scenes)
    if (resolution or default_resolution(scenes, variant)) == "full":
        return full_dataset(_full_form(scenes, seed, progress=progress), find_streamed(variant))
    if isinstance(variant, str) and split_draw(variant)[0] in STREAMED and variant not in VARIANTS:
        raise BadInput(f"expected a variant that can be made on prepared images, got '{variant}'; use resolution full")
    return _compose_prepared(as_prepared(scenes, size, progress=progress), find_variant(variant), seed)


def compose_all(
    scenes: SceneSet | PreparedScenes | FullScenes | str,
    variants: Sequence[str | Variant],
    *,
    seed: int = 0,
    size: int = 224,
    resolution: Resolution | None = None,
    progress: bool = True,
) -> tuple[Dataset, ...]:
    """Compose several variants of one set, whose scenes are opened and prepared once.

    Where the variants are made at different resolutions, ``original`` is made at each of them, so that every variant
    has the original it is compared with.

    Args:
        scenes: As for `compose`; likewise the other options.
        variants: Names or variants; duplicates are made once.
        seed: Seed of donors, textures and noise.
        size: Side of prepared images in pixels.
        resolution: Where all variants are made; None is what `default_resolution` says of each.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If no scene of the set can show a variant.
        UnknownName: If there is no such variant.
    """
    if isinstance(scenes, str):
        scenes = open_scenes(scenes)
    _check_resolution(resolution)
    chosen: dict[str, str | Variant] = {}
    for variant in variants:
        name = variant if isinstance(variant, str) else variant.name
        if chosen.setdefault(name, variant) is not variant and chosen[name] != variant:
            raise BadInput(f"expected one variant of each name, got two of '{name}'; give one of them another name")
    where: dict[str, list[Resolution]] = {
        name: [resolution or default_resolution(scenes, variant)] for name, variant in chosen.items()
    }
    if "original" in where and resolution is None:
        others: set[Resolution] = {at for name, (at,) in where.items() if name != "original"}
        where["original"] = sorted(others, reverse=True) or where["original"]
    opened: dict[Resolution, PreparedScenes | FullScenes] = {}

    def source(at: Resolution) -> PreparedScenes | FullScenes:
        if at not in opened:
            if at == "prepared" and not isinstance(scenes, FullScenes):
                opened[at] = as_prepared(scenes, size, progress=progress)
            else:
                opened[at] = _full_form(scenes, seed, progress=progress)
        return opened[at]

    return tuple(
        compose(source(at), chosen[name], seed=seed, resolution=at) for name, places in where.items() for at in places
    )


def _check_resolution(resolution: str | None) -> None:
    if resolution not in {None, "prepared", "full"}:
        raise BadInput(f"expected the resolution prepared or full, got '{resolution}'")


def _full_form(scenes: SceneSet | PreparedScenes | FullScenes, seed: int, *, progress: bool) -> FullScenes:
    """Return scenes at full resolution."""
    if isinstance(scenes, FullScenes):
        return scenes
    source = scenes.scenes if isinstance(scenes, PreparedScenes) else scenes
    return reopen_full(source, StreamSettings(seed=seed), progress=progress)


def default_resolution(scenes: SceneSet | PreparedScenes | FullScenes, variant: str | Variant) -> Resolution:
    """Return where a variant of these scenes is made unless told otherwise.

    ``full`` for the variants of Time for a Background Check! on sets of photographs at their own size (``imagenet:``,
    ``voc:``, ``caltech101:``); ``prepared`` for everything else.

    Raises:
        UnknownName: If there is no such variant.

    Example:
        >>> from bglab.scenes import open_scenes
        >>> default_resolution(open_scenes("synthetic9?n=9"), "white_fg")
        'prepared'
    """
    if isinstance(scenes, FullScenes):
        return "full"
    photographs = isinstance(scenes, SceneSet) and scenes.full_resolution
    if isinstance(variant, str) and split_draw(variant)[0] in STREAMED:
        photographs = photographs or split_draw(variant)[0] not in VARIANTS  # there is no prepared form of these
        variant = find_streamed(variant)
    return "full" if find_variant(variant).is_full and photographs else "prepared"


def full_dataset(full: FullScenes, variant: Variant, transform: EvaluationTransform | None = None) -> Dataset:
    """Describe a variant at full resolution, as a network with a transform sees it.

    Args:
        full: From `open_full`.
        variant: From `find_streamed` or `expand`.
        transform: Resize and crop of the network; None is 224 pixels out of 256, bilinear.

    Returns:
        A data set whose rows are all scenes; one that turns out unusable raises when its image is rendered, and is
        named and skipped when it is streamed.
    """
    chosen, scenes = transform or EvaluationTransform(), full.scenes(region_of(variant))

    def images(positions: Positions, device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        wanted = [scenes.ids[i] for i in np.arange(len(scenes))[positions]]
        blocks = list(stream(full.select(wanted), [variant], chosen, block_size=max(1, len(wanted))))
        found = {r.id: crop for block in blocks for r, crop in zip(block.records, block.crops[0], strict=True)}
        for rejection in (rejection for block in blocks for rejection in block.rejected):
            raise BadInput(rejection.reason)
        return torch.from_numpy(np.stack([found[scene] for scene in wanted])).to(device)

    return Dataset(
        name=full.name,
        variant=variant,
        space=scenes.space,
        classes=scenes.classes,
        rows=tuple(DatasetRow(r.id, "", r.label, r.native_label) for r in scenes.records),
        size=chosen.size,
        seed=full.settings.seed,
        published=False,
        fingerprint=full.by_box.fingerprint,
        digest=full.definition(variant, chosen),
        rejected=full.census.rejected,
        images=images,
        full=full,
    )


def _compose_prepared(prepared: PreparedScenes, chosen: Variant, seed: int) -> Dataset:
    """Compose a variant on prepared images."""
    source = prepared.scenes
    donors = pair_donors(chosen, source.ids, source.labels, prepared.has_plate, seed=seed)
    kept = np.flatnonzero(donors >= 0)
    rejected = prepared.rejected + tuple(_without_donor(chosen, source, int(i)) for i in np.flatnonzero(donors < 0))
    if kept.size == 0:
        raise BadInput(
            f"expected scenes of {source.name} that can show {chosen.name}, but none finds a donor "
            f"(rule {chosen.donor}); add scenes of more classes"
        )
    ids = source.ids
    lends = chosen.donor not in {"none", "self"}
    rows = tuple(
        DatasetRow(r.id, ids[donors[i]] if lends else "", r.label, r.native_label)
        for i, r in ((i, source.records[i]) for i in kept)
    )
    resident = scene_tensors(prepared)

    def images(positions: Positions, device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        wanted = _as_slice(kept[positions])
        own = resident.batch(wanted, device)
        if not lends:
            return render(chosen, own, own if chosen.donor == "self" else None, seed=seed)
        return render(chosen, own, resident.batch(donors[wanted], device), seed=seed)

    return Dataset(
        name=source.name,
        variant=chosen,
        space=source.space,
        classes=source.classes,
        rows=rows,
        size=prepared.size,
        seed=seed,
        published=False,
        fingerprint=source.fingerprint,
        digest=prepared.digest,
        rejected=rejected,
        images=images,
    )


def open_published(scenes: SceneSet | str, variant: str, *, size: int = 224, progress: bool = True) -> Dataset:
    """Open a release's own images of a variant.

    Args:
        scenes: A set that has published images, or its URI, e.g. ``in9:PATH``.
        variant: One of the eight of Noise or Signal.
        size: Side in pixels; the release's 224 leaves its images untouched.
        progress: Show a bar while images are read for the first time.

    Raises:
        BadInput: If the set has no published images.
        MissingData: If the variant's folder is not there.
    """
    source = as_scenes(scenes)
    chosen = find_variant(variant)
    prepared = prepare_published(source, chosen.name, size, progress=progress)
    rows = tuple(DatasetRow(p.scene, p.donor, p.label, p.native_label) for p in prepared.published)

    def images(positions: Positions, device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        return torch.from_numpy(np.asarray(prepared.images[positions])).to(device)

    return Dataset(
        name=source.name,
        variant=chosen,
        space=source.space,
        classes=source.classes,
        rows=rows,
        size=size,
        seed=0,
        published=True,
        fingerprint=source.fingerprint,
        digest=prepared.digest,
        rejected=prepared.rejected,
        images=images,
    )


def _without_donor(variant: Variant, scenes: SceneSet, position: int) -> Rejection:
    record = scenes.records[position]
    if variant.donor == "self":
        reason = f"its box leaves no background to tile, so it has no {variant.name}"
    else:
        name = scenes.classes[record.label] if record.label != OUTSIDE else "no class"
        reason = f"the set has no background to lend it ({variant.donor}, {name}), so it has no {variant.name}"
    return Rejection(record.id, str(record.files[0]) if record.files else "", reason)


def _as_slice(positions: Int[np.ndarray, " n"]) -> slice | Int[np.ndarray, " n"]:
    """Turn consecutive positions into a slice, which a memory map serves without a copy."""
    if positions.size and np.array_equal(positions, np.arange(positions[0], positions[0] + positions.size)):
        return slice(int(positions[0]), int(positions[0]) + positions.size)
    return positions
