"""Places of files: on this machine, or in a store that a URL names, such as the bucket of ``s3://bucket/lab``.

Stores are reached through fsspec, by its own configuration of credentials. It is imported with the first URL.
"""

from __future__ import annotations

import errno
import io
import os
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from fnmatch import fnmatch
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO
from urllib.parse import urlsplit

from bglab.errors import BadInput, MissingData, Unreadable, brief

#: How a URL, or a chain of several, begins. One letter is a drive of Windows.
_URL = re.compile(r"(?P<scheme>(?:[A-Za-z][\w.+-]+::)*[A-Za-z][\w.+-]+)://")
_OF_THIS_MACHINE = {"file", "local"}
#: What a driver's errors about a file itself are for the operating system; all others are about the store.
_ABOUT_A_FILE = {
    FileNotFoundError: errno.ENOENT,
    FileExistsError: errno.EEXIST,
    IsADirectoryError: errno.EISDIR,
    NotADirectoryError: errno.ENOTDIR,
    PermissionError: errno.EACCES,
    NotImplementedError: errno.EACCES,
}
#: Size of the parts that are sent to a store, in bytes.
_PART = 1 << 20


@dataclass(frozen=True)
class StorePath:
    """A file or folder in a store, with the attributes and methods of `pathlib.Path` that files of results need.

    Folders are there as long as something is in them. Every question is put to the store, never to a listing that was
    kept: other machines write to it, too.

    All methods that reach the store raise `OSError` as those of `pathlib.Path` do, and `Unreadable` if the store cannot
    be reached or refuses.

    Args:
        url: Its URL, without a slash at the end.
        target: The same as a path of universal_pathlib.
    """

    url: str
    target: Any = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.url

    def __lt__(self, other: StorePath) -> bool:
        return self.parts < other.parts

    def __truediv__(self, name: str) -> StorePath:
        return StorePath(f"{self.url}{'' if self.url.endswith('/') else '/'}{name}", self.target / name)

    @property
    def parts(self) -> tuple[str, ...]:
        """The scheme, and the names on the way."""
        return PurePosixPath(self.url).parts

    @property
    def name(self) -> str:
        """Last name."""
        return PurePosixPath(self.url).name

    @property
    def stem(self) -> str:
        """Last name without its ending."""
        return PurePosixPath(self.url).stem

    @property
    def suffix(self) -> str:
        """Ending of the last name, with its dot."""
        return PurePosixPath(self.url).suffix

    @property
    def parent(self) -> StorePath:
        """Folder that it is in."""
        above = self.url.rpartition("/")[0]
        return StorePath(f"{above}/" if above.endswith(":/") else above, self.target.parent)

    def relative_to(self, folder: StorePath) -> PurePosixPath:
        """Return the names from a folder above to this one."""
        return PurePosixPath(self.url).relative_to(PurePosixPath(folder.url))

    def exists(self) -> bool:
        """Whether there is a file, or a folder with something in it."""
        return bool(self._kind())

    def is_file(self) -> bool:
        """Whether there is a file."""
        return self._kind() == "file"

    def is_dir(self) -> bool:
        """Whether there is a folder."""
        return self._kind() == "directory"

    def age_s(self) -> float:
        """Return the time since it was written in seconds; 0 if the store does not tell."""
        with self._reached():
            told = self.target.stat()
        written = told.st_mtime or getattr(told, "st_birthtime", 0)
        return time.time() - written if written else 0.0

    def read_bytes(self) -> bytes:
        """Read the whole file."""
        with self._reached() as store:
            return store.cat_file(self.target.path)

    def read_text(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Read the whole file as text."""
        return self.read_bytes().decode(encoding, errors)

    def open(self, mode: str = "rb") -> io.BytesIO:
        """Open the file for reading bytes, after it was read whole.

        Raises:
            ValueError: If it is to be opened in another mode.
        """
        if mode != "rb":
            raise ValueError(f"expected to open {self} for reading bytes, got the mode {mode!r}; see `send`")
        return io.BytesIO(self.read_bytes())

    def send(self, content: BinaryIO) -> None:
        """Write a file; while it is written, and after a failure, there may be a part of it.

        Args:
            content: What to write, read from where it is now to its end.
        """
        with self._reached() as store, store.open(self.target.path, "wb") as file:
            shutil.copyfileobj(content, file, _PART)

    def mkdir(self, *, parents: bool = True, exist_ok: bool = True) -> None:
        """Create the folder and those above, where the store has folders, rather than names with slashes in a bucket.

        Args:
            parents: Always as if true.
            exist_ok: Always as if true.
        """
        from upath.implementations.cloud import CloudPath

        if not isinstance(self.target, CloudPath):  # which would create the bucket
            with self._reached() as store:
                store.makedirs(self.target.path, exist_ok=True)

    def iterdir(self) -> Iterator[StorePath]:
        """Yield the files and folders in a folder."""
        yield from (entry for entry, _ in self._entries())

    def glob(self, pattern: str) -> Iterator[StorePath]:
        """Yield what is in the folder under a name of this form; nothing if there is no folder."""
        try:
            yield from (entry for entry in self.iterdir() if fnmatch(entry.name, pattern))
        except FileNotFoundError:
            return

    def files(self, *, deepest: int | None = None) -> list[StorePath]:
        """List the files below a folder, as `bglab.files.files_below` does.

        Args:
            deepest: Number of names in the longest relative path; None for files at any depth.
        """
        found: list[StorePath] = []
        try:
            entries = self._entries()
        except FileNotFoundError:
            return found
        for entry, is_folder in entries:
            if entry.name.startswith("."):
                continue
            if not is_folder:
                found.append(entry)
            elif deepest is None or deepest > 1:
                found += entry.files(deepest=None if deepest is None else deepest - 1)
        return sorted(found)

    def unlink(self, *, missing_ok: bool = False) -> None:
        """Remove the file.

        Args:
            missing_ok: Whether it may be missing.
        """
        try:
            with self._reached() as store:
                store.rm_file(self.target.path)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def remove(self) -> None:
        """Remove the folder with all that is in it, if there is one."""
        with self._reached() as store:
            store.rm(self.target.path, recursive=True)

    def rename(self, target: StorePath) -> None:
        """Move the file or folder to another place in the store; a file that was there is replaced.

        Where a store only copies, a folder is copied whole before anything of it is removed.

        Args:
            target: Its new place.
        """
        from fsspec.spec import AbstractFileSystem

        with self._reached() as store:
            if type(store).mv is not AbstractFileSystem.mv:
                store.mv(self.target.path, target.target.path)
                return
        files = [self] if self.is_file() else self.files()
        if not files:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(self))
        with self._reached() as store:
            for file in files:
                store.cp_file(file.target.path, _under(target, file.relative_to(self)).target.path)
            for file in files:
                store.rm_file(file.target.path)

    def _kind(self) -> str:
        """Return ``file``, ``directory``, or "" for nothing."""
        try:
            return self._info()["type"]
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except PermissionError as problem:
            raise _unreachable(self, problem) from None

    def _info(self) -> dict[str, Any]:
        with self._reached() as store:
            store.invalidate_cache()
            return store.info(self.target.path)

    def _entries(self) -> list[tuple[StorePath, bool]]:
        """List what is in a folder, and whether each is a folder."""
        with self._reached() as store:
            store.invalidate_cache()
            listed = store.ls(self.target.path, detail=True)
        own = self.target.path.strip("/")
        found = [(info["name"].strip("/"), info["type"] == "directory") for info in listed]
        # some stores list a folder as an entry of itself
        return [(self / path.rpartition("/")[2], is_folder) for path, is_folder in found if path != own]

    @contextmanager
    def _reached(self) -> Iterator[Any]:
        """Yield the store's driver, and turn whatever it raises into errors of the operating system."""
        try:
            yield self.target.fs
        except tuple(_ABOUT_A_FILE) as problem:
            number = next(number for kind, number in _ABOUT_A_FILE.items() if isinstance(problem, kind))
            said = brief(problem) if isinstance(problem, PermissionError) else os.strerror(number)
            raise OSError(number, said, str(self)) from None
        except Exception as problem:  # noqa: BLE001 - drivers raise errors of many libraries
            raise _unreachable(self, problem) from None


#: Where files of results are.
Place = Path | StorePath


def place_of(path: Place | str) -> Place:
    """Return the place that a path or URL names; the URL of a store is the only one that imports fsspec.

    Args:
        path: Path of a file or folder on this machine, or URL that fsspec knows, without a password.

    Raises:
        MissingData: If the package that reaches the store is not installed.
        BadInput: If there is no such kind of store, or the URL is not that of one place.

    Example:
        >>> place_of("results/run 1").name, place_of("file:///results").name
        ('run 1', 'results')
        >>> str(place_of("memory://lab/results") / "predictions")
        'memory://lab/results/predictions'
    """
    if not isinstance(path, str):
        if isinstance(path, Path) and _URL.fullmatch(f"{path.parts[0]}//" if path.parts else "") and not path.exists():
            raise BadInput(f"expected a URL as text, got {path!r}, which has lost a slash; leave out Path(…)")
        return path
    found = _URL.match(path)
    if found is None:
        return Path(path)
    scheme = found["scheme"]
    if scheme in _OF_THIS_MACHINE:
        return Path(path[found.end() :])
    return _store_of(path, scheme)


def move(path: Place, target: Place) -> None:
    """Rename a file or folder.

    Args:
        path: Where it is.
        target: Where it will be, on the same disk or in the same store.

    Raises:
        OSError: If it cannot be moved.
    """
    if isinstance(path, StorePath) and isinstance(target, StorePath):
        path.rename(target)
        return
    assert isinstance(path, Path), "a disk and a store do not share a file"
    assert isinstance(target, Path), "as above"
    path.rename(target)


def _store_of(url: str, scheme: str) -> StorePath:
    """Return the place in a store that a URL names."""
    if urlsplit(url).password is not None:
        raise BadInput(
            f"expected a URL of {scheme}:// without a password, got one; put it into fsspec's configuration, which is "
            "read from ~/.config/fsspec"
        )
    if "::" in scheme or set("*?[") & set(url):
        raise BadInput(f"expected the URL of one folder, got {url}; leave out chains (::) and the signs * ? [")
    _check_driver(scheme, url)
    from upath import UPath

    names = url.removeprefix(f"{scheme}://").rstrip("/")
    try:
        return StorePath(f"{scheme}://{names}", UPath(url))
    except ValueError as problem:
        raise BadInput(f"expected a URL such as s3://bucket/lab, got {url}: {brief(problem)}") from None


def _check_driver(scheme: str, url: str) -> None:
    """Check that the package is installed that reaches stores of a kind."""
    from fsspec.registry import get_filesystem_class, known_implementations

    try:
        get_filesystem_class(scheme)
    except ValueError:
        raise BadInput(
            f"expected a folder, or the URL of a store such as s3://bucket/lab, got {url}, and fsspec knows no "
            f"{scheme}://; check how it begins"
        ) from None
    except ImportError as problem:
        package = known_implementations[scheme]["class"].partition(".")[0]
        remedy = brief(problem) if package == "fsspec" else f"pip install {package}"
        raise MissingData(f"expected the driver of {scheme}:// to be installed, to reach {url}; {remedy}") from None


def _under(folder: StorePath, names: PurePosixPath) -> StorePath:
    return folder / names.as_posix() if names.parts else folder


def _unreachable(place: StorePath, problem: Exception) -> Unreadable:
    reason = getattr(problem, "strerror", None) or brief(problem)
    return Unreadable(
        f"expected to reach {place}, but {reason}; what is finished is kept: check the connection and the "
        "credentials, and run again"
    )
