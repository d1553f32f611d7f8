"""Draw small tables: one function a figure, ``(table, *, ax=None) -> Axes``.

Nothing here loads, computes a metric or keeps state: pyplot is not used, so figures may be drawn in any thread. A new
figure shows itself when a notebook cell ends in it or in its axes. Sizes and fonts follow the `theme` that is active
while drawing; colours belong to names, the same in every figure and widget. Whiskers say what they are.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes

from bglab.errors import BadInput
from bglab.figures.axes import (
    GREY,
    MARKER,
    ShownAxes,
    ShownFigure,
    draw_whiskers,
    group_width,
    images_text,
    legend_above,
    lines_high,
    model_name,
    name_groups,
    new_axes,
    note,
    one_line_names,
    points,
    readable_on,
    require,
    tidy,
)
from bglab.figures.theme import COLORS, VENUES, color_of, save, theme
from bglab.names import display_name

__all__ = [
    "COLORS", "VENUES", "ShownAxes", "ShownFigure", "color_of", "plot_accuracy", "plot_background_gap",
    "plot_categories", "plot_images", "plot_published", "save", "theme",
]  # fmt: skip


def plot_accuracy(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw accuracy as bars: one group a model, one bar a variant, whiskers for the interval.

    Args:
        table: From `bglab.analysis.accuracy`, one row a model and variant.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a bar.
    """
    require(table, ("model", "variant", "n", "top1", "top1_low", "top1_high"), once=["model", "variant"])
    models, variants = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["variant"]))
    ax = ax or new_axes(1.2 * matplotlib.rcParams["figure.figsize"][1])
    width = 0.84 / len(variants)
    for place, variant in enumerate(variants):
        bars = table.loc[table["variant"] == variant]
        x = np.array([models.index(m) for m in bars["model"]]) + (place - (len(variants) - 1) / 2) * width
        ax.bar(x, bars["top1"], 0.92 * width, color=color_of(variant), label=display_name(variant), zorder=2)
        draw_whiskers(ax, x, bars, "top1", vertical=True, color="#111111", room=width * group_width(ax, models))
    nine = "space" in table.columns and set(table["space"]) == {"in9"}
    if nine:
        ax.axhline(
            1 / 9, color=COLORS["chance"], linestyle=(0, (4, 3)), linewidth=0.9, zorder=1.5, label="Chance (1/9)"
        )
    name_groups(ax, models)
    ax.set_xlim(-0.5, len(models) - 0.5)
    ax.set_ylim(0, 1)
    ax.set_ylabel("Accuracy (%)")
    note(ax, f"Whiskers: 95 % Wilson intervals{images_text(table)}")
    tidy(ax, "y")
    legend_above(ax)
    return ax


