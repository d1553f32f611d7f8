"""What all figures share: figures that notebooks display, error bars, notes, legends, and validation of tables.

Figures are created without pyplot, so they can be drawn in any thread; sizes and fonts follow the active
`bglab.figures.theme`.
"""

from __future__ import annotations

import io
from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import matplotlib
import numpy as np
import pandas as pd
from jaxtyping import Num
from matplotlib import font_manager
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.textpath import text_to_path
from matplotlib.ticker import MaxNLocator

from bglab.errors import BadInput
from bglab.figures.theme import COLORS, figure_of, take_literally

#: Colour of notes and annotations.
GREY = "#444444"
#: Marker size as a fraction of the text size.
MARKER = 0.5


class ShownFigure(Figure):
    """A figure without pyplot that notebooks display: as JPEG if it has images, at a tenth of the size, else as PNG.

    Dollar signs are drawn as they are: they come from paths and names, never from formulas.
    """

    def draw(self, renderer: Any) -> None:
        """Draw the figure, with every text as it is."""
        take_literally(self)
        super().draw(renderer)

    def _repr_png_(self) -> bytes | None:
        if self._shows_images():
            return None
        buffer = io.BytesIO()
        self.savefig(buffer, format="png", dpi=144, metadata={"Software": None})
        return buffer.getvalue()

    def _repr_jpeg_(self) -> bytes | None:
        if not self._shows_images():
            return None
        buffer = io.BytesIO()
        self.savefig(buffer, format="jpeg", dpi=110, pil_kwargs={"quality": 82})
        return buffer.getvalue()

    def _shows_images(self) -> bool:
        return any(ax.images for ax in self.axes)


class ShownAxes(Axes):
    """Axes that notebooks display as their figure."""

    def _repr_png_(self) -> bytes | None:
        shown = self.figure
        return shown._repr_png_() if isinstance(shown, ShownFigure) else None

    def _repr_jpeg_(self) -> bytes | None:
        shown = self.figure
        return shown._repr_jpeg_() if isinstance(shown, ShownFigure) else None


def new_axes(height: float) -> Axes:
    """Create a figure with a single plot, as wide as the theme says and with the given height in inches."""
    figure = ShownFigure(figsize=(matplotlib.rcParams["figure.figsize"][0], height), layout="constrained")
    return figure.add_subplot(axes_class=ShownAxes)


def draw_error_bars(
    ax: Axes,
    at: Num[np.ndarray, " k"],
    table: pd.DataFrame,
    name: str,
    *,
    vertical: bool,
    color: str,
    room: float = 12,
) -> None:
    """Draw intervals from ``<name>_low`` to ``<name>_high``.

    Args:
        ax: Axes to draw on.
        at: Position of each interval on the other axis.
        table: Has the two columns of limits, one row per interval.
        name: Stem of these columns.
        vertical: Whether the intervals are vertical.
        color: Colour of the lines.
        room: Space across the lines in points; they become thinner where it is scarce.
    """
    thickness = min(matplotlib.rcParams["lines.linewidth"], 0.22 * room)
    draw = ax.vlines if vertical else ax.hlines
    halo = withStroke(linewidth=1.7 * thickness, foreground="white")  # makes a dark line visible on a dark bar
    lines = draw(at, table[f"{name}_low"], table[f"{name}_high"], color=color, linewidth=thickness, zorder=2.5)
    lines.set_path_effects([halo])


def tidy(ax: Axes, along: Literal["x", "y"]) -> None:
    """Format an axis of fractions as percent, with a light grid, and remove the frame."""
    axis = ax.xaxis if along == "x" else ax.yaxis
    axis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axis.set_major_formatter(lambda fraction, _: f"{100 * fraction:.4g}".replace("-", "−"))
    ax.grid(visible=True, axis=along, color="#E4E4E4", linewidth=0.6, zorder=0)
    ax.set_axisbelow(True)
    ax.spines[["top", "right"]].set_visible(False)
    (ax.yaxis if along == "x" else ax.xaxis).set_tick_params(length=0)


