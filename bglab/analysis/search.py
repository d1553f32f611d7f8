"""Summarise a pair matrix: vulnerable foregrounds, fooling rates of backgrounds, pairs of classes.

Everything is computed from stored predictions; no forward pass and no torch are needed. What counts as fooling is in
`bglab.analysis.pair_outcomes`. Shares are fractions in [0, 1] with Wilson's 95 % intervals. These are over foregrounds,
given the backgrounds that were tried; foregrounds that are copies of one object are a cluster (see
`bglab.analysis.row_clusters`). Only a share over many foregrounds *and* backgrounds has an interval over both.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from bglab.analysis._grouping import with_share
from bglab.analysis.clusters import clustered_share, crossed_share, design_effect
from bglab.analysis.pair_outcomes import class_name, counted_pairs, foreground_objects, pair_outcomes
from bglab.errors import BadInput
from bglab.results import Criterion, PairPredictions, Protocol


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
    searched = outcomes.searched
    objects = foreground_objects(pairs)[searched]
    row: dict[str, Any] = {"model": pairs.model, "dataset": pairs.dataset, "n": int(searched.sum())}
    row["backgrounds"] = int(outcomes.tried.any(axis=0).sum())
    fooled = np.asarray(outcomes.wrong.any(axis=1))
    shares = {
        "vulnerable_any": fooled,
        "vulnerable_targeted": np.asarray(outcomes.captured.any(axis=1)),
        "challenge_accuracy": ~fooled,
    }
    for name, chosen in shares.items():
        ends = (name, f"{name}_low", f"{name}_high")
        row |= zip(ends, clustered_share(chosen[searched].astype(float), objects), strict=True)
    return pd.DataFrame([row])


def per_class_totals(pairs: PairPredictions, protocol: Protocol | None = None) -> pd.DataFrame:
    """Compute for each class the share of foregrounds of other classes that any of its backgrounds captures.

    These are the totals of Noise or Signal, Figures 3 and 22-29, over 3,600 foregrounds of other classes per class.

    Returns:
        One row per class that has backgrounds: ``[label, class, n, fooled, total, total_low, total_high]``; ``total``
        is ``fooled / n`` in [0, 1] with Wilson's 95 % interval. The criterion is ``targeted``.
    """
    outcomes, objects = pair_outcomes(pairs, protocol), foreground_objects(pairs)
    rows = []
    for label in np.unique(pairs.backgrounds.labels).tolist():
        of_class = pairs.backgrounds.labels == label
        others = (pairs.foregrounds.labels != label) & outcomes.tried[:, of_class].any(axis=1)
        fooled = np.asarray(outcomes.captured[:, of_class].any(axis=1))
        share = clustered_share(fooled[others].astype(float), objects[others])
        rows.append((label, class_name(pairs, label), int(others.sum()), int(fooled.sum()), *share))
    return pd.DataFrame(rows, columns=["label", "class", "n", "fooled", "total", "total_low", "total_high"])


def fooling_rates(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Compute the fooling rate of each background: the share of foregrounds tried on it that it fools.

    Under ``targeted`` only foregrounds of other classes count, as in Noise or Signal, Figure 4.

    Returns:
        One row per background: ``[background, label, class, n, fooled, rate, rate_low, rate_high]``; ``rate`` is
        ``fooled / n`` in [0, 1] with Wilson's 95 % interval, which is that of a background chosen in advance.
        Backgrounds without a counted foreground are left out.
    """
    outcomes = pair_outcomes(pairs, protocol)
    counted, fooled = counted_pairs(pairs, outcomes, criterion), outcomes.fooled(criterion)
    table = pd.DataFrame(
        {
            "background": list(pairs.backgrounds.ids),
            "label": pairs.backgrounds.labels,
            "class": [class_name(pairs, label) for label in pairs.backgrounds.labels.tolist()],
            "n": counted.sum(axis=0),
            "fooled": fooled.sum(axis=0),
        }
    )
    effects = _column_effects(fooled, counted, foreground_objects(pairs))
    table = with_share(table, "fooled", "rate", effects)
    return table.loc[table["n"] > 0].reset_index(drop=True)


