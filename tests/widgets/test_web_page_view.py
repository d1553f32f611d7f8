"""The page of an interactive figure in Chromium, opened from disk: what is shown is what the kernel computes."""

from __future__ import annotations

import dataclasses
import json
import math
import time

import numpy as np
import pytest
import torch

import bglab
from bglab.evaluation import predict
from bglab.saliency import upsample
from bglab.scenes import prepare
from bglab.seeding import digest
from bglab.variants import compose
from bglab.widgets.state import State
from fixtures import five
from fixtures.five import draw_folder, five_way
from fixtures.networks import ByHand, wrap
from fixtures.stand_ins import make_scenes

pytestmark = pytest.mark.browser

SIZE = 64
SCENES, BACKGROUNDS = ["scene-3-1", "scene-5-0"], ["scene:scene-1-0", "texture:striped", "own"]
MIXES = [0, 0.2, 0.55, 1]


#: Moves the slider 40 times, and returns the milliseconds until each answer and its image are drawn.
FOLLOWED = """async () => {
    const slider = document.querySelector("input[name=mix]"), root = document.getElementById("bglab-figure");
    const delays = [], steps = Number(slider.max) + 1;
    for (let i = 0; i < 40; i++) {
        await new Promise((done) => setTimeout(done, 23));
        const drawn = new Promise((done) => {
            const observer = new MutationObserver(() => { observer.disconnect(); done(); });
            observer.observe(root, {attributeFilter: ["data-shown"]});
        });
        const started = performance.now();
        slider.value = (i + 1) % steps;
        slider.dispatchEvent(new Event("input", {bubbles: true}));
        await drawn;
        delays.push(performance.now() - started);
    }
    return delays;
}"""


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture(scope="module")
def models():
    networks = [ByHand(averaging=True) for _ in range(2)]
    networks[0].head.weight.data.neg_()
    return [wrap(network, SIZE) for network in networks]


@pytest.fixture(scope="module")
def explorer(prepared, models):
    widget = bglab.explore(
        prepared,
        models,
        scene="scene-3-1",
        background="texture:striped",
        mix=0.5,
        saliency_opacity=0.6,
        dx=0.1,
        feather=1.2,
    )
    yield widget
    widget.close()


@pytest.fixture(scope="module")
def file(explorer, tmp_path_factory):
    path = tmp_path_factory.mktemp("page") / "figure.html"
    chosen = {"scenes": SCENES, "backgrounds": BACKGROUNDS, "mixes": MIXES}
    return explorer.export_html(path, **chosen, title="Objects", caption="What it shows.", progress=False)


@pytest.fixture
def page(browser, file):
    """A page of which every request, problem and message is recorded."""
    page = browser.new_page(viewport={"width": 1100, "height": 900})
    page.requests, page.problems = [], []
    page.on("request", lambda request: page.requests.append(request.url))
    page.on("pageerror", lambda problem: page.problems.append(str(problem)))
    page.on("console", lambda message: page.problems.append(message.text))
    page.goto(file.as_uri())
    shown(page)
    yield page
    assert page.problems == []
    page.close()


def shown(page, **settings):
    """Wait until the page shows a state with these settings, and return the state."""
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        state = json.loads(page.locator("#bglab-figure").get_attribute("data-shown") or "null")
        if state and all(state[name] == value for name, value in settings.items()):
            return state
        time.sleep(0.02)  # the policy of the page lets no script wait in it
    raise AssertionError(f"the page shows {state}, not {settings}")


def pixels(page):
    levels = page.locator(".bglab-image").evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )
    return np.array(levels).reshape(SIZE, SIZE, 4)[..., :3].transpose(2, 0, 1)


def numbers(page):
    """Return the percentages of the bars that are shown."""
    return [
        int(text)
        for text in page.locator(".bglab-result:not([hidden]) .bglab-bars:first-child .bglab-value").all_inner_texts()
    ]


def percentages(shares):
    """Round as JavaScript does, halves up."""
    return [math.floor(100 * share + 0.5) for share in shares]


def drag_to(page, step):
    page.locator("input[name=mix]").fill(str(step))


def choose(page, scene=None, background=None):
    for name, value in (("Images", scene), ("Backgrounds", background)):
        if value is not None:
            page.get_by_role("listbox", name=name, exact=True).locator(f"[data-value='{value}']").click()


