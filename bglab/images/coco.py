"""Masks in COCO's JSON: polygons, and run-length encodings as lists or compressed strings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput, brief, check_environment
from bglab.files import check_regular
from bglab.images.coco_masks import decode_rle, polygons_mask

#: Largest size of a file of annotations, 4 GiB; that of COCO's training images has half a gigabyte.
MOST_JSON_BYTES = 2**32


def read_coco_mask(path: Path, size: tuple[int, int] | None = None) -> Bool[np.ndarray, "h w"]:
    """Read the union of all segmentations in a JSON file that belongs to one image.

    The file holds one segmentation (``{"size": [h, w], "counts": …}``), one annotation (``{"segmentation": …}``), a
    list of annotations, or an object with the list ``annotations``, as COCO and Segment Anything write them.

    Args:
        path: JSON file.
        size: Width and height of the image in pixels; only run-length encodings have a size of their own, which must
            be the same.

    Raises:
        BadInput: If it cannot be read, or holds no segmentation.
    """
    content = read_json(path)
    try:
        masks = [segmentation_mask(found, size) for found in _segmentations(content)]
        if not masks:
            raise ValueError("there is no segmentation in it")
    except BadInput as problem:
        raise located(problem, f"in {path}") from None
    except (ValueError, TypeError, LookupError, OverflowError) as problem:
        what = f"there is no {problem}" if isinstance(problem, KeyError) else str(problem)
        raise BadInput(f"expected segmentations as COCO's in {path}, but {what}; export it again") from None
    return np.logical_or.reduce(masks)


def located(problem: BadInput, where: str) -> BadInput:
    """Add to an error where it occurred, before what to do next.

    Example:
        >>> str(located(BadInput("expected runs, got none; export them again"), "in a.json"))
        'expected runs, got none in a.json; export them again'
    """
    sentence, _, remedy = str(problem).rpartition("; ")
    return BadInput(f"{sentence} {where}; {remedy}")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        BadInput: If it is no JSON, or of more than `MOST_JSON_BYTES`; the message names it.
    """
    check_regular(path, "JSON", most_bytes=MOST_JSON_BYTES)
    try:
        return json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as problem:  # ValueError also for what cannot be decoded
        check_environment(path, problem)
        raise BadInput(f"expected JSON in {path}, but reading it failed ({brief(problem)}); export it again") from None


def _segmentations(content: Any) -> Iterator[Any]:
    """List the segmentations in a file; the kinds of files are those of `read_coco_mask`."""
    if isinstance(content, list):
        for item in content:
            yield from _segmentations(item)
    elif not isinstance(content, dict):
        raise TypeError(f"it holds {type(content).__name__} where an annotation should be")
    elif "annotations" in content:
        if len(content.get("images") or []) > 1:
            raise ValueError("it lists several images; name it annotations.json and put it next to images/")
        yield from _segmentations(content["annotations"])
    elif "segmentation" in content:
        yield content["segmentation"]
    elif "counts" in content:
        yield content


def segmentation_mask(segmentation: Any, size: tuple[int, int] | None = None) -> Bool[np.ndarray, "h w"]:
    """Rasterise one segmentation of COCO.

    Args:
        segmentation: A list of polygons ``[x0, y0, x1, y1, …]`` in pixels, of which the pixels with their centre
            inside are marked; or ``{"size": [h, w], "counts": …}`` with the run lengths of column after column,
            starting with the background, as a list or in COCO's compressed string.
        size: Width and height of the image in pixels; polygons need it.

    Raises:
        ValueError: If it is none of them, or does not fit its size; so do TypeError and LookupError.

    Example:
        >>> segmentation_mask({"size": [2, 3], "counts": [1, 2, 3]}).astype(int).tolist()
        [[0, 1, 0], [1, 0, 0]]
    """
    if isinstance(segmentation, Mapping):
        height, width = (int(side) for side in segmentation["size"])
        if size is not None and size != (width, height):
            raise ValueError(f"its size is {width} × {height} pixels and not {size[0]} × {size[1]}, as its image has")
        return decode_rle(segmentation["counts"], height, width)
    if not isinstance(segmentation, list) or not segmentation:
        raise ValueError("a segmentation is neither polygons nor a run-length encoding")
    if size is None:
        raise ValueError("polygons need the size of the image")
    width, height = size
    return polygons_mask(segmentation if isinstance(segmentation[0], list) else [segmentation], height, width)
