"""95 % intervals in closed form: Wilson's for shares and means of values in [0, 1], Newcombe's for paired differences.

All take a design effect for rows that are not independent (see `bglab.analysis.clusters`): counts are divided by it,
which leaves the estimate and widens the interval. Wilson's interval needs no smallest number of rows: averaged over
shares from 0.1 to 0.9, its coverage is at least 95 % from a single row on. At the least favourable of these shares it
is 79 % for one row, 89 % for 5, 92 % for 10 and 94 % for 450. Means of other fractions have an interval from ten values
on. Newcombe's interval is conservative if few pairs are discordant: without any it still has a width.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm, t
from statsmodels.stats.proportion import proportion_confint

#: Fewest values for which a mean of fractions other than 0 and 1 has an interval.
FRACTIONS_MINIMUM = 10


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
    counts: Int[np.ndarray, " k"], totals: Int[np.ndarray, " k"], design_effects: Float[np.ndarray, " k"] | float = 1.0
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Compute Wilson's 95 % interval of each share ``counts / totals``.

    Args:
        counts: Number of successes, between 0 and the total.
        totals: Number of trials.
        design_effects: Number of trials per effectively independent one, at least 1; see
            `bglab.analysis.design_effect`.

    Returns:
        Lower and upper limits in [0, 1]; NaN where the total is 0.

    Example:
        >>> low, high = share_interval(np.array([0, 3]), np.array([0, 10]))
        >>> low.round(3).tolist(), high.round(3).tolist()
        ([nan, 0.108], [nan, 0.603])
    """
    counts, totals = np.asarray(counts, dtype=np.float64), np.asarray(totals, dtype=np.float64)
    some = np.maximum(totals, 1)
    low, high = proportion_confint(counts / design_effects, some / design_effects, method="wilson")
    # rounding can move a limit past the share itself at 0 of n and n of n
    shares = counts / some
    nothing = totals == 0
    return np.where(nothing, np.nan, np.minimum(low, shares)), np.where(nothing, np.nan, np.maximum(high, shares))


def mean_share_interval(values: Float[np.ndarray, " n"], *, design_effect: float = 1.0) -> tuple[float, float]:
    """Compute the 95 % interval of the mean of values in [0, 1].

    This is Wilson's interval for the number of binary outcomes with the same standard error; see `variance_interval`.
    Unless all values are 0 or 1, the standard error is estimated, and widened for the quantile of Student's t.

    Args:
        values: At least one value, each in [0, 1].
        design_effect: Number of values per effectively independent one, at least 1.

    Returns:
        Lower and upper limit in [0, 1]; NaN for fewer than `FRACTIONS_MINIMUM` values that are not all 0 or 1.

    Example:
        >>> [round(limit, 3) for limit in mean_share_interval(np.array([0.0] * 7 + [1.0] * 3))]
        [0.108, 0.603]
    """
    n, variance = len(values), float(values.var())
    if not np.isin(values, (0, 1)).all():
        if n < FRACTIONS_MINIMUM:
            return math.nan, math.nan
        variance *= n / (n - 1) * float(t.ppf(0.975, n - 1) / norm.ppf(0.975)) ** 2
    return variance_interval(float(values.mean()), variance / n * design_effect, n / design_effect)


def variance_interval(mean: float, variance: float, n: float) -> tuple[float, float]:
    """Compute the 95 % interval of a mean of values in [0, 1] from its variance.

    Args:
        mean: Estimate in [0, 1].
        variance: Variance of the estimate; 0 if all values are equal.
        n: Number of values that stands in for mean (1 - mean) / variance, the number of binary outcomes with this
            variance, if the variance is 0.

    Returns:
        Lower and upper limit in [0, 1], Wilson's for that number of binary outcomes.
    """
    equivalent = mean * (1 - mean) / variance if variance > 0 else n
    low, high = np.array(proportion_confint(mean * equivalent, equivalent, method="wilson"), dtype=np.float64)
    # rounding can move a limit past the mean itself at 0 and 1
    return min(float(low), mean), max(float(high), mean)


