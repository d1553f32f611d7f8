"""Saliency rows as files; like all results they are read without torch.

``<results>/saliency/<dataset>/<model>/<variant>-<method>-<target>.parquet`` holds one row per image. A file is written
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
from bglab.results.predictions import PREDICTION_SCHEMA
from bglab.results.provenance import file_name

_WHOLE_NUMBERS = ("label", "native_label", "prediction", "native", "target")
_MEASURES = (
    "share_on_object",  # share of the map's saliency on the object; NaN for a map without any, as all below
    "mask_area",  # share of the image that is the object: what a blind map has on it
    "pointing",  # 1 where the map's maximum lies on or near the object, else 0
    "pointing_chance",
    "iou",  # overlap of the most salient pixels with the object, over their union
    "iou_chance",
    "auc",  # chance that an object pixel is more salient than a background pixel
    "drift_inside",  # rank correlation on the object with the map of the same class on Original; NaN on Original
    "drift_outside",
)

#: Columns of the saliency table: those of a prediction, what was explained and how, and what the map shows.
SALIENCY_SCHEMA = pa.schema(
    [
        *(field for field in PREDICTION_SCHEMA if field.name != "top5"),
        ("method", pa.string()),
        ("target_rule", pa.string()),  # predicted, true, background, or a class index
        ("target", pa.int16()),  # the class explained, among the model's own
        *((name, pa.float32()) for name in _MEASURES),
    ]
)


def saliency_file(results: Path, dataset: str, model: str, variant: str, how: str) -> Path:
    """Return the path of the saliency rows of one model on one variant; ``how`` names method and target."""
    return results / "saliency" / dataset / file_name(model) / f"{variant}-{file_name(how)}.parquet"


def write_saliency(path: Path, rows: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write one saliency table with its provenance, whole or not at all.

    Raises:
        BadInput: If the folder cannot be written.
    """
    table = pa.Table.from_pydict({name: rows[name] for name in SALIENCY_SCHEMA.names}, schema=SALIENCY_SCHEMA)
    table = table.replace_schema_metadata({b"bglab": json.dumps(dict(provenance), sort_keys=True).encode()})
    with whole_file(path, what="saliency", remedy="choose a folder you can write to with --results") as file:
        pq.write_table(table, file, compression="zstd")


def saliency_files(results: Path) -> Iterator[Path]:
    """Go through all saliency files of a results folder, in a fixed order."""
    yield from sorted(p for p in (results / "saliency").glob("*/*/*.parquet") if not p.name.startswith("."))


def read_saliency_file(path: Path) -> pd.DataFrame:
    """Read one saliency table.

    Raises:
        BadInput: If the file is broken.
    """
    try:
        table = pq.read_table(path, schema=SALIENCY_SCHEMA).to_pandas()
    except (OSError, pa.ArrowInvalid) as problem:
        raise BadInput(f"expected saliency rows in {path}, but reading failed ({problem}); remove it") from None
    return table.astype(dict.fromkeys(_WHOLE_NUMBERS, np.int64) | dict.fromkeys(_MEASURES, np.float64))


def read_saliency(results: Path | str, *, dataset: str = "") -> pd.DataFrame:
    """Read all saliency rows of a results folder as one table.

    Args:
        results: The folder given to ``bglab saliency --results``.
        dataset: Only data sets whose key starts so, e.g. ``in9-bg_challenge``.

    Raises:
        MissingData: If there are none.
        BadInput: If a file is broken.
    """
    chosen = [p for p in saliency_files(Path(results)) if p.parts[-3].startswith(dataset)]
    if not chosen:
        which = f" of '{dataset}'" if dataset else ""
        raise MissingData(f"no saliency{which} under {results}; make it with bglab saliency --results {results} …")
    return pd.concat([read_saliency_file(path) for path in chosen], ignore_index=True)
