r"""Tables in LaTeX, laid out for the width of a page, with the rules of the booktabs package.

Each table is a float that compiles as it is: special characters are escaped, and a comment names the packages needed.
"""

from __future__ import annotations

import math
import unicodedata
from typing import NamedTuple

import pandas as pd

from bglab.analysis.latex_layout import SCRIPT, Column, Layout, choose_layout, text_width
from bglab.analysis.tables import PLAIN, Estimate, Markup, with_intervals, written

#: Points of TeX in an inch.
_POINTS = 72.27
#: Height in inches that a table may have, so that it and its caption fit on a page.
_HIGHEST = 7.4
#: Width in points of a table whose page is not known: as wide as it likes.
_UNBOUNDED = 1e6
# parts value and interval of one cell
_BETWEEN = "\x1f"

_ESCAPES = {c: "\\" + c for c in "&%$#_{}"} | {
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "|": "$|$", "−": "$-$", "–": "--", "—": "---", "×": r"$\times$", "·": r"$\cdot$", "±": r"$\pm$", "∞": r"$\infty$",
    "→": r"$\rightarrow$", "≤": r"$\le$", "≥": r"$\ge$", "…": r"\dots{}", "’": "'", "‘": "`", "“": "``", "”": "''",
    "σ": r"$\sigma$", "ε": r"$\epsilon$", "°": r"$^\circ$", "²": "$^2$", "\u00a0": "~", "✓": r"$\checkmark$",
    "✗": r"$\times$", "\n": " ", "\t": " ",
}  # fmt: skip
#: Package → what needs it.
_PACKAGES = {"booktabs": r"\toprule", "graphicx": r"\rotatebox", "amssymb": r"\checkmark"}


def latex_text(text: str) -> str:
    r"""Escape a text for LaTeX; characters that its fonts lack are named by their code.

    Example:
        >>> print(latex_text("50 % of A&B_1 − x"))
        50 \% of A\&B\_1 $-$ x
    """
    return "".join(_ESCAPES.get(letter) or _letter(letter) for letter in text)


def to_latex(
    table: pd.DataFrame,
    *,
    caption: str = "",
    label: str = "",
    digits: int = 1,
    bold: pd.DataFrame | None = None,
    inches: float | None = None,
    spans_columns: bool = False,
) -> str:
    r"""Format a table as LaTeX with intervals in small type, no wider than a column or page.

    Text is set in ``\small`` or, where that does not fit, down to ``\scriptsize``. Intervals are set beside their
    values, else below them, else left out, which the caption then says. Texts are broken into lines, a table that is
    still too wide is divided into panels, and one that is too long for a page into several floats.

    Args:
        table: Table of fractions, long or from `bglab.analysis.spread`.
        caption: Caption in LaTeX; what the brackets are is added.
        label: Key for ``\ref``.
        digits: Decimal places of a percentage.
        bold: Table of bool of the same shape, e.g. from `bglab.analysis.significant_best`; None prints nothing in bold.
        inches: Width in inches; None is as wide as the table is.
        spans_columns: Whether to use the environment ``table*``, which spans both columns of a page.
    """
    grid = _grid(table, digits, bold)
    width = _UNBOUNDED if inches is None else inches * _POINTS
    layout = choose_layout([column.plain for column in grid], width)
    text = caption + _explained(table, layout) if caption else ""
    parts = _parts(grid, layout)
    floats = [
        _float(grid, layout, rows, text, label, part, len(parts), spans_columns=spans_columns)
        for part, rows in enumerate(parts, start=1)
    ]
    body = "\n".join(floats)
    needed = ", ".join(package for package, sign in _PACKAGES.items() if sign in body)
    return f"% packages: {needed}\n{body}"


class _Columns(NamedTuple):
    """One column as plain text and as LaTeX."""

    plain: Column
    heading: str
    cells: tuple[str, ...]
    intervals: tuple[str, ...]


_INTERVAL = "{value}" + _BETWEEN + "[{low}, {high}]"
_TEXT = PLAIN._replace(interval=_INTERVAL, yes="✓", no="✗")
_LATEX = Markup(_INTERVAL, "{}", "$-$", "--", "$<$", latex_text, r"$\checkmark$", r"$\times$")


def _grid(table: pd.DataFrame, digits: int, bold: pd.DataFrame | None) -> list[_Columns]:
    """Write every cell as plain text, to be measured, and as LaTeX."""
    plain, right = written(table, _TEXT, digits, None, index_as_column=True)
    latex, _ = written(table, _LATEX, digits, None, index_as_column=True)
    names = [str(name) for name in with_intervals(table).columns]
    marks = {str(name): bold[name].astype(bool).tolist() for name in bold.columns} if bold is not None else {}
    first = plain.shape[1] - len(names)  # a named index comes first
    grid = []
    for k in range(plain.shape[1]):
        values, limits = _parted(plain.iloc[:, k])
        written_values, written_limits = _parted(latex.iloc[:, k])
        is_bold = tuple(marks.get(names[k - first], ())) if k >= first else ()
        is_bold = is_bold or (False,) * len(values)
        heading = str(plain.columns[k])
        column = Column(heading, values, limits, is_bold, wraps=not right[k])
        cells = tuple(rf"\textbf{{{v}}}" if b else v for v, b in zip(written_values, is_bold, strict=True))
        grid.append(_Columns(column, latex_text(heading), cells, written_limits))
    return grid


