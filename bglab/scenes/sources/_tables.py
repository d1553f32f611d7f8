"""Tables of files with their classes, which users write: reading them, and the checks that all of them need."""

from __future__ import annotations

import csv
from pathlib import Path

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.labels import IN9_NAMES


def read_rows(table: Path, label_column: str, what: str) -> list[tuple[str, dict[str, str]]]:
    """Read the rows of a table, without spaces around their cells.

    Args:
        table: CSV file in UTF-8.
        label_column: Column that the table needs besides ``file``.
        what: What a row stands for, for messages.

    Returns:
        For each row, where it is (for messages) and its cells by column; missing cells are empty.

    Raises:
        BadInput: If the table cannot be read, has no row, or lacks a column.
    """
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise BadInput(
            f"expected a table in {table}, but reading it failed ({problem}); save it as UTF-8 csv"
        ) from None
    if not rows or not {"file", label_column} <= rows[0].keys():
        came = ", ".join(str(name) for name in rows[0]) if rows else "no row"
        raise BadInput(
            f"expected the columns file,{label_column} in {table}, got {came}; add a header and a row per {what}"
        )
    # cells beyond the last column come as a list under None
    texts = [{name: (value or "").strip() for name, value in row.items() if isinstance(name, str)} for row in rows]
    return [(f"line {line} of {table}", text) for line, text in enumerate(texts, start=2)]


def check_file(file: str, where: str) -> Path:
    """Return a path that stays within the table's folder.

    Raises:
        BadInput: If it does not.
    """
    path = Path(file)
    if not file or path.is_absolute() or ".." in path.parts:
        raise BadInput(f"expected a file within the folder in {where}, got '{file}'; write it relative to the table")
    return path


def check_class(name: str, where: str) -> int:
    """Return the label of one of the nine classes.

    Raises:
        UnknownName: If there is no such class.
    """
    if name not in IN9_NAMES:
        raise UnknownName(f"{unknown_name('class', name, list(IN9_NAMES))} ({where})")
    return IN9_NAMES.index(name)
