"""The bootstrap over scenes: seeded, stratified where wanted, for anything that is a function of weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, Shaped

from bglab.seeding import keyed_generator

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


def mean_interval(values: Float[np.ndarray, " n"], *, seed: int = 0) -> tuple[float, float]:
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
