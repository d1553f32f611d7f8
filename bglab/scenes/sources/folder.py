"""``folder:PATH``: any folder of labelled images with masks or boxes."""

from __future__ import annotations

import csv
import functools
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from bglab.errors import BadInput
from bglab.images import IMAGE_SUFFIXES, Box, box_of, joined_box, read_image
from bglab.labels import IN9, IN9_NAMES, imagenet_names, synset_index
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._annotations import cut_out
from bglab.scenes.sources._folders import (
    empty_file,
    find_folder,
    imagenet_index,
    list_files,
    read_mask_for,
    read_photograph,
    subfolders,
    walk_files,
    without_duplicates,
)

_LAYOUT = (
    "expected in {root}: images/<class>/, or images/ and labels.csv (file,label[,imagenet_index]); with masks/ "
    "of the same names, or boxes.csv (file,x0,y0,x1,y1)"
)
_IN9_LABELS = {name: i for i, c in enumerate(IN9) for name in (c.name, c.folder)}
_USUAL_FRACTION = 0.875
_SYNSET = re.compile(r"n\d{8}")


class _Labelled(NamedTuple):
    """Path of an image, the name of its class, and its ImageNet class index or OUTSIDE."""

    file: Path
    name: str
    native_label: int


class _Classes(NamedTuple):
    """A label space: its name, the class names in order, and the label by the class name used in the folder."""

    space: str
    names: tuple[str, ...]
    labels: Mapping[str, int]


def open_source(path: str, *, uri: str, crop_fraction: str = str(_USUAL_FRACTION)) -> SceneSet:
    """Open a folder of images.

    Images are in ``images/<class>/``, or anywhere below ``images/`` and listed in ``labels.csv`` (columns ``file``,
    ``label`` and optionally ``imagenet_index``). Masks are in ``masks/`` under the same names, as images or ``.npy``
    arrays. An image without a mask is segmented by GrabCut if ``boxes.csv`` (columns ``file``, ``x0``, ``y0``,
    ``x1``, ``y1``) contains its box, half-open in pixels; if an image has both, its box is the smallest one around
    the two. Both tables name files relative to ``images/``.

    If all class names are those of ImageNet-9 (``dog`` or ``00_dog``), or all are WordNet ids of ImageNet classes, the
    labels are of that label space. Otherwise they number the class names in sorted order.

    Args:
        path: Folder that contains ``images``.
        uri: The complete URI given by the user.
        crop_fraction: Fraction of the resized short side that the centre crop keeps, in (0, 1].

    Raises:
        MissingData: If there is no such folder.
        BadInput: If the folder does not have this layout, or a table is broken.
    """
    root = find_folder(path, "folder", "give the folder that holds images/")
    fraction = _parse_fraction(crop_fraction)
    labelled, rejected = _list_images(root)
    classes = _find_classes(root, sorted({image.name for image in labelled}))
    boxes = _read_boxes(root)
    masks = _list_masks(root)
    candidates: list[SceneRecord] = []
    without_mask: list[SceneRecord] = []
    for image in labelled:
        name = _scene_name(root / "images", image.file)
        files = (image.file, masks[name]) if name in masks else (image.file,)
        label = classes.labels[image.name]
        native = label if classes.space == "imagenet" else image.native_label
        problem = empty_file(*files) or _without_mask(root, image.file, name in masks, boxes)
        if not problem:
            candidates.append(SceneRecord(name, label, native, files))
            continue
        rejected.append(Rejection(name, str(image.file), problem))
        if not empty_file(image.file):
            without_mask.append(SceneRecord(name, label, native, (image.file,)))
    records, duplicates = without_duplicates(candidates)
    unique, _ = without_duplicates([*records, *without_mask])
    if not records:
        first = (*rejected, *duplicates)
        raise BadInput(f"{_LAYOUT.format(root=root)}; got no usable image: {first[0].reason if first else 'none'}")
    # the usual fraction has no part in the fingerprint, so that results of earlier versions are found
    cropped = [] if fraction == _USUAL_FRACTION else [f"crop_fraction {fraction:g}"]
    used = {record.id: boxes[record.files[0]] for record in records if record.files[0] in boxes}
    return SceneSet(
        uri=uri,
        name=f"folder:{root.name}",
        space=classes.space,
        classes=classes.names,
        records=tuple(records),
        read=functools.partial(_read, used),
        fingerprint=file_fingerprint(root, records, classes.space, repr(sorted(used.items())), *cropped),
        crop_fraction=fraction,
        rejected=(*rejected, *duplicates),
        unmasked=tuple(unique[len(records) :]),
        read_image=read_photograph,
    )


def _parse_fraction(text: str) -> float:
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise BadInput(f"expected a crop_fraction above 0 and up to 1, got '{text}'; 1 keeps the whole short side")
    return fraction


