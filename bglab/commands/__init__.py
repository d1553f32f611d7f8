"""The command line: one module per command, each with ``add`` (its arguments) and ``run``."""

from bglab.commands._options import say_error

__all__ = ["say_error"]
