"""Candidate images of ImageNet for the sets of ImageNet-9, and the selection of equally many per class."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bglab.errors import BadInput
from bglab.labels import IMAGENET_TO_IN9, IN9, OUTSIDE, imagenet_synsets, synset_index
from bglab.rebuild.filters import CODES, Candidate, FilterResult
from bglab.scenes import Layout, choose, find_layout, list_images, open_scenes
from bglab.seeding import keyed_seed

Kind = Literal["in9", "in9l", "in9lb"]

#: Number of subclasses per class in IN-9LB, which is what the smallest class, fish, has.
SUBCLASSES = 16
#: Numbers of subclasses merged into one label, for 144, 72, 36, 18 and 9 classes (Noise or Signal, Appendix B.1).
GRANULARITIES = (1, 2, 4, 8, 16)

_VALIDATION = re.compile(r"ILSVRC2012_(?:val|test)_\d*(?P<number>\d{5})")


class Listing(NamedTuple):
    """All images of a split, with those that are rejected without being opened.

    Attributes:
        root: Root folder of ImageNet.
        candidates: All images, in the order of the folders.
        rejected: Filter results of the images that are rejected already, by the candidate's file.
        subclasses: For IN-9LB, the sorted ImageNet class indices of the subclasses of each class; otherwise empty.
        test_images: Number of images in the test release; 0 if none was given.
    """

    root: Path
    candidates: tuple[Candidate, ...]
    rejected: dict[str, FilterResult]
    subclasses: tuple[tuple[int, ...], ...]
    test_images: int


class Selection(NamedTuple):
    """The images selected for a set.

    Attributes:
        chosen: Selected images by class, in random order within a class.
        results: Filter results of all images, by the candidate's file.
        per_class: Number of images per class.
        notices: Which classes are missing or limit the size of the set, one sentence each.
    """

    chosen: list[Candidate]
    results: dict[str, FilterResult]
    per_class: int
    notices: list[str]


def list_candidates(root: str | Path, kind: Kind, split: str, *, seed: int, test_release: str = "") -> Listing:
    """List a split of ImageNet, in either layout of `bglab.scenes.sources.imagenet`.

    Args:
        root: Root folder of ImageNet.
        kind: The set to build; only ``in9`` needs box annotations.
        split: ``train`` or ``val``.
        seed: Seed for the draw of subclasses of IN-9LB.
        test_release: A release (``in9:PATH``), or a text file with one name per line, whose images are excluded; ""
            for none.

    Raises:
        MissingData: If the images, the annotations or the test release are not there.
        BadInput: If there are no images of ImageNet-9, or a class has too few subclasses for IN-9LB.
    """
    choose("split", split, ("train", "val"))
    layout = find_layout(str(root), split, boxes=kind == "in9")
    tested = names_in(test_release) if test_release else frozenset()
    candidates = tuple(_candidates(layout))
    subclasses = _draw_subclasses(candidates, seed) if kind == "in9lb" else ()
    drawn = {index for group in subclasses for index in group}
    rejected: dict[str, FilterResult] = {}
    seen: dict[str, str] = {}
    for candidate in candidates:
        code, detail = _rejection(candidate, seen, tested, drawn, boxes=kind == "in9")
        if code:
            rejected[candidate.file] = FilterResult(candidate.id, code, f"{CODES[code]}: {detail}")
        else:
            seen[candidate.id] = candidate.file
    if len(rejected) == len(candidates):
        raise BadInput(
            f"expected images of the nine classes in {layout.images}, got none among {len(rejected)}"
            f"{_most_common_reason(rejected)}"
        )
    return Listing(layout.root, candidates, rejected, subclasses, len(tested))


def _candidates(layout: Layout) -> Iterator[Candidate]:
    for found in list_images(layout):
        index = synset_index().get(found.synset, OUTSIDE)
        yield Candidate(
            id=scene_id(found.image.stem, found.synset),
            file=found.image.relative_to(layout.root).as_posix(),
            synset=found.synset,
            label=int(IMAGENET_TO_IN9[index]) if index != OUTSIDE else OUTSIDE,
            annotation=found.annotation.relative_to(layout.root).as_posix() if found.annotation else "",
        )


def scene_id(stem: str, synset: str) -> str:
    """Name a scene as the release does: by WordNet id and, for validation images, the last five digits.

    Example:
        >>> scene_id("ILSVRC2012_val_00000293", "n01440764"), scene_id("n01440764_10026", "n01440764")
        ('n01440764_00293', 'n01440764_10026')
    """
    found = _VALIDATION.fullmatch(stem)
    if found:
        return f"{synset}_{found['number']}"
    return stem if stem.startswith(f"{synset}_") else f"{synset}_{stem}"


def _rejection(
    candidate: Candidate, seen: dict[str, str], tested: frozenset[str], drawn: set[int], *, boxes: bool
) -> tuple[str, str]:
    """Return the code and a detail if an image is rejected without being opened, or else two empty strings."""
    if candidate.label == OUTSIDE:
        return "outside", candidate.synset or "no class"
    if drawn and synset_index()[candidate.synset] not in drawn:
        return "other_subclass", candidate.synset
    if candidate.id in tested:
        return "test_release", candidate.id
    if candidate.id in seen:
        return "duplicate", seen[candidate.id]
    if boxes and not candidate.annotation:
        return "no_annotation", f"no {Path(candidate.file).stem}.xml"
    return "", ""


def names_in(source: str) -> frozenset[str]:
    """Collect the ids of all images of a test release, including unusable ones.

    Args:
        source: ``in9:PATH``, or a text file with the name or path of one image per line.

    Raises:
        BadInput: If there are none.
    """
    if Path(source).is_file():
        lines = Path(source).read_text(encoding="utf-8").split("\n")
        ids = frozenset(Path(line.strip()).stem for line in lines if line.strip())
    else:
        scenes = open_scenes(source)
        ids = frozenset([*scenes.ids, *(rejection.scene for rejection in scenes.rejected)])
    if not ids:
        raise BadInput(f"expected names of test images in {source}, got none; give the release as in9:PATH")
    return ids


def _draw_subclasses(candidates: Sequence[Candidate], seed: int) -> tuple[tuple[int, ...], ...]:
    """Draw 16 subclasses per class among those with images; the authors' choice is unknown."""
    present = {candidate.synset for candidate in candidates}
    groups: list[tuple[int, ...]] = []
    for coarse in IN9:
        there = [index for index in coarse.imagenet if imagenet_synsets()[index] in present]
        if len(there) < SUBCLASSES:
            raise BadInput(
                f"expected at least {SUBCLASSES} subclasses of {coarse.name} for in9lb, got {len(there)}; "
                "give the complete ImageNet, or build in9l"
            )
        ranked = sorted(there, key=lambda index: keyed_seed(seed, "subclass", imagenet_synsets()[index]))
        groups.append(tuple(sorted(ranked[:SUBCLASSES])))
    return tuple(groups)


