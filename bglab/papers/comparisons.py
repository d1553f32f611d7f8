"""Tables that the artefacts share: scores, tests between models, and comparisons with the published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from statsmodels.stats.multitest import multipletests

from bglab.analysis import accuracy, background_gap, compare_models, detectable_difference, spread, with_published
from bglab.papers.artefact import Test

_SCORE = ["n", "top1", "top1_low", "top1_high"]


def score_table(predictions: pd.DataFrame, *, keys: Sequence[str] = ("model",), gap: bool = True) -> pd.DataFrame:
    """Compute accuracies and the background gap of each model as one long table.

    Args:
        predictions: Prediction table, one row per model, variant and image.
        keys: Columns that identify a model.
        gap: Whether to add the background gap, which needs Mixed-Same and Mixed-Rand.

    Returns:
        Columns ``[*keys, test, n, top1, top1_low, top1_high]``; ``test`` is a variant or ``background_gap``.
    """
    shares = accuracy(predictions, by=[*keys, "variant"]).rename(columns={"variant": "test"})
    parts = [shares.reindex(columns=[*keys, "test", *_SCORE])]
    if gap:
        gaps = background_gap(predictions, by=list(keys)).assign(test="background_gap")
        renamed = gaps.rename(columns={"gap": "top1", "gap_low": "top1_low", "gap_high": "top1_high"})
        parts.append(renamed.reindex(columns=[*keys, "test", *_SCORE]))
    return pd.concat(parts, ignore_index=True)


def model_tests(predictions: pd.DataFrame, variants: Sequence[str]) -> tuple[Test, ...]:
    """Compare each pair of models on each variant: McNemar's exact test with Holm's correction over all tests.

    Args:
        predictions: Prediction table, one row per model, variant and image.
        variants: Names of the variants to compare on.

    Returns:
        One table of tests; its column ``detectable`` is the smallest difference in accuracy that this exact test
        detects with 80 % power at the observed discordance, if it is the first step of Holm's correction, whose level
        is 0.05 over the number of tests. Empty if there is only one model.
    """
    if len(set(predictions["model"])) < 2:
        return ()
    parts = [compare_models(predictions, variant=v).assign(variant=v) for v in variants]
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = multipletests(table["p"], method="holm")[1]
    table["detectable"] = [
        detectable_difference(n, discordant / n, tests=len(table)) if discordant else math.nan
        for n, discordant in zip(table["objects"].tolist(), table["discordant"].tolist(), strict=True)
    ]
    if table["objects"].tolist() == table["n"].tolist():
        table = table.drop(columns=["objects", "discordant"])
    title = (
        "Models compared: McNemar's exact test, Holm's correction; the smallest difference this n shows "
        f"(80 % power at level 0.05 / {len(table)})"
    )
    first = ["variant", *(c for c in table.columns if c != "variant")]
    return (Test(title, table.reindex(columns=first)),)


def compare_with_published(
    ours: pd.DataFrame, printed: pd.DataFrame, names: Mapping[str, tuple[str, str]]
) -> pd.DataFrame | None:
    """Match our scores with the published scores of the same models.

    Args:
        ours: Scores from `score_table`.
        printed: Published accuracies and background gaps, from `bglab.analysis.published`.
        names: Our model name → the model's name in the paper, and its training set.

    Returns:
        Table from `bglab.analysis.with_published`; None if no model is in ``names``.
    """
    known = ours.loc[ours["model"].isin(list(names))]
    if known.empty:
        return None
    left = known.assign(
        printed=[names[model][0] for model in known["model"]], train=[names[model][1] for model in known["model"]]
    )
    right = as_tests(printed)
    return with_published(left, right, on={"printed": "model", "train": "train", "test": "test"})


def as_tests(printed: pd.DataFrame) -> pd.DataFrame:
    """Set ``test`` to ``background_gap`` for published background gaps, as in `score_table`."""
    return printed.assign(test=printed["test"].where(printed["quantity"] != "background_gap", "background_gap"))


def laid_out(table: pd.DataFrame, *, rows: str, columns: str, value: str = "top1") -> pd.DataFrame:
    """Spread a long table into rows and columns of `bglab.analysis.Estimate`; other columns are dropped.

    Args:
        table: Long table, e.g. from `score_table`.
        rows: Column whose values become the rows.
        columns: Column whose values become the columns.
        value: Column of the cells, with ``<value>_low`` and ``<value>_high`` if there are intervals.
    """
    needed = [c for c in (rows, columns, value, f"{value}_low", f"{value}_high") if c in table.columns]
    return spread(table.reindex(columns=needed), rows=rows, columns=columns, value=value)


def printed_layout(printed: pd.DataFrame, *, rows: str, columns: str) -> pd.DataFrame:
    """Spread published accuracies and background gaps into rows and columns, as `laid_out` does for ours."""
    chosen = as_tests(printed)
    chosen = chosen.loc[chosen["quantity"].isin(["accuracy", "background_gap"])]
    starred = {"imagenet": "", "in9l": "*", "mixed_rand": "**"}
    named = (
        chosen.assign(model=chosen["model"] + chosen["train"].map(starred).fillna("")) if columns == "model" else chosen
    )
    return laid_out(named.rename(columns={"value": "top1"}), rows=rows, columns=columns)
