"""The `bglab` command: parse the arguments, run one command, and report errors in one sentence."""

from __future__ import annotations

import io
import logging
import os
import re
import select
import sys
from collections.abc import Sequence
from contextlib import redirect_stderr, redirect_stdout
from typing import Any, cast

from bglab import __version__
from bglab.commands import (
    CommandParser,
    accuracy,
    bench,
    check,
    compare,
    data,
    explain,
    export_predictions,
    gap,
    import_predictions,
    lab,
    plan,
    predict,
    print_error,
    progress_lines,
    reproduce,
    saliency,
    search,
    train,
    workers,
)
from bglab.errors import EXPECTED_ERRORS, printable

#: Exit status of a program that writes to a closed pipe: 128 and the number of the signal SIGPIPE.
_CLOSED_OUTPUT = 141

#: What progress bars write between their texts: to the begin of the line, and a line up.
_MOVES = re.compile(r"(\r|\x1b\[A)")

#: Commands, in the order of the help.
_COMMANDS = (
    lab,
    data,
    predict,
    import_predictions,
    export_predictions,
    accuracy,
    gap,
    check,
    compare,
    explain,
    search,
    saliency,
    train,
    reproduce,
    bench,
    plan,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: Arguments without the program's name; None takes those of the process.

    Returns:
        Exit status: 2 after an error, which is written to stderr as one sentence, 130 after an interrupt, and 141 if
        the reader of the output has closed it, as `head` does.
    """
    try:
        try:
            return _run(arguments)
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        if not _output_is_closed():
            raise
        # the interpreter flushes again when it exits, which would print another error
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        return _CLOSED_OUTPUT


def _run(arguments: Sequence[str] | None) -> int:
    """Parse the arguments and run the command; an error becomes one sentence."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(level=logging.WARNING, format="bglab: %(message)s")
    try:
        with (
            redirect_stdout(_Escaped(cast(Any, sys.stdout))),
            redirect_stderr(_Escaped(cast(Any, sys.stderr))),
            progress_lines(),
            workers(options),
        ):
            return options.run(options)
    except EXPECTED_ERRORS as problem:
        if options.debug:
            raise
        print_error(str(problem))
        return 2
    except BrokenPipeError:
        raise
    except OSError as problem:
        if options.debug:
            raise
        print_error(_disk_failed(problem))
        return 2
    except KeyboardInterrupt:
        print_error("stopped; finished results are saved, and the same command continues from there")
        return 130


class _Escaped(io.TextIOBase):
    """A stream for people that obeys no control character of what it is given, such as the name of a file.

    Args:
        stream: Stream to write to.
    """

    def __init__(self, stream: io.TextIOBase) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        """Write text; of control characters, those that progress bars move the cursor with stay."""
        parts = _MOVES.split(text)
        written = "".join(part if i % 2 else printable(part) for i, part in enumerate(parts))
        encoding = self._stream.encoding or "utf-8"
        self._stream.write(written.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Flush the stream."""
        self._stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self._stream.isatty()

    def fileno(self) -> int:
        """Return the descriptor of the stream."""
        return self._stream.fileno()


def _disk_failed(problem: OSError) -> str:
    """Describe an error of the operating system that nothing nearer to it has put into words."""
    where = f" at {problem.filename}" if problem.filename else ""
    return (
        f"expected to read and write files, but {problem.strerror or problem}{where}; finished results are "
        "saved: check the disk, and run the same command again (--debug shows where this came from)"
    )


def _output_is_closed() -> bool:
    """Check whether standard output is a pipe without a reader, rather than another pipe that broke."""
    if not hasattr(select, "poll"):
        return True  # Windows has no other pipes here to tell it from
    watch = select.poll()
    watch.register(sys.stdout.fileno(), 0)
    return bool(watch.poll(0))  # errors are reported although no event is asked for


def _parser() -> CommandParser:
    """Build the parser for all commands."""
    parser = CommandParser(prog="bglab", description="How much does an image classifier lean on the background?")
    parser.add_argument("--version", action="version", version=f"bglab {__version__}")
    verbs = parser.add_commands()
    for module in _COMMANDS:
        module.add(verbs)
    return parser


if __name__ == "__main__":
    sys.exit(main())
