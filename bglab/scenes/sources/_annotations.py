"""Boxes as ImageNet and PASCAL VOC annotate them: XML files beside the images."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images import Box, read_image, turn_upright

# turns that swap width and height
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}


class AnnotatedObject(NamedTuple):
    """One object of an image: its class and the corner pixels ``(xmin, ymin, xmax, ymax)``, both inside."""

    name: str
    corners: tuple[float, float, float, float]


class Annotation(NamedTuple):
    """What an XML file says of its image; ``file`` is the XML."""

    file: Path
    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]


def read_annotation(file: Path) -> Annotation:
    """Read an annotation file.

    Raises:
        BadInput: If it is missing, broken, or lacks the size or an object's box; the message names it.
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
    # children only: VOC gives body parts boxes of their own, one level below
    xmin, ymin, xmax, ymax = (float(_text(element, f"bndbox/{side}")) for side in ("xmin", "ymin", "xmax", "ymax"))
    return AnnotatedObject(_text(element, "name"), (xmin, ymin, xmax, ymax))


def _text(element: ElementTree.Element, path: str) -> str:
    found = element.findtext(path)
    if found is None:
        raise ValueError(f"no <{path.replace('/', '><')}>")
    return found.strip()


def half_open(corners: tuple[float, float, float, float], first: int, width: int, height: int) -> Box:
    """Turn corner pixels, both inside, into a half-open box within the image.

    Args:
        corners: ``(xmin, ymin, xmax, ymax)`` as annotated.
        first: What the annotation calls the first pixel: 0 in ImageNet, 1 in PASCAL VOC.
        width: Of the image.
        height: Of the image.

    Example:
        >>> half_open((0, 0, 499, 120), 0, 500, 333), half_open((1, 1, 500, 120), 1, 500, 333)
        ((0, 0, 500, 121), (0, 0, 500, 120))
    """
    xmin, ymin, xmax, ymax = (round(value) - first for value in corners)
    x0, x1 = (min(max(x, 0), width) for x in (xmin, xmax + 1))
    y0, y1 = (min(max(y, 0), height) for y in (ymin, ymax + 1))
    return (x0, y0, x1, y1)


class AnnotatedImage(NamedTuple):
    """An upright image, and True inside the boxes of one class."""

    image: UInt8[np.ndarray, "3 h w"]
    inside: Bool[np.ndarray, "h w"]


def read_annotated(file: Path, annotation: Annotation, name: str, *, first: int) -> AnnotatedImage:
    """Read an image and mark the boxes of one class in it.

    Boxes were drawn on the pixels as stored. Where EXIF turns the image upright, the boxes turn with it; if
    the annotated size is that of the upright image, they already fit it.

    Args:
        file: The image.
        annotation: Its annotation.
        name: The class whose boxes count.
        first: What the annotation calls the first pixel; see `half_open`.

    Raises:
        BadInput: If the sizes disagree or no box is of that class; the message names both files.
    """
    boxes = [found.corners for found in annotation.objects if found.name == name]
    if not boxes:
        others = ", ".join(sorted({found.name for found in annotation.objects})) or "none"
        raise BadInput(f"expected a box of {name} in {annotation.file} for {file}, got boxes of {others}; mend one")
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
        raise BadInput(f"expected a box of {name} within the image in {annotation.file}, got {boxes[0]}; mend it")
    return AnnotatedImage(image, inside)


def cut_out(image: UInt8[np.ndarray, "3 h w"], box: Box, file: Path) -> Bool[np.ndarray, "h w"]:
    """Cut the foreground out of its box by seeded GrabCut.

    Raises:
        BadInput: If it fails; the message names the image.
    """
    from bglab.images import grab_cut  # here, because listing scenes needs no OpenCV

    try:
        return grab_cut(image, box, seed=0)
    except BadInput as problem:
        raise BadInput(f"expected a foreground that GrabCut can cut out of {file}: {problem}") from None
