"""Runs of the reproduction: networks within a time limit, files, a complete report, the command."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from importlib import import_module

import pandas as pd
import pytest

from bglab.commands import reproduce as command
from bglab.errors import BadInput
from bglab.figures import theme
from bglab.papers import Artefact, Reproduction, catalogue, report, runner, trained_networks
from bglab.papers.artefact import Requirement, state_of
from bglab.papers.missing import Missing, TimeLimitReached
from bglab.papers.training_runs import GRANULARITIES, SIZES, TABLE_5, TRAINING_RUNS, granularity_id, size_id
from bglab.training import PRESETS
from fixtures.parsers import run
from fixtures.trained import SCENES, SIZE, small_settings

NOS = catalogue(["nos"])


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return small_settings(tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def reproduction(settings):
    return Reproduction(settings)


def made(artefact, reproduction):
    with theme():
        return artefact.make(reproduction)


# networks and the time limit


def test_networks_depart_from_the_preset_as_the_paper_says():
    paper = PRESETS["paper"]
    fine = TRAINING_RUNS[granularity_id(144)].recipe(paper, natives=True)
    assert (fine.subclasses, fine.native_classes, fine.variants) == (16, 16, ("original",))
    assert [TRAINING_RUNS[granularity_id(k)].recipe(paper, natives=True).subclasses for k in GRANULARITIES] == [
        1,
        2,
        4,
        8,
        16,
    ]
    small = TRAINING_RUNS[size_id(0.25)].recipe(paper, natives=False)
    assert (small.lr, small.fraction, small.native_classes) == (0.01, 0.0625, 0)
    assert [TRAINING_RUNS[size_id(s)].recipe(paper, natives=True).fraction for s in SIZES] == [
        0.0625,
        0.125,
        0.25,
        0.5,
        1,
    ]
    assert TRAINING_RUNS["mixed_rand"].recipe(paper, natives=True) == replace(paper, variants=("mixed_rand",))
    assert set(TABLE_5) == {*(n for n in TRAINING_RUNS if "-" not in n)}


def test_synthetic_scenes_are_trained_on_others_of_their_kind(settings):
    reproduction = Reproduction(replace(settings, train="auto", trained=None))
    assert reproduction.trained.preset == "toy"
    assert reproduction.trained.training_uri("in9") == f"synthetic9?n=18&size={SIZE}&seed=1"
    assert reproduction.trained.training_uri("in9l") == f"synthetic9?n=72&size={SIZE}&seed=2"
    named = Reproduction(replace(settings, train="auto", trained=None, train_scenes="synthetic9?n=9&seed=7"))
    assert named.trained.training_uri("in9") == "synthetic9?n=9&seed=7"


def test_what_cannot_be_trained_says_why(settings):
    reproduction = Reproduction(replace(settings, train="auto", trained=None))
    assert reproduction.trained.why_missing("original") is None
    assert reproduction.trained.why_missing("in9-l2") == Missing(
        "needs training",
        "bglab cannot train 'IN-9, L2-robust'; put the network into the folder of --trained as in9-l2.pt",
    )
    missing = reproduction.trained.why_missing("in9lb-144")
    assert (missing.state, missing.command) == ("needs data", "bglab data build in9 --imagenet PATH --out PATH")
    none = Reproduction(replace(settings, train="none", trained=None))
    assert none.trained.why_missing("original") == Missing(
        "needs training",
        "no network trained on Original was given (--trained DIR with original.pt)",
        "the same command with --train toy, or --train paper on a GPU",
    )
    assert state_of(NOS["nos-table-5"], none) == "needs training"
    assert state_of(NOS["nos-table-2"], none) == "ready"
    assert none.main_model() == settings.models[0]


def test_a_reached_time_limit_is_no_failure_and_a_second_run_resumes(settings, tmp_path, monkeypatch):
    recipe = replace(PRESETS["toy"], architecture="test_resnet", size=SIZE, epochs=2, batch_size=9)
    monkeypatch.setattr(trained_networks, "PRESETS", {"toy": recipe, "paper": PRESETS["paper"]})
    chosen = replace(settings, train="toy", trained=None, out=tmp_path, train_minutes=0.0)
    stopped = runner.run_one(NOS["nos-figure-5"], Reproduction(chosen))
    assert (stopped.status, stopped.command) == ("not run", "bglab reproduce with the same arguments")
    assert stopped.reason == (
        "the training time limit of 0 minutes was reached before Original; run the same command again to resume"
    )
    short = Reproduction(replace(chosen, train_minutes=1e-6))
    with pytest.raises(TimeLimitReached, match="was reached at epoch 1 of 2 of Mixed-Rand; run the same command again"):
        short.trained.network("mixed_rand")
    again = Reproduction(replace(chosen, train_minutes=5.0))
    uri = again.trained.network("mixed_rand")
    assert again.label(uri) == "test_resnet, Mixed-Rand"
    assert not again.trained.follows_paper(uri)
    assert Reproduction(chosen).trained.network("mixed_rand") == uri  # finished: needs no time


def test_weights_without_a_recipe_are_not_believed_to_follow_the_paper(settings, tmp_path):
    import timm
    import torch

    torch.save(timm.create_model("resnet50", num_classes=9).state_dict(), tmp_path / "in9l.pt")
    reproduction = Reproduction(replace(settings, trained=tmp_path))
    uri = reproduction.trained.network("in9l")
    assert uri == f"file:{tmp_path}/in9l.pt?architecture=resnet50"
    assert reproduction.label(uri) == "resnet50, IN-9L"
    assert not reproduction.trained.follows_paper(uri)
    assert reproduction.trained.departure(uri) == (
        "how the given weights were trained is not known, as their file holds no recipe"
    )


# runs, files, report


def broken(reproduction):
    raise ZeroDivisionError("by nothing")


def refused(reproduction):
    raise BadInput("expected a mask, got none; draw one")


STOPPERS = (
    Artefact("nos-table-90", "Broken", "Table 90", "Breaks.", broken, contradictions=("It is not what it is.",)),
    Artefact("nos-table-91", "Refused", "Table 91", "Refuses.", refused),
    Artefact("nos-table-92", "Missing", "Table 92", "Misses.", broken,
             (Requirement("gold", lambda _: Missing("needs data", "there is no gold", "bglab data fetch gold")),)),
)  # fmt: skip


@pytest.fixture(scope="module")
def reported(reproduction):
    chosen = [*STOPPERS, NOS["nos-table-4"], NOS["nos-figure-1"], NOS["nos-table-5"]]
    outcomes = runner.run(chosen, reproduction)
    page, data = report.write_report(outcomes, reproduction)
    return outcomes, page.read_text(), json.loads(data.read_text())


def test_one_that_fails_does_not_stop_the_others(reported):
    outcomes, _, entries = reported
    assert [o.status for o in outcomes] == ["failed", "failed", "not run", "reproduced", "other data", "other data"]
    assert entries["nos-table-90"]["reason"] == "ZeroDivisionError: by nothing"
    assert entries["nos-table-91"]["reason"] == "expected a mask, got none; draw one"
    assert (entries["nos-table-92"]["reason"], entries["nos-table-92"]["command"]) == (
        "there is no gold", "bglab data fetch gold",
    )  # fmt: skip


def test_every_made_artefact_has_its_files(reported, reproduction):
    outcomes, _, entries = reported
    for outcome in outcomes:
        expected = {".pdf", ".svg", ".png", ".csv", ".tex"} if outcome.product else set()
        assert {f".{name.rpartition('.')[2]}" for name in outcome.files} == expected
        assert all((reproduction.settings.out / name).stat().st_size > 0 for name in outcome.files)
    table = pd.read_csv(reproduction.settings.out / "nos-table-5.csv")
    assert table["top1"].tolist() == pytest.approx([row["top1"] for row in entries["nos-table-5"]["ours"]])
    latex = (reproduction.settings.out / "nos-table-5.tex").read_text()
    assert r"\toprule" in latex
    assert r"\label{tab:nos-table-5}" in latex


def test_the_json_holds_ours_and_theirs(reported):
    _, _, entries = reported
    entry = entries["nos-table-5"]
    assert len(entry["published"]) == 81
    assert len(entry["ours"]) == 72
    assert (entry["status"], entry["n"]) == ("other data", [18, 18])
    assert entry["models"][:2] == ["test_resnet, Mixed-Next", "test_resnet, Mixed-Rand"]
    assert entries["nos-table-4"]["compared"][0] == {
        "class": "dog", "ours": 116, "published": 116, "difference": 0, "inside": True,
        "kind": "same weights, same data", "tolerance": 0.0, "verdict": "agrees",
    }  # fmt: skip
    assert (entries["nos-table-4"]["chip"], entries["nos-table-4"]["counts"]) == (
        "reproduced: 9 of 9 printed numbers compared, 9 agree",
        {"printed": 9, "compared": 9, "agree": 9, "shown": 0},
    )  # fmt: skip
    assert entry["counts"] == {"printed": 81, "compared": 0, "agree": 0, "shown": 72}
    assert {(row["kind"], row["verdict"]) for row in entry["compared"]} == {("another network or data", "no verdict")}


def test_the_page_is_self_contained_and_complete(reported):
    _, page, entries = reported
    loaded = re.findall(r'(?:src|href)="([^"]*)"', page)
    assert loaded
    for target in loaded:
        assert target.startswith(("data:image/", "#")) or target in {n for e in entries.values() for n in e["files"]}
    assert not re.findall(r"<script|@import|url\(", page)
    for name in entries:
        assert f'<section id="{name}">' in page
    assert "It is not what it is." in page
    assert "ZeroDivisionError: by nothing." in page
    assert "bglab data fetch gold" in page
    assert page.count("The paper contradicts itself.") == 2  # the broken one's, and Table 5's
    assert "not the 4,050 images of ImageNet-9" in page
    assert "prefers-color-scheme: dark" in page
    assert "@media print" in page


def test_a_second_run_reads_the_results_of_the_first(settings, reproduction, monkeypatch):
    made(NOS["nos-readme-challenge"], reproduction)
    before = made(NOS["nos-table-2"], reproduction).table
    files = {p: p.stat().st_mtime_ns for p in reproduction.results.rglob("*") if p.suffix in {".parquet", ".npy"}}
    assert {p.suffix for p in files} == {".parquet", ".npy"}

    def refuse(*arguments, **options):
        raise AssertionError("computed again")

    monkeypatch.setattr(import_module("bglab.evaluation.predict"), "classify_batches", refuse)
    again = Reproduction(settings)
    pd.testing.assert_frame_equal(made(NOS["nos-table-2"], again).table, before)
    made(NOS["nos-readme-challenge"], again)
    assert {p: p.stat().st_mtime_ns for p in files} == files


def test_files_of_an_earlier_run_do_not_outlive_a_failure(reproduction):
    stale = reproduction.settings.out / "nos-table-90.csv"
    stale.write_text("old")
    runner.run_one(STOPPERS[0], reproduction)
    assert not stale.exists()


# the command


def test_the_list_shows_needs_and_on_scenes_states(capsys, settings):
    assert run(command.add, ["reproduce", "--list", "--paper", "nos"]) == 0
    listed = capsys.readouterr().out
    assert "nos-figure-6" in listed
    assert "needs scenes of the nine classes; networks trained on original, mixed_rand" in listed
    assert (
        run(command.add, ["reproduce", "--list", "nos-figure-6", "nos-table-2", "--scenes", SCENES, "--train", "none"])
        == 0
    )
    assert capsys.readouterr().out == (
        "nos-figure-6  Where networks look\n"
        "                needs training: no network trained on Original was given (--trained DIR with original.pt)\n"
        "                → the same command with --train toy, or --train paper on a GPU\n"
        "nos-table-2   Accuracy and BG-Gap of many models\n"
        "                ready\n"
    )


def test_the_command_writes_the_report(capsys, settings, tmp_path):
    arguments = ["reproduce", "nos-table-4", "nos-figure-9", "--scenes", SCENES, "--size", str(SIZE), "--models",
                 settings.models[0], "--out", str(tmp_path / "R"), "--train", "none"]  # fmt: skip
    assert run(command.add, arguments) == 0
    assert capsys.readouterr().out == (
        "nos-table-4   reproduced: 9 of 9 printed numbers compared, 9 agree\nnos-figure-9  other data\n"
        f"{tmp_path}/R/report.html\n"
    )
    assert list(json.loads((tmp_path / "R" / "report.json").read_text())) == ["nos-table-4", "nos-figure-9"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "expected what to reproduce, got nothing; name an ID or --paper nos; --list shows all"),
        (["nos-table-4"], "expected --scenes, got none; write for example --scenes synthetic9 --out report"),
        (
            ["nos-table-4", "--scenes", SCENES],
            "expected --out, got none; write for example --scenes synthetic9 --out report",
        ),
    ],
)
def test_a_command_that_lacks_something_says_what(arguments, sentence):
    with pytest.raises(BadInput) as caught:
        run(command.add, ["reproduce", *arguments])
    assert str(caught.value) == sentence
