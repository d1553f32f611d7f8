"""Messages and settings that no page of ours sends: each is answered by a sentence and changes nothing."""

from __future__ import annotations

import io
import math
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.names import python_literal
from bglab.scenes import prepare
from fixtures.stand_ins import make_classifier, make_scenes

# the values are of wrong types, as nothing in between would check them
pytestmark = pytest.mark.usefixtures("unchecked")

SIZE = 32
HOSTILE = ("", "../../x", "scene-3-1\0", "<script>alert(1)</script>", "\ud800", "\u2028\u202e", "x" * 100_000)


class Direct:
    """A worker that runs each job at once; its errors are those that are logged."""

    def __init__(self):
        self.failures = []

    def post(self, _kind, job, *, urgency=0):
        try:
            job()
        except Exception as problem:  # noqa: BLE001 - to be examined
            self.failures.append(problem)

    def close(self, *_):
        pass


def upload() -> bytes:
    with io.BytesIO() as buffer:
        Image.new("RGB", (SIZE, SIZE), "red").save(buffer, "PNG")
        return buffer.getvalue()


def direct(widget):
    """Let a widget handle its messages in the calling thread, and record what it sends."""
    widget._worker.close()
    widget._parallel_worker.close()
    widget._worker = widget._parallel_worker = Direct()
    widget.sent = []
    widget.send = lambda content, buffers=None: widget.sent.append(content)
    return widget


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture(scope="module")
def explorer(prepared):
    widget = direct(bglab.explore(prepared, make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)))
    ask(widget, {"type": "upload", "name": "p"}, upload())
    yield widget
    widget.close()


@pytest.fixture(scope="module")
def search(prepared):
    classifier = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
    widget = bglab.search_live(prepared.scenes.ids[0], classifier, prepared)
    direct(widget.explorer)
    yield direct(widget)
    widget.close()


def ask(widget, message, *buffers):
    widget.sent.clear()
    widget._receive(widget, {"view": "v", "seq": 1, **message}, list(buffers))
    return list(widget.sent)


def condition(widget):
    """Everything that a message may change for good."""
    images, traits = widget._session.images, {name: getattr(widget, name) for name in ("scene", "target")}
    return (
        traits,
        getattr(widget, "state", None),
        {n: images.uploads[n].label for n in images.uploads},
        [*images.backgrounds],
    )


BAD = [
    ({"type": "label", "scene": "p", "label": 99}, ()),
    ({"type": "label", "scene": "p", "label": -2}, ()),
    ({"type": "label", "scene": "p", "label": True}, ()),
    ({"type": "label", "scene": "p", "label": "1"}, ()),
    ({"type": "label", "scene": "scene-3-1", "label": 1}, ()),
    ({"type": "label"}, ()),
    ({"type": "export", "format": "../../out.pdf", "venue": "notebook"}, ()),
    ({"type": "export", "format": "eps", "venue": "notebook"}, ()),
    ({"type": "export", "format": "pdf", "venue": "x"}, ()),
    ({"type": "export", "format": "pdf"}, ()),
    ({"type": "thumbs", "kind": "scene", "sheet": "-1"}, ()),
    ({"type": "thumbs", "kind": "scene", "sheet": "9999"}, ()),
    ({"type": "thumbs", "kind": "scene", "sheet": "²"}, ()),
    ({"type": "thumbs", "kind": "plate", "sheet": "upload7"}, ()),
    ({"type": "thumbs", "kind": "texture", "sheet": "nothing"}, ()),
    ({"type": "thumbs", "kind": ["scene"], "sheet": 0}, ()),
    ({"type": "layers", "scene": "scene-3-1", "background": "scene:nothing"}, ()),
    ({"type": "layers", "scene": "scene-3-1", "background": 7}, ()),
    ({"type": "inspect"}, ()),
    ({"type": "inspect", "state": {"scene": "scene-3-1", "mix": math.nan}}, ()),
    ({"type": "inspect", "state": {"scene": "scene-3-1", "grow": 0.5}}, ()),
    ({"type": "inspect", "state": {"scene": "scene-3-1", "other": 1}}, ()),
    ({"type": "inspect", "state": {"scene": "scene-3-1", "model": 4}}, ()),
    ({"type": "inspect", "state": {"scene": ["scene-3-1"]}}, ()),
    ({"type": "cut", "scene": "p", "box": [0, 0, math.inf, 1]}, ()),
    ({"type": "cut", "scene": "p", "box": [0, 0, 1]}, ()),
    ({"type": "cut", "scene": "p", "box": "0011"}, ()),
    ({"type": "edit_mask", "scene": "p"}, ()),
    ({"type": "edit_mask", "scene": "p"}, (b"\1" * 7,)),
    ({"type": "edit_mask", "scene": "p"}, (b"\0" * SIZE * SIZE,)),
    ({"type": "edit_mask", "scene": "p"}, (b"\1" * SIZE * SIZE,) * 2),
    ({"type": "upload", "name": "x"}, ()),
    ({"type": "upload", "name": "x"}, (b"",)),
    ({"type": "upload", "name": "x"}, (b"%!PS-Adobe-3.0 EPSF-3.0\n",)),
    ({"type": "upload", "name": 3}, (b"x",)),
    ({"type": "upload_background", "name": None}, (b"x",)),
    ({"type": "find_capture", "state": []}, ()),
    ({"type": "nothing"}, ()),
    ({"type": None}, ()),
    ({"type": ["label"]}, ()),
]


