"""Coverage of every kind of interval: how often it holds a truth that is known by construction.

Each kind is tested at the smallest size for which it is given, where at least 93 % must be covered, and at 450 and
4,050 scenes, where it must be between 93 and 97 %.
"""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from scipy.special import ndtr

from bglab.analysis import (
    CROSSED_MINIMUM,
    bootstrap_difference_interval,
    bootstrap_mean_interval,
    clustered_share,
    crossed_share,
    design_effect,
    fit_trends,
    mean_difference,
    mean_share_interval,
    paired_difference,
    share_interval,
)
from bglab.analysis.bootstrap import BOOTSTRAP_MINIMUM
from bglab.analysis.clusters import CLUSTERS_MINIMUM
from bglab.analysis.intervals import FRACTIONS_MINIMUM
from bglab.analysis.saliency import _odds_ratio
from bglab.analysis.sensitivity import SENSITIVITY_MINIMUM, _estimates, relative_sensitivity

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("untraced")]


def check(coverage, *, smallest):
    """Compare a coverage with what its size must reach."""
    assert coverage >= 0.93
    assert smallest or coverage <= 0.97


def coverage_of(intervals, truth):
    low, high = np.array(list(intervals), dtype=float)[:, -2:].T
    assert not np.isnan(low).any()
    return float(np.mean((low <= truth + 1e-12) & (truth <= high + 1e-12)))


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 20, 450, 4050])
def test_wilson(n):
    shares = np.linspace(0.1, 0.9, 801)[:, None]
    counts = np.arange(n + 1)
    low, high = share_interval(counts, np.full(n + 1, n))
    exact = (stats.binom.pmf(counts, n, shares) * ((low <= shares) & (shares <= high))).sum(axis=1)
    check(exact.mean(), smallest=n < 450)


CELLS = [(0.6, 0.2, 0.1, 0.1), (0.75, 0.1, 0.05, 0.1), (0.4, 0.3, 0.05, 0.25)]


@pytest.mark.parametrize("cells", CELLS)
def test_newcombe_at_the_smallest_number_of_pairs(cells):
    n, covered = 5, 0.0
    for counts in itertools.product(range(n + 1), repeat=3):
        if sum(counts) <= n:
            table = (*counts, n - sum(counts))
            _, low, high = paired_difference(*table)
            truth = cells[1] - cells[2]
            covered += float(stats.multinomial.pmf(table, n, cells)) * (low - 1e-12 <= truth <= high + 1e-12)
    check(covered, smallest=True)


@pytest.mark.parametrize("n", [450, 4050])
@pytest.mark.parametrize("cells", CELLS)
def test_newcombe(cells, n):
    tables = np.random.default_rng(0).multinomial(n, cells, size=1000).tolist()
    check(coverage_of((paired_difference(*t) for t in tables), cells[1] - cells[2]), smallest=False)


def test_newcombe_is_conservative_with_few_discordant_pairs():
    tables = np.random.default_rng(0).multinomial(450, (0.8, 0.004, 0.002, 0.194), size=1000).tolist()
    assert coverage_of((paired_difference(*t) for t in tables), 0.002) > 0.97


FRACTIONS = {"U shape": (0.5, 1.5), "flat": (1, 1), "high": (8, 2)}


@pytest.mark.parametrize(("n", "count"), [(FRACTIONS_MINIMUM, 2000), (450, 2000), (4050, 1500)])
@pytest.mark.parametrize("shape", FRACTIONS)
def test_means_of_fractions(shape, n, count):
    a, b = FRACTIONS[shape]
    values = np.random.default_rng(0).beta(a, b, size=(count, n))
    check(coverage_of(map(mean_share_interval, values), a / (a + b)), smallest=n < 450)


def drawn_pair(rng, count, n, draws=3):
    """Draw the shares of correct draws of scenes under two conditions, and the difference of their expectations."""
    ease = rng.normal(size=(count, n, 1))
    first = (0.9 + ease + rng.normal(size=(count, n, draws)) > 0).mean(axis=2)
    second = (0.3 + ease + rng.normal(size=(count, n, draws)) > 0).mean(axis=2)
    return first, second, float(ndtr(0.9 / np.sqrt(2)) - ndtr(0.3 / np.sqrt(2)))


@pytest.mark.parametrize(("n", "count"), [(FRACTIONS_MINIMUM, 800), (450, 800), (4050, 800)])
def test_paired_means_of_draws(n, count):
    first, second, truth = drawn_pair(np.random.default_rng(0), count, n)
    check(coverage_of(itertools.starmap(mean_difference, zip(first, second, strict=True)), truth), smallest=n < 450)


def test_paired_means_where_some_scenes_have_one_side():
    first, second, truth = drawn_pair(np.random.default_rng(1), 800, 450)
    second[:, :150] = first[:, 400:] = np.nan
    check(coverage_of(itertools.starmap(mean_difference, zip(first, second, strict=True)), truth), smallest=False)


