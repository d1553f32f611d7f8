"""The desk's view in a plain page: what its list shows, and what it sends, whatever the kernel says."""

from __future__ import annotations

import pytest

from fixtures.chromium import open_page
from fixtures.plain_page import PlainPage

pytestmark = pytest.mark.browser

HELLO = {
    "type": "hello",
    "artefacts": [
        {"id": "nos-table-2", "paper": "nos", "place": "Table 2", "title": "Accuracy and BG-Gap of many networks"},
        {"id": "nos-table-4", "paper": "nos", "place": "Table 4", "title": "Sizes of the test sets"},
        {"id": "nos-figure-5", "paper": "nos", "place": "Figure 5", "title": "Adversarial backgrounds"},
        {"id": "tbc-table-1", "paper": "tbc", "place": "Table 1", "title": "Backgrounds of many networks"},
    ],
    "papers": {"nos": "Noise or Signal", "tbc": "Time for a Background Check!"},
    "sources": ["synthetic9"],
    "settings": {"scenes": "synthetic9", "models": "lite:efficientnet_lite0", "seed": 0, "out": "reproduction"},
    "venues": ["cvpr2024", "icml2024"],
    "widths": ["column", "full"],
    "formats": ["pdf", "svg", "png", "csv", "tex"],
    "state": {"artefact": "nos-table-2", "venue": "cvpr2024"},
}
READY = {"state": "ready", "reason": "", "command": ""}
STATES = {
    "type": "states",
    "states": {
        "nos-table-2": READY,
        "nos-table-4": READY,
        "nos-figure-5": {"state": "needs data", "reason": "the set is not here", "command": "bglab get in9"},
        "tbc-table-1": {"state": "needs training", "reason": "no network was trained", "command": ""},
    },
    "data": "9 scenes, variants composed by bglab",
    "count": 9,
}
STEP = {"title": "original", "done": 32, "total": 180, "unit": "image", "rate": 8.0, "seconds_left": 18.5}
RUNNING = {"type": "progress", "id": "nos-table-4", "running": True, "steps": [STEP]}
IDLE = {"type": "progress", "id": "", "running": False, "steps": []}


def artefact(name, **changes):
    """Return the kernel's message about an artefact that was not made."""
    listed = next(each for each in HELLO["artefacts"] if each["id"] == name)
    texts = dict.fromkeys(("about", "work", "status", "chip", "reason", "command", "data"), "")
    lists = {kind: [] for kind in ("needs", "models", "notes", "contradictions")}
    tables = {"published": None}
    return {"type": "artefact", **listed, **texts, **lists, "n": None, "predictions": None, "tables": tables} | changes


@pytest.fixture(scope="module")
def page():
    with open_page() as page:
        problems = []
        page.on("pageerror", lambda problem: problems.append(str(problem)))
        yield page
        assert problems == []


@pytest.fixture
def view(page):
    view = PlainPage(page, "desk.js", ("explorer.css", "strip.css", "desk.css"), artefact="nos-table-2")
    view.hear(HELLO)
    view.hear(artefact("nos-table-2"))
    view.hear(STATES)
    return view


def statuses(**of):
    return {"type": "statuses", "statuses": {name.replace("_", "-"): [status, status] for name, status in of.items()}}


def listed(view):
    return [item.get_attribute("data-id") for item in view.page.locator(".bglab-desk-item").all()]


def chosen(view):
    return [item.get_attribute("data-id") for item in view.page.locator("[aria-selected=true]").all()]


def named(view, name):
    return view.page.get_by_role("button", name=name, exact=True)


def last_sent(view, kind):
    *_, message = view.sent(kind)
    return {name: value for name, value in message.items() if name not in {"type", "view"}}


def test_the_list_is_filtered_by_words_and_state(view):
    search, state = view.page.get_by_label("Search tables and figures"), view.page.get_by_label("Filter by state")
    count = view.page.locator(".bglab-desk-filter [role=status]")
    assert (listed(view), count.inner_text()) == ([each["id"] for each in HELLO["artefacts"]], "4")
    search.fill("NETWORKS many")
    assert (listed(view), count.inner_text()) == (["nos-table-2", "tbc-table-1"], "2 of 4")
    assert view.page.locator(".bglab-desk-paper").all_inner_texts() == list(HELLO["papers"].values())
    state.select_option("needs training")
    assert listed(view) == ["tbc-table-1"]
    assert view.page.locator(".bglab-desk-paper").all_inner_texts() == ["Time for a Background Check!"]
    state.select_option("needs data")
    assert (listed(view), count.inner_text()) == ([], "0 of 4")
    assert "No such table or figure" in view.page.locator(".bglab-desk-list").inner_text()
    search.fill("")
    assert listed(view) == ["nos-figure-5"]
    state.select_option("done")
    assert listed(view) == []
    view.hear(statuses(nos_table_4="reproduced", tbc_table_1="stopped"))
    assert listed(view) == ["nos-table-4"], "what is done comes into the list, what was stopped is not done"


