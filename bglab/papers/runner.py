"""Make artefacts one after the other; a failure is recorded and does not stop the others."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from bglab.errors import EXPECTED_ERRORS
from bglab.figures import theme
from bglab.papers.artefact import Artefact, Outcome, Product, assess, first_missing
from bglab.papers.exporting import FORMATS, data_text, export_product
from bglab.papers.missing import TimeLimitReached
from bglab.scenes import Recognition

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

_LOG = logging.getLogger(__name__)
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
    for kind in FORMATS:
        (reproduction.settings.out / f"{artefact.id}.{kind}").unlink(missing_ok=True)
    try:
        missing = first_missing(artefact, reproduction)
        if missing is not None:
            return Outcome(artefact, "not run", missing.reason, missing.command)
        with theme(reproduction.settings.venue, reproduction.settings.width):
            product = artefact.make(reproduction)
            files = _write_files(artefact, product, reproduction)
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


def _write_files(artefact: Artefact, product: Product, reproduction: Reproduction) -> tuple[str, ...]:
    """Write the figure and the table in all formats; return the file names."""
    settings = reproduction.settings
    product = replace(product, data=data_text(artefact, reproduction))
    return export_product(artefact, product, settings.out, venue=settings.venue, width=settings.width)
