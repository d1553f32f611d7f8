"""One step ahead: a thread prepares the next item while the caller works on this one."""

from __future__ import annotations

import threading
from collections.abc import Generator, Iterator
from queue import Queue
from typing import TypeVar

Item = TypeVar("Item")


def one_ahead(work: Iterator[Item], *, name: str = "bglab-ahead") -> Generator[Item, None, None]:
    """Go through ``work`` in order, letting a thread stay one step ahead.

    At any time one item is with the caller, one waits, and one is being made, so three buffers in turn are enough
    for work that fills them. Close the iterator to end the thread early.

    Args:
        work: What to go through; an error in it reaches the caller at its place.
        name: Of the thread.

    Example:
        >>> list(one_ahead(iter("abc")))
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
        except BaseException as problem:  # noqa: BLE001 - handed to the caller, who raises it
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
        while worker.is_alive():  # it may wait for room in the queue
            if not queue.empty():
                queue.get_nowait()
            worker.join(timeout=0.01)
