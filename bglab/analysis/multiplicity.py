"""Adjust p-values for the number of tests."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float


def holm(p: Float[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Adjust p-values by Holm's step-down method, which holds the family-wise error rate.

    The function of statsmodels collects garbage each time, which takes up to a second in a process with a network.

    Args:
        p: P-values in [0, 1], in any order; NaN where there is none, which counts as a test.

    Returns:
        Adjusted p-values in [0, 1], in the same order.
    """
    order = np.argsort(p)
    rising = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(rising, 1)
    return adjusted
