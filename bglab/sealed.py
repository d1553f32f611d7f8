"""JSON with a digest of its own content, so that a changed digit is noticed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

_DIGEST = "sha256"


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """Add a digest to what is written as JSON.

    Args:
        content: JSON-compatible entries, finite numbers only.

    Example:
        >>> unseal(seal({"seconds": 1.5}))
        {'seconds': 1.5}
    """
    return {**content, _DIGEST: _digest_of(content)}


def unseal(content: object, *, required: bool = False) -> dict[str, Any]:
    """Check the digest of what was read from JSON, and take it off; files of earlier versions may have none.

    Args:
        content: What `json.loads` returned.
        required: Whether content without a digest is refused.

    Raises:
        ValueError: If it is no dictionary, has no digest that is required, or has changed since it was sealed.
    """
    if not isinstance(content, dict):
        raise ValueError(f"it is a {type(content).__name__}, not a dictionary")
    rest = {name: value for name, value in content.items() if name != _DIGEST}
    if required and _DIGEST not in content:
        raise ValueError("it has no digest")
    if _DIGEST in content and content[_DIGEST] != _digest_of(rest):
        raise ValueError("its content has changed since it was written")
    return rest


def _digest_of(content: Mapping[str, Any]) -> str:
    text = json.dumps(content, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
