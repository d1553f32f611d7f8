"""Batched augmentation on the device, with independent random numbers per image.

The transforms of torchvision and timm draw once per batch, or work image by image on the CPU. Here one affine sampling
crops and flips a whole batch, with random numbers keyed by (seed, epoch, image).
"""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bglab.seeding import keyed_generator
from bglab.training.recipe import Augmentation

# a crop that does not fit into the image is drawn again, at most this many times (as in torchvision)
_TRIES = 10
_POSITION, _FLIP, _COLOURS = slice(2 * _TRIES, 2 * _TRIES + 2), 2 * _TRIES + 2, 2 * _TRIES + 3
#: Number of random numbers per image.
DRAWS = _COLOURS + 3

# ITU-R 601 luma weights, as in PIL and torchvision
_GREY = (0.299, 0.587, 0.114)


def draw_all(seed: int, epoch: int, count: int) -> Float[np.ndarray, "n d"]:
    """Draw an epoch's random numbers, uniform in [0, 1), one row per image; row i does not depend on the count."""
    return keyed_generator(seed, "augmentation", epoch).random((count, DRAWS))


def augment(
    images: UInt8[Tensor, "n 3 h w"], draws: Float[np.ndarray, "n d"], rules: Augmentation, size: int
) -> Float[Tensor, "n 3 s s"]:
    """Crop, flip and colour-jitter images.

    Args:
        images: Images as uint8.
        draws: The images' rows of `draw_all`.
        rules: Kinds and strengths of the changes.
        size: Side of the results in pixels.

    Returns:
        Pixel values from 0 to 255 as float32, not rounded.
    """
    height, width = images.shape[-2:]
    theta = torch.from_numpy(_crops(draws, rules, width / height)).to(images.device, torch.float32)
    grid = nn.functional.affine_grid(theta, [len(images), 3, size, size], align_corners=False)
    levels = nn.functional.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
    return _color_jitter(levels, draws[:, _COLOURS:], rules)


def _crops(draws: Float[np.ndarray, "n d"], rules: Augmentation, ratio: float) -> Float[np.ndarray, "n 2 3"]:
    """Compute affine maps from output to input coordinates, both in [-1, 1], as `affine_grid` expects them."""
    wide, high = _crop_sizes(draws, rules, ratio)
    mirrored = np.where(draws[:, _FLIP] < rules.flip, -1.0, 1.0)
    at = 2 * draws[:, _POSITION] - 1
    maps = np.zeros((len(draws), 2, 3))
    maps[:, 0, 0], maps[:, 0, 2] = wide * mirrored, at[:, 0] * (1 - wide)
    maps[:, 1, 1], maps[:, 1, 2] = high, at[:, 1] * (1 - high)
    return maps


def _crop_sizes(
    draws: Float[np.ndarray, "n d"], rules: Augmentation, ratio: float
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, " n"]]:
    """Compute widths and heights of the crops, relative to the image's: the first draw that fits, else the image."""
    low, high = rules.crop_area
    area = low + (high - low) * draws[:, :_TRIES]
    narrow, broad = np.log(rules.crop_ratio)
    shape = np.exp(narrow + (broad - narrow) * draws[:, _TRIES : 2 * _TRIES]) / ratio
    wide, tall = np.sqrt(area * shape), np.sqrt(area / shape)
    fits = (wide <= 1) & (tall <= 1)
    first = fits.argmax(axis=1)
    rows = np.arange(len(draws))
    fitting = fits.any(axis=1)
    return np.where(fitting, wide[rows, first], 1.0), np.where(fitting, tall[rows, first], 1.0)


def _color_jitter(
    levels: Float[Tensor, "n 3 h w"], draws: Float[np.ndarray, "n 3"], rules: Augmentation
) -> Float[Tensor, "n 3 h w"]:
    """Change brightness, then contrast, then saturation."""
    strengths = (rules.brightness, rules.contrast, rules.saturation)
    if not any(strengths):
        return levels
    factors = torch.from_numpy(1 + (2 * draws - 1) * np.array(strengths)).to(levels.device, levels.dtype)
    brightness, contrast, saturation = (f.view(-1, 1, 1, 1) for f in factors.T)
    weights = torch.tensor(_GREY, device=levels.device, dtype=levels.dtype).view(1, 3, 1, 1)
    levels = (levels * brightness).clamp(0, 255)
    mean = (levels * weights).sum(1, keepdim=True).mean((2, 3), keepdim=True)
    levels = torch.lerp(mean, levels, contrast).clamp(0, 255)
    grey = (levels * weights).sum(1, keepdim=True)
    return torch.lerp(grey.expand_as(levels), levels, saturation).clamp(0, 255)
