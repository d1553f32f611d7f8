"""The pages of the documentation: every test that they name is there."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from fixtures import ROOT

PAGE = ROOT / "docs" / "what_happens_when.md"
ROWS = [
    [cell.strip() for cell in line.strip().strip("|").split(" | ")]
    for line in PAGE.read_text().splitlines()
    if line.startswith("| ") and not line.startswith("| What goes wrong")
]


@cache
def functions(path: str) -> set[str]:
    tree = ast.parse((ROOT / path).read_text())
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row[0][:60])
def test_what_the_page_says_is_held_by_tests(row):
    assert len(row) == 4, row
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", row[3])
    assert named, row[3]
    for path, name in named:
        assert name in functions(path), f"{path} has no {name}"


def test_links_lead_somewhere():
    for page in (PAGE, ROOT / "README.md"):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"
