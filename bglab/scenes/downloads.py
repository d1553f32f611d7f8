"""What can be downloaded, and the one verb that fetches it: resumed, checked, and unpacked whole or not at all."""

from __future__ import annotations

import errno
import functools
import lzma
import shutil
import subprocess
import tomllib
import urllib.error
import urllib.request
import zlib
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from tarfile import (
    EOFHeaderError,  # pyright: ignore[reportAttributeAccessIssue] - typeshed lacks it
    HeaderError,
    ReadError,
    TarError,
    TarFile,
    TarInfo,
)
from typing import Any

import pooch
from tqdm.auto import tqdm

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.files import data_root, whole_file, writable_folder

_TIMEOUT_S = 30
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
#: In an archive's scratch folder: what outlives an interrupted run. Everything else there is removed.
_COMPLETE, _PART = "download", "download.part"


@dataclass(frozen=True)
class Archive:
    """One thing that can be fetched; the fields are those of ``archives.toml`` beside this module."""

    name: str
    kind: str
    title: str
    folder: str
    opens_as: str
    licence: str
    address: str = ""
    sha256: str = ""
    package: str = ""

    @property
    def path(self) -> Path:
        """Where it lies once fetched."""
        return data_root() / self.folder

    @property
    def is_here(self) -> bool:
        """Whether it has been fetched."""
        return self.path.is_dir()

    @property
    def scratch(self) -> Path:
        """Where it lies while it is being fetched."""
        return data_root() / f".{self.name}-download"

    @property
    def digest_note(self) -> Path:
        """File with the sha256 of the first download."""
        return data_root() / f"{self.name}.sha256"


def archives() -> Catalogue[Archive]:
    """List what can be fetched."""
    text = resources.files("bglab.scenes").joinpath("archives.toml").read_text(encoding="utf-8")
    return Catalogue("archive", {name: Archive(name=name, **fields) for name, fields in tomllib.loads(text).items()})


def fetch(name: str) -> Path:
    """Download one archive, check it, and unpack it; an archive that is already here is left alone.

    A download that was interrupted is resumed where the server allows it. Where no sha256 is published, that of the
    first download is remembered, and later downloads must match it.

    Args:
        name: A name out of `archives`.

    Returns:
        The folder it was unpacked to.

    Raises:
        UnknownName: If there is no such archive.
        MissingData: If it cannot be downloaded here.
        BadInput: If the download is damaged or not the expected one, or there is no room for it.
    """
    archive = archives()[name]
    if archive.is_here:
        return archive.path
    writable_folder(archive.scratch)
    _tidy(archive)  # a run that was killed could not
    try:
        found = _unpacked_package(archive) if archive.kind == "debian" else _unpacked_download(archive)
        found.rename(archive.path)
        (archive.scratch / _COMPLETE).unlink(missing_ok=True)
    except MissingData:  # which is an OSError
        raise
    except OSError as problem:
        raise _unwritten(archive, problem) from None
    finally:
        _tidy(archive)
    return archive.path


def _tidy(archive: Archive) -> None:
    """Remove from the scratch folder what no later run can use, and the folder if nothing else is in it."""
    for path in list(archive.scratch.iterdir()):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        elif path.name not in {_COMPLETE, _PART}:
            path.unlink(missing_ok=True)
    if not any(archive.scratch.iterdir()):
        archive.scratch.rmdir()


def _unwritten(archive: Archive, problem: OSError) -> BadInput:
    return BadInput(
        f"expected to write {archive.name} under {data_root()}, but {problem.strerror or problem}; free some space, or "
        f"set BGLAB_DATA to a folder on another disk, and run bglab data fetch {archive.name} again"
    )


# --- download


def _unpacked_download(archive: Archive) -> Path:
    """Download, unpack and check; return the folder to keep, which still lies in the scratch folder."""
    file, unpacked = _download(archive), archive.scratch / "unpacked"
    unpacked.mkdir(parents=True)
    try:
        _unpack_tar(file, unpacked)
    except OSError as problem:
        if problem.errno in _FULL:
            raise  # the download is sound: the next run need not repeat it
        raise _damaged(archive, file, problem) from None
    except (TarError, EOFError, zlib.error, lzma.LZMAError) as problem:
        raise _damaged(archive, file, problem) from None
    if not archive.sha256:
        # only now, so that no damaged download is what later ones are compared with
        with whole_file(archive.digest_note, what="a digest", remedy="set BGLAB_DATA to another folder") as note:
            note.write(f"{pooch.file_hash(str(file))}\n".encode())
    return next((p for p in sorted(unpacked.rglob(archive.folder)) if p.is_dir()), unpacked)


