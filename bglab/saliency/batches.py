"""Batches of images to explain, with their masks and the original photographs."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.images import EvaluationTransform
from bglab.models import upload
from bglab.scenes import PreparedScenes, Rejection
from bglab.variants import VARIANTS, Dataset, DatasetRow, stream

_LOG = logging.getLogger(__name__)


class ImageBatch(NamedTuple):
    """A batch of images of a variant.

    Attributes:
        rows: Scene, donor and labels of each image.
        images: RGB images in [0, 255], on the classifier's device.
        photographs: The unmodified images of the same scenes; None if ``images`` are these.
        masks: True on the object, or where the variant has removed it.
        rejected: Scenes found unusable since the previous batch.
    """

    rows: tuple[DatasetRow, ...]
    images: UInt8[Tensor, "n 3 s s"]
    photographs: UInt8[Tensor, "n 3 s s"] | None
    masks: Bool[np.ndarray, "n s s"]
    rejected: tuple[Rejection, ...] = ()


def prepared_batches(
    dataset: Dataset, original: Dataset, prepared: PreparedScenes, device: torch.device, batch_size: int
) -> Iterator[ImageBatch]:
    """Render batches of a data set of prepared scenes.

    Args:
        dataset: Data set to explain; the scene of every row must be in ``prepared`` (see `with_masks`).
        original: The same scenes, unmodified, seen through the same transform.
        prepared: Prepared scenes with the masks.
        device: Device of the images.
        batch_size: Images per batch.
    """
    where = {row.scene: i for i, row in enumerate(original.rows)}
    at = np.array([where[row.scene] for row in dataset.rows])
    is_original, transform = dataset.variant.name == "original", dataset.transform
    for first in range(0, len(dataset), batch_size):
        part = slice(first, min(first + batch_size, len(dataset)))
        rows = dataset.rows[part]
        places = [prepared.scenes.positions[row.scene] for row in rows]
        yield ImageBatch(
            rows,
            dataset.images(part, device),
            None if is_original else original.images(at[part], device),
            seen_masks(np.asarray(prepared.masks[places]), transform),
        )


def seen_masks(masks: Bool[np.ndarray, "n h w"], transform: EvaluationTransform | None) -> Bool[np.ndarray, "n s s"]:
    """Resize and crop masks like their images; unchanged without a transform."""
    return masks if transform is None else np.stack([transform.mask(mask) for mask in masks])


def streamed_batches(
    dataset: Dataset, transform: EvaluationTransform, device: torch.device, batch_size: int
) -> Iterator[ImageBatch]:
    """Stream batches of a data set at full resolution; each photograph is decoded once for image, original and mask.

    Args:
        dataset: Data set at full resolution (`Dataset.full` is not None).
        transform: The network's resize and crop.
        device: Device of the images.
        batch_size: Images per batch.
    """
    full, is_original = dataset.full, dataset.variant.name == "original"
    assert full is not None, "only full-resolution data sets have it"
    variants = [dataset.variant] if is_original else [dataset.variant, VARIANTS["original"]]
    for block in stream(full, variants, transform, block_size=batch_size, with_masks=True):
        if not block.records or block.masks is None:
            yield ImageBatch((), torch.empty(0), None, np.empty((0, 1, 1), dtype=bool), block.rejected)
            continue
        rows = zip(block.records, block.donors[0], strict=True)
        images = [upload(torch.from_numpy(crops), device) for crops in block.crops]
        yield ImageBatch(
            tuple(DatasetRow(r.id, donor, r.label, r.native_label) for r, donor in rows),
            images[0],
            None if is_original else images[1],
            block.masks,
            block.rejected,
        )


def with_masks(dataset: Dataset, prepared: PreparedScenes) -> Dataset:
    """Drop the published images whose scene has no usable mask; a warning gives their number.

    Args:
        dataset: Data set of prepared images.
        prepared: Prepared scenes with the masks.

    Raises:
        BadInput: If no image is left.
    """
    known = prepared.scenes.positions
    kept = np.array([i for i, row in enumerate(dataset.rows) if row.scene in known], dtype=np.int64)
    if len(kept) == len(dataset):
        return dataset
    if not len(kept):
        raise BadInput(
            f"expected images of the scenes of {prepared.scenes.name}, but none of {dataset.name}, "
            f"{dataset.variant.name}, shows one; open both from the same set"
        )
    absent = next(row.scene for row in dataset.rows if row.scene not in known)
    count = len(dataset) - len(kept)
    _LOG.warning("%d images of %s are skipped, %s first: no usable mask", count, dataset.variant.name, absent)
    images, rows = dataset.images, tuple(dataset.rows[i] for i in kept)
    return replace(dataset, rows=rows, images=lambda positions, device: images(kept[positions], device))
