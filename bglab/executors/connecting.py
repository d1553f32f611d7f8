"""Connecting to the workers that an address or a list of devices names."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec

from bglab.errors import BadInput, MissingData
from bglab.executors.blocks import _CURRENT, Executor


def connect(
    address: str = "auto",
    *,
    worker_cpus: int | None = None,
    worker_gpus: float | None = None,
    devices: Sequence[str] = (),
) -> Executor:
    """Let workers compute what is asked for from now on: predictions, searches, saliency, builds, trainings.

    Args:
        address: ``auto`` or ``HOST:PORT`` of a running cluster that this machine belongs to; ``local`` starts one on
            this machine.
        worker_cpus: Cores of a worker; by default those of the smallest node, at most 8.
        worker_gpus: GPUs of a worker, such as 1 or 0.5; by default 1 if this machine brings GPUs into the cluster,
            otherwise 0.
        devices: Devices of this machine, one process each, in place of a cluster: ``["cuda:0", "cuda:1"]``.

    Returns:
        The executor, which is the current one until it is closed: ``with bglab.connect("local"): …``, or
        ``bglab.disconnect()``.

    Raises:
        MissingData: If Ray is not installed.
        BadInput: If there is no such cluster, or no place for a worker on it.
    """
    disconnect()  # first: a process belongs to one cluster at a time
    if devices:
        from bglab.executors.processes import OnDevices

        return _made_current(OnDevices(devices))
    if find_spec("ray") is None:
        raise MissingData('Ray is not installed; run pip install "bglab[ray]"')
    if (worker_cpus is not None and worker_cpus < 1) or (worker_gpus is not None and worker_gpus < 0):
        raise BadInput(f"expected at least 1 core and 0 GPUs for a worker, got {worker_cpus} and {worker_gpus}")
    from bglab.executors.ray_cluster import OnRay

    return _made_current(OnRay(address, worker_cpus, worker_gpus))


def _made_current(executor: Executor) -> Executor:
    _CURRENT.append(executor)
    return executor


def disconnect() -> None:
    """Compute in this process again, and end the workers of `connect`."""
    while len(_CURRENT) > 1:
        _CURRENT.pop().close()
