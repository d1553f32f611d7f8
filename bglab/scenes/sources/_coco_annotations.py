"""Instance annotations in COCO's JSON: reading them, and drawing the mask of one instance."""

from __future__ import annotations

import json
import math
import os
from collections import defaultdict
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput, brief
from bglab.images.coco import MOST_JSON_BYTES
from bglab.scenes.sources._folders import read_content

#: Number of entries that a notice names.
_NAMED = 3
_EXPORT = "export the instances in COCO's format again"


class Instance(NamedTuple):
    """One annotated object.

    Attributes:
        name: What to call it in messages.
        category: Label of its category.
        area: Area in pixels, as annotated.
        is_crowd: Whether it is a region of many objects.
        content: The entry of the file.
    """

    name: str
    category: int
    area: float
    is_crowd: bool
    content: Mapping[str, Any]


class ListedImage(NamedTuple):
    """An image that the file lists.

    Attributes:
        file: Path of the image, relative to the folder of images.
        width: Width in pixels; 0 if it is not given.
        height: Height in pixels; 0 if it is not given.
        instances: The annotated objects, in the order of the file.
    """

    file: str
    width: int
    height: int
    instances: list[Instance]


class Instances(NamedTuple):
    """The content of an annotation file.

    Attributes:
        file: Path of the file.
        categories: Names of the categories, in the order of their ids.
        images: The images, in the order of the file.
        notices: What was left out, one sentence for each reason.
    """

    file: Path
    categories: tuple[str, ...]
    images: list[ListedImage]
    notices: tuple[str, ...]


