"""Which images of ImageNet are asked whether they can become scenes of ImageNet-9, and which are not."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from bglab.errors import BadInput
from bglab.labels import IMAGENET_TO_IN9, IN9, OUTSIDE, imagenet_synsets, synset_index
from bglab.rebuild.filters import CODES, Candidate, Verdict
from bglab.scenes import Layout, choose, find_layout, list_images, open_scenes
from bglab.seeding import keyed_seed

Kind = Literal["in9", "in9l", "in9lb"]

#: Sub-classes of each class in IN-9LB; the smallest class, fish, has no more.
SUBCLASSES = 16
#: How many of them are merged into one label (Noise or Signal, Appendix B.1): 144, 72, 36, 18, 9 classes.
GRANULARITIES = (1, 2, 4, 8, 16)

_VALIDATION = re.compile(r"ILSVRC2012_(?:val|test)_\d*(?P<number>\d{5})")


class Listing(NamedTuple):
    """All images of a split: what is left to judge, and what is known to take no part without opening it.

    Attributes:
        root: ImageNet's folder.
        candidates: Every image, in the order of the folders.
        refused: Verdicts on those that take no part, by the candidate's file.
        subclasses: The ImageNet indices of each class that IN-9LB takes, sorted; empty for the others.
        test_images: How many images the test release has; 0 where none was given.
    """

    root: Path
    candidates: tuple[Candidate, ...]
    refused: dict[str, Verdict]
    subclasses: tuple[tuple[int, ...], ...]
    test_images: int


class Selection(NamedTuple):
    """The scenes of a set.

    Attributes:
        chosen: Class by class, in the drawn order.
        verdicts: On every image, by its file.
        per_class: How many images each class that has any has.
        notices: Which classes are missing, or decide the size of the set.
    """

    chosen: list[Candidate]
    verdicts: dict[str, Verdict]
    per_class: int
    notices: list[str]


def list_candidates(root: str | Path, kind: Kind, split: str, *, seed: int, test_release: str = "") -> Listing:
    """List a split of ImageNet in either of its layouts; see `bglab.scenes.sources.imagenet`.

    Args:
        root: ImageNet's folder.
        kind: Which set is built; only ``in9`` needs boxes.
        split: ``train`` or ``val``.
        seed: Draws the sub-classes of IN-9LB.
        test_release: A release (``in9:PATH``), or a file with one name a line, whose images must not be in the set.

    Raises:
        MissingData: If the images, the annotations or the test release are not there.
        BadInput: If there is no image of the nine classes, or IN-9LB lacks sub-classes.
    """
    choose("split", split, ("train", "val"))
    layout = find_layout(str(root), split, boxes=kind == "in9")
    tested = names_in(test_release) if test_release else frozenset()
    candidates = tuple(_candidates(layout))
    subclasses = _draw_subclasses(candidates, seed) if kind == "in9lb" else ()
    drawn = {index for group in subclasses for index in group}
    refused: dict[str, Verdict] = {}
    seen: dict[str, str] = {}
    for candidate in candidates:
        code, detail = _refuse(candidate, seen, tested, drawn, boxes=kind == "in9")
        if code:
            refused[candidate.file] = Verdict(candidate.id, code, f"{CODES[code]}: {detail}")
        else:
            seen[candidate.id] = candidate.file
    if len(refused) == len(candidates):
        raise BadInput(
            f"expected images of the nine classes in {layout.images}, got none among {len(refused)}"
            f"{_commonest(refused)}"
        )
    return Listing(layout.root, candidates, refused, subclasses, len(tested))


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
    """Name a scene as the release does: WordNet id and, for validation images, the last five digits.

    Example:
        >>> scene_id("ILSVRC2012_val_00000293", "n01440764"), scene_id("n01440764_10026", "n01440764")
        ('n01440764_00293', 'n01440764_10026')
    """
    found = _VALIDATION.fullmatch(stem)
    if found:
        return f"{synset}_{found['number']}"
    return stem if stem.startswith(f"{synset}_") else f"{synset}_{stem}"


def _refuse(
    candidate: Candidate, seen: dict[str, str], tested: frozenset[str], drawn: set[int], *, boxes: bool
) -> tuple[str, str]:
    """Say why an image is not even opened: a code and a detail; empty strings if it is."""
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
    """Collect the names of a test release's images, usable or not.

    Args:
        source: ``in9:PATH``, or a text file with one image's name or path a line.

    Raises:
        BadInput: If there is none.
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
    """Draw sixteen sub-classes of each class out of those with images (the authors' choice is unknown)."""
    present = {candidate.synset for candidate in candidates}
    groups: list[tuple[int, ...]] = []
    for coarse in IN9:
        there = [index for index in coarse.imagenet if imagenet_synsets()[index] in present]
        if len(there) < SUBCLASSES:
            raise BadInput(
                f"expected at least {SUBCLASSES} sub-classes of {coarse.name} for in9lb, got {len(there)}; "
                "give the whole of ImageNet, or build in9l"
            )
        ranked = sorted(there, key=lambda index: keyed_seed(seed, "subclass", imagenet_synsets()[index]))
        groups.append(tuple(sorted(ranked[:SUBCLASSES])))
    return tuple(groups)


