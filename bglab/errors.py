"""Exceptions for problems with user input; each message states what was expected, what was given, and what to do."""

from __future__ import annotations


class UnknownName(LookupError):
    """A name that is not known; not a ``KeyError``, whose message would be printed in quotes."""


class MissingData(FileNotFoundError):
    """Files, weights or packages that are not on this machine; the message states how to get them."""

    def __str__(self) -> str:
        """Return the message without the error number that ``OSError`` adds."""
        return str(self.args[0]) if self.args else ""


class BadInput(ValueError):
    """An image, mask, table or option that cannot be used; the message names it and the remedy."""


def failure_reason(problem: Exception) -> str:
    """Describe in one sentence why one of several runs failed: the message of our own errors, else type and first line.

    Example:
        >>> failure_reason(BadInput("expected scenes, got none")), failure_reason(RuntimeError("shapes differ"))
        ('expected scenes, got none', 'RuntimeError: shapes differ')
    """
    if isinstance(problem, UnknownName | MissingData | BadInput):
        return str(problem)
    first = (str(problem).splitlines() or [""])[0]
    return f"{type(problem).__name__}: {first}" if first else type(problem).__name__
