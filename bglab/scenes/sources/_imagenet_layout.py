"""ImageNet on disk: where torchvision or Kaggle lay its images and annotations, and what class each has."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from bglab.errors import MissingData
from bglab.scenes.sources._folders import find_folder, first_folder, list_files, list_names, subfolders

REMEDY = "give the folder that holds val/ (or ILSVRC/Data/CLS-LOC/val/) and Annotations/CLS-LOC/val/"
_OBJECT_NAME = re.compile(r"<object>\s*<name>\s*(n\d{8})\s*</name>")


class Layout(NamedTuple):
    """Where one split's images and annotations lie; ``root`` is what the user gave."""

    root: Path
    images: Path
    annotations: Path


class ImageFile(NamedTuple):
    """An image, its WordNet id ("" = unknown), and where its annotation is (None = there is none)."""

    image: Path
    synset: str
    annotation: Path | None


def find_layout(path: str, split: str, *, boxes: bool = True) -> Layout:
    """Find images and annotations; without ``boxes`` the annotations may be missing.

    Raises:
        MissingData: If something that is needed is not there.
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
    """List a split's images, which lie in folders of their class or side by side."""
    return _list_folders(layout) if subfolders(layout.images) else _list_flat(layout)


def _list_folders(layout: Layout) -> Iterator[ImageFile]:
    """List images in class folders; annotations lie in class folders too, or side by side."""
    flat = set(list_names(layout.annotations, {".xml"}))
    for synset in subfolders(layout.images):
        own = set(list_names(layout.annotations / synset, {".xml"}))
        for image in list_files(layout.images / synset):
            name = f"{image.stem}.xml"
            folder = layout.annotations / synset if name in own else layout.annotations
            yield ImageFile(image, synset, folder / name if name in own or name in flat else None)


def _list_flat(layout: Layout) -> Iterator[ImageFile]:
    """List images that lie side by side; their classes come from Kaggle's list or the annotations."""
    flat = set(list_names(layout.annotations, {".xml"}))
    solution = _read_solution(layout.root)
    for image in list_files(layout.images):
        annotation = layout.annotations / f"{image.stem}.xml" if f"{image.stem}.xml" in flat else None
        synset = solution.get(image.stem) or (_first_object(annotation) if annotation else "")
        yield ImageFile(image, synset, annotation)


def _read_solution(root: Path) -> dict[str, str]:
    """Read Kaggle's list of labels: image name → WordNet id; empty if it is not there."""
    files = (folder / "LOC_val_solution.csv" for folder in (root, root.parent, root / "ILSVRC"))
    file = next((file for file in files if file.is_file()), None)
    if file is None:
        return {}
    with file.open(newline="", encoding="utf-8") as lines:
        return {row[0]: row[1].split()[0] for row in csv.reader(lines) if len(row) == 2 and row[1].split()}


def _first_object(annotation: Path) -> str:
    """Find the class of an annotation's first object without parsing it: there may be fifty thousand."""
    found = _OBJECT_NAME.search(annotation.read_text(encoding="utf-8", errors="replace"))
    return found.group(1) if found else ""
