"""COCO's annotations of a whole folder: one JSON file that names images, categories and objects."""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput
from bglab.images import Box, joined_box, located, read_json, segmentation_mask
from bglab.scenes.sources._image_files import ImageFiles, counted, listed, normal

#: What reading a part of a JSON file raises that does not have the form of COCO's; `BadInput` is a ValueError.
_UNREADABLE = (ValueError, TypeError, LookupError, AttributeError, OverflowError)


class AnnotatedObject(NamedTuple):
    """An object in an image: its category, its segmentation (None if there is none), and its box (None if none)."""

    category: str
    segmentation: Any
    box: Box | None


class Annotations(NamedTuple):
    """Content of COCO's files.

    Attributes:
        objects: Objects by path of the image, in the order of the files.
        source: JSON file by path of the image.
        problems: Reason why an image cannot be used, by its path.
        notices: Anything unusual.
    """

    objects: dict[Path, list[AnnotatedObject]]
    source: dict[Path, Path]
    problems: dict[Path, str]
    notices: list[str]


def is_annotation_file(name: str) -> bool:
    """Return whether a file next to images/ has a name that COCO's annotations have."""
    return name == "annotations.json" or (name.startswith("instances") and name.endswith(".json"))


def read_annotations(root: Path, files: ImageFiles) -> Annotations:
    """Read annotations.json and instances*.json in a folder; empty if there are none.

    A file in another format is passed over with a notice, and a broken annotation is a problem of its image.
    """
    found = Annotations({}, {}, {}, [])
    for path in sorted(root.glob("*.json")):
        if not is_annotation_file(path.name):
            continue
        try:
            content = read_json(path)
            if not isinstance(content, dict) or not all(
                isinstance(content.get(part), list) for part in ("images", "annotations")
            ):
                raise BadInput(f"expected the lists images and annotations of COCO in {path}; export it again")
            _add(found, path, content, files)
        except BadInput as problem:
            found.notices.append(f"{path.name} was passed over: {problem}")
    return found


def _add(found: Annotations, path: Path, content: Mapping[str, Any], files: ImageFiles) -> None:
    places, absent = _find_images(found, path, content["images"], files)
    if absent:
        number = counted(len(absent), "image")
        found.notices.append(f"{path} names {number} not in {files.folder}: {listed(absent)}")
    names = _read_categories(content.get("categories"))
    homeless = 0
    for annotation in content["annotations"]:
        image = None
        try:
            place = places[annotation["image_id"]]
            if place is None:
                continue
            image, entry = place
            category = _category(annotation, names)
            box = _box(annotation.get("bbox"), entry)
            found.objects.setdefault(image, []).append(
                AnnotatedObject(category, annotation.get("segmentation") or None, box)
            )
            found.source[image] = path
        except _UNREADABLE as problem:
            if image is None:
                homeless += 1
            else:
                found.problems[image] = f"expected annotations of {image} in {path}, but {problem}; correct them"
    if homeless:
        number = counted(homeless, "annotation")
        found.notices.append(f"{path} holds {number} of no image, without image_id or with one that it does not list")


def _read_categories(entries: Any) -> dict[Any, str] | None:
    """Read the names of categories by id, without those that cannot be read; None if the file has no categories."""
    names: dict[Any, str] = {}
    for category in entries or []:
        with suppress(*_UNREADABLE):
            if isinstance(category["name"], str) and category["id"] not in names:
                names[category["id"]] = normal(category["name"])
    return names if entries else None


def _category(annotation: Mapping[str, Any], names: Mapping[Any, str] | None) -> str:
    """Return the name of an annotation's category; "" if the file has no categories at all.

    Raises:
        ValueError: If it has others.
    """
    if names is None:
        return ""
    key = annotation.get("category_id")
    if key not in names:
        raise ValueError(f"the category_id {str(key)[:20]} of one is none of its categories")
    return names[key]


