"""The page of an interactive figure without a browser: what it stores, what it refuses, and how it is written."""

from __future__ import annotations

import base64
import dataclasses
import io
import json
import re
from dataclasses import fields
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import predict
from bglab.labels import OUTSIDE
from bglab.scenes import prepare
from bglab.seeding import digest
from bglab.variants import compose
from bglab.widgets.live_widget import module_of
from bglab.widgets.state import State
from bglab.widgets.stored_answers import quantised
from fixtures.networks import ByHand, wrap
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

SIZE = 32
SCENES, BACKGROUNDS = (
    ["scene-3-1", "scene-5-0"],
    ["scene:scene-1-0", "colour:#3366cc", "texture:striped", "variant:mixed_rand"],
)
MIXES = [0.0, 0.35, 1.0]
BEGINNING = {"scene": "scene-3-1", "background": "scene:scene-1-0", "saliency_opacity": 0.4}


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture(scope="module")
def models():
    networks = [ByHand(averaging=True) for _ in range(2)]
    networks[1].head.weight.data.neg_()
    return [wrap(network, SIZE) for network in networks]


@pytest.fixture(scope="module")
def opened(prepared, models):
    widget = bglab.explore(prepared, models, **BEGINNING)
    yield widget
    widget.close()


@pytest.fixture
def explorer(opened):
    opened.state = {field.name: field.default for field in fields(State)} | BEGINNING
    return opened


def data_of(path):
    """Read the data of a page as a browser does: by the rules of HTML, then those of JSON."""
    found = []

    class Reader(HTMLParser):
        def handle_starttag(self, tag, attributes):
            self.is_data = tag == "script" and ("id", "bglab-data") in attributes

        def handle_data(self, text):
            if self.is_data:
                found.append(text)

        def handle_endtag(self, tag):
            self.is_data = False

    reader = Reader()
    reader.is_data = False
    reader.feed(path.read_text(encoding="utf-8"))
    return json.loads("".join(found))


def image_of(data, place):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(data["images"][place])))).transpose(2, 0, 1)


def test_every_stored_answer_is_that_of_the_kernel_for_exactly_this_image(explorer, models, tmp_path):
    path = explorer.export_html(
        tmp_path / "page.html", scenes=SCENES, backgrounds=BACKGROUNDS, mixes=MIXES, progress=False
    )
    data, images = data_of(path), explorer._session.images
    assert data["mixes"] == MIXES
    assert [scene["id"] for scene in data["scenes"]] == SCENES
    assert [background["key"] for background in data["backgrounds"]] == BACKGROUNDS
    for i, scene in enumerate(SCENES):
        for j, background in enumerate(BACKGROUNDS):
            for k, mix in enumerate(MIXES):
                explorer.state = {"scene": scene, "background": background, "mix": mix}
                image = explorer._session.renderer.render(State(**explorer.state)).image
                for m, (classifier, inspection) in enumerate(zip(models, explorer.inspections, strict=True)):
                    shown, top, prediction, correct, captured, share = data["pairs"][i][j]["answers"][m]["rows"][k]
                    alone = bglab.models.classify(classifier, image, "in9")
                    assert shown == pytest.approx(alone.probabilities[0], abs=2e-5)
                    assert prediction == alone.predictions[0]
                    assert correct == (prediction == images.label(scene))
                    donor = data["pairs"][i][j]["donor_label"]
                    assert captured == (prediction == donor != images.label(scene)) or donor == OUTSIDE
                    assert top[0][0] == alone.native[0]
                    assert (float("nan") if share is None else share) == pytest.approx(
                        inspection.saliency.share, abs=2e-5, nan_ok=True
                    )


def test_the_answers_are_those_of_predict(explorer, prepared, models, tmp_path):
    path = explorer.export_html(tmp_path / "page.html", scenes=SCENES, mixes=MIXES, progress=False)
    data = data_of(path)
    for k, mix in enumerate(MIXES):
        explorer.mix = mix
        found = predict(models[1], compose(prepared, explorer.variant), progress=False).set_index("scene")
        for i, scene in enumerate(SCENES):
            _, top, prediction, correct, *_ = data["pairs"][i][0]["answers"][1]["rows"][k]
            row = found.loc[scene]
            assert (top[0][0], prediction, correct) == (row.native, row.prediction, bool(row.prediction == row.label))
            assert top[0][1] == pytest.approx(row.confidence, abs=2e-5)


def test_maps_are_those_of_the_kernel_in_256_levels(explorer, tmp_path):
    data = data_of(explorer.export_html(tmp_path / "page.html", mixes=MIXES, progress=False))
    for k, mix in enumerate(MIXES):
        explorer.mix = mix
        for m, inspection in enumerate(explorer.inspections):
            answers, values = data["pairs"][0][0]["answers"][m], inspection.saliency.values
            stored = np.frombuffer(base64.b64decode(answers["maps"]), np.uint8).reshape(len(MIXES), *answers["map"])[k]
            assert list(values.shape) == answers["map"]
            assert np.abs(stored / 255 * values.max() - values).max() <= values.max() / 510 + 1e-5


