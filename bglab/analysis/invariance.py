"""Metrics of Time for a Background Check!: accuracy relative to a baseline model, and nested ticks (Table 1).

Prediction tables go in, small tables of fractions in [0, 1] come out. Random variants may have several draws
(``on_texture``, ``on_texture~1``, …); accuracies are averaged over these and their standard deviation is reported.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool
from statsmodels.stats.proportion import proportion_confint

from bglab.analysis._grouping import iterate_groups
from bglab.analysis.clusters import design_effect, row_clusters
from bglab.analysis.correctness import mark_correct
from bglab.analysis.intervals import Difference, mean_difference
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.names import split_draw

_KEYS = ["model", "dataset", "variant"]
_MEASURES = ("top1", "top5")

#: Means over draws of each scene, with a column per measure, by model, data set and variant.
_Scenes = dict[tuple[object, ...], pd.DataFrame]


def split_draws(predictions: pd.DataFrame) -> pd.DataFrame:
    """Split draw numbers off variant names: ``on_texture~1`` becomes ``variant`` ``on_texture`` and ``draw`` 1."""
    codes, names = pd.factorize(predictions["variant"])
    parts = [split_draw(str(name)) for name in names]
    variants, draws = (np.array(column)[codes] for column in zip(*parts, strict=True))
    return predictions.assign(variant=variants, draw=draws)


def variant_accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Compute the accuracy of each model on each variant, averaged over the draws of random variants.

    Args:
        predictions: One row per image and model.

    Returns:
        One row per model, data set and variant: ``[model, dataset, variant, n, draws, top1, top1_low, top1_high,
        top1_spread, top5, top5_spread, top5_low, top5_high]``. ``n`` counts the images of one draw; accuracies are in
        [0, 1]; limits are Wilson's 95 % interval for ``n`` images, fewer where copies show one object (see
        `bglab.analysis.row_clusters`); ``*_spread`` is the standard deviation over draws, NaN for one draw.

    Raises:
        BadInput: If the table is empty, lacks a column, or the draws of a variant differ in their number of images.
    """
    return _accuracies(_marked(predictions))[0]


def relative_accuracies(predictions: pd.DataFrame, baseline: str, *, reference: str = "original") -> pd.DataFrame:
    """Compare the accuracies of each model with its accuracy on unmodified images and with a baseline model.

    The paper reports accuracies relative to ResNet-18, because labels are noisy (Appendix A), and orders models by
    accuracy on unmodified images (Figures 2, 4 and 5).

    Args:
        predictions: One row per image and model.
        baseline: Model that the others are compared with.
        reference: Variant of unmodified images.

    Returns:
        The columns of `variant_accuracies` and, for ``top1`` and ``top5`` each, ``*_reference`` (this model on the
        reference), ``*_drop`` (reference minus variant), ``*_baseline`` (the baseline on the same variant) and
        ``*_gain`` (this model minus the baseline); ``rank`` orders models by reference accuracy, 0 for the lowest.
        Last come the 95 % limits of drops and gains, paired by scene (see `bglab.analysis.mean_difference`); both are 0
        where a model is compared with itself on the same images. Rows are sorted by rank; models without predictions
        on the reference are left out.

    Raises:
        UnknownName: If the baseline or the reference is not in the table.
        BadInput: See `variant_accuracies`.
    """
    table, scenes = _accuracies(_marked(predictions))
    models, variants = (table[column].unique().tolist() for column in ("model", "variant"))
    if baseline not in models:
        raise UnknownName(unknown_name("model", baseline, models))
    if reference not in variants:
        raise UnknownName(unknown_name("variant", reference, variants))
    measures = list(_MEASURES)
    own = table.loc[table["variant"] == reference, ["model", "dataset", *measures]]
    base = table.loc[table["model"] == baseline, ["dataset", "variant", *measures]]
    table = table.merge(own, on=["model", "dataset"], suffixes=("", "_reference"))
    table = table.merge(base, on=["dataset", "variant"], how="left", suffixes=("", "_baseline"))
    for measure in measures:
        table[f"{measure}_drop"] = table[f"{measure}_reference"] - table[measure]
        table[f"{measure}_gain"] = table[measure] - table[f"{measure}_baseline"]
    order = own.sort_values("top1", kind="stable")["model"].drop_duplicates().tolist()
    table["rank"] = pd.Index(order).get_indexer(pd.Index(table["model"]))
    table = table.sort_values("rank", kind="stable", ignore_index=True)
    limits = [_paired_limits(scenes, row, baseline, reference) for row in table.to_dict("records")]
    return table.join(pd.DataFrame(limits, index=table.index))


