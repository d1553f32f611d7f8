"""Turn prediction tables into small tables: accuracy, background gap, comparisons of models, the five categories.

A prediction table has one row per image and model, as `bglab.predict` returns it. Metrics are fractions in [0, 1] with
95 % intervals: Wilson's for single shares, Newcombe's for differences, which are paired, because both conditions show
the same scene, or both models see the same image.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from bglab.analysis._grouping import iterate_groups, known_columns, with_share
from bglab.analysis.intervals import paired_difference
from bglab.errors import BadInput
from bglab.labels import OUTSIDE, to_in9

Space = Literal["in9", "native"]

_TruthAndPrediction = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]

#: The five categories of Noise or Signal, Table 3, in the order of Figure 7.
CATEGORIES = ("bg_irrelevant", "bg_required", "bg_fools", "bg_fg_required", "bg_fg_fools")

#: Part of ``bg_fools`` (appendix H): image and background alone are predicted as the same incorrect class.
STRICT_FOOLS = "bg_fools_strict"


def mark_correct(predictions: pd.DataFrame, *, space: Space | None = None) -> pd.DataFrame:
    """Mark each prediction as correct or incorrect; the single definition of correctness.

    Rows whose true class is unknown in the space are dropped; a prediction OUTSIDE the space is incorrect.

    Args:
        predictions: One row per image and model.
        space: None compares label and prediction in the label space of each row; ``in9`` maps ImageNet labels and
            predictions to the nine classes; ``native`` compares a model's ImageNet class with the exact ImageNet label.

    Returns:
        The remaining rows, with ``space`` as evaluated and three more columns: ``answer``, the prediction in that
        space; ``correct`` (bool); ``in_top5`` (1, 0, or NaN where the five highest-scoring classes cannot be mapped to
        the space). Under ``in9`` these five are mapped before the comparison, so they may cover fewer than five
        classes.

    Raises:
        BadInput: If the table is empty, lacks a column, or has no row with a known true class.
    """
    _require(predictions, ("model", "dataset", "variant", "scene", "label", "prediction", "space"))
    truth, prediction = _truth_and_prediction(predictions, space)
    label_space = {None: predictions["space"], "in9": "in9", "native": "imagenet"}[space]
    marked = predictions.assign(space=label_space, answer=prediction, correct=prediction == truth)
    marked["in_top5"] = _in_top5(marked, truth)
    marked = marked.loc[truth != OUTSIDE]
    if marked.empty:
        raise BadInput(
            f"expected predictions with a known true class in {f'the space {space}' if space else 'their own space'}, "
            f"got {len(predictions)} without; choose another space or label the scenes"
        )
    return marked


def accuracy(
    predictions: pd.DataFrame,
    *,
    by: str | Sequence[str] = ("model", "dataset", "variant"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Compute top-1 and top-5 accuracy, with Wilson's 95 % interval for top-1.

    Args:
        predictions: One row per image and model.
        by: Columns to group by; groups keep the order of first appearance.
        space: Label space in which predictions are compared; see `mark_correct`. Groups of several spaces are split.

    Returns:
        One row per group: ``[*by, space, n, top1, top1_low, top1_high, top5]``, fractions in [0, 1]. ``top5`` is NaN if
        it is undefined for any row of the group.

    Raises:
        BadInput: If the table is empty, lacks a column, or has no row with a known true class.
        UnknownName: If a column of ``by`` does not exist.

    Example:
        >>> image = {"model": "m", "dataset": "d", "variant": "original", "scene": "s", "label": 0, "space": "in9"}
        >>> accuracy(pd.DataFrame([image | {"prediction": 0}, image | {"prediction": -1}]))["top1"].item()
        0.5
    """
    columns = known_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    keys = list(dict.fromkeys([*columns, "space"]))
    groups = marked.groupby(keys, sort=False, observed=True, dropna=False)
    table = groups["correct"].agg(n="size", hits="sum").reset_index()
    # the default mean skips NaN and would describe other images than top1
    top5 = groups["in_top5"].agg(lambda hits: hits.mean(skipna=False)).to_numpy()
    return with_share(table, "hits", "top1").drop(columns="hits").assign(top5=top5)


