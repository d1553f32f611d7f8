"""Pages that exist as files: those of `docs/`, the changelog and the images, with links that lead inside the site."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def write(path: Path, text: str) -> None:
    """Write a page unless it is there already: Sphinx reads again what has another time of change."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def copy_pages(folder: Path) -> None:
    """Copy what is written by hand.

    Args:
        folder: Folder of the site's sources.
    """
    for page in sorted((ROOT / "docs").glob("*.md")):
        write(folder / page.name, _inside(page.read_text(encoding="utf-8")))
    write(folder / "changelog.md", _inside((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    for name in ("notebooks/images", "docs/slurm"):
        target = folder / name.removeprefix("docs/")
        shutil.copytree(ROOT / name, target, dirs_exist_ok=True)


def _inside(text: str) -> str:
    """Turn links from `docs/` to the checkout into links inside the site."""
    return re.sub(r"\]\(\.\./", "](", text)
