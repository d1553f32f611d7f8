"""What becomes of the explorer when its kernel is frozen, killed or restarted, and which keys reach JupyterLab."""

from __future__ import annotations

import json
import os
import signal
import urllib.parse
import urllib.request

import pytest

from bglab.lab.jupyter import NO_DELAY
from fixtures.chromium import open_page
from fixtures.lab import PATIENCE_MS, canvas, jupyter_server, run_all, wait_for_answer
from fixtures.notebooks import write_notebook

pytestmark = pytest.mark.browser

CODE = """\
import os
from pathlib import Path

import bglab

Path("kernel.pid").write_text(str(os.getpid()))
scenes = bglab.open_scenes("synthetic9?n=9&size=64")
bglab.explore(scenes, bglab.load_classifier("lite:efficientnet_lite0"), size=64, background="colour:#ff0000")"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_notebook(tmp_path_factory.mktemp("restart") / "explore.ipynb", CODE).parent


@pytest.fixture(scope="module")
def address(folder):
    arguments = ["jupyterlab", str(folder), f"--ServerApp.kernel_websocket_connection_class={NO_DELAY}"]
    with jupyter_server(folder / "home", *arguments, path="lab/tree/explore.ipynb") as address:
        yield address


@pytest.fixture(scope="module")
def page(address):
    with open_page(1500, 900) as page:
        page.goto(address, timeout=PATIENCE_MS)
        yield page


@pytest.fixture
def alive(page):
    """Run the cell, unless there is a live explorer."""
    if page.locator(".bglab:not([data-kernel=lost]) .bglab-explorer").count() == 0:
        run_all(page)
        page.wait_for_selector(".bglab:not([data-kernel=lost]) .bglab-explorer", timeout=PATIENCE_MS)
    wait_for_answer(page, background="colour:#ff0000")
    return page


def kernel_pid(folder):
    return int((folder / "kernel.pid").read_text())


def restart(address):
    """Restart the kernel by the server's interface, as another window or a script would."""
    parts = urllib.parse.urlsplit(address)
    base, token = f"http://{parts.netloc}/api/kernels", urllib.parse.parse_qs(parts.query)["token"][0]
    headers = {"Authorization": f"token {token}"}
    with urllib.request.urlopen(urllib.request.Request(base, headers=headers), timeout=10) as reply:
        (kernel,) = json.load(reply)
    request = urllib.request.Request(f"{base}/{kernel['id']}/restart", method="POST", headers=headers)
    urllib.request.urlopen(request, timeout=60).close()


def is_history(page):
    """Check that the widget says that its kernel is gone, is grey, and takes no input."""
    page.wait_for_selector(".bglab[data-kernel=lost]", timeout=PATIENCE_MS)
    assert page.locator(".bglab-notice").inner_text() == "The kernel was restarted: run the cell again."
    assert "grayscale(1)" in page.locator(".bglab-explorer").evaluate("element => getComputedStyle(element).filter")
    controls = page.locator(".bglab-explorer").locator("button, input, select")
    assert controls.count() > 20
    assert controls.evaluate_all("all => all.every((control) => control.disabled)")
    assert page.locator(".bglab-explorer").evaluate("element => element.inert")
    before = canvas(page)
    page.locator(".bglab-image").evaluate("image => image.focus()")
    page.keyboard.press("ArrowRight")
    assert (canvas(page) == before).all()


def test_shortcuts_reach_jupyterlab_and_plain_keys_do_not(alive, folder):
    page, notebook = alive, folder / "explore.ipynb"
    cells = page.locator(".jp-Cell").count()
    saved = notebook.stat().st_mtime_ns
    for control in (".bglab input[name=mix]", ".bglab-image", ".bglab [role=option][tabindex='0']", ".bglab select"):
        page.locator(control).first.focus()
        for key in ("b", "a", "Shift+M", "d", "d", "x", "y"):
            page.keyboard.press(key)
        page.keyboard.press("Control+s")
        for _ in range(100):
            if notebook.stat().st_mtime_ns != saved:
                break
            page.wait_for_timeout(100)
        assert notebook.stat().st_mtime_ns != saved, control
        saved = notebook.stat().st_mtime_ns
        assert page.locator(control).first.get_attribute("data-lm-suppress-shortcuts") == "true"
    assert page.locator(".jp-Cell").count() == cells
    slider = page.locator(".bglab input[name=mix]")
    slider.focus()
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    assert float(slider.input_value()) == pytest.approx(0.01)
    wait_for_answer(page, mix=0.01)
    side = page.locator("#jp-left-stack")
    was_open = side.is_visible()
    slider.focus()
    page.keyboard.press("Control+b")
    page.wait_for_timeout(300)
    assert side.is_visible() != was_open
    slider.focus()
    page.keyboard.press("Control+b")
    page.wait_for_timeout(300)
    slider.focus()
    page.keyboard.press("Control+Shift+c")
    page.wait_for_selector(".jp-ModalCommandPalette:visible, #command-palette:visible")
    page.keyboard.press("Escape")


def test_a_frozen_kernel_is_waited_for(alive, folder):
    page, pid = alive, kernel_pid(folder)
    os.kill(pid, signal.SIGSTOP)
    try:
        slider = page.locator(".bglab input[name=mix]")
        slider.focus()
        page.keyboard.press("Home")
        page.wait_for_selector(".bglab[data-kernel=waiting]", timeout=PATIENCE_MS)
        assert page.locator(".bglab-notice").inner_text() == "Waiting for the kernel…"
        page.wait_for_timeout(1000)
        assert slider.is_enabled()
        assert float(page.locator(".bglab-result").first.evaluate("e => getComputedStyle(e).opacity")) < 1
    finally:
        os.kill(pid, signal.SIGCONT)
    wait_for_answer(page, mix=0)
    assert page.locator(".bglab").get_attribute("data-kernel") == "live"
    assert page.locator(".bglab-notice:visible").count() == 0


def test_a_killed_kernel_leaves_history(alive, folder):
    os.kill(kernel_pid(folder), signal.SIGKILL)
    is_history(alive)
    alive.get_by_role("button", name="Ok", exact=True).click()  # JupyterLab says that the kernel died, too


def test_the_cell_brings_the_explorer_back_and_the_menus_restart_takes_it_away(alive):
    assert alive.locator(".bglab").count() == 1
    alive.get_by_role("menuitem", name="Kernel", exact=True).click()
    alive.get_by_text("Restart Kernel…", exact=True).click()
    alive.get_by_role("button", name="Confirm Kernel Restart").click()
    is_history(alive)


def test_a_restart_from_elsewhere_leaves_history_for_whoever_comes_back(alive, address):
    alive.mouse.move(5, 5)
    restart(address)
    # nothing tells JupyterLab of it, so the widget looks for itself in the kernel when it is next pointed at
    alive.wait_for_timeout(6000)
    box = alive.locator(".bglab-image").bounding_box()
    alive.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    is_history(alive)
