"""Make artefacts one after the other; a failure is recorded and does not stop the others."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bglab.analysis import to_csv, to_latex
from bglab.errors import EXPECTED_ERRORS
from bglab.figures import save, theme
from bglab.files import write_text
from bglab.papers.artefact import Artefact, Outcome, Product, assess, first_missing
from bglab.papers.missing import TimeLimitReached
from bglab.scenes import Recognition

if TYPE_CHECKING:
    from pathlib import Path

    from bglab.papers.reproduction import Reproduction

_LOG = logging.getLogger(__name__)
_ENDINGS = (".pdf", ".png", ".csv", ".tex")
_NO_DATA = Recognition("recognised", "no images are used")
_AGAIN = "bglab reproduce with the same arguments"


def run(
    artefacts: Sequence[Artefact], reproduction: Reproduction, *, callback: Callable[[Outcome], None] | None = None
) -> list[Outcome]:
    """Make artefacts and write their files into the output folder.

    Args:
        artefacts: The artefacts, made in this order.
        reproduction: Scenes, models and settings.
        callback: Called with each outcome as soon as it is known.

    Returns:
        One outcome per artefact, in order.
    """
    outcomes = []
    for artefact in artefacts:
        outcome = run_one(artefact, reproduction)
        outcomes.append(outcome)
        if callback is not None:
            callback(outcome)
    return outcomes


def run_one(artefact: Artefact, reproduction: Reproduction) -> Outcome:
    """Make one artefact and record errors in its outcome; files of an earlier run are removed first."""
    for ending in _ENDINGS:
        (reproduction.settings.out / f"{artefact.id}{ending}").unlink(missing_ok=True)
    try:
        missing = first_missing(artefact, reproduction)
        if missing is not None:
            return Outcome(artefact, "not run", missing.reason, missing.command)
        with theme():
            product = artefact.make(reproduction)
            files = _write_files(artefact, product, reproduction.settings.out)
        recognised = reproduction.recognised(artefact.papers_data) if artefact.uses_data else _NO_DATA
        assessed = assess(artefact, product, recognised, reproduction.conditions(recognised))
    except TimeLimitReached as problem:
        return Outcome(artefact, "not run", str(problem), _AGAIN)
    except EXPECTED_ERRORS as problem:
        return Outcome(artefact, "failed", str(problem))
    except Exception as problem:  # noqa: BLE001 - the other artefacts are still made, and the report shows the error
        _LOG.debug("%s failed:\n%s", artefact.id, traceback.format_exc())
        return Outcome(artefact, "failed", f"{type(problem).__name__}: {problem}")
    data = reproduction.data if artefact.uses_data else "no images are used"
    return Outcome(
        artefact, assessed.status, assessed.reason, product=assessed.product, data=data, files=files,
        tally=assessed.tally,
    )  # fmt: skip


def _write_files(artefact: Artefact, product: Product, folder: Path) -> tuple[str, ...]:
    """Write the figure as PDF and PNG, and the table as CSV and LaTeX; return the file names."""
    names = []
    if product.figure is not None:
        for ending in (".pdf", ".png"):
            names.append(save(product.figure, folder / f"{artefact.id}{ending}").name)
    texts = {".csv": to_csv(_flat(product.table)), ".tex": _latex(artefact, product)}
    for ending, text in texts.items():
        path = folder / f"{artefact.id}{ending}"
        names.append(write_text(path, text, what=f"the table {artefact.id}", remedy="choose another --out").name)
    return tuple(names)


def _latex(artefact: Artefact, product: Product) -> str:
    shown = product.table if product.shown is None else product.shown
    count = product.n
    behind = f" ($n = {count[0]}$)" if count and count[0] == count[1] else ""
    caption = f"{artefact.title} (after {artefact.place}){behind}."
    return to_latex(shown, caption=caption, label=f"tab:{artefact.id}", bold=product.bold)


def _flat(table: pd.DataFrame) -> pd.DataFrame:
    """Drop an unnamed index, which only numbers the rows."""
    return table if table.index.name else table.reset_index(drop=True)
