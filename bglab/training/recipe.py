"""Recipes: everything that defines a training run, as one value; no torch, so that commands start at once."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any, Literal

from bglab.catalogue import Catalogue
from bglab.errors import BadInput

Schedule = Literal["step", "cosine", "linear"]
Donors = Literal["fixed", "each_epoch"]

#: The five networks that Noise or Signal trains on IN-9L (Table 2), under the names that load them: timm's, and
#: ``tv_`` for torchvision's where timm has none. Which width of ShuffleNet v2 it was is not stated; 1.0 is usual.
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
        crop_area: Part of the image's area that a crop takes, from and to; (1, 1) takes it whole.
        crop_ratio: Width over height of a crop, from and to.
        flip: Probability of a mirror image.
        brightness: Greatest change of brightness, as a fraction.
        contrast: Greatest change of contrast, as a fraction.
        saturation: Greatest change of saturation, as a fraction.

    Raises:
        BadInput: If a strength is out of its range.
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


#: Images as they are.
NO_AUGMENTATION = Augmentation((1.0, 1.0), (1.0, 1.0), 0.0, 0.0, 0.0, 0.0)

# each number's least and greatest value
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
    "amp_dtype": ("none", "bfloat16", "float16"),
}


@dataclass(frozen=True)
class Recipe:
    """Everything that defines a training run; the defaults are Noise or Signal's (Appendix C).

    What the paper leaves open has a name here and can be changed: ``decay_rate``, the strengths of the
    ``augmentation``, ``source_scale``, ``donors`` and ``seed``. Its network is the last epoch's.

    Attributes:
        architecture: A name of timm, or ``tv_`` and a name of torchvision (``PAPER_ARCHITECTURES``).
        variants: What to train on; several are put together into one set.
        size: Side of the images the network sees, in pixels.
        source_scale: Side of the images that crops are taken from, as a multiple of ``size``.
        epochs: Times each image is seen.
        batch_size: Images a step, over all processes; what is left of an epoch is seen in another one.
        lr: Greatest learning rate.
        schedule: ``step`` (times ``decay_rate`` every ``decay_epochs``), ``cosine`` or ``linear`` down to 0.
        decay_epochs: See ``schedule``.
        decay_rate: See ``schedule``; not stated, a tenth is the custom.
        warmup_epochs: Over which the learning rate rises linearly from 0.
        momentum: Of the gradient descent.
        nesterov: Whether the momentum is Nesterov's.
        weight_decay: On all weights.
        label_smoothing: Share of the target that is spread over all classes.
        augmentation: Random changes to images.
        donors: ``fixed`` gives each scene one background for good, as the papers' files do; ``each_epoch``
            draws it anew.
        seed: Of weights, order, augmentation, dropout and donors.
        amp_dtype: Precision of the arithmetic; ``none`` is float32.
        subclasses: Into how many groups of ImageNet classes each label is split for training; 1 trains on the
            labels themselves. The trained network answers in labels all the same (Figure 10: 1, 2, 4, 8, 16).
        native_classes: How many ImageNet classes of each label take part; 0 takes all (IN-9LB: 16).
        fraction: Part of every label's images that takes part (Figure 11); a smaller part lies in a larger.
        balanced: Whether every label is cut to the number of the rarest one, as in IN-9L.
        scenes: Name of the scenes; filled in by `training.fit`.
        pixels: Digest of what the images are made from; filled in by `training.fit`. A recipe that carries one
            is refused other data.

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
    amp_dtype: Literal["none", "bfloat16", "float16"] = "none"
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
        """Side in pixels at which scenes are prepared."""
        return round(self.size * self.source_scale)

    def lr_at(self, epoch: float) -> float:
        """Give the learning rate when so many epochs are done, a fraction of one included."""
        if epoch < self.warmup_epochs:
            return self.lr * epoch / self.warmup_epochs
        if self.schedule == "step":
            return self.lr * self.decay_rate ** (int(epoch) // self.decay_epochs)
        left = (self.epochs - epoch) / max(self.epochs - self.warmup_epochs, 1e-9)
        return self.lr * (left if self.schedule == "linear" else 0.5 - 0.5 * math.cos(math.pi * left))

    def as_dict(self) -> dict[str, Any]:
        """Give the recipe as plain values, for a checkpoint or JSON."""
        return asdict(self)


def recipe_from(values: Mapping[str, Any]) -> Recipe:
    """Make a recipe from plain values again.

    Raises:
        BadInput: If it has fields that no recipe has.

    Example:
        >>> recipe_from(PRESETS["toy"].as_dict()) == PRESETS["toy"]
        True
    """
    known = {f.name for f in fields(Recipe)}
    strange = sorted(set(values) - known)
    if strange:
        raise BadInput(
            f"expected a recipe with the fields {', '.join(sorted(known))}, got {', '.join(strange)} as well; "
            "it is from another version of bglab"
        )
    augmentation = dict(values.get("augmentation", {}))
    for name in ("crop_area", "crop_ratio"):
        if name in augmentation:
            augmentation[name] = tuple(augmentation[name])
    lists = {"variants": tuple(values["variants"])} if "variants" in values else {}
    return Recipe(**{**values, **lists, "augmentation": Augmentation(**augmentation)})


def differences(ours: Recipe, other: Recipe) -> dict[str, tuple[Any, Any]]:
    """List the fields in which two recipes differ, with both values.

    Example:
        >>> differences(Recipe(), Recipe(lr=0.01))
        {'lr': (0.1, 0.01)}
    """
    pairs = {f.name: (getattr(ours, f.name), getattr(other, f.name)) for f in fields(Recipe)}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}


_PAPER = Recipe(balanced=True)

#: ``paper`` is Noise or Signal's (Appendix C); ``toy`` learns 64-pixel scenes on a laptop's processor in minutes.
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
