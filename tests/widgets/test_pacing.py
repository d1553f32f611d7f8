"""When the explorer's front end sends requests: at once, one at a time, the latest state only."""

from __future__ import annotations

import pytest

import bglab
from bglab.scenes import prepare
from bglab.widgets.live_widget import module_of
from bglab.widgets.messages import greeting
from fixtures.chromium import open_page
from fixtures.stand_ins import make_classifier, make_scenes

pytestmark = pytest.mark.browser

SIZE = 32

#: Stands in for the kernel: a model that records what a view sends, and answers when it is told to.
PAGE = """async ([source, greeting]) => {
    const url = URL.createObjectURL(new Blob([source], {type: "text/javascript"}));
    const widget = (await import(url)).default;
    const root = document.createElement("div"), listeners = {}, sent = window.sent = [];
    document.body.replaceChildren(root);
    const model = {
        on: (event, callback) => { listeners[event] = callback; }, off: () => {}, get: (name) => greeting.state[name],
        set: () => {}, save_changes: () => {}, send: (message) => { sent.push(message); },
    };
    const reply = (message, buffers = []) => listeners["msg:custom"](message, buffers);
    widget.render({ model, el: root });
    reply({ ...greeting, type: "hello" });
    const planes = [3, 3, 1, 3].map((count) => new DataView(new ArrayBuffer(count * greeting.size ** 2)));
    const layers = sent.find((message) => message.type === "layers");
    reply({ type: "layers", seq: layers.seq, donor: "", donor_label: -1, truth: 0 }, planes);
    window.requests = () => sent.filter((message) => message.type === "inspect");
    window.answer = () => {
        const { seq, state } = window.requests().at(-1);
        const nine = greeting.nine.map(() => 0.1), top = [[0, "dog", 0.1, 0.1]];
        const seen = { prediction: 0, correct: true, captured: false, share: null, map: null, no_map: "none" };
        const results = [{ nine, top, ...seen }], map = new DataView(new ArrayBuffer(0));
        reply({ type: "result", seq, state, results, originals: results, ms: 1, forwards: 1 }, [map]);
    };
    window.fail = () => reply({ type: "error", seq: window.requests().at(-1).seq, text: "no such scene" });
    window.step = (mix) => {
        const slider = root.querySelector("input[name=mix]");
        slider.value = mix;
        slider.dispatchEvent(new Event("input", { bubbles: true }));
    };
    window.wait = (ms) => new Promise((done) => setTimeout(done, ms));
}"""


@pytest.fixture(scope="module")
def browser():
    with open_page() as page:
        page.goto("about:blank")
        yield page


@pytest.fixture
def page(browser, data_folder):
    classifier = make_classifier(lambda images: [0] * len(images))
    explorer = bglab.explore(prepare(make_scenes(), SIZE, progress=False), classifier)
    hello = greeting(explorer._session, explorer.state)
    explorer.close()
    browser.evaluate(PAGE, [module_of("explorer.js"), hello])
    return browser


def test_a_step_after_an_answer_is_sent_at_once(page):
    sent = page.evaluate(
        """() => [0.5, 0.4, 0.3].map((mix) => {
            window.answer();
            window.step(mix);
            return window.requests().at(-1).state.mix;
        })"""
    )
    assert sent == [0.5, 0.4, 0.3]


def test_a_drag_sends_the_latest_state_one_request_at_a_time(page):
    counts, pause, last = page.evaluate(
        """async () => {
            window.answer();
            window.step(0.9);
            const start = performance.now(), counts = [window.requests().length];
            for (const mix of [0.8, 0.7, 0.6]) window.step(mix);
            await window.wait(150);
            counts.push(window.requests().length);
            window.answer();
            window.step(0.5);
            await window.wait(30);
            counts.push(window.requests().length);
            for (const mix of [0.4, 0.3]) window.step(mix);
            window.answer();
            const from = performance.now();
            counts.push(window.requests().length);
            window.step(0.2);
            while (window.requests().length === counts.at(-1)) await window.wait(1);
            return [counts, performance.now() - from, window.requests().at(-1).state.mix];
        }"""
    )
    # nothing while a request is under way; after a slow answer at once, after a quick one not before its turn
    assert counts == [2, 2, 3, 3]
    assert 30 < pause < 1000
    assert last == 0.2


def test_an_error_does_not_hold_up_the_next_request(page):
    sent = page.evaluate(
        """() => {
            window.fail();
            window.step(0.5);
            return window.requests().map((message) => message.state.mix);
        }"""
    )
    assert sent == [1, 0.5]
