"""Plots of accuracy, background gap, categories and published numbers, and grids of images.

Each function takes a small table and returns axes, ``(table, *, ax=None) -> Axes``; nothing here loads data, computes
a metric or keeps state. pyplot is not used, so figures can be drawn in any thread; a new figure is displayed when it
or its axes are the last value of a notebook cell. Sizes and fonts follow the active `theme`; colours belong to names
and are the same in every figure and widget. Captions say what the error bars are.
"""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.patheffects import withStroke

from bglab.errors import BadInput
from bglab.figures.axes import (
    MARKER,
    correctness_mark,
    count_text,
    draw_error_bars,
    group_names_height,
    group_width,
    height_of_lines,
    in_lines,
    legend_above,
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
from bglab.figures.theme import COLORS, color_of
from bglab.names import display_name


def plot_accuracy(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot accuracy as grouped bars: one group per model, one bar per variant, with error bars.

    Args:
        table: From `bglab.analysis.accuracy`, one row per model and variant.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model and variant have several rows.
    """
    require(table, ("model", "variant", "n", "top1", "top1_low", "top1_high"), once=["model", "variant"])
    models, variants = list(dict.fromkeys(table["model"])), list(dict.fromkeys(table["variant"]))
    ax = ax or new_axes(1.2 * matplotlib.rcParams["figure.figsize"][1] + group_names_height(models))
    width = 0.84 / len(variants)
    for place, variant in enumerate(variants):
        bars = table.loc[table["variant"] == variant]
        x = np.array([models.index(m) for m in bars["model"]]) + (place - (len(variants) - 1) / 2) * width
        ax.bar(x, bars["top1"], 0.92 * width, color=color_of(variant), label=display_name(variant), zorder=2)
        draw_error_bars(ax, x, bars, "top1", vertical=True, color="#111111", room=width * group_width(ax, models))
    nine = "space" in table.columns and set(table["space"]) == {"in9"}
    if nine:
        ax.axhline(
            1 / 9, color=COLORS["chance"], linestyle=(0, (4, 3)), linewidth=0.9, zorder=1.5, label="Chance (1/9)"
        )
    name_groups(ax, models)
    ax.set_xlim(-0.5, len(models) - 0.5)
    ax.set_ylim(0, 1)
    ax.set_ylabel("Accuracy (%)")
    note(ax, f"Error bars: 95 % Wilson intervals{count_text(table)}")
    tidy(ax, "y")
    legend_above(ax)
    return ax


def plot_background_gap(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the background gap of each model as a point with its interval, annotated with the two accuracies.

    Args:
        table: From `bglab.analysis.background_gap`, one row per model.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model has several rows.
    """
    require(table, ("model", "n", "same", "rand", "gap", "gap_low", "gap_high"), once=["model"])
    ax = ax or new_axes(height_of_lines(4 + 2.6 * len(table)))
    y = np.arange(len(table))
    draw_error_bars(ax, y, table, "gap", vertical=False, color=COLORS["ours"])
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
                path_effects=[withStroke(linewidth=2, foreground="white")],
            )
    ax.axvline(0, color=COLORS["chance"], linewidth=0.8, zorder=1)
    ax.set_yticks(y, [model_name(m) for m in table["model"]])
    ax.set_ylim(len(table) - 0.5, -0.7)
    ax.set_xlabel("BG-Gap (percentage points)")
    note(ax, f"Mixed-Same − Mixed-Rand; error bars: 95 % Newcombe intervals, paired{count_text(table)}")
    tidy(ax, "x")
    ax.margins(x=0.12)
    return ax


def plot_categories(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the five categories as one stacked bar per model (Noise or Signal, Figure 7).

    Args:
        table: From `bglab.analysis.categories`, one row per model and category.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model and category have several rows.
    """
    require(table, ("model", "category", "n", "share"), once=["model", "category"])
    segments = table.loc[table["category"] != "bg_fools_strict"]  # contained in bg_fools
    shares = segments.pivot_table(index="model", columns="category", values="share", sort=False)
    ax = ax or new_axes(height_of_lines(6 + 2.4 * len(shares)))
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
    ax.set_xlabel(f"Share of scenes (%){count_text(table)}")
    tidy(ax, "x")
    legend_above(ax)
    return ax


def plot_published(table: pd.DataFrame, *, quantity: str = "Accuracy", ax: Axes | None = None) -> Axes:
    """Plot our numbers and the published ones as two points per row.

    Args:
        table: From `bglab.analysis.with_published`; rows without a published number are left out.
        quantity: Name of the quantity, for the axis label.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or no row has a published number.
    """
    require(table, ("ours", "ours_low", "ours_high", "published"))
    table = table.loc[table["published"].notna()]
    if table.empty:
        raise BadInput("expected rows with a published number, got none; match more with bglab.analysis.with_published")
    ax = ax or new_axes(height_of_lines(7 + 1.6 * len(table)))
    y = np.arange(len(table))
    ax.hlines(y, table["ours"], table["published"], color="#AAAAAA", linewidth=1.5, zorder=1)
    draw_error_bars(ax, y, table, "ours", vertical=False, color=COLORS["ours"])
    ax.plot(table["ours"], y, "o", color=COLORS["ours"], markersize=MARKER * points("medium"), zorder=3, label="Ours")
    ax.plot(
        table["published"], y, "D", markerfacecolor="none", markeredgecolor=COLORS["published"], markeredgewidth=1.2,
        markersize=MARKER * points("medium"), zorder=4, label="Published",
    )  # fmt: skip
    ax.set_yticks(y, _row_names(table))
    ax.set_ylim(len(table) - 0.5, -0.5)
    ax.set_xlabel(f"{quantity} (%)")
    note(ax, f"Error bars: our 95 % intervals{count_text(table)}; the papers report none")
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
    """Plot images in a grid, with titles above and predictions below as in Noise or Signal, Figure 1.

    A correct prediction is green with a check mark, an incorrect one red with a cross, so that colour is not needed to
    tell them apart. Where the true classes differ between images, an incorrect prediction also names the true class.

    Args:
        images: RGB images of any size, values 0-255.
        titles: One title per image.
        labels: True class of each image; leave empty to show predictions without marks.
        predictions: Predicted class of each image; leave empty to show none.
        columns: Images per row.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If there is no image, or the lengths differ.
    """
    if not len(images) or {len(titles), len(labels) or len(images), len(predictions)} - {0} != {len(images)}:
        raise BadInput(
            f"expected as many titles, labels and predictions as images, got {len(images)} images, "
            f"{len(titles)} titles, {len(labels)} labels and {len(predictions)} predictions"
        )
    columns = min(columns, len(images))
    rows = -(-len(images) // columns)
    size = matplotlib.rcParams["figure.figsize"][0] / columns  # cell size in inches
    line = 1.35 * points("small") / 72 / size  # line height in cells
    several = len(set(labels)) > 1
    titles = [in_lines(title, 0.98 * size) for title in titles]
    above = max(title.count("\n") for title in titles)  # lines of titles beyond the first
    step = 0.94 + line * (1.4 + above + bool(predictions) + several)
    ax = ax or new_axes(rows * step * size)
    for place, image in enumerate(images):
        x, y = place % columns, place // columns * step
        height, width = (side / max(image.shape[1:]) * 0.94 for side in image.shape[1:])
        left, top = x + (1 - width) / 2, y + line * (1 + above) + (0.94 - height) / 2
        ax.imshow(image.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(x + 0.5, y + line * (0.9 + above), titles[place], ha="center", va="bottom", fontsize="small")
        if predictions:
            is_correct = labels[place] == predictions[place] if labels else None
            truth = f"\ntrue: {labels[place]}" if several and not is_correct else ""
            _write_prediction(
                ax, x + 0.5, y + line * (1.15 + above) + 0.94, predictions[place] + truth, is_correct=is_correct
            )
    ax.set(xlim=(0, columns), ylim=(rows * step, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _row_names(table: pd.DataFrame) -> list[str]:
    """Name each row by what distinguishes it: variant, model, or both."""
    models = table["model"].tolist() if "model" in table.columns else [""] * len(table)
    names = one_line_names(models) if len(set(models)) > 1 or "variant" not in table.columns else [""] * len(table)
    variants = table["variant"].map(display_name) if "variant" in table.columns else [""] * len(table)
    return [" · ".join(part for part in parts if part) for parts in zip(variants, names, strict=True)]


def _write_prediction(ax: Axes, x: float, y: float, text: str, *, is_correct: bool | None) -> None:
    mark, color = correctness_mark(is_correct=is_correct)
    families = [*matplotlib.rcParams["font.family"], "DejaVu Sans"]  # the last one has the marks
    marked = f"{mark} {text}" if mark else text
    ax.text(x, y, marked, ha="center", va="top", fontsize="small", color=color, fontfamily=families)
