"""Shared by the sources that read files: finding folders, listing files, matching class folders, checking masks."""

from __future__ import annotations

import difflib
import os
import re
import stat
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName, check_environment
from bglab.files import check_regular
from bglab.images import IMAGE_SUFFIXES, read_image, read_mask
from bglab.labels import OUTSIDE, synset_index
from bglab.scenes.scene import Rejection, SceneRecord

_SYNSET = re.compile(r"n\d{8}(?=_|$)")


class ClassFolders(NamedTuple):
    """Class folders on disk, compared with the expected ones.

    Attributes:
        labels: Label by folder name, for the expected folders that exist, in the order of the labels.
        unknown: Folders that are not expected, with the reason why their images are rejected.
        missing: Expected folders that do not exist.
    """

    labels: dict[str, int]
    unknown: dict[str, str]
    missing: tuple[str, ...]


def choose(option: str, value: str, allowed: Sequence[str]) -> str:
    """Check that the value of an option is allowed, and return it.

    Raises:
        UnknownName: If it is not; the message lists the allowed values.
    """
    if value not in allowed:
        raise UnknownName(unknown_name(f"value of {option}", value, list(allowed)))
    return value


def find_folder(path: str, scheme: str, remedy: str) -> Path:
    """Convert the path in a URI to an absolute path of an existing folder.

    Args:
        path: Path as given by the user; ``~`` is the home folder.
        scheme: Scheme of the URI, for the message.
        remedy: What to do if there is no such folder, for the message.

    Raises:
        MissingData: If there is no such folder.
    """
    if not path:
        raise MissingData(f"expected a folder, as in '{scheme}:PATH', got no path; {remedy}")
    # absolute without following links: result tables contain the folder's name, which must not depend on the disk
    folder = Path(os.path.abspath(Path(path).expanduser()))  # noqa: PTH100 - resolve() follows links
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise MissingData(f"expected a folder at {folder} for '{scheme}:', but it {what}; {remedy}")
    return folder


def first_folder(candidates: Iterable[Path]) -> Path | None:
    """Return the first folder that exists, or None."""
    return next((folder for folder in candidates if folder.is_dir()), None)


def subfolders(folder: Path) -> list[str]:
    """List the names of the subfolders of a folder, sorted, without hidden ones; [] if it does not exist."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return sorted(entry.name for entry in entries if not entry.name.startswith(".") and _is_folder(entry))


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError as problem:
        check_environment(entry.path, problem)
        return False  # a link to itself


def list_names(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[str]:
    """List the names of the files in a folder with these extensions, sorted; [] if the folder does not exist.

    The files themselves are not accessed, so listing tens of thousands of images on a network disk is fast.
    """
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if not entry.name.startswith(".")]
    return sorted(name for name in names if os.path.splitext(name)[1].lower() in suffixes)  # noqa: PTH122 - fast


def list_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the paths of the files in a folder with these extensions; see `list_names`."""
    return [folder / name for name in list_names(folder, suffixes)]


