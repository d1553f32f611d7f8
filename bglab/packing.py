"""Pickling without the large arrays, which are shared in another way."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any

import numpy as np

#: Arrays from this size on, in bytes, are shared.
_SHARED_BYTES = 1 << 20


def pack(job: object, share: Callable[[np.ndarray], Any]) -> tuple[bytes, list[Any]]:
    """Pickle a job, but for its large arrays.

    Args:
        job: What to send.
        share: Puts an array where workers find it, and returns what stands for it.

    Returns:
        The pickled job, and what stands for each of the arrays.
    """
    import cloudpickle

    shared: dict[int, tuple[int, Any]] = {}

    class Packer(cloudpickle.Pickler):
        def persistent_id(self, found: Any) -> int | None:
            if not isinstance(found, np.ndarray) or found.dtype.hasobject or found.nbytes < _SHARED_BYTES:
                return None
            if id(found) not in shared:
                shared[id(found)] = len(shared), share(found)
            return shared[id(found)][0]

    content = BytesIO()
    Packer(content, protocol=5).dump(job)
    return content.getvalue(), [handle for _, handle in shared.values()]


def unpack(content: bytes, arrays: Sequence[np.ndarray]) -> Any:
    """Return what `pack` has packed."""

    class Unpacker(pickle.Unpickler):
        def persistent_load(self, pid: int) -> np.ndarray:
            return arrays[pid]

    return Unpacker(BytesIO(content)).load()
