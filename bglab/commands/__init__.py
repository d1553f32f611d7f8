"""The command line: one module per command, each with ``add`` (its arguments) and ``run``."""

from bglab.commands._options import print_error

__all__ = ["print_error"]
