"""Pair matrices: the predictions of one classifier for every foreground on every background, stored without torch.

``<results>/pairs/<dataset>/<model>/`` holds ``native.npy`` (int16, foreground × background, memory-mapped when
read from a disk) with its digest in ``native.sha256``, ``foregrounds.parquet`` and ``backgrounds.parquet`` (the scenes
of rows and columns; the former carries the provenance) and ``run.json`` (duration and speed). During a run, ``rows/``
holds its finished blocks, each written whole or not at all, with a digest in its name. Everything except ``run.json``
depends only on pixels, weights and software, so a resumed run writes the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import io
import json
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from jaxtyping import Bool, Int

from bglab.errors import BadInput, MissingData, brief, check_environment, unreadable
from bglab.files import sha256_of
from bglab.labels import to_in9
from bglab.locations import Place, StorePath, place_of
from bglab.results.checks import beyond_space, odd_provenance
from bglab.results.names import earlier_file_name, file_name, is_component, may_begin, model_file_name
from bglab.results.protocol import Protocol, Side, allowed_pairs, read_protocol
from bglab.results.stored import read_content, read_provenance, read_stored, result_files
from bglab.sealed import unseal

#: Value of the pairs that were not evaluated.
NOT_EVALUATED = -2

MATRIX, MATRIX_DIGEST, RUN = "native.npy", "native.sha256", "run.json"
FOREGROUNDS, BACKGROUNDS = "foregrounds.parquet", "backgrounds.parquet"
SIDE = [("scene", pa.string()), ("label", pa.int16()), ("native_label", pa.int16())]
ROW_SIDE = [*SIDE, ("original", pa.int16())]
_AGAIN = "remove the folder and search again"


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


def pairs_folder(results: Place, dataset: str, model: str, *, kind: str = "pairs") -> Place:
    """Return the folder of one model's matrix on one data set.

    Different models and data sets have different folders, whatever their names. A folder that an earlier version wrote
    under a name that others share is found if its provenance says that it is of exactly this model.

    Args:
        results: Results folder.
        dataset: Key of the data set.
        model: URI of the weights.
        kind: ``pairs``, or the folder name of another search.
    """
    folder = results / kind / file_name(dataset) / model_file_name(model)
    if folder.exists() or not is_component(dataset):
        return folder
    earlier = results / kind / dataset / earlier_file_name(model)
    found = earlier != folder and read_provenance(earlier / FOREGROUNDS).get("model") == model
    return earlier if found else folder


def pair_folders(results: Place) -> Iterator[Place]:
    """Yield the folders of all finished matrices of a results folder, sorted by path."""
    yield from (path.parent for path in result_files(results / "pairs", MATRIX))


def open_pairs(folder: Place | str) -> PairPredictions:
    """Open a finished matrix; ``native`` is memory-mapped, or read whole from a store.

    Args:
        folder: Folder of the matrix, or its URL.

    Raises:
        MissingData: If the folder holds no finished matrix.
        Unreadable: If the disk fails.
        BadInput: If its files are damaged or do not belong together.
    """
    folder = place_of(folder)
    if not (folder / MATRIX).is_file():
        raise MissingData(f"no finished pair matrix in {folder}; make it, or finish it, with bglab search")
    head = open_head(folder)
    return replace(head, native=_load_matrix(folder, head), run=read_run(folder))


def open_head(folder: Place) -> PairPredictions:
    """Read what a run begins with: rows, columns, and the predictions of the untouched images; no pair is evaluated.

    Args:
        folder: Folder of the matrix.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If a file is missing or damaged, or the two do not belong together.
    """
    rows, provenance = read_stored(
        folder / FOREGROUNDS, pa.schema(ROW_SIDE), what="foregrounds of pairs", remedy=_AGAIN
    )
    columns, _ = read_stored(folder / BACKGROUNDS, pa.schema(SIDE), what="backgrounds of pairs", remedy=_AGAIN)
    try:
        head = PairPredictions(
            foregrounds=_side(rows),
            backgrounds=_side(columns),
            original=rows["original"].to_numpy().astype(np.int16),
            native=np.full((len(rows), len(columns)), NOT_EVALUATED, dtype=np.int16),
            space=provenance["space"],
            native_space=provenance["native_space"],
            classes=tuple(provenance["classes"]),
            protocol=read_protocol(provenance["protocol"]),
            provenance=provenance,
        )
    except (KeyError, TypeError) as problem:
        what = f"no {problem.args[0]}" if isinstance(problem, KeyError) else str(problem)
        raise BadInput(f"expected how pairs were made in {folder / FOREGROUNDS}, got {what}; {_AGAIN}") from None
    odd = _odd_head(head)
    if odd:
        raise BadInput(f"expected pairs in {folder}, got {odd}; {_AGAIN}")
    return head


def odd_cells(native: Int[np.ndarray, "*shape"], head: PairPredictions) -> str:
    """Name a predicted class that is none of the classifier's; "" if all are.

    Args:
        native: Predictions among the classifier's own classes, or NOT_EVALUATED.
        head: The matrix they are of.
    """
    ends = np.array([native.min(initial=NOT_EVALUATED), native.max(initial=NOT_EVALUATED)])
    ends = ends[ends != NOT_EVALUATED]
    return beyond_space(ends, head.native_space, head.classes if head.native_space == head.space else (), least=0)


def _odd_head(head: PairPredictions) -> str:
    """Describe what is wrong with rows, columns or provenance; "" if nothing is."""
    sides = {"foregrounds": head.foregrounds, "backgrounds": head.backgrounds}
    for name, side in sides.items():
        if head.provenance.get(name, side.digest) != side.digest:
            return f"{name} of another matrix"
        if len(set(side.ids)) < len(side.ids):
            return f"{name} with a scene twice"
    labels = np.concatenate([side.labels for side in sides.values()])
    return (
        odd_provenance(head.provenance)
        or beyond_space(labels, head.space, head.classes)
        or odd_cells(head.original, head)
    )


def _load_matrix(folder: Place, head: PairPredictions) -> Int[np.ndarray, "f b"]:
    """Map the matrix into memory, or read it from a store, and check that it is as it was written."""
    path, digest_file = folder / MATRIX, folder / MATRIX_DIGEST
    try:
        stated = digest_file.read_text(errors="replace").split(" ")[0] if digest_file.is_file() else ""
        source = path.open() if isinstance(path, StorePath) else path
        found = _sha256(source) if stated else ""
    except OSError as problem:
        raise unreadable(path, problem) from None
    if found != stated:
        raise BadInput(f"expected pairs in {path}, but they have changed since they were written; {_AGAIN}")
    mode = "r" if isinstance(source, Path) else None
    native = load_array(path, lambda: np.load(source, mmap_mode=mode, allow_pickle=False))
    native.flags.writeable = False  # as if it was mapped
    shape = (len(head.foregrounds.ids), len(head.backgrounds.ids))
    if native.shape != shape or native.dtype != np.int16:
        came = f"{native.dtype} of shape {native.shape}"
        raise BadInput(f"expected int16 of shape {shape} in {path}, got {came}; {_AGAIN}")
    odd = odd_cells(native, head)
    if odd:
        raise BadInput(f"expected predicted classes in {path}, got {odd}; {_AGAIN}")
    return native


def _sha256(source: Path | io.BytesIO) -> str:
    return sha256_of(source) if isinstance(source, Path) else hashlib.sha256(source.getbuffer()).hexdigest()


def load_array(path: Place, load: Callable[[], Any]) -> np.ndarray:
    """Load an array with numpy.

    Args:
        path: Its file.
        load: Loads it.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If the file is damaged.
    """
    try:
        found = load()
    except Exception as problem:  # noqa: BLE001 - numpy raises many kinds for damaged headers
        check_environment(path, problem)
        raise BadInput(f"expected pairs in {path}, but reading failed ({brief(problem)}); {_AGAIN}") from None
    if not isinstance(found, np.ndarray):
        raise BadInput(f"expected pairs in {path}, got an archive of arrays; {_AGAIN}")
    return found


def read_run(folder: Place) -> dict[str, Any]:
    """Read duration and speed of the runs of a matrix; empty if there are none.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If the file is damaged.
    """
    path = folder / RUN
    if not path.is_file():
        return {}
    remedy = "remove it: only duration and speed are lost"
    content = read_content(path, remedy=remedy)
    try:
        run = unseal(json.loads(content))
        if not all(type(value) in (int, float) and 0 <= value < math.inf for value in run.values()):
            raise ValueError("not every entry is a number of at least 0")
    except (ValueError, RecursionError) as problem:
        raise BadInput(
            f"expected duration and speed in {path}, but reading failed ({brief(problem)}); {remedy}"
        ) from None
    return run


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
        results: The folder given to ``bglab search --results``, or its URL.
        dataset: Prefix of the data set's key, e.g. ``in9-bg_challenge``; "" for any.
        model: URI of the weights; "" for any.

    Raises:
        MissingData: If none matches.
        BadInput: If several match.
    """
    place = place_of(results)
    found = [folder for folder in pair_folders(place) if _is_of(folder, dataset, model)]
    if not found:
        raise MissingData(
            f"no pair matrix of '{model or 'any model'}' on '{dataset or 'any set'}' under {results}; make it with "
            f"bglab search --results {results} …"
        )
    if len(found) > 1:
        names = ", ".join("/".join(folder.parts[len(place.parts) :]) for folder in found)
        raise BadInput(f"expected one pair matrix that matches, got {len(found)} ({names}); name dataset and model")
    return open_pairs(found[0])


def _is_of(folder: Place, dataset: str, model: str) -> bool:
    """Decide whether a matrix is of a data set and a model, each "" for any."""
    if not may_begin(folder.parent.name, dataset):
        return False
    provenance = read_provenance(folder / FOREGROUNDS)
    # a damaged matrix is taken for the one wanted, and refused when it is opened
    key, whose = provenance.get("dataset", folder.parent.name), provenance.get("model", model)
    return (key.startswith(dataset) or folder.parent.name.startswith(dataset)) and model in {"", whose}


def _side(table: pa.Table) -> Side:
    labels, native = (table[name].to_numpy().astype(np.int64) for name in ("label", "native_label"))
    return Side(tuple(table["scene"].to_pylist()), labels, native)
