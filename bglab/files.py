"""Files and folders: where data is stored, and files that are written whole or not at all."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import io
import json
import os
import stat
import tempfile
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, BinaryIO, NoReturn, cast, overload

import platformdirs

from bglab.errors import BadInput, MissingData, Unreadable, unreadable
from bglab.locations import Place, StorePath, place_of
from bglab.scratch import check_store, scratch_file, sent_file


@contextmanager
def whole_file(
    path: Place, *, what: str, remedy: str, scratch_folder: Place | None = None, durable: bool = False
) -> Iterator[BinaryIO]:
    """Open a temporary file for writing that is renamed to its final name once it is complete.

    Even if the run is killed, other processes find the old file, no file, or the complete new one.

    Args:
        path: Final path; its folder is created.
        what: Content of the file, for the error message: ``results``.
        remedy: What to do if it cannot be written, for the error message: ``choose another --out``.
        scratch_folder: Folder of the temporary file, on the same disk or in that store; by default that of ``path``.
        durable: Whether to flush the file to disk before renaming it, so that it survives a power failure.

    Yields:
        The temporary file, opened for writing bytes.

    Raises:
        BadInput: If the file cannot be written.
        Unreadable: If its store cannot be reached.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> with whole_file(folder / "a.txt", what="notes", remedy="choose another folder") as file:
        ...     _ = file.write(b"whole")
        ...     sorted(folder.glob("*.txt"))
        []
        >>> (folder / "a.txt").read_bytes()
        b'whole'
    """
    folder = scratch_folder or path.parent
    if "\0" in str(path):
        raise BadInput(f"expected the name of a file to write {what} to, got {str(path)!r}; {remedy}")
    try:
        if isinstance(path, StorePath) and isinstance(folder, StorePath):
            folder.mkdir()
            with sent_file(path, folder) as file:
                yield file
            return
        assert isinstance(path, Path), "a disk and a store do not share a file"
        assert isinstance(folder, Path), "as above"
        if _is_special(path):
            with path.open("ab") as stream:  # a shell may have written to it before
                yield stream
            return
        folder.mkdir(parents=True, exist_ok=True)
        with scratch_file(folder, path.name) as (file, scratch):
            yield file
            file.flush()
            if durable:
                os.fsync(file.fileno())
            file.close()
            scratch.replace(path)
    except (MissingData, Unreadable):  # what is written comes from files that cannot be read
        raise
    except OSError as problem:
        raise BadInput(f"expected to write {what} to {path}, but {problem.strerror or problem}; {remedy}") from None


def write_text(path: Place | str, text: str, *, what: str, remedy: str = "choose a place you can write to") -> Place:
    """Write a text as UTF-8, whole or not at all; an earlier file stays until then.

    Args:
        path: File to write, or its URL; its folder is created. A pipe or device is written to as it is.
        text: Content; what UTF-8 cannot encode is written as it was read.
        what: Content of the file, for the error message: ``a table``.
        remedy: What to do if it cannot be written, for the error message.

    Returns:
        The path.

    Raises:
        BadInput: If the file cannot be written.
    """
    path, content = place_of(path), text.encode("utf-8", "surrogateescape")
    with whole_file(path, what=what, remedy=remedy) as file:
        file.write(content)
    return path


def writable_file(path: Place | str) -> Place:
    """Check that a file can be written before the work begins whose result it is to hold; its folder is created.

    Args:
        path: File to write later, or its URL. An earlier one stays as it is.

    Raises:
        BadInput: If it cannot be written, or is a folder.
        Unreadable: If its store cannot be reached.
    """
    path = place_of(path)
    try:
        is_folder = _tried(path)
    except Unreadable:
        raise
    except (OSError, ValueError) as problem:  # ValueError: a null byte in the name
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(f"expected a file to write to at {path}, but {reason}; choose another file") from None
    if is_folder:
        raise BadInput(f"expected a file to write to, but {path} is a folder; name a file in it")
    return path


def _tried(path: Place) -> bool:
    """Write an unfinished file beside a file that is to be written, and tell whether the latter is a folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(path, StorePath):
        check_store(path.parent)
        return path.is_dir()
    with contextlib.suppress(FileNotFoundError):
        path.stat()  # raises if the name is too long
    is_folder = path.is_dir()
    if not is_folder and not _is_special(path):
        with scratch_file(path.parent, path.name):
            pass
    return is_folder


