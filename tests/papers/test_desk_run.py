"""Runs of the desk: watched, stopped between two blocks of images, gone on with, and added to the report."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from bglab.papers import DeskRun, Settings, catalogue
from bglab.results import parts

MODEL = "lite:efficientnet_lite0"
TABLE = catalogue()["nos-table-2"]


def settings(folder, **options):
    chosen = {"models": (MODEL,), "train": "none", "size": 64, "batch_size": 8, "progress": False}
    return Settings("synthetic9?n=27", folder, **(chosen | options))


def made(run, *artefacts, stop_at=None):
    """Make artefacts; returns whether all were made, the steps that were told, and the outcomes."""
    told, outcomes = [], []

    def tell(artefact, steps):
        told.append((artefact.id, steps))
        if stop_at is not None and steps[-1].title.endswith(stop_at):
            run.stop()

    finished = run.make(artefacts or (TABLE,), told=tell, made=outcomes.append)
    return finished, told, outcomes


@pytest.fixture
def in_small_blocks(monkeypatch):
    monkeypatch.setattr(parts, "_LEAST", 8)


def test_steps_are_told_and_the_outcome_is_added_to_the_report(data_folder, tmp_path):
    (tmp_path / "report.json").write_text(json.dumps({"nos-figure-3": {"status": "other data", "chip": "other data"}}))
    run = DeskRun(settings(tmp_path))
    assert run.status(catalogue()["nos-figure-3"]) == ("other data", "other data, earlier")
    assert run.status(TABLE) == ("", "")
    finished, told, (outcome,) = made(run)
    assert finished
    assert outcome.status == "other data"
    last = told[-1][1]
    steps = {step.title: step for step in last}
    assert {f"efficientnet_lite0 · {v}" for v in ("original", "mixed_same", "mixed_rand", "only_bg_t")} <= set(steps)
    assert all(step.done == step.total and step.seconds_left == 0 for step in last if step.unit == "image")
    report = json.loads((tmp_path / "report.json").read_text())
    assert set(report) == {"nos-figure-3", "nos-table-2"}
    assert report["nos-table-2"]["n"] == [27, 27]
    assert (tmp_path / "nos-table-2.pdf").exists()
    assert DeskRun(settings(tmp_path)).status(TABLE) == ("other data", "other data, earlier")


def test_a_stopped_run_goes_on_with_what_is_stored(data_folder, tmp_path, in_small_blocks, monkeypatch):
    run = DeskRun(settings(tmp_path / "stopped"))
    finished, told, outcomes = made(run, stop_at="only_bg_t")
    assert not finished
    assert outcomes == []
    assert run.status(TABLE) == ("stopped", "stopped")
    stored = list((tmp_path / "stopped" / "results").rglob("*original*.parquet"))
    assert len(stored) == 1
    titles = [step.title for step in told[-1][1]]
    assert not any("mixed_same" in title for title in titles)

    classified = []
    classifier = run.reproduction.classifier(MODEL)
    begin = type(classifier.engine).begin
    monkeypatch.setattr(
        type(classifier.engine), "begin", lambda engine, images: classified.append(len(images)) or begin(engine, images)
    )
    finished, _, (outcome,) = made(run)
    assert finished
    assert outcome.status == "other data"
    # Original and the block of Only-BG-T that was done before the stop are read
    assert sum(classified) < 3 * 27
    _, _, (whole,) = made(DeskRun(settings(tmp_path / "whole")))
    pd.testing.assert_frame_equal(outcome.product.table, whole.product.table)


def test_a_stop_before_a_run_does_not_stop_it(data_folder, tmp_path):
    run = DeskRun(settings(tmp_path))
    run.stop()
    finished, _, (outcome,) = made(run, catalogue()["nos-table-4"])
    assert finished
    assert outcome.artefact.id == "nos-table-4"


def test_an_export_has_the_venues_width_and_the_numbers_of_the_run(data_folder, tmp_path):
    run = DeskRun(settings(tmp_path))
    _, _, (outcome,) = made(run)
    files = run.export(TABLE, "cvpr2024", "column", ("svg", "csv", "tex"))
    assert [file.relative_to(tmp_path).as_posix() for file in files] == [
        f"exports/nos-table-2.{ending}" for ending in ("svg", "csv", "tex")
    ]
    assert files[1].read_text() == (tmp_path / "nos-table-2.csv").read_text()
    svg, tex = files[0].read_text(), files[2].read_text()
    assert 'width="234pt"' in svg, "a column of CVPR has 3.25 inches"
    assert "27 scenes, variants composed by bglab" in tex.replace("\n", " ")


@pytest.mark.parametrize("content", ["{", "[1]", '{"nos-table-2": 3}'])
def test_a_report_that_cannot_be_read_says_nothing(data_folder, tmp_path, content):
    (tmp_path / "report.json").write_text(content)
    assert DeskRun(settings(tmp_path)).status(TABLE) == ("", "")
