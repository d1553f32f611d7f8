"""The explorer on sets of thousands: it opens before masks are cut out, and costs no more than what is looked at."""

from __future__ import annotations

import dataclasses
import io
import json
import re
import time

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.errors import BadInput
from bglab.scenes import PreparedScenes, open_scenes, prepare
from bglab.widgets.messages import greeting
from bglab.widgets.session import Session
from fixtures.boxed import count_cuts, write_forty
from fixtures.chromium import open_page
from fixtures.large import write_large_in9
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

SIZE = 64


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_forty(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture
def cut(monkeypatch):
    return count_cuts(monkeypatch)


@pytest.fixture
def explorer(folder, cut):
    widget = bglab.explore(f"imagenet:{folder}", make_classifier(brightness), size=SIZE)
    yield widget
    widget.close()


def test_thumbnails_come_before_any_other_mask(explorer, cut):
    view = View(explorer)
    ids = explorer._session.images.scenes.ids
    greeted, _ = view.ask("hello", "hello")
    assert [scene for scene, *_ in greeted["scenes"]] == ids
    assert all(lends for *_, lends in greeted["scenes"])
    for kind in ("scene", "plate"):
        _, (jpeg,) = view.ask("thumbs", "thumbs", kind=kind, sheet="0")
        assert Image.open(io.BytesIO(jpeg)).size == (8 * 64, 5 * 64)
    assert cut == ids[:1]  # that of the scene on show


def test_a_chosen_scene_is_that_of_the_prepared_set(folder, explorer, cut):
    view, ids = View(explorer), explorer._session.images.scenes.ids
    for _ in range(2):
        _, (image, _, alpha, plate) = view.ask("layers", "layers", seq=1, scene=ids[7], background=f"scene:{ids[9]}")
    assert sorted(cut) == [ids[0], ids[7], ids[9]]
    whole = prepare(open_scenes(f"imagenet:{folder}").select(ids=[ids[7], ids[9]]), SIZE, progress=False)
    assert image == whole.images[0].tobytes()
    assert alpha == whole.masks[0].astype(np.uint8).tobytes()
    assert plate == whole.plates[1].tobytes()


def test_a_scene_without_a_mask_stays_out_and_breaks_nothing(folder, explorer):
    view, ids = View(explorer), explorer._session.images.scenes.ids
    for scene, background in ((ids[2], "own"), (ids[0], f"scene:{ids[2]}")):
        message, _ = view.ask("layers", "layers", seq=1, scene=scene, background=background)
        assert message["type"] == "error"
        assert "expected a foreground that GrabCut can cut out of" in message["text"]
        told = [content for content, _ in view.received if content["type"] == "unusable"]
        assert told[-1]["scenes"] == [ids[2]]
    assert view.ask("layers", "layers", seq=2, scene=ids[1], background="own")[0]["seq"] == 2
    assert view.ask("hello", "hello")[0]["unusable"] == [ids[2]]
    with pytest.raises(BadInput, match="expected a foreground that GrabCut can cut out of"):
        bglab.explore(f"imagenet:{folder}", make_classifier(brightness), size=SIZE, scene=ids[2])


def test_a_background_drawn_from_the_whole_set_asks_for_it(explorer):
    view = View(explorer)
    message, _ = view.ask("layers", "layers", seq=1, scene=explorer.scene, background="variant:mixed_rand")
    assert message["type"] == "error"
    assert "run bglab.prepare(scenes) once, which takes a while, then this cell again" in message["text"]
    assert view.ask("layers", "layers", seq=2, scene=explorer.scene, background="variant:no_fg")[0]["seq"] == 2


def test_all_photographs_are_classified_without_their_masks(folder, explorer, cut):
    view, total = View(explorer), len(explorer._session.images.scenes)
    view.ask("correctness", "correctness")
    deadline = time.monotonic() + 20
    while view.received[-1][0].get("done", 0) < total and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(view.received[-1][0]["correctness"]) == total
    assert len(cut) == 1
    scenes = open_scenes(f"imagenet:{folder}")
    expected = bglab.scenes.prepare_photographs(scenes, SIZE, progress=False).images
    shown = explorer._session.images.photographs(0, total)
    assert torch.equal(shown, torch.from_numpy(np.array(expected)))


def test_a_scene_without_a_background_lends_none(data_folder):
    prepared = prepare(make_scenes(), SIZE, progress=False)
    none = dataclasses.replace(prepared, has_plate=np.zeros(len(prepared), dtype=bool))
    widget = bglab.explore(none, make_classifier(brightness), scene="scene-3-1")
    message, _ = View(widget).ask("layers", "layers", seq=1, scene="scene-3-1", background="scene:scene-5-2")
    assert "expected a scene with some background around its box, got scene-5-2" in message["text"]
    widget.close()


# ---- the greeting of a large set


class Untouched(np.ndarray):
    """Pixels that must not be read."""

    def __getitem__(self, key):
        raise AssertionError("pixels were read")


def test_the_greeting_reads_no_pixels_and_stays_small(data_folder):
    few = prepare(make_scenes(), SIZE, progress=False)
    records = tuple(r._replace(id=f"n{i:08d}_{i}") for i, r in enumerate(few.scenes.records * 200))[:4050]
    count = len(records)

    def untouched(shape, dtype):
        return np.broadcast_to(np.zeros(1, dtype), (count, *shape)).view(Untouched)

    large = dataclasses.replace(
        few,
        scenes=dataclasses.replace(few.scenes, records=records),
        images=untouched((3, SIZE, SIZE), np.uint8),
        masks=untouched((SIZE, SIZE), bool),
        plates=untouched((3, SIZE, SIZE), np.uint8),
        boxes=np.zeros((count, 4), dtype=np.int32),
        has_plate=np.ones(count, dtype=bool),
    )
    content = greeting(Session(large, [make_classifier(brightness)]), {})
    assert len(content["scenes"]) == count == 4050
    assert len(json.dumps(content)) < 250_000


# ---- the snapshot for readers without a kernel


@pytest.mark.parametrize("cell", ["", "one"])
def test_the_snapshot_keeps_nobody_waiting(explorer, monkeypatch, cell):
    published = []
    monkeypatch.setattr("bglab.widgets.live_widget._SNAPSHOT_DELAY_S", 0.2)
    monkeypatch.setattr("bglab.widgets.live_widget._current_cell", lambda: (cell, "run"))
    monkeypatch.setattr(
        "bglab.widgets.live_widget.publish_display_data", lambda data, *_, **more: published.append((set(data), more))
    )
    explorer._ipython_display_()
    assert published[1][0] == ({"text/plain"} if cell else {"text/plain", "image/jpeg"})
    deadline = time.monotonic() + 20
    while cell and len(published) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    data, more = published[-1]
    assert "image/jpeg" in data
    assert more["transient"] == published[1][1]["transient"]


# ---- in a browser


#: Shows an explorer whose kernel is the test: `sent` lists its messages, `deliver` sends it one.
PAGE = """async ([source, style, state]) => {
    const sheet = document.createElement("style"), root = document.createElement("div"), heard = [];
    sheet.textContent = style;
    document.body.replaceChildren(sheet, root);
    Object.assign(window, {sent: [], state, deliver: (message, sizes = []) =>
        heard.forEach((take) => take(message, sizes.map((size) => new DataView(new ArrayBuffer(size)))))});
    const model = {
        get: (name) => state[name], set: (name, value) => { state[name] = value; }, save_changes() {}, off() {},
        on: (event, take) => { if (event === "msg:custom") heard.push(take); },
        send: (message) => window.sent.push(message),
    };
    const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
    module.default.render({model, el: root});
}"""


@pytest.mark.slow
def test_the_view_returns_from_a_scene_that_cannot_be_used(explorer):
    ids = explorer._session.images.scenes.ids
    hello = {"type": "hello", **greeting(explorer._session, explorer.state)}
    with open_page() as page:
        page.goto("about:blank")
        page.evaluate(PAGE, [explorer._esm, explorer._css, explorer.state])

        def deliver(message, *sizes):
            page.evaluate("([message, sizes]) => window.deliver(message, sizes)", [message, sizes])

        def asked():
            return page.evaluate("window.sent.filter(({type}) => type === 'layers').at(-1)")

        def answer():
            pixels = SIZE * SIZE
            layers = {"type": "layers", "seq": asked()["seq"], "donor": "", "donor_label": -1, "truth": -1}
            deliver(layers, 3 * pixels, 3 * pixels, pixels, 3 * pixels)

        deliver(hello)
        answer()
        chosen = page.get_by_role("option", name=re.compile(ids[2])).first
        chosen.click()
        assert asked()["scene"] == ids[2]
        deliver({"type": "unusable", "scenes": [ids[2]]})
        deliver({"type": "error", "seq": asked()["seq"], "text": "no mask"})
        assert asked()["scene"] == ids[0]
        answer()
        assert page.get_by_role("alert").inner_text().startswith("no mask")
        assert page.evaluate("window.state.scene") == ids[0]
        assert page.get_by_role("option", name=re.compile(ids[2])).count() == 0
        page.get_by_role("option", name=re.compile(ids[1])).first.click()
        answer()
        assert not page.get_by_role("alert").is_visible()


# ---- time


@pytest.mark.slow
@pytest.mark.alone
def test_a_prepared_release_opens_in_a_moment(tmp_path):
    uri = f"in9:{write_large_in9(tmp_path)}"
    assert isinstance(whole := prepare(open_scenes(uri), SIZE, progress=False), PreparedScenes)
    assert len(whole) == 4050
    started = time.perf_counter()
    widget = bglab.explore(uri, make_classifier(brightness), size=SIZE)
    view = View(widget)
    view.ask("hello", "hello")
    view.ask("layers", "layers", seq=1, scene=widget.scene, background="own")
    view.ask("thumbs", "thumbs", kind="scene", sheet="0")
    elapsed_s = time.perf_counter() - started
    widget.close()
    assert elapsed_s < 3, "it takes half a second on a quiet machine"
