"""What Time for a Background Check! reads off prediction tables: accuracies beside a baseline, and nested ticks.

Pure functions from prediction tables to small tables of fractions in [0, 1]. Random variants may be there in several
draws (``on_texture``, ``on_texture~1``, …); they are averaged here, and their spread is reported.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from statsmodels.stats.proportion import proportion_confint

from bglab.analysis.metrics import accuracy, mark_correct
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.names import split_draw

_KEYS = ["model", "dataset", "variant"]


def split_draws(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give each row its variant without the number of the draw, and the number in a column ``draw``."""
    codes, names = pd.factorize(predictions["variant"])
    parts = [split_draw(str(name)) for name in names]
    variants, draws = (np.array(column)[codes] for column in zip(*parts, strict=True))
    return predictions.assign(variant=variants, draw=draws)


def variant_accuracies(predictions: pd.DataFrame) -> pd.DataFrame:
    """Give each network's accuracy on each variant, random variants averaged over their draws.

    Args:
        predictions: One row per image seen by one model.

    Returns:
        Columns ``[model, dataset, variant, n, draws, top1, top1_low, top1_high, top1_spread, top5, top5_spread]``:
        ``n`` images a draw; fractions; Wilson's 95 % interval for ``n`` images; ``*_spread`` is the standard
        deviation between draws, NaN for a single one.

    Raises:
        BadInput: If the table is empty, lacks a column, or a draw shows other images than the first.
    """
    single = accuracy(split_draws(predictions), by=[*_KEYS, "draw"])
    groups = single.groupby(_KEYS, sort=False)
    uneven = single.loc[single["n"].to_numpy() != groups["n"].transform("first").to_numpy()]
    if len(uneven):
        model, variant = uneven["model"].iloc[0], uneven["variant"].iloc[0]
        raise BadInput(
            f"expected every draw of {variant} by {model} to show as many images, got {uneven['n'].iloc[0]} in one "
            "and another number in the first; evaluate that variant again"
        )
    table = pd.DataFrame(
        {
            "n": groups["n"].first(),
            "draws": groups["draw"].size(),
            "top1": groups["top1"].mean(),
            "top1_spread": groups["top1"].std(),
            "top5": groups["top5"].mean(),
            "top5_spread": groups["top5"].std(),
        }
    ).reset_index()
    totals = table["n"].to_numpy(np.int64)
    # a mean over draws stands for as many images as one draw has: draws of the same images are no new images
    low, high = proportion_confint(table["top1"].to_numpy() * totals, totals, method="wilson")
    ends = ["top1", "top1_low", "top1_high", "top1_spread", "top5", "top5_spread"]
    return table.assign(top1_low=low, top1_high=high).reindex(columns=[*_KEYS, "n", "draws", *ends])


def relative_accuracies(predictions: pd.DataFrame, baseline: str, *, reference: str = "original") -> pd.DataFrame:
    """Set each network's accuracies beside those on unmodified images and beside a baseline network's.

    The paper reads everything relative to ResNet-18, because box labels are noisy (Appendix A), and orders networks
    by their accuracy on unmodified images (Figures 2, 4 and 5).

    Args:
        predictions: One row per image seen by one model.
        baseline: The model the others are set beside.
        reference: The variant that shows unmodified images.

    Returns:
        The columns of `variant_accuracies` and, for top1 and top5 each, ``*_reference`` (this network on the
        reference), ``*_drop`` (reference minus variant), ``*_baseline`` (the baseline on the same variant) and
        ``*_gain`` (this network minus the baseline); ``rank`` is the network's place by its reference accuracy,
        from 0 for the weakest. Rows are in that order; networks not seen on the reference are left out.

    Raises:
        UnknownName: If the baseline or the reference is not in the table.
    """
    table = variant_accuracies(predictions)
    models, variants = (table[column].unique().tolist() for column in ("model", "variant"))
    if baseline not in models:
        raise UnknownName(unknown_name("model", baseline, models))
    if reference not in variants:
        raise UnknownName(unknown_name("variant", reference, variants))
    measures = ["top1", "top5"]
    own = table.loc[table["variant"] == reference, ["model", "dataset", *measures]]
    theirs = table.loc[table["model"] == baseline, ["dataset", "variant", *measures]]
    table = table.merge(own, on=["model", "dataset"], suffixes=("", "_reference"))
    table = table.merge(theirs, on=["dataset", "variant"], how="left", suffixes=("", "_baseline"))
    for measure in measures:
        table[f"{measure}_drop"] = table[f"{measure}_reference"] - table[measure]
        table[f"{measure}_gain"] = table[measure] - table[f"{measure}_baseline"]
    order = own.sort_values("top1", kind="stable")["model"].drop_duplicates().tolist()
    table["rank"] = pd.Index(order).get_indexer(pd.Index(table["model"]))
    return table.sort_values("rank", kind="stable", ignore_index=True)


