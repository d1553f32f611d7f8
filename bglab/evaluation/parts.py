"""Tables that are computed in parts, which are stored until the table is complete."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from bglab.executors import Job, current
from bglab.results import Part, PartFiles, decode_part


def compute_parts(
    job: Job[range, tuple[bytes, ...]],
    blocks: Sequence[range],
    files: Sequence[PartFiles | None],
    schema: pa.Schema,
    done: Callable[[int], object],
) -> list[list[Part]]:
    """Compute the parts of some tables that are made together, and store each until its table is complete.

    Args:
        job: Returns the encoded part of each table for a block of rows.
        blocks: Blocks of rows, in order.
        files: Where the parts of each table are stored; None stores none.
        schema: Columns of the tables.
        done: Called with numbers of classified images.

    Returns:
        For each table its parts, in order.
    """
    stored = [{} if place is None else place.stored(blocks) for place in files]
    found = {block: tuple(parts[block] for parts in stored) for block in blocks if all(block in p for p in stored)}
    left = [block for block in blocks if block not in found]
    for index, contents in current().run(job, left, done):
        found[left[index]] = contents
        for place, content in zip(files, contents, strict=True):
            if place is not None and len(blocks) > 1:
                place.write(left[index], content)
    return [[decode_part(found[block][i], schema) for block in blocks] for i in range(len(files))]
