"""Composition of data sets: a variant of scenes or photographs at a resolution, or the published images of it."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeGuard

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.labels import OUTSIDE
from bglab.models import upload
from bglab.names import split_draw
from bglab.scenes import (
    PreparedImages,
    PreparedPhotographs,
    PreparedScenes,
    Rejection,
    SceneSet,
    ScenesLike,
    absolute_uri,
    as_prepared,
    as_scenes,
    prepare_photographs,
    prepare_published,
)
from bglab.variants.dataset import Dataset, DatasetRow, Positions, Resolution, full_dataset
from bglab.variants.full_resolution import STREAMED, FullScenes, StreamSettings, find_streamed, reopen_full
from bglab.variants.rules import SceneBatch
from bglab.variants.scene_tensors import SceneTensors, scene_tensors
from bglab.variants.variant import VARIANTS, Variant, find_variant, pair_donors, render


def compose(
    scenes: ScenesLike | FullScenes,
    variant: str | Variant,
    *,
    seed: int = 0,
    size: int = 224,
    resolution: Resolution | None = None,
    masked_only: bool = False,
    progress: bool = True,
) -> Dataset:
    """Compose a variant from scenes; images are rendered on access, in batches on the classifier's device.

    On prepared images, a variant that needs neither mask nor box (`Variant.needs_mask`), such as Original, shows all
    labelled images of a set (`SceneSet.photographs`), other variants those with a usable mask; ``Dataset.rejected``
    lists the others with reasons. Prepared scenes, which all have masks, and full resolution, where foregrounds have
    a usable size, have the same images in every variant.

    Args:
        scenes: A set, its prepared or full-resolution form, or a URI for `bglab.scenes.open_scenes`.
        variant: A name out of `VARIANTS` or `STREAMED`, or a variant of your own.
        seed: Seed of donors, textures and noise; ignored for `FullScenes`, whose settings contain one.
        size: Side of prepared images in pixels; ignored for prepared scenes.
        resolution: ``prepared`` makes the variant on images of ``size`` pixels (Noise or Signal); ``full`` makes it on
            the photograph before the network's resize and crop, from scenes whose foreground covers 5 % to 70 % of
            the image (Time for a Background Check!, section 3). None uses `default_resolution`.
        masked_only: Whether to use only scenes with a usable mask, even for a variant that needs none.
        progress: Whether to show a progress bar while scenes are prepared for the first time.

    Raises:
        BadInput: If no scene of the set can show the variant, or the resolution does not support it.
        UnknownName: If there is no such variant.

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
    if not isinstance(scenes, (PreparedScenes, FullScenes)):
        scenes = as_scenes(scenes)
    if (resolution or default_resolution(scenes, variant)) == "full":
        return full_dataset(_full_form(scenes, seed, progress=progress), find_streamed(variant))
    if isinstance(variant, str) and split_draw(variant)[0] in STREAMED and variant not in VARIANTS:
        raise BadInput(f"expected a variant that can be made on prepared images, got '{variant}'; use resolution full")
    chosen = find_variant(variant)
    if _shows_photographs(scenes, chosen) and not masked_only:
        return _compose_photographs(prepare_photographs(scenes, size, progress=progress), chosen, seed)
    return _compose_prepared(as_prepared(scenes, size, progress=progress), chosen, seed)


def compose_all(
    scenes: ScenesLike | FullScenes,
    variants: Sequence[str | Variant],
    *,
    seed: int = 0,
    size: int = 224,
    resolution: Resolution | None = None,
    masked_only: bool = False,
    progress: bool = True,
) -> tuple[Dataset, ...]:
    """Compose several variants of one set, whose scenes are opened and prepared once.

    If the variants are made at both resolutions, so is ``original``, so that each can be compared with its original.

    Args:
        scenes: As for `compose`.
        variants: Names or variants; duplicates are composed once.
        seed: Seed of donors, textures and noise.
        size: Side of prepared images in pixels.
        resolution: Resolution of all variants; None uses `default_resolution` for each.
        masked_only: Whether to use only scenes with a usable mask, even for variants that need none.
        progress: Whether to show a progress bar while scenes are prepared for the first time.

    Returns:
        The data sets in the order of the variants; ``original`` may occur once per resolution.

    Raises:
        BadInput: If no scene of the set can show a variant.
        UnknownName: If there is no such variant.
    """
    if not isinstance(scenes, (PreparedScenes, FullScenes)):
        scenes = as_scenes(scenes)
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

    def source(variant: str | Variant, at: Resolution) -> SceneSet | PreparedScenes | FullScenes:
        if at == "prepared" and not masked_only and _shows_photographs(scenes, variant):
            return scenes
        if at not in opened:
            if at == "prepared" and not isinstance(scenes, FullScenes):
                opened[at] = as_prepared(scenes, size, progress=progress)
            else:
                opened[at] = _full_form(scenes, seed, progress=progress)
        return opened[at]

    return tuple(
        compose(source(chosen[name], at), chosen[name], seed=seed, size=size, resolution=at, progress=progress)
        for name, places in where.items()
        for at in places
    )


