"""Saliency tables: means and their chance levels, models compared scene by scene, saliency of fooled scenes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm, ttest_ind

from bglab.analysis import (
    bootstrap_difference_interval,
    bootstrap_mean_interval,
    compare_localisation,
    fooled_by_bin,
    fooled_by_share,
    localisation_summary,
)
from bglab.errors import BadInput, UnknownName
from fixtures.saliency import saliency_rows

NAN = float("nan")


def test_means_leave_out_and_count_maps_without_saliency():
    rows = saliency_rows([0.2, 0.6, NAN], pointing=[1.0, 0.0, NAN], mask_area=[0.1, 0.2, 0.3])
    (row,) = localisation_summary(rows).itertuples()
    assert (row.n, row.undefined) == (3, 1)
    assert row.share_on_object == pytest.approx(0.4)
    assert row.share_on_object_chance == pytest.approx(0.2)
    assert (row.pointing, row.auc_chance) == (0.5, 0.5)
    assert np.isnan(row.drift_inside)
    assert row.drift_outside == 0.5


def test_pointing_keeps_an_open_interval_where_every_map_hits():
    (row,) = localisation_summary(saliency_rows([0.5] * 10)).itertuples()
    assert row.pointing == 1
    assert row.pointing_low == pytest.approx(0.722, abs=1e-3)  # Wilson, 10 of 10
    assert (row.share_on_object_low, row.share_on_object_high) == pytest.approx((0.5, 0.5))


def test_groups_stay_apart_and_in_order():
    rows = pd.concat([saliency_rows([0.9, 0.7], variant="only_fg"), saliency_rows([0.1, 0.3])])
    table = localisation_summary(rows, by=["model", "variant"])
    assert table["variant"].tolist() == ["only_fg", "original"]
    assert table["share_on_object"].tolist() == pytest.approx([0.8, 0.2])
    (pooled,) = localisation_summary(rows, by=[]).itertuples()
    assert pooled.share_on_object == pytest.approx(0.5)


def test_the_bootstrap_agrees_with_the_normal_interval_and_ignores_order():
    values = np.random.default_rng(3).random(400)
    low, high = bootstrap_mean_interval(values)
    error = values.std() / np.sqrt(len(values))
    z = norm.ppf(0.975)
    assert (low, high) == pytest.approx((values.mean() - z * error, values.mean() + z * error), abs=0.2 * error)
    assert bootstrap_mean_interval(values[::-1]) == (low, high)
    assert bootstrap_mean_interval(values, seed=1) != (low, high)
    assert np.isnan(bootstrap_mean_interval(values[:9])).all()
    assert not np.isnan(bootstrap_mean_interval(values[:10])).any()


def test_the_bootstrap_of_a_difference_agrees_with_welchs_interval_and_needs_ten_of_each():
    rng = np.random.default_rng(4)
    values, second = rng.random(300), np.arange(300) < 100
    welch = ttest_ind(values[~second], values[second], equal_var=False).confidence_interval()
    low, high = bootstrap_difference_interval(values, second)
    assert (low, high) == pytest.approx((welch.low, welch.high), abs=0.1 * (welch.high - welch.low))
    order = rng.permutation(300)
    assert bootstrap_difference_interval(values[order], second[order]) == (low, high)
    assert np.isnan(bootstrap_difference_interval(values, np.arange(300) < 9)).all()


def test_copies_are_resampled_as_one():
    values = np.random.default_rng(3).random(50)
    low, high = bootstrap_mean_interval(values)
    again = bootstrap_mean_interval(np.repeat(values, 4), clusters=np.repeat(np.arange(50), 4))
    assert again == pytest.approx((low, high))
    assert np.isnan(bootstrap_mean_interval(np.repeat(values[:9], 4), clusters=np.repeat(np.arange(9), 4))).all()


def test_limits_stay_within_bounds_where_few_values_differ():
    values = np.zeros(12)
    values[0] = 1
    assert bootstrap_mean_interval(values, bounds=(-1, 1))[1] == 1
    assert bootstrap_mean_interval(np.full(12, 0.5)) == (0.5, 0.5)


def test_models_are_compared_on_the_scenes_both_have():
    rows = pd.concat([saliency_rows([0.5, 0.7, NAN], model="a"), saliency_rows([0.4, 0.5, 0.9], model="b")])
    (row,) = compare_localisation(rows).itertuples()
    assert (row.model_a, row.model_b, row.n, row.left_out) == ("a", "b", 2, 1)
    assert (row.a, row.b, row.difference) == pytest.approx((0.6, 0.45, 0.15))
    assert np.isnan([row.difference_low, row.difference_high]).all()  # two scenes do not show their spread


def test_a_paired_interval_is_narrower_than_the_two():
    rng = np.random.default_rng(0)
    base = rng.random(100)
    rows = pd.concat([saliency_rows(base + 0.05, model="a"), saliency_rows(base + 0.01 * rng.random(100), model="b")])
    (row,) = compare_localisation(rows).itertuples()
    summary = localisation_summary(rows)
    assert row.difference_low > 0
    width = summary["share_on_object_high"] - summary["share_on_object_low"]
    assert row.difference_high - row.difference_low < 0.1 * width.min()


def test_variants_are_compared_too():
    rows = pd.concat([saliency_rows([0.5, 0.7]), saliency_rows([0.2, 0.5], variant="mixed_rand")])
    table = compare_localisation(rows, between="variant", by=["model"])
    assert table[["variant_a", "variant_b", "difference"]].values.tolist() == [
        ["original", "mixed_rand", pytest.approx(0.25)]
    ]


@pytest.fixture(scope="module")
def fooled_rows():
    """Build scenes whose log odds of being fooled rise by 0.5 per ten points less on the object."""
    rng = np.random.default_rng(5)
    n = 4000
    share = rng.random(n)
    chance = 1 / (1 + np.exp(-(0.5 * (1 - share) * 10 - 3)))
    kept = rng.random(n) > chance
    return pd.concat([saliency_rows(share), saliency_rows([NAN] * n, right=kept, variant="mixed_rand")])


def test_the_odds_that_were_put_in_come_out(fooled_rows):
    area = np.tile(np.random.default_rng(6).random(4000), 2)
    (row,) = fooled_by_share(fooled_rows.assign(mask_area=area)).itertuples()
    assert row.odds_ratio_low < np.exp(0.5) < row.odds_ratio_high
    assert row.odds_ratio_high / row.odds_ratio_low < 1.12
    assert row.odds_ratio_adjusted == pytest.approx(row.odds_ratio, rel=0.01)
    assert row.share_kept > row.share_fooled
    assert row.difference == pytest.approx(row.share_kept - row.share_fooled)
    assert row.difference_low < row.difference < row.difference_high
    assert row.p < 1e-10


def test_what_the_area_explains_is_taken_out():
    rng = np.random.default_rng(2)
    area = rng.random(3000)
    share = np.clip(area + 0.1 * rng.standard_normal(3000), 0, 1)
    kept = rng.random(3000) > 1 / (1 + np.exp(-(2 - 5 * area)))
    rows = pd.concat([saliency_rows(share), saliency_rows(share, right=kept, variant="mixed_rand")])
    (row,) = fooled_by_share(rows.assign(mask_area=np.tile(area, 2))).itertuples()
    assert row.odds_ratio_low > 1.3
    assert row.odds_ratio_adjusted_low < 1 < row.odds_ratio_adjusted_high


def test_only_scenes_correct_on_the_original_are_compared():
    rows = pd.concat([
        saliency_rows([0.9, 0.5, 0.1, NAN], right=[True, True, False, True]),
        saliency_rows([0.0] * 4, right=[True, False, False, False], variant="mixed_rand"),
    ])  # fmt: skip
    (row,) = fooled_by_share(rows).itertuples()
    assert (row.n, row.fooled, row.share_kept, row.share_fooled) == (2, 1, 0.9, 0.5)
    assert row.difference == pytest.approx(0.4)
    assert np.isnan([row.odds_ratio, row.odds_ratio_adjusted]).all()  # two scenes carry no regression


@pytest.mark.parametrize("right", [[True] * 6, [False] * 6])
def test_all_or_none_fooled_has_no_odds(right):
    rows = pd.concat(
        [saliency_rows([0.1, 0.2, 0.3, 0.4, 0.5, 0.6]), saliency_rows([0.5] * 6, right=right, variant="x")]
    )
    (row,) = fooled_by_share(rows, swapped="x").itertuples()
    assert row.fooled == (0 if right[0] else 6)
    assert np.isnan([row.difference, row.p, row.odds_ratio, row.odds_ratio_high]).all()


def test_a_perfect_divide_has_no_finite_odds():
    share = np.linspace(0, 1, 40)
    rows = pd.concat([saliency_rows(share), saliency_rows(share, right=share > 0.5, variant="mixed_rand")])
    (row,) = fooled_by_share(rows).itertuples()
    assert row.difference == pytest.approx(20 / 39)
    assert np.isnan([row.odds_ratio, row.odds_ratio_low, row.odds_ratio_high]).all()


def test_bins_hold_every_scene_and_fall(fooled_rows):
    table = fooled_by_bin(fooled_rows, bins=5)
    assert table["n"].tolist() == [800] * 5
    assert table["share_on_object"].is_monotonic_increasing
    assert table["fooled"].is_monotonic_decreasing
    assert (table["fooled_low"] < table["fooled"]).all()
    assert (table["share_to"].iloc[:-1].to_numpy() < table["share_from"].iloc[1:].to_numpy()).all()


def test_what_is_missing_is_named():
    rows = saliency_rows([0.5, 0.6])
    cases = {
        "expected saliency rows of 'mixed_rand', got only original; run bglab saliency on it first": (
            lambda: fooled_by_share(rows)
        ),
        "expected two or more values of 'model' to compare, got one; compute saliency for another": (
            lambda: compare_localisation(rows)
        ),
        "expected a saliency table, got no column 'auc'; make it with bglab.saliency_table or bglab saliency": (
            lambda: localisation_summary(rows.drop(columns="auc"))
        ),
        "expected a saliency table, got no rows; make it with bglab.saliency_table or bglab saliency": (
            lambda: localisation_summary(rows.iloc[:0])
        ),
        "expected each scene once in 'original', got s0 twice; select one model, data set, method and target first": (
            lambda: fooled_by_bin(pd.concat([rows, rows]), swapped="original")
        ),
        "expected scenes that are correct on 'original' with a non-zero map, got none; add scenes": (
            lambda: fooled_by_bin(
                pd.concat([saliency_rows([NAN, NAN]), saliency_rows([NAN, NAN], variant="mixed_rand")])
            )
        ),
    }
    for sentence, call in cases.items():
        with pytest.raises(BadInput) as error:
            call()
        assert str(error.value) == sentence
    with pytest.raises(UnknownName, match="unknown column 'modle'; did you mean 'model'"):
        localisation_summary(rows, by="modle")
