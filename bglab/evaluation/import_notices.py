"""What was unusual about a table of another program: rows left out, names not in the set, scenes without prediction."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from bglab.evaluation.row_matching import Accepted
from bglab.results import TextTable, shorten
from bglab.variants import Dataset

if TYPE_CHECKING:
    import pandas as pd

#: Number of rows and names that a sentence lists; ``.attrs`` of the table has all.
_LISTED = 5


def import_notices(tables: Sequence[pd.DataFrame]) -> list[str]:
    """List what was unusual about imported tables, one sentence each, without repetitions."""
    return list(dict.fromkeys(notice for table in tables for notice in table.attrs["notices"]))


def differing_labels(text: TextTable, found: Accepted, part: Dataset) -> str:
    """Describe in how many rows a column of true labels differs from the set's, which hints at other scenes."""
    if not {"label", "scene"} <= {*text.columns}:
        return ""
    labels = {row.scene: str(row.label) for row in part.rows}
    differing = [
        text.where[i]
        for scene, i in found.positions.items()
        if scene in labels and text.rows[i]["label"].removesuffix(".0") not in {"", labels[scene]}
    ]
    if not differing:
        return ""
    return f"the true labels of {len(differing)} rows differ from those of the scenes ({_list(differing)})"


def row_notices(text: TextTable, found: Accepted, missing: Sequence[str], count: int, where: str) -> list[str]:
    """Describe everything unusual about the rows of one model on one variant."""
    notices: list[str] = []
    if found.left_out:
        reasons = "; ".join(f"{place}: {reason}" for place, reason in found.left_out[:_LISTED])
        more = f"; … and {len(found.left_out) - _LISTED} more" if len(found.left_out) > _LISTED else ""
        notices.append(f"{len(found.left_out)} rows of {where} left out: {reasons}{more}")
    if found.unknown:
        notices.append(f"{len(found.unknown)} file names of {where} are not in the set: {_list(found.unknown)}")
    if found.not_shown:
        notices.append(
            f"{len(found.not_shown)} images of {where} are in the set but this variant does not show them: "
            f"{_list(found.not_shown)}"
        )
    if found.repeated:
        notices.append(f"{len(found.repeated)} rows of {where} repeat another and count once: {_list(found.repeated)}")
    if missing:
        notices.append(
            f"{len(missing)} of {count} scenes have no prediction of {where} and are left out: {_list(missing)}"
        )
    if any(not c.top5 for c in found.cells.values()):
        notices.append(f"{text.source} has no column top5 or no value there: top-5 accuracy is not defined")
    without = sum(c.confidence is None for c in found.cells.values())
    if 0 < without < len(found.cells):
        notices.append(f"{without} rows of {where} have no probability")
    return notices


def broken_lines(text: TextTable) -> list[str]:
    """Describe lines of the file that cannot be read, in one sentence or none."""
    if not text.broken:
        return []
    reasons = "; ".join(f"{place}: {reason}" for place, reason in text.broken[:_LISTED])
    more = f"; … and {len(text.broken) - _LISTED} more" if len(text.broken) > _LISTED else ""
    return [f"{len(text.broken)} lines of {text.source} cannot be read: {reasons}{more}"]


def _list(names: Sequence[str]) -> str:
    listed = ", ".join(shorten(name) for name in names[:_LISTED])
    return f"{listed}, …" if len(names) > _LISTED else listed
