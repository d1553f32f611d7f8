"""The live search without a browser: the backgrounds it tries, stopping, and opening results in the explorer."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.scenes import prepare
from bglab.search import search_matrix
from bglab.widgets.state import State
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

SIZE = 32


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture
def search(prepared):
    widget = bglab.search_live("scene-3-1", make_classifier(brightness), prepared)
    yield widget
    widget.close()


def until(condition, patience_s=20):
    deadline = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.005)


def test_all_backgrounds_are_tried_once_with_the_same_results_as_the_matrix(prepared, search):
    table = search.run().results
    assert sorted(table["background"]) == sorted(prepared.scenes.ids)
    pairs = search_matrix(make_classifier(brightness), prepared, progress=False)
    row = pairs.predictions()[prepared.scenes.positions["scene-3-1"]]
    expected = dict(zip(pairs.backgrounds.ids, row != 3, strict=True))
    assert dict(zip(table["background"], table["fooled"], strict=True)) == expected
    assert table["fooled"].is_monotonic_decreasing


def test_the_target_changes_what_counts_as_fooled_but_not_what_was_tried(prepared, search):
    search.run()
    tried = set(search.results["background"])
    search.target = "the background's class"
    captured = search.results
    assert set(captured["background"]) == tried
    assert (captured["fooled"] == ((captured["prediction"] == captured["label"]) & (captured["label"] != 3))).all()
    search.target = "fish"
    assert (search.results["fooled"] == (search.results["prediction"] == 8)).all()


def test_the_search_continues_where_it_was_stopped(search):
    first = search.run(10).results
    assert len(first) == 10
    second = search.run(5).results
    assert len(second) == 15
    assert set(first["background"]) < set(second["background"])
    share, low, high = search.share
    assert low <= share <= high
    assert share == second["fooled"].mean()


def test_another_foreground_starts_a_new_search(search):
    search.run(10)
    search.scene = "scene-0-0"
    assert search.results.empty
    assert np.isnan(search.share[0])


def test_unknown_names_are_refused(prepared, search):
    with pytest.raises(UnknownName, match="unknown scene 'scene-3-9'"):
        search.scene = "scene-3-9"
    with pytest.raises(UnknownName, match="unknown target 'fisch'; did you mean 'fish'"):
        bglab.search_live("scene-3-1", make_classifier(brightness), prepared, target="fisch")
    with pytest.raises(BadInput, match="expected at least one tried background to refine, got none"):
        search.refine()


@pytest.mark.alone
def test_results_arrive_and_a_stop_does_not_wait_for_a_slow_step(data_folder):
    prepared = prepare(make_scenes(per_class=9), SIZE, progress=False)
    slow = make_classifier(lambda images: (time.sleep(0.2), brightness(images))[1])
    widget = bglab.search_live("scene-3-1", slow, prepared)
    view = View(widget)
    items, (sprite,) = view.ask("start", "items")
    assert len(items["items"]) == 16
    assert sprite.startswith(b"\xff\xd8")
    started = time.perf_counter()
    seen = len(view.received)
    widget._handle_custom_msg({"type": "cancel", "view": "v"}, [])
    until(lambda: any(m["type"] == "progress" and not m["running"] for m, _ in view.received[seen:]))
    assert time.perf_counter() - started < 0.15
    until(lambda: not widget._worker.is_busy)
    time.sleep(0.3)
    assert len(widget.results) < len(prepared)
    view.ask("start", "items")
    until(lambda: len(widget.results) == len(prepared))
    assert widget.results["background"].is_unique
    widget.close()


def test_a_candidate_is_shown_next_to_the_original(prepared, search):
    search.run(4)
    worst = search.results["background"].iloc[0]
    message, (original, image, *_maps) = View(search).ask("show", "shown", background=worst)
    assert message["state"]["background"] == f"scene:{worst}"
    assert original.startswith(b"\x89PNG")
    assert image != original


def test_the_refined_attack_reports_its_image_and_its_forwards(search):
    search.run()
    found = search.refine(budget=40)
    assert found.forwards <= 40
    state = search._refined_state(found)
    shown = search._session.renderer.image(state).int()
    assert (shown - found.image.int()).abs().max() <= 1


def test_a_refinement_reports_until_it_has_made_the_error_more_certain(prepared):
    def answer(images):
        logits = torch.zeros(len(images), 9)
        logits[:, 5] = (80 - images.float().std((1, 2, 3))) / 2  # the smoother, the surer: moving an object smooths it
        return logits

    soft = make_classifier(brightness)
    soft.engine.logits = answer
    widget = bglab.search_live("scene-3-1", soft, prepared).run()
    assert widget.results["fooled"].iloc[0]
    view = View(widget)
    shown, _ = view.ask("refine", "shown")
    assert shown["place"] == "refined"
    reports = [message for message, _ in view.received if message["type"] == "refined"]
    assert reports[-1]["running"] is False
    assert reports[-1]["hit_before"]
    assert reports[-1]["of"] == "the object's own class"
    assert reports[-1]["before"] == pytest.approx(1 - widget.results["score"].iloc[0])
    assert reports[-1]["now"] < reports[-1]["before"]
    assert reports[-1]["forwards"] > 20
    assert "progress" not in {message["type"] for message, _ in view.received}, "the share line stays as it is"
    widget.close()


@pytest.mark.alone
def test_a_refinement_can_be_stopped(prepared):
    slow = make_classifier(lambda images: (time.sleep(0.02), brightness(images))[1])
    widget = bglab.search_live("scene-3-1", slow, prepared).run()
    view = View(widget)
    view.ask("refine", "refined", budget=5000)
    widget._handle_custom_msg({"type": "cancel_refine", "view": "v"}, [])
    until(lambda: any(message["type"] == "shown" for message, _ in view.received))
    last = [message for message, _ in view.received if message["type"] == "refined"][-1]
    assert not last["running"]
    assert last["forwards"] < 60
    widget.close()


def test_results_open_in_the_explorer(search):
    view = View(search)
    state = {"scene": "scene-3-1", "background": "scene:scene-5-2", "mix": 0.5, "flip": True}
    view.ask("open", "opened", state=state)
    assert {name: search.explorer.state[name] for name in state} == state
    assert State(**search.explorer.state).flip


def test_a_saved_notebook_has_an_image_and_a_caption(search):
    assert search._caption() == "scene-3-1: no background tried yet"
    search.run(8)
    assert "of 8 backgrounds fool" in search._caption()
    assert repr(search) == f"bglab live search: {search._caption()}. Run this cell to use it."
    assert len(search._snapshot()["image/jpeg"]) > 1000


def test_closing_ends_search_and_explorer(prepared):
    import threading

    before = {thread.name for thread in threading.enumerate()}
    widget = bglab.search_live("scene-3-1", make_classifier(brightness), prepared)
    widget.close()
    assert {thread.name for thread in threading.enumerate()} - before == set()
    assert widget.comm is None
    assert widget.explorer.comm is None


def test_classifiers_of_other_classes_are_refused(prepared):
    import dataclasses

    names = tuple(f"class {label}" for label in range(9))
    foreign = dataclasses.replace(prepared, scenes=dataclasses.replace(prepared.scenes, space="voc", classes=names))
    with pytest.raises(BadInput, match=r"expected a classifier that predicts the classes of random \(voc, 9 classes\)"):
        bglab.search_live("scene-3-1", make_classifier(brightness), foreign)
