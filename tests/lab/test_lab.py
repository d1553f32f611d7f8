"""The explorer as users see it: `bglab lab` on loopback, its notebooks in Chromium, real mouse and keys."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bglab
from bglab.scenes import prepare
from bglab.widgets.session import Session
from bglab.widgets.state import FIELDS, State
from fixtures.chromium import open_page
from fixtures.lab import (
    PATIENCE_MS,
    ROOT,
    answered,
    bglab_lab,
    canvas,
    run_all,
    wait_for_answer,
    wait_for_explorer,
)
from fixtures.notebooks import write_notebook

pytestmark = pytest.mark.browser

NOTEBOOK = ROOT / "notebooks" / "00_start_here.ipynb"
PHOTOGRAPHS = """
import bglab

scenes, classifier = bglab.open_scenes("sample"), bglab.load_classifier("lite:efficientnet_lite0")
explorer = bglab.explore(scenes, classifier, scene="white_ibis", background="scene:motorcycle", saliency_opacity=0.45)
explorer"""


@pytest.fixture(scope="module")
def notebook(tmp_path_factory):
    """A notebook that shows photographs, next to a copy of the first notebook, since JupyterLab saves them."""
    folder = tmp_path_factory.mktemp("notebooks")
    shutil.copy(NOTEBOOK, folder)
    return write_notebook(folder / "photographs.ipynb", PHOTOGRAPHS)


@pytest.fixture(scope="module")
def address(tmp_path_factory, notebook):
    with bglab_lab(tmp_path_factory.mktemp("jupyter"), str(notebook.parent)) as address:
        yield address


@pytest.fixture(scope="module")
def page(address):
    """Open the lab, run a notebook with photographs, and wait for the explorer's first result."""
    with open_page(1280, 1100, accept_downloads=True) as page:
        page.problems = []
        page.on("pageerror", lambda problem: page.problems.append(str(problem)))
        page.goto(address.replace(NOTEBOOK.stem, "photographs"), timeout=PATIENCE_MS)
        run_all(page)
        wait_for_explorer(page)
        page.locator(".bglab-explorer").scroll_into_view_if_needed()
        wait_for_answer(page, scene="white_ibis", background="scene:motorcycle")
        page.wait_for_selector("text=Python 3 (ipykernel) | Idle", timeout=PATIENCE_MS)
        yield page


@pytest.fixture(autouse=True)
def fresh(page):
    """Start every test with the ibis on its own background, without adjustments."""
    page.get_by_role("button", name="Reset").click()
    page.get_by_role("radio", name="As photographed", exact=True).click()
    wait_for_answer(page, scene="white_ibis", background="own", mix=1, dx=0)


@pytest.fixture(scope="module")
def kernel():
    """Return a session like the kernel's, to compare with what the page shows."""
    scenes = prepare(bglab.open_scenes("sample"), 224, progress=False)
    return Session(scenes, [bglab.load_classifier("lite:efficientnet_lite0")])


def expected(kernel, shown):
    """Compute the image and the nine probabilities of the state that the page shows."""
    state = State(**{name: shown[name] for name in FIELDS})
    nine = kernel.inspector.inspect(state)[0].prediction.nine
    return kernel.renderer.image(state).numpy().astype(np.int64), nine


def same_as_the_kernel(page, kernel):
    """Check canvas and bars against the kernel's arithmetic."""
    result = answered(page)
    image, nine = expected(kernel, result)
    assert np.abs(canvas(page) - image).max() <= 1
    assert result["nine"] == pytest.approx(nine.tolist(), abs=2e-3)
    shown = [int(text) for text in page.locator(".bglab-bars").first.locator(".bglab-value").all_inner_texts()]
    assert shown == pytest.approx((100 * nine).round().tolist(), abs=1)


def screenshot(page, name):
    if folder := os.environ.get("BGLAB_SCREENSHOTS"):
        page.locator(".bglab-explorer").screenshot(path=str(Path(folder) / f"{name}.png"))


def test_picking_a_scene_shows_and_classifies_it(page, kernel):
    before = canvas(page)
    page.get_by_role("option", name=re.compile("· snare|drum|motorcycle")).first.click()
    page.wait_for_function("JSON.parse(document.querySelector('.bglab').dataset.answered).scene !== 'white_ibis'")
    assert (canvas(page) != before).mean() > 0.5
    same_as_the_kernel(page, kernel)


def test_images_can_be_selected_with_arrow_keys(page):
    page.get_by_role("listbox", name="Images").locator("[aria-selected=true]").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_function("JSON.parse(document.querySelector('.bglab').dataset.answered).scene !== 'white_ibis'")
    chosen = page.get_by_role("listbox", name="Images").locator("[aria-selected=true]")
    assert chosen.get_attribute("data-value") == answered(page)["scene"]
    assert chosen.evaluate("element => element === document.activeElement")


