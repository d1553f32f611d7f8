"""The `bglab` command: its output, files and exit status."""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from importlib import import_module

import pandas as pd
import pytest

from bglab.__main__ import _parser, main
from bglab.commands import train
from bglab.commands.accuracy import ACCURACY_COLUMNS, LIMITS_OF_TOP5
from bglab.errors import BadInput, MissingData
from bglab.lab import jupyter
from bglab.scenes import area_census, downloads
from bglab.training import PRESETS
from fixtures.boxed import BoxedImageNet

SCENES = "synthetic9?n=27&size=64"
MODEL = "lite:efficientnet_lite0"


@pytest.fixture(scope="module")
def results(tmp_path_factory, data_folder):
    """Return a folder with the predictions of one model on three variants."""
    folder = tmp_path_factory.mktemp("results")
    arguments = ["predict", "--scenes", SCENES, "--models", MODEL, "--size", "64", "--results", str(folder)]
    assert main([*arguments, "--variants", "original", "mixed_same", "mixed_rand"]) == 0
    return folder


def test_accuracy_keeps_its_contract(results, tmp_path, capsys):
    file = tmp_path / "a.csv"
    assert main(["accuracy", "--results", str(results), "--csv", str(file)]) == 0
    table = pd.read_csv(file)
    assert tuple(table.columns) == (*ACCURACY_COLUMNS, *LIMITS_OF_TOP5)
    assert sorted(table.variant) == ["mixed_rand", "mixed_same", "original"]
    assert (table.n == 27).all()
    assert ((table.top1_low <= table.top1) & (table.top1 <= table.top1_high)).all()
    assert table.model.unique().tolist() == [MODEL]


def test_accuracy_pooled_over_columns_says_so(results, tmp_path):
    file = tmp_path / "a.csv"
    assert main(["accuracy", "--results", str(results), "--by", "model", "--csv", str(file)]) == 0
    table = pd.read_csv(file)
    assert tuple(table.columns) == (*ACCURACY_COLUMNS, *LIMITS_OF_TOP5)
    assert table.n.tolist() == [81]
    assert table.variant.tolist() == ["(all)"]


def test_accuracy_prints_a_table(results, capsys):
    assert main(["accuracy", "--results", str(results), "--by", "model,variant"]) == 0
    printed = capsys.readouterr().out
    assert "| " in printed
    assert "Mixed-Rand" in printed


def test_a_second_run_reads_what_is_there(results, capsys, monkeypatch):
    def refuse(*_args, **_options):
        raise AssertionError("everything is there already")

    monkeypatch.setattr(import_module("bglab.evaluation.predict"), "classify_batches", refuse)
    arguments = ["predict", "--scenes", SCENES, "--models", MODEL, "--size", "64", "--results", str(results)]
    assert main([*arguments, "--variants", "original"]) == 0
    assert f"{MODEL} original: 27 images" in capsys.readouterr().out


def test_one_bad_model_does_not_stop_the_others(tmp_path, capsys):
    arguments = ["predict", "--scenes", SCENES, "--size", "64", "--results", str(tmp_path), "--variants", "original"]
    assert main([*arguments, "--models", "timm:resnet50", MODEL]) == 1
    captured = capsys.readouterr()
    assert f"{MODEL} original: 27 images" in captured.out
    assert "bglab: skipping timm:resnet50: 'timm:resnet50' names an architecture" in captured.err


