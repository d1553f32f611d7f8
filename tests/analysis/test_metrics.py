"""Known answers for every metric, against hand-counted tables, published examples, scipy and simulation."""

from __future__ import annotations

import gc
import itertools
import math
from unittest.mock import patch

import jaxtyping
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import stats
from statsmodels.stats.multitest import multipletests

from bglab.analysis import holm, metrics, paired_difference, share_interval
from bglab.errors import BadInput, UnknownName
from fixtures.predictions import ALSO_DOG, BIRD, DOG, OUTSIDE, TOASTER, both_variants, rows, with_verdicts

# accuracy


def test_accuracy_counts_and_matches_scipys_wilson_interval():
    table = metrics.accuracy(with_verdicts([True] * 7 + [False] * 3))
    expected = stats.binomtest(7, 10).proportion_ci(method="wilson")
    assert table.columns.tolist() == [
        "model",
        "dataset",
        "variant",
        "space",
        "n",
        "top1",
        "top1_low",
        "top1_high",
        "top5",
        "top5_low",
        "top5_high",
    ]
    assert table[["model", "dataset", "variant", "space", "n"]].values.tolist() == [["m", "set", "original", "in9", 10]]
    assert table["top1"].item() == 0.7
    assert table[["top1_low", "top1_high"]].iloc[0].tolist() == pytest.approx([expected.low, expected.high], abs=1e-12)
    nothing = stats.binomtest(0, 10).proportion_ci(method="wilson")
    # the five best classes of these rows are all fish
    assert table[["top5", "top5_low", "top5_high"]].iloc[0].tolist() == pytest.approx([0, 0, nothing.high], abs=1e-12)


@settings(deadline=None)
@given(n=st.integers(1, 5000), share=st.floats(0, 1))
def test_wilsons_interval_is_scipys_and_holds_the_share(n, share):
    count = round(n * share)
    low, high = (limit.item() for limit in share_interval(np.array([count]), np.array([n])))
    expected = stats.binomtest(count, n).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert 0 <= low <= count / n <= high <= 1


def test_groups_keep_the_order_of_first_appearance():
    table = pd.concat(
        [
            with_verdicts([True], model=m, variant=v)
            for m in ("z", "a")
            for v in ("original", "mixed_same", "mixed_rand")
        ]
    )
    result = metrics.accuracy(table)
    assert result["model"].tolist() == ["z"] * 3 + ["a"] * 3
    assert result["variant"].tolist() == ["original", "mixed_same", "mixed_rand"] * 2


@pytest.mark.parametrize("by", [["label"], "label", ("label",), ["model", "label"], []])
def test_accuracy_groups_by_any_columns(by):
    table = rows(label=[2, 2, 0], prediction=[2, 0, 0])
    result = metrics.accuracy(table, by=by)
    assert result["n"].sum() == 3
    assert (result["top1"] * result["n"]).sum() == 2
    if by:
        assert result["label"].tolist() == [2, 0]


def test_outside_is_incorrect_and_unknown_truth_is_left_out():
    result = metrics.accuracy(rows(label=[0, 0, OUTSIDE], prediction=[0, OUTSIDE, OUTSIDE]))
    assert result[["n", "top1"]].values.tolist() == [[2, 0.5]]


def test_imagenet_rows_in_nine_classes():
    table = rows(
        space="imagenet",
        label=[DOG, DOG, BIRD, TOASTER],
        prediction=[ALSO_DOG, TOASTER, BIRD, TOASTER],
        native=[ALSO_DOG, TOASTER, BIRD, TOASTER],
        native_label=[DOG, DOG, BIRD, TOASTER],
        top5=[[ALSO_DOG, 0, 1, 2, 3], [TOASTER, DOG, 0, 1, 2], [BIRD, 0, 1, 2, 3], [TOASTER, 0, 1, 2, 3]],
    )
    own = metrics.accuracy(table)
    assert own[["space", "n", "top1", "top5"]].values.tolist() == [["imagenet", 4, 0.5, 0.75]]
    nine = metrics.accuracy(table, space="in9")
    assert nine[["space", "n", "top1", "top5"]].values.tolist() == [["in9", 3, pytest.approx(2 / 3), 1.0]]


