"""Figures of saliency: what is drawn is what the tables and maps say."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from matplotlib.colors import to_hex

from bglab.analysis import compare_localisation, fooled_by_bin, localisation_summary
from bglab.errors import BadInput
from bglab.figures import color_of, saliency, save, theme
from fixtures.saliency import saliency_rows

SIZE = 8
MODELS = ("lite:efficientnet_lite0", "lite:efficientnet_lite2")


@pytest.fixture
def grid():
    """Build two grey images, two models' maps with one bright pixel, and masks."""
    images = [np.full((3, SIZE, SIZE), 128, dtype=np.uint8) for _ in range(2)]
    maps = {name: np.zeros((2, SIZE, SIZE), dtype=np.float32) for name in ("first", "second")}
    maps["first"][0, 1, 2], maps["first"][1, 1, 2], maps["second"][0, 6, 6] = 4.0, 2.0, 9.0
    masks = np.zeros((2, SIZE, SIZE), dtype=bool)
    masks[:, 2:5, 2:6] = True
    return images, maps, masks


def shown_images(ax):
    return [image.get_array().data for image in ax.images]


def blended(level):
    return 0.4 * 128 / 255 + 0.6 * np.array(colormaps["viridis"](level)[:3])


def texts(ax):
    return [text.get_text() for text in ax.texts if text.get_text()]


def test_models_stand_side_by_side(grid):
    images, maps, masks = grid
    captions = {"first": ["dog, 62 %", "bird, 10 %"], "second": ["dog, 90 %", "dog, 80 %"]}
    ax = saliency.plot_saliency(images, maps, masks, names=["one", "two"], captions=captions)
    shown = shown_images(ax)
    assert len(shown) == 6
    assert np.array_equal(shown[0], images[0].transpose(1, 2, 0))
    # columns first: images, then each model's maps
    assert np.allclose(shown[2][1, 2], blended(1.0))
    assert np.allclose(shown[2][0, 0], blended(0.0))
    assert np.allclose(shown[3][1, 2], blended(1.0))
    assert np.allclose(shown[4][6, 6], blended(1.0))
    assert np.allclose(shown[5], 128 / 255)  # an all-zero map leaves the image
    assert texts(ax) == ["one", "two", "first", "dog, 62 %", "bird, 10 %", "second", "dog, 90 %", "dog, 80 %"]
    assert len(ax.collections) == 6  # an outline each
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    assert bar.get_xlabel() == "Saliency, each map divided by its own maximum; outline: the object"


def test_a_common_maximum_shows_which_map_is_higher(grid):
    images, maps, masks = grid
    ax = saliency.plot_saliency(images, {"first": maps["first"]}, masks, normalisation="common")
    shown = shown_images(ax)
    assert np.allclose(shown[2][1, 2], blended(1.0))
    assert np.allclose(shown[3][1, 2], blended(0.5))
    (bar,) = [other for other in ax.figure.axes if other is not ax]
    assert bar.get_xlabel().startswith("Saliency, all maps of a column divided by their common maximum")


def test_what_does_not_fit_together_is_refused(grid):
    images, maps, masks = grid
    cases = {
        "expected images and the maps of at least one model, got none; map model names to maps": {"maps": {}},
        "expected 2 maps of 8 × 8 pixels for first, got (2, 4, 4); resize maps of a layer with "
        "bglab.saliency.upsample": {"maps": {"first": maps["first"][:, ::2, ::2]}},
        "expected as many texts as images for first, got 1 for 2 images": {"captions": {"first": ["one"]}},
    }
    for sentence, options in cases.items():
        with pytest.raises(BadInput) as error:
            saliency.plot_saliency(images, **{"maps": maps, "masks": masks, **options})
        assert str(error.value) == sentence


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(4)
    share = rng.random(30) * 0.5 + 0.2
    return pd.concat(
        [
            saliency_rows(np.clip(share + shift, 0, 1), model=model, variant=variant, right=rng.random(30) < right)
            for model, shift in zip(MODELS, (0, 0.1), strict=True)
            for variant, right in (("original", 2), ("mixed_rand", 0.6))
        ],
        ignore_index=True,
    )


