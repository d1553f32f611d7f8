"""The live search's view in a plain page: what stays on the screen while it searches and refines."""

from __future__ import annotations

import pytest

import bglab
from bglab.scenes import prepare
from bglab.widgets.messages import greeting
from fixtures.chromium import open_page
from fixtures.plain_page import PlainPage
from fixtures.stand_ins import make_classifier, make_scenes

pytestmark = pytest.mark.browser

SHARE = {"type": "progress", "tried": 40, "total": 50, "running": False, "share": [0.25, 0.14, 0.4]}
REFINED = {
    "type": "refined",
    "running": True,
    "forwards": 32,
    "budget": 200,
    "of": "the background's class",
    "before": 0.41,
    "now": 0.63,
    "hit": True,
    "hit_before": True,
}


@pytest.fixture(scope="module")
def page():
    with open_page() as page:
        yield page


@pytest.fixture
def view(page, data_folder):
    prepared = prepare(make_scenes(), 32, progress=False)
    search = bglab.search_live("scene-3-1", make_classifier(lambda images: images[:, 0, 0, 0].long() * 0), prepared)
    view = PlainPage(page, "search.js", ("explorer.css", "search.css"))
    content = greeting(search._session, {"scene": search.scene, "target": search.target})
    view.hear({"type": "hello", **content, "targets": search._targets})
    search.close()
    return view


def test_the_share_stays_in_sight_while_and_after_refining(view):
    view.hear(SHARE)
    share = "25 % of 40 tried (95 % interval 14 % to 40 %), 10 left"
    line, note = view.page.locator(".bglab-gauge + [role=status]"), view.page.locator(".bglab-refinement")
    assert line.inner_text() == share
    assert note.is_hidden()
    view.page.get_by_role("button", name="Refine the worst").click()
    assert len(view.sent("refine")) == 1
    assert (line.inner_text(), note.inner_text()) == (share, "Trying positions, scales and mixes…")
    view.hear(REFINED)
    assert line.inner_text() == share
    assert "32 of 200 images, probability of the background's class 41.0 % → 63.0 %" in note.inner_text()
    view.hear(REFINED | {"running": False, "forwards": 180})
    assert line.inner_text() == share
    assert note.inner_text().endswith("41.0 % → 63.0 %; fooled before and after")


def test_the_button_stops_a_refinement_and_another_target_forgets_it(view):
    view.hear(SHARE)
    view.page.get_by_role("button", name="Refine the worst").click()
    view.page.get_by_role("button", name="Stop refining").click()
    assert len(view.sent("cancel_refine")) == 1
    view.page.get_by_label("Target of the search").select_option("the background's class")
    assert view.page.get_by_role("button", name="Refine the worst").is_visible()
    view.hear(REFINED | {"running": False})
    assert view.page.locator(".bglab-refinement").is_hidden(), "it was about the target before"
