"""Tables as other programs write them, read as text: CSV in any usual encoding and delimiter, parquet, JSON lines.

Cells are checked by whoever knows what they mean; here every cell is text, and every row keeps its line number.
"""

from __future__ import annotations

import codecs
import csv
import hashlib
import io
import json
import math
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from pyarrow.lib import ArrowException

from bglab.errors import BadInput, MissingData, brief

if TYPE_CHECKING:
    import pandas as pd

_DELIMITERS = ",;\t|"
_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
_SHOWN = 60


@dataclass(frozen=True)
class TextTable:
    """A table whose cells are text.

    Attributes:
        source: Path of the file, or "the table" for a data frame, for messages.
        sha256: SHA-256 of the file, 64 hexadecimal digits; of a data frame, that of its CSV form.
        columns: Names of the columns in lower case, without spaces around them.
        rows: Cells of each row by column, without spaces around them; "" where a cell is missing.
        where: Where each row is: "line 2" of a file, "row 0" of a data frame.
        broken: Where rows are that cannot be read, with the reasons.
        notices: Anything unusual about the file, one sentence each.
    """

    source: str
    sha256: str
    columns: tuple[str, ...]
    rows: tuple[dict[str, str], ...]
    where: tuple[str, ...]
    broken: tuple[tuple[str, str], ...] = ()
    notices: tuple[str, ...] = ()


def read_text_table(table: pd.DataFrame | Path | str, known: Collection[str]) -> TextTable:
    """Read a table as text.

    A file is parquet or JSON lines if it begins as such a file does, otherwise CSV: UTF-8, UTF-16, UTF-32 or Latin-1,
    with commas, semicolons, tabs or vertical bars between the cells of a line.

    Args:
        table: File, or data frame.
        known: Names of columns that are expected, by which the delimiter is recognised.

    Raises:
        MissingData: If there is no such file.
        BadInput: If the file cannot be read, has no row, or has two columns of one known name.
    """
    import pandas as pd

    if isinstance(table, pd.DataFrame):
        digest = hashlib.sha256(table.to_csv(index=False).encode("utf-8", "backslashreplace")).hexdigest()
        found = _from_frame(table, "the table", digest)
    else:
        found = _from_file(Path(table), known)
    twice = sorted(name for name in known if found.columns.count(name) > 1)
    if twice:
        raise BadInput(f"expected one column '{twice[0]}' in {found.source}, got several; rename or remove the others")
    if not found.rows:
        reason = f"; {found.broken[0][0]}: {found.broken[0][1]}" if found.broken else ""
        raise BadInput(f"expected rows in {found.source}, got none{reason}; write one line per image below the header")
    return found


def shorten(text: str) -> str:
    """Shorten text of a file for a message, and escape what cannot be printed."""
    printable = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: 2 * _SHOWN])
    return printable if len(printable) <= _SHOWN and len(text) <= 2 * _SHOWN else f"{printable[: _SHOWN - 1]}…"


def _from_file(path: Path, known: Collection[str]) -> TextTable:
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        raise MissingData(f"expected a table in {path}, but there is no such file; check the path") from None
    except (OSError, ValueError) as problem:  # a path with a NUL byte is a ValueError
        reason = getattr(problem, "strerror", None) or problem
        raise BadInput(f"expected a table in {shorten(str(path))}, but {reason}; give a file you can read") from None
    digest = hashlib.sha256(content).hexdigest()
    if content[:4] == b"PAR1":
        return _from_parquet(content, str(path), digest)
    text, notices = _decode(content, path)
    if text.lstrip()[:1] == "{":
        return _from_json_lines(text, str(path), digest, notices)
    return _from_csv(text, str(path), digest, notices, known)


def _from_parquet(content: bytes, source: str, digest: str) -> TextTable:
    import pandas as pd

    try:
        # text is decoded only when its cells are used
        return _from_frame(pd.read_parquet(io.BytesIO(content)), source, digest)
    except (OSError, ValueError, TypeError, KeyError, NotImplementedError, ArrowException) as problem:
        raise BadInput(f"expected a table in {source}, but reading failed ({brief(problem)}); write it again") from None


def _from_frame(frame: pd.DataFrame, source: str, digest: str) -> TextTable:
    columns = [_column_name(str(name)) for name in frame.columns]
    cells = [[_cell(value) for value in frame.iloc[:, i].tolist()] for i in range(frame.shape[1])]
    rows = tuple(dict(zip(columns, row, strict=True)) for row in zip(*cells, strict=True))
    return TextTable(source, digest, tuple(columns), rows, tuple(f"row {i}" for i in range(len(rows))))


