"""The page of an audit card: large numbers, measures with intervals beside those of other models, and captures."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from bglab.figures.axes import GREY, ShownFigure, require
from bglab.figures.theme import COLORS

#: Colours of the model and of those beside it, legible on white and on black.
CARD_COLORS = ("#D55E00", "#3B8FD0", "#2A9D7F", "#A877B8", "#8C8C8C")

#: A4 in inches, and its margin; US letter is wider and shorter, so the page leaves room below.
_WIDTH, _HEIGHT, _MARGIN = 8.27, 11.69, 0.55
_SOFT = "#6A6A6A"
_LINE, _ROW = 0.155, 0.28
#: Most lines of notes that a page has room for; files of other formats have all.
_MOST_NOTES = 8
#: Axis of each unit: limits, distance of ticks, and the factor of the tick labels.
_AXES = {"share": ((0.0, 1.0), 0.25, 100), "points": ((-0.5, 0.5), 0.25, 100), "index": ((-1.0, 1.0), 0.5, 1)}

Captured = tuple[UInt8[np.ndarray, "3 _ _"], UInt8[np.ndarray, "3 _ _"], str, str]


class CardTexts(NamedTuple):
    """Texts of a card's page.

    Attributes:
        title: Name of the model.
        about: Lines below the title: weights and data.
        headlines: Large numbers: value, interval, name.
        notes: Lines above the footer: what is missing, and why.
        footer: Lines at the foot: command, versions, credit.
    """

    title: str
    about: tuple[str, ...]
    headlines: tuple[tuple[str, str, str], ...]
    notes: tuple[str, ...]
    footer: tuple[str, ...]


def draw_card(
    table: pd.DataFrame,
    names: Sequence[str],
    titles: Mapping[str, tuple[str, str]],
    captures: Sequence[Captured],
    texts: CardTexts,
) -> Figure:
    """Draw an audit card on one A4 page.

    Args:
        table: One row per model and measure: ``[model, measure, value, low, high, chance]``; the first model is the
            card's own.
        names: Headings of the models, in the order of the table.
        titles: Title and unit (``share``, ``points`` or ``index``) of each measure, in the order of the page.
        captures: Own image, captured image, caption of the capture, caption of the own image; five fit.
        texts: All other texts.

    Raises:
        BadInput: If a column is missing, or the table has no rows.
    """
    require(table, ("model", "measure", "value", "low", "high", "chance"))
    figure = ShownFigure(figsize=(_WIDTH, _HEIGHT), facecolor="white")
    page = _Page(figure)
    page.write(texts.title, size=_title_size(texts.title), weight="bold", step=0.36, wrap=80)
    for line in texts.about:
        page.write(line, size=8, color=_SOFT, wrap=118)
    page.skip(0.16)
    _draw_headlines(page, texts.headlines)
    page.skip(0.12)
    _draw_measures(page, table, names, titles)
    notes = [line for text in texts.notes for line in textwrap.wrap(text, 125)][:_MOST_NOTES]
    footer = [line for text in texts.footer if text for line in textwrap.wrap(text, 140)]
    foot = 0.75 * _MARGIN + 0.115 * len(footer)
    if captures:
        page.skip(0.12)
        _draw_captures(page, captures[:5], room=page.top - foot - 0.15 - 0.14 * len(notes))
    for line in notes:
        page.text(_MARGIN, page.top, line, size=7.5, color=GREY)
        page.skip(0.14)
    for place, line in enumerate(footer):
        page.text(_MARGIN, foot - 0.115 * place, line, size=6, color=_SOFT)
    return figure


class _Page:
    """A figure that is filled from above; lengths are in inches."""

    def __init__(self, figure: Figure) -> None:
        self.figure = figure
        self.top = _HEIGHT - _MARGIN

    def skip(self, height: float) -> None:
        self.top -= height

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Add axes by their left upper corner."""
        return self.figure.add_axes(
            (left / _WIDTH, (top - height) / _HEIGHT, width / _WIDTH, height / _HEIGHT)
        )  # fmt: skip

    def text(self, x: float, y: float, text: str, **style: object) -> None:
        """Write a text; a dollar sign is one, not the start of a formula."""
        shown = "".join(mark if mark.isprintable() or mark == "\n" else "\ufffd" for mark in text)
        self.figure.text(x / _WIDTH, y / _HEIGHT, shown, parse_math=False, va="top", **style)  # pyright: ignore[reportArgumentType]

    def write(self, text: str, *, wrap: int, step: float = _LINE, **style: object) -> None:
        """Write a paragraph at the left margin, and go on below it."""
        for line in textwrap.wrap(text, wrap) or [""]:
            self.text(_MARGIN, self.top, line, **style)
            self.skip(step)


def _title_size(title: str) -> float:
    return 18 if len(title) <= 44 else max(9.0, 18 * 44 / len(title))


def _draw_headlines(page: _Page, headlines: Sequence[tuple[str, str, str]]) -> None:
    width = (_WIDTH - 2 * _MARGIN) / max(len(headlines), 1)
    for place, (value, interval, name) in enumerate(headlines):
        x = _MARGIN + place * width
        page.text(x, page.top, value, size=18, weight="bold", color=CARD_COLORS[0])
        below = "\n".join([*filter(None, interval.split("; ")), *textwrap.wrap(name, 18)])
        page.text(x, page.top - 0.36, below, size=7.5, color=GREY, linespacing=1.3)
    page.skip(0.95)


