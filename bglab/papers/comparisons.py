"""Tables that the artefacts share: scores, tests between models, and comparisons with the published numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd

from bglab.analysis import accuracy, background_gap, compare_models, detectable_difference, holm, spread, with_published
from bglab.names import display_name
from bglab.papers.artefact import Test
from bglab.papers.training_runs import TRAINING_RUNS
from bglab.papers.verdicts import Basis

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

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


def count_note(table: pd.DataFrame) -> str:
    """State how many images each test of a score table counts, since variants may lack scenes that others have.

    Args:
        table: From `score_table`; the column ``test`` may also have ``imagenet`` and ``in9l``.

    Example:
        >>> count_note(pd.DataFrame({"test": ["imagenet", "original", "background_gap"], "n": [50000, 450, 450]}))
        'Images counted: ImageNet 50,000, Original 450.'
    """
    counts = table.loc[table["test"] != "background_gap"].groupby("test", sort=False)["n"].agg(["min", "max"])
    names = {"imagenet": "ImageNet", "in9l": "IN-9L"}
    parts = [
        f"{names.get(str(test), display_name(str(test)))} {low:,}" + (f" to {high:,}" if high > low else "")
        for test, low, high in counts.itertuples()
    ]
    return f"Images counted: {', '.join(parts)}."


def imagenet_notes(reproduction: Reproduction, model: str) -> tuple[str, ...]:
    """State which images the accuracies on ImageNet and IN-9L count; empty without ImageNet's validation set.

    Args:
        reproduction: The run.
        model: URI of a model that was evaluated, whose input size is used.
    """
    if reproduction.imagenet_scenes is None:
        return ()
    whole = reproduction.dataset("original", reproduction.size_of(model), reproduction.imagenet_scenes)
    total = len(whole) + len(whole.rejected)
    skipped = f"; {len(whole.rejected):,} of {total:,} cannot be used" if whole.rejected else ""
    return (f"ImageNet and IN-9L count all images: Original needs neither a box nor a mask{skipped}.",)


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
    table["p_holm"] = holm(table["p"].to_numpy(dtype=float))
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


class PaperModel(NamedTuple):
    """The network of a paper that one of ours is compared with.

    Attributes:
        model: Name of the network in the paper.
        train: Data set that it was trained on.
        basis: What is known of the origin of ours; see `bglab.papers.verdicts.Basis`.
    """

    model: str
    train: str
    basis: Basis


def compare_with_published(
    ours: pd.DataFrame, printed: pd.DataFrame, names: Mapping[str, PaperModel]
) -> pd.DataFrame | None:
    """Match our scores with the published scores of the same models.

    Args:
        ours: Scores from `score_table`.
        printed: Published accuracies and background gaps, from `bglab.analysis.published`.
        names: Our model name → the model of the paper.

    Returns:
        Table from `bglab.analysis.with_published` with the column ``basis``; None if no model is in ``names``.
    """
    known = ours.loc[ours["model"].isin(list(names))]
    if known.empty:
        return None
    models = [names[model] for model in known["model"]]
    left = known.assign(printed=[m.model for m in models], train=[m.train for m in models])
    compared = with_published(left, as_tests(printed), on={"printed": "model", "train": "train", "test": "test"})
    return compared.assign(basis=[m.basis for m in models])


def compare_trained(
    reproduction: Reproduction, ours: pd.DataFrame, printed: pd.DataFrame, found: Mapping[str, str]
) -> pd.DataFrame:
    """Match the scores of trained networks with the published ones, by training set and test set.

    Args:
        reproduction: The run that knows how the networks were trained.
        ours: Scores from `score_table` with the column ``train``.
        printed: Published accuracies and background gaps.
        found: Training set → URI of our network.

    Returns:
        Table from `bglab.analysis.with_published` with the column ``basis``: ``recipe`` for networks that follow the
        paper's recipe, ``other`` for the rest. If networks with other seeds are given
        (`bglab.papers.trained_networks.TrainedNetworks.repeats`), the columns ``seeds``, ``mean`` and ``sd`` hold their
        number, and the mean and standard deviation over them.
    """
    chosen = ours.loc[ours["train"].isin(list(found))]
    compared = with_published(chosen, as_tests(printed), on={"train": "train", "test": "test"})
    basis = {name: basis_of_trained(reproduction, uri) for name, uri in found.items()}
    compared = compared.assign(basis=[basis[name] for name in compared["train"]])
    over_seeds = [_over_seeds(reproduction, chosen.loc[chosen["train"] == name], name) for name in found]
    over_seeds = [table for table in over_seeds if len(table)]
    if not over_seeds:
        return compared
    return compared.merge(pd.concat(over_seeds, ignore_index=True), on=["train", "test"], how="left")


def _over_seeds(reproduction: Reproduction, ours: pd.DataFrame, name: str) -> pd.DataFrame:
    """Compute the mean and standard deviation of a network's scores over seeds; empty if there is only one seed."""
    uris = reproduction.trained.repeats(name)
    if not uris:
        return pd.DataFrame()
    variants = [test for test in ours["test"] if test not in {"in9l", "background_gap"}]
    gap = "background_gap" in set(ours["test"])
    tables = [score_table(reproduction.predictions([uri], variants), gap=gap) for uri in uris]
    every = pd.concat([ours, *tables], ignore_index=True)
    every = every.loc[every["test"] != "in9l"]
    summary = every.groupby("test", sort=False)["top1"].agg(seeds="size", mean="mean", sd="std").reset_index()
    return summary.assign(train=name)


def basis_of_trained(reproduction: Reproduction, uri: str) -> Basis:
    """Return ``recipe`` if a trained network follows the paper's recipe, else ``other``."""
    return "recipe" if reproduction.trained.follows_paper(uri) else "other"


def training_notes(reproduction: Reproduction, found: Mapping[str, str]) -> tuple[str, ...]:
    """Explain for each trained network that does not follow the paper's recipe why it has no verdict.

    Args:
        reproduction: The run that knows how the networks were trained.
        found: Training set → URI of our network.
    """
    reasons: dict[str, list[str]] = {}
    for name, uri in found.items():
        if reason := reproduction.trained.departure(uri):
            reasons.setdefault(reason, []).append(TRAINING_RUNS[name].title)
    return tuple(f"Without a verdict, since {reason}: {', '.join(titles)}." for reason, titles in reasons.items())


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
