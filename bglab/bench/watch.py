"""Run a command in a terminal of its own: when its progress bar first counts an image, and its peak of memory.

This is a program that needs nothing but the standard library. The benchmark does not start the command itself, because
what the kernel calls the largest size of a process begins with that of the process that started it, and a benchmark
has grown large. The command knows nothing of being watched: a progress bar is what its user sees, too.

Usage: ``python watch.py PATTERN COMMAND…``; it prints one JSON object (`watch`).
"""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Sequence

#: Rows and columns of the terminal: a progress bar of any title fits into a line.
_SCREEN = (24, 200)
_CHUNK = 65536


def watch(pattern: str, command: Sequence[str]) -> dict[str, float | int | str | None]:
    """Run a command to its end, with its errors and progress bars in a pseudo-terminal.

    Args:
        pattern: Regular expression; when the terminal first shows a match of it is noted.
        command: Program and arguments.

    Returns:
        ``first_s``: seconds from the start of the process to the first match, None without one; ``peak_mib``: largest
        resident size of the process; ``status``: exit status; ``said``: the last line on the terminal.
    """
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", *_SCREEN, 0, 0))
    wanted, shown, first_s = re.compile(pattern), "", None
    started = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=writer)
    os.close(writer)
    while text := _read(reader):
        shown += text
        if first_s is None and wanted.search(shown):
            first_s = time.perf_counter() - started
    os.close(reader)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    lines = [line.strip() for line in re.split(r"[\r\n]+", shown) if line.strip()]
    return {
        "first_s": first_s,
        "peak_mib": usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10),
        "status": process.returncode,
        "said": lines[-1] if lines else "",
    }


def _read(terminal: int) -> str:
    """Read what a terminal shows next; "" at its end, which Linux reports as an error."""
    try:
        return os.read(terminal, _CHUNK).decode(errors="replace")
    except OSError:
        return ""


if __name__ == "__main__":
    json.dump(watch(sys.argv[1], sys.argv[2:]), sys.stdout)
