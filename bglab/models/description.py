"""What the first run finds out about weights, kept in the cache, so that later runs need not build their network."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Callable
from dataclasses import asdict, fields
from typing import Any, NamedTuple, final

from bglab.cache_entries import CacheEntry
from bglab.errors import BadInput
from bglab.labels import NAMED_SPACES, class_names
from bglab.models.engines import Normalised
from bglab.models.spec import ModelSpec

_FILE = "description.json"


class Description(NamedTuple):
    """What is known of weights apart from their network.

    Attributes:
        spec: Identity and preprocessing, under the protocol ``as-is``.
        classes: Names of the classes of the logits.
        notes: What was read off the weights or assumed about them, one sentence each.
    """

    spec: ModelSpec
    classes: tuple[str, ...]
    notes: tuple[str, ...]


def find_description(uri: str, identity: str) -> Description | None:
    """Read what an earlier run found out about weights; None if none did, or other weights are there now.

    Args:
        uri: URI of the weights.
        identity: What determines them, from `bglab.models.sources.identify`.

    Raises:
        Unreadable: If the disk of the cache fails.
    """
    folder = _entry(uri, identity).find()
    if folder is None:
        return None
    try:
        found: dict[str, Any] = json.loads((folder / _FILE).read_bytes())
    except (OSError, ValueError):  # replaced by another process since it was found
        return None
    values: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in found["spec"].items()}
    spec = ModelSpec(**values)
    return Description(spec, tuple(found["classes"]) or class_names(spec.space), tuple(found["notes"]))


def keep_description(uri: str, identity: str, description: Description) -> None:
    """Cache what was found out about weights; where that is not possible, the next run finds it out again.

    Args:
        uri: URI of the weights.
        identity: As for `find_description`.
        description: What was found out.
    """
    classes = () if description.spec.space in NAMED_SPACES else description.classes
    content = {"spec": asdict(description.spec), "classes": classes, "notes": description.notes}
    with contextlib.suppress(BadInput), _entry(uri, identity).make() as folder:
        (folder / _FILE).write_text(json.dumps(content))


def _entry(uri: str, identity: str) -> CacheEntry:
    name = hashlib.blake2b(uri.encode(), digest_size=8).hexdigest()
    # a version with other fields knows more or less of the same weights
    known = " ".join(field.name for field in fields(ModelSpec))
    return CacheEntry(f"weights/{name}", f"{identity} {known}", "what is known of weights")


@final
class Deferred:
    """Loads a network when it is first called, and returns the same one from then on, in any thread.

    Args:
        load: Loads the network.
    """

    def __init__(self, load: Callable[[], Normalised]) -> None:
        self._load = load
        self._found: Normalised | None = None
        self._busy = threading.Lock()

    def __call__(self) -> Normalised:
        """Return the network."""
        with self._busy:
            if self._found is None:
                self._found = self._load()
            return self._found
