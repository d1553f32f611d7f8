"""The view of the browser of predictions in a plain page: number, tiles, matrix, keys and labels, and its speed."""

from __future__ import annotations

import base64
import json
import statistics

import pytest

import bglab
from bglab.scenes import prepare
from fixtures.chromium import open_page, scroll_grid
from fixtures.many_rows import many_rows
from fixtures.plain_page import PlainPage
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.views import View

pytestmark = pytest.mark.browser

STYLES = ("explorer.css", "strip.css", "browse.css")

#: Answers requests for thumbnails in the page, a few milliseconds later, as a kernel would.
THUMBS = """() => {
    const canvas = document.createElement("canvas"), pen = canvas.getContext("2d");
    Object.assign(canvas, {width: 768, height: 576});
    for (let i = 0; i < 48; i++) {
        pen.fillStyle = `hsl(${37 * i} 60% 50%)`;
        pen.fillRect(96 * (i % 8), 96 * Math.floor(i / 8), 96, 96);
    }
    const jpeg = canvas.toDataURL("image/jpeg").split(",")[1];
    const send = window.model.send;
    window.model.send = (content, ...rest) => {
        send(content, ...rest);
        if (content.type !== "thumbs") return;
        const reply = {type: "thumbs", view: content.view, sheet: content.sheet, failed: []};
        setTimeout(() => window.hear(reply, [jpeg]), 30);
    };
}"""


class Shown(PlainPage):
    """A view in a plain page whose messages are answered by the widget itself."""

    def __init__(self, page, widget, **changes):
        super().__init__(page, "browse.js", STYLES, **widget.state, row=-1)
        page.evaluate(THUMBS)
        self.kernel, self.done = View(widget), 0
        self.widget = widget
        self.answer("hello", "hello")
        self.answer("filter", "rows")
        for label, value in changes.items():
            self.choose(label.replace("_", " "), value)

    def answer(self, kind, reply):
        """Have the widget answer the latest message of a type."""
        message = self.sent(kind)[-1]
        rest = {name: value for name, value in message.items() if name not in {"type", "view"}}
        content, buffers = self.kernel.ask(kind, reply, **rest)
        self.hear(content | {"view": None}, *[base64.b64encode(bytes(part)).decode() for part in buffers])
        self.page.wait_for_timeout(100)
        return content

    def choose(self, label, value):
        self.page.get_by_label(label, exact=True).select_option(value)
        return self.answer("filter", "rows")

    @property
    def text(self):
        return self.page.locator(".bglab-browse").inner_text()

    def tiles(self):
        return self.page.locator(".bglab-grid [role=option]")


@pytest.fixture(scope="module")
def page():
    with open_page(1100, 900) as page:
        yield page


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BGLAB_DATA", str(tmp_path_factory.mktemp("data")))
        yield prepare(make_scenes(20), 32, progress=False)


@pytest.fixture(scope="module")
def widget(prepared):
    key = bglab.compose(prepared, "original").key
    table = many_rows(prepared.scenes.ids, prepared.scenes.labels, dataset=key, models=("m", "k"))
    made = bglab.browse(
        table, scenes=prepared, classifier={"m": make_classifier(lambda images: images[:, 0, 0, 0].long() % 9)}
    )
    yield made
    made.close()


@pytest.fixture
def view(page, widget):
    widget.state = {name: "" for name in ("variant", "model", "outcome", "compared_with", "true_class")}
    return Shown(page, widget)


def test_the_number_and_the_tiles_follow_the_controls(view):
    assert "Accuracy" in view.text
    assert "n = 2,880" in view.text
    view.choose("Model", "m")
    view.choose("Variant", "mixed_rand")
    content = view.choose("Outcome", "incorrect")
    assert view.page.locator(".bglab-headline").inner_text() == f"Error rate {content['said']['value']}"
    count = content["hits"]
    assert view.tiles().first.get_attribute("aria-setsize") == str(count)
    assert f"Shown: the {count} that it counts." in view.text
    assert view.page.locator(".bglab-grid [data-mark=correct]").count() == 0


def test_the_traits_take_what_the_controls_choose(view):
    view.choose("Model", "k")
    assert view.page.evaluate("window.model.get('model')") == "k"