def walk_files(folder: Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """List the files with these extensions in a folder and, recursively, its subfolders."""
    below = (file for name in subfolders(folder) for file in walk_files(folder / name, suffixes))
    return [*list_files(folder, suffixes), *below]


def match_classes(folder: Path, expected: Sequence[str], *, ignored: Collection[str] = ()) -> ClassFolders:
    """Match the class folders on disk with the expected ones; misspelt names are reported, never guessed.

    Args:
        folder: Folder with one subfolder per class.
        expected: Names of the subfolders in the order of the labels.
        ignored: Names of subfolders that are not classes.

    Raises:
        BadInput: If none of the expected folders exists.
    """
    present = [name for name in subfolders(folder) if name not in ignored]
    missing = [name for name in expected if name not in set(present)]
    if len(missing) == len(expected):
        raise BadInput(
            f"expected class folders like '{expected[0]}' in {folder}, got "
            f"{', '.join(present[:5]) or 'none'}; give the folder that holds the unpacked archive"
        )
    unknown = {name: _unknown_folder(name, missing) for name in present if name not in set(expected)}
    there = set(present)
    return ClassFolders({name: i for i, name in enumerate(expected) if name in there}, unknown, tuple(missing))


def _unknown_folder(name: str, missing: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, missing, n=1, cutoff=0.6)
    hint = f"if it is '{near[0]}', rename it" if near else "remove it, or rename it to its class"
    return f"expected a folder named after a class, got '{name}'; {hint}"


def class_notices(folder: Path, classes: ClassFolders) -> list[str]:
    """Write one sentence per unknown class folder, and one for all missing folders."""
    notices = [f"the images in {folder / name} are skipped: {why}" for name, why in classes.unknown.items()]
    if classes.missing:
        named = ", ".join(f"'{name}'" for name in classes.missing[:3])
        more = f" and {len(classes.missing) - 3} more" if len(classes.missing) > 3 else ""
        notices.append(
            f"{folder} has no folder {named}{more}; the set has only the other {len(classes.labels)} classes"
        )
    return notices


def reject_unknown(folder: Path, classes: ClassFolders) -> list[Rejection]:
    """List a rejection for each image in a folder of an unknown class."""
    return [
        Rejection(file.stem, str(file), why)
        for name, why in classes.unknown.items()
        for file in list_files(folder / name)
    ]


def without_duplicates(records: Iterable[SceneRecord]) -> tuple[list[SceneRecord], list[Rejection]]:
    """Keep the first scene of each id and reject the others, since ids must be unique."""
    first: dict[str, SceneRecord] = {}
    rejected: list[Rejection] = []
    for record in records:
        kept = first.setdefault(record.id, record)
        if kept is not record:
            reason = f"expected one image named {record.id}, but {kept.files[0]} has that name too; rename one"
            rejected.append(Rejection(record.id, str(record.files[0]), reason))
    return list(first.values()), rejected


def empty_file(*files: Path) -> str:
    """Explain which of the files is missing, empty or no file; "" if none is.

    Raises:
        Unreadable: If the disk fails, which says nothing about the file.
    """
    for file in files:
        try:
            status = file.stat()
        except OSError as problem:
            check_environment(file, problem)
            return f"expected {file}, but there is no such file; restore it"
        if stat.S_ISDIR(status.st_mode):
            return f"expected a file at {file}, but it is a folder; replace it by the file"
        if not stat.S_ISREG(status.st_mode):  # reading it would wait, or never end
            return f"expected a file at {file}, but it is a pipe, a socket or a device; replace it by the file"
        if status.st_size == 0:
            return f"expected content in {file}, but the file is empty; restore it"
    return ""


def read_content(file: Path, most_bytes: int = 2**26) -> bytes:
    """Read a file whole.

    Args:
        file: Path of the file.
        most_bytes: Largest size of the file.

    Raises:
        BadInput: If it is missing, empty, larger, or plainly something else: zero bytes, a pointer of git-lfs, a web
            page.
        Unreadable: If the disk fails, which says nothing about the file.
    """
    problem = empty_file(file)
    if problem:
        raise BadInput(problem)
    check_regular(file, most_bytes=most_bytes)
    try:
        content = file.read_bytes()
    except OSError as failure:
        check_environment(file, failure)
        raise BadInput(f"expected to read {file}, but {failure.strerror or failure}; restore it") from None
    start = content[:256].lstrip().lower()
    if start.startswith(b"version https://git-lfs"):
        raise BadInput(f"expected the content of {file}, got a pointer of git-lfs; run git lfs pull in its folder")
    if start.startswith((b"<!doctype html", b"<html")):
        raise BadInput(f"expected the content of {file}, got a web page; download the file again")
    if not content.strip(b"\0"):
        raise BadInput(f"expected content in {file}, got only zero bytes; restore it")
    return content


def imagenet_index(name: str) -> int:
    """Look up the ImageNet class index for a file name that starts with a WordNet id; OUTSIDE if there is none.

    Example:
        >>> imagenet_index("n01440764_10026"), imagenet_index("photo")
        (0, -1)
    """
    found = _SYNSET.match(name)
    return synset_index().get(found.group(), OUTSIDE) if found else OUTSIDE


def read_photograph(record: SceneRecord) -> UInt8[np.ndarray, "3 h w"]:
    """Read the image of a scene, the first of its files, without its mask.

    Raises:
        BadInput: If it cannot be read; the message names it.
    """
    return read_image(record.files[0])


def read_mask_for(size: tuple[int, int], file: Path) -> Bool[np.ndarray, "h w"]:
    """Read the mask of an image and check it.

    Args:
        size: Width and height of the image in pixels.
        file: File of the mask.

    Raises:
        BadInput: If the mask cannot be read, is not of the image's size, or is empty or full; the message names it.
    """
    mask = read_mask(file, size)
    check_mask(mask, size, file)
    return mask


def check_mask(mask: Bool[np.ndarray, "mh mw"], size: tuple[int, int], file: Path) -> None:
    """Raise `BadInput`, naming the file, unless the mask has the image's size and is neither empty nor full.

    Args:
        mask: Mask of an image.
        size: Width and height of the image in pixels.
        file: File of the mask, for the message.
    """
    width, height = size
    if mask.shape != (height, width):
        is_sideways = mask.shape == (width, height)
        remedy = "turn the mask upright, as EXIF turns the image" if is_sideways else "rebuild the mask from this image"
        raise BadInput(
            f"expected a mask of {width} × {height} pixels, as its image has, in {file}, got "
            f"{mask.shape[1]} × {mask.shape[0]}; {remedy}"
        )
    if not mask.any():
        raise BadInput(f"expected a foreground in {file}, but the mask marks nothing; redraw it")
    if mask.all():
        raise BadInput(f"expected some background in {file}, but the mask marks the whole image; redraw it")
