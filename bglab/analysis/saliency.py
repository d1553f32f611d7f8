"""Summarise saliency tables: localisation metrics, comparisons of models, and saliency of fooled scenes.

Saliency tables come from `bglab.saliency_table`, with one row per image, model and variant. Means have seeded 95 %
studentised bootstrap intervals over scenes, paired wherever the same scenes are compared, and none for fewer than ten
scenes (`bglab.analysis.BOOTSTRAP_MINIMUM`). Scenes whose ids differ only in the number of a copy are a cluster (see
`bglab.analysis.row_clusters`). Scenes with an undefined metric (an all-zero map) are left out and counted.
"""

from __future__ import annotations

import itertools
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.stats import mannwhitneyu
from statsmodels.discrete.discrete_model import Logit

from bglab.analysis._grouping import iterate_groups, known_columns
from bglab.analysis.bootstrap import bootstrap_difference_interval, bootstrap_mean_interval
from bglab.analysis.clusters import Codes, clustered_share, row_clusters
from bglab.analysis.localisation import MEASURES
from bglab.errors import BadInput

#: Columns that identify a run; rows of different runs must not be averaged.
RUN = ("model", "dataset", "variant", "method", "target_rule")

_DRIFTS = ("drift_inside", "drift_outside")
#: Range of each metric.
_BOUNDS = dict.fromkeys(MEASURES, (0.0, 1.0)) | dict.fromkeys(_DRIFTS, (-1.0, 1.0))
_RATIOS = ("odds_ratio", "odds_ratio_adjusted")
#: Unit of an odds ratio: ten percentage points of share.
_STEP = 0.1
#: Scenes of either outcome per predictor that a logistic regression needs; fewer give unstable estimates.
_EVENTS = 5


