"""Draw the figures of Time for a Background Check!: networks in order of accuracy, and the ticks of its Table 1.

As in `bglab.figures.accuracy`: ``(table, *, ax=None) -> Axes``; nothing here computes a metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import UInt8
from matplotlib.axes import Axes

from bglab.errors import BadInput
from bglab.figures.axes import (
    MARKER,
    draw_whiskers,
    images_text,
    legend_above,
    lines_high,
    new_axes,
    note,
    one_line_names,
    points,
    require,
    tidy,
)
from bglab.figures.theme import COLORS, color_of, figure_of
from bglab.names import display_name

Measure = Literal["top1", "top5"]

_TITLES: dict[str, str] = {"top1": "Top-1", "top5": "Top-5"}
_INK = "#222222"
# more networks than this are named upright
_ASLANT = 10
# the ticks stand right of the names, which take so many cells
_NAMES_WIDE, _FEWEST_CELLS = 2.4, 6.5
# series stand side by side, so that whiskers do not cover each other
_SHIFT = 0.14


class _Dots(NamedTuple):
    """How one series of dots looks."""

    marker: str
    fill: str
    edge: str


_INFLUENCE = {"top1": _Dots("o", _INK, _INK), "top5": _Dots("D", "white", _INK)}
# a white plate is drawn white, which needs a dark edge on white paper
_BACKGROUNDS = {
    "original": _Dots("_", color_of("original"), color_of("original")),
    "on_white": _Dots("o", "white", _INK),
}


def plot_influence(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Draw how often networks read the class off the background alone (Figure 2).

    Args:
        table: One row a network, in the order to draw: columns ``[model, n, top1_reference]`` and ``top1``, ``top5``
            with ``_low`` and ``_high``, on images whose foreground is gone.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or a network occurs twice.
    """
    measures = [f"{measure}{end}" for measure in _TITLES for end in ("", "_low", "_high")]
    require(table, ("model", "n", "top1_reference", *measures), once=["model"])
    ax = ax or _new_axes(len(table))
    for shift, (measure, look) in zip(_shifts(2), _INFLUENCE.items(), strict=True):
        _draw_dots(ax, np.arange(len(table)) + shift, table, measure, look, _TITLES[measure])
    ax.set_ylim(0, 1.08 * max(_known(table, "top1_high") + _known(table, "top5_high"), default=1) or 1)
    _finish(ax, table, "Accuracy without the object (%)")
    return ax


def plot_invariance(table: pd.DataFrame, *, measure: Measure = "top1", ax: Axes | None = None) -> Axes:
    """Draw how well networks recognise an object on another background (Figure 4; Figure 5 shows top-5).

    Args:
        table: One row a network and background, networks in the order to draw: columns
            ``[model, variant, n, top1_reference]`` and the measure with ``_low`` and ``_high``.
        measure: ``top1`` or ``top5``.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If a column is missing or two rows share a dot.
    """
    columns = ("model", "variant", "n", "top1_reference", measure, f"{measure}_low", f"{measure}_high")
    require(table, columns, once=["model", "variant"])
    models = list(dict.fromkeys(table["model"]))
    ax = ax or _new_axes(len(models))
    groups = [(str(variant), rows) for variant, rows in table.groupby("variant", sort=False)]
    groups.sort(key=lambda group: list(_BACKGROUNDS).index(group[0]) if group[0] in _BACKGROUNDS else len(_BACKGROUNDS))
    for shift, (name, rows) in zip(_shifts(len(groups)), groups, strict=True):
        look = _BACKGROUNDS.get(name, _Dots("s", color_of(name), "white"))
        at = np.array([models.index(model) for model in rows["model"]]) + shift
        _draw_dots(ax, at, rows, measure, look, display_name(name))
    ax.set_ylim(0, 1.03)  # a dot at 100 % is whole
    _finish(ax, table.drop_duplicates("model"), f"{_TITLES[measure]} accuracy (%)")
    return ax


