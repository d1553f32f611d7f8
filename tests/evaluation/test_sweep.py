"""Sweeps: stored results are skipped, failures are reported, and the same call resumes after a kill."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.evaluation import run_grid
from bglab.models import load_classifier
from bglab.results import predictions
from bglab.variants import StreamSettings, open_full
from fixtures import TESTS
from fixtures.stand_ins import make_classifier, make_scenes

VARIANTS = ["original", "white_fg", "on_texture"]
NAMES = ["original", "white_fg", "on_texture", "on_texture~1"]


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


def named(name, answer=brightness):
    classifier = make_classifier(answer)
    return dataclasses.replace(classifier, spec=dataclasses.replace(classifier.spec, name=name, input_size=32))


@pytest.fixture
def full(data_folder):
    chosen = StreamSettings(smallest=0, largest=1, draws=2, workers=2)
    return open_full(make_scenes(per_class=1), chosen, progress=False)


class Shelf:
    """Loads stand-ins by URI, and records which were loaded."""

    def __init__(self, **answers):
        self.answers = answers
        self.asked: list[str] = []

    def __call__(self, model):
        self.asked.append(model)
        name = model.partition(":")[2]
        if name in self.answers:
            return named(name, self.answers[name])
        return load_classifier(model)


def run(full, folder, models, load):
    return run_grid(models, full, VARIANTS, folder, load=load, batch_size=4, progress=False)


def test_the_rest_goes_on_past_a_wrong_name_missing_weights_and_a_failure(full, tmp_path, monkeypatch):
    seen: list[int] = []

    def fails_in_mid_run(images):
        seen.append(len(images))
        if len(seen) == 3:
            raise RuntimeError("the device fell off the bus\nwith a long trace")
        return brightness(images)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    shelf = Shelf(good=brightness, bad=fails_in_mid_run, last=brightness)
    models = ["rule:good", "timm:resnet18.tv-in1k", "timm:absent", "rule:bad", "rule:last", "rule:good"]
    monkeypatch.setitem(shelf.answers, "last", brightness)

    def load(model):
        if model == "timm:absent":
            raise MissingData("the weights of timm:absent are not on this machine; go online once")
        return shelf(model)

    grid = run(full, tmp_path, models, load)
    assert list(zip(grid.done["model"], grid.done["variant"], grid.done["state"], strict=True)) == [
        (model, name, "new") for model in ("rule:good", "rule:last") for name in NAMES
    ]
    reasons = grid.missing.drop_duplicates("model").set_index("model")["reason"]
    assert reasons["timm:resnet18.tv-in1k"].startswith(
        "unknown tag of timm:resnet18 'tv-in1k'; did you mean 'tv_in1k'?"
    )
    assert reasons["timm:absent"] == "the weights of timm:absent are not on this machine; go online once"
    assert reasons["rule:bad"] == "RuntimeError: the device fell off the bus"
    assert len(grid.missing) == 3 * len(NAMES)
    written = {path.parent.name for path in predictions.prediction_files(tmp_path)}
    assert written == {"rule-good", "rule-last"}


def test_weights_that_are_not_here_are_a_reason(full, tmp_path, monkeypatch):
    import timm

    def refuse(*_args, **_options):
        raise ConnectionError("no route to the hub")

    monkeypatch.setattr(timm, "create_model", refuse)
    grid = run(full, tmp_path, ["timm:resnet18.tv_in1k"], load_classifier)
    assert grid.done.empty
    assert set(grid.missing["variant"]) == set(NAMES)
    (reason,) = set(grid.missing["reason"])
    assert reason.startswith("the weights of timm:resnet18.tv_in1k are not on this machine and could not be fetched")


def test_what_is_done_is_not_even_loaded(full, tmp_path):
    shelf = Shelf(good=brightness, other=brightness)
    run(full, tmp_path, ["rule:good"], shelf)
    times = {path: path.stat().st_mtime_ns for path in predictions.prediction_files(tmp_path)}
    grid = run(full, tmp_path, ["rule:good", "rule:other"], shelf)
    assert shelf.asked == ["rule:good", "rule:other"]
    assert grid.done["state"].tolist() == ["kept"] * 4 + ["new"] * 4
    assert grid.missing.empty
    assert {path: path.stat().st_mtime_ns for path in times} == times


def test_a_lost_table_alone_is_made_again(full, tmp_path):
    shelf = Shelf(good=brightness)
    run(full, tmp_path, ["rule:good"], shelf)
    stored = {path.stem: path for path in predictions.prediction_files(tmp_path)}
    times = {name: path.stat().st_mtime_ns for name, path in stored.items()}
    stored["on_texture~1"].unlink()
    grid = run(full, tmp_path, ["rule:good"], shelf)
    assert dict(zip(grid.done["variant"], grid.done["state"], strict=True)) == dict.fromkeys(NAMES[:3], "kept") | {
        "on_texture~1": "new"
    }
    assert all(stored[name].stat().st_mtime_ns == times[name] for name in NAMES[:3])


def test_another_network_under_the_same_name_is_not_taken_for_done(full, tmp_path):
    shelf = Shelf(good=brightness)
    run(full, tmp_path, ["rule:good"], shelf)
    other = open_full(make_scenes(per_class=1), dataclasses.replace(full.settings, seed=4), progress=False)
    grid = run_grid(["rule:good"], other, VARIANTS, tmp_path, load=shelf, progress=False)
    assert set(grid.done["state"]) == {"new"}


def test_mistakes_of_the_call_stop_it_before_anything_runs(full, tmp_path):
    shelf = Shelf(good=brightness)
    with pytest.raises(UnknownName, match="unknown variant at full resolution 'on_whit'; did you mean 'on_white'"):
        run_grid(["rule:good"], full, ["on_whit"], tmp_path, load=shelf, progress=False)
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadInput, match="expected a folder to write to at"):
        run_grid(["rule:good"], full, VARIANTS, tmp_path / "file" / "results", load=shelf, progress=False)
    assert shelf.asked == []


KILLED = """
import sys, time
sys.path.insert(0, sys.argv[2])
import evaluation.test_sweep as test_sweep
full = test_sweep.open_full(
    test_sweep.make_scenes(per_class=1), test_sweep.StreamSettings(smallest=0, largest=1, draws=2, workers=2),
    progress=False)
