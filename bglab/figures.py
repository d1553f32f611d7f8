"""Draw small tables: one function a figure, ``(table, *, ax=None) -> Axes``.

Nothing here loads, computes a metric or keeps state: pyplot is not used, so figures may be drawn in any thread. A new
figure shows itself when a notebook cell ends in it or in its axes. Sizes and fonts follow the `theme` that is active
while drawing; colours belong to names, the same in every figure and widget. Whiskers say what they are.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Literal

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Num, UInt8
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.ticker import MaxNLocator

from bglab.errors import BadInput
from bglab.labels import display_name
from bglab.themes import COLORS, VENUES, color_of, figure_of, save, theme

__all__ = [
    "COLORS", "VENUES", "ShownAxes", "ShownFigure", "color_of", "plot_accuracy", "plot_background_gap",
    "plot_categories", "plot_pictures", "plot_published", "save", "theme",
]  # fmt: skip

_GREY = "#444444"
_MARKER = 0.5  # of the text size


class ShownFigure(Figure):
    """A figure without pyplot that a notebook displays: photographs as JPEG, which takes a tenth, drawings as PNG."""

    def _repr_png_(self) -> bytes | None:
        if self._shows_pictures():
            return None
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_jpeg_(self) -> bytes | None:
        if not self._shows_pictures():
            return None
        buffer = io.BytesIO()
        self.savefig(buffer, format="jpeg", dpi=110, pil_kwargs={"quality": 82})
        return buffer.getvalue()

    def _shows_pictures(self) -> bool:
        return any(ax.images for ax in self.axes)


class ShownAxes(Axes):
    """Axes that a notebook displays as their figure."""

    def _repr_png_(self) -> bytes | None:
        shown = self.figure
        return shown._repr_png_() if isinstance(shown, ShownFigure) else None

    def _repr_jpeg_(self) -> bytes | None:
        shown = self.figure
        return shown._repr_jpeg_() if isinstance(shown, ShownFigure) else None


def plot_accuracy(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy as bars: one group a model, one bar a variant, whiskers for the interval.

    Args:
        table: From `bglab.metrics.accuracy`, one row a model and variant.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a bar.
    """
    _require(table, ("model", "variant", "n", "top1", "top1_low", "top1_high"), once=["model", "variant"])
    models, variants = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["variant"]))
    ax = ax or _axes(1.2 * matplotlib.rcParams["figure.figsize"][1])
    width = 0.84 / len(variants)
    for place, variant in enumerate(variants):
        bars = table.loc[table["variant"] == variant]
        x = np.array([models.index(m) for m in bars["model"]]) + (place - (len(variants) - 1) / 2) * width
        ax.bar(x, bars["top1"], 0.92 * width, color=color_of(variant), label=display_name(variant), zorder=2)
        _whiskers(ax, x, bars, "top1", vertical=True, color="#111111", room=width * _group_width(ax, models))
    nine = "space" in table.columns and set(table["space"]) == {"in9"}
    if nine:
        ax.axhline(
            1 / 9, color=COLORS["chance"], linestyle=(0, (4, 3)), linewidth=0.9, zorder=1.5, label="Chance (1/9)"
        )
    _name_groups(ax, models)
    ax.set_xlim(-0.5, len(models) - 0.5)
    ax.set_ylim(0, 1)
    ax.set_ylabel("Accuracy (%)")
    _note(ax, f"Whiskers: 95 % Wilson intervals{_pictures(table)}")
    _tidy(ax, "y")
    _legend_above(ax)
    return ax


