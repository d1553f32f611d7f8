"""The browser of predictions as users see it, in JupyterLab: 32,400 rows, filtered and scrolled without waiting."""

from __future__ import annotations

import json
import os
import statistics
from pathlib import Path

import numpy as np
import pytest

import bglab
from fixtures import ROOT
from fixtures.lab import PATIENCE_MS, lab_page
from fixtures.many_rows import many_rows
from fixtures.stand_ins import make_scenes

pytestmark = [pytest.mark.browser, pytest.mark.alone]

#: Prints figures that are quoted elsewhere.
say = print

PER_CLASS = 450
CODE = f"""\
import sys

sys.path.insert(0, {str(ROOT / "tests")!r})
import bglab
from bglab.scenes import prepare
from fixtures.many_rows import many_rows
from fixtures.stand_ins import make_classifier, make_scenes

prepared = prepare(make_scenes({PER_CLASS}, 64), 64, progress=False)
key = bglab.compose(prepared, "original").key
predictions = many_rows(prepared.scenes.ids, prepared.scenes.labels, dataset=key)
classifier = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
browser = bglab.browse(predictions, scenes=prepared, classifier={{"m": classifier}})
browser"""


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browse")
    with lab_page(folder, CODE, ".bglab-browse .bglab-grid [role=option]") as page:
        page.locator(".bglab-browse").scroll_into_view_if_needed()
        page.wait_for_timeout(3000)  # the snapshot for the saved notebook is drawn first
        yield page


@pytest.fixture(scope="module")
def predictions():
    scenes = make_scenes(PER_CLASS, 64)
    return many_rows(scenes.ids, scenes.labels)


#: Changes a control, and returns milliseconds until the number on the page is that of the changed filter, as painted.
CHANGE = """async ([label, value]) => {
    const root = document.querySelector(".bglab");
    const control = root.querySelector(`.bglab-filters [aria-label="${label}"]`);
    const number = root.querySelector(".bglab-headline"), before = number.textContent;
    control.value = value;
    const start = performance.now();
    control.dispatchEvent(new Event(control.type === "range" ? "input" : "change", {bubbles: true}));
    while (number.textContent === before) {
        if (performance.now() - start > 10000) throw new Error(`the number stays ${before}`);
        await new Promise((done) => setTimeout(done));
    }
    await new Promise(requestAnimationFrame);
    return performance.now() - start;
}"""

STEPS = [
    ("Variant", "mixed_rand"),
    ("Outcome", "incorrect"),
    ("True class", "dog"),
    ("Predicted class", "bird"),
    ("Predicted class", ""),
    ("True class", ""),
    ("Variant", ""),
    ("Confidence from", "0.5"),
    ("Confidence to", "0.9"),
    ("Outcome", ""),
    ("Compared with", "variant:original"),
    ("Outcome", "negative_flip"),
    ("Compared with", "variant:mixed_same"),
    ("Variant", "mixed_next"),
    ("Compared with", ""),
    ("Variant", ""),
    ("Confidence from", "0"),
    ("Confidence to", "1"),
]


def answered(page):
    return json.loads(page.locator(".bglab").first.get_attribute("data-answered"))


def headline(page):
    return page.locator(".bglab-headline").inner_text().replace("\u00a0", " ")


def change(page, label, value):
    elapsed = page.evaluate(CHANGE, [label, value])
    page.wait_for_timeout(400)
    return elapsed


def test_a_filter_answers_at_once(page):
    change(page, "Variant", "no_fg")
    change(page, "Variant", "")
    times = {f"{label} {value or 'all'}": change(page, label, value) for label, value in STEPS}
    say("\n" + "\n".join(f"{step}: {elapsed:.0f} ms" for step, elapsed in times.items()))
    say(f"median {statistics.median(times.values()):.0f} ms, slowest {max(times.values()):.0f} ms")
    # the aim is 150 ms for each on two idle cores
    assert statistics.median(times.values()) < 150
    assert max(times.values()) < 450