def test_localisation_has_a_mark_for_each_row_and_its_chance(rows):
    table = localisation_summary(rows)
    ax = saliency.plot_localisation(table)
    marks = {line.get_label(): line for line in ax.lines}
    for model, name in zip(MODELS, ("efficientnet_lite0", "efficientnet_lite2"), strict=True):
        expected = table.loc[table["model"] == model, "share_on_object"]
        assert np.allclose(marks[name].get_xdata(), expected)
        assert to_hex(marks[name].get_color()).upper() == color_of(model).upper()
    assert len({line.get_marker() for line in ax.lines}) == 2
    ends = np.concatenate([c.get_segments() for c in ax.collections])[:, :, 0]
    assert any(np.allclose(e, table[["share_on_object_low", "share_on_object_high"]].iloc[0]) for e in ends)
    assert sum(np.allclose(e, 0.25) for e in ends) == 2  # chance, once per variant
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["Original", "Mixed-Rand"]
    assert ax.get_xlabel() == "Saliency on the object (%)"


def test_pairs_are_points_and_the_difference_is_stated(rows):
    chosen = rows.loc[rows["variant"] == "original"]
    comparison = compare_localisation(chosen)
    ax = saliency.plot_paired_shares(chosen, comparison)
    points = ax.lines[1]
    wide = chosen.pivot(index="scene", columns="model", values="share_on_object")
    assert np.allclose(points.get_xdata(), wide[MODELS[1]])
    assert np.allclose(points.get_ydata(), wide[MODELS[0]])
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("efficientnet_lite0", "efficientnet_lite2")
    assert ax.texts[0].get_text() == (
        "One point per scene; efficientnet_lite0 − efficientnet_lite2: −10.0 points [−10.0, −10.0], n = 30"
    )
    with pytest.raises(BadInput) as error:
        saliency.plot_paired_shares(chosen, pd.concat([comparison, comparison]))
    assert str(error.value) == "expected one row of comparison, got 2; select one pair of models and variant"


def test_the_fooled_are_drawn_with_their_intervals(rows):
    table = fooled_by_bin(rows.loc[rows["model"] == MODELS[0]], bins=3)
    ax = saliency.plot_fooled(table)
    (line,) = ax.lines
    assert np.allclose(line.get_ydata(), table["fooled"])
    assert np.allclose(line.get_xdata(), table["share_on_object"])
    assert line.get_label() == "Incorrect on Mixed-Rand"
    assert np.allclose([s[:, 1] for s in ax.collections[0].get_segments()], table[["fooled_low", "fooled_high"]])


def test_sensitivity_is_drawn_over_strength():
    table = pd.DataFrame({
        "model": MODELS[0], "norm": "l2", "strength": [60.0, 30.0], "n": 9, "rfs": [0.2, -0.1], "rfs_low": [0.1, -0.3],
        "rfs_high": [0.4, 0.1],
    })  # fmt: skip
    ax = saliency.plot_foreground_sensitivity(table)
    line = ax.lines[1]
    assert line.get_xdata().tolist() == [30, 60]
    assert line.get_ydata().tolist() == [-0.1, 0.2]
    assert ax.get_xlabel() == "Norm of the noise"
    assert ax.get_ylim()[0] == -ax.get_ylim()[1]
    assert texts(ax)[:2] == ["relies on the object", "relies on the background"]
    with pytest.raises(BadInput) as error:
        saliency.plot_foreground_sensitivity(table.assign(norm=["l2", "linf"]))
    assert str(error.value) == "expected one norm, got l2, linf; select one"


def test_every_figure_fits_every_venue(grid, rows, tmp_path):
    images, maps, masks = grid
    for venue in ("notebook", "cvpr2024", "neurips2024"):
        with theme(venue):
            drawn = [
                saliency.plot_saliency(images, maps, masks, names=["one", "two"]),
                saliency.plot_localisation(localisation_summary(rows)),
            ]
        for number, ax in enumerate(drawn):
            path = save(ax, tmp_path / f"{venue}-{number}.png")
            assert path.stat().st_size > 1000
            width = ax.figure.get_size_inches()[0]
            box = ax.get_tightbbox()
            assert box.x0 >= -1
            assert box.x1 <= width * ax.figure.dpi + 1
