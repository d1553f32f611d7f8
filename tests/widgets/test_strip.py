"""The images to choose from, by the widgets' own module in a browser: search, grid, keys, and only what is visible."""

from __future__ import annotations

import statistics

import pytest

from bglab.widgets.live_widget import module_of, style_of
from fixtures.chromium import open_page, scroll_grid

pytestmark = pytest.mark.slow

COUNT = 4050

#: Builds a strip of that many images, whose sheets are drawn here; `asked` lists requests, `chose` what was chosen.
PAGE = """async ([source, style, count, delay]) => {
    const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    const { Strip, make } = await import(url);
    document.body.innerHTML = "";
    document.body.append(make("style", {}, style));
    const root = make("div", {class: "bglab"});
    const below = make("div", {class: "below"});
    below.style.height = "700px";
    const canvas = make("canvas", {width: 512, height: 384}), pen = canvas.getContext("2d");
    window.asked = [];
    window.chose = [];
    const jpeg = (sheet) => {
        for (let i = 0; i < 48; i++) {
            pen.fillStyle = `hsl(${(37 * (48 * sheet + i)) % 360} 60% 50%)`;
            pen.fillRect(64 * (i % 8), 64 * Math.floor(i / 8), 64, 64);
        }
        return new Promise((done) => canvas.toBlob((blob) => done(blob.arrayBuffer()), "image/jpeg"));
    };
    window.strip = new Strip({
        label: "Images", side: 64, perSheet: 48, perRow: 8,
        needSheet: (sheet) => {
            window.asked.push(Number(sheet));
            if (delay < 0) return;
            jpeg(Number(sheet)).then((bytes) => setTimeout(() => window.strip.showSheet(sheet, bytes), delay));
        },
        choose: (value) => { window.chose.push(value); window.strip.select(value); },
    });
    root.append(make("div", {class: "bglab-explorer"}, window.strip.element, below));
    document.body.append(root);
    const classes = ["dog", "bird", "wheeled vehicle"];
    window.strip.fill(Array.from({length: count}, (_, i) => ({
        value: `scene${i}`, label: `${classes[i % 3]} · n${String(i).padStart(5, "0")}`,
        sheet: String(Math.floor(i / 48)), place: i % 48,
    })));
    window.strip.select("scene0");
}"""


@pytest.fixture(scope="module")
def browser():
    with open_page(1000, 900) as page:
        page.goto("about:blank")
        yield page


def build(page, count=COUNT, delay=5):
    source = module_of("strip.js") + "\nexport { make };"
    page.evaluate(PAGE, [source, style_of(["explorer.css", "strip.css"]), count, delay])
    return page


@pytest.fixture
def page(browser):
    return build(browser)


def options(page):
    return page.locator(".bglab [role=option]").count()


def names(page, kind):
    return page.eval_on_selector_all(f".bglab-{kind} [role=option]", "all => all.map((one) => one.dataset.value)")


def open_grid(page):
    page.get_by_role("button", name="Grid").click()
    page.wait_for_selector(".bglab-grid [role=option]")


def test_only_what_is_visible_is_in_the_page(page):
    assert options(page) < 40
    open_grid(page)
    assert options(page) < 250
    page.eval_on_selector(".bglab-grid", "grid => { grid.scrollTop = grid.scrollHeight / 2; }")
    page.wait_for_function("document.querySelector('.bglab-grid [data-value=scene2020]')")
    assert options(page) < 250
    last = page.get_by_role("listbox", name="Images, all").get_by_role("option", name="n02020")
    assert last.get_attribute("aria-setsize") == str(COUNT)
    assert last.get_attribute("aria-posinset") == "2021"


def test_a_few_images_are_all_in_the_page_and_need_no_search(browser):
    page = build(browser, 24)
    assert options(page) == 24
    assert not page.get_by_role("searchbox").is_visible()
    page.get_by_role("option", name="n00023").click()
    assert page.evaluate("window.chose") == ["scene23"]


@pytest.mark.parametrize(
    ("words", "expected"), [("n0123", range(1230, 1240)), ("DOG n0123", (1230, 1233, 1236, 1239)), ("cat", ())]
)
def test_the_search_takes_several_words_of_class_and_name(page, words, expected):
    before = page.locator(".below").bounding_box()
    page.get_by_role("searchbox", name="Search images").fill(words)
    assert page.locator(".below").bounding_box() == before
    assert names(page, "strip") == [f"scene{i}" for i in expected]
    counted = page.get_by_role("status").inner_text()
    assert counted == f"{len(expected)} of 4,050"
    assert page.get_by_text("No such images").is_visible() == (not expected)