def top_backgrounds(
    pairs: PairPredictions, protocol: Protocol | None = None, *, k: int = 5, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """List the most adversarial backgrounds of each class (Noise or Signal, Figures 3 and 22-29).

    Returns:
        Up to ``k`` rows of `fooling_rates` per class, by falling rate, with a ``rank`` from 1; ties keep the order of
        the data set. The highest of many rates are biased upwards, which their intervals do not take into account.
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
        name = class_name(pairs, label)
        rows += [(label, name, *edge, int(count)) for edge, count in zip(edges, counts, strict=True)]
    return pd.DataFrame(rows, columns=["label", "class", "low", "high", "count"])


def class_heat_map(
    pairs: PairPredictions, protocol: Protocol | None = None, *, criterion: Criterion = "targeted"
) -> pd.DataFrame:
    """Compute the share of fooled pairs for each class of foregrounds on each class of backgrounds.

    Returns:
        One row per pair of classes: ``[foreground_class, background_class, n, fooled, rate, rate_low, rate_high]``;
        ``rate`` is in [0, 1], NaN where no pair counts (the diagonal under ``targeted``). The 95 % interval is over
        foregrounds and backgrounds, NaN with fewer than ten of either; see `bglab.analysis.crossed_share`.
    """
    outcomes = pair_outcomes(pairs, protocol)
    counted, fooled = counted_pairs(pairs, outcomes, criterion), outcomes.fooled(criterion)
    objects = foreground_objects(pairs)
    rows = []
    for front in np.unique(pairs.foregrounds.labels).tolist():
        of_front = pairs.foregrounds.labels == front
        for back in np.unique(pairs.backgrounds.labels).tolist():
            block = np.ix_(of_front, pairs.backgrounds.labels == back)
            names = class_name(pairs, front), class_name(pairs, back)
            share = crossed_share(fooled[block], counted[block], objects[of_front])
            rows.append((*names, int(counted[block].sum()), int(fooled[block].sum()), *share))
    classes = ["foreground_class", "background_class"]
    return pd.DataFrame(rows, columns=[*classes, "n", "fooled", "rate", "rate_low", "rate_high"])


def hardest_foregrounds(
    pairs: PairPredictions, protocol: Protocol | None = None, *, k: int = 10, criterion: Criterion = "any"
) -> pd.DataFrame:
    """List the foregrounds that the largest share of backgrounds fools.

    Returns:
        Up to ``k`` rows ``[scene, label, class, right_on_original, n, fooled, rate, rate_low, rate_high]`` by falling
        rate, in [0, 1]; ties keep the order of the data set. ``right_on_original`` tells whether the original image is
        classified correctly. The 95 % interval is Wilson's over backgrounds, for a foreground chosen in advance.
    """
    outcomes = pair_outcomes(pairs, protocol)
    table = pd.DataFrame(
        {
            "scene": list(pairs.foregrounds.ids),
            "label": pairs.foregrounds.labels,
            "class": [class_name(pairs, label) for label in pairs.foregrounds.labels.tolist()],
            "right_on_original": pairs.correct,
            "n": counted_pairs(pairs, outcomes, criterion).sum(axis=1),
            "fooled": outcomes.fooled(criterion).sum(axis=1),
        }
    )
    table = with_share(table.loc[table["n"] > 0], "fooled", "rate")
    return table.sort_values("rate", ascending=False, kind="stable").head(k).reset_index(drop=True)


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
    """Return the numbers of ``bglab search --json`` as types that JSON can hold.

    The intervals of ``per_class_total`` are in `per_class_totals`, that of ``accuracy_original`` in
    `bglab.analysis.accuracy`.
    """
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


def _column_effects(
    fooled: Bool[np.ndarray, "f b"], counted: Bool[np.ndarray, "f b"], objects: Int[np.ndarray, " f"]
) -> list[float]:
    """Compute the design effect of the rate of each background; 1 without copies."""
    if objects.max() + 1 == len(objects):
        return [1.0] * counted.shape[1]
    effects = []
    for column in range(counted.shape[1]):
        inside = counted[:, column]
        values = fooled[inside, column].astype(float)
        effects.append(design_effect(values - values.mean(), objects[inside]) if len(values) else 1.0)
    return effects