def mean_of_runs(predictions: pd.DataFrame) -> pd.DataFrame:
    """Average over runs: networks trained alike with other seeds (section 3 averages three for Caltech101).

    Args:
        predictions: Predictions of one task; every model is one run. Runs may be tested on splits of their own.

    Returns:
        Columns ``[variant, runs, n, top1, top1_spread, top1_lowest, top1_highest]``: ``n`` images over all runs,
        the mean of the runs' accuracies, their standard deviation (NaN for one run) and their range.
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
    """Find the images that become right at one network and stay right for all stronger ones (Table 1).

    Table 1 shows one image for each of seven networks: the weakest recognises one class from the background alone,
    the next two, and so on.

    Args:
        predictions: One row per image seen by one model.
        models: Networks, weakest first; every one must have seen the variant.
        variant: The background-only variant.

    Returns:
        Columns ``[dataset, scene, label, first, step]``, one row per image that some network gets right and no
        stronger one gets wrong: ``first`` is the weakest network that does, ``step`` its place in ``models``.
        Images all networks get wrong, or that a stronger one loses, are left out.

    Raises:
        BadInput: If a network has not seen the variant.
    """
    verdicts = _verdicts(predictions, models, variant)
    right = verdicts[list(models)].to_numpy(bool)
    first = right.argmax(axis=1)
    kept = right.any(axis=1) & (right == (np.arange(len(models)) >= first[:, None])).all(axis=1)
    found = verdicts.loc[kept, ["dataset", "scene", "label"]]
    steps = first[kept]
    return found.assign(first=[models[step] for step in steps], step=steps).reset_index(drop=True)


def tick_table(
    predictions: pd.DataFrame,
    models: Sequence[str],
    *,
    variant: str = "white_fg",
    scenes: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Lay out the ticks of Table 1: which network gets which image right from its background.

    Args:
        predictions: One row per image seen by one model.
        models: Networks, weakest first.
        variant: The background-only variant.
        scenes: Images to show; None takes, for each network that has one, the first of `nested_images`.

    Returns:
        One row a network, in order, and one bool column an image, True for a tick.

    Raises:
        BadInput: If a network has not seen the variant, or an image not been seen by all.
    """
    chosen = scenes
    if chosen is None:
        nested = nested_images(predictions, models, variant=variant)
        chosen = nested.drop_duplicates("step").sort_values("step")["scene"].tolist()
    verdicts = _verdicts(predictions, models, variant).set_index("scene")
    for scene in chosen:
        if scene not in verdicts.index:
            raise BadInput(f"expected {scene} among the images of '{variant}' that all networks saw, got none")
    return verdicts.loc[list(chosen), list(models)].astype(bool).T.rename_axis("model")


def _verdicts(predictions: pd.DataFrame, models: Sequence[str], variant: str) -> pd.DataFrame:
    """Lay the verdicts of all networks side by side: one row per image that every one of them saw."""
    marked = mark_correct(predictions)
    marked = marked.loc[marked["variant"] == variant]
    seen = set(marked["model"])
    for model in models:
        if model not in seen:
            raise BadInput(f"expected predictions of {model} on '{variant}', got only {', '.join(sorted(seen))}")
    wide = marked.pivot_table(
        index=["dataset", "scene", "label"], columns="model", values="correct", aggfunc="first", sort=False
    )
    complete: Bool[np.ndarray, " n"] = wide[list(models)].notna().all(axis=1).to_numpy()
    return wide.loc[complete, list(models)].reset_index()
