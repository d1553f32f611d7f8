"""The browser of predictions without a web browser: images, settings, detail, code, and messages that are wrong."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.images import to_levels
from bglab.scenes import prepare
from bglab.variants import given
from fixtures.many_rows import many_rows
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

SIZE = 32
VARIANTS = ("original", "only_bg_t", "mixed_same", "mixed_rand", "on_texture")


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGLAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture(scope="module")
def tables(prepared):
    datasets = [bglab.compose(prepared, variant, seed=2) for variant in VARIANTS]
    return bglab.predict_all(make_classifier(brightness), datasets, progress=False)


@pytest.fixture
def browser(prepared, tables):
    widget = bglab.browse(tables, scenes=prepared, classifier=make_classifier(brightness), seed=2)
    yield widget
    widget.close()


def position(browser, variant, scene):
    table = browser._index.table
    return int(np.flatnonzero((table["variant"] == variant) & (table["scene"] == scene))[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_images_are_those_that_were_classified(browser, prepared, variant):
    dataset = bglab.compose(prepared, variant, seed=2)
    places = [position(browser, variant, row.scene) for row in dataset.rows]
    for place, expected in zip(places, dataset.images(slice(None), "cpu"), strict=True):
        shown = browser._images.rendered(place)
        np.testing.assert_array_equal(shown.image[0].numpy(), expected.numpy())
    small = browser._images.thumbnails(places, SIZE)
    np.testing.assert_array_equal(np.stack(small), dataset.images(slice(None), "cpu").numpy())


def test_a_sheet_has_its_rows_in_order(browser):
    rows = [position(browser, "mixed_rand", f"scene-{label}-1") for label in (5, 0, 3)]
    message, (jpeg,) = View(browser).ask("thumbs", "thumbs", sheet="1/0", rows=rows)
    assert message["failed"] == []
    sheet = to_levels(Image.open(io.BytesIO(jpeg)).convert("RGB")).astype(int)
    thumbnails = [levels.astype(int) for levels in browser._images.thumbnails(rows, 96)]
    for place in range(3):  # JPEG changes noise, but not into that of another image
        part = sheet[:, :96, 96 * place : 96 * (place + 1)]
        assert np.argmin([np.abs(part - levels).mean() for levels in thumbnails]) == place


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_explorer_shows_the_same_image(browser, variant):
    row = position(browser, variant, "scene-4-1")
    shown = browser._images.rendered(row).image[0].numpy()
    View(browser).ask("open", "opened", place=row)
    explorer = browser.explorer
    state = browser._detail.session.state_of(explorer.state)
    np.testing.assert_array_equal(browser._detail.session.renderer.image(state).numpy(), shown)


def test_selected_rows_are_those_of_pandas(browser, tables):
    whole = pd.concat(tables, ignore_index=True)
    browser.state = {"variant": "mixed_rand", "outcome": "incorrect"}
    expected = whole[(whole["variant"] == "mixed_rand") & (whole["label"] != whole["prediction"])]
    assert set(browser.selected.index) == set(expected.index)
    assert browser.metric["value"] == pytest.approx(len(expected) / 27)
    assert not browser.selected["correct"].any()


@pytest.mark.parametrize(
    "state",
    [
        {},
        {"variant": "mixed_rand", "outcome": "correct"},
        {"true_class": "dog", "predicted_class": "bird"},
        {"compared_with": "variant:original"},
        {"compared_with": "variant:original", "outcome": "negative_flip", "variant": "mixed_same"},
        {"compared_with": "variant:mixed_same", "outcome": "positive_flip"},
        {"compared_with": "model:k", "outcome": "flip", "true_class": "fish"},
        {"least_confidence": 0.3, "most_confidence": 0.75, "predicted_class": "(outside)"},
    ],
)
def test_the_code_selects_the_same_rows(state):
    predictions = many_rows([f's"{i}\\' for i in range(180)], np.arange(180) % 9, VARIANTS, ("m", "k"))
    predictions = predictions.assign(label=np.where(predictions.index % 50 == 0, -1, predictions["label"]))
    browser = bglab.browse(predictions, **state)
    scope = {"predictions": predictions}
    code = browser.code().removesuffix("\nselected")
    exec(code, scope)
    assert set(scope["selected"].index) == set(browser.selected.index)
    assert len(browser.selected) > 0
    browser.close()


def test_code_of_several_tables_concatenates_them_first(browser, tables):
    browser.state = {"variant": "mixed_same"}
    scope = {"predictions": list(tables)}
    exec(browser.code().removesuffix("\nselected"), scope)
    assert set(scope["selected"].index) == set(browser.selected.index)


def test_a_row_in_detail_has_its_images_and_the_exact_margin(browser, prepared):
    row = position(browser, "mixed_rand", "scene-2-1")
    stored = browser._index.table.iloc[row]
    message, buffers = View(browser).ask("show", "shown", place=row, compared_with="variant:original")
    assert message["images"] == ["As photographed", "Mixed-Rand", f"Donor {stored['donor']}"]
    photograph = to_levels(Image.open(io.BytesIO(buffers[0])).convert("RGB"))
    np.testing.assert_array_equal(photograph, prepared.images[prepared.scenes.positions["scene-2-1"]])
    # one-hot logits: e / (e + 8) and 1 / (e + 8)
    sign = 1 if stored["label"] == stored["prediction"] else -1
    expected = f"{sign * (np.e - 1) / (np.e + 8):+.2f}".replace("-", "−")
    assert message["margin"] == f"margin {expected}"
    assert message["compared"].startswith("On Original: ")
    assert len(buffers) == 4


def test_rows_without_an_image_are_named_and_counted(prepared, tables):
    known = tables[3]
    other = known.iloc[:4].assign(scene=[f"gone-{i}" for i in range(4)])
    own = known.iloc[:3].assign(variant="mine")
    lost = known.iloc[5:7].assign(dataset="other-seed", donor="")
    browser = bglab.browse([known, other, own, lost], scenes=prepared)
    message, _ = View(browser).ask("filter", "rows", state=browser.state)
    reasons = {each["reason"]: each["rows"] for each in message["missing"]}
    assert reasons == {
        "are of scenes that random does not have": 4,
        "are on mine, which is none of bglab's; give it with variants=…": 3,
        "on mixed_rand name no donor that is among the scenes": 2,
    }
    assert len(browser.selected) == 27 + 4 + 3 + 2
    browser.close()
    mine = given(prepared.scenes.ids[0], name="mine")
    browser = bglab.browse([own.assign(donor=prepared.scenes.ids[0])], scenes=prepared, variants=[mine])
    assert (browser._images.missing < 0).all()
    browser.close()


def test_without_scenes_the_number_is_there_and_the_page_says_what_to_give(tables):
    browser = bglab.browse(tables)
    message, _ = View(browser).ask("hello", "hello")
    assert message["notes"] == [
        "Rows are shown as text. To see their images, give the scenes: bglab.browse(…, scenes=…)."
    ]
    assert browser.figure()._repr_jpeg_().startswith(b"\xff\xd8")
    shown, buffers = View(browser).ask("show", "shown", place=0, compared_with="")
    assert (shown["images"], buffers) == ([], [b""])
    with pytest.raises(AttributeError):
        _ = browser.explorer.state
    browser.close()


def test_rows_of_another_set_are_pointed_out(prepared, tables):
    browser = bglab.browse(tables[0].assign(dataset="in9-aaaaaa"), scenes=prepared)
    assert browser._detail.notes == [
        "27 rows are of in9-aaaaaa, not of random as it is now; images may differ.",
    ]
    browser.close()


def test_traits_are_checked_one_by_one_and_together(browser):
    with pytest.raises(UnknownName, match="unknown variant 'mixd_rand'; did you mean 'mixed_rand'"):
        browser.variant = "mixd_rand"
    with pytest.raises(BadInput, match="expected something to compare with for flip"):
        browser.outcome = "flip"
    assert (browser.variant, browser.outcome) == ("", "")
    browser.state = {"outcome": "flip", "compared_with": "variant:original"}
    assert browser.metric["metric"] == "Flips"
    with pytest.raises(UnknownName, match="unknown filter 'variants'; did you mean 'variant'"):
        browser.state = {"variants": "original"}
    browser.row = 3
    with pytest.raises(BadInput, match="expected row as the position of one of 135 predictions"):
        browser.row = 135


@pytest.mark.parametrize(
    ("message", "sentence"),
    [
        ({"type": "filter", "state": {"variant": "x"}}, "unknown variant 'x'"),
        ({"type": "filter", "state": {"size": 3}}, "unknown filter 'size'"),
        ({"type": "filter", "state": {"variant": 3}}, "expected variant as text, got 3"),
        ({"type": "filter", "state": {"least_confidence": "a"}}, "expected least_confidence from 0 to 1, got 'a'"),
        ({"type": "filter"}, "expected settings by name"),
        ({"type": "thumbs", "sheet": "1/0", "rows": [-1]}, "expected up to 48 positions of rows, got"),
        ({"type": "thumbs", "sheet": "1/0", "rows": list(range(49))}, "expected up to 48 positions of rows, got"),
        ({"type": "thumbs", "sheet": "1/0", "rows": [True]}, "expected up to 48 positions of rows, got"),
        ({"type": "show", "place": 10**9, "compared_with": ""}, "expected a whole number from 0 to 134"),
        ({"type": "show", "place": 0, "compared_with": "model:x"}, "unknown compared with 'model:x'"),
        ({"type": "open", "place": "0"}, "expected a whole number from 0 to 134"),
        ({"type": "code", "state": []}, "expected settings by name"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_a_message_that_is_wrong_is_answered_by_a_sentence(browser, message, sentence):
    kind = message["type"]
    rest = {name: value for name, value in message.items() if name != "type"}
    answer, _ = View(browser).ask(kind, "nothing", **rest)
    assert sentence in answer["text"]


@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_browsed_is_refused(tables, prepared):
    with pytest.raises(BadInput, match="expected a table of predictions, or several, got list"):
        bglab.browse([[1]])
    with pytest.raises(BadInput, match=r"expected a classifier of a model of the table \(m\), got rule:rule"):
        bglab.browse(many_rows(["a"], [0]), scenes=prepared, classifier=make_classifier(brightness))
    with pytest.raises(UnknownName, match="unknown model of the table 'x'"):
        bglab.browse(many_rows(["a"], [0]), scenes=prepared, classifier={"x": make_classifier(brightness)})


def test_the_figure_shows_images_and_says_what_they_are(browser):
    browser.state = {"variant": "mixed_rand"}
    figure = browser.figure(7)
    assert len(figure.axes[0].images) == 7
    texts = [text.get_text() for text in figure.texts]
    assert texts[0] == f"Accuracy {100 * browser.metric['value']:.1f} % " + texts[0].split(" % ", 1)[1]
    assert "The first 7 of 27 are drawn." in texts[1]