@pytest.mark.parametrize(("message", "buffers"), BAD)
def test_a_message_of_the_explorer_that_is_wrong_is_answered_by_a_sentence(explorer, message, buffers):
    before = condition(explorer)
    answers = ask(explorer, message, *buffers)
    assert [answer["type"] for answer in answers] == ["error"]
    assert "expected" in answers[0]["text"] or "unknown" in answers[0]["text"] or "no " in answers[0]["text"]
    assert condition(explorer) == before
    assert explorer._caption()
    assert explorer.code()


@pytest.mark.parametrize(
    "message",
    [
        {"type": "choose", "scene": "scene-3-1", "target": "nothing"},
        {"type": "choose", "scene": 3},
        {"type": "show", "background": "nothing"},
        {"type": "show"},
        {"type": "refine", "budget": 10**9},
        {"type": "refine", "budget": "7"},
        {"type": "open", "state": {"scene": "nothing"}},
        {"type": "open"},
        {"type": "thumbs", "sheet": 0},
    ],
)
def test_a_message_of_the_search_that_is_wrong_is_answered_by_a_sentence(search, message):
    before, opened = condition(search), search.explorer.state
    assert [answer["type"] for answer in ask(search, message)] == ["error"]
    assert condition(search) == before
    assert search.explorer.state == opened


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.sampled_from(HOSTILE),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
FIELDS = (
    "scene",
    "background",
    "state",
    "box",
    "label",
    "name",
    "format",
    "venue",
    "kind",
    "sheet",
    "hunt",
    "seq",
    "view",
)
KINDS = ("thumbs", "layers", "inspect", "cut", "edit_mask", "label", "export", "find_capture", "capture_step", "upload")


@settings(deadline=None, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from(KINDS),
    content=st.dictionaries(st.sampled_from(FIELDS), ANYTHING),
    buffers=st.lists(st.binary(max_size=40), max_size=2),
)
def test_no_message_of_the_explorer_raises_anything_else(explorer, kind, content, buffers):
    before = condition(explorer)
    explorer._worker.failures.clear()
    ask(explorer, {**content, "type": kind}, *buffers)
    assert [problem for problem in explorer._worker.failures if not isinstance(problem, BadInput | UnknownName)] == []
    assert condition(explorer) == before


@pytest.mark.parametrize(
    "wrong", [{"mix": 99}, {"mix": "1"}, {"scene": "nothing"}, {"scene": None}, {"background": "scene:nothing"},
                 {"grow": 0.5}, {"flip": 1}, {"model": 7}, {"mix": 0.5, "target": "x"}],
)  # fmt: skip
def test_settings_of_a_front_end_are_checked_like_those_of_code(explorer, wrong):
    before, restored = explorer.state, []
    explorer.send_state = restored.append
    explorer.sent.clear()
    explorer.set_state(wrong)
    del explorer.send_state
    assert explorer.state == before
    assert explorer.sent[-1]["type"] == "error"
    assert restored == [list(wrong)]
    explorer.set_state({"mix": 0.5})
    assert explorer.mix == 0.5
    explorer.set_state({"mix": before["mix"]})


def test_settings_of_the_search_are_checked_like_those_of_code(search):
    before = (search.scene, search.target)
    for wrong in ({"scene": "nothing"}, {"target": 3}, {"scene": search.scene, "target": "nothing"}):
        search.set_state(wrong)
        assert (search.scene, search.target) == before


@settings(max_examples=300)
@given(st.text() | st.sampled_from(HOSTILE))
def test_a_literal_is_exactly_its_text_and_stays_on_one_line(text):
    written = python_literal(text)
    assert eval(written) == text  # noqa: S307 - what is tested
    assert written.isprintable()


@pytest.mark.parametrize(
    "name", ['a"); open("x") #', "C:\\new\\table", "a\nb", "\u2028", "\u202eevil", "it's", "\udcff", "{x}"]
)
def test_a_cell_opens_exactly_the_set_that_was_shown(name, prepared, explorer, monkeypatch):
    shown = replace(prepared, scenes=replace(prepared.scenes, uri=f"folder:/{name}"))
    monkeypatch.setattr(type(explorer._session.images), "scenes", property(lambda _: shown.scenes))
    opened = []

    class Recorder:
        open_scenes = staticmethod(opened.append)

    line = next(line for line in explorer.code().splitlines() if "open_scenes" in line)
    exec(line, {"bglab": Recorder})  # noqa: S102 - what is tested
    assert opened == [f"folder:/{name}"]
