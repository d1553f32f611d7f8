"""Execute notebooks in place, top to bottom, and keep their outputs without any widget state.

python tests/run_notebooks.py [--jobs N] [NOTEBOOK…]      default: two at a time, all of notebooks/
"""

from __future__ import annotations

import argparse
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
LARGEST_BYTES = 1_000_000
# take minutes; started first, so that none of them runs at the end alone
LONG = ("06_saliency", "10_background_check", "04_adversarial_backgrounds", "13_your_own_model", "02_background_signal")
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
            # places reserved for widgets that are opened later
            cell.outputs = [o for o in cell.outputs if o.get("data") != {"text/plain": ""}]
            if any(_has_image(output) for output in cell.outputs):
                # without its state a live view shows nothing; the image of it does
                cell.outputs = [o for o in cell.outputs if _has_image(o) or WIDGET_VIEW not in o.get("data", {})]
            for output in cell.outputs:
                data = output.get("data", {})
                if _has_image(output):
                    data.pop(WIDGET_VIEW, None)
                if "text/plain" in data:
                    data["text/plain"] = re.sub(r" at 0x[0-9a-f]+>", ">", data["text/plain"])


def _has_image(output: nbformat.NotebookNode) -> bool:
    return any(kind.startswith("image/") for kind in output.get("data", {}))


def _is_progress_bar(output: nbformat.NotebookNode) -> bool:
    data = output.get("data", {})
    return WIDGET_VIEW in data and "%|" in data.get("text/plain", "")


def main() -> None:
    """Run the notebooks named, or all."""
    parser = argparse.ArgumentParser()
    parser.add_argument("notebooks", type=Path, nargs="*", default=sorted(NOTEBOOKS.glob("*.ipynb")))
    # a notebook alone keeps little more than one core busy
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    with ThreadPoolExecutor(options.jobs) as pool:
        in_turn = sorted(options.notebooks, key=lambda path: LONG.index(path.stem) if path.stem in LONG else len(LONG))
        running = {path: pool.submit(execute, path) for path in in_turn}
        try:
            for path, seconds in running.items():
                sys.stdout.write(f"{path.name}: {seconds.result():.1f} s\n")
                sys.stdout.flush()
        except CellExecutionError as problem:
            sys.exit(f"{path.name} failed:\n{problem}")
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


if __name__ == "__main__":
    main()
