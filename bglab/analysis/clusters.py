"""Clusters of rows that are not independent: copies of one object, rows that share a donor, pairs of a matrix.

An interval that counts rows is too narrow where rows resemble each other. The design effect is the factor by which the
variance of a mean exceeds that of as many independent rows; Wilson's and Newcombe's intervals are then computed for
the effective number of rows, n over the design effect (J. N. K. Rao and A. J. Scott, Biometrics 48 (1992) 577-585, for
one kind of cluster). Rows that belong to clusters of several kinds at once, as a pair of foreground and background
does, have the variance of A. C. Cameron, J. B. Gelbach and D. L. Miller, Journal of Business & Economic Statistics 29
(2011) 238-249.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from scipy.stats import t

from bglab.analysis.intervals import share_interval
from bglab.names import object_name

Codes = Int[np.ndarray, " n"]

#: Fewest clusters from which the resemblance within clusters is estimated.
CLUSTERS_MINIMUM = 20

#: Codes are compacted by counting if the largest is smaller than this many per row.
_COUNTED = 8

#: Fewest foregrounds, and fewest backgrounds, for which the share of pairs has an interval.
CROSSED_MINIMUM = 10


def row_clusters(scenes: Iterable[Any], *donors: Iterable[Any]) -> list[Codes]:
    """Number the clusters of rows of a prediction table, by object and by donor.

    Everything is read off the ids: scenes whose ids differ only in the ending ``-copy2``, ``-copy3``, … (see
    `bglab.names.copy_name`) show one object, as do rows of one scene; rows with the same id in the column ``donor``
    share a background.

    Args:
        scenes: Ids of the scenes, one per row.
        *donors: Ids of the scenes that lend the background, one per row, "" for the scene itself, none or unknown;
            one column for each condition that a row combines.

    Returns:
        The number of each row's object, then, for each column with donors, of each row's donor.
    """
    names, ids = _factorize(scenes)
    objects = _factorize([object_name(str(name)) for name in names])[1]
    codes = [objects[ids]]
    for column in donors:
        lent = np.asarray(column, dtype=object)
        if (lent != "").any():
            codes.append(_factorize(np.where(lent == "", np.asarray(scenes, dtype=object), lent))[1])
    return codes


def design_effect(residuals: Float[np.ndarray, " n"], *clusters: Codes) -> float:
    """Compute the factor by which clusters enlarge the variance of a mean.

    Args:
        residuals: Contribution of each row to the error of the mean, e.g. its value minus the mean; they sum to 0.
        *clusters: Number of each row's cluster, for each kind of cluster. A kind after the first that is the same for
            all rows, such as a donor chosen for all scenes, is a fixed condition and not a sample; it is ignored.

    Returns:
        1 if every row is a cluster of its own, otherwise at least 1. Student's t for the smallest number of clusters
        replaces the normal quantile, as a factor (E. L. Korn and B. I. Graubard, Survey Methodology 24 (1998) 193-201).
        If all residuals are 0, or there are fewer than `CLUSTERS_MINIMUM` clusters of a kind, too little is known
        about the resemblance within clusters, and rows of one cluster are taken to be equal.

    Example:
        >>> values = np.tile([1.0, 1, 1, 1, 0, 0, 1, 0], 10)
        >>> design_effect(values - values.mean(), np.arange(80))
        1.0
        >>> round(design_effect(values - values.mean(), np.arange(80) // 2), 2)
        1.53
    """
    n = len(residuals)
    kinds = [_compact(codes) for codes in clusters]
    kinds = [codes for i, codes in enumerate(kinds) if codes.max(initial=-1) + 1 < n and (i == 0 or codes.any())]
    if not kinds:
        return 1.0
    fewest = min(int(codes.max()) + 1 for codes in kinds)
    independent = _squares(residuals) * n / (n - 1)
    if independent == 0 or fewest < CLUSTERS_MINIMUM:
        return max(float((np.bincount(codes) ** 2.0).sum()) / n for codes in kinds)
    variance = 0.0
    for size in range(1, len(kinds) + 1):
        for chosen in itertools.combinations(kinds, size):
            variance -= (-1) ** size * _between(residuals, _joined(chosen))
    return max(1.0, variance / independent) * _student(fewest, n)


def clustered_share(values: Float[np.ndarray, " n"], *clusters: Codes) -> tuple[float, float, float]:
    """Compute the share of rows with value 1, with Wilson's 95 % interval for clustered rows.

    Args:
        values: 1, 0 or NaN for each row.
        *clusters: Number of each row's cluster, for each kind of cluster; see `row_clusters`.

    Returns:
        The share and its limits in [0, 1]; NaN throughout if there is no row or any value is NaN.

    Example:
        >>> [round(x, 3) for x in clustered_share(np.array([1.0, 1, 1, 0, 1, 1, 0, 0]), np.arange(8))]
        [0.625, 0.306, 0.863]
    """
    n = len(values)
    if n == 0 or np.isnan(values).any():
        return np.nan, np.nan, np.nan
    count = round(float(values.sum()))
    effect = design_effect(values - count / n, *clusters)
    low, high = share_interval(np.array([count]), np.array([n]), effect)
    return count / n, float(low[0]), float(high[0])


def crossed_share(
    hits: Bool[np.ndarray, "f b"], counted: Bool[np.ndarray, "f b"], objects: Int[np.ndarray, " f"]
) -> tuple[float, float, float]:
    """Compute the share of hits among pairs of foreground and background, with an interval for other pairs of both.

    Pairs that share a foreground or a background resemble each other, so the interval is for samples of both: the
    variance of sums over foregrounds and over backgrounds is that of a two-way layout, in closed form. Resampling
    both, the pigeonhole bootstrap (A. B. Owen, Annals of Applied Statistics 1 (2007) 386-411), estimates the same
    variance, but is too wide where foregrounds or backgrounds hardly differ, and too narrow for few of them.

    Args:
        hits: Pairs that succeed.
        counted: Pairs in the denominator; all hits are among them.
        objects: Number of each foreground's object; foregrounds of one object are a cluster.

    Returns:
        The share in [0, 1], NaN if no pair counts, with the limits of Wilson's 95 % interval for the effective number
        of pairs; NaN if these come from fewer than `CROSSED_MINIMUM` objects or backgrounds.
    """
    n, count = int(counted.sum()), int(hits.sum())
    if n == 0:
        return np.nan, np.nan, np.nan
    share = count / n
    objects = _compact(objects)
    rows = np.bincount(objects, weights=counted.sum(axis=1))
    columns = counted.sum(axis=0, dtype=np.float64)
    fewest = min(int((rows > 0).sum()), int((columns > 0).sum()))
    if fewest < CROSSED_MINIMUM:
        return share, np.nan, np.nan
    if count in {0, n}:
        effect = max(float((rows**2).sum()), float((columns**2).sum())) / n
    else:
        effect = _crossed_effect(hits, counted, objects, share) * _student(fewest, n)
    low, high = share_interval(np.array([count]), np.array([n]), effect)
    return share, float(low[0]), float(high[0])


def _crossed_effect(
    hits: Bool[np.ndarray, "f b"], counted: Bool[np.ndarray, "f b"], objects: Int[np.ndarray, " f"], share: float
) -> float:
    """Compute the design effect of pairs that share an object or a background."""
    n = int(counted.sum())
    rows = np.bincount(objects, weights=hits.sum(axis=1) - share * counted.sum(axis=1))
    columns = hits.sum(axis=0) - share * counted.sum(axis=0)
    independent = n * share * (1 - share)
    cells = independent
    if objects.max() + 1 < len(objects):
        order = np.argsort(objects, kind="stable")
        starts = np.flatnonzero(np.diff(objects[order], prepend=-1))
        sums = [np.add.reduceat(side[order].astype(np.float64), starts, axis=0) for side in (hits, counted)]
        cells = float(((sums[0] - share * sums[1]) ** 2).sum())
    row_count = int((np.bincount(objects, weights=counted.any(axis=1)) > 0).sum())
    column_count = int(counted.any(axis=0).sum())
    between = _corrected(float(rows @ rows), row_count) + _corrected(float(columns @ columns), column_count)
    return max(1.0, (between - cells) / _corrected(independent, n))


def _between(residuals: Float[np.ndarray, " n"], codes: Codes) -> float:
    """Sum the squares of the clusters' totals, corrected for the number of clusters."""
    totals = np.bincount(codes, weights=residuals)
    return _corrected(_squares(totals), len(totals)) if len(totals) > 1 else 0.0


def _squares(values: Float[np.ndarray, " n"]) -> float:
    """Sum squares in one thread: a product of vectors waits for all threads of the BLAS, which may be busy."""
    return float(np.square(values).sum())


def _corrected(squares: float, count: int) -> float:
    return squares * count / (count - 1)


def _student(clusters: int, n: int) -> float:
    return float(t.ppf(0.975, clusters - 1) / t.ppf(0.975, n - 1)) ** 2


def _joined(kinds: Sequence[Codes]) -> Codes:
    """Number the combinations of clusters of several kinds."""
    joined = kinds[0]
    for codes in kinds[1:]:
        joined = _compact(joined * (int(codes.max()) + 1) + codes)
    return joined


def _compact(codes: Codes) -> Codes:
    """Number the codes that occur from 0, in their order."""
    if codes.size and codes.min() >= 0 and codes.max() < _COUNTED * codes.size:
        occurs = np.zeros(int(codes.max()) + 1, dtype=bool)  # without a sort, which takes fifty times as long
        occurs[codes] = True
        return (np.cumsum(occurs) - 1)[codes]
    return np.unique(codes, return_inverse=True)[1].ravel()


def _factorize(names: Iterable[Any]) -> tuple[np.ndarray, Codes]:
    codes, values = pd.factorize(np.asarray(names, dtype=object))
    return np.asarray(values), codes
