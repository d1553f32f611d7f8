"""`bglab lab` and `bglab doctor`: start the lab, and report what keeps it from starting."""

from __future__ import annotations

import argparse
from pathlib import Path

from bglab.commands._options import command, print_error


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `lab` and `doctor`."""
    lab = command(verbs, "lab", run_lab)
    lab.add_argument(
        "folder",
        nargs="?",
        type=Path,
        metavar="FOLDER",
        help="folder to copy the notebooks to and open, without overwriting edited ones (default: the checkout's "
        "notebooks, or without a checkout bglab-notebooks)",
    )
    lab.add_argument("--port", type=int, help="port to listen on (default: the first free one from 8888 on)")
    lab.add_argument("--no-browser", action="store_true", help="print the address without opening a browser")
    command(verbs, "doctor", run_doctor)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab with the notebooks."""
    from bglab.lab import run_lab as start

    return start(options.folder, port=options.port, open_browser=not options.no_browser)


def run_doctor(options: argparse.Namespace) -> int:
    """Check this installation; exit with status 1 if the lab cannot run."""
    from bglab.lab import examine

    findings = examine()
    width = max(len(f.what) for f in findings)
    for finding in findings:
        print(f"{finding.what:<{width}}  {finding.state}{f'  → {finding.remedy}' if finding.remedy else ''}")
    problems = [f for f in findings if f.needed]
    for finding in problems:
        print_error(f"the lab cannot run without {finding.what}; {finding.remedy}")
    return 1 if problems else 0