@pytest.mark.parametrize("scene", SCENES)
@pytest.mark.parametrize("background", BACKGROUNDS)
def test_canvas_and_numbers_are_those_of_the_kernel(page, explorer, prepared, models, scene, background):
    choose(page, scene, background)
    for step, mix in enumerate(MIXES):
        drag_to(page, step)
        state = shown(page, scene=scene, background=background, mix=mix)
        explorer.state = {"scene": scene, "background": background, "mix": mix}
        image = explorer._session.renderer.image(State(**explorer.state)).numpy()
        assert np.abs(pixels(page) - image).max() <= 1
        predicted = (
            predict(models[0], compose(prepared, explorer.variant), progress=False).set_index("scene").loc[scene]
        )
        stored, top, prediction, *_ = state["answer"]
        assert (prediction, top[0][0]) == (predicted.prediction, predicted.native)
        assert top[0][1] == pytest.approx(predicted.confidence, abs=2e-5)
        (inspection, _) = explorer.inspections
        assert stored == pytest.approx(inspection.prediction.by_class, abs=2e-5)
        assert numbers(page) == percentages(stored)


def test_the_other_classifier_has_its_own_answers(page, explorer):
    page.get_by_label("Classifier").select_option("1")
    drag_to(page, 3)
    state = shown(page, model=1, mix=1)
    explorer.state = {name: state[name] for name in ("scene", "background", "mix")}
    stored = state["answer"][0]
    assert stored == pytest.approx(explorer.inspections[1].prediction.by_class, abs=2e-5)
    assert numbers(page) == percentages(stored)


def test_nothing_is_requested(page, file):
    for step in range(len(MIXES)):
        drag_to(page, step)
    choose(page, "scene-5-0", "own")
    shown(page, scene="scene-5-0", background="own")
    page.wait_for_timeout(500)
    assert page.requests[0] == file.as_uri()
    assert all(url.startswith("blob:") for url in page.requests[1:]), "thumbnails, which the page made itself"


def test_it_begins_with_what_the_explorer_showed(page):
    state = shown(page)
    assert {name: state[name] for name in ("scene", "background", "mix", "saliency_opacity", "model")} == {
        "scene": "scene-3-1", "background": "texture:striped", "mix": 0.55, "saliency_opacity": 0.6, "model": 0,
    }  # fmt: skip
    assert page.url.count("#") == 0, "the address is the reader's until something is chosen"


def test_the_address_follows_and_is_followed(browser, page, file):
    choose(page, "scene-5-0", "scene:scene-1-0")
    drag_to(page, 1)
    page.get_by_label("Classifier").select_option("1")
    shown(page, scene="scene-5-0", background="scene:scene-1-0", mix=0.2, model=1)
    page.wait_for_timeout(800)
    linked = browser.new_page()
    linked.goto(page.url)
    shown(linked, scene="scene-5-0", background="scene:scene-1-0", mix=0.2, model=1, saliency_opacity=0.6)
    # written by hand: between two stops, with what the page does not have
    linked.evaluate("location.hash = 'mix=0.49&background=own&scene=nobody&saliency_opacity=7&model=x'")
    shown(linked, scene="scene-5-0", background="own", mix=0.55, model=1, saliency_opacity=1)
    linked.close()


def test_keys_move_the_slider_from_stop_to_stop_and_the_answer_is_spoken(page):
    slider = page.locator("input[name=mix]")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    shown(page, mix=0.2)
    assert slider.get_attribute("aria-valuetext") == "20 %"
    assert page.locator("label", has=slider).inner_text().split() == ["Mix", "20", "%"]
    page.wait_for_timeout(1000)
    spoken = page.get_by_role("status").last.inner_text()
    assert "scene-3-1, on a striped texture, mix 20 %" in spoken
    assert "predicted" in spoken
    assert page.locator(".bglab-image").get_attribute("aria-label") == spoken
    page.locator(".bglab-strip [tabindex='0']").first.focus()
    page.keyboard.press("ArrowRight")
    shown(page, scene="scene-5-0")


def test_the_map_is_the_kernels_and_as_strong_as_the_reader_wants(page, explorer):
    page.get_by_label("Classifier").select_option("1")
    drag_to(page, 3)
    state = shown(page, model=1, mix=1)
    heat = page.locator(".bglab-heat")
    assert heat.evaluate("canvas => canvas.style.opacity") == "0.6"
    explorer.state = {name: state[name] for name in ("scene", "background", "mix")}
    values = explorer.inspections[1].saliency.values
    large = upsample(torch.from_numpy(values)[None], SIZE, SIZE)[0].numpy()
    alphas = heat.evaluate(
        "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data)"
    )[3::4]
    levels = (np.array(alphas).reshape(SIZE, SIZE) / 255) ** 2  # of the colours, see colourMap in composer.js
    assert levels.max() == 1
    assert np.abs(levels - large / large.max()).max() < 2 / 255
    page.locator("input[name=saliency_opacity]").fill("0")
    shown(page, saliency_opacity=0)
    assert heat.is_hidden()