def _parted(cells: pd.Series) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Divide cells into values and intervals."""
    halves = [str(cell).partition(_BETWEEN) for cell in cells]
    return tuple(value for value, _, _ in halves), tuple(limits for _, _, limits in halves)


def _explained(table: pd.DataFrame, layout: Layout) -> str:
    """Describe the numbers and brackets."""
    folded = with_intervals(table)
    cells = [cell for name in folded.columns for cell in folded[name] if isinstance(cell, Estimate)]
    fractions = any(isinstance(cell, Estimate | float) for name in folded.columns for cell in folded[name])
    unit = " Values in percent." if folded.columns.name and fractions else ""
    known = [cell for cell in cells if not math.isnan(cell.value)]
    if not known:
        return unit
    if layout.intervals != "omitted":
        return f"{unit} Brackets: 95\\,\\% intervals."
    farthest = max(max(cell.high - cell.value, cell.value - cell.low) for cell in known)
    return f"{unit} The 95\\,\\% intervals reach at most {100 * farthest:.1f} points from the values."


def _parts(grid: list[_Columns], layout: Layout) -> list[range]:
    """Divide the rows into floats that fit on a page, between rows of different names."""
    per_line = 1.22 * layout.size.points
    heading = 2 * per_line + max(_heading_height(column, layout, k) for k, column in enumerate(grid))
    gaps = 1.0 if max(layout.heights, default=1) > 1 else 0.0
    heights = [len(layout.panels) * (per_line * lines + gaps) for lines in layout.heights]
    room = _HIGHEST * _POINTS - len(layout.panels) * heading
    count = max(1, math.ceil(sum(heights) / room))
    parts, start, used = [], 0, 0.0
    for row, height in enumerate(heights):
        is_full = used + height > min(room, sum(heights) / count + height)
        if is_full and used and layout.starts[row]:
            parts.append(range(start, row))
            start, used = row, 0.0
        used += height
    return [*parts, range(start, len(heights))]


def _heading_height(column: _Columns, layout: Layout, k: int) -> float:
    if layout.rotated and not column.plain.wraps:
        return text_width(column.plain.heading, layout.size)
    return 1.22 * layout.size.points * len(layout.headings[k])


def _float(
    grid: list[_Columns],
    layout: Layout,
    rows: range,
    caption: str,
    label: str,
    part: int,
    parts: int,
    *,
    spans_columns: bool,
) -> str:
    """Write one float."""
    name = "table*" if spans_columns else "table"
    lines = [rf"\begin{{{name}}}[t]", r"\centering"]
    if caption:
        lines.append(rf"\caption{{{caption if part == 1 else f'Continued, part {part} of {parts}.'}}}")
    if label:
        lines.append(rf"\label{{{label if part == 1 else f'{label}-{part}'}}}")
    lines += [rf"\{layout.size.name}", rf"\setlength{{\tabcolsep}}{{{layout.size.gap:g}pt}}"]
    for place, panel in enumerate(layout.panels):
        lines += ([r"\par\medskip"] if place else []) + _tabular([grid[k] for k in panel], layout, panel, rows)
    return "\n".join([*lines, rf"\end{{{name}}}", ""])


def _tabular(columns: list[_Columns], layout: Layout, panel: tuple[int, ...], rows: range) -> list[str]:
    """Write the columns of one panel."""
    kinds = "".join("l" if column.plain.wraps else "r" for column in columns)
    headings = [_heading(column, layout, k) for column, k in zip(columns, panel, strict=True)]
    lines = [r"\begin{tabular}{@{}KINDS@{}}".replace("KINDS", kinds), r"\toprule", _row(headings), r"\midrule"]
    spaced = max(layout.heights, default=1) > 1
    pending: list[str] = []  # lines of a name that spans several rows
    for row in rows:
        cells = [_cell(column, layout, k, row) for column, k in zip(columns, panel, strict=True)]
        if panel[0] == 0:
            pending = cells[0] if layout.starts[row] or row == rows[0] else pending
            cells[0], pending = pending[: layout.heights[row]], pending[layout.heights[row] :]
        if spaced and row != rows[0] and layout.starts[row]:
            lines.append(r"\addlinespace[1pt]")
        lines += [
            _row([cell[line] if line < len(cell) else "" for cell in cells]) for line in range(layout.heights[row])
        ]
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"


def _heading(column: _Columns, layout: Layout, k: int) -> str:
    """Write a heading on its lines, or rotated."""
    if layout.rotated and not column.plain.wraps:
        return rf"\rotatebox{{90}}{{{column.heading}}}"
    lines = [latex_text(line) for line in layout.headings[k]]
    side = "l" if column.plain.wraps else "r"
    return lines[0] if len(lines) == 1 else rf"\shortstack[{side}]{{" + r"\\".join(lines) + "}"


def _cell(column: _Columns, layout: Layout, k: int, row: int) -> list[str]:
    """Write a cell as lines: a text as it is broken, a number with its interval beside or below it."""
    if column.plain.wraps:
        lines = [latex_text(line) for line in layout.lines[k][row]]
        return [rf"\textbf{{{line}}}" for line in lines] if column.plain.bold[row] else lines
    limits = column.intervals[row]
    if not limits or layout.intervals == "omitted":
        return [column.cells[row]]
    smaller = limits if layout.size is SCRIPT else rf"{{\scriptsize {limits}}}"
    return [column.cells[row], smaller] if layout.intervals == "below" else [f"{column.cells[row]} {smaller}"]


def _letter(letter: str) -> str:
    """Return a letter of the Latin alphabet as it is, and any other by its code."""
    if letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") and ord(letter) < 0x180:
        return letter
    return f"U+{ord(letter):04X}"
