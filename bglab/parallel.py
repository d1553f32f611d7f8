"""Processing many items in a background thread or in processes, with results in order."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from queue import Queue
from typing import TypeVar, final

from bglab.errors import BadInput
from bglab.progress import Bar

Item = TypeVar("Item")
Outcome = TypeVar("Outcome")


def thread_map(
    work: Callable[[Item], Outcome], items: Iterable[Item], *, workers: int, pending: int, name: str = "bglab-worker"
) -> Generator[Outcome, None, None]:
    """Apply a function to items in threads and yield the outcomes in the items' order.

    Unlike ``ThreadPoolExecutor.map``, only a bounded number of items is submitted or finished ahead of the caller, so
    memory does not grow with the number of items. Close the generator to cancel what has not started.

    Args:
        work: Function of one item; it should release Python's lock (decoding does).
        items: Items to work on.
        workers: Number of threads.
        pending: Number of items that may be submitted or finished but not yet yielded.
        name: Prefix of the threads' names.

    Example:
        >>> list(thread_map(abs, [-1, 2, -3], workers=2, pending=2))
        [1, 2, 3]
    """
    futures: deque[Future[Outcome]] = deque()
    with ThreadPoolExecutor(workers, thread_name_prefix=name) as pool:
        try:
            for item in items:
                futures.append(pool.submit(work, item))
                if len(futures) > pending:
                    yield futures.popleft().result()
            while futures:
                yield futures.popleft().result()
        finally:
            for future in futures:
                future.cancel()


def prefetch(work: Iterator[Item], *, name: str = "bglab-ahead") -> Generator[Item, None, None]:
    """Iterate over ``work`` in order, computing the next items in a background thread.

    At any time one item is used by the caller, one is in the queue, and one is being computed, so three buffers in
    rotation are enough. Close the iterator to end the thread early.

    Args:
        work: Iterator to run in the thread; an exception in it is raised to the caller in its place.
        name: Name of the thread.

    Example:
        >>> list(prefetch(iter("abc")))
        ['a', 'b', 'c']
    """
    queue: Queue[tuple[list[Item], BaseException | None]] = Queue(maxsize=1)
    stop = threading.Event()

    def fill() -> None:
        try:
            for item in work:
                if stop.is_set():
                    return
                queue.put(([item], None))
            queue.put(([], None))
        except BaseException as problem:  # noqa: BLE001 - passed to the caller, which raises it
            queue.put(([], problem))

    worker = threading.Thread(target=fill, name=name, daemon=True)
    worker.start()
    try:
        while True:
            items, problem = queue.get()
            if problem is not None:
                raise problem
            if not items:
                return
            yield items[0]
    finally:
        stop.set()
        while worker.is_alive():  # it may be blocked by the full queue
            if not queue.empty():
                queue.get_nowait()
            worker.join(timeout=0.01)


def in_flight(begun: Iterable[Item]) -> Iterator[Item]:
    """Iterate over work that begins when it is asked for, one item behind, so that the next one has begun.

    Example:
        >>> for item in in_flight(print("begin", i) or i for i in range(2)):
        ...     print("finish", item)
        begin 0
        begin 1
        finish 0
        finish 1
    """
    earlier: list[Item] = []
    for item in begun:
        if earlier:
            yield earlier.pop()
        earlier.append(item)
    yield from earlier


_LIMIT: list[int] = []


def usable_cores() -> int:
    """Return the number of cores that this process may use: those of its limit, of a container, or of the machine."""
    if _LIMIT:
        return _LIMIT[-1]
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def limit_cores(count: int) -> None:
    """Use fewer cores from now on, as a worker that shares a machine with others.

    Args:
        count: Number of cores.
    """
    _LIMIT[:] = [count]
    os.environ["OMP_NUM_THREADS"] = str(count)  # read by torch, which is only loaded if the work needs it
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(count)
    import cv2

    cv2.setNumThreads(count)


def is_limited() -> bool:
    """Return whether `limit_cores` was called in this process."""
    return bool(_LIMIT)


# largest number of items sent to a process together: few enough that all finish at about the same time
_MOST_AT_ONCE = 8


@final
class WorkerPool:
    """A context manager for processes that are started once and used for several calls of `in_order`.

    Args:
        workers: Number of processes; with 1 or less, the work is done in this process.
        progress: Whether to show progress bars.

    Example:
        >>> with WorkerPool(1) as pool:
        ...     list(pool.in_order(abs, [-1, 2, -3]))
        [1, 2, 3]
    """

    def __init__(self, workers: int, *, progress: bool = False) -> None:
        self._workers, self._progress = workers, progress
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)

    def in_order(
        self, work: Callable[[Item], Outcome], items: Sequence[Item], title: str | None = None
    ) -> Iterator[Outcome]:
        """Apply a function to every item and yield the results in the order of the items.

        Args:
            work: Function to apply; with several processes it must be picklable.
            items: Items to process.
            title: Title of the progress bar.

        Raises:
            BadInput: If a process is killed.
        """
        outcomes = map(work, items) if self._workers <= 1 else self._in_processes(work, items)
        with Bar(total=len(items), desc=title, disable=not self._progress, unit="image") as bar:
            for outcome in outcomes:
                yield outcome
                bar.update()

    def _in_processes(self, work: Callable[[Item], Outcome], items: Sequence[Item]) -> Iterator[Outcome]:
        if self._pool is None:
            # spawned, since a fork would copy locks that the threads of torch and OpenCV may hold
            context = multiprocessing.get_context("spawn")
            self._pool = ProcessPoolExecutor(self._workers, mp_context=context, initializer=_start_worker)
        at_once = max(1, min(_MOST_AT_ONCE, len(items) // (4 * self._workers)))
        try:
            yield from self._pool.map(work, items, chunksize=at_once)
        except BrokenProcessPool:
            raise BadInput(
                f"expected {self._workers} worker processes to stay alive, but one was killed, perhaps for lack of "
                "memory; run the same command with fewer --workers: finished items are not repeated"
            ) from None


def _start_worker() -> None:
    """Ignore interrupts, which the parent handles, and use one thread per process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    limit_cores(1)
