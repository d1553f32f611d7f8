"""Which class a saliency map explains: the predicted one, the object's, the background's, or one against another.

Targets are classes of the model's own label space. A target may also be a set of classes, which stands for the
best-scoring one: a model with ImageNet's thousand classes explains one of the nine classes by the ImageNet class that
scores best among those that belong to it.
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

#: Class to explain per image: an index, or a row of marks that stands for the best-scoring marked class.
ClassChoice = Int[Tensor, " n"] | Bool[Tensor, "n c"]
#: "true" and "background" are the labels of the scene and of its donor; a number is an index of the model's classes.
TargetRule = Literal["predicted", "true", "background"] | int
Labels = Sequence[int] | Int[np.ndarray, " n"]


class Targets(NamedTuple):
    """Classes to explain in a batch of images.

    Attributes:
        targets: Class to explain in each image; None stands for the predicted class.
        against: Class whose logit is subtracted; None explains the target's logit alone.
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
    """Resolve a rule to the target of each image, among the classifier's own classes.

    If the labels are of the nine classes and the classifier has ImageNet's thousand, a label marks all ImageNet classes
    that belong to it, of which the best-scoring one in the image is explained.

    Args:
        classifier: Classifier whose classes are explained.
        rule: ``predicted``; ``true`` (``labels``); ``background`` (``donor_labels``); an index of the classifier's own
            classes for all images; or a pair of these, the first of which is explained against the second.
        labels: Labels of the scenes, one per image.
        donor_labels: Labels of the scenes that provide the backgrounds.
        count: Number of images; required only without labels.
        space: Label space of both kinds of labels.

    Raises:
        BadInput: If labels are missing, outside all classes, or of a label space that the classifier does not predict.

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
        raise BadInput(f"expected one label per image, got lists for {' and '.join(map(str, sorted(counts)))} images")

    def resolve(one: TargetRule) -> ClassChoice | None:
        if one == "predicted":
            return None
        if isinstance(one, int):
            return _index(classifier, one, counts)
        if one not in given:
            raise BadInput(f"expected the target predicted, true, background or an index, got '{one}'")
        name, values = given[one]
        if values is None:
            raise BadInput(f"expected {name} for the target '{one}', got none; give one label per image")
        return _marked_by_label(classifier, np.asarray(values), space)

    if not isinstance(rule, tuple):
        return Targets(resolve(rule), None)
    first, second = (resolve(one) for one in rule)
    if second is None:  # the best-scoring of all classes is the predicted one
        second = torch.ones(_count(counts), len(classifier.classes), dtype=torch.bool)
    return Targets(first, second)


def mark_classes(
    choice: ClassChoice | None, count: int, classes: int, *, missing: bool
) -> Bool[Tensor, "{count} {classes}"]:
    """Encode a choice of classes as one row of marks per image.

    Args:
        choice: One index or one row of marks per image, or None.
        count: Number of images.
        classes: Number of classes.
        missing: Mark of every class if the choice is None.

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
            f"expected one target per image ({count}) or {classes} marks per image, got {choice.dtype} "
            f"of shape {tuple(choice.shape)}; see resolve_targets"
        )
    if choice.dtype == torch.bool:
        return choice
    low, high = torch.stack([choice.min(), choice.max()]).tolist() if count else (0, 0)  # one transfer for both
    if not 0 <= low <= high < classes:
        raise BadInput(
            f"expected targets from 0 to {classes - 1}, the model's own classes, got {low} to {high}; labels of "
            "another space go through resolve_targets"
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
    """Mark, for each label, the classifier's own classes that belong to it."""
    own = np.arange(len(classifier.classes))
    if (classifier.spec.space, space) == ("imagenet", "in9"):
        own = IMAGENET_TO_IN9
    elif classifier.spec.space != space:
        raise BadInput(
            f"expected labels of the space that {classifier.spec.id} predicts ({classifier.spec.space}), got {space}; "
            "choose the target predicted, or another model"
        )
    marks = torch.from_numpy((labels[:, None] == own[None, :]) & (labels[:, None] >= 0))
    if not bool(marks.any(1).all()):
        row = int((~marks.any(1)).nonzero()[0, 0])
        raise BadInput(
            f"expected labels of {space}, got {int(labels[row])} for image {row}; choose the target predicted for it"
        )
    return marks
