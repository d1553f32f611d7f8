"""Data sets of images of one variant, and those whose variant is made at full resolution; `compose` makes them."""

from __future__ import annotations

import functools
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
from bglab.models import upload
from bglab.scenes import Rejection, absolute_uri
from bglab.variants.full_resolution import FullScenes, region_of
from bglab.variants.streaming import stream
from bglab.variants.variant import Variant

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

    def part(self, start: int, stop: int) -> Dataset:
        """Return the rows from ``start`` to before ``stop``, which keep the digest of the whole set."""
        places, images = np.arange(len(self))[start:stop], self.images
        return replace(self, rows=self.rows[start:stop], images=lambda wanted, device: images(places[wanted], device))

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
        images=functools.partial(_render_full, full, variant, chosen),
        full=full,
        uri=absolute_uri(full.source if isinstance(full.source, str) else full.source.uri),
    )


def _render_full(
    full: FullScenes,
    variant: Variant,
    transform: EvaluationTransform,
    positions: Positions,
    device: torch.device | str,
) -> UInt8[Tensor, "n 3 h w"]:
    """Render images at full resolution; a function of its own, so that a data set can be sent to a worker."""
    scenes = full.scenes(region_of(variant))
    wanted = [scenes.ids[i] for i in np.arange(len(scenes))[positions]]
    blocks = list(stream(full.select(wanted), [variant], transform, block_size=max(1, len(wanted))))
    found = {r.id: crop for block in blocks for r, crop in zip(block.records, block.crops[0], strict=True)}
    for rejection in (rejection for block in blocks for rejection in block.rejected):
        raise BadInput(rejection.reason)
    return upload(torch.from_numpy(np.stack([found[scene] for scene in wanted])), device)
