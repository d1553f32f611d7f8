"""95 % intervals of shares, means and paired differences: Wilson, Newcombe, the bootstrap, and what n can show."""

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
    """A difference of two paired proportions with its 95 % interval, each in [-1, 1]."""

    value: float
    low: float
    high: float


def share_interval(
    counts: Int[np.ndarray, " k"], totals: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Give Wilson's 95 % limits of each share ``counts / totals``, NaN where nothing was counted.

    Example:
        >>> low, high = share_interval(np.array([0, 3]), np.array([0, 10]))
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([nan, 0.108], [nan, 0.603])
    """
    counts, totals = np.asarray(counts, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    low, high = proportion_confint(counts, np.maximum(totals, 1), method="wilson")
    # rounding can push a limit past the share itself at 0 of n and n of n
    shares = counts / np.maximum(totals, 1)
    nothing = totals == 0
    return np.where(nothing, np.nan, np.minimum(low, shares)), np.where(nothing, np.nan, np.maximum(high, shares))


def paired_difference(both: int, first_only: int, second_only: int, neither: int) -> Difference:
    """Give the difference of two proportions of the same pairs with Newcombe's 95 % interval.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650: Wilson's intervals of the two
    proportions, squared and added with the correlation of the pairs. It never leaves [-1, 1] and stays open where no
    pair disagrees, which is where a bootstrap collapses to a point.

    Args:
        both: Pairs right in the first and in the second.
        first_only: Pairs right in the first only.
        second_only: Pairs right in the second only.
        neither: Pairs right in neither.

    Returns:
        NaN throughout if there is no pair.

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
    if excess > 0:  # the paper's continuity correction, towards no correlation
        excess = max(excess - n / 2, 0)
    margins = math.sqrt(first * (n - first) * second * (n - second))
    correlation = excess / margins if margins else 0.0
    down = below_first**2 - 2 * correlation * below_first * above_second + above_second**2
    up = above_first**2 - 2 * correlation * above_first * below_second + below_second**2
    value = (first_only - second_only) / n
    return Difference(value, value - math.sqrt(max(down, 0.0)), value + math.sqrt(max(up, 0.0)))


def detectable_difference(n: int, discordance: float, *, power: float = 0.8, alpha: float = 0.05) -> float:
    """Give the smallest paired difference in accuracy that a test on ``n`` scenes is likely to show.

    Solves the sample-size formula of McNemar's test (R. J. Connor, Biometrics 43 (1987) 207-211),
    √n δ = z(1-α/2) √ψ + z(power) √(ψ - δ²), for δ.

    Args:
        n: Number of pairs.
        discordance: Share ψ of pairs that are right in one and wrong in the other, in (0, 1].
        power: Wanted chance to find the difference, in (0.5, 1).
        alpha: Two-sided level of the test, in (0, 1).

    Returns:
        A fraction; NaN where even a difference of ψ, the largest possible, would be too small.

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
#: Weights held at once; 2 ** 23 are 64 MB.
_BLOCK = 2**23

Weights = Float[np.ndarray, "resamples n"]


def bootstrap(
    statistic: Callable[[Weights], Float[np.ndarray, "resamples k"]],
    strata: Shaped[np.ndarray, " n"],
    *,
    seed: int = 0,
    resamples: int = _RESAMPLES,
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Give 95 % percentile limits of statistics when scenes are drawn anew, with replacement, within strata.

    Args:
        statistic: Takes weights, whose sum is 1 in each stratum of a row, and gives k numbers a row.
        strata: The stratum of each scene: classes, or all the same.
        seed: Of the draws.
        resamples: How often to draw.

    Returns:
        Lower and upper limits; NaN where a statistic is undefined in every draw.

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
    """Give the 95 % bootstrap limits of a mean over scenes; NaN for fewer than two, which say nothing of spread."""
    if len(values) < 2:
        return np.nan, np.nan
    # resampled means hang together with the order of the values, which must not change the limits
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


def mean_share_interval(values: Float[np.ndarray, " n"]) -> tuple[float, float]:
    """Give the 95 % interval of the mean of values in [0, 1].

    Wilson's, for as many 0-1 outcomes as would be equally uncertain: n mean (1 - mean) / variance, which is n itself
    once every value is 0 or 1.

    Example:
        >>> [round(limit, 3) for limit in mean_share_interval(np.array([0.0] * 7 + [1.0] * 3))]
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
