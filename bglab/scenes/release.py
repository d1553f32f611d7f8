"""Recognising the release of Noise or Signal: by the names of its files, and by a digest of their content.

Any folder with 450 images per class has the layout of the release, and a set rebuilt from ImageNet (`bglab.rebuild`)
has its kind of names as well. Only the content tells them apart. No checksum of the release is published, so there are
two ways to know its content: the field ``content_sha256`` of ``archives.toml``, which is empty until somebody who has
the release fills it in (``bglab data check in9:PATH`` prints the digest), and the digest that ``bglab data fetch in9``
records when it unpacks the archive from the official address.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from bglab.labels import IN9, to_in9
from bglab.scenes.downloads import archives, content_digest
from bglab.scenes.scene import SceneSet
from bglab.scenes.sources._folders import imagenet_index, list_names, subfolders
from bglab.scenes.sources.in9 import PUBLISHED

#: Images per class and variant in the release.
PER_CLASS = 450

#: ``recognised``: known to be the data; ``unverified``: names and numbers agree, the content cannot be checked;
#: ``other``: not the data.
State = Literal["recognised", "unverified", "other"]

_SINGLE = re.compile(r"n\d{8}_\d+")
_MIXED = re.compile(r"fg_(?P<scene>n\d{8}_\d+)_bg_n\d{8}_\d+")
_MASKS = "fg_mask"


class Recognition(NamedTuple):
    """Whether data are those that a paper used.

    Attributes:
        state: See `State`.
        reason: How they were recognised, or what speaks against it; one clause.
    """

    state: State
    reason: str


def recognise_release(scenes: SceneSet) -> Recognition:
    """Check whether scenes are the complete released test set of ImageNet-9, with its pixels.

    Args:
        scenes: Scenes from ``in9:PATH``; all others are not the release.
    """
    root = release_root(scenes)
    if root is None:
        return Recognition("other", f"{scenes.name} is not opened as in9:PATH with the split val")
    problem = name_problem(root)
    if problem:
        return Recognition("other", problem)
    if any("only_bg_t" not in {file.parents[2].name for file in record.files} for record in scenes.records):
        return Recognition("other", "the backgrounds are tiled anew, not those of the release (plates=tiled)")
    return _recognise_content(root)


def release_root(scenes: SceneSet) -> Path | None:
    """Return the folder of scenes opened as ``in9:PATH`` with the split ``val``; None for all others."""
    if not scenes.uri.startswith("in9:") or scenes.published is None or not scenes.records:
        return None
    _, split, _, root = scenes.records[0].files[0].parents[:4]
    return root if split.name == "val" else None


def name_problem(root: Path) -> str:
    """Compare the names of all files with those of the release.

    The release has eight variants and the masks, each with nine class folders of 450 files. The files are named by
    WordNet id and number (``n02099601_7304.JPEG``, ``fg_n02099601_7304_bg_n02484975_26901.JPEG``), the class folder is
    that of the WordNet id, and all variants are made from the same scenes. The complete list of names is not public.

    Args:
        root: The folder ``bg_challenge``.

    Returns:
        The first deviation in one clause; "" if there is none.
    """
    for label, coarse in enumerate(IN9):
        wanted = _stems(root / "original" / "val" / coarse.folder, _SINGLE)
        if len(wanted) != PER_CLASS:
            named = f"{len(wanted)} images of the class {coarse.name} with names of ImageNet"
            return f"original has {named}, not {PER_CLASS}"
        strangers = [stem for stem in sorted(wanted) if _in9_label(stem) != label]
        if strangers:
            return f"{strangers[0]} is named after a WordNet id that is not in the class {coarse.name}"
        for variant in (*PUBLISHED[1:], _MASKS):
            folder = root / variant / "val" / coarse.folder
            found = _stems(folder, _MIXED if variant.startswith("mixed") else _SINGLE)
            if found != wanted or len(_names(folder)) != PER_CLASS:
                return f"{variant} is not made from the same {PER_CLASS} scenes of the class {coarse.name} as original"
    folders = {coarse.folder for coarse in IN9}
    more = [name for v in (*PUBLISHED, _MASKS) for name in subfolders(root / v / "val") if name not in folders]
    return f"{more[0]} is not a class folder of the release" if more else ""


def _stems(folder: Path, pattern: re.Pattern[str]) -> set[str]:
    """Return the scene ids in the file names of a folder; names that do not match are left out."""
    matches = (pattern.fullmatch(Path(name).stem) for name in _names(folder))
    return {found["scene"] if "scene" in pattern.groupindex else found.group() for found in matches if found}


def _names(folder: Path) -> list[str]:
    suffixes = {".npy"} if folder.parents[1].name == _MASKS else {".jpeg"}
    return list_names(folder, suffixes)


def _in9_label(stem: str) -> int:
    index = imagenet_index(stem)
    return int(to_in9(np.array(index)))


def _recognise_content(root: Path) -> Recognition:
    """Compare the content of a set whose names agree with the known digests."""
    archive, digest = archives()["in9"], content_digest(root)
    if archive.content_sha256:
        if digest == archive.content_sha256:
            return Recognition("recognised", "names and content are those of the release")
        return Recognition("other", f"the names are those of the release, but the content is not (sha256 {digest})")
    if archive.content_note.is_file():
        if digest == archive.content_note.read_text(encoding="utf-8").strip():
            return Recognition("recognised", f"unchanged since it was fetched from {archive.address}")
        return Recognition("other", "the content is not that of the release fetched with bglab data fetch in9")
    return Recognition(
        "unverified",
        f"the names are those of the release, but its content is not known here (sha256 {digest}); "
        "bglab data fetch in9 records it when it downloads the release",
    )
