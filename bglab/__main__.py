"""The `bglab` command: arguments in, the library's verbs, sentences out."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from typing import NoReturn

from bglab import __version__
from bglab.commands import accuracy, bench, data, lab, predict, reproduce, saliency, say_error, search, train
from bglab.errors import BadInput, MissingData, UnknownName

#: In the order in which the help lists them.
_COMMANDS = (lab, data, predict, accuracy, search, saliency, train, reproduce, bench)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; an error is one sentence on stderr and exit status 2.

    Args:
        arguments: Without the program's name; None takes the process's own.
    """
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="bglab: %(message)s")
    try:
        return options.run(options)
    except (BadInput, MissingData, UnknownName) as problem:
        if options.debug:
            raise
        say_error(str(problem))
        return 2
    except KeyboardInterrupt:
        say_error("stopped; what was finished is kept, and the same command goes on from there")
        return 130


class _Parser(argparse.ArgumentParser):
    """Words a wrong command line as one sentence."""

    def error(self, message: str) -> NoReturn:
        """Say what was wrong and where the help is."""
        self.exit(2, f"bglab: {message}; see {self.prog} --help\n")


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    parser = _Parser(prog="bglab", description="How much does an image classifier lean on the background?")
    parser.add_argument("--version", action="version", version=f"bglab {__version__}")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in _COMMANDS:
        module.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