@pytest.mark.parametrize(("n", "count"), [(BOOTSTRAP_MINIMUM, 700), (450, 700)])
@pytest.mark.parametrize("shape", FRACTIONS)
def test_bootstrap_of_a_mean(shape, n, count):
    a, b = FRACTIONS[shape]
    values = np.random.default_rng(0).beta(a, b, size=(count, n))
    resamples = 300
    found = (bootstrap_mean_interval(v, seed=i, bounds=(0, 1), resamples=resamples) for i, v in enumerate(values))
    check(coverage_of(found, a / (a + b)), smallest=n < 450)


def test_bootstrap_of_a_mean_of_many():
    rng = np.random.default_rng(0)
    found = (bootstrap_mean_interval(rng.beta(0.5, 1.5, size=4050), seed=i, resamples=200) for i in range(1000))
    check(coverage_of(found, 0.25), smallest=False)


@pytest.mark.parametrize(("objects", "count"), [(BOOTSTRAP_MINIMUM, 700), (90, 700)])
def test_bootstrap_of_copies(objects, count):
    rng = np.random.default_rng(0)
    values = ndtr(rng.normal(size=(count, objects, 1)) + rng.normal(size=(count, objects, 5))).reshape(count, -1)
    codes = np.repeat(np.arange(objects), 5)
    found = (bootstrap_mean_interval(v, clusters=codes, seed=i, resamples=300) for i, v in enumerate(values))
    check(coverage_of(found, 0.5), smallest=objects < 90)


