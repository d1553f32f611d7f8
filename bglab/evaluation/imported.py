"""Predictions that another program made, read as prediction tables like bglab's own."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName, printable
from bglab.evaluation.class_vocabulary import Classes, Vocabulary, choose_vocabulary, vocabulary_of
from bglab.evaluation.import_notices import broken_lines, differing_labels, import_notices, row_notices
from bglab.evaluation.prediction_cells import (
    CLASS_COLUMNS,
    NAME_COLUMNS,
    PROBABILITY_COLUMNS,
    CellReader,
    check_percentages,
    first_of,
)
from bglab.evaluation.row_matching import match_rows, matcher_of
from bglab.evaluation.scene_matching import SceneMatcher
from bglab.evaluation.tabulate import Predicted, check_space, describe_dataset, prediction_table
from bglab.locations import Place, place_of
from bglab.results import (
    IMAGENET_X,
    PREDICTION_SCHEMA,
    TextTable,
    prediction_file,
    read_provenance,
    read_text_table,
    shorten,
    write_predictions,
)
from bglab.scenes import PreparedScenes, SceneSet, ScenesLike, as_scenes
from bglab.variants import Dataset, FullScenes, Resolution, compose_all, find_variant, open_published

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)

#: Marks the names of models whose predictions were imported.
_PREFIX = "imported:"


class _Run(NamedTuple):
    """Rows of one model on one variant; ``dataset`` is the key that the table states, or ""."""

    model: str
    variant: str
    dataset: str


@dataclass(frozen=True)
class _Options:
    """How a table is read: the model's name, the variants' options, and the label space."""

    model: str
    variant: str
    classes: Classes | None
    published: bool
    resolution: Resolution | None
    size: int
    seed: int
    progress: bool


def from_table(
    table: pd.DataFrame | Path | str,
    *,
    scenes: ScenesLike | FullScenes,
    model: str = "",
    variant: str = "",
    classes: Classes | None = None,
    published: bool = False,
    resolution: Resolution | None = None,
    size: int = 224,
    seed: int = 0,
    results: Path | str | None = None,
    progress: bool = True,
) -> pd.DataFrame:
    """Read predictions that another program made, as a prediction table like that of `bglab.predict`.

    The table has the columns of imagenet-x, ``file_name, predicted_class`` and optionally ``predicted_probability``,
    or bglab's own, ``scene, native`` and optionally ``confidence``, ``top5`` and ``prediction``. Files are found by the
    longest end of their path that is known, or by the id of the scene. Labels, donors and the data set's key are those
    of the variant as `bglab.variants.compose` makes it, so that imported and computed predictions can be compared; for
    that, the scenes are prepared once, as for `bglab.predict`. Rows that cannot be used are left out, counted and
    named in warnings and in ``.attrs``, as are scenes without a prediction.

    Args:
        table: Data frame, or file: CSV, parquet or JSON lines.
        scenes: The images that were classified: a set, its prepared or full-resolution form, or a URI.
        model: Name of the model; results call it ``imported:<name>``. It chooses among the values of a column
            ``model`` if the table has several, and can be left out if there is such a column.
        variant: Variant that the images show, likewise with the column ``variant``.
        classes: Whose classes the table means: ``imagenet``, ``in9`` or ``scenes``. By default names, WordNet ids and
            indices beyond the set's classes decide.
        published: Whether the model saw the release's own images, as with `bglab.variants.open_published`.
        resolution: As for `bglab.variants.compose`.
        size: Side of the prepared images in pixels.
        seed: Seed of donors, textures and noise.
        results: Results folder to write to, or its URL, in the layout of `bglab.predict`; None writes nothing.
        progress: Whether to show a progress bar while scenes are prepared for the first time.

    Returns:
        One row per image with the columns of `bglab.results.PREDICTION_SCHEMA`. Without a column ``top5``, top-5
        accuracy is NaN; without probabilities, ``confidence`` is. ``.attrs`` has the provenance; of several models or
        variants, ``.attrs["tables"]`` has one for each.

    Raises:
        MissingData: If there is no such file or set.
        BadInput: If the table lacks a column, no row can be used, or the label space is not clear.
        UnknownName: If there is no such variant, or the table has no such model.
    """
    import pandas as pd

    tables = import_predictions(
        table,
        scenes=scenes,
        model=model,
        variant=variant,
        classes=classes,
        published=published,
        resolution=resolution,
        size=size,
        seed=seed,
        results=results,
        progress=progress,
    )
    for notice in import_notices(tables):
        _LOG.warning("%s", notice)
    if len(tables) == 1:
        return tables[0]
    provenances = [dict(part.attrs) for part in tables]
    parts = [part.copy() for part in tables]
    for part in parts:
        part.attrs = {}
    whole = pd.concat(parts, ignore_index=True)
    whole.attrs["tables"] = provenances
    return whole


def import_predictions(
    table: pd.DataFrame | Path | str,
    *,
    scenes: ScenesLike | FullScenes,
    model: str = "",
    variant: str = "",
    classes: Classes | None = None,
    published: bool = False,
    resolution: Resolution | None = None,
    size: int = 224,
    seed: int = 0,
    results: Path | str | None = None,
    progress: bool = True,
) -> tuple[pd.DataFrame, ...]:
    """Read predictions that another program made, one table per model and variant.

    Arguments and errors are those of `from_table`, which also logs the notices (`import_notices`).
    """
    options = _Options(model, variant, classes, published, resolution, size, seed, progress)
    known = {field.name for field in PREDICTION_SCHEMA} | {*IMAGENET_X}
    text = read_text_table(table, known)
    _check_columns(text)
    runs = _runs(text, options)
    opened = scenes if isinstance(scenes, (PreparedScenes, FullScenes)) else as_scenes(scenes)
    datasets = _datasets(opened, list(dict.fromkeys(run.variant for run in runs)), options)
    tables: list[pd.DataFrame] = []
    matchers: dict[int, SceneMatcher] = {}
    for number, (run, positions) in enumerate(runs.items()):
        same_model = [i for other, rows in runs.items() if other.model == run.model for i in rows]
        for dataset in _of_run(run, list(runs), datasets[run.variant]):
            vocabulary = _vocabulary(text, same_model, dataset, classes)
            check_space(run.model, vocabulary.space, len(vocabulary.names), dataset)
            if id(dataset) not in matchers:
                matchers[id(dataset)] = matcher_of(dataset, opened)
            matcher = matchers[id(dataset)]
            tables.append(_import_run(text, run, positions, dataset, matcher, vocabulary, is_first=number == 0))
    if not tables:
        keys = ", ".join(dataset.key for made in datasets.values() for dataset in made)
        raise BadInput(f"expected rows of {keys} under dataset in {text.source}, got none; check --scenes")
    if results is not None:
        _write(tables, place_of(results))
    return tuple(tables)


def _check_columns(text: TextTable) -> None:
    if first_of(NAME_COLUMNS, text.columns) and first_of(CLASS_COLUMNS, text.columns):
        return
    came = ", ".join(shorten(name) or "a column without a name" for name in text.columns[:20])
    raise BadInput(
        f"expected the columns file_name, predicted_class and optionally predicted_probability, model, variant in "
        f"{text.source}, or bglab's own (scene, native, …), got {came}; rename the columns"
    )


def _runs(text: TextTable, options: _Options) -> dict[_Run, list[int]]:
    """Group the rows by model and variant, which columns or the options name."""
    chosen = {
        name: _column(text, name, wanted) for name, wanted in (("model", options.model), ("variant", options.variant))
    }
    runs: dict[_Run, list[int]] = {}
    for i, row in enumerate(text.rows):
        model, variant = (chosen[name][i] for name in ("model", "variant"))
        if model is not None and variant is not None:
            run = _Run(printable(model.removeprefix(_PREFIX)), variant, row.get("dataset", ""))
            runs.setdefault(run, []).append(i)
    if not runs:
        raise BadInput(
            f"expected rows of the model {options.model} on {options.variant} in {text.source}, got none; check the "
            "columns model and variant"
        )
    return runs


def _column(text: TextTable, name: str, wanted: str) -> list[str | None]:
    """Return the model or variant of each row, None for rows of others."""
    if name not in text.columns:
        if not wanted:
            raise BadInput(
                f"expected the {name} of the predictions in {text.source}, got no column '{name}'; give it with "
                f"--{name} ({name}= in Python)"
            )
        return [wanted] * len(text.rows)
    values = [row[name] for row in text.rows]
    if not wanted:
        empty = [where for where, value in zip(text.where, values, strict=True) if not value]
        if empty:
            raise BadInput(f"expected a {name} in every row of {text.source}, got none in {empty[0]}; fill it in")
        return list(values)
    accepted = {wanted, f"{_PREFIX}{wanted}", wanted.removeprefix(_PREFIX)}
    distinct = list(dict.fromkeys(values))
    if not accepted & {*distinct}:
        if len(distinct) > 1:
            known = [shorten(value) for value in distinct[:20]]
            raise UnknownName(f"{unknown_name(name, wanted, known)} ({text.source})")
        return [wanted] * len(values)  # one model or variant under another name
    return [wanted if value in accepted else None for value in values]


def _datasets(
    scenes: SceneSet | PreparedScenes | FullScenes, variants: Sequence[str], options: _Options
) -> dict[str, list[Dataset]]:
    """Make the data sets of all variants as `bglab predict` does; one variant can have two, at both resolutions."""
    made: dict[str, list[Dataset]] = {name: [] for name in variants}
    if options.published:
        if not isinstance(scenes, SceneSet):
            raise BadInput("expected a set or a URI with published, got prepared scenes; give the set itself")
        for name in variants:
            found = open_published(scenes, find_variant(name).name, size=options.size, progress=options.progress)
            made[name].append(found)
        return made
    for found in compose_all(
        scenes,
        variants,
        seed=options.seed,
        size=options.size,
        resolution=options.resolution,
        progress=options.progress,
    ):
        made.setdefault(found.variant.name, []).append(found)
    for name in (name for name in variants if not made[name]):
        raise BadInput(f"expected the name of a variant, got '{name}'; write it as {', '.join(made)} are written")
    return made


def _of_run(run: _Run, runs: Sequence[_Run], datasets: Sequence[Dataset]) -> list[Dataset]:
    """Choose the data sets that a run's rows are of: those that the table states, if it tells several apart."""
    stated = [dataset for dataset in datasets if _fits(run.dataset, dataset)]
    is_alone = sum(other[:2] == run[:2] for other in runs) == 1
    return stated or (list(datasets) if is_alone else [])


