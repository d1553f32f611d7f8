"""Prediction tables as files, read and written without torch.

``<results>/predictions/<dataset>/<model>/<variant>.parquet`` holds one row per image. A file is written whole or not
at all and never appended to, so a run resumes from the files that exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.locations import Place, place_of
from bglab.results.checks import odd_rows
from bglab.results.names import file_name, may_begin
from bglab.results.stored import encode_table, read_stored, result_files, run_file

if TYPE_CHECKING:
    import pandas as pd

#: Columns of the prediction table.
PREDICTION_SCHEMA = pa.schema(
    [
        ("model", pa.string()),  # URI of the exact weights
        ("dataset", pa.string()),  # key of the data set: name, fingerprint, size, seed
        ("variant", pa.string()),
        ("scene", pa.string()),  # id of the scene of the foreground
        ("donor", pa.string()),  # id of the scene of the background; "" if the same, none or unknown
        ("label", pa.int16()),  # true class in the set's own label space
        ("native_label", pa.int16()),  # true ImageNet index; −1 if unknown
        ("prediction", pa.int16()),  # predicted class in the set's own label space; −1 is outside
        ("native", pa.int16()),  # predicted class among the model's own
        ("top5", pa.list_(pa.int16())),  # the five classes of highest logit among the model's own, best first
        ("confidence", pa.float32()),  # softmax probability of ``native``, in [0, 1]
        ("space", pa.string()),  # label space of ``label`` and ``prediction``
        ("native_space", pa.string()),  # label space of ``native`` and ``top5``
    ]
)
_WHOLE_NUMBERS = ("label", "native_label", "prediction", "native")
_LIMITS = {"confidence": (0.0, 1.0)}
_REMEDY = "remove it, and make it again with bglab predict or bglab import"


def prediction_file(results: Place, dataset: str, model: str, variant: str) -> Place:
    """Return the path of the predictions of one model on one variant.

    Different models, data sets and variants have different files, whatever their names; no name leads out of the
    folder. A file that an earlier version wrote under a name that others share is found if its provenance says that it
    is of exactly this run.

    Args:
        results: Results folder.
        dataset: Key of the data set.
        model: URI of the weights.
        variant: Name of the variant.
    """
    run = {"model": model, "dataset": dataset, "variant": variant}
    return run_file(results / "predictions", run, file_name(variant), variant)


def write_predictions(path: Place, predictions: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write one prediction table with its provenance, whole or not at all.

    Args:
        path: From `prediction_file`.
        predictions: Table with at least the columns of `PREDICTION_SCHEMA`.
        provenance: Weights, pixels, engine and versions it was computed with; must be JSON.

    Raises:
        BadInput: If a row has a class or probability that does not exist, or a scene twice, or the folder cannot be
            written.
    """
    odd = odd_rows(predictions, provenance, _LIMITS)
    if odd:
        raise BadInput(f"expected predictions to write to {path}, got {odd}; check the model and the labels")
    columns = {name: predictions[name] for name in PREDICTION_SCHEMA.names}
    content = encode_table(pa.Table.from_pydict(columns, schema=PREDICTION_SCHEMA), provenance)
    with whole_file(path, what="results", remedy="choose a folder you can write to with --results") as file:
        file.write(content)


def prediction_rows(stored: pa.Table) -> pd.DataFrame:
    """Return a stored table with integer columns of type int64."""
    return stored.to_pandas().astype(dict.fromkeys(_WHOLE_NUMBERS, np.int64))


def prediction_files(results: Place) -> Iterator[Place]:
    """Yield all prediction files of a results folder, sorted by path."""
    yield from result_files(results / "predictions", ".parquet")


def read_predictions_file(path: Place) -> pd.DataFrame:
    """Read one prediction table; integer columns are int64, and ``.attrs`` has the provenance.

    Raises:
        MissingData: If there is no such file.
        Unreadable: If the disk fails.
        BadInput: If the file is damaged, has other columns, or rows that no run writes.
    """
    if not path.is_file():
        raise MissingData(f"expected predictions in {path}, but there is no such file; make it with bglab predict")
    stored = read_stored(path, PREDICTION_SCHEMA, what="predictions", remedy=_REMEDY)
    table = prediction_rows(stored.table)
    odd = odd_rows(table, stored.provenance, _LIMITS)
    if odd:
        raise BadInput(f"expected predictions in {path}, got {odd}; {_REMEDY}")
    table.attrs.update(stored.provenance)
    return table


def read_predictions(
    results: Path | str, *, dataset: str | None = None, damaged: Literal["raise", "skip"] = "raise"
) -> pd.DataFrame:
    """Read all predictions of a results folder as one table.

    Args:
        results: The folder given to ``bglab predict --results``, or its URL.
        dataset: Prefix of the data sets' keys, e.g. ``in9-bg_challenge``; None reads all.
        damaged: Whether to ``raise`` at a damaged file, or to ``skip`` it; ``.attrs["damaged"]`` then lists what is
            wrong with each.

    Raises:
        MissingData: If there are no such predictions.
        Unreadable: If the disk fails.
        BadInput: If a file is damaged, or two files are of one run, as a copy is.
    """
    import pandas as pd

    parts, skipped = [], []
    whose: dict[tuple[str, ...], Place] = {}
    prefix = dataset or ""
    for path in prediction_files(place_of(results)):
        if not may_begin(path.parts[-3], prefix):
            continue
        try:
            part = read_predictions_file(path)
            if not part["dataset"].iloc[0].startswith(prefix):
                continue
            _check_once(part, path, whose)
        except BadInput as problem:
            if damaged == "raise":
                raise
            skipped.append(str(problem))
            continue
        part.attrs = {}
        parts.append(part)
    if not parts and skipped:
        raise BadInput(f"expected predictions under {results}, but no file can be read; the first: {skipped[0]}")
    if not parts:
        which = f" of '{dataset}'" if dataset else ""
        raise MissingData(f"no predictions{which} under {results}; make them with bglab predict --results {results} …")
    table = pd.concat(parts, ignore_index=True)
    table.attrs["damaged"] = skipped
    return table


def _check_once(part: pd.DataFrame, path: Place, whose: dict[tuple[str, ...], Place]) -> None:
    """Check that no file before has predictions of the same run, which would count twice."""
    runs = part[["model", "dataset", "variant"]].drop_duplicates().itertuples(index=False, name=None)
    for run in runs:
        other = whose.setdefault(run, path)
        if other != path:
            raise BadInput(
                f"expected one file of {run[0]} on {run[1]}, {run[2]}, got {other} and {path}; remove one of them"
            )
