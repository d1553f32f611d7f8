"""One thread for a widget's work, on which a new request replaces a waiting one of the same kind."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import final

_LOG = logging.getLogger(__name__)

Job = Callable[[], None]


@final
class Worker:
    """A thread with a mailbox, in which a new job replaces a waiting one of the same kind.

    Callbacks of a front end may run on any thread and must return immediately, so they post jobs here. The error of a
    job that fails goes to ``on_error`` and does not end the thread.

    Args:
        name: Name of the thread.
        on_error: Called with the kind of a failed job and its exception.
    """

    def __init__(self, name: str, on_error: Callable[[str, Exception], None]) -> None:
        self._waiting: dict[str, tuple[int, Job]] = {}
        self._changed = threading.Condition()
        self._closed = False
        self._on_error = on_error
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def post(self, kind: str, job: Job, *, urgency: int = 0) -> None:
        """Queue a job; the most urgent runs first, then the one whose kind has waited longest.

        Args:
            kind: Kind of the job; a waiting job of the same kind is dropped.
            job: Function to call.
            urgency: Jobs of larger urgency run sooner.
        """
        with self._changed:
            if not self._closed:
                self._waiting[kind] = (urgency, job)  # a kind that is already waiting keeps its position
                self._changed.notify()

    def drop(self, kind: str) -> None:
        """Drop a waiting job."""
        with self._changed:
            self._waiting.pop(kind, None)

    @property
    def is_busy(self) -> bool:
        """Whether jobs are waiting."""
        return bool(self._waiting)

    def close(self, patience_s: float = 5.0) -> None:
        """Drop all waiting jobs and end the thread after the current one, waiting at most this long for it."""
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
            except Exception as problem:  # noqa: BLE001 - a thread must not die silently
                _LOG.debug("job %s failed", kind, exc_info=True)
                self._on_error(kind, problem)