def paired_difference(
    both: int, first_only: int, second_only: int, neither: int, *, design_effect: float = 1.0
) -> Difference:
    """Compute the difference of two proportions of the same pairs with Newcombe's 95 % interval.

    Method 10 of R. G. Newcombe, Statistics in Medicine 17 (1998) 2635-2650: Wilson's intervals of the two proportions
    are combined in quadrature, with the correlation of the pairs. The interval stays within [-1, 1] and keeps a
    positive width where no pair is discordant; a bootstrap interval would collapse to a point there. It is
    conservative if few pairs are discordant.

    Args:
        both: Pairs correct in both conditions.
        first_only: Pairs correct in the first condition only.
        second_only: Pairs correct in the second condition only.
        neither: Pairs correct in neither condition.
        design_effect: Number of pairs per effectively independent one, at least 1.

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
    lows, highs = share_interval(np.array([first, second]), np.array([n, n]), design_effect)
    excess = both * neither - first_only * second_only
    if excess > 0:  # continuity correction of the paper, which reduces the correlation
        excess = max(excess - n * design_effect / 2, 0)
    margins = math.sqrt(first * (n - first) * second * (n - second))
    value = (first_only - second_only) / n
    shares = np.array([first, second]) / n
    return combined_difference(value, shares - lows, highs - shares, excess / margins if margins else 0.0)


def mean_difference(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], *, design_effect: float = 1.0
) -> Difference:
    """Compute the difference of two means of values in [0, 1] over scenes, with Newcombe's 95 % interval.

    For scenes that all have two values of 0 or 1, this is `paired_difference`. In general, the interval combines those
    of `mean_share_interval` in the same way, with the correlation of the two means. This is the correlation of the
    values, reduced for scenes that have only one of them.

    Args:
        first: One value per scene in [0, 1], NaN where it is unknown.
        second: The same under the other condition.
        design_effect: Number of scenes per effectively independent one, at least 1.

    Returns:
        The difference of the means, first minus second, and its limits; NaN throughout if either has no value.

    Example:
        >>> first, second = np.tile([1.0, 1, 1, 0, 1], 4), np.tile([1.0, 0.5, 0.5, 0, 0], 4)
        >>> [round(x, 3) for x in mean_difference(first, second)]
        [0.4, 0.206, 0.537]
    """
    known = np.stack([~np.isnan(first), ~np.isnan(second)])
    counts = known.sum(axis=1)
    if not counts.all():
        return Difference(math.nan, math.nan, math.nan)
    if known.all() and np.isin([first, second], (0, 1)).all():
        cells = [int(np.sum((first == a) & (second == b))) for a, b in ((1, 1), (1, 0), (0, 1), (0, 0))]
        return paired_difference(*cells, design_effect=design_effect)
    shared = known.all(axis=0)
    x, y = first[shared] - first[known[0]].mean(), second[shared] - second[known[1]].mean()
    spread = math.sqrt(float(np.nanvar(first)) * counts[0] * float(np.nanvar(second)) * counts[1])
    correlation = min(1.0, max(-1.0, float(x @ y) / spread)) if spread else 0.0
    means = np.array([first[known[0]].mean(), second[known[1]].mean()])
    sides = (first[known[0]], second[known[1]])
    limits = np.array([mean_share_interval(side, design_effect=design_effect) for side in sides])
    return combined_difference(float(means[0] - means[1]), means - limits[:, 0], limits[:, 1] - means, correlation)


def combined_difference(
    value: float, below: Float[np.ndarray, "2"], above: Float[np.ndarray, "2"], correlation: float
) -> Difference:
    """Combine the limits of two estimates to those of their difference, in quadrature, as Newcombe does.

    Args:
        value: The difference, first minus second.
        below: How far it changes if the first, or the second, estimate falls to its lower limit.
        above: How far it changes if the first, or the second, estimate rises to its upper limit.
        correlation: Correlation of the two estimates, in [-1, 1].
    """
    down = below[0] ** 2 - 2 * correlation * below[0] * above[1] + above[1] ** 2
    up = above[0] ** 2 - 2 * correlation * above[0] * below[1] + below[1] ** 2
    return Difference(value, value - math.sqrt(max(down, 0.0)), value + math.sqrt(max(up, 0.0)))