def plot_background_gap(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw each model's background gap as a point with its interval, and the two accuracies it is made of.

    Args:
        table: From `bglab.metrics.background_gap`, one row a model.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or a model has two rows.
    """
    _require(table, ("model", "n", "same", "rand", "gap", "gap_low", "gap_high"), once=["model"])
    ax = ax or _axes(_lines(4 + 2.6 * len(table)))
    y = np.arange(len(table))
    _whiskers(ax, y, table, "gap", vertical=False, color=COLORS["ours"])
    ax.plot(table["gap"], y, "o", color=COLORS["ours"], markersize=_MARKER * _points("medium"), zorder=3)
    for place, row in zip(y, table.to_dict("records"), strict=True):
        text = f"{100 * row['gap']:.1f}  ({100 * row['same']:.1f} − {100 * row['rand']:.1f})".replace("-", "−")
        if row["gap"] == row["gap"]:
            ax.annotate(
                text,
                (row["gap"], place),
                (0, 6),
                textcoords="offset points",
                ha="center",
                va="bottom",
                fontsize="small",
            )
    ax.axvline(0, color=COLORS["chance"], linewidth=0.8, zorder=1)
    ax.set_yticks(y, [_model_name(m) for m in table["model"]])
    ax.set_ylim(len(table) - 0.5, -0.7)
    ax.set_xlabel("BG-Gap (percentage points)")
    _note(ax, f"Mixed-Same − Mixed-Rand; whiskers: 95 % Newcombe intervals, paired{_pictures(table)}")
    _tidy(ax, "x")
    ax.margins(x=0.12)
    return ax


def plot_categories(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the five categories as one stacked bar a model (Noise or Signal, Figure 7).

    Args:
        table: From `bglab.metrics.categories`, one row a model and category.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a segment.
    """
    _require(table, ("model", "category", "n", "share"), once=["model", "category"])
    segments = table.loc[table["category"] != "bg_fools_strict"]  # part of bg_fools
    shares = segments.pivot_table(index="model", columns="category", values="share", sort=False)
    ax = ax or _axes(_lines(6 + 2.4 * len(shares)))
    start = np.zeros(len(shares))
    for category in shares.columns:
        share = shares[category].to_numpy()
        label = str(category).replace("bg_fg", "BG+FG").replace("bg_", "BG_").replace("_", " ")
        bars = ax.barh(range(len(shares)), share, 0.62, start, color=color_of(str(category)), label=label, zorder=2)
        texts = [f"{100 * s:.0f}" if s >= 0.04 else "" for s in share]
        ax.bar_label(bars, texts, label_type="center", fontsize="small", color=_readable(color_of(str(category))))
        start += share
    ax.set_yticks(range(len(shares)), [_model_name(str(m)) for m in shares.index])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"Share of scenes (%){_pictures(table)}")
    _tidy(ax, "x")
    _legend_above(ax)
    return ax


def plot_published(table: pd.DataFrame, *, quantity: str = "Accuracy", ax: Axes | None = None) -> Axes:
    """Draw our numbers and the printed ones on one line each.

    Args:
        table: From `bglab.tables.beside`; rows without a printed number are left out.
        quantity: What the numbers are, for the axis.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or no row has a printed number.
    """
    _require(table, ("ours", "ours_low", "ours_high", "published"))
    table = table.loc[table["published"].notna()]
    if table.empty:
        raise BadInput("expected rows with a printed number, got none; match more with bglab.tables.beside")
    ax = ax or _axes(_lines(7 + 1.6 * len(table)))
    y = np.arange(len(table))
    ax.hlines(y, table["ours"], table["published"], color="#AAAAAA", linewidth=1.5, zorder=1)
    _whiskers(ax, y, table, "ours", vertical=False, color=COLORS["ours"])
    ax.plot(table["ours"], y, "o", color=COLORS["ours"], markersize=_MARKER * _points("medium"), zorder=3, label="Ours")
    ax.plot(
        table["published"], y, "D", markerfacecolor="none", markeredgecolor=COLORS["published"], markeredgewidth=1.2,
        markersize=_MARKER * _points("medium"), zorder=4, label="Published",
    )  # fmt: skip
    ax.set_yticks(y, _row_names(table))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel(f"{quantity} (%)")
    _note(ax, f"Whiskers: 95 % intervals of ours{_pictures(table)}; the papers print none")
    _tidy(ax, "x")
    _legend_above(ax)
    return ax


