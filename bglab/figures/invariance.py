"""Figures of Time for a Background Check!: models in order of accuracy, and the ticks of Table 1.

As in `bglab.figures.accuracy`, functions take a table and return axes.
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
    correctness_mark,
    count_text,
    draw_error_bars,
    height_of_lines,
    legend_above,
    new_axes,
    note,
    one_line_names,
    points,
    require,
    tidy,
)
from bglab.figures.theme import color_of, figure_of
from bglab.names import display_name

Measure = Literal["top1", "top5"]

_TITLES: dict[str, str] = {"top1": "Top-1", "top5": "Top-5"}
_INK = "#222222"
# more models than this have vertical tick labels
_MOST_SLANTED = 10
# width of the names left of the ticks, and least width of the plot, in cells
_NAME_CELLS, _LEAST_CELLS = 2.4, 6.5
# horizontal offset between series, so that error bars do not overlap
_SHIFT = 0.14


class _Marker(NamedTuple):
    """Style of one series of markers."""

    marker: str
    fill: str
    edge: str


_MEASURE_MARKERS = {"top1": _Marker("o", _INK, _INK), "top5": _Marker("D", "white", _INK)}
# markers of the white plate are white and need a dark edge
_MARKERS = {
    "original": _Marker("_", color_of("original"), color_of("original")),
    "on_white": _Marker("o", "white", _INK),
}


def plot_influence(table: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the accuracy of models on backgrounds alone (Figure 2).

    Args:
        table: One row per model, in plotting order: ``[model, n, top1_reference]``, then ``top1`` and ``top5`` with
            ``_low`` and ``_high``, on images without their foreground.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model has several rows.
    """
    measures = [f"{measure}{end}" for measure in _TITLES for end in ("", "_low", "_high")]
    require(table, ("model", "n", "top1_reference", *measures), once=["model"])
    ax = ax or _new_axes(len(table))
    for shift, (measure, look) in zip(_shifts(2), _MEASURE_MARKERS.items(), strict=True):
        _draw_markers(ax, np.arange(len(table)) + shift, table, measure, look, _TITLES[measure])
    ax.set_ylim(0, 1.08 * max(_defined(table, "top1_high") + _defined(table, "top5_high"), default=1) or 1)
    _finish(ax, table, "Accuracy without the object (%)")
    return ax


