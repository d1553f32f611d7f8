"""The adversarial-background search, whole: every foreground on every background (Noise or Signal, section 3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Int
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.models import Batching, Classifier
from bglab.results import NOT_EVALUATED, PairPredictions, PairStore, Protocol, open_pairs, pairs_folder, row_blocks
from bglab.scenes import PreparedScenes, SceneSet
from bglab.search.pair_batches import BatchSize, Clock, answer_blocks, start_batching
from bglab.search.pair_composer import Pairs
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator

#: Pairs a block, about: what a killed run loses at most (half a minute on a processor).
_BLOCK_PAIRS = 4096


def search_matrix(
    classifier: Classifier,
    scenes: SceneSet | PreparedScenes | str,
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
        classifier: From `load_classifier`.
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        results: Folder to keep the matrix in; finished rows of an earlier run are never computed again. None
            keeps it in memory.
        protocol: Which pairs to try; None tries all, and `bglab.analysis` narrows them afterwards.
        size: Side of the images in pixels; ignored for prepared scenes.
        block_rows: Foregrounds a file while the run works; None takes about four thousand pairs.
        batch_size: Images per forward pass; ``auto`` begins with what suits the device. A device that runs out
            of memory halves it either way.
        progress: Show a bar with the speed.

    Raises:
        BadInput: If classifier and scenes have no classes in common, the folder cannot be written, or it holds
            a matrix of other pixels or weights.
    """
    evaluator = open_evaluator(classifier, scenes, protocol, size=size, progress=progress)
    rows = max(1, _BLOCK_PAIRS // evaluator.shape[1]) if block_rows is None else block_rows
    if rows < 1:
        raise BadInput(f"expected blocks of at least 1 row, got {rows}")
    batching = start_batching(classifier, batch_size)
    if results is None:
        return _fill(evaluator, None, evaluator.head(progress=progress), rows, batching, progress=progress)
    folder = pairs_folder(Path(results), evaluator.key, classifier.spec.id)
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
    """Answer the rows that are missing, and keep each block once it is whole."""
    row_count = evaluator.shape[0]
    left = store.missing(row_count, block_rows) if store else row_blocks(np.arange(row_count), block_rows)
    allowed = head.allowed(evaluator.protocol)
    cells = _Cells([rows for rows in left if allowed[rows.start : rows.stop].any()], allowed)
    evaluator.get_ready()
    clock = Clock(head.run)
    title = f"{evaluator.classifier.spec.name} · pairs"
    with tqdm(total=cells.total, desc=title, unit="image", disable=not progress) as bar:
        for index, answers in enumerate(answer_blocks(evaluator, cells, batching, done=bar.update)):
            rows, native = cells.blocks[index], cells.spread(index, answers)
            head.native[rows.start : rows.stop] = native
            evaluator.composer.release()
            if store:
                store.write(rows, native)
                store.note(clock.note(batching))
    return store.finish(head.native) if store else replace(head, run=clock.note(batching))


@dataclass(frozen=True, eq=False)
class _Cells(Sequence[Pairs]):
    """The allowed pairs of blocks of rows, listed when their turn comes: all at once they would fill the memory."""

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
        """Lay a block's answers out as its rows of the matrix."""
        rows = self.blocks[index]
        allowed = self.allowed[rows.start : rows.stop]
        cells = np.full(allowed.shape, NOT_EVALUATED, dtype=np.int16)
        cells[allowed] = native
        return cells
