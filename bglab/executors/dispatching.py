"""Handing blocks to workers in other processes: a block of a lost worker goes to another one."""

from __future__ import annotations

import logging
import time
import uuid
from abc import abstractmethod
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from typing import Any, Protocol, runtime_checkable

from bglab.errors import BadInput, brief
from bglab.executors.blocks import Block, Done, Executor, Job, Result
from bglab.executors.worker import Outcome

_LOG = logging.getLogger(__name__)

#: Blocks given to a worker at a time: while it computes one, the next is there already.
_AHEAD = 2
#: A block that fails that often is named, and the rest goes on.
_ATTEMPTS = 3
#: Seconds after which more workers are looked for.
_LOOK_S = 10.0


@runtime_checkable
class Seat(Protocol):
    """A worker, as the dispatcher sees it."""

    def hello(self) -> Future[str]:
        """Return why it cannot take part, or "", once it runs."""
        ...

    def submit(self, name: str, shipped: Any, block: Any) -> Future[Outcome]:
        """Begin to compute a block; the future raises if the worker is lost."""
        ...

    def end(self) -> None:
        """End the worker at once."""
        ...


class Remote(Executor):
    """An executor with workers in other processes, which stay from one job to the next."""

    def __init__(self) -> None:
        super().__init__()
        self.starting: dict[Future[str], Seat] = {}
        self._look_at = 0.0
        self.given: dict[Seat, deque[int]] = {}  # blocks of each worker that runs, the one that it computes first

    @property
    @abstractmethod
    def size(self) -> int:
        """Number of workers to have."""

    @abstractmethod
    def start(self) -> Seat:
        """Start a worker."""

    @abstractmethod
    def ship(self, job: object) -> Any:
        """Put a job where workers find it, and return what tells them where."""

    def get_ready(self, job: Job[Any, Any]) -> None:
        """Do nothing here: workers get ready when they get the first block."""

    def run(self, job: Job[Block, Result], blocks: Sequence[Block], done: Done = int) -> Iterator[tuple[int, Result]]:
        """Compute blocks on the workers, in any order."""
        dispatch = _Dispatch(self, job, blocks)
        try:
            for index, outcome in dispatch.outcomes() if len(blocks) else ():
                done(outcome.images)
                self.statistics.blocks += 1
                yield index, outcome.result
        finally:
            # of a run that is left early: the next one shall not wait for its blocks
            for seat in [seat for seat, given in self.given.items() if given]:
                self.retire(seat)
        dispatch.check()

    def close(self) -> None:
        """End the workers."""
        for seat in (*self.starting.values(), *self.given):
            seat.end()
        self.starting, self.given = {}, {}

    def settle(self) -> None:
        """Start workers, at times and after a loss, and take in those that have started."""
        if time.monotonic() >= self._look_at:  # asking a cluster for its nodes with each block would take longest
            self._look_at = time.monotonic() + _LOOK_S
            for _ in range(self.size - len(self.starting) - len(self.given)):
                seat = self.start()
                self.starting[seat.hello()] = seat
        for future in [future for future in self.starting if future.done()]:
            seat = self.starting.pop(future)
            self.given[seat] = deque()
            problem = future.exception()
            if problem is not None:
                self.retire(seat)
                _LOG.warning("a worker did not start: %s", brief(problem))
            elif future.result():
                self.retire(seat)
                raise BadInput(future.result())

    def retire(self, seat: Seat) -> deque[int]:
        """Let go of a worker, in whose place another is started, and return the blocks that it had."""
        self._look_at = 0.0
        seat.end()
        return self.given.pop(seat, deque())


class _Dispatch:
    """One run of a job."""

    def __init__(self, executor: Remote, job: Job[Any, Any], blocks: Sequence[Any]) -> None:
        self._executor, self._job, self._blocks = executor, job, blocks
        self._name = uuid.uuid4().hex
        self._left = deque(range(len(blocks)))
        self._running: dict[Future[Outcome], tuple[int, Seat]] = {}
        self._failures: Counter[int] = Counter()
        self._named: dict[int, str] = {}

    def outcomes(self) -> Iterator[tuple[int, Outcome]]:
        """Yield the outcome of each block that has one."""
        executor, shipped = self._executor, self._executor.ship(self._job)
        while self._left or self._running:
            started = time.perf_counter()
            executor.settle()
            self._give(shipped)
            waiting = time.perf_counter()
            futures: list[Future[Any]] = [*self._running, *executor.starting]
            ready, _ = wait(futures, _LOOK_S, FIRST_COMPLETED)
            ended = time.perf_counter()
            if not futures or not (ready or self._running):
                _LOG.warning("waiting for a core or a GPU that is free (%d blocks left)", len(self._left))
                time.sleep(0 if futures else _LOOK_S)
            found = [self._take(future) for future in ready & set(self._running)]
            executor.statistics.seconds += waiting - started + time.perf_counter() - ended
            yield from filter(None, found)

    def check(self) -> None:
        """Name the blocks that failed.

        Raises:
            BadInput: If some did.
        """
        if self._named:
            listed = "; ".join(f"{self._job.name(self._blocks[i])}: {why}" for i, why in sorted(self._named.items()))
            raise BadInput(
                f"expected results of {len(self._blocks)} blocks, but {len(self._named)} failed {_ATTEMPTS} times: "
                f"{listed}; the others are kept: mend this, and run the same command again"
            )

    def _give(self, shipped: Any) -> None:
        """Assign blocks to all workers, the next one to whoever has fewest."""
        given = self._executor.given
        while self._left and given:
            seat = min(given, key=lambda each: len(given[each]))
            if len(given[seat]) >= _AHEAD:
                return
            index = self._left[0]
            try:
                future = seat.submit(self._name, shipped, self._blocks[index])
            except Exception as problem:  # noqa: BLE001 - it was lost while it had nothing to do
                self._lost(seat, problem)
                continue
            self._left.popleft()
            self._executor.statistics.attempts += 1
            given[seat].append(index)
            self._running[future] = index, seat

    def _take(self, future: Future[Outcome]) -> tuple[int, Outcome] | None:
        """Take an outcome; None if there is none, so that the block is computed again."""
        if future not in self._running:
            return None  # of a worker that another of its blocks has told to be lost
        index, seat = self._running.pop(future)
        try:
            outcome = future.result()
        except Exception as problem:  # noqa: BLE001 - whatever a lost worker raises, its blocks go to others
            self._lost(seat, problem)
            return None
        if seat in self._executor.given:
            self._executor.given[seat].remove(index)
        if not outcome.reason:
            return index, outcome
        if outcome.kind is not None:
            raise outcome.kind(outcome.reason)
        self._failed(index, outcome.reason)
        return None

    def _lost(self, seat: Seat, problem: Exception) -> None:
        given = self._executor.retire(seat)
        for future, (index, whose) in list(self._running.items()):
            if whose is seat and future.done() and not future.cancelled() and future.exception() is None:
                given.remove(index)  # it was finished before
            elif whose is seat:
                del self._running[future]
        _LOG.warning("a worker was lost, and %d blocks go to others: %s", len(given), brief(problem))
        self._left.extendleft(list(given)[1:])  # these were only waiting
        for index in list(given)[:1]:
            self._failed(index, f"its worker was lost: {brief(problem)}")

    def _failed(self, index: int, reason: str) -> None:
        self._failures[index] += 1
        if self._failures[index] < _ATTEMPTS:
            self._left.append(index)
            return
        self._named[index] = reason
        _LOG.warning("going on without %s: %s", self._job.name(self._blocks[index]), reason)