def test_dragging_the_mix_slider_mixes(page, kernel):
    page.get_by_role("radio", name="Other scene").click()
    page.get_by_role("listbox", name="Backgrounds of other scenes").locator("[data-value=motorcycle]").click()
    wait_for_answer(page, background="scene:motorcycle")
    full = canvas(page)
    box = page.locator(".bglab input[name=mix]").bounding_box()
    page.mouse.move(box["x"] + box["width"] - 8, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] / 2, steps=12)
    page.mouse.up()
    mix = float(page.locator(".bglab input[name=mix]").input_value())
    assert 0.3 < mix < 0.5
    wait_for_answer(page, mix=mix)
    assert (canvas(page) != full).mean() > 0.5
    same_as_the_kernel(page, kernel)
    screenshot(page, "mixed")


@pytest.mark.parametrize(
    ("kind", "chip", "background"),
    [
        ("Variant", "Only-FG", "variant:only_fg"),
        ("Colour", "#ffff00", "colour:#ffff00"),
        ("Texture", "cloudy", "texture:cloudy"),
        ("Noise", "uniform noise", "noise:uniform"),
    ],
)
def test_every_kind_of_background_is_what_the_kernel_composes(page, kernel, kind, chip, background):
    page.get_by_role("radio", name=kind).click()
    page.get_by_role("listbox", name="Backgrounds", exact=True).locator(f"[data-value='{background}']").click()
    wait_for_answer(page, background=background)
    same_as_the_kernel(page, kernel)
    screenshot(page, kind.lower())


def test_the_object_is_dragged_on_the_canvas(page, kernel):
    page.get_by_role("radio", name="Colour").click()
    wait_for_answer(page, background="colour:#ffffff")
    box = page.locator(".bglab-image").bounding_box()
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + 0.2 * box["width"], y - 0.1 * box["height"], steps=6)
    page.mouse.up()
    page.wait_for_function("Math.abs(JSON.parse(document.querySelector('.bglab').dataset.answered).dx - 0.2) < 0.01")
    page.keyboard.press("+")
    page.keyboard.press("f")
    page.wait_for_function("JSON.parse(document.querySelector('.bglab').dataset.answered).flip")
    same_as_the_kernel(page, kernel)
    screenshot(page, "moved")


def test_keys_on_a_control_never_edit_the_notebook(page):
    cells = page.locator(".jp-Cell").count()
    slider = page.locator(".bglab input[name=saliency_opacity]")
    slider.focus()
    for key in ("b", "a", "d", "d", "x", "m", "ArrowUp", "ArrowRight", "End"):
        page.keyboard.press(key)
    for control in ("[role=option][tabindex='0']", ".bglab-image", ".bglab-button[role=radio][tabindex='0']"):
        page.locator(f".bglab {control}").first.focus()
        for key in ("b", "d", "d", "x"):
            page.keyboard.press(key)
    assert page.locator(".jp-Cell").count() == cells
    assert float(slider.input_value()) == 1.0
    assert page.locator(".bglab-heat").evaluate("canvas => canvas.style.opacity") == "1"
    unmarked = page.locator(".bglab").evaluate(
        """root => [...root.querySelectorAll("button, input:not([type=file]), select, [tabindex]:not([type=file])")]
            .filter((control) => control.dataset.lmSuppressShortcuts !== "true").map((control) => control.outerHTML)"""
    )
    assert unmarked == []
    unnamed = page.locator(".bglab").evaluate(
        """root => [...root.querySelectorAll("button, input:not([type=file]), select, canvas[role], [role=listbox]")]
            .filter((control) => !control.getAttribute("aria-label") && !control.textContent.trim())
            .map((control) => control.outerHTML)"""
    )
    assert unnamed == []


def disc():
    """Draw a bright disc on a dark background, as PNG."""
    y, x = np.mgrid[:300, :300]
    inside = (x - 150) ** 2 + (y - 150) ** 2 < 80**2
    rng = np.random.default_rng(0)
    levels = np.where(inside[..., None], (220, 180, 60), (20, 60, 40)) + rng.integers(0, 12, size=(300, 300, 3))
    with io.BytesIO() as buffer:
        Image.fromarray(levels.astype(np.uint8)).save(buffer, format="PNG")
        return buffer.getvalue()


def test_an_image_is_uploaded_segmented_and_edited(page):
    files = page.locator(".bglab input[type=file]").first
    files.set_input_files({"name": "disc.png", "mimeType": "image/png", "buffer": disc()})
    wait_for_answer(page, scene="disc", background="own")
    box = page.locator(".bglab-image").bounding_box()
    page.mouse.move(box["x"] + 0.15 * box["width"], box["y"] + 0.15 * box["height"])
    page.mouse.down()
    page.mouse.move(box["x"] + 0.85 * box["width"], box["y"] + 0.85 * box["height"], steps=5)
    page.mouse.up()
    page.wait_for_selector(".bglab-stage[data-mode=brush]", timeout=PATIENCE_MS)
    page.wait_for_timeout(1500)
    screenshot(page, "brush")
    cut = marked(page)
    assert cut == pytest.approx(np.pi * 80**2 / 300**2, rel=0.1)
    page.mouse.move(box["x"] + 10, box["y"] + 10)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 10, steps=5)
    page.mouse.up()
    assert marked(page) > cut + 0.02
    page.get_by_role("button", name="Undo").click()
    assert marked(page) == pytest.approx(cut, abs=1e-6)
    page.get_by_label("Class of your image").select_option(label="fish")
    page.get_by_role("button", name="Move", exact=True).click()
    page.get_by_role("radio", name="Colour").click()
    wait_for_answer(page, scene="disc", background="colour:#ffffff")
    corner, middle = canvas(page)[:, 5, 5], canvas(page)[:, 112, 112]
    assert corner.tolist() == [255, 255, 255]
    assert middle[0] > 200 > middle[2] + 100


