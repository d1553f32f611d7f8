"""The lab as a person opens it: a real JupyterLab on loopback, driven in Chromium."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = pytest.mark.browser

ROOT = Path(__file__).resolve().parents[1]
PATIENCE_MS = 60_000


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """Start `bglab lab` and give its address; JupyterLab saves by itself, so put back what it changed."""
    notebook = ROOT / "notebooks" / "00_start_here.ipynb"
    before = notebook.read_bytes()
    home = tmp_path_factory.mktemp("jupyter")
    own = {f"JUPYTER_{kind}_DIR": str(home / kind.lower()) for kind in ("CONFIG", "DATA", "RUNTIME")}
    environment = {name: value for name, value in os.environ.items() if name != "BGLAB_DATA"}
    lab = subprocess.Popen(
        [sys.executable, "-m", "bglab", "lab", "--no-browser"],
        cwd=ROOT,
        env=environment | own,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert lab.stdout is not None
    try:
        lines = []
        while not (lines and lines[-1].startswith("http://127.0.0.1:")):
            line = lab.stdout.readline()
            assert line, "the lab ended before it printed its address"
            lines.append(line.strip())
        yield lines[-1]
    finally:
        lab.send_signal(signal.SIGINT)
        lab.wait(timeout=20)
        lab.stdout.close()
        notebook.write_bytes(before)


@pytest.fixture(scope="module")
def page(address):
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if chromium is None:
        pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"],
        )
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        yield page
        browser.close()


def run_all(page):
    page.wait_for_selector(".jp-Notebook", timeout=PATIENCE_MS)
    page.wait_for_selector("text=Python 3 (ipykernel) | Idle", timeout=PATIENCE_MS)
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_text("Run All Cells", exact=True).click()


def picture(page):
    """Give the address of the picture the widget shows now; its content is part of it."""
    return page.locator(".widget-image").first.evaluate(
        """async image => {
            await image.decode();
            const canvas = document.createElement('canvas');
            [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
            canvas.getContext('2d').drawImage(image, 0, 0);
            const data = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
            let sum = 0;
            for (let i = 0; i < data.length; i += 4) sum += data[i] + 2 * data[i + 1] + 3 * data[i + 2];
            return sum;
        }"""
    )


def wait_for_change(page, before):
    for _ in range(100):
        now = picture(page)
        if now != before:
            return now
        page.wait_for_timeout(100)
    raise AssertionError("the picture did not change within ten seconds")


def test_the_lab_opens_runs_and_reacts(page, address):
    page.goto(address, timeout=PATIENCE_MS)
    run_all(page)
    page.wait_for_selector(".widget-image", state="attached", timeout=PATIENCE_MS)
    page.locator(".widget-image").first.scroll_into_view_if_needed()
    page.wait_for_selector("text=captured by the background", timeout=PATIENCE_MS)
    shown = picture(page)
    background = page.get_by_label("Background")
    background.scroll_into_view_if_needed()
    background.select_option(label="Original")
    page.wait_for_selector("text=✓ right", timeout=PATIENCE_MS)
    original = wait_for_change(page, shown)
    background.select_option(label="Only-FG")
    wait_for_change(page, original)
    handle = page.locator(".noUi-handle").first
    box = handle.bounding_box()
    cut_out = picture(page)
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.down()
    page.mouse.move(box["x"] - 80, box["y"] + box["height"] / 2, steps=8)
    page.mouse.up()
    wait_for_change(page, cut_out)
    if folder := os.environ.get("BGLAB_SCREENSHOTS"):
        background.select_option(label="of vehicle · motorcycle")
        page.mouse.dblclick(box["x"] + 40, box["y"] - 12)
        page.locator(".widget-image").first.scroll_into_view_if_needed()
        page.wait_for_timeout(1500)
        page.screenshot(path=str(Path(folder) / "lab.png"))


def test_the_lab_needs_its_token(page, address):
    page.context.clear_cookies()
    page.goto(address.split("?")[0])
    assert "/login" in page.url
