"""The five categories of Table 3, and capture by the background, on hand-counted tables."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bglab.analysis import metrics, share_interval
from bglab.errors import BadInput
from bglab.labels import IMAGENET_TO_IN9
from fixtures.predictions import BIRD, DOG, OUTSIDE, rows, with_verdicts

# the five categories

TABLE_3 = {  # original, mixed_rand, only_bg_t
    (True, False, True): "bg_required",
    (False, True, False): "bg_fools",
    (True, False, False): "bg_fg_required",
    (False, True, True): "bg_fg_fools",
    (True, True, True): "bg_irrelevant",
    (True, True, False): "bg_irrelevant",
    (False, False, True): "bg_irrelevant",
    (False, False, False): "bg_irrelevant",
}


def three_variants(verdicts, **columns):
    names = ("original", "mixed_rand", "only_bg_t")
    return pd.concat([with_verdicts(v, variant=n, **columns) for n, v in zip(names, verdicts, strict=True)])


def test_the_categories_are_those_of_table_3():
    result = metrics.scene_categories(three_variants(zip(*TABLE_3, strict=True)))
    assert result["category"].tolist() == list(TABLE_3.values())
    counted = metrics.categories(three_variants(zip(*TABLE_3, strict=True)))
    assert counted.columns.tolist() == [
        "model",
        "dataset",
        "category",
        "n",
        "count",
        "share",
        "share_low",
        "share_high",
    ]
    assert counted["category"].tolist() == [*metrics.CATEGORIES, "bg_fools_strict"]
    assert counted["count"].tolist() == [4, 1, 1, 1, 1, 1]
    assert counted["n"].unique().tolist() == [8]
    assert counted["share"].tolist() == (counted["count"] / 8).tolist()


@settings(max_examples=40, deadline=None)
@given(verdicts=st.lists(st.tuples(st.booleans(), st.booleans(), st.booleans()), min_size=1, max_size=40))
def test_required_minus_fools_is_the_drop_in_accuracy(verdicts):
    table = three_variants(zip(*verdicts, strict=True))
    shares = metrics.categories(table).set_index("category")["share"]
    top1 = metrics.accuracy(table).set_index("variant")["top1"]
    required = shares["bg_required"] + shares["bg_fg_required"]
    fools = shares["bg_fools"] + shares["bg_fg_fools"]
    assert top1["original"] - top1["mixed_rand"] == pytest.approx(required - fools)
    assert shares.drop("bg_fools_strict").sum() == pytest.approx(1)


def test_strictly_fooled_means_the_same_incorrect_class_as_the_background_alone():
    table = three_variants([[False] * 4, [True] * 4, [False] * 4])
    table["prediction"] = [1, 2, OUTSIDE, OUTSIDE] + [0] * 4 + [1, 3, OUTSIDE, OUTSIDE]
    table["native"] = [7, 407, 500, 500] + [151] * 4 + [8, 33, 500, 501]
    result = metrics.scene_categories(table)
    assert result["category"].unique().tolist() == ["bg_fools"]
    assert result["strict"].tolist() == [True, False, True, False]


def test_strictness_is_evaluated_in_the_given_space():
    dogs, birds = [DOG] * 3, [BIRD, BIRD, BIRD + 1]
    table = pd.concat(
        rows(variant=v, label=[DOG], prediction=[p], native=[p], space="imagenet")
        for v, p in zip(("original", "mixed_rand", "only_bg_t"), (birds[0], dogs[0], birds[2]), strict=True)
    )
    assert IMAGENET_TO_IN9[birds[0]] == IMAGENET_TO_IN9[birds[2]]
    assert metrics.scene_categories(table)["strict"].tolist() == [False]
    assert metrics.scene_categories(table, space="in9")["strict"].tolist() == [True]


def test_categories_need_the_scene_in_all_three_variants():
    table = three_variants([[True, True], [False, False], [True]])
    assert metrics.scene_categories(table)["scene"].tolist() == ["s0"]


# capture


def test_capture_counts_the_donors_class_among_donors_of_other_classes():
    table = rows(
        variant="mixed_rand",
        label=[0, 0, 0, 0, 1],
        prediction=[2, 0, 0, 5, 2],
        donor=["two", "two", "nought", "", "two"],
    )
    result = metrics.background_capture(table, {"two": 2, "nought": 0})
    assert result.columns.tolist() == [
        "model", "dataset", "variant", "n", "same_class", "unknown", "captured", "captured_low", "captured_high",
    ]  # fmt: skip
    row = result.iloc[0]
    assert row[["n", "same_class", "unknown"]].tolist() == [3, 1, 1]
    assert row["captured"] == pytest.approx(2 / 3)
    low, high = share_interval(np.array([2]), np.array([3]))
    assert row[["captured_low", "captured_high"]].tolist() == [low.item(), high.item()]


def test_capture_without_a_counted_image_is_nan_and_without_donors_an_error():
    table = rows(label=[0, 0], prediction=[0, 1], donor=["nought", "two"], model=["a", "b"])
    result = metrics.background_capture(table, {"nought": 0, "two": 2}, by=["model"])
    assert result["n"].tolist() == [0, 1]
    assert result["captured"].isna().tolist() == [True, False]
    with pytest.raises(BadInput) as caught:
        metrics.background_capture(table, {})
    assert str(caught.value) == ("expected images whose donor is among donor_labels, got none; predict a mixed variant")
