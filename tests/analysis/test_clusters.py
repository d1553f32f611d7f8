"""Clusters: read off the ids, neutral where every cluster has one member, and wider intervals where it has several."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from bglab import analysis
from bglab.analysis import (
    clustered_share,
    crossed_share,
    design_effect,
    paired_difference,
    row_clusters,
    share_interval,
)
from fixtures.matrices import make_pairs
from fixtures.predictions import both_variants, with_verdicts
from fixtures.saliency import saliency_rows

RNG = np.random.default_rng(4)
VERDICTS = (RNG.random(60) < 0.7).tolist()
OTHERS = (RNG.random(60) < 0.5).tolist()


def copied(table, copies=3):
    """Show the same object in several rows, with the ids that cutouts give to copies."""
    parts = [table]
    for i in range(2, copies + 1):
        parts.append(table.assign(scene=table["scene"] + f"-copy{i}"))
    return pd.concat(parts, ignore_index=True)


def test_copies_and_donors_are_read_off_the_ids():
    objects, donors = row_clusters(["a", "a-copy2", "b", "a", "b-copy10"], ["x", "", "x", "y", ""])
    assert objects.tolist() == [0, 0, 1, 0, 1]
    assert donors.tolist() == [0, 1, 0, 2, 3]
    # without any donor there is no such kind of cluster
    assert len(row_clusters(["a", "b"], ["", ""])) == 1


def test_single_members_change_nothing():
    values = np.array(VERDICTS, dtype=float)
    assert design_effect(values - values.mean(), np.arange(60), np.arange(60)[::-1].copy()) == 1.0
    low, high = share_interval(np.array([values.sum()], dtype=int), np.array([60]))
    assert clustered_share(values, np.arange(60)) == (values.mean(), low[0], high[0])


def test_the_design_effect_by_hand():
    residuals = np.tile([3.0, 3, -5, -5, 3, -5, 3, 3], 5) / 8
    totals = residuals.reshape(20, 2).sum(axis=1)
    variance = (totals**2).sum() * 20 / 19
    independent = (residuals**2).sum() * 40 / 39
    student = (stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 39)) ** 2
    assert variance > independent
    assert design_effect(residuals, np.arange(40) // 2) == pytest.approx(variance / independent * student)


def test_two_kinds_of_clusters_by_hand():
    rng = np.random.default_rng(0)
    first, second = np.arange(90) % 30, np.arange(90) // 3 % 25
    _, both = np.unique(100 * first + second, return_inverse=True)
    residuals = rng.normal(size=30)[first] + rng.normal(size=25)[second] + rng.normal(size=90)
    residuals -= residuals.mean()

    def squares(codes):
        totals = np.bincount(codes, weights=residuals)
        return (totals**2).sum() * len(totals) / (len(totals) - 1)

    independent = (residuals**2).sum() * 90 / 89
    student = (stats.t.ppf(0.975, 24) / stats.t.ppf(0.975, 89)) ** 2
    expected = (squares(first) + squares(second) - squares(both)) / independent * student
    assert design_effect(residuals, first, second) == pytest.approx(expected)


def test_few_clusters_count_as_equal_rows():
    values = RNG.random(57)
    assert design_effect(values - values.mean(), np.arange(57) // 3) == 3
    assert design_effect(values - values.mean(), np.arange(57), np.arange(57) // 3) == 3


def test_equal_values_in_clusters_count_once():
    ones = np.ones(12)
    assert design_effect(ones - 1, np.arange(12) // 3) == 3
    low, _ = share_interval(np.array([4]), np.array([4]))
    assert clustered_share(ones, np.arange(12) // 3)[1] == pytest.approx(low[0])


def test_a_donor_of_all_rows_is_no_sample():
    values = np.array(VERDICTS, dtype=float)
    assert design_effect(values - values.mean(), np.arange(60), np.zeros(60, dtype=int)) == 1.0


def test_equal_copies_add_nothing_to_the_accuracy():
    single = analysis.accuracy(with_verdicts(VERDICTS)).iloc[0]
    triple = analysis.accuracy(copied(with_verdicts(VERDICTS))).iloc[0]
    assert triple["n"] == 180
    assert triple["top1"] == pytest.approx(single["top1"])
    assert triple["top1_high"] - triple["top1_low"] == pytest.approx(single["top1_high"] - single["top1_low"], rel=0.03)


def test_equal_copies_add_nothing_to_gaps_categories_and_comparisons():
    table = both_variants(VERDICTS, OTHERS)
    gap, wide = (analysis.background_gap(t).iloc[0] for t in (table, copied(table)))
    assert wide["gap_high"] - wide["gap_low"] == pytest.approx(gap["gap_high"] - gap["gap_low"], rel=0.03)
    three = pd.concat([table, with_verdicts(OTHERS[::-1], variant="only_bg_t"), with_verdicts(VERDICTS)])
    shares, wider = (analysis.categories(t).query("count > 0") for t in (three, copied(three)))
    widths = [t["share_high"].to_numpy() - t["share_low"].to_numpy() for t in (shares, wider)]
    assert widths[1] == pytest.approx(widths[0], rel=0.05)
    models = pd.concat([with_verdicts(VERDICTS, model="a"), with_verdicts(OTHERS, model="b")])
    one, many = (analysis.compare_models(t, variant="original").iloc[0] for t in (models, copied(models)))
    assert one["p"] == many["p"]
    assert (one["objects"], one["discordant"]) == (60, one["a_only"] + one["b_only"])
    assert (many["n"], many["objects"], many["discordant"]) == (180, 60, one["discordant"])


def test_rows_of_one_donor_are_a_cluster():
    rng = np.random.default_rng(0)
    lent = np.repeat(np.arange(20), 10)
    verdicts = np.repeat(rng.random(20) < 0.5, 10)
    donors = [f"d{i}" for i in lent]
    alone, shared = (with_verdicts(verdicts, variant="mixed_rand", donor=d) for d in ([""] * 200, donors))
    narrow, wide = (analysis.accuracy(t).iloc[0] for t in (alone, shared))
    expected = stats.binomtest(int(verdicts.sum()) // 10, 20).proportion_ci(method="wilson")
    assert wide["top1_high"] - wide["top1_low"] == pytest.approx(expected.high - expected.low, rel=0.1)
    assert wide["top1_high"] - wide["top1_low"] > 2.5 * (narrow["top1_high"] - narrow["top1_low"])


def test_paired_limits_with_a_design_effect_are_those_of_fewer_pairs():
    few, many = paired_difference(18, 6, 1, 5), paired_difference(54, 18, 3, 15, design_effect=3.0)
    assert many == pytest.approx(few)


def test_drops_and_gains_are_paired_and_zero_against_themselves():
    rng = np.random.default_rng(2)
    verdicts = {m: [rng.random(40) < p for p in (0.9, 0.6)] for m in ("base", "other") for _ in "x"}
    table = pd.concat(
        with_verdicts(v, model=m, variant=name)
        for m, pair in verdicts.items()
        for name, v in zip(("original", "on_white"), pair, strict=True)
    )
    found = analysis.relative_accuracies(table, "base").set_index(["model", "variant"])
    row = found.loc[("other", "on_white")]
    first, second = verdicts["other"]
    cells = [int((first & second).sum()), int((first & ~second).sum()), int((~first & second).sum())]
    expected = paired_difference(*cells, 40 - sum(cells))
    assert tuple(row[["top1_drop", "top1_drop_low", "top1_drop_high"]]) == pytest.approx(tuple(expected))
    assert row["top1_gain_low"] <= row["top1_gain"] <= row["top1_gain_high"]
    own = found.loc[("base", "original"), ["top1_drop_low", "top1_drop_high", "top1_gain_low", "top1_gain_high"]]
    assert own.tolist() == [0, 0, 0, 0]
    assert found["top1_low"].le(found["top1"]).all()


def test_draws_reduce_the_width_of_a_drop_but_keep_its_value():
    original = with_verdicts(VERDICTS)
    draws = [with_verdicts(OTHERS[i:] + OTHERS[:i], variant=f"on_texture~{i}" if i else "on_texture") for i in range(3)]
    found = analysis.relative_accuracies(pd.concat([original, *draws]), "m").set_index("variant").loc["on_texture"]
    single = paired_difference(*(int(np.sum((np.array(VERDICTS) == a) & (np.array(OTHERS) == b)))
                                 for a, b in ((True, True), (True, False), (False, True), (False, False))))  # fmt: skip
    assert found["top1_drop"] == pytest.approx(np.mean(VERDICTS) - np.mean(OTHERS))
    assert found["top1_drop_low"] < found["top1_drop"] < found["top1_drop_high"]
    assert found["top1_drop_high"] - found["top1_drop_low"] < single.high - single.low


def crossed_matrix(f=40, b=30, seed=0):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(f, 1)) + rng.normal(size=b) + rng.normal(size=(f, b)) > 0.4


def test_pairs_have_wider_limits_than_as_many_independent_rows():
    hits = crossed_matrix()
    share, low, high = crossed_share(hits, np.ones_like(hits), np.arange(40))
    naive = stats.binomtest(int(hits.sum()), hits.size).proportion_ci(method="wilson")
    assert share == hits.mean()
    assert high - low > 3 * (naive.high - naive.low)


def test_the_crossed_interval_has_the_width_of_a_bootstrap_of_rows_and_columns():
    hits = crossed_matrix(60, 60)
    _, low, high = crossed_share(hits, np.ones_like(hits), np.arange(60))
    rng = np.random.default_rng(1)
    rows, columns = (rng.multinomial(60, np.full(60, 1 / 60), size=2000) for _ in range(2))
    drawn = ((rows @ hits) * columns).sum(axis=1) / hits.size
    assert high - low == pytest.approx(np.ptp(np.quantile(drawn, [0.025, 0.975])), rel=0.1)


def test_few_foregrounds_or_backgrounds_have_no_interval():
    hits = crossed_matrix(40, 9)
    share, low, high = crossed_share(hits, np.ones_like(hits), np.arange(40))
    assert share == hits.mean()
    assert np.isnan([low, high]).all()
    assert np.isnan(crossed_share(hits, np.zeros_like(hits), np.arange(40))).all()
    # copies are one foreground
    tall = crossed_matrix(27, 12)
    assert np.isnan(crossed_share(tall, np.ones_like(tall), np.arange(27) // 3)[1])


def test_unanimous_pairs_count_as_one_per_foreground_or_background():
    ones = np.ones((20, 50), dtype=bool)
    low, _ = share_interval(np.array([20]), np.array([20]))
    assert crossed_share(ones, ones, np.arange(20))[1] == pytest.approx(low[0])


def test_copies_of_foregrounds_widen_every_share_of_a_search():
    base = np.where(crossed_matrix(30, 24), 1, 0)
    labels = np.zeros(30, dtype=int)
    single = make_pairs(base, labels, [1] * 24, prefix="b")
    tripled = make_pairs(np.tile(base, (3, 1)), np.tile(labels, 3), [1] * 24, prefix="b")
    ids = [*single.foregrounds.ids, *(f"{s}-copy{i}" for i in (2, 3) for s in single.foregrounds.ids)]
    tripled = dataclasses.replace(tripled, foregrounds=tripled.foregrounds._replace(ids=tuple(ids)))
    functions = {
        "rate": analysis.fooling_rates, "total": analysis.per_class_totals, "vulnerable_any": analysis.vulnerability,
        "vulnerable": analysis.vulnerability_curve,
    }  # fmt: skip
    for name, function in functions.items():
        one, three = (function(pairs).iloc[0] for pairs in (single, tripled))
        assert three[name] == pytest.approx(one[name])
        widths = [row[f"{name}_high"] - row[f"{name}_low"] for row in (one, three)]
        assert widths[1] == pytest.approx(widths[0], rel=0.05), name
    heat, same = (analysis.class_heat_map(pairs).iloc[0] for pairs in (single, tripled))
    assert same["rate_high"] - same["rate_low"] == pytest.approx(heat["rate_high"] - heat["rate_low"], rel=0.05)


def test_transfer_has_intervals_over_both_sides():
    first, second = (make_pairs(np.where(crossed_matrix(seed=s), 1, 0), [0] * 40, [1] * 30, prefix="b", model=f"m{s}")
                     for s in (0, 1))  # fmt: skip
    row = analysis.transfer(first, second).iloc[0]
    for name in ("transferred", "base_rate", "overlap", "vulnerable_both"):
        assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    naive = stats.binomtest(round(row["transferred"] * row["n"]), row["n"]).proportion_ci(method="wilson")
    assert row["transferred_high"] - row["transferred_low"] > 2 * (naive.high - naive.low)


def test_copies_widen_the_intervals_of_saliency():
    shares = RNG.random(40)
    rows = saliency_rows(shares, pointing=(shares > 0.4).astype(float))
    one, three = (analysis.localisation_summary(t).iloc[0] for t in (rows, copied(rows)))
    for name in ("share_on_object", "pointing"):
        widths = [row[f"{name}_high"] - row[f"{name}_low"] for row in (one, three)]
        assert widths[1] == pytest.approx(widths[0], rel=0.05)