def test_the_number_is_that_of_pandas(page, predictions):
    change(page, "Variant", "mixed_rand")
    rows = predictions[predictions["variant"] == "mixed_rand"]
    share = (rows["label"] == rows["prediction"]).mean()
    table = bglab.accuracy(rows).iloc[0]
    assert headline(page) == (
        f"Accuracy {100 * share:.1f} % [{100 * table.top1_low:.1f}, {100 * table.top1_high:.1f}], "
        f"{round(share * 4050):,} of n = 4,050"
    )
    change(page, "Outcome", "incorrect")
    assert answered(page)["rows"] == int((rows["label"] != rows["prediction"]).sum())
    page.get_by_role("gridcell", name="true dog, predicted bird").click()
    wanted = rows[(rows["label"] == 0) & (rows["prediction"] == 1)]
    page.wait_for_function(
        "rows => JSON.parse(document.querySelector('.bglab').dataset.answered).rows === rows", arg=len(wanted)
    )
    page.get_by_role("button", name="Reset").click()
    page.wait_for_function("JSON.parse(document.querySelector('.bglab').dataset.answered).rows === 32400")


SCROLL = """async ([frames, step]) => {
    const grid = document.querySelector(".bglab-browse .bglab-grid"), times = [];
    for (let i = 0; i < frames; i++) {
        grid.scrollTop += step;
        times.push(await new Promise(requestAnimationFrame));
    }
    return times;
}"""


def test_all_rows_scroll_at_fifty_frames_per_second(page):
    page.wait_for_timeout(1000)
    rates = []
    for step in (40, 120, 400, -120):
        times = page.evaluate(SCROLL, [150, step])
        rates.append(1000 * (len(times) - 1) / (times[-1] - times[0]))
    say(f"\nframes per second: {', '.join(f'{rate:.1f}' for rate in rates)}")
    assert page.locator(".bglab-browse .bglab-grid [role=option]").count() < 250
    # the aim is 50 on two idle cores, which the view alone is held to in tests/widgets/test_browse_view.py
    assert np.median(rates) >= 50 / 3, rates


def test_what_is_scrolled_to_gets_its_image(page):
    page.eval_on_selector(".bglab-browse .bglab-grid", "grid => { grid.scrollTop = 200000; }")
    page.wait_for_function(
        """() => [...document.querySelectorAll(".bglab-browse .bglab-grid .bglab-thumb")].slice(20, 40)
            .every((tile) => tile.style.background.includes("blob"))""",
        timeout=PATIENCE_MS,
    )


def test_an_image_opens_in_the_explorer(page):
    change(page, "Variant", "mixed_next")
    page.wait_for_function("document.querySelectorAll('.bglab-browse [role=option]').length > 20")
    page.locator(".bglab-browse .bglab-grid [role=option]").nth(3).click()
    page.wait_for_function("document.querySelector('.bglab').dataset.shown", timeout=PATIENCE_MS)
    captions = page.locator(".bglab-detail figcaption").all_inner_texts()
    assert captions[:2] == ["As photographed", "Mixed-Next"]
    donor = captions[-1].removeprefix("Donor ")
    shown = json.loads(page.locator(".bglab").first.get_attribute("data-shown"))
    if folder := os.environ.get("BGLAB_SCREENSHOTS"):
        page.locator(".bglab-browse").screenshot(path=str(Path(folder) / "browse.png"))
    page.get_by_role("button", name="Open in the explorer").click()
    page.wait_for_function("document.querySelectorAll('.bglab').length === 2", timeout=PATIENCE_MS)
    page.wait_for_function(
        """wanted => {
            const answered = JSON.parse(document.querySelectorAll(".bglab")[1].dataset.answered ?? "{}");
            return answered.scene === wanted[0] && answered.background === `scene:${wanted[1]}`;
        }""",
        arg=[shown["scene"], donor],
        timeout=PATIENCE_MS,
    )
