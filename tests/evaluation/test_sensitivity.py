"""Foreground sensitivity: the formula by hand, readers whose sign is known, and noise that is where it should be."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

from bglab.analysis import ablation_drop, foreground_sensitivity, relative_sensitivity
from bglab.errors import BadInput
from bglab.evaluation import sensitivity
from bglab.evaluation.sensitivity import NoiseGrid, noise_variants
from bglab.scenes import prepare
from bglab.variants import compose, scene_tensors
from fixtures.coded import code_reader, coded_scenes
from fixtures.predictions import rows as prediction_rows

SIZE = 32


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(coded_scenes(36, SIZE), SIZE, progress=False)


def noisy_rows(core, spurious, labels, strength=0.25, draw=0):
    """Build prediction rows.

    Args:
        core: Whether each prediction is correct with noise on the background.
        spurious: Whether each prediction is correct with noise on the object.
        labels: True classes.
        strength: Strength of the noise.
        draw: Number of the draw.
    """
    parts = []
    for region, verdicts in (("background", core), ("foreground", spurious)):
        predictions = [label if right else 9 for label, right in zip(labels, verdicts, strict=True)]
        table = prediction_rows(label=list(labels), prediction=predictions)
        parts.append(table.assign(region=region, norm="linf", strength=strength, draw=draw))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize(
    ("core", "spurious", "expected"),
    [(1.0, 0.0, 1.0), (0.0, 1.0, -1.0), (0.9, 0.7, 0.5), (0.3, 0.1, 0.5), (0.0, 0.0, 0.0), (1.0, 1.0, 0.0)],
)
def test_the_formula(core, spurious, expected):
    assert relative_sensitivity(np.array(core), np.array(spurious)) == pytest.approx(expected)
    assert relative_sensitivity(np.array(spurious), np.array(core)) == pytest.approx(-expected)


def test_accuracies_are_averaged_over_classes_not_scenes():
    labels = [0, 0, 0, 1]
    table = foreground_sensitivity(noisy_rows([1, 1, 0, 0], [0, 0, 0, 1], labels))
    (row,) = table.itertuples()
    core, spurious = (2 / 3 + 0) / 2, (0 + 1) / 2
    assert (row.n, row.classes, row.draws) == (4, 2, 1)
    assert (row.core_accuracy, row.spurious_accuracy) == pytest.approx((core, spurious))
    assert row.rfs == pytest.approx((core - spurious) / (core + spurious))


def test_draws_are_averaged_before_scenes():
    labels = [0, 0]
    rows = pd.concat([noisy_rows([1, 1], [1, 0], labels, draw=0), noisy_rows([1, 0], [0, 0], labels, draw=1)])
    (row,) = foreground_sensitivity(rows).itertuples()
    assert (row.core_accuracy, row.spurious_accuracy, row.draws) == (0.75, 0.25, 2)


def test_without_strength_the_sensitivities_are_averaged():
    labels = [0, 0, 0, 0]
    rows = pd.concat([
        noisy_rows([1, 1, 1, 0], [1, 0, 0, 0], labels, strength=0.25),
        noisy_rows([1, 0, 0, 0], [1, 0, 0, 0], labels, strength=0.5),
    ])  # fmt: skip
    single = foreground_sensitivity(rows)
    assert single["rfs"].tolist() == [0.5, 0.0]
    (pooled,) = foreground_sensitivity(rows, by=["model", "norm"]).itertuples()
    assert pooled.rfs == pytest.approx(0.25)
    assert pooled.core_accuracy == pytest.approx(0.5)


def test_the_interval_has_the_width_of_the_standard_error_and_holds_the_value():
    rng = np.random.default_rng(1)
    labels = np.repeat([0, 1, 2], 20).tolist()
    rows = noisy_rows(rng.random(60) < 0.8, rng.random(60) < 0.4, labels)
    first = foreground_sensitivity(rows).iloc[0]
    for name in ("core_accuracy", "spurious_accuracy", "rfs"):
        assert first[f"{name}_low"] < first[name] < first[f"{name}_high"]
    # the class-averaged accuracy's standard error is known
    per_class = [sum(rows.prediction[i] == c for i in range(20 * c, 20 * c + 20)) / 20 for c in range(3)]
    error = np.sqrt(sum(p * (1 - p) / 20 for p in per_class)) / 3
    width = first["core_accuracy_high"] - first["core_accuracy_low"]
    assert width == pytest.approx(2 * 1.96 * error, rel=0.15)


def test_rows_with_a_gap_are_refused():
    rows = noisy_rows([1, 1], [1, 0], [0, 0])
    with pytest.raises(BadInput) as error:
        foreground_sensitivity(rows.loc[rows.region == "foreground"])
    assert str(error.value) == (
        "expected predictions with noise on foreground and background for every scene and strength, got foreground "
        "with gaps; predict both with bglab.evaluation.noise_predictions"
    )
    with pytest.raises(BadInput) as error:
        foreground_sensitivity(rows.drop(columns="norm"))
    assert str(error.value) == (
        "expected noise predictions with the column 'norm', got none; make them with bglab.evaluation.noise_predictions"
    )


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_noise_stays_where_it_belongs(prepared, norm):
    batch = scene_tensors(prepared).batch(slice(0, 8), "cpu")
    strength = {"linf": 0.25, "l2": 3.0}[norm]
    variants = noise_variants(norm, strength)
    for region, variant in variants.items():
        changed = (compose(prepared, variant).images(slice(0, 8), "cpu") != batch.images).any(dim=1)
        inside = batch.masks if region == "foreground" else ~batch.masks
        assert not changed[~inside].any()
        assert changed[inside].float().mean() > 0.9


def test_noise_has_the_norm_asked_for(prepared):
    # far from black and white, so that nothing is clipped
    grey = dataclasses.replace(prepared, images=np.full_like(prepared.images, 128))
    for region, variant in noise_variants("l2", 2.0).items():
        noisy = compose(grey, variant).images(slice(0, 8), "cpu")
        length = ((noisy.float() - 128) / 255).flatten(1).norm(dim=1)
        assert torch.allclose(length, torch.full((8,), 2.0), atol=0.02), region


def test_each_draw_is_another_and_each_run_the_same(prepared):
    classifier = code_reader("object", SIZE)
    grid = NoiseGrid("linf", (0.05,), draws=2)
    first, again, other = (
        sensitivity.noise_predictions(classifier, prepared, grid, seed=seed, progress=False) for seed in (0, 0, 1)
    )
    pd.testing.assert_frame_equal(first, again, check_flags=False)
    assert first["confidence"].tolist() != other["confidence"].tolist()
    by_draw = first.groupby(["region", "draw"])["confidence"].apply(list)
    assert by_draw[("foreground", 0)] != by_draw[("foreground", 1)]
    assert first["dataset"].nunique() == 1
    assert len(first) == 36 * 2 * 2


@pytest.mark.parametrize(("norm", "strength"), [("linf", 0.5), ("l2", 20.0)])
def test_readers_of_object_and_background_have_opposite_signs(prepared, norm, strength):
    grid = NoiseGrid(norm, (strength,), draws=2)
    rows = pd.concat(
        [
            sensitivity.noise_predictions(code_reader(where, SIZE), prepared, grid, progress=False)
            for where in ("object", "background")
        ]
    )
    table = foreground_sensitivity(rows).set_index("model")
    reader, other = table.loc["code:object"], table.loc["code:background"]
    assert reader["core_accuracy"] == 1
    assert other["spurious_accuracy"] == 1  # at rho 1 the scenery names the class
    assert reader["rfs_low"] > 0
    assert other["rfs_high"] < 0


def test_images_without_their_object(prepared, tmp_path):
    parts = [
        sensitivity.ablation_predictions(code_reader(where, SIZE), prepared, results=tmp_path, progress=False)
        for where in ("object", "background")
    ]
    table = ablation_drop(pd.concat(parts)).set_index(["model", "variant"])
    assert set(table.index.get_level_values("variant")) == {"grey_fg_mask", "grey_fg", "only_bg_t"}
    for variant in ("grey_fg_mask", "grey_fg", "only_bg_t"):
        reader, other = table.loc[("code:object", variant)], table.loc[("code:background", variant)]
        assert (reader["original"], other["original"]) == (1, 1)
        assert reader["ablated"] == pytest.approx(1 / 9)  # nothing left to read: always the first class
        assert reader["drop"] == pytest.approx(8 / 9)
        assert reader["drop_low"] > 0.6
        assert (other["ablated"], other["drop"]) == (1, 0)
    assert len(list(tmp_path.rglob("*.parquet"))) == 2 * 4


def test_one_variant_is_no_ablation():
    with pytest.raises(BadInput) as error:
        ablation_drop(prediction_rows(label=[0], prediction=[0]))
    assert str(error.value) == (
        "expected predictions with the object removed, got only 'original'; "
        "make them with bglab.evaluation.ablation_predictions"
    )


def test_a_grid_needs_strengths():
    with pytest.raises(BadInput) as error:
        NoiseGrid("linf", (0.25, 0.0))
    assert str(error.value) == (
        "expected strengths above 0 and at least one draw, got (0.25, 0.0) and 3; see sensitivity.LINF for an example"
    )
