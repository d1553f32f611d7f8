"""Figures by the properties of their artists, files by their bytes; no image is compared with an image."""

from __future__ import annotations

import logging
import subprocess
import sys
import threading

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from bglab import figures
from bglab.analysis import metrics, published, tables
from bglab.errors import BadInput, UnknownName
from fixtures.plots import overlaps, texts

VARIANTS = ("original", "mixed_same", "mixed_rand", "only_bg_t")
MODELS = ("tv:resnet50/IMAGENET1K_V1", "timm:mobilenetv3_small_100.lamb_in1k")


@pytest.fixture(scope="module")
def predictions():
    rng = np.random.default_rng(5)
    parts = []
    for model in MODELS:
        for variant, share in zip(VARIANTS, (0.95, 0.86, 0.75, 0.2), strict=True):
            right = rng.random(90) < share
            parts.append(
                pd.DataFrame(
                    {
                        "model": model,
                        "dataset": "in9",
                        "variant": variant,
                        "scene": [f"s{i}" for i in range(90)],
                        "label": 3,
                        "prediction": np.where(right, 3, 4),
                        "native": np.where(right, 33, 270),
                        "space": "in9",
                    }  # fmt: skip
                )
            )
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def accuracy(predictions):
    return metrics.accuracy(predictions)


@pytest.fixture(scope="module")
def gap(predictions):
    return metrics.background_gap(predictions)


@pytest.fixture(scope="module")
def compared(accuracy):
    printed = published("nos-readme").query("model == 'ResNet-50' and train == 'imagenet' and quantity == 'accuracy'")
    return tables.with_published(accuracy.query("model.str.startswith('tv')"), printed, on={"variant": "test"})


def image(height=20, width=20, grey=128):
    return np.full((3, height, width), grey, dtype=np.uint8)


# accuracy


def test_bars_have_the_height_colour_and_error_bars_of_the_table(accuracy):
    ax = figures.plot_accuracy(accuracy)
    assert len(ax.containers) == len(VARIANTS)
    for variant, bars in zip(VARIANTS, ax.containers, strict=True):
        rows = accuracy.loc[accuracy["variant"] == variant]
        assert [bar.get_height() for bar in bars] == rows["top1"].tolist()
        assert {to_hex(bar.get_facecolor()) for bar in bars} == {figures.color_of(variant).lower()}
    error_bars = [segment for lines in ax.collections for segment in lines.get_segments()]
    ends = {(round(s[0][1], 6), round(s[1][1], 6)) for s in error_bars}
    assert ends == set(accuracy[["top1_low", "top1_high"]].round(6).itertuples(index=False, name=None))


def test_each_bar_stands_under_its_error_bar_and_in_its_group(accuracy):
    ax = figures.plot_accuracy(accuracy)
    for bars, lines in zip(ax.containers, ax.collections, strict=True):
        centres = [bar.get_x() + bar.get_width() / 2 for bar in bars]
        assert centres == pytest.approx([segment[0][0] for segment in lines.get_segments()])
        assert [round(x) for x in centres] == [0, 1]
    edges = sorted((bar.get_x(), bar.get_x() + bar.get_width()) for bars in ax.containers for bar in bars)
    assert all(left[1] <= right[0] + 1e-9 for left, right in zip(edges, edges[1:], strict=False))


def test_the_figure_says_what_the_error_bars_are_and_how_many_images(accuracy):
    ax = figures.plot_accuracy(accuracy)
    assert texts(ax) == ["Error bars: 95 % Wilson intervals; n = 90"]
    assert ax.get_ylabel() == "Accuracy (%)"
    assert ax.get_title() == ""
    uneven = accuracy.assign(n=[1000, 90, 90, 90, 90, 90, 90, 90])
    assert texts(figures.plot_accuracy(uneven)) == ["Error bars: 95 % Wilson intervals; n = 90 to 1,000"]


def test_chance_is_drawn_only_for_nine_classes(accuracy):
    line = figures.plot_accuracy(accuracy).lines[0]
    assert line.get_ydata()[0] == 1 / 9
    assert not figures.plot_accuracy(accuracy.assign(space="imagenet")).lines
    assert not figures.plot_accuracy(accuracy.drop(columns="space")).lines


