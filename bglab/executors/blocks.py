"""Jobs that are divided into blocks, and the executor of this process."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar, runtime_checkable

Block = TypeVar("Block")
Result = TypeVar("Result")
_Block = TypeVar("_Block", contravariant=True)
_Result = TypeVar("_Result", covariant=True)

Done = Callable[[int], object]


@runtime_checkable
class Job(Protocol[_Block, _Result]):
    """What is done with each block of a run. It is sent to workers once, with the classifier and the scenes it holds.

    A result must depend on its block alone, so that it is the same wherever and however often it is computed.
    """

    def get_ready(self) -> None:
        """Do the one-time work of a process, such as compiling a network."""
        ...

    def run(self, blocks: Sequence[_Block], done: Done) -> Iterator[_Result]:
        """Compute the results of blocks, in order.

        Args:
            blocks: Blocks to compute.
            done: Called with the number of images that were just classified.
        """
        ...

    def name(self, block: _Block, /) -> str:
        """Name a block in messages: ``rows 96 to 127``."""
        ...


@dataclass
class Statistics:
    """What an executor has done so far.

    Attributes:
        blocks: Number of results that were handed out.
        attempts: Number of blocks that were given to a worker; more than ``blocks`` if workers were lost.
        seconds: Time that this process spent on handing out blocks and taking results, without waiting for them.
    """

    blocks: int = 0
    attempts: int = 0
    seconds: float = 0.0


class Executor(ABC):
    """Computes the blocks of jobs. As a context manager, it is the current one until the end, and is then closed.

    Attributes:
        is_remote: Whether blocks are computed in other processes.
        statistics: What it has done so far.
    """

    is_remote: bool = True

    def __init__(self) -> None:
        self.statistics = Statistics()

    @abstractmethod
    def get_ready(self, job: Job[Any, Any]) -> None:
        """Do what comes once before a job's blocks, so that it is not timed; workers do it when they get the first."""

    @abstractmethod
    def run(self, job: Job[Block, Result], blocks: Sequence[Block], done: Done = int) -> Iterator[tuple[int, Result]]:
        """Compute blocks.

        Args:
            job: What is done with a block.
            blocks: Blocks to compute; one is read when its turn comes.
            done: Called with numbers of classified images as they become known.

        Yields:
            The index of a block and its result, once for each block, in any order.

        Raises:
            BadInput: If some blocks failed three times, after all others were handed out.
        """

    @abstractmethod
    def close(self) -> None:
        """End the workers."""

    def __enter__(self) -> Executor:
        if self not in _CURRENT:
            _CURRENT.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        if self in _CURRENT:
            _CURRENT.remove(self)
        self.close()


class InProcess(Executor):
    """Computes blocks in this process, one after another.

    Example:
        >>> class Double:
        ...     def get_ready(self):
        ...         pass
        ...
        ...     def run(self, blocks, done):
        ...         for block in blocks:
        ...             yield 2 * block
        ...
        ...     def name(self, block):
        ...         return f"number {block}"
        >>> list(InProcess().run(Double(), [3, 4]))
        [(0, 6), (1, 8)]
    """

    is_remote = False

    def get_ready(self, job: Job[Any, Any]) -> None:
        """Do what comes once before a job's blocks."""
        job.get_ready()

    def close(self) -> None:
        """Do nothing: there are no workers."""

    def run(self, job: Job[Block, Result], blocks: Sequence[Block], done: Done = int) -> Iterator[tuple[int, Result]]:
        """Compute blocks in order; the next one may begin before a result is handed out."""
        for index, result in enumerate(job.run(blocks, done)):
            self.statistics.attempts += 1
            self.statistics.blocks += 1
            yield index, result


_CURRENT: list[Executor] = [InProcess()]


def current() -> Executor:
    """Return the executor that verbs hand their blocks to; without `bglab.connect`, that of this process."""
    return _CURRENT[-1]
