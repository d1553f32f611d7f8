"""What the explorer's controls do, in Chromium with the kernel in the test's own process."""

from __future__ import annotations

import base64
import io

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.images import FAMILIES
from bglab.scenes import prepare
from bglab.widgets.messages import CANVAS_PX, texture_sheet
from bglab.widgets.state import FIELDS, State
from fixtures.pages import answered, show, wait_for
from fixtures.stand_ins import make_classifier, make_scenes

pytestmark = pytest.mark.browser

BEGINNING = {"scene": "scene-3-1", "background": "scene:scene-1-0", "mix": 0.8, "dx": 0.1, "target": "true"}


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), 96, progress=False)


@pytest.fixture
def explorer(prepared):
    widget = bglab.explore(
        prepared, make_classifier(lambda images: torch.full((len(images),), 150), "imagenet"), **BEGINNING
    )
    yield widget
    widget.close()


@pytest.fixture
def page(browser, explorer):
    page = browser.new_page(viewport={"width": 1080, "height": 780})
    page.problems = []
    page.on("pageerror", lambda problem: page.problems.append(str(problem)))
    show(page, explorer)
    wait_for(page, **BEGINNING)
    yield page
    assert page.problems == []
    page.close()


def pixels(page, kind="image"):
    """Return the RGB levels of a canvas, ``3 h w``."""
    levels = page.locator(f".bglab-{kind}").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )
    return np.array(levels).reshape(96, 96, 4)[..., :3].transpose(2, 0, 1)


def photograph(prepared, scene):
    return np.asarray(prepared.images[prepared.scenes.positions[scene]])


def png():
    with io.BytesIO() as buffer:
        Image.new("RGB", (64, 64), "#ff0000").save(buffer, format="PNG")
        return buffer.getvalue()


def test_reset_returns_to_the_state_that_the_widget_began_in(page, explorer):
    page.get_by_role("option", name="scene-5-2").first.click()
    page.get_by_role("radio", name="Noise").click()
    page.locator("input[name=mix]").focus()
    page.keyboard.press("Home")
    page.get_by_label("Class that the saliency map explains").select_option("background")
    page.get_by_role("button", name="Flip").click()
    wait_for(page, scene="scene-5-2", background="noise:gaussian", mix=0, flip=True, target="background")
    page.get_by_role("button", name="Reset").click()
    now = wait_for(page, **BEGINNING)
    assert {name: now[name] for name in FIELDS} == {name: getattr(State(**BEGINNING), name) for name in FIELDS}
    assert explorer.state == {name: now[name] for name in FIELDS}
    assert page.get_by_role("radio", name="Other scene").get_attribute("aria-checked") == "true"


def test_a_double_click_returns_one_slider_to_where_it_began(page):
    for name in ("mix", "scale"):
        page.locator(f"input[name={name}]").focus()
        page.keyboard.press("Home")
    wait_for(page, mix=0, scale=0.2)
    page.locator("input[name=mix]").dblclick(position={"x": 5, "y": 5})
    wait_for(page, mix=0.8, scale=0.2)


def test_box_and_brush_keep_the_background(page, explorer, prepared):
    composite = pixels(page)
    page.get_by_role("button", name="Brush", exact=True).click()
    page.wait_for_function("document.querySelector('.bglab-photograph h4').textContent === 'On the chosen background'")
    assert (pixels(page) == photograph(prepared, "scene-3-1")).all()
    assert (pixels(page, "original") == composite).all()
    box = page.locator(".bglab-image").bounding_box()
    page.mouse.move(box["x"] + 8, box["y"] + 8)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.5 * box["width"], box["y"] + 8, steps=4)
    page.mouse.up()
    now = wait_for(page, scene="scene-3-1 (edited)")
    assert {name: now[name] for name in ("background", "mix", "dx")} == {
        "background": "scene:scene-1-0",
        "mix": 0.8,
        "dx": 0.1,
    }
    page.get_by_role("button", name="Move", exact=True).click()
    page.wait_for_function("document.querySelector('.bglab-photograph h4').textContent === 'As photographed'")
    assert (pixels(page) != composite).mean() > 0.02  # more of the photograph is foreground now
    assert explorer.state["background"] == "scene:scene-1-0"


def test_an_upload_begins_as_photographed(page):
    page.locator(".bglab input[type=file]").first.set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": png()}
    )
    assert wait_for(page, scene="mine")["background"] == "own"


def test_an_own_picture_is_asked_for_and_the_background_stays_until_then(page):
    before = pixels(page)
    page.get_by_role("radio", name="Own picture").click()
    assert "Upload a picture to use as the background" in page.locator(".bglab-hint:visible").inner_text()
    assert page.get_by_role("button", name="Upload…", exact=True).is_visible()
    assert (pixels(page) == before).all()
    assert answered(page)["background"] == "scene:scene-1-0"
    page.locator(".bglab-choices input[type=file]").set_input_files(
        {"name": "red.png", "mimeType": "image/png", "buffer": png()}
    )
    wait_for(page, background="image:red")
    assert not page.locator(".bglab-hint").is_visible()
    assert page.get_by_role("option", name="red", exact=True).get_attribute("aria-selected") == "true"


def test_only_the_images_carry_marks(page):
    page.get_by_label("Filter images by prediction").select_option("incorrect")
    page.wait_for_selector(".bglab-thumb[data-mark]", timeout=20_000)
    assert page.get_by_role("listbox", name="Images", exact=True).locator("[data-mark]").count() > 0
    assert page.get_by_role("listbox", name="Backgrounds of other scenes").locator("[role=option]").count() > 0
    assert page.get_by_role("listbox", name="Backgrounds of other scenes").locator("[data-mark]").count() == 0


def test_a_low_top_probability_is_said(page):
    assert "(top answer only 0\u00a0%:" in page.locator(".bglab-outcome").inner_text()


def tile(sheet, place):
    image = Image.open(io.BytesIO(sheet)).crop((64 * place, 0, 64 * place + 64, 64))
    return np.asarray(image, dtype=float)


def test_a_texture_looks_on_its_tile_as_it_does_on_the_canvas(page, explorer, prepared):
    """The tile shows the middle of what the canvas shows, as large as there."""
    session = explorer._session
    sheet = texture_sheet(session, "scene-3-1")
    side = round(96 * 64 / CANVAS_PX)
    start = (96 - side) // 2
    for place, family in enumerate(FAMILIES):
        plate = session.renderer.layers("scene-3-1", f"texture:{family}").plate.numpy()
        middle = Image.fromarray(np.ascontiguousarray(plate.transpose(1, 2, 0))).crop(
            (start, start, start + side, start + side)
        )
        expected = np.asarray(middle.resize((64, 64), Image.Resampling.BILINEAR), dtype=float)
        assert np.abs(tile(sheet, place) - expected).mean() < 12, family
        elsewhere = tile(texture_sheet(session, "scene-5-2"), place)
        assert np.abs(elsewhere - expected).mean() > 12, family  # another image has another texture
    page.get_by_role("radio", name="Texture").click()
    shown = page.get_by_role("option", name="cloudy")
    page.wait_for_function(
        "document.querySelector('[data-value=\"texture:cloudy\"]').style.background.includes('blob:')"
    )
    assert (
        page.evaluate(
            """async element => {
            const url = element.style.background.match(/blob:[^")]*/)[0];
            const bytes = new Uint8Array(await (await fetch(url)).arrayBuffer());
            return btoa(String.fromCharCode(...bytes));
        }""",
            shown.element_handle(),
        )
        == base64.b64encode(sheet).decode()
    )
