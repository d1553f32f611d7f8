"""How a result was made: versions, commit, and what is stored in each file."""

from __future__ import annotations

import json
import re
from importlib import metadata
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

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
