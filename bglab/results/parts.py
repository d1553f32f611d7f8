"""Finished parts of a table that is not complete yet, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa

from bglab.errors import BadInput
from bglab.files import whole_file
from bglab.locations import Place
from bglab.results.provenance import identity
from bglab.results.stored import decode_table, encode_table, read_content
from bglab.scratch import remove_folder

if TYPE_CHECKING:
    import pandas as pd


#: Rows of a block, at least and at most.
_LEAST, _MOST = 256, 1024


class Part(NamedTuple):
    """Rows of a block of scenes.

    Attributes:
        table: One row per usable image.
        rejected: Scenes that were skipped: id, file and reason.
    """

    table: pa.Table
    rejected: list[list[str]]


def encode_part(rows: pd.DataFrame, schema: pa.Schema, rejected: Sequence[Sequence[str]] = ()) -> bytes:
    """Encode a part as a parquet file that tells whether it is as it was written.

    Args:
        rows: One row per usable image.
        schema: Columns to keep, with their types.
        rejected: Scenes that were skipped: id, file and reason.
    """
    table = pa.Table.from_pydict({name: rows[name] for name in schema.names}, schema=schema)
    return encode_table(table, {"rejected": [list(each) for each in rejected]})


def decode_part(content: bytes, schema: pa.Schema, source: str = "a worker") -> Part:
    """Decode a part.

    Args:
        content: From `encode_part`.
        schema: Columns that it must have.
        source: Where it comes from, for the message.

    Raises:
        BadInput: If it has changed.
    """
    stored = decode_table(content, schema, source, what="a part of a table", remedy="run the command again")
    return Part(stored.table, stored.provenance.get("rejected", []))


class PartFiles:
    """Files of finished parts in a hidden folder beside the table, which are removed when it is complete.

    Args:
        path: File of the table.
        provenance: How it is made; parts of another `identity` are not used.
        schema: Columns of the parts.
    """

    def __init__(self, path: Place, provenance: Mapping[str, Any], schema: pa.Schema) -> None:
        stamp = hashlib.sha256(json.dumps(identity(provenance), sort_keys=True, default=str).encode()).hexdigest()[:16]
        self._path, self._schema = path, schema
        self._folder = path.parent / f".{path.stem[:100]}.{stamp}.parts"

    def stored(self, blocks: Sequence[range]) -> dict[range, Part]:
        """Read the finished parts of some blocks; one that is damaged counts as missing."""
        found: dict[range, Part] = {}
        if not self._folder.is_dir():
            return found
        for block in blocks:
            file = self._file(block)
            if file.is_file():
                content = read_content(file)
                with contextlib.suppress(BadInput):
                    found[block] = decode_part(content, self._schema, str(file))
        return found

    def write(self, block: range, content: bytes) -> None:
        """Write the part of a block, whole or not at all.

        Raises:
            BadInput: If it cannot be written.
        """
        with whole_file(
            self._file(block), what="results", remedy="choose a folder you can write to with --results"
        ) as file:
            file.write(content)

    def remove(self) -> None:
        """Remove all parts of the table, also those of earlier settings."""
        for folder in self._path.parent.glob(f".{self._path.stem[:100]}.*.parts"):
            remove_folder(folder)

    def _file(self, block: range) -> Place:
        return self._folder / f"{block.start:07d}-{block.stop:07d}.parquet"


def table_blocks(count: int, batch_size: int, *, least: int | None = None) -> list[range]:
    """Divide the rows of a table into about 64 blocks of whole batches.

    Encoding and writing a block takes some milliseconds, so it should not be small.

    Args:
        count: Number of rows.
        batch_size: Images per forward pass.
        least: Least number of rows of a block, if there are as many; None stands for 256. The most is 1,024.

    Example:
        >>> table_blocks(600, 64)
        [range(0, 256), range(256, 512), range(512, 600)]
    """
    rows = min(max(-(-count // 64), _LEAST if least is None else least), _MOST)
    batches = max(1, rows // batch_size)
    size = batches * batch_size
    return [range(start, min(start + size, count)) for start in range(0, count, size)]
