"""Notebooks as pages: with the outputs they are kept with, or executed once for each version of their cells."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from _generate.pages import ROOT, write


def copy_notebooks(folder: Path, cache: Path) -> None:
    """Copy the notebooks into the site's sources.

    Args:
        folder: Folder of the site's sources.
        cache: Folder of the notebooks that had to be executed, named by the digest of their cells.

    Raises:
        subprocess.CalledProcessError: If a notebook fails.
    """
    chosen = sorted((ROOT / "notebooks").glob("*.ipynb"))
    for path in chosen:
        text = path.read_text(encoding="utf-8")
        if not _has_outputs(json.loads(text)):
            text = _executed(path, cache)
        write(folder / "notebooks" / path.name, _linked(text, [other.stem for other in chosen]))


def _linked(text: str, names: Sequence[str]) -> str:
    """Turn the names of other notebooks in the text of one into links."""
    notebook = json.loads(text)
    named = re.compile(rf"(?<!\[)`({'|'.join(names)})`")
    for cell in notebook["cells"]:
        if cell["cell_type"] == "markdown":
            cell["source"] = named.sub(r"[`\1`](\1.ipynb)", "".join(cell["source"]))
    return json.dumps(notebook, indent=1, ensure_ascii=False) + "\n"


def _executed(path: Path, cache: Path) -> str:
    """Execute a copy of a notebook as `make notebooks` does, unless one with the same cells is there."""
    cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
    sources = json.dumps([(cell["cell_type"], cell["source"]) for cell in cells])
    kept = cache / hashlib.sha256(sources.encode()).hexdigest()[:16] / path.name
    if not kept.is_file():
        kept.parent.mkdir(parents=True, exist_ok=True)
        unfinished = kept.with_name(f"_{path.name}")
        shutil.copyfile(path, unfinished)
        subprocess.run([sys.executable, str(ROOT / "tests" / "run_notebooks.py"), str(unfinished)], check=True)
        unfinished.rename(kept)
    return kept.read_text(encoding="utf-8")


def _has_outputs(notebook: dict[str, Any]) -> bool:
    return any(cell.get("outputs") for cell in notebook["cells"])
