"""Execute notebooks in place, top to bottom, and keep their outputs without any widget state.

python tests/run_notebooks.py [NOTEBOOK…]      default: all of notebooks/
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LARGEST_BYTES = 1_000_000
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> float:
    """Run one notebook and write it back; give the seconds it took.

    Raises:
        CellExecutionError: If a cell fails.
        SystemExit: If the executed notebook is too large to track.
    """
    started = time.monotonic()
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=1800,
        kernel_name="python3",
        store_widget_state=False,
        record_timing=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    tidy(notebook)
    text = nbformat.writes(notebook) + "\n"
    if len(text) > LARGEST_BYTES:
        sys.exit(f"{path.name} would be {len(text):,} bytes, over {LARGEST_BYTES:,}; show fewer or smaller images")
    path.write_text(text)
    return time.monotonic() - started


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from run to run, so that a diff shows changed results only."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    for number, cell in enumerate(notebook.cells):
        cell.id = f"cell-{number:02d}"
        if cell.cell_type == "code":
            cell.metadata = {}
            # progress bars and log lines on stderr are not results
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr" and not _is_progress_bar(o)]
            for output in cell.outputs:
                if any(kind.startswith("image/") for kind in output.get("data", {})):
                    # without its state a live view shows nothing; the image of it does
                    output.data.pop(WIDGET_VIEW, None)


def _is_progress_bar(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and "%|" in data.get("text/plain", "")


def main() -> None:
    """Run the notebooks named, or all."""
    named = [Path(name) for name in sys.argv[1:]]
    for path in named or sorted(NOTEBOOKS.glob("*.ipynb")):
        try:
            seconds = execute(path)
        except CellExecutionError as problem:
            sys.exit(f"{path.name} failed:\n{problem}")
        sys.stdout.write(f"{path.name}: {seconds:.1f} s\n")


if __name__ == "__main__":
    main()