def localisation_summary(rows: pd.DataFrame, *, by: str | Sequence[str] = RUN) -> pd.DataFrame:
    """Average each localisation metric over scenes and report it with its chance level.

    Args:
        rows: Saliency table from `bglab.saliency_table`.
        by: Columns to group by; groups keep the order of first appearance.

    Returns:
        One row per group: ``[*by, n, undefined]``, then the mean of each metric with ``_low`` and ``_high`` and, for
        the metrics of `MEASURES`, ``_chance``. ``undefined`` counts all-zero maps, which enter no mean. Means are
        fractions in [0, 1], those of drifts rank correlations in [-1, 1]. Intervals are bootstrapped, except for
        ``pointing``, a share of hits, which has Wilson's.

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
    """Compare models (or variants) on the same scenes by the paired difference of a localisation metric.

    Args:
        rows: Saliency table from `bglab.saliency_table`.
        between: Column whose values are compared, every value with every other.
        measure: Metric to compare.
        by: Columns to group by, without ``between``.

    Returns:
        One row per group and pair: ``[*by, <between>_a, <between>_b, n, left_out, a, b, difference, difference_low,
        difference_high]``. ``n`` scenes have the metric under both, ``left_out`` do not; ``a`` and ``b`` are means and
        ``difference`` is a minus b with its paired 95 % bootstrap interval.

    Raises:
        BadInput: If there are fewer than two values to compare, or a scene occurs twice.
        UnknownName: If a column does not exist.
    """
    columns = known_columns(rows, by)
    known_columns(rows, [between, measure])
    table = []
    for key, group in iterate_groups(rows, columns):
        wide = _wide(group, between, measure)
        for first, second in itertools.combinations(wide.columns, 2):
            values = np.asarray(wide[[first, second]], dtype=np.float64)
            known = np.asarray(~np.isnan(values).any(axis=1))
            a, b = values[known].T
            means = (a.mean(), b.mean()) if len(a) else (np.nan, np.nan)
            low, high = _BOUNDS.get(measure, (-np.inf, np.inf))
            objects = row_clusters(wide.index[known])[0]
            spread = bootstrap_mean_interval(a - b, clusters=objects, bounds=(low - high, high - low))
            table.append((*key, first, second, len(a), len(wide) - len(a), *means, means[0] - means[1], *spread))
    if not table:
        raise BadInput(f"expected two or more values of '{between}' to compare, got one; compute saliency for another")
    names = [f"{between}_a", f"{between}_b", "n", "left_out", "a", "b"]
    return pd.DataFrame(table, columns=[*columns, *names, "difference", "difference_low", "difference_high"])


def fooled_by_share(
    rows: pd.DataFrame,
    *,
    seen: str = "original",
    swapped: str = "mixed_rand",
    by: str | Sequence[str] = ("model", "dataset", "method", "target_rule"),
) -> pd.DataFrame:
    """Test whether scenes with less saliency on the object are more often fooled by a new background.

    Among the scenes classified correctly on ``seen``, those misclassified on ``swapped`` are fooled. The table compares
    the share of saliency on the object, measured on ``seen``, between fooled scenes and those that stay correct. Small
    objects receive less saliency and are fooled more easily, so the odds ratio is also adjusted for mask area.

    Args:
        rows: Saliency table with both variants, from `bglab.saliency_table`.
        seen: Variant whose saliency is used.
        swapped: Variant whose predictions are used.
        by: Columns to group by, without ``variant``.

    Returns:
        One row per group: ``[*by, swapped, n, fooled, share_kept, share_fooled, difference, difference_low,
        difference_high, p, odds_ratio, odds_ratio_low, odds_ratio_high, odds_ratio_adjusted, odds_ratio_adjusted_low,
        odds_ratio_adjusted_high]``. ``n`` scenes are correct on ``seen`` and have a non-zero map. ``share_kept``
        (scenes that stay correct) and ``share_fooled`` are mean shares in [0, 1]; their difference has a 95 % bootstrap
        interval (NaN if either has fewer than ten scenes) and ``p`` is from the two-sided Mann-Whitney U test, which
        takes scenes as independent, copies of one object too. Odds ratios are the factor in the odds of being
        fooled per 0.1 *less* on the object, from a logistic regression with Wald's 95 % interval, without and with mask
        area as a covariate. NaN if no scene or every scene is fooled; odds ratios also with fewer than five scenes of
        either outcome per predictor, or without a finite estimate.

    Raises:
        BadInput: If a variant is missing, a scene occurs twice, or the table lacks a column.
        UnknownName: If a column of ``by`` does not exist.
    """
    columns = known_columns(rows, by)
    table = []
    for key, group in iterate_groups(rows, columns):
        scenes = _scene_outcomes(group, seen=seen, swapped=swapped)
        fooled = scenes["fooled"].to_numpy(bool)
        share, area = _floats(scenes, "share_on_object"), _floats(scenes, "mask_area")
        objects = row_clusters(scenes["scene"])[0]
        entry = dict(zip(columns, key, strict=True))
        entry |= {"swapped": swapped, "n": len(scenes), "fooled": int(fooled.sum())}
        table.append(entry | _share_of_fooled(share, fooled, objects) | _odds(share, area, fooled, objects))
    return pd.DataFrame(table)


def _scene_outcomes(rows: pd.DataFrame, *, seen: str, swapped: str) -> pd.DataFrame:
    """List the scenes that are correct on ``seen`` and have a non-zero map, and whether ``swapped`` fools them.

    Args:
        rows: Saliency rows of one model, data set, method and target rule.
        seen: Variant whose saliency is used.
        swapped: Variant whose predictions are used.

    Returns:
        One row per scene: ``[scene, share_on_object, mask_area, fooled]``.

    Raises:
        BadInput: If a variant is missing, a scene occurs twice, or the table lacks a column.
    """
    _require(rows, ["variant", "scene", "label", "prediction", "share_on_object", "mask_area"])
    correct = rows["label"] == rows["prediction"]
    sides = []
    for variant in (seen, swapped):
        side = rows.assign(correct=correct).loc[rows["variant"] == variant].set_index("scene")
        if side.empty:
            known = ", ".join(dict.fromkeys(rows["variant"].astype(str)))
            raise BadInput(f"expected saliency rows of '{variant}', got only {known}; run bglab saliency on it first")
        _require_unique(side.index, variant)
        sides.append(side)
    both = sides[0].join(sides[1]["correct"].rename("kept"), how="inner")
    both = both.loc[both["correct"] & both["share_on_object"].notna()]
    both = both.assign(fooled=~both["kept"].astype(bool)).reset_index()
    return both[["scene", "share_on_object", "mask_area", "fooled"]]


def fooled_by_bin(
    rows: pd.DataFrame, *, seen: str = "original", swapped: str = "mixed_rand", bins: int = 4
) -> pd.DataFrame:
    """Compute the share of fooled scenes in bins of the share of saliency on the object.

    Args:
        rows: Saliency rows of one model, data set, method and target rule.
        seen: Variant whose saliency is used.
        swapped: Variant whose predictions are used.
        bins: Number of quantile bins; scenes of equal share are never split, so that there may be fewer.

    Returns:
        One row per bin, by rising share: ``[swapped, share_on_object, share_from, share_to, n, fooled, fooled_low,
        fooled_high]``. ``share_on_object`` is the mean of the bin, the next two its range; ``fooled`` is a fraction in
        [0, 1] with Wilson's 95 % interval.

    Raises:
        BadInput: If a variant is missing, or no scene is correct on ``seen``.
    """
    scenes = _scene_outcomes(rows, seen=seen, swapped=swapped)
    if scenes.empty:
        raise BadInput(f"expected scenes that are correct on '{seen}' with a non-zero map, got none; add scenes")
    group = pd.qcut(scenes["share_on_object"], min(bins, len(scenes)), labels=False, duplicates="drop")
    scenes = scenes.assign(object=row_clusters(scenes["scene"])[0])
    groups = scenes.groupby(np.asarray(group))
    table = groups["share_on_object"].agg(share_on_object="mean", share_from="min", share_to="max", n="size")
    shares = [clustered_share(bin["fooled"].to_numpy(float), bin["object"].to_numpy()) for _, bin in groups]
    limits = pd.DataFrame(shares, columns=["fooled", "fooled_low", "fooled_high"])
    table = table.assign(swapped=swapped).reset_index(drop=True).join(limits)
    return table.reindex(columns=["swapped", *table.columns.drop("swapped")])


def _mean(group: pd.DataFrame, measure: str) -> dict[str, float]:
    values = _floats(group, measure)
    known = ~np.isnan(values)
    values, objects = values[known], row_clusters(group["scene"])[0][known]
    if measure == "pointing":  # a share of hits, where Wilson's interval keeps a width even if all hit
        _, low, high = clustered_share(values, objects)
    else:
        low, high = bootstrap_mean_interval(values, clusters=objects, bounds=_BOUNDS[measure])
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
    """Pivot a metric to one row per scene and one column per value of ``between``."""
    sides = []
    for name, side in group.groupby(between, sort=False):
        _require_unique(pd.Index(side["scene"]), str(name))
        sides.append(pd.Series(side[measure].to_numpy(float), index=side["scene"].to_numpy(), name=name))
    return pd.concat(sides, axis=1, sort=True)


def _share_of_fooled(
    share: Float[np.ndarray, " n"], fooled: Bool[np.ndarray, " n"], objects: Codes
) -> dict[str, float]:
    names = ("share_kept", "share_fooled", "difference", "difference_low", "difference_high", "p")
    kept, lost = share[~fooled], share[fooled]
    means = [float(part.mean()) if len(part) else np.nan for part in (kept, lost)]
    if not len(kept) or not len(lost):
        return dict(zip(names, [*means, np.nan, np.nan, np.nan, np.nan], strict=True))
    low, high = bootstrap_difference_interval(share, fooled, clusters=objects, bounds=(-1.0, 1.0))
    p = float(mannwhitneyu(kept, lost).pvalue)
    return dict(zip(names, [*means, means[0] - means[1], low, high, p], strict=True))


def _odds(
    share: Float[np.ndarray, " n"], area: Float[np.ndarray, " n"], fooled: Bool[np.ndarray, " n"], objects: Codes
) -> dict[str, float]:
    less = (1 - share) / _STEP
    alone = _odds_ratio(np.column_stack([less, np.ones_like(less)]), fooled, objects)
    adjusted = _odds_ratio(np.column_stack([less, np.ones_like(less), area / _STEP]), fooled, objects)
    entry = {}
    for name, ratio in zip(_RATIOS, (alone, adjusted), strict=True):
        entry |= dict(zip((name, f"{name}_low", f"{name}_high"), ratio, strict=True))
    return entry


def _odds_ratio(
    predictors: Float[np.ndarray, "n k"], fooled: Bool[np.ndarray, " n"], objects: Codes
) -> tuple[float, float, float]:
    """Fit a logistic regression; return the first predictor's odds ratio with Wald's limits, NaN if undefined."""
    undefined = (np.nan, np.nan, np.nan)
    enough = min(fooled.sum(), (~fooled).sum()) >= _EVENTS * (predictors.shape[1] - 1)
    if not enough or np.linalg.matrix_rank(predictors) < predictors.shape[1]:
        return undefined
    # the sandwich estimator counts copies of one object as one cluster
    copies = len(np.unique(objects)) < len(objects)
    robust: dict[str, Any] = {"cov_type": "cluster", "cov_kwds": {"groups": objects}} if copies else {}
    try:
        # separation and divergence are reported by several kinds of warnings
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("error")
            fitted = Logit(fooled.astype(float), predictors).fit(disp=0, **robust)
            low, high = fitted.conf_int()[0]
    except (Warning, np.linalg.LinAlgError, ValueError):
        return undefined
    value, low, high = (float(np.exp(x)) if x < np.log(1e6) else np.nan for x in (fitted.params[0], low, high))
    return value, low, high


def _require(rows: pd.DataFrame, columns: Sequence[str]) -> None:
    missing = [c for c in columns if c not in rows.columns]
    if missing or rows.empty:
        what = f"no column '{missing[0]}'" if missing else "no rows"
        raise BadInput(f"expected a saliency table, got {what}; make it with bglab.saliency_table or bglab saliency")


def _require_unique(scenes: pd.Index, name: str) -> None:
    if not scenes.is_unique:
        raise BadInput(
            f"expected each scene once in '{name}', got {scenes[scenes.duplicated()][0]} twice; "
            "select one model, data set, method and target first"
        )