def mean_of_runs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average accuracies over runs: models trained alike from different seeds.

    Section 3 averages three runs for Caltech101.

    Args:
        predictions: Predictions for one task, where every model is a run. Runs may have test splits of their own.

    Returns:
        One row per variant: ``[variant, runs, n, top1, top1_spread, top1_lowest, top1_highest]``. ``n`` counts images
        over all runs; ``top1`` is the mean accuracy in [0, 1], ``top1_spread`` the standard deviation over runs (NaN
        for one run), the last two columns the range. There is no interval: few runs do not support one for the mean
        over seeds, and one over images would leave the seeds out.
    """
    runs = variant_accuracies(predictions)
    groups = runs.groupby("variant", sort=False)
    return pd.DataFrame(
        {
            "runs": groups["model"].nunique(),
            "n": groups["n"].sum(),
            "top1": groups["top1"].mean(),
            "top1_spread": groups["top1"].std(),
            "top1_lowest": groups["top1"].min(),
            "top1_highest": groups["top1"].max(),
        }
    ).reset_index()


def nested_images(predictions: pd.DataFrame, models: Sequence[str], *, variant: str = "white_fg") -> pd.DataFrame:
    """Find images that some model classifies correctly and every stronger model does, too (Table 1).

    Table 1 shows one image for each of seven models: the weakest model recognises one class from the background alone,
    the next two, and so on.

    Args:
        predictions: One row per image and model.
        models: Models in order of strength, weakest first.
        variant: Variant that shows backgrounds only.

    Returns:
        One row per nested image: ``[dataset, scene, label, first, step]``. ``first`` is the weakest model that is
        correct and ``step`` its position in ``models``. Images that no model, or not every stronger model, classifies
        correctly are left out.

    Raises:
        BadInput: If a model has no predictions on the variant.
    """
    table = _correctness(predictions, models, variant)
    correct = table[list(models)].to_numpy(bool)
    first = correct.argmax(axis=1)
    nested = correct.any(axis=1) & (correct == (np.arange(len(models)) >= first[:, None])).all(axis=1)
    found = table.loc[nested, ["dataset", "scene", "label"]]
    steps = first[nested]
    return found.assign(first=[models[step] for step in steps], step=steps).reset_index(drop=True)


def tick_table(
    predictions: pd.DataFrame,
    models: Sequence[str],
    *,
    variant: str = "white_fg",
    scenes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Tabulate which model classifies which background correctly, as the ticks of Table 1 do.

    Args:
        predictions: One row per image and model.
        models: Models in order of strength, weakest first.
        variant: Variant that shows backgrounds only.
        scenes: Scenes to show; None takes the first of `nested_images` for each model that has one.

    Returns:
        One row per model, in the given order, and one bool column per scene, True for a correct prediction.

    Raises:
        BadInput: If a model has no predictions on the variant, or not every model has one for a scene.
    """
    chosen = scenes
    if chosen is None:
        nested = nested_images(predictions, models, variant=variant)
        chosen = nested.drop_duplicates("step").sort_values("step")["scene"].tolist()
    table = _correctness(predictions, models, variant).set_index("scene")
    for scene in chosen:
        if scene not in table.index:
            raise BadInput(
                f"expected predictions of all models for {scene} on '{variant}', got none; choose other scenes"
            )
    return table.loc[list(chosen), list(models)].astype(bool).T.rename_axis("model")


def _marked(predictions: pd.DataFrame) -> pd.DataFrame:
    marked = mark_correct(split_draws(predictions))
    return marked.assign(top1=marked["correct"].astype(float), top5=marked["in_top5"])


