"""What can be downloaded, where data lives on this machine, and the one verb that fetches."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tarfile
import tempfile
import tomllib
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.files import data_root, described_data, writable_folder


@dataclass(frozen=True)
class Archive:
    """One thing that can be fetched; the fields are those of ``data/archives.toml``."""

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


def archives() -> Catalogue[Archive]:
    """List what can be fetched."""
    table = tomllib.loads((described_data() / "archives.toml").read_text())
    return Catalogue("archive", {name: Archive(name=name, **fields) for name, fields in table.items()})


def fetch(name: str) -> Path:
    """Download one archive, check it, and unpack it; what is already here is left alone.

    Args:
        name: A name out of `archives`.

    Returns:
        The folder it lies in.

    Raises:
        UnknownName: If there is no such archive.
        MissingData: If it cannot be downloaded here.
        BadInput: If what came is not what was expected.
    """
    archive = archives()[name]
    if archive.is_here:
        return archive.path
    root = writable_folder(data_root())
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{name}-") as scratch:
        unpacked = Path(scratch) / "unpacked"
        unpacked.mkdir()
        if archive.kind == "debian":
            _unpack_debian_package(archive, Path(scratch), unpacked)
            found = unpacked
        else:
            _unpack_tar(_download(archive, Path(scratch)), unpacked)
            found = next((p for p in unpacked.rglob(archive.folder) if p.is_dir()), unpacked)
        shutil.move(found, archive.path)
    return archive.path


def _download(archive: Archive, scratch: Path) -> Path:
    """Download to a scratch file with a progress bar and check its digest."""
    target = scratch / "download"
    try:
        with urllib.request.urlopen(archive.address, timeout=30) as reply, target.open("wb") as file:  # noqa: S310
            size = int(reply.headers.get("Content-Length", 0)) or None
            with tqdm(total=size, unit="B", unit_scale=True, desc=archive.name) as bar:
                while block := reply.read(1 << 20):
                    file.write(block)
                    bar.update(len(block))
    except (urllib.error.URLError, TimeoutError, ConnectionError) as problem:
        reason = getattr(problem, "reason", problem)
        raise MissingData(
            f"could not download {archive.name} from {archive.address} ({reason}); download it on a machine that "
            f"is online and unpack it to {archive.path}"
        ) from None
    _check_digest(archive, target)
    return target


def _check_digest(archive: Archive, target: Path) -> None:
    """Compare with the published digest, or with that of the first download where none is published."""
    with target.open("rb") as file:
        came = hashlib.file_digest(file, "sha256").hexdigest()
    note = data_root() / f"{archive.name}.sha256"
    expected = archive.sha256 or (note.read_text().strip() if note.is_file() else came)
    if came != expected:
        raise BadInput(
            f"expected {archive.name} with sha256 {expected}, got {came}; the download was cut short or the "
            f"archive has changed. Try again, or remove {note} to accept the new one"
        )
    note.write_text(came + "\n")


def _unpack_tar(file: Path, folder: Path) -> None:
    try:
        with tarfile.open(file) as tar:
            tar.extractall(folder, filter="data")  # refuses absolute paths, links out, devices
    except (tarfile.TarError, EOFError, OSError) as problem:
        raise BadInput(f"expected a tar archive in {file}, but unpacking failed ({problem}); fetch it again") from None


def _unpack_debian_package(archive: Archive, scratch: Path, folder: Path) -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise MissingData(
            f"{archive.name} comes from the Debian package {archive.package}, and this machine has no apt-get; "
            f"unpack that package to {archive.path}, or use cutouts:PATH on a folder of RGBA images"
        )
    got = subprocess.run(
        ["apt-get", "download", "-qq", archive.package],
        cwd=scratch,
        capture_output=True,
        text=True,
        check=False,
    )
    package = next(scratch.glob("*.deb"), None)
    if got.returncode != 0 or package is None:
        reason = got.stderr.strip().splitlines()[-1:] or ["apt-get gave no reason"]
        raise MissingData(
            f"apt-get could not download {archive.package} ({reason[0]}); run apt-get update first, or go online"
        )
    subprocess.run(["dpkg-deb", "-x", package, folder], check=True)
