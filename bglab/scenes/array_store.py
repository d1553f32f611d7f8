"""Cache entries of memory-mapped arrays: folders with raw arrays of fixed shapes per row, and an index in JSON.

An entry is built in a temporary folder and renamed when complete, so an interrupted run leaves no partial entry.
"""

from __future__ import annotations

import functools
import hashlib
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bglab.cache_entries import CacheEntry
from bglab.errors import BadInput
from bglab.parallel import thread_map
from bglab.progress import Bar
from bglab.scenes.reading import files_stamp, read_or_reject
from bglab.scenes.scene import Rejection

_INDEX = "index.json"


class Item(NamedTuple):
    """A scene or image to prepare: its id, the file named if it is rejected, and all files that it is read from."""

    id: str
    file: str
    files: tuple[Path, ...]


class Entry(NamedTuple):
    """Arrays of one prepared scene or image by name, and its row of the index."""

    arrays: dict[str, np.ndarray]
    row: dict[str, object]


@dataclass(frozen=True, eq=False)
class ArrayStore:
    """A cache entry of the data folder.

    It is made again when a file of its items has another size or modification time, and when it is damaged.

    Attributes:
        name: Name of its folder below ``cache``.
        items: Scenes or images, in order.
        shapes: Shape and type of one row of each array, by name.
    """

    name: str
    items: Sequence[Item]
    shapes: dict[str, tuple[tuple[int, ...], type]]

    def load_or_build(self, build: Callable[[int], Entry], title: str | None) -> tuple[dict[str, np.ndarray], dict]:
        """Map the arrays, which are built first if there is no entry.

        Args:
            build: Function that builds the entry of a position; raises `BadInput` if the scene cannot be used.
            title: Title of the progress bar; None shows no bar.

        Returns:
            The arrays by name, and the index: ``rows`` and ``rejected`` in the order of the items, and the ``digest``
            of all arrays.

        Raises:
            BadInput: If the entry cannot be written.
            Unreadable: If the disk of the files fails, or they are gone; nothing is kept then.
        """
        found = self.load()
        if found is None:
            with self._entry.make() as scratch:
                self._fill(scratch, build, title)
            found = self.load()
        if found is None:
            raise BadInput(
                f"expected prepared scenes in {self._entry.folder}, but they were changed right after they were "
                "written; run again, or set BGLAB_DATA to a folder that nothing else writes to"
            )
        return found

    def load(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """Map the arrays and read the index, as `load_or_build` returns them; None if there is no entry."""
        folder = self._entry.find()
        if folder is None:
            return None
        try:
            index = json.loads((folder / _INDEX).read_text())
            return self._map(folder, len(index["rows"])), index
        except (OSError, ValueError):  # replaced by another process since it was found
            return None

    @property
    def is_there(self) -> bool:
        """Whether there is an entry, which may be damaged or out of date."""
        return self._entry.folder.is_dir()

    @functools.cached_property
    def _entry(self) -> CacheEntry:
        stamp = files_stamp(file for item in self.items for file in item.files)
        return CacheEntry(self.name, stamp, "prepared scenes")

    def _map(self, folder: Path, count: int) -> dict[str, np.ndarray]:
        def one(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            if count == 0:
                return np.zeros((0, *shape), dtype)
            # copy-on-write: torch warns about read-only memory, and writes never reach the file
            return np.memmap(folder / f"{name}.raw", dtype=dtype, mode="c", shape=(count, *shape))

        return {name: one(name, shape, dtype) for name, (shape, dtype) in self.shapes.items()}

    def _fill(self, scratch: Path, build: Callable[[int], Entry], title: str | None) -> None:
        files = {name: (scratch / f"{name}.raw").open("wb") for name in self.shapes}
        rows: list[dict[str, object]] = []
        rejected: list[Rejection] = []
        hashed = hashlib.blake2b(digest_size=8)
        try:
            bar = Bar(total=len(self.items), desc=title or "preparing scenes", disable=title is None, unit="scene")
            for item, outcome in zip(self.items, self._build_in_order(build), strict=True):
                bar.update()
                if isinstance(outcome, BadInput):
                    rejected.append(Rejection(item.id, item.file, str(outcome)))
                    continue
                for name, (_, dtype) in self.shapes.items():
                    block = np.ascontiguousarray(outcome.arrays[name], dtype=dtype).tobytes()
                    files[name].write(block)
                    hashed.update(block)
                rows.append(outcome.row)
            bar.close()
        finally:
            for file in files.values():
                file.close()
        index = {"digest": hashed.hexdigest(), "rows": rows, "rejected": rejected}
        (scratch / _INDEX).write_text(json.dumps(index))

    def _build_in_order(self, build: Callable[[int], Entry]) -> Iterator[Entry | BadInput]:
        """Build entries with a few threads; an unusable scene yields the exception that says why."""

        def attempt(position: int) -> Entry | BadInput:
            return read_or_reject(lambda: build(position), self.items[position].files)

        workers = min(8, os.cpu_count() or 1)
        return thread_map(attempt, range(len(self.items)), workers=workers, pending=4 * workers, name="bglab-decode")
