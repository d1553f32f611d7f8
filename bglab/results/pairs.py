"""Pair matrices: the predictions of one classifier for every foreground on every background, stored without torch.

``<results>/pairs/<dataset>/<model>/`` holds ``native.npy`` (int16, foreground × background, memory-mapped when
read), ``foregrounds.parquet`` and ``backgrounds.parquet`` (the scenes of rows and columns; the former carries the
provenance) and ``run.json`` (duration and speed). During a run, ``rows/`` holds its finished blocks, each written
whole or not at all. Everything except ``run.json`` depends only on pixels, weights and software, so a resumed run
writes the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import itertools
import json
import logging
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
from bglab.results.provenance import describe_difference, differing_fields, file_name, read_provenance

_LOG = logging.getLogger(__name__)

#: Value of the pairs that were not evaluated.
NOT_EVALUATED = -2

_MATRIX, _RUN, _ROWS = "native.npy", "run.json", "rows"
_FOREGROUNDS, _BACKGROUNDS = "foregrounds.parquet", "backgrounds.parquet"
_BLOCK = re.compile(r"(\d+)-(\d+)\.npy")
_SIDE = [("scene", pa.string()), ("label", pa.int16()), ("native_label", pa.int16())]


@dataclass(frozen=True, eq=False)
class PairPredictions:
    """Predictions of one classifier for foregrounds on backgrounds.

    Attributes:
        foregrounds: Scenes of the rows.
        backgrounds: Scenes of the columns.
        original: Predicted class of each foreground's original image, among the classifier's own classes.
        native: Predicted class of each pair, among the classifier's own classes; NOT_EVALUATED for other pairs.
        space: Label space of the scenes' labels.
        native_space: Label space of ``native`` and ``original``.
        classes: Names of the classes of ``space``.
        protocol: Pairs that the run evaluated.
        provenance: Weights, pixels, engine and versions the matrix was computed with.
        run: Duration in seconds, number of forward passes and speed.
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
        """URI of the weights, as `bglab.models.load_classifier` takes it."""
        return self.provenance["model"]

    @property
    def dataset(self) -> str:
        """Key of the data set."""
        return self.provenance["dataset"]

    @property
    def evaluated(self) -> int:
        """Number of evaluated pairs."""
        return int((np.asarray(self.native) != NOT_EVALUATED).sum())

    def predictions(self) -> Int[np.ndarray, "f b"]:
        """Return the predicted label of each pair in ``space``, OUTSIDE, or NOT_EVALUATED."""
        return self.decide(np.asarray(self.native))

    def original_predictions(self) -> Int[np.ndarray, " f"]:
        """Return the predicted label of each foreground's original image in ``space``, or OUTSIDE."""
        return self.decide(self.original)

    @property
    def correct(self) -> Bool[np.ndarray, " f"]:
        """Whether each foreground's original image is classified correctly."""
        return self.original_predictions() == self.foregrounds.labels

    def allowed(self, protocol: Protocol) -> Bool[np.ndarray, "f b"]:
        """Return a mask of the pairs that a protocol allows, whether or not they were evaluated."""
        allowed = allowed_pairs(protocol, self.foregrounds, self.backgrounds)
        if protocol.only_right:
            allowed[~self.correct] = False
        return allowed

    def decide(self, native: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
        """Map predictions among the classifier's own classes to ``space``; NOT_EVALUATED stays."""
        if self.native_space == self.space:
            return native
        return np.where(native == NOT_EVALUATED, NOT_EVALUATED, to_in9(native)).astype(np.int16)


class PairStore:
    """Writes a pair matrix in blocks of rows, one file per block until all are finished.

    A block is written under a temporary name, flushed to disk and renamed, so a run can be killed at any time, and
    several runs can fill the same folder. A matrix of another `identity` is set aside, since it may have taken days.

    Args:
        folder: Folder of the matrix, from `pairs_folder`.
        provenance: Weights, pixels, engine and versions the matrix is computed with.

    Raises:
        BadInput: If an earlier matrix cannot be set aside.
    """

    def __init__(self, folder: Path, provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        stored = read_provenance(folder / _FOREGROUNDS)
        differing = differing_fields(stored, provenance) if stored else []
        if differing:
            what = describe_difference(stored, provenance, differing)
            kept = _set_aside(folder)
            _LOG.warning("searching again, since the settings differ (%s); the earlier pairs are now in %s", what, kept)

    def begin(self, make_head: Callable[[], PairPredictions]) -> PairPredictions:
        """Return the matrix with the rows stored so far.

        Args:
            make_head: Makes the empty matrix; called only if the folder holds none yet.

        Raises:
            BadInput: If the files are broken, or the folder cannot be written.
        """
        if not read_provenance(self.folder / _FOREGROUNDS):
            head = make_head()
            columns = pa.table(_side_columns(head.backgrounds), schema=pa.schema(_SIDE))
            _write_table(self.folder, _BACKGROUNDS, columns, {})
            cells = {**_side_columns(head.foregrounds), "original": head.original.astype(np.int16)}
            rows = pa.table(cells, schema=pa.schema([*_SIDE, ("original", pa.int16())]))
            # written last: a folder counts as started once it carries the provenance
            _write_table(self.folder, _FOREGROUNDS, rows, head.provenance)
        rows, columns = _read_tables(self.folder)
        native = np.full((len(rows), len(columns)), NOT_EVALUATED, dtype=np.int16)
        for block, path in self._blocks():
            native[block.start : block.stop] = self._read_block(path, (len(block), len(columns)))
        return _assemble(self.folder, rows, columns, native)

    @property
    def is_finished(self) -> bool:
        """Whether the whole matrix has been written."""
        return (self.folder / _MATRIX).is_file()

    def missing(self, row_count: int, block_rows: int) -> list[range]:
        """List the rows that are not stored yet, in blocks.

        Blocks end at multiples of ``block_rows``, so a resumed run computes the same blocks as an uninterrupted one.
        """
        done = np.zeros(row_count, dtype=bool)
        for rows, _ in self._blocks():
            done[rows.start : rows.stop] = True
        return row_blocks(np.flatnonzero(~done), block_rows)

    def write(self, rows: range, native: Int[np.ndarray, "r b"]) -> None:
        """Write one finished block.

        Args:
            rows: Positions of its foregrounds.
            native: Predictions among the classifier's own classes.
        """
        name = f"{_ROWS}/{rows.start:06d}-{rows.stop:06d}.npy"
        _write(self.folder, name, lambda file: np.save(file, native.astype(np.int16)))

    def finish(self, native: Int[np.ndarray, "f b"]) -> PairPredictions:
        """Write the whole matrix in place of its blocks, and open it."""
        if not self.is_finished:
            _write(self.folder, _MATRIX, lambda file: np.save(file, native.astype(np.int16)))
        shutil.rmtree(self.folder / _ROWS, ignore_errors=True)
        return open_pairs(self.folder)

    def note(self, run: Mapping[str, Any]) -> None:
        """Write duration and speed of the runs, the only file that differs between equal runs."""
        _write(self.folder, _RUN, lambda file: file.write(json.dumps(dict(run), sort_keys=True).encode()))

    def noted(self) -> dict[str, Any]:
        """Read duration and speed of earlier runs; empty if there are none."""
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


def _set_aside(folder: Path) -> Path:
    """Move the folder of a matrix into ``earlier/`` beside it, where no reader takes it for a current one."""
    places = (folder.parent / "earlier" / f"{folder.name}-{number}" for number in itertools.count(1))
    kept = next(place for place in places if not place.exists())
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(kept)
    except OSError as problem:
        raise BadInput(
            f"expected to move earlier pairs from {folder} to {kept}, but {problem.strerror or problem}; "
            "move them away, or choose another folder with --results"
        ) from None
    return kept


def pairs_folder(results: Path, dataset: str, model: str, *, kind: str = "pairs") -> Path:
    """Return the folder of one model's matrix on one data set.

    Args:
        results: Results folder.
        dataset: Key of the data set.
        model: URI of the weights.
        kind: ``pairs``, or the folder name of another search.
    """
    return results / kind / dataset / file_name(model)


def pair_folders(results: Path | str) -> Iterator[Path]:
    """Yield the folders of all finished matrices of a results folder, sorted by path."""
    yield from sorted(path.parent for path in (Path(results) / "pairs").glob(f"*/*/{_MATRIX}"))


def open_pairs(folder: Path | str) -> PairPredictions:
    """Open a finished matrix; ``native`` is memory-mapped.

    Raises:
        MissingData: If the folder holds no finished matrix.
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
    """Split ascending rows into runs of consecutive ones that do not cross a multiple of ``block_rows``.

    Example:
        >>> row_blocks(np.array([0, 1, 2, 3, 6]), 3)
        [range(0, 3), range(3, 4), range(6, 7)]
    """
    cuts = np.flatnonzero((np.diff(rows) != 1) | (rows[1:] % block_rows == 0)) + 1
    return [range(int(run[0]), int(run[-1]) + 1) for run in np.split(rows, cuts) if run.size]


def read_pairs(results: Path | str, *, dataset: str = "", model: str = "") -> PairPredictions:
    """Open the only matrix of a results folder that matches.

    Args:
        results: The folder given to ``bglab search --results``.
        dataset: Prefix of the data set's key, e.g. ``in9-bg_challenge``; "" for any.
        model: URI of the weights; "" for any.

    Raises:
        MissingData: If none matches.
        BadInput: If several match.
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
    """Write a file whole or not at all; it is flushed to disk before it gets its name."""
    remedy = "what was finished is kept: free some space, or choose a folder you can write to with --results"
    # temporary files lie with the blocks, so that those of a killed run are removed with them
    with whole_file(folder / name, what="pairs", remedy=remedy, scratch_folder=folder / _ROWS, durable=True) as file:
        fill(file)
