"""Entries of the cache: folders that are complete and undamaged, or made again.

An entry lists its files with sizes, modification times and digests. When it is opened, sizes and times are compared;
where one differs from the list, as after a copy or a repair of the disk, the file itself is read and compared. An entry
that is damaged counts as missing, so its maker replaces it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bglab.errors import BadInput, MissingData, Unreadable, check_environment
from bglab.files import data_root, writable_folder
from bglab.scratch import locked, remove_dead, scratch_file, scratch_folder
from bglab.sealed import seal, unseal

_LOG = logging.getLogger(__name__)

#: List of an entry's files.
_LIST = "entry.json"


@dataclass(frozen=True)
class CacheEntry:
    """A folder below ``cache`` in the data folder.

    Attributes:
        name: Path of the folder, with slashes.
        stamp: Digest of what the entry is made from; an entry with another one counts as missing.
        what: Content, for messages: ``prepared scenes``.
    """

    name: str
    stamp: str
    what: str

    @property
    def folder(self) -> Path:
        """Path of the folder, whether the entry exists or not."""
        return data_root() / "cache" / self.name

    def find(self) -> Path | None:
        """Return the folder of the entry; None if there is none of this stamp, or it is damaged, which is logged.

        Raises:
            Unreadable: If the disk of the cache fails.
        """
        remove_dead(self.folder.parent)  # of a process that was killed when it had made this one, and nothing is made
        listed = self._read_list()
        if listed is None or listed["stamp"] != self.stamp:
            return None
        changed = {}
        for name, (size, time_ns, digest) in listed["files"].items():
            path = self.folder / name
            try:
                state = _state(path)
                if state != [size, time_ns] and _digest(path) != digest:
                    raise OSError("it has other content")
            except OSError as problem:
                check_environment(path, problem)
                _LOG.warning("making %s again, since the cached %s is damaged: %s", self.what, path, problem)
                return None
            if state != [size, time_ns]:
                changed[name] = [*state, digest]
        if changed:
            with contextlib.suppress(OSError):  # the cache may be read-only
                _write_list(self.folder, self.stamp, listed["files"] | changed)
        return self.folder

    @contextmanager
    def make(self) -> Iterator[Path]:
        """Make the entry: yields an empty folder, which takes the entry's place if nothing is raised.

        If another process has made the same entry in the meantime, that one stays.

        Raises:
            BadInput: If the cache cannot be written.
        """
        place = writable_folder(self.folder.parent)
        try:
            with scratch_folder(place, self.folder.name) as scratch:
                yield scratch
                files = {path.name: path for path in scratch.iterdir()}
                _write_list(scratch, self.stamp, {name: [*_state(path), _digest(path)] for name, path in files.items()})
                with locked(place):
                    if self.find() is None:
                        self._replace_by(scratch)
        except (MissingData, Unreadable):
            raise
        except OSError as problem:
            raise BadInput(
                f"expected to cache {self.what} in {self.folder}, but {problem.strerror or problem}; free some space, "
                "or set BGLAB_DATA to a folder you can write to"
            ) from None

    def _replace_by(self, scratch: Path) -> None:
        if self.folder.is_dir():
            self.folder.rename(scratch.parent / "replaced")  # removed with the scratch folder
        elif self.folder.exists():
            self.folder.unlink()
        scratch.rename(self.folder)

    def _read_list(self) -> dict[str, Any] | None:
        """Read the list of files; None if there is none, or it is not as it was written."""
        try:
            listed = unseal(json.loads((self.folder / _LIST).read_bytes()), required=True)
            if not _is_list(listed):
                raise ValueError("it is of another kind")
            return listed
        except FileNotFoundError:
            return None
        except (OSError, ValueError, RecursionError) as problem:
            check_environment(self.folder / _LIST, problem)
            _LOG.warning("making %s again, since the cached %s is damaged", self.what, self.folder / _LIST)
            return None


def _is_list(content: dict[str, Any]) -> bool:
    """Decide whether a sealed file is the list of an entry; another one may have been put in its place."""
    files = content.get("files")
    return isinstance(content.get("stamp"), str) and isinstance(files, dict) and all(map(_is_file, files.values()))


def _is_file(entry: object) -> bool:
    return isinstance(entry, list) and [type(part) for part in entry] == [int, int, str]


def remove_entry(name: str) -> None:
    """Remove an entry of the cache, if there is one.

    Args:
        name: As for `CacheEntry`.
    """
    shutil.rmtree(data_root() / "cache" / name, ignore_errors=True)


def _state(path: Path) -> list[int]:
    status = path.stat()
    return [status.st_size, status.st_mtime_ns]


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()


def _write_list(folder: Path, stamp: str, files: dict[str, list]) -> None:
    with scratch_file(folder, _LIST) as (file, path):
        file.write(json.dumps(seal({"stamp": stamp, "files": files})).encode())
        file.close()
        path.replace(folder / _LIST)
