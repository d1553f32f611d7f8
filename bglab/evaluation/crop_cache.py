"""A cache of finished crops on disk, so that the next network with the same transform decodes no photograph.

The crops of one variant are a raw uint8 file ``n 3 s s`` with an index of scenes, donors and rejections in JSON.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bglab.errors import BadInput
from bglab.files import data_root, writable_folder
from bglab.images import EvaluationTransform
from bglab.scenes import Rejection, SceneRecord
from bglab.variants import Block, FullScenes, Variant


def crop_file(full: FullScenes, variant: Variant, transform: EvaluationTransform) -> Path:
    """Return the path of a variant's cached crops; they are complete once the index with suffix ``.json`` exists."""
    name = f"{full.by_box.fingerprint}-{full.definition(variant, transform)}.raw"
    return data_root() / "cache" / "crops" / name


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
    file = crop_file(full, variant, transform)
    try:
        index = json.loads(file.with_suffix(".json").read_text())
        shape = (len(index["scenes"]), 3, transform.size, transform.size)
        crops = np.memmap(file, dtype=np.uint8, mode="c", shape=shape)
    except (OSError, ValueError, KeyError):
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
        BadInput: If the cache cannot be written.
    """
    writers = [_CropWriter(crop_file(full, variant, transform)) for variant in variants]
    try:
        for block in blocks:
            for writer, donors, crops in zip(writers, block.donors, block.crops, strict=True):
                writer.add(block, donors, crops)
            yield block
        for writer in writers:
            writer.finish()
    except OSError as problem:
        raise BadInput(
            f"expected to cache crops under {data_root() / 'cache' / 'crops'}, but {problem.strerror or problem}; free "
            "some space, or set keep_crops=False in StreamSettings"
        ) from None
    finally:
        for writer in writers:
            writer.close()


class _CropWriter:
    """Writes the crops of one variant to a temporary file that is renamed once it is complete."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.scratch = writable_folder(file.parent) / f".{os.getpid()}-{file.name}"
        self.index: dict[str, list] = {"scenes": [], "donors": [], "rejected": []}
        self.stream: BinaryIO = self.scratch.open("wb")

    def add(self, block: Block, donors: Sequence[str], crops: np.ndarray) -> None:
        """Append the crops of one block."""
        self.stream.write(np.ascontiguousarray(crops).tobytes())
        self.index["scenes"] += [record.id for record in block.records]
        self.index["donors"] += donors
        self.index["rejected"] += [list(rejection) for rejection in block.rejected]

    def finish(self) -> None:
        """Rename both files to their final names, the index last."""
        self.stream.close()
        self.scratch.replace(self.file)
        index = self.scratch.with_suffix(".json")
        index.write_text(json.dumps(self.index))
        index.replace(self.file.with_suffix(".json"))

    def close(self) -> None:
        """Close the file, and remove it unless it was finished."""
        self.stream.close()
        self.scratch.unlink(missing_ok=True)
