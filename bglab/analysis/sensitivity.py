"""Read from disturbed images what a classifier leans on: relative foreground sensitivity, and the object's absence.

The rows come from `bglab.evaluation`. Accuracies are averaged over classes; intervals are 95 % bootstrap limits over
scenes, drawn within classes (seeded, percentile), and every number of a row comes from the same draws.
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
    """Give the relative foreground sensitivity (Moayeri et al., CVPR 2022, equation 1).

    With m the mean of both accuracies, (core − spurious) / (2 min(m, 1 − m)): the difference over the largest one
    that this mean allows, and 0 where the mean is 0 or 1.

    Args:
        core: Accuracy with noise on the background, where only the object can be read.
        spurious: Accuracy with noise on the object, where only the background can be read.

    Returns:
        In [-1, 1]; above 0 noise on the object hurts more, so the classifier reads the object.

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
    """Give core accuracy, spurious accuracy and relative foreground sensitivity.

    Core accuracy is that with noise on the background, spurious accuracy that with noise on the object (Salient
    ImageNet, Singla and Feizi 2022). Both are means over draws, then over scenes of a class, then over classes.

    Args:
        rows: From `bglab.evaluation.noise_predictions`.
        by: Columns to group by. Without ``strength``, each number is averaged over all strengths.
        seed: Of the bootstrap.

    Returns:
        Columns ``[*by, n, classes, draws, core_accuracy, spurious_accuracy, rfs]``, the last three with ``_low`` and
        ``_high``.

    Raises:
        BadInput: If the table lacks a column, or a scene was not seen with noise in both regions.
    """
    columns = as_columns(by)
    needed = {"region", "norm", "strength", "draw", *columns}
    missing = sorted(needed - set(rows.columns))
    if missing:
        raise BadInput(
            f"expected rows of noise with the column '{missing[0]}', got none; "
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
    """Give how far accuracy falls when the object is taken away, scene by scene.

    A classifier that reads the object falls to chance; what remains was read from the background.

    Args:
        predictions: From `bglab.evaluation.ablation_predictions`.
        by: Columns to group by, without ``variant``.

    Returns:
        Columns ``[*by, variant, n, original, ablated, drop, drop_low, drop_high, method, unpaired]``: fractions, and
        Newcombe's paired interval.

    Raises:
        BadInput: If ``original`` or every ablation is missing.
    """
    ablated = [name for name in dict.fromkeys(predictions["variant"]) if name != "original"]
    if not ablated:
        raise BadInput(
            "expected predictions with the object taken away, got only 'original'; "
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
    """Average over scenes, classes and strengths: core accuracy, spurious accuracy, relative sensitivity."""
    # sums of many weights may pass 1 by a rounding error
    first, second = (np.clip(weights @ accuracy / classes, 0, 1) for accuracy in (core, spurious))
    return np.stack([v.mean(axis=1) for v in (first, second, relative_sensitivity(first, second))], axis=1)


def _accuracies(
    group: pd.DataFrame,
) -> tuple[np.ndarray, Float[np.ndarray, "n s"], Float[np.ndarray, "n s"]]:
    """Lay out each scene's share of right draws, one column a strength: classes, core, spurious."""
    shares = group.pivot_table(
        index=["scene", "label"], columns=["region", "strength"], values="correct", aggfunc="mean"
    )
    regions = set(shares.columns.get_level_values(0))
    if regions != {"foreground", "background"} or shares.isna().to_numpy().any():
        raise BadInput(
            "expected every scene with noise in its foreground and in its background at every strength, got "
            f"{', '.join(sorted(regions))} with gaps; predict both with bglab.evaluation.noise_predictions"
        )
    classes = shares.index.get_level_values("label").to_numpy()
    core, spurious = (np.asarray(shares[region], dtype=np.float64) for region in ("background", "foreground"))
    return classes, core, spurious


def _equal_weights(classes: np.ndarray) -> Float[np.ndarray, "1 n"]:
    """Weigh scenes equally within their class."""
    _, where, counts = np.unique(classes, return_inverse=True, return_counts=True)
    return (1 / counts[where])[None]