def _is_special(path: Path) -> bool:
    """Decide whether a path must be written to as it is, since a file in its place would break the system.

    These are pipes and devices, and the links of ``/dev`` and ``/proc`` to files that are open already, such as
    ``/dev/stdout``, which may be a regular file in the end.
    """
    place = str(path.parent.resolve())
    is_of_system = place in {"/dev", "/dev/fd"} or place.startswith("/proc/")
    return path.exists() and not path.is_dir() and (is_of_system or not path.is_file())


@functools.cache
def checkout() -> Path | None:
    """Return the root of the checkout that the package runs from, or None if it was installed from a wheel."""
    root = Path(__file__).resolve().parents[1]
    try:
        project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8")).get("project", {})
    except (OSError, ValueError):  # no such file, or not one of TOML
        return None
    return root if project.get("name") == "bglab" else None


def data_root() -> Path:
    """Return the folder for downloads, results, packs and caches.

    It is ``BGLAB_DATA`` if set, else the folder ``data`` of the checkout, else the user's cache folder.
    """
    named = os.environ.get("BGLAB_DATA")
    if named:
        return Path(named).expanduser()
    root = checkout()
    return root / "data" if root else platformdirs.user_cache_path("bglab", appauthor=False)


def trained_results() -> Path:
    """Return the folder with the predictions of trained networks that come with bglab.

    In a checkout it is ``data/results/trained``. An installed package first copies them to ``results/trained`` under
    `data_root`, so that nothing is written into the package.

    Raises:
        BadInput: If they cannot be copied.
    """
    root = checkout()
    if root:
        return root / "data" / "results" / "trained"
    folder = data_root() / "results" / "trained"
    update_copies(Path(__file__).parent / "papers" / "trained_results", folder, "**/*.parquet")
    return folder


#: File that records what was copied to a folder: relative path → SHA-256.
_COPIED = ".bglab-copied.json"


def update_copies(source: Path, folder: Path, pattern: str) -> list[str]:
    """Copy files that come with bglab to a folder of the user, without overwriting files that the user has changed.

    An unchanged copy is replaced when a new version of bglab brings another file.

    Args:
        source: Folder of the files to copy.
        folder: Folder of the copies; it is created.
        pattern: Glob pattern of the files below ``source``, as for `pathlib.Path.glob`.

    Returns:
        Relative paths of the files that were not copied because the user has changed them.

    Raises:
        BadInput: If the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> source, folder = Path(tempfile.mkdtemp()), Path(tempfile.mkdtemp())
        >>> _ = (source / "a.txt").write_text("ours")
        >>> update_copies(source, folder, "*.txt")
        []
        >>> _ = (folder / "a.txt").write_text("changed")
        >>> update_copies(source, folder, "*.txt")
        ['a.txt']
        >>> (folder / "a.txt").read_text()
        'changed'
    """
    if folder.resolve() == source.resolve():
        return []
    remembered = _read_copied(folder / _COPIED)
    copied, changed = dict(remembered), []
    for file in sorted(source.glob(pattern)):
        name, shipped = file.relative_to(source).as_posix(), file.read_bytes()
        target, digest = folder / name, hashlib.sha256(shipped).hexdigest()
        present = _sha256(target)
        if present not in {None, digest, remembered.get(name)}:
            changed.append(name)
            continue
        if present != digest:
            _write(target, shipped)
        copied[name] = digest
    if copied != remembered:
        _write(folder / _COPIED, json.dumps(copied, indent=1).encode())
    return changed


def _read_copied(path: Path) -> dict[str, str]:
    """Read the record of copies; if there is none, it is empty and every file that differs counts as changed."""
    try:
        copied = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return copied if isinstance(copied, dict) else {}


