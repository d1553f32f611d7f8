"""How sure a share or a difference of shares is: Wilson's and Newcombe's 95 % intervals, and what n can show."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import norm
from statsmodels.stats.proportion import proportion_confint

from bglab.errors import BadInput


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
