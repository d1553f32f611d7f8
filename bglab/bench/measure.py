"""How fast the lab is beside what it replaces: everything in one run, so that a busy machine is busy for all.

Contenders take turns in every round, in reversed order every other round, and ratios are formed within a round. What
is printed was measured: nothing is extrapolated, and what could not be measured says why.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from bglab.analysis import file_order_forwards
from bglab.bench.contenders import Arena, Contender, Pace, Plan, plan_for, search_contenders, set_arena
from bglab.bench.saliency_contenders import map_contenders
from bglab.errors import BadInput
from bglab.models import Classifier
from bglab.results import NOT_EVALUATED, PairPredictions
from bglab.scenes import SceneSet, prepare
from bglab.search import FirstHits

Unit = Literal["times", "share"]

#: How far below the best logit, as part of the range of all, another answer in float32 may lie and still be a tie.
_TIE = 0.01


class Measurement(NamedTuple):
    """One contender's speed.

    Attributes:
        name: Key, the same from run to run.
        title: What was done.
        rates: Images a second, round by round; () where it could not be measured.
        note: Why not.
    """

    name: str
    title: str
    rates: tuple[float, ...]
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Median over the rounds."""
        return median(self.rates) if self.rates else None


class Ratio(NamedTuple):
    """Two numbers of one run held against each other.

    Attributes:
        name: Key, the same from run to run.
        title: What is divided by what.
        value: Median over the rounds.
        unit: ``times``, or ``share`` for a fraction.
        aim: What it is meant to reach; None where nothing is.
    """

    name: str
    title: str
    value: float
    unit: Unit = "times"
    aim: float | None = None


@dataclass(frozen=True, eq=False)
class Report:
    """What was measured.

    Attributes:
        about: Model, engine, device, images, versions.
        measurements: Contender by contender.
        ratios: What follows from them.
        checks: What had to agree and did, one sentence each.
    """

    about: dict[str, Any]
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    checks: tuple[str, ...]

    def as_json(self) -> dict[str, Any]:
        """Give everything as json can hold it; speeds are images a second."""
        return {
            "about": self.about,
            "measurements": {m.name: {**m._asdict(), "median": m.rate} for m in self.measurements},
            "ratios": {ratio.name: ratio._asdict() for ratio in self.ratios},
            "checks": list(self.checks),
        }


def measure(
    classifier: Classifier, scenes: SceneSet, plan: Plan | None = None, *, size: int = 224, progress: bool = True
) -> Report:
    """Time search and class activation maps beside the loop and the libraries they replace.

    Args:
        classifier: Whose engine is measured.
        scenes: Foregrounds and backgrounds. A release's own background files are read by the loop where they lie;
            others are written to a temporary folder first.
        plan: How much of what; None is `plan_for` the classifier.
        size: Side of the images in pixels.
        progress: Show a bar.

    Raises:
        BadInput: If loop and matrix disagree on a pair in float32, other than by a tie: their times would not be of
            the same work.
    """
    chosen = plan or plan_for(classifier)
    few = prepare(scenes.select(per_class=chosen.scenes_per_class), size, progress=progress)
    with tempfile.TemporaryDirectory(prefix="bglab-bench-") as folder:
        arena = set_arena(classifier, few, Path(folder), chosen)
        contenders = [*search_contenders(arena), *map_contenders(arena)]
        turns = _take_turns(contenders, chosen.rounds, progress=progress)
    checks = [*_same_answers(arena), *_same_maps(arena)]
    rates = {c.name: tuple(turn.pace.rate for turn in turns if turn.name == c.name) for c in contenders}
    measurements = [Measurement(c.name, c.title, rates[c.name], c.note) for c in contenders]
    return Report(_about(arena), tuple(measurements), tuple(_ratios(turns, arena)), tuple(checks))


class Turn(NamedTuple):
    """One measurement in its place: its neighbours were taken right before and after it."""

    round: int
    name: str
    pace: Pace


