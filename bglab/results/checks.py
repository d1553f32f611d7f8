"""What rows of results must be like: classes that exist, probabilities, and each image once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int, Shaped

from bglab.labels import NAMED_SPACES, OUTSIDE, class_names

if TYPE_CHECKING:
    import pandas as pd

#: What single precision may add to 1.
_ROUNDING = 1e-5
_RUN = ["model", "dataset", "variant"]


def odd_rows(rows: pd.DataFrame, provenance: Mapping[str, Any], limits: Mapping[str, tuple[float, float]]) -> str:
    """Describe what is wrong with the rows of a table of predictions or saliency; "" if nothing is.

    Args:
        rows: Columns as in `bglab.results.PREDICTION_SCHEMA`.
        provenance: How they were made.
        limits: Smallest and largest value of columns of numbers, which may be NaN where they are unknown.
    """
    return next(_odd_rows(rows, provenance, limits), "")


def odd_provenance(provenance: Mapping[str, Any]) -> str:
    """Name the entry of a provenance that is of another kind than readers expect; "" if none is."""
    texts = ("model", "dataset", "variant", "weights_sha256", "file_sha256", "native_space", "space", "fingerprint")
    for name in texts:
        if not isinstance(provenance.get(name, ""), str):
            return f"the entry {name} of its provenance is not a text"
    classes, rejected = provenance.get("classes", []), provenance.get("rejected", [])
    if not _is_list_of(classes, str):
        return "the entry classes of its provenance is not a list of names"
    if not _is_list_of(rejected, list) or not all(len(entry) == 3 and _is_list_of(entry, str) for entry in rejected):
        return "the entry rejected of its provenance is not a list of scene, file and reason"
    for name in ("preprocessing", "transform"):
        if not isinstance(provenance.get(name, {}), dict):
            return f"the entry {name} of its provenance is not a dictionary"
    return ""


def beyond_space(labels: Int[np.ndarray, "*shape"], space: str, classes: tuple[str, ...], least: int = OUTSIDE) -> str:
    """Name a label that no class of a label space has; "" if all have one.

    Args:
        labels: Labels.
        space: Their label space.
        classes: Names of its classes; () if they are unknown.
        least: Smallest label.
    """
    known = class_names(space) if space in NAMED_SPACES else classes
    odd = (labels < least) | ((labels >= len(known)) if known else False)
    return f"the label {labels[odd].flat[0]}, which no class of {space} has" if odd.any() else ""


def _odd_rows(
    rows: pd.DataFrame, provenance: Mapping[str, Any], limits: Mapping[str, tuple[float, float]]
) -> Iterator[str]:
    yield from filter(None, [odd_provenance(provenance)])
    if rows.empty:
        yield "no rows"
    for name in (*_RUN, "scene", "space", "native_space"):
        if "" in set(rows[name]):
            yield f"rows without a {name}"
    yield from _odd_labels(rows, tuple(provenance.get("classes", ())))
    for name, (least, most) in limits.items():
        values = rows[name].to_numpy(np.float64)
        odd = (values < least - _ROUNDING) | (values > most + _ROUNDING)
        if odd.any():
            yield f"{name} of {values[odd][0]:g}, not between {least:g} and {most:g}"
    if provenance.get("weights_sha256") and np.isnan(rows["confidence"].to_numpy(np.float64)).any():
        yield "confidences that are not numbers"
    twice = rows["scene"].to_numpy()[rows.duplicated([*_RUN, "scene"]).to_numpy()]
    if len(twice):
        yield f"the scene '{twice[0]}' twice"


def _odd_labels(rows: pd.DataFrame, classes: tuple[str, ...]) -> Iterator[str]:
    for space, part in rows.groupby("space", sort=False):
        labels = part[["label", "prediction"]].to_numpy(np.int64)
        yield from filter(None, [beyond_space(labels, str(space), classes)])
    for space, part in rows.groupby("native_space", sort=False):
        same = classes if set(part["space"]) == {space} else ()
        yield from filter(None, [beyond_space(_natives(part), str(space), same)])
    native_labels = rows["native_label"].to_numpy(np.int64)
    yield from filter(None, [beyond_space(native_labels, "imagenet", ())])


def _natives(part: pd.DataFrame) -> Int[np.ndarray, " n"]:
    columns: list[Shaped[np.ndarray, " n"]] = [part["native"].to_numpy()]
    columns += [part["target"].to_numpy()] if "target" in part else []
    columns += [np.asarray(best) for best in part["top5"]] if "top5" in part else []
    return np.concatenate(columns).astype(np.int64)


def _is_list_of(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(isinstance(value, kind) for value in values)
