"""The widgets on scenes of other classes than the nine, with a classifier of these classes in an order of its own."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import torch
from PIL import Image

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.labels import OUTSIDE, imagenet_names
from bglab.saliency import GradCam
from bglab.scenes import prepare
from bglab.widgets.display_space import NINE, DisplaySpace
from fixtures.five import NAMES, OUTPUTS, SIZE, draw_folder, five_way, nearest_colour
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View


@pytest.fixture(scope="module")
def prepared(data_folder, tmp_path_factory):
    folder = draw_folder(tmp_path_factory.mktemp("scenes") / "zoo")
    return prepare(bglab.open_scenes(f"folder:{folder}"), SIZE, progress=False)


@pytest.fixture
def explore(prepared):
    opened = []

    def open_explorer(*classifiers, **settings):
        widget = bglab.explore(prepared, list(classifiers or [five_way()]), **{"scene": "dog/dog0"} | settings)
        opened.append(widget)
        return widget

    yield open_explorer
    for widget in opened:
        widget.close()


def shares(network, image):
    """Return the probability of each output for an image of one colour."""
    with torch.inference_mode():
        return network(torch.tensor(image).view(1, 3, 1, 1).float() / 255).softmax(1)[0].numpy()


def png(alpha=False):
    levels = np.full((SIZE, SIZE, 4), 200, np.uint8)
    levels[:8, :, 3] = 0
    with io.BytesIO() as file:
        Image.fromarray(levels if alpha else levels[..., :3]).save(file, "PNG")
        return file.getvalue()


def test_predictions_are_compared_with_the_scenes_labels_whatever_the_order_of_the_outputs(explore):
    explorer = explore()
    (found,) = explorer.inspections
    assert (found.prediction.name, found.prediction.prediction, found.prediction.correct) == ("dog", 1, True)
    expected = dict(zip(OUTPUTS, shares(nearest_colour(), (32, 128, 128)), strict=True))
    assert found.prediction.by_class[:-1] == pytest.approx([expected[name] for name in NAMES], abs=1e-4)
    assert found.prediction.nine is None
    explorer.background = "scene:lorry/lorry1"
    (swapped,) = explorer.inspections
    assert (swapped.prediction.name, swapped.prediction.correct, swapped.prediction.captured) == ("lorry", False, True)


def test_the_greeting_and_the_results_carry_the_five_classes(explore):
    view = View(explore(background="scene:lorry/lorry0"))
    greeting, _ = view.ask("hello", "hello")
    assert (greeting["nine"], greeting["own"], greeting["own_rows"]) == ([], list(NAMES), list(NAMES))
    assert greeting["has_labels"]
    message, _ = view.ask("inspect", "result", seq=1, state=view.explorer.state)
    (result,) = message["results"]
    assert [(label, name) for label, name, *_ in result["own"]] == list(enumerate(NAMES))
    assert sum(row[2] for row in result["own"]) == pytest.approx(1, abs=1e-4)
    assert result["own"][1][3] > 0.9 > result["own"][1][2], "the photograph is a dog"
    assert (result["nine"], result["correct"], result["captured"]) == (None, False, True)
    layers, _ = view.ask("layers", "layers", seq=2, scene="dog/dog0", background="scene:lorry/lorry0")
    assert (layers["truth"], layers["donor_label"]) == (1, 3)


def test_the_set_is_classified_in_its_own_classes(explore):
    inspector = explore()._session.inspector
    done, correctness = inspector.classify_next(100)
    assert (done, set(correctness)) == (10, {"correct"})


@pytest.mark.parametrize(("target", "name"), [("true", "dog"), ("background", "lorry"), ("predicted", "lorry")])
def test_saliency_explains_the_class_of_that_name(explore, target, name):
    explorer = explore(background="scene:lorry/lorry0", target=target)
    image = explorer._session.renderer.image(bglab.widgets.state.State(**explorer.state))[None]
    expected = GradCam(five_way()).cam(image, torch.tensor([OUTPUTS.index(name)])).maps[0]
    assert expected.any()
    assert explorer.inspections[0].saliency.values == pytest.approx(expected.numpy(), abs=1e-4)


def test_a_capturing_background_is_found_with_its_controls(explore):
    explorer = explore()
    found = explorer.find_capture()
    assert found.clear
    taken = found.background.split("/")[0]
    assert found.verdict.prediction == taken != "dog"
    assert found.text.startswith(f"Clear capture: taken for {taken} (")
    assert "but still dog at the same place on plain grey" in found.text
    explorer.background = "scene:cat/cat0"
    message, _ = explorer._capture_search.message(explorer.show_controls())
    assert all(control["words"].startswith("still dog (") for control in message["controls"])


def test_uploads_have_one_of_the_five_classes(explore):
    explorer = explore()
    with pytest.raises(UnknownName, match="unknown class 'dogs'; did you mean 'dog'"):
        explorer.add_image(png(alpha=True), name="mine", label="dogs")
    explorer.add_image(png(alpha=True), name="mine", label="dog")
    assert explorer._session.images.label("mine") == 1
    assert 'add_image("mine-cutout.png", label="dog")' in explorer.code()
    assert explorer.inspections[0].prediction.correct is not None
    explorer.background = "variant:mixed_same"
    assert explorer._session.renderer.layers("mine", "variant:mixed_same").donor.startswith("dog/")


def test_numbers_and_figures_have_a_row_for_each_of_the_five(explore):
    explorer = explore(background="scene:lorry/lorry0")
    table = explorer.numbers
    assert table["class"].tolist() == list(NAMES)
    assert set(table["space"]) == {"folder:zoo"}
    assert table.loc[table["is_true"], "class"].tolist() == ["dog"]
    assert table.loc[table["is_background"], "class"].tolist() == ["lorry"]
    assert table["probability"].sum() == pytest.approx(1)
    assert set(table["prediction"]) == {"lorry"}
    assert not table["right"].any()
    (bars,) = [ax for ax in explorer.figure().axes if ax.get_title(loc="left").startswith("Probability")]
    assert [label.get_text() for label in bars.get_yticklabels()] == list(NAMES)
    assert [label.get_fontweight() for label in bars.get_yticklabels()][1] == "bold"


def test_the_code_leaves_a_line_for_each_network_of_ones_own(prepared, explore, monkeypatch):
    one = explore(background="scene:lorry/lorry0")
    line = 'classifier = ...  # the network made by bglab.classifier(…, name="five-way")'
    assert one.code().splitlines()[2] == line
    made = five_way()
    opened = {}
    exec(one.code().replace("classifier = ...", "classifier = made"), {"made": made}, opened)  # noqa: S102
    assert opened["explorer"].state == one.state
    opened["explorer"].close()
    two = explore(made, make_classifier(lambda images: torch.zeros(len(images)).long(), "imagenet"), five_way())
    assert '[classifier_1, bglab.load_classifier("rule:rule"), classifier_2]' in two.code()
    rule = make_classifier(lambda images: torch.zeros(len(images)).long(), "imagenet")
    cropped = dataclasses.replace(rule, spec=rule.spec.under("model"))
    assert 'bglab.load_classifier("rule:rule", protocol="model")' in explore(cropped).code()


def test_a_classifier_of_other_classes_stands_beside_without_a_verdict(explore):
    other = make_classifier(lambda images: torch.full((len(images),), 207), "imagenet")
    explorer = explore(five_way(), other, background="scene:lorry/lorry0")
    own, foreign = (inspection.prediction for inspection in explorer.inspections)
    assert (own.correct, own.captured) == (False, True)
    assert (foreign.by_class, foreign.correct, foreign.captured) == (None, None, False)
    assert foreign.name == foreign.top[0][1] == imagenet_names()[207]
    message, _ = View(explorer).ask("inspect", "result", seq=1, state=explorer.state)
    assert [result["is_comparable"] for result in message["results"]] == [True, False]
    assert message["results"][1]["own"] is None
    table = explorer.numbers
    assert table.groupby("model")["space"].unique().map(list).to_dict() == {
        "own:five-way": ["folder:zoo"],
        "rule:rule": ["native"],
    }
    explorer.model = 1
    with pytest.raises(BadInput, match="expected a classifier that predicts the classes of folder:zoo, got rule:rule"):
        explorer.find_capture()


def test_without_a_classifier_of_their_classes_the_scenes_have_no_labels_among_the_nine(explore):
    explorer = explore(make_classifier(lambda images: torch.full((len(images),), 207), "imagenet"))
    assert explorer._session.display is NINE
    (found,) = explorer.inspections
    assert (found.prediction.name, found.prediction.correct) == ("dog", None)
    assert not View(explorer).ask("hello", "hello")[0]["has_labels"]


def test_a_function_is_shown_without_a_map_and_the_reason_names_what_needs_no_gradients(explore):
    network = nearest_colour()
    options = {"classes": OUTPUTS, "size": SIZE, "device": "cpu"}
    function = bglab.classifier(lambda images: network(images), name="service", **options)
    explorer = explore(function, target="true")
    (found,) = explorer.inspections
    assert (found.prediction.name, found.prediction.correct) == ("dog", True)
    assert found.saliency.values is None
    assert "method='occlusion'" in found.saliency.why_missing
    maps = bglab.saliency_maps(function, torch.zeros(1, 3, SIZE, SIZE, dtype=torch.uint8), method="occlusion")
    assert maps.shape == (1, SIZE, SIZE)
    assert explorer.figure().axes


def test_the_live_search_tells_what_fools_in_the_scenes_own_classes(prepared):
    search = bglab.search_live("dog/dog0", five_way(), prepared, target="the background's class").run()
    table = search.results.set_index("background")
    assert len(table) == 10
    assert table["fooled"].to_dict() == {scene: not scene.startswith("dog") for scene in prepared.scenes.ids}
    assert table.loc["ferry/ferry1", ["label", "prediction", "native"]].tolist() == [2, 2, "ferry"]
    assert search._targets[2:] == list(NAMES)
    items, _ = View(search).ask("hello", "items")
    assert {(item["class"], item["predicted"]) for item in items["items"]} == {(name, name) for name in NAMES}
    search.target = "ferry"
    assert sorted(search.results.query("fooled")["background"]) == ["ferry/ferry0", "ferry/ferry1"]
    search.close()


def test_the_live_search_of_imagenet_scenes_is_in_imagenet_classes_and_the_explorer_in_the_nine(data_folder):
    scenes = make_scenes(per_class=1)
    records = tuple(record._replace(label=150 + i, native_label=150 + i) for i, record in enumerate(scenes.records))
    scenes = dataclasses.replace(scenes, space="imagenet", classes=imagenet_names(), records=records)
    prepared = prepare(scenes, SIZE, progress=False)
    classifier = make_classifier(lambda images: torch.full((len(images),), 151), "imagenet")
    search = bglab.search_live(scenes.ids[0], classifier, prepared).run()
    assert search.results["fooled"].all(), "151 is another breed"
    assert search.explorer.inspections[0].prediction.correct is False
    explorer = bglab.explore(prepared, classifier, scene=scenes.ids[1])
    assert explorer.inspections[0].prediction.name == "dog"
    assert explorer.inspections[0].prediction.correct
    search.close()
    explorer.close()


# ---- many classes


@pytest.fixture
def many():
    return DisplaySpace("voc", tuple(f"class {label}" for label in range(20)), "the classes of voc")


def test_rows_of_many_classes_are_chosen_by_the_photograph_and_keep_their_places(many):
    before = np.append(np.arange(20) / 190, 0.0)
    chosen = many.rows(np.append(np.ones(20) / 20, 0.0), before, truth=2, donor=5)
    assert [row.label for row in chosen] == [19, 18, 17, 16, 15, 14, 13, 5, 2, OUTSIDE]
    assert (chosen[0].name, chosen[-1].name) == ("class 19", "other")
    assert (chosen[0].now, chosen[0].before) == pytest.approx((0.05, 0.1))
    assert (chosen[-1].now, chosen[-1].before) == pytest.approx((11 / 20, 1 - 119 / 190))
    dragged = np.append(np.eye(20)[3], 0.0)
    assert [row.label for row in many.rows(dragged, before, truth=2, donor=5)] == [row.label for row in chosen]
    assert [row.label for row in many.rows(dragged, before, truth=OUTSIDE, donor=OUTSIDE)] == [
        *range(19, 10, -1),
        OUTSIDE,
    ]


def test_the_nine_have_a_row_for_everything_outside_them():
    now = np.array([0.1] * 9 + [0.1])
    rows = NINE.rows(now, now, truth=3, donor=OUTSIDE)
    assert [row.label for row in rows] == [*range(9), OUTSIDE]
    assert (rows[-1].name, rows[-1].now) == ("outside", pytest.approx(0.1))
