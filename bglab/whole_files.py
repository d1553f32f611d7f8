"""Files that appear whole or not at all, however a run ends."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bglab.errors import BadInput


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
