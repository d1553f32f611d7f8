"""The explorer's replies to the messages of a view, and its exports."""

from __future__ import annotations

import io
import threading
import time
from dataclasses import asdict

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.scenes import prepare
from bglab.widgets.state import SLIDERS, State
from bglab.widgets.uploads import as_source
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


@pytest.fixture
def view(explorer):
    return View(explorer)


# ---- messages


def test_the_greeting_holds_everything_and_stays_small(prepared, view):
    greeting, buffers = view.ask("hello", "hello")
    assert [scene for scene, *_ in greeting["scenes"]] == prepared.scenes.ids
    assert greeting["state"]["scene"] == "scene-3-1"
    assert set(greeting["sliders"]) == set(SLIDERS)
    assert len(greeting["nine"]) == 10
    assert greeting["beginning"] == greeting["state"]
    assert buffers == []


def test_pixels_are_never_part_of_the_widget_state(explorer):
    state = explorer.get_state()
    assert not any(isinstance(value, bytes | memoryview) for value in state.values())
    own = {name: value for name, value in state.items() if name not in {"_esm", "_css"}}
    assert len(str(own)) < 2000


def test_layers_are_what_the_kernel_composes_from(prepared, view):
    message, (image, front, alpha, plate) = view.ask(
        "layers", "layers", seq=7, scene="scene-3-1", background="scene:scene-5-2"
    )
    at, of = prepared.scenes.positions["scene-3-1"], prepared.scenes.positions["scene-5-2"]
    assert message["seq"] == 7
    assert (message["truth"], message["donor_label"]) == (3, 5)
    assert image == front == prepared.images[at].tobytes()
    assert alpha == prepared.masks[at].astype(np.uint8).tobytes()
    assert plate == prepared.plates[of].tobytes()


def test_a_result_carries_its_state_and_that_of_the_photograph(explorer, view):
    wanted = asdict(State("scene-3-1", "scene:scene-5-2", mix=0.5))
    message, maps = view.ask("inspect", "result", seq=3, state=wanted)
    assert message["state"] == wanted
    assert message["seq"] == 3
    (result,), (original,) = message["results"], message["originals"]
    assert sum(result["nine"]) == pytest.approx(1, abs=1e-3)
    assert original["top"][0][2] == original["top"][0][3]
    assert len(maps) == 1


def test_a_saliency_map_comes_with_its_share(prepared):
    # the maps are zero everywhere with the weights of seed 0, and not with those of seed 1
    shares = {}
    for seed in (0, 1):
        widget = bglab.explore(prepared, fresh("test_resnet", seed=seed), scene="scene-3-1")
        message, (values,) = View(widget).ask("inspect", "result", seq=1, state=widget.state)
        (result,) = message["results"]
        assert len(values) == 4 * result["map"][0] * result["map"][1]
        assert np.frombuffer(values, dtype=np.float32).any() == bool(seed)
        shares[seed] = result["share"]
        widget.close()
    assert shares[0] is None
    assert 0 < shares[1] < 1


def test_a_classifier_without_a_map_says_why(view):
    message, _ = view.ask("inspect", "result", seq=1, state=view.explorer.state)
    assert message["results"][0]["map"] is None
    assert len(message["results"][0]["no_map"]) > 20


@pytest.mark.parametrize(
    ("kind", "content", "sentence"),
    [
        ("layers", {"scene": "nowhere", "background": "own", "seq": 1}, "unknown scene 'nowhere'"),
        ("inspect", {"state": {"scene": "scene-3-1", "mix": 3.0}, "seq": 1}, "expected mix between 0 and 1, got 3.0"),
        ("upload", {"name": "notes"}, "expected an image in the uploaded image"),
        ("thumbs", {"kind": "sound", "sheet": "0"}, "unknown kind of thumbnail 'sound'"),
    ],
)
def test_errors_are_reported_and_stop_nothing(view, kind, content, sentence):
    message, _ = view.ask(kind, "none", [b"this is no image"] if kind == "upload" else (), **content)
    assert message["type"] == "error"
    assert sentence in message["text"]
    assert view.ask("inspect", "result", seq=9, state=view.explorer.state)[0]["seq"] == 9


def test_thumbnails_come_in_sheets(view):
    _, (jpeg,) = view.ask("thumbs", "thumbs", kind="scene", sheet="0")
    assert Image.open(io.BytesIO(jpeg)).size == (8 * 64, 4 * 64)


