"""The desk as users see it, in JupyterLab: run a table, stop, resume, export, open images and predictions."""

from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import pytest

from fixtures.lab import PATIENCE_MS, lab_page

pytestmark = pytest.mark.browser

# an engine that is slow enough for a run to be stopped on any machine
CODE = """\
import time

import bglab
from bglab.models import OpenVINOEngine
from bglab.results import parts

quick = OpenVINOEngine.begin
OpenVINOEngine.begin = lambda engine, images: (time.sleep(0.2), quick(engine, images))[1]
parts._LEAST = 16
bglab.papers("synthetic9?n=180", ["lite:efficientnet_lite0"], out="desk", train="none", size=96, batch_size=16)"""

BROWSED = "document.querySelector('.bglab-browse').parentElement"
WAIT = "document.querySelector('.bglab-desk').parentElement.dataset"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("desk")


@pytest.fixture(scope="module")
def page(folder):
    with lab_page(folder, CODE, ".bglab-desk", width=1500, height=1100, accept_downloads=True) as page:
        yield page


def state(page, name):
    return json.loads(page.locator(".bglab").first.get_attribute(f"data-{name}") or "{}")


def listed(desk):
    return [item.get_attribute("data-id") for item in desk.locator(".bglab-desk-item").all()]


def screenshot(page, name):
    if folder := os.environ.get("BGLAB_SCREENSHOTS"):
        page.wait_for_timeout(500)
        page.screenshot(path=str(Path(folder) / f"{name}.png"))


def test_the_list_says_what_can_be_made(page):
    page.wait_for_function("document.querySelectorAll('[data-state=ready]').length > 20", timeout=PATIENCE_MS)
    desk = page.locator(".bglab-desk")
    assert "180 scenes, variants composed by bglab" in desk.inner_text()
    desk.get_by_label("Search tables and figures").fill("gap many")
    assert listed(desk) == ["nos-table-2"]
    desk.get_by_label("Search tables and figures").fill("")
    desk.get_by_label("Filter by state").select_option("needs data")
    assert listed(desk)
    assert "nos-table-2" not in listed(desk)
    desk.get_by_label("Filter by state").select_option("")


def test_a_table_is_run_stopped_and_resumed(page, folder):
    page.get_by_role("button", name="Run", exact=True).click()
    page.wait_for_function(
        f"(JSON.parse({WAIT}.progress ?? '{{}}').steps ?? []).some(s => s.title.endsWith('only_bg_t') && s.done >= 32)",
        timeout=PATIENCE_MS,
    )
    assert "images/s" in page.locator(".bglab-desk-progress").inner_text()
    screenshot(page, "desk-running")
    page.get_by_role("button", name="Stop", exact=True).click()
    page.wait_for_function(f"!JSON.parse({WAIT}.progress).running", timeout=PATIENCE_MS)
    resume = page.get_by_role("button", name="Resume", exact=True)
    resume.wait_for(timeout=PATIENCE_MS)
    assert state(page, "statuses")["nos-table-2"][0] == "stopped"
    stored = sorted(path.name for path in (folder / "desk" / "results").rglob("*original.parquet"))
    assert stored == ["original.parquet"]
    resume.click()
    page.wait_for_function(f"JSON.parse({WAIT}.shown ?? '{{}}').status === 'other data'", timeout=PATIENCE_MS)
    assert state(page, "shown") == {"id": "nos-table-2", "status": "other data", "n": [180, 180]}
    with (folder / "desk" / "nos-table-2.csv").open(newline="") as file:
        rows = {row["test"]: row for row in csv.DictReader(file)}
    ours = page.get_by_role("region", name="Ours", exact=True)
    shown = {row.split("\t")[0]: row.split("\t")[1] for row in ours.inner_text().splitlines()[1:]}
    assert shown["Original"].split()[0] == f"{100 * float(rows['original']['top1']):.1f}"
    assert "76.3" in page.get_by_role("region", name="The paper prints", exact=True).inner_text()
    assert page.locator(".bglab-desk-figure").evaluate("image => image.naturalWidth") > 500
    screenshot(page, "desk")


def test_an_export_is_downloaded_and_saved(page, folder):
    page.get_by_label("Venue").select_option("icml2024")
    for name in ("SVG", "PNG", "TEX"):
        page.get_by_label(name, exact=True).uncheck()
    downloads = []
    page.on("download", lambda download: downloads.append(download.suggested_filename))
    page.get_by_role("button", name="Export", exact=True).click()
    page.wait_for_function(f"{WAIT}.files", timeout=PATIENCE_MS)
    page.wait_for_timeout(500)
    saved = sorted(path.name for path in (folder / "desk" / "exports").iterdir())
    assert saved == sorted(downloads) == ["nos-table-2.csv", "nos-table-2.pdf"]
    assert (folder / "desk" / "exports" / "nos-table-2.pdf").read_bytes().startswith(b"%PDF")


def test_an_image_opens_in_the_explorer(page):
    page.get_by_role("button", name="Test images").click()
    page.wait_for_selector(".bglab-desk-images [role=option]", timeout=PATIENCE_MS)
    third = page.locator(".bglab-desk-images [role=option]").nth(2)
    scene = third.get_attribute("data-value")
    third.click()
    page.wait_for_function("document.querySelectorAll('.bglab').length === 2", timeout=PATIENCE_MS)
    page.wait_for_function(
        "wanted => JSON.parse(document.querySelectorAll('.bglab')[1].dataset.answered ?? '{}').scene === wanted",
        arg=scene,
        timeout=PATIENCE_MS,
    )
    screenshot(page, "desk-explorer")


def test_the_predictions_behind_a_table_are_browsed_and_one_opens_in_the_explorer(page):
    page.get_by_role("button", name="Images behind it").click()
    browser = page.locator(".bglab-browse")
    browser.wait_for(timeout=PATIENCE_MS)
    page.wait_for_function(f"JSON.parse({BROWSED}.dataset.answered ?? '{{}}').rows === {180 * 4}", timeout=PATIENCE_MS)
    page.wait_for_function(f"{BROWSED}.dataset.filled", timeout=PATIENCE_MS)
    browser.locator(".bglab-grid [role=option]").nth(3).click()
    page.wait_for_function(f"{BROWSED}.dataset.shown", timeout=PATIENCE_MS)
    screenshot(page, "desk-browser")
    scene = page.evaluate(f"JSON.parse({BROWSED}.dataset.shown).scene")
    page.get_by_role("button", name="Open in the explorer").click()
    page.wait_for_function(
        """wanted => [...document.querySelectorAll(".bglab")].length === 3 &&
            JSON.parse(document.querySelectorAll(".bglab")[2].dataset.answered ?? "{}").scene === wanted""",
        arg=scene,
        timeout=PATIENCE_MS,
    )
    assert page.locator(".bglab").count() == 3, "the browser's explorer takes the place of the desk's"