def _list_images(root: Path) -> tuple[list[_Labelled], list[Rejection]]:
    """List the images that have a label, and reject the others."""
    images = root / "images"
    if (root / "labels.csv").is_file():
        return _list_labelled(root)
    folders = subfolders(images)
    if not folders:
        raise BadInput(f"{_LAYOUT.format(root=root)}; got neither class folders nor labels.csv")
    labelled = [
        _Labelled(file, name, imagenet_index(file.stem)) for name in folders for file in list_files(images / name)
    ]
    reason = "expected the image in the folder of its class, got it outside of them; move it"
    return labelled, [Rejection(file.stem, str(file), reason) for file in list_files(images)]


def _list_labelled(root: Path) -> tuple[list[_Labelled], list[Rejection]]:
    """List the images in labels.csv, and reject the others."""
    images, table = root / "images", root / "labels.csv"
    labelled: list[_Labelled] = []
    for line, row in _read_table(table, ("file", "label")):
        native = (row.get("imagenet_index") or "").strip()
        if native and not (native.isdigit() and int(native) < 1000):
            raise BadInput(f"expected an imagenet_index from 0 to 999 in line {line} of {table}, got '{native}'")
        index = int(native) if native else imagenet_index(Path(row["file"]).stem)
        labelled.append(_Labelled(images / row["file"], row["label"], index))
    named = {image.file for image in labelled}
    reason = f"expected the image in {table}, but it is not listed there; add a line for it"
    unlisted = [file for file in walk_files(images) if file not in named]
    return labelled, [Rejection(_scene_name(images, file), str(file), reason) for file in unlisted]


def _read_table(table: Path, needed: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Read a table as pairs of line number and row; the needed columns must exist and have a value in each row."""
    with table.open(newline="", encoding="utf-8-sig") as lines:
        reader = csv.DictReader(lines)
        rows = [(reader.line_num, row) for row in reader]
        columns = reader.fieldnames or []
    absent = [name for name in needed if name not in columns]
    if absent:
        raise BadInput(
            f"expected the columns {', '.join(needed)} in {table}, got {', '.join(columns) or 'none'}; "
            f"add {', '.join(absent)}"
        )
    for line, row in rows:
        if any(not (row[name] or "").strip() for name in needed):
            raise BadInput(f"expected {', '.join(needed)} in line {line} of {table}, got an empty field; fill it in")
    return rows


def _find_classes(root: Path, names: Sequence[str]) -> _Classes:
    """Determine the label space from the class names."""
    if names and all(name in _IN9_LABELS for name in names):
        return _Classes("in9", IN9_NAMES, _IN9_LABELS)
    if names and all(_SYNSET.fullmatch(name) for name in names) and all(name in synset_index() for name in names):
        return _Classes("imagenet", imagenet_names(), synset_index())
    return _Classes(f"folder:{root.name}", tuple(names), {name: i for i, name in enumerate(names)})


def _read_boxes(root: Path) -> dict[Path, Box]:
    """Read boxes.csv: box by path of the image; empty if there is no such table."""
    table = root / "boxes.csv"
    boxes: dict[Path, Box] = {}
    if not table.is_file():
        return boxes
    for line, row in _read_table(table, ("file", "x0", "y0", "x1", "y1")):
        try:
            x0, y0, x1, y1 = (int(row[corner]) for corner in ("x0", "y0", "x1", "y1"))
        except ValueError as problem:
            raise BadInput(f"expected whole pixels in line {line} of {table}, but {problem}; round them") from None
        boxes[root / "images" / row["file"]] = (x0, y0, x1, y1)
    return boxes


def _list_masks(root: Path) -> dict[str, Path]:
    folder = root / "masks"
    return {_scene_name(folder, file): file for file in walk_files(folder, {*IMAGE_SUFFIXES, ".npy"})}


def _scene_name(folder: Path, file: Path) -> str:
    """Name a scene by its path relative to ``images/``, so that two classes may have files of the same name."""
    return file.relative_to(folder).with_suffix("").as_posix()


def _without_mask(root: Path, file: Path, has_mask: bool, boxes: Mapping[Path, Box]) -> str:  # noqa: FBT001 - private
    if has_mask or file in boxes:
        return ""
    name = _scene_name(root / "images", file)
    return f"expected masks/{name}.png (or .npy), or a line in boxes.csv, for {file}, got neither; add one"


def _read(boxes: Mapping[str, Box], record: SceneRecord) -> Scene:
    image = read_image(record.files[0])
    box = boxes.get(record.id)
    if len(record.files) == 2:
        mask = read_mask_for(image, record.files[1])
        box = joined_box(box, box_of(mask)) if box else box_of(mask)
    elif box:
        mask = cut_out(image, box, record.files[0])
    else:
        raise BadInput(f"expected a mask or a box for {record.files[0]}, got neither; open the folder again")
    return Scene(record.id, record.label, record.native_label, image, mask, box)
