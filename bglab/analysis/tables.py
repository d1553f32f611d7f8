"""Format small tables for people, as percent with intervals, in Markdown or HTML; CSV for machines.

Tables hold fractions throughout; only the writers here and in `bglab.analysis.latex` convert them to percent (`to_csv`
does not). Columns ``x``, ``x_low`` and ``x_high`` are merged into one: 78.9 [77.6, 80.1].
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Callable, Mapping
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from bglab.analysis._grouping import known_columns
from bglab.errors import BadInput
from bglab.names import display_name


class Estimate(NamedTuple):
    """A value with its interval, as one cell of a table.

    Attributes:
        value: Point estimate, usually a fraction.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    low: float
    high: float


class Markup(NamedTuple):
    """How one format writes a cell.

    Attributes:
        interval: Template with ``value``, ``low`` and ``high``.
        bold: Template for a cell in bold.
        minus: Minus sign.
        missing: Text of an undefined cell.
        less: Less-than sign.
        escape: Function that escapes special characters.
        yes: Text of True.
        no: Text of False.
    """

    interval: str
    bold: str
    minus: str
    missing: str
    less: str
    escape: Callable[[str], str]
    yes: str = "yes"
    no: str = "no"


class Written(NamedTuple):
    """A table as text, and which of its columns are right-aligned."""

    text: pd.DataFrame
    right: list[bool]


PLAIN = Markup("{value} [{low}, {high}]", "{}", "−", "–", "<", str)
_MARKDOWN = Markup("{value} [{low}, {high}]", "**{}**", "−", "–", "<", lambda text: text.replace("|", "\\|"))
_HTML = Markup("{value} <small>[{low}, {high}]</small>", "<b>{}</b>", "−", "–", "&lt;", html.escape)

_HEADINGS = {
    "n": "n", "top1": "Top-1 (%)", "top5": "Top-5 (%)", "same": "Mixed-Same (%)", "rand": "Mixed-Rand (%)",
    "mixed_same": "Mixed-Same (%)", "mixed_rand": "Mixed-Rand (%)", "mixed_next": "Mixed-Next (%)",
    "gap": "BG-Gap (points)", "difference": "Difference (points)", "share": "Share (%)", "captured": "Captured (%)",
    "ours": "Ours (%)", "published": "Published (%)", "p": "p", "p_holm": "p (Holm)",
    "share_on_object": "On the object (%)", "share_on_object_chance": "Chance (%)", "mask_area": "Mask (%)",
    "pointing": "Pointing game (%)", "iou": "IoU (%)",
    "auc": "AUC (%)", "core_accuracy": "Core accuracy (%)",
    "spurious_accuracy": "Spurious accuracy (%)", "rfs": "RFS", "drop": "Drop (points)",
    "model_a": "Model A", "model_b": "Model B", "a_only": "Only A", "b_only": "Only B",
}  # fmt: skip

#: Columns whose values are identifiers that are shown under their printed names.
_IDENTIFIERS = frozenset({"variant", "train", "test", "category", "space"})
_PRINTED = {
    "in9": "IN-9", "in9l": "IN-9L", "in9lb": "IN-9LB", "imagenet": "ImageNet", "voc": "VOC", "background_gap": "BG-Gap",
    "bg_irrelevant": "BG Irrelevant", "bg_required": "BG Required", "bg_fools": "BG Fools",
    "bg_fg_required": "BG+FG Required", "bg_fg_fools": "BG+FG Fools",
    "in9lb-9": "IN-9LB, 9 classes", "in9lb-144": "IN-9LB, 144 classes",
    "in9-l2": "IN-9, L2-robust", "in9-linf": "IN-9, L∞-robust",
    "bg_fools_strict": "BG Fools (same incorrect class)",
}  # fmt: skip
_IDENTIFIER = re.compile(r"[a-z][a-z0-9_]*(~\d+)?")
_P_VALUES = frozenset({"p", "p_holm"})