def legend_above(ax: Axes) -> None:
    """Place the legend above the plot, with as many columns as fit, in row-major order."""
    handles, texts = ax.get_legend_handles_labels()
    entries = sorted(zip(texts, handles, strict=True), key=lambda entry: entry[0].startswith("Chance"))
    width = figure_of(ax).get_size_inches()[0] * 72
    letters = max(len(text) for text in texts) + 4
    fitting = max(1, min(len(entries), int(width / (0.62 * letters * points(matplotlib.rcParams["legend.fontsize"])))))
    columns = -(-len(entries) // -(-len(entries) // fitting))
    entries = [entry for column in range(columns) for entry in entries[column::columns]]  # matplotlib fills downwards
    ax.legend(
        [handle for _, handle in entries], [text for text, _ in entries], loc="lower right", bbox_to_anchor=(1, 1),
        ncols=columns, frameon=False, handlelength=1.2, handletextpad=0.5, columnspacing=1.4, borderaxespad=0.2,
    )  # fmt: skip


def note(ax: Axes, text: str) -> None:
    """Write a note below the axis label, right-aligned, so that it may extend below the names of the rows.

    It is broken into lines where it is wider than the figure, or than its share of it if plots stand side by side.
    """
    spec = ax.get_subplotspec()
    room = 0.93 * figure_of(ax).get_size_inches()[0] / (spec.get_gridspec().ncols if spec else 1)
    ax.annotate(
        in_lines(text, room), (1, 0), (0, -2), xycoords=("axes fraction", ax.xaxis.label),
        textcoords="offset points", ha="right", va="top", fontsize="small", color=GREY, annotation_clip=False,
    )  # fmt: skip


def in_lines(text: str, inches: float, size: str | float = "small") -> str:
    """Break a text at spaces into lines of at most a width in inches, if its words allow it, and of similar widths."""
    words = text.replace("n = ", "n\u00a0=\u00a0").split(" ")
    widths = [width_of(word, size) for word in words]
    space = width_of("a b", size) - width_of("ab", size)
    lines = _filled(words, widths, space, inches)
    narrower = inches
    while len(lines) > 1 and len(better := _filled(words, widths, space, narrower := 0.95 * narrower)) == len(lines):
        lines = better
    return "\n".join(lines).replace("\u00a0", " ")


def _filled(words: list[str], widths: list[float], space: float, inches: float) -> list[str]:
    """Fill lines with words up to a width."""
    lines, used = [words[0]], widths[0]
    for word, width in zip(words[1:], widths[1:], strict=True):
        if used + space + width > inches:
            lines.append(word)
            used = width
        else:
            lines[-1] += f" {word}"
            used += space + width
    return lines


def width_of(text: str, size: str | float = "small") -> float:
    """Measure the width of a text's longest line in the font of the theme, in inches."""
    font = font_manager.FontProperties(family=matplotlib.rcParams["font.family"], size=points(size))
    lines = filter(None, text.split("\n"))
    widths = [text_to_path.get_text_width_height_descent(line, font, ismath=False)[0] for line in lines]
    return max(widths, default=0.0) / 72


def count_text(table: pd.DataFrame) -> str:
    """Format the number of images behind each value, e.g. ``; n = 4,050``; empty if the table has no column ``n``."""
    if "n" not in table.columns:
        return ""
    return f"; n = {count_range(table)}"


def count_range(table: pd.DataFrame) -> str:
    """Format the column ``n`` as one number, or as the range ``low to high`` if it varies."""
    counts = table["n"].to_numpy(np.int64)
    low, high = counts.min(), counts.max()
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def model_name(model: str) -> str:
    """Break the long identifier of a model into two lines, without the part before the colon, its source."""
    name = model.partition(":")[2] or model
    for mark in ("/", "."):
        if mark in name and len(name) > 14:
            return name.replace(mark, "\n", 1)
    return name


def one_line_names(models: Sequence[str]) -> list[str]:
    """Shorten the identifiers of models to one line, without the tag of the weights where the rest is unique."""
    names = {model: model_name(model) for model in models}
    shared = Counter(name.split("\n")[0] for name in names.values())
    short = {m: n.split("\n")[0] if shared[n.split("\n")[0]] == 1 else n.replace("\n", " ") for m, n in names.items()}
    return [short[model] for model in models]


def group_width(ax: Axes, models: Sequence[str]) -> float:
    """Estimate the width of a group of bars in points, before the layout is known."""
    return 0.85 * figure_of(ax).get_size_inches()[0] * 72 / len(models)


def name_groups(ax: Axes, models: Sequence[str]) -> None:
    """Label groups of bars, slanted or vertically where horizontal labels would overlap."""
    width = figure_of(ax).get_size_inches()[0]
    direction, at, short = _group_direction(width, models), range(len(models)), one_line_names(models)
    if direction == "horizontal":
        ax.set_xticks(at, [model_name(model) for model in models])
    elif direction == "vertical":
        ax.set_xticks(at, short, rotation=90, ha="center", va="top")
    else:
        ax.set_xticks(at, short, rotation=30, ha="right", rotation_mode="anchor")


def group_names_height(models: Sequence[str]) -> float:
    """Return the height that vertical labels of groups take beyond a line, in inches; 0 if they are not vertical."""
    if _group_direction(matplotlib.rcParams["figure.figsize"][0], models) != "vertical":
        return 0.0
    return max(width_of(name, matplotlib.rcParams["xtick.labelsize"]) for name in one_line_names(models))


def _group_direction(width: float, models: Sequence[str]) -> Literal["horizontal", "slanted", "vertical"]:
    """Choose the direction of the labels of groups in a figure of a width in inches."""
    size, room = matplotlib.rcParams["xtick.labelsize"], 0.85 * width / len(models)
    if max(width_of(model_name(model), size) for model in models) <= 0.95 * room:
        return "horizontal"
    # a slanted name extends to the left of its group, and takes the width from the plot where it is long
    longest = max(width_of(name, size) for name in one_line_names(models))
    return "vertical" if longest > 0.25 * width or 72 * room < 2.2 * points(size) else "slanted"


def correctness_mark(*, is_correct: bool | None) -> tuple[str, str]:
    """Return the mark and colour of a correct or incorrect prediction; no mark and grey if that is unknown."""
    return {True: ("✓", COLORS["correct"]), False: ("✗", COLORS["incorrect"]), None: ("", GREY)}[is_correct]


def readable_on(color: str) -> str:
    """Return black or white, whichever contrasts with a background colour."""
    red, green, blue = to_rgb(color)
    return "black" if 0.299 * red + 0.587 * green + 0.114 * blue > 0.55 else "white"


def points(size: str | float) -> float:
    """Convert a font size such as ``small`` to points."""
    return font_manager.FontProperties(size=size).get_size_in_points()


def height_of_lines(count: float) -> float:
    """Return the height of ``count`` lines of text in inches."""
    return count * 1.2 * points("medium") / 72


def require(table: pd.DataFrame, columns: Sequence[str], *, once: Sequence[str] = ()) -> None:
    """Raise if a table lacks a column, is empty, or has several rows with the same values in ``once``."""
    missing = [c for c in columns if c not in table.columns]
    if missing or table.empty:
        what = f"no column '{missing[0]}'" if missing else "no rows"
        raise BadInput(f"expected a table with {', '.join(columns)} and at least one row, got {what}")
    if once and len(set(zip(*(table[c] for c in once), strict=True))) < len(table):
        raise BadInput(
            f"expected one row for each {' and '.join(once)}, got several; select one data set or space first"
        )
