"""``caltech101:PATH``: Caltech 101 with its hand-drawn outlines as masks."""

from __future__ import annotations

import functools
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from bglab.errors import BadInput
from bglab.images import Box, open_image
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._folders import (
    check_mask,
    choose,
    class_notices,
    empty_file,
    find_folder,
    list_files,
    match_classes,
    read_photograph,
    reject_unknown,
)
from bglab.scenes.sources._matlab import read_variables

_NAMES = (
    "Faces Faces_easy Leopards Motorbikes accordion airplanes anchor ant barrel bass beaver binocular bonsai "
    "brain brontosaurus buddha butterfly camera cannon car_side ceiling_fan cellphone chair chandelier "
    "cougar_body cougar_face crab crayfish crocodile crocodile_head cup dalmatian dollar_bill dolphin dragonfly "
    "electric_guitar elephant emu euphonium ewer ferry flamingo flamingo_head garfield gerenuk gramophone "
    "grand_piano hawksbill headphone hedgehog helicopter ibis inline_skate joshua_tree kangaroo ketch lamp "
    "laptop llama lobster lotus mandolin mayfly menorah metronome minaret nautilus octopus okapi pagoda panda "
    "pigeon pizza platypus pyramid revolver rhino rooster saxophone schooner scissors scorpion sea_horse snoopy "
    "soccer_ball stapler starfish stegosaurus stop_sign strawberry sunflower tick trilobite umbrella watch "
    "water_lilly wheelchair wild_cat windsor_chair wrench yin_yang"
)

#: The 101 class folders in sorted order, which is the order of the labels in torchvision.
CLASSES = tuple(_NAMES.split())

# four annotation folders have other names than the image folders
_OUTLINE_FOLDERS = {
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
    "airplanes": "Airplanes_Side_2",
}

#: Largest coordinate in pixels that is taken for one.
_LARGEST = 2**31
_REMEDY = "unpack 101_ObjectCategories and Annotations of Caltech 101 side by side and give their folder"


def open_source(path: str, *, uri: str, masks: str = "outline") -> SceneSet:
    """Open Caltech 101 (Time for a Background Check!, section 3), without the clutter class BACKGROUND_Google.

    Args:
        path: Folder that contains ``101_ObjectCategories`` and ``Annotations``.
        uri: The complete URI given by the user.
        masks: ``outline`` fills the annotated outline; ``box`` fills the annotated box.

    Raises:
        MissingData: If there is no such folder.
        BadInput: If the folder does not have this layout.
        UnknownName: If ``masks`` has another value.
    """
    choose("masks", masks, ("outline", "box"))
    root = _find_root(path)
    images = root / "101_ObjectCategories"
    classes = match_classes(images, CLASSES, ignored={"BACKGROUND_Google"})
    records: list[SceneRecord] = []
    unmasked: list[SceneRecord] = []
    dangling: list[str] = []
    rejected = reject_unknown(images, classes)
    for folder, label in classes.labels.items():
        outlines = root / "Annotations" / _OUTLINE_FOLDERS.get(folder, folder)
        used: set[Path] = set()
        for image in list_files(images / folder):
            name = f"{folder}/{image.stem}"
            outline = outlines / f"annotation_{image.stem.removeprefix('image_')}.mat"
            used.add(outline)
            problem = empty_file(image, outline)
            if problem:
                rejected.append(Rejection(name, str(image), problem))
                if not empty_file(image):
                    unmasked.append(SceneRecord(name, label, files=(image,)))
            else:
                records.append(SceneRecord(name, label, files=(image, outline)))
        dangling += _dangling(outlines, used)
    return SceneSet(
        uri=uri,
        name=f"caltech101:{root.name}",
        space="caltech101",
        classes=CLASSES,
        records=tuple(records),
        read=functools.partial(_read, masks),
        fingerprint=file_fingerprint(root, records, masks),
        notices=(*class_notices(images, classes), *dangling),
        rejected=tuple(rejected),
        credit="Caltech 101 (Li, Andreetto, Ranzato, Perona, 2022), CC BY 4.0.",
        full_resolution=True,
        unmasked=tuple(unmasked),
        read_image=read_photograph,
    )


