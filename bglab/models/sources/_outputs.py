"""What the outputs of a network stand for, by the names that its configuration has for them."""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any, NamedTuple

from bglab.errors import BadInput
from bglab.labels import IN9, imagenet_names, imagenet_synsets

#: Numbers of classes of ImageNet-21k in its versions, with and without a class for everything else.
_TWENTY_ONE_THOUSAND = frozenset({10450, 11221, 11821, 21841, 21842, 21843})
#: Share of ImageNet's names that have to be recognised in their place.
_MOST = 0.5
_GENERIC = re.compile(r"(label|class)?[ _-]*\d+", re.IGNORECASE)


class Outputs(NamedTuple):
    """Label space and class names of a network's outputs.

    Attributes:
        space: ``imagenet``, ``in9`` or a name of its own.
        classes: Class names in the order of the label space; () for ``imagenet`` and ``in9``.
        order: For each class, its position among the outputs; None if both have the same order.
        notes: What was recognised or assumed, one sentence each.
    """

    space: str
    classes: tuple[str, ...]
    order: tuple[int, ...] | None
    notes: tuple[str, ...]


def read_outputs(names: Sequence[str], own: str) -> Outputs:
    """Recognise ImageNet's classes and the nine of ImageNet-9 by name, in any order.

    Names that only count (``LABEL_0``) are assumed to be ImageNet's if there are 1000, and the nine if there are 9.

    Args:
        names: Names of the outputs, in their order.
        own: Name of the label space of other classes.

    Raises:
        BadInput: If the outputs are those of ImageNet-21k.
    """
    if len(names) in _TWENTY_ONE_THOUSAND:
        raise BadInput(
            f"expected a classifier of ImageNet's 1000 classes, the nine, or a data set of your own, got one with the "
            f"{len(names):,} of ImageNet-21k (or 22k); choose its version fine-tuned on ImageNet-1k"
        )
    generic = all(_GENERIC.fullmatch(name.strip()) for name in names)
    if generic and len(names) in {9, 1000}:
        space, which = ("in9", "the nine of ImageNet-9") if len(names) == 9 else ("imagenet", "ImageNet's")
        note = f"its {len(names)} classes have no names ({names[0]}, …) and are assumed to be {which}, in their order"
        return Outputs(space, (), None, (note,))
    found = _as_in9(names) if len(names) == len(IN9) else None
    if len(names) in {1000, 1001}:
        found = _as_imagenet(names)
    if found is not None:
        return found
    unique, notes = _unique(names)
    return Outputs(own, unique, None, notes)


def _plain(name: str) -> str:
    return " ".join(re.sub(r"[\W_]+", " ", name.casefold()).split())


def _order(positions: Sequence[int]) -> tuple[int, ...] | None:
    """Invert a list of each output's class; None if the order is the same already."""
    order = tuple(sorted(range(len(positions)), key=positions.__getitem__))
    return None if order == tuple(range(len(positions))) else order


def _as_in9(names: Sequence[str]) -> Outputs | None:
    known = {
        _plain(alias): label
        for label, coarse in enumerate(IN9)
        for alias in (coarse.name, coarse.folder, coarse.folder[3:], coarse.wordnet_id)
    }
    positions = [known.get(_plain(name), -1) for name in names]
    if sorted(positions) != list(range(len(IN9))):
        return None
    order = _order(positions)
    notes = ("its classes are the nine of ImageNet-9" + (", put in their order" if order else ""),)
    return Outputs("in9", (), order, notes)


def _as_imagenet(names: Sequence[str]) -> Outputs | None:
    """Recognise ImageNet's classes, and leave out an output for everything else."""
    kept = list(range(len(names)))
    notes = []
    if len(names) == 1001:
        others = [i for i, name in enumerate(names) if _plain(name) in {"background", "other", "others", "none"}]
        if len(others) != 1:
            return None
        kept.remove(others[0])
        notes.append(f"its output for '{names[others[0]]}' is left out, so that ImageNet's 1000 classes remain")
    candidates = [_candidates(names[i]) for i in kept]
    hits = sum(position in found for position, found in enumerate(candidates))
    counts = Counter(names)  # some lists have a name twice: once where it belongs, once by mistake
    elsewhere = sum(
        bool(found) and position not in found and counts[names[i]] == 1
        for position, (i, found) in enumerate(zip(kept, candidates, strict=True))
    )
    if hits >= _MOST * len(kept) and not elsewhere:
        order = None if len(kept) == len(names) else tuple(kept)
        in_place = "its classes are ImageNet's, in their order"
        notes.append(in_place if hits == len(kept) else f"{in_place}: {hits} of {len(kept)} names were recognised")
        return Outputs("imagenet", (), order, tuple(notes))
    positions = _assigned(candidates)
    if positions is None:
        return None
    notes.append("its classes are ImageNet's, put in their order by name")
    shared = sorted({names[i] for i, found in zip(kept, candidates, strict=True) if len(found) > 1})
    if shared:
        notes.append(f"of classes of the same name ({', '.join(shared[:5])}) the first is taken for ImageNet's first")
    order = tuple(kept[i] for i in sorted(range(len(kept)), key=positions.__getitem__))
    return Outputs("imagenet", (), order, tuple(notes))


def _assigned(candidates: Sequence[frozenset[int]]) -> list[int] | None:
    """Choose a class for each output so that each class occurs once, unambiguous names first; None if impossible."""
    positions = [-1] * len(candidates)
    free = set(range(len(candidates)))
    for i in sorted(range(len(candidates)), key=lambda i: len(candidates[i])):
        left = candidates[i] & free
        if not left:
            return None
        positions[i] = min(left)
        free.remove(positions[i])
    return positions


@functools.cache
def _known() -> tuple[dict[str, frozenset[int]], ...]:
    """Map names to ImageNet's indices: as they are written, for a cardigan is not a Cardigan; plain; any synonym."""
    from timm.data import ImageNetInfo  # pyright: ignore[reportPrivateImportUsage] - imported here, it takes seconds

    described: Any = ImageNetInfo().label_descriptions(as_dict=True)
    levels: tuple[dict[str, set[int]], ...] = ({}, {}, {}, {})
    for index, (synset, name) in enumerate(zip(imagenet_synsets(), imagenet_names(), strict=True)):
        synonyms = str(described[synset]).split(",")
        whole = (synset, name, ",".join(synonyms))
        for level, keys in enumerate((whole, map(_plain, whole), map(_plain, synonyms[:1]), map(_plain, synonyms))):
            for key in keys:
                levels[level].setdefault(key, set()).add(index)
    return tuple({key: frozenset(found) for key, found in level.items()} for level in levels)


def _candidates(name: str) -> frozenset[int]:
    """Return the indices of the ImageNet classes that a name may stand for, by the most specific reading."""
    written, exact, first, any_synonym = _known()
    head = _plain(name.split(",")[0])
    synset = re.match(r"n\d{8}\b", name)  # "n01440764 tench, Tinca tinca"
    readings = (
        written.get(synset[0] if synset else name.strip()),
        exact.get(_plain(name)),
        first.get(head),
        any_synonym.get(head),
    )
    return next((found for found in readings if found), frozenset())


def _unique(names: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Number names that occur more than once."""
    counts = Counter(names)
    twice = sorted(name for name, count in counts.items() if count > 1)
    if not twice:
        return tuple(names), ()
    numbered = tuple(f"{name} ({i})" if counts[name] > 1 else name for i, name in enumerate(names))
    return numbered, (f"names that occur more than once ({', '.join(twice[:5])}) carry the number of their output",)
