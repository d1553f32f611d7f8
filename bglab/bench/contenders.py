"""The contenders of the benchmark: the reference loop, our searches, and the bare forward pass as their baseline.

All contenders process the same foregrounds and backgrounds. The reference loop reads the backgrounds from image files;
ours hold the images decoded from the same files in memory.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor

from bglab.bench.forwards import BareForward, best_forward, single_forward
from bglab.bench.reference_loop import BATCH_SIZE, WORKERS, eager_copy, reference_search
from bglab.errors import BadInput
from bglab.evaluation import predict
from bglab.images import from_levels, read_image
from bglab.models import MANY, Classifier, Normalised
from bglab.results import PairPredictions
from bglab.scenes import PreparedScenes
from bglab.search import FirstHits, PairEvaluator, Pairs, first_hit, open_evaluator, search_matrix, start_batching
from bglab.seeding import digest
from bglab.variants import Dataset, Positions, compose

#: JPEG quality of background files that are not part of a release.
_QUALITY = 95
#: Searches record their time in milliseconds; shorter ones, as in tests, would be recorded as zero.
_TICK_S = 0.001
#: Synchronisation of devices that compute asynchronously.
_SYNCHRONIZE: Mapping[str, Callable[[], object]] = MappingProxyType(
    {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
)


@dataclass(frozen=True)
class Plan:
    """Amount of work of a benchmark.

    Attributes:
        rounds: Number of rounds; every contender is measured in each.
        workers: Numbers of DataLoader workers of the reference loop, each measured separately.
        scenes_per_class: Scenes per class.
        images: Images of a prediction run, about as many as IN-9 has.
        files: Backgrounds per foreground of the reference loop without early stopping, repeated if there are fewer; the
            more there are, the less the start of the worker processes counts.
        written: Foregrounds per round of the reference loop with early stopping.
        map_batch: Batch size of class activation maps.
        seconds: Minimum duration of a measurement in seconds; contenders repeat their work until it has passed.
    """

    rounds: int = 3
    workers: tuple[int, ...] = (WORKERS, 0, 1, 2, 4)
    scenes_per_class: int = 8
    images: int = 4096
    files: int = 128
    written: int = 3
    map_batch: int = 32
    seconds: float = 1.0


def plan_for(classifier: Classifier, rounds: int = 3) -> Plan:
    """Choose the amount of work by the classifier's device: more on a GPU.

    Args:
        classifier: Classifier to be timed.
        rounds: Number of rounds.

    Raises:
        BadInput: If ``rounds`` is less than 1.
    """
    if rounds < 1:
        raise BadInput(f"expected at least 1 round, got {rounds}")
    if classifier.engine.device.type == "cpu":
        return Plan(rounds)
    return Plan(rounds, scenes_per_class=40, images=16384, files=1024, map_batch=128)


class Timing(NamedTuple):
    """One measurement.

    Attributes:
        images: Number of images composed, classified or explained.
        seconds: Elapsed time in seconds.
        foregrounds: Number of foregrounds searched; 0 if the contender is no search.
    """

    images: int
    seconds: float
    foregrounds: int = 0

    @property
    def rate(self) -> float:
        """Images per second."""
        return self.images / self.seconds


@dataclass(frozen=True, eq=False)
class Contender:
    """A piece of work to be timed.

    Attributes:
        name: Key in the report, stable across runs and versions.
        title: Description, shown in the printed table.
        step: Function from the number of the round to its timing; None if it cannot be timed on this machine.
        note: Reason why it cannot be timed.
        baseline: Name of the contender that is timed directly before and after it; "" for none.
    """

    name: str
    title: str
    step: Callable[[int], Timing] | None
    note: str = ""
    baseline: str = ""


class LoopLogits(NamedTuple):
    """Output of the reference loop for one foreground.

    Attributes:
        row: Row of the foreground in the pair matrix.
        columns: Columns of the backgrounds, in the order of the loop.
        logits: Logits of each composed image.
    """

    row: int
    columns: Int[np.ndarray, " n"]
    logits: Float[Tensor, "n c"]


@dataclass(eq=False)
class Workload:
    """The inputs that all contenders share, and the outputs that they store for comparison.

    Attributes:
        classifier: Classifier whose engine is timed.
        evaluator: Composes and classifies the pairs of foreground and background.
        head: Predictions for the unmodified images, and the mapping from ImageNet classes to labels.
        dataset: Many unmodified images, for predictions.
        bare: The fastest bare forward pass.
        files: Background files, one per column of the pair matrix.
        plan: Amount of work.
        eager: The network in eager mode, as the reference and other libraries run it.
        loop_logits: Outputs of the reference loop.
        vulnerable: Foregrounds (rows) searched by the loop with early stopping → whether any background fooled them.
        matrix: Pair matrix of the latest round.
        hits: First hits of the latest round.
        maps: Class activation maps of one batch, by contender.
    """

    classifier: Classifier
    evaluator: PairEvaluator
    head: PairPredictions
    dataset: Dataset
    bare: BareForward
    files: list[Path]
    plan: Plan
    eager: Normalised
    loop_logits: list[LoopLogits] = field(default_factory=list)
    vulnerable: dict[int, bool] = field(default_factory=dict)
    matrix: PairPredictions | None = None
    hits: FirstHits | None = None
    maps: dict[str, Float[Tensor, "n mh mw"]] = field(default_factory=dict)

    def images(self, count: int) -> UInt8[Tensor, "n 3 h w"]:
        """Compose the first ``count`` pairs."""
        return self.evaluator.composer.render(self.cells(count)).contiguous()

    def cells(self, count: int) -> Pairs:
        """Return the first ``count`` pairs in row-major order, starting over after the last."""
        rows, columns = self.evaluator.shape
        position = np.arange(count) % (rows * columns)
        return Pairs(position // columns, position % columns)

    def errors(self, row: int) -> Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]]:
        """Return a function that marks the predicted ImageNet classes of a foreground that are incorrect."""
        label = self.head.foregrounds.labels[row]
        return lambda native: self.head.decide(native) != label


def prepare_workload(classifier: Classifier, prepared: PreparedScenes, folder: Path, plan: Plan) -> Workload:
    """Write the background files, warm up the engine and the eager network, and collect the shared inputs.

    Args:
        classifier: Classifier whose engine is timed.
        prepared: Foregrounds and backgrounds.
        folder: Folder for background files that are not part of a release.
        plan: Amount of work.
    """
    changed, files = _plates_on_disk(prepared, folder)
    evaluator = open_evaluator(classifier, changed, progress=False)
    evaluator.get_ready(MANY)  # as for the many images that follow, so that no contender's first turn pays for it
    eager = eager_copy(classifier.network, classifier.engine.device)
    head, dataset = evaluator.head(progress=False), repeated(compose(changed, "original", progress=False), plan.images)
    count = start_batching(classifier, "auto").size
    bare = best_forward(classifier, dataset.images(np.arange(count) % len(dataset), classifier.engine.device))
    workload = Workload(classifier, evaluator, head, dataset, bare, files, plan, eager)
    with torch.no_grad():
        eager(workload.images(BATCH_SIZE))  # one-time initialisation of the device is not timed
    return workload


def repeated(dataset: Dataset, count: int) -> Dataset:
    """Return a data set that shows the images of another again and again, since a run on a few is over too soon."""
    rows = [dataset.rows[i % len(dataset)] for i in range(count)]

    def images(places: Positions, device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        wanted = np.arange(count)[places] % len(dataset)
        # neighbours are read without a copy, as in a set that is large enough
        runs = np.split(wanted, np.flatnonzero(np.diff(wanted) != 1) + 1)
        return torch.cat([dataset.images(run, device) for run in runs])

    named = tuple(row._replace(scene=f"{row.scene}~{i // len(dataset)}") for i, row in enumerate(rows))
    return replace(dataset, rows=named, images=images)


def repeat(workload: Workload, count: int, work: Callable[[], object]) -> Timing:
    """Repeat work until `Plan.seconds` have passed, and time it.

    Args:
        workload: Workload whose device is synchronised.
        count: Images per call of ``work``.
        work: Function to time.
    """
    device = workload.classifier.engine.device
    synchronize = _SYNCHRONIZE.get(device.type, lambda: None)
    synchronize()
    images, started, elapsed = 0, time.perf_counter(), 0.0
    while not images or elapsed < workload.plan.seconds:
        for _ in range(max(1, round(0.2 * images / count))):  # synchronised rarely, so that the device is kept busy
            work()
            images += count
        synchronize()
        elapsed = time.perf_counter() - started
    return Timing(images, elapsed)


def _plates_on_disk(prepared: PreparedScenes, folder: Path) -> tuple[PreparedScenes, list[Path]]:
    """Return the scenes with their backgrounds as decoded from files, and one file per background.

    The Only-BG-T images of a release are used in place; other backgrounds are written as JPEG.
    """
    lends = np.flatnonzero(prepared.has_plate).tolist()
    own = _release_files(prepared)
    paths = [own.get(prepared.scenes.records[i].id, folder / f"{i:05d}.jpg") for i in lends]
    plates = np.array(prepared.plates)
    for i, path in zip(lends, paths, strict=True):
        if path.parent == folder:
            from_levels(plates[i]).save(path, quality=_QUALITY)
        plates[i] = read_image(path)
    changed = replace(prepared, plates=plates, digest=digest([prepared.digest, "backgrounds as decoded from files"]))
    return changed, paths


def _release_files(prepared: PreparedScenes) -> dict[str, Path]:
    """Find the released Only-BG-T files that have the size of the prepared images, by scene."""
    files: dict[str, Path] = {}
    for record in prepared.scenes.records:
        for file in record.files:
            if len(file.parts) > 3 and file.parents[2].name == "only_bg_t":
                with Image.open(file) as image:
                    files |= {record.id: file} if image.size == (prepared.size, prepared.size) else {}
    return files


def search_contenders(workload: Workload) -> list[Contender]:
    """List the searches and their parts: reference loop, pair matrix, first hit, forward passes, compositing."""
    plan, engine = workload.plan, workload.classifier.engine
    batch = workload.images(start_batching(workload.classifier, "auto").size)
    cells = workload.cells(len(batch))
    canvas = np.empty(batch.shape, dtype=np.uint8)

    def compose() -> None:
        if engine.device.type == "cpu":
            workload.evaluator.composer.compose_into(cells, canvas)
        else:
            workload.evaluator.composer.render(cells)

    eager_batch, single = workload.images(BATCH_SIZE), single_forward(workload.classifier, batch)

    def forward_eagerly() -> None:
        """Run only the reference's network, an upper bound for its loop: reading and compositing take no time."""
        with torch.no_grad():
            workload.eager(eager_batch).cpu()

    loops = [(w, f"reference loop, all backgrounds, {w} worker{'s' * (w != 1)}") for w in plan.workers]
    return [
        Contender(
            "as_written",
            f"reference loop, release settings: {WORKERS} workers, stops at an error",
            functools.partial(_loop_with_release_settings, workload),
        ),
        *(Contender(f"loop_{w}", title, functools.partial(_loop, workload, w)) for w, title in loops),
        Contender("matrix", "brute force (search_matrix)", lambda _: _search_all(workload), baseline="bare"),
        Contender(
            "predict",
            "predictions of prepared images (predict)",
            lambda _: repeat(
                workload, plan.images, lambda: predict(workload.classifier, workload.dataset, progress=False)
            ),
            baseline="bare",
        ),
        Contender("first_hit", "first hit (first_hit)", lambda _: _search_first_hits(workload)),
        Contender("bare", workload.bare.title, lambda _: Timing(*workload.bare.run(plan.seconds))),
        Contender(
            "single",
            f"bare forward pass, compiled for single images, batches of {len(batch)}",
            lambda _: repeat(workload, len(batch), single),
            baseline="bare",
        ),
        Contender(
            "eager",
            f"bare forward pass of eager torch, batches of {BATCH_SIZE}",
            lambda _: repeat(workload, BATCH_SIZE, forward_eagerly),
        ),
        Contender("compositing", "compositing alone", lambda _: repeat(workload, len(batch), compose)),
    ]


