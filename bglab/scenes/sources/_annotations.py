"""Bounding-box annotations in the XML format of PASCAL VOC, which ImageNet shares."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree
from xml.parsers import expat

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image

from bglab.errors import BadInput, brief
from bglab.images import Box, open_turned, to_levels
from bglab.scenes.sources._folders import read_content

# transpositions that swap width and height
_SIDEWAYS = {
    Image.Transpose.TRANSPOSE,
    Image.Transpose.TRANSVERSE,
    Image.Transpose.ROTATE_90,
    Image.Transpose.ROTATE_270,
}
#: Largest coordinate in pixels that is taken for one.
_LARGEST = 2**31
# tools count pixels from 0 or from 1, and some write the width itself for the last column
_TOLERANCE_PX = 1
_DECLARED_ENCODING = re.compile(rb"""^<\?xml[^>]*?encoding\s*=\s*["']([A-Za-z0-9._-]+)["']""")


class AnnotatedObject(NamedTuple):
    """An annotated object: its class name and its box ``(xmin, ymin, xmax, ymax)``, corners included."""

    name: str
    corners: tuple[float, float, float, float]


class Annotation(NamedTuple):
    """The content of an annotation file.

    Attributes:
        file: Path of the file.
        width: Width of the annotated image in pixels.
        height: Height of the annotated image in pixels.
        objects: Objects with a usable box.
        unusable: For each other object its class name ("" if unknown), and one sentence on what is wrong.
        remarks: Anything else that is unusual about the file, one sentence each.
    """

    file: Path
    width: int
    height: int
    objects: tuple[AnnotatedObject, ...]
    unusable: tuple[tuple[str, str], ...] = ()
    remarks: tuple[str, ...] = ()

    @property
    def notices(self) -> tuple[str, ...]:
        """What was corrected or left out, one sentence each, naming the file."""
        return (*self.remarks, *(reason for _, reason in self.unusable))


class _BadObject(ValueError):
    """Raised for an object without a usable box."""


def read_annotation(file: Path, image: Path) -> Annotation:
    """Read an annotation file; an object without a usable box is left out and named in the result.

    Some tools write the size 0 × 0 if they could not read the image; then the size is that of the image file.

    Args:
        file: Path of the annotation.
        image: Path of the annotated image.

    Raises:
        BadInput: If the file is missing or broken, or lacks the image size; the message names the file.
    """
    content = read_content(file)
    try:
        root = _parse(content)
        width, height = (_number(root, f"size/{side}") for side in ("width", "height"))
        if min(width, height) < 0 or (width == 0) != (height == 0):
            raise ValueError(f"its size is {width:g} × {height:g}")
    except (expat.ExpatError, LookupError, ValueError, RecursionError) as problem:
        raise BadInput(
            f"expected an annotation with a size and boxes in {file}, but reading it failed ({brief(problem)}); "
            "restore it"
        ) from None
    width, height, remarks = int(width), int(height), ()
    if width == 0:
        _, width, height, _ = read_sized(image, (0, 0), file)
        remarks = (f"{file} gives the size 0 × 0; the {width} × {height} pixels of {image} are used",)
    objects: list[AnnotatedObject] = []
    unusable: list[tuple[str, str]] = []
    for number, element in enumerate(root.findall("object"), start=1):
        name = (element.findtext("name") or "").strip()
        try:
            objects.append(_read_object(name, element, width, height))
        except ValueError as problem:
            what = f"object {number} ({name})" if name else f"object {number}"
            unusable.append((name, f"{what} in {file} is left out: {problem}; correct its box"))
    strays = _strays(root)
    if strays:
        remarks += (f"<{strays[0][:40]}> in {file} holds a box, but is no <object> of its own, and is left out",)
    return Annotation(file, width, height, tuple(objects), tuple(unusable), remarks)


def _strays(root: ElementTree.Element) -> list[str]:
    """List the tags of elements with a box that are neither objects nor parts of them, as after a misspelt tag."""
    holders = ((parent, child) for parent in root.iter() for child in parent if child.find("bndbox") is not None)
    return [c.tag for parent, c in holders if c.tag != "part" and not (parent is root and c.tag == "object")]


def _parse(content: bytes) -> ElementTree.Element:
    """Parse XML of any declared encoding, without prefixes of namespaces.

    Raises:
        ExpatError: If it is not well-formed.
        LookupError: If the encoding is unknown.
        ValueError: If it declares entities, which could expand without bound or name other files.
    """
    try:
        return _parse_text(content)
    except ValueError:
        # expat knows only encodings of one byte per character, UTF-8 and UTF-16; Python knows the others
        declared = _DECLARED_ENCODING.match(content)
        if declared is None:
            raise
        return _parse_text(content.decode(declared.group(1).decode()))


def _parse_text(content: bytes | str) -> ElementTree.Element:
    builder = ElementTree.TreeBuilder()
    parser = expat.ParserCreate()

    def refuse(name: str, *_: object) -> None:
        raise _Entity(f"it declares the entity {name}")

    parser.StartElementHandler = lambda tag, attributes: builder.start(_plain(tag), attributes)
    parser.EndElementHandler = lambda tag: builder.end(_plain(tag))
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = refuse
    parser.Parse(content, True)  # noqa: FBT003 - a positional argument of expat
    return builder.close()


class _Entity(LookupError):
    """Raised for a declared entity."""


def _plain(tag: str) -> str:
    return tag.rpartition(":")[2]


def _read_object(name: str, element: ElementTree.Element, width: int, height: int) -> AnnotatedObject:
    if not name:
        raise ValueError("expected a class name, got none")
    # direct children only: the boxes of body parts in VOC are one level deeper
    xmin, ymin, xmax, ymax = (_number(element, f"bndbox/{side}") for side in ("xmin", "ymin", "xmax", "ymax"))
    for low, high, axis in ((xmin, xmax, "x"), (ymin, ymax, "y")):
        if low >= high:
            raise ValueError(f"expected {axis}min < {axis}max, got {axis}min {low:g} and {axis}max {high:g}")
    within = min(xmin, ymin) >= -_TOLERANCE_PX and xmax <= width + _TOLERANCE_PX and ymax <= height + _TOLERANCE_PX
    if not within:
        raise ValueError(
            f"expected a box within {width} × {height} pixels, got ({xmin:g}, {ymin:g}, {xmax:g}, {ymax:g})"
        )
    return AnnotatedObject(name, (xmin, ymin, xmax, ymax))


def _number(element: ElementTree.Element, path: str) -> float:
    """Read a number of pixels.

    Raises:
        ValueError: If there is none.
    """
    found = element.findtext(path)
    tag = f"<{path.replace('/', '><')}>"
    if found is None:
        raise ValueError(f"no {tag}")
    try:
        number = float(found) if "_" not in found else math.nan  # Python reads 1_0 as 10
    except ValueError:
        number = math.nan
    if not abs(number) < _LARGEST:  # nor NaN
        raise ValueError(f"{tag} is '{found.strip()[:40]}', which is no number of pixels")
    return number


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


class SizedImage(NamedTuple):
    """An image and the frame that its annotation refers to.

    Attributes:
        image: Upright RGB image.
        width: Width of the frame in pixels.
        height: Height of the frame in pixels.
        turn: Transposition that turns the frame upright; None if it is upright.
    """

    image: Image.Image
    width: int
    height: int
    turn: Image.Transpose | None

    def upright(self, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "_ _"]:
        """Turn a mask that was drawn in the frame as the image is turned."""
        return mask if self.turn is None else np.array(Image.fromarray(mask).transpose(self.turn))


def read_sized(file: Path, size: tuple[int, int], source: Path) -> SizedImage:
    """Read an image and compare its size with the annotated one.

    Annotations refer to the stored pixels and are transposed with the image where EXIF turns it upright, unless the
    annotated size is that of the upright image.

    Args:
        file: Path of the image.
        size: Annotated width and height in pixels; ``(0, 0)`` if there is none, then the stored pixels are meant.
        source: Path of the annotation, for the message.

    Raises:
        BadInput: If the image cannot be read, or the sizes disagree; the message names the files.
    """
    image, turn = open_turned(file)
    width, height = image.size
    stored = (height, width) if turn in _SIDEWAYS else (width, height)
    if size not in {(0, 0), stored, (width, height)}:
        raise BadInput(
            f"expected {file} to measure {size[0]} × {size[1]} pixels, as {source} says, got "
            f"{stored[0]} × {stored[1]}; restore the image that was annotated, or annotate this one again"
        )
    if size in {(0, 0), stored}:
        return SizedImage(image, *stored, turn)
    return SizedImage(image, width, height, None)


class AnnotatedImage(NamedTuple):
    """An upright RGB image of Pillow, and a mask that is True inside the boxes of one class."""

    decoded: Image.Image
    inside: Bool[np.ndarray, "h w"]

    @property
    def image(self) -> UInt8[np.ndarray, "3 h w"]:
        """The image as an array with values in [0, 255], made anew by every call."""
        return to_levels(self.decoded)


def read_annotated(file: Path, annotation: Annotation, name: str, *, first: int) -> AnnotatedImage:
    """Read an image and rasterise the boxes of one class; see `read_sized` for images that EXIF turns.

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
        raise BadInput(_without_box(file, annotation, name))
    sized = read_sized(file, (annotation.width, annotation.height), annotation.file)
    inside = np.zeros((sized.height, sized.width), dtype=bool)
    for corners in boxes:
        x0, y0, x1, y1 = half_open(corners, first, sized.width, sized.height)
        inside[y0:y1, x0:x1] = True
    if not inside.any():
        raise BadInput(f"expected a box of {name} within the image in {annotation.file}, got {boxes[0]}; correct it")
    return AnnotatedImage(sized.image, sized.upright(inside))


def _without_box(file: Path, annotation: Annotation, name: str) -> str:
    """Explain that an annotation has no usable box of a class."""
    reason = next((reason for of, reason in annotation.unusable if of in {name, ""}), "")
    if reason:
        return f"expected a box of {name} in {annotation.file} for {file}, got none that can be used: {reason}"
    others = ", ".join(sorted({found.name for found in annotation.objects})) or "none"
    return f"expected a box of {name} in {annotation.file} for {file}, got boxes of {others}; correct one"


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
