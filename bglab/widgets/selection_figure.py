"""A selection of predictions as a figure: its first images, or its confusion matrix, under the number it is about."""

from __future__ import annotations

import textwrap

import matplotlib
import numpy as np
from matplotlib.axes import Axes

from bglab.analysis import OUTSIDE_NAME, RowFilter, RowIndex, Selection
from bglab.figures import ShownAxes, ShownFigure, plot_images, theme
from bglab.widgets.export import DRAWING
from bglab.widgets.row_images import RowImages
from bglab.widgets.selection_text import Said, say, variant_title

_COLUMNS = 6
#: Side in pixels of the images on the contact sheet.
_SIDE = 96
#: Letters of a line of the notes, and of a title.
_LINE, _TITLE = 118, 17
#: Most classes of a confusion matrix that are drawn.
_CLASSES = 20
#: Height in inches of the texts above and below an image.
_TEXT_INCHES = 0.56
_GREY = "#444444"


def draw_selection(index: RowIndex, images: RowImages, wanted: RowFilter, count: int) -> ShownFigure:
    """Draw the first images of a selection with its metric; where none has an image, its confusion matrix.

    Args:
        index: The rows.
        images: Their images.
        wanted: The filter.
        count: Largest number of images.
    """
    found = index.select(wanted)
    shown = [int(row) for row in found.rows[images.missing[found.rows] < 0][:count]]
    thumbnails = images.thumbnails(shown, _SIDE)
    pairs = [(row, levels) for row, levels in zip(shown, thumbnails, strict=True) if levels is not None]
    said = say(index, wanted, found)
    several = len({int(index.codes("variant")[row]) for row, _ in pairs}) > 1
    with DRAWING, theme():
        width = matplotlib.rcParams["figure.figsize"][0]
        lines = _notes(said, len(found.rows), len(pairs))
        head, foot = 0.34, 0.17 * len(lines) + 0.1
        rows = -(-len(pairs) // _COLUMNS)
        middle = rows * (0.94 * width / _COLUMNS + _TEXT_INCHES) if pairs else 0.42 * width
        figure = ShownFigure(figsize=(width, head + middle + foot))
        height = head + middle + foot
        figure.text(0.01, 1 - 0.06 / height, f"{said.head} {said.value}", va="top", weight="bold")
        figure.text(0.01, foot / height - 0.02, "\n".join(lines), va="top", fontsize="small", color=_GREY)
        box = (0.0, foot / height, 1.0, middle / height)
        if pairs:
            ax = figure.add_axes(box)
            plot_images(
                [levels for _, levels in pairs],
                [_title(index, row, several=several) for row, _ in pairs],
                labels=[index.classes[int(index.truth[row])] for row, _ in pairs],
                predictions=[(*index.classes, OUTSIDE_NAME)[int(index.answer[row])] for row, _ in pairs],
                columns=_COLUMNS,
                ax=ax,
            )
            ax.set_anchor("NW")
        else:
            _draw_confusion(
                figure.add_axes((0.2, box[1] + 0.2 * box[3], 0.6, 0.75 * box[3]), axes_class=ShownAxes), index, found
            )
    return figure


def _title(index: RowIndex, row: int, *, several: bool) -> str:
    """Return the variant if there are several, else the scene's id, shortened at its start, since ids begin alike."""
    table = index.table.iloc[row]
    if several:
        return variant_title(str(table["variant"]))
    scene = str(table["scene"])
    return scene if len(scene) <= _TITLE else f"…{scene[1 - _TITLE :]}"


def _notes(said: Said, selected: int, drawn: int) -> list[str]:
    """Wrap what is said about the number."""
    first = f" The first {drawn:,} of {selected:,} are drawn." if 0 < drawn < selected else ""
    sentences = [said.rows + first, said.compared, said.how]
    return [line for sentence in sentences if sentence for line in textwrap.wrap(sentence, _LINE)]


def _draw_confusion(ax: Axes, index: RowIndex, found: Selection) -> None:
    """Draw the classes that occur, at most twenty, as shares of each true class."""
    counts = found.confusion
    present = np.flatnonzero(counts[:, :-1].sum(axis=0) + counts.sum(axis=1))[:_CLASSES]
    columns = [*present, len(index.classes)]
    part = counts[np.ix_(present, columns)].astype(float)
    shares = part / np.maximum(part.sum(axis=1, keepdims=True), 1)
    ax.imshow(shares if shares.size else np.zeros((1, 1)), cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), value in np.ndenumerate(part):
        colour = "white" if shares[row, column] > 0.55 else "black"
        ax.text(column, row, f"{value:,.0f}", ha="center", va="center", fontsize="small", color=colour)
    names = (*index.classes, OUTSIDE_NAME)
    ax.set_xticks(range(len(columns)), [names[i] for i in columns], rotation=30, ha="right", rotation_mode="anchor")
    ax.set_yticks(range(len(present)), [names[i] for i in present])
    ax.set(xlabel="Predicted class", ylabel="True class")
    ax.tick_params(length=0, labelsize="small")
    ax.spines[:].set_visible(False)
