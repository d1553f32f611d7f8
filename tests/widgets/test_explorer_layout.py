"""How the explorer looks: what fits on a page, what keeps its place, and what can be told from its ground."""

from __future__ import annotations

import re

import pytest

import bglab
from bglab.scenes import prepare
from fixtures.pages import show, wait_for
from fixtures.stand_ins import make_classifier, make_scenes

pytestmark = pytest.mark.browser

#: Width and height that JupyterLab leaves an output on pages of 900 pixels' height, its side bar open and closed.
OPEN, CLOSED = (1068, 779), (1320, 779)


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), 32, progress=False)


@pytest.fixture
def opened(browser, prepared):
    """Open an explorer of a few classifiers in a page of a given size."""
    made = []

    def open_explorer(size, count=1, theme="light", space="imagenet", **settings):
        classifiers = [make_classifier(lambda images: 100 + images.long().sum((1, 2, 3)) % 300, space)] * count
        widget = bglab.explore(prepared, classifiers, size=32, scene="scene-3-1", **settings)
        page = browser.new_page(viewport={"width": size[0], "height": size[1]})
        made.append((page, widget))
        show(page, widget, theme=theme)
        wait_for(page, scene="scene-3-1")
        return page

    yield open_explorer
    for page, widget in made:
        page.close()
        widget.close()


def place(page, selector):
    """Return left, top, width and height of an element on its page, wherever that is scrolled to."""
    return tuple(
        page.locator(selector).first.evaluate(
            """element => {
                const {left, top, width, height} = element.getBoundingClientRect();
                return [left + scrollX, top + scrollY, width, height];
            }"""
        )
    )


def cut_texts(page):
    """Return every label that is longer than its element shows."""
    return page.locator(".bglab").evaluate(
        """root => [...root.querySelectorAll(".bglab-name, .bglab-slider > span, h3, h4, .bglab-outcome, button")]
            .filter((element) => element.offsetParent)
            .filter(({scrollWidth, clientWidth, scrollHeight, clientHeight}) =>
                clientWidth && (scrollWidth > clientWidth + 1 || scrollHeight > clientHeight + 2))
            .map((element) => element.textContent)"""
    )


@pytest.mark.parametrize(("size", "count"), [(OPEN, 1), (CLOSED, 1), (CLOSED, 2), (CLOSED, 3)])
def test_all_is_in_view_on_a_page_of_900_pixels(opened, size, count):
    page = opened(size, count, background="scene:scene-1-0")
    for selector in (".bglab-image", ".bglab-original", ".bglab-sliders", ".bglab-results", ".bglab-foot"):
        x, y, width, height = place(page, selector)
        assert x >= 0
        assert x + width <= size[0]
        assert y + height <= size[1], selector
    assert cut_texts(page) == []


@pytest.mark.parametrize(("width", "count"), [(1320, 1), (1320, 3), (1068, 1), (1068, 3), (700, 1), (420, 1)])
def test_bars_are_at_least_160_pixels_wide(opened, width, count):
    page = opened((width, 900), count)
    tracks = page.locator(".bglab-track:visible").evaluate_all("all => all.map((track) => track.offsetWidth)")
    assert len(tracks) == 15 * count
    assert min(tracks) >= 160


def test_three_classifiers_stand_side_by_side(opened):
    page = opened(CLOSED, 3)
    panels = [panel.bounding_box() for panel in page.locator(".bglab-result").all()]
    assert len({panel["y"] for panel in panels}) == 1
    assert panels[0]["x"] < panels[1]["x"] < panels[2]["x"]


@pytest.mark.parametrize("width", [700, 560, 380])
def test_a_narrow_page_shows_canvas_then_answers_then_sliders(opened, width):
    page = opened((width, 900))
    canvas, answers, sliders = (place(page, f".bglab-{part}") for part in ("stage", "results", "sliders"))
    assert canvas[1] + canvas[3] <= answers[1]
    assert answers[1] + answers[3] <= sliders[1]
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("size", [OPEN, (560, 900)])
def test_the_canvas_never_jumps(opened, size):
    page = opened(size)
    before = place(page, ".bglab-image")
    for kind in ("Other scene", "Variant", "Colour", "Texture", "Noise", "Own picture", "As photographed"):
        page.get_by_role("radio", name=kind).click()
        page.wait_for_timeout(150)
        assert place(page, ".bglab-image") == before, kind
    page.evaluate("window.emit('msg:custom', {type: 'error', text: 'expected something else '.repeat(30)}, [])")
    page.wait_for_selector(".bglab-error:visible")
    assert place(page, ".bglab-image") == before
    page.locator("input[name=saliency_opacity]").focus()
    page.keyboard.press("End")
    wait_for(page, background="own")
    assert place(page, ".bglab-image") == before
    assert place(page, ".bglab-tools")[1] > before[1] + before[3]


