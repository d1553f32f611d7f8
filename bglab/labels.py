"""Label spaces: the nine classes of ImageNet-9, the thousand of ImageNet, and the map from one to the other.

Source of the map: Noise or Signal, Table 4, and the list of its release, which leaves out Italian greyhound, whippet,
domestic cats and game birds and can therefore not be derived from WordNet.
"""

from __future__ import annotations

import csv
import functools
from importlib import resources
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from bglab.errors import BadInput

DecisionRule = Literal["argmax", "restricted", "summed"]

#: Label of a predicted or true class outside the set's classes; always counts as incorrect.
OUTSIDE = -1


class CoarseClass(NamedTuple):
    """One of the nine classes of ImageNet-9.

    Attributes:
        name: Name in tables and figures.
        folder: Folder of its images in the release.
        wordnet_id: WordNet id of the superclass.
        imagenet: Indices of its ImageNet classes.
    """

    name: str
    folder: str
    wordnet_id: str
    imagenet: tuple[int, ...]


def _indices(ranges: str) -> tuple[int, ...]:
    """Expand "1-3,7" to (1, 2, 3, 7)."""
    bounds = (part.split("-") for part in ranges.split(","))
    return tuple(i for b in bounds for i in range(int(b[0]), int(b[-1]) + 1))


IN9 = (
    CoarseClass("dog", "00_dog", "n02084071", _indices("151-170,173-268")),
    CoarseClass("bird", "01_bird", "n01503061", _indices("7-24,87-100,127-146")),
    CoarseClass(
        "vehicle",
        "02_wheeled vehicle",
        "n04576211",
        _indices(
            "407-408,428,436,444,468,511,547,555,561,565,569,573,586,603,609,612,627,656,661,665,670-671,"
            "675,690,705,717,734,751,757,791,802-803,817,820,829,847,864,866-867,870,880"
        ),
    ),
    CoarseClass("reptile", "03_reptile", "n01661091", _indices("33-68")),
    CoarseClass("carnivore", "04_carnivore", "n02075296", _indices("269-280,286-299,356-362,387-388")),
    CoarseClass("insect", "05_insect", "n02159955", _indices("300-326")),
    CoarseClass(
        "instrument",
        "06_musical instrument",
        "n03800933",
        _indices(
            "401-402,420,432,486,494,513,541,546,558,566,577,579,593-594,641-642,683-684,687,699,776,822,875,881,889"
        ),
    ),
    CoarseClass("primate", "07_primate", "n02469914", _indices("365-384")),
    CoarseClass("fish", "08_fish", "n02512053", _indices("0-6,389-397")),
)

IN9_NAMES = tuple(c.name for c in IN9)


def _imagenet_to_in9() -> Int[np.ndarray, "1000"]:
    table = np.full(1000, OUTSIDE, dtype=np.int16)
    for label, coarse in enumerate(IN9):
        table[list(coarse.imagenet)] = label
    table.setflags(write=False)
    return table


#: Label 0-8 of each ImageNet index, or OUTSIDE for the 630 classes that belong to none of the nine.
IMAGENET_TO_IN9 = _imagenet_to_in9()


def to_in9(native: Int[np.ndarray, "*shape"]) -> Int[np.ndarray, "*shape"]:
    """Map ImageNet indices to labels 0-8, or OUTSIDE; OUTSIDE stays OUTSIDE.

    Example:
        >>> to_in9(np.array([207, 171, 0, -1])).tolist()
        [0, -1, 8, -1]
    """
    native = np.asarray(native)
    return np.where(native >= 0, IMAGENET_TO_IN9[np.maximum(native, 0)], OUTSIDE)


def decide_in9(logits: Float[np.ndarray, "n 1000"], rule: DecisionRule = "argmax") -> Int[np.ndarray, " n"]:
    """Predict one of the nine classes from ImageNet logits.

    Args:
        logits: One row per image.
        rule: ``argmax`` maps the arg-max over all thousand classes (both papers; OUTSIDE counts as incorrect);
            ``restricted`` maps the arg-max over the 370 classes that belong to one of the nine; ``summed`` takes the
            class with the largest sum of softmax probabilities.

    Returns:
        Labels 0-8, or OUTSIDE (only with ``argmax``).

    Raises:
        BadInput: If there is no such rule.
    """
    if rule == "argmax":
        return to_in9(logits.argmax(axis=1))
    if rule == "restricted":
        mapped = np.flatnonzero(IMAGENET_TO_IN9 != OUTSIDE)
        return IMAGENET_TO_IN9[mapped[logits[:, mapped].argmax(axis=1)]].astype(np.int64)
    if rule == "summed":
        return in9_probabilities(logits)[:, : len(IN9)].argmax(axis=1)
    raise BadInput(f"expected a decision rule out of argmax, restricted, summed; got '{rule}'")


def softmax(logits: Float[np.ndarray, "*n c"]) -> Float[np.ndarray, "*n c"]:
    """Turn logits into probabilities along the last axis, with the bits of SciPy's ``softmax`` and without its import.

    Example:
        >>> softmax(np.array([0.0, np.log(3)])).round(6).tolist()
        [0.25, 0.75]
    """
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return powers / powers.sum(axis=-1, keepdims=True)


def in9_probabilities(logits: Float[np.ndarray, "n 1000"]) -> Float[np.ndarray, "n 10"]:
    """Sum the softmax probabilities of each of the nine classes; the tenth column sums all other classes.

    Example:
        >>> logits = np.zeros((1, 1000))
        >>> in9_probabilities(logits).round(3).tolist()
        [[0.116, 0.052, 0.042, 0.036, 0.035, 0.027, 0.026, 0.02, 0.016, 0.63]]
    """
    shares = softmax(logits)
    sums = np.stack([shares[:, list(c.imagenet)].sum(axis=1) for c in IN9], axis=1)
    return np.concatenate([sums, 1 - sums.sum(axis=1, keepdims=True)], axis=1)


@functools.cache
def imagenet_synsets() -> tuple[str, ...]:
    """Return the 1000 WordNet ids in the order of ImageNet's indices, which is ascending."""
    return tuple(row["synset"] for row in _imagenet_classes())


@functools.cache
def imagenet_names() -> tuple[str, ...]:
    """Return the 1000 class names in ImageNet's order: first lemmas of the synsets; crane and maillot occur twice."""
    return tuple(row["name"] for row in _imagenet_classes())


@functools.cache
def synset_index() -> dict[str, int]:
    """Map each ImageNet WordNet id to its index."""
    return {synset: i for i, synset in enumerate(imagenet_synsets())}


#: Label spaces whose class names `class_names` knows.
NAMED_SPACES = ("in9", "imagenet")


def class_names(space: str) -> tuple[str, ...]:
    """Return the class names of the label space ``in9`` or ``imagenet``.

    Raises:
        BadInput: If the label space is another.
    """
    if space == "in9":
        return IN9_NAMES
    if space == "imagenet":
        return imagenet_names()
    raise BadInput(f"expected the label space in9 or imagenet, got '{space}'; other sets carry their own names")


def _imagenet_classes() -> list[dict[str, str]]:
    """Read the package's table of ImageNet's classes, which needs neither timm nor torch."""
    table = resources.files("bglab").joinpath("imagenet_classes.csv")
    return list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