def test_a_nine_class_model_on_imagenet_labels_predicts_nine_classes():
    table = rows(
        space="imagenet", native_space="in9", label=[DOG, BIRD], prediction=[OUTSIDE, OUTSIDE], native=[0, 0],
        top5=[[0, 1, 2, 3, 4], [0, 2, 3, 4, 5]],
    )  # fmt: skip
    result = metrics.accuracy(table, space="in9")
    assert result[["n", "top1", "top5"]].values.tolist() == [[2, 0.5, 0.5]]


def test_native_space_compares_the_imagenet_class():
    table = rows(label=[0, 0, 1], prediction=[0, 0, 1], native=[DOG, ALSO_DOG, BIRD], native_label=[DOG, DOG, OUTSIDE])
    result = metrics.accuracy(table, space="native")
    assert result[["space", "n", "top1"]].values.tolist() == [["imagenet", 2, 0.5]]


def test_top5_maps_to_nine_classes_and_is_nan_without_a_map():
    mapped = rows(label=[1, 1], prediction=[0, 0], top5=[[DOG, BIRD, 1, 2, 3], [DOG, ALSO_DOG, 1, 2, 3]])
    assert metrics.accuracy(mapped)["top5"].item() == 0.5
    strangers = rows(label=[1], prediction=[1], space="voc", native_space="imagenet")
    assert math.isnan(metrics.accuracy(strangers)["top5"].item())
    half = pd.concat([mapped, mapped.assign(native_space="other")])
    assert math.isnan(metrics.accuracy(half)["top5"].item())
    assert math.isnan(metrics.accuracy(mapped.drop(columns="top5"))["top5"].item())


def test_top5_takes_arrays_and_models_of_fewer_classes():
    arrays = rows(label=[1, 2], prediction=[1, 2], native_space="in9", top5=[np.array([1, 0, 2]), np.array([0, 1])])
    assert metrics.accuracy(arrays)["top5"].item() == 0.5


def test_mixed_spaces_become_rows_of_their_own():
    table = pd.concat([with_verdicts([True]), with_verdicts([False], space="imagenet")])
    assert metrics.accuracy(table, by=["model"])[["space", "top1"]].values.tolist() == [["in9", 1.0], ["imagenet", 0.0]]


def test_accuracy_errors_say_what_to_do():
    table = with_verdicts([True])
    with pytest.raises(BadInput) as caught:
        metrics.accuracy(table.iloc[:0])
    assert str(caught.value) == (
        "expected at least one prediction, got an empty table; check the selection or run bglab predict"
    )
    with pytest.raises(UnknownName) as caught:
        metrics.accuracy(table[["model", "dataset", "label"]], by=["modle"])
    assert str(caught.value) == "unknown column 'modle'; did you mean 'model'? Known: model, dataset, label"
    with pytest.raises(BadInput) as caught:
        metrics.accuracy(table[["model", "dataset", "variant", "scene", "label"]])
    assert str(caught.value) == (
        "expected a prediction table with the columns model, dataset, variant, scene, label, prediction, space, got "
        "model, dataset, variant, scene, label; it lacks prediction, space: make the table with bglab.predict, or with "
        "bglab.from_table if another program made it"
    )
    with pytest.raises(BadInput, match=r"got file_name, predicted_class; it lacks model, .*bglab\.from_table"):
        metrics.accuracy(pd.DataFrame({"file_name": ["a.jpg"], "predicted_class": [3]}))
    with pytest.raises(BadInput) as caught:
        metrics.accuracy(table.assign(space="voc"), space="in9")
    assert str(caught.value) == "expected labels in in9 or imagenet to map to nine classes, got voc; leave space out"
    with pytest.raises(BadInput) as caught:
        metrics.accuracy(table, space="native")
    assert str(caught.value) == (
        "expected predictions with a known true class in the space native, got 1 without; "
        "choose another space or label the scenes"
    )


def test_an_unknown_space_is_refused(monkeypatch):
    # outside the tests nothing checks annotations, so the sentence is the user's only guard
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    with pytest.raises(BadInput) as caught:
        metrics.accuracy(with_verdicts([True]), space="nine")
    assert str(caught.value) == "expected the space in9 or native, or None for each row's own, got 'nine'"


def test_no_input_is_changed():
    table = both_variants([True, False], [False, False])
    before = table.copy(deep=True)
    metrics.accuracy(table)
    metrics.background_gap(table)
    pd.testing.assert_frame_equal(table, before)


