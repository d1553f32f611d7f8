"""``caltech101:PATH``: Caltech 101 with its hand-drawn outlines as masks."""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
from jaxtyping import Float

from bglab.errors import BadInput
from bglab.images import Box, read_image
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
    rejected = reject_unknown(images, classes)
    for folder, label in classes.labels.items():
        outlines = root / "Annotations" / _OUTLINE_FOLDERS.get(folder, folder)
        for image in list_files(images / folder):
            name = f"{folder}/{image.stem}"
            outline = outlines / f"annotation_{image.stem.removeprefix('image_')}.mat"
            problem = empty_file(image, outline)
            if problem:
                rejected.append(Rejection(name, str(image), problem))
                if not empty_file(image):
                    unmasked.append(SceneRecord(name, label, files=(image,)))
            else:
                records.append(SceneRecord(name, label, files=(image, outline)))
    return SceneSet(
        uri=uri,
        name=f"caltech101:{root.name}",
        space="caltech101",
        classes=CLASSES,
        records=tuple(records),
        read=functools.partial(_read, masks),
        fingerprint=file_fingerprint(root, records, masks),
        notices=tuple(class_notices(images, classes)),
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


def _read(masks: str, record: SceneRecord) -> Scene:
    from bglab.images import polygon_mask  # imported here because listing scenes does not need OpenCV

    file, annotation = record.files
    image = read_image(file)
    height, width = image.shape[-2:]
    box, outline = _read_outline(annotation, width, height)
    if masks == "box":
        mask = np.zeros((height, width), dtype=bool)
        mask[box[1] : box[3], box[0] : box[2]] = True
    else:
        mask = polygon_mask([(float(x), float(y)) for x, y in outline.T], height, width)
    check_mask(mask, image, annotation)
    return Scene(record.id, record.label, record.native_label, image, mask, box)


def _read_outline(file: Path, width: int, height: int) -> tuple[Box, Float[np.ndarray, "2 n"]]:
    """Read the half-open box and the vertices of the outline, in pixels of the image.

    The file contains ``box_coord`` = (first row, last row, first column, last column), counted from 1, and
    ``obj_contour`` = x and y relative to the top-left corner of the box.
    """
    from scipy.io import loadmat  # imported here because listing scenes does not need SciPy

    try:
        content = loadmat(file)
        y0, y1, x0, x1 = (float(value) for value in np.ravel(content["box_coord"]))
        contour = np.asarray(content["obj_contour"], dtype=np.float64).reshape(2, -1)
    except (OSError, KeyError, ValueError, TypeError, NotImplementedError) as problem:
        raise BadInput(
            f"expected box_coord and obj_contour in {file}, but reading it failed ({problem}); restore it"
        ) from None
    columns = (min(max(round(x0) - 1, 0), width), min(max(round(x1), 0), width))
    rows = (min(max(round(y0) - 1, 0), height), min(max(round(y1), 0), height))
    if columns[0] >= columns[1] or rows[0] >= rows[1]:
        raise BadInput(f"expected a box within {width} × {height} pixels in {file}, got {(x0, y0, x1, y1)}; correct it")
    # coordinate 1 is the centre of the first pixel, half a pixel from the image border
    return (columns[0], rows[0], columns[1], rows[1]), contour + np.array([[x0], [y0]]) - 0.5
