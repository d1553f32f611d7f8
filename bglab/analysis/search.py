"""Read the pair matrix: who is vulnerable, which backgrounds fool, and how many it takes; no forward pass, no torch.

Two notions of success, both from Noise or Signal: ``any`` (the release's challenge) is any error at all, an answer
outside the set's classes included; ``targeted`` (the paper's text) is being taken for the class of the background,
which only backgrounds of another class can bring about. Everything is a fraction in [0, 1]; intervals cover 95 %.
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
class Judgement:
    """The verdict on every pair under a protocol.

    Attributes:
        tried: Pairs that count.
        wrong: Tried pairs with any error.
        captured: Tried pairs taken for the class of their background, which is another than the foreground's.
    """

    tried: Bool[np.ndarray, "f b"]
    wrong: Bool[np.ndarray, "f b"]
    captured: Bool[np.ndarray, "f b"]

    def fooled(self, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
        """Give the pairs that reach a criterion."""
        return {"any": self.wrong, "targeted": self.captured}[criterion]

    @property
    def rows(self) -> Bool[np.ndarray, " f"]:
        """Foregrounds that were tried at all: the others are no part of any share."""
        return np.asarray(self.tried.any(axis=1))


def judge(pairs: PairPredictions, protocol: Protocol | None = None) -> Judgement:
    """Judge every pair: the one place that says what fooling means.

    Args:
        pairs: The matrix.
        protocol: Which pairs count; None takes those the matrix was made for.

    Raises:
        BadInput: If the protocol asks for pairs that the matrix does not hold.
    """
    tried = pairs.allowed(protocol or pairs.protocol)
    lacking = int((tried & (np.asarray(pairs.native) == NOT_EVALUATED)).sum())
    if lacking:
        raise BadInput(
            f"expected every pair of {protocol or pairs.protocol} in the matrix of {pairs.model} on {pairs.dataset}, "
            f"but {lacking} were not evaluated (it was made for {pairs.protocol}); search again with that protocol"
        )
    if not tried.any():
        raise BadInput(f"expected pairs to judge under {protocol or pairs.protocol}, got none; widen the protocol")
    answers, own, other = pairs.answers(), pairs.foregrounds.labels[:, None], pairs.backgrounds.labels
    wrong, captured = (tried & succeeds(criterion, answers, own, other) for criterion in CRITERIA)
    return Judgement(tried, wrong, captured)


def vulnerability(pairs: PairPredictions, protocol: Protocol | None = None) -> pd.DataFrame:
    """Give the share of foregrounds that some background fools, by both notions, and the challenge's accuracy.

    Challenge accuracy is the share of foregrounds that no background fools (the release's README).

    Returns:
        One row: ``[model, dataset, n, backgrounds]``, then ``vulnerable_any``, ``vulnerable_targeted`` and
        ``challenge_accuracy``, each with ``_low`` and ``_high`` (Wilson).
    """
    judged = judge(pairs, protocol)
    n = int(judged.rows.sum())
    row: dict[str, Any] = {"model": pairs.model, "dataset": pairs.dataset, "n": n}
    row["backgrounds"] = int(judged.tried.any(axis=0).sum())
    fooled_any = int(judged.wrong.any(axis=1).sum())
    counts = {
        "vulnerable_any": fooled_any,
        "vulnerable_targeted": int(judged.captured.any(axis=1).sum()),
        "challenge_accuracy": n - fooled_any,
    }
    for name, count in counts.items():
        low, high = share_interval(np.array([count]), np.array([n]))
        row |= {name: count / n, f"{name}_low": low[0], f"{name}_high": high[0]}
    return pd.DataFrame([row])


def per_class_totals(pairs: PairPredictions, protocol: Protocol | None = None) -> pd.DataFrame:
    """Give, for each class, the share of other-class foregrounds that some background of it captures.

    Noise or Signal, Figures 3 and 22-29 ("total"): 3,600 foregrounds of other classes in the release.

    Returns:
        One row a class with backgrounds: ``[label, class, n, fooled, total, total_low, total_high]``.
    """
    judged = judge(pairs, protocol)
    rows = []
    for label in np.unique(pairs.backgrounds.labels).tolist():
        of_class = pairs.backgrounds.labels == label
        others = (pairs.foregrounds.labels != label) & judged.tried[:, of_class].any(axis=1)
        fooled = judged.captured[:, of_class].any(axis=1)
        rows.append((label, _class_name(pairs, label), int(others.sum()), int(fooled.sum())))
    table = pd.DataFrame(rows, columns=["label", "class", "n", "fooled"])
    return with_share(table, "fooled", "total")


def fooling_rates(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Give each background's fooling rate: the share of foregrounds it was tried on that it fools.

    Under ``targeted`` only foregrounds of other classes count, as in Noise or Signal, Figure 4.

    Returns:
        One row a background: ``[background, label, class, n, fooled, rate, rate_low, rate_high]``.
    """
    judged = judge(pairs, protocol)
    counted = _counted(pairs, judged, criterion)
    table = pd.DataFrame(
        {
            "background": list(pairs.backgrounds.ids),
            "label": pairs.backgrounds.labels,
            "class": [_class_name(pairs, label) for label in pairs.backgrounds.labels.tolist()],
            "n": counted.sum(axis=0),
            "fooled": judged.fooled(criterion).sum(axis=0),
        }
    )
    return with_share(table.loc[table["n"] > 0].reset_index(drop=True), "fooled", "rate")


def top_backgrounds(
    pairs: PairPredictions, protocol: Protocol | None = None, *, k: int = 5, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Give the most adversarial backgrounds of each class (Noise or Signal, Figures 3 and 22-29).

    Returns:
        The rows of `fooling_rates`, ``k`` a class, best first, ties in the set's order, with their ``rank`` from 1.
    """
    rates = fooling_rates(pairs, protocol, criterion=criterion)
    ordered = rates.sort_values(["label", "rate"], ascending=[True, False], kind="stable")
    rank = ordered.groupby("label").cumcount() + 1
    return ordered.assign(rank=rank).loc[rank <= k].reset_index(drop=True)


def rate_histogram(
    pairs: PairPredictions, protocol: Protocol | None = None, *, width: float = 0.05, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Count the backgrounds of each class by their fooling rate (Noise or Signal, Figure 4).

    Args:
        pairs: The matrix.
        protocol: Which pairs count.
        width: Of a bin, in (0, 1].
        criterion: Which notion of fooling.

    Returns:
        ``[label, class, low, high, count]``; bins are half-open, the last one closed, empty ones included.
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
    """Give, for each class of foregrounds on each class of backgrounds, the share of pairs that fool.

    Returns:
        ``[foreground_class, background_class, n, fooled, rate]``; NaN where no pair counts (under ``targeted``
        the diagonal).
    """
    judged = judge(pairs, protocol)
    counted, fooled = _counted(pairs, judged, criterion), judged.fooled(criterion)
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
    """Give the foregrounds that the most backgrounds fool, most first; ties in the set's order.

    Returns:
        At most ``k`` rows ``[scene, label, class, right_on_original, n, fooled, rate]``.
    """
    judged = judge(pairs, protocol)
    table = pd.DataFrame(
        {
            "scene": list(pairs.foregrounds.ids),
            "label": pairs.foregrounds.labels,
            "class": [_class_name(pairs, label) for label in pairs.foregrounds.labels.tolist()],
            "right_on_original": pairs.right,
            "n": _counted(pairs, judged, criterion).sum(axis=1),
            "fooled": judged.fooled(criterion).sum(axis=1),
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
    """Give the share of vulnerable foregrounds when only so many backgrounds, drawn at random, are tried.

    Exact, not sampled: of a foreground's m candidates h fool it, so a random subset of k misses with probability
    C(m - h, k) / C(m, k). Numbers from searches of different size can so be compared.

    Args:
        pairs: The matrix.
        protocol: Which pairs count.
        counts: How many candidates; () takes 1, 2, 5, 10, … and all. Where a foreground has fewer, it takes all.
        criterion: Which notion of fooling. Under ``targeted``, candidates of the foreground's class never fool.

    Returns:
        ``[candidates, n, vulnerable, vulnerable_low, vulnerable_high]``; the interval is over foregrounds.
    """
    judged = judge(pairs, protocol)
    rows = judged.rows
    total = judged.tried[rows].sum(axis=1)
    hits = judged.fooled(criterion)[rows].sum(axis=1)
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
    """Say how far what fools one model fools another, on the pairs that both were tried on.

    Args:
        source: The model whose fooling backgrounds are taken.
        target: The model they are shown to.
        protocol: Which pairs count.
        criterion: Which notion of fooling.
        k: Size of the lists of most adversarial backgrounds of a class that are compared.

    Returns:
        One row: ``source, target``; ``n`` pairs that fool the source, and the share of them that fools the target
        (``transferred``, ``transferred_low``, ``transferred_high``); ``base_rate``, the share of all pairs that
        fools the target; ``overlap``, pairs that fool both over pairs that fool either; ``vulnerable_both``, the
        share of foregrounds vulnerable in both; ``rank_correlation`` of the backgrounds' rates (Spearman; NaN where
        all are equal) and ``top_overlap``, the mean share of the ``k`` worst of a class that both lists name.

    Raises:
        BadInput: If the two were not tried on the same foregrounds and backgrounds, in the same order.
    """
    if source.foregrounds.ids != target.foregrounds.ids or source.backgrounds.ids != target.backgrounds.ids:
        raise BadInput(
            f"expected two models on the same foregrounds and backgrounds, got {source.model} on {source.dataset} and "
            f"{target.model} on {target.dataset}; search both on one set"
        )
    first, second = judge(source, protocol), judge(target, protocol)
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
    """Count the images that the reference's loop classifies: backgrounds in file order up to the first success.

    Args:
        pairs: The matrix.
        protocol: Which pairs count.
        criterion: Which notion of success ends a foreground's search.
        batch_size: Images a forward pass; the loop ends with the batch that holds the success (the reference: 32).
    """
    judged = judge(pairs, protocol)
    fooled = judged.fooled(criterion)
    place = np.cumsum(judged.tried, axis=1)  # how many of its candidates a foreground has seen up to each column
    first = np.argmax(fooled, axis=1)
    needed = np.where(fooled.any(axis=1), place[np.arange(len(first)), first], place[:, -1])
    whole = np.minimum(-(-needed // batch_size) * batch_size, place[:, -1])
    return int(whole.sum())


def summarise(pairs: PairPredictions, protocol: Protocol | None = None) -> dict[str, Any]:
    """Give the numbers of `bglab search --json`, as json can hold them."""
    row = vulnerability(pairs, protocol).iloc[0]
    totals = per_class_totals(pairs, protocol)
    numbers = {name: row[name].item() for name in row.index if name not in {"model", "dataset"}}
    return {
        "model": pairs.model,
        "dataset": pairs.dataset,
        **numbers,
        "per_class_total": dict(zip(totals["class"], totals["total"].tolist(), strict=True)),
        "accuracy_original": float(pairs.right[judge(pairs, protocol).rows].mean()),
    }


def _class_name(pairs: PairPredictions, label: int) -> str:
    return pairs.classes[label] if label != OUTSIDE else "(outside)"


def _counted(pairs: PairPredictions, judged: Judgement, criterion: Criterion) -> Bool[np.ndarray, "f b"]:
    """Mark the pairs that make up the denominator of a fooling rate."""
    if criterion == "any":
        return judged.tried
    return judged.tried & (pairs.foregrounds.labels[:, None] != pairs.backgrounds.labels)


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
    """Give the mean share, over classes, of the k worst backgrounds that both lists name."""
    first, second = (top_backgrounds(pairs, protocol, k=k, criterion=criterion) for pairs in (source, target))
    shares = []
    for label, group in first.groupby("label"):
        others = set(second.loc[second["label"] == label, "background"])
        shares.append(len(others & set(group["background"])) / len(group))
    return float(np.mean(shares))
