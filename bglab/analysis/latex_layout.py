"""Choose a layout in which a table fits the width of a page: text size, place of the intervals, wrapped columns.

Widths are estimated from the characters of Computer Modern, which is wider than the Times of most conferences, so that
a table that fits here fits there.
"""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

Intervals = Literal["beside", "below", "omitted"]

# widths of the printable characters of ASCII in thousandths of the text size; AFM file of Computer Modern Roman 10
_WIDTHS = dict(zip(map(chr, range(32, 127)), (
    333, 278, 500, 833, 500, 833, 778, 278, 389, 389, 500, 778, 278, 333, 278, 500, 500, 500, 500, 500, 500, 500, 500,
    500, 500, 500, 278, 278, 778, 778, 778, 472, 778, 750, 708, 722, 764, 681, 653, 785, 750, 361, 514, 778, 625, 917,
    750, 778, 681, 778, 736, 556, 722, 750, 750, 1028, 750, 750, 611, 278, 500, 278, 500, 500, 278, 500, 556, 444, 556,
    444, 306, 500, 556, 278, 306, 528, 278, 833, 556, 500, 556, 528, 392, 394, 389, 556, 528, 722, 528, 528, 444, 500,
    278, 500, 500,
), strict=True))  # fmt: skip
_OTHER, _BOLD = 800, 1.16
#: Pieces that a line can end after; longer ones are broken at `_LONGEST` characters, shorter ones are not parted.
_PIECE = re.compile(r"[^\s/_.:=,·-]*[/_.:=,·-]*\s*")
_LONGEST, _SHORTEST = 14, 4


class Size(NamedTuple):
    """A text size of LaTeX in a document of 10 points.

    Attributes:
        name: Its command, without the backslash.
        points: Text size in points.
        breadth: How much wider letters are than those of 10 points, scaled to this size.
        gap: Half of the space between columns in points.
    """

    name: str
    points: float
    breadth: float
    gap: float


SMALL, FOOTNOTE, SCRIPT = (
    Size("small", 9, 1.04, 4), Size("footnotesize", 8, 1.08, 3), Size("scriptsize", 7, 1.16, 2.5)
)  # fmt: skip


class Column(NamedTuple):
    """The plain text of one column.

    Attributes:
        heading: Its heading.
        cells: Value of each row.
        intervals: Interval of each row; "" where there is none.
        bold: Whether each value is bold.
        wraps: Whether cells may be broken into several lines.
    """

    heading: str
    cells: tuple[str, ...]
    intervals: tuple[str, ...]
    bold: tuple[bool, ...]
    wraps: bool


class Layout(NamedTuple):
    """How a table is set.

    Attributes:
        size: Text size.
        intervals: Place of the intervals.
        rotated: Whether the headings of numbers are rotated.
        panels: Positions of the columns of each panel; a table has one unless it is too wide.
        headings: Lines of each heading.
        lines: Lines of each cell, by column and row; a name that several rows share spans them.
        heights: Number of lines of each row.
        starts: Whether each row begins with another name than the one before it.
    """

    size: Size
    intervals: Intervals
    rotated: bool
    panels: tuple[tuple[int, ...], ...]
    headings: tuple[tuple[str, ...], ...]
    lines: tuple[tuple[tuple[str, ...], ...], ...]
    heights: tuple[int, ...]
    starts: tuple[bool, ...]


def pieces(text: str) -> list[str]:
    """Split a text where a line may end: after spaces and punctuation, and within long words.

    Example:
        >>> pieces("timm:resnet50.tv_in1k")
        ['timm:', 'resnet50.', 'tv_in1k']
    """
    found: list[str] = []
    for piece in filter(None, _PIECE.findall(text)):
        if found and len(found[-1]) < _SHORTEST and not found[-1].endswith(" "):
            found[-1] += piece
        else:
            found.append(piece)
    return [part for piece in found for part in _parts(piece)]


def _parts(word: str) -> list[str]:
    if len(word) <= _LONGEST + 3:
        return [word]
    return [word[at : at + _LONGEST] for at in range(0, len(word), _LONGEST)]


def choose_layout(columns: Sequence[Column], points: float) -> Layout:
    """Choose the most readable layout that fits a width.

    Intervals stay beside their values if possible, else move below them, else are left out; the largest text that fits
    is taken. A table too wide for all of these is divided into panels, one below the other, which repeat the leading
    columns of names.

    Args:
        columns: The columns.
        points: Width in points.
    """
    names = next((k for k, column in enumerate(columns) if not column.wraps), len(columns))
    for count in range(1, len(columns) + 1):
        panels = _panels(len(columns), min(max(names, 1), 2), count)
        fitting = [layout for layout in _candidates(columns, panels, points) if layout is not None]
        if fitting:
            return min(fitting, key=lambda layout: _cost(layout, columns))
    raise AssertionError("a table with one column of numbers fits any page")


def text_width(text: str, size: Size, *, bold: bool = False) -> float:
    """Estimate the width of a text in points."""
    letters = sum(_WIDTHS.get(letter, _OTHER) for letter in text) / 1000
    return letters * size.points * size.breadth * (_BOLD if bold else 1)


def _panels(count: int, names: int, parts: int) -> tuple[tuple[int, ...], ...]:
    """Divide columns into panels of equal size, each of which begins with the columns of names."""
    first, rest = tuple(range(min(names, count))), list(range(min(names, count), count))
    if parts == 1 or not rest:
        return (tuple(range(count)),)
    per_panel = math.ceil(len(rest) / parts)
    return tuple((*first, *rest[at : at + per_panel]) for at in range(0, len(rest), per_panel))


