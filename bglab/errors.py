"""The three ways a user's input can be wrong; each message says what was expected, what came, what to do."""

from __future__ import annotations


class UnknownName(LookupError):
    """A name that no catalogue holds (not a ``KeyError``, which would quote its message)."""


class MissingData(FileNotFoundError):
    """Files, weights or packages that are not on this machine; the message says how to get them."""

    def __str__(self) -> str:
        """Give the sentence itself, without the errno decoration of ``OSError``."""
        return str(self.args[0]) if self.args else ""


class BadInput(ValueError):
    """An image, mask, table or option that cannot be used as it is; the message names it and the remedy."""
