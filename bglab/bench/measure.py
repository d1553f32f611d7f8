"""Time bglab against the code it replaces, all in one run, so that other load on the machine affects all contenders.

Every round measures each contender once, in reversed order every other round; a contender with a baseline is timed
between two runs of it. Ratios are computed within a round and then reduced to their median. Nothing is extrapolated;
contenders that cannot be measured are listed with the reason.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

import numpy as np
import torch
from tqdm.auto import tqdm

from bglab.analysis import file_order_forwards
from bglab.bench.contenders import Contender, Plan, Timing, Workload, plan_for, prepare_workload, search_contenders
from bglab.bench.report import Measurement, Ratio, Report
from bglab.bench.saliency_contenders import saliency_contenders
from bglab.bench.start_and_memory import start_and_memory
from bglab.bench.streaming import streaming_contenders
from bglab.errors import BadInput
from bglab.evaluation import attainable_rate
from bglab.models import Classifier, network_gmacs
from bglab.results import NOT_EVALUATED, PairPredictions
from bglab.scenes import SceneSet, prepare
from bglab.search import FirstHits

#: Two classes are tied if their logits differ by less than this fraction of the range of all logits of the image.
_TIE = 0.01


def measure(
    classifier: Classifier, scenes: SceneSet, plan: Plan | None = None, *, size: int = 224, progress: bool = True
) -> Report:
    """Time search and class activation maps against the reference loop and other libraries.

    Times to the first answer and peaks of memory are measured after the rounds, in which they take no part.

    Args:
        classifier: Classifier whose engine is timed.
        scenes: Foregrounds and backgrounds. Released background files are read in place by the reference loop; other
            backgrounds are first written to a temporary folder.
        plan: Amount of work; None uses `plan_for`.
        size: Side of the images in pixels.
        progress: Show a progress bar.

    Raises:
        BadInput: If the reference loop and the matrix disagree on a pair in float32 other than by a tie, since their
            times would not be comparable.
    """
    chosen = plan or plan_for(classifier)
    if classifier.engine.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(classifier.engine.device)
    few = prepare(scenes.select(per_class=chosen.scenes_per_class), size, progress=progress)
    with tempfile.TemporaryDirectory(prefix="bglab-bench-") as folder:
        workload = prepare_workload(classifier, few, Path(folder), chosen)
        contenders = [
            *search_contenders(workload),
            *saliency_contenders(workload),
            *streaming_contenders(workload, Path(folder)),
        ]
        turns = _take_turns(contenders, chosen.rounds, progress=progress)
    checks = [*_compare_predictions(workload), *_compare_maps(workload)]
    rates = {c.name: tuple(turn.timing.rate for turn in turns if turn.name == c.name) for c in contenders}
    measurements = [Measurement(c.name, c.title, rates[c.name], c.note) for c in contenders]
    quantities = start_and_memory(classifier, scenes, few, chosen)
    return Report(_about(workload), tuple(measurements), tuple(_ratios(turns, workload)), tuple(checks), quantities)


class Turn(NamedTuple):
    """One measurement in a sequence; its neighbours were taken directly before and after it.

    Attributes:
        round: Number of the round, from 0.
        name: Key of the contender.
        timing: The measurement.
    """

    round: int
    name: str
    timing: Timing


def _take_turns(contenders: Sequence[Contender], rounds: int, *, progress: bool) -> list[Turn]:
    """Measure every contender in every round, those with a baseline between two runs of it."""
    steps = {contender.name: contender.step for contender in contenders if contender.step}
    order: list[str] = []
    baselines = {contender.baseline for contender in contenders}
    for contender in contenders:
        if contender.step and contender.name not in baselines:
            around = [contender.baseline] if contender.baseline else []
            order += [*(around if order[-1:] != around else []), contender.name, *around]
    turns: list[Turn] = []
    with tqdm(total=rounds * len(order), desc="bench", unit="step", disable=not progress) as bar:
        for number in range(rounds):
            for name in order if number % 2 == 0 else reversed(order):
                bar.set_postfix_str(name)
                turns.append(Turn(number, name, steps[name](number)))
                bar.update()
    return turns


def _ratios(turns: Sequence[Turn], workload: Workload) -> list[Ratio]:
    """Compute the ratios of the measurements; those of contenders that were not measured are omitted."""
    loops = {f"loop_{w}": median(_rates(turns, f"loop_{w}").values()) for w in workload.plan.workers}
    best = max(loops, key=lambda name: loops[name]).removeprefix("loop_")
    over_best = f"brute force / reference loop, all backgrounds, fastest worker count ({best})"
    # no target for ratios to eager torch, whose speed is not ours
    found = [
        _ratio(turns, "matrix", "as_written", "brute force / reference loop, release settings"),
        _ratio(turns, "matrix", "best_loop", over_best, among=list(loops)),
        _share(turns, "matrix", "bare", "brute force / best bare forward pass", 0.95),
        _share(turns, "predict", "bare", "predictions / best bare forward pass", 0.95),
        _ratio(turns, "bare", "single", "bare forward pass, best / compiled for single images", 1.15),
        _ratio(turns, "bare", "eager", "bare forward pass, best of this engine / eager torch"),
        *_forwards(workload),
        _time_per_foreground(turns, "matrix", "time per foreground, brute force / first hit", 2),
        _time_per_foreground(turns, "as_written", "time per foreground, reference loop, release settings / first hit"),
        _ratio(turns, "grad_cam", "captum", "Grad-CAM, bglab / captum"),
        _ratio(turns, "grad_cam", "pytorch_grad_cam", "Grad-CAM, bglab / pytorch-grad-cam"),
        _share(turns, "grad_cam", "bare", "Grad-CAM / best bare forward pass", 0.90),
        _share(turns, "grad_cam_below", "bare", "Grad-CAM below the head / best bare forward pass", 0.80),
        _stream_share(turns, workload, "pillow", "Pillow's decoding", 0.95),
        _stream_share(turns, workload, "decode", "decoding"),
        _ratio(turns, "decode", "pillow", "decoding, resizing and cropping, bglab / Pillow and timm"),
    ]
    return [ratio for ratio in found if ratio]


def _rates(turns: Sequence[Turn], *names: str) -> dict[int, float]:
    """Return the rate of the fastest of some contenders, by round."""
    rates: dict[int, float] = {}
    for turn in turns:
        if turn.name in names:
            rates[turn.round] = max(turn.timing.rate, rates.get(turn.round, 0.0))
    return rates


def _ratio(
    turns: Sequence[Turn], name: str, other: str, title: str, aim: float | None = None, *, among: Sequence[str] = ()
) -> Ratio | None:
    """Divide the rates of two contenders round by round; with ``among``, by the rate of the fastest of these."""
    ours, theirs = _rates(turns, name), _rates(turns, *(among or [other]))
    if not ours or not theirs:
        return None
    return Ratio(f"{name} / {other}", title, median(ours[number] / theirs[number] for number in theirs), aim=aim)


def _share(turns: Sequence[Turn], name: str, baseline: str, title: str, aim: float) -> Ratio | None:
    """Divide each rate by that of the baseline directly before and after, so that a slow minute affects both."""
    shares = [turn.timing.rate / rate for turn, rate in _beside(turns, name, baseline)]
    return Ratio(f"{name} / {baseline}", title, median(shares), "share", aim) if shares else None


def _beside(turns: Sequence[Turn], name: str, baseline: str) -> list[tuple[Turn, float]]:
    """Return the measurements of a contender, each with the rate of its baseline directly before and after."""
    found: list[tuple[Turn, float]] = []
    for before, turn, after in zip(turns[:-2], turns[1:-1], turns[2:], strict=True):
        if turn.name == name:
            around = [n.timing for n in (before, after) if n.name == baseline and n.round == turn.round]
            rate = sum(timing.images for timing in around) / sum(timing.seconds for timing in around)
            found.append((turn, rate))
    return found


def _stream_share(
    turns: Sequence[Turn], workload: Workload, decoder: str, title: str, aim: float | None = None
) -> Ratio:
    """Divide the rate of streaming by the attainable one, of a decoder and the forward pass in the same round."""
    shared = workload.classifier.engine.device.type == "cpu"
    decoded = _rates(turns, decoder)
    shares = [
        turn.timing.rate / attainable_rate(decoded[turn.round], bare, shared=shared)
        for turn, bare in _beside(turns, "stream", "bare")
    ]
    bound = f"1 / (1 / {title} + 1 / bare forward pass)" if shared else f"the slower of {title} and bare forward pass"
    return Ratio(f"stream / attainable with {decoder}", f"streaming / {bound}", median(shares), "share", aim)


def _time_per_foreground(turns: Sequence[Turn], name: str, title: str, aim: float | None = None) -> Ratio:
    """Divide a search's time per foreground by that of the first hit."""
    seconds = {
        key: {turn.round: turn.timing.seconds / turn.timing.foregrounds for turn in turns if turn.name == key}
        for key in (name, "first_hit")
    }
    value = median(seconds[name][number] / seconds["first_hit"][number] for number in seconds["first_hit"])
    return Ratio(f"verdict of {name} / first_hit", title, value, aim=aim)


