"""Sets of thousands in JupyterLab: from the call of `explore` to what is seen."""

from __future__ import annotations

import pytest

from fixtures.chromium import open_page
from fixtures.lab import PATIENCE_MS, jupyter_server, run_all
from fixtures.large import write_large_imagenet, write_large_in9
from fixtures.notebooks import write_notebook

pytestmark = [pytest.mark.browser, pytest.mark.alone]

CODE = """\
import os, time
os.environ["BGLAB_DATA"] = {data!r}
import bglab
import bglab.widgets.explorer
classifier = bglab.load_classifier("lite:efficientnet_lite0")
if {prepares}:
    bglab.prepare(bglab.open_scenes({uri!r}), progress=False)
print("STARTED", int(1000 * time.time()), flush=True)
bglab.explore({uri!r}, classifier)"""

#: Notes when the canvas shows an image, and when a thumbnail does, in milliseconds of the machine's clock.
WATCH = """
window.first = {};
(() => {
    const look = () => {
        const now = Date.now(), canvas = document.querySelector(".bglab-explorer .bglab-image");
        const middle = canvas?.getContext("2d").getImageData(0, canvas.height / 2, canvas.width, 1).data;
        if (middle?.some((level) => level)) window.first.frame ??= now;
        const thumbnails = [...document.querySelectorAll(".bglab-explorer .bglab-thumb")];
        if (thumbnails.some((one) => one.style.background.includes("blob"))) window.first.thumbnail ??= now;
        requestAnimationFrame(look);
    };
    look();
})();
"""


@pytest.fixture(scope="module")
def page_of(tmp_path_factory):
    """Return a function that runs a notebook, and returns its page and milliseconds to what was seen first."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, prepares, uri in (
        ("release", True, f"in9:{write_large_in9(folder / 'in9')}"),
        ("photographs", False, f"imagenet:{write_large_imagenet(folder / 'imagenet')}"),
    ):
        write_notebook(folder / f"{name}.ipynb", CODE.format(data=str(folder / "data"), prepares=prepares, uri=uri))
    with (
        jupyter_server(folder / "home", "jupyterlab", str(folder), path="lab/tree/NAME.ipynb") as address,
        open_page(1280, 1000) as page,
    ):

        def run(name):
            place = f"lab/workspaces/{name}/tree/{name}.ipynb"
            page.goto(address.replace("lab/tree/NAME.ipynb", place), timeout=PATIENCE_MS)
            page.wait_for_selector(".jp-Notebook", timeout=PATIENCE_MS)
            page.evaluate(WATCH)
            run_all(page)
            page.wait_for_function("window.first.frame && window.first.thumbnail", timeout=PATIENCE_MS)
            started = int(page.locator("text=/STARTED \\d+/").last.inner_text().split()[-1])
            return page, {what: when - started for what, when in page.evaluate("window.first").items()}

        yield run


def test_a_prepared_release_opens_in_a_moment(page_of):
    page, first = page_of("release")
    assert first["frame"] < 3000, "it takes a second on a quiet machine"
    assert page.locator(".bglab *").count() < 600
    page.get_by_role("searchbox", name="Search images").fill("fish")
    assert page.get_by_text("450 of 4,050").first.is_visible()
    page.get_by_role("button", name="Grid").first.click()
    page.keyboard.press("End")
    page.keyboard.press("Enter")
    chosen = page.locator(".bglab-strip [aria-selected=true]").first.get_attribute("data-value")
    page.wait_for_function("id => document.querySelector('.bglab').dataset.answered?.includes(id)", arg=chosen)
    # no key reached the notebook
    assert page.locator(".jp-Notebook .jp-Cell").count() == 1


def test_thumbnails_of_photographs_come_before_their_masks(page_of):
    page, first = page_of("photographs")
    assert first["thumbnail"] < 3000
    page.get_by_role("option", name="ILSVRC2012_val_00000003").first.click()
    page.wait_for_function(
        "document.querySelector('.bglab').dataset.answered?.includes('ILSVRC2012_val_00000003')", timeout=PATIENCE_MS
    )
