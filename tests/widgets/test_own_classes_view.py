"""What the explorer shows of scenes of other classes than the nine, in Chromium."""

from __future__ import annotations

import io

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.scenes import prepare
from fixtures.five import NAMES, OUTPUTS, SIZE, draw_folder, five_way, nearest_colour
from fixtures.pages import show, wait_for
from fixtures.stand_ins import make_classifier

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def scenes(data_folder, tmp_path_factory):
    return bglab.open_scenes(f"folder:{draw_folder(tmp_path_factory.mktemp('scenes') / 'zoo')}")


@pytest.fixture
def opened(browser):
    """Open an explorer of some scenes and classifiers in a page."""
    made = []

    def open_explorer(scenes, *classifiers, width=1068, **settings):
        widget = bglab.explore(prepare(scenes, SIZE, progress=False), list(classifiers), **settings)
        page = browser.new_page(viewport={"width": width, "height": 779})
        page.problems = []
        page.on("pageerror", lambda problem: page.problems.append(str(problem)))
        made.append((page, widget))
        show(page, widget)
        wait_for(page, **settings)
        return page

    yield open_explorer
    for page, widget in made:
        assert page.problems == []
        page.close()
        widget.close()


def bars(page, panel=0, block=0):
    """Return name and role of the visible bars of one block of a panel."""
    shown = page.locator(".bglab-result").nth(panel).locator(".bglab-bars").nth(block)
    return [
        (bar.locator(".bglab-name").inner_text(), bar.get_attribute("data-role") or "")
        for bar in shown.locator(".bglab-bar:visible").all()
    ]


def image():
    with io.BytesIO() as file:
        Image.fromarray(np.full((SIZE, SIZE, 3), 200, np.uint8)).save(file, "PNG")
        return file.getvalue()


def test_bars_verdict_and_upload_labels_are_of_the_five_classes(opened, scenes):
    page = opened(scenes, five_way(), scene="dog/dog0", background="scene:lorry/lorry0")
    assert bars(page) == [(name, {"dog": "true", "lorry": "background"}.get(name, "")) for name in NAMES]
    assert not page.locator(".bglab-native").is_visible(), "it would repeat the five"
    words = page.locator(".bglab-result .bglab-outcome").inner_text()
    assert words.startswith("✗ incorrect: the background's class · lorry, ")
    assert page.locator(".bglab-outcomes").inner_text().startswith("✓ dog, ")
    page.get_by_label("Filter images by prediction").select_option("incorrect")
    page.wait_for_function("document.querySelector('.bglab-foot .bglab-status').textContent === ''")
    page.locator(".bglab input[type=file]").first.set_input_files(
        {"name": "mine.png", "mimeType": "image/png", "buffer": image()}
    )
    wait_for(page, scene="mine")
    labels = page.get_by_label("Class of your image")
    assert labels.locator("option").all_inner_texts() == ["unknown class", *NAMES]
    assert "true class unknown" in page.locator(".bglab-result .bglab-outcome").inner_text()
    labels.select_option("zebra")
    page.wait_for_function("document.querySelector('.bglab-outcome b').textContent.includes('correct')")
    page.wait_for_function("document.querySelectorAll('.bglab-bar')[4].dataset.role === 'true'")


def test_a_capture_is_found_by_the_button(opened, scenes):
    page = opened(scenes, five_way(), scene="dog/dog0")
    page.get_by_role("button", name="Find a background that captures this").click()
    page.wait_for_selector(".bglab-capture-text:visible")
    assert page.locator(".bglab-capture-text").inner_text().startswith("Clear capture: taken for ")
    assert page.locator(".bglab-capture figcaption b").all_inner_texts() == ["✓", "✓"]


def test_a_classifier_of_other_classes_and_a_function_say_what_they_lack(opened, scenes):
    network = nearest_colour()
    function = bglab.classifier(lambda images: network(images), name="service", classes=OUTPUTS, size=SIZE)
    imagenet = make_classifier(lambda images: torch.full((len(images),), 207), "imagenet")
    page = opened(scenes, function, imagenet, width=1320, scene="dog/dog0")
    assert "method='occlusion'" in page.locator(".bglab-share").first.inner_text()
    verdicts = page.locator(".bglab-result .bglab-outcome b").all_inner_texts()
    assert verdicts == ["✓ correct", "not comparable: predicts other classes"]
    assert not page.locator(".bglab-result").nth(1).locator(".bglab-bars").first.is_visible()
    assert bars(page, 1, 1)[0] == ("golden retriever", "")


def test_of_many_classes_the_rows_stay_while_the_object_is_moved(opened, tmp_path):
    names = [f"sort {letter}" for letter in "abcdefghijklmnopqrst"]
    levels = np.random.default_rng(0).integers(0, 256, (20, 3)).astype(np.uint8)
    mask = np.zeros((64, 64), np.uint8)
    mask[15:50, 15:50] = 255
    for name, level in zip(names, levels, strict=True):
        for kind, drawn in (("images", np.tile(level, (64, 64, 1))), ("masks", mask)):
            (tmp_path / "many" / kind / name).mkdir(parents=True)
            Image.fromarray(drawn).save(tmp_path / "many" / kind / name / f"{name}.png")
    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(3, 20))
    scenes = bglab.open_scenes(f"folder:{tmp_path / 'many'}")
    classifier = bglab.classifier(network, name="twenty", classes=scenes, size=SIZE, engine="torch")
    page = opened(scenes, classifier, scene="sort a/sort a", background="scene:sort t/sort t")
    rows = bars(page)
    assert len(rows) == 10
    assert rows[-1] == ("other", "")
    assert {role: name for name, role in rows if role} == {"true": "sort a", "background": "sort t"}
    assert len(bars(page, block=1)) == 5
    place = page.locator(".bglab-sliders").bounding_box()
    page.locator("input[name=mix]").focus()
    page.keyboard.press("Home")
    wait_for(page, mix=0)
    assert bars(page) == rows
    assert page.locator(".bglab-sliders").bounding_box() == place
    foot = page.locator(".bglab-foot").bounding_box()
    assert foot["y"] + foot["height"] <= 779
