"""Data sets of images: a variant composed from scenes, or a release's published images of it."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
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
    absolute_uri,
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

#: Where a variant is made: on ``prepared`` images of one size, or on the ``full`` photograph before resize and crop.
Resolution = Literal["prepared", "full"]

_USUAL_SIZE = 224


class DatasetRow(NamedTuple):
    """Scenes and labels of one image of a data set.

    Attributes:
        scene: Id of the scene of the foreground.
        donor: Id of the scene of the background; "" if it is the same scene, none or unknown.
        label: True class in the set's own label space.
        native_label: True ImageNet index, or OUTSIDE if unknown.
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
        published: Whether the images are those published with a release.
        fingerprint: Digest of the definition of the scenes.
        digest: Digest of the pixels that the images are made from.
        rejected: Skipped scenes with reasons.
        images: Renders images on a device: ``images(positions, device)`` returns uint8 ``n 3 size size``.
        full: Scenes at full resolution if the variant is made there, before the network's resize and crop; None if it
            is made from prepared scenes.
        transform: Resize and crop applied to prepared images (`seen_through`); None if they are as prepared.
        prepared_size: Side of the prepared images before ``transform`` in pixels; 0 without it.
        uri: URI of the scenes, with an absolute path.
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
    transform: EvaluationTransform | None = None
    prepared_size: int = 0
    uri: str = ""

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, key: int | str) -> UInt8[Tensor, "3 h w"]:
        """Render one image by its position or by the id of its scene.

        Raises:
            UnknownName: If there is no such scene.
        """
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
        """Where the variant is made: ``prepared`` or ``full``."""
        return "prepared" if self.full is None else "full"

    def seen_through(self, transform: EvaluationTransform) -> Dataset:
        """Return the data set resized and cropped by the evaluation transform of a network.

        Images made at full resolution are transformed before anything else resizes them, prepared images afterwards.

        Args:
            transform: Resize and crop of the network.

        Raises:
            BadInput: If the prepared images have been transformed already.
        """
        if self.full is not None:
            return full_dataset(self.full, self.variant, transform)
        if self.transform is not None:
            raise BadInput(f"expected {self.name} as prepared, got images already seen through {self.transform.key}")
        images = self.images
        return replace(
            self,
            images=lambda positions, device: transform.batch(images(positions, device)),
            size=transform.size,
            transform=transform,
            prepared_size=self.size,
        )

    @property
    def key(self) -> str:
        """Name in result tables and folders, different for different pixels."""
        parts = [re.sub(r"[^A-Za-z0-9._]+", "-", self.name), self.fingerprint[:6]]
        # at full resolution the size depends on the network, and the name already contains "full"
        prepared_size = self.prepared_size or self.size
        if self.full is None and prepared_size != _USUAL_SIZE:
            parts.append(f"{prepared_size}px")
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
    """Compose a variant from scenes; images are rendered on access, in batches on the classifier's device.

    Args:
        scenes: A set, its prepared or full-resolution form, or a URI for `bglab.scenes.open_scenes`.
        variant: A name out of `VARIANTS` or `STREAMED`, or a variant of your own.
        seed: Seed of donors, textures and noise; ignored for `FullScenes`, whose settings contain one.
        size: Side of prepared images in pixels; ignored for prepared scenes.
        resolution: ``prepared`` makes the variant on images of ``size`` pixels (Noise or Signal); ``full`` makes it on
            the photograph before the network's resize and crop, from scenes whose foreground covers 5 % to 70 % of
            the image (Time for a Background Check!, section 3). None uses `default_resolution`.
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

    If the variants are made at both resolutions, so is ``original``, so that each can be compared with its original.

    Args:
        scenes: As for `compose`.
        variants: Names or variants; duplicates are composed once.
        seed: Seed of donors, textures and noise.
        size: Side of prepared images in pixels.
        resolution: Resolution of all variants; None uses `default_resolution` for each.
        progress: Whether to show a progress bar while scenes are prepared for the first time.

    Returns:
        The data sets in the order of the variants; ``original`` may occur once per resolution.

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
    """Return the full-resolution form of scenes."""
    if isinstance(scenes, FullScenes):
        return scenes
    source = scenes.scenes if isinstance(scenes, PreparedScenes) else scenes
    return reopen_full(source, StreamSettings(seed=seed), progress=progress)


def default_resolution(scenes: SceneSet | PreparedScenes | FullScenes, variant: str | Variant) -> Resolution:
    """Return the default resolution of a variant of some scenes.

    It is ``full`` for the variants of Time for a Background Check! on sets of photographs in their original size
    (``imagenet:``, ``voc:``, ``caltech101:``), and ``prepared`` otherwise.

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
        photographs = photographs or split_draw(variant)[0] not in VARIANTS  # these have no prepared form
        variant = find_streamed(variant)
    return "full" if find_variant(variant).is_full and photographs else "prepared"


def full_dataset(full: FullScenes, variant: Variant, transform: EvaluationTransform | None = None) -> Dataset:
    """Make a data set of a variant at full resolution.

    Args:
        full: From `open_full`.
        variant: A variant without donors, such as from `expand`.
        transform: Resize and crop of the network; None resizes to 256 and crops 224 pixels, bilinear.

    Returns:
        A data set with one row per scene. Unusable scenes raise ``BadInput`` when their image is rendered, and are
        skipped and reported when the data set is streamed.
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
        uri=absolute_uri(full.source if isinstance(full.source, str) else full.source.uri),
    )


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
    resident = scene_tensors(prepared)

    def images(positions: Positions, device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        wanted = _as_slice(usable[positions])
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
        uri=absolute_uri(source.uri),
    )


def open_published(scenes: SceneSet | str, variant: str, *, size: int = 224, progress: bool = True) -> Dataset:
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
        uri=absolute_uri(source.uri),
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
    """Convert consecutive positions to a slice, by which memory maps are read without a copy."""
    if positions.size and np.array_equal(positions, np.arange(positions[0], positions[0] + positions.size)):
        return slice(int(positions[0]), int(positions[0]) + positions.size)
    return positions