def background_gap(
    predictions: pd.DataFrame,
    *,
    same: str = "mixed_same",
    rand: str = "mixed_rand",
    by: str | Sequence[str] = ("model", "dataset"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Compute the BG-Gap, accuracy on Mixed-Same minus accuracy on Mixed-Rand (Noise or Signal, section 3).

    A positive gap means that a background of the scene's own class helps. The difference is paired: scenes seen in only
    one of the two variants are left out and counted.

    Args:
        predictions: One row per image and model.
        same: Variant whose backgrounds come from scenes of the same class.
        rand: Variant whose backgrounds come from scenes of random classes.
        by: Columns to group by, without ``variant``.
        space: Label space in which predictions are compared; see `mark_correct`.

    Returns:
        One row per group: ``[*by, n, same, rand, gap, gap_low, gap_high, method, unpaired, p]``. ``n`` scenes have both
        variants, ``unpaired`` only one; ``same`` and ``rand`` are accuracies in [0, 1]; ``gap`` is in [-1, 1] with
        Newcombe's 95 % interval; ``p`` is that of McNemar's exact test, two-sided. All are NaN if no scene has both.

    Raises:
        BadInput: If a variant is missing from the table, or a scene occurs twice in one.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    pairs = _pair(marked, (same, rand), keys=[*columns, "scene"])
    rows = []
    for key, group in iterate_groups(pairs, columns):
        both = group.dropna(subset=[same, rand])
        first, second = both[same].to_numpy(bool), both[rand].to_numpy(bool)
        counts = _cross(first, second)
        gap = paired_difference(*counts)
        shares = (first.mean(), second.mean()) if len(both) else (math.nan, math.nan)
        rows.append((*key, len(both), *shares, *gap, "newcombe", len(group) - len(both), _exact_p(counts)))
    gap_columns = ["gap", "gap_low", "gap_high", "method", "unpaired", "p"]
    return pd.DataFrame(rows, columns=[*columns, "n", "same", "rand", *gap_columns])


def compare_models(predictions: pd.DataFrame, *, variant: str, space: Space | None = None) -> pd.DataFrame:
    """Test all pairs of models on the images that both have seen: McNemar's exact test with Holm's correction.

    Args:
        predictions: One row per image and model.
        variant: Variant to compare on.
        space: Label space in which predictions are compared; see `mark_correct`.

    Returns:
        One row per pair of models: ``[model_a, model_b, n, a_only, b_only, difference, difference_low, difference_high,
        p, p_holm]``. ``a_only`` and ``b_only`` count images that only one model classifies correctly; ``difference`` is
        the accuracy of a minus that of b, in [-1, 1], with Newcombe's 95 % interval; ``p`` is two-sided and ``p_holm``
        corrected for the number of pairs.

    Raises:
        BadInput: If the variant has predictions of fewer than two models, or two models share no image.
    """
    marked = mark_correct(predictions, space=space)
    marked = marked.loc[marked["variant"] == variant]
    models = list(dict.fromkeys(marked["model"]))
    if len(models) < 2:
        raise BadInput(
            f"expected predictions of two or more models on '{variant}', got {', '.join(models) or 'none'}; "
            "predict with another model or choose another variant"
        )
    pairs = _pair(marked, models, keys=["dataset", "scene"], column="model")
    rows = []
    for model_a, model_b in itertools.combinations(models, 2):
        both = pairs.dropna(subset=[model_a, model_b])
        if both.empty:
            raise BadInput(f"expected {model_a} and {model_b} on the same images of '{variant}', got none in common")
        counts = _cross(both[model_a].to_numpy(bool), both[model_b].to_numpy(bool))
        rows.append((model_a, model_b, len(both), *counts[1:3], *paired_difference(*counts), _exact_p(counts)))
    difference = ["difference", "difference_low", "difference_high"]
    table = pd.DataFrame(rows, columns=["model_a", "model_b", "n", "a_only", "b_only", *difference, "p"])
    return table.assign(p_holm=multipletests(table["p"], method="holm")[1])


def scene_categories(
    predictions: pd.DataFrame,
    *,
    variants: tuple[str, str, str] = ("original", "mixed_rand", "only_bg_t"),
    by: str | Sequence[str] = ("model", "dataset"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Assign each scene to one of the five categories of Noise or Signal, Table 3.

    By correctness (1) on Original, Mixed-Rand and Only-BG-T: ``bg_required`` is 1 0 1, ``bg_fools`` 0 1 0,
    ``bg_fg_required`` 1 0 0, ``bg_fg_fools`` 0 1 1, and ``bg_irrelevant`` is equal correctness on the first two.

    Args:
        predictions: One row per image and model.
        variants: Variants that show the whole image, the foreground on another background, and the background alone.
        by: Columns to group by, without ``variant``.
        space: Label space in which predictions are compared; see `mark_correct`.

    Returns:
        One row per scene that was seen in all three variants: ``[*by, scene, category, strict]``. ``strict`` marks the
        ``bg_fools`` of appendix H: the whole image and its background are predicted as the same incorrect class.

    Raises:
        BadInput: If a variant is missing from the table, or a scene occurs twice in one.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    keys = [*columns, "scene"]
    scenes = _pair(marked, variants, keys=keys).dropna(subset=list(variants)).reset_index(drop=True)
    full, front, back = (scenes[v].to_numpy(bool) for v in variants)
    cases = [full == front, full & back, ~full & ~back, full & ~back, ~full & back]
    category = np.select(cases, CATEGORIES, default="")
    agreement = _same_predictions(marked, variants[0], variants[2], keys)
    same = scenes[keys].merge(agreement, on=keys, how="left")["same"]
    strict = (category == "bg_fools") & same.to_numpy(bool)
    return scenes[keys].assign(category=category, strict=strict)


def categories(
    predictions: pd.DataFrame,
    *,
    variants: tuple[str, str, str] = ("original", "mixed_rand", "only_bg_t"),
    by: str | Sequence[str] = ("model", "dataset"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Count the five categories of Noise or Signal, Table 3 and Figure 7; arguments as in `scene_categories`.

    In every group, accuracy(original) - accuracy(mixed_rand) equals the share of required minus the share of fools,
    each summed over ``bg`` and ``bg_fg``.

    Returns:
        Six rows per group: ``[*by, category, n, count, share, share_low, share_high]``. The five categories add up to
        ``n`` scenes; the sixth row, ``bg_fools_strict``, is a part of ``bg_fools``. ``share`` is in [0, 1] with
        Wilson's 95 % interval.
    """
    columns = known_columns(predictions, by)
    scenes = scene_categories(predictions, variants=variants, by=columns, space=space)
    rows = []
    for key, group in iterate_groups(scenes, columns):
        counts = group["category"].value_counts().reindex(CATEGORIES, fill_value=0)
        counts[STRICT_FOOLS] = group["strict"].sum()
        rows += [(*key, name, len(group), int(count)) for name, count in counts.items()]
    table = pd.DataFrame(rows, columns=[*columns, "category", "n", "count"])
    return with_share(table, "count", "share")


def background_capture(
    predictions: pd.DataFrame,
    donor_labels: Mapping[str, int],
    *,
    by: str | Sequence[str] = ("model", "dataset", "variant"),
) -> pd.DataFrame:
    """Compute how often an image is classified as the class of its donor, the scene that its background comes from.

    Only donors of another class count: a donor of the same class cannot be told apart from a correct prediction.

    Args:
        predictions: One row per image and model; the column ``donor`` has the id of the scene that lends its
            background.
        donor_labels: Class of each donor, in the label space of ``label`` and ``prediction``.
        by: Columns to group by.

    Returns:
        One row per group: ``[*by, n, same_class, unknown, captured, captured_low, captured_high]``. ``captured`` is a
        fraction of ``n`` images with Wilson's 95 % interval; ``same_class`` and ``unknown`` count images left out
        because the donor has the same class or no known class.

    Raises:
        BadInput: If no image has a donor of known class.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(predictions, by)
    _require(predictions, ("donor", "label", "prediction"))
    donor = np.array([donor_labels.get(scene, OUTSIDE) for scene in predictions["donor"]], dtype=np.int64)
    if (donor == OUTSIDE).all():
        raise BadInput("expected images whose donor is among donor_labels, got none; predict a mixed variant")
    known, same = donor != OUTSIDE, donor == _integers(predictions, "label")
    other, hit = known & ~same, donor == _integers(predictions, "prediction")
    counted = predictions.assign(n=other, same_class=known & same, unknown=~known, hits=other & hit)
    counts = ["n", "same_class", "unknown", "hits"]
    rows = [(*key, *group[counts].sum()) for key, group in iterate_groups(counted, columns)]
    return with_share(pd.DataFrame(rows, columns=[*columns, *counts]), "hits", "captured").drop(columns="hits")


def _truth_and_prediction(predictions: pd.DataFrame, space: Space | None) -> _TruthAndPrediction:
    if space is None:
        return _integers(predictions, "label"), _integers(predictions, "prediction")
    if space == "in9":
        return _as_in9(predictions)
    if space == "native":
        return _as_native(predictions)
    raise BadInput(f"expected the space in9 or native, or None for each row's own, got '{space}'")


def _as_in9(predictions: pd.DataFrame) -> _TruthAndPrediction:
    """Map true and predicted classes to the nine classes; nine-class models predict these already."""
    own = predictions["space"].to_numpy(str)
    unmapped = sorted(set(own) - {"in9", "imagenet"})
    if unmapped:
        raise BadInput(f"expected labels in in9 or imagenet to map to nine classes, got {unmapped[0]}; leave space out")
    label, prediction = _integers(predictions, "label"), _integers(predictions, "prediction")
    if (own == "in9").all():
        return label, prediction
    _require(predictions, ("native", "native_space"))
    nine = predictions["native_space"].to_numpy(str) == "in9"
    mapped = np.where(nine, _integers(predictions, "native"), to_in9(np.where(nine, OUTSIDE, prediction)))
    return np.where(own == "in9", label, to_in9(label)), np.where(own == "in9", prediction, mapped)


def _as_native(predictions: pd.DataFrame) -> _TruthAndPrediction:
    """Return true and predicted ImageNet classes; the truth is OUTSIDE for models of other classes."""
    _require(predictions, ("native_label", "native", "native_space"))
    is_imagenet = predictions["native_space"].to_numpy(str) == "imagenet"
    return np.where(is_imagenet, _integers(predictions, "native_label"), OUTSIDE), _integers(predictions, "native")


def _in_top5(marked: pd.DataFrame, truth: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Mark rows whose true class is among the five highest-scoring classes; NaN where the spaces cannot be compared."""
    hits = np.full(len(marked), np.nan)
    if not {"top5", "native_space"} <= set(marked.columns):
        return hits
    five = np.full((len(marked), 5), OUTSIDE)
    for row, best in zip(five, marked["top5"], strict=True):  # a model may have fewer than five classes
        row[: len(best)] = best
    target, native = marked["space"].to_numpy(str), marked["native_space"].to_numpy(str)
    direct, mapped = native == target, (native == "imagenet") & (target == "in9")
    hits[direct] = (five == truth[:, None]).any(axis=1)[direct]
    hits[mapped] = (to_in9(five[mapped]) == truth[mapped, None]).any(axis=1)
    return hits


def _pair(marked: pd.DataFrame, names: Sequence[str], *, keys: list[str], column: str = "variant") -> pd.DataFrame:
    """Pivot correctness to one row per key and one column per variant (or model); NaN where one is missing."""
    if column in keys:
        raise BadInput(
            f"expected to group by other columns than {column}, whose values are compared; leave it out of by"
        )
    sides = []
    for name in names:
        side = marked.loc[marked[column] == name]
        if side.empty:
            known = ", ".join(dict.fromkeys(marked[column].astype(str)))
            raise BadInput(f"expected predictions on the {column} '{name}', got only {known}; predict it first")
        correct = pd.Series(side["correct"].to_numpy(float), index=side.set_index(keys).index, name=name)
        if not correct.index.is_unique:
            duplicate = side["scene"].to_numpy()[correct.index.duplicated()][0]
            raise BadInput(
                f"expected each scene once in '{name}', got {duplicate} twice; "
                f"drop the duplicate or add the column that tells the rows apart to {', '.join(keys)}"
            )
        sides.append(correct)
    return pd.concat(sides, axis=1, sort=False).reset_index()


def _same_predictions(marked: pd.DataFrame, first: str, second: str, keys: list[str]) -> pd.DataFrame:
    """Mark keys with the same prediction in both variants; two predictions OUTSIDE must agree in the native space."""
    answers = [*keys, "answer", *(["native"] if "native" in marked else [])]
    sides = (marked.loc[marked["variant"] == name, answers] for name in (first, second))
    both = next(sides).merge(next(sides), on=keys, suffixes=("", "_other"))
    same = (both["answer"] == both["answer_other"]) & (both["answer"] != OUTSIDE)
    if "native" in both:
        same |= both["native"] == both["native_other"]
    return both[keys].assign(same=same)


def _cross(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> tuple[int, int, int, int]:
    """Count pairs correct in both, in the first only, in the second only, and in neither."""
    neither, second_only, first_only, both = np.bincount(2 * first + second, minlength=4).tolist()
    return both, first_only, second_only, neither


def _exact_p(counts: tuple[int, int, int, int]) -> float:
    """Compute the two-sided p-value of McNemar's exact test from the counts of `_cross`; NaN without pairs."""
    test: Any = mcnemar(np.reshape(counts, (2, 2)), exact=True)
    return float(test.pvalue) if sum(counts) else math.nan


def _integers(predictions: pd.DataFrame, column: str) -> Int[np.ndarray, " n"]:
    return predictions[column].to_numpy(np.int64)


def _require(predictions: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise if the table is empty or lacks a column."""
    if predictions.empty:
        raise BadInput("expected at least one prediction, got an empty table; check the selection or run bglab predict")
    missing = [c for c in columns if c not in predictions.columns]
    if missing:
        raise BadInput(
            f"expected a prediction table with the column '{missing[0]}', got "
            f"{', '.join(map(str, predictions.columns))}; make the table with bglab.predict"
        )