def _accuracies(marked: pd.DataFrame) -> tuple[pd.DataFrame, _Scenes]:
    """Compute the table of `variant_accuracies`, and the means over draws of each scene that it summarises."""
    single = marked.groupby([*_KEYS, "draw"], sort=False).agg(
        n=("top1", "size"), top1=("top1", "mean"), top5=("top5", lambda hits: hits.mean(skipna=False))
    )
    single = single.reset_index()
    groups = single.groupby(_KEYS, sort=False)
    first = groups["n"].transform("first")
    uneven = single.assign(first=first).loc[single["n"].to_numpy() != first.to_numpy()]
    if len(uneven):
        worst = uneven.iloc[0]
        raise BadInput(
            f"expected draws of {worst['variant']} with equally many images for {worst['model']}, "
            f"got {worst['first']} and {worst['n']}; evaluate that variant again"
        )
    table = pd.DataFrame({"n": groups["n"].first(), "draws": groups["draw"].size()})
    for measure in _MEASURES:
        table[measure] = groups[measure].mean()
        table[f"{measure}_spread"] = groups[measure].std()
    table = table.reset_index()
    scenes: _Scenes = {}
    for key, group in iterate_groups(marked, _KEYS):
        names, codes = np.unique(group["scene"].to_numpy(str), return_inverse=True)
        counts = np.bincount(codes)
        means = {m: np.bincount(codes, weights=group[m].to_numpy(float)) / counts for m in _MEASURES}
        scenes[key] = pd.DataFrame(means, index=names)
    for measure in _MEASURES:
        shares = table[measure].fillna(0).to_numpy()
        # draws repeat the same images, so the interval is that of one draw's number of images
        totals = table["n"].to_numpy(float) / [_effect(scenes[key], measure) for key in _keys_of(table)]
        low, high = proportion_confint(shares * totals, totals, method="wilson")
        known = table[measure].notna()
        table[f"{measure}_low"], table[f"{measure}_high"] = np.where(known, low, np.nan), np.where(known, high, np.nan)
    ends = ["top1", "top1_low", "top1_high", "top1_spread", "top5", "top5_spread", "top5_low", "top5_high"]
    return table.reindex(columns=[*_KEYS, "n", "draws", *ends]), scenes


def _keys_of(table: pd.DataFrame) -> list[tuple[object, ...]]:
    return list(table[_KEYS].itertuples(index=False, name=None))


def _effect(scenes: pd.DataFrame, measure: str) -> float:
    """Compute the design effect of a mean over scenes, of which several may show one object."""
    values = scenes[measure].to_numpy(float)
    return 1.0 if np.isnan(values).any() else design_effect(values - values.mean(), row_clusters(scenes.index)[0])


def _paired_limits(scenes: _Scenes, row: Mapping[Hashable, Any], baseline: str, reference: str) -> dict[str, float]:
    """Compute the limits of drop and gain of one row of `relative_accuracies`, for both measures."""
    model, dataset, variant = (row[key] for key in _KEYS)
    own = scenes[model, dataset, variant]
    sides = {"drop": (scenes[model, dataset, reference], own), "gain": (own, scenes.get((baseline, dataset, variant)))}
    found = {}
    for measure, (name, (first, second)) in itertools.product(_MEASURES, sides.items()):
        low = high = math.nan
        if first is second:
            low = high = 0.0
        elif second is not None and not math.isnan(row[f"{measure}_{name}"]):
            _, low, high = _scene_difference(first, second, measure)
        found |= {f"{measure}_{name}_low": low, f"{measure}_{name}_high": high}
    return found


def _scene_difference(first: pd.DataFrame, second: pd.DataFrame, measure: str) -> Difference:
    """Compute the difference of two means over scenes, paired by scene."""
    both = pd.concat([first[measure], second[measure]], axis=1)
    values = both.to_numpy(float).T
    counts = (~np.isnan(values)).sum(axis=1, keepdims=True)
    x, y = np.nan_to_num((values - np.nanmean(values, axis=1, keepdims=True)) / counts)
    return mean_difference(*values, design_effect=design_effect(x - y, row_clusters(both.index)[0]))


def _correctness(predictions: pd.DataFrame, models: Sequence[str], variant: str) -> pd.DataFrame:
    """Pivot correctness to one row per image with predictions of all models, and one column per model."""
    marked = mark_correct(predictions)
    marked = marked.loc[marked["variant"] == variant]
    seen = set(marked["model"])
    for model in models:
        if model not in seen:
            raise BadInput(
                f"expected predictions of {model} on '{variant}', got only {', '.join(sorted(seen))}; predict it first"
            )
    wide = marked.pivot_table(
        index=["dataset", "scene", "label"], columns="model", values="correct", aggfunc="first", sort=False
    )
    complete: Bool[np.ndarray, " n"] = wide[list(models)].notna().all(axis=1).to_numpy()
    return wide.loc[complete, list(models)].reset_index()
