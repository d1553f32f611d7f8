"""Saliency tables as files, read and written without torch.

``<results>/saliency/<dataset>/<model>/<variant>-<method>-<target>.parquet`` holds one row per image. A file is written
whole or not at all and never appended to, so a run resumes from the files that exist.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.locations import Place, place_of
from bglab.results.checks import odd_rows
from bglab.results.names import earlier_file_name, file_name, may_begin
from bglab.results.predictions import PREDICTION_SCHEMA
from bglab.results.stored import encode_table, read_stored, result_files, run_file

if TYPE_CHECKING:
    import pandas as pd

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

#: Smallest and largest value of each measure.
_LIMITS = {
    **dict.fromkeys(("confidence", *_MEASURES), (0.0, 1.0)),
    **dict.fromkeys(("drift_inside", "drift_outside"), (-1.0, 1.0)),
}
_REMEDY = "remove it, and make it again with bglab saliency"

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


def saliency_file(results: Place, dataset: str, model: str, variant: str, how: str) -> Place:
    """Return the path of the saliency table of one model on one variant, by the rules of `prediction_file`.

    Args:
        results: Results folder.
        dataset: Key of the data set.
        model: URI of the weights.
        variant: Name of the variant.
        how: Method and target, such as ``grad_cam-predicted``.
    """
    # a hyphen in the variant could belong to either part; a slash is in no method, and gives the name a digest
    name = file_name(f"{variant}{'/' if '-' in variant else '-'}{how}")
    run = {"model": model, "dataset": dataset, "variant": variant}
    return run_file(results / "saliency", run, name, f"{variant}-{earlier_file_name(how)}")


def write_saliency(path: Place, rows: pd.DataFrame, provenance: Mapping[str, Any]) -> None:
    """Write one saliency table with its provenance, whole or not at all.

    Raises:
        BadInput: If a row has a class, probability or measure that does not exist, or a scene twice, or the folder
            cannot be written.
    """
    odd = odd_rows(rows, provenance, _LIMITS)
    if odd:
        raise BadInput(f"expected saliency rows to write to {path}, got {odd}; check the model and the labels")
    columns = {name: rows[name] for name in SALIENCY_SCHEMA.names}
    content = encode_table(pa.Table.from_pydict(columns, schema=SALIENCY_SCHEMA), provenance)
    with whole_file(path, what="saliency", remedy="choose a folder you can write to with --results") as file:
        file.write(content)


def saliency_rows(stored: pa.Table) -> pd.DataFrame:
    """Return a stored table with integer columns of type int64, and measures of type float64."""
    kinds = dict.fromkeys(_WHOLE_NUMBERS, np.int64) | dict.fromkeys(_MEASURES, np.float64)
    return stored.to_pandas().astype(kinds)


def saliency_files(results: Place) -> Iterator[Place]:
    """Yield all saliency files of a results folder, sorted by path."""
    yield from result_files(results / "saliency", ".parquet")


def read_saliency_file(path: Place) -> pd.DataFrame:
    """Read one saliency table; integer columns are int64, measures float64, and ``.attrs`` has the provenance.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If the file is damaged, has other columns, or rows that no run writes.
    """
    stored = read_stored(path, SALIENCY_SCHEMA, what="saliency rows", remedy=_REMEDY)
    table = saliency_rows(stored.table)
    odd = odd_rows(table, stored.provenance, _LIMITS)
    if odd:
        raise BadInput(f"expected saliency rows in {path}, got {odd}; {_REMEDY}")
    table.attrs.update(stored.provenance)
    return table


def read_saliency(results: Path | str, *, dataset: str = "") -> pd.DataFrame:
    """Read all saliency tables of a results folder as one table.

    Args:
        results: The folder given to ``bglab saliency --results``, or its URL.
        dataset: Prefix of the data sets' keys, e.g. ``in9-bg_challenge``; "" reads all.

    Raises:
        MissingData: If there are no such tables.
        Unreadable: If the disk fails.
        BadInput: If a file is damaged.
    """
    import pandas as pd

    parts = [
        read_saliency_file(path) for path in saliency_files(place_of(results)) if may_begin(path.parts[-3], dataset)
    ]
    chosen = [part for part in parts if part["dataset"].iloc[0].startswith(dataset)]
    if not chosen:
        which = f" of '{dataset}'" if dataset else ""
        raise MissingData(f"no saliency{which} under {results}; make it with bglab saliency --results {results} …")
    for part in chosen:
        part.attrs = {}
    return pd.concat(chosen, ignore_index=True)
