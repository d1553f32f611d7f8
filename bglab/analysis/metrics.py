"""Turn predictions into small tables: accuracy, background gap, comparisons, the five categories.

Every function is pure: a prediction table goes in, a small table of fractions in [0, 1] comes out. Intervals cover
95 %. Single shares carry Wilson's interval; differences are paired, because both images show the same scene (or
both models see the same image), and carry Newcombe's interval.
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

_Verdicts = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]

#: The five categories of Noise or Signal, Table 3, in the order of its Figure 7.
CATEGORIES = ("bg_irrelevant", "bg_required", "bg_fools", "bg_fg_required", "bg_fg_fools")

#: Part of ``bg_fools`` (appendix H): image and bare background get the same wrong class.
STRICT_FOOLS = "bg_fools_strict"


def mark_correct(predictions: pd.DataFrame, *, space: Space | None = None) -> pd.DataFrame:
    """Judge each row: the one place that says what right means.

    Rows whose true class is unknown in the space are left out; an answer OUTSIDE the space is wrong.

    Args:
        predictions: One row per image seen by one model.
        space: None judges each row in its own label space; ``in9`` maps ImageNet labels and answers to the nine
            classes; ``native`` asks an ImageNet model for the exact ImageNet class.

    Returns:
        The rows that can be judged, with ``space`` as judged and three more columns: ``answer`` in that space,
        ``correct`` (bool) and ``in_top5`` (1, 0, or NaN where the model's five best classes cannot be compared with
        the truth). Under ``in9`` the five best ImageNet classes are mapped first, so they may stand for fewer.

    Raises:
        BadInput: If the table is empty, lacks a column, or holds no row that can be judged.
    """
    _require(predictions, ("model", "dataset", "variant", "scene", "label", "prediction", "space"))
    truth, answer = _truth_and_answer(predictions, space)
    judged = {None: predictions["space"], "in9": "in9", "native": "imagenet"}[space]
    marked = predictions.assign(space=judged, answer=answer, correct=answer == truth)
    marked["in_top5"] = _in_top5(marked, truth)
    marked = marked.loc[truth != OUTSIDE]
    if marked.empty:
        raise BadInput(
            f"expected predictions whose true class is known in the space {space or 'of their own'}, got "
            f"{len(predictions)} without; choose another space or give the scenes labels"
        )
    return marked


def accuracy(
    predictions: pd.DataFrame,
    *,
    by: str | Sequence[str] = ("model", "dataset", "variant"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Give the share of right answers, with Wilson's 95 % interval.

    Args:
        predictions: One row per image seen by one model.
        by: Columns to group by; groups keep the order of their first appearance.
        space: What counts as right; see `mark_correct`. Groups that mix spaces are split.

    Returns:
        Columns ``[*by, space, n, top1, top1_low, top1_high, top5]``, fractions. ``top5`` is NaN where any row's
        is undefined.

    Raises:
        BadInput: If the table is empty, lacks a column, or holds no row that can be judged.
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
    # a plain mean would skip NaN and describe other images than top1 does
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
    """Give the accuracy on Mixed-Same minus that on Mixed-Rand, scene by scene (Noise or Signal, section 3).

    A positive gap means that the right background helps. Scenes seen in one of the two variants only are left out.

    Args:
        predictions: One row per image seen by one model.
        same: The variant whose backgrounds agree with the class.
        rand: The variant whose backgrounds do not.
        by: Columns to group by, without ``variant``.
        space: What counts as right; see `mark_correct`.

    Returns:
        Columns ``[*by, n, same, rand, gap, gap_low, gap_high, method, unpaired]``: ``n`` scenes seen in both,
        fractions, Newcombe's interval, and how many scenes were left out. Without a pair the fractions are NaN.

    Raises:
        BadInput: If a variant is missing altogether or a scene occurs twice in one.
    """
    columns = known_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    pairs = _pair(marked, (same, rand), keys=[*columns, "scene"])
    rows = []
    for key, group in iterate_groups(pairs, columns):
        both = group.dropna(subset=[same, rand])
        first, second = both[same].to_numpy(bool), both[rand].to_numpy(bool)
        gap = paired_difference(*_cross(first, second))
        shares = (first.mean(), second.mean()) if len(both) else (math.nan, math.nan)
        rows.append((*key, len(both), *shares, *gap, "newcombe", len(group) - len(both)))
    gap_columns = ["gap", "gap_low", "gap_high", "method", "unpaired"]
    return pd.DataFrame(rows, columns=[*columns, "n", "same", "rand", *gap_columns])


def compare_models(predictions: pd.DataFrame, *, variant: str, space: Space | None = None) -> pd.DataFrame:
    """Test each pair of models on the images both saw, by McNemar's exact test with Holm's correction.

    Args:
        predictions: One row per image seen by one model.
        variant: The variant to compare on.
        space: What counts as right; see `mark_correct`.

    Returns:
        Columns ``[model_a, model_b, n, a_only, b_only, difference, difference_low, difference_high, p, p_holm]``:
        images only one of the two got right, accuracy of a minus that of b with Newcombe's interval, and the
        two-sided p-value before and after correction for the number of pairs.

    Raises:
        BadInput: If fewer than two models saw the variant, or two of them no image in common.
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
        test: Any = mcnemar(np.reshape(counts, (2, 2)), exact=True)
        rows.append((model_a, model_b, len(both), *counts[1:3], *paired_difference(*counts), float(test.pvalue)))
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
    """Sort each scene into the five categories of Noise or Signal, Table 3.

    Right (1) or wrong (0) on the whole image, on Mixed-Rand, on Only-BG-T: ``bg_required`` 1 0 1, ``bg_fools``
    0 1 0, ``bg_fg_required`` 1 0 0, ``bg_fg_fools`` 0 1 1, and ``bg_irrelevant`` where the first two agree.

    Args:
        predictions: One row per image seen by one model.
        variants: Which ones show the whole image, stand for the foreground alone, for the background alone.
        by: Columns to group by, without ``variant``.
        space: What counts as right; see `mark_correct`.

    Returns:
        One row a scene that was seen in all three: ``[*by, scene, category, strict]``; ``strict`` marks the
        ``bg_fools`` of appendix H, where the whole image and its background get the same wrong class.
    """
    columns = known_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    keys = [*columns, "scene"]
    right = _pair(marked, variants, keys=keys).dropna(subset=list(variants)).reset_index(drop=True)
    full, front, back = (right[v].to_numpy(bool) for v in variants)
    cases = [full == front, full & back, ~full & ~back, full & ~back, ~full & back]
    category = np.select(cases, CATEGORIES, default="")
    same_answer = right[keys].merge(_same_answers(marked, variants[0], variants[2], keys), on=keys, how="left")["same"]
    strict = (category == "bg_fools") & same_answer.to_numpy(bool)
    return right[keys].assign(category=category, strict=strict)


