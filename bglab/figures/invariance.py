"""Figures of Time for a Background Check!: models in order of accuracy, and the ticks of Table 1.

As in `bglab.figures.accuracy`, functions take a table and return axes.
"""

from __future__ import annotations

import re
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
    width_of,
)
from bglab.figures.theme import color_of, figure_of
from bglab.names import display_name

Measure = Literal["top1", "top5"]

_TITLES: dict[str, str] = {"top1": "Top-1", "top5": "Top-5"}
_INK = "#222222"
# more models than this have vertical tick labels
_MOST_SLANTED = 10
_SLANT = 25
# widest that names left of the ticks are, as a share of the figure, and least width of the other part in cells
_NAMES, _LEAST_CELLS = 0.37, 4.1
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
    across = _names_direction(ax, len(table)) != "rows"
    for shift, (measure, look) in zip(_shifts(2), _MEASURE_MARKERS.items(), strict=True):
        _draw_markers(ax, np.arange(len(table)) + shift, table, measure, look, _TITLES[measure], across=across)
    highest = 1.08 * max(_defined(table, "top1_high") + _defined(table, "top5_high"), default=1) or 1
    _finish(ax, table, "Accuracy without the object (%)", highest)
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
    across = _names_direction(ax, len(models)) != "rows"
    groups = [(str(variant), rows) for variant, rows in table.groupby("variant", sort=False)]
    groups.sort(key=lambda group: list(_MARKERS).index(group[0]) if group[0] in _MARKERS else len(_MARKERS))
    for shift, (name, rows) in zip(_shifts(len(groups)), groups, strict=True):
        look = _MARKERS.get(name, _Marker("s", color_of(name), "white"))
        at = np.array([models.index(model) for model in rows["model"]]) + shift
        _draw_markers(ax, at, rows, measure, look, display_name(name), across=across)
    # a marker at 100 % stays whole
    _finish(ax, table.drop_duplicates("model"), f"{_TITLES[measure]} accuracy (%)", 1.03)
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
    whole = matplotlib.rcParams["figure.figsize"][0]
    names = [_in_width(name, _NAMES * whole) for name in one_line_names([str(model) for model in ticks.index])]
    names = [f"{name}\n{remark}" for name, remark in zip(names, remarks or [""] * len(names), strict=True)]
    named = max(width_of(name.rstrip()) for name in names) + 0.05  # width of the names in inches
    cell = (whole - named) / max(count, _LEAST_CELLS)  # cell size in inches
    first = named / cell  # width of the names in cells
    line = 1.35 * points("small") / 72 / cell  # line height in cells
    titles = [_in_lines(title) for title in titles]
    upright = max(width_of(title) for title in titles) <= cell
    above = 2.2 * line if upright else 0.4 * line + max(width_of(title) for title in titles) / cell
    steps = [(name.rstrip().count("\n") + 1.6) * line for name in names]
    high = above + 1 + 0.4 * line + sum(steps)
    ax = ax or new_axes(high * cell)
    for place, image in enumerate(images):
        height, width = (side / max(image.shape[1:]) * 0.92 for side in image.shape[1:])
        left, top = first + place + (1 - width) / 2, above + (0.92 - height) / 2
        ax.imshow(image.transpose(1, 2, 0), extent=(left, left + width, top + height, top), interpolation="lanczos")
        ax.text(first + place + 0.5, above - 0.2 * line, titles[place], ha="center", fontsize="small",
                va="baseline" if upright else "bottom", rotation=0 if upright else 90, linespacing=0.95)  # fmt: skip
    y = above + 1 + 0.2 * line
    for row, (name, step) in enumerate(zip(names, steps, strict=True)):
        ax.text(0, y + step / 2, name.rstrip(), ha="left", va="center", fontsize="small", linespacing=1.15)
        for place, is_correct in enumerate(ticks.iloc[row].tolist()):
            _mark(ax, first + place + 0.5, y + step / 2, is_correct=bool(is_correct))
        y += step
    ax.set(xlim=(0, whole / cell), ylim=(high, 0), aspect="equal")
    ax.set_axis_off()
    return ax


def _mark(ax: Axes, x: float, y: float, *, is_correct: bool) -> None:
    mark, color = correctness_mark(is_correct=is_correct)
    ax.text(x, y, mark, ha="center", va="center", color=color, fontfamily="DejaVu Sans")