# paired differences


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [
        ((36, 12, 2, 0), 0.0569, 0.3404),  # Newcombe 1998, Table III, method 10
        ((18, 12, 2, 18), 0.0562, 0.3290),
        ((53, 0, 0, 1), -0.0729, 0.0729),
        ((0, 30, 0, 0), 0.8395, 1.0),
        ((14, 5, 0, 22), 0.011, 0.226),  # Altman et al. 2000, Statistics with Confidence, p. 52
        ((59, 6, 16, 80), -0.1186, -0.0046),  # Cavo et al. 2012, in Fagerland et al. 2014
    ],
)
def test_newcombes_interval_gives_the_published_examples(cells, low, high):
    digits = 3 if cells[0] == 14 else 4
    result = paired_difference(*cells)
    assert (round(result.low, digits), round(result.high, digits)) == (low, high)


@settings(deadline=None)
@given(cells=st.tuples(*[st.integers(0, 300)] * 4).filter(any))
def test_a_paired_interval_holds_its_difference_stays_in_range_and_mirrors(cells):
    both, first_only, second_only, neither = cells
    result = paired_difference(*cells)
    assert -1 - 1e-9 <= result.low <= result.value <= result.high <= 1 + 1e-9
    mirrored = paired_difference(both, second_only, first_only, neither)
    assert (mirrored.low, mirrored.high) == pytest.approx((-result.high, -result.low), abs=1e-12)
    swapped = paired_difference(neither, second_only, first_only, both)  # correct and incorrect swapped
    assert (swapped.low, swapped.high) == pytest.approx((-result.high, -result.low), abs=1e-9)


def test_a_paired_interval_stays_open_where_nothing_disagrees_and_is_nan_without_pairs():
    agree = paired_difference(20, 0, 0, 20)
    assert agree.value == 0
    assert agree.low < -0.02
    assert agree.high > 0.02
    assert all(math.isnan(x) for x in paired_difference(0, 0, 0, 0))


@pytest.mark.parametrize(
    "cells", [(0.6, 0.2, 0.1, 0.1), (0.85, 0.1, 0.0, 0.05), (0.3, 0.1, 0.1, 0.5), (0.4, 0.3, 0.05, 0.25)]
)
def test_newcombes_interval_covers_the_truth_in_95_percent_of_all_tables(cells):
    n, truth = 14, cells[1] - cells[2]
    covered = 0.0
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) > n:
            continue
        table = (*counts, n - sum(counts))
        result = paired_difference(*table)
        if result.low - 1e-12 <= truth <= result.high + 1e-12:
            covered += float(stats.multinomial.pmf(table, n, cells))
    assert covered > 0.93


# background gap


def test_the_gap_is_paired_on_scenes():
    same = [True, True, True, False, True]
    rand = [True, False, False, False, False]
    result = metrics.background_gap(both_variants(same, rand))
    interval = paired_difference(1, 3, 0, 1)
    assert result.columns.tolist() == [
        "model", "dataset", "n", "same", "rand", "gap", "gap_low", "gap_high", "method", "unpaired", "p",
    ]  # fmt: skip
    row = result.iloc[0]
    assert row[["n", "same", "rand", "method", "unpaired"]].tolist() == [5, 0.8, 0.2, "newcombe", 0]
    assert row[["gap", "gap_low", "gap_high"]].tolist() == pytest.approx(list(interval))
    assert row["gap"] == pytest.approx(row["same"] - row["rand"])


def test_scenes_of_one_variant_only_are_left_out_and_counted():
    table = both_variants([True, True, False, True], [False, True])
    row = metrics.background_gap(table).iloc[0]
    assert row[["n", "same", "rand", "unpaired"]].tolist() == [2, 1.0, 0.5, 2]


def test_the_gap_ignores_the_order_of_the_rows():
    rng = np.random.default_rng(1)
    table = both_variants(rng.random(40) < 0.8, rng.random(40) < 0.5).reset_index(drop=True)
    shuffled = table.iloc[rng.permutation(len(table))]
    pd.testing.assert_frame_equal(metrics.background_gap(table), metrics.background_gap(shuffled))


def test_the_gap_of_each_class_and_of_all_models_together():
    table = both_variants([True, True], [True, False])
    table["label"], table["prediction"] = [0, 1, 0, 1], [0, 1, 0, 0]
    by_class = metrics.background_gap(table, by=["label"])
    assert by_class[["label", "n", "gap"]].values.tolist() == [[0, 1, 0.0], [1, 1, 1.0]]
    assert metrics.background_gap(table, by=[])["gap"].tolist() == [0.5]


