"""The pages of the documentation: every test that they name is there, links lead somewhere, and counts are right."""

from __future__ import annotations

import ast
import re
from functools import cache

import pytest

from bglab.papers import Amount, amount_of, catalogue, jobs_of
from bglab.papers.work import FULL_SIZES
from fixtures import ROOT

ARITHMETIC = (ROOT / "docs" / "arithmetic.md").read_text()
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
    for page in (*(ROOT / "docs").glob("*.md"), ROOT / "README.md"):
        for target in re.findall(r"\]\((?!http|#)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_counts_of_the_arithmetic_are_those_of_the_artefacts():
    known = catalogue()
    rows = {
        name: count for name, count in re.findall(r"^((?:nos|tbc)-\S+) +([\d,]+|–)  ", ARITHMETIC, flags=re.MULTILINE)
    }
    assert len(rows) >= 5
    for name, count in rows.items():
        jobs = [job for job in jobs_of(known[name].work) if job.kind != "train"]
        forwards = sum(map(amount_of, jobs), Amount()).forwards
        assert count == (f"{forwards:,}" if forwards else "–"), name


def test_the_sizes_of_the_arithmetic_are_those_that_are_planned_with():
    counted = ARITHMETIC[ARITHMETIC.index("## Counts") : ARITHMETIC.index("## Formulas")]
    for size in FULL_SIZES.values():
        assert f"{size.images:,}" in counted, size.title
