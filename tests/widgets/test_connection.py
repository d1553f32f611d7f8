"""Whether a view notices that its kernel is gone, and tells that from one that is busy; which keys are shortcuts."""

from __future__ import annotations

import pytest

import bglab
from bglab.scenes import prepare
from bglab.widgets.live_widget import module_of
from fixtures.pages import show, wait_for
from fixtures.stand_ins import make_classifier, make_scenes

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), 32, progress=False)


@pytest.fixture
def page(browser, prepared):
    widget = bglab.explore(
        prepared, make_classifier(lambda images: images.long().sum((1, 2, 3)) % 9), scene="scene-3-1"
    )
    page = browser.new_page(viewport={"width": 1080, "height": 780})
    show(page, widget)
    wait_for(page, scene="scene-3-1")
    page.wait_for_timeout(200)
    yield page
    page.close()
    widget.close()


def move_a_slider(page):
    page.locator("input[name=mix]").focus()
    page.keyboard.press("Home")


def wait_for_kernel(page, state):
    page.wait_for_selector(f".bglab[data-kernel={state}]", timeout=15_000)


def is_closed(page):
    controls = page.locator(".bglab-explorer").locator("button, input, select")
    return controls.evaluate_all("all => all.every((control) => control.disabled)")


def test_a_restart_that_the_widget_manager_knows_of_closes_the_view(page):
    page.evaluate("window.emit('comm_live_update')")
    wait_for_kernel(page, "lost")
    assert page.locator(".bglab-notice").inner_text() == "The kernel was restarted: run the cell again."
    assert is_closed(page)
    sent = page.evaluate("window.sent.length")
    page.locator(".bglab-image").dispatch_event("keydown", {"key": "ArrowRight"})
    page.wait_for_timeout(300)
    assert page.evaluate("window.sent.length") == sent


@pytest.mark.parametrize("status", ["restarting", "autorestarting", "terminating", "dead"])
def test_the_end_of_the_kernel_closes_the_view(page, status):
    page.evaluate("status => window.kernelStatus(status)", status)
    wait_for_kernel(page, "lost")


def test_a_comm_that_takes_no_message_closes_the_view(page):
    page.evaluate("window.kernelIs = 'closed'")
    move_a_slider(page)
    wait_for_kernel(page, "lost")


def test_a_busy_kernel_is_waited_for_and_its_answer_ends_the_wait(page):
    page.evaluate("window.kernelIs = 'busy'")
    move_a_slider(page)
    wait_for_kernel(page, "waiting")
    assert page.locator(".bglab-notice").inner_text() == "Waiting for the kernel…"
    assert not is_closed(page)
    page.evaluate("window.kernelIs = 'there'")
    page.get_by_role("radio", name="Noise").click()
    wait_for_kernel(page, "live")
    assert page.locator(".bglab-notice").is_hidden()


def test_a_kernel_that_answers_but_lacks_the_widget_was_restarted(page):
    page.evaluate("Object.assign(window, {kernelIs: 'busy', comms: {another: {}}})")
    move_a_slider(page)
    wait_for_kernel(page, "lost")
    page.evaluate("Object.assign(window, {kernelIs: 'there'})")
    page.evaluate("window.emit('msg:custom', {type: 'pong'}, [])")  # it was there after all
    wait_for_kernel(page, "live")
    assert not is_closed(page)


def test_keys_with_ctrl_or_cmd_are_shortcuts_and_plain_keys_are_not(page):
    fields = """
        const field = document.createElement("input"), range = document.createElement("input");
        range.type = "range";
        export const ask = (keys, isText) => isShortcut({...keys, target: isText ? field : range});"""
    source = module_of("keys.js") + fields
    ask = """async ([source, keys, isText]) => {
        const module = await import(URL.createObjectURL(new Blob([source], {type: "text/javascript"})));
        return module.ask(keys, isText);
    }"""

    def is_shortcut(key, *modifiers, text=False):
        return page.evaluate(ask, [source, {"key": key, **dict.fromkeys(modifiers, True)}, text])

    assert is_shortcut("s", "ctrlKey")
    assert is_shortcut("s", "metaKey", text=True)
    assert is_shortcut("C", "ctrlKey", "shiftKey")
    assert is_shortcut("Enter", "shiftKey")
    assert is_shortcut("Escape")
    assert not is_shortcut("Enter")
    assert not is_shortcut("M", "shiftKey")
    assert not is_shortcut("ArrowRight")
    assert not is_shortcut("v", "ctrlKey", text=True)  # pastes into the field
