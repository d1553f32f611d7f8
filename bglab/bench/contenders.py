"""What `bglab.bench.measure` times: our search and class activation maps, and the loop and libraries that they replace.

All work on the same foregrounds and on the same backgrounds, which lie on the disk as image files for the
reference's loop and, as decoded from these very files, in memory for ours.
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

from bglab.bench.reference_loop import BATCH_SIZE, WORKERS, as_usual, search_in_a_loop
from bglab.errors import BadInput
from bglab.images import read_image
from bglab.models import Classifier, Normalised
from bglab.results import PairPredictions
from bglab.scenes import PreparedScenes
from bglab.search import FirstHits, PairEvaluator, Pairs, first_hit, open_evaluator, search_matrix, start_batching
from bglab.seeding import digest

#: JPEG quality of background files that no release provides.
_QUALITY = 95
#: Runs note their seconds to the millisecond; small ones of tests take none.
_TICK = 0.001
#: Devices that answer before they are done.
_WAITS: Mapping[str, Callable[[], object]] = MappingProxyType(
    {"cuda": torch.cuda.synchronize, "mps": torch.mps.synchronize}
)


@dataclass(frozen=True)
class Plan:
    """What is measured how often.

    Attributes:
        rounds: Times that each contender is measured.
        workers: Worker counts that the reference's loop is given.
        scenes_per_class: Scenes taken of each class.
        files: Backgrounds that the loop over all of them reads for a foreground, the same ones again if there are
            fewer: starting its processes takes a share of the time that falls with their number.
        written: Foregrounds that the loop as written searches a round.
        map_batch: Images a batch of class activation maps.
        seconds: A contender is repeated within a round until so long has passed.
    """

    rounds: int = 3
    workers: tuple[int, ...] = (WORKERS, 0, 1, 2, 4)
    scenes_per_class: int = 8
    files: int = 128
    written: int = 3
    map_batch: int = 32
    seconds: float = 1.0


def plan_for(classifier: Classifier, rounds: int = 3) -> Plan:
    """Choose how much work suits the classifier's device.

    Raises:
        BadInput: If there is no round.
    """
    if rounds < 1:
        raise BadInput(f"expected at least 1 round, got {rounds}")
    if classifier.engine.device.type == "cpu":
        return Plan(rounds)
    return Plan(rounds, scenes_per_class=40, files=1024, map_batch=128)


class Pace(NamedTuple):
    """One measurement.

    Attributes:
        images: How many were made or classified.
        seconds: How long it took.
        foregrounds: How many were decided, by a search.
    """

    images: int
    seconds: float
    foregrounds: int = 0

    @property
    def rate(self) -> float:
        """Images a second."""
        return self.images / self.seconds


@dataclass(frozen=True, eq=False)
class Contender:
    """Something to be timed.

    Attributes:
        name: Key, the same from run to run.
        title: What it does.
        step: Takes a round's number and gives its pace; None where it cannot be timed here.
        note: Why not.
        beside: Name of what is timed right before and after it; "" for nothing.
    """

    name: str
    title: str
    step: Callable[[int], Pace] | None
    note: str = ""
    beside: str = ""


class LoopAnswer(NamedTuple):
    """What the reference's loop said of one foreground.

    Attributes:
        row: Of the foreground.
        columns: Of the backgrounds, in turn.
        logits: Of each image.
    """

    row: int
    columns: Int[np.ndarray, " n"]
    logits: Float[Tensor, "n c"]


@dataclass(eq=False)
class Arena:
    """Where contenders meet, and the answers that they have left there.

    Attributes:
        classifier: Whose engine is timed.
        evaluator: The pairs.
        head: Answers to the untouched images, and how answers are decided.
        files: One background file a column.
        plan: How much of what.
        usual: The network as its library gives it.
        loop_answers: What the reference's loop said.
        verdicts: Whether it found the foregrounds vulnerable that it searched as written, by row.
        matrix: Ours, of the latest round.
        hits: Ours, of the latest round.
        maps: Of one batch, by contender.
    """

    classifier: Classifier
    evaluator: PairEvaluator
    head: PairPredictions
    files: list[Path]
    plan: Plan
    usual: Normalised
    loop_answers: list[LoopAnswer] = field(default_factory=list)
    verdicts: dict[int, bool] = field(default_factory=dict)
    matrix: PairPredictions | None = None
    hits: FirstHits | None = None
    maps: dict[str, Float[Tensor, "n mh mw"]] = field(default_factory=dict)

    def images(self, count: int) -> UInt8[Tensor, "n 3 h w"]:
        """Compose so many pairs, from the first on."""
        return self.evaluator.images(self.cells(count)).contiguous()

    def cells(self, count: int) -> Pairs:
        """Give so many pairs, from the first on."""
        rows, columns = self.evaluator.shape
        place = np.arange(count) % (rows * columns)
        return Pairs(place // columns, place % columns)

    def errors(self, row: int) -> Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]]:
        """Give what marks native answers to a foreground as errors."""
        own = self.head.foregrounds.labels[row]
        return lambda native: self.head.decide(native) != own


def set_arena(classifier: Classifier, prepared: PreparedScenes, folder: Path, plan: Plan) -> Arena:
    """Bring backgrounds to the disk and everything else to the engine.

    Args:
        classifier: Whose engine is timed.
        prepared: Foregrounds and backgrounds.
        folder: Where to write background files that no release provides.
        plan: How much of what.
    """
    changed, files = _plates_on_disk(prepared, folder)
    evaluator = open_evaluator(classifier, changed, progress=False)
    evaluator.get_ready()
    usual = as_usual(classifier.network, classifier.engine.device)
    arena = Arena(classifier, evaluator, evaluator.head(progress=False), files, plan, usual)
    with torch.no_grad():
        usual(arena.images(BATCH_SIZE))  # what a device does once is no part of the loop's time
    return arena


def repeat(arena: Arena, count: int, work: Callable[[], object]) -> Pace:
    """Do something again and again until enough time has passed for a number.

    Args:
        arena: Whose device is waited for.
        count: Images each time.
        work: What to do.
    """
    device = arena.classifier.engine.device
    wait = _WAITS.get(device.type, lambda: None)
    wait()
    images, started, elapsed = 0, time.perf_counter(), 0.0
    while not images or elapsed < arena.plan.seconds:
        for _ in range(max(1, round(0.2 * images / count))):  # waits seldom, so that a device is kept busy
            work()
            images += count
        wait()
        elapsed = time.perf_counter() - started
    return Pace(images, elapsed)


def _plates_on_disk(prepared: PreparedScenes, folder: Path) -> tuple[PreparedScenes, list[Path]]:
    """Give one file for each background, and the scenes with the backgrounds that these files hold.

    A release's own Only-BG-T images are read where they lie; other backgrounds are written as JPEG.
    """
    lends = np.flatnonzero(prepared.has_plate).tolist()
    own = _release_files(prepared)
    paths = [own.get(prepared.scenes.records[i].id, folder / f"{i:05d}.jpg") for i in lends]
    plates = np.array(prepared.plates)
    for i, path in zip(lends, paths, strict=True):
        if path.parent == folder:
            Image.fromarray(plates[i].transpose(1, 2, 0)).save(path, quality=_QUALITY)
        plates[i] = read_image(path)
    changed = replace(prepared, plates=plates, digest=digest([prepared.digest, "backgrounds as decoded from files"]))
    return changed, paths


def _release_files(prepared: PreparedScenes) -> dict[str, Path]:
    """Find the release's own background files where they have the prepared images' size, by scene."""
    files: dict[str, Path] = {}
    for record in prepared.scenes.records:
        for file in record.files:
            if len(file.parts) > 3 and file.parents[2].name == "only_bg_t":
                with Image.open(file) as image:
                    files |= {record.id: file} if image.size == (prepared.size, prepared.size) else {}
    return files


def search_contenders(arena: Arena) -> list[Contender]:
    """List what searches, and what a search is made of."""
    plan, engine = arena.plan, arena.classifier.engine
    batch = arena.images(start_batching(arena.classifier, "auto").size)
    cells = arena.cells(len(batch))
    canvas = np.empty(batch.shape, dtype=np.uint8)

    def compose() -> None:
        if engine.device.type == "cpu":
            arena.evaluator.compose_into(cells, canvas)
        else:
            arena.evaluator.images(cells)

    usual_batch = arena.images(BATCH_SIZE)

    def forward_eagerly() -> None:
        """Run the reference's network alone: what its loop could reach if reading and composing took no time."""
        with torch.no_grad():
            arena.usual(usual_batch).cpu()

    loops = [(w, f"reference's loop, every background, {w} worker{'s' * (w != 1)}") for w in plan.workers]
    return [
        Contender(
            "as_written",
            f"reference's loop as written: {WORKERS} workers, ends at an error",
            functools.partial(_loop_as_written, arena),
        ),
        *(Contender(f"loop_{w}", title, functools.partial(_loop, arena, w)) for w, title in loops),
        Contender("matrix", "brute force (search_matrix)", lambda _: _search_all(arena), beside="bare"),
        Contender("first_hit", "first hit (first_hit)", lambda _: _search_first_hits(arena)),
        Contender(
            "bare",
            f"bare forward pass, batches of {len(batch)}, images in memory",
            lambda _: repeat(arena, len(batch), lambda: arena.classifier(batch)),
        ),
        Contender(
            "eager",
            f"bare forward pass of eager torch, batches of {BATCH_SIZE}",
            lambda _: repeat(arena, BATCH_SIZE, forward_eagerly),
        ),
        Contender("compositing", "compositing alone", lambda _: repeat(arena, len(batch), compose)),
    ]


