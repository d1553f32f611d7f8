"""Tables of files that users write: reading them as spreadsheets save them, and the checks that all of them need."""

from __future__ import annotations

import codecs
import csv
import io
import math
import re
from collections.abc import Sequence
from pathlib import Path, PureWindowsPath
from typing import NamedTuple
from unicodedata import category

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName, brief
from bglab.files import check_regular
from bglab.labels import IN9_NAMES

_DELIMITERS = (",", ";", "\t")
_BYTE_ORDER_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),  # begins like that of UTF-16
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
#: Largest size of a table, which would have some ten million rows.
_MOST_BYTES = 2**30
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?", re.ASCII | re.IGNORECASE)


class Row(NamedTuple):
    """A row of a table.

    Attributes:
        line: Its line in the file, from 1; the last one if a quoted cell spans several.
        cells: Cells by column, without spaces around them; missing cells are empty.
        problem: Why the row cannot be read, as the second half of a sentence; "" if it can.
    """

    line: int
    cells: dict[str, str]
    problem: str = ""


class Table(NamedTuple):
    """A table as it is in a file.

    Attributes:
        file: Path of the file.
        delimiter: Comma, semicolon or tab.
        columns: Names of the columns in lower case, in order; empty for an empty file.
        rows: Rows without the empty ones.
        notice: One sentence on a doubtful encoding; "" if there is no doubt.
    """

    file: Path
    delimiter: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    notice: str

    def where(self, row: Row) -> str:
        """Name a row for messages."""
        return f"line {row.line} of {self.file}"

    def number(self, text: str) -> float:
        """Parse a finite number; the decimal mark may be a comma where commas do not separate cells.

        Raises:
            ValueError: If it is none.
        """
        return parse_number(text, decimal="." if self.delimiter == "," else ",")


def read_table(file: Path) -> Table:
    """Read a table as editors and spreadsheets save it.

    The encoding is that of the byte-order mark, or UTF-8, or else Windows-1252. The delimiter is the comma, semicolon
    or tab that divides the header into most columns. Case and surrounding spaces of column names do not matter.

    Raises:
        BadInput: If the file is no text, or a column occurs twice. A broken row does not raise: it has a ``problem``.
    """
    text, notice = _decode(file)
    lines = io.StringIO(text, newline="")
    first = text.split("\n", 1)[0].strip()
    skipped = 0
    if first.lower().startswith("sep=") and len(first) == 5:  # Excel's way to name the delimiter
        lines.readline()
        delimiter, skipped = first[4], 1
    else:
        header = next((line for line in text.splitlines() if line.strip()), "")
        delimiter = max(_DELIMITERS, key=lambda mark: len(next(csv.reader([header], delimiter=mark), [])))
    columns: tuple[str, ...] = ()
    rows: list[Row] = []
    reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
    while True:
        try:
            cells = [cell.strip() for cell in next(reader)]
        except StopIteration:
            break
        except csv.Error as problem:
            rows.append(Row(reader.line_num + skipped, {}, f"reading it failed ({brief(problem)})"))
            continue
        if not any(cells):
            continue
        if columns:
            rows.append(_row(reader.line_num + skipped, cells, columns))
        else:
            columns = tuple(cell.lower() for cell in cells)
    repeated = sorted({name for name in columns if name and columns.count(name) > 1})
    if repeated:
        again = ", ".join(name[:30] for name in repeated[:5])
        raise BadInput(f"expected each column once in {file}, got {again} again; rename or remove one")
    return Table(file, delimiter, columns, tuple(rows), notice)


def _row(line: int, cells: Sequence[str], columns: Sequence[str]) -> Row:
    problem = ""
    if any(cells[len(columns) :]):
        problem = f"it has {len(cells)} cells for {len(columns)} columns"
    elif any("\n" in cell for cell in cells):
        problem = "a cell spans several lines, as after an unclosed quotation mark"
    elif any(category(character) == "Cc" and character != "\t" for cell in cells for character in cell):
        problem = "a cell holds a control character, as in no text"
    filled = [*cells[: len(columns)], *[""] * (len(columns) - len(cells))]
    return Row(line, dict(zip(columns, filled, strict=True)), problem)


def _decode(file: Path) -> tuple[str, str]:
    """Decode a file; return its text, and a notice if the encoding is a guess."""
    check_regular(file, "a table", most_bytes=_MOST_BYTES)
    content = file.read_bytes()
    encoding = next((name for mark, name in _BYTE_ORDER_MARKS if content.startswith(mark)), "utf-8")
    if encoding == "utf-8" and b"\0" in content[:2]:
        encoding = "utf-16-le" if content[1:2] == b"\0" else "utf-16-be"
    notice = ""
    try:
        text = content.decode(encoding)
    except UnicodeDecodeError as problem:
        if encoding != "utf-8":
            raise BadInput(f"expected a table in {file}, but {problem}; save it as UTF-8 csv") from None
        notice = f"{file} is not in UTF-8 and was read as Windows-1252; save it as UTF-8 if names in it look wrong"
        text = content.decode("cp1252", errors="replace")
    return text, notice


def read_rows(table: Path, label_column: str, what: str) -> list[tuple[str, dict[str, str]]]:
    """Read the rows of a table that must be right as a whole.

    Args:
        table: CSV file.
        label_column: Column that the table needs besides ``file``.
        what: What a row stands for, for messages.

    Returns:
        For each row, where it is (for messages) and its cells by column; missing cells are empty.

    Raises:
        BadInput: If the table cannot be read, has no row, or lacks a column.
    """
    found = read_table(table)
    unread = found.notice or next((row.problem for row in found.rows if not row.cells), "")
    if unread:
        raise BadInput(f"expected a table in {table}, but reading it failed ({unread}); save it as UTF-8 csv")
    if not found.rows or not {"file", label_column} <= set(found.columns):
        came = ", ".join(name[:30] for name in found.columns[:30]) if found.rows else "no row"
        raise BadInput(
            f"expected the columns file,{label_column} in {table}, got {came}; add a header and a row per {what}"
        )
    return [(found.where(row), row.cells) for row in found.rows]


def parse_number(text: str, *, decimal: str = ".") -> float:
    """Parse a finite number as tables write it, without what only Python takes for one, such as 1_0.

    Args:
        text: The number.
        decimal: Character that may stand for the point.

    Raises:
        ValueError: If it is none.
    """
    plain = text.replace(decimal, ".")
    value = float(plain) if _NUMBER.fullmatch(plain) else math.nan
    if not math.isfinite(value):
        raise ValueError(f"'{text}' is no number")
    return value


def check_file(file: str, where: str) -> Path:
    """Return a path that stays within the table's folder; Windows' backslashes divide it too.

    Raises:
        BadInput: If it does not.
    """
    path, windows = Path(file.replace("\\", "/")), PureWindowsPath(file)
    if not file or path.is_absolute() or windows.drive or windows.root or ".." in path.parts:
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
