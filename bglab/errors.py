"""Exceptions for problems with user input; each message states what was expected, what was given, and what to do."""

from __future__ import annotations

import errno
import unicodedata

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

#: Directions of Unicode's marks that turn the text behind them.
_TURNING = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


def printable(text: str) -> str:
    r"""Escape the characters of a file's content or name that would control a terminal or change the order of its text.

    Args:
        text: Any text; lines and tabs stay.

    Example:
        >>> printable("a\x1b[31mb, crème")
        'a\\x1b[31mb, crème'
    """
    return text if text.isprintable() else "".join(_printable(character) for character in text)


def _printable(character: str) -> str:
    is_shown = character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs", "Zl", "Zp"}
    is_plain = is_shown and unicodedata.bidirectional(character) not in _TURNING
    return character if is_plain else character.encode("unicode_escape").decode()


class _Printable(Exception):
    """An error whose message can be printed, whatever it quotes."""

    def __init__(self, *arguments: object) -> None:
        super().__init__(*(printable(part) if isinstance(part, str) else part for part in arguments))


class UnknownName(_Printable, LookupError):
    """A name that is not known; not a ``KeyError``, whose message would be printed in quotes."""


class MissingData(_Printable, FileNotFoundError):
    """Files, weights or packages that are not on this machine; the message states how to get them."""

    def __str__(self) -> str:
        """Return the message without the error number that ``OSError`` adds."""
        return str(self.args[0]) if self.args else ""


class BadInput(_Printable, ValueError):
    """An image, mask, table or option that cannot be used; the message names it and the remedy."""


class Unreadable(_Printable, OSError):
    """A file that cannot be read at present, since its disk fails or is away; the message names it and the reason.

    It says nothing about the file's content. It is no `BadInput`, so that what rejects broken files does not reject
    this one: the run stops, keeps what it has finished, and can be repeated.
    """

    def __str__(self) -> str:
        """Return the message without the error number that ``OSError`` adds."""
        return str(self.args[0]) if self.args else ""


#: Every error of ours: its message is a sentence for the user, and needs no traceback.
EXPECTED_ERRORS = (UnknownName, MissingData, BadInput, Unreadable)


def unreadable(path: object, problem: OSError) -> Unreadable:
    """Return the error for a file whose disk failed, as `is_environment_error` decides.

    Args:
        path: The file.
        problem: Error of the operating system; one that is in words already stays.
    """
    if isinstance(problem, Unreadable):
        return problem
    reason = problem.strerror or str(problem)
    return Unreadable(f"expected to read {path}, but {reason}; nothing of this is kept: check the disk, and run again")


def check_environment(path: object, problem: BaseException) -> None:
    """Raise `Unreadable` if a file could not be read because of the machine, before its content is found wanting.

    Args:
        path: The file.
        problem: Error that reading it raised.

    Raises:
        Unreadable: If `is_environment_error`.
    """
    if isinstance(problem, OSError) and is_environment_error(problem):
        raise unreadable(path, problem) from None


def failure_reason(problem: Exception) -> str:
    """Describe in one sentence why one of several runs failed: the message of our own errors, else type and first line.

    Example:
        >>> failure_reason(BadInput("expected scenes, got none")), failure_reason(RuntimeError("shapes differ"))
        ('expected scenes, got none', 'RuntimeError: shapes differ')
    """
    if isinstance(problem, EXPECTED_ERRORS):
        return str(problem)
    first = (str(problem).splitlines() or [""])[0]
    return f"{type(problem).__name__}: {first}" if first else type(problem).__name__


def brief(problem: BaseException, longest: int = 200) -> str:
    r"""Return the message of a library's error in one line, cut if it is long: some quote all that they have read.

    Example:
        >>> brief(ValueError("cannot parse\n{}"), 12)
        'cannot parse…'
    """
    line = " ".join(str(problem).split()) or type(problem).__name__
    return line if len(line) <= longest else f"{line[:longest].rstrip()}…"


def is_machine_failure(problem: Exception) -> bool:
    """Decide whether a failure comes from the machine, so that what comes next would fail, too: it ends the run.

    Args:
        problem: What one of several parts of a run raised.
    """
    return isinstance(problem, OSError) and not isinstance(problem, MissingData) and is_environment_error(problem)


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
    return isinstance(problem, Unreadable) or (problem.errno is not None and problem.errno not in _OF_THE_FILE)
