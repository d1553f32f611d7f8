"""Layouts of ImageNet on disk: finding images, annotations and labels in the layouts of torchvision and Kaggle."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bglab.errors import BadInput, MissingData, brief
from bglab.scenes.sources._annotations import read_annotation
from bglab.scenes.sources._folders import (
    find_folder,
    first_folder,
    list_files,
    list_names,
    read_content,
    subfolders,
)

REMEDY = "give the folder that holds val/ (or ILSVRC/Data/CLS-LOC/val/) and Annotations/CLS-LOC/val/"
_OBJECT_NAME = re.compile(rb"<object>\s*<name>\s*(n\d{8})\s*</name>")


class Layout(NamedTuple):
    """Folders of one split: the root given by the user, the images, and the annotations."""

    root: Path
    images: Path
    annotations: Path


class ImageFile(NamedTuple):
    """Path of an image, its WordNet id ("" if unknown), and the path of its annotation (None if there is none)."""

    image: Path
    synset: str
    annotation: Path | None


def find_layout(path: str, split: str, *, boxes: bool = True) -> Layout:
    """Find the folders of images and annotations.

    Args:
        path: Root folder of ImageNet.
        split: ``train`` or ``val``.
        boxes: Whether annotations are needed.

    Raises:
        MissingData: If there are no images, or no annotations although they are needed.
    """
    root = find_folder(path, "imagenet", REMEDY)
    bases = (root, root / "ILSVRC")
    images = first_folder(folder for base in bases for folder in (base / "Data" / "CLS-LOC" / split, base / split))
    if images is None:
        raise MissingData(f"expected ImageNet's {split} images in {root / split}, got no such folder; {REMEDY}")
    annotations = first_folder(base / "Annotations" / "CLS-LOC" / split for base in bases)
    if annotations is None and not boxes:
        annotations = root / "Annotations" / "CLS-LOC" / split
    if annotations is None:
        raise MissingData(
            f"expected ImageNet's box annotations in {root / 'Annotations' / 'CLS-LOC' / split}, got no such "
            f"folder; unpack the bounding boxes of ILSVRC 2012 ({split}) there"
        )
    return Layout(root, images, annotations)


def list_images(layout: Layout) -> Iterator[ImageFile]:
    """List the images of a split, which are in one folder per class or all in one folder."""
    return _list_folders(layout) if subfolders(layout.images) else _list_flat(layout)


def _list_folders(layout: Layout) -> Iterator[ImageFile]:
    """List images in class folders; annotations are in class folders too, or all in one folder."""
    flat = set(list_names(layout.annotations, {".xml"}))
    for synset in subfolders(layout.images):
        own = set(list_names(layout.annotations / synset, {".xml"}))
        for image in list_files(layout.images / synset):
            name = f"{image.stem}.xml"
            folder = layout.annotations / synset if name in own else layout.annotations
            yield ImageFile(image, synset, folder / name if name in own or name in flat else None)


def _list_flat(layout: Layout) -> Iterator[ImageFile]:
    """List images that are all in one folder; their classes are read from Kaggle's table or the annotations."""
    flat = set(list_names(layout.annotations, {".xml"}))
    solution = _read_solution(layout.root)
    for image in list_files(layout.images):
        annotation = layout.annotations / f"{image.stem}.xml" if f"{image.stem}.xml" in flat else None
        synset = solution.get(image.stem) or (_first_object(image, annotation) if annotation else "")
        yield ImageFile(image, synset, annotation)


def _read_solution(root: Path) -> dict[str, str]:
    """Read Kaggle's table of labels: WordNet id by image name; empty if there is no table."""
    files = (folder / "LOC_val_solution.csv" for folder in (root, root.parent, root / "ILSVRC"))
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return {}
    try:
        with file.open(newline="", encoding="utf-8-sig") as lines:
            return {row[0]: row[1].split()[0] for row in csv.reader(lines) if len(row) == 2 and row[1].split()}
    except (UnicodeDecodeError, csv.Error) as problem:
        raise BadInput(
            f"expected Kaggle's table in {file}, but reading it failed ({brief(problem)}); restore it"
        ) from None


def _first_object(image: Path, annotation: Path) -> str:
    """Find the class of the first object in an annotation, if possible without parsing the XML, for speed.

    Returns:
        A WordNet id, or "" if there is none that can be read.
    """
    try:
        content = read_content(annotation)
        found = _OBJECT_NAME.search(content)
        if found:
            return found.group(1).decode()
        read = read_annotation(annotation, image)  # of another encoding, or with prefixes
    except BadInput:
        return ""
    return next((name for name in (*(o.name for o in read.objects), *(name for name, _ in read.unusable)) if name), "")