def _download(archive: Archive) -> Path:
    """Download through pooch, which compares the digest, to a file in the scratch folder."""
    note = archive.digest_note
    expected = archive.sha256 or (note.read_text().strip() if note.is_file() else None)
    pooch.get_logger().setLevel("WARNING")  # what it announces, the progress bar shows
    try:
        downloader: Any = functools.partial(_resume, name=archive.name)  # pooch's type gives its arguments other names
        file = pooch.retrieve(archive.address, expected, _COMPLETE, archive.scratch, downloader=downloader)
    except ValueError:  # pooch's word for another digest; it has removed the file
        accept = "" if archive.sha256 else f", or remove {note} to accept the new one"
        raise BadInput(
            f"expected {archive.name} with sha256 {expected}, got another file from {archive.address}; the download "
            f"was damaged or the archive has changed. Try again{accept}"
        ) from None
    except (OSError, HTTPException) as problem:
        if getattr(problem, "errno", None) in _FULL:
            raise
        raise MissingData(
            f"could not download {archive.name} from {archive.address} ({_cause(problem)}); run bglab data fetch "
            f"{archive.name} again to resume, or download it on a machine that is online and unpack it to "
            f"{archive.path}"
        ) from None
    return Path(file)


def _resume(address: str, output: str, _pooch: object, *, name: str) -> None:
    """Download as pooch asks, but by way of a file that the next run finds and continues.

    Raises:
        OSError: If there is no connection, it breaks, or the file cannot be written; `HTTPException` likewise.
    """
    part = Path(output).with_name(_PART)
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    try:
        reply = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - addresses come with the package
    except urllib.error.HTTPError as problem:
        if problem.code != 416 or not start:
            raise
        # nothing lies beyond what is here: it belongs to another archive, or was complete already
        part.unlink()
        return _resume(address, output, _pooch, name=name)
    with reply:
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # the server sends everything
        length = reply.headers.get("Content-Length", "")
        size = start + int(length) if length.isdecimal() else None
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=name) as bar,
        ):
            while block := reply.read(1 << 20):
                file.write(block)
                bar.update(len(block))
    came = part.stat().st_size
    if size is not None and came < size:
        raise ConnectionError(f"the connection closed after {came:,} of {size:,} bytes")
    part.replace(output)
    return None


def _cause(problem: OSError | HTTPException) -> str:
    """Name the cause of a failed download in a few words."""
    if isinstance(problem, urllib.error.HTTPError):
        return f"HTTP status {problem.code}, {problem.reason}"
    inner = problem.reason if isinstance(problem, urllib.error.URLError) else problem
    if isinstance(inner, HTTPException) and not isinstance(inner, OSError):
        return f"the reply broke off or is not HTTP: {type(inner).__name__}"
    return getattr(inner, "strerror", None) or str(inner) or type(inner).__name__


# --- unpack


class _WholeMember(TarInfo):
    """A member of a tar archive whose header must be sound.

    `tarfile` itself takes a damaged or missing header for the end of the archive, and drops everything behind it.
    """

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Any:
        """Read the next member's header.

        Raises:
            ReadError: If there is none although the archive has not ended.
        """
        try:
            return super().fromtarfile(tarfile)
        except EOFHeaderError:
            raise
        except HeaderError as problem:
            raise ReadError(f"{problem} at byte {tarfile.offset:,}") from None


def _unpack_tar(file: Path, folder: Path) -> None:
    """Unpack a tar archive, compressed or not, and read it to its end.

    Raises:
        OSError: If it is damaged or cannot be written; likewise `tarfile.TarError`, `EOFError`, `zlib.error` and
            `lzma.LZMAError`.
    """
    with TarFile.open(file, tarinfo=_WholeMember) as tar:
        tar.extractall(folder, filter="data")  # refuses absolute paths, links out, devices
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # gzip's checksum stands at the end
    if not any(folder.iterdir()):
        raise ReadError("it is empty")


def _damaged(archive: Archive, file: Path, problem: Exception) -> BadInput:
    """Remove a damaged download, so that the next run starts afresh, and word the error."""
    file.unlink()
    reason = (str(problem).splitlines() or [type(problem).__name__])[0].rstrip(":")
    return BadInput(
        f"expected a whole tar archive from {archive.address}, but unpacking failed ({reason}); the download was "
        f"removed: run bglab data fetch {archive.name} again"
    )


def _unpacked_package(archive: Archive) -> Path:
    """Download a Debian package with apt-get and unpack it without installing anything."""
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingData(
            f"{archive.name} comes from the Debian package {archive.package}, and this machine has no apt-get; "
            f"unpack that package to {archive.path}, or use cutouts:PATH on a folder of RGBA images"
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
            f"expected a whole Debian package {archive.package}, but unpacking failed ({reason[0]}); "
            f"run bglab data fetch {archive.name} again"
        )
    return unpacked


def _run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