def test_a_map_of_nothing_stays_one():
    assert (quantised(np.zeros((2, 2), np.float32)) == 0).all()


def test_images_are_stored_once_and_without_loss(explorer, prepared, tmp_path):
    path = explorer.export_html(
        tmp_path / "page.html",
        scenes=SCENES,
        backgrounds=["scene:scene-1-0", "scene:scene-7-2"],
        mixes=[1],
        progress=False,
    )
    data, positions = data_of(path), prepared.scenes.positions
    assert len(data["images"]) == len(SCENES) * 2 + 2  # photograph and mask of each scene, and the two backgrounds
    for i, scene in enumerate(SCENES):
        for j, donor in enumerate(("scene-1-0", "scene-7-2")):
            image, front, mask, plate = (image_of(data, place) for place in data["pairs"][i][j]["layers"])
            assert (image == prepared.images[positions[scene]]).all()
            assert (front == image).all()
            assert (mask == 255 * prepared.masks[positions[scene]]).all()
            assert (plate == prepared.plates[positions[donor]]).all()


def test_by_default_the_page_offers_what_the_explorer_shows_and_keeps_its_settings(explorer, tmp_path):
    explorer.state = {"mix": 0.52, "dx": 0.1, "feather": 1.5, "flip": True, "target": "true", "model": 1}
    path = explorer.export_html(tmp_path / "page.html", title="A <b>title</b>", caption="One & two", progress=False)
    data, text = data_of(path), path.read_text()
    assert len(data["pairs"]) == len(data["pairs"][0]) == 1
    assert data["mixes"] == [step / 20 for step in range(21)]
    wanted = {"scene": "scene-3-1", "background": "scene:scene-1-0", "mix": 0.5, "saliency_opacity": 0.4, "model": 1}
    assert data["state"] == wanted
    assert {name: data["settings"][name] for name in ("dx", "feather", "flip")} == {
        "dx": 0.1,
        "feather": 1.5,
        "flip": True,
    }
    assert "<title>A &lt;b&gt;title&lt;/b&gt;</title>" in text
    assert "One &amp; two" in text
    assert "In all images: object mirrored, feather edge 1.5 px, move right 10 %" in text
    assert "Grad-CAM of the true class" in text
    row = data["pairs"][0][0]["answers"][1]["rows"][10]
    explorer.mix = 0.5
    assert row[0] == pytest.approx(explorer.inspections[1].prediction.by_class, abs=2e-5)


def test_the_page_says_how_its_answers_were_made(prepared, tmp_path):
    spec = {"sha256": "0123456789abcdef", "source": "file", "name": "/home/somebody/networks/best.pt"}
    model = wrap(ByHand(averaging=True), SIZE)
    model = dataclasses.replace(model, spec=dataclasses.replace(model.spec, **spec))
    widget = bglab.explore(prepared, model, scene="scene-3-1", background="noise:gaussian")
    text = widget.export_html(tmp_path / "page.html", mixes=[0, 1], progress=False).read_text()
    widget.close()
    assert "file:best.pt: weights SHA-256 0123456789abcdef" in text
    assert "somebody" not in text, "where a checkpoint was is nobody's business"
    assert f"fingerprint {prepared.scenes.fingerprint}" in text
    assert "1 image × 1 background × 2 mixes × 1 classifier" in text
    assert "at a mix of 0, 100 %" in text


HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!-- \"a\" & 'b'",
    "größe-Ω-\u2028-\U0001f9a9",
    "<img src=x onerror=alert(2)>",
]


@pytest.mark.parametrize("name", HOSTILE)
def test_names_cannot_leave_their_place_in_the_page(data_folder, tmp_path, name):
    scenes = make_scenes()
    first, *rest = scenes.records
    records = (first._replace(id=name), *rest)
    renamed = dataclasses.replace(scenes, records=records, fingerprint=digest([name]))
    network = wrap(ByHand(averaging=True), SIZE)
    network = dataclasses.replace(network, classes=tuple(f"{name} {i}" for i in range(9)))
    widget = bglab.explore(prepare(renamed, SIZE, progress=False), network, scene=name)
    path = widget.export_html(tmp_path / "page.html", mixes=[1], title=name, caption=name, progress=False)
    widget.close()
    data, text = data_of(path), path.read_text(encoding="utf-8")
    assert data["scenes"][0]["id"] == name
    assert name in data["native"][0].popitem()[1]
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img src=x" not in text
    assert text.rstrip().endswith("</html>")


