"""Workers of a Ray cluster: actors that keep a classifier, and scenes in the object store."""

from __future__ import annotations

import os
import socket
import tempfile
import warnings
import weakref
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import numpy as np
import ray  # pyright: ignore[reportMissingImports] - optional
from ray.exceptions import RayError  # pyright: ignore[reportMissingImports]

from bglab import __version__
from bglab.errors import BadInput, brief
from bglab.executors.dispatching import Remote, Seat
from bglab.executors.worker import Outcome, Worker
from bglab.packing import pack, unpack

#: Most cores of a worker: one thread of Python feeds it, and more cores are fed by more workers.
_MOST_CORES = 8
#: Share of a node's object store that jobs may take; the rest is for results on their way.
_STORE_SHARE = 0.9


class OnRay(Remote):
    """Computes blocks on a Ray cluster.

    Args:
        address: ``local`` starts a cluster on this machine; ``auto`` or ``HOST:PORT`` is a running one.
        cores: Cores of a worker; None for those of the smallest node, at most 8.
        gpus: GPUs of a worker; None for one if this process sees a GPU, otherwise none.

    Raises:
        BadInput: If there is no such cluster, or it has no place for a worker.
    """

    def __init__(self, address: str, cores: int | None = None, gpus: float | None = None) -> None:
        super().__init__()
        _join(address)
        nodes = _nodes()
        self.cores = cores or int(min([_MOST_CORES, *(n["CPU"] for n in nodes.values() if n.get("CPU"))]))
        here = next((n for name, n in nodes.items() if ray.get_runtime_context().get_node_id() in name), {})
        self.gpus = float(bool(here.get("GPU"))) if gpus is None else gpus
        self._shared: dict[int, Any] = {}
        self._actor: Any = ray.remote(num_cpus=self.cores, num_gpus=self.gpus, max_restarts=0)(_Actor)
        if not self.size:
            ray.shutdown()
            got = "; ".join(f"{n.get('CPU', 0):g} cores and {n.get('GPU', 0):g} GPUs" for n in nodes.values())
            raise BadInput(
                f"expected a node with {self.cores} cores{f' and {self.gpus:g} GPUs' if self.gpus else ''} for a "
                f"worker, got {got}; choose smaller --worker-cpus or --worker-gpus"
            )

    @property
    def size(self) -> int:
        """Number of workers that fit on the nodes which are there now."""
        wanted = {"CPU": self.cores, "GPU": self.gpus}
        fitting = ([n.get(kind, 0) // count for kind, count in wanted.items() if count] for n in _nodes().values())
        return sum(int(min(counts)) for counts in fitting)

    def start(self) -> Seat:
        """Start an actor; Ray chooses its node."""
        return _Seat(self._actor.remote(self.cores, "cuda" if self.gpus else None))

    def ship(self, job: object) -> Any:
        """Put a job into the object store, and its large arrays beside it, once each."""
        content, arrays = pack(job, self._share)
        # in a list, since Ray would otherwise send the content with every block
        return [ray.put((content, arrays))]

    def close(self) -> None:
        """End the workers and leave the cluster; one that was started here ends."""
        super().close()
        self._shared.clear()
        ray.shutdown()

    def _share(self, array: np.ndarray) -> Any:
        """Put an array into the object store, where the workers of a node map it without a copy."""
        if id(array) not in self._shared:
            self._check_room(array.nbytes)
            # an array of exactly this type is stored as it lies in memory
            self._shared[id(array)] = ray.put(np.ascontiguousarray(array).view(np.ndarray)), array.nbytes
            weakref.finalize(array, self._shared.pop, id(array), None)
        return self._shared[id(array)][0]

    def _check_room(self, count: int) -> None:
        wanted = count + sum(size for _, size in self._shared.values())
        for name, node in _nodes().items():
            room = node.get("object_store_memory", 0)
            if wanted > _STORE_SHARE * room:
                raise BadInput(
                    f"expected an object store of {wanted / _STORE_SHARE / 1e9:.2f} GB or more on each node, got "
                    f"{room / 1e9:.2f} GB on {name}; start it with ray start --object-store-memory BYTES"
                )


class _Actor:
    """A worker on a node."""

    def __init__(self, cores: int, device: str | None) -> None:
        # arrays of the object store are read-only, and nothing writes to them
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        self._worker = Worker(cores, device)

    def hello(self, version: str) -> str:
        return self._worker.hello(version)

    def compute(self, name: str, shipped: list[Any], block: object) -> Outcome:
        def opened() -> object:
            content, arrays = ray.get(shipped[0])
            return unpack(content, ray.get(arrays))

        return self._worker.compute(name, opened, block)


class _Seat:
    def __init__(self, actor: Any) -> None:
        self._actor = actor

    def hello(self) -> Future[str]:
        return self._actor.hello.remote(__version__).future()

    def submit(self, name: str, shipped: Any, block: Any) -> Future[Outcome]:
        return self._actor.compute.remote(name, shipped, block).future()

    def end(self) -> None:
        ray.kill(self._actor)


def _nodes() -> dict[str, dict[str, float]]:
    """Return what each node has, by its name and id."""
    alive = (node for node in ray.nodes() if node["Alive"])
    return {f"{node['NodeManagerHostname']} ({node['NodeID']})": node["Resources"] for node in alive}


def _join(address: str) -> None:
    """Join a cluster, or start one.

    Raises:
        BadInput: If there is none, or its versions are others.
    """
    if address.startswith("ray://"):
        raise BadInput(
            f"expected the address of a cluster that this machine belongs to, auto or HOST:PORT, got {address}; "
            "run the command on a node of the cluster"
        )
    if address != "local":
        _check_answers(address)
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is reported over the network
    quiet = {"log_to_driver": False, "configure_logging": False, "logging_level": "ERROR"}
    here: dict[str, Any] = {"include_dashboard": False} if address == "local" else {}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Ray announces changes of its own options
            ray.init(address, ignore_reinit_error=True, **here, **quiet)
    except (ConnectionError, RayError) as problem:  # such as a wrong token
        raise _absent(address, problem) from None
    except (RuntimeError, ValueError, TimeoutError) as problem:
        raise BadInput(
            f"expected to join the Ray cluster at {address}, but {brief(problem)}; its nodes need the same versions of "
            "Ray and Python as this one"
        ) from None


def _check_answers(address: str) -> None:
    """Check that something listens at the address of a cluster; Ray itself would wait for minutes.

    Raises:
        BadInput: If nothing does.
    """
    if address == "auto":  # as Ray finds it
        last = Path(tempfile.gettempdir()) / "ray" / "ray_current_cluster"
        address = os.environ.get("RAY_ADDRESS") or (last.read_text() if last.is_file() else "")
    host, _, port = address.strip().rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=5).close()
    except (OSError, ValueError) as problem:
        raise _absent(address or "auto", problem) from None


def _absent(address: str, problem: Exception) -> BadInput:
    return BadInput(
        f"expected a Ray cluster at {address}, but it cannot be joined ({brief(problem)}); start one with ray start "
        "--head, use --ray local, or set RAY_AUTH_MODE and RAY_AUTH_TOKEN as they were for the cluster"
    )