def test_arrow_keys_choose_and_ask_for_the_choice(view):
    before = len(view.sent("select"))
    view.page.locator("[aria-selected=true]").focus()
    view.page.keyboard.press("ArrowUp")
    assert (chosen(view), len(view.sent("select"))) == (["nos-table-2"], before), "nothing is above the first"
    view.page.keyboard.press("ArrowDown")
    view.page.keyboard.press("ArrowDown")
    assert chosen(view) == ["nos-figure-5"]
    assert [message["id"] for message in view.sent("select")[before:]] == ["nos-table-4", "nos-figure-5"]
    assert view.page.evaluate("document.activeElement.dataset.id") == "nos-figure-5"
    view.page.keyboard.press("End")
    assert last_sent(view, "select") == {"id": "tbc-table-1"}
    view.page.keyboard.press("Home")
    assert last_sent(view, "select") == {"id": "nos-table-2"}
    view.page.get_by_label("Search tables and figures").fill("networks")
    view.page.locator("[aria-selected=true]").focus()
    view.page.keyboard.press("ArrowDown")
    assert last_sent(view, "select") == {"id": "tbc-table-1"}, "the keys move among those that are shown"


def test_a_late_reply_about_another_artefact_is_not_shown(view):
    view.page.locator("[data-id=nos-table-4]").click()
    view.hear(artefact("nos-table-2", title="Too late"))
    view.hear(artefact("nos-table-4"))
    assert view.page.locator(".bglab-desk-detail h2").inner_text() == "Table 4: Sizes of the test sets"


def test_what_is_missing_is_said_with_its_remedy_and_cannot_be_run(view):
    assert named(view, "Run").is_enabled()
    view.page.locator("[data-id=nos-figure-5]").click()
    view.hear(artefact("nos-figure-5"))
    assert view.page.locator(".bglab-desk-state").inner_text().split("\n")[0] == "needs data the set is not here"
    assert view.page.locator(".bglab-desk-state code").inner_text() == "bglab get in9"
    assert named(view, "Run").is_disabled()


def test_nothing_can_be_run_while_another_artefact_runs(view):
    assert view.page.locator(".bglab-desk-progress").is_hidden()
    view.hear(RUNNING)
    assert named(view, "Run").is_disabled()
    assert named(view, "Run all shown").is_disabled()
    assert view.page.locator(".bglab-running").get_attribute("data-id") == "nos-table-4"
    words = view.page.locator(".bglab-desk-progress").inner_text()
    assert "Making Table 4" in words
    assert "32 of 180 images, 8 images/s, 19 s left" in words
    assert view.sent("idle") == []
    view.hear(IDLE)
    assert named(view, "Run").is_enabled()
    assert named(view, "Run all shown").is_enabled()
    assert view.page.locator(".bglab-desk-progress").is_hidden()
    assert view.page.locator(".bglab-running").count() == 0
    assert len(view.sent("idle")) == 1, "now the kernel has time to draw the snapshot"


def test_only_the_latest_steps_are_shown(view):
    view.hear(RUNNING | {"steps": [STEP | {"title": f"step {i}"} for i in range(9)]})
    steps = view.page.locator(".bglab-desk-step > span:first-child")
    assert steps.all_inner_texts() == [f"step {i}" for i in range(3, 9)]
    assert "3 more steps done" in view.page.locator(".bglab-desk-progress").inner_text()


def test_a_run_is_stopped_and_goes_on(view):
    named(view, "Run").click()
    assert last_sent(view, "run") == {"ids": ["nos-table-2"]}
    view.hear(RUNNING | {"id": "nos-table-2"})
    named(view, "Stop").click()
    assert len(view.sent("stop")) == 1
    view.hear(RUNNING | {"id": "nos-table-2", "steps": [STEP | {"done": 48}]})
    assert named(view, "Stopping…").is_visible(), "until the part that is being computed is done"
    view.hear({"type": "stopping"})
    view.hear(IDLE)
    view.hear(statuses(nos_table_2="stopped"))
    assert view.page.locator("[data-id=nos-table-2] .bglab-desk-chip").inner_text() == "stopped"
    assert named(view, "Run").count() == 0
    named(view, "Resume").click()
    assert last_sent(view, "run") == {"ids": ["nos-table-2"]}
    view.hear(RUNNING | {"id": "nos-table-2"})
    assert named(view, "Stop").is_visible()
    view.hear(IDLE)
    view.hear(statuses(nos_table_2="reproduced"))
    assert named(view, "Run again").is_enabled()


def test_a_press_of_stop_counts_while_progress_comes_in(view):
    view.hear(RUNNING)
    named(view, "Stop").hover()
    view.page.mouse.down()
    view.hear(RUNNING | {"steps": [STEP | {"done": 48}]})
    view.page.mouse.up()
    assert len(view.sent("stop")) == 1


def test_the_arrow_keys_go_on_after_news_of_the_kernel(view):
    view.page.locator("[aria-selected=true]").focus()
    view.hear(statuses(nos_table_4="reproduced"))
    view.page.keyboard.press("ArrowDown")
    assert last_sent(view, "select") == {"id": "nos-table-4"}