def categories(
    predictions: pd.DataFrame,
    *,
    variants: tuple[str, str, str] = ("original", "mixed_rand", "only_bg_t"),
    by: str | Sequence[str] = ("model", "dataset"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Count the five categories of Noise or Signal, Table 3 and Figure 7; see `scene_categories` for the arguments.

    For every group accuracy(original) - accuracy(mixed_rand) = required - fools, each summed over ``bg`` and ``bg_fg``.

    Returns:
        Columns ``[*by, category, n, count, share, share_low, share_high]`` with all five categories a group, which
        add up to ``n``, and a sixth row ``bg_fools_strict``, which is part of ``bg_fools``.
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
    """Give the share of images that are taken for the class of the scene that lent the background.

    Only donors of another class count: with a donor of the same class a right answer would look captured.

    Args:
        predictions: One row per image seen by one model; ``donor`` names the scene whose background is shown.
        donor_labels: The class of each donor, in the same label space as ``label`` and ``prediction``.
        by: Columns to group by.

    Returns:
        Columns ``[*by, n, same_class, unknown, captured, captured_low, captured_high]``: fractions of ``n``
        images, and how many were left out because the donor has the same class or its class is unknown.

    Raises:
        BadInput: If no image has a donor of known class.
    """
    columns = known_columns(predictions, by)
    _require(predictions, ("donor", "label", "prediction"))
    donor = np.array([donor_labels.get(scene, OUTSIDE) for scene in predictions["donor"]], dtype=np.int64)
    if (donor == OUTSIDE).all():
        raise BadInput("expected images whose donor is among donor_labels, got none; predict a mixed variant")
    known, same = donor != OUTSIDE, donor == _integers(predictions, "label")
    other, hit = known & ~same, donor == _integers(predictions, "prediction")
    judged = predictions.assign(n=other, same_class=known & same, unknown=~known, hits=other & hit)
    counts = ["n", "same_class", "unknown", "hits"]
    rows = [(*key, *group[counts].sum()) for key, group in iterate_groups(judged, columns)]
    return with_share(pd.DataFrame(rows, columns=[*columns, *counts]), "hits", "captured").drop(columns="hits")


def _truth_and_answer(predictions: pd.DataFrame, space: Space | None) -> _Verdicts:
    if space is None:
        return _integers(predictions, "label"), _integers(predictions, "prediction")
    if space == "in9":
        return _as_in9(predictions)
    if space == "native":
        return _as_native(predictions)
    raise BadInput(f"expected the space in9 or native, or None for each row's own, got '{space}'")


def _as_in9(predictions: pd.DataFrame) -> _Verdicts:
    """Bring truth and answer to the nine classes; a nine-class model already answers in them."""
    own = predictions["space"].to_numpy(str)
    strange = sorted(set(own) - {"in9", "imagenet"})
    if strange:
        raise BadInput(f"expected labels in in9 or imagenet to map to nine classes, got {strange[0]}; leave space out")
    label, answer = _integers(predictions, "label"), _integers(predictions, "prediction")
    if (own == "in9").all():
        return label, answer
    _require(predictions, ("native", "native_space"))
    nine = predictions["native_space"].to_numpy(str) == "in9"
    mapped = np.where(nine, _integers(predictions, "native"), to_in9(np.where(nine, OUTSIDE, answer)))
    return np.where(own == "in9", label, to_in9(label)), np.where(own == "in9", answer, mapped)


def _as_native(predictions: pd.DataFrame) -> _Verdicts:
    """Take ImageNet truth and answer; a model of other classes cannot be asked."""
    _require(predictions, ("native_label", "native", "native_space"))
    speaks = predictions["native_space"].to_numpy(str) == "imagenet"
    return np.where(speaks, _integers(predictions, "native_label"), OUTSIDE), _integers(predictions, "native")


def _in_top5(marked: pd.DataFrame, truth: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Say for each row whether the truth is among the five best, NaN where the spaces have no map."""
    hits = np.full(len(marked), np.nan)
    if not {"top5", "native_space"} <= set(marked.columns):
        return hits
    five = np.full((len(marked), 5), OUTSIDE)
    for row, best in zip(five, marked["top5"], strict=True):  # a model may know fewer than five classes
        row[: len(best)] = best
    target, native = marked["space"].to_numpy(str), marked["native_space"].to_numpy(str)
    direct, mapped = native == target, (native == "imagenet") & (target == "in9")
    hits[direct] = (five == truth[:, None]).any(axis=1)[direct]
    hits[mapped] = (to_in9(five[mapped]) == truth[mapped, None]).any(axis=1)
    return hits


def _pair(marked: pd.DataFrame, names: Sequence[str], *, keys: list[str], column: str = "variant") -> pd.DataFrame:
    """Lay the verdicts of several variants (or models) side by side: one row a key, NaN where one is missing."""
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
        verdicts = pd.Series(side["correct"].to_numpy(float), index=side.set_index(keys).index, name=name)
        if not verdicts.index.is_unique:
            twice = side["scene"].to_numpy()[verdicts.index.duplicated()][0]
            raise BadInput(
                f"expected each scene once in '{name}', got {twice} twice; "
                f"drop the repetition or add the column that tells the rows apart to {', '.join(keys)}"
            )
        sides.append(verdicts)
    return pd.concat(sides, axis=1, sort=False).reset_index()


def _same_answers(marked: pd.DataFrame, first: str, second: str, keys: list[str]) -> pd.DataFrame:
    """Say for each key whether both variants got the same answer; two answers OUTSIDE must agree natively."""
    answers = [*keys, "answer", *(["native"] if "native" in marked else [])]
    sides = (marked.loc[marked["variant"] == name, answers] for name in (first, second))
    both = next(sides).merge(next(sides), on=keys, suffixes=("", "_other"))
    same = (both["answer"] == both["answer_other"]) & (both["answer"] != OUTSIDE)
    if "native" in both:
        same |= both["native"] == both["native_other"]
    return both[keys].assign(same=same)


def _cross(first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"]) -> tuple[int, int, int, int]:
    """Count both, first only, second only, neither."""
    neither, second_only, first_only, both = np.bincount(2 * first + second, minlength=4).tolist()
    return both, first_only, second_only, neither


def _integers(predictions: pd.DataFrame, column: str) -> Int[np.ndarray, " n"]:
    return predictions[column].to_numpy(np.int64)


def _require(predictions: pd.DataFrame, columns: Sequence[str]) -> None:
    """Refuse an empty table and one that lacks a column."""
    if predictions.empty:
        raise BadInput("expected at least one prediction, got an empty table; check the selection or run bglab predict")
    missing = [c for c in columns if c not in predictions.columns]
    if missing:
        raise BadInput(
            f"expected a prediction table with the column '{missing[0]}', got "
            f"{', '.join(map(str, predictions.columns))}; make the table with bglab.predict"
        )
