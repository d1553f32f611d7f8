"""Turn saliency rows into small tables: share on the object and its like, models compared, who gets fooled.

The rows come from `bglab.saliency.saliency_table`: one an image, model and variant. Means carry 95 % bootstrap
intervals over scenes (seeded, percentile), which are paired wherever the same scenes are seen twice. Scenes whose
measure is undefined are left out and counted.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu
from statsmodels.discrete.discrete_model import Logit

from bglab.analysis._grouping import iterate_groups, known_columns
from bglab.analysis.intervals import bootstrap, bootstrap_mean_interval, share_interval
from bglab.analysis.localisation import MEASURES
from bglab.errors import BadInput

#: What tells runs apart that must not be averaged together.
RUN = ("model", "dataset", "variant", "method", "target_rule")

_DRIFTS = ("drift_inside", "drift_outside")
_RATIOS = ("odds_ratio", "odds_ratio_adjusted")
#: The step of an odds ratio: ten points of share.
_STEP = 0.1
#: Scenes of either kind that a regression needs for each predictor; with fewer its answer is mostly accident.
_EVENTS = 5


def localisation_summary(rows: pd.DataFrame, *, by: str | Sequence[str] = RUN) -> pd.DataFrame:
    """Average every measure over the scenes, beside what a map that knows nothing would score.

    Args:
        rows: From `bglab.saliency.saliency_table`.
        by: Columns to group by; groups keep the order of their first appearance.

    Returns:
        Columns ``[*by, n, undefined]``, then each measure with ``_low`` and ``_high`` and, for those of
        `localisation.MEASURES`, ``_chance``; ``undefined`` counts maps without any saliency, which are no part of
        any mean. Fractions; drifts are rank correlations.

    Raises:
        BadInput: If the table is empty or lacks a column.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(rows, by)
    _require(rows, [*MEASURES, "mask_area"])
    table = []
    for key, group in iterate_groups(rows, columns):
        entry = dict(zip(columns, key, strict=True)) | {"n": len(group), "undefined": _undefined(group)}
        for measure in (*MEASURES, *(name for name in _DRIFTS if name in group)):
            entry |= _mean(group, measure)
        table.append(entry)
    return pd.DataFrame(table)


def compare_localisation(
    rows: pd.DataFrame,
    *,
    between: str = "model",
    measure: str = "share_on_object",
    by: str | Sequence[str] = ("dataset", "variant", "method", "target_rule"),
) -> pd.DataFrame:
    """Compare models (or variants) on the same scenes: the mean difference with its paired interval.

    Args:
        rows: From `bglab.saliency.saliency_table`.
        between: The column whose entries are compared, two by two.
        measure: What is compared.
        by: Columns to group by, without ``between``.

    Returns:
        Columns ``[*by, <between>_a, <between>_b, n, left_out, a, b, difference, difference_low, difference_high]``:
        scenes with the measure in both, scenes without, means, and the mean of a minus b.

    Raises:
        BadInput: If fewer than two are to be compared, a scene occurs twice, or the table lacks a column.
        UnknownName: If a column does not exist.
    """
    columns = known_columns(rows, by)
    known_columns(rows, [between, measure])
    table = []
    for key, group in iterate_groups(rows, columns):
        wide = _wide(group, between, measure)
        for first, second in itertools.combinations(wide.columns, 2):
            values = np.asarray(wide[[first, second]], dtype=np.float64)
            a, b = values[~np.isnan(values).any(axis=1)].T
            means = (a.mean(), b.mean()) if len(a) else (np.nan, np.nan)
            spread = bootstrap_mean_interval(a - b)
            table.append((*key, first, second, len(a), len(wide) - len(a), *means, means[0] - means[1], *spread))
    if not table:
        raise BadInput(f"expected two or more entries of '{between}' to compare, got one; make rows of another")
    names = [f"{between}_a", f"{between}_b", "n", "left_out", "a", "b"]
    return pd.DataFrame(table, columns=[*columns, *names, "difference", "difference_low", "difference_high"])


