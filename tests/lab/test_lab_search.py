"""The live search as users see it, in JupyterLab with the lab's own settings."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from fixtures.lab import PATIENCE_MS, lab_page

pytestmark = pytest.mark.browser

# a classifier that is slow enough for the search to be stopped on any machine
CODE = """\
import time

import bglab

scenes = bglab.open_scenes("synthetic9?n=270&size=96")
classifier = bglab.load_classifier("lite:efficientnet_lite0")
quick = classifier.engine.logits
classifier.engine.logits = lambda images: (time.sleep(0.3), quick(images))[1]
search = bglab.search_live(scenes.ids[4], classifier, scenes, size=96)
search"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("search")
    with lab_page(folder, CODE, ".bglab-search") as page:
        yield page


def progress(page):
    return json.loads(page.locator(".bglab").first.get_attribute("data-progress"))


def test_the_search_runs_stops_at_once_and_continues(page):
    box = page.locator(".bglab-go").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.evaluate(
        """() => {
            const root = document.querySelector(".bglab");
            root.querySelector(".bglab-go").addEventListener("pointerdown", (event) => {
                const done = new MutationObserver(() => {
                    if (JSON.parse(root.dataset.progress).running) return;
                    window.bglabStopped = performance.now() - event.timeStamp;
                    done.disconnect();
                });
                done.observe(root, {attributes: true, attributeFilter: ["data-progress"]});
            });
        }"""
    )
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    page.wait_for_function("document.querySelectorAll('.bglab-found .bglab-thumb').length >= 32", timeout=PATIENCE_MS)
    page.mouse.click(box["x"] + 8, box["y"] + 8)
    page.wait_for_function("!JSON.parse(document.querySelector('.bglab').dataset.progress).running")
    stopped_ms = page.evaluate("window.bglabStopped")
    print(f"\nstopped after {stopped_ms:.0f} ms")  # noqa: T201 - a figure quoted elsewhere
    assert stopped_ms < 1000  # the aim is 150 ms on two idle cores
    page.wait_for_timeout(1500)
    tried = progress(page)["tried"]
    assert 32 <= tried < 270
    assert page.locator(".bglab-found .bglab-thumb").count() == tried
    page.get_by_role("button", name="Continue", exact=True).click()
    page.wait_for_function(
        "JSON.parse(document.querySelector('.bglab').dataset.progress).tried === 270", timeout=PATIENCE_MS
    )
    assert page.get_by_role("button", name="Done", exact=True).is_disabled()
    share, low, high = progress(page)["share"]
    assert low <= share <= high


def test_the_worst_is_shown_next_to_the_original(page):
    page.wait_for_function("document.querySelector('.bglab').dataset.shown")
    panels = page.locator(".bglab-panel")
    assert panels.nth(0).get_by_role("heading").inner_text() == "Original"
    assert panels.nth(1).locator(".bglab-outcome").inner_text() != ""
    first = page.locator(".bglab-found .bglab-thumb").first
    assert first.get_attribute("aria-pressed") == "true"
    if folder := os.environ.get("BGLAB_SCREENSHOTS"):
        page.wait_for_timeout(1000)
        page.locator(".bglab-search").screenshot(path=str(Path(folder) / "search.png"))


def test_the_refined_attack_has_a_panel_of_its_own(page):
    page.get_by_role("button", name="Refine the worst").click()
    page.wait_for_selector("section[aria-label^='Refined'] .bglab-note", timeout=PATIENCE_MS)
    note = page.locator("section[aria-label^='Refined'] .bglab-note").inner_text()
    assert note.startswith("Mix ")
    page.wait_for_function("JSON.parse(document.querySelector('.bglab').dataset.refined ?? '{}').running === false")
    refined = json.loads(page.locator(".bglab").first.get_attribute("data-refined"))
    assert refined["now"] < refined["before"], "a background that fools is made to fool more clearly"
    assert page.locator(".bglab-refinement").inner_text().startswith("Refined with ")
    assert "of 270 tried (95 % interval" in page.locator(".bglab-search").inner_text()


def test_a_result_opens_in_the_explorer(page):
    page.locator(".bglab-found .bglab-thumb").nth(3).click()
    page.wait_for_function(
        "document.querySelector('.bglab-panel:nth-child(2) h3').textContent === 'Selected background'"
    )
    page.wait_for_timeout(500)
    wanted = json.loads(page.locator(".bglab").first.get_attribute("data-shown"))["background"]
    page.locator(".bglab-panel").nth(1).get_by_role("button", name="Open in the explorer").click()
    page.wait_for_function("document.querySelectorAll('.bglab').length === 2", timeout=PATIENCE_MS)
    page.wait_for_function(
        "wanted => JSON.parse(document.querySelectorAll('.bglab')[1].dataset.answered ?? '{}').background === wanted",
        arg=wanted,
        timeout=PATIENCE_MS,
    )


def test_the_explorer_finds_a_capture_and_shows_its_controls(page):
    explorer = page.locator(".bglab").nth(1)
    find = explorer.locator(".bglab-find")
    find.click()
    page.wait_for_function("document.querySelector('.bglab-find').textContent === 'Stop'", timeout=PATIENCE_MS)
    page.wait_for_function("document.querySelectorAll('.bglab')[1].dataset.capture", timeout=PATIENCE_MS)
    found = json.loads(explorer.get_attribute("data-capture"))
    page.wait_for_function("document.querySelector('.bglab-find').textContent !== 'Stop'")
    panel = explorer.locator(".bglab-capture")
    assert panel.locator(".bglab-capture-text").inner_text().replace("\u00a0", " ") == found["text"]
    assert panel.locator("figcaption").count() == 2
    assert found["captured"], found["text"]
    page.wait_for_function(
        """wanted => {
            const answered = JSON.parse(document.querySelectorAll(".bglab")[1].dataset.answered);
            return ["background", "dx", "dy", "scale"].every((name) => answered[name] === wanted[name]);
        }""",
        arg=found["state"],
        timeout=PATIENCE_MS,
    )
    assert "the background's class" in explorer.locator(".bglab-result .bglab-outcome").first.inner_text()
    assert panel.locator(".bglab-old").count() == 0
    explorer.get_by_role("button", name="Flip").click()
    assert panel.locator(".bglab-old").count() == 1, "the controls are those of the found state"
    panel.get_by_role("button", name="Show it again").click()
    assert panel.locator(".bglab-old").count() == 0
