"""Evaluation transforms: resize and crop exactly as timm does for a given set of weights, without normalisation."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import astuple, dataclass, replace
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate, pad

from bglab.errors import BadInput
from bglab.images.arrays import to_levels
from bglab.images.cropping import resize_geometry
from bglab.images.resampling import resize_and_crop_image

Interpolation = Literal["bilinear", "bicubic"]
CropMode = Literal["center", "squash", "border"]

_FILTERS = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}


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
        found = self._center_crop(image) if self.crop_mode == "center" else None
        return self.by_timm(image) if found is None else to_levels(found)

    def by_timm(self, image: Image.Image) -> UInt8[np.ndarray, "3 s s"]:
        """Resize and crop by timm's own transform, which resizes all of an image: slower, with the pixels of a call."""
        return _timm_transform(*astuple(self))(image).numpy()

    def _center_crop(self, image: Image.Image) -> Image.Image | None:
        """Resize and crop as timm does, but compute only the crop; None if the crop is larger than the image."""
        (width, height), corner = resize_geometry(*image.size, self.size, self.crop_pct)
        if image.mode != "RGB" or min(width, height) < self.size:
            return None
        return resize_and_crop_image(image, (width, height), corner, self.size, _FILTERS[self.interpolation])

    def batch(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 s s"]:
        """Resize and crop square images, on their device.

        On the CPU the result is that of a call per image. On other devices the same two passes of the resize are
        computed in floating point; levels then differ by at most 2.

        Args:
            images: RGB, 0-255, as high as wide.

        Raises:
            BadInput: If the images are not square.
        """
        if images.shape[-2] != images.shape[-1]:
            raise BadInput(f"expected square images to resize in a batch, got {images.shape[-2]} × {images.shape[-1]}")
        if images.device.type == "cpu":
            crops = [self(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())) for image in images]
            return torch.from_numpy(np.stack(crops)) if crops else images.new_empty((0, 3, self.size, self.size))
        return resize_and_crop(images, self)

    def uncrop(self, maps: Float[Tensor, "n h w"], size: int) -> Float[Tensor, "n size size"]:
        """Place maps of cropped images where the crop lies in the square images before it.

        Args:
            maps: One map per cropped image, of any resolution.
            size: Side of the result in pixels.

        Returns:
            The maps, resized (bilinear), and 0 outside the crop.
        """
        crop = max(1, round(size * self.size / self.resized))
        before = (size - crop) // 2
        resized = interpolate(maps.unsqueeze(1), (crop, crop), mode="bilinear", align_corners=False).squeeze(1)
        return pad(resized, (before, size - crop - before, before, size - crop - before))

    @property
    def resized(self) -> int:
        """Side of a square image after the resize, in pixels, rounded as in timm."""
        return int(self.size / self.crop_pct)

    def mask(self, mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "s s"]:
        """Resize and crop a mask like its image; a pixel counts if at least half of it is covered."""
        levels = np.repeat(mask[..., None], 3, axis=-1).astype(np.uint8) * 255
        padding = replace(self, mean=(0.0, 0.0, 0.0))  # what a ``border`` adds is no foreground
        return padding(Image.fromarray(levels))[0] >= 128


def resize_and_crop(images: UInt8[Tensor, "n 3 h h"], transform: EvaluationTransform) -> UInt8[Tensor, "n 3 s s"]:
    """Resize and crop square images on any device; `EvaluationTransform.batch` says how close it is to Pillow."""
    levels, side = images.to(torch.float32), transform.resized
    for size in ((levels.shape[-2], side), (side, side)):  # along the rows first, rounded in between, as Pillow does
        levels = interpolate(levels, size, mode=transform.interpolation, antialias=True).round_().clamp_(0, 255)
    start = round((side - transform.size) / 2)
    crop = slice(start, start + transform.size)
    return levels[..., crop, crop].to(torch.uint8)


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
