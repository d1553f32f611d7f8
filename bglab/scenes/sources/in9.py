"""``in9:PATH``: the test sets of ImageNet-9, in the layout of the release of Noise or Signal."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.images import Box, box_of, joined_box, read_image
from bglab.labels import IN9, IN9_NAMES
from bglab.scenes.scene import PublishedImage, Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources._folders import (
    choose,
    class_notices,
    empty_file,
    find_folder,
    imagenet_index,
    list_files,
    list_names,
    match_classes,
    read_mask_for,
    reject_unknown,
    subfolders,
    without_duplicates,
)
from bglab.seeding import digest

#: Published variants, by the names of their folders in the release.
PUBLISHED = (
    "original",
    "only_bg_b",
    "only_bg_t",
    "no_fg",
    "only_fg",
    "mixed_same",
    "mixed_rand",
    "mixed_next",
)

_FOLDERS = tuple(coarse.folder for coarse in IN9)
_PER_CLASS = 450
_REMEDY = "run `bglab data fetch in9`, or give the folder bg_challenge of the unpacked release"
_MIXED = re.compile(r"fg_(?P<scene>.+)_bg_(?P<donor>.+)")

# after JPEG compression, black is within this many grey levels of 0, and a pixel has been painted black if it was
# brighter before by more than the compression alone explains
_BLACK, _BLACKENED = 24, 32


def open_source(path: str, *, uri: str, plates: str = "published", split: str = "val") -> SceneSet:
    """Open the release: 450 images per class of ImageNet-9, their masks, and seven variants of them.

    Labels are read from the class folders, ImageNet class indices from the WordNet ids in the file names. The release
    has no boxes: the box is the smallest one around the mask, enlarged to the black rectangle of the published
    Only-BG-B image if that is larger. An image without a usable mask is rejected as a scene, but its published
    variants can still be evaluated.

    Args:
        path: The folder ``bg_challenge``, or the folder that contains it.
        uri: The complete URI given by the user.
        plates: Backgrounds for new compositions: ``published`` uses the release's Only-BG-T images, as the
            Backgrounds Challenge does; ``tiled`` tiles them from the original and its box.
        split: ``val``, the released test set, or ``train``, which exists only in rebuilt sets (`bglab.rebuild`).

    Raises:
        MissingData: If there is no such folder.
        BadInput: If the folder does not have the layout of the release.
        UnknownName: If ``plates`` or ``split`` has another value.
    """
    choose("plates", plates, ("published", "tiled"))
    choose("split", split, ("val", "train"))
    root = _find_root(path, split)
    images = root / "original" / split
    classes = match_classes(images, _FOLDERS)
    extras = ("only_bg_b", "only_bg_t") if plates == "published" else ("only_bg_b",)
    candidates: list[SceneRecord] = []
    rejected = reject_unknown(images, classes)
    for folder, label in classes.labels.items():
        found, unusable = _list_class(root, split, folder, label, extras)
        candidates += found
        rejected += unusable
    records, duplicates = without_duplicates(candidates)
    # the sizes of images and masks and the presence of the other files define the set; reading all file sizes would
    # double the time to open it on a network disk
    defining = [record._replace(files=record.files[:2]) for record in records]
    present = digest([" ".join(file.parents[2].name for file in record.files) for record in records])
    return SceneSet(
        uri=uri,
        name=f"in9:{root.name}" if split == "val" else f"in9:{root.name}-{split}",
        space="in9",
        classes=IN9_NAMES,
        records=tuple(records),
        read=_read,
        fingerprint=file_fingerprint(root, defining, present),
        crop_fraction=1.0,
        notices=(*class_notices(images, classes), *_count_notices(root, split)),
        rejected=(*rejected, *duplicates),
        published=functools.partial(_published, root, split),
        credit="ImageNet-9 (Xiao, Engstrom, Ilyas, Madry, ICLR 2021): images of ImageNet, no licence stated, "
        "for non-commercial research.",
    )


def _find_root(path: str, split: str) -> Path:
    given = find_folder(path, "in9", _REMEDY)
    root = next((r for r in (given, given / "bg_challenge") if (r / "original" / split).is_dir()), None)
    if root is None:
        raise BadInput(f"expected the folder original/{split} of the release in {given}, got none; {_REMEDY}")
    return root


def _list_class(
    root: Path, split: str, folder: str, label: int, extras: Sequence[str]
) -> tuple[list[SceneRecord], list[Rejection]]:
    """List the scenes of one class, and reject those whose image or mask is missing or empty."""
    published = {extra: set(list_names(root / extra / split / folder)) for extra in extras}
    records: list[SceneRecord] = []
    rejected: list[Rejection] = []
    for image in list_files(root / "original" / split / folder):
        mask = root / "fg_mask" / split / folder / f"{image.stem}.npy"
        problem = empty_file(image, mask)
        if problem:
            rejected.append(Rejection(image.stem, str(image), problem))
            continue
        more = (root / e / split / folder / image.name for e, names in published.items() if image.name in names)
        native = imagenet_index(image.stem)
        records.append(SceneRecord(image.stem, label, native, (image, mask, *more)))
    return records, rejected


def _count_notices(root: Path, split: str) -> list[str]:
    """Describe how the numbers of images on disk differ from those of the release."""
    counts = {variant: Counter(_count(root, split, variant)) for variant in PUBLISHED}
    whole = counts.pop("original")
    notices: list[str] = []
    if any(whole[folder] != _PER_CLASS for folder in _FOLDERS):
        got = ", ".join(f"{whole[c.folder]} {c.name}" for c in IN9)
        notices.append(
            f"expected {_PER_CLASS} images in each of {len(IN9)} classes of {root.name}, got {got}; "
            "results are not comparable with those of the release"
        )
    absent = [variant for variant, count in counts.items() if not count]
    if absent:
        notices.append(
            f"{root.name} has no images of {', '.join(absent)}; these variants can be composed, but not opened "
            "as published"
        )
    for variant, count in counts.items():
        if count and count != whole:
            notices.append(
                f"{root.name} has {count.total()} published images of {variant} but {whole.total()} originals; "
                f"results of {variant} use these images only"
            )
    return notices


def _count(root: Path, split: str, variant: str) -> dict[str, int]:
    folder = root / variant / split
    counts = {name: len(list_names(folder / name)) for name in subfolders(folder)}
    return {name: count for name, count in counts.items() if count and name in _FOLDERS}


def _read(record: SceneRecord) -> Scene:
    """Read one scene; the role of each file is the first part of its path ``<variant>/<split>/<class>/<name>``."""
    files = {file.parents[2].name: file for file in record.files}
    image = read_image(files["original"])
    mask = read_mask_for((image.shape[2], image.shape[1]), files["fg_mask"])
    box = box_of(mask)
    if "only_bg_b" in files:
        box = widen_to_black(box, image, _read_same_size(image, files["only_bg_b"]))
    plate = _read_same_size(image, files["only_bg_t"]) if "only_bg_t" in files else None
    return Scene(record.id, record.label, record.native_label, image, mask, box, plate)


def _read_same_size(image: UInt8[np.ndarray, "3 h w"], file: Path) -> UInt8[np.ndarray, "3 h w"]:
    other = read_image(file)
    if other.shape != image.shape:
        raise BadInput(
            f"expected {image.shape[2]} × {image.shape[1]} pixels, as the original has, in {file}, got "
            f"{other.shape[2]} × {other.shape[1]}; restore it from the release"
        )
    return other


def widen_to_black(box: Box, image: UInt8[np.ndarray, "3 h w"], blackened: UInt8[np.ndarray, "3 h w"]) -> Box:
    """Enlarge the box of a mask to the rectangle that is black in Only-BG-B but not in the original.

    Where the original is itself nearly black along the edge of the rectangle, the edge is not detected and the box
    stays smaller. The box never includes an area that is bright in Only-BG-B.

    Args:
        box: Smallest half-open box around the mask.
        image: Original image.
        blackened: Published Only-BG-B image of the same scene.

    Returns:
        The enlarged box; ``box`` itself if it and the detected pixels do not form one black rectangle.
    """
    black = blackened.max(axis=0) <= _BLACK
    changed = black & (image.max(axis=0).astype(np.int16) - blackened.max(axis=0) >= _BLACKENED)
    # rows and columns with fewer than four such pixels are compression noise
    rows, columns = changed.sum(axis=1) >= 4, changed.sum(axis=0) >= 4
    seen = box_of(rows[:, None] & columns[None, :])
    if seen == (0, 0, 0, 0):
        return box
    wider = joined_box(box, seen)
    x0, y0, x1, y1 = wider
    return wider if black[y0:y1, x0:x1].mean() >= 0.98 else box


def _published(root: Path, split: str, variant: str) -> list[PublishedImage]:
    """List the published images of a variant, with labels from their class folders.

    The names of mixed images contain the ids of the foreground and the background. In ``mixed_rand`` the second id is
    incorrect: the release names these files as in ``mixed_next``. Their donor is therefore treated as unknown.
    """
    if variant not in PUBLISHED:
        raise UnknownName(unknown_name("published variant", variant, list(PUBLISHED)))
    folder = root / variant / split
    images = [
        _parse_published(file, label, variant)
        for label, name in enumerate(_FOLDERS)
        for file in list_files(folder / name)
    ]
    if not images:
        raise MissingData(
            f"expected the published images of {variant} in {folder}, got none; {_REMEDY}, or leave out "
            "--published to compose the variant"
        )
    return images


def _parse_published(file: Path, label: int, variant: str) -> PublishedImage:
    mixed = _MIXED.fullmatch(file.stem) if variant.startswith("mixed") else None
    scene = mixed["scene"] if mixed else file.stem
    donor = mixed["donor"] if mixed and variant != "mixed_rand" else ""
    return PublishedImage(scene, donor, file, label, imagenet_index(scene))