def test_the_set_is_classified_a_few_images_at_a_time(prepared, view):
    view.ask("correctness", "correctness")
    deadline = time.monotonic() + 20
    while view.received[-1][0].get("done", 0) < len(prepared) and time.monotonic() < deadline:
        time.sleep(0.01)
    last = view.received[-1][0]
    expected = brightness(torch.from_numpy(np.asarray(prepared.images))).numpy() == prepared.scenes.labels
    assert last["correctness"] == ["correct" if correct else "incorrect" for correct in expected]


# ---- uploaded images


def photograph(transparent=False):
    """Draw a bright disc on a dark background, as PNG."""
    y, x = np.mgrid[:120, :160]
    disc = (x - 80) ** 2 + (y - 60) ** 2 < 30**2
    rng = np.random.default_rng(0)
    levels = np.where(disc[..., None], (220, 180, 60), (20, 60, 40)) + rng.integers(0, 12, size=(120, 160, 3))
    image = np.dstack([levels, np.where(disc, 255, 0)]) if transparent else levels
    with io.BytesIO() as buffer:
        Image.fromarray(image.astype(np.uint8)).save(buffer, format="PNG")
        return buffer.getvalue()


def overlap(mask, prepared_size=SIZE):
    y, x = np.mgrid[:prepared_size, :prepared_size] * 120 / prepared_size
    disc = (x - 60) ** 2 + (y - 60) ** 2 < 30**2
    return (mask & disc).sum() / (mask | disc).sum()


def test_an_image_is_uploaded_segmented_edited_and_labelled(explorer, view):
    message, _ = view.ask("upload", "uploads", [photograph()], name="disc")
    assert message["state"] == {"scene": "disc", "background": "own"}
    assert message["mode"] == "box"
    message, _ = view.ask("cut", "uploads", scene="disc", box=[0.2, 0.2, 0.8, 0.8])
    assert message["mode"] == "brush"
    mask = explorer._session.images.uploads["disc"].batch.masks[0].numpy()
    assert overlap(mask) > 0.9
    edited = mask.copy()
    edited[:4] = True
    view.ask("edit_mask", "uploads", [edited.astype(np.uint8).tobytes()], scene="disc")
    assert np.array_equal(explorer._session.images.uploads["disc"].batch.masks[0].numpy(), edited)
    view.ask("label", "uploads", scene="disc", label=8)
    assert explorer._session.images.label("disc") == 8
    explorer.scene = "disc"
    assert 'explorer.add_image("disc-cutout.png", label="fish")' in explorer.code()


def test_an_empty_mask_is_refused(explorer, view):
    view.ask("upload", "uploads", [photograph()], name="disc")
    message, _ = view.ask("edit_mask", "uploads", [bytes(SIZE * SIZE)], scene="disc")
    assert "expected some foreground in the mask, got an empty one; undo the last stroke" in message["text"]


def test_editing_the_mask_of_a_scene_leaves_the_set_unchanged(prepared, explorer, view):
    before = np.array(prepared.masks)
    mask = np.zeros((SIZE, SIZE), dtype=np.uint8)
    mask[10:20, 10:20] = 1
    message, _ = view.ask("edit_mask", "uploads", [mask.tobytes()], scene="scene-3-1")
    assert message["state"] == {"scene": "scene-3-1 (edited)"}
    assert np.array_equal(prepared.masks, before)
    assert explorer._session.images.label("scene-3-1 (edited)") == 3


def test_transparency_is_the_mask_and_comes_back_as_a_cutout(explorer, tmp_path):
    file = tmp_path / "disc.png"
    file.write_bytes(photograph(transparent=True))
    key = explorer.add_image(file, label="fish")
    mask = explorer._session.images.uploads[key].batch.masks[0].numpy()
    assert overlap(mask) > 0.9
    cutout = np.asarray(explorer._session.images.cutout(key))
    assert np.array_equal(cutout[..., 3] > 0, mask)


def test_a_path_with_a_box_is_segmented_at_once(explorer, tmp_path):
    file = tmp_path / "disc.png"
    file.write_bytes(photograph())
    key = explorer.add_image(file, box=(45, 25, 115, 95), label="fish")
    assert explorer.scene == key == "disc"
    assert overlap(explorer._session.images.uploads[key].batch.masks[0].numpy()) > 0.9
    with pytest.raises(UnknownName, match="unknown class 'fishes'; did you mean 'fish'"):
        explorer.add_image(file, label="fishes")
    with pytest.raises(BadInput, match="expected a box within 160 × 120 pixels"):
        explorer.add_image(file, box=(0, 0, 999, 50))


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_bytes_of_every_kind_are_an_image(explorer, convert):
    assert explorer.add_image(convert(photograph(transparent=True)), name="disc") == "disc"
    assert overlap(explorer._session.images.uploads["disc"].batch.masks[0].numpy()) > 0.9


