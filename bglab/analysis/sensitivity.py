"""Sensitivity to noise on object or background: relative foreground sensitivity, and accuracy without the object.

Prediction tables come from `bglab.evaluation`. Accuracies of noisy images are averaged over classes. Their 95 %
intervals are Wilson's for the variance of such an average, over scenes within classes, with copies of one object as
clusters; that of the relative foreground sensitivity combines both as Newcombe does. A bootstrap would shrink to a
point where all images are classified correctly, and is too narrow with few scenes per class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float
from scipy.stats import norm, t

from bglab.analysis._grouping import as_columns
from bglab.analysis.clusters import Codes, row_clusters
from bglab.analysis.intervals import combined_difference, variance_interval
from bglab.analysis.metrics import background_gap, mark_correct
from bglab.errors import BadInput

#: Fewest objects, over all classes, for which sensitivities have intervals.
SENSITIVITY_MINIMUM = 10

_VALUES = ("core_accuracy", "spurious_accuracy", "rfs")


def relative_sensitivity(
    core: Float[np.ndarray, "*shape"], spurious: Float[np.ndarray, "*shape"]
) -> Float[np.ndarray, "*shape"]:
    """Compute the relative foreground sensitivity, RFS (Moayeri et al., CVPR 2022, equation 1).

    RFS = (core - spurious) / (2 min(m, 1 - m)) with m the mean of both accuracies: the difference over the largest
    difference possible at this mean; 0 where the mean is 0 or 1.

    Args:
        core: Accuracy with noise on the background, in [0, 1].
        spurious: Accuracy with noise on the object, in [0, 1].

    Returns:
        Values in [-1, 1]; positive if noise on the object does more harm, i.e. the classifier relies on the object.

    Example:
        >>> relative_sensitivity(np.array([0.9, 0.5, 1.0]), np.array([0.7, 0.6, 1.0])).round(3).tolist()
        [0.5, -0.111, 0.0]
    """
    mean = (core + spurious) / 2
    room = 2 * np.minimum(mean, 1 - mean)
    return np.divide(core - spurious, room, out=np.zeros_like(mean), where=room > 0)


def foreground_sensitivity(
    rows: pd.DataFrame, *, by: str | Sequence[str] = ("model", "dataset", "norm", "strength")
) -> pd.DataFrame:
    """Compute core accuracy, spurious accuracy and relative foreground sensitivity.

    Core accuracy is accuracy with noise on the background, spurious accuracy with noise on the object (Singla and
    Feizi, Salient ImageNet, 2022). Both are averaged over the draws of the noise, the scenes of a class, and the
    classes.

    Args:
        rows: Predictions from `bglab.evaluation.noise_predictions`.
        by: Columns to group by. Without ``strength``, each number is averaged over all strengths.

    Returns:
        One row per group: ``[*by, n, classes, draws]``, then ``core_accuracy`` and ``spurious_accuracy``, in [0, 1],
        and ``rfs``, in [-1, 1], each with ``_low`` and ``_high``, NaN for fewer than `SENSITIVITY_MINIMUM` objects.

    Raises:
        BadInput: If the table lacks a column, or a scene lacks predictions with noise in one of the regions.
    """
    columns = as_columns(by)
    needed = {"region", "norm", "strength", "draw", *columns}
    missing = sorted(needed - set(rows.columns))
    if missing:
        raise BadInput(
            f"expected noise predictions with the column '{missing[0]}', got none; "
            "make them with bglab.evaluation.noise_predictions"
        )
    marked = mark_correct(rows)
    table = []
    for key, group in marked.groupby(columns, sort=False, observed=True):
        classes, objects, core, spurious = _accuracies(group)
        count = len(np.unique(classes))
        triples = _estimates(classes, objects, core, spurious).ravel()
        keys = key if isinstance(key, tuple) else (key,)
        table.append((*keys, len(classes), count, group["draw"].nunique(), *triples))
    limits = [f"{name}{end}" for name in _VALUES for end in ("", "_low", "_high")]
    return pd.DataFrame(table, columns=[*columns, "n", "classes", "draws", *limits])


def ablation_drop(predictions: pd.DataFrame, *, by: str | Sequence[str] = ("model", "dataset")) -> pd.DataFrame:
    """Compute the drop in accuracy when the object is removed, paired by scene.

    A classifier that relies on the object alone drops to chance; accuracy above chance comes from the background.

    Args:
        predictions: Predictions from `bglab.evaluation.ablation_predictions`.
        by: Columns to group by, without ``variant``.

    Returns:
        One row per group and ablation: ``[*by, variant, n, original, ablated, drop, drop_low, drop_high, method,
        unpaired]``. ``original`` and ``ablated`` are accuracies in [0, 1]; ``drop`` is their difference, in [-1, 1],
        with Newcombe's 95 % interval; ``unpaired`` counts scenes left out because they were seen in one variant only.

    Raises:
        BadInput: If ``original`` or every ablation is missing.
    """
    ablated = [name for name in dict.fromkeys(predictions["variant"]) if name != "original"]
    if not ablated:
        raise BadInput(
            "expected predictions with the object removed, got only 'original'; "
            "make them with bglab.evaluation.ablation_predictions"
        )
    columns = as_columns(by)
    parts = [
        background_gap(predictions, same="original", rand=variant, by=columns).assign(variant=variant)
        for variant in ablated
    ]
    renamed = {"same": "original", "rand": "ablated", "gap": "drop", "gap_low": "drop_low", "gap_high": "drop_high"}
    table = pd.concat(parts, ignore_index=True).rename(columns=renamed)
    order = [*columns, "variant", *(name for name in table.columns if name not in {*columns, "variant"})]
    return table.reindex(columns=order)


def _estimates(
    classes: np.ndarray, objects: Codes, core: Float[np.ndarray, "n s"], spurious: Float[np.ndarray, "n s"]
) -> Float[np.ndarray, "3 3"]:
    """Compute core accuracy, spurious accuracy and RFS, each with its limits, averaged over strengths."""
    strengths = core.shape[1]
    values = np.concatenate([core, spurious], axis=1)
    # sums of many weights may exceed 1 by a rounding error
    means = np.clip(_class_weights(classes) @ values, 0, 1)
    first, second = means[:strengths], means[strengths:]
    rfs = float(relative_sensitivity(first, second).mean())
    estimates = np.array([first.mean(), second.mean(), rfs])
    count = len(np.unique(objects))
    if count < SENSITIVITY_MINIMUM:
        return np.column_stack([estimates, np.full((3, 2), np.nan)])
    covariance = _covariance(values, classes, objects)
    # the average over strengths of each side, which has their common variance
    averages = np.kron(np.eye(2), np.full(strengths, 1 / strengths))
    joint = averages @ covariance @ averages.T
    both = [variance_interval(float(m), float(v), count) for m, v in zip(estimates[:2], np.diag(joint), strict=True)]
    single = [variance_interval(float(m), float(v), count) for m, v in zip(means, np.diag(covariance), strict=True)]
    (low_first, high_first), (low_second, high_second) = (
        np.array(side).T for side in (single[:strengths], single[strengths:])
    )
    # RFS rises with core accuracy and falls with spurious accuracy
    below = (low_first, second), (first, low_second)
    above = (high_first, second), (first, high_second)
    moves = [[abs(rfs - float(relative_sensitivity(*pair).mean())) for pair in side] for side in (below, above)]
    scale = float(np.sqrt(joint[0, 0] * joint[1, 1]))
    correlation = float(joint[0, 1]) / scale if scale > 0 else 0.0
    _, low, high = combined_difference(rfs, np.array(moves[0]), np.array(moves[1]), correlation)
    return np.column_stack([estimates, np.array([*both, (max(low, -1.0), min(high, 1.0))])])


def _covariance(values: Float[np.ndarray, "n k"], classes: np.ndarray, objects: Codes) -> Float[np.ndarray, "k k"]:
    """Estimate the covariance of averages over classes, from objects within classes.

    It is widened for the quantile of Student's t. A class with a single object has no spread of its own; its object is
    compared with the mean of all scenes, which overestimates it.
    """
    names = np.unique(classes)
    total, freedom = np.zeros((values.shape[1],) * 2), 0
    for name in names:
        inside = classes == name
        _, codes = np.unique(objects[inside], return_inverse=True)
        count, part = int(codes.max()) + 1, values[inside]
        apart = (part - (part if count > 1 else values).mean(axis=0)) / len(part) / len(names)
        sums = np.stack([np.bincount(codes.ravel(), weights=column) for column in apart.T])
        total += sums @ sums.T * (count / (count - 1) if count > 1 else 1)
        freedom += max(count - 1, 0)
    return total * (t.ppf(0.975, max(freedom, 1)) / norm.ppf(0.975)) ** 2


def _accuracies(
    group: pd.DataFrame,
) -> tuple[np.ndarray, Codes, Float[np.ndarray, "n s"], Float[np.ndarray, "n s"]]:
    """Return class and object of each scene, and its share of correct draws per strength, core and spurious."""
    shares = group.pivot_table(
        index=["scene", "label"], columns=["region", "strength"], values="correct", aggfunc="mean"
    )
    regions = set(shares.columns.get_level_values(0))
    if regions != {"foreground", "background"} or shares.isna().to_numpy().any():
        raise BadInput(
            "expected predictions with noise on foreground and background for every scene and strength, got "
            f"{', '.join(sorted(regions))} with gaps; predict both with bglab.evaluation.noise_predictions"
        )
    classes = shares.index.get_level_values("label").to_numpy()
    core, spurious = (np.asarray(shares[region], dtype=np.float64) for region in ("background", "foreground"))
    return classes, row_clusters(list(shares.index.get_level_values("scene")))[0], core, spurious


def _class_weights(classes: np.ndarray) -> Float[np.ndarray, " n"]:
    """Return the weight of each scene in an average over classes, equal within each class."""
    _, where, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return 1 / counts[where.ravel()] / len(counts)