def marked(page):
    """Return the share of the canvas that the tinted mask covers."""
    return page.locator(".bglab-marks").evaluate(
        """canvas => {
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            let inside = 0;
            for (let i = 0; i < data.length; i += 4) inside += data[i] > 200;
            return 4 * inside / data.length;
        }"""
    )


def test_a_file_that_is_no_image_is_reported_and_stops_nothing(page):
    files = page.locator(".bglab input[type=file]").first
    files.set_input_files({"name": "notes.txt", "mimeType": "text/plain", "buffer": b"this is text"})
    page.wait_for_selector("text=expected an image in the uploaded image", timeout=PATIENCE_MS)
    page.get_by_role("radio", name="Noise").click()
    wait_for_answer(page, background="noise:gaussian")
    assert page.locator(".bglab-error").is_hidden()


def test_figure_numbers_and_code_are_exported(page):
    page.get_by_role("radio", name="Other scene").click()
    page.get_by_role("listbox", name="Backgrounds of other scenes").locator("[data-value=motorcycle]").click()
    result = wait_for_answer(page, background="scene:motorcycle")
    page.get_by_label("Venue whose column width").select_option("cvpr2024")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Figure as PDF").click()
    assert saved.value.suggested_filename == "white_ibis-scene-motorcycle.pdf"
    assert Path(saved.value.path()).read_bytes().startswith(b"%PDF")
    with page.expect_download() as saved:
        page.get_by_role("button", name="Numbers as CSV").click()
    table = pd.read_csv(saved.value.path())
    assert table.loc[table["space"] == "in9", "probability"].tolist() == pytest.approx(result["nine"], abs=1e-3)
    page.get_by_role("button", name="Code").click()
    page.wait_for_selector(".bglab-code")
    assert "background='scene:motorcycle'" in page.locator(".bglab-code").inner_text().replace('"', "'")


def test_a_saved_notebook_has_an_image_of_the_last_state(page, notebook):
    before = snapshots(notebook)
    page.get_by_role("radio", name="Colour").click()
    wait_for_answer(page, background="colour:#ffffff")
    for _ in range(15):  # after a pause the kernel draws the snapshot
        page.wait_for_timeout(2000)
        page.get_by_role("menuitem", name="File", exact=True).click()
        page.get_by_text("Save Notebook", exact=True).first.click()
        page.wait_for_timeout(500)
        if "colour:#ffffff" in json.dumps(explorer_outputs(notebook)):
            break
    assert snapshots(notebook) != before
    assert "colour:#ffffff" in json.dumps(explorer_outputs(notebook))
    assert "widgets" not in json.loads(notebook.read_text())["metadata"]
    assert notebook.stat().st_size < 1_000_000
    page.reload(timeout=PATIENCE_MS)
    page.wait_for_selector(".bglab-explorer", state="attached", timeout=PATIENCE_MS)
    assert wait_for_answer(page, background="colour:#ffffff")["scene"] == "white_ibis"


def explorer_outputs(notebook):
    cells = json.loads(notebook.read_text())["cells"]
    return next(cell["outputs"] for cell in cells if "bglab.explore(" in "".join(cell["source"]))


def snapshots(notebook):
    return [
        output["data"]["image/jpeg"] for output in explorer_outputs(notebook) if "image/jpeg" in output.get("data", {})
    ]


def test_the_page_raised_no_error(page):
    assert page.problems == []


def test_the_lab_needs_its_token(page, address):
    stranger = page.context.browser.new_context().new_page()
    stranger.goto(address.split("?")[0])
    assert "/login" in stranger.url
    stranger.close()


def test_the_first_notebook_opens_on_a_clear_capture_with_its_controls(page, address):
    if not (ROOT / "data" / "scenery" / "mate-backgrounds").is_dir():
        pytest.skip("the photographs of the pack cutouts are not here (bglab data prepare cutouts)")
    first = page.context.browser.new_page(viewport={"width": 1500, "height": 900})
    first.goto(address.replace("/lab/tree/", "/lab/workspaces/first/tree/"), timeout=PATIENCE_MS)
    run_all(first)
    wait_for_explorer(first)
    wait_for_answer(first, scene="carnivore-tiger_sumatran", background="scene:insect-hoverfly")
    assert "the background's class" in first.locator(".bglab-outcome").inner_text()
    first.wait_for_selector(".bglab-capture figure", timeout=PATIENCE_MS)
    assert first.locator(".bglab-capture figcaption b").all_inner_texts() == ["✓", "✓"]
    assert "Clear capture" in first.locator(".bglab-capture-text").inner_text()
    first.close()
