"""Compare two prediction files: in which settings they differ, and for which images the predicted class changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bglab.analysis.metrics import Space, mark_correct
from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.locations import place_of
from bglab.results import read_predictions_file, read_provenance

#: Fields that name or time a run, and follow from the other fields.
_OUTCOMES = frozenset({"dataset", "seconds", "images_per_s", "rejected", "rows", "area"})
#: Parts of a field that are listed under names of their own; the parts of other dictionaries get dotted names.
_UNFOLDED = "preprocessing"


class FieldDifference(NamedTuple):
    """A field of the provenance that differs between two files.

    Attributes:
        name: Name of the field; ``versions.torch`` is the part ``torch`` of ``versions``.
        a: Its value in the first file, None if it is absent there.
        b: Its value in the second file.
    """

    name: str
    a: Any
    b: Any


@dataclass(frozen=True, eq=False)
class Change:
    """How predictions changed from one table to another.

    Attributes:
        top1_before: Accuracy of the first table over all of its images, in [0, 1].
        top1_after: Accuracy of the second table over all of its images, in [0, 1].
        images: Images whose predicted class differs, and those that only one table has: columns ``scene``, ``label``
            (the true class), ``before`` and ``after`` (predicted classes, NA where absent), in the space compared.
        common: Number of images that both tables have.
    """

    top1_before: float
    top1_after: float
    images: pd.DataFrame
    common: int

    @property
    def points(self) -> float:
        """Change of accuracy in percentage points."""
        return 100 * (self.top1_after - self.top1_before)


@dataclass(frozen=True, eq=False)
class FileComparison:
    """Two prediction files, compared.

    Attributes:
        fields: The fields of the provenance in which they differ.
        change: What changed in the predictions.
        classes: Names of the classes in ``change``; () if the files name other classes.
    """

    fields: tuple[FieldDifference, ...]
    change: Change
    classes: tuple[str, ...] = ()

    def class_name(self, label: int) -> str:
        """Return the name of a class in ``change``, its number if the name is unknown."""
        return "outside" if label == OUTSIDE else self.classes[label] if self.classes else str(label)


def read_both(path: Path | str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Read a prediction table and its provenance.

    Raises:
        BadInput: If the file cannot be read, or has no provenance.
    """
    place = place_of(path)
    table, provenance = read_predictions_file(place), read_provenance(place)
    if not provenance:
        raise BadInput(f"expected predictions with their provenance in {path}, got none; make them with bglab predict")
    return table, provenance


def compare_files(a: Path | str, b: Path | str) -> FileComparison:
    """Compare two prediction files of bglab.

    Args:
        a: Path of the first file, ``<results>/predictions/<dataset>/<model>/<variant>.parquet``, or its
            URL.
        b: Path of the second file.

    Raises:
        BadInput: If a file cannot be read, or the two have no label space in common.
    """
    (table_a, about_a), (table_b, about_b) = read_both(a), read_both(b)
    classes = tuple(about_a.get("classes", ())) if about_a.get("classes") == about_b.get("classes") else ()
    return FileComparison(compare_provenance(about_a, about_b), compare_tables(table_a, table_b), classes)


def compare_provenance(a: Mapping[str, Any], b: Mapping[str, Any]) -> tuple[FieldDifference, ...]:
    """List the fields in which two provenances differ, in the order of the first.

    Example:
        >>> compare_provenance({"seed": 0, "versions": {"torch": "2.6"}}, {"seed": 1, "versions": {"torch": "2.6"}})
        (FieldDifference(name='seed', a=0, b=1),)
    """
    before, after = _flat(a), _flat(b)
    names = dict.fromkeys((*before, *after))
    pairs = (FieldDifference(name, before.get(name), after.get(name)) for name in names)
    return tuple(pair for pair in pairs if pair.a != pair.b)


def compare_tables(before: pd.DataFrame, after: pd.DataFrame) -> Change:
    """Compare the predictions of two tables, image by image.

    Predictions are compared in the tables' label space, or in the nine classes if one of them is in ImageNet's.

    Args:
        before: Prediction table with one row per scene.
        after: Prediction table of the same scenes, or of some of them.

    Raises:
        BadInput: If the tables have no label space in common, or a scene has two rows.
    """
    space = _common_space(before, after)
    marked = [mark_correct(table, space=space).set_index("scene") for table in (before, after)]
    for table in marked:
        if table.index.has_duplicates:
            raise BadInput(f"expected one row per scene, got two of {table.index[table.index.duplicated()][0]}")
    sides = [table[["answer", "label"]].add_suffix(end) for table, end in zip(marked, ("_a", "_b"), strict=True)]
    joined = sides[0].join(sides[1], how="outer")
    answers = joined[["answer_a", "answer_b"]].astype("Int64").set_axis(["before", "after"], axis=1)
    labels = joined["label_a"].where(joined["label_a"].notna(), joined["label_b"]).astype("Int64")
    both = answers.notna().all(axis=1)
    changed = ~both | (answers["before"] != answers["after"]).fillna(value=True).astype(bool)
    images = answers.assign(label=labels).loc[changed, ["label", "before", "after"]]
    common = int(np.count_nonzero(both))
    top1 = [float(np.mean(table["correct"].to_numpy(dtype=bool))) for table in marked]
    return Change(top1[0], top1[1], images.rename_axis("scene").reset_index(), common)


def _common_space(before: pd.DataFrame, after: pd.DataFrame) -> Space | None:
    spaces = {str(space) for table in (before, after) for space in table["space"].unique()}
    if len(spaces) == 1:
        return None
    if spaces == {"in9", "imagenet"}:
        return "in9"
    raise BadInput(f"expected two tables of one label space, got {' and '.join(sorted(spaces))}")


def _flat(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """List the fields of a provenance under their own names, those of dictionaries one by one."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(dict(provenance))).items():
        if name in _OUTCOMES:
            continue
        if isinstance(value, Mapping):
            prefix = "" if name == _UNFOLDED else f"{name}."
            flat |= {f"{prefix}{part}": content for part, content in value.items()}
        else:
            flat[name] = value
    return flat
