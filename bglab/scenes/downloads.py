"""Archives that can be downloaded: resumed after an interruption, verified, and unpacked completely or not at all."""

from __future__ import annotations

import errno
import functools
import hashlib
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
#: Files of the scratch folder that survive an interrupted run; everything else in it is removed.
_COMPLETE, _PART = "download", "download.part"


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
        return archive.path
    writable_folder(archive.scratch)
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
    """
    whole = hashlib.sha256()
    paths = {path.relative_to(folder).as_posix(): path for path in folder.rglob("*") if path.is_file()}
    for name in sorted(name for name in paths if not any(part.startswith(".") for part in name.split("/"))):
        with paths[name].open("rb") as file:
            whole.update(
                f"{hashlib.file_digest(file, 'sha256').hexdigest()}  {name}\n".encode(errors="surrogateescape")
            )
    return whole.hexdigest()


def _note(path: Path, digest: str) -> None:
    with whole_file(path, what="a digest", remedy="set BGLAB_DATA to another folder") as note:
        note.write(f"{digest}\n".encode())


def _tidy(archive: Archive) -> None:
    """Remove everything that a later run cannot use from the scratch folder, and the folder if it is empty."""
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
    """Download, verify and unpack; return the unpacked folder, which is still inside the scratch folder."""
    file, unpacked = _download(archive), archive.scratch / "unpacked"
    unpacked.mkdir(parents=True)
    try:
        _unpack_tar(file, unpacked)
    except OSError as problem:
        if problem.errno in _FULL:
            raise  # the download itself is valid, and the next run reuses it
        raise _damaged(archive, file, problem) from None
    except (TarError, EOFError, zlib.error, lzma.LZMAError) as problem:
        raise _damaged(archive, file, problem) from None
    if not archive.sha256:
        # record the digest only now, so that later downloads are never compared with a damaged one
        _note(archive.digest_note, pooch.file_hash(str(file)))
    return next((p for p in sorted(unpacked.rglob(archive.folder)) if p.is_dir()), unpacked)


def _download(archive: Archive) -> Path:
    """Download to a file in the scratch folder through pooch, which verifies the digest."""
    note = archive.digest_note
    expected = archive.sha256 or (note.read_text().strip() if note.is_file() else None)
    pooch.get_logger().setLevel("WARNING")  # the progress bar shows the same
    try:
        downloader: Any = functools.partial(_resume, name=archive.name)  # pooch's annotation has other argument names
        file = pooch.retrieve(archive.address, expected, _COMPLETE, archive.scratch, downloader=downloader)
    except ValueError:  # raised by pooch for another digest, after removing the file
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
    """Download for pooch, through a partial file from which an interrupted download is resumed.

    Raises:
        OSError: If the connection fails or breaks off, or the file cannot be written; also `HTTPException`.
    """
    part = Path(output).with_name(_PART)
    start = part.stat().st_size if part.is_file() else 0
    request = urllib.request.Request(address, headers={"Range": f"bytes={start}-"} if start else {})  # noqa: S310
    try:
        reply = urllib.request.urlopen(request, timeout=_TIMEOUT_S)  # noqa: S310 - addresses come with the package
    except urllib.error.HTTPError as problem:
        if problem.code != 416 or not start:
            raise
        # the range lies beyond the end: the partial file is complete, or belongs to another version of the archive
        part.unlink()
        return _resume(address, output, _pooch, name=name)
    with reply:
        if not reply.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
            start = 0  # the server ignored the range and sends the whole file
        length = reply.headers.get("Content-Length", "")
        size = start + int(length) if length.isdecimal() else None
        with (
            part.open("ab" if start else "wb") as file,
            tqdm(total=size, initial=start, unit="B", unit_scale=True, desc=name) as bar,
        ):
            while block := reply.read(1 << 20):
                file.write(block)
                bar.update(len(block))
    received = part.stat().st_size
    if size is not None and received < size:
        raise ConnectionError(f"the connection closed after {received:,} of {size:,} bytes")
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
    """A member of a tar archive whose header must be valid.

    `tarfile` itself treats a damaged or missing header as the end of the archive and ignores everything after it.
    """

    @classmethod
    def fromtarfile(cls, tarfile: TarFile) -> Any:
        """Read the next member's header.

        Raises:
            ReadError: If the header is damaged, or missing before the end of the archive.
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
        OSError: If the archive is damaged or the folder cannot be written to; also `tarfile.TarError`, `EOFError`,
            `zlib.error` and `lzma.LZMAError`.
    """
    with TarFile.open(file, tarinfo=_WholeMember) as tar:
        tar.extractall(folder, filter="data")  # refuses absolute paths, links out, devices
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # gzip's checksum is at the end
    if not any(folder.iterdir()):
        raise ReadError("it is empty")


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
