"""Checksums of PNG files, which Pillow skips for the pixels, so that damage would change them unnoticed."""

from __future__ import annotations

import io
import zlib
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_BLOCK = 1 << 20


def check_png(source: Path | bytes | bytearray | memoryview) -> None:
    """Compare the checksum of every complete chunk of a PNG file; files of other formats pass.

    Args:
        source: Path of the file, or its contents.

    Raises:
        ValueError: If one differs, or a part ends after the file.
    """
    with source.open("rb") if isinstance(source, Path) else io.BytesIO(source) as stream:
        if stream.read(len(_SIGNATURE)) != _SIGNATURE:
            return
        while len(head := stream.read(8)) == 8:
            left, kind = int.from_bytes(head[:4], "big"), head[4:]
            computed = zlib.crc32(kind)
            # in blocks, since a short file may declare a part of four gigabytes
            while left and (block := stream.read(min(left, _BLOCK))):
                computed = zlib.crc32(block, computed)
                left -= len(block)
            if left:
                # Pillow would ask for as much memory as the part declares
                raise ValueError(f"its part {kind.decode('latin-1')!r} is cut off")
            checksum = stream.read(4)
            if len(checksum) < 4:
                return  # Pillow says what a file that ends early lacks
            if computed != int.from_bytes(checksum, "big"):
                raise ValueError(f"the checksum of its part {kind.decode('latin-1')!r} differs")
            if kind == b"IEND":
                return
