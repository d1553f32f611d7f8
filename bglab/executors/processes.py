"""Workers in processes of this machine, one per device: several GPUs without a cluster."""

from __future__ import annotations

import itertools
import multiprocessing
import pickle
import signal
import tempfile
import warnings
import weakref
from collections.abc import Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bglab.executors.dispatching import Remote, Seat
from bglab.executors.worker import Outcome, Worker
from bglab.packing import pack, unpack
from bglab.parallel import usable_cores

_WORKERS: list[Worker] = []


class OnDevices(Remote):
    """Computes blocks in one process per device.

    Args:
        devices: Devices such as ``cuda:0``; one that is named twice has two processes.
    """

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__()
        self._devices = list(devices)
        self._folder = tempfile.TemporaryDirectory(prefix="bglab-jobs-")
        self._numbers = itertools.count()
        self._shared: dict[int, Path] = {}

    @property
    def size(self) -> int:
        """Number of devices."""
        return len(self._devices)

    def start(self) -> Seat:
        """Start the process of a device that has none."""
        taken = [seat.device for seat in (*self.starting.values(), *self.given) if isinstance(seat, _Seat)]
        free = list(self._devices)
        for device in taken:
            free.remove(device)
        return _Seat(free[0], max(1, usable_cores() // len(self._devices)))

    def ship(self, job: object) -> Path:
        """Write a job to a file, and its large arrays to others, which the processes map."""
        content = pickle.dumps(pack(job, self._share))
        path = self._new_file("pickle")
        path.write_bytes(content)
        return path

    def close(self) -> None:
        """End the processes."""
        super().close()
        self._folder.cleanup()

    def _new_file(self, ending: str) -> Path:
        return Path(self._folder.name) / f"{next(self._numbers)}.{ending}"

    def _share(self, array: np.ndarray) -> Path:
        if id(array) not in self._shared:
            path = self._new_file("npy")
            np.save(path, array)
            self._shared[id(array)] = path
            weakref.finalize(array, self._shared.pop, id(array), None)
        return self._shared[id(array)]


class _Seat:
    def __init__(self, device: str, cores: int) -> None:
        self.device = device
        # spawned, since a fork would copy the state of CUDA and locks that other threads hold
        context = multiprocessing.get_context("spawn")
        self._pool = ProcessPoolExecutor(1, mp_context=context, initializer=_begin, initargs=(cores, device))

    def hello(self) -> Future[str]:
        return self._pool.submit(_hello)

    def submit(self, name: str, shipped: Path, block: Any) -> Future[Outcome]:
        return self._pool.submit(_compute, name, shipped, block)

    def end(self) -> None:
        for process in list((self._pool._processes or {}).values()):
            process.kill()
        self._pool.shutdown(wait=False, cancel_futures=True)


def _begin(cores: int, device: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends its workers
    warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
    _WORKERS[:] = [Worker(cores, device)]


def _hello() -> str:
    return ""  # from the same files


def _compute(name: str, shipped: Path, block: object) -> Outcome:
    def opened() -> object:
        content, paths = pickle.loads(shipped.read_bytes())  # noqa: S301 - written by the parent process
        return unpack(content, [np.load(path, mmap_mode="r") for path in paths])

    return _WORKERS[0].compute(name, opened, block)
