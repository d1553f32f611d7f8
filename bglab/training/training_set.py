"""Training sets: the images of one or more variants selected by a recipe, and their targets."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Int, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.labels import IN9_NAMES, OUTSIDE, to_in9
from bglab.scenes import PreparedScenes, SceneSet, open_scenes, prepare
from bglab.seeding import digest, keyed_seed
from bglab.training.recipe import Recipe
from bglab.variants import Dataset, compose, find_variant


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """Training images and their targets; image i is row ``rows[i]`` of the concatenated parts.

    Attributes:
        recipe: Recipe of the run, with ``variants``, ``scenes`` and ``pixels`` filled in.
        parts: One data set per variant.
        rows: Selected rows of the concatenated parts, in ascending order.
        targets: Training target of each image, an output of the network.
        groups: Label of each output of the network.
        space: Label space of the labels.
        classes: Names of the labels.
        redraw: Function that composes the parts with the donors of an epoch; None if they are the same in all epochs.
    """

    recipe: Recipe
    parts: tuple[Dataset, ...]
    rows: Int[np.ndarray, " n"]
    targets: Int[np.ndarray, " n"]
    groups: tuple[int, ...]
    space: str
    classes: tuple[str, ...]
    redraw: Callable[[int], tuple[Dataset, ...]] | None = None

    def __len__(self) -> int:
        return len(self.rows)

    @property
    def rejected(self) -> int:
        """Number of scenes rejected in the parts, because they are unusable or have no donor."""
        return sum(len(part.rejected) for part in self.parts)

    @property
    def from_imagenet(self) -> int:
        """Number of images whose ImageNet class is known."""
        natives = np.array([row.native_label for part in self.parts for row in part.rows], dtype=np.int64)
        return int((natives[self.rows] != OUTSIDE).sum())

    def of_epoch(self, epoch: int) -> TrainingSet:
        """Return the training set with the donors of an epoch."""
        return self if self.redraw is None else replace(self, parts=self.redraw(epoch))

    def images(self, chosen: Int[np.ndarray, " n"], device: torch.device | str) -> UInt8[Tensor, "n 3 h w"]:
        """Render images.

        Args:
            chosen: Indices of the images, in ascending order.
            device: Device of the result.
        """
        rows, start = self.rows[chosen], 0
        batches: list[Tensor] = []
        for part in self.parts:
            own = rows[(rows >= start) & (rows < start + len(part))] - start
            if own.size:
                batches.append(part.images(own, device))
            start += len(part)
        return batches[0] if len(batches) == 1 else torch.cat(batches)


def training_set(
    recipe: Recipe, data: SceneSet | PreparedScenes | Dataset | str, *, progress: bool = True
) -> TrainingSet:
    """Select the training images of a recipe.

    Of scenes labelled with the 1000 ImageNet classes, those that belong to one of the nine classes are used.

    Args:
        recipe: Training recipe.
        data: Scenes to compose the recipe's variants from, or a composed data set.
        progress: Show a progress bar while scenes are prepared for the first time.

    Raises:
        BadInput: If data and recipe do not match.
        UnknownName: If a variant does not exist.
    """
    parts, redraw = _parts(recipe, data, progress=progress)
    first = parts[0]
    space, classes = ("in9", IN9_NAMES) if first.space == "imagenet" else (first.space, first.classes)
    labels = np.concatenate([target_labels(part) for part in parts])
    natives = np.concatenate([[row.native_label for row in part.rows] for part in parts]).astype(np.int64)
    owner = np.repeat(np.arange(len(parts)), [len(part) for part in parts])
    scenes = [row.scene for part in parts for row in part.rows]
    selected = (labels != OUTSIDE) & _in_native_classes(recipe, labels, natives)
    targets = _subclass_targets(recipe, labels, natives, selected, classes)
    for part in range(len(parts)):
        _subsample(recipe, selected, np.flatnonzero(selected & (owner == part)), labels, scenes)
    rows = np.flatnonzero(selected)
    if rows.size == 0:
        raise BadInput(f"expected images of {first.name} to train on, but the recipe selects none; raise its fraction")
    identity = [f"{p.digest} {p.published} {p.size} {p.seed} {p.variant!r}" for p in parts]
    filled = replace(recipe, variants=tuple(p.variant.name for p in parts), scenes=first.name, pixels=digest(identity))
    _check_same_data(recipe, filled)
    groups = tuple(int(g) for g in np.repeat(np.arange(len(classes)), recipe.subclasses))
    return TrainingSet(filled, parts, rows, targets[rows], groups, space, classes, redraw)


def target_labels(dataset: Dataset) -> Int[np.ndarray, " n"]:
    """Return the labels of a data set; ImageNet labels are mapped to the nine classes or ``OUTSIDE``."""
    if dataset.space == "imagenet":
        return to_in9(np.array([row.native_label for row in dataset.rows], dtype=np.int64)).astype(np.int64)
    return np.array([row.label for row in dataset.rows], dtype=np.int64)


def _parts(
    recipe: Recipe, data: SceneSet | PreparedScenes | Dataset | str, *, progress: bool
) -> tuple[tuple[Dataset, ...], Callable[[int], tuple[Dataset, ...]] | None]:
    """Compose one data set per variant, and return them with a function that recomposes them for an epoch."""
    each_epoch = recipe.donors == "each_epoch"
    if isinstance(data, Dataset):
        if each_epoch:
            raise BadInput(
                "expected scenes for a recipe that draws new backgrounds in each epoch, got a data set whose "
                f"backgrounds are fixed ({data.variant.name}); give its scenes instead"
            )
        return (data,), None
    variants = [find_variant(name) for name in recipe.variants]
    if isinstance(data, str):
        data = open_scenes(data)
    prepared = data if isinstance(data, PreparedScenes) else prepare(data, recipe.source_size, progress=progress)

    def compose_all(seed: int) -> tuple[Dataset, ...]:
        return tuple(compose(prepared, variant, seed=seed) for variant in variants)

    # only variants with a drawn donor change between epochs
    has_draw = any(variant.donor in {"same_class", "any_class", "next_class"} for variant in variants)
    redraw = functools.partial(_redraw, compose_all, recipe.seed) if each_epoch and has_draw else None
    return compose_all(recipe.seed), redraw


def _redraw(compose_all: Callable[[int], tuple[Dataset, ...]], seed: int, epoch: int) -> tuple[Dataset, ...]:
    return compose_all(keyed_seed(seed, "backgrounds", epoch))


def _in_native_classes(
    recipe: Recipe, labels: Int[np.ndarray, " n"], natives: Int[np.ndarray, " n"]
) -> Bool[np.ndarray, " n"]:
    """Mark the images of the ``native_classes`` ImageNet classes with most images of each label."""
    if recipe.native_classes == 0:
        return np.ones(len(labels), dtype=bool)
    chosen: list[int] = []
    for label in np.unique(labels[labels != OUTSIDE]):
        indices, counts = np.unique(natives[labels == label], return_counts=True)
        _check_natives(indices, recipe.native_classes, "native_classes")
        chosen += indices[np.lexsort((indices, -counts))][: recipe.native_classes].tolist()
    return np.isin(natives, chosen)


def _subclass_targets(
    recipe: Recipe,
    labels: Int[np.ndarray, " n"],
    natives: Int[np.ndarray, " n"],
    selected: Bool[np.ndarray, " n"],
    classes: Sequence[str],
) -> Int[np.ndarray, " n"]:
    """Compute the targets: labels, or ``subclasses`` groups per label of ImageNet classes with consecutive indices."""
    count = recipe.subclasses
    if count == 1:
        return labels
    targets = np.full(len(labels), OUTSIDE, dtype=np.int64)
    for label in range(len(classes)):
        own = selected & (labels == label)
        indices, ranks = np.unique(natives[own], return_inverse=True)
        _check_natives(indices, count, "subclasses")
        targets[own] = label * count + ranks * count // len(indices)
    return targets


def _check_natives(indices: Int[np.ndarray, " k"], wanted: int, name: str) -> None:
    known = int((indices != OUTSIDE).sum())
    if known < wanted or known < len(indices):
        raise BadInput(
            f"expected scenes of at least {wanted} ImageNet classes per label for {name}={wanted}, got {known} for one "
            "label; use scenes with ImageNet class labels, or a smaller number"
        )


def _subsample(
    recipe: Recipe,
    selected: Bool[np.ndarray, " n"],
    rows: Int[np.ndarray, " k"],
    labels: Int[np.ndarray, " n"],
    scenes: Sequence[str],
) -> None:
    """Deselect, in place, the last images of each label in a keyed order, by ``fraction`` and ``balanced``."""
    counts = np.bincount(labels[rows])
    most = counts[counts > 0].min() if recipe.balanced and counts.size else len(rows)
    if recipe.fraction == 1 and (not recipe.balanced or counts[counts > 0].max() == most):
        return
    place = np.array([keyed_seed(recipe.seed, "fraction", scenes[int(row)]) for row in rows], dtype=np.uint64)
    for label in np.flatnonzero(counts):
        own = rows[labels[rows] == label]
        order = own[np.argsort(place[labels[rows] == label], kind="stable")]
        selected[order[round(recipe.fraction * min(int(counts[label]), int(most))) :]] = False


def _check_same_data(given: Recipe, filled: Recipe) -> None:
    """Raise an error if a recipe with a digest is used on other data."""
    if given.pixels and given.pixels != filled.pixels:
        raise BadInput(
            f"expected the data that the recipe was used on ({given.scenes}, pixels {given.pixels}), got "
            f"{filled.scenes}, pixels {filled.pixels}; clear the recipe's pixels to use it on other data"
        )
