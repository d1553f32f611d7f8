"""The fields of a browser's messages: types, lengths and ranges are checked before anything is done with them.

What a page sends comes through a kernel's open port, from an old version of the page, or from a program of somebody
else's, so that none of it is taken for granted.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName

Message = Mapping[str, Any]

#: Longest text of a field, in characters; paths of files are shorter.
_MOST_TEXT = 4096
#: Longest part of a value that a sentence quotes, in characters.
_SHOWN = 60


def text(message: Message, name: str) -> str:
    """Read a text.

    Raises:
        BadInput: If there is none, or it is longer than any name.

    Example:
        >>> text({"scene": "cat"}, "scene")
        'cat'
    """
    value = message.get(name)
    if not isinstance(value, str) or len(value) > _MOST_TEXT:
        raise _unlike(message, name, f"text of at most {_MOST_TEXT} characters")
    return value


def one_of(message: Message, name: str, allowed: Collection[str]) -> str:
    """Read a text that is one of a few.

    Raises:
        BadInput: If it is no text.
        UnknownName: If it is another; the message lists them.
    """
    value = text(message, name)
    if value not in allowed:
        raise UnknownName(unknown_name(name, value[:_SHOWN], list(allowed)))
    return value


def whole(message: Message, name: str, low: int, high: int) -> int:
    """Read a whole number from ``low`` to ``high``.

    Raises:
        BadInput: If it is none, or not in this range.
    """
    value = message.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise _unlike(message, name, f"a whole number from {low} to {high}")
    return value


def numbers(message: Message, name: str, count: int, most: float) -> list[float]:
    """Read finite numbers.

    Args:
        message: The message.
        name: Name of the field.
        count: How many there are.
        most: Largest amount of each.

    Raises:
        BadInput: If they are others.
    """
    values = message.get(name)
    if not isinstance(values, list | tuple) or len(values) != count or not all(_is_number(v, most) for v in values):
        raise _unlike(message, name, f"{count} numbers from {-most:g} to {most:g}")
    return [float(value) for value in values]


def settings(message: Message, name: str = "state") -> dict[str, Any]:
    """Read settings by name.

    Raises:
        BadInput: If it is no object.
    """
    value = message.get(name)
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise _unlike(message, name, "settings by name")
    return dict(value)


def content(message: Message, buffers: Sequence[bytes], size: int | None = None) -> bytes:
    """Return the one buffer of a message.

    Args:
        message: The message.
        buffers: Its buffers.
        size: Bytes that it must have; None stands for any number of them but none.

    Raises:
        BadInput: If there is another number of buffers, or of bytes.
    """
    got = ", ".join(f"{len(buffer):,} bytes" for buffer in buffers[:3]) or "nothing"
    if len(buffers) != 1 or not buffers[0] or len(buffers[0]) != (size or len(buffers[0])):
        wanted = "the bytes of one file" if size is None else f"{size:,} bytes"
        raise BadInput(f"expected {wanted} with the message '{message['type']}', got {got}; try again")
    return buffers[0]


def _is_number(value: Any, most: float) -> bool:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and abs(value) <= most


def _unlike(message: Message, name: str, wanted: str) -> BadInput:
    came = repr(message[name])[:_SHOWN] if name in message else "nothing"
    return BadInput(
        f"expected {wanted} as {name} of the message '{message['type']}', got {came}; reload the page and run the "
        "cell again"
    )