def _find_images(
    found: Annotations, path: Path, entries: Iterable[Any], files: ImageFiles
) -> tuple[dict[Any, tuple[Path, Mapping[str, Any]] | None], list[str]]:
    """Find the images that COCO names, by their ids, None if they are not there; and list the names of those."""
    by_name: defaultdict[str, list[Path]] = defaultdict(list)
    for image in files.images:
        by_name[normal(image.name)].append(image)
    places: dict[Any, tuple[Path, Mapping[str, Any]] | None] = {}
    absent: list[str] = []
    for entry in entries:
        try:
            name = str(entry["file_name"])
            image = files.find(name, f"{path}")
            if image not in files and len(same := by_name[normal(image.name)]) == 1:
                image = same[0]  # COCO names images without their folders
            before = places.get(entry["id"])
            if image not in files:
                absent.append(name)
                places.setdefault(entry["id"], None)
            elif before and before[0] != image:
                for one, other in ((image, before[0]), (before[0], image)):
                    found.problems[one] = (
                        f"expected an id of its own for {one} in {path}, got that of {other}; correct it"
                    )
            else:
                places[entry["id"]] = (image, entry)
        except _UNREADABLE:
            absent.append(json.dumps(entry)[:40])
    return places, absent


def _box(values: Any, entry: Mapping[str, Any]) -> Box | None:
    """Convert ``[x, y, width, height]`` to a half-open box, rounded outwards and clipped to the image."""
    if not values:
        return None
    x, y, width, height = (float(value) for value in values)
    right, bottom = (float(entry.get(side) or math.inf) for side in ("width", "height"))
    x0, y0, x1, y1 = max(x, 0.0), max(y, 0.0), min(x + width, right), min(y + height, bottom)
    if not (x0 < x1 and y0 < y1 and math.isfinite(x1 + y1)):
        raise ValueError(f"the bbox {values} has no pixel of the image")
    return (math.floor(x0), math.floor(y0), math.ceil(x1), math.ceil(y1))


def category_of(objects: Iterable[AnnotatedObject], file: Path) -> str:
    """Return the one category of the objects in an image.

    Raises:
        BadInput: If there are several, or none.
    """
    names = sorted({item.category for item in objects if item.category})
    if len(names) != 1:
        raise BadInput(
            f"expected annotations of one category for {file}, got {listed(names) or 'none'}; name its class in "
            "labels.csv, or by the folder that it is in"
        )
    return names[0]


def objects_of(objects: list[AnnotatedObject], label: str) -> list[AnnotatedObject]:
    """Select the objects of an image's class; all of them if no category has its name."""
    return [item for item in objects if item.category == label] or objects


def what_marks(objects: list[AnnotatedObject], file: Path) -> list[Any] | Box:
    """Return the segmentations of objects, or the box around them if they have only boxes.

    Raises:
        BadInput: If only some have a segmentation, or none has anything.
    """
    segmentations = [item.segmentation for item in objects if item.segmentation is not None]
    if len(segmentations) == len(objects):
        return segmentations
    boxes = [item.box for item in objects if item.box is not None]
    if segmentations or not boxes:
        raise BadInput(
            f"expected a segmentation for each of the {len(objects)} objects annotated in {file}, got "
            f"{len(segmentations)}; add the others, or remove them all to use the boxes"
        )
    return joined_box(*boxes)


def drawn(segmentations: Iterable[Any], size: tuple[int, int], source: Path, file: Path) -> Bool[np.ndarray, "h w"]:
    """Draw the union of segmentations of an image.

    Args:
        segmentations: Segmentations as COCO's annotations have them.
        size: Width and height of the image in pixels.
        source: File of the annotations, for the message.
        file: File of the image, for the message.

    Raises:
        BadInput: If one is broken or has another size; the message names both files.
    """
    try:
        return np.logical_or.reduce([segmentation_mask(one, size) for one in segmentations])
    except BadInput as problem:
        raise located(problem, f"for {file} in {source}") from None
    except (ValueError, TypeError, LookupError, OverflowError) as problem:
        raise BadInput(
            f"expected the objects of {file} in {source}, but {problem}; export the annotations again"
        ) from None
