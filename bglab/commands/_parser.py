"""The parser of the command line: an error is one sentence, and it names what may have been meant."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn, Self

from bglab.catalogue import nearest, unknown_name


class CommandParser(argparse.ArgumentParser):
    """A parser that reports an invalid command line in one sentence, and mistyped names with the nearest known one."""

    def add_commands(self) -> argparse._SubParsersAction[Self]:
        """Add commands to this one, which prints its help when it is called without any of them."""

        def help_alone(_options: argparse.Namespace) -> int:
            self.print_help()
            return 0

        self.set_defaults(run=help_alone)
        return self.add_subparsers(title="commands", metavar="COMMAND")

    def parse_known_args(  # pyright: ignore[reportIncompatibleMethodOverride] - typeshed has overloads
        self, args: Iterable[str] | None = None, namespace: Any = None
    ) -> Any:
        """Parse arguments as argparse does, after a check of the options' names.

        argparse itself would first name what is required and missing, which often is what the mistyped option gives.
        """
        words = sys.argv[1:] if args is None else list(args)
        for name in self._own_option_names(words):
            known = [option[2:] for option in self._option_string_actions if option.startswith("--")]
            if not any(option.startswith(name) for option in known):
                near = nearest(name, known)
                hint = f"; did you mean '--{near}'?" if near else "."
                self._stop(f"unknown option '--{name}'{hint} See {self.prog} --help")
        return super().parse_known_args(words, namespace)

    def error(self, message: str) -> NoReturn:
        """Exit with what is invalid and where to find help."""
        self._stop(f"{message}; see {self.prog} --help")

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        """Check a value that must be one of several; the name of a command is one."""
        if isinstance(action, argparse._SubParsersAction) and value not in action.choices:
            self._stop(unknown_name("command", str(value), list(action.choices)))
        super()._check_value(action, value)

    def _own_option_names(self, words: Sequence[str]) -> Iterator[str]:
        """Yield the names of options that are this parser's: those before the name of a command."""
        for word in words:
            if word == "--" or (self._subparsers is not None and not word.startswith("-")):
                return
            if word.startswith("--"):
                yield word[2:].partition("=")[0]

    def _stop(self, sentence: str) -> NoReturn:
        self.exit(2, f"bglab: {sentence}\n")
