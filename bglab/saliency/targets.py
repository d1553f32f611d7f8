"""Which class a saliency map explains: the predicted one, the object's, the background's, or one against another.

Targets are indices of the model's own classes. A row of marked classes stands for the best-scoring of them, which is
how one of the nine classes is explained to a network with a thousand: by the native class of it that the network
believes in most.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Int
from torch import Tensor

from bglab.errors import BadInput
from bglab.labels import IMAGENET_TO_IN9
from bglab.models import Classifier

#: Classes to explain, one an image: an index, or a row of marked classes of which the best-scoring one is meant.
ClassChoice = Int[Tensor, " n"] | Bool[Tensor, "n c"]
#: "true" and "background" are labels of the scene and of its donor; a number is an index in the model's own classes.
TargetRule = Literal["predicted", "true", "background"] | int
Labels = Sequence[int] | Int[np.ndarray, " n"]


class Targets(NamedTuple):
    """What to explain, and against what.

    Attributes:
        targets: None stands for the predicted class.
        against: None explains the target's logit alone, otherwise the difference of two logits.
    """

    targets: ClassChoice | None
    against: ClassChoice | None


def resolve_targets(
    classifier: Classifier,
    rule: TargetRule | tuple[TargetRule, TargetRule],
    *,
    labels: Labels | None = None,
    donor_labels: Labels | None = None,
    count: int | None = None,
    space: str = "in9",
) -> Targets:
    """Turn a rule into each image's target, in the classifier's own classes.

    Where the labels are of the nine classes and the classifier knows ImageNet's thousand, a label stands for the native
    class of it that scores best in that image.

    Args:
        classifier: Whose classes are meant.
        rule: ``predicted``; ``true`` (``labels``); ``background`` (``donor_labels``); an index of the classifier's own
            classes for all images; or a pair of these, the first of which is explained against the second.
        labels: Labels of the scenes, one per image.
        donor_labels: Labels of the scenes that provide the backgrounds.
        count: Number of images; needed only where no labels tell it.
        space: Label space of both.

    Raises:
        BadInput: If labels are missing, outside of all classes, or of a space that the classifier cannot answer in.

    Example:
        >>> from bglab import load_classifier
        >>> lite = load_classifier("lite:efficientnet_lite0", engine="torch")
        >>> resolve_targets(lite, "true", labels=[0, 7]).targets.sum(1).tolist()  # kinds of dogs, and of primates
        [116, 20]
        >>> resolve_targets(lite, (207, 281), count=2)
        Targets(targets=tensor([207, 207]), against=tensor([281, 281]))
    """
    given = {"true": ("labels", labels), "background": ("donor_labels", donor_labels)}
    counts = {len(values) for _, values in given.values() if values is not None} | ({count} if count else set())
    if len(counts) > 1:
        raise BadInput(f"expected one label an image, got lists for {' and '.join(map(str, sorted(counts)))} images")

    def resolve(one: TargetRule) -> ClassChoice | None:
        if one == "predicted":
            return None
        if isinstance(one, int):
            return _index(classifier, one, counts)
        if one not in given:
            raise BadInput(f"expected a target out of predicted, true, background or an index, got '{one}'")
        name, values = given[one]
        if values is None:
            raise BadInput(f"expected {name} for the target '{one}', got none; give one label an image")
        return _marked_by_label(classifier, np.asarray(values), space)

    if not isinstance(rule, tuple):
        return Targets(resolve(rule), None)
    first, second = (resolve(one) for one in rule)
    if second is None:  # the best of all classes is the predicted one
        second = torch.ones(_count(counts), len(classifier.classes), dtype=torch.bool)
    return Targets(first, second)


def mark_classes(
    choice: ClassChoice | None, count: int, classes: int, *, missing: bool
) -> Bool[Tensor, "{count} {classes}"]:
    """Write a choice of classes as one row of marks an image.

    Args:
        choice: An index or a row of marks an image, or None.
        count: Number of images.
        classes: Number of classes.
        missing: The mark of every class where there is no choice.

    Raises:
        BadInput: If the choice does not fit the images or the classes.

    Example:
        >>> mark_classes(torch.tensor([2, 0]), 2, 3, missing=True).int().tolist()
        [[0, 0, 1], [1, 0, 0]]
    """
    if choice is None:
        return torch.full((count, classes), missing)
    wanted = (count,) if choice.dtype != torch.bool else (count, classes)
    if tuple(choice.shape) != wanted:
        raise BadInput(
            f"expected one target an image ({count}) or a row of {classes} marks an image, got {choice.dtype} "
            f"of shape {tuple(choice.shape)}; see resolve_targets"
        )
    if choice.dtype == torch.bool:
        return choice
    if count and not 0 <= int(choice.min()) <= int(choice.max()) < classes:
        raise BadInput(
            f"expected targets from 0 to {classes - 1}, the model's own classes, got {int(choice.min())} to "
            f"{int(choice.max())}; labels of another space go through resolve_targets"
        )
    return torch.nn.functional.one_hot(choice.long(), classes).bool()


def _count(counts: set[int]) -> int:
    if not counts:
        raise BadInput("expected the number of images for this target, got none; give count or labels")
    return next(iter(counts))


def _index(classifier: Classifier, index: int, counts: set[int]) -> Int[Tensor, " n"]:
    known = len(classifier.classes)
    if not 0 <= index < known:
        raise BadInput(f"expected an index from 0 to {known - 1}, a class of {classifier.spec.id}, got {index}")
    return torch.full((_count(counts),), index)


def _marked_by_label(classifier: Classifier, labels: Int[np.ndarray, " n"], space: str) -> Bool[Tensor, "n c"]:
    """Mark, for each label, the classifier's own classes that it stands for."""
    own = np.arange(len(classifier.classes))
    if (classifier.spec.space, space) == ("imagenet", "in9"):
        own = IMAGENET_TO_IN9
    elif classifier.spec.space != space:
        raise BadInput(
            f"expected labels that {classifier.spec.id} can answer in ({classifier.spec.space}), got {space}; "
            "choose the target predicted, or another model"
        )
    marks = torch.from_numpy((labels[:, None] == own[None, :]) & (labels[:, None] >= 0))
    if not bool(marks.any(1).all()):
        row = int((~marks.any(1)).nonzero()[0, 0])
        raise BadInput(
            f"expected labels of {space}, got {int(labels[row])} for image {row}; choose the target predicted for it"
        )
    return marks