def _in_lines(title: str) -> str:
    """Break a class name of several words before its last word, so that neighbours do not overlap."""
    head, _, tail = title.rpartition(" ")
    return f"{head}\n{tail}" if head else tail


def _in_width(name: str, inches: float) -> str:
    """Break the name of a model at underscores, dots and spaces into lines of at most a width in inches."""
    lines = [""]
    for part in re.findall(r"[^_. ]+[_. ]*", name):
        if lines[-1] and width_of(lines[-1] + part) > inches:
            lines.append(part)
        else:
            lines[-1] += part
    return "\n".join(line.rstrip() for line in lines)


def _draw_markers(
    ax: Axes, at: np.ndarray, rows: pd.DataFrame, name: str, look: _Marker, label: str, *, across: bool
) -> None:
    """Draw a series at positions on the horizontal axis or, unless ``across``, on the vertical one."""
    defined = rows[name].notna().to_numpy()
    at, rows = at[defined], rows.loc[defined]
    draw_error_bars(ax, at, rows, name, vertical=across, color=look.edge if look.edge != "white" else look.fill)
    marker = "|" if look.marker == "_" and not across else look.marker
    x, y = (at, rows[name]) if across else (rows[name], at)
    ax.plot(
        x, y, marker, color=look.fill, markeredgecolor=look.edge, markeredgewidth=1,
        markersize=1.2 * MARKER * points("medium"), label=label, zorder=3,
    )  # fmt: skip


def _shifts(count: int) -> list[float]:
    return [_SHIFT * (place - (count - 1) / 2) for place in range(count)]


def _defined(table: pd.DataFrame, name: str) -> list[float]:
    return table[name].dropna().tolist()


def _direction(width: float, count: int) -> Literal["slanted", "vertical", "rows"]:
    """Choose how ``count`` models are named in a figure of a width in inches, so that no names overlap.

    Names are slanted or vertical below the plot or, if there are too many, each in a row of its own beside it.
    """
    room, size = 0.85 * width * 72 / count, points("small")
    if count <= _MOST_SLANTED and room >= 1.2 * size / np.sin(np.radians(_SLANT)):
        return "slanted"
    return "vertical" if room >= 1.15 * size else "rows"


def _names_direction(ax: Axes, count: int) -> Literal["slanted", "vertical", "rows"]:
    return _direction(figure_of(ax).get_size_inches()[0], count)


def _new_axes(models: int) -> Axes:
    """Create axes with room for the names of the models, which are longer if vertical."""
    width, plain = matplotlib.rcParams["figure.figsize"]
    direction = _direction(width, models)
    if direction == "rows":
        return new_axes(1.3 * models * points("small") / 72 + height_of_lines(5))
    return new_axes(plain + height_of_lines(8 if direction == "vertical" else 2))


def _finish(ax: Axes, models: pd.DataFrame, quantity: str, highest: float) -> None:
    """Label the axes; tick labels are models with their accuracy on unmodified images."""
    names = one_line_names(models["model"].tolist())
    texts = [f"{name} · {100 * a:.1f}" for name, a in zip(names, models["top1_reference"], strict=True)]
    direction, label = _names_direction(ax, len(texts)), "Model · accuracy on unmodified images (%)"
    if direction == "rows":
        ax.set_yticks(range(len(texts)), texts, fontsize="small")
        ax.set(xlim=(0, highest), ylim=(len(texts) - 0.4, -0.6))
        ax.set_xlabel(quantity, loc="right")
        tidy(ax, "x")
        note(ax, f"{label}. Error bars: 95 % Wilson intervals{count_text(models)}")
    else:
        slanted = direction == "slanted"
        ax.set_xticks(range(len(texts)), texts, rotation=_SLANT if slanted else 90, ha="right" if slanted else "center",
                      rotation_mode="anchor" if slanted else None, fontsize="small")  # fmt: skip
        ax.set(xlim=(-0.6, len(texts) - 0.4), ylim=(0, highest), xlabel=label, ylabel=quantity)
        tidy(ax, "y")
        note(ax, f"Error bars: 95 % Wilson intervals{count_text(models)}")
    legend_above(ax)
