"""Evidence and captures as values that JSON can hold, and back."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

import pandas as pd

from bglab.analysis import json_value
from bglab.audit.captures import Capture, decode
from bglab.audit.evidence import Evidence
from bglab.audit.measures import COLUMNS

_BYTES = ("own_image", "image")
_PROBABILITIES = ("own_probability", "probability")
_FLOATS = dict.fromkeys(("value", "low", "high", "chance"), float)


def evidence_columns(one: Evidence, *, whole: bool) -> dict[str, Any]:
    """Write evidence as columns of its tables; only the measures unless it is ``whole``."""
    tables = {"table": one.table} | ({"images": one.images, "objects": one.objects} if whole else {})
    columns = {
        table: {str(name): [json_value(cell) for cell in rows[name].tolist()] for name in rows.columns}
        for table, rows in tables.items()
    }
    return {"model": one.model, "digest": one.digest} | columns


def read_evidence(content: Mapping[str, Any]) -> Evidence:
    """Read what `evidence_columns` wrote."""
    images, objects = (pd.DataFrame(content.get(name, {})) for name in ("images", "objects"))
    objects = objects.astype({name: float for name in objects.columns if name != "scene"})
    table = pd.DataFrame({name: content["table"][name] for name in COLUMNS}).astype(_FLOATS)
    return Evidence(str(content["model"]), str(content["digest"]), table, images, objects)


def capture_columns(capture: Capture) -> dict[str, Any]:
    """Write a capture, its images in base64."""
    return capture._asdict() | {name: base64.b64encode(getattr(capture, name)).decode() for name in _BYTES}


def read_capture(content: Mapping[str, Any]) -> Capture:
    """Read what `capture_columns` wrote.

    Raises:
        ValueError: If a text, probability or image is none; also TypeError and KeyError.
    """
    images = {name: base64.b64decode(content[name], validate=True) for name in _BYTES}
    for image in images.values():
        decode(image)
    for name in Capture._fields:
        value = content[name]
        is_right = isinstance(value, str) if name not in _PROBABILITIES else _is_share(value)
        if not is_right:
            raise ValueError(f"expected {'a number from 0 to 1' if name in _PROBABILITIES else 'text'} as {name}")
    return Capture(**{**content, **images})


def _is_share(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 1