def test_flips_can_be_chosen_once_there_is_something_to_compare_with(view):
    flips = view.page.get_by_label("Outcome", exact=True).locator("option[value$=flip]")
    assert all(flip.is_disabled() for flip in flips.all())
    view.choose("Compared with", "variant:original")
    assert not any(flip.is_disabled() for flip in flips.all())
    content = view.choose("Outcome", "negative_flip")
    assert "points" in view.page.locator(".bglab-compared").inner_text()
    view.page.get_by_label("Compared with", exact=True).select_option("")
    assert view.sent("filter")[-1]["state"]["outcome"] == ""
    assert content["said"]["head"] == "Negative flips"


def test_a_cell_of_the_matrix_selects_its_rows_by_mouse_and_by_keys(view):
    cell = view.page.get_by_role("gridcell", name="true dog, predicted bird")
    count = int(cell.inner_text())
    cell.click()
    content = view.answer("filter", "rows")
    assert (content["state"]["true_class"], content["state"]["predicted_class"]) == ("dog", "bird")
    assert content["hits"] == count
    assert cell.get_attribute("aria-selected") == "true"
    cell.press("ArrowRight")
    view.page.keyboard.press("Enter")
    content = view.answer("filter", "rows")
    assert content["state"]["predicted_class"] == "vehicle"
    view.page.keyboard.press("Enter")
    assert view.answer("filter", "rows")["state"]["predicted_class"] == "", "the same cell again shows all"


def test_the_grid_is_used_by_keys_and_a_row_opens_below(view):
    view.choose("Variant", "mixed_rand")
    view.choose("Model", "m")
    view.tiles().first.focus()
    view.page.keyboard.press("ArrowRight")
    view.page.keyboard.press("Enter")
    content = view.answer("show", "shown")
    detail = view.page.get_by_role("region", name="Selected image")
    view.page.wait_for_function("document.querySelector('.bglab').dataset.shown")
    assert detail.locator("figcaption").all_inner_texts()[:2] == ["As photographed", "Mixed-Rand"]
    assert f"Donor {content['donor']}" in detail.inner_text()
    assert detail.get_by_role("heading").inner_text().startswith(content["scene"])
    assert view.page.evaluate("document.activeElement.getAttribute('aria-selected')") == "true"
    view.page.keyboard.press("Escape")
    assert detail.is_hidden()


def test_every_control_has_a_name_and_keeps_its_keys(view):
    controls = view.page.locator(".bglab :is(button, select, input, [role=option], [role=gridcell])")
    unmarked = controls.evaluate_all("all => all.filter((one) => one.dataset.lmSuppressShortcuts !== 'true').length")
    unnamed = controls.evaluate_all(
        "all => all.filter((one) => !one.getAttribute('aria-label') && !one.textContent.trim()).length"
    )
    assert (unmarked, unnamed) == (0, 0)


def test_names_in_the_table_are_text_and_never_markup(page, widget):
    table = many_rows(["<img src=x onerror=alert(1)>", "b"], [0, 1], variants=("original", "<b>own</b>"))
    hostile = bglab.browse(table)
    view = Shown(page, hostile)
    assert view.tiles().count() == 4
    assert page.locator(".bglab img, .bglab-browse option b").count() == 0
    assert "<img src=x onerror=alert(1)>" in view.text
    hostile.close()


@pytest.mark.parametrize("width", [480, 700, 1100])
def test_nothing_is_wider_than_the_page(page, widget, width):
    page.set_viewport_size({"width": width, "height": 900})
    view = Shown(page, widget)
    view.tiles().first.click()
    view.answer("show", "shown")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.set_viewport_size({"width": 1100, "height": 900})


@pytest.mark.alone
def test_32400_rows_scroll_at_fifty_frames_per_second(page, tmp_path, monkeypatch):
    scenes = make_scenes(450)
    table = many_rows(scenes.ids, scenes.labels)
    large = bglab.browse(table)
    large._images.missing[:] = -1  # as if all had an image, which the page draws here
    view = Shown(page, large)
    page.wait_for_timeout(500)
    assert view.tiles().first.get_attribute("aria-setsize") == "32400"
    rates = []
    for step in (40, 120, 400, -120):
        times = scroll_grid(page, 150, step)
        rates.append(1000 * (len(times) - 1) / (times[-1] - times[0]))
    print(json.dumps(rates))  # noqa: T201 - a figure quoted elsewhere
    assert view.tiles().count() < 250
    assert statistics.median(rates) >= 50, rates
    large.close()
