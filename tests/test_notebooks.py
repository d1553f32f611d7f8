"""Notebooks stay thin, small, executed and free of errors; `make notebooks` runs them."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

NOTEBOOKS = sorted((Path(__file__).resolve().parents[1] / "notebooks").glob("*.ipynb"))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


@pytest.fixture
def notebook(path):
    import nbformat  # takes 2 s, for the JSON schema of every URL format

    return nbformat.read(path, as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def texts_of(notebook):
    """Return all sources and outputs but images, in whose base64 a short path may occur by chance."""
    shown = [output for cell in code_cells(notebook) for output in cell.outputs]
    data = [text for output in shown for kind, text in output.get("data", {}).items() if not kind.startswith("image/")]
    streams = [output.text for output in shown if "text" in output]
    texts = [str(text) for text in (*(cell.source for cell in notebook.cells), *data, *streams)]
    return [re.sub(r"data:image/[\w+;,/=]+", "", text) for text in texts]


def test_names_are_numbered_in_reading_order():
    assert NOTEBOOKS
    assert all(re.fullmatch(r"\d\d_[a-z_]+", path.stem) for path in NOTEBOOKS)


def test_every_cell_was_executed_without_error(notebook):
    import nbformat

    nbformat.validate(notebook)
    counts = [cell.execution_count for cell in code_cells(notebook)]
    assert counts == list(range(1, len(counts) + 1))
    assert not [o for cell in code_cells(notebook) for o in cell.outputs if o.output_type == "error"]


def test_cells_are_thin(notebook):
    for cell in code_cells(notebook):
        tree = ast.parse(cell.source)
        assert len(cell.source.splitlines()) <= 14, cell.source
        definitions = (ast.FunctionDef, ast.ClassDef, ast.AsyncFunctionDef)
        assert not [node for node in ast.walk(tree) if isinstance(node, definitions)], cell.source
        assert "%" not in {line.lstrip()[:1] for line in cell.source.splitlines()}, "no magics"


def test_notebooks_are_small_and_hold_no_widget_state(path, notebook):
    assert path.stat().st_size < 1_000_000
    assert "widgets" not in notebook.metadata
    for words in texts_of(notebook):
        assert str(Path.home()) not in words
        assert str(path.parents[1]) not in words


def test_outputs_have_no_ids_that_change_from_run_to_run(notebook):
    """Tables of `bglab.analysis.styled` have a fixed one."""
    assert not [words for words in texts_of(notebook) if re.search(r"\bT_[0-9a-f]{5}\b", words)]


def test_the_data_shown_is_named(notebook):
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    assert notebook.cells[0].source.startswith("# ")
    assert "pip packages" in text