def _check_resolution(resolution: str | None) -> None:
    if resolution not in {None, "prepared", "full"}:
        raise BadInput(f"expected the resolution prepared or full, got '{resolution}'")


def _full_form(scenes: SceneSet | PreparedScenes | FullScenes, seed: int, *, progress: bool) -> FullScenes:
    """Return the full-resolution form of scenes."""
    if isinstance(scenes, FullScenes):
        return scenes
    source = scenes.scenes if isinstance(scenes, PreparedScenes) else scenes
    return reopen_full(source, StreamSettings(seed=seed), progress=progress)


def default_resolution(scenes: SceneSet | PreparedScenes | FullScenes, variant: str | Variant) -> Resolution:
    """Return the default resolution of a variant of some scenes.

    It is ``full`` for the variants of Time for a Background Check! on sets of photographs in their original size
    (``imagenet:``, ``voc:``, ``caltech101:``, ``coco:``), and ``prepared`` otherwise.

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
    if isinstance(variant, str) and variant not in VARIANTS and split_draw(variant)[0] not in STREAMED:
        raise UnknownName(unknown_name("variant", variant, list(dict.fromkeys([*VARIANTS, *STREAMED]))))
    if isinstance(variant, str) and split_draw(variant)[0] in STREAMED:
        photographs = photographs or split_draw(variant)[0] not in VARIANTS  # these have no prepared form
        variant = find_streamed(variant)
    return "full" if find_variant(variant).is_full and photographs else "prepared"


def _shows_photographs(scenes: SceneSet | PreparedScenes | FullScenes, variant: str | Variant) -> TypeGuard[SceneSet]:
    """Check whether a variant is made of the images of a set alone, which its source reads without their masks."""
    if not isinstance(scenes, SceneSet) or scenes.read_image is None:
        return False
    return (not isinstance(variant, str) or variant in VARIANTS) and not find_variant(variant).needs_mask


def _compose_photographs(photographs: PreparedPhotographs, chosen: Variant, seed: int) -> Dataset:
    """Compose a variant that needs neither mask nor box on all images of a set."""
    source = photographs.scenes
    images = functools.partial(_render_photographs, photographs, np.array(source.ids, dtype=object), chosen, seed)
    rows = tuple(DatasetRow(record.id, "", record.label, record.native_label) for record in source.records)
    return _prepared_dataset(photographs, source, chosen, rows, images, seed=seed, rejected=photographs.rejected)


def _render_photographs(
    photographs: PreparedPhotographs,
    names: np.ndarray,
    chosen: Variant,
    seed: int,
    positions: Positions,
    device: torch.device | str,
) -> UInt8[Tensor, "n 3 h w"]:
    """Render images of a set without masks; a function of its own, so that a data set can be sent to a worker."""
    side, wanted = photographs.size, _as_slice(np.arange(len(names))[positions])
    shown = upload(torch.from_numpy(np.asarray(photographs.images[wanted])), device)
    ids = tuple(names[wanted])
    nowhere = torch.zeros(len(ids), side, side, dtype=torch.bool, device=device)
    boxes = torch.zeros(len(ids), 4, dtype=torch.int64, device=device)
    return render(chosen, SceneBatch(ids, shown, nowhere, shown, boxes), seed=seed)


def _compose_prepared(prepared: PreparedScenes, chosen: Variant, seed: int) -> Dataset:
    """Compose a variant on prepared images."""
    source = prepared.scenes
    donors = pair_donors(chosen, source.ids, source.labels, prepared.has_plate, seed=seed)
    usable = np.flatnonzero(donors >= 0)
    rejected = prepared.rejected + tuple(_without_donor(chosen, source, int(i)) for i in np.flatnonzero(donors < 0))
    if usable.size == 0:
        raise BadInput(
            f"expected scenes of {source.name} that can show {chosen.name}, but none finds a donor "
            f"(rule {chosen.donor}); add scenes of more classes"
        )
    ids = source.ids
    lends = chosen.donor not in {"none", "self"}
    rows = tuple(
        DatasetRow(r.id, ids[donors[i]] if lends else "", r.label, r.native_label)
        for i, r in ((i, source.records[i]) for i in usable)
    )
    images = functools.partial(
        _render_prepared, scene_tensors(prepared), usable, donors if lends else None, chosen, seed
    )
    return _prepared_dataset(prepared, source, chosen, rows, images, seed=seed, rejected=rejected)


def _render_prepared(
    resident: SceneTensors,
    usable: Int[np.ndarray, " u"],
    donors: Int[np.ndarray, " m"] | None,
    chosen: Variant,
    seed: int,
    positions: Positions,
    device: torch.device | str,
) -> UInt8[Tensor, "n 3 h w"]:
    """Render images of prepared scenes; ``donors`` is None for variants whose background is no other scene's."""
    wanted = _as_slice(usable[positions])
    own = resident.batch(wanted, device)
    if chosen.is_untouched:
        return own.images  # a view where the images are neighbours
    if donors is None:
        return render(chosen, own, own if chosen.donor == "self" else None, seed=seed)
    return render(chosen, own, resident.batch(donors[wanted], device), seed=seed)