def test_a_model_without_pairs_has_no_gap():
    table = pd.concat([both_variants([True], [False]), with_verdicts([True], model="other", variant="mixed_same")])
    result = metrics.background_gap(table)
    assert result["model"].tolist() == ["m", "other"]
    assert result["n"].tolist() == [1, 0]
    assert result["unpaired"].tolist() == [0, 1]
    assert math.isnan(result["gap"].iloc[1])


def test_gap_errors_name_the_variant_and_the_scene():
    with pytest.raises(BadInput) as caught:
        metrics.background_gap(with_verdicts([True]))
    assert str(caught.value) == "expected predictions on the variant 'mixed_same', got only original; predict it first"
    with pytest.raises(BadInput) as caught:
        metrics.background_gap(both_variants([True], [True]), by=["variant"])
    assert str(caught.value) == (
        "expected to group by other columns than variant, whose values are compared; leave it out of by"
    )
    twice = pd.concat([both_variants([True], [True]), both_variants([True], [True])])
    with pytest.raises(BadInput) as caught:
        metrics.background_gap(twice)
    assert str(caught.value) == (
        "expected each scene once in 'mixed_same', got s0 twice; "
        "drop the duplicate or add the column that tells the rows apart to model, dataset, scene"
    )


# comparing models


def test_models_are_compared_by_the_exact_mcnemar_test():
    rng = np.random.default_rng(2)
    verdicts = {m: rng.random(60) < p for m, p in {"a": 0.9, "b": 0.6, "c": 0.55}.items()}
    table = pd.concat([with_verdicts(v, model=m) for m, v in verdicts.items()])
    result = metrics.compare_models(table, variant="original")
    assert result[["model_a", "model_b"]].values.tolist() == [["a", "b"], ["a", "c"], ["b", "c"]]
    for row in result.itertuples():
        a_only = int((verdicts[row.model_a] & ~verdicts[row.model_b]).sum())
        b_only = int((~verdicts[row.model_a] & verdicts[row.model_b]).sum())
        assert (row.n, row.a_only, row.b_only) == (60, a_only, b_only)
        assert row.difference == pytest.approx((a_only - b_only) / 60)
        assert row.difference_low <= row.difference <= row.difference_high
        assert row.p == pytest.approx(stats.binomtest(a_only, a_only + b_only).pvalue)
    # Holm by hand: the smallest p times 3, the next times 2, never falling
    order = result["p"].sort_values()
    holm = np.minimum(np.maximum.accumulate(order.to_numpy() * [3, 2, 1]), 1)
    assert result["p_holm"].loc[order.index].tolist() == pytest.approx(holm.tolist())


# statsmodels collects garbage in every call, which takes up to a second of a large process
@patch.object(gc, "collect", lambda: 0)
@given(arrays(float, st.integers(1, 12), elements=st.floats(0, 1) | st.just(np.nan)))
def test_adjusted_p_values_are_those_of_statsmodels(p):
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1], nan_ok=True)


def test_models_that_never_disagree_differ_by_nothing():
    table = pd.concat([with_verdicts([True, False], model=m) for m in "ab"])
    row = metrics.compare_models(table, variant="original").iloc[0]
    assert row[["difference", "p", "p_holm"]].tolist() == [0.0, 1.0, 1.0]


def test_only_images_both_models_saw_are_compared():
    table = pd.concat([with_verdicts([True, False, True], model="a"), with_verdicts([False], model="b")])
    assert metrics.compare_models(table, variant="original")[["n", "a_only"]].values.tolist() == [[1, 1]]


def test_comparison_errors():
    with pytest.raises(BadInput) as caught:
        metrics.compare_models(with_verdicts([True]), variant="original")
    assert str(caught.value) == (
        "expected predictions of two or more models on 'original', got m; "
        "predict with another model or choose another variant"
    )
    strangers = pd.concat([with_verdicts([True], model="a"), with_verdicts([True], model="b").assign(scene="other")])
    with pytest.raises(BadInput) as caught:
        metrics.compare_models(strangers, variant="original")
    assert str(caught.value) == "expected a and b on the same images of 'original', got none in common"
