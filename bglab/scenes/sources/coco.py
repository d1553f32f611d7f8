"""``coco:PATH``: instances in COCO's format as a single-label task, where an image has the label of its main object."""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

from bglab.errors import BadInput, MissingData
from bglab.files import sha256_of
from bglab.images import box_of
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._annotations import read_sized
from bglab.scenes.sources._coco_annotations import (
    Instance,
    Instances,
    ListedImage,
    draw_box,
    draw_segmentation,
    read_instances,
)
from bglab.scenes.sources._folders import choose, empty_file, find_folder, read_photograph, without_duplicates
from bglab.scenes.sources._tables import check_file

#: Smallest fraction of the image that the main object covers, as the boxes of Time for a Background Check! do.
_LEAST_SHARE = 0.05
_OFFICIAL = 80
_DRAW: Mapping[str, Callable[[Instance, int, int], Bool[np.ndarray, "h w"]]] = {
    "segmentation": draw_segmentation,
    "box": draw_box,
}
_REMEDY = (
    "give the folder that holds annotations/instances_SPLIT.json and SPLIT/, or name both: "
    "coco:PATH?annotations=FILE&images=FOLDER"
)


class _Foreground(NamedTuple):
    """The objects of a scene: the annotated size in pixels (0 if it is not given), and the main object first."""

    width: int
    height: int
    instances: tuple[Instance, ...]


def open_source(
    path: str,
    *,
    uri: str,
    split: str = "",
    annotations: str = "",
    images: str = "",
    masks: str = "segmentation",
    min_share: str = str(_LEAST_SHARE),
) -> SceneSet:
    """Open images with instance annotations, with one label per image.

    The main object of an image is its largest instance that is no crowd, by the annotated area; it must cover at least
    ``min_share`` of the image. Its category is the label, and the foreground is the union of all instances of that
    category, crowds included, as in ``voc:``. Objects of other categories belong to the background. Images without a
    main object are no scenes and are counted in the notices.

    An annotation that cannot be used is named in the notices and left out. If it is the main object, the image is
    rejected.

    Args:
        path: Folder that contains ``annotations/instances_{split}.json`` and the images in ``{split}/``,
            ``images/{split}/`` or ``images/``.
        uri: The complete URI given by the user.
        split: Part of the data, such as ``val2017``; by default the only one in the folder, or ``val2017``.
        annotations: Annotation file, relative to ``path``, in place of that of the split.
        images: Folder of the images, relative to ``path``, in place of that of the split.
        masks: ``segmentation`` draws polygons and run lengths; ``box`` fills the boxes.
        min_share: Smallest fraction of the image that the main object covers, in [0, 1].

    Raises:
        MissingData: If the folder, the annotations or the images are not there.
        BadInput: If the annotations cannot be read, no image has a main object, or an option has an unusable value.
        UnknownName: If there is no such split, or ``masks`` has another value.
    """
    choose("masks", masks, tuple(_DRAW))
    least = _parse_share(min_share)
    root = find_folder(path, "coco", _REMEDY)
    file, part = _find_annotations(root, split, annotations)
    read = read_instances(file)
    folder = _find_images(root, part, images, read)
    foregrounds: dict[str, _Foreground] = {}
    records: list[SceneRecord] = []
    rejected: list[Rejection] = []
    without = 0
    for listed in read.images:
        main = _main_object(listed, least)
        image, problem = _locate(folder, listed, file)
        if problem:
            rejected.append(Rejection(Path(listed.file).stem, str(image), problem))
        elif main is None:
            without += 1
        else:
            name = Path(listed.file).with_suffix("").as_posix()
            records.append(SceneRecord(name, main.category, files=(image,)))
            others = (i for i in listed.instances if i.category == main.category and i is not main)
            foregrounds.setdefault(name, _Foreground(listed.width, listed.height, (main, *others)))
    records, duplicates = without_duplicates(records)
    if not records:
        reasons = [*(r.reason for r in rejected), *read.notices]
        first = f"; the first problem: {reasons[0]:.500}" if reasons else ""
        raise BadInput(
            f"expected images with a main object in {file}, got none of {len(read.images)}{first}; lower min_share or "
            "correct the annotations"
        )
    notices = [*read.notices]
    if without:
        notices.append(
            f"{without:,} of {len(read.images):,} images have no object that covers {100 * least:g} % of them"
        )
    official = len(read.categories) == _OFFICIAL and read.categories[0] == "person"
    return SceneSet(
        uri=uri,
        name=f"coco:{root.name}-{part}",
        space="coco" if official else f"coco:{root.name}",
        classes=read.categories,
        records=tuple(records),
        read=functools.partial(_read, masks, least, file, foregrounds),
        fingerprint=file_fingerprint(folder, records, masks, sha256_of(file)),
        notices=tuple(notices),
        rejected=(*rejected, *duplicates),
        credit="COCO (Lin et al., 2014): annotations CC BY 4.0, images from Flickr, under the terms of their owners."
        if official
        else "",
        full_resolution=True,
        read_image=read_photograph,
    )


