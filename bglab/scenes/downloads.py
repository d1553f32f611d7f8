"""Archives that can be downloaded: resumed after an interruption, verified, and unpacked completely or not at all."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import lzma
import os
import shutil
import stat
import subprocess
import tomllib
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from tarfile import TarError

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.files import data_root, files_below, sha256_of, whole_file, writable_folder
from bglab.scenes.transfers import cause, resume
from bglab.scenes.unpacking import unpack_tar
from bglab.scratch import remove_folder

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: Files of the scratch folder that survive an interrupted run; everything else in it is removed.
_COMPLETE, _PART, _VERSION = "download", "download.part", "download.part.version"


@dataclass(frozen=True)
class Archive:
    """One archive or package that can be fetched, an entry of ``archives.toml`` next to this module.

    Attributes:
        name: Name for `fetch`.
        kind: ``archive``, a tar archive to download, or ``debian``, a Debian package.
        title: One-line description.
        folder: Folder of the unpacked files, under the data folder.
        opens_as: URI for `open_scenes`; ``{folder}`` stands for the unpacked folder.
        licence: Licence of the images.
        address: URL of a tar archive.
        sha256: Published SHA-256 of a tar archive; "" if there is none.
        content_sha256: `content_digest` of the unpacked folder; "" if it is not known.
        package: Name of a Debian package.
        keep: Folders of a Debian package that stay, separated by spaces; "" keeps everything.
        pack: Pack that `bglab data prepare` fetches it for; "" if it belongs to none.
    """

    name: str
    kind: str
    title: str
    folder: str
    opens_as: str
    licence: str
    address: str = ""
    sha256: str = ""
    package: str = ""
    content_sha256: str = ""
    keep: str = ""
    pack: str = ""

    @property
    def path(self) -> Path:
        """Folder of the unpacked files."""
        return data_root() / self.folder

    @property
    def is_here(self) -> bool:
        """Whether it has been fetched."""
        return self.path.is_dir()

    @property
    def scratch(self) -> Path:
        """Folder of unfinished downloads."""
        return data_root() / f".{self.name}-download"

    @property
    def digest_note(self) -> Path:
        """File with the SHA-256 of the first download."""
        return data_root() / f"{self.name}.sha256"

    @property
    def content_note(self) -> Path:
        """File with the `content_digest` of the folder that was unpacked from the download."""
        return data_root() / f"{self.name}.content.sha256"


def archives() -> Catalogue[Archive]:
    """List the archives that can be fetched, by name."""
    text = resources.files("bglab.scenes").joinpath("archives.toml").read_text(encoding="utf-8")
    return Catalogue("archive", {name: Archive(name=name, **fields) for name, fields in tomllib.loads(text).items()})


def fetch(name: str) -> Path:
    """Download, verify and unpack an archive, unless it has been fetched already.

    An interrupted download is resumed if the server supports it. If no SHA-256 is published, that of the first download
    is recorded, and later downloads must match it. The digest of the unpacked files is recorded, too, so that changes
    to them can be detected.

    Args:
        name: Name of an archive in `archives`.

    Returns:
        Folder of the unpacked files.

    Raises:
        UnknownName: If there is no such archive.
        MissingData: If the archive cannot be downloaded.
        BadInput: If the download is damaged or has another SHA-256, or the disk is full.
    """
    archive = archives()[name]
    if archive.is_here:
        if archive.scratch.is_dir():  # left by a run that was stopped right at its end
            with contextlib.suppress(BadInput), _alone(archive):
                remove_folder(archive.scratch)
        return archive.path
    if archive.path.exists():
        raise BadInput(f"expected a folder or nothing at {archive.path}, got a file; move it away")
    with _alone(archive):
        return archive.path if archive.is_here else _fetched(archive)


@contextmanager
def _alone(archive: Archive) -> Iterator[None]:
    """Wait until no other process fetches the archive; its scratch folder is the lock, and removed if it is empty."""
    held = None
    while held is None:
        held = _hold(archive.scratch)  # None if whoever held it has removed it
    with held:
        try:
            yield
        finally:
            _remove_if_empty(archive.scratch)


def _remove_if_empty(folder: Path) -> None:
    """Remove a folder unless something is in it; if a call fails once, by the next attempt."""
    for _ in range(3):
        try:
            folder.rmdir()
        except OSError as problem:
            if problem.errno in {errno.ENOTEMPTY, errno.EEXIST}:
                return
        if not folder.exists():
            return


def _hold(folder: Path) -> contextlib.ExitStack | None:
    """Lock a folder until the stack is closed; None if it is no longer the one at its path."""
    writable_folder(folder)
    with contextlib.ExitStack() as stack:
        if fcntl is None:
            return stack.pop_all()
        with contextlib.suppress(FileNotFoundError):
            held = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, held)
            with contextlib.suppress(OSError):  # a file system without locks
                fcntl.flock(held, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(held), folder.stat()):
                return stack.pop_all()
    return None


def _fetched(archive: Archive) -> Path:
    _tidy(archive)  # after a run that was killed
    try:
        found = _unpacked_package(archive) if archive.kind == "debian" else _unpacked_download(archive)
        if archive.kind == "archive":
            _note(archive.content_note, content_digest(found))
        archive.path.parent.mkdir(parents=True, exist_ok=True)
        found.rename(archive.path)
        (archive.scratch / _COMPLETE).unlink(missing_ok=True)
    except MissingData:  # a subclass of OSError
        raise
    except OSError as problem:
        raise _unwritten(archive, problem) from None
    finally:
        _tidy(archive)
    return archive.path


def content_digest(folder: Path) -> str:
    """Hash the names and contents of all files below a folder; hidden files and empty folders do not count.

    Args:
        folder: Folder of any depth; its own name and place have no influence.

    Returns:
        SHA-256 as 64 hexadecimal digits, of one line ``<SHA-256 of the file>  <relative path>`` per file in the order
        of the paths, as ``sha256sum`` writes them.

    Raises:
        BadInput: If there are no files.
        Unreadable: If a folder cannot be listed.
        OSError: If a file cannot be read.
    """
    whole = hashlib.sha256()
    paths = {path.relative_to(folder).as_posix(): path for path in files_below(folder) if _is_regular(path)}
    if not paths:
        raise BadInput(f"expected files to compare below {folder}, got none; fetch or unpack them again")
    for name in sorted(paths):
        whole.update(f"{sha256_of(paths[name])}  {name}\n".encode(errors="surrogateescape"))
    return whole.hexdigest()


def _is_regular(path: Path) -> bool:
    """Decide whether a listed path is a regular file; a link that leads nowhere is none."""
    try:
        return stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        if path.is_symlink():
            return False
        raise


def _note(path: Path, digest: str) -> None:
    with whole_file(path, what="a digest", remedy="set BGLAB_DATA to another folder") as note:
        note.write(f"{digest}\n".encode())


def _tidy(archive: Archive) -> None:
    """Remove everything that a later run cannot use from the scratch folder."""
    for path in list(archive.scratch.iterdir()):
        if path.is_dir():
            remove_folder(path)
        elif path.name not in {_COMPLETE, _PART, _VERSION}:
            path.unlink(missing_ok=True)


def _unwritten(archive: Archive, problem: OSError) -> BadInput:
    return BadInput(
        f"expected to write {archive.name} under {data_root()}, but {problem.strerror or problem}; free some space, or "
        f"set BGLAB_DATA to a folder on another disk, and run bglab data fetch {archive.name} again"
    )


# --- download


def _unpacked_download(archive: Archive) -> Path:
    """Download, verify and unpack; return the unpacked folder, which is still inside the scratch folder."""
    file, unpacked = _download(archive), archive.scratch / "unpacked"
    unpacked.mkdir(parents=True)
    try:
        unpack_tar(file, unpacked)
    except OSError as problem:
        if problem.errno in _FULL:
            raise  # the download itself is valid, and the next run reuses it
        raise _damaged(archive, file, problem) from None
    except (TarError, EOFError, zlib.error, lzma.LZMAError) as problem:
        raise _damaged(archive, file, problem) from None
    if not archive.sha256:
        # record the digest only now, so that later downloads are never compared with a damaged one
        _note(archive.digest_note, sha256_of(file))
    folders = (folder for file in files_below(unpacked) for folder in file.relative_to(unpacked).parents)
    found = unpacked / min((folder for folder in folders if folder.name == archive.folder), default="")
    while [path.name for path in found.iterdir()] == [found.name]:  # a folder of the same name around it
        found = found / found.name
    return found


def _download(archive: Archive) -> Path:
    """Download to a file in the scratch folder, unless an earlier run did, and verify its digest."""
    note, file = archive.digest_note, archive.scratch / _COMPLETE
    expected = archive.sha256 or (note.read_text().strip() if note.is_file() else None)
    try:
        if not file.is_file() or (expected and sha256_of(file) != expected):
            file.unlink(missing_ok=True)
            resume(archive.address, file, archive.scratch / _PART, name=archive.name)
    except (OSError, HTTPException) as problem:
        if getattr(problem, "errno", None) in _FULL:
            raise
        raise MissingData(
            f"could not download {archive.name} from {archive.address} ({cause(problem)}); run bglab data fetch "
            f"{archive.name} again to resume, or download it on a machine that is online and unpack it to "
            f"{archive.path}"
        ) from None
    if expected and sha256_of(file) != expected:
        file.unlink()
        accept = "" if archive.sha256 else f", or remove {note} to accept the new one"
        raise BadInput(
            f"expected {archive.name} with sha256 {expected}, got another file from {archive.address}; the download "
            f"was damaged or the archive has changed. Try again{accept}"
        )
    return file


# --- unpack


def _damaged(archive: Archive, file: Path, problem: Exception) -> BadInput:
    """Remove a damaged download, so that the next run downloads it again, and return the error."""
    file.unlink()
    reason = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(":")
    return BadInput(
        f"expected a complete tar archive from {archive.address}, but unpacking failed ({reason}); the download was "
        f"removed: run bglab data fetch {archive.name} again"
    )


def _unpacked_package(archive: Archive) -> Path:
    """Download a Debian package with apt-get and unpack it without installing anything."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingData(
            f"{archive.name} comes from the Debian package {archive.package}, and this machine has no apt-get; "
            f"unpack that package to {archive.path}, or give a folder of your own: cutouts:PATH with images and "
            "labels.csv, cutouts?scenery=PATH with photographs and scenery.csv"
        )
    folder, unpacked = archive.scratch / "package", archive.scratch / "unpacked"
    folder.mkdir(parents=True)
    got = _run(["apt-get", "download", "-qq", archive.package], folder)
    package = next(folder.glob("*.deb"), None)
    if got.returncode != 0 or package is None:
        reason = got.stderr.strip().splitlines()[-1:] or ["apt-get gave no reason"]
        raise MissingData(
            f"apt-get could not download {archive.package} ({reason[0]}); run apt-get update first, or go online"
        )
    got = _run(["dpkg-deb", "-x", str(package), str(unpacked)], folder)
    if got.returncode != 0:
        reason = got.stderr.strip().splitlines()[-1:] or ["dpkg-deb gave no reason"]
        raise BadInput(
            f"expected a complete Debian package {archive.package}, but unpacking failed ({reason[0]}); "
            f"run bglab data fetch {archive.name} again"
        )
    return _pruned(archive, unpacked)


def _pruned(archive: Archive, unpacked: Path) -> Path:
    """Keep the folders that are used and the documentation, which holds the copyright; return the new folder."""
    if not archive.keep:
        return unpacked
    kept = archive.scratch / "kept"
    for folder in (*archive.keep.split(), f"usr/share/doc/{archive.package}"):
        if (unpacked / folder).is_dir():
            (kept / folder).parent.mkdir(parents=True, exist_ok=True)
            (unpacked / folder).rename(kept / folder)
    if not any((kept / folder).is_dir() for folder in archive.keep.split()):
        raise BadInput(
            f"expected {archive.keep} in the Debian package {archive.package}, but this version of it has no such "
            f"folder; unpack an older one to {archive.path}"
        )
    return kept


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
