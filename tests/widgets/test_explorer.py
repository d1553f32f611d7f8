"""The explorer without a browser: its traits, its state, and its replies to the messages of a view."""

from __future__ import annotations

import dataclasses
import gc
import re
import threading
import time
import weakref
from dataclasses import asdict, fields

import numpy as np
import psutil
import pytest
import torch

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import predict
from bglab.scenes import prepare
from bglab.variants import Adjustment, compose
from bglab.widgets.explorer import Explorer
from bglab.widgets.session import Session
from bglab.widgets.state import FIELDS, SLIDERS, State
from bglab.widgets.worker import Worker
from fixtures.networks import fresh
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

SIZE = 32


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture
def explorer(prepared):
    widget = bglab.explore(prepared, make_classifier(brightness), scene="scene-3-1")
    yield widget
    widget.close()


# ---- settings


def test_every_setting_is_a_trait_and_every_trait_a_setting(explorer):
    ours = {name for name in explorer.traits(sync=True) if not name.startswith("_")}
    assert ours - set(FIELDS) <= {"layout", "tabbable", "tooltip", "comm", "keys"}
    assert set(FIELDS) <= ours
    assert {f.name: f.default for f in fields(State) if f.name != "scene"} == {
        name: explorer.trait_defaults(name) for name in FIELDS if name != "scene"
    }


OTHER = {
    "scene": "scene-5-0",
    "background": "colour:#ff0000",
    "mix": 0.25,
    "background_blur": 1.5,
    "brightness": 0.7,
    "feather": 0.5,
    "grow": -2,
    "dx": 0.1,
    "dy": -0.2,
    "scale": 1.3,
    "flip": True,
    "saliency_opacity": 0.4,
    "target": "true",
}


@pytest.mark.parametrize("name", OTHER)
def test_each_setting_can_be_given_set_and_read(prepared, name):
    given = bglab.explore(prepared, make_classifier(brightness), **{name: OTHER[name]})
    assert getattr(given, name) == given.state[name] == OTHER[name]
    given.close()
    later = bglab.explore(prepared, make_classifier(brightness))
    setattr(later, name, OTHER[name])
    assert later.state == asdict(State("scene-0-0").but({name: OTHER[name]}))
    later.close()


def test_the_model_is_one_of_those_given(prepared):
    both = bglab.explore(prepared, [make_classifier(brightness)] * 2, model=1)
    assert both.model == 1
    with pytest.raises(BadInput, match="expected model to be the position of one of 2 classifiers, got 2"):
        both.model = 2
    assert both.model == 1
    both.close()


@pytest.mark.parametrize("name", sorted(SLIDERS))
def test_values_out_of_range_are_refused_and_change_nothing(explorer, name):
    before, slider = explorer.state, SLIDERS[name]
    beyond = slider.high + (1 if name == "grow" else 0.5)
    sentence = f"expected {name} between {slider.low:g} and {slider.high:g}, got {beyond!r}"
    with pytest.raises(BadInput, match=re.escape(sentence)):
        setattr(explorer, name, beyond)
    with pytest.raises(BadInput, match=re.escape(sentence)):
        explorer.state = {"flip": True, name: beyond}
    assert explorer.state == before


def test_unknown_settings_are_refused_by_name(prepared, explorer):
    with pytest.raises(
        UnknownName, match="unknown setting of the explorer 'backgroun_blur'; did you mean 'background_blur'"
    ):
        bglab.explore(prepared, make_classifier(brightness), backgroun_blur=2)
    with pytest.raises(UnknownName, match="unknown setting of the explorer 'feather_px'"):
        explorer.state = {"feather_px": 2}


@pytest.mark.parametrize(
    ("background", "sentence"),
    [
        ("plaid", "unknown kind of background 'plaid'"),
        ("variant:mixed_rnd", "unknown variant 'mixed_rnd'; did you mean 'mixed_rand'"),
        ("texture:plush", "unknown texture family 'plush'"),
        ("noise:pink", "unknown noise 'pink'"),
        ("colour:red", "expected a colour such as colour:#3366cc, got 'colour:red'"),
        ("scene:", "expected the id of a scene after 'scene:', got 'scene:'"),
        ("scene:nowhere", "unknown scene 'nowhere'"),
    ],
)
def test_malformed_backgrounds_are_refused(explorer, background, sentence):
    with pytest.raises((BadInput, UnknownName), match=re.escape(sentence)):
        explorer.background = background
    assert explorer.background == "own"


def test_no_classifier_is_refused(prepared):
    with pytest.raises(BadInput, match="expected at least one classifier, got none"):
        bglab.explore(prepared, [])


# ---- what is shown is what a whole set gets


