"""The power of McNemar's exact test: by enumeration, by simulation, and beside the asymptotic formula."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from bglab.analysis import detectable_difference
from bglab.errors import BadInput


def simulated_power(n, discordance, difference, level, count=20_000):
    """Simulate how often the exact test is significant for models that differ by this much."""
    first = (discordance + difference) / 2
    chances = [first, discordance - first, 1 - discordance]
    wins, losses, _ = np.random.default_rng(3).multinomial(n, chances, size=count).T
    p = np.minimum(2 * stats.binom.cdf(np.minimum(wins, losses), wins + losses, 0.5), 1)
    return np.mean(p <= level)


@pytest.mark.parametrize(("n", "discordance"), [(40, 0.5), (450, 0.05), (450, 0.2), (4050, 0.1)])
@pytest.mark.parametrize("tests", [1, 6, 30])
def test_the_exact_test_detects_it_in_80_percent_of_all_samples(n, discordance, tests):
    difference = detectable_difference(n, discordance, tests=tests)
    assert simulated_power(n, discordance, difference, 0.05 / tests) == pytest.approx(0.8, abs=0.01)


def test_other_powers_and_levels():
    difference = detectable_difference(500, 0.3, power=0.9, alpha=0.01)
    assert simulated_power(500, 0.3, difference, 0.01) == pytest.approx(0.9, abs=0.01)


def test_the_power_of_a_few_pairs_by_enumeration():
    n, discordance = 12, 0.9
    difference = detectable_difference(n, discordance)
    first = (discordance + difference) / 2
    power = 0.0
    for wins in range(n + 1):
        for losses in range(n + 1 - wins):
            if stats.binomtest(wins, max(wins + losses, 1)).pvalue <= 0.05 and wins + losses:
                table = (wins, losses, n - wins - losses)
                power += stats.multinomial.pmf(table, n, [first, discordance - first, 1 - discordance])
    assert power == pytest.approx(0.8, abs=1e-6)


def test_it_is_larger_than_that_of_the_asymptotic_test_and_near_it_for_many_pairs():
    for n, factor in ((450, 1.2), (40_000, 1.02)):
        z = stats.norm.ppf([0.975, 0.8])
        asymptotic = math.sqrt(0.2) * z.sum() / math.sqrt(n)
        assert asymptotic < detectable_difference(n, 0.2) < factor * asymptotic


def test_too_few_pairs_detect_nothing():
    assert math.isnan(detectable_difference(5, 0.1))
    assert math.isnan(detectable_difference(5, 1.0))  # 5 of 5 has p = 0.0625
    assert detectable_difference(6, 1.0) > 0.9  # 6 of 6 has p = 0.03
    assert math.isnan(detectable_difference(6, 1.0, tests=2))


def test_impossible_arguments_are_refused():
    with pytest.raises(BadInput) as caught:
        detectable_difference(0, 0.2)
    assert str(caught.value) == (
        "expected n of 1 or more, discordance in (0, 1], power in (0.5, 1), alpha in (0, 1) and 1 or more tests, "
        "got 0, 0.2, 0.8, 0.05 and 1"
    )
