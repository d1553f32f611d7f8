"""The full adversarial-background search: every foreground on every background (Noise or Signal, section 3)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int

from bglab.errors import BadInput
from bglab.executors import current
from bglab.locations import place_of
from bglab.models import Batching, ClassifierLike
from bglab.progress import Bar
from bglab.results import NOT_EVALUATED, PairPredictions, PairStore, Protocol, open_pairs, pairs_folder, row_blocks
from bglab.scenes import ScenesLike
from bglab.search.pair_batches import BatchSize, Clock, answer_blocks, start_batching
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator
from bglab.search.pair_images import Pairs

#: Approximate number of pairs per block, the most that an interrupted run loses (half a minute on a CPU).
_BLOCK_PAIRS = 4096


def search_matrix(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    *,
    results: Path | str | None = None,
    protocol: Protocol | None = None,
    size: int = 224,
    block_rows: int | None = None,
    batch_size: BatchSize = "auto",
    progress: bool = True,
) -> PairPredictions:
    """Classify every foreground on every tiled background.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes, or a URI for `open_scenes`.
        results: Folder to store the matrix in, or its URL; an interrupted run resumes with its first missing row. None
            keeps the matrix in memory only.
        protocol: Rules for which pairs are tried; None tries all pairs, which `bglab.analysis` can restrict afterwards.
        size: Side of the images in pixels; ignored for prepared scenes.
        block_rows: Foregrounds per block, the unit of storing and resuming; None chooses blocks of about 4,096 pairs.
        batch_size: Images per forward pass; ``auto`` depends on the device. Halved when a device runs out of memory.
        progress: Show a bar with the speed.

    Returns:
        One row per foreground and one column per background; NOT_EVALUATED where the protocol skips a pair.

    Raises:
        BadInput: If classifier and scenes have no classes in common, a block has no rows, or the folder cannot be
            written to or holds a matrix of other pixels or weights.
    """
    evaluator = open_evaluator(classifier, scenes, protocol, size=size, progress=progress)
    classifier = evaluator.classifier
    rows = max(1, _BLOCK_PAIRS // evaluator.shape[1]) if block_rows is None else block_rows
    if rows < 1:
        raise BadInput(f"expected blocks of at least 1 row, got {rows}")
    batching = start_batching(classifier, batch_size)
    if results is None:
        return _fill(evaluator, None, evaluator.head(progress=progress), rows, batching, progress=progress)
    folder = pairs_folder(place_of(results), evaluator.key, classifier.spec.id)
    store = PairStore(folder, evaluator.provenance)
    if store.is_finished:
        return open_pairs(folder)
    head = store.begin(lambda: evaluator.head(progress=progress))
    return _fill(evaluator, store, head, rows, batching, progress=progress)


def _fill(
    evaluator: PairEvaluator,
    store: PairStore | None,
    head: PairPredictions,
    block_rows: int,
    batching: Batching,
    *,
    progress: bool,
) -> PairPredictions:
    """Classify the missing rows, and store each block when it is finished."""
    row_count = evaluator.shape[0]
    left = store.missing(row_count, block_rows) if store else row_blocks(np.arange(row_count), block_rows)
    allowed = head.allowed(evaluator.protocol)
    cells = _Cells([rows for rows in left if allowed[rows.start : rows.stop].any()], allowed)
    job, executor = _MatrixJob(evaluator, batching, cells.total), current()
    executor.get_ready(job)
    clock = Clock(head.run)
    title = f"{evaluator.classifier.spec.name} · pairs"
    with Bar(total=cells.total, desc=title, unit="image", disable=not progress) as bar:

        def done(images: int) -> None:
            bar.update(images)
            clock.count(images)

        for index, predictions in executor.run(job, cells, done):
            rows, native = cells.blocks[index], cells.spread(index, predictions)
            head.native[rows.start : rows.stop] = native
            if store:
                store.write(rows, native)
                store.note(clock.note(batching))
    run = clock.note(batching)
    return store.finish(head.native, run) if store else replace(head, run=run)


@dataclass(frozen=True, eq=False)
class _MatrixJob:
    """Classifies blocks of pairs.

    Attributes:
        evaluator: Classifies pairs.
        batching: Images per forward pass.
        total: Number of pairs in all blocks.
    """

    evaluator: PairEvaluator
    batching: Batching
    total: int

    def get_ready(self) -> None:
        """Initialise the engine for this number of pairs."""
        self.evaluator.get_ready(self.total)

    def run(self, blocks: Sequence[Pairs], done: Callable[[int], object]) -> Iterator[Int[np.ndarray, " n"]]:
        """Predict the classes of each block's pairs."""
        for native in answer_blocks(self.evaluator, blocks, self.batching, done=done):
            self.evaluator.composer.release()
            yield native

    def name(self, block: Pairs) -> str:
        """Name the foregrounds of a block."""
        return f"foregrounds {block.rows[0]} to {block.rows[-1]}"


@dataclass(frozen=True, eq=False)
class _Cells(Sequence[Pairs]):
    """The allowed pairs of each block of rows, listed on access: lists of all pairs would fill the memory."""

    blocks: list[range]
    allowed: Bool[np.ndarray, "f b"]

    @property
    def total(self) -> int:
        """Number of pairs in all blocks."""
        return int(sum(self.allowed[rows.start : rows.stop].sum() for rows in self.blocks))

    def __len__(self) -> int:
        return len(self.blocks)

    def __getitem__(self, index: Any) -> Any:
        rows = self.blocks[index]
        row, column = np.nonzero(self.allowed[rows.start : rows.stop])
        return Pairs(row + rows.start, column)

    def spread(self, index: int, native: Int[np.ndarray, " n"]) -> Int[np.ndarray, "r b"]:
        """Arrange a block's predictions as its rows of the matrix."""
        rows = self.blocks[index]
        allowed = self.allowed[rows.start : rows.stop]
        cells = np.full(allowed.shape, NOT_EVALUATED, dtype=np.int16)
        cells[allowed] = native
        return cells