@pytest.mark.parametrize(
    "settings",
    [
        {"background": "own"},
        {"background": "scene:scene-5-2"},
        {"background": "scene:scene-5-2", "mix": 0.4, "background_blur": 1.5},
        {"background": "variant:mixed_rand"},
        {"background": "variant:mixed_rand", "brightness": 1.3, "feather": 1.0},
        {"background": "variant:no_fg", "grow": 2},
        {"background": "texture:cloudy", "dx": 0.2, "scale": 0.7, "flip": True},
        {"background": "noise:uniform", "mix": 0.5},
        {"background": "colour:#123456"},
    ],
    ids=str,
)
def test_the_variant_renders_what_the_explorer_shows(prepared, explorer, settings):
    explorer.state = settings
    shown = explorer._session.renderer.image(State(**explorer.state))
    assert torch.equal(shown, compose(prepared, explorer.variant)["scene-3-1"])


def test_an_adjusted_variant_has_a_name_of_its_own(explorer):
    explorer.state = {"background": "variant:mixed_rand"}
    assert explorer.variant is bglab.VARIANTS["mixed_rand"]
    explorer.state = {"background_blur": 2.0, "mix": 0.5}
    assert explorer.variant.name == "mixed_rand_mix0.5_background_blur2"


def test_mixing_runs_from_the_photograph_to_the_swap(prepared, explorer):
    own = torch.from_numpy(np.asarray(prepared.images[prepared.scenes.positions["scene-3-1"]]))
    explorer.state = {"background": "scene:scene-1-0", "mix": 0.0, "dx": 0.3, "flip": True}
    assert torch.equal(explorer._session.renderer.image(State(**explorer.state)), own)


@pytest.mark.parametrize(("predicted", "correct", "captured"), [(2, True, False), (6, False, True), (4, False, False)])
def test_correct_and_captured_predictions_are_told_apart(prepared, predicted, correct, captured):
    constant = make_classifier(lambda images: torch.full((len(images),), predicted))
    widget = bglab.explore(prepared, constant, scene="scene-2-0", background="scene:scene-6-0")
    (inspection,) = widget.inspections
    assert (inspection.prediction.correct, inspection.prediction.captured) == (correct, captured)
    widget.close()


def test_numbers_have_a_row_for_every_class_and_model(prepared):
    pair = [make_classifier(brightness), make_classifier(lambda images: torch.zeros(len(images), dtype=torch.long))]
    widget = bglab.explore(prepared, pair, scene="scene-2-0", background="scene:scene-6-0", mix=0.5)
    table = widget.numbers
    assert len(table) == 2 * (10 + 5)
    nine = table[table["space"] == "in9"]
    assert nine["probability"].to_numpy().reshape(2, 10).sum(axis=1) == pytest.approx([1, 1])
    assert set(table.loc[table.is_true == True, "class"]) == {"vehicle"}  # noqa: E712 - native rows have none
    assert set(table.loc[table.is_background == True, "class"]) == {"instrument"}  # noqa: E712
    assert (table["mix"] == 0.5).all()
    widget.close()


def test_the_code_brings_the_state_back(explorer):
    explorer.state = {"background": "scene:scene-5-2", "mix": 0.4, "flip": True, "target": "background"}
    written = explorer.code()
    calls = {}

    class Stub:
        @staticmethod
        def open_scenes(uri):
            return uri

        @staticmethod
        def load_classifier(name):
            return name

        @staticmethod
        def explore(scenes, classifier, **settings):
            calls.update(settings, scenes=scenes, classifier=classifier)

    exec(written.replace("import bglab", ""), {"bglab": Stub})  # noqa: S102 - running it is the test
    assert calls.pop("scenes") == "random"
    assert calls.pop("classifier") == "rule:rule"
    assert calls.pop("size") == SIZE
    assert asdict(State(calls.pop("scene")).but(calls)) == explorer.state


# ---- waiting and leaks


def test_only_the_latest_job_of_a_kind_runs():
    done, gate = [], threading.Event()
    worker = Worker("test", lambda kind, problem: None)
    worker.post("first", gate.wait)
    for number in range(200):
        worker.post("inspect", lambda number=number: done.append(number))
    gate.set()
    deadline = time.monotonic() + 5
    while worker.is_busy and time.monotonic() < deadline:
        time.sleep(0.001)
    worker.close()
    assert done == [199]


def test_urgent_jobs_run_first_and_a_failure_stops_nothing():
    done, failed, gate = [], [], threading.Event()
    worker = Worker("test", lambda kind, problem: failed.append((kind, str(problem))))
    worker.post("first", gate.wait)
    worker.post("late", lambda: done.append("late"), urgency=-1)
    worker.post("broken", lambda: 1 / 0)
    worker.post("soon", lambda: done.append("soon"), urgency=2)
    gate.set()
    deadline = time.monotonic() + 5
    while len(done) < 2 and time.monotonic() < deadline:
        time.sleep(0.001)
    worker.close()
    assert done == ["soon", "late"]
    assert failed == [("broken", "division by zero")]