def test_one_model_that_fails_while_it_classifies_does_not_stop_the_others(tmp_path, capsys, monkeypatch):
    classify_batches = import_module("bglab.evaluation.predict").classify_batches
    failures = [BadInput("expected a classifier of other classes, got these"), RuntimeError("no such kernel")]

    def fail_twice(*arguments, **options):
        if failures:
            raise failures.pop(0)
        return classify_batches(*arguments, **options)

    monkeypatch.setattr(import_module("bglab.evaluation.predict"), "classify_batches", fail_twice)
    arguments = ["predict", "--scenes", SCENES, "--size", "64", "--results", str(tmp_path), "--variants", "original"]
    assert main([*arguments, "--models", "lite:efficientnet_lite1", "lite:efficientnet_lite2", MODEL]) == 1
    captured = capsys.readouterr()
    assert f"{MODEL} original: 27 images" in captured.out
    assert "skipping lite:efficientnet_lite1: expected a classifier of other classes, got these" in captured.err
    assert "skipping lite:efficientnet_lite2: RuntimeError: no such kernel" in captured.err


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"--variants": "mixed-rand"}, "bglab: unknown variant 'mixed-rand'; did you mean 'mixed_rand'? Known: "),
        ({"--models": "resnet50"}, "bglab: unknown model 'resnet50'; did you mean 'timm:resnet50'?"),
        ({"--scenes": "in99:somewhere"}, "bglab: unknown source of scenes 'in99'; did you mean 'in9'? Known: "),
        ({"--scenes": "in9:/nowhere/at/all"}, "bglab: "),
        ({"--batch-size": "0"}, "bglab: argument -b/--batch-size: expected a whole number of at least 1, got 0; see"),
        ({"--engine": "jax"}, "bglab: argument --engine: invalid choice: 'jax'"),
    ],
)
def test_an_error_is_one_sentence_and_status_2(tmp_path, capsys, changed, sentence):
    given = {"--scenes": SCENES, "--models": MODEL, "--variants": "original", "--results": str(tmp_path)} | changed
    try:
        status = main(["predict", *(part for pair in given.items() for part in pair)])
    except SystemExit as stop:
        status = stop.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith(sentence)
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_results_folder_that_cannot_be_written(tmp_path, capsys):
    (tmp_path / "file").write_text("in the way")
    arguments = ["predict", "--scenes", SCENES, "--models", MODEL, "--variants", "original"]
    assert main([*arguments, "--results", str(tmp_path / "file" / "r")]) == 2
    assert "but Not a directory; choose another with --results" in capsys.readouterr().err


def test_debug_shows_the_traceback(tmp_path):
    with pytest.raises(MissingData, match="no predictions under"):
        main(["accuracy", "--results", str(tmp_path), "--debug"])


def test_as_a_process():
    run = subprocess.run([sys.executable, "-m", "bglab", "--version"], capture_output=True, text=True, check=False)
    assert run.returncode == 0
    assert run.stdout.startswith("bglab 0.")
    bad = subprocess.run([sys.executable, "-m", "bglab", "paint"], capture_output=True, text=True, check=False)
    assert bad.returncode == 2
    assert bad.stderr.startswith("bglab: unknown command 'paint'; did you mean 'plan'? Known: lab, doctor, ")


def status_of(*arguments):
    """Run a command line and return its exit status, however the parser ends it."""
    try:
        return main(arguments)
    except SystemExit as stop:
        return stop.code


@pytest.mark.parametrize(("arguments", "listed"), [((), "predict"), (("data",), "fetch")])
def test_a_command_that_has_commands_prints_its_help_alone(arguments, listed, capsys):
    assert status_of(*arguments) == 0
    alone = capsys.readouterr().out
    assert status_of(*arguments, "--help") == 0
    assert alone == capsys.readouterr().out
    assert re.search(rf"^    {listed} ", alone, flags=re.MULTILINE)


