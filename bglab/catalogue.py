"""A read-only mapping from names to values that suggests the nearest name for an unknown one."""

from __future__ import annotations

import difflib
import errno
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import MappingProxyType
from typing import Any, Generic, TypeVar
from urllib.parse import parse_qsl

from bglab.errors import MissingData, UnknownName

Value = TypeVar("Value")

#: Longest part of an unknown name that a message repeats.
_SHOWN = 200


class Catalogue(Mapping[str, Value], Generic[Value]):
    """A read-only mapping; an unknown name raises `UnknownName` with the nearest known name.

    Args:
        kind: What an entry is called in messages ("variant", "model", …).
        entries: Values by name, in the order in which they are listed.

    Example:
        >>> plates = Catalogue("plate", {"white": 255, "black": 0})
        >>> plates["white"]
        255
        >>> plates["whit"]
        Traceback (most recent call last):
        ...
        bglab.errors.UnknownName: unknown plate 'whit'; did you mean 'white'? Known: white, black
    """

    def __init__(self, kind: str, entries: Mapping[str, Value]) -> None:
        self.kind = kind
        self._entries = MappingProxyType(dict(entries))

    def __getitem__(self, name: str) -> Value:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownName(unknown_name(self.kind, name, list(self._entries))) from None

    def __contains__(self, name: object) -> bool:
        # the method of Mapping expects __getitem__ to raise KeyError
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Catalogue({self.kind}: {', '.join(self._entries)})"


def unknown_name(kind: str, name: str, known: Sequence[str]) -> str:
    """Write the message for an unknown name, with the nearest known name.

    Args:
        kind: What the name should denote ("variant", "model", …).
        name: The unknown name.
        known: All known names.
    """
    near = nearest(name, known)
    shown = name if len(name) <= _SHOWN else f"{name[:_SHOWN]}…"
    hint = f"; did you mean '{near}'?" if near else "."
    return f"unknown {kind} '{shown}'{hint} Known: {', '.join(known)}"


def nearest(name: str, known: Sequence[str]) -> str | None:
    """Return the known name that an unknown one was probably meant to be, if one is similar.

    Args:
        name: The unknown name.
        known: All known names.

    Example:
        >>> nearest("mixed-rand", ["mixed_same", "mixed_rand"])
        'mixed_rand'
    """
    # an incorrect separator is the most common mistake, and difflib alone ranks it behind shorter names
    flat = {k.replace("-", "_").lower(): k for k in known}
    near = flat.get(name.replace("-", "_").lower())
    if near is None:
        near = next(iter(difflib.get_close_matches(name, known, n=1, cutoff=0.6)), None)
    return near


@contextmanager
def looked_up(uri: str) -> Iterator[None]:
    """Refuse a URI whose path no file can have, at which the operating system raises an error of its own.

    Args:
        uri: What is looked up in the block, for the message.

    Raises:
        MissingData: If its path is too long.
    """
    try:
        yield
    except OSError as problem:
        if problem.errno != errno.ENAMETOOLONG:
            raise
        raise MissingData(
            f"expected the path of a file or folder, but no name is as long as '{uri[:_SHOWN]}…'; check it"
        ) from None


def uri_options(scheme: str, query: str, opener: Callable[..., Any]) -> dict[str, str]:
    """Parse the options of a URI, which are the parameters of the function that opens it.

    Args:
        scheme: Scheme of the URI, for the message.
        query: What follows the question mark: ``option=value&…``.
        opener: Function that opens it; its parameters ``path`` and ``uri`` are no options.

    Raises:
        UnknownName: If there is no such option; the message lists the known ones.

    Example:
        >>> uri_options("file", "size=64", lambda path, size="224": None)
        {'size': '64'}
    """
    known = [name for name in inspect.signature(opener).parameters if name not in {"path", "uri"}]
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in known:
            raise UnknownName(unknown_name(f"option of {scheme}:", option, known or ["(none)"]))
    return options