def _take_turns(contenders: Sequence[Contender], rounds: int, *, progress: bool) -> list[Turn]:
    """Measure everything in every round; what is held against something beside it stands between two of it."""
    steps = {contender.name: contender.step for contender in contenders if contender.step}
    order: list[str] = []
    yardsticks = {contender.beside for contender in contenders}
    for contender in contenders:
        if contender.step and contender.name not in yardsticks:
            around = [contender.beside] if contender.beside else []
            order += [*(around if order[-1:] != around else []), contender.name, *around]
    turns: list[Turn] = []
    with tqdm(total=rounds * len(order), desc="bench", unit="step", disable=not progress) as bar:
        for number in range(rounds):
            for name in order if number % 2 == 0 else reversed(order):
                bar.set_postfix_str(name)
                turns.append(Turn(number, name, steps[name](number)))
                bar.update()
    return turns


def _ratios(turns: Sequence[Turn], arena: Arena) -> list[Ratio]:
    """Hold measured numbers against each other; what was not measured has no ratio."""
    loops = {f"loop_{w}": median(_rates(turns, f"loop_{w}").values()) for w in arena.plan.workers}
    best = max(loops, key=lambda name: loops[name]).removeprefix("loop_")
    over_best = f"brute force / loop over every background, its best worker count (mostly {best})"
    found = [
        _ratio(turns, "matrix", "as_written", "brute force / loop as written", 20),
        _ratio(turns, "matrix", "best_loop", over_best, 5, among=list(loops)),
        _share(turns, "matrix", "bare", "brute force / bare forward pass", 0.93),
        _ratio(turns, "bare", "eager", "bare forward pass, this engine / eager torch"),
        *_forwards(arena),
        _verdicts(turns, "matrix", "seconds a verdict, brute force / first hit"),
        _verdicts(turns, "as_written", "seconds a verdict, loop as written / first hit"),
        _ratio(turns, "grad_cam", "captum", "Grad-CAM, ours / captum", 15),
        _ratio(turns, "grad_cam", "pytorch_grad_cam", "Grad-CAM, ours / pytorch-grad-cam"),
        _share(turns, "grad_cam", "bare_for_maps", "Grad-CAM / bare forward pass", 0.85),
        _share(turns, "grad_cam_below", "bare_for_maps", "Grad-CAM below the head / bare forward pass", 0.5),
    ]
    return [ratio for ratio in found if ratio]


def _rates(turns: Sequence[Turn], *names: str) -> dict[int, float]:
    """Give each round's rate, of the fastest where there are several names."""
    rates: dict[int, float] = {}
    for turn in turns:
        if turn.name in names:
            rates[turn.round] = max(turn.pace.rate, rates.get(turn.round, 0.0))
    return rates


def _ratio(
    turns: Sequence[Turn], name: str, other: str, title: str, aim: float | None = None, *, among: Sequence[str] = ()
) -> Ratio | None:
    """Divide two contenders' rates round by round; ``other`` may stand for the fastest of several."""
    ours, theirs = _rates(turns, name), _rates(turns, *(among or [other]))
    if not ours or not theirs:
        return None
    return Ratio(f"{name} / {other}", title, median(ours[number] / theirs[number] for number in theirs), aim=aim)


def _share(turns: Sequence[Turn], name: str, beside: str, title: str, aim: float) -> Ratio | None:
    """Divide each rate by that of its two neighbours together, so that a slow minute is slow for both."""
    shares = []
    for before, turn, after in zip(turns[:-2], turns[1:-1], turns[2:], strict=True):
        if turn.name == name:
            around = [n.pace for n in (before, after) if n.name == beside and n.round == turn.round]
            rate = sum(pace.images for pace in around) / sum(pace.seconds for pace in around)
            shares.append(turn.pace.rate / rate)
    return Ratio(f"{name} / {beside}", title, median(shares), "share", aim) if shares else None


