"""Summaries of the pair matrix: by hand on small ones, by definition on random ones, by enumeration where exact."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from statsmodels.stats.proportion import proportion_confint

from bglab.analysis import search, transfer, vulnerability_curve
from bglab.analysis.intervals import FRACTIONS_MINIMUM
from bglab.analysis.pair_outcomes import pair_outcomes
from bglab.errors import BadInput
from bglab.labels import to_in9
from bglab.results import CRITERIA, NOT_EVALUATED, succeeds
from bglab.results.protocol import Protocol
from fixtures.matrices import make_pairs
from fixtures.predictions import ALSO_DOG, BIRD, DOG, TOASTER

LABELS = [0, 0, 1, 2]
#: rows are foregrounds: always correct; bird on the bird only; the background on others; incorrect on its own class
NATIVE = [[0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 1, 2], [2, 2, 2, 0]]


@pytest.fixture
def pairs():
    return make_pairs(NATIVE, LABELS, original=[0, 1, 1, 2])


#: Rows, columns, a seed, and whether the model answers in ImageNet's classes.
DRAWS = st.tuples(st.integers(1, 7), st.integers(1, 7), st.integers(0, 2**32 - 1), st.booleans())


def drawn_pairs(rows, columns, seed, imagenet):
    """Make a matrix in either space, with any answers and labels."""
    rng = np.random.default_rng(seed)
    answers = [DOG, ALSO_DOG, BIRD, TOASTER, 33] if imagenet else [0, 1, 3]
    native = rng.choice(answers, size=(rows, columns))
    fronts, backs = rng.choice([0, 1, 3], size=rows), rng.choice([0, 1, 3], size=columns)
    space = "imagenet" if imagenet else "in9"
    return make_pairs(native, fronts, backs, original=rng.choice(answers, size=rows), native_space=space)


def test_the_two_criteria(pairs):
    row = search.vulnerability(pairs).iloc[0]
    assert (row.n, row.backgrounds) == (4, 4)
    # the third foreground fails on dogs and fish-like backgrounds, the fourth only on its own class: no capture
    assert row.vulnerable_any == 0.75
    assert row.vulnerable_targeted == 0.5
    assert row.challenge_accuracy == 0.25
    assert row.challenge_accuracy_low == pytest.approx(proportion_confint(1, 4, method="wilson")[0])
    assert row.vulnerable_any_high == pytest.approx(proportion_confint(3, 4, method="wilson")[1])


def test_protocols_change_who_counts(pairs):
    def shares(protocol):
        row = search.vulnerability(pairs, protocol).iloc[0]
        return row.n, row.vulnerable_any, row.vulnerable_targeted

    assert shares(Protocol(own_image=False)) == (4, 0.5, 0.5)
    assert shares(Protocol(own_class=False)) == (4, 0.5, 0.5)
    assert shares(Protocol(only_right=True)) == (3, 2 / 3, 1 / 3)
    assert shares(Protocol(pool_classes=(2,))) == (4, 0.5, 0.25)


def test_outside_is_an_error_and_no_capture():
    pairs = make_pairs([[TOASTER, DOG], [BIRD, BIRD]], [0, 1], native_space="imagenet", original=[DOG, TOASTER])
    outcomes = pair_outcomes(pairs)
    assert outcomes.wrong.tolist() == [[True, False], [False, False]]
    assert not outcomes.captured.any()
    assert search.summarise(pairs)["accuracy_original"] == 0.5


def test_totals_are_over_other_classes(pairs):
    totals = search.per_class_totals(pairs).set_index("class")
    assert totals.n.to_dict() == {"dog": 2, "bird": 3, "vehicle": 3}
    assert totals.fooled.to_dict() == {"dog": 1, "bird": 1, "vehicle": 1}
    assert totals.total.to_dict() == pytest.approx({"dog": 1 / 2, "bird": 1 / 3, "vehicle": 1 / 3})
    assert ((totals.total_low <= totals.total) & (totals.total <= totals.total_high)).all()


def test_rates_of_backgrounds(pairs):
    rates = search.fooling_rates(pairs).set_index("background")
    assert rates.n.tolist() == [2, 2, 3, 3]
    assert rates.fooled.tolist() == [1, 1, 1, 1]
    any_error = search.fooling_rates(pairs, criterion="any")
    assert any_error.n.tolist() == [4] * 4
    assert any_error.fooled.tolist() == [1, 1, 1, 2]
    assert any_error["class"].tolist() == ["dog", "dog", "bird", "vehicle"]


def test_the_most_adversarial_come_first():
    native = np.zeros((4, 5), dtype=int)
    native[1:, 1] = native[1:3, 3] = native[1:3, 4] = 1
    pairs = make_pairs(native, [0, 0, 0, 0], [1, 1, 1, 1, 1], prefix="b")
    top = search.top_backgrounds(pairs, k=3)
    assert top.background.tolist() == ["b1", "b3", "b4"]
    assert top["rank"].tolist() == [1, 2, 3]
    assert top.rate.tolist() == [0.75, 0.5, 0.5]


def test_the_histogram_holds_every_background_once():
    native = np.zeros((20, 5), dtype=int)
    for column, count in enumerate([0, 3, 3, 19, 20]):
        native[:count, column] = 1
    histogram = search.rate_histogram(make_pairs(native, [0] * 20, [1] * 5), width=0.05)
    counted = histogram.loc[histogram["count"] > 0]
    assert counted["low"].round(2).tolist() == [0.0, 0.15, 0.95]
    assert counted["count"].tolist() == [1, 2, 2]
    assert len(histogram) == 20
    assert histogram["high"].iloc[-1] == 1.0
    with pytest.raises(BadInput) as error:
        search.rate_histogram(make_pairs([[0]], [0]), width=0)
    assert str(error.value) == "expected a width of bins in (0, 1], got 0"


def test_the_heat_map(pairs):
    heat = search.class_heat_map(pairs, criterion="any").set_index(["foreground_class", "background_class"])
    assert heat.loc[("dog", "bird"), ["n", "fooled", "rate"]].tolist() == [2, 1, 0.5]
    assert heat.loc[("bird", "dog"), ["n", "fooled", "rate"]].tolist() == [2, 2, 1.0]
    assert heat.loc[("vehicle", "vehicle"), "rate"] == 1.0
    targeted = search.class_heat_map(pairs).set_index(["foreground_class", "background_class"])
    assert np.isnan(targeted.loc[("dog", "dog"), "rate"])
    assert targeted.n.sum() == 10


def test_the_hardest_foregrounds(pairs):
    hardest = search.hardest_foregrounds(pairs, k=2)
    assert hardest.scene.tolist() == ["s2", "s1"]
    assert hardest.rate.tolist() == [0.75, 0.25]
    assert hardest.right_on_original.tolist() == [True, False]
    assert hardest.rate_high.tolist() == pytest.approx([proportion_confint(k, 4, method="wilson")[1] for k in (3, 1)])


@settings(max_examples=40, deadline=None)
@given(DRAWS, st.booleans(), st.booleans())
def test_definitions_hold_cell_by_cell(draw, own_class, own_image):
    pairs = drawn_pairs(*draw)
    protocol = Protocol(own_class=own_class, own_image=own_image)
    fronts, backs = pairs.foregrounds, pairs.backgrounds
    wrong, captured, tried = [], [], []
    for f, b in itertools.product(range(len(fronts.ids)), range(len(backs.ids))):
        native = int(pairs.native[f, b])
        answer = int(to_in9(np.array([native]))[0]) if pairs.native_space == "imagenet" else native
        counts = (own_class or fronts.labels[f] != backs.labels[b]) and (own_image or fronts.ids[f] != backs.ids[b])
        tried.append(counts)
        wrong.append(counts and answer != fronts.labels[f])
        captured.append(counts and answer == backs.labels[b] != fronts.labels[f])
    if not any(tried):
        with pytest.raises(BadInput, match="expected at least one pair under"):
            pair_outcomes(pairs, protocol)
        return
    outcomes = pair_outcomes(pairs, protocol)
    assert outcomes.tried.ravel().tolist() == tried
    assert outcomes.wrong.ravel().tolist() == wrong
    assert outcomes.captured.ravel().tolist() == captured
    assert not (outcomes.captured & ~outcomes.wrong).any()


@settings(max_examples=25, deadline=None)
@given(DRAWS, st.sampled_from(CRITERIA))
def test_the_curve_is_the_mean_over_all_subsets(draw, criterion):
    pairs = drawn_pairs(*draw)
    fooled = pair_outcomes(pairs).fooled(criterion)
    total = fooled.shape[1]
    curve = vulnerability_curve(pairs, counts=range(1, total + 1), criterion=criterion).set_index("candidates")
    for count in range(1, total + 1):
        subsets = itertools.combinations(range(total), count)
        expected = np.mean([fooled[:, list(columns)].any(axis=1).mean() for columns in subsets])
        assert curve.vulnerable[count] == pytest.approx(expected)
    given_limits = curve.dropna()
    assert (given_limits.vulnerable_low <= given_limits.vulnerable).all()
    assert (given_limits.vulnerable <= given_limits.vulnerable_high).all()
    assert len(fooled) < FRACTIONS_MINIMUM or len(given_limits) == total
    assert (np.diff(curve.vulnerable) >= -1e-12).all()
    name = f"vulnerable_{criterion}"
    assert curve.vulnerable[total] == pytest.approx(search.vulnerability(pairs)[name].item())


def test_the_curve_ends_with_wilsons_interval(pairs):
    curve = vulnerability_curve(pairs)
    assert curve.candidates.tolist() == [1, 2, 4]
    last = curve.iloc[-1]
    expected = proportion_confint(3, 4, method="wilson")
    assert (last.vulnerable_low, last.vulnerable_high) == pytest.approx(expected)
    with pytest.raises(BadInput) as error:
        vulnerability_curve(pairs, counts=[0])
    assert str(error.value) == "expected 1 or more candidate backgrounds, got 0"


def test_large_numbers_do_not_overflow():
    native = np.zeros((2, 4050), dtype=int)
    native[0, 17] = 1
    curve = vulnerability_curve(make_pairs(native, [0, 0], [1] * 4050), counts=[1, 1000, 4050])
    assert curve.vulnerable.tolist() == pytest.approx([0.5 / 4050, 0.5 * 1000 / 4050, 0.5])


def test_a_model_transfers_to_itself_wholly(pairs):
    row = transfer(pairs, pairs).iloc[0]
    assert (row.transferred, row.overlap, row.top_overlap) == (1.0, 1.0, 1.0)
    assert row.n == 4
    assert row.base_rate == pytest.approx(4 / 10)
    assert row.vulnerable_both == 0.5


def test_transfer_counts_pairs_that_fool_both(pairs):
    other = make_pairs([[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 1, 1], [2, 2, 2, 2]], LABELS, model="other")
    row = transfer(pairs, other, k=1).iloc[0]
    assert (row.source, row.target) == ("m", "other")
    assert row.n == 4
    assert row.transferred == 1 / 4
    assert row.overlap == 1 / 5
    assert row.vulnerable_both == 1 / 4
    back = transfer(other, pairs).iloc[0]
    assert back.transferred == 1 / 2
    assert row.rank_correlation == pytest.approx(back.rank_correlation)


def test_transfer_needs_the_same_pairs(pairs):
    with pytest.raises(BadInput) as error:
        transfer(pairs, make_pairs([[0]], [0], model="other"))
    assert str(error.value) == (
        "expected two models on the same foregrounds and backgrounds, got m on set and other on set; search both on "
        "one set"
    )


@pytest.mark.parametrize(("batch_size", "expected"), [(1, 4 + 3 + 1 + 4), (2, 4 + 4 + 2 + 4), (32, 16)])
def test_the_loop_in_file_order(pairs, batch_size, expected):
    assert search.file_order_forwards(pairs, batch_size=batch_size) == expected


def test_candidates_that_are_left_out_are_not_counted(pairs):
    assert search.file_order_forwards(pairs, Protocol(own_class=False)) == 2 + 1 + 1 + 3


def test_a_partial_matrix_is_refused():
    pairs = make_pairs([[0, NOT_EVALUATED], [1, 1]], [0, 1])
    with pytest.raises(BadInput) as error:
        search.vulnerability(pairs)
    assert str(error.value) == (
        f"expected every pair of {Protocol()} in the matrix of m on set, but 1 were not evaluated (it was made for "
        f"{Protocol()}); search again with that protocol"
    )
    assert search.vulnerability(pairs, Protocol(pool_classes=(0,))).n.item() == 2


def test_an_unknown_criterion(unchecked):
    with pytest.raises(BadInput) as error:
        succeeds("all", np.array([0]), np.array([0]), np.array([0]))
    assert str(error.value) == "expected the criterion any or targeted, got 'all'"


def test_the_summary_is_json(pairs):
    numbers = json.loads(json.dumps(search.summarise(pairs)))
    assert numbers["per_class_total"] == pytest.approx({"dog": 0.5, "bird": 1 / 3, "vehicle": 1 / 3})
    assert numbers["n"] == 4
    assert numbers["vulnerable_any"] + numbers["challenge_accuracy"] == 1


def test_the_analysis_needs_no_torch():
    code = "import sys, bglab.analysis.search, bglab.results.pairs; assert 'torch' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
