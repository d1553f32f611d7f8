"""Reading scenes of a set: what to do when a file cannot be read, which is not always the file's fault."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TypeVar

from bglab.errors import BadInput, Unreadable, unreadable
from bglab.seeding import digest

Outcome = TypeVar("Outcome")

#: Pauses in seconds before a file that could not be read is tried again.
_PAUSES = (0.05, 0.5)

#: Version of the stamps: incremented whenever the pixels of prepared scenes change, or which scenes are rejected.
_VERSION = 3


def read_or_reject(read: Callable[[], Outcome], files: Sequence[Path]) -> Outcome | BadInput:
    """Read a scene; return the error that rejects it if that is due to its files' content.

    A file that is broken, a link to nowhere, or not permitted rejects its scene. But a file that was there when the set
    was listed and is gone now, or a disk that fails, says nothing about the scene: reading is tried again, and if the
    file does not come back, the run stops, since it would otherwise go on with a part of the set.

    Args:
        read: Reads the scene.
        files: Files that it is read from.

    Raises:
        Unreadable: If a file is gone, or its disk fails.
    """
    for pause in (*_PAUSES, None):
        try:
            return read()
        except Unreadable:
            if pause is None:
                raise
        except BadInput as problem:
            cause = _cause(problem)
            gone = None if cause is None else _gone(files, cause)
            if gone is None:
                return problem
            if pause is None:
                raise unreadable(gone, cause or OSError()) from None
        time.sleep(pause)
    raise AssertionError("the last pause ends the loop")


def files_stamp(files: Iterable[Path]) -> str:
    """Hash sizes and modification times, so that a file edited in place invalidates what was made from it.

    A file that is missing or not permitted is part of the stamp as such, so that what was made without it is made again
    once it can be read.
    """
    parts: list[str] = [f"version {_VERSION}"]
    for file in files:
        try:
            status = file.stat()
            parts.append(f"{file.name} {status.st_size} {status.st_mtime_ns}")
        except OSError as problem:
            parts.append(f"{file.name} {problem.errno}")
            continue
        if not os.access(file, os.R_OK):
            parts.append("not permitted")
    return digest(parts)


def _cause(problem: BaseException) -> OSError | None:
    """Return the error of the operating system behind an error of ours, if there is one."""
    cause = problem.__context__
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause
        cause = cause.__context__
    return None


def _gone(files: Sequence[Path], cause: OSError) -> Path | None:
    """Return the file that cannot be read although nothing is wrong with it; None if one of them rejects the scene."""
    for file in files:
        try:
            file.lstat()
        except OSError:
            return file
        if not file.exists() or file.is_dir() or not os.access(file, os.R_OK):
            return None  # a link to nowhere, a folder, or not permitted
    return Path(cause.filename) if cause.filename else next(iter(files), None)
