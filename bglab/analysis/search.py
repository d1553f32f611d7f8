"""Summarise a pair matrix: vulnerable foregrounds, fooling rates of backgrounds, transfer between models.

Everything is computed from stored predictions; no forward pass and no torch are needed. Two criteria of success come
from Noise or Signal: ``any`` (challenge of the authors' code release) counts every misclassification, predictions
outside the data set's classes included; ``targeted`` (text of the paper) counts predictions of the background's class,
which only a background of another class can cause. Shares are fractions in [0, 1] with 95 % intervals.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from scipy.stats import spearmanr

from bglab.analysis._grouping import with_share
from bglab.analysis.intervals import mean_share_interval, miss_chance, round_counts, share_interval
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


def vulnerability(pairs: PairPredictions, protocol: Protocol | None = None) -> pd.DataFrame:
    """Compute the share of vulnerable foregrounds under both criteria, and the challenge accuracy.

    A foreground is vulnerable if at least one background fools it. Challenge accuracy, from the README of the authors'
    code release, is the share of foregrounds that no background fools: 1 - ``vulnerable_any``.

    Returns:
        One row with columns ``[model, dataset, n, backgrounds]``, where ``n`` counts foregrounds, then
        ``vulnerable_any``, ``vulnerable_targeted`` and ``challenge_accuracy``, fractions in [0, 1] with Wilson's 95 %
        limits in ``*_low`` and ``*_high``.
    """
    outcomes = pair_outcomes(pairs, protocol)
    n = int(outcomes.searched.sum())
    row: dict[str, Any] = {"model": pairs.model, "dataset": pairs.dataset, "n": n}
    row["backgrounds"] = int(outcomes.tried.any(axis=0).sum())
    fooled_any = int(outcomes.wrong.any(axis=1).sum())
    counts = {
        "vulnerable_any": fooled_any,
        "vulnerable_targeted": int(outcomes.captured.any(axis=1).sum()),
        "challenge_accuracy": n - fooled_any,
    }
    for name, count in counts.items():
        low, high = share_interval(np.array([count]), np.array([n]))
        row |= {name: count / n, f"{name}_low": low[0], f"{name}_high": high[0]}
    return pd.DataFrame([row])


def per_class_totals(pairs: PairPredictions, protocol: Protocol | None = None) -> pd.DataFrame:
    """Compute for each class the share of foregrounds of other classes that any of its backgrounds captures.

    These are the totals of Noise or Signal, Figures 3 and 22-29, over 3,600 foregrounds of other classes per class.

    Returns:
        One row per class that has backgrounds: ``[label, class, n, fooled, total, total_low, total_high]``; ``total``
        is ``fooled / n`` in [0, 1] with Wilson's 95 % interval. The criterion is ``targeted``.
    """
    outcomes = pair_outcomes(pairs, protocol)
    rows = []
    for label in np.unique(pairs.backgrounds.labels).tolist():
        of_class = pairs.backgrounds.labels == label
        others = (pairs.foregrounds.labels != label) & outcomes.tried[:, of_class].any(axis=1)
        fooled = outcomes.captured[:, of_class].any(axis=1)
        rows.append((label, _class_name(pairs, label), int(others.sum()), int(fooled.sum())))
    table = pd.DataFrame(rows, columns=["label", "class", "n", "fooled"])
    return with_share(table, "fooled", "total")


def fooling_rates(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Compute the fooling rate of each background: the share of foregrounds tried on it that it fools.

    Under ``targeted`` only foregrounds of other classes count, as in Noise or Signal, Figure 4.

    Returns:
        One row per background: ``[background, label, class, n, fooled, rate, rate_low, rate_high]``; ``rate`` is
        ``fooled / n`` in [0, 1] with Wilson's 95 % interval. Backgrounds without a counted foreground are left out.
    """
    outcomes = pair_outcomes(pairs, protocol)
    counted = _counted(pairs, outcomes, criterion)
    table = pd.DataFrame(
        {
            "background": list(pairs.backgrounds.ids),
            "label": pairs.backgrounds.labels,
            "class": [_class_name(pairs, label) for label in pairs.backgrounds.labels.tolist()],
            "n": counted.sum(axis=0),
            "fooled": outcomes.fooled(criterion).sum(axis=0),
        }
    )
    return with_share(table.loc[table["n"] > 0].reset_index(drop=True), "fooled", "rate")


