"""``folder:PATH``: any folder of labelled images with masks or boxes."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from bglab.errors import BadInput
from bglab.images import IMAGE_SUFFIXES, MASK_SUFFIXES, Box, box_of, joined_box, open_image, to_levels
from bglab.labels import OUTSIDE
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources import _coco
from bglab.scenes.sources._annotations import cut_out
from bglab.scenes.sources._folder_tables import Boxes, Labelled, Labels, read_boxes, read_labels
from bglab.scenes.sources._folders import (
    check_mask,
    empty_file,
    find_folder,
    imagenet_index,
    read_mask_for,
    read_photograph,
    subfolders,
    without_duplicates,
)
from bglab.scenes.sources._image_files import ImageFiles, by_scene, counted, listed, normal, scene_name
from bglab.scenes.sources._label_spaces import Classes, find_classes
from bglab.seeding import digest

_LAYOUT = (
    "expected in {root}: images/<class>/, or images/ and labels.csv (file,label[,imagenet_index]); with masks/ "
    "of the same names, or boxes.csv (file,x0,y0,x1,y1)"
)
_USUAL_FRACTION = 0.875
#: Class of images of which none has one.
_UNLABELLED = "unlabelled"
#: Folders that divide data sets; their names are no classes.
_SPLITS = frozenset({"train", "training", "val", "valid", "validation", "test", "testing"})
_TABLES = frozenset({"labels.csv", "boxes.csv"})


class _Marks(NamedTuple):
    """What marks the foregrounds.

    Attributes:
        masks: Mask files by the name of the scene.
        boxes: Content of boxes.csv.
        annotations: COCO's annotations.
    """

    masks: dict[str, list[Path]]
    boxes: Boxes
    annotations: _coco.Annotations


class _Found(NamedTuple):
    """What marks the foreground of one image.

    Attributes:
        files: Files that it is read from, besides the image.
        segmentations: COCO's segmentations; () if there is a mask file or only a box.
        box: Box from a table or from annotations.
    """

    files: tuple[Path, ...] = ()
    segmentations: tuple[Any, ...] = ()
    box: Box | None = None


def open_source(path: str, *, uri: str, crop_fraction: str = str(_USUAL_FRACTION)) -> SceneSet:
    """Open a folder of images.

    Images are in ``images/<class>/`` (or ``<class>/`` where there is no ``images``), or anywhere below ``images/`` and
    listed in ``labels.csv`` (columns ``file``, and ``label`` or ``imagenet_index`` or both). Without classes the
    categories of annotations count, or else all images are of the class ``unlabelled``.

    Masks are in ``masks/`` under the same names: images, ``.npy`` arrays, or COCO's JSON, read by
    `bglab.images.read_mask`. COCO's annotations of all images may be in ``annotations.json`` or ``instances*.json``.
    An image without them is segmented by GrabCut if ``boxes.csv`` (columns ``file``, ``x0``, ``y0``, ``x1``, ``y1``)
    contains its box, half-open in pixels and rounded outwards; if an image has both, its box is the smallest one
    around the two. The tables name files relative to ``images/``.

    The label space depends on the class names; see `bglab.scenes.sources._label_spaces.find_classes`. Whatever cannot
    be used is rejected by name; files that are no images are named by a notice.

    Args:
        path: Folder that contains ``images``.
        uri: The complete URI given by the user.
        crop_fraction: Fraction of the resized short side that the centre crop keeps, in (0, 1].

    Raises:
        MissingData: If there is no such folder.
        BadInput: If the folder does not have this layout, a table lacks a column, or no image can be used.
    """
    root = find_folder(path, "folder", "give the folder that holds images/")
    fraction = _parse_fraction(crop_fraction)
    files = image_files(root)
    annotations = _coco.read_annotations(root, files)
    labelled, rejected, label_notices = _read_classes(root, files, annotations)
    classes = find_classes(f"folder:{normal(root.name)}", sorted({image.name for image in labelled}))
    mask_files = ImageFiles(root / "masks", IMAGE_SUFFIXES | MASK_SUFFIXES)
    marks = _Marks(by_scene(mask_files), read_boxes(root / "boxes.csv", files), annotations)
    rejected += marks.boxes.rejected
    candidates, without_mask, marked = _match(root, files, labelled, classes, marks, rejected)
    records, duplicates = without_duplicates(candidates)
    unique, _ = without_duplicates([*records, *without_mask])
    if not records:
        first = [*annotations.notices, *(rejection.reason for rejection in (*rejected, *duplicates)), "none"]
        raise BadInput(f"{_LAYOUT.format(root=root)}; got no usable image: {first[0]}")
    # the usual fraction has no part in the fingerprint, so that results of earlier versions are found
    cropped = [] if fraction == _USUAL_FRACTION else [f"crop_fraction {fraction:g}"]
    boxes = {name: found.box for name, found in marked.items() if found.box}
    drawn = {name: found.segmentations for name, found in marked.items() if found.segmentations}
    annotated = [digest([f"{name} {segments!r}" for name, segments in sorted(drawn.items())])] if drawn else []
    notices = (
        *label_notices,
        *([classes.notice] if classes.notice else []),
        *files.passed_over("images"),
        *files.animated(),
        *mask_files.passed_over("masks"),
        *_unused_masks(mask_files, files),
        *marks.boxes.notices,
        *annotations.notices,
    )
    return SceneSet(
        uri=uri,
        name=f"folder:{normal(root.name)}",
        space=classes.space,
        classes=classes.names,
        records=tuple(records),
        read=functools.partial(_read, boxes, drawn),
        fingerprint=file_fingerprint(root, records, classes.space, repr(sorted(boxes.items())), *annotated, *cropped),
        crop_fraction=fraction,
        notices=notices,
        rejected=(*rejected, *duplicates),
        unmasked=tuple(unique[len(records) :]),
        read_image=read_photograph,
    )


def _match(
    root: Path, files: ImageFiles, labelled: list[Labelled], classes: Classes, marks: _Marks, rejected: list[Rejection]
) -> tuple[list[SceneRecord], list[SceneRecord], dict[str, _Found]]:
    """Match images with what marks their foreground; images that cannot be used are added to the rejections.

    Returns:
        Records of the scenes, records of the images without a usable mask or box, and the marks by the scene's name.
    """
    records: list[SceneRecord] = []
    without_mask: list[SceneRecord] = []
    marked: dict[str, _Found] = {}
    for image in labelled:
        name = scene_name(files.folder, image.file)
        label = classes.labels[image.name]
        native = label if classes.space == "imagenet" else image.native_label
        if problem := empty_file(image.file) or _contradicts(image, native):
            rejected.append(Rejection(name, str(image.file), problem))
            continue
        try:
            found = _find_marks(root, image, name, marks)
        except BadInput as reason:
            rejected.append(Rejection(name, str(image.file), str(reason)))
            without_mask.append(SceneRecord(name, label, native, (image.file,)))
            continue
        marked.setdefault(name, found)
        records.append(SceneRecord(name, label, native, (image.file, *found.files)))
    return records, without_mask, marked


def _parse_fraction(text: str) -> float:
    try:
        fraction = float(text)
    except ValueError:
        fraction = 0.0
    if not 0 < fraction <= 1:
        raise BadInput(f"expected a crop_fraction above 0 and up to 1, got '{text}'; 1 keeps the whole short side")
    return fraction


def image_files(root: Path) -> ImageFiles:
    """List the files in images/, or in the folder itself if it has no images/."""
    if (root / "images").is_dir():
        return ImageFiles(root / "images")
    return ImageFiles(root, apart=lambda name: name == "masks" or name in _TABLES or _coco.is_annotation_file(name))


def _read_classes(root: Path, files: ImageFiles, annotations: _coco.Annotations) -> Labels:
    """List the images that have a class, and reject the others."""
    if (root / "labels.csv").is_file():
        return read_labels(root / "labels.csv", files)
    if not files.images:
        passed = "".join(f"; {notice}" for notice in files.passed_over("images"))
        raise BadInput(f"{_LAYOUT.format(root=root)}; got no image in {files.folder}{passed}")
    inside = [file for file in files.images if file.parent != files.folder]
    if inside:
        return _by_folder(files, inside)
    if annotations.objects:
        return _by_category(files, annotations)
    notice = (
        f"no image in {files.folder} has a class, so all are '{_UNLABELLED}' and no prediction can be correct; to give "
        f"them classes, move them into folders named after their classes, or write {root / 'labels.csv'} with the "
        f"columns file,label and a line such as '{files.images[0].name},dog' for each"
    )
    images = [Labelled(file, _UNLABELLED, imagenet_index(file.stem)) for file in files.images]
    return Labels(images, [], [notice])


def _by_folder(files: ImageFiles, inside: list[Path]) -> Labels:
    """Name the classes of images after their folders."""
    names = {file: normal(file.relative_to(files.folder).parts[0]) for file in inside}
    used = sorted(set(names.values()))
    if all(name.lower() in _SPLITS for name in used):
        raise BadInput(
            f"expected folders named after classes in {files.folder}, got {listed(used)}, which divide a data set; "
            f"give one of them, as in folder:{files.folder / used[0]}"
        )
    reason = "expected the image in the folder of its class, got it outside of them; move it"
    outside = [Rejection(file.stem, str(file), reason) for file in files.images if file.parent == files.folder]
    empty = [name for name in subfolders(files.folder) if normal(name) not in used and files.covers(name)]
    notices = [f"folders in {files.folder} without an image: {listed(empty)}"] if empty else []
    return Labels([Labelled(file, names[file], imagenet_index(file.stem)) for file in inside], outside, notices)


def _by_category(files: ImageFiles, annotations: _coco.Annotations) -> Labels:
    """Name the classes of images after the categories of their objects."""
    labels = Labels([], [], [])
    for file in files.images:
        try:
            name = _coco.category_of(annotations.objects.get(file, []), file)
        except BadInput as problem:
            labels.rejected.append(Rejection(scene_name(files.folder, file), str(file), str(problem)))
        else:
            labels.images.append(Labelled(file, name, imagenet_index(file.stem)))
    return labels


def _contradicts(image: Labelled, native: int) -> str:
    """Explain that a table gives another ImageNet class than the class name; "" if it does not."""
    if not image.given or OUTSIDE in {image.native_label, native} or image.native_label == native:
        return ""
    return (
        f"expected one ImageNet class in {image.given}, got '{image.name}', which has index {native}, and "
        f"imagenet_index {image.native_label}; correct one"
    )


def _find_marks(root: Path, image: Labelled, name: str, marks: _Marks) -> _Found:
    """Find what marks the foreground of an image.

    Raises:
        BadInput: If there is nothing, or what there is contradicts itself.
    """
    file = image.file
    if problem := marks.boxes.problems.get(file) or marks.annotations.problems.get(file):
        raise BadInput(problem)
    box = marks.boxes.boxes.get(file)
    masks = marks.masks.get(name, [])
    if len(masks) > 1:
        raise BadInput(f"expected one mask for {file}, got {' and '.join(str(mask) for mask in masks)}; remove one")
    if masks:
        if problem := empty_file(masks[0]):
            raise BadInput(problem)
        return _Found((masks[0],), (), box)
    if objects := marks.annotations.objects.get(file):
        source = marks.annotations.source[file]
        found = _coco.what_marks(_coco.objects_of(objects, image.name), file)
        if isinstance(found, list):
            return _Found((source,), tuple(found), box)
        box = box or found
    if box:
        return _Found((), (), box)
    raise BadInput(
        f"expected masks/{name}.png (or .npy), or a line in boxes.csv, for {file}, got neither; add one, or run "
        f"'bglab data cut {root}', which proposes masks"
    )


def _unused_masks(masks: ImageFiles, files: ImageFiles) -> list[str]:
    names = {scene_name(files.folder, file) for file in files.images}
    unused = [
        file.relative_to(masks.folder).as_posix()
        for file in masks.images
        if scene_name(masks.folder, file) not in names
    ]
    if not unused:
        return []
    return [f"{counted(len(unused), 'mask')} in {masks.folder} without an image of the same name: {listed(unused)}"]


def _read(boxes: Mapping[str, Box], drawn: Mapping[str, tuple[Any, ...]], record: SceneRecord) -> Scene:
    image = open_image(record.files[0])
    box = boxes.get(record.id)
    width, height = image.size
    if box and (box[2] > width or box[3] > height):
        raise BadInput(
            f"expected a box within {width} × {height} pixels for {record.files[0]}, got {box}; correct it in boxes.csv"
        )
    if record.id in drawn:
        mask = _coco.drawn(drawn[record.id], image.size, record.files[1], record.files[0])
        check_mask(mask, image.size, record.files[0])
    elif len(record.files) == 2:
        mask = read_mask_for(image.size, record.files[1])
    elif box:
        return Scene.of_decoded(record, image, cut_out(to_levels(image), box, record.files[0]), box)
    else:
        raise BadInput(f"expected a mask or a box for {record.files[0]}, got neither; open the folder again")
    box = joined_box(box, box_of(mask)) if box else box_of(mask)
    return Scene.of_decoded(record, image, mask, box)
