"""The networks that Noise or Signal trains, by short names: what each learns from, and how its recipe departs."""

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
#: Numbers of training classes in Figure 10, and sizes of the training set relative to IN-9 in Figure 11.
GRANULARITIES, SIZES = (9, 18, 36, 72, 144), (0.25, 0.5, 1.0, 2.0, 4.0)
_NATIVE_CLASSES = 16  # ImageNet classes of each class in IN-9LB


@dataclass(frozen=True)
class Network:
    """A network to train.

    Attributes:
        title: What it is trained on, as printed.
        data: ``in9`` or the larger ``in9l``, which has four times the images.
        changes: How its recipe departs from the preset.
        needs_natives: Whether the scenes must know their ImageNet class.
        trainable: False if `training.fit` cannot make it.
    """

    title: str
    data: Literal["in9", "in9l"] = "in9"
    changes: Mapping[str, Any] = field(default_factory=dict)
    needs_natives: bool = False
    trainable: bool = True

    def recipe(self, preset: Recipe, *, natives: bool) -> Recipe:
        """Give the recipe.

        Args:
            preset: What the changes are made to.
            natives: Whether the scenes know their ImageNet class; without it the subsets of Figure 11 are drawn
                from all classes.
        """
        changes = {k: v for k, v in self.changes.items() if natives or k != "native_classes"}
        return replace(preset, **changes)


def granularity_id(classes: int) -> str:
    """Name the network of Figure 10 with so many training classes."""
    return f"in9lb-{classes}"


def size_id(size: float) -> str:
    """Name the network of Figure 11 with so many times the images of IN-9.

    Example:
        >>> size_id(0.25), size_id(4.0)
        ('size-0.25', 'size-4')
    """
    return f"size-{size:g}"


_ON_VARIANTS = {name: Network(display_name(name), changes={"variants": (name,)}) for name in IN9_VARIANTS}
_FINE = {
    granularity_id(classes): Network(
        f"IN-9LB, {classes} classes",
        "in9l",
        MappingProxyType({"subclasses": classes // 9, "native_classes": _NATIVE_CLASSES}),
        needs_natives=True,
    )
    for classes in GRANULARITIES
}
_SIZED = {
    # §B.2: all sizes are trained with a learning rate of 0.01
    size_id(size): Network(
        f"{size:g} × IN-9",
        "in9l",
        MappingProxyType({"fraction": size / max(SIZES), "native_classes": _NATIVE_CLASSES, "lr": 0.01}),
    )
    for size in SIZES
}
_ROBUST = {
    "in9-l2": Network("IN-9, L2-robust", trainable=False),
    "in9-linf": Network("IN-9, L∞-robust", trainable=False),
}

#: Every network by name; a file ``<name>.pt`` in the folder of ``--trained`` stands for it.
NETWORKS: Catalogue[Network] = Catalogue(
    "network", {**_ON_VARIANTS, "in9l": Network("IN-9L", "in9l"), **_FINE, **_SIZED, **_ROBUST}
)
