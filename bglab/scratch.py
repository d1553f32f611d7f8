"""Unfinished files and folders: names that no other process takes, removal after a run that was killed, and locks.

Two processes may write to one folder at the same time, on one machine or on several that share a disk, where process
ids repeat. So a name is random, and whether its process lives is told by a lock on the file, which ends with the
process however it ends. In stores, which have no locks, age tells.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from bglab.locations import Place, StorePath

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

#: Names of unfinished files and folders, hidden, with a random part.
_SCRATCH = re.compile(r"\..*\.[0-9a-f]{12}\.part")
#: Longest part of a name that is kept, in bytes; file systems allow 255.
_LONGEST_NAME = 120
# after a folder was searched, as many files are written to it without another search as it has hundreds of files
_FILES_PER_WRITE = 100
_WRITES_LEFT: dict[Place, int] = {}
_ALIVE, _CONTENT, _LOCK = "alive", "content", ".lock"
# where nothing can be locked
_DEAD_AFTER_S = 24 * 3600.0
#: Longest content of a file for a store that is collected in memory, in bytes; more goes to a temporary file.
_HELD = 64 << 20


@contextmanager
def scratch_file(folder: Path, name: str) -> Iterator[tuple[BinaryIO, Path]]:
    """Open an unfinished file for writing; what is not renamed in the end is removed.

    Args:
        folder: Existing folder; unfinished files of dead processes in it are removed first.
        name: Name that the file will have, which the name of the unfinished one begins with.

    Yields:
        The file, and its path for now. It stays locked when it is closed, until it is renamed and the context ends.

    Raises:
        OSError: If it cannot be created.
    """
    _remove_dead_at_times(folder)
    file, path = _create(folder, name)
    with contextlib.ExitStack() as stack:
        stack.callback(_unlink, path)
        stack.enter_context(file)
        if fcntl is not None:
            # a file is closed before it is renamed, which alone would end the lock: another process would remove it
            stack.callback(os.close, os.dup(file.fileno()))
        yield file, path


@contextmanager
def sent_file(path: StorePath, folder: StorePath) -> Iterator[BinaryIO]:
    """Collect a file on this machine; when it is complete, send it under an unfinished name, and then move it.

    Args:
        path: Final place in the store.
        folder: Folder of the unfinished file, in the same store; unfinished files in it that are a day old are removed.

    Yields:
        A temporary file on this machine.

    Raises:
        OSError: If it cannot be written; a file that was at the place stays.
    """
    _remove_dead_at_times(folder)
    with tempfile.SpooledTemporaryFile(_HELD) as file:
        yield cast(BinaryIO, file)
        file.seek(0)
        unfinished = folder / _scratch_name(path.name)
        try:
            unfinished.send(cast(BinaryIO, file))
            unfinished.rename(path)
        except BaseException:
            _unlink(unfinished)
            raise


def check_store(folder: StorePath) -> None:
    """Write a file to a store and remove it, to see that all can be done that writing takes.

    Args:
        folder: Folder in the store.

    Raises:
        OSError: If a part of it cannot be done.
    """
    path = folder / _scratch_name("writable")
    with sent_file(path, folder):
        pass
    path.unlink()


@contextmanager
def scratch_folder(folder: Path, name: str) -> Iterator[Path]:
    """Create an unfinished folder, which is to be renamed when it is complete; it is removed otherwise.

    Args:
        folder: Existing folder; unfinished folders of dead processes in it are removed first.
        name: Name that the folder will have, which the name of the unfinished one begins with.

    Yields:
        An empty folder on the same disk as ``folder``.

    Raises:
        OSError: If it cannot be created.

    Example:
        >>> import tempfile
        >>> place = Path(tempfile.mkdtemp())
        >>> with scratch_folder(place, "set") as scratch:
        ...     _ = (scratch / "a.txt").write_text("whole")
        ...     _ = scratch.rename(place / "set")
        >>> [path.name for path in place.iterdir()]
        ['set']
    """
    _remove_dead_at_times(folder)
    outer, alive = _create_folder(folder, name)
    try:
        with alive:
            (outer / _CONTENT).mkdir()
            yield outer / _CONTENT
    finally:
        _remove_folder(outer)


@contextmanager
def locked(folder: Place) -> Iterator[None]:
    """Hold the lock of a folder, so that no other process moves or replaces what is in it at the same time.

    Without effect in stores, where the file system knows no locks, or where the folder cannot be written to.

    Args:
        folder: Existing folder; its file ``.lock`` stays.
    """
    if isinstance(folder, StorePath):
        yield
        return
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            file = stack.enter_context((folder / _LOCK).open("ab"))
            if fcntl is not None:
                fcntl.flock(file, fcntl.LOCK_EX)
        yield


def remove_dead(folder: Place) -> int:
    """Remove unfinished files and folders that processes which have ended left in a folder.

    Args:
        folder: Folder to search, not those below it.

    Returns:
        Number of files and folders that were looked at.
    """
    if isinstance(folder, StorePath):
        return _remove_old(folder)
    count = 0
    with contextlib.suppress(OSError):
        for entry in os.scandir(folder):
            count += 1
            if _SCRATCH.fullmatch(entry.name):
                with contextlib.suppress(OSError):
                    _remove_if_dead(Path(entry.path))
    return count


def _remove_old(folder: StorePath) -> int:
    """Remove unfinished files that are a day old, and return the number of files and folders that were looked at."""
    count = 0
    with contextlib.suppress(OSError):
        for entry in folder.iterdir():
            count += 1
            if is_scratch(entry) and entry.age_s() > _DEAD_AFTER_S:
                _unlink(entry)
    return count


def _remove_dead_at_times(folder: Place) -> None:
    """Remove what dead processes left; in a large folder not each time, or looking would take longer than writing."""
    left = _WRITES_LEFT.get(folder, 0)
    _WRITES_LEFT[folder] = left - 1 if left else remove_dead(folder) // _FILES_PER_WRITE


def remove_folder(folder: Place) -> None:
    """Remove a folder and what is in it; if a call fails once, the rest is removed by the next attempt.

    Args:
        folder: Folder, which may be missing.
    """
    if isinstance(folder, StorePath):
        with contextlib.suppress(OSError):
            folder.remove()
        return
    for _ in range(3):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return


def is_scratch(path: Place) -> bool:
    """Decide whether a file or folder is an unfinished one by its name."""
    return bool(_SCRATCH.fullmatch(path.name))


def _scratch_name(name: str) -> str:
    short = os.fsencode(name)[:_LONGEST_NAME].decode(errors="ignore")
    return f".{short}.{secrets.token_hex(6)}.part"


def _create(folder: Path, name: str) -> tuple[BinaryIO, Path]:
    """Create and lock an unfinished file; again if another process took it for a dead one in between."""
    while True:
        path = folder / _scratch_name(name)
        file = path.open("x+b")
        if _lock_now(file.fileno()) is not False and path.exists():
            return file, path
        file.close()
        path.unlink(missing_ok=True)


def _create_folder(folder: Path, name: str) -> tuple[Path, BinaryIO]:
    """Create and lock an unfinished folder; again if another process took it, still empty, for a dead one."""
    while True:
        outer = folder / _scratch_name(name)
        outer.mkdir()
        try:
            alive = (outer / _ALIVE).open("xb")
        except FileNotFoundError:
            if outer.exists():
                raise
            continue
        except OSError:
            _remove_folder(outer)
            raise
        if _lock_now(alive.fileno()) is not False and (outer / _ALIVE).exists():
            return outer, alive
        alive.close()


def _remove_folder(outer: Path) -> None:
    """Remove an unfinished folder, its lock last: whoever is interrupted in this leaves what others know to be dead."""
    with contextlib.suppress(OSError):
        for entry in list(os.scandir(outer)):
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            elif entry.name != _ALIVE:
                Path(entry.path).unlink()
        (outer / _ALIVE).unlink(missing_ok=True)
        outer.rmdir()


def _unlink(path: Place) -> None:
    with contextlib.suppress(OSError):
        path.unlink(missing_ok=True)


def _lock_now(descriptor: int) -> bool | None:
    """Lock a file without waiting; None where that is not possible for any file."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _remove_if_dead(path: Path) -> None:
    age = time.time() - path.stat().st_mtime
    held = path / _ALIVE if path.is_dir() else path
    if not held.exists():
        if age > _DEAD_AFTER_S:
            _remove_folder(path)
        path.rmdir()  # as it was created, or all but removed; nothing happens if there is anything in it
        return
    with held.open("r+b") as file:
        free = _lock_now(file.fileno())
        if free is False or (free is None and age < _DEAD_AFTER_S):
            return
        if path.is_dir():
            _remove_folder(path)
        else:
            path.unlink(missing_ok=True)
