"""Outcomes of the pairs of a matrix: what counts as fooling, and which pairs are in the denominator.

Two criteria of success come from Noise or Signal: ``any`` (challenge of the authors' code release) counts every
misclassification, predictions outside the data set's classes included; ``targeted`` (text of the paper) counts
predictions of the background's class, which only a background of another class can cause.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Int

from bglab.analysis.clusters import row_clusters
from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.results import CRITERIA, NOT_EVALUATED, Criterion, PairPredictions, Protocol, succeeds


@dataclass(frozen=True, eq=False)
class PairOutcomes:
    """Outcome of every foreground-background pair under a protocol.

    Attributes:
        tried: Pairs that the protocol includes.
        wrong: Tried pairs that are misclassified, as any class but the foreground's.
        captured: Tried pairs that are classified as their background's class, which differs from the foreground's.
    """

    tried: Bool[np.ndarray, "f b"]
    wrong: Bool[np.ndarray, "f b"]
    captured: Bool[np.ndarray, "f b"]

    def fooled(self, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
        """Return the pairs that meet a criterion: ``wrong`` for ``any``, ``captured`` for ``targeted``."""
        return {"any": self.wrong, "targeted": self.captured}[criterion]

    @property
    def searched(self) -> Bool[np.ndarray, " f"]:
        """Foregrounds with at least one tried pair; all others are excluded from every share."""
        return np.asarray(self.tried.any(axis=1))


def pair_outcomes(pairs: PairPredictions, protocol: Protocol | None = None) -> PairOutcomes:
    """Evaluate every pair of a matrix; the single definition of what counts as fooling.

    Args:
        pairs: Predictions of one model for foregrounds on backgrounds.
        protocol: Which pairs count; None takes the protocol that the matrix was computed for.

    Raises:
        BadInput: If the protocol includes pairs that the matrix does not hold, or no pair at all.
    """
    tried = pairs.allowed(protocol or pairs.protocol)
    missing = int((tried & (np.asarray(pairs.native) == NOT_EVALUATED)).sum())
    if missing:
        raise BadInput(
            f"expected every pair of {protocol or pairs.protocol} in the matrix of {pairs.model} on {pairs.dataset}, "
            f"but {missing} were not evaluated (it was made for {pairs.protocol}); search again with that protocol"
        )
    if not tried.any():
        raise BadInput(f"expected at least one pair under {protocol or pairs.protocol}, got none; widen the protocol")
    answers, own, other = pairs.predictions(), pairs.foregrounds.labels[:, None], pairs.backgrounds.labels
    wrong, captured = (tried & succeeds(criterion, answers, own, other) for criterion in CRITERIA)
    return PairOutcomes(tried, wrong, captured)


def class_name(pairs: PairPredictions, label: int) -> str:
    """Return the name of a class of the scenes."""
    return pairs.classes[label] if label != OUTSIDE else "(outside)"


def counted_pairs(pairs: PairPredictions, outcomes: PairOutcomes, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
    """Mark the pairs in the denominator of a fooling rate."""
    if criterion == "any":
        return outcomes.tried
    return outcomes.tried & (pairs.foregrounds.labels[:, None] != pairs.backgrounds.labels)


def foreground_objects(pairs: PairPredictions) -> Int[np.ndarray, " f"]:
    """Number the object of each foreground; copies of one object have the same number."""
    return row_clusters(pairs.foregrounds.ids)[0]
