"""The five classes of highest logit: those of a stable sort, also where logits are equal or none is finite."""

from __future__ import annotations

import numpy as np
import pytest

from bglab.evaluation.tabulate import _highest


@pytest.mark.parametrize("classes", [1, 4, 5, 6, 9, 1000])
@pytest.mark.parametrize("step", [0, 0.5, 2])
def test_the_highest_are_those_of_a_stable_sort(classes, step):
    logits = np.random.default_rng(0).normal(size=(300, classes)).astype(np.float32)
    if step:  # many are equal
        logits = np.round(logits / step) * step
    logits[0, 1:] = -np.inf
    assert np.array_equal(_highest(logits, 5), np.argsort(-logits, axis=1, kind="stable")[:, :5])
