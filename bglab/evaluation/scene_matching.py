"""Find the scenes that file names of another program mean: bare names, paths with another root, or ids."""

from __future__ import annotations

import unicodedata
from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from bglab.images import IMAGE_SUFFIXES

#: Number of path components that are compared, which tells apart all files of the layouts that bglab reads.
_DEPTH = 6


class SceneMatch(NamedTuple):
    """What a file name means.

    Attributes:
        scenes: Ids of the scenes it fits; empty if there is none.
        whole: Whether the name is the end of the scene's path, or ends in its id; otherwise folders differ.
    """

    scenes: tuple[str, ...]
    whole: bool


class SceneMatcher:
    r"""Finds scenes by the longest end of a path that is known.

    Unicode forms, separators, and the suffixes of images do not matter.

    Args:
        scenes: Id and file of each scene; "" for a scene without a file.

    Example:
        >>> matcher = SceneMatcher([("dog/1", "/here/images/dog/1.jpg"), ("cat/1", "/here/images/cat/1.jpg")])
        >>> matcher.find("D:\\there\\cat\\1.png").scenes, matcher.find("1.jpg").scenes
        (('cat/1',), ('dog/1', 'cat/1'))
    """

    def __init__(self, scenes: Iterable[tuple[str, str]]) -> None:
        self._ids: dict[tuple[str, ...], list[str]] = defaultdict(list)
        self._ends: dict[tuple[str, ...], list[str]] = defaultdict(list)
        for scene, file in dict.fromkeys(scenes):
            parts = _parts(scene)
            self._ids[parts].append(scene)
            for path in {parts, _parts(file)} - {()}:
                for length in range(1, min(len(path), _DEPTH) + 1):
                    self._ends[path[-length:]].append(scene)

    def find(self, name: str) -> SceneMatch:
        """Find the scenes that a file name fits."""
        parts = _parts(name)
        if parts in self._ids:
            return SceneMatch(tuple(dict.fromkeys(self._ids[parts])), whole=True)
        for length in range(min(len(parts), _DEPTH), 0, -1):
            if parts[-length:] in self._ends:
                found = tuple(dict.fromkeys(self._ends[parts[-length:]]))
                is_id = len(found) == 1 and length >= len(_parts(found[0]))
                return SceneMatch(found, whole=is_id or length == len(parts))
        return SceneMatch((), whole=False)


def _parts(path: str) -> tuple[str, ...]:
    """Split a path into components without the suffix of an image."""
    parts = [p for p in unicodedata.normalize("NFC", path).replace("\\", "/").split("/") if p not in {"", "."}]
    if parts:
        stem, dot, suffix = parts[-1].rpartition(".")
        if dot and stem and f".{suffix.lower()}" in IMAGE_SUFFIXES:
            parts[-1] = stem
    return tuple(parts)
