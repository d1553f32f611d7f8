"""The difference between two runs as a waterfall: the accuracy of the first, each step, the accuracy of the second."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes

from bglab.figures.axes import MARKER, height_of_lines, new_axes, note, points, require, tidy
from bglab.figures.theme import COLORS

_BAR = 0.62
#: Number of characters of a setting's values.
_LONGEST = 24


def plot_ladder(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the steps between two prediction files as bars from the accuracy before to the accuracy after.

    Args:
        table: `bglab.evaluation.Ladder.table`, one row per step in order, with at least one.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing or there is no step.
    """
    require(table, ("field", "a", "b", "top1_before", "top1_after", "points", "images_changed"))
    ax = ax or new_axes(height_of_lines(5 + 2.4 * (len(table) + 2)))
    rows = table.to_dict("records")
    ends = (rows[0]["top1_before"], rows[-1]["top1_after"])
    for place, top1 in ((0, ends[0]), (len(rows) + 1, ends[1])):
        ax.plot(top1, place, "o", color=COLORS["original"], markersize=MARKER * points("medium"), zorder=3)
        _write(ax, f"{100 * top1:.1f} %", top1, place)
    for place, row in enumerate(rows, start=1):
        before, after = row["top1_before"], row["top1_after"]
        color = COLORS["correct" if after >= before else "incorrect"]
        ax.barh(place, after - before, left=before, height=_BAR, color=color, zorder=2)
        ax.plot([before, before], [place - 1, place + _BAR / 2], color=COLORS["chance"], linewidth=0.8, zorder=1)
        ax.plot([after, after], [place - _BAR / 2, place + 1], color=COLORS["chance"], linewidth=0.8, zorder=1)
        images = "1 image" if row["images_changed"] == 1 else f"{row['images_changed']:,} images"
        _write(ax, f"{row['points']:+.1f}  ({images})".replace("-", "−"), max(before, after), place)
    names = [f"{row['field'].replace('_', ' ')}\n{_values(row['a'], row['b'])}" for row in rows]
    ax.set_yticks(range(len(rows) + 2), ["first file", *names, "second file"])
    ax.set_ylim(len(rows) + 1.6, -0.6)
    ax.set_xlabel("Accuracy (%)")
    tidy(ax, "x")
    values = [value for row in rows for value in (row["top1_before"], row["top1_after"])]
    span = max(max(values) - min(values), 0.01)
    # room for a point on the left, and on the right for the texts beside the bars
    ax.set_xlim(min(values) - 0.06 * span, max(values) + 0.9 * span)
    note(ax, "Percentage points, and images whose predicted class changes")
    return ax


def _write(ax: Axes, text: str, at: float, place: int) -> None:
    """Write a text to the right of a bar or point."""
    ax.annotate(text, (at, place), (6, 0), textcoords="offset points", va="center", fontsize="small")


def _values(before: object, after: object) -> str:
    """Write how a setting changes, as long as it fits beside a bar; the new value alone otherwise."""
    old, new = (str(value).rpartition(":")[2] for value in (before, after))
    if isinstance(after, dict | list):
        return "others"
    for text in (f"{old} → {new}", f"→ {new}"):
        if len(text) <= _LONGEST:
            return text
    return f"→ …{new[-_LONGEST + 3 :]}"
