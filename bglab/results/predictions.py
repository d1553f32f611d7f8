"""The two artefacts everything else is a view of, as files; this module and all analysis do without torch.

``<results>/predictions/<dataset>/<model>/<variant>.parquet`` holds one row per image and model. A file is written
under a temporary name and renamed, never appended to, so a run resumes by asking which files exist.
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

#: Columns of the prediction table, and what they hold.
PREDICTION_SCHEMA = pa.schema(
    [
        ("model", pa.string()),  # URI of the exact weights
        ("dataset", pa.string()),  # key of the data set: name, fingerprint, how it was made
        ("variant", pa.string()),
        ("scene", pa.string()),  # whose foreground
        ("donor", pa.string()),  # whose background; "" if own, none or unknown
        ("label", pa.int16()),  # true class in the set's own label space
        ("native_label", pa.int16()),  # true ImageNet index; −1 if unknown
        ("prediction", pa.int16()),  # predicted class in the set's own space; −1 = outside
        ("native", pa.int16()),  # predicted class among the model's own
        ("top5", pa.list_(pa.int16())),  # the model's own classes, best first
        ("confidence", pa.float32()),  # softmax probability of ``native``
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

    Raises:
        BadInput: If the folder cannot be written.
    """
    columns = {name: predictions[name] for name in PREDICTION_SCHEMA.names}
    table = pa.Table.from_pydict(columns, schema=PREDICTION_SCHEMA)
    table = table.replace_schema_metadata({_PROVENANCE: json.dumps(dict(provenance), sort_keys=True).encode()})
    with whole_file(path, what="results", remedy="choose a folder you can write to with --results") as file:
        pq.write_table(table, file, compression="zstd")


def prediction_files(results: Path) -> Iterator[Path]:
    """Go through all prediction files of a results folder, in a fixed order."""
    yield from sorted(p for p in (results / "predictions").glob("*/*/*.parquet") if not p.name.startswith("."))


def read_predictions_file(path: Path) -> pd.DataFrame:
    """Read one prediction table.

    Raises:
        BadInput: If the file is broken.
    """
    try:
        table = pq.read_table(path, schema=PREDICTION_SCHEMA).to_pandas()
    except (OSError, pa.ArrowInvalid) as problem:
        raise BadInput(f"expected predictions in {path}, but reading failed ({problem}); remove it") from None
    return table.astype(dict.fromkeys(_WHOLE_NUMBERS, np.int64))


def read_predictions(results: Path | str, *, dataset: str | None = None) -> pd.DataFrame:
    """Read all predictions of a results folder as one table.

    Args:
        results: The folder given to ``bglab predict --results``.
        dataset: Only data sets whose key starts so, e.g. ``in9-bg_challenge``.

    Raises:
        MissingData: If there are none.
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
