"""The benchmark: the same work for all contenders, ratios within a round, reasons for what was not measured."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import bglab
from bglab.bench import Measurement, Quantity, Ratio, Report, contenders, measure, plan_for, saliency_contenders
from bglab.bench.contenders import Contender, LoopLogits, Plan, Timing, Workload, prepare_workload
from bglab.bench.estimates import estimate, read_rates
from bglab.bench.forwards import BareForward
from bglab.bench.measure import Turn
from bglab.bench.reference_loop import BATCH_SIZE, eager_copy, reference_search
from bglab.commands import bench as command
from bglab.errors import BadInput, MissingData
from bglab.images import compositing
from bglab.models import network_gmacs
from bglab.papers import catalogue
from fixtures import parsers
from fixtures.layouts import SIZE, write_in9
from fixtures.matrices import coded_scenes, matrix_classifier
from fixtures.networks import fresh, wrap
from fixtures.stand_ins import AnswerEngine, make_scenes

PLAN = Plan(rounds=2, workers=(0,), scenes_per_class=1, images=20, files=11, written=1, map_batch=2, seconds=0.0)
SIDE = 64

bench = import_module("bglab.bench.measure")  # the package's own name for it is the function


@pytest.fixture(scope="module")
def classifier():
    return fresh("test_efficientnet", SIDE, seed=3)


@pytest.fixture(scope="module")
def report(classifier):
    return measure(classifier, make_scenes(2, SIDE), PLAN, size=SIDE, progress=False)


@pytest.fixture
def workload(classifier, tmp_path):
    prepared = bglab.prepare(make_scenes(1, SIDE), SIDE, progress=False)
    return prepare_workload(classifier, prepared, tmp_path, PLAN)


def test_everything_is_measured_in_every_round(report):
    rates = {row.name: len(row.rates) for row in report.measurements}
    twice = {
        "as_written",
        "loop_0",
        "matrix",
        "predict",
        "first_hit",
        "single",
        "eager",
        "compositing",
        "grad_cam",
        "grad_cam_below",
        "captum",
        "stream",
        "decode",
        "pillow",
    }
    twice |= {"pytorch_grad_cam"} if find_spec("pytorch_grad_cam") else set()
    assert {name for name, count in rates.items() if count == 2} == twice
    # contenders with a baseline are timed between two runs of the bare forward pass
    assert rates["bare"] > 2 * 2
    assert all(rate > 0 for row in report.measurements for rate in row.rates)


def test_ratios_are_of_what_was_measured(report):
    rates = {row.name: row.rates for row in report.measurements}
    ratios = {ratio.name: ratio for ratio in report.ratios}
    by_round = [a / b for a, b in zip(rates["matrix"], rates["as_written"], strict=True)]
    assert ratios["matrix / as_written"].value == pytest.approx(np.mean(by_round))  # a median of two
    by_round = [a / b for a, b in zip(rates["grad_cam"], rates["captum"], strict=True)]
    assert ratios["grad_cam / captum"].value == pytest.approx(np.mean(by_round))
    assert {name: ratio.aim for name, ratio in ratios.items() if ratio.aim} == {
        "matrix / bare": 0.95,
        "predict / bare": 0.95,
        "bare / single": 1.15,
        "forwards in file order / first_hit": 1.2,
        "verdict of matrix / first_hit": 2,
        "grad_cam / bare": 0.90,
        "grad_cam_below / bare": 0.80,
        "stream / attainable with pillow": 0.95,
    }


def test_loop_and_matrix_did_the_same_work(report):
    predictions, vulnerability, maps = report.checks
    # two rounds: eleven images by the loop over all backgrounds, nine by the loop with early stopping
    assert predictions == (
        "predictions of the reference loop and the matrix agree on 40 of 40 pairs, and on 0 more up to ties"
    )
    assert vulnerability == ("reference loop, matrix and first hit agree on the vulnerability of 2 of 2 foregrounds")
    assert float(maps.split("at most ")[1].split(" of ")[0]) < 1e-4


def test_a_report_says_what_it_is_of(report):
    about = report.about
    assert (about["foregrounds"], about["backgrounds"], about["size"]) == (9, 9, SIDE)
    assert (about["engine"], about["precision"], about["scenes"]) == ("torch", "float32", "random")
    assert about["plan"]["workers"] == (0,)
    assert about["device_type"] == "cpu"
    written = json.loads(json.dumps(report.as_json()))
    assert written["measurements"]["matrix"]["median"] == pytest.approx(
        np.mean(written["measurements"]["matrix"]["rates"])
    )
    assert written["ratios"]["matrix / bare"]["unit"] == "share"


def test_a_report_has_what_jobs_are_planned_with(report, classifier, tmp_path):
    file = tmp_path / "bench.json"
    file.write_text(json.dumps(report.as_json()))
    rates, about = read_rates(file), report.about
    assert rates.by_name == {row.name: row.rate for row in report.measurements if row.rate}
    assert (rates.model, rates.gmacs, rates.is_gpu) == (about["model"], about["gmacs"], False)
    assert about["gmacs"] == pytest.approx(network_gmacs(classifier.network, SIDE))
    assert about["gmacs"] < network_gmacs(classifier.network, 2 * SIDE)
    # at most every background of each of the nine foregrounds
    assert 1 <= about["first_hit_forwards_per_foreground"] <= 9
    assert about["first_hit_forwards_per_foreground"] == pytest.approx(9 * rates.first_hit_share)
    rated = {"predict", "matrix", "first_hit", "grad_cam", "stream", "decode", "eager"}
    assert rated <= set(rates.by_name)
    of_each_kind = [catalogue()[name] for name in ("nos-figure-4", "nos-figure-6", "tbc-figure-1")]
    assert estimate(of_each_kind, rates).total.hours > 0


def test_starts_and_memory_are_no_rates(report):
    found = {row.name: row for row in report.start_and_memory}
    assert {name: row.unit for name, row in found.items()} == {
        "cold_start": "s",
        "predict_memory": "MiB",
        "search_memory": "MiB",
        "explorer_answer": "ms",
        "gpu_memory": "MiB",
    }
    assert not set(found) & {row.name for row in report.measurements}
    written = json.loads(json.dumps(report.as_json()))["start_and_memory"]
    assert written["explorer_answer"]["median"] == pytest.approx(np.median(found["explorer_answer"].values))
    assert written["cold_start"] == {
        "name": "cold_start", "title": found["cold_start"].title, "unit": "s", "values": [], "median": None,
        "note": "expected a classifier that a new process can load by its URI, got one made of an object",
    }  # fmt: skip


def test_different_predictions_are_an_error(classifier, monkeypatch):
    def other(*arguments, **options):
        return -reference_search(*arguments, **options)

    monkeypatch.setattr(contenders, "reference_search", other)
    with pytest.raises(BadInput) as caught:
        measure(classifier, make_scenes(1, SIDE), replace(PLAN, rounds=1), size=SIDE, progress=False)
    assert str(caught.value) == (
        "expected the same predictions from the reference loop and the matrix, but 20 of 20 differ by more than a tie, "
        "so that their times are not comparable; try --engine torch"
    )


def hand_made_workload(matrix, original, labels, logits=None):
    """Run both searches on a table of known predictions; the reference loop has the given logits."""
    classifier, scenes = matrix_classifier(matrix, original), coded_scenes(labels)
    evaluator = contenders.open_evaluator(classifier, scenes, progress=False)
    return Workload(
        classifier,
        evaluator,
        evaluator.head(progress=False),
        evaluator.originals,
        BareForward("", lambda _: (1, 1.0), {}),
        [],
        PLAN,
        classifier.network,
        matrix=contenders.search_matrix(classifier, scenes, progress=False),
        hits=contenders.first_hit(classifier, scenes, progress=False),
        loop_logits=[] if logits is None else [LoopLogits(0, np.arange(len(logits)), logits)],
    )


def test_ties_are_counted_apart():
    labels = [0, 1, 2]
    logits = torch.nn.functional.one_hot(torch.tensor([0, 0, 0]), 9) * 10.0
    logits[1, 4] = 9.95  # the matrix says 4, half a hundredth below
    workload = hand_made_workload([[0, 4, 0], [1, 1, 1], [2, 2, 2]], labels, labels, logits)
    assert bench._compare_predictions(workload)[0] == (
        "predictions of the reference loop and the matrix agree on 2 of 3 pairs, and on 1 more up to ties"
    )
    workload.loop_logits[0].logits[1, 4] = 9.85
    with pytest.raises(BadInput, match="but 1 of 3 differ by more than a tie"):
        bench._compare_predictions(workload)
    workload.classifier.engine.precision = "bfloat16"  # where answers may differ, they are counted
    assert "agree on 2 of 3 pairs, and on 0 more" in bench._compare_predictions(workload)[0]


def test_a_disagreement_about_vulnerability_is_counted():
    labels = [0, 1, 2]
    workload = hand_made_workload([[0, 4, 0], [1, 1, 1], [2, 2, 2]], labels, labels, torch.eye(9)[[0, 4, 0]])
    workload.vulnerable = {0: True, 1: False, 2: True}
    assert bench._compare_predictions(workload)[1] == (
        "reference loop, matrix and first hit agree on the vulnerability of 2 of 3 foregrounds"
    )


def test_forward_passes_are_counted_where_something_fools():
    labels = [0, 1, 2, 3]
    # the last background fools all but the last foreground, which nothing fools
    matrix = [[0, 0, 0, 8], [1, 1, 1, 8], [2, 2, 2, 8], [3, 3, 3, 3]]
    workload = hand_made_workload(matrix, labels, labels)
    evaluated = (np.asarray(workload.hits.pairs.native) >= 0).sum(axis=1)
    in_order, over_all = bench._forwards(workload)
    assert in_order.title == "forward passes, file order / first hit, on the 3 of 4 vulnerable foregrounds"
    assert in_order.value == 12 / evaluated[:3].sum()
    assert over_all.value == 16 / evaluated.sum()


def test_without_vulnerable_foregrounds_there_is_no_ratio_for_them():
    workload = hand_made_workload(np.array([[0, 0], [1, 1]]), [0, 1], [0, 1])
    assert [ratio.name for ratio in bench._forwards(workload)] == ["forwards of matrix / first_hit"]


def test_contenders_are_timed_between_runs_of_their_baseline_in_alternating_order():
    seen = []

    def contender(name, baseline=""):
        return Contender(name, name, lambda number: seen.append((number, name)) or Timing(1, 1.0), baseline=baseline)

    absent = Contender("absent", "absent", None, "not here")
    lineup = [contender("a"), contender("b", "bare"), contender("c", "bare"), contender("bare"), absent]
    turns = bench._take_turns(lineup, 2, progress=False)
    order = ["a", "bare", "b", "bare", "c", "bare"]
    assert seen == [*((0, name) for name in order), *((1, name) for name in reversed(order))]
    assert [(turn.round, turn.name) for turn in turns] == seen


def test_a_share_is_of_both_neighbours():
    paces = [("bare", 10, 1.0), ("a", 9, 1.0), ("bare", 30, 3.0), ("bare", 10, 1.0), ("a", 5, 1.0), ("bare", 10, 1.0)]
    turns = [Turn(place // 3, name, Timing(count, seconds)) for place, (name, count, seconds) in enumerate(paces)]
    assert bench._share(turns, "a", "bare", "a of bare", 0.9) == Ratio("a / bare", "a of bare", 0.7, "share", 0.9)
    assert bench._share(turns, "absent", "bare", "", 0.9) is None


def test_a_ratio_may_be_to_the_fastest_of_each_round():
    paces = [("a", 8), ("x", 2), ("y", 4), ("a", 9), ("x", 3), ("y", 1)]
    turns = [Turn(place // 3, name, Timing(count, 1.0)) for place, (name, count) in enumerate(paces)]
    assert bench._ratio(turns, "a", "best", "", among=["x", "y"]) == Ratio("a / best", "", 2.5)
    assert bench._ratio(turns, "a", "y", "") == Ratio("a / y", "", 5.5)
    assert bench._ratio(turns, "a", "absent", "") is None


def test_the_loop_composes_what_the_search_composes(workload):
    row = 4
    image, mask = workload.evaluator.prepared.images[row], workload.evaluator.prepared.masks[row]
    logits = reference_search(workload.eager, np.asarray(image), np.asarray(mask), workload.files, workers=0)
    plates = torch.from_numpy(np.stack([np.array(Image.open(f)).transpose(2, 0, 1) for f in workload.files]))
    composed = compositing.composite(torch.from_numpy(image[None]), plates, torch.from_numpy(mask[None]))
    assert torch.allclose(logits, workload.classifier(composed), atol=1e-4)


@pytest.mark.parametrize("workers", [0, 2])
def test_the_loop_ends_with_the_batch_of_the_first_error(workload, workers):
    files = workload.files * 8
    image, mask = (np.asarray(a[0]) for a in (workload.evaluator.prepared.images, workload.evaluator.prepared.masks))
    seen = []

    def third_batch(native):
        seen.append(len(native))
        return np.full(len(native), len(seen) == 2)

    logits = reference_search(workload.eager, image, mask, files, workers=workers, is_error=third_batch)
    assert len(logits) == 2 * BATCH_SIZE
    whole = reference_search(workload.eager, image, mask, files, workers=workers)
    assert len(whole) == 72
    assert torch.allclose(logits, whole[:64], atol=1e-5)


def test_the_eager_network_is_a_copy(classifier):
    eager = eager_copy(classifier.network, torch.device("cpu"))
    weights = [p for p in eager.parameters() if p.ndim == 4]
    assert all(p.requires_grad and p.is_contiguous() for p in weights)
    assert not any(p.requires_grad for p in classifier.network.parameters())
    with torch.no_grad():
        weights[0].zero_()
    assert all(p.abs().max() > 0 for p in classifier.network.parameters() if p.ndim == 4)


def test_backgrounds_are_those_of_their_files(workload, tmp_path):
    assert [file.parent for file in workload.files] == [tmp_path] * 9
    for position, file in enumerate(workload.files):
        assert (np.array(Image.open(file)).transpose(2, 0, 1) == workload.evaluator.prepared.plates[position]).all()


def test_released_files_are_read_in_place(classifier, tmp_path):
    root = write_in9(tmp_path / "release", 1)
    prepared = bglab.prepare(bglab.open_scenes(f"in9:{root}"), SIZE, progress=False)
    workload = prepare_workload(classifier, prepared, tmp_path, PLAN)
    assert {file.parents[2].name for file in workload.files} == {"only_bg_t"}
    assert (workload.evaluator.prepared.plates == prepared.plates).all()
    resized = bglab.prepare(bglab.open_scenes(f"in9:{root}"), 32, progress=False)
    assert {file.parent for file in prepare_workload(classifier, resized, tmp_path, PLAN).files} == {tmp_path}


def test_a_scene_without_a_background_lends_none(classifier, tmp_path):
    scenes = coded_scenes([0, 1, 2], SIDE, has_plate=[True, False, True])
    workload = prepare_workload(classifier, scenes, tmp_path, PLAN)
    assert [file.name for file in workload.files] == ["00000.jpg", "00002.jpg"]
    assert workload.evaluator.shape == (3, 2)


def maps_of(workload):
    return {contender.name: contender for contender in saliency_contenders.saliency_contenders(workload)}


def test_layers_below_the_head_are_blocks(workload):
    found = maps_of(workload)
    assert found["grad_cam_below"].title == "Grad-CAM, bglab, below the head, at blocks.3"
    assert found["grad_cam_below"].step is not None


def test_contenders_that_cannot_be_timed_give_the_reason(classifier, tmp_path, monkeypatch):
    monkeypatch.setattr(saliency_contenders.importlib.util, "find_spec", lambda _name: None)
    flat = wrap(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9)))
    prepared = bglab.prepare(make_scenes(1, SIDE), SIDE, progress=False)
    found = maps_of(prepare_workload(flat, prepared, tmp_path, PLAN))
    assert found["captum"].step is None
    assert found["captum"].note == "not installed"
    assert found["grad_cam_below"].note == "Sequential has no two blocks with spatial positions below its head"
    blind = wrap(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9)))
    (only,) = saliency_contenders.saliency_contenders(prepare_workload(blind, prepared, tmp_path, PLAN))
    assert only.note.startswith("expected a layer with positions in Sequential")


def test_token_layers_are_refused_for_other_libraries(tmp_path):
    prepared = bglab.prepare(make_scenes(1, 160), 160, progress=False)
    workload = prepare_workload(fresh("test_vit", 160), prepared, tmp_path, PLAN)
    assert maps_of(workload)["captum"].note.startswith("assumes channels-first feature maps, which")


def test_pytorch_grad_cam_is_called_as_documented(workload, monkeypatch):
    asked = []

    class Explainer:
        def __init__(self, model, target_layers):
            self.made_of = (model, target_layers)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            asked.append("closed")

        def __call__(self, input_tensor, targets):
            asked.append((self.made_of, input_tensor, targets))
            return np.ones((len(input_tensor), 4, 4), dtype=np.float32)

    library, targets = ModuleType("pytorch_grad_cam"), ModuleType("pytorch_grad_cam.utils.model_targets")
    library.GradCAM, targets.ClassifierOutputTarget = Explainer, lambda index: ("target", index)
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam", library)
    monkeypatch.setitem(sys.modules, "pytorch_grad_cam.utils.model_targets", targets)
    monkeypatch.setattr(saliency_contenders.importlib.util, "find_spec", lambda _name: True)
    found = maps_of(workload)["pytorch_grad_cam"]
    assert found.step is not None
    assert found.step(0).images == PLAN.map_batch
    (model, layers), given, wanted = asked[0]
    assert model is workload.eager.network
    assert [name for name, module in model.named_modules() if module is layers[0]] == ["bn2"]
    assert torch.allclose(model(given), workload.classifier(workload.images(2)), atol=1e-4)
    assert wanted == [("target", int(i)) for i in workload.classifier(workload.images(2)).argmax(1)]
    assert asked.count("closed") == len(asked) / 2


def test_a_timing_repeats_until_enough_time_has_passed(workload):
    done = []
    workload.plan = replace(PLAN, seconds=0.05)
    timing = contenders.repeat(workload, 3, lambda: done.append(1))
    assert timing.images == 3 * len(done)
    assert timing.seconds >= 0.05
    assert timing.rate == timing.images / timing.seconds


def test_a_plan_suits_the_device(classifier):
    assert plan_for(classifier, 5) == Plan(5)
    engine = AnswerEngine(lambda images: images)
    engine.device = torch.device("cuda")
    on_a_gpu = replace(classifier, engine=engine)
    assert plan_for(on_a_gpu).files > plan_for(classifier).files
    with pytest.raises(BadInput, match="^expected at least 1 round, got 0$"):
        plan_for(classifier, 0)


REPORT = Report(
    {
        "model": "lite:x", "engine": "openvino", "precision": "float32", "device": "x86_64", "cores": 2, "size": 224,
        "scenes": "cutouts", "foregrounds": 5, "backgrounds": 4, "plan": {"rounds": 2},
    },
    (Measurement("a", "ours", (1234.4, 2000.0)), Measurement("b", "theirs, too", (), "not installed")),
    (Ratio("a / b", "ours / theirs", 12.34, aim=15), Ratio("a / c", "ours / bare", 0.876, "share")),
    ("all the same",),
    (
        Quantity("c", "cold start", "s", (2.0, 2.5, 4.0)), Quantity("m", "memory", "MiB", (1234.5,)),
        Quantity("g", "of the GPU", "MiB", (), "no GPU"),
    ),
)  # fmt: skip


def test_the_command_prints_ratios_and_targets(monkeypatch, capsys, tmp_path):
    asked = []
    monkeypatch.setattr(
        "bglab.bench.measure", lambda *arguments, **options: asked.append((arguments, options)) or REPORT
    )
    monkeypatch.setattr(command, "load", lambda model, options: fresh("test_efficientnet", SIDE))
    file = tmp_path / "b.json"
    arguments = ["bench", "--scenes", "synthetic9?n=9", "--rounds", "7", "--json", str(file)]
    assert parsers.run(command.add, arguments) == 0
    assert capsys.readouterr().out.splitlines() == [
        "lite:x · openvino, float32, on x86_64 (2 cores)",
        "5 foregrounds × 4 backgrounds of cutouts, 224 px · 2 rounds, interleaved",
        "",
        "                    images/s   min – max",
        "ours                   1,617   1,234 – 2,000",
        "theirs, too                –   not installed",
        "",
        "                       ratio   target",
        "ours / theirs         12.3 ×   15 ×",
        "ours / bare             88 %",
        "",
        "start and memory      median   min – max",
        "cold start             2.5 s   2 – 4",
        "memory             1,234 MiB   1,234 – 1,234",
        "of the GPU                 –   no GPU",
        "",
        "all the same",
        str(file),
    ]
    ((arguments, _),) = asked
    assert (len(arguments[1]), arguments[2].rounds) == (9, 7)
    assert json.loads(file.read_text()) == json.loads(json.dumps(REPORT.as_json()))


def test_the_command_uses_the_first_available_scenes(monkeypatch, capsys):
    asked = []
    monkeypatch.setattr("bglab.bench.measure", lambda _model, scenes, *_, **__: asked.append(scenes.name) or REPORT)
    monkeypatch.setattr(command, "load", lambda model, options: fresh("test_efficientnet", SIDE))

    def nowhere(path, *, uri):
        raise MissingData(f"{uri} is not here")

    for source in ("cutouts", "sample"):
        monkeypatch.setattr(f"bglab.scenes.sources.{source}.open_source", nowhere)
    assert parsers.run(command.add, ["bench"]) == 0
    assert asked == ["synthetic9:n=108"]
