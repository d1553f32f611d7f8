"""Filters of a prediction table: the rows they select, and their number, computed in another way."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bglab
from bglab.analysis import ORDERS, OUTCOMES, RowFilter, RowIndex, least_margin
from bglab.errors import BadInput, UnknownName
from bglab.labels import IN9_NAMES, softmax, to_in9
from fixtures.many_rows import many_rows
from fixtures.predictions import ALSO_DOG, BIRD, DOG, OUTSIDE, TOASTER, rows

SCENES = [f"s{i:03d}" for i in range(90)] + [f"s{i:03d}-copy2" for i in range(9)]
LABELS = np.arange(len(SCENES)) % 9
VARIANTS = ("original", "mixed_same", "mixed_rand")


@pytest.fixture(scope="module")
def table():
    return many_rows(SCENES, LABELS, VARIANTS, ("m", "k"), seed=3)


@pytest.fixture(scope="module")
def index(table):
    return RowIndex(table)


def selected(table, index, **wanted):
    return table.iloc[index.table["row"].to_numpy()[index.select(RowFilter(**wanted)).rows]]


@pytest.mark.parametrize("by", [{}, {"variant": "mixed_rand"}, {"model": "k"}, {"variant": "mixed_same", "model": "m"}])
def test_accuracy_is_that_of_the_analysis(table, index, by):
    part = table
    for column, value in by.items():
        part = part[part[column] == value]
    expected = bglab.accuracy(part, by=[]).iloc[0]
    metric = index.select(RowFilter(**by)).metric
    assert metric[2:6] == pytest.approx((expected.n, expected.top1, expected.top1_low, expected.top1_high))


def test_the_difference_is_the_gap_of_the_analysis(table, index):
    gap = bglab.background_gap(table).iloc[0]
    found = index.select(RowFilter(variant="mixed_rand", model="m", compared_with="variant:mixed_same"))
    metric = found.metric
    assert (metric.there, metric.here) == pytest.approx((gap.same, gap.rand))
    assert tuple(metric.difference) == pytest.approx((-gap.gap, -gap.gap_high, -gap.gap_low))
    lost = index.select(RowFilter("", "mixed_rand", "m", "negative_flip", "variant:mixed_same")).metric
    won = index.select(RowFilter("", "mixed_rand", "m", "positive_flip", "variant:mixed_same")).metric
    assert lost.value - won.value == pytest.approx(gap.gap)


def test_models_are_compared_as_by_the_analysis(table, index):
    compared = bglab.compare_models(table, variant="mixed_rand").iloc[0]
    metric = index.select(RowFilter(variant="mixed_rand", model="m", compared_with="model:k")).metric
    expected = (compared.difference, compared.difference_low, compared.difference_high)
    assert tuple(metric.difference) == pytest.approx(expected)
    won = index.select(RowFilter("", "mixed_rand", "m", "positive_flip", "model:k")).metric
    assert won.hits == compared.a_only


def test_flips_are_selected_in_both_directions(table, index):
    wide = table.assign(right=table["label"] == table["prediction"]).pivot(
        index=["model", "scene"], columns="variant", values="right"
    )
    flips = {
        "negative_flip": wide["original"] & ~wide["mixed_rand"],
        "positive_flip": ~wide["original"] & wide["mixed_rand"],
        "flip": wide["original"] != wide["mixed_rand"],
    }
    for outcome, marked in flips.items():
        found = selected(table, index, variant="mixed_rand", outcome=outcome, compared_with="variant:original")
        expected = set(wide.index[marked])
        assert set(zip(found["model"], found["scene"], strict=True)) == expected, outcome
        assert set(found["variant"]) == {"mixed_rand"}


def test_rows_without_a_counterpart_are_left_out_and_counted(table):
    part = table.drop(table.index[(table["variant"] == "original") & (table["scene"] == "s005")])
    found = RowIndex(part).select(RowFilter(variant="mixed_rand", compared_with="variant:original"))
    assert (found.metric.n, found.unpaired) == (2 * len(SCENES) - 2, 2)


def test_the_confusion_counts_what_pandas_counts(table, index):
    found = index.select(RowFilter(variant="mixed_rand", model="m", outcome="incorrect", true_class="dog"))
    part = table[(table["variant"] == "mixed_rand") & (table["model"] == "m")]
    expected = pd.crosstab(part["label"], part["prediction"]).reindex(columns=[*range(9), OUTSIDE], fill_value=0)
    np.testing.assert_array_equal(found.confusion, expected.to_numpy())


@pytest.mark.parametrize("order", ORDERS)
def test_rows_are_sorted(table, index, order):
    found = selected(table, index, order=order)
    correct = (found["label"] == found["prediction"]).to_numpy()
    values = {
        "margin": np.where(correct, found["confidence"], -found["confidence"]),
        "narrow": np.abs(least_margin(found)),
        "confidence": -found["confidence"].to_numpy(),
        "doubt": found["confidence"].to_numpy(),
        "scene": found["scene"].to_numpy(),
    }[order]
    if order == "margin":  # first the incorrect ones, the most confident first, as far as the ranks tell
        assert (np.diff(correct.astype(int)) >= 0).all()
        values = least_margin(found)
    assert (values[1:] >= values[:-1]).all()


@settings(max_examples=60, deadline=None)
@given(
    variant=st.sampled_from(["", *VARIANTS]),
    model=st.sampled_from(["", "m", "k"]),
    outcome=st.sampled_from(OUTCOMES),
    compared_with=st.sampled_from(["", "variant:original", "variant:mixed_same", "model:k"]),
    true_class=st.sampled_from(["", "dog", "fish"]),
    predicted_class=st.sampled_from(["", "bird", "(outside)"]),
    least=st.sampled_from([0.0, 0.3, 0.5]),
    most=st.sampled_from([1.0, 0.7]),
)
def test_the_metric_is_a_share_of_what_is_selected(
    table, index, variant, model, outcome, compared_with, true_class, predicted_class, least, most
):
    wanted = RowFilter("", variant, model, outcome, compared_with, true_class, predicted_class, least, most)
    if outcome.endswith("flip") and not compared_with:
        with pytest.raises(BadInput, match="expected something to compare with"):
            index.select(wanted)
        return
    found = index.select(wanted)
    part = selected(table, index, **{name: getattr(wanted, name) for name in wanted.__dataclass_fields__})
    assert part.index.is_unique
    if outcome or predicted_class:
        assert found.metric.hits == len(part)
    else:
        assert found.metric.n == len(part)
        assert found.metric.hits == (part["label"] == part["prediction"]).sum()
    if found.metric.n:
        assert found.metric.low <= found.metric.value <= found.metric.high
        assert found.metric.value == found.metric.hits / found.metric.n
    assert part["confidence"].between(least, most).all()
    assert set(part["label"]) <= ({IN9_NAMES.index(true_class)} if true_class else set(range(9)))


def test_tables_that_cannot_be_browsed_are_refused(table):
    with pytest.raises(BadInput, match="got s000 twice in original of m; drop the duplicate rows"):
        RowIndex(pd.concat([table, table.iloc[:1]]))
    with pytest.raises(BadInput, match="expected labels of one space, got in9, voc; select one of them"):
        RowIndex(pd.concat([table, table.iloc[:1].assign(space="voc", scene="other")]))
    with pytest.raises(BadInput, match="expected at least one prediction, got an empty table"):
        RowIndex(table.iloc[:0])


def test_unknown_names_are_answered_with_the_nearest(index):
    with pytest.raises(UnknownName, match="unknown variant 'mixed_rnd'; did you mean 'mixed_rand'"):
        index.select(RowFilter(variant="mixed_rnd"))
    with pytest.raises(UnknownName, match="unknown true class 'dgo'; did you mean 'dog'"):
        index.select(RowFilter(true_class="dgo"))
    with pytest.raises(UnknownName, match="unknown order 'size'"):
        index.select(RowFilter(order="size"))
    with pytest.raises(BadInput, match="expected least_confidence from 0 to 1, got 2"):
        index.select(RowFilter(least_confidence=2))


def test_rows_of_unknown_truth_are_left_out_and_counted(table):
    unlabelled = table.assign(label=np.where(table["scene"] == "s001", OUTSIDE, table["label"]))
    index = RowIndex(unlabelled)
    assert (len(index), index.unlabelled) == (len(table) - 6, 6)


def test_margins_are_bounds_of_those_of_the_probabilities():
    rng = np.random.default_rng(0)
    logits = 4 * rng.standard_normal((400, 12))
    labels = rng.integers(0, 12, 400)
    probabilities = softmax(logits)
    best = np.argsort(-logits, axis=1, kind="stable")
    others = np.where(np.eye(12, dtype=bool)[labels], 0, probabilities)
    exact = probabilities[np.arange(400), labels] - others.max(axis=1)
    bound = least_margin(
        rows(
            label=labels,
            prediction=best[:, 0],
            native=best[:, 0],
            top5=list(best[:, :5]),
            confidence=probabilities.max(axis=1),
            space="own",
            native_space="own",
        )
    )
    correct = labels == best[:, 0]
    assert (exact[correct] >= bound[correct] - 1e-9).all()
    assert (bound[correct] >= 0).all()
    assert (exact[~correct] <= bound[~correct] + 1e-9).all()
    assert (bound[~correct] <= 0).all()
    assert np.corrcoef(exact, bound)[0, 1] > 0.95


def test_margins_of_a_thousand_classes_are_those_of_the_classes_that_map_to_the_nine():
    table = rows(
        label=[0, 0, 0, 1],
        prediction=[0, 1, OUTSIDE, 0],
        native=[DOG, BIRD, TOASTER, DOG],
        top5=[[DOG, ALSO_DOG, BIRD, 1, 2], [BIRD, 9, DOG, 1, 2], [TOASTER, 859, 860, 861, 862], [DOG, 5, 6, 1, 2]],
        confidence=[0.8, 0.5, 0.6, 0.9],
    )
    assert to_in9(np.array([DOG, BIRD, TOASTER])).tolist() == [0, 1, OUTSIDE]
    # p of the true class is at most (1 - c) / 2 at rank 3, and (1 - c) / 5 if it is not among the five
    assert least_margin(table) == pytest.approx([0.6, 0.25 - 0.5, 0.08 - 0.6, 0.02 - 0.9])


def test_margins_are_unknown_where_the_confidence_is_of_another_class():
    table = rows(label=[0, 0], prediction=[0, 0], native=[TOASTER, DOG], confidence=[0.6, np.nan])
    assert np.isnan(least_margin(table)).all()
