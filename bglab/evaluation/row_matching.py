"""Match the rows of a table to the images of a data set: each image gets one prediction, or none with a reason."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from bglab.errors import BadInput
from bglab.evaluation.prediction_cells import NAME_COLUMNS, CellReader, Cells, first_of
from bglab.evaluation.scene_matching import SceneMatcher
from bglab.results import TextTable, shorten
from bglab.scenes import PreparedScenes, SceneSet
from bglab.variants import Dataset, FullScenes


@dataclass
class Accepted:
    """Predictions by scene, and what was left out.

    Attributes:
        cells: Prediction of each scene.
        positions: Row of each scene's prediction.
        left_out: Rows that cannot be used: where they are, and why.
        unknown: File names that are not in the set.
        not_shown: File names of images of the set that the variant does not show, such as those without a mask.
        repeated: Where rows are that repeat another one.
    """

    cells: dict[str, Cells] = field(default_factory=dict)
    positions: dict[str, int] = field(default_factory=dict)
    left_out: list[tuple[str, str]] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    not_shown: list[str] = field(default_factory=list)
    repeated: list[str] = field(default_factory=list)


def match_rows(
    text: TextTable,
    positions: Sequence[int],
    reader: CellReader,
    dataset: Dataset,
    matcher: SceneMatcher,
) -> Accepted:
    """Match rows to the images of a data set.

    Args:
        text: The table.
        positions: Rows of one model on one variant.
        reader: Reads their cells.
        dataset: Data set that was classified.
        matcher: From `matcher_of`, for this data set.

    Raises:
        BadInput: If the table has file names, but none of the set.
    """
    accepted = Accepted()
    rows_of = _rows_of_scenes(text, positions, dataset, matcher, accepted)
    for scene, rows in rows_of.items():
        read: dict[int, Cells] = {}
        for i in rows:
            try:
                read[i] = reader.read(text.rows[i])
            except BadInput as problem:
                accepted.left_out.append((text.where[i], str(problem)))
        if len(set(read.values())) > 1:
            places = " and ".join(text.where[i] for i in list(read)[:3])
            reason = f"expected one prediction of {shorten(scene)}, got different ones in {places}"
            accepted.left_out += [(text.where[i], reason) for i in read]
        elif read:
            first, *others = read
            accepted.cells[scene], accepted.positions[scene] = read[first], first
            accepted.repeated += [text.where[i] for i in others]
    if not rows_of and accepted.unknown and not accepted.left_out:
        raise BadInput(_none_known(text, accepted.unknown, dataset))
    return accepted


def _rows_of_scenes(
    text: TextTable,
    positions: Sequence[int],
    dataset: Dataset,
    matcher: SceneMatcher,
    accepted: Accepted,
) -> dict[str, list[int]]:
    """Find the scene of each row; rows without one are recorded in ``accepted``."""
    shown = {row.scene for row in dataset.rows}
    column = first_of(NAME_COLUMNS, text.columns)
    whole: dict[str, list[int]] = defaultdict(list)
    partial: dict[str, list[int]] = defaultdict(list)
    for i in positions:
        name = text.rows[i][column]
        match = matcher.find(name)
        scene = next(iter(match.scenes), "")
        if not name:
            accepted.left_out.append((text.where[i], f"expected a file name under {column}, got an empty cell"))
        elif not match.scenes:
            accepted.unknown.append(name)
        elif len(match.scenes) > 1:
            reason = f"expected one scene, but {shorten(name)} fits {len(match.scenes)}; write it with its folder"
            accepted.left_out.append((text.where[i], reason))
        elif scene not in shown:
            accepted.not_shown.append(name)
        else:
            (whole if match.whole else partial)[scene].append(i)
    for scene, rows in partial.items():
        names = {text.rows[i][column] for i in rows}
        if scene in whole:  # the folders of these names differ from those of a file that is there itself
            accepted.unknown += sorted(names)
        elif len(names) > 1:
            reason = f"expected one file for scene {shorten(scene)}, but {len(names)} paths end in its name"
            accepted.left_out += [(text.where[i], reason) for i in rows]
        else:
            whole[scene] += rows
    return whole


def matcher_of(dataset: Dataset, scenes: SceneSet | PreparedScenes | FullScenes) -> SceneMatcher:
    """Return what finds the scenes of a data set by their files.

    Args:
        dataset: Data set that was classified.
        scenes: What it was made of.
    """
    return SceneMatcher(_known_files(dataset, scenes))


def _known_files(dataset: Dataset, scenes: SceneSet | PreparedScenes | FullScenes) -> Iterator[tuple[str, str]]:
    """Yield id and file of every image of the set, also of those that the variant does not show."""
    if isinstance(scenes, FullScenes):
        source = scenes.by_box
    else:
        source = scenes.scenes if isinstance(scenes, PreparedScenes) else scenes
    files: dict[str, str] = {record.id: record.file for record in source.photographs}
    yield from files.items()
    if dataset.published and source.published is not None:
        yield from ((image.scene, str(image.file)) for image in source.published(dataset.variant.name))
    yield from ((row.scene, files.get(row.scene, "")) for row in dataset.rows)
    yield from ((rejection.scene, rejection.file) for rejection in (*source.rejected, *dataset.rejected))


def _none_known(text: TextTable, unknown: Sequence[str], dataset: Dataset) -> str:
    came = ", ".join(shorten(name) for name in unknown[:3])
    there = ", ".join(row.scene for row in dataset.rows[:3])
    return (
        f"expected file names of {dataset.name} in {text.source}, got none: the table has {came}, the set {there}; "
        "check --scenes, --variant and --published"
    )


def file_names(scenes: SceneSet) -> Mapping[str, str]:
    """Return the file name of each image of a set: alone if it is unique, otherwise the id with the file's suffix."""
    files = {record.id: record.files[0] for record in scenes.photographs if record.files}
    is_unique = len({file.name for file in files.values()}) == len(files)
    return {scene: file.name if is_unique else f"{scene}{file.suffix}" for scene, file in files.items()}