def slow(images):
    time.sleep(60)
    return test_sweep.brightness(images)
test_sweep.run(full, sys.argv[1], ["rule:good", "rule:slow", "rule:last"],
    test_sweep.Shelf(good=test_sweep.brightness, slow=slow, last=test_sweep.brightness))
"""


@pytest.mark.slow
def test_a_killed_run_goes_on_where_it_was(full, tmp_path):
    script = [sys.executable, "-c", KILLED, str(tmp_path), str(TESTS)]
    running = subprocess.Popen(script, env=os.environ)
    try:
        deadline = time.monotonic() + 120
        while len(list(predictions.prediction_files(tmp_path))) < len(NAMES) and time.monotonic() < deadline:
            assert running.poll() is None
            time.sleep(0.1)
        time.sleep(0.3)  # into the second network's pass
    finally:
        running.send_signal(signal.SIGKILL)
        running.wait()
    times = {path: path.stat().st_mtime_ns for path in predictions.prediction_files(tmp_path)}
    assert len(times) == len(NAMES)
    shelf = Shelf(good=brightness, slow=brightness, last=brightness)
    grid = run(full, tmp_path, ["rule:good", "rule:slow", "rule:last"], shelf)
    assert shelf.asked == ["rule:slow", "rule:last"]
    assert grid.missing.empty
    assert grid.done["state"].tolist() == ["kept"] * 4 + ["new"] * 8
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert len(predictions.read_predictions(tmp_path)) == 3 * len(NAMES) * 9