def plot_background_gap(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw each model's background gap as a point with its interval, and the two accuracies it is made of.

    Args:
        table: From `bglab.analysis.background_gap`, one row a model.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or a model has two rows.
    """
    require(table, ("model", "n", "same", "rand", "gap", "gap_low", "gap_high"), once=["model"])
    ax = ax or new_axes(lines_high(4 + 2.6 * len(table)))
    y = np.arange(len(table))
    draw_whiskers(ax, y, table, "gap", vertical=False, color=COLORS["ours"])
    ax.plot(table["gap"], y, "o", color=COLORS["ours"], markersize=MARKER * points("medium"), zorder=3)
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
    ax.set_yticks(y, [model_name(m) for m in table["model"]])
    ax.set_ylim(len(table) - 0.5, -0.7)
    ax.set_xlabel("BG-Gap (percentage points)")
    note(ax, f"Mixed-Same − Mixed-Rand; whiskers: 95 % Newcombe intervals, paired{images_text(table)}")
    tidy(ax, "x")
    ax.margins(x=0.12)
    return ax


def plot_categories(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the five categories as one stacked bar a model (Noise or Signal, Figure 7).

    Args:
        table: From `bglab.analysis.categories`, one row a model and category.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a segment.
    """
    require(table, ("model", "category", "n", "share"), once=["model", "category"])
    segments = table.loc[table["category"] != "bg_fools_strict"]  # part of bg_fools
    shares = segments.pivot_table(index="model", columns="category", values="share", sort=False)
    ax = ax or new_axes(lines_high(6 + 2.4 * len(shares)))
    start = np.zeros(len(shares))
    for category in shares.columns:
        share = shares[category].to_numpy()
        label = str(category).replace("bg_fg", "BG+FG").replace("bg_", "BG_").replace("_", " ")
        bars = ax.barh(range(len(shares)), share, 0.62, start, color=color_of(str(category)), label=label, zorder=2)
        texts = [f"{100 * s:.0f}" if s >= 0.04 else "" for s in share]
        ax.bar_label(bars, texts, label_type="center", fontsize="small", color=readable_on(color_of(str(category))))
        start += share
    ax.set_yticks(range(len(shares)), [model_name(str(m)) for m in shares.index])
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel(f"Share of scenes (%){images_text(table)}")
    tidy(ax, "x")
    legend_above(ax)
    return ax


def plot_published(table: pd.DataFrame, *, quantity: str = "Accuracy", ax: Axes | None = None) -> Axes:
    """Draw our numbers and the printed ones on one line each.

    Args:
        table: From `bglab.analysis.with_published`; rows without a printed number are left out.
        quantity: What the numbers are, for the axis.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or no row has a printed number.
    """
    require(table, ("ours", "ours_low", "ours_high", "published"))
    table = table.loc[table["published"].notna()]
    if table.empty:
        raise BadInput("expected rows with a printed number, got none; match more with bglab.analysis.with_published")
    ax = ax or new_axes(lines_high(7 + 1.6 * len(table)))
    y = np.arange(len(table))
    ax.hlines(y, table["ours"], table["published"], color="#AAAAAA", linewidth=1.5, zorder=1)
    draw_whiskers(ax, y, table, "ours", vertical=False, color=COLORS["ours"])
    ax.plot(table["ours"], y, "o", color=COLORS["ours"], markersize=MARKER * points("medium"), zorder=3, label="Ours")
    ax.plot(
        table["published"], y, "D", markerfacecolor="none", markeredgecolor=COLORS["published"], markeredgewidth=1.2,
        markersize=MARKER * points("medium"), zorder=4, label="Published",
    )  # fmt: skip
    ax.set_yticks(y, _row_names(table))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel(f"{quantity} (%)")
    note(ax, f"Whiskers: 95 % intervals of ours{images_text(table)}; the papers print none")
    tidy(ax, "x")
    legend_above(ax)
    return ax


def plot_images(
    images: Sequence[UInt8[np.ndarray, "3 _h _w"]],
    titles: Sequence[str],
    *,
    labels: Sequence[str] = (),
    predictions: Sequence[str] = (),
    columns: int = 4,
    ax: Axes | None = None,
) -> Axes:
    """Lay images out in a grid, each with its title and, as in Noise or Signal's Figure 1, the answer below.

    A right answer is green and ticked, a wrong one red and crossed, so that the mark alone tells. Where the true
    classes differ from image to image, a wrong answer also names the true one.

    Args:
        images: RGB, 0-255, of any size.
        titles: One an image.
        labels: The true class of each; leave empty to show no answers.
        predictions: The model's answer to each.
        columns: Images in a row.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If the lengths differ or there is no image.
    """
    if not len(images) or {len(titles), len(labels) or len(images), len(predictions)} - {0} != {len(images)}:
        raise BadInput(
            f"expected as many titles, labels and predictions as images, got {len(images)} images, "
            f"{len(titles)} titles, {len(labels)} labels and {len(predictions)} predictions"
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = matplotlib.rcParams["figure.figsize"][0] / columns  # inches of a cell
    line = 1.35 * points("small") / 72 / size  # height of a line of text in cells
    several = len(set(labels)) > 1
    step = 0.94 + line * (1.4 + bool(predictions) + several)
    ax = ax or new_axes(rows * step * size)
    for place, image in enumerate(images):
        x, y = place % columns, place // columns * step
        height, width = (side / max(image.shape[1:]) * 0.94 for side in image.shape[1:])
        left, top = x + (1 - width) / 2, y + line + (0.94 - height) / 2
        ax.imshow(image.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(x + 0.5, y + line * 0.9, titles[place], ha="center", va="bottom", fontsize="small")
        if predictions:
            right = labels[place] == predictions[place] if labels else None
            truth = f"\ntrue: {labels[place]}" if several and not right else ""
            _answer(ax, x + 0.5, y + line * 1.15 + 0.94, predictions[place] + truth, right=right)
    ax.set(xlim=(0, columns), ylim=(rows * step, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _row_names(table: pd.DataFrame) -> list[str]:
    """Name each row by what tells it apart: variant, model, or both."""
    models = table["model"].tolist() if "model" in table.columns else [""] * len(table)
    names = one_line_names(models) if len(set(models)) > 1 or "variant" not in table.columns else [""] * len(table)
    variants = table["variant"].map(display_name) if "variant" in table.columns else [""] * len(table)
    return [" · ".join(part for part in parts if part) for parts in zip(variants, names, strict=True)]


def _answer(ax: Axes, x: float, y: float, answer: str, *, right: bool | None) -> None:
    mark, color = {True: ("✓ ", COLORS["right"]), False: ("✗ ", COLORS["wrong"]), None: ("", GREY)}[right]
    families = [*matplotlib.rcParams["font.family"], "DejaVu Sans"]  # the last one has the marks
    ax.text(x, y, mark + answer, ha="center", va="top", fontsize="small", color=color, fontfamily=families)