def plot_ticks(
    ticks: pd.DataFrame,
    images: Sequence[UInt8[np.ndarray, "3 _h _w"]],
    titles: Sequence[str],
    *,
    remarks: Sequence[str] = (),
    ax: Axes | None = None,
) -> Axes:
    """Draw which network reads which image's class off its background (Table 1).

    Args:
        ticks: From `bglab.analysis.tick_table`: one row a network, one bool column an image.
        images: The images without their objects, RGB, 0-255.
        titles: Class of each image.
        remarks: What stands beside each network's name, its accuracies for example; () for nothing.
        ax: Where to draw; None makes a figure.

    Raises:
        BadInput: If there is no image, or the numbers of images, titles and columns differ.
    """
    count = len(ticks.columns)
    if not count or {len(images), len(titles)} != {count}:
        raise BadInput(
            f"expected an image and a title for each of at least one column of ticks, got {count} columns, "
            f"{len(images)} images and {len(titles)} titles"
        )
    wide = max(_NAMES_WIDE + count, _FEWEST_CELLS)
    cell = matplotlib.rcParams["figure.figsize"][0] / wide  # inches
    line = 1.35 * points("small") / 72 / cell  # height of a line of text in cells
    step = (1.6 + bool(remarks)) * line
    high = 1 + 2.6 * line + len(ticks) * step
    ax = ax or new_axes(high * cell)
    for place, image in enumerate(images):
        height, width = (side / max(image.shape[1:]) * 0.92 for side in image.shape[1:])
        left, top = _NAMES_WIDE + place + (1 - width) / 2, 2.2 * line + (0.92 - height) / 2
        ax.imshow(image.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(_NAMES_WIDE + place + 0.5, 2 * line, _in_lines(titles[place]), ha="center", va="baseline",
                fontsize="small", linespacing=0.95)  # fmt: skip
    names = one_line_names([str(model) for model in ticks.index])
    for row, name in enumerate(names):
        y = 1 + 2.4 * line + (row + 0.5) * step
        text = f"{name}\n{remarks[row]}" if remarks else name
        ax.text(0, y, text, ha="left", va="center", fontsize="small", linespacing=1.15)
        for place, is_correct in enumerate(ticks.iloc[row].tolist()):
            _mark(ax, _NAMES_WIDE + place + 0.5, y, is_correct=bool(is_correct))
    ax.set(xlim=(0, wide), ylim=(high, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _mark(ax: Axes, x: float, y: float, *, is_correct: bool) -> None:
    mark, color = ("✓", COLORS["right"]) if is_correct else ("✗", COLORS["wrong"])
    ax.text(x, y, mark, ha="center", va="center", color=color, fontfamily="DejaVu Sans")


def _in_lines(title: str) -> str:
    """Break a class name of two words or more in two lines, so that neighbours do not touch."""
    head, _, tail = title.rpartition(" ")
    return f"{head}\n{tail}" if head else tail


def _draw_dots(ax: Axes, at: np.ndarray, rows: pd.DataFrame, name: str, look: _Dots, label: str) -> None:
    known = rows[name].notna().to_numpy()
    at, rows = at[known], rows.loc[known]
    draw_whiskers(ax, at, rows, name, vertical=True, color=look.edge if look.edge != "white" else look.fill)
    ax.plot(
        at, rows[name], look.marker, color=look.fill, markeredgecolor=look.edge, markeredgewidth=1,
        markersize=1.2 * MARKER * points("medium"), label=label, zorder=3,
    )  # fmt: skip


def _shifts(count: int) -> list[float]:
    return [_SHIFT * (place - (count - 1) / 2) for place in range(count)]


def _known(table: pd.DataFrame, name: str) -> list[float]:
    return table[name].dropna().tolist()


def _new_axes(networks: int) -> Axes:
    """Make room below for names: upright ones are long."""
    plain = matplotlib.rcParams["figure.figsize"][1]
    return new_axes(plain + lines_high(8 if networks > _ASLANT else 2))


def _finish(ax: Axes, networks: pd.DataFrame, quantity: str) -> None:
    """Name axes and networks, with their accuracy on unmodified images."""
    names = one_line_names(networks["model"].tolist())
    texts = [f"{name} · {100 * a:.1f}" for name, a in zip(names, networks["top1_reference"], strict=True)]
    upright = len(texts) > _ASLANT
    ax.set_xticks(range(len(texts)), texts, rotation=90 if upright else 25, ha="center" if upright else "right",
                  rotation_mode=None if upright else "anchor",
                  fontsize=_fitting_size(ax, len(texts)) if upright else "small")  # fmt: skip
    ax.set_xlim(-0.6, len(texts) - 0.4)
    ax.set(xlabel="Network · its accuracy on unmodified images (%)", ylabel=quantity)
    tidy(ax, "y")
    note(ax, f"Whiskers: 95 % Wilson intervals{images_text(networks)}")
    legend_above(ax)


def _fitting_size(ax: Axes, count: int) -> float:
    """Give the largest text size, in points, at which upright names stand side by side."""
    room = 0.85 * figure_of(ax).get_size_inches()[0] * 72 / count
    return max(4.0, min(points("small"), 0.8 * room))