def with_intervals(table: pd.DataFrame) -> pd.DataFrame:
    """Merge each triple of columns ``x, x_low, x_high`` into one column ``x`` of `Estimate`.

    Example:
        >>> with_intervals(pd.DataFrame({"top1": [0.5], "top1_low": [0.4], "top1_high": [0.6]}))["top1"].item()
        Estimate(value=0.5, low=0.4, high=0.6)
    """
    folded = table.copy()
    for name in table.columns:
        limits = [f"{name}_low", f"{name}_high"]
        if set(limits) <= set(table.columns):
            triples = table[[name, *limits]].itertuples(index=False, name=None)
            folded[name] = pd.Series([Estimate(*triple) for triple in triples], index=table.index, dtype=object)
            folded = folded.drop(columns=limits)
    return folded


def spread(table: pd.DataFrame, *, rows: str, columns: str, value: str) -> pd.DataFrame:
    """Pivot a long table to a wide one, as the papers print it, e.g. with a row per variant and a column per model.

    Args:
        table: One row per cell of the wide table.
        rows: Column whose values become the rows.
        columns: Column whose values become the columns.
        value: Column that fills the cells, together with its interval if there is one.

    Returns:
        The wide table, rows and columns in order of first appearance; cells are `Estimate` where ``value`` has an
        interval, NaN where the long table has no row.

    Raises:
        UnknownName: If a column does not exist.
        BadInput: If two rows belong to one cell.
    """
    known_columns(table, (rows, columns, value))
    duplicates = table.loc[table.duplicated([rows, columns])]
    if len(duplicates):
        cell = " and ".join(str(duplicates[name].iloc[0]) for name in (rows, columns))
        raise BadInput(f"expected one row per cell, got two for {cell}; select one data set or space first")
    wide = with_intervals(table).pivot_table(index=rows, columns=columns, values=value, aggfunc="first", sort=False)
    return wide.reindex(index=list(dict.fromkeys(table[rows])), columns=list(dict.fromkeys(table[columns])))


def significant_best(wide: pd.DataFrame) -> pd.DataFrame:
    """Mark in each row the cell whose interval lies above all others, if there is one.

    Disjoint intervals are a stricter criterion than a paired test (see `bglab.analysis.compare_models`), which makes it
    safe to print the marked cells in bold.

    Args:
        wide: Table of `Estimate` cells, as from `spread`; larger values are better.

    Returns:
        A table of bool of the same shape, with at most one True per row.
    """

    def mark(row: pd.Series) -> pd.Series:
        cells = {name: cell for name, cell in row.items() if isinstance(cell, Estimate)}
        best = max(cells, key=lambda name: cells[name].value, default=None)
        others = [cell.high for name, cell in cells.items() if name != best]
        wins = bool(others) and best is not None and cells[best].low > max(others)
        return pd.Series([wins and name == best for name in row.index], index=row.index)

    return pd.DataFrame([mark(row) for _, row in wide.iterrows()], index=wide.index, columns=wide.columns)


def with_published(
    ours: pd.DataFrame, published: pd.DataFrame, *, on: Mapping[str, str], value: str = "top1"
) -> pd.DataFrame:
    """Join our results with the published numbers and their differences.

    Args:
        ours: Table of results, e.g. from `bglab.analysis.accuracy`; rows without a published number remain, with NaN.
        published: Rows of `bglab.analysis.published`, all of one quantity.
        on: Columns of ``ours`` to the matching columns of ``published``, e.g. ``{"variant": "test"}``.
        value: Column of ``ours`` to compare, which needs ``<value>_low`` and ``<value>_high``.

    Returns:
        The columns of ``ours`` that identify a row, then ``[ours, ours_low, ours_high, published, difference, inside,
        place, note, digits]``. ``difference`` is ours minus published; ``inside`` tells whether the published number
        lies in our interval, NA without one, which is no verdict: the same weights on the same images must agree to
        the printed digit, and retrained networks differ by their seeds (see `bglab.papers`). ``digits`` is the number
        of decimal places that the paper prints, NA without a published number.

    Raises:
        UnknownName: If a column does not exist.
    """
    limits = [value, f"{value}_low", f"{value}_high"]
    known_columns(ours, (*on, *limits))
    known_columns(published, tuple(on.values()))
    identity = [c for c in ("model", "dataset", "variant", "n") if c in ours.columns and c not in on]
    left = ours[[*on, *identity, *limits]].set_axis([*on, *identity, "ours", "ours_low", "ours_high"], axis=1)
    printed = [*on.values(), "value", "place", "note", "digits"]
    right = published[printed].set_axis([*on, "published", "place", "note", "digits"], axis=1)
    joined = left.merge(right, on=list(on), how="left")
    joined["difference"] = joined["ours"] - joined["published"]
    inside = joined["published"].between(joined["ours_low"], joined["ours_high"])
    joined["inside"] = inside.astype("boolean").mask(joined["published"].isna())
    joined["digits"] = joined["digits"].astype("Int64")
    return joined.reindex(columns=[*left.columns, "published", "difference", "inside", "place", "note", "digits"])


