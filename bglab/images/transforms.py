"""Evaluation transforms: resize and crop exactly as timm does for a given set of weights, without normalisation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np
from jaxtyping import Bool, UInt8
from PIL import Image
from torch import Tensor

Interpolation = Literal["bilinear", "bicubic"]
CropMode = Literal["center", "squash", "border"]


@dataclass(frozen=True)
class EvaluationTransform:
    """Resize and crop an image of any size to the square input of a network.

    The attributes have timm's names and meanings.

    Attributes:
        size: Side of the result in pixels.
        crop_pct: Fraction of the resized short side that the crop keeps, in (0, 1].
        interpolation: Resize filter; both are antialiased.
        crop_mode: ``center`` preserves the aspect ratio and crops the centre, ``squash`` resizes both sides to
            the same length and crops, ``border`` fits the long side and pads the short one.
        mean: Channel means of the weights in [0, 1], which ``border`` pads with.
    """

    size: int = 224
    crop_pct: float = 0.875
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    mean: tuple[float, ...] = (0.485, 0.456, 0.406)

    @property
    def key(self) -> str:
        """Identify the transform: equal keys give equal pixels.

        Example:
            >>> EvaluationTransform(interpolation="bicubic").key
            '224-0.875-bicubic-center'
        """
        parts = [str(self.size), f"{self.crop_pct:.6g}", self.interpolation, self.crop_mode]
        return "-".join(parts if self.crop_mode != "border" else [*parts, *(f"{value:g}" for value in self.mean)])

    def __call__(self, image: Image.Image) -> UInt8[np.ndarray, "3 s s"]:
        """Resize and crop an RGB image; the values of the result are in [0, 255]."""
        return _timm_transform(*astuple(self))(image).numpy()

    def mask(self, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "s s"]:
        """Resize and crop a mask like its image; a pixel counts if at least half of it is covered."""
        levels = np.repeat(mask[..., None], 3, axis=-1).astype(np.uint8) * 255
        padding = replace(self, mean=(0.0, 0.0, 0.0))  # what a ``border`` adds is no foreground
        return padding(Image.fromarray(levels))[0] >= 128


@functools.lru_cache(maxsize=64)
def _timm_transform(
    size: int, crop_pct: float, interpolation: str, crop_mode: str, mean: tuple[float, ...]
) -> Callable[[Image.Image], Tensor]:
    """Build timm's own transform without normalisation, so that results are identical to the pixel."""
    from timm.data.transforms_factory import transforms_imagenet_eval  # imported here because it takes seconds

    return transforms_imagenet_eval(
        size, crop_pct=crop_pct, crop_mode=crop_mode, interpolation=interpolation, mean=mean, normalize=False
    )


def crop_pct(size: int, resized: int) -> float:
    """Convert torchvision's crop and resize sizes to timm's ``crop_pct``.

    Args:
        size: Side of the crop in pixels.
        resized: Short side after resizing, in pixels.

    Returns:
        The fraction from which timm computes exactly ``resized``, in spite of rounding.

    Example:
        >>> int(224 / crop_pct(224, 232))
        232
    """
    fraction = size / resized
    return fraction if int(size / fraction) == resized else float(np.nextafter(fraction, 0))
