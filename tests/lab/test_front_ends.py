"""The same widget in Notebook 7 and in Voilà."""

from __future__ import annotations

import numpy as np
import pytest

from fixtures.chromium import open_page
from fixtures.lab import PATIENCE_MS, canvas, jupyter_server, wait_for_answer
from fixtures.notebooks import write_notebook

pytestmark = pytest.mark.browser

CODE = """\
import bglab

scenes = bglab.open_scenes("synthetic9?n=9&size=64")
bglab.explore(scenes, bglab.load_classifier("lite:efficientnet_lite0"), size=64, background="colour:#ff0000")"""

# Notebook 7 shows the status idle even before there is a kernel
_KERNEL_IS_IDLE = """() =>
    document.querySelector(".jp-Notebook-ExecutionIndicator")?.dataset.status === "idle"
    && document.querySelector(".jp-Toolbar-kernelName")?.innerText.includes("Python 3")"""


@pytest.fixture
def folder(tmp_path):
    return write_notebook(tmp_path / "explore.ipynb", CODE).parent


def use(page):
    """Check that the widget appears, and that a slider changes both canvas and result."""
    first = wait_for_answer(page, background="colour:#ff0000")
    before = canvas(page)
    slider = page.locator(".bglab input[name=mix]")
    slider.focus()
    page.keyboard.press("Home")
    now = wait_for_answer(page, mix=0)
    assert (canvas(page) != before).mean() > 0.2
    assert np.abs(np.subtract(first["nine"], now["nine"])).max() > 1e-4


def test_notebook_7(folder):
    with (
        jupyter_server(folder / "home", "notebook", str(folder), path="notebooks/explore.ipynb") as address,
        open_page() as page,
    ):
        page.goto(address, timeout=PATIENCE_MS)
        page.wait_for_selector(".jp-Notebook", timeout=PATIENCE_MS)
        page.wait_for_function(_KERNEL_IS_IDLE, timeout=PATIENCE_MS)
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_text("Run All Cells", exact=True).click()
        use(page)


def test_voila(folder):
    with (
        jupyter_server(folder / "home", "voila", str(folder / "explore.ipynb"), "--token") as address,
        open_page() as page,
    ):
        page.goto(address, timeout=PATIENCE_MS)
        use(page)
        assert page.locator(".bglab-explorer").count() == 1
        assert page.locator("img").count() == 0  # a dashboard shows no snapshot