def test_the_policy_allows_the_page_itself_and_nothing_else(explorer, tmp_path):
    text = explorer.export_html(tmp_path / "page.html", mixes=[1], progress=False).read_text()
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"
    assert not {"unsafe-inline", "unsafe-eval", "http:", "https:", "*"} & set(re.split(r"[\s']+", policy))
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", text))
    assert not addresses, "a page loads nothing, and links to nothing"


def test_the_script_can_stand_in_a_page():
    script = module_of("figure.js")
    assert not re.search(r"</script|<!--|^import |^export ", script, re.MULTILINE | re.IGNORECASE)


REFUSED = [
    ({"scenes": ["scene-9-9"]}, UnknownName, "unknown scene 'scene-9-9'"),
    ({"backgrounds": ["scene:nobody"]}, UnknownName, "unknown scene 'nobody'"),
    ({"backgrounds": ["texture:tweed"]}, UnknownName, "unknown texture family 'tweed'"),
    ({"backgrounds": ["image:mine"]}, UnknownName, "unknown uploaded background 'mine'"),
    ({"scenes": []}, BadInput, "expected at least one of scenes, got none"),
    ({"backgrounds": "own"}, BadInput, "expected backgrounds as a list, got the text 'own'"),
    ({"mixes": [0, 1.2]}, BadInput, "expected mix between 0 and 1, got 1.2"),
    ({"mixes": [float("nan")]}, BadInput, "expected mix between 0 and 1, got nan"),
    ({"max_mb": 0.001}, BadInput, "expected a page of at most 0.001 MB, but 1 image × 1 background × 21 mixes"),
]


@pytest.mark.parametrize(("choice", "error", "words"), REFUSED)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(explorer, tmp_path, choice, error, words):
    path = tmp_path / "page.html"
    path.write_text("an earlier page")
    before = explorer.forwards
    with pytest.raises(error, match=re.escape(words)):
        explorer.export_html(path, **choice, progress=False)
    assert path.read_text() == "an earlier page"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]
    assert explorer.forwards - before <= 2, "only the photograph was classified, by each of the two classifiers"


def test_an_interrupted_run_leaves_the_earlier_page(explorer, tmp_path, monkeypatch):
    path = tmp_path / "page.html"
    path.write_text("an earlier page")
    monkeypatch.setattr(
        explorer._session.inspector, "inspect_mixes", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt)
    )
    with pytest.raises(KeyboardInterrupt):
        explorer.export_html(path, progress=False)
    assert path.read_text() == "an earlier page"
    assert [each.name for each in tmp_path.iterdir()] == ["page.html"]


def test_the_button_exports_what_is_shown(explorer, tmp_path):
    message, (content,) = View(explorer).ask("export", "file", format="html", venue="notebook")
    assert (message["name"], message["mime"]) == ("scene-3-1-scene-scene-1-0.html", "text/html")
    exported = explorer.export_html(tmp_path / "page.html", progress=False)
    assert content == exported.read_bytes()


def test_a_folder_is_no_page(explorer, tmp_path):
    with pytest.raises(BadInput, match="is a folder; name a file in it"):
        explorer.export_html(tmp_path, progress=False)


def test_answers_that_are_no_numbers_are_refused(prepared, tmp_path):
    model = make_classifier(lambda images: images)
    model.engine.logits = lambda images: torch.full((len(images), 9), float("nan"))
    widget = bglab.explore(prepared, model, scene="scene-3-1")
    with pytest.raises(BadInput, match="expected finite logits"):
        widget.export_html(tmp_path / "page.html", progress=False)
    widget.close()


def test_a_classifier_of_a_function_has_answers_without_maps(prepared, tmp_path):
    model = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
    widget = bglab.explore(prepared, model, scene="scene-3-1", background="colour:#ffffff")
    data = data_of(widget.export_html(tmp_path / "page.html", mixes=[0, 1], progress=False))
    widget.close()
    (answers,) = data["pairs"][0][0]["answers"]
    assert answers["map"] is None
    assert answers["maps"] == ""
    assert data["no_map"][0]
    brightness = int(prepared.images[prepared.scenes.positions["scene-3-1"]].mean()) % 9
    assert answers["rows"][0][2] == brightness


def test_batches_of_mixes_are_classified_like_single_images(explorer):
    inspector, state = explorer._session.inspector, State("scene-3-1", "scene:scene-1-0", target="background")
    mixes = [step / 40 for step in range(41)]  # more than fit into one batch
    before = inspector.forwards
    together = inspector.inspect_mixes(state, mixes)
    assert inspector.forwards - before == 2 * len(mixes)
    for mix, found in list(zip(mixes, together, strict=True))[::13]:
        for ours, alone in zip(found, inspector.inspect(state.but({"mix": mix})), strict=True):
            assert ours.prediction.probabilities == pytest.approx(alone.prediction.probabilities, abs=1e-5)
            assert ours.saliency.values == pytest.approx(alone.saliency.values, abs=1e-4)
            assert ours.saliency.share == pytest.approx(alone.saliency.share, abs=1e-4, nan_ok=True)
