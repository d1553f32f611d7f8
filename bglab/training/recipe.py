"""Recipes: everything that defines a training run; does not import torch, so that commands start fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from bglab.catalogue import Catalogue
from bglab.errors import BadInput

Schedule = Literal["step", "cosine", "linear"]
Donors = Literal["fixed", "each_epoch"]

#: The five architectures that Noise or Signal trains on IN-9L (Table 2) → name in timm, or ``tv_`` and the name in
#: torchvision if timm has none. The paper does not state the width of ShuffleNet v2; 1.0 is the usual one.
PAPER_ARCHITECTURES: Catalogue[str] = Catalogue(
    "network of Table 2",
    {
        "AlexNet": "tv_alexnet",
        "ShuffleNet": "tv_shufflenet_v2_x1_0",
        "ResNet-50": "resnet50",
        "WRN-50x2": "wide_resnet50_2",
        "VGG16-BN": "vgg16_bn",
    },
)


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:  # also false for NaN
        raise BadInput(f"expected {name} of a recipe from {low:g} to {high:g}, got {value:g}")


@dataclass(frozen=True)
class Augmentation:
    """Random changes to training images.

    Attributes:
        crop_area: Range of a crop's area, as a fraction of the image's; (1, 1) keeps the whole image.
        crop_ratio: Range of a crop's aspect ratio, width over height.
        flip: Probability of a horizontal flip.
        brightness: Maximum relative change of brightness.
        contrast: Maximum relative change of contrast.
        saturation: Maximum relative change of saturation.

    Raises:
        BadInput: If a value is out of its range.
    """

    crop_area: tuple[float, float] = (0.08, 1.0)
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    flip: float = 0.5
    brightness: float = 0.1
    contrast: float = 0.1
    saturation: float = 0.1

    def __post_init__(self) -> None:
        for name in ("flip", "brightness", "contrast", "saturation"):
            _check(name, getattr(self, name), 0, 1)
        for name, most in (("crop_area", 1.0), ("crop_ratio", math.inf)):
            low, high = getattr(self, name)
            if not 0 < low <= high <= most:
                raise BadInput(
                    f"expected {name} of a recipe as two rising numbers above 0{' and at most 1' if most == 1 else ''}"
                    f", got ({low:g}, {high:g}); (1, 1) leaves images whole"
                )


#: No changes to training images.
NO_AUGMENTATION = Augmentation((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, 0.0, 0.0)

# smallest and largest valid value of each number
_RANGES: Mapping[str, tuple[float, float]] = {
    "size": (16, 4096),
    "source_scale": (1, 8),
    "epochs": (1, 1_000_000),
    "batch_size": (2, 1_000_000),
    "lr": (0, 100),
    "decay_epochs": (1, 1_000_000),
    "decay_rate": (0, 1),
    "warmup_epochs": (0, 1_000_000),
    "momentum": (0, 1),
    "weight_decay": (0, 1),
    "label_smoothing": (0, 1),
    "subclasses": (1, 1000),
    "native_classes": (0, 1000),
    "fraction": (0, 1),
}
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "schedule": ("step", "cosine", "linear"),
    "donors": ("fixed", "each_epoch"),
    "amp_dtype": ("none", "tf32", "bfloat16", "float16"),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run; the defaults are Noise or Signal's (Appendix C).

    The paper does not state ``decay_rate``, the strengths of the ``augmentation``, ``source_scale``, ``donors`` and
    ``seed``. The trained network is that of the last epoch.

    Attributes:
        architecture: Name in timm, or ``tv_`` and the name in torchvision (``PAPER_ARCHITECTURES``).
        variants: Variants to train on; several are concatenated.
        size: Side of the network's input images in pixels.
        source_scale: Side of the images that crops are taken from, as a multiple of ``size``.
        epochs: Number of epochs.
        batch_size: Images per step, over all processes; an incomplete last batch is dropped.
        lr: Maximum learning rate.
        schedule: ``step`` (times ``decay_rate`` every ``decay_epochs``), or ``cosine`` or ``linear`` decay to 0.
        decay_epochs: Epochs between two drops of the learning rate with ``step``.
        decay_rate: Factor of a drop with ``step``; not stated in the paper, 0.1 is customary.
        warmup_epochs: Epochs over which the learning rate rises linearly from 0.
        momentum: Momentum of SGD.
        nesterov: Whether to use Nesterov momentum.
        weight_decay: Weight decay, applied to all parameters.
        label_smoothing: Label smoothing, the fraction of the target spread over all classes.
        augmentation: Random changes to the images.
        donors: ``fixed`` draws the background of each scene once, as in the released data sets; ``each_epoch`` draws
            it anew in every epoch.
        seed: Seed for initialisation, order, augmentation, dropout and the donor draw.
        amp_dtype: Precision of training; ``none`` is IEEE float32, ``tf32`` exists on NVIDIA GPUs only.
        deterministic: Whether to use only algorithms that return the same bits each time. On CPUs all do.
        subclasses: Number of groups of ImageNet classes that each label is split into for training (Figure 10: 1, 2, 4,
            8, 16); 1 trains on the labels. The trained classifier maps its predictions back to labels.
        native_classes: Number of ImageNet classes used of each label, those with most images; 0 uses all (IN-9LB: 16).
        fraction: Fraction of each label's images to train on (Figure 11); smaller sets are subsets of larger ones.
        balanced: Whether to reduce every label to the number of images of the rarest one, as in IN-9L.
        scenes: Name of the scenes; filled in by `bglab.training.fit`.
        pixels: Digest of the training data; filled in by `bglab.training.fit`. A recipe with a digest is valid only
            for these data.

    Raises:
        BadInput: If a value is out of its range.

    Example:
        >>> [round(PRESETS["paper"].lr_at(epoch), 6) for epoch in (0, 49.9, 50, 199)]
        [0.1, 0.1, 0.01, 0.0001]
    """

    architecture: str = "resnet50"
    variants: tuple[str, ...] = ("original",)
    size: int = 224
    source_scale: float = 8 / 7  # 256 px for 224
    epochs: int = 200
    batch_size: int = 256
    lr: float = 0.1
    schedule: Schedule = "step"
    decay_epochs: int = 50
    decay_rate: float = 0.1
    warmup_epochs: float = 0.0
    momentum: float = 0.9
    nesterov: bool = False
    weight_decay: float = 1e-4
    label_smoothing: float = 0.0
    augmentation: Augmentation = field(default_factory=Augmentation)
    donors: Donors = "fixed"
    seed: int = 0
    amp_dtype: Literal["none", "tf32", "bfloat16", "float16"] = "none"
    deterministic: bool = False
    subclasses: int = 1
    native_classes: int = 0
    fraction: float = 1.0
    balanced: bool = False
    scenes: str = ""
    pixels: str = ""

    def __post_init__(self) -> None:
        for name, (low, high) in _RANGES.items():
            _check(name, getattr(self, name), low, high)
        for name, known in _CHOICES.items():
            if getattr(self, name) not in known:
                raise BadInput(f"expected {name} of a recipe out of {', '.join(known)}, got '{getattr(self, name)}'")
        if not self.variants or self.fraction == 0:
            what = "variants" if not self.variants else "fraction"
            raise BadInput(f"expected images to train on, but the recipe's {what} leaves none; set {what}")

    @property
    def source_size(self) -> int:
        """Side in pixels at which scenes are prepared, before cropping."""
        return round(self.size * self.source_scale)

    def lr_at(self, epoch: float) -> float:
        """Compute the learning rate after a number of epochs, which may be fractional."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        if self.schedule == "step":
            return self.lr * self.decay_rate ** (int(epoch) // self.decay_epochs)
        left = (self.epochs - epoch) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.lr * (left if self.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))

    def as_dict(self) -> dict[str, Any]:
        """Return the recipe as plain values, for checkpoints and JSON."""
        return asdict(self)


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe from the values of `Recipe.as_dict`.

    Raises:
        BadInput: If there are unknown fields.

    Example:
        >>> recipe_from(PRESETS["toy"].as_dict()) == PRESETS["toy"]
        True
    """
    known = {f.name for f in fields(Recipe)}
    unknown = sorted(set(values) - known)
    if unknown:
        raise BadInput(
            f"expected a recipe with the fields {', '.join(sorted(known))}, got {', '.join(unknown)} as well; "
            "it is from another version of bglab"
        )
    augmentation = dict(values.get("augmentation", {}))
    for name in ("crop_area", "crop_ratio"):
        if name in augmentation:
            augmentation[name] = tuple(augmentation[name])
    lists = {"variants": tuple(values["variants"])} if "variants" in values else {}
    return Recipe(**{**values, **lists, "augmentation": Augmentation(**augmentation)})


def differences(first: Recipe, second: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the fields in which two recipes differ, with both values.

    Example:
        >>> differences(Recipe(), Recipe(lr=0.01))
        {'lr': (0.1, 0.01)}
    """
    pairs = {f.name: (getattr(first, f.name), getattr(second, f.name)) for f in fields(Recipe)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


_PAPER = Recipe(balanced=True)

#: ``paper`` is the recipe of Noise or Signal (Appendix C); ``toy`` takes minutes on a laptop CPU (64-pixel images).
PRESETS: Catalogue[Recipe] = Catalogue(
    "preset",
    {
        "paper": _PAPER,
        "toy": replace(
            _PAPER,
            architecture="test_resnet",
            size=64,
            source_scale=1.0,
            epochs=12,
            batch_size=64,
            lr=0.1,
            schedule="linear",
            warmup_epochs=3.0,
            nesterov=True,
            weight_decay=5e-4,
            balanced=False,
            augmentation=Augmentation(crop_area=(0.4, 1.0)),
        ),
    },
)
