"""Plots of the adversarial-background search: ``(table, *, ax=None) -> Axes``, as in `bglab.figures.accuracy`.

The most adversarial backgrounds of each class (Noise or Signal, Figures 3 and 22-29), fooling rates (Figure 4), pairs
of classes, vulnerability over the number of candidates, and transfer between models.
"""

from __future__ import annotations

from collections.abc import Mapping

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from bglab.errors import BadInput, UnknownName
from bglab.figures.axes import (
    GREY,
    MARKER,
    height_of_lines,
    legend_above,
    new_axes,
    note,
    one_line_names,
    points,
    readable_on,
    require,
    tidy,
)
from bglab.figures.theme import COLORS, color_of
from bglab.labels import IN9_NAMES

_CRITERIA: Mapping[str, tuple[str, str, str]] = {
    "any": ("Any misclassification", COLORS["incorrect"], "o-"),
    "targeted": ("Predicted as the background's class", COLORS["ours"], "s--"),
}


def plot_top_backgrounds(
    table: pd.DataFrame,
    plates: Mapping[str, UInt8[np.ndarray, "3 _h _w"]],
    *,
    totals: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Plot the most adversarial backgrounds of each class with their fooling rates.

    The layout is that of Noise or Signal, Figures 3 and 22-29.

    Args:
        table: From `bglab.analysis.top_backgrounds`, one row per image: ``[background, class, rank, rate]``.
        plates: Images of the backgrounds, by id; RGB, values 0-255.
        totals: From `bglab.analysis.per_class_totals`: ``[class, total]``, the share of foregrounds of other classes
            that any background of the class captures (criterion ``targeted``); None leaves it out.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a class and rank have several rows.
        UnknownName: If a background has no image.
    """
    require(table, ("background", "class", "rank", "rate"), once=["class", "rank"])
    missing = [name for name in table["background"] if name not in plates]
    if missing:
        raise UnknownName(f"no image of background '{missing[0]}' among the {len(plates)} given; pass all images")
    classes, columns = list(dict.fromkeys(table["class"])), int(np.max(table["rank"]))
    margin = 1.15  # width of the names, in cells
    cell = matplotlib.rcParams["figure.figsize"][0] / (columns + margin)
    line = 1.3 * points("small") / 72 / cell
    step = 0.96 + 1.3 * line
    ax = ax or new_axes(len(classes) * step * cell)
    share = {} if totals is None else dict(zip(totals["class"], totals["total"].tolist(), strict=True))
    for place, name in enumerate(classes):
        top = place * step
        text = name.capitalize() + (f"\ntotal {_percent(share[name])}" if share else "")
        ax.text(margin - 0.1, top + 0.48, text, ha="right", va="center", fontsize="small", linespacing=1.4)
        for row in table.loc[table["class"] == name].to_dict("records"):
            left = margin + row["rank"] - 1
            image = plates[row["background"]].transpose(1, 2, 0)
            ax.imshow(image, extent=(left + 0.02, left + 0.98, top + 0.96, top), interpolation="lanczos")
            ax.text(left + 0.5, top + 0.98, _percent(row["rate"]), ha="center", va="top", fontsize="small")
    ax.set(xlim=(0, columns + margin), ylim=(len(classes) * step, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def plot_rate_histogram(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the histogram of fooling rates, stacked by the class of the background (Noise or Signal, Figure 4).

    Args:
        table: From `bglab.analysis.rate_histogram`: ``[class, low, high, count]``.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, a class and bin have several rows, or all counts are 0.
    """
    require(table, ("class", "low", "high", "count"), once=["class", "low"])
    filled = table.loc[table["count"] > 0]
    require(filled, ("class", "low", "high", "count"))
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    lows = sorted(set(table["low"]))
    under = np.zeros(len(lows))
    for name in dict.fromkeys(filled["class"]):
        bars = table.loc[table["class"] == name].set_index("low").reindex(lows)
        counts, widths = bars["count"].fillna(0).to_numpy(float), (bars["high"] - bars.index).to_numpy(float)
        ax.bar(lows, counts, widths, under, align="edge", color=color_of(str(name)), edgecolor="white", linewidth=0.6,
               label=str(name).capitalize(), zorder=2)  # fmt: skip
        under += counts
    ax.set_xlim(0, float(filled["high"].max()))
    ax.set(xlabel="Foregrounds fooled by one background (%)", ylabel="Backgrounds")
    tidy(ax, "x")
    ax.yaxis.set_major_locator(MaxNLocator(5, integer=True))
    note(ax, f"{int(np.sum(table['count'])):,} backgrounds")
    legend_above(ax)
    return ax


def plot_class_heat_map(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the share of fooled pairs for each class of foregrounds on each class of backgrounds.

    Args:
        table: From `bglab.analysis.class_heat_map`: ``[foreground_class, background_class, n, rate]``; cells with NaN
            stay empty.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a cell has several rows.
    """
    keys = ["foreground_class", "background_class"]
    require(table, (*keys, "n", "rate"), once=keys)
    rows, columns = (list(dict.fromkeys(table[key])) for key in keys)
    wide = table.pivot(index=keys[0], columns=keys[1], values="rate").reindex(index=rows, columns=columns)
    ax = ax or new_axes(height_of_lines(7 + 1.9 * len(rows)))
    values, colours = wide.to_numpy(float), matplotlib.colormaps["Blues"]
    highest = max(float(np.nanmax(np.append(values, 0.0))), 0.01)
    ax.imshow(np.ma.masked_invalid(values), cmap=colours, vmin=0, vmax=highest, aspect="auto", zorder=1)
    for (row, column), value in np.ndenumerate(values):
        text = "" if np.isnan(value) else f"{100 * value:.0f}"
        color = GREY if np.isnan(value) else readable_on(to_hex(colours(value / highest)))
        ax.text(column, row, text, ha="center", va="center", color=color, fontsize="small")
    ax.set_xticks(range(len(columns)), [name.capitalize() for name in columns], rotation=30, ha="right",
                  rotation_mode="anchor")  # fmt: skip
    ax.set_yticks(range(len(rows)), [name.capitalize() for name in rows])
    ax.set(xlabel="Class of the background", ylabel="Class of the foreground")
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    counts = table.loc[table["n"] > 0, "n"]
    note(ax, f"Fooled pairs (%); {int(counts.min()):,} to {int(counts.max()):,} pairs per cell")
    return ax


def plot_vulnerability_curve(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the share of vulnerable foregrounds over the number of candidate backgrounds.

    Args:
        table: From `bglab.analysis.vulnerability_curve`, with a column ``criterion`` added, so that curves of both
            criteria can be concatenated: ``[criterion, candidates, n, vulnerable, vulnerable_low, vulnerable_high]``.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a criterion and count have several rows.
    """
    columns = ("criterion", "candidates", "n", "vulnerable", "vulnerable_low", "vulnerable_high")
    require(table, columns, once=["criterion", "candidates"])
    ax = ax or new_axes(matplotlib.rcParams["figure.figsize"][1])
    for criterion, line in table.sort_values("candidates").groupby("criterion", sort=False):
        label, color, style = _CRITERIA[str(criterion)]
        x = line["candidates"].to_numpy(float)
        ax.fill_between(x, line["vulnerable_low"], line["vulnerable_high"], color=color, alpha=0.15, linewidth=0)
        ax.plot(x, line["vulnerable"], style, color=color, markersize=MARKER * points("medium"), label=label, zorder=3)
    ax.set_xscale("log")
    ax.set(xlabel="Number of random candidate backgrounds", ylabel="Vulnerable foregrounds (%)", ylim=(0, 1))
    tidy(ax, "y")
    ax.xaxis.set_major_locator(FixedLocator(_readable_ticks(sorted(set(table["candidates"])))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    note(ax, f"Expectation over random draws; bands: 95 % intervals over {int(np.max(table['n'])):,} foregrounds")
    legend_above(ax)
    return ax


def plot_transfer(
    source: pd.DataFrame, target: pd.DataFrame, names: tuple[str, str], *, ax: Axes | None = None
) -> Axes:
    """Plot the fooling rate of each background under two models as a scatter plot.

    Args:
        source: From `bglab.analysis.fooling_rates` of one model: ``[background, class, rate]``.
        target: The same of the other model, for the same backgrounds.
        names: URIs of the two models.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or the two tables have no background in common.
    """
    for table in (source, target):
        require(table, ("background", "class", "rate"), once=["background"])
    both = source.merge(target, on=["background", "class"], suffixes=("_source", "_target"))
    if both.empty:
        raise BadInput("expected rates of the same backgrounds for both models, got none in common; search one set")
    ax = ax or new_axes(1.3 * matplotlib.rcParams["figure.figsize"][1])
    highest = 1.06 * float(both[["rate_source", "rate_target"]].to_numpy().max()) or 1.0
    ax.plot([0, highest], [0, highest], color=COLORS["chance"], linewidth=0.8, zorder=1)
    for name in [n for n in IN9_NAMES if n in set(both["class"])] or list(dict.fromkeys(both["class"])):
        marks = both.loc[both["class"] == name]
        ax.plot(
            marks["rate_source"], marks["rate_target"], "o", color=color_of(name), label=name.capitalize(), alpha=0.8,
            markersize=1.2 * MARKER * points("medium"), markeredgecolor="white", markeredgewidth=0.4, zorder=3,
            clip_on=False,
        )  # fmt: skip
    tidy(ax, "x")
    tidy(ax, "y")
    first, second = one_line_names(list(names))
    limits = (-0.01 * highest, highest)
    ax.set(xlim=limits, ylim=limits, aspect="equal")
    ax.set(xlabel=f"{first}: foregrounds fooled (%)", ylabel=f"{second}: foregrounds fooled (%)")
    note(ax, f"One point per background; {len(both):,} backgrounds")
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax


def _percent(fraction: float) -> str:
    return "–" if np.isnan(fraction) else f"{100 * fraction:.0f} %"


def _readable_ticks(counts: list[int]) -> list[int]:
    """Drop counts whose labels would overlap their right neighbour on a logarithmic axis."""
    shown = counts[-1:]
    for count in reversed(counts[:-1]):
        if shown[0] >= 1.35 * count:
            shown.insert(0, count)
    return shown