def open_published(scenes: ScenesLike, variant: str, *, size: int = 224, progress: bool = True) -> Dataset:
    """Open the images of a variant that were published with a release.

    Args:
        scenes: A set with published images, or its URI, e.g. ``in9:PATH``.
        variant: Name out of `IN9_VARIANTS`.
        size: Side of the images in pixels; the published images have 224.
        progress: Whether to show a progress bar while images are read for the first time.

    Raises:
        BadInput: If the set has no published images.
        MissingData: If the folder of the variant is missing.
    """
    source = as_scenes(scenes)
    chosen = find_variant(variant)
    prepared = prepare_published(source, chosen.name, size, progress=progress)
    rows = tuple(DatasetRow(p.scene, p.donor, p.label, p.native_label) for p in prepared.published)

    images = functools.partial(_show_published, prepared)
    made = _prepared_dataset(prepared, source, chosen, rows, images, rejected=prepared.rejected)
    return replace(made, published=True)


def _show_published(
    prepared: PreparedImages, positions: Positions, device: torch.device | str
) -> UInt8[Tensor, "n 3 h w"]:
    return upload(torch.from_numpy(np.asarray(prepared.images[positions])), device)


def _prepared_dataset(
    prepared: PreparedScenes | PreparedPhotographs | PreparedImages,
    source: SceneSet,
    chosen: Variant,
    rows: tuple[DatasetRow, ...],
    images: Callable[[Positions, torch.device | str], UInt8[Tensor, "n 3 h w"]],
    *,
    rejected: tuple[Rejection, ...],
    seed: int = 0,
) -> Dataset:
    return Dataset(
        name=source.name,
        variant=chosen,
        space=source.space,
        classes=source.classes,
        rows=rows,
        size=prepared.images.shape[-1],
        seed=seed,
        published=False,
        fingerprint=source.fingerprint,
        digest=prepared.digest,
        rejected=rejected,
        images=images,
        uri=absolute_uri(source.uri),
    )


def _without_donor(variant: Variant, scenes: SceneSet, position: int) -> Rejection:
    record = scenes.records[position]
    if variant.donor == "self":
        reason = f"its box leaves no background to tile, so it has no {variant.name}"
    else:
        name = scenes.classes[record.label] if record.label != OUTSIDE else "no class"
        reason = f"the set has no background to lend it ({variant.donor}, {name}), so it has no {variant.name}"
    return Rejection(record.id, record.file, reason)


def _as_slice(positions: Int[np.ndarray, " n"]) -> slice | Int[np.ndarray, " n"]:
    """Convert consecutive positions to a slice, by which memory maps are read without a copy."""
    if positions.size and np.array_equal(positions, np.arange(positions[0], positions[0] + positions.size)):
        return slice(int(positions[0]), int(positions[0]) + positions.size)
    return positions