def test_the_legend_reads_row_by_row(accuracy):
    legend = figures.plot_accuracy(accuracy).get_legend()
    columns = legend._ncols
    shown = [text.get_text() for text in legend.get_texts()]
    expected = ["Original", "Mixed-Same", "Mixed-Rand", "Only-BG-T", "Chance (1/9)"]
    assert sorted(shown) == sorted(expected)
    by_rows = [shown[i] for i in np.argsort([k % -(-len(shown) // columns) for k in range(len(shown))], kind="stable")]
    assert by_rows == expected


def test_percent_is_only_on_the_axis(accuracy):
    ax = figures.plot_accuracy(accuracy)
    ax.figure.draw_without_rendering()
    assert ax.get_ylim() == (0, 1)
    assert [t.get_text() for t in ax.get_yticklabels()] == ["0", "20", "40", "60", "80", "100"]


@pytest.mark.parametrize("venue", ["notebook", "cvpr2024"])
def test_names_of_many_models_do_not_run_into_each_other(accuracy, venue):
    first = accuracy.loc[accuracy["model"] == MODELS[0]]
    many = pd.concat([first.assign(model=f"timm:some_model_{i}.augreg_in1k") for i in range(8)])
    with figures.theme(venue):
        ax = figures.plot_accuracy(many)
    ax.figure.draw_without_rendering()
    labels = ax.get_xticklabels()
    assert {label.get_rotation() for label in labels} == {30.0}
    assert labels[0].get_text() == "some_model_0"


# gap, categories, published


def test_gaps_are_points_with_their_interval_in_the_order_of_the_table(gap):
    ax = figures.plot_background_gap(gap)
    points = ax.lines[0]
    assert points.get_xdata().tolist() == gap["gap"].tolist()
    assert points.get_ydata().tolist() == [0, 1]
    ends = [(s[0][0], s[1][0]) for s in ax.collections[0].get_segments()]
    assert ends == list(gap[["gap_low", "gap_high"]].itertuples(index=False, name=None))
    assert ax.get_ylim()[0] > ax.get_ylim()[1]  # the first model on top
    assert ax.get_xlabel() == "BG-Gap (percentage points)"
    assert texts(ax)[-1] == "Mixed-Same − Mixed-Rand; error bars: 95 % Newcombe intervals, paired; n = 90"


def test_a_gap_is_written_with_what_it_is_made_of(gap):
    row = gap.iloc[0].copy()
    row["same"], row["rand"], row["gap"] = 0.7133, 0.7153, -0.002
    ax = figures.plot_background_gap(pd.DataFrame([row]))
    assert texts(ax)[0] == "−0.2  (71.3 − 71.5)"


def test_a_model_without_a_gap_keeps_its_row_and_no_number(gap):
    empty = gap.assign(gap=[np.nan, 0.1], gap_low=[np.nan, 0.0], gap_high=[np.nan, 0.2])
    ax = figures.plot_background_gap(empty)
    assert len(ax.get_yticks()) == 2
    assert len(texts(ax)) == 2


def test_categories_stack_up_to_one_without_the_strict_part(predictions):
    ax = figures.plot_categories(metrics.categories(predictions))
    assert [bars.get_label() for bars in ax.containers] == [
        "BG irrelevant", "BG required", "BG fools", "BG+FG required", "BG+FG fools",
    ]  # fmt: skip
    for row in range(2):
        segments = [bars[row] for bars in ax.containers]
        assert segments[0].get_x() == 0
        assert segments[-1].get_x() + segments[-1].get_width() == pytest.approx(1)


def test_ours_and_the_printed_number_share_a_line(compared):
    ax = figures.plot_published(compared)
    ours, printed = ax.lines
    known = compared.dropna(subset="published")
    assert len(known) == 3 < len(compared)
    assert ours.get_xdata().tolist() == known["ours"].tolist()
    assert printed.get_xdata().tolist() == known["published"].tolist()
    assert ours.get_ydata().tolist() == printed.get_ydata().tolist()
    assert ours.get_marker() != printed.get_marker()
    assert [t.get_text() for t in ax.get_yticklabels()] == ["Original", "Mixed-Same", "Mixed-Rand"]
    assert texts(ax) == ["Error bars: our 95 % intervals; n = 90; the papers report none"]
    gaps = figures.plot_published(compared, quantity="BG-Gap")
    assert gaps.get_xlabel() == "BG-Gap (%)"


def test_rows_of_several_models_carry_the_models_name(compared):
    two = pd.concat([compared.iloc[:1], compared.iloc[:1].assign(model="timm:resnet18.a1_in1k")])
    names = [t.get_text() for t in figures.plot_published(two).get_yticklabels()]
    assert names == ["Original · resnet50", "Original · resnet18"]
    tags = pd.concat([two.iloc[1:], two.iloc[1:].assign(model="timm:resnet18.tv_in1k")])
    names = [t.get_text() for t in figures.plot_published(tags).get_yticklabels()]
    assert names == ["Original · resnet18 a1_in1k", "Original · resnet18 tv_in1k"]


@pytest.mark.parametrize("venue", ["notebook", "cvpr2024", "neurips2024"])
def test_no_text_is_cut_or_written_over(venue, accuracy, gap, compared, predictions):
    with figures.theme(venue):
        drawn = [
            figures.plot_accuracy(accuracy.loc[accuracy["model"] == MODELS[0]]),
            figures.plot_background_gap(gap),
            figures.plot_categories(metrics.categories(predictions)),
            figures.plot_published(compared),
        ]
        for ax in drawn:
            assert overlaps(ax) == ([], [])


# images


def test_predictions_are_marked_by_colour_and_by_sign():
    ax = figures.plot_images(
        [image()] * 2, ["Original", "No-FG"], labels=["insect"] * 2, predictions=["insect", "bird"]
    )
    assert texts(ax) == ["Original", "✓ insect", "No-FG", "✗ bird"]
    assert ax.texts[1].get_color() == figures.COLORS["correct"]
    assert ax.texts[3].get_color() == figures.COLORS["incorrect"]


def test_an_incorrect_prediction_names_the_truth_where_the_classes_differ():
    ax = figures.plot_images([image()] * 2, ["a", "b"], labels=["dog", "fish"], predictions=["bird", "fish"])
    assert texts(ax)[1::2] == ["✗ bird\ntrue: dog", "✓ fish"]


def test_predictions_without_truth_have_no_mark():
    ax = figures.plot_images([image()], ["a"], predictions=["bird"])
    assert texts(ax) == ["a", "bird"]


def test_images_keep_their_shape_and_lie_in_reading_order():
    ax = figures.plot_images([image(20, 40), image(30, 15), image()], ["a", "b", "c"], columns=2)
    extents = [shown.get_extent() for shown in ax.images]
    ratios = [(right - left) / (bottom - top) for left, right, bottom, top in extents]
    assert ratios == pytest.approx([2.0, 0.5, 1.0])
    assert [int(left) for left, *_ in extents] == [0, 1, 0]
    assert extents[2][3] > extents[0][2]  # the third begins below the first
    assert ax.get_aspect() == 1.0
    # pixels are not flipped: the first row of the array is on top
    assert all(bottom > top for _, _, bottom, top in extents)
    assert ax.get_ylim()[0] > ax.get_ylim()[1]


def test_the_colours_of_an_image_are_shown_unchanged():
    red = image()
    red[0], red[1:] = 255, 0
    ax = figures.plot_images([red], ["red"])
    assert np.array_equal(ax.images[0].get_array()[0, 0], [255, 0, 0])


def test_lists_of_different_lengths_are_refused():
    with pytest.raises(BadInput) as caught:
        figures.plot_images([image()], ["a", "b"])
    assert str(caught.value) == (
        "expected as many titles, labels and predictions as images, got 1 images, 2 titles, 0 labels and 0 predictions"
    )
    with pytest.raises(BadInput) as caught:
        figures.plot_images([], [])
    assert str(caught.value) == (
        "expected as many titles, labels and predictions as images, got 0 images, 0 titles, 0 labels and 0 predictions"
    )


# tables that cannot be drawn


def test_a_table_that_cannot_be_drawn_is_named(accuracy, gap, compared):
    with pytest.raises(BadInput) as caught:
        figures.plot_background_gap(gap.drop(columns="gap_low"))
    assert str(caught.value) == (
        "expected a table with model, n, same, rand, gap, gap_low, gap_high and at least one row, "
        "got no column 'gap_low'"
    )
    with pytest.raises(BadInput) as caught:
        figures.plot_accuracy(accuracy.iloc[:0])
    assert str(caught.value) == (
        "expected a table with model, variant, n, top1, top1_low, top1_high and at least one row, got no rows"
    )
    with pytest.raises(BadInput) as caught:
        figures.plot_accuracy(pd.concat([accuracy, accuracy]))
    assert str(caught.value) == (
        "expected one row for each model and variant, got several; select one data set or space first"
    )
    with pytest.raises(BadInput) as caught:
        figures.plot_published(compared.assign(published=np.nan))
    assert str(caught.value) == (
        "expected rows with a published number, got none; match more with bglab.analysis.with_published"
    )


# axes, themes, colours


def test_figures_are_drawn_on_given_axes(gap):
    figure = Figure()
    left, right = figure.subplots(1, 2)
    assert figures.plot_background_gap(gap, ax=right) is right
    assert not left.lines


def test_a_notebook_shows_the_axes_and_the_figure(gap):
    ax = figures.plot_background_gap(gap)
    assert ax._repr_png_().startswith(b"\x89PNG")
    assert ax.figure._repr_png_() == ax._repr_png_()


def test_nothing_needs_pyplot_or_torch():
    code = (
        "import sys, bglab.figures.accuracy, bglab.analysis.metrics, bglab.analysis.tables, bglab.analysis.published; "
        "sys.exit(any(m in sys.modules for m in ('matplotlib.pyplot', 'torch')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_figures_can_be_drawn_in_threads(gap):
    drawn = []
    threads = [
        threading.Thread(target=lambda: drawn.append(figures.plot_background_gap(gap)._repr_png_())) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(drawn) == 4
    assert len(set(drawn)) == 1


@pytest.mark.parametrize("venue", list(figures.VENUES))
def test_a_theme_sets_width_and_text_and_leaves_no_trace(venue, gap, caplog):
    before = dict(matplotlib.rcParams)
    with figures.theme(venue), caplog.at_level(logging.WARNING):
        ax = figures.plot_background_gap(gap)
        ax.figure.draw_without_rendering()
    assert ax.figure.get_size_inches()[0] == figures.VENUES[venue].column
    assert ax.xaxis.label.get_fontsize() == figures.VENUES[venue].text
    assert caplog.messages == []  # no "findfont: font family not found"
    assert dict(matplotlib.rcParams) == before


def test_the_widths_are_those_of_the_conferences():
    widths = {venue: (round(found.column, 2), round(found.full, 2)) for venue, found in figures.VENUES.items()}
    assert widths["cvpr2024"] == (3.25, 6.88)
    assert widths["icml2024"] == (3.25, 6.75)
    assert widths["neurips2024"] == widths["iclr2024"] == (5.5, 5.5)


def test_a_theme_ends_with_an_error_too():
    before = dict(matplotlib.rcParams)
    with pytest.raises(RuntimeError), figures.theme("cvpr2024"):
        raise RuntimeError
    assert dict(matplotlib.rcParams) == before


def test_an_unknown_venue_names_the_nearest():
    with pytest.raises(UnknownName) as caught, figures.theme("cvpr2023"):
        pass
    assert str(caught.value) == (
        "unknown venue 'cvpr2023'; did you mean 'cvpr2024'? Known: notebook, cvpr2024, eccv2024, iclr2024, icml2024, "
        "neurips2024, tmlr2023"
    )


def test_colours_belong_to_names():
    variants = ("original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t")
    classes = ("dog", "bird", "vehicle", "reptile", "carnivore", "insect", "instrument", "primate", "fish")
    for names in (variants, classes):
        assert len({figures.color_of(name) for name in names}) == len(names)
    assert figures.color_of("something_new") == figures.color_of("something_new") != figures.color_of("something_else")
    with pytest.raises(TypeError):
        figures.COLORS["original"] = "#000000"


# files


@pytest.mark.parametrize("ending", [".pdf", ".svg", ".png"])
def test_the_same_figure_gives_the_same_bytes(tmp_path, accuracy, ending):
    first, second = (figures.save(figures.plot_accuracy(accuracy), tmp_path / f"{i}/a{ending}") for i in (1, 2))
    assert first.read_bytes() == second.read_bytes()
    assert first == tmp_path / f"1/a{ending}"


def test_pdf_embeds_truetype_and_svg_needs_no_font(tmp_path, gap):
    figure = figures.plot_background_gap(gap).figure
    pdf = figures.save(figure, tmp_path / "gap.pdf").read_bytes()
    assert b"/FontFile2" in pdf
    assert b"/Type3" not in pdf
    assert b"CreationDate" not in pdf
    svg = figures.save(figure, tmp_path / "gap.svg").read_text()
    assert "<text" not in svg
    assert "<!-- BG-Gap (percentage points) -->" in svg


def test_an_unknown_ending_is_refused(tmp_path, gap):
    with pytest.raises(BadInput) as caught:
        figures.save(figures.plot_background_gap(gap), tmp_path / "gap.jpg")
    assert str(caught.value) == (
        "expected a file name ending in .pdf, .svg or .png, got gap.jpg; choose one of these formats"
    )
    assert list(tmp_path.iterdir()) == []
