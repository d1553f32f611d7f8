"""Applying a function to many items by the current executor, with results in order."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from bglab.executors import current
from bglab.progress import Bar

#: Items per block: enough that handing them out takes no time, few enough that little is lost with a worker.
_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class _Each:
    """Applies a function to the items of blocks."""

    work: Callable[[Any], Any]

    def get_ready(self) -> None:
        """Do nothing."""

    def run(self, blocks: Sequence[Sequence[Any]], done: Callable[[int], object]) -> Iterator[list[Any]]:
        """Return the outcomes of each block."""
        for block in blocks:
            found = [self.work(item) for item in block]
            done(len(found))
            yield found

    def name(self, block: Sequence[Any]) -> str:
        """Name a block by its first item."""
        return f"{len(block)} items from {block[0]!r:.80} on"


def in_order(
    work: Callable[[Any], Any], items: Sequence[Any], title: str | None = None, *, progress: bool = False
) -> Iterator[Any]:
    """Apply a function to items by the workers of the current executor; outcomes come in the order of the items.

    Args:
        work: Function of one item, which can be sent to another process.
        items: Items to work on.
        title: Title of the progress bar.
        progress: Whether to show it.
    """
    blocks = [items[start : start + _AT_ONCE] for start in range(0, len(items), _AT_ONCE)]
    waiting: dict[int, list[Any]] = {}
    position = 0
    with Bar(total=len(items), desc=title, disable=not progress, unit="image") as bar:
        for index, outcomes in current().run(_Each(work), blocks, bar.update):
            waiting[index] = outcomes
            while position in waiting:
                yield from waiting.pop(position)
                position += 1
