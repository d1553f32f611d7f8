"""What runs in a worker: it keeps the latest job open, and computes the blocks that it is given."""

from __future__ import annotations

import os
import pickle
import platform
import socket
import sys
import traceback
from collections.abc import Callable, Sequence
from io import BytesIO
from typing import Any, NamedTuple, cast

import numpy as np

from bglab.errors import EXPECTED_ERRORS, failure_reason
from bglab.parallel import limit_cores

#: Arrays from this size on are sent once and shared, rather than sent with every job that holds them.
_SHARED_BYTES = 1 << 20
_ASSIGNED: list[str] = []


def assigned_device() -> str | None:
    """Return the device that a worker computes on; None in other processes, and where the job decides."""
    return _ASSIGNED[-1] if _ASSIGNED else None


class Failure(NamedTuple):
    """Why a block has no result.

    Attributes:
        kind: Class of the error if it is one of ours, which would come again; None otherwise.
        reason: Message, which names the node.
        traceback: Where it came from.
    """

    kind: type[Exception] | None
    reason: str
    traceback: str


class Outcome(NamedTuple):
    """Result of a block, or why there is none, and the number of images that were classified for it."""

    result: Any
    images: int
    failure: Failure | None = None


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


class Worker:
    """Computes blocks in a process of its own.

    Args:
        cores: Number of cores to use.
        device: Device to compute on; None leaves the choice to the job.
    """

    def __init__(self, cores: int, device: str | None = None) -> None:
        limit_cores(cores)
        _ASSIGNED[:] = [device] if device else []
        self._name, self._job = "", cast(Any, None)

    def hello(self) -> dict[str, str]:
        """Tell what runs here, so that nodes that do not fit together are found before the work starts."""
        from bglab import __version__

        return {"bglab": __version__, "Python": platform.python_version()}

    def compute(self, name: str, opened: Callable[[], Any], block: Any) -> Outcome:
        """Compute a block; an error is returned, with the name of this node.

        Args:
            name: Name of the job.
            opened: Returns the job; called if it is not the latest one.
            block: Block to compute.
        """
        counted: list[int] = []
        try:
            if name != self._name:
                self._name, self._job = "", cast(Any, None)  # frees the earlier one
                self._job = opened()
                self._job.get_ready()
                self._name = name
            (result,) = self._job.run([block], counted.append)
        except Exception as problem:  # noqa: BLE001 - whatever a block raises, the worker must go on
            kind = next((kind for kind in EXPECTED_ERRORS if isinstance(problem, kind)), None)
            reason = f"{failure_reason(problem)} (on {socket.gethostname()})"
            return Outcome(None, 0, Failure(kind, reason, traceback.format_exc()))
        return Outcome(result, sum(counted))


def quiet_environment() -> dict[str, str]:
    """Return the environment of workers: this process's search path for modules, and no report over the network."""
    return {
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
