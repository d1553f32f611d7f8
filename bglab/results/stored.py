"""Tables as parquet files that tell whether they are as they were written, and places for those that are not.

A file carries checksums of its pages and a digest of all it says: names, types and values of the columns, and the
provenance. Files of earlier versions have no digest; what they say is checked as far as it can be.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from bglab.errors import BadInput, Unreadable, check_environment
from bglab.files import files_below
from bglab.locations import Place, move
from bglab.results.names import earlier_file_name, file_name, is_component, model_file_name
from bglab.scratch import locked

_PROVENANCE, _DIGEST = b"bglab", b"bglab_sha256"
#: Entries of a file's metadata; others are ours with a damaged name. pandas adds its own to files that it rewrites.
_ENTRIES = frozenset({_PROVENANCE, _DIGEST, b"pandas"})
_EARLIER = "earlier"


class Stored(NamedTuple):
    """Content of a stored table.

    Attributes:
        table: Its columns.
        provenance: How it was made; empty if it does not tell.
    """

    table: pa.Table
    provenance: dict[str, Any]


def encode_table(table: pa.Table, provenance: Mapping[str, Any]) -> bytes:
    """Encode a table with its provenance, checksums and digest as a parquet file.

    Args:
        table: Columns, with nulls only where numbers may be NaN.
        provenance: How it was made; must be JSON.
    """
    described = json.dumps(dict(provenance), sort_keys=True).encode()
    metadata = {_PROVENANCE: described, _DIGEST: content_digest(table, described).encode()}
    file = io.BytesIO()
    pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd", write_page_checksum=True)
    return file.getvalue()


def read_content(path: Place, *, remedy: str = "check its permissions") -> bytes:
    """Read a file of results.

    Args:
        path: The file.
        remedy: What to do if it cannot be read, for the error message.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If the file itself cannot be read.
    """
    try:
        return path.read_bytes()
    except OSError as problem:
        check_environment(path, problem)
        raise BadInput(f"expected to read {path}, but {problem.strerror or problem}; {remedy}") from None


def read_stored(path: Place, schema: pa.Schema, *, what: str, remedy: str) -> Stored:
    """Read a table, and check that it is as it was written.

    Args:
        path: An existing parquet file.
        schema: Columns that it must have; others are left out.
        what: Content of the file, for the error message: ``predictions``.
        remedy: What to do if it is damaged, for the error message: ``remove it``.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If the file is damaged, or not of these columns.
    """
    return decode_table(read_content(path, remedy=remedy), schema, str(path), what=what, remedy=remedy)


def decode_table(content: bytes, schema: pa.Schema, source: str, *, what: str, remedy: str) -> Stored:
    """Decode a table from `encode_table`, and check that it is as it was encoded; otherwise as `read_stored`.

    Args:
        content: A parquet file.
        schema: Columns that it must have; others are left out.
        source: Where it comes from, for the error message.
        what: Content of the file, for the error message.
        remedy: What to do if it is damaged, for the error message.

    Raises:
        BadInput: If the file is damaged, or not of these columns.
    """
    try:
        return _decode(content, schema)
    except Exception as problem:  # noqa: BLE001 - pyarrow raises many kinds for damaged files
        reason = (str(problem).strip().splitlines() or [type(problem).__name__])[0][:200]
        raise BadInput(f"expected {what} in {source}, but reading failed ({reason}); {remedy}") from None


def read_provenance(path: Place) -> dict[str, Any]:
    """Read the provenance stored in a parquet file; empty if there is none, or the file is missing or damaged.

    Raises:
        Unreadable: If the disk fails.
    """
    if not path.is_file():
        return {}
    try:
        return read_stored(path, pa.schema([]), what="results", remedy="remove it").provenance
    except BadInput:
        return {}


def run_file(folder: Place, run: Mapping[str, str], name: str, earlier_name: str) -> Place:
    """Return the path of the table of one run, or that of an earlier version if it is of exactly this run.

    Args:
        folder: Folder of all tables of a kind.
        run: The entries ``model``, ``dataset`` and ``variant`` of its provenance.
        name: Name of the file, without its ending.
        earlier_name: Name that earlier versions gave it.
    """
    path = folder / file_name(run["dataset"]) / model_file_name(run["model"]) / f"{name}.parquet"
    if path.is_file() or not (is_component(run["dataset"]) and is_component(run["variant"])):
        return path
    earlier = folder / run["dataset"] / earlier_file_name(run["model"]) / f"{earlier_name}.parquet"
    return earlier if earlier != path and run.items() <= read_provenance(earlier).items() else path


def result_files(folder: Place, ending: str) -> Iterator[Place]:
    """Yield the files of the runs in a folder ``DATASET/MODEL/…`` whose names end in a certain way, sorted by path.

    Raises:
        Unreadable: If a folder cannot be listed, since a part of the runs would look like all.
    """
    for path in files_below(folder, deepest=3):
        if len(path.parts) == len(folder.parts) + 3 and path.name.endswith(ending):
            yield path


def set_aside(path: Place, *, remedy: str = "move it away, or choose another folder with --results") -> Place:
    """Move a file or folder into ``earlier/`` beside it, where no reader takes it for a current result.

    Args:
        path: File or folder; nothing happens if it is gone, as another run has moved it.
        remedy: What to do if it cannot be moved, for the error message.

    Returns:
        Where it is now.

    Raises:
        Unreadable: If its store cannot be reached.
        BadInput: If it cannot be moved.
    """
    folder = path.parent / _EARLIER
    kept = folder / path.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            stem, ending = (path.stem, path.suffix) if path.is_file() else (path.name, "")
            places = (folder / f"{stem}-{number}{ending}" for number in itertools.count(1))
            kept = next(place for place in places if not place.exists())
            move(path, kept)
    except FileNotFoundError:
        pass
    except Unreadable:
        raise
    except OSError as problem:
        raise BadInput(f"expected to move {path} to {kept}, but {problem.strerror or problem}; {remedy}") from None
    return kept


def content_digest(table: pa.Table, provenance: bytes) -> str:
    """Compute the SHA-256 of a table's columns and provenance, however the rows are divided into parts.

    Args:
        table: Columns of numbers, text or lists of these.
        provenance: The provenance as it is stored.
    """
    found = hashlib.sha256(f"{table.num_rows} rows".encode())
    for field, column in zip(table.schema, table.columns, strict=True):
        for part in (field.name.encode(), _name_of(field.type).encode(), *_bytes_of(column.combine_chunks())):
            found.update(len(part).to_bytes(8, "little"))
            found.update(part)
    found.update(provenance)
    return found.hexdigest()


def _name_of(kind: pa.DataType) -> str:
    """Name a type; the elements of lists have another name in memory than in parquet files."""
    return f"list of {_name_of(kind.value_type)}" if pa.types.is_list(kind) else str(kind)


def _bytes_of(values: pa.Array | pa.ChunkedArray) -> list[bytes]:
    """Return the bytes of a column's values, and first those of its lengths and nulls."""
    if isinstance(values, pa.ChunkedArray):  # without any chunk
        values = pa.array([], values.type)
    if pa.types.is_list(values.type):
        lengths = pc.call_function("list_value_length", [values]).fill_null(-1)
        return [*_bytes_of(lengths), *_bytes_of(values.flatten())]
    if pa.types.is_string(values.type):
        lengths = pc.call_function("binary_length", [values]).fill_null(-1)
        return [*_bytes_of(lengths), b"".join(values.cast(pa.binary()).drop_null().to_pylist())]
    numbers = values.fill_null(0).to_numpy(zero_copy_only=False)
    nulls = values.is_null().to_numpy(zero_copy_only=False)
    return [np.packbits(nulls).tobytes(), np.ascontiguousarray(numbers, numbers.dtype.newbyteorder("<")).tobytes()]


def _decode(content: bytes, schema: pa.Schema) -> Stored:
    table = pq.ParquetFile(pa.BufferReader(content), page_checksum_verification=True).read()
    metadata = dict(table.schema.metadata or {})
    odd = sorted(set(metadata) - _ENTRIES)
    if odd:
        raise ValueError(f"its metadata has the unknown entry {odd[0][:40]!r}")
    described = metadata.get(_PROVENANCE, b"{}")
    digest = metadata.get(_DIGEST)
    if digest is not None and digest.decode("ascii") != content_digest(table, described):
        raise ValueError("its content has changed since it was written")
    provenance = json.loads(described)
    if not isinstance(provenance, dict):
        raise ValueError(f"its provenance is a {type(provenance).__name__}, not a dictionary")
    missing = [name for name in schema.names if name not in table.column_names]
    if missing:
        raise ValueError(f"there is no column '{missing[0]}'")
    chosen = table.select(schema.names).replace_schema_metadata(None)
    for field in schema:
        nulls = chosen[field.name].null_count
        if nulls and not pa.types.is_floating(field.type):  # there they stand for NaN
            raise ValueError(f"the column '{field.name}' is empty in {nulls} rows")
    return Stored(chosen.cast(schema), provenance)