def _candidates(columns: Sequence[Column], panels: tuple[tuple[int, ...], ...], points: float) -> list[Layout | None]:
    """Lay a table out in each text size, place of the intervals and direction of the headings."""
    places: tuple[Intervals, ...] = ("beside", "below", "omitted")
    if not any(any(column.intervals) for column in columns):
        places = ("beside",)
    choices = itertools.product(places, (SMALL, FOOTNOTE, SCRIPT), (False, True))
    return [_lay_out(columns, panels, points, *choice) for choice in choices]


def _lay_out(
    columns: Sequence[Column],
    panels: tuple[tuple[int, ...], ...],
    points: float,
    place: Intervals,
    size: Size,
    rotated: bool,  # noqa: FBT001 - one of three coordinates of a candidate
) -> Layout | None:
    """Lay a table out; None if it does not fit."""
    natural = [_natural(column, size, place) for column in columns]
    least = [
        max((text_width(p, size) for cell in column.cells for p in pieces(cell)), default=0.0)
        if column.wraps
        else width
        for column, width in zip(columns, natural, strict=True)
    ]
    words = [_heading_width(column, size, rotated=rotated) for column in columns]
    natural, least = ([max(pair) for pair in zip(w, words, strict=True)] for w in (natural, least))
    widths: list[float] = list(natural)
    for panel in panels:
        room = points - 2 * size.gap * (len(panel) - 1)
        shared = _share([natural[k] for k in panel], [least[k] for k in panel], room)
        if shared is None:
            return None
        for k, width in zip(panel, shared, strict=True):
            widths[k] = min(widths[k], width)
    headings = tuple(
        (column.heading,) if rotated and not column.wraps else _wrap(column.heading, width, size)
        for column, width in zip(columns, widths, strict=True)
    )
    lines = tuple(
        tuple(_wrap(cell, width, size) if column.wraps else (cell,) for cell in column.cells)
        for column, width in zip(columns, widths, strict=True)
    )
    starts = _starts(columns[0])
    return Layout(size, place, rotated, panels, headings, lines, _heights(columns, lines, starts, place), starts)


def _starts(names: Column) -> tuple[bool, ...]:
    """Mark the rows whose name differs from that of the row before; all rows if the first column has numbers."""
    before = (None, *names.cells[:-1])
    return tuple(not names.wraps or name != last for name, last in zip(names.cells, before, strict=False))


def _heights(
    columns: Sequence[Column],
    lines: tuple[tuple[tuple[str, ...], ...], ...],
    starts: tuple[bool, ...],
    place: Intervals,
) -> tuple[int, ...]:
    """Count the lines of each row; the last row that shares a name is as high as the name needs."""
    heights = [1] * len(starts)
    for column, wrapped in zip(columns[1:], lines[1:], strict=True):
        for row, cell in enumerate(wrapped):
            below = place == "below" and bool(column.intervals[row])
            heights[row] = max(heights[row], 2 if below else len(cell))
    first = 0
    for row, height in enumerate(heights):
        first = row if starts[row] else first
        if row + 1 == len(heights) or starts[row + 1]:
            heights[row] = max(height, len(lines[0][first]) - sum(heights[first:row]))
    return tuple(heights)


def _natural(column: Column, size: Size, place: Intervals) -> float:
    """Return the width of a column whose cells are not broken."""
    small = SCRIPT if size is not SCRIPT else size
    widest = 0.0
    for cell, interval, bold in zip(column.cells, column.intervals, column.bold, strict=True):
        value, limits = text_width(cell, size, bold=bold), text_width(interval, small)
        if place == "beside" and interval:
            value += text_width(" ", size) + limits
        widest = max(widest, value, limits if place == "below" else 0.0)
    return widest


def _heading_width(column: Column, size: Size, *, rotated: bool) -> float:
    """Return the least width of a heading: that of its longest piece, or the height of a rotated line."""
    if rotated and not column.wraps:
        return 1.1 * size.points
    return max((text_width(piece.rstrip(), size) for piece in pieces(column.heading)), default=0.0)


def _share(natural: list[float], least: list[float], room: float) -> list[float] | None:
    """Narrow the widest columns until all fit; None if they cannot."""
    if sum(least) > room:
        return None
    low, high = 0.0, max(natural)
    if sum(natural) <= room:
        return natural
    for _ in range(40):  # the widest that any column may be, by bisection
        middle = (low + high) / 2
        total = sum(max(few, min(many, middle)) for few, many in zip(least, natural, strict=True))
        low, high = (middle, high) if total <= room else (low, middle)
    return [max(few, min(many, low)) for few, many in zip(least, natural, strict=True)]


def _wrap(text: str, width: float, size: Size) -> tuple[str, ...]:
    """Break a text into lines of at most a width."""
    lines, line = [], ""
    for piece in pieces(text):
        if line and text_width((line + piece).rstrip(), size) > width + 0.01:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return (*lines, line.rstrip())


def _cost(layout: Layout, columns: Sequence[Column]) -> float:
    """Return how hard a layout is to read: omitted intervals weigh most, then broken cells, then small text."""
    place = {"beside": 0.0, "below": 1.0, "omitted": 3.0}[layout.intervals]
    size = {"small": 0.0, "footnotesize": 0.3, "scriptsize": 0.8}[layout.size.name]
    least = 2 if layout.intervals == "below" else 1
    broken = sum(layout.heights) / (least * len(layout.heights)) - 1 if layout.heights else 0.0
    torn = sum(
        any(not line.endswith(" ") and len(cell) > 1 for cell in wrapped for line in cell[:-1] if " " not in line)
        for column, wrapped in zip(columns, layout.lines, strict=True)
        if column.wraps
    )
    tall = max((len(lines) for lines in layout.headings), default=1) - 1
    return place + size + 0.8 * broken + 0.3 * torn + 0.15 * tall + 0.6 * layout.rotated
