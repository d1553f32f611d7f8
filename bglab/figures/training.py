"""Learning curves: loss and accuracy over the epochs of a training run, also live in a notebook."""

from __future__ import annotations

import matplotlib
import pandas as pd
from IPython.core.getipython import get_ipython
from IPython.display import DisplayHandle, display
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bglab.errors import BadInput
from bglab.figures.axes import ShownFigure, legend_above, new_axes, tidy
from bglab.figures.theme import color_of
from bglab.names import display_name

_MONITORED = "accuracy_"


def plot_loss(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the training loss over the epochs.

    Args:
        history: From `bglab.training.history`.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If the history has no epoch.
    """
    ax = _over_epochs(history, ax)
    ax.plot(history["epoch"], history["loss"], color=color_of("original"), marker=".")
    ax.set_ylim(bottom=0)
    ax.set_ylabel("Training loss")
    ax.grid(visible=True, axis="y", color="#E4E4E4", linewidth=0.6, zorder=0)
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def plot_learning(history: pd.DataFrame, *, ax: Axes | None = None) -> Axes:
    """Plot the accuracy over the epochs, on the training images and on each monitored data set.

    Training accuracy is measured on augmented images while the weights still change.

    Args:
        history: From `bglab.training.history`.
        ax: Axes to plot on; None creates a figure.

    Raises:
        BadInput: If the history has no epoch.
    """
    ax = _over_epochs(history, ax)
    ax.plot(history["epoch"], history["accuracy"], color=color_of("chance"), linestyle="--", label="Training")
    for column in (str(c) for c in history.columns if str(c).startswith(_MONITORED)):
        name = column.removeprefix(_MONITORED)
        ax.plot(history["epoch"], history[column], color=color_of(name), marker=".", label=display_name(name))
    ax.set_ylim(0, 1)
    ax.set_ylabel("Accuracy (%)")
    tidy(ax, along="y")
    legend_above(ax)
    return ax


def draw_curves(history: pd.DataFrame) -> Figure:
    """Plot loss and accuracy side by side in a new figure.

    Args:
        history: From `bglab.training.history`.

    Raises:
        BadInput: If the history has no epoch.
    """
    figure = ShownFigure(figsize=(matplotlib.rcParams["figure.figsize"][0], 2.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_loss(history, ax=left)
    plot_learning(history, ax=right)
    return figure


class LiveCurves:
    """Callback for `bglab.training.fit` that redraws the learning curves in a notebook after each epoch.

    Outside a notebook it displays nothing. The last plot remains in the saved notebook.

    Attributes:
        figure: The latest figure; None before the first epoch has ended.
    """

    def __init__(self) -> None:
        self.figure: Figure | None = None
        self._shown: DisplayHandle | None = None

    def __call__(self, history: pd.DataFrame) -> None:
        """Redraw the curves from the history so far."""
        self.figure = draw_curves(history)
        if get_ipython() is None:
            return
        if self._shown is None:
            self._shown = display(self.figure, display_id=True)
        else:
            self._shown.update(self.figure)


def _over_epochs(history: pd.DataFrame, ax: Axes | None) -> Axes:
    if "epoch" not in history.columns or history.empty:
        raise BadInput("expected the history of at least one epoch, got none; see bglab.training.history")
    ax = ax or new_axes(2.6)
    ax.set_xlabel("Epoch")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    return ax