def plot_invariance(table: pd.DataFrame, *, measure: Measure = "top1", ax: Axes | None = None) -> Axes:
    """Plot the accuracy of models on objects with other backgrounds (Figure 4; Figure 5 shows top-5).

    Args:
        table: One row per model and background, models in plotting order: ``[model, variant, n, top1_reference]`` and
            the measure with ``_low`` and ``_high``.
        measure: ``top1`` or ``top5``.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If a column is missing, or a model and background have several rows.
    """
    columns = ("model", "variant", "n", "top1_reference", measure, f"{measure}_low", f"{measure}_high")
    require(table, columns, once=["model", "variant"])
    models = list(dict.fromkeys(table["model"]))
    ax = ax or _new_axes(len(models))
    groups = [(str(variant), rows) for variant, rows in table.groupby("variant", sort=False)]
    groups.sort(key=lambda group: list(_MARKERS).index(group[0]) if group[0] in _MARKERS else len(_MARKERS))
    for shift, (name, rows) in zip(_shifts(len(groups)), groups, strict=True):
        look = _MARKERS.get(name, _Marker("s", color_of(name), "white"))
        at = np.array([models.index(model) for model in rows["model"]]) + shift
        _draw_markers(ax, at, rows, measure, look, display_name(name))
    ax.set_ylim(0, 1.03)  # keep a marker at 100 % whole
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
    """Plot which model classifies which background correctly, as ticks and crosses below the images (Table 1).

    Args:
        ticks: From `bglab.analysis.tick_table`: one row per model, one bool column per image.
        images: RGB images without their objects, values 0-255, of any size.
        titles: Class of each image.
        remarks: Second line below the name of each model, e.g. its accuracies; () for none.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If there is no image, or the numbers of images, titles and columns differ.
    """
    count = len(ticks.columns)
    if not count or {len(images), len(titles)} != {count}:
        raise BadInput(
            f"expected an image and a title for each of at least one column of ticks, got {count} columns, "
            f"{len(images)} images and {len(titles)} titles"
        )
    wide = max(_NAME_CELLS + count, _LEAST_CELLS)
    cell = matplotlib.rcParams["figure.figsize"][0] / wide  # cell size in inches
    line = 1.35 * points("small") / 72 / cell  # line height in cells
    step = (1.6 + bool(remarks)) * line
    high = 1 + 2.6 * line + len(ticks) * step
    ax = ax or new_axes(high * cell)
    for place, image in enumerate(images):
        height, width = (side / max(image.shape[1:]) * 0.92 for side in image.shape[1:])
        left, top = _NAME_CELLS + place + (1 - width) / 2, 2.2 * line + (0.92 - height) / 2
        ax.imshow(image.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(_NAME_CELLS + place + 0.5, 2 * line, _in_lines(titles[place]), ha="center", va="baseline",
                fontsize="small", linespacing=0.95)  # fmt: skip
    names = one_line_names([str(model) for model in ticks.index])
    for row, name in enumerate(names):
        y = 1 + 2.4 * line + (row + 0.5) * step
        text = f"{name}\n{remarks[row]}" if remarks else name
        ax.text(0, y, text, ha="left", va="center", fontsize="small", linespacing=1.15)
        for place, is_correct in enumerate(ticks.iloc[row].tolist()):
            _mark(ax, _NAME_CELLS + place + 0.5, y, is_correct=bool(is_correct))
    ax.set(xlim=(0, wide), ylim=(high, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _mark(ax: Axes, x: float, y: float, *, is_correct: bool) -> None:
    mark, color = correctness_mark(is_correct=is_correct)
    ax.text(x, y, mark, ha="center", va="center", color=color, fontfamily="DejaVu Sans")


def _in_lines(title: str) -> str:
    """Break a class name of several words before its last word, so that neighbours do not overlap."""
    head, _, tail = title.rpartition(" ")
    return f"{head}\n{tail}" if head else tail


def _draw_markers(ax: Axes, at: np.ndarray, rows: pd.DataFrame, name: str, look: _Marker, label: str) -> None:
    defined = rows[name].notna().to_numpy()
    at, rows = at[defined], rows.loc[defined]
    draw_error_bars(ax, at, rows, name, vertical=True, color=look.edge if look.edge != "white" else look.fill)
    ax.plot(
        at, rows[name], look.marker, color=look.fill, markeredgecolor=look.edge, markeredgewidth=1,
        markersize=1.2 * MARKER * points("medium"), label=label, zorder=3,
    )  # fmt: skip


def _shifts(count: int) -> list[float]:
    return [_SHIFT * (place - (count - 1) / 2) for place in range(count)]


def _defined(table: pd.DataFrame, name: str) -> list[float]:
    return table[name].dropna().tolist()


def _new_axes(models: int) -> Axes:
    """Create axes with room for the tick labels, which are longer if vertical."""
    plain = matplotlib.rcParams["figure.figsize"][1]
    return new_axes(plain + height_of_lines(8 if models > _MOST_SLANTED else 2))


def _finish(ax: Axes, models: pd.DataFrame, quantity: str) -> None:
    """Label the axes; tick labels are models with their accuracy on unmodified images."""
    names = one_line_names(models["model"].tolist())
    texts = [f"{name} · {100 * a:.1f}" for name, a in zip(names, models["top1_reference"], strict=True)]
    vertical = len(texts) > _MOST_SLANTED
    ax.set_xticks(range(len(texts)), texts, rotation=90 if vertical else 25, ha="center" if vertical else "right",
                  rotation_mode=None if vertical else "anchor",
                  fontsize=_fitting_size(ax, len(texts)) if vertical else "small")  # fmt: skip
    ax.set_xlim(-0.6, len(texts) - 0.4)
    ax.set(xlabel="Model · accuracy on unmodified images (%)", ylabel=quantity)
    tidy(ax, "y")
    note(ax, f"Error bars: 95 % Wilson intervals{count_text(models)}")
    legend_above(ax)


def _fitting_size(ax: Axes, count: int) -> float:
    """Return the largest font size, in points, at which vertical tick labels do not overlap."""
    room = 0.85 * figure_of(ax).get_size_inches()[0] * 72 / count
    return max(4.0, min(points("small"), 0.8 * room))
