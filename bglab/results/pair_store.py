"""Writing pair matrices in blocks of rows, so that a run that was stopped goes on where it was."""

from __future__ import annotations

import hashlib
import io
import json
import logging
import re
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa
from jaxtyping import Int

from bglab.errors import BadInput, MissingData
from bglab.files import sha256_in, whole_file
from bglab.locations import Place
from bglab.results.pairs import (
    BACKGROUNDS,
    FOREGROUNDS,
    MATRIX,
    MATRIX_DIGEST,
    ROW_SIDE,
    RUN,
    SIDE,
    PairPredictions,
    load_array,
    odd_cells,
    open_head,
    open_pairs,
    read_run,
    row_blocks,
)
from bglab.results.protocol import Side
from bglab.results.provenance import describe_difference, differing_fields
from bglab.results.stored import encode_table, read_content, set_aside
from bglab.scratch import locked, remove_folder
from bglab.sealed import seal

_LOG = logging.getLogger(__name__)

_ROWS = "rows"
_BLOCK = re.compile(r"(\d+)-(\d+)(?:-([0-9a-f]{16}))?\.npy")
_REMEDY = "what was finished is kept: free some space, or choose a folder you can write to with --results"


class _Block(NamedTuple):
    """A stored block of rows; files of earlier versions have no digest in their name."""

    rows: range
    path: Place
    digest: str


class PairStore:
    """Writes a pair matrix in blocks of rows, one file per block until all are finished.

    A block is written under a temporary name, flushed to disk and renamed, so a run can be killed at any time, and
    several runs can fill the same folder. A matrix of another `identity` is set aside, since it may have taken days,
    and so is one that is damaged; of damaged blocks, only the rows in them are computed again.

    Args:
        folder: Folder of the matrix, from `pairs_folder`.
        provenance: Weights, pixels, engine and versions the matrix is computed with.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If an earlier matrix cannot be set aside.
    """

    def __init__(self, folder: Place, provenance: Mapping[str, Any]) -> None:
        self.folder = folder
        stored = self._begun()
        differing = differing_fields(stored, provenance) if stored else []
        if differing:
            what = describe_difference(stored, provenance, differing)
            kept = set_aside(folder)
            _LOG.warning("searching again, since the settings differ (%s); the earlier pairs are now in %s", what, kept)
        if self.is_finished:
            # a run that was stopped right at its end may have left its blocks
            remove_folder(self.folder / _ROWS)

    def _begun(self) -> Mapping[str, Any]:
        """Return the provenance of the matrix in the folder, after setting aside what is damaged; empty without one."""
        if not (self.folder / FOREGROUNDS).is_file() and not self.is_finished and not self._blocks():
            return {}
        try:
            read_run(self.folder)
        except BadInput as problem:
            kept = set_aside(self.folder / RUN)
            _LOG.warning("counting duration and speed anew: %s; the damaged file is now %s", problem, kept)
        try:
            found = open_pairs(self.folder) if self.is_finished else open_head(self.folder)
        except (BadInput, MissingData) as problem:
            kept = set_aside(self.folder)
            _LOG.warning("searching again: %s; the damaged pairs are now in %s", problem, kept)
            return {}
        return found.provenance

    def begin(self, make_head: Callable[[], PairPredictions]) -> PairPredictions:
        """Return the matrix with the rows stored so far.

        Args:
            make_head: Makes the empty matrix; called only if the folder holds none yet.

        Raises:
            Unreadable: If the disk fails.
            BadInput: If the folder cannot be written.
        """
        if not (self.folder / FOREGROUNDS).is_file():
            head = make_head()
            columns = pa.table(_side_columns(head.backgrounds), schema=pa.schema(SIDE))
            self._write_or_finished(BACKGROUNDS, encode_table(columns, {}))
            cells = {**_side_columns(head.foregrounds), "original": head.original.astype(np.int16)}
            rows = pa.table(cells, schema=pa.schema(ROW_SIDE))
            # written last: a folder counts as started once it carries the provenance
            self._write_or_finished(FOREGROUNDS, encode_table(rows, head.provenance))
        begun = open_head(self.folder)
        for block in self._blocks():
            try:
                begun.native[block.rows.start : block.rows.stop] = _read_block(block, begun)
            except BadInput as problem:
                if not block.path.exists():
                    continue  # another run has finished
                kept = set_aside(block.path)
                _LOG.warning("searching these rows again: %s; the damaged file is now %s", problem, kept)
        return replace(begun, run=read_run(self.folder))

    @property
    def is_finished(self) -> bool:
        """Whether the whole matrix has been written."""
        return (self.folder / MATRIX).is_file()

    def missing(self, row_count: int, block_rows: int) -> list[range]:
        """List the rows that are not stored yet, in blocks.

        Blocks end at multiples of ``block_rows``, so a resumed run computes the same blocks as an uninterrupted one.
        """
        done = np.zeros(row_count, dtype=bool)
        for block in self._blocks():
            done[block.rows.start : block.rows.stop] = True
        return row_blocks(np.flatnonzero(~done), block_rows)

    def write(self, rows: range, native: Int[np.ndarray, "r b"]) -> None:
        """Write one finished block.

        Args:
            rows: Positions of its foregrounds.
            native: Predictions among the classifier's own classes.
        """
        content = io.BytesIO()
        np.save(content, native.astype(np.int16))
        name = f"{rows.start:06d}-{rows.stop:06d}-{_digest_of(content.getvalue())}.npy"
        self._write_or_finished(f"{_ROWS}/{name}", content.getvalue())

    def finish(self, native: Int[np.ndarray, "f b"], run: Mapping[str, Any] | None = None) -> PairPredictions:
        """Write the whole matrix in place of its blocks, and open it.

        Args:
            native: Predictions among the classifier's own classes.
            run: Duration and speed, noted if none are, as after a run that was killed before it did; None notes none.
        """
        if run is not None and not self.noted():
            self.note(run)
        # of two runs that finish at the same time, one writes both the matrix and its digest
        with locked(self.folder.parent):
            if not self.is_finished:
                self._write_matrix(native.astype(np.int16))
        remove_folder(self.folder / _ROWS)
        return open_pairs(self.folder)

    def note(self, run: Mapping[str, Any]) -> None:
        """Write duration and speed of the runs, the only file that differs between equal runs."""
        self._write_or_finished(RUN, json.dumps(seal(run), sort_keys=True).encode())

    def noted(self) -> dict[str, Any]:
        """Read duration and speed of earlier runs; empty if there are none."""
        return read_run(self.folder)

    def _write_or_finished(self, name: str, content: bytes) -> None:
        """Write a file, unless another run has finished the same matrix and removed the folder of its blocks."""
        try:
            _write(self.folder, name, content)
        except BadInput:
            if not self.is_finished:
                raise

    def _write_matrix(self, native: Int[np.ndarray, "f b"]) -> None:
        """Write the matrix, and before it counts as finished, its digest in the form of ``sha256sum``."""
        with _opened(self.folder, MATRIX) as file:
            np.save(file, native)
            file.seek(0)
            digest = sha256_in(file)
            _write(self.folder, MATRIX_DIGEST, f"{digest}  {MATRIX}\n".encode())

    def _blocks(self) -> list[_Block]:
        files = sorted((self.folder / _ROWS).glob("*.npy"))
        found = [(_BLOCK.fullmatch(path.name), path) for path in files]
        return [_Block(range(int(m[1]), int(m[2])), path, m[3] or "") for m, path in found if m]