def labels_at(subclasses: Sequence[Sequence[int]], granularity: int) -> dict[int, int]:
    """Map ImageNet class indices to labels, merging ``granularity`` neighbouring subclasses into one label.

    Neighbours in ImageNet's order are mostly neighbours in WordNet; which subclasses the authors merged is unknown.

    Args:
        subclasses: Sorted ImageNet class indices of the subclasses of each class.
        granularity: Number of subclasses per label; 1 keeps all apart, 16 gives the nine classes.

    Returns:
        The label by ImageNet class index.

    Example:
        >>> labels_at([[151, 153, 160, 170], [7, 8, 9, 10]], 2)
        {151: 0, 153: 0, 160: 1, 170: 1, 7: 2, 8: 2, 9: 3, 10: 3}
    """
    labels: dict[int, int] = {}
    for group in subclasses:
        first = max(labels.values(), default=-1) + 1
        labels |= {index: first + position // granularity for position, index in enumerate(group)}
    return labels


def select(
    listed: Listing,
    filter_all: Callable[[Sequence[Candidate]], Iterator[FilterResult]],
    *,
    per_class: int | None,
    seed: int,
) -> Selection:
    """Filter images in random order until every class has enough, and reduce all classes to the same size.

    Each image has a random rank that depends on its id only, and a class consists of its accepted images of the lowest
    ranks. If ``per_class`` is given, images of higher ranks are not filtered at all, without changing the selection.

    Args:
        listed: All images of the split.
        filter_all: Function that yields the filter results of some images, in order.
        per_class: Largest number of images per class; None for the number in the smallest class.
        seed: Seed of the ranks.

    Raises:
        BadInput: If no image is accepted.
    """
    queues = _ranked(listed, seed)
    results = dict(listed.rejected)
    accepted: dict[int, list[Candidate]] = {label: [] for label in queues}
    heads = dict.fromkeys(queues, 0)
    while turn := _next_turn(queues, heads, accepted, per_class):
        for candidate, result in zip(turn, filter_all(turn), strict=True):
            results[candidate.file] = result
            if not result.code:
                accepted[candidate.label].append(candidate)
    counts = {label: len(found) for label, found in accepted.items() if found}
    if not counts:
        raise BadInput(
            f"expected images to accept in {listed.root}, got none of {len(results)}{_most_common_reason(results)}"
        )
    size = min(counts.values())
    for label, queue in queues.items():
        for candidate in accepted[label][size:]:
            results[candidate.file] = _excluded("balanced_out", results[candidate.file], size)
        for candidate in queue[heads[label] :]:
            results[candidate.file] = _excluded("not_drawn", FilterResult(candidate.id), size)
    chosen = [candidate for label in queues for candidate in accepted[label][:size]]
    return Selection(chosen, results, size, _balance_notices(counts, size, per_class))


def _ranked(listed: Listing, seed: int) -> dict[int, list[Candidate]]:
    """Sort the images of each class by a random rank that does not depend on other images."""
    queues: dict[int, list[Candidate]] = {}
    for candidate in listed.candidates:
        if candidate.file not in listed.rejected:
            queues.setdefault(candidate.label, []).append(candidate)
    for queue in queues.values():
        queue.sort(key=lambda candidate: (keyed_seed(seed, "balance", candidate.id), candidate.id))
    return dict(sorted(queues.items()))


def _next_turn(
    queues: dict[int, list[Candidate]],
    heads: dict[int, int],
    accepted: dict[int, list[Candidate]],
    per_class: int | None,
) -> list[Candidate]:
    """Take the next images of every class, as many as it still needs, and advance ``heads`` in place."""
    turn: list[Candidate] = []
    for label, queue in queues.items():
        needed = len(queue) if per_class is None else per_class - len(accepted[label])
        taken = queue[heads[label] : heads[label] + needed]
        heads[label] += len(taken)
        turn += taken
    return turn


def _excluded(code: str, result: FilterResult, size: int) -> FilterResult:
    return result._replace(code=code, reason=f"{CODES[code]}: {size} per class")


def _most_common_reason(results: dict[str, FilterResult]) -> str:
    """Name the most common reason for a rejection."""
    codes = Counter(result.code for result in results.values()).most_common(1)
    return f"; the most common reason: {CODES[codes[0][0]]}" if codes else ""


def _balance_notices(counts: dict[int, int], size: int, per_class: int | None) -> list[str]:
    """Report which classes are missing or limit the size of the others."""
    notices: list[str] = []
    missing = [coarse.name for label, coarse in enumerate(IN9) if label not in counts]
    if missing:
        notices.append(f"no image of {', '.join(missing)} was accepted; the set has {len(counts)} of 9 classes")
    if per_class is not None and size < per_class:
        smallest = ", ".join(IN9[label].name for label, count in counts.items() if count == size)
        notices.append(
            f"expected {per_class} images per class, but {smallest} has {size}; all classes are reduced to that"
        )
    return notices
