"""Exceptions for problems with user input; each message states what was expected, what was given, and what to do."""

from __future__ import annotations

import errno

# errors of the operating system that are about a file itself
_OF_THE_FILE = {
    errno.ENOENT,
    errno.ENOTDIR,
    errno.EISDIR,
    errno.ELOOP,
    errno.ENAMETOOLONG,
    errno.EACCES,
    errno.EPERM,
}


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


def is_environment_error(problem: OSError) -> bool:
    """Decide whether an error comes from the machine, such as a failing disk, rather than from the file it names.

    Such an error says nothing about the file's content, so the file must not be reported as broken.

    Args:
        problem: Error of the operating system, or of a library that reads files, which has no error number.

    Example:
        >>> is_environment_error(OSError(errno.EIO, "Input/output error"))
        True
        >>> is_environment_error(FileNotFoundError(errno.ENOENT, "No such file or directory"))
        False
        >>> is_environment_error(OSError("image file is truncated"))
        False
    """
    return problem.errno is not None and problem.errno not in _OF_THE_FILE
