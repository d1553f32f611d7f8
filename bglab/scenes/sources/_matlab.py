"""Variables of MATLAB files, which are checked before SciPy reads them: damaged ones can end the process in it."""

from __future__ import annotations

import math
import struct
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any, NamedTuple

from bglab.errors import BadInput, brief
from bglab.scenes.sources._folders import read_content

_HEADER = 128
# types of elements in files of version 5
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_NUMBERS = frozenset({1, 2, 3, 4, 5, 6, 7, 9, 12, 13})
_TEXTS = frozenset({16, 17, 18})
# classes of arrays: text, and from double to 64-bit integers
_CHARACTERS, _NUMERIC = 4, range(6, 16)
_NESTED = frozenset({1, 2, 3})
_DEEPEST = 20
#: Largest size of a compressed variable, in bytes.
_LARGEST = 2**27


class _Element(NamedTuple):
    """An element of a file: its type and its content."""

    type: int
    content: bytes


def read_variables(file: Path, names: Sequence[str]) -> dict[str, Any]:
    """Read variables of a MATLAB file of version 7 or older.

    Args:
        file: Path of the file.
        names: Names of the variables; those that the file lacks are left out.

    Raises:
        BadInput: If it is no MATLAB file that can be read; the message names it.
    """
    from scipy.io import loadmat  # imported here because listing scenes does not need SciPy

    raw = read_content(file)
    try:
        if _is_version_5(raw):
            _check(raw)
            return loadmat(BytesIO(raw), variable_names=[*names])
        return loadmat(BytesIO(raw))  # whole, since only what follows shows whether bytes were lost or added
    except NotImplementedError:
        raise BadInput(
            f"expected a MATLAB file of version 7 or older in {file}, got one of version 7.3; save it with -v7"
        ) from None
    except Exception as problem:  # noqa: BLE001 - SciPy raises whatever damaged bytes lead it to
        raise BadInput(
            f"expected {' and '.join(names)} in {file}, but reading it failed ({brief(problem)}); restore it"
        ) from None


def _is_version_5(raw: bytes) -> bool:
    """Recognise version 5 as SciPy does: older files begin with a zero byte, newer ones have another number."""
    if len(raw) < _HEADER or 0 in raw[:4]:
        return False
    return raw[124:126][1 if raw[126:128] == b"IM" else 0] == 1


def _check(raw: bytes) -> None:
    """Check all elements of a file: types, sizes, and zlib's checksums.

    Raises:
        ValueError: If one is damaged.
        zlib.error: Likewise.
    """
    order = "<" if raw[126:128] == b"IM" else ">"
    for element in _elements(raw[_HEADER:], order):
        if element.type == _COMPRESSED:
            inner = [*_elements(_decompressed(element.content), order)]
            if len(inner) != 1:
                raise ValueError(f"a compressed part holds {len(inner)} variables")
            element = inner[0]  # noqa: PLW2901
        if element.type != _MATRIX:
            raise ValueError(f"a variable is of the unknown type {element.type}")
        _check_matrix(element.content, order, 0)


def _decompressed(content: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    unpacked = unpacker.decompress(content, _LARGEST)
    if not unpacker.eof:
        is_large = len(unpacked) == _LARGEST
        raise ValueError(f"a compressed part is {f'larger than {_LARGEST / 1e6:.0f} MB' if is_large else 'cut off'}")
    return unpacked


def _check_matrix(content: bytes, order: str, depth: int) -> None:
    """Check the parts of an array, which SciPy takes for what they should be."""
    parts = [*_elements(content, order)]
    if not parts and depth:
        return  # an empty cell
    kinds = [part.type for part in parts]
    if depth > _DEEPEST or kinds[:3] != [_UINT32, _INT32, _INT8] or len(parts[0].content) != 8:
        raise ValueError("an array lacks its class, shape or name")
    array_class = struct.unpack(f"{order}I", parts[0].content[:4])[0] & 0xFF
    allowed = _NUMBERS if array_class in _NUMERIC else _NUMBERS | _TEXTS
    if array_class not in {_CHARACTERS, *_NUMERIC} and array_class in _NESTED:
        allowed |= {_MATRIX}
    sides = struct.unpack(f"{order}{len(parts[1].content) // 4}i", parts[1].content[: len(parts[1].content) // 4 * 4])
    if array_class in _NESTED and math.prod(sides) > len(parts):
        raise ValueError(f"an array of shape {sides} has {len(parts) - 3} parts")  # SciPy would make room for it
    for part in parts[3:]:
        if part.type not in allowed:
            raise ValueError(f"the values of an array are of the unknown type {part.type}")
        if part.type == _MATRIX:
            _check_matrix(part.content, order, depth + 1)


def _elements(data: bytes, order: str) -> Iterator[_Element]:
    """Split data into elements; short ones have their size in the upper half of the type."""
    place = 0
    while place < len(data):
        head = data[place : place + 8]
        if len(head) < 8:
            raise ValueError("the last part is cut off")
        kind, size = struct.unpack(f"{order}II", head)
        if kind >> 16:
            kind, size = kind & 0xFFFF, kind >> 16
            if size > 4:
                raise ValueError(f"a short part has {size} bytes")
            yield _Element(kind, head[4 : 4 + size])
            place += 8
            continue
        end = place + 8 + size
        if end > len(data):
            raise ValueError("a part is cut off")
        yield _Element(kind, data[place + 8 : end])
        place = end if kind == _COMPRESSED else end + -size % 8
