"""Label spaces by the names of classes: those of ImageNet-9, those of ImageNet, or a set's own."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bglab.labels import IN9, IN9_NAMES, imagenet_names, imagenet_synsets, synset_index

_IN9_LABELS = {name: i for i, c in enumerate(IN9) for name in (c.name, c.folder)}


class Classes(NamedTuple):
    """A label space.

    Attributes:
        space: Its name.
        names: Class names in the order of the labels.
        labels: Label by the class name that the set uses.
        notice: One sentence on a space that was not chosen; "" if there is nothing to tell.
    """

    space: str
    names: tuple[str, ...]
    labels: Mapping[str, int]
    notice: str = ""


def find_classes(own: str, used: Sequence[str]) -> Classes:
    """Determine the label space from class names.

    Names that are all of ImageNet-9 (``dog`` or ``00_dog``) have its labels. Names that are all WordNet ids or class
    names of ImageNet (``great white shark`` or ``great_white_shark``) have ImageNet's. Others are numbered in sorted
    order, and so are ImageNet's names if one of them, crane or maillot, names two classes.

    Args:
        own: Name of the set's own space, if it is neither.
        used: The class names, each once.
    """
    if used and all(name in _IN9_LABELS for name in used):
        return Classes("in9", IN9_NAMES, _IN9_LABELS)
    single, double = _imagenet_labels()
    labels = {name: synset_index().get(name, single.get(_plain(name))) for name in used}
    known = {name: label for name, label in labels.items() if label is not None}
    twice = [name for name in used if _plain(name) in double]
    if used and len(known) == len(used):
        return Classes("imagenet", imagenet_names(), known)
    notice = ""
    if twice and len(known) + len(twice) == len(used):
        ids = " or ".join(imagenet_synsets()[label] for label in double[_plain(twice[0])])
        notice = (
            f"the classes have labels of their own, although their names are ImageNet's, because '{twice[0]}' names "
            f"two of its classes; write {ids} instead"
        )
    names = sorted(used)
    return Classes(own, tuple(names), {name: i for i, name in enumerate(names)}, notice)


@functools.cache
def _imagenet_labels() -> tuple[dict[str, int], dict[str, list[int]]]:
    """Return the labels of the names of one class, and those of the names of two."""
    plain = [_plain(name) for name in imagenet_names()]
    counts = Counter(plain)
    single = {name: i for i, name in enumerate(plain) if counts[name] == 1}
    return single, {name: [i for i, n in enumerate(plain) if n == name] for name in counts if counts[name] > 1}


def _plain(name: str) -> str:
    return name.replace("_", " ").casefold()