def _loop(arena: Arena, workers: int, number: int) -> Pace:
    """Search one foreground, the same for all worker counts of a round, in a loop that never stops."""
    row = number % arena.evaluator.shape[0]
    columns = np.resize(np.arange(len(arena.files)), arena.plan.files)
    started = time.perf_counter()
    logits = search_in_a_loop(
        arena.usual, *_foreground(arena, row), [arena.files[c] for c in columns], workers=workers
    )  # fmt: skip
    seconds = time.perf_counter() - started
    arena.loop_answers.append(LoopAnswer(row, columns, logits))
    return Pace(len(logits), seconds, 1)


def _loop_as_written(arena: Arena, number: int) -> Pace:
    """Search some foregrounds as the release does; those of all rounds are spread over the set."""
    spread = np.linspace(0, arena.evaluator.shape[0] - 1, arena.plan.rounds * arena.plan.written).round().astype(int)
    images, seconds = 0, 0.0
    chosen = spread[number :: arena.plan.rounds].tolist()
    for row in chosen:
        started = time.perf_counter()
        logits = search_in_a_loop(arena.usual, *_foreground(arena, row), arena.files, is_error=arena.errors(row))
        seconds += time.perf_counter() - started
        images += len(logits)
        arena.loop_answers.append(LoopAnswer(row, np.arange(len(logits)), logits))
        arena.verdicts[row] = bool(arena.errors(row)(logits.argmax(1).numpy()).any())
    return Pace(images, seconds, len(chosen))


def _foreground(arena: Arena, row: int) -> tuple[np.ndarray, np.ndarray]:
    return np.asarray(arena.evaluator.prepared.images[row]), np.asarray(arena.evaluator.prepared.masks[row])


def _search_all(arena: Arena) -> Pace:
    total = Pace(0, 0.0)
    while not total.images or total.seconds < arena.plan.seconds:
        arena.matrix = search_matrix(arena.classifier, arena.evaluator.prepared, progress=False)
        # what a search asks about untouched images comes before its clock starts, as in the loop
        seconds = max(arena.matrix.run["seconds"], _TICK)
        total = Pace(total.images + arena.matrix.run["forwards"], total.seconds + seconds,
                     total.foregrounds + arena.evaluator.shape[0])  # fmt: skip
    return total


def _search_first_hits(arena: Arena) -> Pace:
    hits = first_hit(arena.classifier, arena.evaluator.prepared, progress=False)
    arena.hits = hits
    return Pace(hits.forwards, max(hits.pairs.run["seconds"], _TICK), int(hits.searched.sum()))