def _from_json_lines(text: str, source: str, digest: str, notices: Sequence[str]) -> TextTable:
    rows: list[dict[str, str]] = []
    where: list[str] = []
    broken: list[tuple[str, str]] = []
    for number, line in _numbered(text):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as problem:
            broken.append((f"line {number}", f"expected an object of JSON, but {problem}"))
            continue
        if not isinstance(row, dict):
            broken.append((f"line {number}", "expected an object of JSON, got another value"))
            continue
        rows.append({_column_name(name): _cell(value) for name, value in row.items()})
        where.append(f"line {number}")
    columns = tuple(dict.fromkeys(name for row in rows for name in row))
    full = tuple(dict.fromkeys(columns, "") | row for row in rows)
    return TextTable(source, digest, columns, full, tuple(where), tuple(broken), tuple(notices))


def _from_csv(text: str, source: str, digest: str, notices: Sequence[str], known: Collection[str]) -> TextTable:
    """Read CSV line by line, so that a quote that is not closed breaks its own line only."""
    lines = list(_numbered(text))
    if lines and re.fullmatch(r"sep=.", lines[0][1].strip()):  # spreadsheets begin with the delimiter
        lines = lines[1:]
    if not lines:
        raise BadInput(f"expected a header and rows in {source}, got an empty file; write the table again")
    delimiter = max(_DELIMITERS, key=lambda mark: _score(lines[0][1], mark, known))
    try:
        columns = tuple(_column_name(name) for name in _split(lines[0][1], delimiter))
    except csv.Error as problem:
        raise BadInput(f"expected a header in line {lines[0][0]} of {source}, but {problem}; correct it") from None
    rows: list[dict[str, str]] = []
    where: list[str] = []
    broken: list[tuple[str, str]] = []
    for number, line in lines[1:]:
        try:
            cells = [_cell(cell) for cell in _split(line, delimiter)]
        except csv.Error as problem:
            broken.append((f"line {number}", f"expected cells of CSV, but {problem}"))
            continue
        if any(cells[len(columns) :]):
            broken.append((f"line {number}", f"expected {len(columns)} cells, got {len(cells)}; quote delimiters"))
        elif any(cells):
            rows.append(dict.fromkeys(columns, "") | dict(zip(columns, cells, strict=False)))
            where.append(f"line {number}")
    return TextTable(source, digest, columns, tuple(rows), tuple(where), tuple(broken), tuple(notices))


def _numbered(text: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not blank, with their numbers from 1."""
    for number, line in enumerate(re.split(r"\r\n|\n|\r", text), start=1):
        if line.strip():
            yield number, line


def _split(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter, strict=True))


def _score(header: str, delimiter: str, known: Collection[str]) -> tuple[int, int]:
    """Count the known columns, then all columns, of a header that is split at a delimiter."""
    try:
        names = [_column_name(name) for name in _split(header, delimiter)]
    except csv.Error:
        return -1, 0
    return sum(name in known for name in names), len(names)


def _column_name(text: str) -> str:
    return re.sub(r"[\s-]+", "_", _cell(text).lower())


def _cell(value: Any) -> str:
    """Convert a value to text; "" if it is missing."""
    if isinstance(value, str):  # JSON can hold half of a surrogate pair, which no file or terminal takes
        return value.encode("utf-8", "backslashreplace").decode().strip()
    if isinstance(value, list | tuple | np.ndarray):
        return " ".join(_cell(part) for part in value)
    import pandas as pd

    if value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value)):
        return ""
    return str(value).strip()


def _decode(content: bytes, path: Path) -> tuple[str, list[str]]:
    """Decode a text file, and say so if it is only taken for Latin-1."""
    encoding = next((name for mark, name in _MARKS if content.startswith(mark)), "")
    if not encoding and content[1::2].count(0) > len(content) // 4:
        encoding = "utf-16-le"
    elif not encoding and content[::2].count(0) > len(content) // 4:
        encoding = "utf-16-be"
    try:
        return content.decode(encoding or "utf-8"), []
    except UnicodeDecodeError as problem:
        if encoding:
            raise BadInput(
                f"expected text in {encoding} in {path}, but {problem.reason}; save the table as UTF-8"
            ) from None
    try:
        text = content.decode("cp1252")  # Latin-1 as Windows writes it
    except UnicodeDecodeError:
        text = content.decode("latin-1")
    return text, [f"{path} is not UTF-8 and was read as Latin-1; check names with accents"]
