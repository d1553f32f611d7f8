"""Saliency tables as files, read and written without torch.

``<results>/saliency/<dataset>/<model>/<variant>-<method>-<target>.parquet`` holds one row per image. A file is written
whole or not at all and never appended to, so a run resumes from the files that exist.
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
    "share_on_object",  # fraction of the map's sum inside the mask; NaN for a map of zeros, like all below
    "mask_area",  # fraction of the image inside the mask: the share of a constant map
    "pointing",  # pointing game: 1 if the map's maximum lies on or near the object, else 0
    "pointing_chance",  # expected value for a random map
    "iou",  # intersection over union of the most salient pixels and the mask
    "iou_chance",  # expected value for a random map
    "auc",  # probability that a pixel of the object is more salient than one of the background
    "drift_inside",  # rank correlation, inside the mask, with the map of the same class on Original; NaN on Original
    "drift_outside",  # the same outside the mask
)

#: Columns of the saliency table: those of the prediction table, method and target, and the measures of the map.
SALIENCY_SCHEMA = pa.schema(
    [
        *(field for field in PREDICTION_SCHEMA if field.name != "top5"),
        ("method", pa.string()),
        ("target_rule", pa.string()),  # predicted, true, background, or a class index
        ("target", pa.int16()),  # the explained class, among the model's own
        *((name, pa.float32()) for name in _MEASURES),
    ]
)


def saliency_file(results: Path, dataset: str, model: str, variant: str, how: str) -> Path:
    """Return the path of the saliency table of one model on one variant; ``how`` names method and target."""
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
    """Yield all saliency files of a results folder, sorted by path."""
    yield from sorted(p for p in (results / "saliency").glob("*/*/*.parquet") if not p.name.startswith("."))


def read_saliency_file(path: Path) -> pd.DataFrame:
    """Read one saliency table; integer columns are int64, measures float64.

    Raises:
        BadInput: If the file is broken.
    """
    try:
        table = pq.read_table(path, schema=SALIENCY_SCHEMA).to_pandas()
    except (OSError, pa.ArrowInvalid) as problem:
        raise BadInput(f"expected saliency rows in {path}, but reading failed ({problem}); remove it") from None
    return table.astype(dict.fromkeys(_WHOLE_NUMBERS, np.int64) | dict.fromkeys(_MEASURES, np.float64))


def read_saliency(results: Path | str, *, dataset: str = "") -> pd.DataFrame:
    """Read all saliency tables of a results folder as one table.

    Args:
        results: The folder given to ``bglab saliency --results``.
        dataset: Prefix of the data sets' keys, e.g. ``in9-bg_challenge``; "" reads all.

    Raises:
        MissingData: If there are no such tables.
        BadInput: If a file is broken.
    """
    chosen = [p for p in saliency_files(Path(results)) if p.parts[-3].startswith(dataset)]
    if not chosen:
        which = f" of '{dataset}'" if dataset else ""
        raise MissingData(f"no saliency{which} under {results}; make it with bglab saliency --results {results} …")
    return pd.concat([read_saliency_file(path) for path in chosen], ignore_index=True)
