"""``voc:PATH``: PASCAL VOC 2012 as a single-label task, with the images whose objects all belong to one class."""

from __future__ import annotations

import functools
from collections import Counter
from pathlib import Path

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput, MissingData, brief
from bglab.images import box_of, joined_box, upright
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._annotations import read_annotated, read_annotation
from bglab.scenes.sources._folders import check_mask, choose, empty_file, find_folder, read_content, read_photograph

CLASSES = (
    "aeroplane",
    "bicycle",
    "bird",
    "boat",
    "bottle",
    "bus",
    "car",
    "cat",
    "chair",
    "cow",
    "diningtable",
    "dog",
    "horse",
    "motorbike",
    "person",
    "pottedplant",
    "sheep",
    "sofa",
    "train",
    "tvmonitor",
)

_MIXED = "{:,} of {:,} images show objects of several classes and are skipped"
_REMEDY = "unpack VOCtrainval_11-May-2012.tar and give its folder VOCdevkit/VOC2012"


def open_source(path: str, *, uri: str, split: str = "val", masks: str = "segmentation") -> SceneSet:
    """Open PASCAL VOC 2012, which Time for a Background Check! uses with one label per image (section 3).

    The label of an image is the class of all its annotated objects; images with objects of several classes are
    excluded and counted in the notices. The box is the smallest one around all objects and, with ``segmentation``,
    the mask; VOC counts pixels from 1 and boxes include both corners.

    Args:
        path: The folder ``VOC2012``, the folder ``VOCdevkit`` that contains it, or the folder that contains both.
        uri: The complete URI given by the user.
        split: ``train``, ``val`` or ``trainval``.
        masks: ``segmentation`` uses the pixels of the class in ``SegmentationClass``, for the images that have one.
            Void pixels (255), on the contours of objects and on objects too small or too crowded to segment, are
            background. ``box`` uses the union of the boxes, for all images.

    Raises:
        MissingData: If the folder or the list of the split is not there.
        BadInput: If no image has objects of one class only.
        UnknownName: If an option has an unknown value.
    """
    choose("split", split, ("train", "val", "trainval"))
    choose("masks", masks, ("segmentation", "box"))
    root = _find_root(path)
    names, repeated = _read_split(root, "Segmentation" if masks == "segmentation" else "Main", split)
    records: list[SceneRecord] = []
    unmasked: list[SceneRecord] = []
    rejected: list[Rejection] = []
    mixed = 0
    for name in names:
        record, problem = _list_scene(root, name, masks)
        if problem:
            rejected.append(Rejection(name, str(root / "JPEGImages" / f"{name}.jpg"), problem))
            unmasked += [record] if record else []
        elif record:
            records.append(record)
        else:
            mixed += 1
    if not records:
        first = f"; the first problem: {rejected[0].reason:.500}" if rejected else ""
        raise BadInput(f"expected images with objects of one class in {root}, got none of {len(names)}{first}")
    return SceneSet(
        uri=uri,
        name=f"voc:{root.name}-{split}",
        space="voc",
        classes=CLASSES,
        records=tuple(records),
        read=functools.partial(_read, masks),
        fingerprint=file_fingerprint(root, records, split, masks),
        notices=(*repeated, *([_MIXED.format(mixed, len(names))] if mixed else [])),
        rejected=tuple(rejected),
        credit="PASCAL VOC 2012 (Everingham et al.): images from Flickr, under the terms of their owners.",
        full_resolution=True,
        unmasked=tuple(unmasked),
        read_image=read_photograph,
    )


def _find_root(path: str) -> Path:
    given = find_folder(path, "voc", _REMEDY)
    candidates = (given, given / "VOC2012", given / "VOCdevkit" / "VOC2012")
    root = next((r for r in candidates if (r / "JPEGImages").is_dir() and (r / "Annotations").is_dir()), None)
    if root is None:
        raise BadInput(f"expected the folders JPEGImages and Annotations in {given}, got neither; {_REMEDY}")
    return root


def _read_split(root: Path, task: str, split: str) -> tuple[list[str], list[str]]:
    """Read the names of the images of a split, and one notice if some are listed twice."""
    file = root / "ImageSets" / task / f"{split}.txt"
    if not file.is_file():
        raise MissingData(f"expected the list of {split} images in {file}, but there is no such file; {_REMEDY}")
    text = read_content(file).decode("utf-8-sig", errors="replace")
    if "\0" in text:
        raise BadInput(f"expected names of images in {file}, got text of another encoding; save it as UTF-8")
    listed = [line.split()[0] for line in text.splitlines() if line.strip()]
    counts = Counter(listed)
    twice = [name for name, count in counts.items() if count > 1]
    notices = [f"{len(twice):,} images are listed twice in {file} and used once, such as {twice[0]}"] if twice else []
    return list(counts), notices


def _list_scene(root: Path, name: str, masks: str) -> tuple[SceneRecord | None, str]:
    """List one image, and say what is wrong with it ("" if nothing is).

    The record is None if the label is unknown or the objects are of several classes, which is no problem.
    """
    image, annotation = root / "JPEGImages" / f"{name}.jpg", root / "Annotations" / f"{name}.xml"
    segmentation = (root / "SegmentationClass" / f"{name}.png",) if masks == "segmentation" else ()
    problem = empty_file(image, annotation)
    if problem:
        return None, problem
    try:
        read = read_annotation(annotation, image)
    except BadInput as broken:
        return None, str(broken)
    # an object whose box is left out is still in the image
    shown = {found.name for found in read.objects} | {name for name, _ in read.unusable if name}
    if len(shown) > 1:
        return None, empty_file(*segmentation)
    (only,) = shown or {""}
    if only not in CLASSES:
        got = f"'{only}'" if only else next((reason for _, reason in read.unusable), "no object")
        return None, f"expected objects of VOC's 20 classes in {annotation}, got {got}; correct it"
    problem = empty_file(*segmentation)
    files = (image, annotation) if problem else (image, annotation, *segmentation)
    return SceneRecord(name, CLASSES.index(only), files=files), problem


def _read(masks: str, record: SceneRecord) -> Scene:
    file = record.files[0]
    annotation = read_annotation(record.files[1], file)
    decoded, mask = read_annotated(file, annotation, CLASSES[record.label], first=1)
    box = box_of(mask)
    if masks == "segmentation":
        mask = _read_segmentation(record.files[2], record.label, decoded.size)
        box = joined_box(box, box_of(mask))
    return Scene.of_decoded(record, decoded, mask, box, notices=annotation.notices)


def _read_segmentation(file: Path, label: int, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """Read the mask of one class from a segmentation with indices 0 (background), 1 to 20 (classes), 255 (void)."""
    try:
        with upright(file) as segmentation:
            indices, mode = np.asarray(segmentation), segmentation.mode
    except BadInput as problem:
        raise BadInput(f"expected a segmentation in {file}, but reading it failed ({brief(problem)})") from None
    if mode not in {"P", "L"}:
        raise BadInput(f"expected palette indices in {file}, got an image of mode {mode}; restore the original")
    mask = indices == label + 1
    check_mask(mask, size, file)
    return mask
