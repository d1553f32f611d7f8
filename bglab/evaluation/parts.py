"""Tables that are computed in parts, which are stored until the table is complete."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import NamedTuple

import pyarrow as pa

from bglab.executors import Job, current
from bglab.progress import Bar
from bglab.results import Part, PartFiles, decode_part


class Computed(NamedTuple):
    """Tables that were computed together.

    Attributes:
        tables: The parts of each table, in order.
        seconds: Duration of this run in seconds.
        images_per_s: Images per second of this run, without those of parts that were stored before.
    """

    tables: list[list[Part]]
    seconds: float
    images_per_s: float


def compute_tables(
    job: Job[range, tuple[bytes, ...]],
    blocks: Sequence[range],
    files: Sequence[PartFiles | None],
    schema: pa.Schema,
    *,
    title: str,
    total: int,
    progress: bool,
) -> Computed:
    """Compute the parts of some tables that are made together, and store each until its table is complete.

    Args:
        job: Returns the encoded part of each table for a block of rows.
        blocks: Blocks of rows, in order.
        files: Where the parts of each table are stored; None stores none.
        schema: Columns of the tables.
        title: Title of the progress bar.
        total: Number of images of all tables.
        progress: Whether to show the progress bar.
    """
    executor = current()
    executor.get_ready(job)
    started, images = time.perf_counter(), 0
    stored = [{} if place is None else place.stored(blocks) for place in files]
    found = {block: tuple(parts[block] for parts in stored) for block in blocks if all(block in p for p in stored)}
    left = [block for block in blocks if block not in found]
    with Bar(total=total, desc=title, unit="image", disable=not progress) as bar:

        def done(count: int) -> None:
            nonlocal images
            bar.update(count)
            images += count

        for index, contents in executor.run(job, left, done):
            found[left[index]] = tuple(decode_part(content, schema) for content in contents)
            for place, content in zip(files, contents, strict=True):
                if place is not None and len(blocks) > 1:
                    place.write(left[index], content)
    seconds = time.perf_counter() - started
    return Computed([[found[block][i] for block in blocks] for i in range(len(files))], seconds, images / seconds)
