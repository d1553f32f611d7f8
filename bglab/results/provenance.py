"""How a result was made: versions, commit, and what is stored in each file."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

_LOG = logging.getLogger(__name__)

_PROVENANCE = b"bglab"


_VERSIONED = ("bglab", "torch", "torchvision", "timm", "openvino", "numpy", "pillow", "opencv-python-headless")


def file_name(text: str) -> str:
    """Turn any identifier into one path component that still reads well.

    Example:
        >>> file_name("tv:resnet50/IMAGENET1K_V1")
        'tv-resnet50-IMAGENET1K_V1'
    """
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", text).strip("-.") or "unnamed"


def read_provenance(path: Path) -> dict[str, Any]:
    """Read how a prediction file was made; empty if it is no such file or cannot be read."""
    try:
        kept = pq.read_schema(path).metadata or {}
        return json.loads(kept.get(_PROVENANCE, b"{}"))
    except (OSError, pa.ArrowInvalid, json.JSONDecodeError):
        return {}


def reusable(path: Path, wanted: Mapping[str, Any], fields: Collection[str]) -> dict[str, Any]:
    """Return the provenance of a stored result that can stand in for a new run.

    The one rule by which every computation resumes: a result is read instead of computed again if all fields that
    decide about its content are the same. A result that was made otherwise is named in a warning.

    Args:
        path: Where the result would be stored.
        wanted: Provenance of the run that is asked for.
        fields: Names of the fields that must agree; those that ``wanted`` does not know yet are not compared.

    Returns:
        The stored provenance, or an empty dictionary if there is no result or it differs.
    """
    stored = read_provenance(path)
    differing = [name for name in fields if name in wanted and stored.get(name) != wanted[name]]
    if stored and differing:
        what = ", ".join(f"{name} was {stored.get(name)}, is {wanted[name]}" for name in differing)
        _LOG.warning("computing %s again, since it was made otherwise: %s", path, what)
    return {} if differing else stored


def versions() -> dict[str, str]:
    """List the versions of what a result depends on; what is not installed is left out."""
    found: dict[str, str] = {}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Give the checkout's commit, read from its files; "" outside a checkout."""
    root = Path(__file__).resolve().parents[2] / ".git"
    try:
        head = (root / "HEAD").read_text().strip()
        if not head.startswith("ref: "):
            return head[:12]
        ref = head.removeprefix("ref: ")
        loose = root / ref
        if loose.is_file():
            return loose.read_text().strip()[:12]
        packed = (root / "packed-refs").read_text().splitlines()
        return next((line[:12] for line in packed if line.endswith(ref)), "")
    except OSError:
        return ""