def _draw_measures(
    page: _Page, table: pd.DataFrame, names: Sequence[str], titles: Mapping[str, tuple[str, str]]
) -> None:
    """Draw a row per measure: title, dots with intervals, and the numbers of each model."""
    label, least = 1.5, 2.05
    column = min(0.9, (_WIDTH - 2 * _MARGIN - label - least - 0.15) / len(names))
    # the plot takes what few models leave
    plot = _WIDTH - 2 * _MARGIN - label - 0.15 - column * len(names)
    left = _MARGIN + label
    depth = max(name.count("\n") for name in names) + 1
    longest = max(len(line) for name in names for line in name.split("\n"))
    size = min(7.5, 72 * column / (0.72 * longest))
    for place, name in enumerate(names):
        right = left + plot + 0.15 + (place + 1) * column
        lowered = "\n" * (depth - 1 - name.count("\n")) + name
        page.text(right, page.top, lowered, size=size, weight="bold", ha="right", color=CARD_COLORS[place % 5],
                  linespacing=1.1)  # fmt: skip
    page.skip(0.13 * depth + 0.06)
    rows = {key: part for key, part in table.groupby("measure", sort=False)}
    for unit, (limits, step, factor) in _AXES.items():
        some = [name for name, (_, kind) in titles.items() if kind == unit and name in rows]
        if not some:
            continue
        height = _ROW * len(some)
        ax = page.axes(left, page.top, plot, height)
        for place, name in enumerate(some):
            _draw_row(ax, place, rows[name])
            y = page.top - _ROW * place - 0.075
            page.text(_MARGIN, y, titles[name][0], size=8.5)
            for i, row in enumerate(rows[name].itertuples(index=False)):
                right = left + plot + 0.15 + (i + 1) * column
                _write_number(page, right, y + 0.04, row, factor)
        wide = max(
            limits[1], float(np.nanmax(np.abs(table.loc[table["measure"].isin(some), ["low", "high"]]), initial=0))
        )
        ax.set_xlim(-wide if limits[0] < 0 else 0, wide)
        _tidy(ax, len(some), step, factor)
        page.skip(height + 0.27)


def _draw_row(ax: Axes, place: int, rows: pd.DataFrame) -> None:
    heights = place + (np.arange(len(rows)) - (len(rows) - 1) / 2) * min(0.2, 0.72 / max(len(rows), 1))
    ends = (rows[name].tolist() for name in ("value", "low", "high"))
    for i, (y, value, low, high) in enumerate(zip(heights, *ends, strict=True)):
        color = CARD_COLORS[i % len(CARD_COLORS)]
        ax.hlines(y, low, high, color=color, linewidth=1.5 if i == 0 else 0.9)
        ax.plot([value], [y], "o", color=color, markersize=4.2 if i == 0 else 2.8, clip_on=False, zorder=3)
    chances = rows["chance"].dropna()
    if len(chances):
        ax.vlines(chances.iloc[0], place - 0.42, place + 0.42, color=COLORS["chance"], linewidth=1.2, linestyle=":")


def _write_number(page: _Page, right: float, y: float, row: object, factor: int) -> None:
    digits = 1 if factor == 100 else 2

    def text(value: float) -> str:
        return f"{factor * value:z.{digits}f}".replace("100.0", "100").replace("-", "−")

    value, low, high = (getattr(row, name) for name in ("value", "low", "high"))
    page.text(right, y, "–" if np.isnan(value) else text(value), size=8, ha="right")
    if not np.isnan(low) and not np.isnan(high):
        page.text(right, y - 0.125, f"[{text(low)}, {text(high)}]", size=6, ha="right", color=_SOFT)


def _tidy(ax: Axes, count: int, step: float, factor: int) -> None:
    ax.set_ylim(count - 0.5, -0.5)
    ax.set_yticks([])
    ax.xaxis.set_major_locator(MultipleLocator(step))
    ax.xaxis.set_major_formatter(lambda x, _: f"{factor * x:.4g}".replace("-", "−"))
    ax.tick_params(axis="x", labelsize=6.5, length=2, width=0.5, color=_SOFT, labelcolor=_SOFT, pad=2)
    ax.grid(visible=True, axis="x", color="#E4E4E4", linewidth=0.6)
    ax.set_axisbelow(True)
    ax.spines[["top", "left", "right"]].set_visible(False)
    ax.spines["bottom"].set_color("#BBBBBB")
    ax.hlines(np.arange(1, count) - 0.5, *ax.get_xlim(), color="#EFEFEF", linewidth=0.6, zorder=0)
    if ax.get_xlim()[0] < 0:
        ax.axvline(0, color="#9A9A9A", linewidth=0.8, zorder=1)


def _draw_captures(page: _Page, captures: Sequence[Captured], room: float) -> None:
    """Draw pairs of images, the object's own above, in some height."""
    heading = "The clearest captures: in its own image, and on a background that captures it"
    page.text(_MARGIN, page.top, heading, size=9, weight="bold")
    page.skip(0.2)
    gap = 0.12
    column = (_WIDTH - 2 * _MARGIN - 4 * gap) / 5
    side = min(column, (room - 0.72) / 2)
    for place, (own, captured, caption, below) in enumerate(captures):
        x = _MARGIN + place * (column + gap)
        for top, image in ((page.top, own), (page.top - side - 0.2, captured)):
            ax = page.axes(x, top, side, side)
            ax.imshow(image.transpose(1, 2, 0), interpolation="lanczos")
            ax.set_axis_off()
        page.text(x, page.top - side - 0.03, below, size=7, color=COLORS["correct"])
        lines = textwrap.wrap(caption, 27)[:2]
        page.text(x, page.top - 2 * side - 0.23, "\n".join(lines), size=7, color=COLORS["incorrect"])
    page.skip(2 * side + 0.52)
