"""Prediction tables in the form of imagenet-x, which other programs read: one row per image, named by its file."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bglab.errors import BadInput
from bglab.files import write_text
from bglab.labels import to_in9
from bglab.results.names import file_name, model_file_name

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the form of imagenet-x.
IMAGENET_X = ("file_name", "predicted_class", "predicted_probability")

_RUN = ["dataset", "model", "variant"]


def to_table(
    predictions: pd.DataFrame, *, file_names: Mapping[str, str] | None = None, top5: bool = False
) -> pd.DataFrame:
    """Convert predictions to the form of imagenet-x.

    `bglab.from_table` reads it back: probabilities are float32, and their CSV form has the digits that restore them
    exactly.

    Args:
        predictions: From `bglab.predict` or `bglab.read_predictions`.
        file_names: File name of each scene; by default its id, which has no suffix.
        top5: Whether to add the column ``top5``, the five indices of highest score separated by spaces, without which
            an imported table has no top-5 accuracy.

    Returns:
        One row per prediction: ``[file_name, predicted_class, predicted_probability]``. ``predicted_class`` is an index
        among the model's own classes, for ImageNet classifiers that of ImageNet. The probability is left out if it is
        unknown for all rows. Tables of several models, variants or data sets have a column that tells them apart. If a
        decision rule other than the arg-max chose a class of nine, the column ``prediction`` has it.

    Raises:
        BadInput: If the table is empty or lacks a column.
    """
    import pandas as pd

    missing = [name for name in (*_RUN, "scene", "native", "confidence") if name not in predictions]
    if missing or not len(predictions):
        what = f"a table without {', '.join(missing)}" if missing else "an empty table"
        raise BadInput(f"expected predictions, got {what}; make them with bglab.predict")
    names = file_names or {}
    columns = {
        "file_name": [names.get(scene, scene) for scene in predictions["scene"]],
        "predicted_class": predictions["native"].to_numpy(np.int64),
    }
    if np.isfinite(predictions["confidence"].to_numpy(np.float32)).any():
        columns["predicted_probability"] = predictions["confidence"].to_numpy(np.float32)
    if top5:
        columns["top5"] = [" ".join(map(str, best)) for best in predictions["top5"]]
    if not _is_implied(predictions):
        columns["prediction"] = predictions["prediction"].to_numpy(np.int64)
    several = {name: predictions[name].to_numpy() for name in _RUN if len(set(predictions[name])) > 1}
    return pd.DataFrame(columns | several)


def export_predictions(
    predictions: pd.DataFrame,
    folder: Path | str,
    *,
    file_names: Mapping[str, str] | None = None,
    top5: bool = False,
) -> tuple[Path, ...]:
    """Write predictions in the form of imagenet-x, one CSV file per data set, model and variant.

    Args:
        predictions: From `bglab.predict` or `bglab.read_predictions`.
        folder: Folder for the files ``<dataset>/<model>/<variant>.csv``; it is created.
        file_names: File name of each scene; by default its id.
        top5: Whether to add the column ``top5``.

    Returns:
        Paths of the files.

    Raises:
        BadInput: If the table is empty or lacks a column, or the folder cannot be written.
    """
    to_table(predictions, file_names=file_names, top5=top5)  # checks the whole table before anything is written
    paths = []
    for run, rows in predictions.groupby(_RUN, sort=False):
        dataset, model, variant = (str(part) for part in cast("tuple[Any, ...]", run))
        path = Path(folder) / file_name(dataset) / model_file_name(model) / f"{file_name(variant)}.csv"
        write_table(to_table(rows, file_names=file_names, top5=top5), path)
        paths.append(path)
    return tuple(paths)


def write_table(table: pd.DataFrame, path: Path | str) -> None:
    """Write a table as CSV, whole or not at all.

    Raises:
        BadInput: If the file cannot be written.
    """
    write_text(path, table.to_csv(index=False, lineterminator="\n"), what="a table")


def _is_implied(predictions: pd.DataFrame) -> bool:
    """Check that the prediction among the set's classes follows from the one among the model's own."""
    if not {"prediction", "space", "native_space"} <= {*predictions.columns}:
        return True
    native, prediction = predictions["native"].to_numpy(np.int64), predictions["prediction"].to_numpy(np.int64)
    maps = ((predictions["native_space"] == "imagenet") & (predictions["space"] == "in9")).to_numpy(bool)
    expected = native.copy()
    expected[maps] = to_in9(native[maps])
    return bool((expected == prediction).all())