def _parse_share(text: str) -> float:
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if not 0 <= share <= 1:
        raise BadInput(f"expected a min_share from 0 to 1, got '{text}'; 0.05 is 5 % of the image")
    return share


def _find_annotations(root: Path, split: str, given: str) -> tuple[Path, str]:
    """Find the annotation file and the name of its part of the data."""
    if given:
        file = _below(root, given)
        if not file.is_file():
            raise MissingData(f"expected annotations in {file}, but there is no such file; {_REMEDY}")
        return file, split or file.stem.removeprefix("instances_")
    folder = root / "annotations"
    found = {file.stem.removeprefix("instances_"): file for file in sorted(folder.glob("instances_*.json"))}
    if not found:
        raise MissingData(f"expected instances_*.json in {folder}, got no such file; {_REMEDY}")
    if split:
        return found[choose("split", split, list(found))], split
    part = "val2017" if "val2017" in found else next(iter(found))
    if len(found) > 1 and part != "val2017":
        raise BadInput(f"expected one of the splits {', '.join(found)} of {root}, got none; add ?split={part}")
    return found[part], part


def _find_images(root: Path, part: str, given: str, read: Instances) -> Path:
    """Find the folder that the file names of the images are relative to."""
    if given:
        folder = _below(root, given)
        if not folder.is_dir():
            raise MissingData(f"expected images in {folder}, but there is no such folder; {_REMEDY}")
        return folder
    places = (root / part, root / "images" / part, root / "images", root, read.file.parent)
    folders = [folder for folder in places if folder.is_dir()]
    names = [listed.file for listed in read.images[:50]]
    # the folder that has one of the first images, since some files name the folder, too
    holding = next((folder for folder in folders if any(not empty_file(folder / name) for name in names)), None)
    if holding is None:
        raise MissingData(
            f"expected images such as {names[0] if names else '*.jpg'} in {places[0]}, got none; {_REMEDY}"
        )
    return holding


def _below(root: Path, given: str) -> Path:
    # without following links, as in `find_folder`
    return Path(os.path.abspath(root / Path(given).expanduser()))  # noqa: PTH100 - resolve() follows links


def _locate(folder: Path, listed: ListedImage, file: Path) -> tuple[Path, str]:
    """Return the path of an image, and what is wrong with it ("" if nothing is)."""
    try:
        image = folder / check_file(listed.file, f"{file}")
    except BadInput as problem:
        return folder / Path(listed.file).name, str(problem)
    return image, empty_file(image)


def _main_object(listed: ListedImage, least: float) -> Instance | None:
    """Choose the main object: the largest instance that is no crowd, the first of equals; None if it is too small."""
    single = [instance for instance in listed.instances if not instance.is_crowd]
    main = max(single, key=lambda instance: instance.area, default=None)
    # an image without an annotated size is measured when it is read
    return None if main is None or main.area < least * listed.width * listed.height else main


def _read(masks: str, least: float, file: Path, foregrounds: Mapping[str, _Foreground], record: SceneRecord) -> Scene:
    foreground = foregrounds[record.id]
    sized = read_sized(record.files[0], (foreground.width, foreground.height), file)
    if foreground.instances[0].area < least * sized.width * sized.height:
        raise BadInput(f"expected an object that covers {100 * least:g} % of {record.file}, got none; lower min_share")
    mask = np.zeros((sized.height, sized.width), dtype=bool)
    notices: list[str] = []
    for instance in foreground.instances:
        try:
            mask |= _DRAW[masks](instance, sized.height, sized.width)
        except BadInput as problem:
            if instance is foreground.instances[0]:
                raise BadInput(f"{instance.name} in {file}, the main object of {record.file}: {problem}") from None
            notices.append(f"{instance.name} in {file} is left out of {record.file}: {problem}")
    mask = sized.upright(mask)
    return Scene.of_decoded(record, sized.image, mask, box_of(mask), notices=tuple(notices))
