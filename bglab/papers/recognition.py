"""Recognising the data that the papers used: the release of ImageNet-9, ImageNet, VOC2012 and Caltech101."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from bglab.catalogue import Catalogue
from bglab.scenes import Recognition, SceneSet, recognise_release

#: Number of images in ImageNet's validation set, 50 of each class.
VALIDATION_SIZE = 50_000
_PER_CLASS = 50
#: Numbers of images in VOC2012's own training and validation set (``ImageSets/Main``).
VOC_SIZES = {"train": 5_717, "val": 5_823}
#: Number of images of Caltech101 in its 101 classes, without the clutter class.
CALTECH101_SIZE = 8_677


class PapersData(NamedTuple):
    """A data set that a paper used.

    Attributes:
        title: What it is, as a noun phrase.
        recognise: Function that checks whether scenes are this data set.
    """

    title: str
    recognise: Callable[[SceneSet], Recognition]


def recognise_imagenet(scenes: SceneSet) -> Recognition:
    """Check whether scenes are ImageNet's whole validation set, by the names of its images and 50 per class."""
    if scenes.name != "imagenet:val":
        return Recognition("other", f"{scenes.name} is not the validation set of ImageNet")
    names = [*scenes.ids, *(rejection.scene for rejection in scenes.rejected)]
    wanted = {f"ILSVRC2012_val_{number:08d}" for number in range(1, VALIDATION_SIZE + 1)}
    if len(names) != VALIDATION_SIZE or set(names) != wanted:
        found = len(wanted & set(names))
        return Recognition("other", f"{found:,} of the {VALIDATION_SIZE:,} validation images of ImageNet are in it")
    most = max(Counter(record.native_label for record in scenes.records).values())
    if most > _PER_CLASS:
        return Recognition("other", f"a class has {most} images, and {_PER_CLASS} in ImageNet's validation set")
    return Recognition("recognised", f"{VALIDATION_SIZE:,} images with the names of ImageNet's, {_PER_CLASS} per class")


def recognise_voc(scenes: SceneSet) -> Recognition:
    """Check whether scenes belong to a complete VOC2012, by its lists of images and its files."""
    if not scenes.uri.startswith("voc:") or not scenes.records:
        return Recognition("other", f"{scenes.name} is not VOC2012")
    root = scenes.records[0].files[0].parents[1]
    images = {file.stem for file in (root / "JPEGImages").iterdir()}
    for split, size in VOC_SIZES.items():
        names = _listed(root / "ImageSets" / "Main" / f"{split}.txt")
        there = [name for name in names if re.fullmatch(r"\d{4}_\d{6}", name) and name in images]
        if len(names) != size or len(there) != size:
            return Recognition("other", f"{len(there):,} of the {size:,} {split} images of VOC2012 are in it")
    return Recognition("recognised", f"the {sum(VOC_SIZES.values()):,} images of VOC2012's train and val lists")


def recognise_caltech101(scenes: SceneSet) -> Recognition:
    """Check whether scenes are the whole of Caltech101, by the number of its images, their names and classes."""
    if not scenes.uri.startswith("caltech101:"):
        return Recognition("other", f"{scenes.name} is not Caltech101")
    named = [record for record in scenes.records if re.fullmatch(r".+/image_\d{4}", record.id)]
    classes = len({record.label for record in named})
    if len(named) != CALTECH101_SIZE or classes != len(scenes.classes):
        counted = f"{len(named):,} of the {CALTECH101_SIZE:,} images of Caltech101 are in it, of {classes} classes"
        return Recognition("other", counted)
    return Recognition("recognised", f"the {CALTECH101_SIZE:,} images of the {classes} classes of Caltech101")


def _listed(file: Path) -> list[str]:
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return [line.split()[0] for line in lines if line.strip()]


#: Data sets of the papers by name.
PAPERS_DATA: Catalogue[PapersData] = Catalogue(
    "data set of the papers",
    {
        "in9": PapersData("the 4,050 images of ImageNet-9 used in Noise or Signal", recognise_release),
        "imagenet": PapersData(
            "the 50,000 validation images of ImageNet used in Time for a Background Check!", recognise_imagenet
        ),
        "voc": PapersData("the images of VOC2012 used in Time for a Background Check!", recognise_voc),
        "caltech101": PapersData("the images of Caltech101 used in Time for a Background Check!", recognise_caltech101),
    },
)

#: Data set of each paper's tables and figures, unless an artefact names another.
DATA_OF_PAPER = {"nos": "in9", "tbc": "imagenet"}
