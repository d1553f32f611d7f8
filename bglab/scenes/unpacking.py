"""Unpacking tar archives: read to their end, and refused if anything in them is damaged or leads out of the folder."""

from __future__ import annotations

import errno
import shutil
import unicodedata
from pathlib import Path
from tarfile import (
    EOFHeaderError,  # pyright: ignore[reportAttributeAccessIssue] - typeshed lacks it
    HeaderError,
    ReadError,
    TarFile,
    TarInfo,
    data_filter,
)
from typing import Any

#: Most members of an archive: that of ImageNet-9 has a hundred thousand.
_MOST_MEMBERS = 5_000_000


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


class _Members:
    """A filter of `tarfile` that also refuses members that replace others, and more than the disk has room for.

    Args:
        free: Bytes that may be written.
    """

    def __init__(self, free: int) -> None:
        self._free = free
        self._names: set[str] = set()

    def __call__(self, member: TarInfo, folder: str | Path) -> TarInfo | None:
        """Check one member; absolute paths, paths and links that lead out, and devices are refused, too."""
        kept = data_filter(member, str(folder))
        name = unicodedata.normalize("NFC", kept.name).casefold().rstrip("/")
        if not kept.isdir() and name in self._names:
            raise ReadError(f"it holds {kept.name[:80]} twice, as some disks compare names")
        self._names |= set() if kept.isdir() else {name}
        self._free -= kept.size
        if self._free < 0:
            raise OSError(errno.ENOSPC, "No space left on device for what the archive holds")
        if len(self._names) > _MOST_MEMBERS:
            raise ReadError(f"it holds more than {_MOST_MEMBERS:,} files")
        return kept


def unpack_tar(file: Path, folder: Path) -> None:
    """Unpack a tar archive, compressed or not, and read it to its end.

    Args:
        file: Archive.
        folder: Existing, empty folder.

    Raises:
        OSError: If the archive is damaged or the folder cannot be written to; also `tarfile.TarError`, `EOFError`,
            `zlib.error` and `lzma.LZMAError`.
    """
    with TarFile.open(file, tarinfo=_WholeMember) as tar:
        tar.extractall(folder, filter=_Members(shutil.disk_usage(folder).free))
        while tar.fileobj and tar.fileobj.read(1 << 20):
            pass  # gzip's checksum is at the end
    if not any(folder.iterdir()):
        raise ReadError("it is empty")
