"""Draw what the adversarial-background search finds: ``(table, *, ax=None) -> Axes``, as in `bglab.figures.accuracy`.

The worst backgrounds of each class (Noise or Signal, Figures 3 and 22-29), how strong single backgrounds are
(Figure 4), which class turns into which, how many candidates it takes, and whether other networks fall for the same.
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
    legend_above,
    lines_high,
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
    "any": ("Any error", COLORS["wrong"], "o-"),
    "targeted": ("Taken for the background's class", COLORS["ours"], "s--"),
}


def plot_top_backgrounds(
    table: pd.DataFrame,
    plates: Mapping[str, UInt8[np.ndarray, "3 _h _w"]],
    *,
    totals: pd.DataFrame | None = None,
    ax: Axes | None = None,
) -> Axes:
    """Show the worst backgrounds of each class with their fooling rates (Noise or Signal, Figures 3 and 22-29).

    Args:
        table: From `bglab.analysis.top_backgrounds`: ``[background, class, rank, rate]``, one row per image.
        plates: Images of the backgrounds, by id.
        totals: From `bglab.analysis.per_class_totals`: ``[class, total]``, the share of foregrounds of other classes
            that any background of the class captures, which belongs to the criterion ``targeted``; None leaves it out.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a place.
        UnknownName: If a background has no image.
    """
    require(table, ("background", "class", "rank", "rate"), once=["class", "rank"])
    missing = [name for name in table["background"] if name not in plates]
    if missing:
        raise UnknownName(f"no image of background '{missing[0]}' among the {len(plates)} given; give the searched set")
    classes, columns = list(dict.fromkeys(table["class"])), int(np.max(table["rank"]))
    margin = 1.15  # for the names, in cells
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
    """Draw how many backgrounds fool how large a share of foregrounds, classes stacked (Noise or Signal, Figure 4).

    Args:
        table: From `bglab.analysis.rate_histogram`: ``[class, low, high, count]``.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing, two rows share a bin, or there is no background.
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
    """Draw for each class of foregrounds on each class of backgrounds the share of pairs that fool.

    Args:
        table: From `bglab.analysis.class_heat_map`: ``[foreground_class, background_class, n, rate]``; NaN stays empty.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a cell.
    """
    keys = ["foreground_class", "background_class"]
    require(table, (*keys, "n", "rate"), once=keys)
    rows, columns = (list(dict.fromkeys(table[key])) for key in keys)
    wide = table.pivot(index=keys[0], columns=keys[1], values="rate").reindex(index=rows, columns=columns)
    ax = ax or new_axes(lines_high(7 + 1.9 * len(rows)))
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
    note(ax, f"Pairs that fool (%); {int(counts.min()):,} to {int(counts.max()):,} pairs a cell")
    return ax


def plot_vulnerability_curve(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw the share of vulnerable foregrounds over the number of candidate backgrounds.

    Args:
        table: From `bglab.analysis.vulnerability_curve`, with a column ``criterion`` where both notions are stacked:
            ``[criterion, candidates, n, vulnerable, vulnerable_low, vulnerable_high]``.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a mark.
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
    ax.set(xlabel="Backgrounds tried, drawn at random", ylabel="Vulnerable foregrounds (%)", ylim=(0, 1))
    tidy(ax, "y")
    ax.xaxis.set_major_locator(FixedLocator(_readable_ticks(sorted(set(table["candidates"])))))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.xaxis.set_major_formatter(lambda value, _: f"{value:,.0f}")
    note(ax, f"Expected over all draws; bands: 95 % intervals over {int(np.max(table['n'])):,} foregrounds")
    legend_above(ax)
    return ax


def plot_transfer(
    source: pd.DataFrame, target: pd.DataFrame, names: tuple[str, str], *, ax: Axes | None = None
) -> Axes:
    """Draw each background's fooling rate under two models.

    Args:
        source: From `bglab.analysis.fooling_rates` of one model: ``[background, class, rate]``.
        target: The same of the other, of the same backgrounds.
        names: Of the two models, as their URIs.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or the two share no background.
    """
    for table in (source, target):
        require(table, ("background", "class", "rate"), once=["background"])
    both = source.merge(target, on=["background", "class"], suffixes=("_source", "_target"))
    if both.empty:
        raise BadInput("expected two models' rates of the same backgrounds, got none in common; search one set")
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
    note(ax, f"One point a background; {len(both):,} backgrounds")
    ax.legend(loc="center left", bbox_to_anchor=(1.02, 0.5), frameon=False)
    return ax


def _percent(fraction: float) -> str:
    return "–" if np.isnan(fraction) else f"{100 * fraction:.0f} %"


def _readable_ticks(counts: list[int]) -> list[int]:
    """Leave out a count that stands too close to its right neighbour to be read beside it on a logarithmic axis."""
    kept = counts[-1:]
    for count in reversed(counts[:-1]):
        if kept[0] >= 1.35 * count:
            kept.insert(0, count)
    return kept