def _forwards(workload: Workload) -> list[Ratio]:
    """Compare numbers of forward passes, which do not depend on the machine: on vulnerable foregrounds and on all."""
    matrix, hits = _searched(workload)
    evaluated = (np.asarray(hits.pairs.native) != NOT_EVALUATED).sum(axis=1)
    vulnerable, count = int(hits.vulnerable.sum()), len(evaluated)
    over_all = matrix.native.size / int(evaluated.sum())
    ratios = [Ratio("forwards of matrix / first_hit", "forward passes, brute force / first hit", over_all)]
    if vulnerable:
        # foregrounds that are not vulnerable need every background in any order
        in_order = file_order_forwards(matrix) - (count - vulnerable) * matrix.native.shape[1]
        title = f"forward passes, file order / first hit, on the {vulnerable} of {count} vulnerable foregrounds"
        value = in_order / int(evaluated[hits.vulnerable].sum())
        ratios.insert(0, Ratio("forwards in file order / first_hit", title, value, aim=1.2))
    return ratios


def _compare_predictions(workload: Workload) -> list[str]:
    """Check that the reference loop, the matrix and the first hit agree, so that their times are comparable.

    Raises:
        BadInput: If loop and matrix disagree in float32 other than by a tie.
    """
    matrix, hits = _searched(workload)
    logits = torch.cat([part.logits for part in workload.loop_logits])
    ours = np.concatenate([matrix.native[part.row, part.columns] for part in workload.loop_logits])
    differs = logits.argmax(1).numpy() != ours
    margin = logits.amax(1) - logits.gather(1, torch.from_numpy(ours).long()[:, None])[:, 0]
    tied = differs & (margin / (logits.amax(1) - logits.amin(1)) < _TIE).numpy()
    total, same, beyond = len(ours), int((~differs).sum()), int((differs & ~tied).sum())
    if workload.classifier.engine.precision == "float32" and beyond:
        raise BadInput(
            f"expected the same predictions from the reference loop and the matrix, but {beyond} of {total} differ by "
            "more than a tie, so that their times are not comparable; try --engine torch"
        )
    incorrect = (matrix.predictions() != matrix.foregrounds.labels[:, None]).any(axis=1)
    agreed = sum(found == incorrect[row] == hits.vulnerable[row] for row, found in workload.vulnerable.items())
    return [
        f"predictions of the reference loop and the matrix agree on {same:,} of {total:,} pairs, and on "
        f"{int(tied.sum()):,} more up to ties",
        "reference loop, matrix and first hit agree on the vulnerability of "
        f"{agreed} of {len(workload.vulnerable)} foregrounds",
    ]