def _verdicts(turns: Sequence[Turn], name: str, title: str) -> Ratio:
    """Hold the time that a verdict on one foreground takes against that of the first hit."""
    seconds = {
        who: {turn.round: turn.pace.seconds / turn.pace.foregrounds for turn in turns if turn.name == who}
        for who in (name, "first_hit")
    }
    value = median(seconds[name][number] / seconds["first_hit"][number] for number in seconds["first_hit"])
    return Ratio(f"verdict of {name} / first_hit", title, value)


def _forwards(arena: Arena) -> list[Ratio]:
    """Count forward passes, which no clock can disturb: on foregrounds that are fooled, and on all."""
    matrix, hits = _searched(arena)
    asked = (np.asarray(hits.pairs.native) != NOT_EVALUATED).sum(axis=1)
    fooled, count = int(hits.vulnerable.sum()), len(asked)
    over_all = matrix.native.size / int(asked.sum())
    ratios = [Ratio("forwards of matrix / first_hit", "forward passes, brute force / first hit", over_all)]
    if fooled:
        # those that hold take every background in any order
        in_order = file_order_forwards(matrix) - (count - fooled) * matrix.native.shape[1]
        title = f"forward passes, file order / first hit, on the {fooled} of {count} that are fooled"
        value = in_order / int(asked[hits.vulnerable].sum())
        ratios.insert(0, Ratio("forwards in file order / first_hit", title, value, aim=1.2))
    return ratios


def _same_answers(arena: Arena) -> list[str]:
    """Make sure that the loop and the matrix did the same work.

    Raises:
        BadInput: If they disagree in float32, other than by a tie.
    """
    matrix, hits = _searched(arena)
    logits = torch.cat([answer.logits for answer in arena.loop_answers])
    ours = np.concatenate([matrix.native[answer.row, answer.columns] for answer in arena.loop_answers])
    differs = logits.argmax(1).numpy() != ours
    short = logits.amax(1) - logits.gather(1, torch.from_numpy(ours).long()[:, None])[:, 0]
    tied = differs & (short / (logits.amax(1) - logits.amin(1)) < _TIE).numpy()
    total, same, beyond = len(ours), int((~differs).sum()), int((differs & ~tied).sum())
    if arena.classifier.engine.precision == "float32" and beyond:
        raise BadInput(
            f"expected the same answers from the reference's loop and from the matrix, but {beyond} of {total} differ "
            "by more than a tie, so that their times are not of the same work; try --engine torch"
        )
    wrong = (matrix.answers() != matrix.foregrounds.labels[:, None]).any(axis=1)
    agreed = sum(found == wrong[row] == hits.vulnerable[row] for row, found in arena.verdicts.items())
    return [
        f"answers of the reference's loop and of the matrix: the same on {same:,} of {total:,} pairs, "
        f"{int(tied.sum()):,} more are ties",
        f"verdicts of the loop as written, the matrix and the first hit: the same on {agreed} of {len(arena.verdicts)} "
        "foregrounds",
    ]


def _searched(arena: Arena) -> tuple[PairPredictions, FirstHits]:
    assert arena.matrix is not None
    assert arena.hits is not None
    return arena.matrix, arena.hits


def _same_maps(arena: Arena) -> list[str]:
    if not {"grad_cam", "captum"} <= set(arena.maps):
        return []
    ours, theirs = arena.maps["grad_cam"], arena.maps["captum"]
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    return [f"maps of ours and of captum: they differ by at most {difference:.1e} of the largest value"]


def _about(arena: Arena) -> dict[str, Any]:
    known = arena.evaluator.provenance
    names = ("model", "engine", "precision", "device", "scenes", "size", "versions", "commit")
    counts = {"foregrounds": arena.evaluator.shape[0], "backgrounds": arena.evaluator.shape[1], "cores": os.cpu_count()}
    return {name: known[name] for name in names} | counts | {"plan": asdict(arena.plan)}
