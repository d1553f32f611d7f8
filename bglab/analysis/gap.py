"""The background gap of all predictions in a results folder, and which of them lack one of its two variants."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from bglab.analysis.correctness import grouping_columns
from bglab.analysis.metrics import accuracy, background_gap
from bglab.errors import BadInput

_RUN = ["model", "dataset"]


class Gaps(NamedTuple):
    """Background gaps, and what was left out.

    Attributes:
        table: One row per group: ``[*by, n, mixed_same, <minus>, gap, gap_low, gap_high, p]``, as in `background_gap`;
            empty if no model has both variants of one data set.
        skipped: One row per model and data set that lacks a variant: ``[model, dataset, missing]``.
        unpaired: One row per model and data set in which scenes have only one variant: ``[model, dataset, scenes]``,
            with their number; these scenes are left out.
    """

    table: pd.DataFrame
    skipped: pd.DataFrame
    unpaired: pd.DataFrame


def collect_gaps(
    predictions: pd.DataFrame, *, minus: str = "mixed_rand", by: str | Sequence[str] = ("model", "dataset")
) -> Gaps:
    """Compute accuracy on Mixed-Same minus accuracy on another variant for each group of a results folder.

    Two images are paired only if they show the same scene, were classified by the same model, and are of the same data
    set: composed and published images, seeds and sizes are different data sets (see `bglab.variants.Dataset.key`).

    Args:
        predictions: One row per image and model, of any variants.
        minus: Variant that is subtracted.
        by: Columns to group by. Models and data sets that are not among them are pooled.

    Raises:
        BadInput: If ``minus`` is Mixed-Same itself, or a pooled group has several rows for one scene, which would count
            it several times.
        UnknownName: If a column of ``by`` does not exist.

    Example:
        >>> image = {"model": "m", "dataset": "d", "scene": "s", "label": 0, "space": "in9"}
        >>> same, rand = ({**image, "variant": name} for name in ("mixed_same", "mixed_rand"))
        >>> collect_gaps(pd.DataFrame([{**same, "prediction": 0}, {**rand, "prediction": 1}])).table["gap"].item()
        1.0
    """
    same = "mixed_same"
    if minus == same:
        raise BadInput(f"expected another variant than {same} to subtract from it; choose mixed_rand or mixed_next")
    columns = grouping_columns(predictions, by)
    runs = predictions[_RUN].drop_duplicates()
    both = predictions.loc[predictions["variant"].isin([same, minus])]
    variants = both.groupby([*_RUN, "scene"], sort=False)["variant"].transform("nunique")
    paired, single = both.loc[variants == 2], both.loc[variants < 2]
    found = set(paired[_RUN].itertuples(index=False, name=None))
    skipped = [
        (*run, _missing(predictions, run, (same, minus)))
        for run in runs.itertuples(index=False, name=None)
        if run not in found
    ]
    left_out = [
        (*run, int(number))
        for run, number in single.groupby(_RUN, sort=False)["scene"].nunique().items()
        if run in found
    ]
    names = {"same": same, "rand": minus}
    shown = [*columns, "n", *names.values(), "gap", "gap_low", "gap_high", "p"]
    table = pd.DataFrame(columns=shown)
    if len(paired):
        table = background_gap(paired, same=same, rand=minus, by=columns).rename(columns=names).reindex(columns=shown)
    return Gaps(
        table,
        pd.DataFrame(skipped, columns=[*_RUN, "missing"]),
        pd.DataFrame(left_out, columns=[*_RUN, "scenes"]),
    )


def gap_by_mask(
    predictions: pd.DataFrame, *, by: str | Sequence[str] = ("model", "mask", "radius", "feather")
) -> pd.DataFrame:
    """Compute the background gap, and the accuracy of its cut-and-paste control, for each mask.

    Only scenes count that have all variants with every mask: Original, Mixed-Same, Mixed-Rand and On-Own-Tiled, the
    object on the tiled background of its own image.

    Args:
        predictions: From `bglab.evaluation.mask_predictions`, of one data set or several.
        by: Columns to group by, without ``variant``; data sets that are not among them are pooled.

    Returns:
        One row per group: ``[*by, n, original, mixed_same, mixed_rand, on_own_tiled, on_own_tiled_low,
        on_own_tiled_high, gap, gap_low, gap_high, p, kept, mask_area, emptied]``. Accuracies and gap are as in
        `accuracy` and `background_gap`, with 95 % intervals of Wilson and Newcombe. ``kept`` is the mean over scenes of
        the mask's pixels after erosion or dilation, divided by those before; ``mask_area`` the mean fraction of the
        image that they cover; ``emptied`` counts scenes of which nothing is left.

    Raises:
        BadInput: If no scene has all variants, or a scene occurs twice in a group.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = grouping_columns(predictions, by)
    whole = _complete(predictions)
    gaps = background_gap(whole, by=columns).rename(columns={"same": "mixed_same", "rand": "mixed_rand"})
    scores = accuracy(whole, by=[*columns, "variant"])
    control = scores.loc[scores["variant"] == "on_own_tiled", [*columns, "top1", "top1_low", "top1_high"]]
    control = control.rename(columns=lambda name: name.replace("top1", "on_own_tiled"))
    original = scores.loc[scores["variant"] == "original", [*columns, "top1"]].rename(columns={"top1": "original"})
    cut = whole.loc[whole["variant"] == "on_own_tiled"].assign(emptied=lambda rows: rows["kept"] == 0)
    groups = cut.groupby(columns, sort=False)
    sizes = groups.agg(kept=("kept", "mean"), mask_area=("mask_area", "mean"), emptied=("emptied", "sum")).reset_index()
    table = gaps.merge(original, on=columns).merge(control, on=columns).merge(sizes, on=columns)
    shown = [
        "n", "original", "mixed_same", "mixed_rand", "on_own_tiled", "on_own_tiled_low", "on_own_tiled_high", "gap",
        "gap_low", "gap_high", "p", "kept", "mask_area", "emptied",
    ]  # fmt: skip
    return table.reindex(columns=[*columns, *shown])


def _complete(predictions: pd.DataFrame) -> pd.DataFrame:
    """Keep the scenes of each model and data set that have every variant with every mask."""
    cells = predictions[["variant", "mask", "radius", "feather"]].drop_duplicates()
    counts = predictions.groupby([*_RUN, "scene"], sort=False)["variant"].transform("size").to_numpy(np.int64)
    whole = predictions.loc[counts >= len(cells)]
    if whole.empty:
        raise BadInput("expected scenes with every variant and mask, got none; use a set with several scenes per class")
    return whole


def _missing(predictions: pd.DataFrame, run: tuple[object, ...], wanted: Sequence[str]) -> str:
    """Name the variants that a model and data set lack; if they have both, they have no scene in common."""
    of_run = (predictions[_RUN] == list(run)).all(axis=1)
    there = set(predictions.loc[of_run, "variant"])
    return " and ".join(name for name in wanted if name not in there) or "a scene with both variants"
