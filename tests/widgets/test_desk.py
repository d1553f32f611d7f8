"""The desk without a browser: what it answers, refuses, runs, exports and writes as code."""

from __future__ import annotations

import subprocess
import sys
import threading

import pandas as pd
import pytest

import bglab
from bglab.analysis import to_cells
from bglab.errors import BadInput, UnknownName
from bglab.papers import catalogue
from fixtures.messages import Messages

MODEL = "lite:efficientnet_lite0"
OPTIONS = {"train": "none", "size": 64}


@pytest.fixture
def desk(data_folder, tmp_path):
    desk = bglab.papers("synthetic9?n=18", [MODEL], out=tmp_path, **OPTIONS)
    yield desk
    desk.close()


@pytest.fixture
def said(desk):
    return Messages(desk)


def test_the_package_is_the_function(desk):
    import bglab.papers

    assert callable(bglab.papers)
    assert bglab.papers.catalogue is catalogue
    assert type(desk).__name__ == "Desk"


def test_the_greeting_lists_every_artefact_of_both_papers(desk, said):
    hello = said.ask("hello", type="hello")
    assert [each["id"] for each in hello["artefacts"]] == list(catalogue())
    assert set(hello["papers"]) == {"nos", "tbc"}
    assert hello["settings"] == {
        "scenes": "synthetic9?n=18", "models": MODEL, "seed": 0, "out": str(desk.settings.out),
    }  # fmt: skip
    assert "notebook" not in hello["venues"]


def test_what_is_missing_is_said_with_its_remedy(said):
    states = said.ask("states", type="states")["states"]
    assert states["nos-table-2"] == {"state": "ready", "reason": "", "command": ""}
    by_state = {state["state"] for state in states.values()}
    assert {"ready", "needs training", "needs data"} <= by_state
    assert all(state["reason"] for state in states.values() if state["state"] != "ready")


def test_an_artefact_shows_what_the_paper_prints_before_it_is_made(said):
    shown = said.ask("artefact", type="select", id="nos-table-2")
    printed = shown["tables"]["published"]
    row = next(row for row in printed["rows"] if row[0] == "Mixed-Rand")
    assert row[printed["columns"].index("ResNet-50")] == "76.3"
    assert shown["status"] == ""
    assert set(shown["tables"]) == {"published"}


def test_a_run_shows_ours_beside_the_papers(desk, said):
    said.ask("artefact", type="select", id="nos-table-2")
    said.ask("progress", type="run", ids=["nos-table-2"], view="one of two")
    shown, pictures = said.latest("artefact")
    outcome = desk.outcomes["nos-table-2"]
    assert shown["tables"]["ours"] == to_cells(outcome.product.shown, bold=outcome.product.bold)._asdict()
    assert shown["status"] == outcome.status == "other data"
    assert shown["n"] == [18, 18]
    assert pictures[0] == (desk.settings.out / "nos-table-2.png").read_bytes()
    progress = said.latest("progress")[0]
    # all views are told
    assert progress == {"type": "progress", "id": "", "running": False, "steps": [], "view": None, "seq": None}
    assert "1 of" in desk._caption()


def test_a_run_in_code_is_the_run_of_the_widget(desk, said):
    assert desk.run("nos-table-4") is desk
    assert set(desk.outcomes) == {"nos-table-4"}
    statuses = said.latest("statuses")[0]["statuses"]
    assert list(statuses) == ["nos-table-4"]


def test_other_data_and_models_are_checked_before_they_are_taken(desk, said):
    for wrong in (
        {"scenes": "nowhere", "models": MODEL, "seed": 0},
        {"scenes": "synthetic9", "models": " ", "seed": 0},
        {"scenes": "synthetic9", "models": MODEL, "seed": -1},
        {"scenes": "synthetic9", "models": MODEL, "seed": None},
    ):
        with pytest.raises((BadInput, UnknownName)):
            said.ask("hello", type="choose", **wrong)
    assert desk.settings.scenes == "synthetic9?n=18"
    hello = said.ask("hello", type="choose", scenes="synthetic9?n=27", models=f"{MODEL}, {MODEL}", seed=3)
    assert (hello["settings"]["scenes"], hello["settings"]["seed"]) == ("synthetic9?n=27", 3)
    assert desk.settings.size == 64, "the other settings stay"


@pytest.mark.parametrize(
    ("message", "error"),
    [
        ({"type": "run", "ids": "nos-table-2"}, "expected the ids of artefacts"),
        ({"type": "run", "ids": ["nos-table-99"]}, "nos-table-99"),
        ({"type": "select", "id": 3}, "as id of the message"),
        ({"type": "export", "id": "nos-table-2", "venue": "nature", "width": "column", "formats": ["pdf"]}, "venue"),
        ({"type": "export", "id": "nos-table-2", "venue": "cvpr2024", "width": "half", "formats": ["pdf"]}, "width"),
        ({"type": "export", "id": "nos-table-2", "venue": "cvpr2024", "width": "full", "formats": []}, "formats"),
        ({"type": "export", "id": "nos-table-2", "venue": "cvpr2024", "width": "full", "formats": ["exe"]}, "formats"),
        ({"type": "open", "state": {"scene": "none of them"}}, "none of them"),
        ({"type": "browse", "id": "nos-table-2"}, "was not made yet"),
    ],
)
def test_messages_that_cannot_be_are_refused(said, message, error):
    with pytest.raises((BadInput, UnknownName), match=error):
        said.ask("never", **message)