def as_percent(table: pd.DataFrame, *, digits: int = 1) -> pd.DataFrame:
    """Format every cell as text: percent, merged intervals, names as printed in the papers, readable headings.

    Args:
        table: Fractions become percent or percentage points; p-values and integers keep their scale.
        digits: Decimal places of a percentage.

    Example:
        >>> as_percent(pd.DataFrame({"variant": ["only_bg_t"], "top1": [0.4906], "n": [4050]})).values.tolist()
        [['Only-BG-T', '49.1', '4,050']]
    """
    return written(table, PLAIN, digits, None).text


def to_markdown(table: pd.DataFrame, *, digits: int = 1, bold: pd.DataFrame | None = None) -> str:
    """Format a table as Markdown, with numbers right-aligned.

    Args:
        table: Table of fractions, long or from `spread`.
        digits: Decimal places of a percentage.
        bold: Table of bool of the same shape, e.g. from `significant_best`; None prints nothing in bold.
    """
    text, right = written(table, _MARKDOWN, digits, bold, index_as_column=True)
    lines = [text.columns.tolist(), ["--:" if number else ":--" for number in right], *text.to_numpy().tolist()]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


class Cells(NamedTuple):
    """A table as text.

    Attributes:
        columns: Headings.
        rows: Cells of each row.
        right: Whether each column holds numbers, which are right-aligned.
        bold: Whether each cell is set in bold.
    """

    columns: list[str]
    rows: list[list[str]]
    right: list[bool]
    bold: list[list[bool]]


def to_cells(table: pd.DataFrame, *, digits: int = 1, bold: pd.DataFrame | None = None) -> Cells:
    """Format a table as text in cells, for a page that draws it itself; arguments as in `to_markdown`.

    Example:
        >>> to_cells(pd.DataFrame({"variant": ["only_bg_t"], "top1": [0.4906]}))[:3]
        (['Variant', 'Top-1 (%)'], [['Only-BG-T', '49.1']], [False, True])
    """
    text, right = written(table, PLAIN, digits, None, index_as_column=True)
    names = with_intervals(table).columns
    marks = np.zeros((len(table), len(text.columns)), dtype=bool)
    for place, name in enumerate(names, start=len(text.columns) - len(names)):
        if bold is not None and name in bold.columns:
            marks[:, place] = bold[name]
    return Cells([str(name) for name in text.columns], text.to_numpy().tolist(), right, marks.tolist())


def to_html(table: pd.DataFrame, *, digits: int = 1, bold: pd.DataFrame | None = None) -> str:
    """Format a table as HTML, with intervals in small type; arguments as in `to_markdown`."""
    return styled(table, digits=digits, bold=bold).to_html()


def styled(table: pd.DataFrame, *, digits: int = 1, bold: pd.DataFrame | None = None) -> Styler:
    """Format a table for display in a notebook, with intervals in small type; arguments as in `to_markdown`."""
    text, _ = written(table, _HTML, digits, bold, index_as_column=True)
    # a fixed id makes the output reproducible
    return Styler(text, uuid="bglab", cell_ids=False).hide(axis="index")