#: What a path can be that is no regular file, by the bits of its mode.
_OTHER_KINDS = {
    stat.S_IFDIR: "a folder",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def check_regular(path: Path, what: str = "a file", *, most_bytes: int | None = None) -> None:
    """Refuse what is no regular file: a named pipe would wait for a writer, and a device may never end.

    Args:
        path: Path to read; one that does not exist, or that cannot be asked for, passes, since reading it says why.
        what: What is expected there, for the message.
        most_bytes: Largest size of a file that is read whole; None stands for any.

    Raises:
        BadInput: If it is none, or larger.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> check_regular(folder / "absent.png")
        >>> try:
        ...     check_regular(folder, "an image")
        ... except BadInput as problem:
        ...     print(str(problem).replace(str(folder), "pictures"))
        expected an image in pictures, got a folder; remove it, or name a regular file
    """
    try:
        status = path.stat()
    except (OSError, ValueError):  # ValueError for a path with a NUL byte
        return
    if not stat.S_ISREG(status.st_mode):
        came = _OTHER_KINDS.get(stat.S_IFMT(status.st_mode), "something else")
        raise BadInput(f"expected {what} in {path}, got {came}; remove it, or name a regular file")
    if most_bytes is not None and status.st_size > most_bytes:
        raise BadInput(
            f"expected {what} of at most {most_bytes / 1e6:,.0f} MB in {path}, got {status.st_size / 1e6:,.0f} MB; "
            "split it, or restore the file"
        )


@overload
def files_below(folder: Path, *, deepest: int | None = None) -> list[Path]: ...
@overload
def files_below(folder: StorePath, *, deepest: int | None = None) -> list[StorePath]: ...
def files_below(folder: Place, *, deepest: int | None = None) -> Sequence[Place]:
    """List the files below a folder, sorted, without hidden ones; links to files count, also those that lead nowhere.

    `pathlib.Path.glob` passes over a folder that cannot be listed, and what is counted or compared then is a part.

    Args:
        folder: Folder of any depth; a missing one has no files.
        deepest: Number of names in the longest relative path to list; links to folders are followed then. None lists
            files at any depth, but not through links.

    Raises:
        Unreadable: If a folder cannot be listed.

    Example:
        >>> import tempfile
        >>> folder = Path(tempfile.mkdtemp())
        >>> (folder / "a" / "b").mkdir(parents=True)
        >>> for name in ("1.txt", "a/2.txt", "a/b/3.txt", "a/.4.txt"):
        ...     _ = (folder / name).write_text("")
        >>> [path.name for path in files_below(folder, deepest=2)]
        ['1.txt', '2.txt']
    """

    def refuse(problem: OSError) -> NoReturn:
        raise unreadable(problem.filename or folder, problem) from None

    if isinstance(folder, StorePath):
        try:
            return folder.files(deepest=deepest)
        except OSError as problem:
            refuse(problem)
    found: list[Path] = []
    if not os.path.lexists(folder):
        return found
    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=deepest is not None):
        here = Path(place)
        level = len(here.relative_to(folder).parts) + 1
        folders[:] = [name for name in folders if name[0] != "." and (deepest is None or level < deepest)]
        found += [here / name for name in names if name[0] != "."]
    return sorted(found)


def sha256_of(path: Place) -> str:
    """Compute the SHA-256 of a file, read in parts; 64 hexadecimal digits."""
    with path.open("rb") as content:
        return sha256_in(content)


def sha256_in(content: IO[bytes] | io.BytesIO) -> str:
    """Compute the SHA-256 of what is in an open file from here to its end; 64 hexadecimal digits."""
    return hashlib.file_digest(cast(Any, content), "sha256").hexdigest()


def _sha256(path: Path) -> str | None:
    """Compute the SHA-256 of a file; None if there is no such file."""
    try:
        return sha256_of(path)
    except FileNotFoundError:
        return None
    except OSError as problem:
        raise BadInput(
            f"expected to read {path}, but {problem.strerror or problem}; choose another folder, or set BGLAB_DATA"
        ) from None


def _write(path: Path, content: bytes) -> None:
    with whole_file(path, what=path.name, remedy="choose another folder, or set BGLAB_DATA") as file:
        file.write(content)


@overload
def writable_folder(path: Path) -> Path: ...
@overload
def writable_folder(path: Place | str) -> Place: ...
def writable_folder(path: Place | str) -> Place:
    """Create a folder for results or caches, check that it is writable, and return it.

    Args:
        path: The folder, or its URL.

    Raises:
        MissingData: If the package that reaches its store is not installed.
        BadInput: If it is not writable.
        Unreadable: If its store cannot be reached.
    """
    path = place_of(path)
    for is_last in (False, False, True):
        try:
            path.mkdir(parents=True, exist_ok=True)
            if isinstance(path, StorePath):
                check_store(path)
                return path
            with tempfile.TemporaryFile(dir=path):
                return path
        except Unreadable:
            raise
        except OSError as problem:
            if isinstance(problem, FileNotFoundError) and not is_last:
                continue  # another process removed it, empty, in between
            raise BadInput(
                f"expected a folder to write to at {path}, but {problem.strerror or problem}; "
                "choose another with --results, or set BGLAB_DATA for caches and downloads"
            ) from None
    raise AssertionError("the last attempt ends the loop")