def _fits(key: str, dataset: Dataset) -> bool:
    """Check whether a run's key is that of a data set, maybe with a suffix for protocol, decision rule or precision."""
    return key == dataset.key or key.startswith(f"{dataset.key}-")


def _vocabulary(text: TextTable, positions: Sequence[int], dataset: Dataset, classes: Classes | None) -> Vocabulary:
    """Choose the label space of a model's predictions, which bglab's own tables name."""
    rows = [text.rows[i] for i in positions]
    stated = {row.get("native_space", "") for row in rows} - {""}
    if classes is None and len(stated) == 1:
        found = vocabulary_of(stated.pop(), dataset)
        if found is not None:
            return found
    column = first_of(CLASS_COLUMNS, text.columns)
    return choose_vocabulary([row[column] for row in rows], dataset, classes)


def _import_run(
    text: TextTable,
    run: _Run,
    positions: Sequence[int],
    dataset: Dataset,
    matcher: SceneMatcher,
    vocabulary: Vocabulary,
    *,
    is_first: bool,
) -> pd.DataFrame:
    """Make the prediction table of one model on one data set."""
    probability = first_of(PROBABILITY_COLUMNS, text.columns)
    if probability:
        check_percentages(probability, [text.rows[i][probability] for i in positions], text.source)
    reader = CellReader(text.columns, vocabulary, dataset.space, len(dataset.classes))
    found = match_rows(text, positions, reader, dataset, matcher)
    where = f"{run.model} on {run.variant}"
    if not found.cells:
        first = found.left_out[0] if found.left_out else ("", "none of its rows can be used")
        raise BadInput(
            f"expected predictions for {dataset.name} in {text.source}, got none of {len(positions)} rows that can be "
            f"used ({where}); the first: {first[0]}: {first[1]}"
        )
    kept = [i for i, row in enumerate(dataset.rows) if row.scene in found.cells]
    part = replace(dataset, rows=tuple(dataset.rows[i] for i in kept))
    missing = list(dict.fromkeys(row.scene for row in dataset.rows if row.scene not in found.cells))
    notices = row_notices(text, found, missing, len(dataset.rows), where)
    key, differs = _key(run, dataset)
    labels = differing_labels(text, found, part)
    notices += [f"{text.source}: {notice}" for notice in (differs, labels) if notice]
    left_out = [*(text.broken if is_first else ()), *found.left_out]
    cells = [found.cells[row.scene] for row in part.rows]
    model = f"{_PREFIX}{run.model}"
    predicted = Predicted(
        native=np.array([c.native for c in cells], dtype=np.int64),
        prediction=np.array([c.prediction for c in cells], dtype=np.int64),
        top5=[np.array(c.top5, dtype=np.int64) for c in cells],
        confidence=np.array([math.nan if c.confidence is None else c.confidence for c in cells], dtype=np.float32),
    )
    table = prediction_table(part, predicted, model=model, key=key, native_space=vocabulary.space)
    if is_first:
        notices = [*text.notices, *broken_lines(text), *notices]
    table.attrs |= {
        **describe_dataset(dataset),
        "model": model,
        "dataset": key,
        "imported": True,
        "table": Path(text.source).name,
        "table_sha256": text.sha256,
        "native_space": vocabulary.space,
        "rows": len(table),
        "left_out": [list(entry) for entry in left_out],
        "without_prediction": missing,
        "notices": notices,
    }
    return table


