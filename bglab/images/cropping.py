"""Resizing and centre crops of images, of masks and of boxes, as in the usual ImageNet evaluation."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool
from PIL import Image

from bglab.images.limits import check_size
from bglab.images.resampling import resize_and_crop_image


def resize_crop(image: Image.Image, size: int, crop_fraction: float = 0.875, *, smooth: bool = True) -> Image.Image:
    """Resize the short side to ``size / crop_fraction`` and crop the centre, as in the usual ImageNet evaluation.

    An image of ``size × size`` is returned unchanged if ``crop_fraction`` is 1.

    Args:
        image: Image of any size.
        size: Side of the result in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps; with size 224, 0.875 resizes to 256.
        smooth: Whether to resize with an antialiased bilinear filter; False takes the nearest pixel, for masks.

    Raises:
        BadInput: If the image is so thin that resizing its short side makes it too large.
    """
    resized, corner = resize_geometry(*image.size, size, crop_fraction)
    if image.size == resized == (size, size):
        return image
    check_size(*resized, f"an image of {image.width} × {image.height} pixels that is resized")
    return resize_and_crop_image(image, resized, corner, size, _filter(smooth=smooth))


def resize_short(image: Image.Image, size: int, crop_fraction: float = 0.875, *, smooth: bool = True) -> Image.Image:
    """Resize as `resize_crop` does, without the crop; arguments as there."""
    resized, _ = resize_geometry(*image.size, size, crop_fraction)
    if resized == image.size:
        return image
    check_size(*resized, f"an image of {image.width} × {image.height} pixels that is resized")
    return image.resize(resized, _filter(smooth=smooth))


def _filter(*, smooth: bool) -> Image.Resampling:
    return Image.Resampling.BILINEAR if smooth else Image.Resampling.NEAREST


def crop_box(
    box: tuple[int, int, int, int], width: int, height: int, size: int, crop_fraction: float = 0.875
) -> tuple[int, int, int, int]:
    """Transform a box as `resize_crop` transforms the image, clipped to the crop.

    Args:
        box: Half-open box in pixels of the image.
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        size: Side of the crop in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps.

    Returns:
        A half-open box within ``size × size``; ``(0, 0, 0, 0)`` if the box lies outside the crop.
    """
    (new_width, new_height), (left, top) = resize_geometry(width, height, size, crop_fraction)
    x0, x1 = (min(max(round(x * new_width / width) - left, 0), size) for x in (box[0], box[2]))
    y0, y1 = (min(max(round(y * new_height / height) - top, 0), size) for y in (box[1], box[3]))
    return (x0, y0, x1, y1) if x0 < x1 and y0 < y1 else (0, 0, 0, 0)


def paste_crop(
    levels: Bool[np.ndarray, "h w"], crop: Bool[np.ndarray, "s s"], crop_fraction: float = 0.875
) -> Bool[np.ndarray, "h w"]:
    """Transfer what was changed in the crop of a mask back to the mask; pixels that were not changed keep their value.

    Args:
        levels: The mask.
        crop: Its crop by `resize_crop` without smoothing, changed.
        crop_fraction: Fraction of the resized short side that the crop keeps.

    Example:
        >>> mask = np.zeros((2, 4), dtype=bool)
        >>> paste_crop(mask, np.array([[True, False], [False, False]]), 1.0).astype(int).tolist()
        [[0, 1, 0, 0], [0, 0, 0, 0]]
    """
    (height, width), size = levels.shape, crop.shape[0]
    before = np.asarray(resize_crop(Image.fromarray(levels), size, crop_fraction, smooth=False))
    (new_width, new_height), (left, top) = resize_geometry(width, height, size, crop_fraction)
    columns = np.floor((np.arange(width) + 0.5) * new_width / width).astype(int) - left
    rows = np.floor((np.arange(height) + 0.5) * new_height / height).astype(int) - top
    inside = ((rows >= 0) & (rows < size))[:, None] & ((columns >= 0) & (columns < size))
    places = np.ix_(rows.clip(0, size - 1), columns.clip(0, size - 1))
    changed = inside & (before != crop)[places]
    return np.where(changed, crop[places], levels)


def resize_geometry(
    width: int, height: int, size: int, crop_fraction: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Compute the resized ``(width, height)`` and the crop's ``(left, top)`` of `resize_crop`, as torchvision rounds.

    Args:
        width: Width of the image in pixels.
        height: Height of the image in pixels.
        size: Side of the crop in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps.
    """
    short = int(size / crop_fraction)
    if width <= height:
        new_width, new_height = short, int(short * height / width)
    else:
        new_width, new_height = int(short * width / height), short
    return (new_width, new_height), (round((new_width - size) / 2), round((new_height - size) / 2))
