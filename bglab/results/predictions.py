"""Prediction tables as files, read and written without torch.

``<results>/predictions/<dataset>/<model>/<variant>.parquet`` holds one row per image. A file is written whole or not
at all and never appended to, so a run resumes from the files that exist.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.results.provenance import _PROVENANCE, file_name

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


def prediction_file(results: Path, dataset: str, model: str, variant: str) -> Path:
    """Return the path of the predictions of one model on one variant."""
    return results / "predictions" / dataset / file_name(model) / f"{variant}.parquet"


def write_predictions(path: Path, predictions: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write one prediction table with its provenance, whole or not at all.

    Args:
        path: From `prediction_file`.
        predictions: Table with at least the columns of `PREDICTION_SCHEMA`.
        provenance: Weights, pixels, engine and versions it was computed with; must be JSON.

    Raises:
        BadInput: If the folder cannot be written.
    """
    columns = {name: predictions[name] for name in PREDICTION_SCHEMA.names}
    table = pa.Table.from_pydict(columns, schema=PREDICTION_SCHEMA)
    table = table.replace_schema_metadata({_PROVENANCE: json.dumps(dict(provenance), sort_keys=True).encode()})
    with whole_file(path, what="results", remedy="choose a folder you can write to with --results") as file:
        pq.write_table(table, file, compression="zstd")


def prediction_files(results: Path) -> Iterator[Path]:
    """Yield all prediction files of a results folder, sorted by path."""
    yield from sorted(p for p in (results / "predictions").glob("*/*/*.parquet") if not p.name.startswith("."))


def read_predictions_file(path: Path) -> pd.DataFrame:
    """Read one prediction table; integer columns are int64.

    Raises:
        MissingData: If there is no such file.
        BadInput: If the file is broken.
    """
    if not path.is_file():
        raise MissingData(f"expected predictions in {path}, but there is no such file; make it with bglab predict")
    try:
        table = pq.read_table(path, schema=PREDICTION_SCHEMA).to_pandas()
    except (OSError, pa.ArrowInvalid) as problem:
        raise BadInput(f"expected predictions in {path}, but reading failed ({problem}); remove it") from None
    return table.astype(dict.fromkeys(_WHOLE_NUMBERS, np.int64))


def read_predictions(results: Path | str, *, dataset: str | None = None) -> pd.DataFrame:
    """Read all predictions of a results folder as one table.

    Args:
        results: The folder given to ``bglab predict --results``.
        dataset: Prefix of the data sets' keys, e.g. ``in9-bg_challenge``; None reads all.

    Raises:
        MissingData: If there are no such predictions.
        BadInput: If a file is broken.
    """
    parts = []
    for path in prediction_files(Path(results)):
        if dataset is None or path.parts[-3].startswith(dataset):
            parts.append(read_predictions_file(path))
    if not parts:
        which = f" of '{dataset}'" if dataset else ""
        raise MissingData(f"no predictions{which} under {results}; make them with bglab predict --results {results} …")
    return pd.concat(parts, ignore_index=True)
