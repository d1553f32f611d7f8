"""The first-hit search: try the most promising backgrounds first, and stop at the first that fools the classifier.

The result is that of the full matrix: a foreground counts as robust only after all of its candidates failed. Forward
passes are saved on vulnerable foregrounds, and the order of the candidates is learned during the search.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bglab.errors import BadInput
from bglab.executors import current
from bglab.locations import place_of
from bglab.models import Batching, ClassifierLike
from bglab.progress import Bar
from bglab.results import (
    NOT_EVALUATED,
    Criterion,
    PairPredictions,
    PairStore,
    Protocol,
    open_pairs,
    pairs_folder,
    row_blocks,
    succeeds,
)
from bglab.scenes import ScenesLike
from bglab.search.pair_batches import BatchSize, Clock, answer_blocks, start_batching
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator
from bglab.search.pair_images import Pairs

#: Foregrounds are searched in groups of a quarter of a batch. Smaller groups classify fewer candidates of foregrounds
#: that are already fooled (the gain below this size is small); larger groups use the device better.
_GROUP_SHARE = 4
#: Images per batch on a CPU, fewer than a matrix takes: its streams are as busy, and fewer candidates are classified.
_CPU_BATCH = 24
#: The first rates are learned group by group, and later ones after each further quarter of the foregrounds.
_WAVE_SHARE = 4


@dataclass(frozen=True, eq=False)
class FirstHits:
    """For each foreground, whether some background fools the classifier.

    Attributes:
        criterion: What counts as fooled.
        pairs: Predictions of the pairs that were classified; NOT_EVALUATED elsewhere.
        searched: Marks the foregrounds that have a candidate under the protocol.
        vulnerable: Marks the foregrounds for which a background meets the criterion.
        forwards: Number of images classified, without the original images.
        brute_force: Number of images that classifying all candidates would take.
    """

    criterion: Criterion
    pairs: PairPredictions
    searched: Bool[np.ndarray, " f"]
    vulnerable: Bool[np.ndarray, " f"]
    forwards: int
    brute_force: int

    @property
    def share(self) -> float:
        """Fraction of the searched foregrounds that are vulnerable, in [0, 1]."""
        return float(self.vulnerable[self.searched].mean())


def first_hit(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    *,
    criterion: Criterion = "any",
    results: Path | str | None = None,
    protocol: Protocol | None = None,
    size: int = 224,
    batch_size: BatchSize = "auto",
    known: PairPredictions | None = None,
    progress: bool = True,
) -> FirstHits:
    """Determine which foregrounds are vulnerable to some background, classifying as few pairs as possible.

    Foregrounds are searched in groups. In each round, every foreground of the group that is not yet fooled tries its
    next candidates: one in the first round, then twice as many each time as long as the round fits into a batch.
    Candidates are ordered by their success rate so far on foregrounds of the same class, smoothed towards their rate
    on all classes; ties are broken by the order of the set. The rates are those before a wave of groups, a quarter of
    all foregrounds so far, so the groups of a wave can be searched at the same time.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes, or a URI for `open_scenes`.
        criterion: What counts as fooled: ``any`` error, or ``targeted``, a prediction of the background's class where
            it differs from the foreground's.
        results: Folder to store the result in, or its URL. An interrupted run resumes after its last finished group
            and writes the same bytes as an uninterrupted one. None stores nothing.
        protocol: Rules for which pairs are candidates; None stands for ``Protocol()``, all pairs.
        size: Side of the images in pixels; ignored for prepared scenes.
        batch_size: Images per forward pass; ``auto`` depends on the device. Halved when a device runs out of memory.
        known: Predictions of the same pairs from an earlier search, which are reused.
        progress: Show a bar.

    Raises:
        BadInput: If classifier and scenes have no classes in common, ``known`` holds predictions of other pairs, or
            the folder cannot be written to or holds results of other pixels or weights.
    """
    evaluator = open_evaluator(classifier, scenes, protocol, size=size, progress=progress)
    classifier = evaluator.classifier
    on_cpu = classifier.engine.device.type == "cpu"
    batching = start_batching(classifier, _CPU_BATCH if batch_size == "auto" and on_cpu else batch_size)
    store = None
    if results is not None:
        folder = pairs_folder(place_of(results), f"{evaluator.key}-{criterion}", classifier.spec.id, kind="first_hits")
        store = PairStore(folder, evaluator.provenance)
        if store.is_finished:
            return _first_hits(open_pairs(folder), criterion)
    head = store.begin(lambda: evaluator.head(progress=progress)) if store else evaluator.head(progress=progress)
    labels, classes = np.unique(head.foregrounds.labels, return_inverse=True)
    nothing = np.zeros((len(labels), len(head.backgrounds.ids)))
    candidates = _candidates(head, criterion)
    search = _Search(
        evaluator, head, criterion, batching, _known_cells(head, known), candidates, classes, nothing, nothing
    )
    return _first_hits(_run(search, store, progress=progress), criterion)


def summarise_hits(any_error: FirstHits, targeted: FirstHits) -> dict[str, Any]:
    """Compute the numbers of ``bglab search --mode first-hit --json`` from the hits under both criteria.

    ``per_class_total`` is empty: it needs the outcome for every class of backgrounds, which only the matrix has.

    Args:
        any_error: Result of `first_hit` with the criterion ``any``.
        targeted: Result of `first_hit` with the criterion ``targeted``.
    """
    pairs = any_error.pairs
    seconds = sum(hits.pairs.run.get("seconds", 0.0) for hits in (any_error, targeted))
    forwards = any_error.forwards + targeted.forwards
    return {
        "model": pairs.model,
        "dataset": pairs.dataset,
        "n": int(any_error.searched.sum()),
        "backgrounds": int(pairs.allowed(pairs.protocol).any(axis=0).sum()),
        "vulnerable_any": any_error.share,
        "vulnerable_targeted": targeted.share,
        "challenge_accuracy": 1 - any_error.share,
        "per_class_total": {},
        "accuracy_original": float(pairs.correct[any_error.searched].mean()),
        "forwards": forwards,
        "forwards_any": any_error.forwards,
        "forwards_brute_force": any_error.brute_force,
        "seconds": round(seconds, 3),
        "images_per_s": round(forwards / seconds, 2) if seconds else None,
    }


def _run(search: _Search, store: PairStore | None, *, progress: bool) -> PairPredictions:
    """Search the groups that are not stored yet, wave by wave, and store each when it is finished."""
    head, batching = search.head, search.batching
    count = len(head.foregrounds.ids)
    group = max(1, batching.size // _GROUP_SHARE)
    groups = store.missing(count, group) if store else row_blocks(np.arange(count), group)
    job, executor = _FirstHitJob(search, sum(map(len, groups)) * head.native.shape[1]), current()
    executor.get_ready(job)
    clock = Clock(head.run)
    title = f"{search.evaluator.classifier.spec.name} · first {search.criterion} hit"
    with Bar(
        total=count, initial=count - sum(map(len, groups)), desc=title, unit="foreground", disable=not progress
    ) as bar:
        for wave in _waves(count, group):
            left = [_Group(rows, search.tries, search.hits) for rows in groups if rows.start in wave]
            for index, cells in executor.run(job, left, clock.count):
                rows = left[index].rows
                head.native[rows.start : rows.stop] = cells
                bar.update(len(rows))
                if store:
                    store.write(rows, cells)
                    store.note(clock.note(batching))
            search.learn(np.array(wave))
    run = clock.note(batching)
    return store.finish(head.native, run) if store else replace(head, run=run)


def _waves(count: int, group: int) -> Iterator[range]:
    """Divide foregrounds into waves of whole groups, each a quarter of all before it.

    The groups of a wave are ordered by what the waves before it have shown, so they can be searched at the same time,
    and the result does not depend on how many are.
    """
    start = 0
    while start < count:
        stop = start + group * max(1, start // group // _WAVE_SHARE)
        yield range(start, min(stop, count))
        start = stop


class _Group(NamedTuple):
    """Foregrounds to search, with what is known before: tries and hits of each background, per class of foregrounds."""

    rows: range
    tries: Float[np.ndarray, "c b"]
    hits: Float[np.ndarray, "c b"]


@dataclass(frozen=True, eq=False)
class _FirstHitJob:
    """Searches groups of foregrounds.

    Attributes:
        search: What is searched, and how.
        most: Largest number of pairs to expect.
    """

    search: _Search
    most: int

    def get_ready(self) -> None:
        """Initialise the engine for this number of pairs."""
        self.search.evaluator.get_ready(self.most)

    def run(self, blocks: Sequence[_Group], done: Callable[[int], object]) -> Iterator[Int[np.ndarray, "r b"]]:
        """Return the rows of each group."""
        for block in blocks:
            found = replace(self.search, tries=block.tries, hits=block.hits).decide(np.array(block.rows), done)
            self.search.evaluator.composer.release()
            yield found

    def name(self, block: _Group) -> str:
        """Name the foregrounds of a group."""
        return f"foregrounds {block.rows.start} to {block.rows.stop - 1}"


@dataclass(eq=False)
class _Search:
    """State of a search: per class of foregrounds, how often each background was tried and how often it succeeded."""

    evaluator: PairEvaluator
    head: PairPredictions
    criterion: Criterion
    batching: Batching
    known: Int[np.ndarray, "f b"]
    allowed: Bool[np.ndarray, "f b"]
    classes: Int[np.ndarray, " f"]
    tries: Float[np.ndarray, "c b"]
    hits: Float[np.ndarray, "c b"]

    def decide(self, rows: Int[np.ndarray, " r"], done: Callable[[int], object]) -> Int[np.ndarray, "r b"]:
        """Classify pairs of a group of foregrounds until each is fooled or has no candidate left; return its rows."""
        cells = np.where(self.allowed[rows], self.known[rows], NOT_EVALUATED).astype(np.int16)
        orders = {row: order for row, order in self._orders(rows, cells).items() if order.size}
        each = 1
        while orders:
            pairs = _next_candidates(orders, each)
            (native,) = answer_blocks(self.evaluator, [pairs], self.batching, done=done)
            cells[pairs.rows - rows[0], pairs.columns] = native
            fooled = set(pairs.rows[self._success(pairs, native)].tolist())
            orders = {row: order[each:] for row, order in orders.items() if row not in fooled and order.size > each}
            each = max(1, min(2 * each, self.batching.size // max(1, len(orders))))
        return cells

    def learn(self, rows: Int[np.ndarray, " r"]) -> None:
        """Update the counts of tries and successes with finished foregrounds."""
        cells = self.head.native[rows]
        row, column = np.nonzero(cells != NOT_EVALUATED)
        success = self._success(Pairs(rows[row], column), cells[row, column])
        place = (self.classes[rows[row]], column)
        # new arrays, since the earlier ones may be on their way to workers
        self.tries, self.hits = self.tries.copy(), self.hits.copy()
        np.add.at(self.tries, place, 1)
        np.add.at(self.hits, place, success)

    def _orders(self, rows: Int[np.ndarray, " r"], cells: Int[np.ndarray, "r b"]) -> dict[int, Int[np.ndarray, " k"]]:
        """List the untried candidates of each foreground not known to be fooled, the most promising first."""
        overall = (self.hits.sum() + 1) / (self.tries.sum() + 2)
        by_background = (self.hits.sum(axis=0) + overall) / (self.tries.sum(axis=0) + 1)
        orders: dict[int, Int[np.ndarray, " k"]] = {}
        for row, known in zip(rows.tolist(), cells, strict=True):
            columns = np.flatnonzero(known != NOT_EVALUATED)
            if self._success(Pairs(np.full(columns.size, row), columns), known[columns]).any():
                continue
            rate = (self.hits[self.classes[row]] + by_background) / (self.tries[self.classes[row]] + 1)
            left = np.flatnonzero(self.allowed[row] & (known == NOT_EVALUATED))
            orders[row] = left[np.argsort(-rate[left], kind="stable")]
        return orders

    def _success(self, pairs: Pairs, native: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        own, other = self.head.foregrounds.labels[pairs.rows], self.head.backgrounds.labels[pairs.columns]
        return succeeds(self.criterion, self.head.decide(native), own, other)


def _next_candidates(orders: dict[int, Int[np.ndarray, " k"]], each: int) -> Pairs:
    """Return the next ``each`` candidates of every foreground that is not yet fooled."""
    chosen = [order[:each] for order in orders.values()]
    return Pairs(np.repeat(list(orders), [len(c) for c in chosen]), np.concatenate(chosen))


def _known_cells(head: PairPredictions, known: PairPredictions | None) -> Int[np.ndarray, "f b"]:
    if known is None:
        return np.full(head.native.shape, NOT_EVALUATED, dtype=np.int16)
    names = ("weights_sha256", "pixels", "foregrounds", "backgrounds")
    if any(known.provenance[name] != head.provenance[name] for name in names):
        raise BadInput(
            f"expected known predictions of {head.model} on {head.dataset}, got those of {known.model} on "
            f"{known.dataset}; leave them out"
        )
    return np.asarray(known.native)


def _candidates(head: PairPredictions, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
    """Mark the pairs that can meet the criterion: targeted at another class, backgrounds of the own class cannot."""
    allowed = head.allowed(head.protocol)
    if criterion == "targeted":
        allowed &= head.foregrounds.labels[:, None] != head.backgrounds.labels
    return allowed


def _first_hits(pairs: PairPredictions, criterion: Criterion) -> FirstHits:
    candidates = _candidates(pairs, criterion)
    tried = candidates & (np.asarray(pairs.native) != NOT_EVALUATED)
    success = succeeds(criterion, pairs.predictions(), pairs.foregrounds.labels[:, None], pairs.backgrounds.labels)
    return FirstHits(
        criterion=criterion,
        pairs=pairs,
        searched=np.asarray(pairs.allowed(pairs.protocol).any(axis=1)),
        vulnerable=np.asarray((tried & success).any(axis=1)),
        forwards=int(pairs.run.get("forwards", 0)),
        brute_force=int(candidates.sum()),
    )
