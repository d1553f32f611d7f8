"""Files and folders: where data lives, and files that appear whole or not at all, however a run ends."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bglab.errors import BadInput, MissingData


@contextmanager
def whole_file(
    path: Path, *, what: str, remedy: str, scratch_folder: Path | None = None, durable: bool = False
) -> Iterator[BinaryIO]:
    """Open a file for writing that takes its name only once it is complete.

    A reader, or a run that starts after this one was killed, finds the old file, none, or the new one.

    Args:
        path: Its name; the folder is made.
        what: What is written, for the message: ``results``.
        remedy: What to do if it cannot be: ``choose another --out``.
        scratch_folder: Where it lies until then; by default beside its name. Must be on the same disk.
        durable: Whether it reaches the disk before it takes its name, so that it outlives a power cut.

    Raises:
        BadInput: If it cannot be written.

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
    scratch = folder / f".{path.name}-{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            yield file
            if durable:
                file.flush()
                os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as problem:
        raise BadInput(f"expected to write {what} to {path}, but {problem.strerror or problem}; {remedy}") from None
    finally:
        if folder.is_dir():
            scratch.unlink(missing_ok=True)


#: The repository's own data folder, if the package is used from a checkout.
_CHECKOUT = Path(__file__).resolve().parents[1] / "data"


def data_root() -> Path:
    """Give the folder for downloads, packs and caches.

    ``BGLAB_DATA`` if set; else the ``data`` folder of the checkout; else the user's cache folder.
    """
    named = os.environ.get("BGLAB_DATA")
    if named:
        return Path(named).expanduser()
    if (_CHECKOUT / "archives.toml").is_file():
        return _CHECKOUT
    return Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser() / "bglab"


def described_data() -> Path:
    """Give the checkout's ``data`` folder, which holds the manifests that describe the packs.

    Raises:
        MissingData: If the package was installed without its repository.
    """
    if not (_CHECKOUT / "archives.toml").is_file():
        raise MissingData(
            f"expected the repository's data folder at {_CHECKOUT}, but bglab was installed without it; "
            "clone the repository and install it with pip install -e ."
        )
    return _CHECKOUT


def writable_folder(path: Path) -> Path:
    """Create a folder for results or caches, or say in one sentence why it cannot be.

    Raises:
        BadInput: If nothing can be written there.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except OSError as problem:
        raise BadInput(
            f"expected a folder to write to at {path}, but {problem.strerror or problem}; "
            "choose another with --results, or set BGLAB_DATA for caches and downloads"
        ) from None
    return path
