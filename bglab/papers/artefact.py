"""The parts of a reproduction: artefacts, their requirements, their products, and the status of each.

An artefact is a table or figure of a paper. It computes a `Product` from a `bglab.papers.Reproduction`; whether the
product agrees with the published numbers is decided by `assess`, by the same rules for all artefacts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bglab.analysis import published

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

from bglab.papers.missing import Missing
from bglab.papers.recognition import DATA_OF_PAPER
from bglab.papers.verdicts import KINDS, Conditions, Tally, judge, tally
from bglab.papers.work import Work
from bglab.scenes import Recognition

State = Literal["ready", "needs training", "needs data"]
Status = Literal[
    "reproduced", "differs", "other data", "unverified data", "other models", "not compared", "not run", "failed"
]

#: Meaning of each status, as shown in the report.
STATUSES: dict[Status, str] = {
    "reproduced": "every published number that has a verdict agrees",
    "differs": "at least one published number that has a verdict differs",
    "other data": "computed on other data than the paper's, so agreement with the published numbers is not assessed",
    "unverified data": "computed on data with the file names of the paper's, whose content could not be verified, so "
    "agreement is not assessed",
    "other models": "computed on the paper's data, but with networks that are not known to be the paper's or trained "
    "by its recipe, so agreement is not assessed",
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
        compared: Our numbers next to the published ones (`bglab.analysis.with_published`) and the basis of each
            comparison; in an `Outcome`, with its kind and verdict instead (`bglab.papers.verdicts`). None if none was
            compared.
        published: The published numbers in the layout of ``shown``; None uses the artefact's ``layout``.
        tests: Significance tests shown with the product.
        notes: Substitutions and omissions, and the reason for each; one sentence each.
        models: Names of the evaluated models, as used in ``table``.
        data: What it was computed on and how, as a phrase for captions (`bglab.papers.Reproduction.data`); "" leaves
            it out.
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
    data: str = ""

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
        data: Data set that the paper used for it, out of `bglab.papers.recognition.PAPERS_DATA`; "" is the paper's main
            one.
        work: What it computes at full size with the paper's networks, by which its cost is planned.
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
    data: str = ""
    work: tuple[Work, ...] = ()

    @property
    def papers_data(self) -> str:
        """Name of the data set that the paper used for it."""
        return self.data or DATA_OF_PAPER[self.paper]

    @property
    def paper(self) -> str:
        """Short name of the paper, a key of `bglab.papers.PAPERS`."""
        return self.id.partition("-")[0]

    @property
    def work_text(self) -> str:
        """What it computes at full size, as a phrase."""
        return "; ".join(part.text for part in self.work) or "no network takes part"

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
        tally: How many printed numbers were compared, and how many agree; None if nothing was made.
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
    tally: Tally | None = None

    @property
    def chip(self) -> str:
        """The status and, if there are verdicts, how many numbers they are about."""
        counted = self.tally is not None and self.tally.compared and self.status in {"reproduced", "differs"}
        return f"{self.status}: {self.tally.text}" if counted and self.tally else self.status


def first_missing(artefact: Artefact, reproduction: Reproduction) -> Missing | None:
    """Return what the first unmet requirement of an artefact lacks; None if all requirements are met."""
    return next((missing for need in artefact.needs if (missing := need.missing(reproduction)) is not None), None)


def state_of(artefact: Artefact, reproduction: Reproduction) -> State:
    """Check whether an artefact can be made from the data and networks that are available or can be trained."""
    missing = first_missing(artefact, reproduction)
    return missing.state if missing else "ready"


class Assessment(NamedTuple):
    """How a product compares with the published numbers.

    Attributes:
        status: See `STATUSES`.
        reason: Sentence that explains the status.
        product: The product, with the kind, tolerance and verdict of each comparison.
        tally: How many printed numbers were compared, and how many agree.
    """

    status: Status
    reason: str
    product: Product
    tally: Tally


def assess(artefact: Artefact, product: Product, data: Recognition, conditions: Conditions) -> Assessment:
    """Compare a product with the published numbers.

    Args:
        artefact: The artefact.
        product: What it made.
        data: Whether it was computed on the data that the paper used.
        conditions: What the comparison may take for granted. If the artefact uses no images, it counts as computed on
            the paper's.
    """
    if not artefact.uses_data:
        conditions = conditions._replace(papers_data=True)
    if product.compared is not None:
        product = replace(product, compared=judge(product.compared, conditions))
    counted = tally(product.compared, len(artefact.printed_rows()))
    status, reason = _status(artefact, product, data, counted)
    return Assessment(status, reason, product, counted)


def _status(artefact: Artefact, product: Product, data: Recognition, counted: Tally) -> tuple[Status, str]:
    verdicts = counted.text if counted.compared else ""
    if artefact.uses_data and data.state != "recognised":
        also = f"; {verdicts}" if verdicts else ""
        if data.state == "unverified":
            return "unverified data", f"{data.reason}, so agreement is not assessed{also}"
        return "other data", f"computed on other data than the paper's ({data.reason}), so it is not assessed{also}"
    if not counted.printed:
        return "not compared", "the paper prints no number for it"
    if not counted.compared and not counted.shown:
        return "other models", "the paper prints no numbers for any of these models"
    shown = f"; {counted.shown} more without a verdict" if counted.shown and counted.compared else ""
    if not counted.compared:
        numbers = f"{counted.shown} of {counted.printed} printed numbers"
        return "other models", f"{numbers} are shown for orientation, without a verdict"
    status = "reproduced" if counted.agree == counted.compared else "differs"
    kinds = _by_kind(product) if artefact.uses_data else ""
    return status, f"{verdicts}{kinds}{shown}"


def _by_kind(product: Product) -> str:
    """Name the kinds of the comparisons that have a verdict."""
    if product.compared is None:
        return ""
    judged = product.compared.loc[product.compared["verdict"].isin(["agrees", "differs"]), "kind"]
    return f" ({' and '.join(kind for kind in KINDS if kind in set(judged))})"
