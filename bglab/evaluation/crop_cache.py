"""A cache of finished crops on disk, so that the next network with the same transform decodes no photograph.

The crops of one variant are a raw uint8 file ``n 3 s s`` with an index of scenes, donors and rejections in JSON.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bglab.cache_entries import CacheEntry
from bglab.images import EvaluationTransform
from bglab.scenes import Rejection, SceneRecord
from bglab.variants import Block, FullScenes, Variant

_CROPS, _INDEX = "crops.raw", "index.json"


def crop_entry(full: FullScenes, variant: Variant, transform: EvaluationTransform) -> CacheEntry:
    """Return the cache entry of a variant's crops, whether it exists or not."""
    definition = full.definition(variant, transform)
    return CacheEntry(f"crops/{full.by_box.fingerprint}-{definition}", definition, "crops")


def cached_blocks(
    full: FullScenes, variant: Variant, transform: EvaluationTransform, block_size: int
) -> Iterator[Block] | None:
    """Read the cached crops of a variant as blocks.

    Args:
        full: From `bglab.variants.open_full`.
        variant: Variant of the crops.
        transform: Resize and crop of the network.
        block_size: Scenes per block.

    Returns:
        The blocks, memory-mapped, in the order of the scenes; None if the variant has no complete cache.
    """
    folder = crop_entry(full, variant, transform).find()
    if folder is None:
        return None
    try:
        index = json.loads((folder / _INDEX).read_text())
        shape = (len(index["scenes"]), 3, transform.size, transform.size)
        crops = np.memmap(folder / _CROPS, dtype=np.uint8, mode="c", shape=shape)
    except (OSError, ValueError):  # replaced by another process since it was found, or without a single scene
        return None
    return _from_index(full, variant, index, crops, block_size)


def _from_index(full: FullScenes, variant: Variant, index: dict, crops: np.ndarray, size: int) -> Iterator[Block]:
    known: dict[str, SceneRecord] = {record.id: record for record in full.by_box.records}
    records = tuple(known[scene] for scene in index["scenes"])
    rejected = tuple(Rejection(*entry) for entry in index["rejected"])
    for start in range(0, len(records), size):
        part = slice(start, start + size)
        donors = (tuple(index["donors"][part]),)
        yield Block((variant.name,), records[part], donors, crops[None, part], () if start else rejected)


def cache_crops(
    full: FullScenes, variants: Sequence[Variant], transform: EvaluationTransform, blocks: Iterator[Block]
) -> Iterator[Block]:
    """Yield blocks unchanged and cache their crops; an interrupted run leaves no cache.

    Args:
        full: From `bglab.variants.open_full`.
        variants: Variants of the blocks, in their order.
        transform: Resize and crop of the network.
        blocks: From `bglab.variants.stream`, with the same arguments.

    Raises:
        BadInput: If the cache cannot be written; without ``keep_crops`` in the settings, none is.
    """
    with ExitStack() as stack:
        entries = [crop_entry(full, variant, transform) for variant in variants]
        writers = [stack.enter_context(_CropWriter(stack.enter_context(entry.make()))) for entry in entries]
        for block in blocks:
            for writer, donors, crops in zip(writers, block.donors, block.crops, strict=True):
                writer.add(block, donors, crops)
            yield block


class _CropWriter:
    """Writes the crops of one variant to the folder of a cache entry."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.index: dict[str, list] = {"scenes": [], "donors": [], "rejected": []}
        self.stream: BinaryIO = (folder / _CROPS).open("wb")

    def __enter__(self) -> _CropWriter:
        return self

    def __exit__(self, kind: object, problem: object, trace: object) -> None:
        """Close the file, and write the index if all blocks were added."""
        self.stream.close()
        if problem is None:
            (self.folder / _INDEX).write_text(json.dumps(self.index))

    def add(self, block: Block, donors: Sequence[str], crops: np.ndarray) -> None:
        """Append the crops of one block."""
        self.stream.write(np.ascontiguousarray(crops).tobytes())
        self.index["scenes"] += [record.id for record in block.records]
        self.index["donors"] += donors
        self.index["rejected"] += [list(rejection) for rejection in block.rejected]