def test_closing_leaves_no_thread_and_no_comm(prepared):
    from ipywidgets.widgets.widget import _instances

    before, threads = set(_instances), set(threading.enumerate())
    for _ in range(3):
        widget = bglab.explore(prepared, make_classifier(brightness))
        View(widget).ask("inspect", "result", seq=1, state=widget.state)
        widget.close()
    assert set(_instances) == before
    assert [t.name for t in set(threading.enumerate()) - threads if t.name.startswith("bglab")] == []


def test_a_burst_of_moves_leads_to_few_forwards(prepared):
    slow = make_classifier(lambda images: (time.sleep(0.01), brightness(images))[1])
    widget = bglab.explore(prepared, slow, scene="scene-3-1")
    view = View(widget)
    for i in range(200):
        state = {**widget.state, "background": "scene:scene-5-2", "mix": i / 199}
        widget._handle_custom_msg({"type": "inspect", "view": "v", "seq": i, "state": state}, [])
    deadline = time.monotonic() + 20
    while not (view.received and view.received[-1][0].get("seq") == 199) and time.monotonic() < deadline:
        time.sleep(0.005)
    assert view.received[-1][0]["state"]["mix"] == 1.0
    assert widget.forwards < 60
    widget.close()


@pytest.mark.slow
def test_two_thousand_moves_leak_no_memory(prepared):
    process = psutil.Process()
    widget = bglab.explore(prepared, fresh("test_resnet"), scene="scene-3-1")
    view = View(widget)

    def move(count):
        for i in range(count):
            scene = f"scene-{i % 9}-{i % 3}"
            state = {
                **widget.state,
                "scene": scene,
                "background": "scene:scene-5-2",
                "mix": i % 100 / 100,
                "background_blur": i % 7,
            }
            view.ask("inspect", "result", seq=i, state=state)
            if i % 20 == 0:
                view.ask("layers", "layers", seq=i, scene=scene, background="variant:mixed_rand")
            view.received.clear()

    move(200)  # until libraries have allocated their buffers
    gc.collect()
    before = process.memory_info().rss
    move(2000)
    gc.collect()
    grown_mb = (process.memory_info().rss - before) / 1e6
    widget.close()
    assert grown_mb < 50


@pytest.fixture
def run_cell(monkeypatch):
    """Return a function that simulates another run of the current cell."""
    parent = {"metadata": {"cellId": "one"}, "header": {"msg_id": "0"}}

    class Shell:
        def get_parent(self):
            return parent

    monkeypatch.setattr("bglab.widgets.live_widget.get_ipython", Shell)
    monkeypatch.setattr("bglab.widgets.live_widget._BY_CELL", {})

    def again():
        parent["header"] = {"msg_id": parent["header"]["msg_id"] + "+"}

    return again


def test_running_a_cell_again_retires_what_it_made_before(prepared, run_cell):
    classifier = make_classifier(brightness)
    first = bglab.explore(prepared, classifier)
    assert first.inspections
    run_cell()
    second = bglab.explore(prepared, make_classifier(brightness))
    assert first.comm is None
    assert second.comm is not None
    # IPython's Out still refers to `first`, which must not keep the classifier alive
    released = weakref.ref(classifier)
    del classifier
    gc.collect()
    assert released() is None
    with pytest.raises(BadInput, match="an earlier run of the cell"):
        _ = first.inspections
    second.close()


def test_a_cell_may_make_two_widgets(prepared, run_cell):
    run_cell()
    both = [bglab.explore(prepared, make_classifier(brightness)) for _ in range(2)]
    assert all(widget.comm is not None for widget in both)
    run_cell()
    third = bglab.explore(prepared, make_classifier(brightness))
    assert [widget.comm for widget in both] == [None, None]
    third.close()


def test_a_session_counts_adjustments_as_values(prepared):
    session = Session(prepared, [make_classifier(brightness)])
    assert session.renderer.variant(State("scene-3-1")).name == "original"
    assert State("scene-3-1", mix=0.5).adjustment == Adjustment(mix=0.5)
    assert isinstance(bglab.explore(prepared, make_classifier(brightness)), Explorer)


def test_the_prediction_and_the_map_follow_the_classifiers_protocol(prepared):
    classifier = fresh("test_resnet", size=24)
    model = dataclasses.replace(classifier, spec=dataclasses.replace(classifier.spec, protocol="model", crop_pct=0.5))
    widget = bglab.explore(prepared, model, scene="scene-3-1")
    try:
        (found,) = widget._session.inspector.inspect_original("scene-3-1")
        (expected,) = predict(model, compose(prepared, "original"), progress=False).query("scene == 'scene-3-1'").native
        assert found.prediction.native == expected
        values = found.saliency.values
        assert values is not None
        border = np.ones(values.shape, bool)
        quarter = len(values) // 4
        border[quarter:-quarter, quarter:-quarter] = False
        assert (values[border] == 0).all(), "the network does not see what the crop leaves out"
    finally:
        widget.close()
