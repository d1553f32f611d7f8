"""Progress bars, and functions that watch a run: how far each of its steps is, how fast it is, and how long is left."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from io import TextIOBase
from typing import Any, NamedTuple

from tqdm.auto import tqdm

#: Seconds between two lines of `Lines` about one step.
LINE_EVERY_S = 30.0


class Progress(NamedTuple):
    """How far a step of a run is.

    Attributes:
        title: What is done, e.g. a network and a variant.
        done: Items done, those of an earlier run included.
        total: Items in all; None if unknown.
        unit: What is counted, e.g. "image".
        rate: Items per second of this run; NaN before the first.
    """

    title: str
    done: int
    total: int | None
    unit: str
    rate: float

    @property
    def seconds_left(self) -> float:
        """Seconds until the step is done, at the present rate; NaN if unknown."""
        return (self.total - self.done) / self.rate if self.total is not None and self.rate > 0 else float("nan")

    @property
    def text(self) -> str:
        """The progress in one line.

        Example:
            >>> Progress("resnet50 · original", 1200, 4050, "image", 95.0).text
            'resnet50 · original: 1,200 of 4,050 images, 95 images/s, 30 s left'
        """
        count = f"{self.done:,}" if self.total is None else f"{self.done:,} of {self.total:,}"
        parts = [f"{self.title}: {count} {self.unit}s"]
        if self.rate > 0:
            parts.append(f"{self.rate:.3g} {self.unit}s/s")
        if self.seconds_left > 0:
            parts.append(f"{duration(self.seconds_left)} left")
        return ", ".join(parts)


Watch = Callable[[Progress], object]

_WATCH: ContextVar[Watch | None] = ContextVar("bglab_watch", default=None)


class Stopped(BaseException):
    """Raised by a function that watches a run, to stop it as Ctrl-C does: what is done is stored."""


@contextlib.contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Call a function whenever a step that begins inside the ``with`` block, in this thread, has made progress.

    Args:
        watch: Function to call, often; it may raise `Stopped`.
    """
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class Bar(tqdm):
    """A progress bar, which tells who is `watching`, whether or not it is shown.

    Takes what tqdm takes; ``disable`` hides the bar.
    """

    def __init__(self, iterable: Any = None, **options: Any) -> None:
        self._title, self._unit = str(options.get("desc") or ""), str(options.get("unit", "image"))
        self._before = self._done = int(options.get("initial", 0))
        self._started, self._watch = time.monotonic(), _WATCH.get()
        super().__init__(iterable, **options)

    def __iter__(self) -> Iterator[Any]:
        if self._watch is None:
            yield from super().__iter__()
            return
        with self:
            for item in self.iterable:
                yield item
                self.update()

    def update(self, n: float | None = 1) -> bool | None:
        """Count items, and tell who is watching."""
        shown = super().update(n)
        if self._watch is not None:
            self._done += int(n or 0)
            seconds = time.monotonic() - self._started
            rate = (self._done - self._before) / seconds if seconds > 0 else float("nan")
            self._watch(Progress(self._title, self._done, self.total, self._unit, rate))
        return shown


class Lines:
    """Writes progress as lines, for logs and other places where a bar cannot be redrawn.

    Args:
        stream: Where to write.
        every_s: Seconds between two lines; the first comes after as long, so quick steps write nothing.
    """

    def __init__(self, stream: TextIOBase, *, every_s: float = LINE_EVERY_S) -> None:
        self._stream, self._every_s = stream, every_s
        self._written = time.monotonic()

    def __call__(self, progress: Progress) -> None:
        """Write a line if it is time."""
        now = time.monotonic()
        if now - self._written >= self._every_s:
            self._written = now
            print(progress.text, file=self._stream, flush=True)


def duration(seconds: float) -> str:
    """Write seconds as people read them.

    Example:
        >>> duration(42.3), duration(605), duration(9000)
        ('42 s', '10 min', '2 h 30 min')
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h {minutes % 60} min"
