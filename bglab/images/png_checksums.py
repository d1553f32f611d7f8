"""Checksums of PNG files, which Pillow skips for the pixels, so that damage would change them unnoticed."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def check_png(source: Path | bytes | bytearray | memoryview) -> None:
    """Compare the checksum of every complete chunk of a PNG file; files of other formats pass.

    Args:
        source: Path of the file, or its contents.

    Raises:
        ValueError: If one differs.
    """
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        while len(head := stream.read(8)) == 8:
            size, kind = int.from_bytes(head[:4], "big"), head[4:]
            content, checksum = stream.read(size), stream.read(4)
            if len(checksum) < 4:
                return  # Pillow says what a file that ends early lacks
            if zlib.crc32(content, zlib.crc32(kind)) != int.from_bytes(checksum, "big"):
                raise ValueError(f"the checksum of its part {kind.decode('latin-1')!r} differs")
            if kind == b"IEND":
                return
