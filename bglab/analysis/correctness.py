"""Correctness of predictions: labels and predictions compared in the label space of choice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from bglab.analysis._grouping import as_columns, known_columns
from bglab.errors import BadInput
from bglab.labels import NAMED_SPACES, OUTSIDE, class_names, to_in9

Space = Literal["in9", "native"]

#: Columns that every metric of predictions needs.
_NEEDED = ("model", "dataset", "variant", "scene", "label", "prediction", "space")

_TruthAndPrediction = tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]


def mark_correct(predictions: pd.DataFrame, *, space: Space | None = None) -> pd.DataFrame:
    """Mark each prediction as correct or incorrect; the single definition of correctness.

    Rows whose true class is unknown in the space are dropped; a prediction OUTSIDE the space is incorrect.

    Args:
        predictions: One row per image and model.
        space: None compares label and prediction in the label space of each row; ``in9`` maps ImageNet labels and
            predictions to the nine classes; ``native`` compares a model's ImageNet class with the exact ImageNet label.

    Returns:
        The remaining rows, with ``space`` as evaluated and three more columns: ``answer``, the prediction in that
        space; ``correct`` (bool); ``in_top5`` (1, 0, or NaN where the five highest-scoring classes are unknown, as in
        imported predictions, or cannot be mapped to the space). Under ``in9`` these five are mapped before the
        comparison, so they may cover fewer than five classes.

    Raises:
        BadInput: If the table is empty, lacks a column, or has no row with a known true class.
    """
    require_columns(predictions, _NEEDED)
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


def with_class_names(predictions: pd.DataFrame) -> pd.DataFrame:
    """Add the names of the classes that the numbers of a prediction table stand for, for tables that people read.

    Args:
        predictions: One row per image and model.

    Returns:
        The same rows with three more columns: ``true_class`` and ``predicted_class`` in the label space of the row,
        ``native_class`` among the model's own. "(outside)" stands for a class that the space does not have; the field
        is empty where names of the space are not known.

    Raises:
        BadInput: If the table lacks a column.

    Example:
        >>> row = {"label": 1, "prediction": -1, "native": 0, "space": "in9", "native_space": "imagenet"}
        >>> with_class_names(pd.DataFrame([row])).iloc[0, -3:].tolist()
        ['bird', '(outside)', 'tench']
    """
    columns = {
        "true_class": ("label", "space"),
        "predicted_class": ("prediction", "space"),
        "native_class": ("native", "native_space"),
    }
    require_columns(predictions, sorted({column for pair in columns.values() for column in pair}))
    return predictions.assign(
        **{
            name: [_class_name(*pair) for pair in zip(predictions[number], predictions[space], strict=True)]
            for name, (number, space) in columns.items()
        }
    )


def _class_name(number: int, space: str) -> str:
    if number == OUTSIDE:
        return "(outside)"
    names = class_names(space) if space in NAMED_SPACES else ()
    return names[number] if number < len(names) else ""


def _truth_and_prediction(predictions: pd.DataFrame, space: Space | None) -> _TruthAndPrediction:
    if space is None:
        return integers(predictions, "label"), integers(predictions, "prediction")
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
    label, prediction = integers(predictions, "label"), integers(predictions, "prediction")
    if (own == "in9").all():
        return label, prediction
    require_columns(predictions, ("native", "native_space"))
    nine = predictions["native_space"].to_numpy(str) == "in9"
    mapped = np.where(nine, integers(predictions, "native"), to_in9(np.where(nine, OUTSIDE, prediction)))
    return np.where(own == "in9", label, to_in9(label)), np.where(own == "in9", prediction, mapped)


def _as_native(predictions: pd.DataFrame) -> _TruthAndPrediction:
    """Return true and predicted ImageNet classes; the truth is OUTSIDE for models of other classes."""
    require_columns(predictions, ("native_label", "native", "native_space"))
    is_imagenet = predictions["native_space"].to_numpy(str) == "imagenet"
    return np.where(is_imagenet, integers(predictions, "native_label"), OUTSIDE), integers(predictions, "native")


def _in_top5(marked: pd.DataFrame, truth: Int[np.ndarray, " n"]) -> Float[np.ndarray, " n"]:
    """Mark rows whose true class is among the five highest-scoring classes; NaN where the spaces cannot be compared."""
    hits = np.full(len(marked), np.nan)
    if not {"top5", "native_space"} <= set(marked.columns):
        return hits
    five = np.full((len(marked), 5), OUTSIDE)
    for row, best in zip(five, marked["top5"], strict=True):  # a model may have fewer than five classes
        if best is not None:
            row[: len(best)] = best
    is_known = (five != OUTSIDE).any(axis=1)  # imported predictions may lack them
    target, native = marked["space"].to_numpy(str), marked["native_space"].to_numpy(str)
    direct, mapped = is_known & (native == target), is_known & (native == "imagenet") & (target == "in9")
    hits[direct] = (five == truth[:, None]).any(axis=1)[direct]
    hits[mapped] = (to_in9(five[mapped]) == truth[mapped, None]).any(axis=1)
    return hits


def integers(predictions: pd.DataFrame, column: str) -> Int[np.ndarray, " n"]:
    """Return a column of classes as int64."""
    return predictions[column].to_numpy(np.int64)


def grouping_columns(predictions: pd.DataFrame, by: str | Sequence[str]) -> list[str]:
    """List the columns of a ``by`` argument and check that the prediction table has them.

    Raises:
        BadInput: If the table is no prediction table.
        UnknownName: If a column does not exist.
    """
    if {*as_columns(by)} & {*_NEEDED} - {*predictions.columns}:
        require_columns(predictions, _NEEDED)
    return known_columns(predictions, by)


def require_columns(predictions: pd.DataFrame, columns: Sequence[str]) -> None:
    """Raise if the table is empty or lacks a column."""
    if predictions.empty and {*columns} <= {*predictions.columns}:
        raise BadInput("expected at least one prediction, got an empty table; check the selection or run bglab predict")
    missing = [c for c in columns if c not in predictions.columns]
    if missing:
        raise BadInput(
            f"expected a prediction table with the columns {', '.join(columns)}, got "
            f"{', '.join(map(str, predictions.columns)) or 'none'}; it lacks {', '.join(missing)}: make the table with "
            "bglab.predict, or with bglab.from_table if another program made it"
        )
