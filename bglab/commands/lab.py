"""`bglab lab` and `bglab doctor`: start, and say what keeps the lab from starting."""

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
        help="put the notebooks here, except over changed ones, and open them (default: the checkout's notebooks, or "
        "bglab-notebooks without a checkout)",
    )
    lab.add_argument("--port", type=int, help="default: the first free one from 8888 on")
    lab.add_argument("--no-browser", action="store_true", help="only print the address")
    command(verbs, "doctor", run_doctor)


def run_lab(options: argparse.Namespace) -> int:
    """Open JupyterLab on the notebooks."""
    from bglab.lab import run_lab as start

    return start(options.folder, port=options.port, open_browser=not options.no_browser)


def run_doctor(options: argparse.Namespace) -> int:
    """Report on this machine; status 1 if the lab cannot run."""
    from bglab.lab import examine

    findings = examine()
    width = max(len(f.what) for f in findings)
    for finding in findings:
        print(f"{finding.what:<{width}}  {finding.state}{f'  → {finding.remedy}' if finding.remedy else ''}")
    lacking = [f for f in findings if f.needed]
    for finding in lacking:
        print_error(f"the lab cannot run without {finding.what}; {finding.remedy}")
    return 1 if lacking else 0
