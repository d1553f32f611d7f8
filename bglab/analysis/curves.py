"""Vulnerability as a function of the number of candidate backgrounds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from scipy.special import gammaln

from bglab.analysis.clusters import design_effect
from bglab.analysis.intervals import mean_share_interval
from bglab.analysis.pair_outcomes import foreground_objects, pair_outcomes
from bglab.errors import BadInput
from bglab.results import Criterion, PairPredictions, Protocol


def vulnerability_curve(
    pairs: PairPredictions,
    protocol: Protocol | None = None,
    *,
    counts: Sequence[int] = (),
    criterion: Criterion = "any",
) -> pd.DataFrame:
    """Compute the share of vulnerable foregrounds as a function of the number of random candidate backgrounds.

    The expectation is exact, not sampled: if h of a foreground's m candidates fool it, a random subset of k contains
    none of them with probability C(m - h, k) / C(m, k). This makes searches over different numbers of backgrounds
    comparable.

    Args:
        pairs: Predictions of one model for foregrounds on backgrounds.
        protocol: Which pairs count; None takes the protocol of the matrix.
        counts: Numbers of candidates; () takes 1, 2, 5, 10, … and all. A foreground with fewer candidates uses all.
        criterion: Which pairs count as fooled. Under ``targeted``, candidates of the foreground's class never fool.

    Returns:
        One row per count: ``[candidates, n, vulnerable, vulnerable_low, vulnerable_high]``, in [0, 1]. The 95 %
        interval is over the ``n`` foregrounds (see `mean_share_interval`), given the backgrounds that were searched.

    Raises:
        BadInput: If a count is below 1.
    """
    outcomes = pair_outcomes(pairs, protocol)
    rows = outcomes.searched
    total = outcomes.tried[rows].sum(axis=1)
    hits = outcomes.fooled(criterion)[rows].sum(axis=1)
    wanted = sorted(set(counts)) or round_counts(int(total.max()))
    if wanted[0] < 1:
        raise BadInput(f"expected 1 or more candidate backgrounds, got {wanted[0]}")
    objects = foreground_objects(pairs)[rows]
    table = []
    for count in wanted:
        chance = 1.0 - miss_chance(total, hits, np.minimum(count, total))
        effect = design_effect(chance - chance.mean(), objects)
        limits = mean_share_interval(chance, design_effect=effect)
        table.append((count, len(chance), chance.mean(), *limits))
    return pd.DataFrame(table, columns=["candidates", "n", "vulnerable", "vulnerable_low", "vulnerable_high"])


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


def round_counts(most: int) -> list[int]:
    """List 1, 2, 5, 10, 20, 50, … below ``most``, then ``most`` itself.

    Example:
        >>> round_counts(30)
        [1, 2, 5, 10, 20, 30]
    """
    steps = (step * 10**power for power in range(len(str(most))) for step in (1, 2, 5))
    return sorted({step for step in steps if step < most} | {most})
