"""Every command of the README runs, and what it links to is there."""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
import tomllib
import urllib.request
from pathlib import Path

import pytest

from bglab.lab.jupyter import free_port
from fixtures.lab import own_environment

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def commands(block):
    """Split a shell block into its commands, without comments."""
    joined = block.replace("\\\n", " ")
    return [words for line in joined.splitlines() if (words := shlex.split(line, comments=True))]


@pytest.mark.slow
def test_the_shell_commands_run(tmp_path):
    ran = [words for block in blocks("sh") for words in commands(block) if words[0] == "bglab"]
    assert len(ran) >= 5
    for words in ran:
        run = subprocess.run(
            [sys.executable, "-m", *words], cwd=tmp_path, capture_output=True, text=True, check=False, env=os.environ
        )
        assert run.returncode == 0, f"{shlex.join(words)}\n{run.stderr}"
    assert (tmp_path / "R" / "accuracy.csv").is_file()


@pytest.mark.slow
def test_the_python_block_runs(tmp_path):
    (code,) = blocks("python")
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert "mixed_rand" in run.stdout


@pytest.mark.slow
@pytest.mark.alone
def test_make_lab_opens_the_lab(tmp_path):
    if not (ROOT / ".venv" / ".installed").exists():
        pytest.skip("the environment was not made by make")
    command = ["make", "lab", f"PORT={free_port(None)}"]
    lab = subprocess.Popen(
        command, cwd=ROOT, env=own_environment(tmp_path), stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert lab.stdout is not None
    try:
        address = next(line.strip() for line in lab.stdout if line.startswith("http://127.0.0.1:"))
        with urllib.request.urlopen(address, timeout=30) as page:
            assert "JupyterLab" in page.read().decode()
    finally:
        os.killpg(lab.pid, signal.SIGINT)  # as Ctrl-C does
        lab.wait(timeout=60)
        lab.stdout.close()


def test_windows_is_told_the_same_commands():
    """The commands for Linux and macOS run in `test_wheel.py`."""
    (unix,) = blocks("bash")
    (windows,) = blocks("powershell")
    assert windows.replace("\\", "/").replace(".venv/Scripts/", ".venv/bin/").replace("py -m", "python3 -m") == unix


def test_extras_that_are_named_exist():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    for named in re.findall(r"\[([a-z,]+)\]\"", README):
        assert set(named.split(",")) <= set(extras)
    (cell,) = blocks("ipython")
    # Colab has a Jupyter of its own, which an installation of another would break
    assert "[cpu,demo]" in cell


def test_the_make_targets_exist():
    named = {words[1] for block in blocks("sh") for words in commands(block) if words[0] == "make"}
    named |= set(re.findall(r"`make (\w+)`", README))
    makefile = (ROOT / "Makefile").read_text()
    assert {"lab", "test", "notebooks"} <= named
    for target in named:
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        if not target.startswith("http"):
            assert (ROOT / target).exists(), target