@pytest.mark.parametrize(
    ("typed", "sentence"),
    [
        ("predct", "unknown command 'predct'; did you mean 'predict'? Known: lab, doctor, data, predict, "),
        ("Predict", "unknown command 'Predict'; did you mean 'predict'? Known: "),
        ("data fecth in9", "unknown command 'fecth'; did you mean 'fetch'? Known: list, prepare, fetch, check, "),
        ("--versoin", "unknown option '--versoin'; did you mean '--version'? See bglab --help\n"),
        ("predict --varaints original", "unknown option '--varaints'; did you mean '--variants'? See bglab predict -"),
        ("lab --no_browser", "unknown option '--no_browser'; did you mean '--no-browser'? See bglab lab --help\n"),
        (
            "data check sample --szie=64",
            "unknown option '--szie'; did you mean '--size'? See bglab data check --",
        ),
        ("gap --results R --xyz", "unknown option '--xyz'. See bglab gap --help\n"),
    ],
)
def test_mistyped_names_are_recognised(typed, sentence, capsys):
    assert status_of(*typed.split()) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith(f"bglab: {sentence}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("kind", ["prepare", "check"])
def test_images_have_a_size(kind, capsys):
    assert status_of("data", kind, "sample", "--size", "0") == 2
    assert "argument --size: expected a whole number of at least 1, got 0; see" in capsys.readouterr().err


def test_explain_says_which_file_is_not_there(tmp_path, capsys):
    (tmp_path / "a").write_text("")
    assert status_of("explain", str(tmp_path / "a"), str(tmp_path / "b")) == 2
    said = capsys.readouterr().err
    assert said.startswith(f"bglab: expected a prediction file at {tmp_path / 'b'}, but there is none; bglab predict")


def test_options_may_be_shortened_and_values_may_look_like_options(results, capsys):
    assert status_of("accuracy", f"--res={results}", "--by", "model") == 0
    assert MODEL in capsys.readouterr().out
    # after -- nothing is an option
    assert status_of("data", "fetch", "--", "--in8") == 2
    assert capsys.readouterr().err.startswith("bglab: unknown archive '--in8'")


def test_every_command_has_a_help(capsys):
    (verbs,) = (action for action in _parser()._actions if isinstance(action, argparse._SubParsersAction))
    for name in verbs.choices:
        assert status_of(name, "--help") == 0
        assert capsys.readouterr().out.startswith(f"usage: bglab {name} ")


def test_doctor_reports_and_knows_when_the_lab_cannot_run(capsys, monkeypatch):
    assert main(["doctor"]) == 0
    assert "torch" in capsys.readouterr().out
    from bglab.lab import doctor

    def none() -> None:
        raise MissingData("clone the repository")

    monkeypatch.setattr(doctor, "notebooks_folder", none)
    assert main(["doctor"]) == 1
    assert "bglab: the lab cannot run without notebooks; clone the repository" in capsys.readouterr().err


def test_data_list_names_every_archive(capsys):
    assert main(["data", "list"]) == 0
    printed = capsys.readouterr().out
    for name in downloads.archives():
        assert f"  {name}: " in printed


def test_a_reader_that_closes_the_output_ends_the_command_quietly():
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "bglab", "data", "list"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (141, "")


def test_data_check_counts(capsys):
    assert main(["data", "check", SCENES, "--size", "64"]) == 0
    printed = capsys.readouterr().out
    assert "27 usable scenes of 27" in printed
    assert "  dog: 3" in printed


def test_data_check_counts_what_the_papers_area_rule_keeps(tmp_path, capsys):
    written = BoxedImageNet(tmp_path)
    written.add_good(1, labels=(0,))
    scenes = f"imagenet:{written.root}"
    assert main(["data", "check", scenes, "--size", "32"]) == 0
    first = capsys.readouterr().out.splitlines()[0]
    assert first == f"boxes: {area_census(scenes).text} (5 to 70 % of the image; the paper keeps 31,801 of 50,000)"
    assert first.startswith("boxes: 1 of 1 scenes")


def test_data_prepare_goes_on_without_what_cannot_be_had(capsys, monkeypatch):
    def refuse(name):
        raise MissingData(f"{name} cannot be fetched here")

    monkeypatch.setattr("bglab.scenes.fetch", refuse)
    monkeypatch.setattr("bglab.commands.data.PACKS", ("cutouts",))
    assert main(["data", "prepare"]) == 0
    assert "skipping cutouts: cutouts cannot be fetched here" in capsys.readouterr().err
    assert main(["data", "prepare", "cutouts"]) == 2
    # what can be had is prepared, and the status says that a part is missing
    assert main(["data", "prepare", "cutouts", "synthetic9?n=9", "--size", "32"]) == 1
    assert "9 scenes at 32 px" in capsys.readouterr().out


def test_fetching_an_unknown_archive(capsys):
    assert main(["data", "fetch", "in8"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("bglab: unknown archive 'in8'; did you mean 'in9'? Known: in9, cutouts, scenery-")


def test_the_lab_command_is_safe():
    command = jupyter.lab_command(jupyter.Path("notebooks"), 9123)
    assert "--ip=127.0.0.1" in command
    assert "--port=9123" in command
    assert not any("token" in part or "allow_origin" in part for part in command)
    assert any(part.endswith(jupyter.NO_DELAY) for part in command)


def test_the_lab_opens_the_checkouts_notebooks_or_copies_in_a_folder(tmp_path, capsys):
    shipped = jupyter.notebooks_folder()
    assert jupyter.open_folder() == shipped
    assert jupyter.open_folder(shipped) == shipped
    assert jupyter.open_folder(tmp_path / "mine") == tmp_path / "mine"
    names = sorted(path.name for path in shipped.glob("*.ipynb"))
    assert sorted(path.name for path in (tmp_path / "mine").glob("*.ipynb")) == names
    assert capsys.readouterr().err == ""
    (tmp_path / "mine" / names[0]).write_text("mine")
    jupyter.open_folder(tmp_path / "mine")
    assert capsys.readouterr().err == (
        f"bglab: notice: left {names[0]} in {tmp_path / 'mine'} as changed there; remove or rename a notebook to get "
        "bglab's own again\n"
    )
    assert (tmp_path / "mine" / names[0]).read_text() == "mine"


def test_the_lab_without_a_checkout_has_a_folder_of_its_own(tmp_path, monkeypatch):
    shipped = jupyter.notebooks_folder()
    monkeypatch.setattr(jupyter, "checkout", lambda: None)
    with pytest.raises(
        MissingData, match=r"expected the notebooks in .*, but 00_start_here.ipynb is not there; install"
    ):
        jupyter.open_folder()
    monkeypatch.setattr(jupyter, "notebooks_folder", lambda: shipped)
    monkeypatch.chdir(tmp_path)
    assert jupyter.open_folder() == tmp_path / "bglab-notebooks"


def test_a_taken_port_is_said():
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(BadInput, match=f"expected port {port} to be free, but something listens there"):
            jupyter.free_port(port)
    assert jupyter.free_port(None) >= 8888


@pytest.mark.parametrize("port", ["99999", "0", "-1"])
def test_a_port_that_cannot_be_is_said(port, capsys):
    assert main(["lab", "--no-browser", f"--port={port}"]) == 2
    assert capsys.readouterr().err.startswith(f"bglab: expected a port between 1 and 65535, got {port}; without --port")


def test_result_provenance_is_json_that_others_can_read(results):
    import pyarrow.parquet as pq

    from bglab.results.predictions import prediction_files

    for file in prediction_files(results):
        kept = json.loads(pq.read_schema(file).metadata[b"bglab"])
        assert kept["model"] == MODEL
        assert kept["weights_sha256"]
        assert kept["scenes"].startswith("synthetic9")


def test_every_command_with_an_engine_takes_the_same_engine_options():
    parser = _parser()
    (verbs,) = (action for action in parser._actions if isinstance(action, argparse._SubParsersAction))
    options = {name: set(verb._option_string_actions) for name, verb in verbs.choices.items()}
    engine = {"--device", "--engine", "--amp-dtype", "--torchcompile", "--deterministic"}
    named = {name for name, known in options.items() if engine <= known}
    assert named >= {"predict", "search", "saliency", "reproduce", "bench"}
    assert {name for name, known in options.items() if "--engine" in known} == named


def test_the_presets_on_the_command_line_are_all_presets():
    assert tuple(PRESETS) == train._PRESETS


def test_help_does_not_wait_for_torch():
    code = "import sys; from bglab.__main__ import _parser; _parser(); sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
