"""Plain text for terminals: aligned tables of a given width, and headings that fit into their columns."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence

from bglab.figures import one_line_names

#: Widest heading of a column, the width of a cell such as ``80.5 [73.1, 86.2]``.
_COLUMN = 17


def headings(models: Sequence[str]) -> list[str]:
    r"""Shorten the names of models to headings of columns, broken into lines of at most 17 characters.

    Example:
        >>> headings(["lite:efficientnet_lite0"])
        ['efficientnet_\nlite0']
    """
    short = one_line_names([printable(model) for model in models])
    return ["\n".join(_broken(name)[-3:]) for name in short]


def _broken(name: str) -> list[str]:
    """Break a name after separators, and within a part only if it is too long by itself."""
    parts = [part[i : i + _COLUMN] for part in re.findall(r"[^_./ -]*[_./ -]?", name) if part
             for i in range(0, len(part), _COLUMN)]  # fmt: skip
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part) > _COLUMN:
            lines.append("")
        lines[-1] += part
    return [line for line in lines if line]


def printable(text: str) -> str:
    """Replace control characters, which a name may contain and a terminal would obey."""
    return "".join(mark if mark.isprintable() else "�" for mark in text)


def lines_of_text(sentences: Sequence[str], width: int) -> str:
    """Wrap sentences, each on lines of its own."""
    return "\n".join(
        textwrap.fill(printable(sentence), width, break_on_hyphens=False) for sentence in sentences if sentence
    )


def table_text(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> str:
    """Align a table: first column left, numbers right; columns that do not fit follow in a second table.

    Args:
        head: Headings, which may have several lines.
        rows: Cells of each row.
        width: Most characters per line.
    """
    widths = [
        max(len(line) for text in (name, *(row[i] for row in rows)) for line in text.split("\n"))
        for i, name in enumerate(head)
    ]
    fitting = max(1, (width - widths[0]) // (max(widths[1:], default=0) + 1))
    blocks = []
    for start in range(1, len(head), fitting):
        columns = [0, *range(start, min(start + fitting, len(head)))]
        blocks.append(
            _aligned([head[i] for i in columns], [[row[i] for i in columns] for row in rows], widths, columns)
        )
    return "\n\n".join(blocks)


def _aligned(head: Sequence[str], rows: Sequence[Sequence[str]], widths: Sequence[int], columns: Sequence[int]) -> str:
    depth = max(name.count("\n") for name in head) + 1
    above = [[""] * (depth - len(name.split("\n"))) + name.split("\n") for name in head]
    lines = [[name[i] for name in above] for i in range(depth)]
    rule = ["-" * widths[i] for i in columns]
    written = [
        f"{row[0]:<{widths[0]}} " + " ".join(f"{c:>{widths[i]}}" for c, i in zip(row[1:], columns[1:], strict=True))
        for row in [*lines, rule, *rows]
    ]
    return "\n".join(line.rstrip() for line in written)