def to_csv(table: pd.DataFrame) -> str:
    """Format a table as CSV with unrounded fractions; `Estimate` cells become three columns again."""
    flat = {}
    for name in table.columns:
        if any(isinstance(cell, Estimate) for cell in table[name]):
            for field in Estimate._fields:
                column = f"{name}" if field == "value" else f"{name}_{field}"
                flat[column] = table[name].map(lambda cell, f=field: getattr(cell, f, math.nan))
        else:
            flat[name] = table[name]
    return pd.DataFrame(flat, index=table.index).to_csv(index=table.index.name is not None, lineterminator="\n")


def to_records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Write a table as a list of rows that JSON can hold; see `json_value`."""
    return [{str(name): json_value(cell) for name, cell in row.items()} for row in table.to_dict("records")]


def json_value(cell: Any) -> Any:
    """Convert a number of NumPy to Python's, and what is missing or not finite to None; return others as they are."""
    if isinstance(cell, np.generic):
        cell = cell.item()
    return None if cell is pd.NA or (isinstance(cell, float) and not math.isfinite(cell)) else cell


def written(
    table: pd.DataFrame, markup: Markup, digits: int, bold: pd.DataFrame | None, *, index_as_column: bool = False
) -> Written:
    """Format cells, headings and row names as text; an index without a name is a mere row number and left out."""
    folded = with_intervals(table)
    across, down = folded.columns.name, folded.index.name
    headings, columns, right = [], [], []
    names = [_name(str(entry), str(down), markup) for entry in folded.index]
    if index_as_column and down is not None:
        headings, columns, right = [markup.escape(_heading(str(down)))], [names], [False]
    for name in folded.columns:
        cells = folded[name].tolist()
        marks = bold[name].tolist() if bold is not None and name in bold.columns else [False] * len(cells)
        texts = [_cell(cell, str(name), markup, digits) for cell in cells]
        columns.append([markup.bold.format(t) if mark else t for t, mark in zip(texts, marks, strict=True)])
        headings.append(_name(str(name), str(across), markup) if across else markup.escape(_heading(str(name))))
        right.append(not any(isinstance(cell, str) for cell in cells))
    index = None if index_as_column or down is None else pd.Index(names, name=down)
    rows = list(zip(*columns, strict=True))
    return Written(pd.DataFrame(rows, columns=headings, index=index, dtype=object), right)


def _cell(cell: Any, column: str, markup: Markup, digits: int) -> str:
    """Format one cell by its type; the scale of a float depends on the column."""
    if isinstance(cell, Estimate):
        if math.isnan(cell.value):
            return markup.missing
        value, low, high = (_number(100 * x, digits, markup) for x in cell)
        return markup.interval.format(value=value, low=low, high=high)
    if isinstance(cell, str):
        return _name(cell, column, markup)
    if cell is None or cell is pd.NA or (isinstance(cell, float) and math.isnan(cell)):
        return markup.missing
    if isinstance(cell, bool):
        return markup.yes if cell else markup.no
    if isinstance(cell, Integral):
        return f"{cell:,}".replace("-", markup.minus)
    if column in _P_VALUES:
        return f"{markup.less} 0.001" if cell < 0.001 else f"{cell:.3f}"
    return _number(100 * float(cell), digits, markup)


def _number(value: float, digits: int, markup: Markup) -> str:
    text = f"{value:.{digits}f}"
    if float(text) == 0:  # avoid "−0.0"
        text = text.removeprefix("-")
    return text.replace("-", markup.minus)


def _name(entry: str, column: str, markup: Markup) -> str:
    """Translate an identifier to its printed name; return any other text unchanged."""
    if column in _IDENTIFIERS:
        # what is no identifier is a title already
        entry = _PRINTED.get(entry) or ", ".join(
            display_name(part) if _IDENTIFIER.fullmatch(part) else part for part in entry.split(", ")
        )
    return markup.escape(entry)


def _heading(column: str) -> str:
    return _HEADINGS.get(column, column.replace("_", " ").capitalize())