def _key(run: _Run, dataset: Dataset) -> tuple[str, str]:
    """Return the key of the data set, with the suffix that the table states, and a notice if that is another set."""
    if not run.dataset:
        return dataset.key, ""
    if _fits(run.dataset, dataset):
        return printable(run.dataset), ""
    return dataset.key, f"the column dataset says {shorten(run.dataset)}, but these scenes are {dataset.key}"


def _write(tables: Sequence[pd.DataFrame], results: Place) -> None:
    """Write all tables, after a check that no two have one file name and none replaces that of another model."""
    files: dict[Place, Mapping[Any, Any]] = {}
    for table in tables:
        made = table.attrs
        path = prediction_file(results, made["dataset"], made["model"], made["variant"])
        there = files.get(path, read_provenance(path))
        if there and (path in files or there.get("model") != made["model"]):
            raise BadInput(
                f"expected a name of its own for {made['model']}, but {path} would hold {there.get('model')}, too; "
                "choose another with --model, or another --results"
            )
        files[path] = made
        if there and there.get("table_sha256") != made["table_sha256"]:
            made["notices"].append(f"{path} is replaced: it was imported from another table, {there.get('table')}")
    for table, path in zip(tables, files, strict=True):
        write_predictions(path, table, {str(name): value for name, value in table.attrs.items()})