def test_images_of_pillow_arrays_and_paths_as_text_are_images(explorer, tmp_path):
    content = photograph(transparent=True)
    (tmp_path / "disc.png").write_bytes(content)
    image = Image.open(io.BytesIO(content))
    rgba = np.asarray(image)
    keys = [explorer.add_image(source) for source in (str(tmp_path / "disc.png"), image, rgba)]
    assert keys == ["disc", "image", "image 2"]
    masks = [explorer._session.images.uploads[key].batch.masks[0].numpy() for key in keys]
    assert overlap(masks[0]) > 0.9
    assert np.array_equal(masks[0], masks[1])
    assert np.array_equal(masks[0], masks[2])
    levels = np.zeros((30, 40, 3), dtype=np.uint8)
    levels[..., 1] = 200
    key = explorer.add_image(levels, name="green")
    assert explorer._session.images.uploads[key].batch.images[0, :, 0, 0].tolist() == [0, 200, 0]
    assert (explorer._session.images.uploads[explorer.add_image(levels[..., 1])].large == 200).all()


@pytest.mark.parametrize(
    ("source", "sentence"),
    [
        (b"", "expected an image in the uploaded image, but its content is no known format; remove it"),
        (memoryview(b"text"), "expected an image in the uploaded image, but its content is no known format; remove it"),
        (
            np.zeros((3, 30, 40), dtype=np.uint8),
            "expected levels as an array (h, w, 3) of uint8, got (3, 30, 40) of uint8; put the channels last, and scale "
            "to 0 to 255",
        ),
        (
            np.zeros((30, 40, 3)),
            "expected levels as an array (h, w, 3) of uint8, got (30, 40, 3) of float64; put the channels last, and "
            "scale to 0 to 255",
        ),
    ],
)
def test_what_is_no_image_is_refused(explorer, source, sentence):
    with pytest.raises(BadInput) as problem:
        explorer.add_image(source)
    assert str(problem.value) == sentence


def test_a_thing_of_another_type_is_named():
    with pytest.raises(BadInput, match="expected an image as a path, bytes, image of Pillow or array, got dict"):
        as_source({"content": b""})


def test_an_uploaded_background_is_offered(explorer, view):
    message, _ = view.ask("upload_background", "uploads", [photograph()], name="wall")
    assert message["backgrounds"] == ["wall"]
    explorer.background = "image:wall"
    assert view.ask("layers", "layers", seq=1, scene="scene-3-1", background="image:wall")[0]["donor"] == ""


# ---- exports


@pytest.mark.parametrize(
    ("kind", "start"), [("pdf", b"%PDF"), ("svg", b"<?xml"), ("png", b"\x89PNG"), ("csv", b"model,")]
)
def test_one_click_exports_a_file(view, kind, start):
    message, (content,) = view.ask("export", "file", format=kind, venue="cvpr2024")
    assert message["name"] == f"scene-3-1-own.{kind}"
    assert content.startswith(start)


def test_figures_have_the_width_of_their_venue(prepared):
    pair = bglab.explore(prepared, [fresh("test_resnet"), make_classifier(brightness)], scene="scene-3-1")
    assert pair.figure("cvpr2024").get_size_inches()[0] == pytest.approx(3.25, abs=0.01)
    assert len(pair.figure().subfigs) == 2
    with pytest.raises(UnknownName, match="unknown venue 'cvpr2042'; did you mean 'cvpr2024'"):
        pair.figure("cvpr2042")
    pair.close()


@pytest.mark.parametrize(
    ("background", "words"),
    [
        ("own", "scene-3-1 as photographed"),
        ("scene:scene-1-0", "scene-3-1 on the background of scene-1-0"),
        ("variant:only_fg", "scene-3-1 as Only-FG"),
        ("colour:#ff0000", "scene-3-1 on the colour #ff0000"),
        ("texture:cloudy", "scene-3-1 on a cloudy texture"),
        ("noise:uniform", "scene-3-1 on uniform noise"),
    ],
)
def test_a_saved_notebook_says_what_it_showed(explorer, background, words):
    explorer.state = {"scene": "scene-3-1", "background": background}
    sentence = f"bglab explorer: {words}, rule:rule. Run this cell to use it."
    assert repr(explorer) == sentence
    assert explorer._repr_mimebundle_()[0]["text/plain"] == sentence
    assert explorer._snapshot()["text/plain"].startswith("bglab snapshot: scene-3-1")


def test_the_kernel_answers_a_ping_while_the_worker_is_busy(explorer, view):
    free = threading.Event()
    explorer._worker.post("slow", lambda: free.wait(20))
    pong, _ = view.ask("ping", "pong")
    free.set()
    assert pong["comm"] == explorer.model_id
