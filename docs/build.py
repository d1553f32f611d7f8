"""Build the site: assemble its pages from the checkout and the package, and let Sphinx turn them into HTML.

python docs/build.py [--report FOLDER] [--out FOLDER]      default: build/site; `make docs` calls it
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from pathlib import Path

# the pages are those of this checkout, wherever bglab is installed from
sys.path[:0] = [str(Path(__file__).parent), str(Path(__file__).parents[1])]

from _generate.commands import write_commands
from _generate.figures import example_report
from _generate.notebooks import copy_notebooks
from _generate.pages import ROOT, copy_pages, remove_other_pages, remove_others
from _generate.papers import write_papers
from _generate.reference import write_reference


def assemble(folder: Path, report: Path | None) -> None:
    """Write the site's sources.

    Args:
        folder: Folder to write to; what is there and has not changed is left as it is.
        report: Folder of a report of ``bglab reproduce``, whose figures the pages of the papers show; None for none.
    """
    copy_pages(folder)
    copy_notebooks(folder, folder.parent / "executed")
    write_commands(folder)
    write_reference(folder)
    write_papers(folder, report)
    remove_others(folder)


def main() -> int:
    """Build the site; a warning of Sphinx counts as an error."""
    parser = argparse.ArgumentParser(description="Build the site.")
    parser.add_argument("--out", type=Path, default=ROOT / "build" / "site", help="folder of the site")
    parser.add_argument("--work", type=Path, default=ROOT / "build" / "docs", help="folder of its sources and caches")
    figures = parser.add_mutually_exclusive_group()
    figures.add_argument("--report", type=Path, help="folder of a report of bglab reproduce, whose figures are shown")
    figures.add_argument("--no-figures", action="store_true", help="show none of our figures of the papers")
    options = parser.parse_args()
    started = time.monotonic()
    report = options.report
    if report is None and not options.no_figures:
        report = example_report(options.work / "report")
    assemble(options.work / "source", report)
    sys.stdout.write(f"pages assembled in {time.monotonic() - started:.0f} s\n")
    sys.stdout.flush()
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "--quiet", "-j", "2", "-c", str(ROOT / "docs"),
               "-d", str(options.work / "doctrees"), str(options.work / "source"), str(options.out)]  # fmt: skip
    # sphinx reads the package of this checkout
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    status = subprocess.run(command, check=False, env=os.environ | {"PYTHONPATH": os.pathsep.join(paths)}).returncode
    remove_other_pages(options.out, options.work / "source")
    if status == 0:
        # Sphinx leaves what has not changed; the time of the home page is that of the site
        (options.out / "index.html").touch()
        sys.stdout.write(f"{options.out / 'index.html'}  ({time.monotonic() - started:.0f} s)\n")
    return status


if __name__ == "__main__":
    sys.exit(main())