def _read_block(block: _Block, head: PairPredictions) -> Int[np.ndarray, "r b"]:
    """Read a block, and check that it is as it was written."""
    path, shape = block.path, (len(block.rows), head.native.shape[1])
    content = read_content(path)
    if block.digest and _digest_of(content) != block.digest:
        raise BadInput(f"expected pairs in {path}, but they have changed since they were written")
    native = load_array(path, lambda: np.load(io.BytesIO(content), allow_pickle=False))
    if native.shape != shape or native.dtype != np.int16 or block.rows.stop > head.native.shape[0]:
        raise BadInput(f"expected int16 of shape {shape} in {path}, got {native.dtype} of shape {native.shape}")
    odd = odd_cells(native, head)
    if odd:
        raise BadInput(f"expected predicted classes in {path}, got {odd}")
    return native


def _digest_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _side_columns(side: Side) -> dict[str, Any]:
    numbers = {"label": side.labels.astype(np.int16), "native_label": side.native_labels.astype(np.int16)}
    return {"scene": list(side.ids), **numbers}


def _write(folder: Place, name: str, content: bytes) -> None:
    with _opened(folder, name) as file:
        file.write(content)


def _opened(folder: Place, name: str) -> AbstractContextManager[BinaryIO]:
    """Open a file that is written whole or not at all, and flushed to disk before it gets its name."""
    # temporary files lie with the blocks, so that those of a killed run are removed with them
    return whole_file(folder / name, what="pairs", remedy=_REMEDY, scratch_folder=folder / _ROWS, durable=True)
