"""95 % intervals of shares, means and paired differences: Wilson, Newcombe and bootstrap; statistical power."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped
from scipy.special import gammaln
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from bglab.errors import BadInput
from bglab.seeding import keyed_generator


class Difference(NamedTuple):
    """A difference of two paired proportions with its 95 % interval, each in [-1, 1].

    Attributes:
        value: First proportion minus the second.
        low: Lower limit.
        high: Upper limit.
    """

    value: float
    low: float
    high: float


def share_interval(
    counts: Int[np.ndarray, " k"], totals: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Compute Wilson's 95 % interval of each share ``counts / totals``.

    Args:
        counts: Number of successes, between 0 and the total.
        totals: Number of trials.

    Returns:
        Lower and upper limits in [0, 1]; NaN where the total is 0.

    Example:
        >>> low, high = share_interval(np.array([0, 3]), np.array([0, 10]))
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([nan, 0.108], [nan, 0.603])
    """
    counts, totals = np.asarray(counts, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    low, high = proportion_confint(counts, np.maximum(totals, 1), method="wilson")
    # rounding can move a limit past the share itself at 0 of n and n of n
    shares = counts / np.maximum(totals, 1)
    nothing = totals == 0
    return np.where(nothing, np.nan, np.minimum(low, shares)), np.where(nothing, np.nan, np.maximum(high, shares))


def paired_difference(both: int, first_only: int, second_only: int, neither: int) -> Difference:
    """Compute the difference of two proportions of the same pairs with Newcombe's 95 % interval.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650: Wilson's intervals of the two proportions
    are combined in quadrature, with the correlation of the pairs. The interval stays within [-1, 1] and keeps a
    positive width where no pair is discordant; a bootstrap interval would collapse to a point there.

    Args:
        both: Pairs correct in both conditions.
        first_only: Pairs correct in the first condition only.
        second_only: Pairs correct in the second condition only.
        neither: Pairs correct in neither condition.

    Returns:
        The difference, first minus second, and its limits; NaN throughout if there is no pair.

    Example:
        >>> [round(x, 4) for x in paired_difference(36, 12, 2, 0)]
        [0.2, 0.0569, 0.3404]
    """
    n = both + first_only + second_only + neither
    if n == 0:
        return Difference(math.nan, math.nan, math.nan)
    first, second = both + first_only, both + second_only
    lows, highs = share_interval(np.array([first, second]), np.array([n, n]))
    (below_first, below_second) = np.array([first, second]) / n - lows
    (above_first, above_second) = highs - np.array([first, second]) / n
    excess = both * neither - first_only * second_only
    if excess > 0:  # continuity correction of the paper, which reduces the correlation
        excess = max(excess - n / 2, 0)
    margins = math.sqrt(first * (n - first) * second * (n - second))
    correlation = excess / margins if margins else 0.0
    down = below_first**2 - 2 * correlation * below_first * above_second + above_second**2
    up = above_first**2 - 2 * correlation * above_first * below_second + below_second**2
    value = (first_only - second_only) / n
    return Difference(value, value - math.sqrt(max(down, 0.0)), value + math.sqrt(max(up, 0.0)))


def detectable_difference(n: int, discordance: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Compute the smallest paired difference in accuracy that a test on ``n`` scenes detects with the given power.

    Solves the sample-size formula of McNemar's test (R. J. Connor, Biometrics 43 (1987) 207-211),
    √n δ = z(1-α/2) √ψ + z(power) √(ψ - δ²), for δ.

    Args:
        n: Number of pairs.
        discordance: Share ψ of pairs that are correct in one condition and incorrect in the other, in (0, 1].
        power: Probability of detecting the difference, in (0.5, 1).
        alpha: Two-sided significance level, in (0, 1).

    Returns:
        A fraction in [0, ψ]; NaN if not even the largest possible difference, ψ, is detectable.

    Raises:
        BadInput: If an argument is out of its range.

    Example:
        >>> round(detectable_difference(4050, 0.2), 4)
        0.0197
    """
    if n < 1 or not 0 < discordance <= 1 or not 0.5 < power < 1 or not 0 < alpha < 1:
        raise BadInput(
            "expected n of 1 or more, discordance in (0, 1], power in (0.5, 1) and alpha in (0, 1), "
            f"got {n}, {discordance}, {power} and {alpha}"
        )
    z_alpha, z_power = float(norm.ppf(1 - alpha / 2)), float(norm.ppf(power))
    inside = n + z_power**2 - z_alpha**2
    if inside < 0:
        return math.nan
    difference = math.sqrt(discordance) * (z_alpha * math.sqrt(n) + z_power * math.sqrt(inside)) / (n + z_power**2)
    return difference if difference <= discordance else math.nan


_RESAMPLES = 2000
#: Number of weights in memory at once; 2 ** 23 take 64 MB.
_BLOCK = 2**23

Weights = Float[np.ndarray, "resamples n"]


def bootstrap(
    statistic: Callable[[Weights], Float[np.ndarray, "resamples k"]],
    strata: Shaped[np.ndarray, " n"],
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Compute 95 % percentile bootstrap intervals of statistics, resampling scenes within strata.

    Args:
        statistic: Function of resampling weights, one row per resample; the weights of each stratum sum to 1. Returns k
            values per row.
        strata: Stratum of each scene, e.g. its class; a constant for an unstratified bootstrap.
        seed: Seed for the resamples.
        resamples: Number of resamples.

    Returns:
        Lower and upper limits, one per statistic; NaN where a statistic is NaN in every resample.

    Example:
        >>> values = np.arange(10.0)
        >>> low, high = bootstrap(lambda w: (w @ values)[:, None], np.zeros(10))
        >>> bool(low[0] < 4.5 < high[0])
        True
    """
    rng = keyed_generator(seed, "bootstrap")
    block = max(1, min(resamples, _BLOCK // max(1, len(strata))))
    counts = [min(block, resamples - start) for start in range(0, resamples, block)]
    drawn = np.concatenate([statistic(_weights(strata, count, rng)) for count in counts])
    defined = ~np.isnan(drawn).all(axis=0)
    limits = np.full((2, drawn.shape[1]), np.nan)
    limits[:, defined] = np.nanpercentile(drawn[:, defined], [2.5, 97.5], axis=0)
    return limits[0], limits[1]


def bootstrap_mean_interval(values: Float[np.ndarray, " n"], *, seed: int = 0) -> tuple[float, float]:
    """Compute the 95 % percentile bootstrap interval of a mean over scenes.

    Args:
        values: One value per scene, without NaN; their order does not matter.
        seed: Seed for the resamples.

    Returns:
        Lower and upper limit; NaN for fewer than two values, whose spread is unknown.
    """
    if len(values) < 2:
        return np.nan, np.nan
    # sorted, because the same draws pick other scenes if the order differs, and limits must not depend on order
    ordered = np.sort(values)
    low, high = bootstrap(lambda weights: (weights @ ordered)[:, None], np.zeros(len(values)), seed=seed)
    return float(low[0]), float(high[0])


def _weights(strata: Shaped[np.ndarray, " n"], count: int, rng: np.random.Generator) -> Weights:
    weights = np.zeros((count, len(strata)))
    for stratum in np.unique(strata):
        members = np.flatnonzero(strata == stratum)
        size = len(members)
        drawn = rng.integers(size, size=(count, size)) + size * np.arange(count)[:, None]
        weights[:, members] = np.bincount(drawn.ravel(), minlength=count * size).reshape(count, size) / size
    return weights


def miss_chance(
    total: Int[np.ndarray, " n"], hits: Int[np.ndarray, " n"], drawn: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " n"]:
    """Compute the probability that a draw without replacement holds no hit: C(total - hits, drawn) / C(total, drawn).

    Args:
        total: Number of candidates.
        hits: Number of candidates that are hits.
        drawn: Number of candidates drawn, at most ``total``.

    Returns:
        Probabilities in [0, 1].

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


def mean_share_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of values in [0, 1].

    This is Wilson's interval for the number of binary outcomes with the same standard error, n mean (1 - mean) /
    variance, which equals n if all values are 0 or 1.

    Args:
        values: At least one value, each in [0, 1].

    Returns:
        Lower and upper limit in [0, 1].

    Example:
        >>> [round(limit, 3) for limit in mean_share_interval(np.array([0.0] * 7 + [1.0] * 3))]
        [0.108, 0.603]
    """
    mean, variance = float(values.mean()), float(values.var())
    equivalent = len(values) * mean * (1 - mean) / variance if variance > 0 else len(values)
    low, high = np.array(proportion_confint(mean * equivalent, equivalent, method="wilson"), dtype=np.float64)
    # rounding can move a limit past the mean itself at 0 and 1
    return min(float(low), mean), max(float(high), mean)


def round_counts(most: int) -> list[int]:
    """List 1, 2, 5, 10, 20, 50, … below ``most``, then ``most`` itself.

    Example:
        >>> round_counts(30)
        [1, 2, 5, 10, 20, 30]
    """
    steps = (step * 10**power for power in range(len(str(most))) for step in (1, 2, 5))
    return sorted({step for step in steps if step < most} | {most})