def _searched(workload: Workload) -> tuple[PairPredictions, FirstHits]:
    assert workload.matrix is not None
    assert workload.hits is not None
    return workload.matrix, workload.hits


def _compare_maps(workload: Workload) -> list[str]:
    if not {"grad_cam", "captum"} <= set(workload.maps):
        return []
    ours, theirs = workload.maps["grad_cam"], workload.maps["captum"]
    difference = float((ours - theirs).abs().max() / theirs.abs().max())
    return [f"Grad-CAM maps of bglab and captum differ by at most {difference:.1e} of the largest value"]


def _about(workload: Workload) -> dict[str, Any]:
    evaluator = workload.evaluator
    names = ("model", "engine", "precision", "device", "scenes", "size", "versions", "commit")
    counts = {"foregrounds": evaluator.shape[0], "backgrounds": evaluator.shape[1], "cores": os.cpu_count()}
    _, hits = _searched(workload)
    work = {
        "device_type": workload.classifier.engine.device.type,
        "gmacs": network_gmacs(workload.classifier.network, evaluator.prepared.size),
        "first_hit_forwards_per_foreground": hits.forwards / int(hits.searched.sum()),
    }
    of_run = {"plan": asdict(workload.plan), "settings": workload.bare.rates}
    return {name: evaluator.provenance[name] for name in names} | counts | work | of_run
