"""The tables of a folder of images: labels.csv and boxes.csv. A bad row leaves out its image, never the whole set."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from bglab.errors import BadInput
from bglab.images import Box
from bglab.labels import OUTSIDE, imagenet_synsets
from bglab.scenes.scene import Rejection
from bglab.scenes.sources._folders import imagenet_index
from bglab.scenes.sources._image_files import ImageFiles, counted, listed, normal, scene_name
from bglab.scenes.sources._tables import Row, Table, read_table

#: Largest number of columns, and of characters of their names, that a message lists.
_SHOWN = 30


class Labelled(NamedTuple):
    """An image with its class.

    Attributes:
        file: Path of the image.
        name: Name of its class.
        native_label: ImageNet class index, or OUTSIDE.
        given: Where a table gives ``native_label``; "" if it comes from the file's name.
    """

    file: Path
    name: str
    native_label: int
    given: str = ""


class Labels(NamedTuple):
    """Content of labels.csv: the images with a usable row, rejections of the others, and notices."""

    images: list[Labelled]
    rejected: list[Rejection]
    notices: list[str]


class Boxes(NamedTuple):
    """Content of boxes.csv.

    Attributes:
        boxes: Box by path of the image.
        problems: Reason why an image cannot be used, by its path.
        rejected: Rows that name no image.
        notices: Anything unusual.
    """

    boxes: dict[Path, Box]
    problems: dict[Path, str]
    rejected: list[Rejection]
    notices: list[str]


def read_labels(file: Path, files: ImageFiles) -> Labels:
    """Read labels.csv, with the columns ``file`` and ``label`` or ``imagenet_index``, or all three.

    Raises:
        BadInput: If the table is no text or lacks a column.
    """
    table = read_table(file)
    _check_columns(table, ("file",) if "imagenet_index" in table.columns else ("file", "label"))
    found: dict[Path, Labelled] = {}
    wrong: dict[Path, str] = {}
    rejected: list[Rejection] = []
    for row in table.rows:
        path = _path_of(table, row, files, rejected)
        if path is None:
            continue
        try:
            image = _labelled(table, row, path)
            before = found.setdefault(path, image)
            if (before.name, before.native_label) != (image.name, image.native_label):
                raise BadInput(
                    f"expected one label for {path} in {file}, got '{before.name}' and, in line {row.line}, "
                    f"'{image.name}'; remove the wrong one"
                )
        except BadInput as problem:
            wrong.setdefault(path, str(problem))
    rejected += [Rejection(scene_name(files.folder, path), str(path), reason) for path, reason in wrong.items()]
    reason = f"expected the image in {file}, but it is not listed there; add a line for it"
    unlisted = [path for path in files.images if path not in found and path not in wrong]
    rejected += [Rejection(scene_name(files.folder, path), str(path), reason) for path in unlisted]
    images = [image for path, image in found.items() if path not in wrong]
    return Labels(images, rejected, [table.notice] if table.notice else [])


def _labelled(table: Table, row: Row, path: Path) -> Labelled:
    """Read the class in a row of labels.csv."""
    where = table.where(row)
    if row.problem:
        raise BadInput(f"expected a file and its label in {where}, but {row.problem}; correct the row")
    name, text = normal(row.cells.get("label", "")), row.cells.get("imagenet_index", "")
    if text in {"", "-1"}:
        text, index = "", OUTSIDE
    else:
        index = _whole(table, text)
    if text and not 0 <= index < 1000:
        raise BadInput(f"expected an imagenet_index from 0 to 999 in {where}, got '{text}'; leave it empty if unknown")
    if "label" not in table.columns and text:
        name = imagenet_synsets()[index]
    if not name:
        needed = "file, label" if "label" in table.columns else "file, imagenet_index"
        raise BadInput(f"expected {needed} in {where}, got an empty field; fill it in")
    return Labelled(path, name, index if text else imagenet_index(path.stem), where if text else "")


def _whole(table: Table, text: str) -> int:
    """Parse a whole number that is at least 0; -1 if it is none."""
    try:
        value = table.number(text)
    except ValueError:
        return -1
    return int(value) if value >= 0 and value.is_integer() else -1


def read_boxes(file: Path, files: ImageFiles) -> Boxes:
    """Read boxes.csv, with the columns ``file``, ``x0``, ``y0``, ``x1`` and ``y1``; empty if there is no such table.

    Boxes are half-open in pixels; parts of pixels are rounded outwards.

    Raises:
        BadInput: If the table is no text or lacks a column.
    """
    found = Boxes({}, {}, [], [])
    if not file.is_file():
        return found
    table = read_table(file)
    _check_columns(table, ("file", "x0", "y0", "x1", "y1"))
    found.notices.extend([table.notice] if table.notice else [])
    for row in table.rows:
        path = _path_of(table, row, files, found.rejected)
        if path is None:
            continue
        try:
            box = _box(table, row)
            before = found.boxes.setdefault(path, box)
            if before != box:
                raise BadInput(
                    f"expected one box for {path} in {file}, got {before} and, in line {row.line}, {box}; keep one"
                )
        except BadInput as problem:
            found.problems.setdefault(path, str(problem))
    for path in found.problems:
        found.boxes.pop(path, None)
    absent = [
        path.relative_to(files.folder).as_posix() for path in (*found.boxes, *found.problems) if path not in files
    ]
    if absent:
        number = counted(len(absent), "image")
        found.notices.append(f"{file} names {number} not in {files.folder}: {listed(absent)}")
    return found


def _box(table: Table, row: Row) -> Box:
    """Read the box in a row of boxes.csv."""
    where = table.where(row)
    try:
        if row.problem:
            raise ValueError(row.problem)
        x0, y0, x1, y1 = (table.number(row.cells[corner]) for corner in ("x0", "y0", "x1", "y1"))
    except ValueError as problem:
        raise BadInput(f"expected pixels in {where}, but {problem}; correct the row") from None
    if not (0 <= x0 < x1 and 0 <= y0 < y1):
        raise BadInput(
            f"expected a box with 0 ≤ x0 < x1 and 0 ≤ y0 < y1 in {where}, got x0 {x0:g}, y0 {y0:g}, x1 {x1:g}, "
            f"y1 {y1:g}; correct the row"
        )
    return (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))


def _path_of(table: Table, row: Row, files: ImageFiles, rejected: list[Rejection]) -> Path | None:
    """Return the image that a row is about; None if it names none, which is added to the rejections."""
    name, where = row.cells.get("file", ""), table.where(row)
    try:
        if not name or "\0" in name or "\n" in name:
            came = row.problem or "the field 'file' is empty"
            raise BadInput(f"expected a file in {where}, but {came}; correct the row")
        return files.find(name, where)
    except BadInput as problem:
        rejected.append(Rejection(name.split("\n")[0].strip("\0") or where, where, str(problem)))
        return None


def _check_columns(table: Table, needed: Sequence[str]) -> None:
    absent = [name for name in needed if name not in table.columns]
    if absent:
        came = listed([name[:_SHOWN] for name in table.columns], at_most=_SHOWN)
        raise BadInput(
            f"expected the columns {', '.join(needed)} in {table.file}, got {came or 'none'}; add {', '.join(absent)}"
        )
