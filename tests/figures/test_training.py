"""Learning curves: what is drawn is what the history says, also while it grows."""

from __future__ import annotations

import pandas as pd
import pytest

from bglab.errors import BadInput
from bglab.figures import LiveCurves, color_of, plot_learning, plot_loss, training


@pytest.fixture
def table():
    return pd.DataFrame(
        {"epoch": [1, 2, 3], "lr": 0.1, "loss": [2.0, 1.0, 0.5], "accuracy": [0.2, 0.6, 0.8], "seconds": 1.0,
         "images_per_s": 10.0, "accuracy_original": [0.3, 0.7, 0.9], "accuracy_mixed_rand": [0.1, 0.2, 0.4]}
    )  # fmt: skip


def test_the_loss(table):
    (line,) = plot_loss(table).lines
    assert line.get_xydata().tolist() == [[1, 2.0], [2, 1.0], [3, 0.5]]


def test_every_monitored_data_set_has_a_line_in_its_colour(table):
    ax = plot_learning(table)
    drawn = {line.get_label(): (line.get_ydata().tolist(), line.get_color()) for line in ax.lines}
    assert drawn["Training"][0] == [0.2, 0.6, 0.8]
    assert drawn["Original"] == ([0.3, 0.7, 0.9], color_of("original"))
    assert drawn["Mixed-Rand"] == ([0.1, 0.2, 0.4], color_of("mixed_rand"))
    assert len(drawn) == 3
    assert {text.get_text() for text in ax.get_legend().get_texts()} == set(drawn)


def test_live_curves_are_drawn_in_place(table, monkeypatch):
    shown = []

    class Handle:
        def update(self, figure):
            shown.append(("update", figure))

    def display(figure, *, display_id):
        shown.append(("display", figure))
        return Handle()

    monkeypatch.setattr(training, "get_ipython", lambda: object())
    monkeypatch.setattr(training, "display", display)
    live = LiveCurves()
    for epochs in (1, 2, 3):
        live(table.head(epochs))
    assert [what for what, _ in shown] == ["display", "update", "update"]
    assert shown[-1][1] is live.figure
    left, right = live.figure.axes
    assert len(left.lines[0].get_xdata()) == len(right.lines[0].get_xdata()) == 3
    assert live.figure._repr_png_().startswith(b"\x89PNG")


def test_live_curves_show_nothing_outside_a_notebook(table, capsys):
    live = LiveCurves()
    live(table)
    assert live.figure is not None
    assert capsys.readouterr().out == ""


def test_no_epoch_no_curve(table):
    with pytest.raises(BadInput) as error:
        plot_loss(table.head(0))
    assert str(error.value) == ("expected the history of at least one epoch, got none; see bglab.training.history")
