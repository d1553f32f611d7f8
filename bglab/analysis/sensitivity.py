"""Sensitivity to noise on object or background: relative foreground sensitivity, and accuracy without the object.

Prediction tables come from `bglab.evaluation`. Accuracies of noisy images are averaged over classes; their intervals
are seeded 95 % percentile bootstrap intervals over scenes, stratified by class, with the same resamples for all
numbers of a row.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Float

from bglab.analysis._grouping import as_columns
from bglab.analysis.intervals import bootstrap
from bglab.analysis.metrics import background_gap, mark_correct
from bglab.errors import BadInput

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
    rows: pd.DataFrame, *, by: str | Sequence[str] = ("model", "dataset", "norm", "strength"), seed: int = 0
) -> pd.DataFrame:
    """Compute core accuracy, spurious accuracy and relative foreground sensitivity.

    Core accuracy is accuracy with noise on the background, spurious accuracy with noise on the object (Singla and
    Feizi, Salient ImageNet, 2022). Both are averaged over the draws of the noise, the scenes of a class, and the
    classes.

    Args:
        rows: Predictions from `bglab.evaluation.noise_predictions`.
        by: Columns to group by. Without ``strength``, each number is averaged over all strengths.
        seed: Seed for the bootstrap.

    Returns:
        One row per group: ``[*by, n, classes, draws]``, then ``core_accuracy`` and ``spurious_accuracy``, in [0, 1],
        and ``rfs``, in [-1, 1], each with ``_low`` and ``_high`` (95 % bootstrap).

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
        classes, core, spurious = _accuracies(group)
        count = len(np.unique(classes))
        numbers = functools.partial(_class_averages, core=core, spurious=spurious, classes=count)
        values = numbers(_equal_weights(classes))[0]
        low, high = bootstrap(numbers, classes, seed=seed)
        triples = np.stack([values, low, high], axis=1).ravel()
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


def _class_averages(
    weights: Float[np.ndarray, "r n"],
    *,
    core: Float[np.ndarray, "n s"],
    spurious: Float[np.ndarray, "n s"],
    classes: int,
) -> Float[np.ndarray, "r 3"]:
    """Average over scenes, classes and strengths: core accuracy, spurious accuracy, RFS."""
    # sums of many weights may exceed 1 by a rounding error
    first, second = (np.clip(weights @ accuracy / classes, 0, 1) for accuracy in (core, spurious))
    return np.stack([v.mean(axis=1) for v in (first, second, relative_sensitivity(first, second))], axis=1)


def _accuracies(
    group: pd.DataFrame,
) -> tuple[np.ndarray, Float[np.ndarray, "n s"], Float[np.ndarray, "n s"]]:
    """Return the class of each scene, and its share of correct draws per strength, for core and spurious accuracy."""
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
    return classes, core, spurious


def _equal_weights(classes: np.ndarray) -> Float[np.ndarray, "1 n"]:
    """Return weights that are equal within each class and sum to 1 there."""
    _, where, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return (1 / counts[where])[None]