class _LeftOut:
    """Collects the entries of a file that are left out, by reason."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._names: defaultdict[str, list[str]] = defaultdict(list)

    def add(self, kind: str, position: int, entry: Any, reason: str) -> None:
        """Leave out an entry: ``kind`` is ``images``, ``annotations`` or ``categories``."""
        given = entry.get("id") if isinstance(entry, dict) else None
        self._names[f"{kind}: {reason}"].append(f"number {position}" if given is None else f"id {str(given)[:40]}")

    @property
    def notices(self) -> tuple[str, ...]:
        """One sentence for each reason, with the first entries."""
        return tuple(self._sentence(reason, names) for reason, names in self._names.items())

    def _sentence(self, reason: str, names: list[str]) -> str:
        more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
        return f"{len(names):,} of the {reason} in {self._file}, left out: {', '.join(names[:_NAMED])}{more}"


def read_instances(file: Path) -> Instances:
    """Read an annotation file; an entry that cannot be used is left out and named in the notices.

    Raises:
        BadInput: If the file is missing or no JSON, or has no list of images, annotations or categories.
    """
    try:
        content = json.loads(read_content(file, MOST_JSON_BYTES))
    except (ValueError, RecursionError) as problem:
        if isinstance(problem, BadInput):
            raise
        raise BadInput(f"expected JSON in {file}, but reading it failed ({brief(problem)}); {_EXPORT}") from None
    lists = ("images", "annotations", "categories")
    if not isinstance(content, dict) or not all(isinstance(content.get(name), list) for name in lists):
        got = (
            ", ".join(str(name) for name in list(content)[:6]) if isinstance(content, dict) else type(content).__name__
        )
        raise BadInput(f"expected the lists {', '.join(lists)} in {file}, got {got or 'nothing'}; {_EXPORT}")
    left_out = _LeftOut(file)
    categories, labels = _read_categories(content["categories"], left_out)
    images = _read_images(content["images"], left_out)
    _read_annotations(content["annotations"], images, labels, left_out)
    return Instances(file, categories, list(images.values()), left_out.notices)


def _read_categories(entries: list[Any], left_out: _LeftOut) -> tuple[tuple[str, ...], dict[Hashable, int]]:
    """Read the names of the categories in the order of their ids, and the label by id."""
    names: dict[int, str] = {}
    for position, entry in enumerate(entries):
        key, name = (entry.get("id"), entry.get("name")) if isinstance(entry, dict) else (None, None)
        if not isinstance(key, int) or not isinstance(name, str) or not name.strip():
            left_out.add("categories", position, entry, "expected a whole number as id, and a name")
        elif key in names:
            left_out.add("categories", position, entry, "another category has the id")
        elif name in names.values():
            left_out.add("categories", position, entry, "another category has the name")
        else:
            names[key] = name
    ordered = sorted(names)
    return tuple(names[key] for key in ordered), {key: label for label, key in enumerate(ordered)}


def _read_images(entries: list[Any], left_out: _LeftOut) -> dict[Hashable, ListedImage]:
    """Read the images by id."""
    images: dict[Hashable, ListedImage] = {}
    for position, entry in enumerate(entries):
        key, name = (entry.get("id"), entry.get("file_name")) if isinstance(entry, dict) else (None, None)
        if not isinstance(key, int | str) or not _is_file_name(name):
            left_out.add("images", position, entry, "expected an id and a file_name")
            continue
        width, height = (entry.get(side) or 0 for side in ("width", "height"))
        whole = isinstance(width, int) and isinstance(height, int) and min(width, height) >= 0
        if not whole or (width == 0) != (height == 0):
            left_out.add("images", position, entry, "expected a width and a height in pixels")
        elif key in images:
            left_out.add("images", position, entry, "another image has the id")
        else:
            images[key] = ListedImage(name, width, height, [])
    return images


def _read_annotations(
    entries: list[Any], images: dict[Hashable, ListedImage], labels: dict[Hashable, int], left_out: _LeftOut
) -> None:
    """Add the instances to their images."""
    seen: set[Hashable] = set()
    for position, entry in enumerate(entries):
        problem = _problem(entry, images, labels, seen)
        if problem:
            left_out.add("annotations", position, entry, problem)
            continue
        key = entry.get("id")
        if key is not None:
            seen.add(key)
        name = f"annotation number {position}" if key is None else f"annotation {key}"
        instance = Instance(name, labels[entry["category_id"]], _area(entry), entry.get("iscrowd") == 1, entry)
        images[entry["image_id"]].instances.append(instance)


def _problem(entry: Any, images: dict[Hashable, ListedImage], labels: dict[Hashable, int], seen: set[Hashable]) -> str:
    """Explain what is wrong with an annotation; "" if nothing is."""
    if not isinstance(entry, dict):
        return "expected an object in braces"
    for field, known in (("image_id", images), ("category_id", labels)):
        value = entry.get(field)
        if value is None:
            return f"expected {field}, got none"
        if not isinstance(value, int | str) or value not in known:
            return f"their {field} is not listed"
    key = entry.get("id")
    if key is not None and not isinstance(key, int | str):
        return "expected a whole number as id"
    if key in seen:
        return "another annotation has the id"
    if not entry.get("segmentation") and not entry.get("bbox"):
        return "expected a segmentation or a bbox, got neither"
    return ""


def _area(entry: Mapping[str, Any]) -> float:
    """Return the annotated area in pixels, or else that of the box; 0 if neither is a number."""
    box = entry.get("bbox")
    sides = box[2:4] if isinstance(box, list) and len(box) == 4 else []
    given = [entry.get("area"), math.prod(sides) if len(sides) == 2 and all(map(_is_number, sides)) else None]
    return next((float(area) for area in given if _is_number(area) and area > 0), 0.0)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 2**62  # nor NaN


def _is_file_name(value: Any) -> TypeGuard[str]:
    try:
        return isinstance(value, str) and bool(value) and b"\0" not in os.fsencode(value)
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def draw_segmentation(instance: Instance, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Draw the segmentation of an instance: polygons, or run lengths.

    Args:
        instance: The instance.
        height: Annotated height of the image in pixels.
        width: Annotated width of the image in pixels.

    Raises:
        BadInput: If it has none, or one that is damaged or of another size.
    """
    from bglab.images import decode_rle, polygons_mask  # imported here because listing scenes does not need OpenCV

    drawn = instance.content.get("segmentation")
    if isinstance(drawn, list):
        return polygons_mask(drawn, height, width)
    counts = drawn.get("counts") if isinstance(drawn, dict) else None
    if not isinstance(drawn, dict) or not isinstance(counts, str | list):
        raise BadInput(f"expected polygons or run lengths as segmentation, got {str(drawn)[:40]}; {_EXPORT}")
    if drawn.get("size") != [height, width]:
        got = str(drawn.get("size"))[:40]
        raise BadInput(f"expected run lengths of the image's size [{height}, {width}], got {got}; {_EXPORT}")
    return decode_rle(counts, height, width)


def draw_box(instance: Instance, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Draw the box of an instance: ``x, y, width, height`` in pixels, which may be fractions.

    Args:
        instance: The instance.
        height: Annotated height of the image in pixels.
        width: Annotated width of the image in pixels.

    Raises:
        BadInput: If it has none, or one that is empty or reaches outside the image.
    """
    box = instance.content.get("bbox")
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_number, box)):
        raise BadInput(f"expected a bbox of x, y, width and height, got {str(box)[:60]}; {_EXPORT}")
    x, y, w, h = box
    x0, y0, x1, y1 = round(x), round(y), round(x + w), round(y + h)
    if min(x0, y0) < -1 or x1 > width + 1 or y1 > height + 1 or x0 >= x1 or y0 >= y1:
        raise BadInput(f"expected a bbox within {width} × {height} pixels, got {box}; correct it")
    mask = np.zeros((height, width), dtype=bool)
    mask[max(y0, 0) : y1, max(x0, 0) : x1] = True
    return mask
