"""Data sets to classify: a variant composed from scenes, or a release's own images of it."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.errors import BadInput, UnknownName
from bglab.labels import OUTSIDE
from bglab.scenes import PreparedScenes, Rejection, SceneSet, memory_bytes, open_scenes, prepare, prepare_published
from bglab.variants.rules import SceneBatch
from bglab.variants.variant import Variant, find_variant, pair_donors, render

Positions = slice | Sequence[int] | Int[np.ndarray, " n"]

_USUAL_SIZE = 224

#: Part of a device's free memory that resident scenes may take.
_RESIDENT_SHARE = 0.4


class DatasetRow(NamedTuple):
    """What is known of one image of a data set.

    Attributes:
        scene: Whose foreground it shows.
        donor: Whose background it shows; "" if its own, none, or unknown.
        label: True class in the set's own label space.
        native_label: True ImageNet index, or OUTSIDE.
    """

    scene: str
    donor: str
    label: int
    native_label: int


@dataclass(frozen=True, eq=False)
class Dataset:
    """An ordered set of images of one variant, rendered when asked for.

    Attributes:
        name: Of the scenes, as result folders carry it.
        variant: What the images show.
        space: Label space of ``label``.
        classes: Names of that space's classes.
        rows: One entry an image.
        size: Side of the images in pixels.
        seed: Of donors, textures and noise.
        published: Whether the pixels are a release's own.
        fingerprint: Of the scenes' definition.
        digest: Of the pixels the images are made from.
        rejected: Scenes that take no part, and why.
        images: Renders rows on a device: ``images(positions, device)`` gives uint8 ``n 3 size size``.
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
    def key(self) -> str:
        """Name for result tables and folders: unlike pixels never share one."""
        parts = [re.sub(r"[^A-Za-z0-9._]+", "-", self.name), self.fingerprint[:6]]
        if self.size != _USUAL_SIZE:
            parts.append(f"{self.size}px")
        if self.published:
            parts.append("published")
        elif self.seed:
            parts.append(f"seed{self.seed}")
        return "-".join(parts)


def compose(
    scenes: SceneSet | PreparedScenes | str,
    variant: str | Variant,
    *,
    seed: int = 0,
    size: int = 224,
    progress: bool = True,
) -> Dataset:
    """Compose a variant from scenes; images are rendered batch by batch, on the classifier's device.

    Args:
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        variant: A name out of `VARIANTS`, or a variant of your own.
        seed: Of donors, textures and noise.
        size: Side of the images in pixels; ignored for prepared scenes, which have one.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If no scene of the set can show the variant.

    Example:
        >>> dataset = compose("synthetic9?n=18&size=32", "mixed_next", size=32, progress=False)
        >>> len(dataset), dataset.rows[0].label
        (18, 0)
    """
    chosen = find_variant(variant)
    prepared = scenes if isinstance(scenes, PreparedScenes) else _prepared(scenes, size, progress)
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
    source = open_scenes(scenes) if isinstance(scenes, str) else scenes
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


def _prepared(scenes: SceneSet | str, size: int, progress: bool) -> PreparedScenes:  # noqa: FBT001 - private
    return prepare(open_scenes(scenes) if isinstance(scenes, str) else scenes, size, progress=progress)


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


@functools.lru_cache(maxsize=2)
def scene_tensors(prepared: PreparedScenes) -> SceneTensors:
    """Give the tensors of prepared scenes; all variants of a set share one upload to a device."""
    return SceneTensors(prepared)


class SceneTensors:
    """Prepared scenes as tensors: memory-mapped on the processor, uploaded once to a device with room."""

    def __init__(self, prepared: PreparedScenes) -> None:
        self._prepared = prepared
        self._ids = np.array(prepared.scenes.ids, dtype=object)
        self._uploaded: dict[str, dict[str, Tensor]] = {}

    def batch(self, positions: slice | Int[np.ndarray, " n"], device: torch.device | str) -> SceneBatch:
        """Give some scenes on a device."""
        arrays = self._on(torch.device(device))
        if isinstance(positions, slice):
            parts = {name: array[positions] for name, array in arrays.items()}
        else:
            index = torch.from_numpy(np.asarray(positions))
            parts = {name: array[index.to(array.device)] for name, array in arrays.items()}
        moved = {name: part.to(device, non_blocking=True) for name, part in parts.items()}
        return SceneBatch(ids=tuple(self._ids[positions]), **moved)

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        """Give the whole set on the device if it fits there, else memory-mapped on the processor."""
        if str(device) not in self._uploaded:
            names = ("images", "masks", "plates", "boxes")
            mapped = {name: torch.from_numpy(np.asarray(getattr(self._prepared, name))) for name in names}
            if device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(device)
                if memory_bytes(len(self._prepared), self._prepared.size) < _RESIDENT_SHARE * free:
                    mapped = {name: array.to(device) for name, array in mapped.items()}
            self._uploaded[str(device)] = mapped
        return self._uploaded[str(device)]