def test_the_grid_opens_over_what_is_below_it(page):
    before = page.locator(".below").bounding_box()
    open_grid(page)
    assert page.locator(".below").bounding_box() == before
    assert page.evaluate("scrollY") == 0
    grid = page.locator(".bglab-grid").bounding_box()
    assert grid["height"] > 250
    assert grid["y"] + grid["height"] < before["y"] + before["height"]
    page.mouse.click(500, 880)
    assert not page.locator(".bglab-grid").is_visible()
    assert page.evaluate("window.chose") == []


def test_the_grid_is_used_by_keys(page):
    page.get_by_role("searchbox").press("Enter")
    columns = page.evaluate("window.strip.grid.columns")
    assert columns > 8

    def active():
        return page.evaluate("document.activeElement.dataset.value")

    for key, expected in [
        ("ArrowRight", 1),
        ("ArrowDown", 1 + columns),
        ("ArrowLeft", columns),
        ("End", COUNT - 1),
        ("Home", 0),
        ("ArrowUp", 0),
        ("ArrowDown", columns),
    ]:
        page.keyboard.press(key)
        assert active() == f"scene{expected}", key
    assert page.evaluate("window.chose") == []
    page.keyboard.press("Escape")
    assert not page.locator(".bglab-grid").is_visible()
    page.keyboard.press("Enter")  # the focus is on the button that opens the grid
    page.wait_for_selector(".bglab-grid [role=option]")
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    assert page.evaluate("window.chose") == [f"scene{COUNT - 1}"]
    assert not page.locator(".bglab-grid").is_visible()
    chosen = page.locator(".bglab-strip [aria-selected=true]")
    assert chosen.get_attribute("data-value") == f"scene{COUNT - 1}"
    assert chosen.is_visible()


def test_the_focus_stays_while_the_grid_scrolls_past_it(page):
    open_grid(page)
    page.keyboard.press("ArrowRight")
    page.eval_on_selector(".bglab-grid", "grid => { grid.scrollTop = 9000; }")
    page.wait_for_function("document.querySelectorAll('.bglab-grid [role=option]')[1].place > 1000")
    assert page.evaluate("document.activeElement.dataset.value") == "scene1"


def test_keys_never_reach_the_notebook(page):
    page.evaluate("window.heard = []; document.addEventListener('keydown', (event) => window.heard.push(event.key))")
    open_grid(page)
    for key in ("ArrowDown", "Home", "End", "PageUp", "Escape"):
        page.keyboard.press(key)
    page.get_by_role("searchbox").press("b")
    assert page.evaluate("window.heard") == []
    unmarked = page.locator(".bglab :is(button, input, [role=option]):not([data-lm-suppress-shortcuts])").count()
    assert unmarked == 0


def test_thumbnails_are_requested_when_they_are_visible_the_latest_first(browser):
    page = build(browser, delay=-1)  # nothing is answered until the test does
    open_grid(page)
    asked = page.evaluate("window.asked")
    assert asked == [0, 1]  # so many at a time
    # scrolled past quickly, down to the end: what was in between is never requested
    page.evaluate(
        """async () => {
            const grid = document.querySelector(".bglab-grid");
            for (let i = 0; i <= 40; i++) {
                grid.scrollTop = i / 40 * (grid.scrollHeight - grid.clientHeight);
                await new Promise(requestAnimationFrame);
            }
            for (const sheet of ["0", "1"]) window.strip.showSheet(sheet, new Uint8Array(1));
        }"""
    )
    page.wait_for_function("window.asked.length === 4")
    last = (COUNT - 1) // 48
    assert set(page.evaluate("window.asked.slice(2)")) <= {last, last - 1, last - 2, last - 3}


def test_sheets_that_were_seen_long_ago_are_dropped(page):
    kept = page.evaluate(
        """() => {
            for (let i = 100; i < 400; i++) window.strip.showSheet(String(i), new Uint8Array(1));
            return [...window.strip.loader.urls.keys()];
        }"""
    )
    assert len(kept) <= 200
    assert "399" in kept
    assert "100" not in kept


def test_a_thumbnail_shows_its_part_of_the_sheet(page):
    page.wait_for_function("document.querySelector('[data-value=scene9]').style.background.includes('blob')")
    offset = page.eval_on_selector(".bglab-strip [data-value=scene9]", "one => one.style.backgroundPosition")
    assert offset == "-64px -64px"


@pytest.mark.alone
def test_the_grid_scrolls_at_fifty_frames_per_second(page):
    open_grid(page)
    rates = []
    for step in (40, 120, -120):
        times = scroll_grid(page, 150, step)
        rates.append(1000 * (len(times) - 1) / (times[-1] - times[0]))
    assert statistics.median(rates) >= 50, rates