def _loop(workload: Workload, workers: int, number: int) -> Timing:
    """Run the reference loop over all backgrounds, on the same foreground for all worker counts of a round."""
    row = number % workload.evaluator.shape[0]
    columns = np.resize(np.arange(len(workload.files)), workload.plan.files)
    files = [workload.files[c] for c in columns]
    started = time.perf_counter()
    logits = reference_search(workload.eager, *_foreground(workload, row), files, workers=workers)
    seconds = time.perf_counter() - started
    workload.loop_logits.append(LoopLogits(row, columns, logits))
    return Timing(len(logits), seconds, 1)


def _loop_with_release_settings(workload: Workload, number: int) -> Timing:
    """Run the reference loop as released, with early stopping, on foregrounds spread over the set."""
    total = workload.plan.rounds * workload.plan.written
    spread = np.linspace(0, workload.evaluator.shape[0] - 1, total).round().astype(int)
    images, seconds = 0, 0.0
    chosen = spread[number :: workload.plan.rounds].tolist()
    for row in chosen:
        is_error = workload.errors(row)
        started = time.perf_counter()
        logits = reference_search(workload.eager, *_foreground(workload, row), workload.files, is_error=is_error)
        seconds += time.perf_counter() - started
        images += len(logits)
        workload.loop_logits.append(LoopLogits(row, np.arange(len(logits)), logits))
        workload.vulnerable[row] = bool(is_error(logits.argmax(1).numpy()).any())
    return Timing(images, seconds, len(chosen))


def _foreground(workload: Workload, row: int) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(workload.evaluator.prepared.images[row]), np.asarray(workload.evaluator.prepared.masks[row])


def _search_all(workload: Workload) -> Timing:
    total = Timing(0, 0.0)
    while not total.images or total.seconds < workload.plan.seconds:
        matrix = search_matrix(workload.classifier, workload.evaluator.prepared, progress=False)
        workload.matrix = matrix
        # as in the reference loop, the unmodified images are classified before the timed part
        total = Timing(
            total.images + matrix.run["forwards"],
            total.seconds + max(matrix.run["seconds"], _TICK_S),
            total.foregrounds + workload.evaluator.shape[0],
        )
    return total


def _search_first_hits(workload: Workload) -> Timing:
    hits = first_hit(workload.classifier, workload.evaluator.prepared, progress=False)
    workload.hits = hits
    return Timing(hits.forwards, max(hits.pairs.run["seconds"], _TICK_S), int(hits.searched.sum()))
