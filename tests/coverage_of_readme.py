"""Compare the share of lines that the tests ran with the one that the README states; status 1 if it is less.

``make test-all COVERAGE=1`` runs it after the fast tests.
"""

from __future__ import annotations

import io
import re
import sys
from pathlib import Path

import coverage

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    promised = re.search(r"tests run (\d+) % of the package's lines", (ROOT / "README.md").read_text())
    assert promised, "the README does not say which share of the lines the tests run"
    measured = coverage.Coverage(data_file=str(ROOT / ".coverage"), config_file=str(ROOT / "pyproject.toml"))
    measured.load()
    share = measured.report(file=io.StringIO())
    sys.stdout.write(f"the tests run {share:.1f} % of the package's lines; the README says {promised[1]} %\n")
    return int(share < float(promised[1]))


if __name__ == "__main__":
    sys.exit(main())
