"""The explorer's search for a capturing background: what it finds, shows and says, and that it can be stopped."""

from __future__ import annotations

import dataclasses
import io
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.errors import BadInput
from bglab.search import CONTROLS
from bglab.widgets.capture import CONTROL_BACKGROUNDS, controls_of
from bglab.widgets.state import State, base_variant
from fixtures.matrices import PLATE, coded_scenes
from fixtures.stand_ins import make_classifier
from fixtures.views import View

SIZE = 16
#: Scenes 0 to 3 are of class 2, the others of 5, 6 and 7; the background of scene 6 captures where the test says so.
LABELS = [2, 2, 2, 2, 5, 5, 6, 6, 7]
GREY = 128


def scenes():
    """Make scenes with an object of level 250 in the middle, on plates of a level of their own."""
    made = coded_scenes(LABELS, size=SIZE)
    made.images[:] = 250
    made.plates[:] = PLATE + 2 + np.arange(len(LABELS), dtype=np.uint8)[:, None, None, None]
    made.masks[:] = False
    made.masks[:, 6:10, 6:10] = True
    return made


def classifier(*, on_grey=2, on_capturing=6, only_on_the_right=False, delay_s=0.0):
    """Make a classifier that reads the background's level in the corners, and where the object is."""

    def answer(images):
        time.sleep(delay_s)
        background = images[:, 0, 0, 0].long()
        predicted = torch.full((len(images),), 2)
        predicted[background == GREY] = on_grey
        weight = (images.float().mean(1) > 200).float()
        x = (weight.sum(1) * torch.arange(SIZE)).sum(1) / weight.sum((1, 2)).clamp(min=1)
        captures = background == PLATE + 2 + 6
        if only_on_the_right:
            captures &= x > 9.5
        predicted[captures] = on_capturing
        return predicted

    return make_classifier(answer)


@pytest.fixture
def open_explorer(data_folder):
    opened = []

    def explore(**answers):
        widget = bglab.explore(scenes(), classifier(**answers), scene="s1", size=SIZE, brightness=0.9)
        opened.append(widget)
        return widget

    yield explore
    for widget in opened:
        widget.close()


def test_the_controls_of_the_explorer_are_those_of_the_search():
    assert [base_variant(background, {}) for background in CONTROL_BACKGROUNDS] == list(CONTROLS.values())
    state = State("s1", "scene:s6", mix=0.5, dx=0.25, scale=0.8, flip=True, feather=1.0)
    for control, background in zip(controls_of(state), CONTROL_BACKGROUNDS, strict=True):
        assert control == state.but({"background": background, "mix": 1.0})


def test_a_clear_capture_is_shown_with_its_controls(open_explorer):
    explorer = open_explorer()
    found = explorer.find_capture()
    assert (found.background, found.captured, found.clear) == ("s6", True, True)
    assert found.verdict.prediction == "instrument"
    assert found.probability == pytest.approx(np.e / (np.e + 8))
    assert [control.correct for control in found.controls.values()] == [True, True]
    assert found.text.startswith("Clear capture: taken for instrument (25 %), but still vehicle")
    assert explorer.state == asdict(found.state)
    assert explorer.brightness == 1.0, "a background is tried as it is"
    (shown,) = explorer.inspections
    assert shown.prediction.captured


def test_another_place_is_found_where_only_that_captures(open_explorer):
    found = open_explorer(only_on_the_right=True).find_capture()
    assert found.clear
    assert found.placement.dx > 0.1


def test_a_capture_is_not_clear_where_the_classifier_also_fails_on_grey(open_explorer):
    explorer = open_explorer(on_grey=4)
    found = explorer.find_capture()
    assert found.captured
    assert not found.clear
    assert found.text == ("Taken for instrument (25 %), but no clear capture: the classifier also fails on plain grey")
    assert explorer.background == "scene:s6"


