"""The training runs of Noise or Signal by short name: the training set of each network and its recipe's changes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any, Literal

from bglab.catalogue import Catalogue
from bglab.names import display_name
from bglab.training import Recipe
from bglab.variants import IN9_VARIANTS

#: The training sets of Table 5, in the order of its rows.
TABLE_5 = (
    "mixed_next", "mixed_rand", "mixed_same", "no_fg", "only_bg_b", "only_bg_t", "only_fg", "original", "in9l",
)  # fmt: skip
#: Numbers of training classes (Figure 10), and training set sizes as multiples of IN-9 (Figure 11).
GRANULARITIES, SIZES = (9, 18, 36, 72, 144), (0.25, 0.5, 1.0, 2.0, 4.0)
#: Number of training images of IN-9, 5,045 per class; IN-9L has about four times as many (Appendix A).
IN9_IMAGES, IN9L_TIMES = 45_405, 4
_NATIVE_CLASSES = 16  # ImageNet classes per class in IN-9LB


@dataclass(frozen=True)
class TrainingRun:
    """A network to train.

    Attributes:
        title: Display name of its training set.
        data: Source of the training images: ``in9``, or ``in9l`` with four times as many.
        changes: Fields of the recipe that differ from the preset, with their values.
        needs_natives: Whether the training scenes need ImageNet class labels.
        trainable: False if `training.fit` cannot train it, e.g. adversarially.
    """

    title: str
    data: Literal["in9", "in9l"] = "in9"
    changes: Mapping[str, Any] = field(default_factory=dict)
    needs_natives: bool = False
    trainable: bool = True

    @property
    def images(self) -> int:
        """Number of training images in the paper, about."""
        times = IN9L_TIMES if self.data == "in9l" else 1
        return round(IN9_IMAGES * times * self.changes.get("fraction", 1.0))

    def recipe(self, preset: Recipe, *, natives: bool) -> Recipe:
        """Return the recipe of the run.

        Args:
            preset: Recipe that the changes apply to.
            natives: Whether the scenes have ImageNet class labels; without them the subsets of Figure 11 are drawn
                from all images.
        """
        changes = {k: v for k, v in self.changes.items() if natives or k != "native_classes"}
        return replace(preset, **changes)


def granularity_id(classes: int) -> str:
    """Return the name of the network trained with a number of classes (Figure 10).

    Example:
        >>> granularity_id(144)
        'in9lb-144'
    """
    return f"in9lb-{classes}"


def size_id(size: float) -> str:
    """Return the name of the network trained on a multiple of IN-9's number of images (Figure 11).

    Example:
        >>> size_id(0.25), size_id(4.0)
        ('size-0.25', 'size-4')
    """
    return f"size-{size:g}"


_ON_VARIANTS = {name: TrainingRun(display_name(name), changes={"variants": (name,)}) for name in IN9_VARIANTS}
_FINE = {
    granularity_id(classes): TrainingRun(
        f"IN-9LB, {classes} classes",
        "in9l",
        MappingProxyType({"subclasses": classes // 9, "native_classes": _NATIVE_CLASSES}),
        needs_natives=True,
    )
    for classes in GRANULARITIES
}
_SIZED = {
    # §B.2: all sizes are trained with a learning rate of 0.01
    size_id(size): TrainingRun(
        f"{size:g} × IN-9",
        "in9l",
        MappingProxyType({"fraction": size / max(SIZES), "native_classes": _NATIVE_CLASSES, "lr": 0.01}),
    )
    for size in SIZES
}
_ROBUST = {
    "in9-l2": TrainingRun("IN-9, L2-robust", trainable=False),
    "in9-linf": TrainingRun("IN-9, L∞-robust", trainable=False),
}

#: Every training run by name; a file ``<name>.pt`` in the folder of ``--trained`` is used instead of training.
TRAINING_RUNS: Catalogue[TrainingRun] = Catalogue(
    "network", {**_ON_VARIANTS, "in9l": TrainingRun("IN-9L", "in9l"), **_FINE, **_SIZED, **_ROBUST}
)