def test_the_photograph_stands_beside_the_composite(opened):
    page = opened(OPEN, background="colour:#ff0000")
    assert page.locator(".bglab-photograph h4").inner_text() == "As photographed"
    pixel = "canvas => Array.from(canvas.getContext('2d').getImageData(0, 0, 1, 1).data.slice(0, 3))"
    assert page.locator(".bglab-image").evaluate(pixel) == [255, 0, 0]
    assert page.locator(".bglab-original").evaluate(pixel) != [255, 0, 0]
    image, original = place(page, ".bglab-image"), place(page, ".bglab-original")
    assert original[1] == pytest.approx(image[1], abs=2)
    assert 100 <= original[2] <= image[2]


def luminance(levels):
    """Compute the relative luminance of sRGB levels, by WCAG 2."""
    linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in (level / 255 for level in levels)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def over(colour, ground):
    """Parse a computed colour, and lay it over an opaque ground."""
    *levels, alpha = [*map(float, re.findall(r"[\d.]+", colour)), 1.0][:4]
    return [alpha * level + (1 - alpha) * below for level, below in zip(levels, ground, strict=True)]


def contrast(colour, other, ground=(255, 255, 255)):
    """Compute the contrast of two computed colours, the second of them on an opaque ground."""
    below = over(other, ground)
    bright, dark = sorted((luminance(over(colour, below)), luminance(below)), reverse=True)
    return (bright + 0.05) / (dark + 0.05)


def colours(page, selector, name):
    """Return the different computed values of a colour over all visible elements of a kind."""
    return page.locator(f"{selector}:visible").evaluate_all(
        "(all, name) => [...new Set(all.map((element) => getComputedStyle(element)[name]))]", name
    )


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_bars_and_texts_contrast_with_their_ground(opened, theme):
    page = opened(OPEN, theme=theme, background="scene:scene-1-0")
    page.evaluate("for (const fill of document.querySelectorAll('.bglab-fill')) fill.style.width = '50%'")
    (ground,) = colours(page, ".bglab-explorer", "backgroundColor")
    assert (luminance(over(ground, (0, 0, 0))) > 0.5) == (theme == "light")
    (track,) = colours(page, ".bglab-track", "backgroundColor")
    fills = colours(page, ".bglab-fill", "backgroundColor")
    assert len(fills) == 3  # true class, background's class, others
    (line,) = colours(page, ".bglab-before", "borderLeftColor")
    for fill in fills:
        assert contrast(fill, track) >= 3
        assert contrast(line, fill) >= 1.5
    assert contrast(line, track) >= 4.5
    for text in (
        "h2",
        "h4",
        ".bglab-name",
        ".bglab-value",
        ".bglab-change",
        ".bglab-share",
        ".bglab-key span",
        ".bglab-outcome b",
    ):
        for colour in colours(page, text, "color"):
            assert contrast(colour, ground) >= 4.5, text
    for text, of in ((".bglab-button[aria-checked=true]",) * 2, (".bglab-foot .bglab-button",) * 2):
        (colour,), (below,) = colours(page, text, "color"), colours(page, of, "backgroundColor")
        assert contrast(colour, below) >= 4.5, text


def test_a_cell_of_vs_code_hides_the_snapshot_while_the_widget_is_alive(opened):
    """VS Code shows each output of a cell in a container of its own, and names an image by its output's plain text."""
    page = opened(OPEN)
    alts = page.evaluate(
        """() => {
            const image = (alt) => `<div class="output_container"><div class="output"><div class="display">
                <img alt="${alt}" width="40" height="40"></div></div></div>`;
            const cell = (live) => `<div class="cell_container">${image("bglab snapshot: scene-3-1")}
                <div class="output_container ${live}"><div class="output"></div></div>${image("a plot")}</div>`;
            const root = document.querySelector(".bglab"), parent = root.parentElement;
            parent.insertAdjacentHTML("beforeend", cell("live") + cell("dead"));
            parent.querySelector(".live > .output").append(root);
            return [...parent.querySelectorAll("img")].filter((image) => image.offsetParent).map((image) => image.alt);
        }"""
    )
    assert alts == ["a plot", "bglab snapshot: scene-3-1", "a plot"]
