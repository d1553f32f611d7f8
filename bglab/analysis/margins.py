"""Margins of predictions: how narrowly correct, or how confidently wrong, as far as a prediction table tells."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from bglab.analysis.correctness import integers, require_columns
from bglab.labels import OUTSIDE, to_in9

_NEEDED = ("label", "prediction", "native", "confidence", "space", "native_space")
_BEST = 5


def least_margin(predictions: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Bound the margin of each prediction, as far as a prediction table tells.

    The margin is the probability of the true class minus that of the best other class, among the model's own classes;
    where these map to nine, the most probable of those that map to the true class counts. It is positive exactly if the
    arg-max is correct. A table has the probability c of the predicted class alone, its ``confidence``, and the ranks of
    the five best classes. They determine the sign of the margin, and an amount that it has at least. A correct
    prediction has a margin of at least c - (1 - c), since all other classes share 1 - c. An incorrect one has a margin
    of at most p - c, where p is the most that is left for the true class: (1 - c) / (k - 1) if it is at rank k of
    ``top5``, (1 - c) / 5 if it is not among the five, and 1 - c if these are unknown. The amount is 0 where nothing is
    guaranteed.

    Args:
        predictions: One row per image and model.

    Returns:
        The value in [-1, 1] closest to 0 that the margin can have: at least this for correct predictions, at most this
        for incorrect ones. NaN if the confidence is unknown, as it can be in imported tables, or is not that of the
        predicted class, as with the decision rules ``restricted`` and ``summed``, or the true class is unknown.

    Raises:
        BadInput: If the table is empty or lacks a column.

    Example:
        >>> row = {"label": 1, "native": 0, "prediction": 0, "space": "s", "native_space": "s", "confidence": 0.7}
        >>> least_margin(pd.DataFrame([row | {"top5": [0, 1, 2, 3, 4]}, row | {"top5": [0, 2, 1, 3, 4]}])).round(2)
        array([-0.4 , -0.55])
        >>> least_margin(pd.DataFrame([row | {"label": 0}])).round(2)
        array([0.4])
    """
    require_columns(predictions, _NEEDED)
    label, prediction = integers(predictions, "label"), integers(predictions, "prediction")
    confidence = predictions["confidence"].to_numpy(np.float64)
    space, native_space = predictions["space"].to_numpy(str), predictions["native_space"].to_numpy(str)
    own, mapped = native_space == space, (native_space == "imagenet") & (space == "in9")
    predicted = _as_labels(integers(predictions, "native"), own, mapped)
    is_known = (label != OUTSIDE) & (predicted == prediction) & (own | mapped)
    left = np.minimum(confidence, (1 - confidence) / _better_classes(predictions, label, own, mapped))
    is_correct = label == prediction
    amount = np.maximum(np.where(is_correct, 2 * confidence - 1, confidence - left), 0)
    return np.where(is_known, np.where(is_correct, amount, 0 - amount), np.nan)


def _as_labels(
    native: Int[np.ndarray, "*n"], own: Bool[np.ndarray, "*#n"], mapped: Bool[np.ndarray, "*#n"]
) -> Int[np.ndarray, "*n"]:
    """Turn a model's own classes into those of the labels; OUTSIDE where they do not map to them."""
    return np.where(own, native, to_in9(np.where(mapped, native, OUTSIDE)))


def _better_classes(
    predictions: pd.DataFrame, label: Int[np.ndarray, " n"], own: Bool[np.ndarray, " n"], mapped: Bool[np.ndarray, " n"]
) -> Int[np.ndarray, " n"]:
    """Count the classes that are at least as probable as the true one, as far as ``top5`` tells; at least 1."""
    n = len(predictions)
    if "top5" not in predictions:
        return np.ones(n, dtype=np.int64)
    five = np.full((n, _BEST), OUTSIDE)
    for row, best in zip(five, predictions["top5"], strict=True):  # a model may have fewer than five classes
        if best is not None:
            row[: len(best)] = best
    is_whole = (five != OUTSIDE).all(axis=1)
    hits = _as_labels(five, own[:, None], mapped[:, None]) == label[:, None]
    return np.maximum(np.where(hits.any(axis=1), hits.argmax(axis=1), np.where(is_whole, _BEST, 1)), 1)
