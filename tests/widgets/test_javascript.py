"""The widgets' JavaScript as it is joined, and the files that pin its tools; `make javascript` checks the rest."""

from __future__ import annotations

import json
import re
import shutil
import subprocess

import pytest

from bglab.widgets.live_widget import module_of
from fixtures import ROOT

FILES = sorted((ROOT / "bglab" / "widgets").glob("*.js"))
IMPORTED = {name for path in FILES for name in re.findall(r'from "\./(.+)";', path.read_text(encoding="utf-8"))}
#: Files that no other one imports: those that a widget's module begins with.
ENTRIES = [path.name for path in FILES if path.name not in IMPORTED]
NODE = shutil.which("node")


def test_views_are_entries_and_their_parts_are_not():
    assert {"explorer.js", "search.js"} <= set(ENTRIES)
    assert not {"view.js", "controls.js", "layout.js"} & set(ENTRIES)


@pytest.mark.parametrize("entry", ENTRIES)
def test_a_joined_module_imports_nothing(entry):
    assert re.findall(r"^import .*", module_of(entry), re.MULTILINE) == []


@pytest.mark.skipif(NODE is None, reason="parses modules by node, which is not installed")
@pytest.mark.parametrize("entry", ENTRIES)
def test_a_joined_module_parses(entry, tmp_path):
    """Two files that declare the same name make it a syntax error."""
    module = tmp_path / "module.mjs"
    module.write_text(module_of(entry), encoding="utf-8")
    checked = subprocess.run([str(NODE), "--check", module], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr


@pytest.mark.skipif(NODE is None, reason="parses modules by node, which is not installed")
def test_a_name_that_two_files_declare_is_found(tmp_path):
    module = tmp_path / "module.mjs"
    module.write_text(f"{module_of('keys.js')}\nconst isShortcut = null;\n", encoding="utf-8")
    checked = subprocess.run([str(NODE), "--check", module], capture_output=True, text=True, check=False)
    assert "isShortcut" in checked.stderr


def test_tools_are_pinned_and_the_lock_file_names_no_host():
    package = json.loads((ROOT / "package.json").read_text())
    # JupyterLab's own scripts in .venv are CommonJS: a type here would be theirs, too
    assert "type" not in package
    lock = json.loads((ROOT / "package-lock.json").read_text())
    assert package["private"] is True
    assert "dependencies" not in package
    wanted = package["devDependencies"]
    assert set(wanted) == {"@biomejs/biome", "typescript"}
    for name, version in wanted.items():
        assert re.fullmatch(r"\d+\.\d+\.\d+", version), name
        assert lock["packages"][f"node_modules/{name}"]["version"] == version
    parts = [part for name, part in lock["packages"].items() if name]
    assert all(part["integrity"].startswith("sha512-") and "resolved" not in part for part in parts)
