"""What a reproduction consists of: artefacts, what each needs, what it gives, and the status on it.

An artefact is a table or figure of a paper. It makes a `Product` from a workbench (`bglab.papers.reproduction`) and
never judges itself: `status_of` holds the product against the printed numbers, in one place and by one rule.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bglab.analysis import published

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

from bglab.papers.missing import Missing

State = Literal["ready", "needs training", "needs data"]
Status = Literal["reproduced", "differs", "other data", "other models", "not compared", "not run", "failed"]

#: What each status means, for the report.
STATUSES: dict[Status, str] = {
    "reproduced": "every printed number that was compared lies in our 95 % interval",
    "differs": "at least one printed number lies outside our 95 % interval",
    "other data": "made from other data than the paper's: numbers stand side by side and are not judged",
    "other models": "the paper's data, but none of its models was given: numbers are not judged",
    "not compared": "made; the paper prints no number to hold it against",
    "not run": "what it needs is not here",
    "failed": "something went wrong; the others were made all the same",
}


@dataclass(frozen=True)
class Requirement:
    """Something that must be there before an artefact can be made.

    Attributes:
        text: What it is, as a list shows it.
        missing: Says what of it is missing on a workbench; None if it is all there.
    """

    text: str
    missing: Callable[[Reproduction], Missing | None]


class Test(NamedTuple):
    """A table of tests that belongs to a product, e.g. McNemar's between models."""

    title: str
    table: pd.DataFrame


@dataclass(frozen=True, eq=False)
class Product:
    """What an artefact gives. Numbers are fractions in [0, 1].

    Attributes:
        table: What the csv holds, with ``n`` and ``*_low``, ``*_high`` where a number has an interval.
        figure: What the pdf and png show; None if there is nothing to draw.
        figure_is_table: Whether the figure is the table set in type, which a page need not show twice.
        shown: The table as the paper lays it out, for the page and LaTeX (cells may be `bglab.analysis.Estimate`); None
            shows ``table``.
        bold: Which cells of ``shown`` are set in bold (`bglab.analysis.significant_best`); None for none.
        compared: Ours beside the printed numbers, from `bglab.analysis.with_published`; None if nothing was compared.
        published: The paper's own numbers in a layout like ``shown``; None lays them out as the artefact says.
        tests: Tests that belong to it.
        notes: What stands in for what, what was left out and why; one sentence each.
        models: What answered, by the names used in ``table``.
    """

    table: pd.DataFrame
    figure: Axes | Figure | None = None
    figure_is_table: bool = False
    shown: pd.DataFrame | None = None
    bold: pd.DataFrame | None = None
    compared: pd.DataFrame | None = None
    published: pd.DataFrame | None = None
    tests: tuple[Test, ...] = ()
    notes: tuple[str, ...] = ()
    models: tuple[str, ...] = ()

    @property
    def n(self) -> tuple[int, int] | None:
        """Fewest and most images behind a number; None if the table counts none."""
        counts = self.table["n"].to_numpy(float, na_value=np.nan) if "n" in self.table.columns else np.empty(0)
        known = counts[np.isfinite(counts)]
        return (int(known.min()), int(known.max())) if known.size else None


@dataclass(frozen=True)
class Artefact:
    """A table or figure of a paper.

    Attributes:
        id: Names its files, e.g. ``nos-table-2``; the part before the first hyphen is the paper.
        title: One line, without a full stop.
        place: Where the paper has it, e.g. "Table 2".
        about: What it shows, and how it is computed and drawn here; one to three sentences.
        make: Gives the product; runs inside one `figures.theme`.
        needs: What must be there.
        printed: Places of `bglab.analysis.published` whose numbers it is held against.
        label: Only the printed numbers of this class; "" takes all.
        layout: Lays the printed rows out like the product's table; None shows them as they are.
        contradictions: Where the paper contradicts itself, one sentence each; always shown.
        uses_data: False if it is made from our own tables alone, which are the same on any data.
    """

    id: str
    title: str
    place: str
    about: str
    make: Callable[[Reproduction], Product]
    needs: tuple[Requirement, ...] = ()
    printed: tuple[str, ...] = ()
    label: str = ""
    layout: Callable[[pd.DataFrame], pd.DataFrame] | None = None
    contradictions: tuple[str, ...] = ()
    uses_data: bool = True

    @property
    def paper(self) -> str:
        """Short name of the paper."""
        return self.id.partition("-")[0]

    def printed_rows(self) -> pd.DataFrame:
        """Give the numbers that the paper prints for it; see `bglab.analysis.published`."""
        if not self.printed:
            return published().iloc[:0]
        rows = pd.concat([published(place) for place in self.printed], ignore_index=True)
        return rows.loc[rows["label"] == self.label].reset_index(drop=True) if self.label else rows


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of an artefact in a run.

    Attributes:
        artefact: Which one.
        status: See `STATUSES`.
        reason: Why it was not run, why it failed, or how many numbers agree; one sentence.
        command: What gets what is missing; "" if nothing is.
        product: What was made; None if nothing was.
        data: The data it was made from, one phrase.
        files: Names of the files written, in the output folder.
    """

    artefact: Artefact
    status: Status
    reason: str = ""
    command: str = ""
    product: Product | None = None
    data: str = ""
    files: tuple[str, ...] = ()


def first_missing(artefact: Artefact, reproduction: Reproduction) -> Missing | None:
    """Give the first thing the artefact needs and the workbench does not have."""
    return next((missing for need in artefact.needs if (missing := need.missing(reproduction)) is not None), None)


def state_of(artefact: Artefact, reproduction: Reproduction) -> State:
    """Say whether an artefact can be made now, from what is there or may be trained."""
    missing = first_missing(artefact, reproduction)
    return missing.state if missing else "ready"


def status_of(artefact: Artefact, product: Product, *, papers_data: bool) -> tuple[Status, str]:
    """Hold a product against the printed numbers.

    Args:
        artefact: What was made.
        product: The result.
        papers_data: Whether it was made from the data that the paper used.

    Returns:
        The status, and a sentence on it.
    """
    printed = len(artefact.printed_rows())
    if artefact.uses_data and not papers_data:
        return "other data", "made from other data than the paper's, so nothing is judged"
    if not printed:
        return "not compared", "the paper prints no number for it"
    compared = product.compared
    judged = compared.dropna(subset=["published", "ours"]) if compared is not None else pd.DataFrame()
    if judged.empty:
        return "other models", "none of the models is one whose numbers the paper prints"
    inside = int(judged["inside"].to_numpy(dtype=bool, na_value=False).sum())
    agree = "lie in our 95 % interval" if artefact.uses_data else "are the same"
    counted = f"{inside} of {len(judged)} compared numbers {agree}; the paper prints {printed} here"
    return ("reproduced" if inside == len(judged) else "differs"), counted