def plot_pictures(
    pictures: Sequence[UInt8[np.ndarray, "3 _h _w"]],
    titles: Sequence[str],
    *,
    labels: Sequence[str] = (),
    predictions: Sequence[str] = (),
    columns: int = 4,
    ax: Axes | None = None,
) -> Axes:
    """Lay pictures out in a grid, each with its title and, as in Noise or Signal's Figure 1, the answer below.

    A right answer is green and ticked, a wrong one red and crossed, so that the mark alone tells. Where the true
    classes differ from picture to picture, a wrong answer also names the true one.

    Args:
        pictures: RGB, 0-255, of any size.
        titles: One a picture.
        labels: The true class of each; leave empty to show no answers.
        predictions: The model's answer to each.
        columns: Pictures in a row.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If the lengths differ or there is no picture.
    """
    if not len(pictures) or {len(titles), len(labels) or len(pictures), len(predictions)} - {0} != {len(pictures)}:
        raise BadInput(
            f"expected as many titles, labels and predictions as pictures, got {len(pictures)} pictures, "
            f"{len(titles)} titles, {len(labels)} labels and {len(predictions)} predictions"
        )
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    size = matplotlib.rcParams["figure.figsize"][0] / columns  # inches of a cell
    line = 1.35 * _points("small") / 72 / size  # height of a line of text in cells
    several = len(set(labels)) > 1
    step = 0.94 + line * (1.4 + bool(predictions) + several)
    ax = ax or _axes(rows * step * size)
    for place, picture in enumerate(pictures):
        x, y = place % columns, place // columns * step
        height, width = (side / max(picture.shape[1:]) * 0.94 for side in picture.shape[1:])
        left, top = x + (1 - width) / 2, y + line + (0.94 - height) / 2
        ax.imshow(picture.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(x + 0.5, y + line * 0.9, titles[place], ha="center", va="bottom", fontsize="small")
        if predictions:
            right = labels[place] == predictions[place] if labels else None
            truth = f"\ntrue: {labels[place]}" if several and not right else ""
            _answer(ax, x + 0.5, y + line * 1.15 + 0.94, predictions[place] + truth, right=right)
    ax.set(xlim=(0, columns), ylim=(rows * step, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _axes(height: float) -> Axes:
    """Make a figure as wide as the theme says and as high as told (inches), with one plot in it."""
    figure = ShownFigure(figsize=(matplotlib.rcParams["figure.figsize"][0], height), layout="constrained")
    return figure.add_subplot(axes_class=ShownAxes)


def _whiskers(
    ax: Axes,
    at: Num[np.ndarray, " k"],
    table: pd.DataFrame,
    name: str,
    *,
    vertical: bool,
    color: str,
    room: float = 12,
) -> None:
    """Draw intervals from ``<name>_low`` to ``<name>_high``, thinner where the room across them (points) is scarce."""
    thickness = min(matplotlib.rcParams["lines.linewidth"], 0.22 * room)
    draw = ax.vlines if vertical else ax.hlines
    halo = withStroke(linewidth=1.7 * thickness, foreground="white")  # shows a dark whisker on a dark bar
    lines = draw(at, table[f"{name}_low"], table[f"{name}_high"], color=color, linewidth=thickness, zorder=2.5)
    lines.set_path_effects([halo])


def _tidy(ax: Axes, along: Literal["x", "y"]) -> None:
    """Show fractions as percent, a light grid along the numbers, no frame."""
    axis = ax.xaxis if along == "x" else ax.yaxis
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.4g}".replace("-", "−"))
    ax.grid(visible=True, axis=along, color="#E4E4E4", linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    (ax.yaxis if along == "x" else ax.xaxis).set_tick_params(length=0)


def _legend_above(ax: Axes) -> None:
    """Put the legend over the plot, in as many columns as fit, to be read row by row."""
    handles, texts = ax.get_legend_handles_labels()
    entries = sorted(zip(texts, handles, strict=True), key=lambda entry: entry[0].startswith("Chance"))
    width = figure_of(ax).get_size_inches()[0] * 72
    letters = max(len(text) for text in texts) + 4
    fitting = max(1, min(len(entries), int(width / (0.62 * letters * _points(matplotlib.rcParams["legend.fontsize"])))))
    columns = -(-len(entries) // -(-len(entries) // fitting))
    entries = [entry for column in range(columns) for entry in entries[column::columns]]  # matplotlib fills downwards
    ax.legend(
        [handle for _, handle in entries], [text for text, _ in entries], loc="lower right", bbox_to_anchor=(1, 1),
        ncols=columns, frameon=False, handlelength=1.2, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


def _note(ax: Axes, text: str) -> None:
    """Write a remark under the axis label, flush right so that it may run under the names of the rows."""
    ax.annotate(
        text, (1, 0), (0, -2), xycoords=("axes fraction", ax.xaxis.label), textcoords="offset points", ha="right",
        va="top", fontsize="small", color=_GREY, annotation_clip=False,
    )  # fmt: skip


def _pictures(table: pd.DataFrame) -> str:
    """Say how many pictures stand behind each number, or nothing where the table does not."""
    if "n" not in table.columns:
        return ""
    counts = table["n"].to_numpy(np.int64)
    low, high = counts.min(), counts.max()
    return f"; n = {low:,}" if low == high else f"; n = {low:,} to {high:,}"


def _model_name(model: str) -> str:
    """Break a long identifier of weights into two lines; the part before the colon says where they come from."""
    name = model.partition(":")[2] or model
    for mark in ("/", "."):
        if mark in name and len(name) > 14:
            return name.replace(mark, "\n", 1)
    return name


def _one_line_names(models: Sequence[str]) -> list[str]:
    """Name models in one line each, without the tag of the weights where the rest tells them apart."""
    names = [_model_name(model) for model in models]
    short = [name.split("\n")[0] for name in names]
    return short if len(set(short)) == len(set(models)) else [name.replace("\n", " ") for name in names]


def _group_width(ax: Axes, models: Sequence[str]) -> float:
    """Estimate the width of a group of bars in points, before the layout is known."""
    return 0.85 * figure_of(ax).get_size_inches()[0] * 72 / len(models)


def _name_groups(ax: Axes, models: Sequence[str]) -> None:
    """Name groups of bars, aslant where the names would run into each other."""
    names = [_model_name(model) for model in models]
    widest = max(len(line) for name in names for line in name.split("\n"))
    if widest * 0.56 * _points(matplotlib.rcParams["xtick.labelsize"]) <= _group_width(ax, models):
        ax.set_xticks(range(len(models)), names)
    else:
        ax.set_xticks(range(len(models)), _one_line_names(models), rotation=30, ha="right", rotation_mode="anchor")


def _row_names(table: pd.DataFrame) -> list[str]:
    """Name each row by what tells it apart: variant, model, or both."""
    models = table["model"].tolist() if "model" in table.columns else [""] * len(table)
    names = _one_line_names(models) if len(set(models)) > 1 or "variant" not in table.columns else [""] * len(table)
    variants = table["variant"].map(display_name) if "variant" in table.columns else [""] * len(table)
    return [" · ".join(part for part in parts if part) for parts in zip(variants, names, strict=True)]


def _answer(ax: Axes, x: float, y: float, answer: str, *, right: bool | None) -> None:
    mark, color = {True: ("✓ ", COLORS["right"]), False: ("✗ ", COLORS["wrong"]), None: ("", _GREY)}[right]
    families = [*matplotlib.rcParams["font.family"], "DejaVu Sans"]  # the last one has the marks
    ax.text(x, y, mark + answer, ha="center", va="top", fontsize="small", color=color, fontfamily=families)


def _readable(color: str) -> str:
    """Choose black or white text for a coloured ground."""
    red, green, blue = to_rgb(color)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def _points(size: str | float) -> float:
    return font_manager.FontProperties(size=size).get_size_in_points()


def _lines(count: float) -> float:
    """Give the height of so many lines of text in inches."""
    return count * 1.2 * _points("medium") / 72


def _require(table: pd.DataFrame, columns: Sequence[str], *, once: Sequence[str] = ()) -> None:
    """Refuse a table that lacks a column, is empty, or has two rows for one mark."""
    missing = [c for c in columns if c not in table.columns]
    if missing or table.empty:
        what = f"no column '{missing[0]}'" if missing else "no rows"
        raise BadInput(f"expected a table with {', '.join(columns)} and at least one row, got {what}")
    if once and len(set(zip(*(table[c] for c in once), strict=True))) < len(table):
        raise BadInput(
            f"expected one row for each {' and '.join(once)}, got several; select one data set or space first"
        )
