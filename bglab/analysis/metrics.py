"""Turn prediction tables into small tables: accuracy, background gap, comparisons of models, the five categories.

A prediction table has one row per image and model, as `bglab.predict` returns it. Metrics are fractions in [0, 1] with
95 % intervals: Wilson's for single shares, Newcombe's for differences, which are paired, because both conditions show
the same scene, or both models see the same image. Rows of one object (scenes such as ``dog-rex`` and ``dog-rex-copy2``,
or one scene in several rows) and rows with the same ``donor`` are clusters, which widen the intervals; see
`bglab.analysis.row_clusters`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from scipy.stats import binomtest

from bglab.analysis._grouping import iterate_groups
from bglab.analysis.clusters import Codes, clustered_share, design_effect, row_clusters
from bglab.analysis.correctness import Space, grouping_columns, integers, mark_correct, require_columns
from bglab.analysis.intervals import Difference, paired_difference
from bglab.analysis.multiplicity import holm
from bglab.errors import BadInput
from bglab.labels import OUTSIDE

#: The five categories of Noise or Signal, Table 3, in the order of Figure 7.
CATEGORIES = ("bg_irrelevant", "bg_required", "bg_fools", "bg_fg_required", "bg_fg_fools")

#: Part of ``bg_fools`` (appendix H): image and background alone are predicted as the same incorrect class.
STRICT_FOOLS = "bg_fools_strict"


def accuracy(
    predictions: pd.DataFrame,
    *,
    by: str | Sequence[str] = ("model", "dataset", "variant"),
    space: Space | None = None,
) -> pd.DataFrame:
    """Compute top-1 and top-5 accuracy, with Wilson's 95 % intervals.

    Args:
        predictions: One row per image and model.
        by: Columns to group by; groups keep the order of first appearance.
        space: Label space in which predictions are compared; see `mark_correct`. Groups of several spaces are split.

    Returns:
        One row per group: ``[*by, space, n, top1, top1_low, top1_high, top5, top5_low, top5_high]``, fractions in
        [0, 1]. ``top5`` and its limits are NaN if it is undefined for any row of the group.

    Raises:
        BadInput: If the table is empty, lacks a column, or has no row with a known true class.
        UnknownName: If a column of ``by`` does not exist.

    Example:
        >>> image = {"model": "m", "dataset": "d", "variant": "original", "scene": "s", "label": 0, "space": "in9"}
        >>> accuracy(pd.DataFrame([image | {"prediction": 0}, image | {"prediction": -1}]))["top1"].item()
        0.5
    """
    columns = grouping_columns(predictions, by)
    marked = mark_correct(predictions, space=space).reset_index(drop=True)
    clusters = _clusters(marked)
    keys = list(dict.fromkeys([*columns, "space"]))
    rows = []
    for key, group in iterate_groups(marked, keys):
        inside = [codes[group.index.to_numpy()] for codes in clusters]
        shares = (clustered_share(group[name].to_numpy(float), *inside) for name in ("correct", "in_top5"))
        rows.append((*key, len(group), *itertools.chain(*shares)))
    ends = [f"{name}{end}" for name in ("top1", "top5") for end in ("", "_low", "_high")]
    return pd.DataFrame(rows, columns=[*keys, "n", *ends])


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
        Newcombe's 95 % interval; ``p`` is that of McNemar's exact test, two-sided, with one pair per object.
        All are NaN if no scene has both.

    Raises:
        BadInput: If a variant is missing from the table, or a scene occurs twice in one.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = grouping_columns(predictions, by)
    marked = mark_correct(predictions, space=space)
    pairs = _pair(marked, (same, rand), keys=[*columns, "scene"])
    rows = []
    for key, group in iterate_groups(pairs, columns):
        both = group.dropna(subset=[same, rand])
        first, second = both[same].to_numpy(bool), both[rand].to_numpy(bool)
        clusters = _pair_clusters(both, (same, rand))
        gap = paired_accuracies(first, second, clusters)
        shares = (first.mean(), second.mean()) if len(both) else (math.nan, math.nan)
        p = _exact_test(first, second, clusters[0])[0]
        rows.append((*key, len(both), *shares, *gap, "newcombe", len(group) - len(both), p))
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
        p, objects, discordant, p_holm]``. ``a_only`` and ``b_only`` count images that only one model classifies
        correctly; ``difference`` is the accuracy of a minus that of b, in [-1, 1], with Newcombe's 95 % interval; ``p``
        is two-sided and ``p_holm`` corrected for the number of pairs. The test is over ``objects``: one that several
        scenes show counts once, for the model that is correct on more of them. ``discordant`` counts the objects on
        which the models differ; without copies these are ``n`` and ``a_only + b_only``. Shared donors are not part of
        the test.

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
        first, second = both[model_a].to_numpy(bool), both[model_b].to_numpy(bool)
        # both models see the same image, so its donor is that of either
        clusters = _pair_clusters(both, (model_a,))
        p, objects, discordant = _exact_test(first, second, clusters[0])
        counts, difference = _cross(first, second)[1:3], paired_accuracies(first, second, clusters)
        rows.append((model_a, model_b, len(both), *counts, *difference, p, objects, discordant))
    difference = ["difference", "difference_low", "difference_high"]
    tested = ["p", "objects", "discordant"]
    table = pd.DataFrame(rows, columns=["model_a", "model_b", "n", "a_only", "b_only", *difference, *tested])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))


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
    columns = grouping_columns(predictions, by)
    scenes = _categorised(predictions, variants, columns, space)
    return scenes.reindex(columns=[*columns, "scene", "category", "strict"])


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
    columns = grouping_columns(predictions, by)
    scenes = _categorised(predictions, variants, columns, space)
    rows = []
    for key, group in iterate_groups(scenes, columns):
        clusters = _pair_clusters(group, variants)
        members = {name: (group["category"] == name).to_numpy() for name in CATEGORIES}
        members[STRICT_FOOLS] = group["strict"].to_numpy(bool)
        for name, inside in members.items():
            share = clustered_share(inside.astype(float), *clusters)
            rows.append((*key, name, len(group), int(inside.sum()), *share))
    return pd.DataFrame(rows, columns=[*columns, "category", "n", "count", "share", "share_low", "share_high"])


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
    columns = grouping_columns(predictions, by)
    require_columns(predictions, ("donor", "label", "prediction"))
    donor = np.array([donor_labels.get(scene, OUTSIDE) for scene in predictions["donor"]], dtype=np.int64)
    if (donor == OUTSIDE).all():
        raise BadInput("expected images whose donor is among donor_labels, got none; predict a mixed variant")
    known, same = donor != OUTSIDE, donor == integers(predictions, "label")
    other, hit = known & ~same, donor == integers(predictions, "prediction")
    counted = predictions.assign(n=other, same_class=known & same, unknown=~known, hits=other & hit)
    counted = counted.reset_index(drop=True)
    clusters = _clusters(counted)
    counts = ["n", "same_class", "unknown"]
    rows = []
    for key, group in iterate_groups(counted, columns):
        chosen = group.loc[group["n"]]
        inside = [codes[chosen.index.to_numpy()] for codes in clusters]
        rows.append((*key, *group[counts].sum(), *clustered_share(chosen["hits"].to_numpy(float), *inside)))
    return pd.DataFrame(rows, columns=[*columns, *counts, "captured", "captured_low", "captured_high"])


def _categorised(
    predictions: pd.DataFrame, variants: tuple[str, str, str], columns: list[str], space: Space | None
) -> pd.DataFrame:
    """Assign categories as in `scene_categories`; keep correctness and donor under each variant."""
    marked = mark_correct(predictions, space=space)
    keys = [*columns, "scene"]
    scenes = _pair(marked, variants, keys=keys).dropna(subset=list(variants)).reset_index(drop=True)
    full, front, back = (scenes[v].to_numpy(bool) for v in variants)
    cases = [full == front, full & back, ~full & ~back, full & ~back, ~full & back]
    category = np.select(cases, CATEGORIES, default="")
    agreement = _same_predictions(marked, variants[0], variants[2], keys)
    same = scenes[keys].merge(agreement, on=keys, how="left")["same"]
    strict = (category == "bg_fools") & same.to_numpy(bool)
    return scenes.assign(category=category, strict=strict)


def _clusters(rows: pd.DataFrame) -> list[Codes]:
    return row_clusters(rows["scene"], *([rows["donor"]] if "donor" in rows else []))


def _pair_clusters(pairs: pd.DataFrame, names: Sequence[str]) -> list[Codes]:
    """Number the clusters of the rows of `_pair`, by object and by the donor under each variant."""
    return row_clusters(pairs["scene"], *(pairs[_donor_of(name)] for name in names))


def paired_accuracies(
    first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"], clusters: Sequence[Codes]
) -> Difference:
    """Compute the difference of two accuracies over the same pairs, with Newcombe's interval for clustered scenes.

    Args:
        first: Correctness of each pair in the first condition.
        second: Correctness of each pair in the second condition.
        clusters: Number of each pair's cluster, for each kind of cluster; see `bglab.analysis.row_clusters`.

    Returns:
        The first accuracy minus the second, and its limits; NaN throughout if there is no pair.
    """
    apart = first.astype(float) - second
    effect = design_effect(apart - apart.mean(), *clusters) if len(apart) else 1.0
    return paired_difference(*_cross(first, second), design_effect=effect)


def _pair(marked: pd.DataFrame, names: Sequence[str], *, keys: list[str], column: str = "variant") -> pd.DataFrame:
    """Pivot correctness to one row per key and one column per variant (or model); NaN where one is missing.

    A further column for each, `_donor_of` its name, has the donors.
    """
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
        donors = side["donor"].to_numpy(object) if "donor" in side else np.full(len(side), "", dtype=object)
        sides += [correct, pd.Series(donors, index=correct.index, name=_donor_of(name))]
    return pd.concat(sides, axis=1, sort=False).reset_index()


def _donor_of(name: str) -> str:
    return f"{name} donor"


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


def _exact_test(
    first: Bool[np.ndarray, " n"], second: Bool[np.ndarray, " n"], objects: Codes
) -> tuple[float, int, int]:
    """Test a paired difference exactly, once per object: McNemar's test where each object has one pair.

    Returns:
        The two-sided p-value (1 without discordant objects, NaN without pairs), the number of objects, and the number
        of those that are correct more often in one condition than in the other.
    """
    if not len(first):
        return math.nan, 0, 0
    wins = np.bincount(objects, weights=first.astype(float) - second)
    sides = int((wins > 0).sum()), int((wins < 0).sum())
    p = float(binomtest(sides[0], sum(sides)).pvalue) if sum(sides) else 1.0
    return p, len(wins), sum(sides)