def test_an_export_sends_the_files_that_it_has_written(desk, said):
    desk.run("nos-table-2")
    sent = said.ask("files", type="export", id="nos-table-2", venue="icml2024", width="column", formats=["pdf", "csv"])
    files, contents = said.latest("files")
    assert sent["files"] == files["files"] == ["nos-table-2.pdf", "nos-table-2.csv"]
    folder = desk.settings.out / "exports"
    assert contents == [(folder / name).read_bytes() for name in files["files"]]
    assert desk.venue == "icml2024"


def test_what_is_missing_stops_an_export(desk):
    missing = next(name for name, each in catalogue().items() if each.id == "nos-figure-10")
    with pytest.raises(bglab.MissingData, match=missing):
        desk.export(missing)


def test_an_image_opens_in_the_explorer(desk, said):
    listed = said.ask("images", type="images")
    assert len(listed["scenes"]) == 18
    _, (sheet,) = (said.ask("thumbs", type="thumbs", sheet="0"), said.latest("thumbs")[1])
    assert sheet.startswith(b"\xff\xd8")
    scene = listed["scenes"][4][0]
    said.ask("opened", type="open", state={"scene": scene})
    assert desk.explorer.scene == scene
    said.ask("opened", type="open", state={"scene": listed["scenes"][5][0]})
    assert desk.explorer.scene == listed["scenes"][5][0]


def test_the_predictions_behind_an_artefact_open_as_images(desk, said):
    desk.run("nos-table-2", "nos-table-4")
    shown = said.ask("artefact", type="select", id="nos-table-2")
    said.ask("browsed", type="browse", id="nos-table-2")
    browser = desk.browser
    assert len(browser.selected) == shown["predictions"] == 18 * 4
    assert set(browser.selected["variant"]) == {"original", "only_bg_t", "mixed_same", "mixed_rand"}
    table = desk.outcomes["nos-table-2"].product.table.set_index("test")
    for variant in ("mixed_same", "mixed_rand"):
        browser.state = {"variant": variant}
        assert browser.metric["value"] == pytest.approx(table.loc[variant, "top1"])
    browser.state = {"variant": "mixed_rand", "compared_with": "variant:mixed_same"}
    assert browser.metric["n"] == 18, "rows of one scene are paired"
    assert said.ask("artefact", type="select", id="nos-table-4")["predictions"] == 0


def test_predictions_that_are_not_here_are_not_browsed(desk):
    desk.run("nos-table-4")
    with pytest.raises(BadInput, match="nos-table-4 does not use predictions"):
        desk.browse("nos-table-4")
    with pytest.raises(BadInput, match="nos-table-2 was not made yet"):
        desk.browse("nos-table-2")
    assert desk.browser is None


@pytest.mark.slow
def test_the_code_makes_the_same(desk, said):
    desk.run("nos-table-2")
    code = said.ask("code", type="code", id="nos-table-2")["code"]
    script = code.replace("\noutcome.product.table", '\noutcome.product.table.to_csv("again.csv", index=False)')
    subprocess.run([sys.executable, "-c", script], cwd=desk.settings.out, check=True)
    again = pd.read_csv(desk.settings.out / "again.csv")
    ours = desk.outcomes["nos-table-2"].product.table
    assert again["top1"].tolist() == pytest.approx(ours["top1"].tolist())
    assert code.startswith("# bglab reproduce nos-table-2 --scenes 'synthetic9?n=18' -m lite:efficientnet_lite0 --out ")


def test_a_stop_is_handled_at_once_while_the_worker_runs(desk, said):
    reached = threading.Event()
    make = desk._run.make

    def slow(artefacts, *, told, made):
        reached.set()
        return make(artefacts, told=told, made=made)

    desk._run.make = slow
    desk._receive(desk, {"type": "run", "ids": ["nos-table-2"], "view": "v"}, [])
    assert reached.wait(60)
    desk._receive(desk, {"type": "stop", "view": "v"}, [])
    said.wait_for("stopping")
    said.wait_for("progress", lambda message: not message["running"] and "nos-table-2" in desk._run.stopped)
    assert "nos-table-2" not in desk.outcomes


def test_the_snapshot_lists_all_artefacts(desk):
    texts = [text.get_text() for text in desk.figure().texts]
    assert all(artefact.title in texts for artefact in catalogue().values())
    assert desk._snapshot()["image/png"]


def test_unknown_settings_and_artefacts_are_refused(data_folder, tmp_path):
    with pytest.raises(UnknownName, match="setting"):
        bglab.papers("synthetic9?n=9", [MODEL], out=tmp_path, sizes=64)
    with pytest.raises(UnknownName, match="nos-table-99"):
        bglab.papers("synthetic9?n=9", [MODEL], out=tmp_path, artefact="nos-table-99")
