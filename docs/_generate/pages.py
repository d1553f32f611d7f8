"""Pages that exist as files: those of `docs/`, the changelog and the images, with links that lead inside the site."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
_SOURCES = frozenset({".md", ".rst", ".ipynb"})


#: Files that this run has written or found as they should be.
_current: set[Path] = set()


def write(path: Path, content: str | bytes) -> None:
    """Write a file unless it is there already: Sphinx reads again what has another time of change."""
    data = content.encode() if isinstance(content, str) else content
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_bytes() != data:
        path.write_bytes(data)
    _current.add(path)


def remove_others(folder: Path) -> None:
    """Remove the files of earlier runs, such as the page of a command that is gone.

    Args:
        folder: Folder of the site's sources, all of which have been written.
    """
    for path in folder.rglob("*"):
        if path.is_file() and path not in _current:
            path.unlink()


def remove_other_pages(site: Path, folder: Path) -> None:
    """Remove HTML pages whose source is gone, which Sphinx leaves.

    Args:
        site: Folder of the site.
        folder: Folder of its sources.
    """
    known = {path.relative_to(folder).with_suffix("") for path in folder.rglob("*") if path.suffix in _SOURCES}
    known |= {Path(name) for name in ("genindex", "search", "py-modindex")}
    for page in site.rglob("*.html"):
        relative = page.relative_to(site)
        if relative.parts[0] not in ("_downloads", "_static") and relative.with_suffix("") not in known:
            page.unlink()


def copy_pages(folder: Path) -> None:
    """Copy what is written by hand.

    Args:
        folder: Folder of the site's sources.
    """
    for page in sorted((ROOT / "docs").glob("*.md")):
        write(folder / page.name, _inside(page.read_text(encoding="utf-8")))
    write(folder / "changelog.md", _inside((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")))
    for name in ("notebooks/images", "docs/slurm"):
        for path in sorted((ROOT / name).iterdir()):
            write(folder / name.removeprefix("docs/") / path.name, path.read_bytes())


def _inside(text: str) -> str:
    """Turn links from `docs/` to the checkout into links inside the site."""
    return re.sub(r"\]\(\.\./", "](", text)
