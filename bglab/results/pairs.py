"""The pair matrix: what one classifier says of every foreground on every background, as files without torch.

``<results>/pairs/<dataset>/<model>/`` holds ``native.npy`` (int16, foreground × background, memory-mapped when
read), ``foregrounds.parquet`` and ``backgrounds.parquet`` (which rows and columns these are; the first carries the
provenance) and ``run.json``. While a run works, ``rows/`` holds its finished blocks, each a file that is there whole
or not at all. Everything but ``run.json``, which says how long the run took, depends on pixels, weights and software
alone: an interrupted run that was taken up again leaves the same bytes as one that was not.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Bool, Int

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.labels import to_in9
from bglab.results.protocol import Protocol, Side, allowed_pairs
from bglab.results.provenance import file_name, read_provenance

#: Stands in the matrix where a foreground was not tried on a background.
NOT_EVALUATED = -2

_MATRIX, _RUN, _ROWS = "native.npy", "run.json", "rows"
_FOREGROUNDS, _BACKGROUNDS = "foregrounds.parquet", "backgrounds.parquet"
_BLOCK = re.compile(r"(\d+)-(\d+)\.npy")
_SIDE = [("scene", pa.string()), ("label", pa.int16()), ("native_label", pa.int16())]

#: What must agree for a run to go on with the blocks of an earlier one.
_IDENTITY = ("weights_sha256", "pixels", "engine", "precision", "size", "protocol", "foregrounds", "backgrounds")


@dataclass(frozen=True, eq=False)
class PairPredictions:
    """What one classifier says of foregrounds on backgrounds.

    Attributes:
        foregrounds: The rows.
        backgrounds: The columns.
        original: Native class predicted for each foreground's untouched image.
        native: Native class predicted for each pair, NOT_EVALUATED where it was not tried.
        space: Label space of the sides' labels.
        native_space: Label space of ``native`` and ``original``.
        classes: Names of the classes of ``space``.
        protocol: Which pairs were to be tried.
        provenance: How the matrix was made.
        run: Seconds, forwards and speed of the runs that made it.
    """

    foregrounds: Side
    backgrounds: Side
    original: Int[np.ndarray, " f"]
    native: Int[np.ndarray, "f b"] = field(repr=False)
    space: str
    native_space: str
    classes: tuple[str, ...]
    protocol: Protocol
    provenance: Mapping[str, Any] = field(repr=False)
    run: Mapping[str, Any] = field(default_factory=dict, repr=False)

    @property
    def model(self) -> str:
        """URI of the exact weights."""
        return self.provenance["model"]

    @property
    def dataset(self) -> str:
        """Key of the data set."""
        return self.provenance["dataset"]

    @property
    def evaluated(self) -> int:
        """Number of pairs that were asked about."""
        return int((np.asarray(self.native) != NOT_EVALUATED).sum())

    def answers(self) -> Int[np.ndarray, "f b"]:
        """Decide each pair in the labels' space: OUTSIDE counts as an error, NOT_EVALUATED stays."""
        return self.decide(np.asarray(self.native))

    def original_answers(self) -> Int[np.ndarray, " f"]:
        """Decide each foreground's untouched image in the labels' space."""
        return self.decide(self.original)

    @property
    def right(self) -> Bool[np.ndarray, " f"]:
        """Whether each foreground's untouched image is classified rightly."""
        return self.original_answers() == self.foregrounds.labels

    def allowed(self, protocol: Protocol) -> Bool[np.ndarray, "f b"]:
        """Mark the pairs that a protocol tries, whether or not this matrix holds them."""
        allowed = allowed_pairs(protocol, self.foregrounds, self.backgrounds)
        if protocol.only_right:
            allowed[~self.right] = False
        return allowed

    def decide(self, native: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Bring native answers to the labels' space: arg-max, then mapped, as `bglab.analysis` does by default."""
        if self.native_space == self.space:
            return native
        return np.where(native == NOT_EVALUATED, NOT_EVALUATED, to_in9(native)).astype(np.int16)


class PairStore:
    """A matrix in the making: blocks of rows, each a file of its own until all are there.

    A block is written to a temporary name, brought to the disk and renamed, so that a run may be killed at any
    moment; several runs may fill the same folder.

    Args:
        folder: Where the matrix is to lie.
        provenance: How its cells are made.

    Raises:
        BadInput: If the folder holds a matrix of other pixels, weights or software.
    """

    def __init__(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        kept = read_provenance(folder / _FOREGROUNDS)
        differing = [name for name in _IDENTITY if kept and kept.get(name) != provenance[name]]
        if differing:
            what = ", ".join(f"{name} was {kept.get(name)}, is {provenance[name]}" for name in differing)
            raise BadInput(
                f"expected pairs of the same pixels and weights in {folder}, but they were made otherwise ({what}); "
                "move that folder away, or choose another with --results"
            )

    def begin(self, make_head: Callable[[], PairPredictions]) -> PairPredictions:
        """Return the matrix with the rows stored so far; without any, the empty matrix given."""
        if not read_provenance(self.folder / _FOREGROUNDS):
            head = make_head()
            columns = pa.table(_side_columns(head.backgrounds), schema=pa.schema(_SIDE))
            _write_table(self.folder, _BACKGROUNDS, columns, {})
            cells = {**_side_columns(head.foregrounds), "original": head.original.astype(np.int16)}
            rows = pa.table(cells, schema=pa.schema([*_SIDE, ("original", pa.int16())]))
            # written last: a folder counts as begun once it carries its provenance
            _write_table(self.folder, _FOREGROUNDS, rows, head.provenance)
        rows, columns = _read_tables(self.folder)
        native = np.full((len(rows), len(columns)), NOT_EVALUATED, dtype=np.int16)
        for block, path in self._blocks():
            native[block.start : block.stop] = self._read_block(path, (len(block), len(columns)))
        return _assemble(self.folder, rows, columns, native)

    @property
    def is_finished(self) -> bool:
        """Whether the whole matrix is there."""
        return (self.folder / _MATRIX).is_file()

    def missing(self, row_count: int, block_rows: int) -> list[range]:
        """List the rows that no finished block holds, in blocks.

        Blocks end at multiples of their size, so a run that goes on makes the very blocks it would have made.
        """
        done = np.zeros(row_count, dtype=bool)
        for rows, _ in self._blocks():
            done[rows.start : rows.stop] = True
        return row_blocks(np.flatnonzero(~done), block_rows)

    def write(self, rows: range, native: Int[np.ndarray, "r b"]) -> None:
        """Keep one finished block."""
        name = f"{_ROWS}/{rows.start:06d}-{rows.stop:06d}.npy"
        _write(self.folder, name, lambda file: np.save(file, native.astype(np.int16)))

    def finish(self, native: Int[np.ndarray, "f b"]) -> PairPredictions:
        """Keep the whole matrix in place of its blocks, and open it."""
        if not self.is_finished:
            _write(self.folder, _MATRIX, lambda file: np.save(file, native.astype(np.int16)))
        shutil.rmtree(self.folder / _ROWS, ignore_errors=True)
        return open_pairs(self.folder)

    def note(self, run: Mapping[str, Any]) -> None:
        """Keep what the runs took; this is the one file that depends on the clock."""
        _write(self.folder, _RUN, lambda file: file.write(json.dumps(dict(run), sort_keys=True).encode()))

    def noted(self) -> dict[str, Any]:
        """Return duration and number of forward passes of the earlier runs."""
        return _read_run(self.folder)

    def _read_block(self, path: Path, shape: tuple[int, int]) -> Int[np.ndarray, "r b"]:
        block = _load(path)
        if block.shape != shape:
            raise BadInput(f"expected {shape} pairs in {path}, got {block.shape}; remove it and search again")
        return block

    def _blocks(self) -> Iterator[tuple[range, Path]]:
        for path in sorted((self.folder / _ROWS).glob("*.npy")):
            found = _BLOCK.fullmatch(path.name)
            if found:
                yield range(int(found[1]), int(found[2])), path


def pairs_folder(results: Path, dataset: str, model: str, *, kind: str = "pairs") -> Path:
    """Return the folder of one model's matrix on one set; a first-hit search has a folder of its own."""
    return results / kind / dataset / file_name(model)


def pair_folders(results: Path | str) -> Iterator[Path]:
    """Go through all finished matrices of a results folder, in a fixed order."""
    yield from sorted(path.parent for path in (Path(results) / "pairs").glob(f"*/*/{_MATRIX}"))


def open_pairs(folder: Path | str) -> PairPredictions:
    """Open a finished matrix; its cells stay on the disk until they are read.

    Raises:
        MissingData: If there is none.
        BadInput: If its files are broken or do not belong together.
    """
    folder = Path(folder)
    if not (folder / _MATRIX).is_file():
        raise MissingData(f"no finished pair matrix in {folder}; make it, or finish it, with bglab search")
    native = _load(folder / _MATRIX, mmap_mode="r")
    rows, columns = _read_tables(folder)
    shape = (len(rows), len(columns))
    if native.shape != shape or native.dtype != np.int16:
        raise BadInput(
            f"expected int16 of shape {shape} in {folder / _MATRIX}, got {native.dtype} of shape {native.shape}; "
            "remove the folder and search again"
        )
    return _assemble(folder, rows, columns, native)


def _load(path: Path, mmap_mode: Literal["r"] | None = None) -> np.ndarray:
    try:
        return np.load(path, mmap_mode=mmap_mode)
    except (OSError, ValueError, EOFError) as problem:
        raise BadInput(
            f"expected pairs in {path}, but reading failed ({problem}); remove it and search again"
        ) from None


def _read_tables(folder: Path) -> tuple[pa.Table, pa.Table]:
    try:
        return pq.read_table(folder / _FOREGROUNDS), pq.read_table(folder / _BACKGROUNDS)
    except (OSError, pa.ArrowInvalid) as problem:
        raise BadInput(
            f"expected rows and columns of pairs in {folder}, but reading failed ({problem}); remove it, search again"
        ) from None


def _assemble(folder: Path, rows: pa.Table, columns: pa.Table, native: Int[np.ndarray, "f b"]) -> PairPredictions:
    provenance = read_provenance(folder / _FOREGROUNDS)
    protocol = provenance["protocol"]
    return PairPredictions(
        foregrounds=_side(rows),
        backgrounds=_side(columns),
        original=rows["original"].to_numpy().astype(np.int16),
        native=native,
        space=provenance["space"],
        native_space=provenance["native_space"],
        classes=tuple(provenance["classes"]),
        protocol=Protocol(**{**protocol, "pool_classes": tuple(protocol["pool_classes"])}),
        provenance=provenance,
        run=_read_run(folder),
    )


def row_blocks(rows: Int[np.ndarray, " n"], block_rows: int) -> list[range]:
    """Cut ascending rows into runs of neighbours that do not cross a multiple of ``block_rows``.

    Example:
        >>> row_blocks(np.array([0, 1, 2, 3, 6]), 3)
        [range(0, 3), range(3, 4), range(6, 7)]
    """
    cuts = np.flatnonzero((np.diff(rows) != 1) | (rows[1:] % block_rows == 0)) + 1
    return [range(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, cuts) if run.size]


def read_pairs(results: Path | str, *, dataset: str = "", model: str = "") -> PairPredictions:
    """Open the one matrix of a results folder that matches.

    Args:
        results: The folder given to ``bglab search --results``.
        dataset: What the data set's key starts with, e.g. ``in9-bg_challenge``; "" for any.
        model: URI of the weights; "" for any.

    Raises:
        MissingData: If none matches.
        BadInput: If several do.
    """
    found = [
        folder
        for folder in pair_folders(results)
        if folder.parent.name.startswith(dataset) and model in {"", read_provenance(folder / _FOREGROUNDS)["model"]}
    ]
    if not found:
        raise MissingData(
            f"no pair matrix of '{model or 'any model'}' on '{dataset or 'any set'}' under {results}; make it with "
            f"bglab search --results {results} …"
        )
    if len(found) > 1:
        names = ", ".join(folder.relative_to(results).as_posix() for folder in found)
        raise BadInput(f"expected one pair matrix that matches, got {len(found)} ({names}); name dataset and model")
    return open_pairs(found[0])


def _side_columns(side: Side) -> dict[str, Any]:
    numbers = {"label": side.labels.astype(np.int16), "native_label": side.native_labels.astype(np.int16)}
    return {"scene": list(side.ids), **numbers}


def _side(table: pa.Table) -> Side:
    labels, native = (table[name].to_numpy().astype(np.int64) for name in ("label", "native_label"))
    return Side(tuple(table["scene"].to_pylist()), labels, native)


def _read_run(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / _RUN).read_text())
    except (OSError, json.JSONDecodeError):
        return {}


def _write_table(folder: Path, name: str, table: pa.Table, provenance: Mapping[str, Any]) -> None:
    table = table.replace_schema_metadata({b"bglab": json.dumps(dict(provenance), sort_keys=True).encode()})
    _write(folder, name, lambda file: pq.write_table(table, file, compression="zstd"))


def _write(folder: Path, name: str, fill: Callable[[BinaryIO], object]) -> None:
    """Write a file whole or not at all, and to the disk before it gets its name."""
    remedy = "what was finished is kept: free some space, or choose a folder you can write to with --results"
    # scratch lies with the blocks, so that what a killed run leaves goes with them
    with whole_file(folder / name, what="pairs", remedy=remedy, scratch_folder=folder / _ROWS, durable=True) as file:
        fill(file)