@pytest.mark.parametrize("width", [1100, 700, 360])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_windows_and_frames_of_any_width(browser, file, tmp_path, width, scheme):
    outer = tmp_path / "project.html"
    outer.write_text(f'<iframe src="{file.as_uri()}" style="width: 100%; height: 800px; border: 0"></iframe>')
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=scheme)
    for address in (file.as_uri(), outer.as_uri()):
        page.goto(address)
        frame = page.frames[-1]
        frame.wait_for_selector("#bglab-figure[data-shown]")
        assert frame.evaluate("document.documentElement.scrollWidth <= innerWidth")
        cut = frame.evaluate(
            """() => [...document.querySelectorAll(".bglab-readout, .bglab-value, .bglab-slider > span, .bglab-legend")]
            .filter((element) => element.offsetParent && element.scrollWidth > element.clientWidth + 1)
            .map((element) => element.outerHTML)"""
        )
        assert cut == []
        ground = frame.evaluate("getComputedStyle(document.body).backgroundColor")
        assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    page.close()


def test_without_scripts_there_is_an_image(browser, file):
    page = browser.new_page(java_script_enabled=False)
    page.goto(file.as_uri())
    image = page.get_by_role("img")
    assert image.get_attribute("alt") == "scene-3-1 on a striped texture, mix 55 %"
    assert image.bounding_box()["width"] > 300
    page.close()


def test_a_frame_in_a_sandbox_works_too(browser, file, tmp_path):
    outer = tmp_path / "project.html"
    outer.write_text(
        f'<iframe sandbox="allow-scripts" src="{file.as_uri()}" style="width: 900px; height: 800px"></iframe>'
    )
    page = browser.new_page()
    problems = []
    page.on("pageerror", lambda problem: problems.append(str(problem)))
    page.goto(outer.as_uri())
    frame = page.frames[-1]
    frame.wait_for_selector("#bglab-figure[data-shown]")
    frame.locator("input[name=mix]").fill("1")
    frame.wait_for_selector("#bglab-figure[data-shown*='\"mix\":0.2,']")
    page.wait_for_timeout(500)
    assert problems == []
    page.close()


def test_scenes_of_other_classes_have_bars_of_their_own(browser, tmp_path):
    scenes = bglab.open_scenes(f"folder:{draw_folder(tmp_path / 'zoo')}")
    widget = bglab.explore(scenes, five_way(), size=five.SIZE, scene="dog/dog0", background="scene:lorry/lorry1")
    path = widget.export_html(tmp_path / "page.html", mixes=[0, 1], progress=False)
    page = browser.new_page()
    page.goto(path.as_uri())
    stored, _, prediction, *_ = shown(page, mix=1)["answer"]
    assert prediction == five.NAMES.index("lorry")
    assert [now for _, now, _ in stored] == pytest.approx(widget.inspections[0].prediction.by_class[:-1], abs=2e-5)
    widget.close()
    assert numbers(page) == percentages([now for _, now, _ in stored])
    assert (
        page.locator(".bglab-result .bglab-outcome")
        .inner_text()
        .startswith("✗ incorrect: the background's class · lorry")
    )
    drag_to(page, 0)
    shown(page, mix=0)
    assert page.locator(".bglab-result .bglab-outcome").inner_text().startswith("✓ correct · dog")
    page.close()


def test_names_are_texts_and_the_address_carries_them(browser, data_folder, tmp_path):
    name = '</script><img src=x onerror=alert(1)> & "größe" #Ω 50%'
    scenes = make_scenes()
    records = (scenes.records[0], scenes.records[1]._replace(id=name), *scenes.records[2:])
    renamed = dataclasses.replace(scenes, records=records, fingerprint=digest([name]))
    chosen = {"scenes": [scenes.records[0].id, name], "mixes": [0, 1], "title": name, "caption": name}
    widget = bglab.explore(prepare(renamed, SIZE, progress=False), wrap(ByHand(averaging=True), SIZE))
    path = widget.export_html(tmp_path / "page.html", **chosen, progress=False)
    widget.close()
    page = browser.new_page()
    dialogs = []
    page.on("dialog", lambda dialog: dialogs.append(dialog.message))
    page.goto(path.as_uri())
    page.get_by_role("option").nth(1).click()
    shown(page, scene=name)
    page.wait_for_timeout(800)
    linked = browser.new_page()
    linked.goto(page.url)
    shown(linked, scene=name)
    assert name in linked.locator(".bglab-chosen").inner_text()
    assert linked.locator("h1").inner_text() == linked.title() == name
    assert dialogs == []
    for each in (page, linked):
        each.close()


@pytest.mark.alone
def test_the_canvas_follows_a_drag_frame_by_frame(page):
    drag_to(page, 0)
    shown(page, mix=0)
    delays = page.evaluate(FOLLOWED)
    assert float(np.median(delays)) < 17, "milliseconds to the next frame of a display of 60 Hz, with its drawing"
