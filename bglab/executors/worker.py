"""What runs in a worker: it keeps the latest job open, and computes the blocks that it is given."""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any, NamedTuple, cast

from bglab import __version__
from bglab.errors import EXPECTED_ERRORS, failure_reason
from bglab.parallel import limit_cores

_LOG = logging.getLogger(__name__)

_ASSIGNED: list[str] = []


def assigned_device() -> str | None:
    """Return the device that a worker computes on; None in other processes, and where the job decides."""
    return _ASSIGNED[-1] if _ASSIGNED else None


class Outcome(NamedTuple):
    """What became of a block.

    Attributes:
        result: Its result; None if it failed.
        images: Number of images that were classified for it.
        reason: Why it failed, with the name of the node; "" if it did not.
        kind: Class of the error if it is one of ours, which would come again; None otherwise.
    """

    result: Any
    images: int = 0
    reason: str = ""
    kind: type[Exception] | None = None


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

    def hello(self, version: str) -> str:
        """Return why this worker cannot take part; "" if it can.

        Args:
            version: Version of bglab in the process that hands out the work.
        """
        if version == __version__:
            return ""
        return (
            f"expected bglab {version} on every node, got {__version__} on {socket.gethostname()}; install the same "
            "version there"
        )

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
            _LOG.debug("a block failed", exc_info=True)
            kind = next((kind for kind in EXPECTED_ERRORS if isinstance(problem, kind)), None)
            return Outcome(None, 0, f"{failure_reason(problem)} (on {socket.gethostname()})", kind)
        return Outcome(result, sum(counted))