def fooled_by_share(
    rows: pd.DataFrame,
    *,
    seen: str = "original",
    swapped: str = "mixed_rand",
    by: str | Sequence[str] = ("model", "dataset", "method", "target_rule"),
) -> pd.DataFrame:
    """Ask whether classifiers that look past the object are the ones a new background fools, scene by scene.

    Of the scenes that are right as photographed, those that turn wrong on another background are fooled. The table
    compares the share of saliency on the object *as photographed* between fooled and kept scenes. Small objects have
    less saliency on them and are fooled more easily, so the odds ratio is also given at equal mask area.

    Args:
        rows: From `bglab.saliency.saliency_table`, with both variants.
        seen: The variant whose maps are read.
        swapped: The variant whose answers are read.
        by: Columns to group by, without ``variant``.

    Returns:
        Columns ``[*by, swapped, n, fooled, share_kept, share_fooled, difference, difference_low, difference_high, p,
        odds_ratio, …_low, …_high, odds_ratio_adjusted, …_low, …_high]``: ``n`` scenes right as photographed with a
        map; mean shares, kept minus fooled with its bootstrap interval; the two-sided p-value of Mann and Whitney;
        and the odds of being fooled for each ten points *less* on the object (logistic regression, Wald interval),
        alone and beside the mask's area. NaN where nothing or everything is fooled; odds also where there are
        fewer than five scenes of either kind for each predictor, or no finite answer.

    Raises:
        BadInput: If a variant is missing, a scene occurs twice, or the table lacks a column.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(rows, by)
    table = []
    for key, group in iterate_groups(rows, columns):
        scenes = judged_scenes(group, seen=seen, swapped=swapped)
        fooled = scenes["fooled"].to_numpy(bool)
        share, area = _floats(scenes, "share_on_object"), _floats(scenes, "mask_area")
        entry = dict(zip(columns, key, strict=True))
        entry |= {"swapped": swapped, "n": len(scenes), "fooled": int(fooled.sum())}
        table.append(entry | _share_of_fooled(share, fooled) | _odds(share, area, fooled))
    return pd.DataFrame(table)


def judged_scenes(rows: pd.DataFrame, *, seen: str, swapped: str) -> pd.DataFrame:
    """List the scenes that are right as photographed and have a map, and whether the new background fools them.

    Args:
        rows: Of one model, data set, method and target rule.
        seen: The variant whose maps are read.
        swapped: The variant whose answers are read.

    Returns:
        Columns ``scene, share_on_object, mask_area, fooled``.

    Raises:
        BadInput: If a variant is missing, a scene occurs twice, or the table lacks a column.
    """
    _require(rows, ["variant", "scene", "label", "prediction", "share_on_object", "mask_area"])
    right = rows["label"] == rows["prediction"]
    sides = []
    for variant in (seen, swapped):
        side = rows.assign(right=right).loc[rows["variant"] == variant].set_index("scene")
        if side.empty:
            known = ", ".join(dict.fromkeys(rows["variant"].astype(str)))
            raise BadInput(f"expected saliency rows of '{variant}', got only {known}; run bglab saliency on it first")
        _refuse_twice(side.index, variant)
        sides.append(side)
    both = sides[0].join(sides[1]["right"].rename("kept"), how="inner")
    both = both.loc[both["right"] & both["share_on_object"].notna()]
    both = both.assign(fooled=~both["kept"].astype(bool)).reset_index()
    return both[["scene", "share_on_object", "mask_area", "fooled"]]


def fooled_by_bin(
    rows: pd.DataFrame, *, seen: str = "original", swapped: str = "mixed_rand", bins: int = 4
) -> pd.DataFrame:
    """Give the share of fooled scenes among those that look least at the object, a little more, and so on.

    Args:
        rows: Of one model, data set, method and target rule.
        seen: The variant whose maps are read.
        swapped: The variant whose answers are read.
        bins: Groups of as nearly as possible equal size; scenes of equal share stay together.

    Returns:
        One row a group: ``swapped``, ``share_on_object`` (mean), ``share_from``, ``share_to``, ``n``, ``fooled`` with
        Wilson's ``_low`` and ``_high``.

    Raises:
        BadInput: If a variant is missing or no scene is right as photographed.
    """
    scenes = judged_scenes(rows, seen=seen, swapped=swapped)
    if scenes.empty:
        raise BadInput(f"expected scenes that are right on '{seen}' and have a map, got none; take more scenes")
    group = pd.qcut(scenes["share_on_object"], min(bins, len(scenes)), labels=False, duplicates="drop")
    groups = scenes.groupby(np.asarray(group))
    table = groups["share_on_object"].agg(share_on_object="mean", share_from="min", share_to="max", n="size")
    n = np.asarray(table["n"], dtype=np.int64)
    count = np.asarray(groups["fooled"].agg("sum"), dtype=np.int64)
    low, high = share_interval(count, n)
    table = table.assign(swapped=swapped, fooled=count / n, fooled_low=low, fooled_high=high).reset_index(drop=True)
    return table.reindex(columns=["swapped", *table.columns.drop("swapped")])


def _mean(group: pd.DataFrame, measure: str) -> dict[str, float]:
    values = _floats(group, measure)
    values = values[~np.isnan(values)]
    if measure == "pointing":  # a share of hits; Wilson's interval stays open where all hit
        limits = share_interval(np.array([round(values.sum())]), np.array([len(values)]))
        low, high = float(limits[0][0]), float(limits[1][0])
    else:
        low, high = bootstrap_mean_interval(values)
    mean = float(values.mean()) if len(values) else np.nan
    entry = {measure: mean, f"{measure}_low": low, f"{measure}_high": high}
    if measure in MEASURES:
        chance = MEASURES[measure]
        entry[f"{measure}_chance"] = float(_floats(group, chance).mean()) if isinstance(chance, str) else chance
    return entry


def _floats(table: pd.DataFrame, column: str) -> Float[np.ndarray, " n"]:
    return np.asarray(table[column], dtype=np.float64)


def _undefined(group: pd.DataFrame) -> int:
    return int(np.isnan(_floats(group, "share_on_object")).sum())


def _wide(group: pd.DataFrame, between: str, measure: str) -> pd.DataFrame:
    """Lay the measure of all entries side by side, one row a scene."""
    sides = []
    for name, side in group.groupby(between, sort=False):
        _refuse_twice(pd.Index(side["scene"]), str(name))
        sides.append(pd.Series(side[measure].to_numpy(float), index=side["scene"].to_numpy(), name=name))
    return pd.concat(sides, axis=1, sort=True)


def _share_of_fooled(share: Float[np.ndarray, " n"], fooled: Bool[np.ndarray, " n"]) -> dict[str, float]:
    names = ("share_kept", "share_fooled", "difference", "difference_low", "difference_high", "p")
    kept, caught = share[~fooled], share[fooled]
    means = [float(part.mean()) if len(part) else np.nan for part in (kept, caught)]
    if not len(kept) or not len(caught):
        return dict(zip(names, [*means, np.nan, np.nan, np.nan, np.nan], strict=True))
    sign = np.where(fooled, -1.0, 1.0)  # weights add up to 1 in each group, so this is kept minus fooled
    low, high = bootstrap(lambda weights: (weights @ (sign * share))[:, None], fooled)
    p = float(mannwhitneyu(kept, caught).pvalue)
    return dict(zip(names, [*means, means[0] - means[1], float(low[0]), float(high[0]), p], strict=True))


def _odds(
    share: Float[np.ndarray, " n"], area: Float[np.ndarray, " n"], fooled: Bool[np.ndarray, " n"]
) -> dict[str, float]:
    less = (1 - share) / _STEP
    alone = _odds_ratio(np.column_stack([less, np.ones_like(less)]), fooled)
    beside = _odds_ratio(np.column_stack([less, np.ones_like(less), area / _STEP]), fooled)
    entry = {}
    for name, ratio in zip(_RATIOS, (alone, beside), strict=True):
        entry |= dict(zip((name, f"{name}_low", f"{name}_high"), ratio, strict=True))
    return entry


def _odds_ratio(predictors: Float[np.ndarray, "n k"], fooled: Bool[np.ndarray, " n"]) -> tuple[float, float, float]:
    """Fit a logistic regression; give the first predictor's odds ratio with Wald's limits, NaN if there is none."""
    nothing = (np.nan, np.nan, np.nan)
    enough = min(fooled.sum(), (~fooled).sum()) >= _EVENTS * (predictors.shape[1] - 1)
    if not enough or np.linalg.matrix_rank(predictors) < predictors.shape[1]:
        return nothing
    try:
        # separated classes and steps without end come as warnings of many kinds
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            fitted = Logit(fooled.astype(float), predictors).fit(disp=0)
            low, high = fitted.conf_int()[0]
    except (Warning, np.linalg.LinAlgError, ValueError):
        return nothing
    value, low, high = (float(np.exp(x)) if x < np.log(1e6) else np.nan for x in (fitted.params[0], low, high))
    return value, low, high


def _require(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [c for c in columns if c not in rows.columns]
    if missing or rows.empty:
        what = f"no column '{missing[0]}'" if missing else "no rows"
        raise BadInput(f"expected a saliency table, got {what}; make it with bglab.saliency_table or bglab saliency")


def _refuse_twice(scenes: pd.Index, where: str) -> None:
    if not scenes.is_unique:
        raise BadInput(
            f"expected each scene once in '{where}', got {scenes[scenes.duplicated()][0]} twice; "
            "select one model, data set, method and target first"
        )