def test_nothing_changes_where_no_background_captures(open_explorer):
    explorer = open_explorer(on_capturing=2)
    before = explorer.state
    found = explorer.find_capture()
    assert not found.captured
    assert found.text.startswith("No background of 5 captures this object; the closest is s")
    assert explorer.state == before


def test_a_search_from_the_button_reports_and_shows_what_it_found(open_explorer):
    explorer = open_explorer()
    view = View(explorer)
    message, images = view.ask("find_capture", "capture", state=explorer.state)
    assert message["captured"]
    assert message["state"]["background"] == "scene:s6"
    assert [control["correct"] for control in message["controls"]] == [True, True]
    grey = np.asarray(Image.open(io.BytesIO(images[0])))
    assert (grey[0, 0] == GREY).all()
    deadline = time.monotonic() + 5
    while view.received[-1][0] != {"view": "v", "seq": None, "type": "capture_progress", "text": "", "running": False}:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    running = [message["text"] for message, _ in view.received if message.get("running")]
    assert "of 5 backgrounds" in " ".join(running)
    again, _ = view.ask("hello", "capture")
    assert again["again"], "a view that opens later shows the controls, without changing the state"


@pytest.mark.alone
def test_a_search_can_be_stopped_and_never_holds_up_a_slider(open_explorer):
    explorer = open_explorer(on_capturing=2, delay_s=0.05)
    view = View(explorer)
    view.ask("find_capture", "capture_progress", state=explorer.state)
    started = time.perf_counter()
    answer, _ = view.ask("inspect", "result", state=explorer.state)
    assert answer["type"] == "result"
    assert time.perf_counter() - started < 1
    assert "capture" not in {message["type"] for message, _ in view.received}
    explorer._handle_custom_msg({"type": "stop_capture", "view": "v"}, [])
    started = time.perf_counter()
    while not any(message["type"] == "capture" for message, _ in view.received):
        assert time.perf_counter() - started < 1
        time.sleep(0.005)


@pytest.mark.alone
def test_choosing_another_image_ends_a_search(open_explorer):
    explorer = open_explorer(delay_s=0.05)
    view = View(explorer)
    view.ask("find_capture", "capture_progress", state=explorer.state)
    explorer.scene = "s8"
    deadline = time.monotonic() + 5
    while "another image" not in view.received[-1][0].get("text", ""):
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert explorer.background == "own"


def test_an_upload_needs_its_class(open_explorer):
    explorer = open_explorer()
    with io.BytesIO() as file:
        levels = np.full((SIZE, SIZE, 4), 250, np.uint8)
        levels[..., 3] = 0
        levels[6:10, 6:10, 3] = 255
        Image.fromarray(levels).save(file, "PNG")
        content = file.getvalue()
    explorer.add_image(content, name="mine")
    with pytest.raises(BadInput, match="expected an image of one of the nine classes, got mine; choose its class"):
        explorer.find_capture()
    explorer._session.images.uploads.set_label("mine", 2)
    assert explorer.find_capture().background == "s6"


def test_sets_and_classifiers_of_other_classes_say_why_they_cannot(data_folder):
    prepared = scenes()
    names = tuple(f"class {label}" for label in range(9))
    foreign = dataclasses.replace(prepared, scenes=dataclasses.replace(prepared.scenes, space="voc", classes=names))
    widget = bglab.explore(foreign, classifier(), size=SIZE)
    with pytest.raises(BadInput, match="expected an image of one of the nine classes, got s0; choose an image of"):
        widget.find_capture()
    widget.close()


def test_the_controls_of_any_state_can_be_shown(open_explorer):
    explorer = open_explorer()
    explorer.state = {"background": "scene:s6", "dx": 0.25, "brightness": 1.0}
    found = explorer.show_controls()
    assert (found.captured, found.clear, found.placement.dx) == (True, True, 0.25)
    explorer.background = "own"
    assert not explorer.show_controls().captured
