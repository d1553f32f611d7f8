"""Names in figures are drawn as they are: a dollar sign in a path is no formula."""

import re

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from bglab import figures

NAMES = ["file:/data/$run_1$/best.pt", "file:/data/Ba$$in/b_$x^^$.pt", r"own:\$5 and \frac", "file:a$b"]


def accuracies(model):
    return pd.DataFrame(
        {
            "model": [model] * 2, "dataset": ["d"] * 2, "variant": ["original", "mixed_rand"], "space": ["in9"] * 2,
            "n": [10, 10], "top1": [0.5, 0.25], "top1_low": [0.4, 0.2], "top1_high": [0.6, 0.3], "top5": [0.9, 0.9],
        }
    )  # fmt: skip


def words(path):
    """Return the texts that the comments of an SVG name above their outlines, without spaces, which may be breaks."""
    return re.sub(r"\s", "", "".join(re.findall(r"<!--(.*?)-->", path.read_text(), re.DOTALL)))


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name, tmp_path):
    table = pd.concat([accuracies(name), accuracies("other")])
    for suffix in ("png", "pdf", "svg"):
        saved = figures.save(figures.plot_accuracy(table), tmp_path / f"figure.{suffix}")
    shown = name.partition(":")[2].replace(" ", "")  # figures leave out the scheme
    assert shown.rpartition("/")[2] in words(saved)


@pytest.mark.parametrize("name", NAMES)
def test_titles_of_images_are_drawn_as_they_are(name, tmp_path):
    drawn = figures.plot_images([np.zeros((3, 8, 8), np.uint8)], [name])
    assert name.replace(" ", "") in words(figures.save(drawn, tmp_path / "figure.svg"))


def test_axes_of_another_figure_and_what_a_notebook_shows(tmp_path):
    ax = Figure().subplots()
    ax.set_title(NAMES[1])
    ax.set_yticks([0, 1], NAMES[:2])
    assert all(name in words(figures.save(ax, tmp_path / "figure.svg")) for name in NAMES[:2])
    shown = figures.plot_accuracy(accuracies(NAMES[1]))
    assert shown._repr_png_().startswith(b"\x89PNG")
    assert matplotlib.rcParams["text.parse_math"]
