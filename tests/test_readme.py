"""Every command of the README runs, and what it links to is there."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

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
