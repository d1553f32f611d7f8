"""The command line: one module per command, each with ``add`` (its arguments) and ``run``."""

from bglab.commands._options import print_error, progress_lines, workers
from bglab.commands._parser import CommandParser

__all__ = ["CommandParser", "print_error", "progress_lines", "workers"]
