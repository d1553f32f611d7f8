"""Cache entries of memory-mapped arrays: folders with raw arrays of fixed shapes per row, and an index in JSON.

An entry is built in a temporary folder and renamed when complete, so an interrupted run leaves no partial entry.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.files import data_root, writable_folder
from bglab.parallel import thread_map
from bglab.scenes.scene import Rejection
from bglab.seeding import digest

# incremented whenever the pixels of prepared scenes change, or which scenes are rejected
_VERSION = 2


class Entry(NamedTuple):
    """Arrays of one prepared scene or image by name, and its row of the index."""

    arrays: dict[str, np.ndarray]
    row: dict[str, object]


def files_stamp(files: Iterable[Path]) -> str:
    """Hash sizes and modification times, so that a file edited in place invalidates the cache."""
    parts: list[str] = [f"version {_VERSION}"]
    for file in files:
        status = file.stat()
        parts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
    return digest(parts)


def cache_folder(name: str) -> Path:
    """Return the folder of a cache entry, whether there is one or not."""
    return data_root() / "cache" / name


@dataclass(frozen=True)
class ArrayStore:
    """A cache entry of the data folder.

    Attributes:
        name: Name of its folder below ``cache``.
        stamp: Digest of the files that the entry is made from (`files_stamp`); an entry with another one is rebuilt.
        shapes: Shape and type of one row of each array, by name.
    """

    name: str
    stamp: str
    shapes: dict[str, tuple[tuple[int, ...], type]] = field(hash=False)

    def load_or_build(
        self, items: list[tuple[int, str, str]], build: Callable[[int], Entry], title: str | None
    ) -> tuple[dict[str, np.ndarray], dict]:
        """Map the arrays, which are built first if there is no entry of this stamp.

        Args:
            items: Position, id and file of each scene.
            build: Function that builds the entry of a position; raises `BadInput` if the scene cannot be used.
            title: Title of the progress bar; None shows no bar.

        Returns:
            The arrays by name, and the index: ``rows`` and ``rejected`` in the order of the items, and the ``digest``
            of all arrays.

        Raises:
            BadInput: If the entry cannot be written.
        """
        found = self.load()
        if found is None:
            self._build(cache_folder(self.name), items, build, title)
            found = self.load()
            assert found is not None
        return found

    def load(self) -> tuple[dict[str, np.ndarray], dict] | None:
        """Map the arrays and read the index, as `load_or_build` returns them; None if there is no entry."""
        folder = cache_folder(self.name)
        index = self._read_index(folder)
        return None if index is None else (self._map(folder, len(index["rows"])), index)

    def _read_index(self, folder: Path) -> dict | None:
        try:
            index = json.loads((folder / "index.json").read_text())
        except (OSError, json.JSONDecodeError):
            return None
        return index if index.get("stamp") == self.stamp else None

    def _map(self, folder: Path, count: int) -> dict[str, np.ndarray]:
        def one(name: str, shape: tuple[int, ...], dtype: type) -> np.ndarray:
            if count == 0:
                return np.zeros((0, *shape), dtype)
            # copy-on-write: torch warns about read-only memory, and writes never reach the file
            return np.memmap(folder / f"{name}.raw", dtype=dtype, mode="c", shape=(count, *shape))

        return {name: one(name, shape, dtype) for name, (shape, dtype) in self.shapes.items()}

    def _build(
        self,
        folder: Path,
        items: list[tuple[int, str, str]],
        build: Callable[[int], Entry],
        title: str | None,
    ) -> None:
        scratch = writable_folder(folder.parent) / f".{self.name}-{os.getpid()}"
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir()
        try:
            self._fill(scratch, items, build, title)
            # another run may have completed the same folder first, and be reading it; its arrays are identical
            if self._read_index(folder) is None:
                shutil.rmtree(folder, ignore_errors=True)
                scratch.rename(folder)
        except OSError as problem:
            if self._read_index(folder) is None:
                raise BadInput(
                    f"could not write prepared scenes to {folder} ({problem.strerror or problem}); free some "
                    "space, or set BGLAB_DATA to a folder you can write to"
                ) from None
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _fill(
        self,
        scratch: Path,
        items: list[tuple[int, str, str]],
        build: Callable[[int], Entry],
        title: str | None,
    ) -> None:
        files = {name: (scratch / f"{name}.raw").open("wb") for name in self.shapes}
        rows: list[dict[str, object]] = []
        rejected: list[Rejection] = []
        hashed = hashlib.blake2b(digest_size=8)
        try:
            bar = tqdm(total=len(items), desc=title, disable=title is None, unit="scene")
            for (_, scene, file), outcome in zip(items, _build_in_order(build, len(items)), strict=True):
                bar.update()
                if isinstance(outcome, BadInput):
                    rejected.append(Rejection(scene, file, str(outcome)))
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
        index = {"stamp": self.stamp, "digest": hashed.hexdigest(), "rows": rows, "rejected": rejected}
        (scratch / "index.json").write_text(json.dumps(index))


def _build_in_order(build: Callable[[int], Entry], count: int) -> Iterator[Entry | BadInput]:
    """Build entries with a few threads; an unusable scene yields the exception that says why."""

    def attempt(position: int) -> Entry | BadInput:
        try:
            return build(position)
        except BadInput as problem:
            return problem

    workers = min(8, os.cpu_count() or 1)
    return thread_map(attempt, range(count), workers=workers, pending=4 * workers, name="bglab-decode")
