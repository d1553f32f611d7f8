"""Transfer of adversarial backgrounds from one model to another, on the pairs tried with both."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Int
from scipy.stats import spearmanr

from bglab.analysis.clusters import clustered_share, crossed_share
from bglab.analysis.pair_outcomes import counted_pairs, foreground_objects, pair_outcomes
from bglab.analysis.search import top_backgrounds
from bglab.errors import BadInput
from bglab.results import Criterion, PairPredictions, Protocol


def transfer(
    source: PairPredictions,
    target: PairPredictions,
    protocol: Protocol | None = None,
    *,
    criterion: Criterion = "targeted",
    k: int = 5,
) -> pd.DataFrame:
    """Measure how well backgrounds that fool one model fool another, on the pairs tried with both.

    Args:
        source: Predictions of the model whose fooling backgrounds are taken.
        target: Predictions of the model that they are applied to.
        protocol: Which pairs count; None takes the protocol of each matrix.
        criterion: Which pairs count as fooled.
        k: How many of the most adversarial backgrounds per class are compared in ``top_overlap``.

    Returns:
        One row of fractions in [0, 1], except for ``n`` and ``rank_correlation``: ``source, target, criterion``; ``n``
        pairs that fool the source; ``transferred``, the share of these that also fool the target; ``base_rate``, the
        share of all pairs that fool the target; ``overlap``, pairs that fool both over pairs that fool either;
        ``vulnerable_both``, the share of foregrounds vulnerable under both; ``rank_correlation``, Spearman's, of the
        backgrounds' fooling rates (NaN where one model's rates are all equal); ``top_overlap``, the mean share, over
        classes, of the ``k`` most adversarial backgrounds that the two lists have in common.

        The columns ``*_low`` and ``*_high`` have 95 % intervals. Those of ``transferred``, ``base_rate`` and
        ``overlap`` are for samples of foregrounds and backgrounds (see `bglab.analysis.crossed_share`), NaN where the
        pairs come from fewer than ten of either. That of ``vulnerable_both`` is Wilson's over foregrounds, given these
        backgrounds: whether *any* background fools a foreground depends on their number, so that another sample of
        backgrounds has no simple relation to it. ``rank_correlation`` and ``top_overlap`` have none: both
        compare rates that are themselves estimates, whose errors bias them towards less agreement, by more in a
        resample than in the sample.

    Raises:
        BadInput: If the two matrices differ in their foregrounds or backgrounds, or in the order of these.
    """
    if source.foregrounds.ids != target.foregrounds.ids or source.backgrounds.ids != target.backgrounds.ids:
        raise BadInput(
            f"expected two models on the same foregrounds and backgrounds, got {source.model} on {source.dataset} and "
            f"{target.model} on {target.dataset}; search both on one set"
        )
    first, second = pair_outcomes(source, protocol), pair_outcomes(target, protocol)
    tried = first.tried & second.tried
    counted = counted_pairs(source, first, criterion) & tried
    a, b = first.fooled(criterion) & tried, second.fooled(criterion) & tried
    objects, rows = foreground_objects(source), tried.any(axis=1)
    vulnerable = np.asarray(a.any(axis=1) & b.any(axis=1))
    shares = {
        "transferred": crossed_share(a & b, a, objects),
        "base_rate": crossed_share(b & counted, counted, objects),
        "overlap": crossed_share(a & b, a | b, objects),
        "vulnerable_both": clustered_share(vulnerable[rows].astype(float), objects[rows]),
    }
    limits = {f"{name}_{end}": share[i] for name, share in shares.items() for i, end in ((1, "low"), (2, "high"))}
    row: dict[str, Any] = {
        "source": source.model,
        "target": target.model,
        "criterion": criterion,
        "n": int(a.sum()),
        "transferred": shares["transferred"][0],
        "transferred_low": limits.pop("transferred_low"),
        "transferred_high": limits.pop("transferred_high"),
        "base_rate": shares["base_rate"][0],
        "overlap": shares["overlap"][0],
        "vulnerable_both": shares["vulnerable_both"][0],
        "rank_correlation": _rate_correlation(a.sum(axis=0), b.sum(axis=0), counted.sum(axis=0)),
        "top_overlap": _top_overlap(source, target, protocol, criterion, k),
    }
    row |= limits
    return pd.DataFrame([row])


def _rate_correlation(a: Int[np.ndarray, " b"], b: Int[np.ndarray, " b"], n: Int[np.ndarray, " b"]) -> float:
    known = n > 0
    first, second = a[known] / n[known], b[known] / n[known]
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return float("nan")
    result: Any = spearmanr(first, second)
    return float(result.statistic)


def _top_overlap(
    source: PairPredictions, target: PairPredictions, protocol: Protocol | None, criterion: Criterion, k: int
) -> float:
    """Compute the mean share, over classes, of the k most adversarial backgrounds that both models have in common."""
    first, second = (top_backgrounds(pairs, protocol, k=k, criterion=criterion) for pairs in (source, target))
    shares = []
    for label, group in first.groupby("label"):
        others = set(second.loc[second["label"] == label, "background"])
        shares.append(len(others & set(group["background"])) / len(group))
    return float(np.mean(shares))