def test_images_of_other_scenes_are_not_left_to_choose_from(view):
    images = {"scenes": [["scene-0-0", 0, 0]], "class_names": ["dog"], "thumb": 48, "per_sheet": 10, "per_row": 5}
    view.hear({"type": "images", **images})
    assert view.page.locator(".bglab-desk-images [role=option]").get_attribute("data-value") == "scene-0-0"
    view.page.get_by_label("Scenes", exact=True).fill("synthetic9?n=18")
    named(view, "Use these").click()
    chosen_data = {"scenes": "synthetic9?n=18", "models": "lite:efficientnet_lite0", "seed": 0}
    assert last_sent(view, "choose") == chosen_data
    view.hear(HELLO | {"settings": HELLO["settings"] | chosen_data})
    view.hear(artefact("nos-table-2"))
    assert view.page.locator(".bglab-desk-images [role=option]").count() == 0
    assert view.page.get_by_label("Scenes", exact=True).input_value() == "synthetic9?n=18"


def test_an_error_of_the_kernel_keeps_the_rest_usable(view):
    named(view, "Test images").click()
    assert view.page.locator(".bglab-foot").inner_text() == "Opening images…"
    view.hear({"type": "error", "text": "expected an image, got a broken file"})
    alert = view.page.locator(".bglab-error")
    assert "expected an image, got a broken file" in alert.inner_text()
    assert view.page.locator(".bglab-foot").inner_text() == ""
    view.page.locator("[data-id=nos-table-4]").click()
    view.hear(artefact("nos-table-4"))
    assert view.page.locator(".bglab-desk-detail h2").inner_text() == "Table 4: Sizes of the test sets"
    named(view, "Run").click()
    assert last_sent(view, "run") == {"ids": ["nos-table-4"]}
    assert alert.is_hidden(), "it was about what was tried before"


def test_the_predictions_are_browsed_once_they_are_made(view):
    assert named(view, "Images behind it").is_disabled()
    made = {"status": "other data", "chip": "other data"}
    view.hear(artefact("nos-table-2", predictions=1440, **made))
    named(view, "Images behind it").click()
    assert last_sent(view, "browse") == {"id": "nos-table-2"}
    assert named(view, "Images behind it").get_attribute("title").startswith("The 1,440 predictions")
    view.hear({"type": "browsed"})
    assert view.page.locator(".bglab-foot").inner_text() == "The predictions are below"
    view.hear(artefact("nos-table-2", predictions=0, **made))
    assert named(view, "Images behind it").count() == 0, "it is made from none"


def test_all_shown_that_can_be_made_are_run(view):
    view.page.get_by_label("Search tables and figures").fill("networks")
    named(view, "Run all shown").click()
    assert last_sent(view, "run") == {"ids": ["nos-table-2"]}
    view.page.get_by_label("Search tables and figures").fill("")
    named(view, "Run all shown").click()
    assert last_sent(view, "run") == {"ids": ["nos-table-2", "nos-table-4"]}
    view.page.get_by_label("Filter by state").select_option("needs data")
    named(view, "Run all shown").click()
    assert len(view.sent("run")) == 2
    assert view.page.locator(".bglab-foot").inner_text().startswith("None of these can be made")


def test_a_table_shows_bold_numbers_and_intervals(view):
    cells = {
        "columns": ["test", "top-1"],
        "rows": [["Original", "96.3 [95.1, 97.2]"], ["Mixed-Rand", "73.3"]],
        "right": [False, True],
        "bold": [[False, True], [False, False]],
    }
    made = {"status": "other data", "chip": "other data", "reason": "of other scenes", "data": "synthetic9"}
    view.hear(
        artefact("nos-table-2", **made, n=[180, 4050], models=["lite"], tables={"published": None, "ours": cells})
    )
    table = view.page.get_by_role("region", name="Ours", exact=True)
    assert table.locator("tbody tr").all_inner_texts() == ["Original\t96.3 [95.1, 97.2]", "Mixed-Rand\t73.3"]
    assert table.locator("td b").all_inner_texts() == ["96.3"]
    assert table.locator("td small").all_inner_texts() == [" [95.1, 97.2]"]
    assert table.locator(".bglab-number").all_inner_texts() == ["top-1", "96.3 [95.1, 97.2]", "73.3"]
    assert view.page.get_by_role("region", name="The paper prints").count() == 0
    assert "synthetic9 · n = 180 to 4,050 · lite" in view.page.locator(".bglab-desk-outcome").inner_text()


def test_news_of_a_run_before_the_greeting_waits_for_it(page):
    view = PlainPage(page, "desk.js", ("explorer.css", "strip.css", "desk.css"), artefact="nos-table-2")
    for early in (RUNNING, statuses(nos_table_4="reproduced"), STATES, artefact("nos-table-2")):
        view.hear(early)
    assert page.locator(".bglab").inner_text() == "Loading…"
    view.hear(HELLO)
    view.hear(RUNNING)
    assert page.locator(".bglab-desk-progress").inner_text().startswith("Making Table 4")