def labels_at(subclasses: Sequence[Sequence[int]], granularity: int) -> dict[int, int]:
    """Map ImageNet indices to labels when neighbouring sub-classes are merged, so many at a time.

    Neighbours in ImageNet's order are neighbours in WordNet; which ones the authors merged is unknown.

    Args:
        subclasses: Of each class, the ImageNet indices, sorted.
        granularity: How many make one label; 1 keeps them apart, 16 gives the nine classes.

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
    judge_all: Callable[[Sequence[Candidate]], Iterator[Verdict]],
    *,
    per_class: int | None,
    seed: int,
) -> Selection:
    """Judge images until every class has what it needs, in a drawn order, and cut all classes to one size.

    Each image has a rank of its own; a class consists of the accepted images of the lowest ranks. So where a
    number a class is given, later ones need not be judged at all, and the set is the same as if they had been.

    Args:
        listed: All images of the split.
        judge_all: Gives the verdicts on some images, in order.
        per_class: How many images a class may have; None for as many as the smallest class has.
        seed: Of the ranks.

    Raises:
        BadInput: If none is accepted.
    """
    queues = _ranked(listed, seed)
    verdicts = dict(listed.refused)
    accepted: dict[int, list[Candidate]] = {label: [] for label in queues}
    heads = dict.fromkeys(queues, 0)
    while turn := _next_turn(queues, heads, accepted, per_class):
        for candidate, verdict in zip(turn, judge_all(turn), strict=True):
            verdicts[candidate.file] = verdict
            if not verdict.code:
                accepted[candidate.label].append(candidate)
    counts = {label: len(found) for label, found in accepted.items() if found}
    if not counts:
        raise BadInput(f"expected images to accept in {listed.root}, got none of {len(verdicts)}{_commonest(verdicts)}")
    size = min(counts.values())
    for label, queue in queues.items():
        for candidate in accepted[label][size:]:
            verdicts[candidate.file] = _left_out("balanced_out", verdicts[candidate.file], size)
        for candidate in queue[heads[label] :]:
            verdicts[candidate.file] = _left_out("not_drawn", Verdict(candidate.id), size)
    chosen = [candidate for label in queues for candidate in accepted[label][:size]]
    return Selection(chosen, verdicts, size, _balance_notices(counts, size, per_class))


def _ranked(listed: Listing, seed: int) -> dict[int, list[Candidate]]:
    """Put the images of each class into a drawn order that no other image changes."""
    queues: dict[int, list[Candidate]] = {}
    for candidate in listed.candidates:
        if candidate.file not in listed.refused:
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
    """Take from every class as many images as it still lacks, and move its head on."""
    turn: list[Candidate] = []
    for label, queue in queues.items():
        lacking = len(queue) if per_class is None else per_class - len(accepted[label])
        taken = queue[heads[label] : heads[label] + lacking]
        heads[label] += len(taken)
        turn += taken
    return turn


def _left_out(code: str, verdict: Verdict, size: int) -> Verdict:
    return verdict._replace(code=code, reason=f"{CODES[code]}: {size} a class")


def _commonest(verdicts: dict[str, Verdict]) -> str:
    """Name the commonest reason to leave an image out."""
    codes = Counter(verdict.code for verdict in verdicts.values()).most_common(1)
    return f"; the commonest reason to leave one out: {CODES[codes[0][0]]}" if codes else ""


def _balance_notices(counts: dict[int, int], size: int, per_class: int | None) -> list[str]:
    """Say which classes are missing or keep the others small."""
    notices: list[str] = []
    missing = [coarse.name for label, coarse in enumerate(IN9) if label not in counts]
    if missing:
        notices.append(f"no image of {', '.join(missing)} was accepted; the set has {len(counts)} of 9 classes")
    if per_class is not None and size < per_class:
        smallest = ", ".join(IN9[label].name for label, count in counts.items() if count == size)
        notices.append(f"expected {per_class} images a class, but {smallest} has {size}; every class is cut to that")
    return notices
