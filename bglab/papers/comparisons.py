"""What every artefact with numbers does with them: long tables, tests between models, printed numbers beside ours."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import pandas as pd
from statsmodels.stats.multitest import multipletests

from bglab.analysis import accuracy, background_gap, compare_models, detectable_difference, spread, with_published
from bglab.papers.artefact import Test

_SCORE = ["n", "top1", "top1_low", "top1_high"]


def score_table(predictions: pd.DataFrame, *, keys: Sequence[str] = ("model",), gap: bool = True) -> pd.DataFrame:
    """Give accuracies and the background gap in one long table, as the papers' tables list them.

    Args:
        predictions: One row per image seen by one model.
        keys: Columns that tell the models apart.
        gap: Whether to add the gap, which needs Mixed-Same and Mixed-Rand.

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
    """Test each pair of models on each variant: McNemar's exact test, Holm's correction over all of them.

    Args:
        predictions: One row per image seen by one model.
        variants: What to compare on.

    Returns:
        One test with the smallest difference that its n can show (80 % power, at the discordance seen); none if there
        is one model only.
    """
    if len(set(predictions["model"])) < 2:
        return ()
    parts = [compare_models(predictions, variant=v).assign(variant=v) for v in variants]
    table = pd.concat(parts, ignore_index=True)
    table["p_holm"] = multipletests(table["p"], method="holm")[1]
    table["detectable"] = [
        _detectable(int(n), int(a + b)) for n, a, b in zip(table["n"], table["a_only"], table["b_only"], strict=True)
    ]
    title = (
        "Models compared: McNemar's exact test, Holm's correction; the smallest difference this n shows (80 % power)"
    )
    first = ["variant", *(c for c in table.columns if c != "variant")]
    return (Test(title, table.reindex(columns=first)),)


def _detectable(n: int, discordant: int) -> float:
    return detectable_difference(n, discordant / n) if discordant else math.nan


def compare_with_published(
    ours: pd.DataFrame, printed: pd.DataFrame, names: Mapping[str, tuple[str, str]]
) -> pd.DataFrame | None:
    """Put the printed numbers next to those of the models that the paper has too.

    Args:
        ours: From `score_table`.
        printed: From `published`, accuracies and background gaps.
        names: For each of our models the printed name, and what the printed one was trained on.

    Returns:
        From `bglab.analysis.with_published`; None if no model is in ``names``.
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
    """Call a printed background gap a test like any other, so that it can be matched and laid out with them."""
    return printed.assign(test=printed["test"].where(printed["quantity"] != "background_gap", "background_gap"))


def laid_out(table: pd.DataFrame, *, rows: str, columns: str, value: str = "top1") -> pd.DataFrame:
    """Lay a long table out with its intervals folded in; only the columns that are needed take part."""
    kept = [c for c in (rows, columns, value, f"{value}_low", f"{value}_high") if c in table.columns]
    return spread(table.reindex(columns=kept), rows=rows, columns=columns, value=value)


def printed_layout(printed: pd.DataFrame, *, rows: str, columns: str) -> pd.DataFrame:
    """Lay printed numbers out like ours."""
    chosen = as_tests(printed)
    chosen = chosen.loc[chosen["quantity"].isin(["accuracy", "background_gap"])]
    starred = {"imagenet": "", "in9l": "*", "mixed_rand": "**"}
    named = (
        chosen.assign(model=chosen["model"] + chosen["train"].map(starred).fillna("")) if columns == "model" else chosen
    )
    return laid_out(named.rename(columns={"value": "top1"}), rows=rows, columns=columns)
