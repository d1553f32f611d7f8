"""What a random subset of candidates would have shown: exact chances, and how sure their mean is."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int
from scipy.special import gammaln
from statsmodels.stats.proportion import proportion_confint


def miss_chance(
    total: Int[np.ndarray, " n"], hits: Int[np.ndarray, " n"], drawn: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Give the chance that a draw without replacement holds no hit: C(total - hits, drawn) / C(total, drawn).

    Args:
        total: Candidates.
        hits: Those among them that hit.
        drawn: Candidates drawn, at most ``total``.

    Example:
        >>> miss_chance(np.array([4, 4]), np.array([1, 3]), np.array([2, 2])).round(3).tolist()
        [0.5, 0.0]
    """
    misses = total - hits
    possible = drawn <= misses
    safe = np.where(possible, drawn, 0)
    # misses! (total - drawn)! / ((misses - drawn)! total!), in logarithms
    terms = gammaln(misses + 1.0) + gammaln(total - safe + 1.0) - gammaln(misses - safe + 1.0) - gammaln(total + 1.0)
    return np.where(possible, np.exp(np.minimum(terms, 0.0)), 0.0)


def mean_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Give the 95 % interval of the mean of values in [0, 1].

    Wilson's, for as many 0-1 outcomes as would be equally uncertain: n mean (1 - mean) / variance, which is n itself
    once every value is 0 or 1.

    Example:
        >>> [round(limit, 3) for limit in mean_interval(np.array([0.0] * 7 + [1.0] * 3))]
        [0.108, 0.603]
    """
    mean, variance = float(values.mean()), float(values.var())
    equivalent = len(values) * mean * (1 - mean) / variance if variance > 0 else len(values)
    low, high = np.array(proportion_confint(mean * equivalent, equivalent, method="wilson"), dtype=np.float64)
    # rounding can push a limit past the mean itself at 0 and 1
    return min(float(low), mean), max(float(high), mean)


def round_counts(most: int) -> list[int]:
    """List 1, 2, 5, 10, 20, 50, … below the largest count, and the largest.

    Example:
        >>> round_counts(30)
        [1, 2, 5, 10, 20, 30]
    """
    steps = (step * 10**power for power in range(len(str(most))) for step in (1, 2, 5))
    return sorted({step for step in steps if step < most} | {most})