@pytest.mark.parametrize(("n", "count"), [(2 * BOOTSTRAP_MINIMUM, 600), (450, 500), (4050, 300)])
def test_bootstrap_of_a_difference(n, count):
    rng = np.random.default_rng(0)
    second = np.arange(n) < max(BOOTSTRAP_MINIMUM, n // 5)
    values = np.where(second, rng.beta(2, 4, size=(count, n)), rng.beta(3, 2, size=(count, n)))
    resamples = 300 if n < 1000 else 150
    found = (bootstrap_difference_interval(v, second, seed=i, resamples=resamples) for i, v in enumerate(values))
    check(coverage_of(found, 3 / 5 - 1 / 3), smallest=n < 450)


def correct_copies(rng, count, objects, copies, level, spread=1.0):
    """Draw whether copies of objects are classified correctly, and the probability of it."""
    ease = spread * rng.normal(size=(count, objects, 1))
    correct = level + ease + rng.normal(size=(count, objects, copies)) > 0
    return correct.reshape(count, -1).astype(float), float(ndtr(level / np.sqrt(1 + spread**2)))


@pytest.mark.parametrize(("objects", "copies"), [(5, 3), (CLUSTERS_MINIMUM, 5), (90, 5), (810, 5)])
@pytest.mark.parametrize("level", [0.0, 1.0])
def test_shares_of_copies(objects, copies, level):
    values, truth = correct_copies(np.random.default_rng(0), 1500, objects, copies, level)
    codes = np.repeat(np.arange(objects), copies)
    check(coverage_of((clustered_share(v, codes) for v in values), truth), smallest=objects < 90)


@pytest.mark.parametrize(("n", "count"), [(20, 800), (60, 800), (450, 800), (4050, 800)])
def test_shares_of_scenes_that_share_donors(n, count):
    rng = np.random.default_rng(0)
    donors = rng.integers(n // 2, size=(count, n))
    ease = rng.normal(size=(count, n // 2))
    correct = np.take_along_axis(ease, donors, axis=1) + rng.normal(size=(count, n)) > -0.5
    truth = float(ndtr(0.5 / np.sqrt(2)))
    found = (clustered_share(v, np.arange(n), d) for v, d in zip(correct.astype(float), donors, strict=True))
    check(coverage_of(found, truth), smallest=n < 450)


@pytest.mark.parametrize(("objects", "copies"), [(10, 3), (CLUSTERS_MINIMUM, 3), (90, 5), (810, 5)])
def test_paired_differences_of_copies(objects, copies):
    rng = np.random.default_rng(0)
    count, codes = 800, np.repeat(np.arange(objects), copies)
    ease, lean = rng.normal(size=(2, count, objects, 1))
    first = (0.8 + ease + rng.normal(size=(count, objects, copies)) > 0).reshape(count, -1).astype(float)
    second = (0.2 + ease + 0.7 * lean + rng.normal(size=(count, objects, copies)) > 0).reshape(count, -1).astype(float)
    truth = float(ndtr(0.8 / np.sqrt(2)) - ndtr(0.2 / np.sqrt(2.49)))
    found = []
    for a, b in zip(first, second, strict=True):
        apart = a - b
        found.append(mean_difference(a, b, design_effect=design_effect(apart - apart.mean(), codes)))
    check(coverage_of(found, truth), smallest=objects < 90)


@pytest.mark.parametrize(
    ("f", "b", "count"),
    [(CROSSED_MINIMUM, CROSSED_MINIMUM, 800), (10, 60, 800), (60, 10, 800), (450, 60, 500), (4050, 30, 250)],
)
@pytest.mark.parametrize("spread", [0.3, 1.0])
def test_shares_of_pairs(f, b, count, spread):
    rng = np.random.default_rng(0)
    scale = np.sqrt(1 + 2 * spread**2)
    truth = float(ndtr(-0.5 / scale))
    found = []
    counted = np.ones((f, b), dtype=bool)
    for _ in range(count):
        chance = ndtr(spread * rng.normal(size=(f, 1)) + spread * rng.normal(size=b) - 0.5)
        found.append(crossed_share(rng.random((f, b), dtype=np.float32) < chance, counted, np.arange(f)))
    check(coverage_of(found, truth), smallest=f < 450)


def test_transferred_shares_of_two_models():
    """Both models fail on the same hard foregrounds and backgrounds, so the pairs that fool the first differ."""
    rng = np.random.default_rng(0)
    count, f, b, spread, level = 500, 450, 45, 0.7, -1.0
    scale = np.sqrt(1 + 2 * spread**2)
    single = float(ndtr(level / scale))
    both = float(
        stats.multivariate_normal([0, 0], [[1, 1 - 1 / scale**2], [1 - 1 / scale**2, 1]]).cdf([level / scale] * 2)
    )
    found, naive = [], []
    for _ in range(count):
        chance = ndtr(spread * rng.normal(size=(f, 1)) + spread * rng.normal(size=b) + level)
        first, second = rng.random((2, f, b)) < chance
        found.append(crossed_share(first & second, first, np.arange(f)))
        low, high = share_interval(np.array([(first & second).sum()]), np.array([first.sum()]))
        naive.append((low[0], high[0]))
    check(coverage_of(found, both / single), smallest=False)
    assert coverage_of(naive, both / single) < 0.7


def test_shares_of_pairs_with_copies():
    rng = np.random.default_rng(0)
    found, codes = [], np.repeat(np.arange(150), 3)
    for _ in range(500):
        lean = (0.6 * rng.normal(size=(150, 30)) + rng.normal(size=(150, 1)))[codes] + rng.normal(size=30)
        found.append(crossed_share(lean + rng.normal(size=(450, 30)) > 0.5, np.ones((450, 30), bool), codes))
    check(coverage_of(found, float(ndtr(-0.5 / np.sqrt(3.36)))), smallest=False)


@pytest.mark.parametrize(
    ("classes", "scenes", "count"),
    [(1, SENSITIVITY_MINIMUM, 700), (5, 2, 700), (9, 50, 700), (9, 450, 700)],
)
@pytest.mark.parametrize(("core", "spurious"), [(1.2, 0.5), (0.2, -0.6), (2.2, 0.3)])
def test_sensitivities(classes, scenes, count, core, spurious):
    rng = np.random.default_rng(0)
    draws = 2
    offsets = np.linspace(-0.5, 0.5, classes) if classes > 1 else np.zeros(1)
    ease = offsets[:, None, None] + 0.8 * rng.normal(size=(count, classes, scenes, 1))
    first = (core + ease + rng.normal(size=(count, classes, scenes, draws)) > 0).mean(axis=3).reshape(count, -1)
    second = (spurious + ease + rng.normal(size=(count, classes, scenes, draws)) > 0).mean(axis=3).reshape(count, -1)
    truths = [float(ndtr((level + offsets) / np.sqrt(1.64)).mean()) for level in (core, spurious)]
    truths.append(float(relative_sensitivity(np.array(truths[0]), np.array(truths[1]))))
    labels, objects = np.repeat(np.arange(classes), scenes), np.arange(classes * scenes)
    found = np.array([
        _estimates(labels, objects, a[:, None], b[:, None]) for a, b in zip(first, second, strict=True)
    ])  # fmt: skip
    for i, truth in enumerate(truths):
        check(coverage_of(found[:, i], truth), smallest=classes * scenes < 450)


@pytest.mark.parametrize("models", [3, 10])
def test_slopes(models):
    rng = np.random.default_rng(0)
    count = 500
    reference = np.tile(np.linspace(0.5, 0.8, models), count)
    table = pd.DataFrame({"variant": np.repeat(np.arange(count), models), "reference": reference})
    table["top1"] = 0.1 + 0.8 * reference + 0.03 * rng.normal(size=len(table))
    found = fit_trends(table)[["slope_low", "slope_high"]].to_numpy()
    check(coverage_of(found, 0.8), smallest=True)


@pytest.mark.parametrize(("n", "count"), [(20, 400), (450, 400), (4050, 250)])
def test_odds_ratios(n, count):
    rng = np.random.default_rng(0)
    found = []
    for _ in range(count):
        less = 10 * rng.random(n)
        fooled = rng.random(n) < 1 / (1 + np.exp(1.5 - 0.3 * less))
        found.append(_odds_ratio(np.column_stack([less, np.ones(n)]), fooled, np.arange(n)))
    known = [f for f in found if not np.isnan(f).any()]
    assert len(known) > 0.8 * count
    check(coverage_of(known, np.exp(0.3)), smallest=n < 450)
