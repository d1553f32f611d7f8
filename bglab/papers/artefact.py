"""The parts of a reproduction: artefacts, their requirements, their products, and the status of each.

An artefact is a table or figure of a paper. It computes a `Product` from a `bglab.papers.Reproduction`; whether the
product agrees with the published numbers is decided by `status_of`, by the same rule for all artefacts.
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

#: Meaning of each status, as shown in the report.
STATUSES: dict[Status, str] = {
    "reproduced": "every published number that was compared lies in our 95 % interval",
    "differs": "at least one published number lies outside our 95 % interval",
    "other data": "computed on other data than the paper's, so agreement with the published numbers is not assessed",
    "other models": "computed on the paper's data, but with none of its models, so agreement is not assessed",
    "not compared": "computed; the paper prints no number to compare with",
    "not run": "a requirement is missing",
    "failed": "an error occurred; the other artefacts are not affected",
}


@dataclass(frozen=True)
class Requirement:
    """A condition that must hold before an artefact can be made.

    Attributes:
        text: Short description, shown by ``bglab reproduce --list``.
        missing: Function that returns what a reproduction lacks, or None if the requirement is met.
    """

    text: str
    missing: Callable[[Reproduction], Missing | None]


class Test(NamedTuple):
    """A table of significance tests that belongs to a product, e.g. McNemar's test between models.

    Attributes:
        title: Key of the table in ``report.json``, and its heading on the page unless there is a ``heading``.
        table: One row per test.
        heading: Heading on the page; "" shows the title.
    """

    title: str
    table: pd.DataFrame
    heading: str = ""


@dataclass(frozen=True, eq=False)
class Product:
    """The result of making an artefact. Accuracies and other rates are fractions in [0, 1].

    Attributes:
        table: Table written to the CSV file, with ``n``, and ``*_low`` and ``*_high`` for each confidence interval.
        figure: Figure written to the PDF and PNG files; None if there is nothing to draw.
        figure_is_table: Whether the figure is only the typeset table, which the report does not show twice.
        shown: Table in the paper's layout, for the report and LaTeX (cells may be `bglab.analysis.Estimate`); None
            shows ``table``.
        bold: Mask of the cells of ``shown`` to set in bold (`bglab.analysis.significant_best`); None for none.
        compared: Our numbers next to the published ones (`bglab.analysis.with_published`); None if none was compared.
        published: The published numbers in the layout of ``shown``; None uses the artefact's ``layout``.
        tests: Significance tests shown with the product.
        notes: Substitutions and omissions, and the reason for each; one sentence each.
        models: Names of the evaluated models, as used in ``table``.
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
        """Smallest and largest number of images behind a row; None if the table has no column ``n``."""
        counts = self.table["n"].to_numpy(float, na_value=np.nan) if "n" in self.table.columns else np.empty(0)
        known = counts[np.isfinite(counts)]
        return (int(known.min()), int(known.max())) if known.size else None


@dataclass(frozen=True)
class Artefact:
    """A table or figure of a paper.

    Attributes:
        id: Identifier and stem of its files, e.g. ``nos-table-2``; the part before the first hyphen is the paper.
        title: One line, without a full stop.
        place: Location in the paper, e.g. "Table 2".
        about: What it shows, and how it is computed and drawn here; one to three sentences.
        make: Function that computes the product; called inside `bglab.figures.theme`.
        needs: Requirements that must be met.
        printed: Places in `bglab.analysis.published` whose numbers the product is compared with.
        label: Class whose published numbers are used; "" uses all rows.
        layout: Function that arranges the published rows like the product's table; None shows them as a list.
        contradictions: Contradictions within the paper, one sentence each; always shown.
        uses_data: False if it depends on no images, so that it is the same for all data.
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
        """Short name of the paper, a key of `bglab.papers.PAPERS`."""
        return self.id.partition("-")[0]

    def printed_rows(self) -> pd.DataFrame:
        """Return the published numbers, one row each; see `bglab.analysis.published`."""
        if not self.printed:
            return published().iloc[:0]
        rows = pd.concat([published(place) for place in self.printed], ignore_index=True)
        return rows.loc[rows["label"] == self.label].reset_index(drop=True) if self.label else rows


@dataclass(frozen=True, eq=False)
class Outcome:
    """The outcome of one artefact in a run.

    Attributes:
        artefact: The artefact.
        status: See `STATUSES`.
        reason: Why it was not run, why it failed, or how many numbers agree; one sentence.
        command: Command that provides what is missing; "" if nothing is missing.
        product: The product; None if it was not made.
        data: Description of the data, one phrase.
        files: Names of the files written to the output folder.
    """

    artefact: Artefact
    status: Status
    reason: str = ""
    command: str = ""
    product: Product | None = None
    data: str = ""
    files: tuple[str, ...] = ()


def first_missing(artefact: Artefact, reproduction: Reproduction) -> Missing | None:
    """Return what the first unmet requirement of an artefact lacks; None if all requirements are met."""
    return next((missing for need in artefact.needs if (missing := need.missing(reproduction)) is not None), None)


def state_of(artefact: Artefact, reproduction: Reproduction) -> State:
    """Check whether an artefact can be made from the data and networks that are available or can be trained."""
    missing = first_missing(artefact, reproduction)
    return missing.state if missing else "ready"


def status_of(artefact: Artefact, product: Product, *, papers_data: bool) -> tuple[Status, str]:
    """Compare a product with the published numbers.

    Args:
        artefact: The artefact.
        product: What it made.
        papers_data: Whether it was computed on the data that the paper used.

    Returns:
        The status, and a sentence that explains it.
    """
    printed = len(artefact.printed_rows())
    if artefact.uses_data and not papers_data:
        return "other data", "computed on other data than the paper's, so agreement is not assessed"
    if not printed:
        return "not compared", "the paper prints no number for it"
    compared = product.compared
    matched = compared.dropna(subset=["published", "ours"]) if compared is not None else pd.DataFrame()
    if matched.empty:
        return "other models", "the paper prints no numbers for any of these models"
    inside = int(matched["inside"].to_numpy(dtype=bool, na_value=False).sum())
    agree = "lie in our 95 % interval" if artefact.uses_data else "are the same"
    counted = f"{inside} of {len(matched)} compared numbers {agree}; the paper prints {printed} here"
    return ("reproduced" if inside == len(matched) else "differs"), counted
