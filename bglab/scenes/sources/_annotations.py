"""Bounding-box annotations in the XML format of PASCAL VOC, which ImageNet shares."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images import Box, read_image, turn_upright

# transpositions that swap width and height
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}


class AnnotatedObject(NamedTuple):
    """An annotated object: its class name and its box ``(xmin, ymin, xmax, ymax)``, corners included."""

    name: str
    corners: tuple[float, float, float, float]


class Annotation(NamedTuple):
    """The content of an annotation file: its path, the image size in pixels, and the objects."""

    file: Path
    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


def read_annotation(file: Path) -> Annotation:
    """Read an annotation file.

    Raises:
        BadInput: If the file is missing or broken, or lacks the image size or the box of an object; the message names
            the file.
    """
    try:
        root = ElementTree.parse(file).getroot()
        width, height = (int(float(_text(root, f"size/{side}"))) for side in ("width", "height"))
        objects = tuple(_read_object(element) for element in root.findall("object"))
    except (OSError, ElementTree.ParseError, ValueError) as problem:
        raise BadInput(
            f"expected an annotation with a size and boxes in {file}, but reading it failed ({problem}); restore it"
        ) from None
    return Annotation(file, width, height, objects)


def _read_object(element: ElementTree.Element) -> AnnotatedObject:
    # direct children only: the boxes of body parts in VOC are one level deeper
    xmin, ymin, xmax, ymax = (float(_text(element, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return AnnotatedObject(_text(element, "name"), (xmin, ymin, xmax, ymax))


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no <{path.replace('/', '><')}>")
    return found.strip()


def half_open(corners: tuple[float, float, float, float], first: int, width: int, height: int) -> Box:
    """Convert annotated corners, which are included in the box, to a half-open box clipped to the image.

    Args:
        corners: ``(xmin, ymin, xmax, ymax)`` as annotated.
        first: Coordinate of the first pixel in the annotation: 0 in ImageNet, 1 in PASCAL VOC.
        width: Width of the image in pixels.
        height: Height of the image in pixels.

    Example:
        >>> half_open((0, 0, 499, 120), 0, 500, 333), half_open((1, 1, 500, 120), 1, 500, 333)
        ((0, 0, 500, 121), (0, 0, 500, 120))
    """
    xmin, ymin, xmax, ymax = (round(value) - first for value in corners)
    x0, x1 = (min(max(x, 0), width) for x in (xmin, xmax + 1))
    y0, y1 = (min(max(y, 0), height) for y in (ymin, ymax + 1))
    return (x0, y0, x1, y1)


class AnnotatedImage(NamedTuple):
    """An upright RGB image with values in [0, 255], and a mask that is True inside the boxes of one class."""

    image: UInt8[np.ndarray, "3 h w"]
    inside: Bool[np.ndarray, "h w"]


def read_annotated(file: Path, annotation: Annotation, name: str, *, first: int) -> AnnotatedImage:
    """Read an image and rasterise the boxes of one class.

    Boxes refer to the stored pixels and are transposed with the image where EXIF turns it upright, unless the
    annotated size is that of the upright image.

    Args:
        file: Path of the image.
        annotation: Annotation of the image.
        name: Name of the class whose boxes are used.
        first: Coordinate of the first pixel in the annotation; see `half_open`.

    Raises:
        BadInput: If the image cannot be read, the sizes disagree, or there is no box of the class within the image;
            the message names the files.
    """
    boxes = [found.corners for found in annotation.objects if found.name == name]
    if not boxes:
        others = ", ".join(sorted({found.name for found in annotation.objects})) or "none"
        raise BadInput(f"expected a box of {name} in {annotation.file} for {file}, got boxes of {others}; correct one")
    image = read_image(file)
    turn = turn_upright(file)
    height, width = image.shape[-2:]
    stored = (height, width) if turn in _SIDEWAYS else (width, height)
    annotated = (annotation.width, annotation.height)
    if annotated not in {stored, (width, height)}:
        raise BadInput(
            f"expected {file} to measure {annotated[0]} × {annotated[1]} pixels, as {annotation.file} says, got "
            f"{stored[0]} × {stored[1]}; restore the original image"
        )
    inside = np.zeros(annotated[::-1], dtype=bool)
    for corners in boxes:
        x0, y0, x1, y1 = half_open(corners, first, *annotated)
        inside[y0:y1, x0:x1] = True
    if turn is not None and annotated == stored:
        inside = np.array(Image.fromarray(inside).transpose(turn))
    if not inside.any():
        raise BadInput(f"expected a box of {name} within the image in {annotation.file}, got {boxes[0]}; correct it")
    return AnnotatedImage(image, inside)


def cut_out(image: UInt8[np.ndarray, "3 h w"], box: Box, file: Path) -> Bool[np.ndarray, "h w"]:
    """Segment the foreground in a box by GrabCut with seed 0; see `bglab.images.grab_cut`.

    Raises:
        BadInput: If it fails; the message names the image.
    """
    from bglab.images import grab_cut  # imported here because listing scenes does not need OpenCV

    try:
        return grab_cut(image, box, seed=0)
    except BadInput as problem:
        raise BadInput(f"expected a foreground that GrabCut can cut out of {file}: {problem}") from None