def top_backgrounds(
    pairs: PairPredictions, protocol: Protocol | None = None, *, k: int = 5, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """List the most adversarial backgrounds of each class (Noise or Signal, Figures 3 and 22-29).

    Returns:
        Up to ``k`` rows of `fooling_rates` per class, by falling rate, with a ``rank`` from 1; ties keep the order of
        the data set.
    """
    rates = fooling_rates(pairs, protocol, criterion=criterion)
    ordered = rates.sort_values(["label", "rate"], ascending=[True, False], kind="stable")
    rank = ordered.groupby("label").cumcount() + 1
    return ordered.assign(rank=rank).loc[rank <= k].reset_index(drop=True)


def rate_histogram(
    pairs: PairPredictions, protocol: Protocol | None = None, *, width: float = 0.05, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Count the backgrounds of each class by fooling rate (Noise or Signal, Figure 4).

    Args:
        pairs: Predictions of one model for foregrounds on backgrounds.
        protocol: Which pairs count; None takes the protocol of the matrix.
        width: Width of a bin, in (0, 1].
        criterion: Which pairs count as fooled.

    Returns:
        One row per class and bin, empty bins included: ``[label, class, low, high, count]``. Bins are half-open,
        [low, high), except for the last, which is closed.

    Raises:
        BadInput: If the width is out of its range.
    """
    if not 0 < width <= 1:
        raise BadInput(f"expected a width of bins in (0, 1], got {width}")
    rates = fooling_rates(pairs, protocol, criterion=criterion)
    bins = int(np.ceil(round(1 / width, 9)))
    # a rate such as 3 / 20 must not fall below an edge of 0.15 by rounding
    place = np.minimum(np.floor(rates["rate"].to_numpy() / width + 1e-9).astype(int), bins - 1)
    rows = []
    for label in np.unique(rates["label"]).tolist():
        counts = np.bincount(place[rates["label"] == label], minlength=bins)
        edges = [(min(i * width, 1.0), min((i + 1) * width, 1.0)) for i in range(bins)]
        name = _class_name(pairs, label)
        rows += [(label, name, *edge, int(count)) for edge, count in zip(edges, counts, strict=True)]
    return pd.DataFrame(rows, columns=["label", "class", "low", "high", "count"])


def class_heat_map(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Compute the share of fooled pairs for each class of foregrounds on each class of backgrounds.

    Returns:
        One row per pair of classes: ``[foreground_class, background_class, n, fooled, rate]``; ``rate`` is in [0, 1],
        NaN where no pair counts (the diagonal under ``targeted``).
    """
    outcomes = pair_outcomes(pairs, protocol)
    counted, fooled = _counted(pairs, outcomes, criterion), outcomes.fooled(criterion)
    rows = []
    for front in np.unique(pairs.foregrounds.labels).tolist():
        front_rows = pairs.foregrounds.labels == front
        n_columns, fooled_columns = counted[front_rows].sum(axis=0), fooled[front_rows].sum(axis=0)
        for back in np.unique(pairs.backgrounds.labels).tolist():
            of_class = pairs.backgrounds.labels == back
            n, count = int(n_columns[of_class].sum()), int(fooled_columns[of_class].sum())
            names = _class_name(pairs, front), _class_name(pairs, back)
            rows.append((*names, n, count, count / n if n else np.nan))
    return pd.DataFrame(rows, columns=["foreground_class", "background_class", "n", "fooled", "rate"])


def hardest_foregrounds(
    pairs: PairPredictions, protocol: Protocol | None = None, *, k: int = 10, criterion: Criterion = "any"
) -> pd.DataFrame:
    """List the foregrounds that the largest share of backgrounds fools.

    Returns:
        Up to ``k`` rows ``[scene, label, class, right_on_original, n, fooled, rate]`` by falling rate, in [0, 1]; ties
        keep the order of the data set. ``right_on_original`` tells whether the original image is classified correctly.
    """
    outcomes = pair_outcomes(pairs, protocol)
    table = pd.DataFrame(
        {
            "scene": list(pairs.foregrounds.ids),
            "label": pairs.foregrounds.labels,
            "class": [_class_name(pairs, label) for label in pairs.foregrounds.labels.tolist()],
            "right_on_original": pairs.correct,
            "n": _counted(pairs, outcomes, criterion).sum(axis=1),
            "fooled": outcomes.fooled(criterion).sum(axis=1),
        }
    )
    table = table.loc[table["n"] > 0].assign(rate=lambda t: t["fooled"] / t["n"])
    return table.sort_values("rate", ascending=False, kind="stable").head(k).reset_index(drop=True)


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
        interval is over the ``n`` foregrounds (see `mean_share_interval`).

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
    table = []
    for count in wanted:
        chance = 1.0 - miss_chance(total, hits, np.minimum(count, total))
        table.append((count, len(chance), chance.mean(), *mean_share_interval(chance)))
    return pd.DataFrame(table, columns=["candidates", "n", "vulnerable", "vulnerable_low", "vulnerable_high"])


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
        pairs that fool the source; ``transferred``, the share of these that also fool the target, with Wilson's 95 %
        limits; ``base_rate``, the share of all pairs that fool the target; ``overlap``, pairs that fool both over pairs
        that fool either; ``vulnerable_both``, the share of foregrounds vulnerable under both; ``rank_correlation``,
        Spearman's, of the backgrounds' fooling rates (NaN where one model's rates are all equal); ``top_overlap``, the
        mean share, over classes, of the ``k`` most adversarial backgrounds that the two lists have in common.

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
    counted = _counted(source, first, criterion) & tried
    a, b = first.fooled(criterion) & tried, second.fooled(criterion) & tried
    n, both, either = int(a.sum()), int((a & b).sum()), int((a | b).sum())
    low, high = share_interval(np.array([both]), np.array([n]))
    rows = tried.any(axis=1)
    row = {
        "source": source.model,
        "target": target.model,
        "criterion": criterion,
        "n": n,
        "transferred": both / n if n else np.nan,
        "transferred_low": low[0],
        "transferred_high": high[0],
        "base_rate": b.sum() / counted.sum(),
        "overlap": both / either if either else np.nan,
        "vulnerable_both": np.asarray(a.any(axis=1) & b.any(axis=1))[rows].mean(),
        "rank_correlation": _rate_correlation(a.sum(axis=0), b.sum(axis=0), counted.sum(axis=0)),
        "top_overlap": _top_overlap(source, target, protocol, criterion, k),
    }
    return pd.DataFrame([row])


def file_order_forwards(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "any", batch_size: int = 1
) -> int:
    """Count the images that the reference implementation classifies: backgrounds in file order up to the first success.

    Args:
        pairs: Predictions of one model for foregrounds on backgrounds.
        protocol: Which pairs count; None takes the protocol of the matrix.
        criterion: Which success ends the search of a foreground.
        batch_size: Images per forward pass (32 in the reference); the search ends with the batch of the first success.
    """
    outcomes = pair_outcomes(pairs, protocol)
    fooled = outcomes.fooled(criterion)
    place = np.cumsum(outcomes.tried, axis=1)  # candidates tried by a foreground up to and including each column
    first = np.argmax(fooled, axis=1)
    needed = np.where(fooled.any(axis=1), place[np.arange(len(first)), first], place[:, -1])
    whole = np.minimum(-(-needed // batch_size) * batch_size, place[:, -1])
    return int(whole.sum())


def summarise(pairs: PairPredictions, protocol: Protocol | None = None) -> dict[str, Any]:
    """Return the numbers of ``bglab search --json`` as types that JSON can hold."""
    row = vulnerability(pairs, protocol).iloc[0]
    totals = per_class_totals(pairs, protocol)
    numbers = {name: row[name].item() for name in row.index if name not in {"model", "dataset"}}
    return {
        "model": pairs.model,
        "dataset": pairs.dataset,
        **numbers,
        "per_class_total": dict(zip(totals["class"], totals["total"].tolist(), strict=True)),
        "accuracy_original": float(pairs.correct[pair_outcomes(pairs, protocol).searched].mean()),
    }


def _class_name(pairs: PairPredictions, label: int) -> str:
    return pairs.classes[label] if label != OUTSIDE else "(outside)"


def _counted(pairs: PairPredictions, outcomes: PairOutcomes, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
    """Mark the pairs in the denominator of a fooling rate."""
    if criterion == "any":
        return outcomes.tried
    return outcomes.tried & (pairs.foregrounds.labels[:, None] != pairs.backgrounds.labels)


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
