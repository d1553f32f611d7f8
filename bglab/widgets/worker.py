"""One thread for a widget's work: of each kind only the latest request counts, and none is answered late."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import final

_LOG = logging.getLogger(__name__)

Job = Callable[[], None]


@final
class Worker:
    """A thread with a mailbox: a new job takes the place of a waiting one of the same kind.

    Callbacks of a front end may come on any thread and must return at once; they post here. A job that fails is
    handed to ``on_error`` and does not end the thread.

    Args:
        name: Of the thread.
        on_error: Called with the kind of the job and what it raised.
    """

    def __init__(self, name: str, on_error: Callable[[str, Exception], None]) -> None:
        self._waiting: dict[str, tuple[int, Job]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._on_error = on_error
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, kind: str, job: Job, *, urgency: int = 0) -> None:
        """Leave a job; the most urgent goes first, then the one whose kind has waited longest.

        Args:
            kind: A waiting job of the same kind is dropped.
            job: What to do.
            urgency: Larger is sooner.
        """
        with self._changed:
            if not self._closed:
                self._waiting[kind] = (urgency, job)  # a kind that waits already keeps its place
                self._changed.notify()

    def drop(self, kind: str) -> None:
        """Forget a waiting job."""
        with self._changed:
            self._waiting.pop(kind, None)

    @property
    def is_busy(self) -> bool:
        """Say whether jobs are waiting."""
        return bool(self._waiting)

    def close(self, patience_s: float = 5.0) -> None:
        """Drop what is waiting and end the thread after the job at hand."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify()
        if threading.current_thread() is not self._thread:
            self._thread.join(patience_s)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closed:
                    self._changed.wait()
                if self._closed:
                    return
                kind = max(self._waiting, key=lambda waiting: self._waiting[waiting][0])
                _, job = self._waiting.pop(kind)
            try:
                job()
            except Exception as problem:  # noqa: BLE001 - a thread that dies silently is the worst fault
                _LOG.debug("job %s failed", kind, exc_info=True)
                self._on_error(kind, problem)
