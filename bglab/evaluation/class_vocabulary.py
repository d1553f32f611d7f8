"""Class names and indices as other programs write them: which label space they belong to, and their indices in it."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

from bglab.errors import BadInput
from bglab.labels import IN9, IN9_NAMES, imagenet_names, imagenet_synsets
from bglab.names import class_key
from bglab.results import shorten
from bglab.variants import Dataset

#: Whose classes a table of predictions means: ImageNet's thousand, the nine of ImageNet-9, or those of the scenes.
Classes = Literal["imagenet", "in9", "scenes"]
CLASSES: tuple[Classes, ...] = get_args(Classes)

_INTEGER = re.compile(r"[+-]?[0-9]{1,9}(\.0*)?")


@dataclass(frozen=True)
class Vocabulary:
    """The classes of a label space.

    Attributes:
        space: Name of the label space.
        names: Class names, in the order of the indices.
        known: Indices by name, by WordNet id and by folder, in lower case.
    """

    space: str
    names: tuple[str, ...]
    known: Mapping[str, frozenset[int]] = field(repr=False)

    def index(self, text: str) -> int:
        """Return the index of a class.

        Args:
            text: Index, name, WordNet id or folder of the class.

        Raises:
            BadInput: If there is no such class, or several have the name.
        """
        number = int(float(text)) if is_integer(text) else None
        if number is not None and not 0 <= number < len(self.names):
            raise BadInput(f"expected a class of {self.space} from 0 to {len(self.names) - 1}, got {shorten(text)}")
        found = self.named(text) | ({number} if number is not None else set())
        if len(found) == 1:
            return next(iter(found))
        if found:
            which = " or ".join(str(i) for i in sorted(found))
            raise BadInput(f"expected one class of {self.space}, got '{shorten(text)}', which is {which}")
        raise BadInput(f"expected a class of {self.space}, got '{shorten(text)}'")

    def named(self, text: str) -> frozenset[int]:
        """Return the indices of the classes of a name; several names of synonyms are separated by commas."""
        return self.known.get(class_key(text)) or self.known.get(class_key(text.split(",")[0])) or frozenset()


def is_integer(text: str) -> bool:
    """Check whether a text is a whole number, also one that was written as a float (``207.0``)."""
    return _INTEGER.fullmatch(text) is not None


def choose_vocabulary(texts: Sequence[str], dataset: Dataset, classes: Classes | None) -> Vocabulary:
    """Choose the label space that the classes of a table are of.

    Names and WordNet ids decide by themselves. Indices of a set of nine classes are ImageNet's if one is 9 or more;
    otherwise they could be of either space.

    Args:
        texts: Predicted classes, as in the table.
        dataset: Data set that was classified.
        classes: Whose classes they are; None decides by the texts.

    Raises:
        BadInput: If they could be of two spaces, or are of a space that cannot be compared with the set's labels.
    """
    if classes is not None and classes not in CLASSES:
        raise BadInput(f"expected the classes {', '.join(CLASSES)}, got '{classes}'")
    own, nine, thousand = _own(dataset), _nine(), _thousand()
    if classes is not None:
        return {"imagenet": thousand, "in9": nine, "scenes": own}[classes]
    distinct = set(texts) - {""}
    names = {text for text in distinct if not is_integer(text)}
    if names:
        # the first of equals, so that classes of the set come before others of the same names
        return max((own, nine, thousand), key=lambda v: sum(bool(v.named(t)) for t in names))
    highest = max((int(float(text)) for text in distinct), default=0)
    if dataset.space == "in9" and highest < len(own.names):
        raise BadInput(
            f"expected predicted classes whose label space is clear, got whole numbers up to {highest}, which could be "
            f"the nine classes of {dataset.name} or ImageNet's; choose with --classes in9 or --classes imagenet "
            "(classes= in Python)"
        )
    return own if highest < len(own.names) else thousand


def vocabulary_of(space: str, dataset: Dataset) -> Vocabulary | None:
    """Return the classes of a label space by its name, or None if it is neither the set's nor a known one."""
    return next((v for v in (_own(dataset), _nine(), _thousand()) if v.space == space), None)


def _own(dataset: Dataset) -> Vocabulary:
    if dataset.space == "in9":
        return _nine()
    if dataset.space == "imagenet":
        return _thousand()
    return _vocabulary(dataset.space, dataset.classes)


@functools.cache
def _nine() -> Vocabulary:
    folders = tuple(coarse.folder for coarse in IN9)
    plain = tuple(folder.partition("_")[2] for folder in folders)
    return _vocabulary("in9", IN9_NAMES, folders, plain, tuple(coarse.wordnet_id for coarse in IN9))


@functools.cache
def _thousand() -> Vocabulary:
    return _vocabulary("imagenet", imagenet_names(), imagenet_synsets())


def _vocabulary(space: str, names: tuple[str, ...], *others: Sequence[str]) -> Vocabulary:
    known: dict[str, frozenset[int]] = {}
    for listed in (names, *others):
        for i, name in enumerate(listed):
            known[class_key(name)] = known.get(class_key(name), frozenset()) | {i}
    return Vocabulary(space, names, known)