def _find_root(path: str) -> Path:
    given = find_folder(path, "caltech101", _REMEDY)
    candidates = (given, given / "caltech101", given / "caltech-101")
    root = next((r for r in candidates if (r / "101_ObjectCategories").is_dir()), None)
    if root is None:
        raise BadInput(f"expected the folder 101_ObjectCategories in {given}, got none; {_REMEDY}")
    return root


def _dangling(folder: Path, used: Collection[Path]) -> list[str]:
    """Name outlines whose image is missing, in one notice."""
    dangling = [file for file in list_files(folder, {".mat"}) if file not in used]
    return [f"{len(dangling):,} outlines in {folder} have no image, such as {dangling[0].name}"] if dangling else []


def _read(masks: str, record: SceneRecord) -> Scene:
    file, annotation = record.files
    image = open_image(file)
    width, height = image.size
    outline = _read_outline(annotation, width, height, with_contour=masks == "outline")
    x0, y0, x1, y1 = outline.box
    if outline.contour is None:
        mask = np.zeros((height, width), dtype=bool)
        mask[y0:y1, x0:x1] = True
    else:
        from bglab.images import polygon_mask  # imported here because listing scenes does not need OpenCV

        mask = polygon_mask([(float(x), float(y)) for x, y in outline.contour.T], height, width)
    check_mask(mask, image.size, annotation)
    return Scene.of_decoded(record, image, mask, outline.box, notices=outline.notices)


class _Outline(NamedTuple):
    """An annotated object, in pixels of the image.

    Attributes:
        box: Half-open box within the image.
        contour: x and y of the vertices; None if they were not read.
        notices: What was corrected.
    """

    box: Box
    contour: Float[np.ndarray, "2 n"] | None
    notices: tuple[str, ...]


def _read_outline(file: Path, width: int, height: int, *, with_contour: bool) -> _Outline:
    """Read the box and the vertices of the outline.

    The file contains ``box_coord`` = (first row, last row, first column, last column), counted from 1, and
    ``obj_contour`` = x and y relative to the top-left corner of the box.

    Raises:
        BadInput: If they are missing or cannot be used; the message names the file.
    """
    content = read_variables(file, ("box_coord", "obj_contour"))
    corners = _numbers(content, "box_coord", file).ravel()
    if corners.size != 4:
        raise BadInput(f"expected four numbers in box_coord of {file}, got {corners.size}; restore it")
    y0, y1, x0, x1 = corners.tolist()
    box = (
        min(max(round(x0) - 1, 0), width),
        min(max(round(y0) - 1, 0), height),
        min(round(x1), width),
        min(round(y1), height),
    )
    if min(x0, y0) < 0 or box[0] >= box[2] or box[1] >= box[3]:
        raise BadInput(
            f"expected first row < last row and first column < last column within {width} × {height} pixels in {file}, "
            f"got rows {y0:g} to {y1:g} and columns {x0:g} to {x1:g}; correct it"
        )
    notices = ()
    if x1 > width + 1 or y1 > height + 1:
        notices = (f"the box in {file} reaches to ({x1:g}, {y1:g}) and is clipped to {width} × {height} pixels",)
    if not with_contour:
        return _Outline(box, None, notices)
    contour = _numbers(content, "obj_contour", file)
    if contour.ndim != 2 or contour.shape[0] != 2 or contour.shape[1] < 3:
        shape = " × ".join(str(side) for side in contour.shape)
        raise BadInput(f"expected an outline of at least 3 corners, 2 × n, in {file}, got {shape}; draw it again")
    # coordinate 1 is the centre of the first pixel, half a pixel from the image border
    return _Outline(box, contour + np.array([[x0], [y0]]) - 0.5, notices)


def _numbers(content: Mapping[str, Any], name: str, file: Path) -> Float[np.ndarray, "..."]:
    """Return a variable as finite numbers.

    Raises:
        BadInput: If there is no such variable, or it contains something else; the message names the file.
    """
    if name not in content:
        raise BadInput(f"expected box_coord and obj_contour in {file}, got no {name}; restore it")
    values = np.asarray(content[name])
    if values.dtype.kind not in "iuf":
        raise BadInput(f"expected real numbers in {name} of {file}, got values of type {values.dtype}; restore it")
    numbers = values.astype(np.float64)
    if not (np.abs(numbers) < _LARGEST).all():  # nor NaN
        raise BadInput(f"expected numbers of pixels in {name} of {file}, got NaN or larger ones; restore it")
    return numbers
