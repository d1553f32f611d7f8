"""Statistical power of the comparison of two models: the smallest difference that McNemar's exact test detects."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import brentq
from scipy.stats import binom

from bglab.errors import BadInput

#: Probability of a number of discordant pairs below and above which it is left out of the sum over these numbers.
_NEGLIGIBLE = 1e-9


def detectable_difference(
    n: int, discordance: float, *, power: float = 0.8, alpha: float = 0.05, tests: int = 1
) -> float:
    """Compute the smallest paired difference in accuracy that McNemar's exact test detects with the given power.

    The power is exact: the number of discordant pairs is binomial, and given this number, so is the number of pairs
    that only the first model classifies correctly.

    Args:
        n: Number of pairs.
        discordance: Share of pairs that are correct in one condition and incorrect in the other, in (0, 1].
        power: Probability of detecting the difference, in (0.5, 1).
        alpha: Two-sided significance level, in (0, 1).
        tests: Number of tests that Holm's correction is over. The level is that of its first step, alpha / tests, which
            is the most demanding; in a table with other significant differences the power is higher.

    Returns:
        A fraction in [0, discordance]; NaN if not even the largest possible difference, the discordance itself, is
        detectable.

    Raises:
        BadInput: If an argument is out of its range.

    Example:
        >>> round(detectable_difference(4050, 0.2), 4)
        0.0199
    """
    if n < 1 or not 0 < discordance <= 1 or not 0.5 < power < 1 or not 0 < alpha < 1 or tests < 1:
        raise BadInput(
            "expected n of 1 or more, discordance in (0, 1], power in (0.5, 1), alpha in (0, 1) and 1 or more tests, "
            f"got {n}, {discordance}, {power}, {alpha} and {tests}"
        )
    low, high = (int(binom.ppf(q, n, discordance)) for q in (_NEGLIGIBLE, 1 - _NEGLIGIBLE))
    counts = np.arange(low, high + 1)
    chances = binom.pmf(counts, n, discordance)
    critical = _critical_counts(counts, alpha / tests)

    def missing(share: float) -> float:
        """Subtract the wanted power from that where the first model wins this share of the discordant pairs."""
        either = binom.cdf(critical, counts, share) + binom.cdf(critical, counts, 1 - share)
        return float(chances @ either) - power

    if missing(1.0) < 0:
        return math.nan
    root: Any = brentq(missing, 0.5, 1.0, xtol=1e-9)
    return discordance * (2 * float(root) - 1)


def _critical_counts(counts: Int[np.ndarray, " k"], alpha: float) -> Float[np.ndarray, " k"]:
    """Return the largest count of the rarer outcome that is significant among each number of pairs; -1 if none is."""
    found = binom.ppf(alpha / 2, counts, 0.5)
    # ppf gives the smallest count that reaches the probability; significant is what does not exceed it
    return np.where(binom.cdf(found, counts, 0.5) > alpha / 2, found - 1, found)
