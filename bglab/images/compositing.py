"""Compositing, tiling, blurring and dilating on tensors, on the device of the input.

Images have shape (..., 3, h, w) and values in [0, 255], uint8 or float. Masks are boolean, True for the foreground.
Boxes are ``(x0, y0, x1, y1)`` in pixels, half-open. No function changes its input in place.
"""

from __future__ import annotations

import math

import torch
from jaxtyping import Bool, Float, Int, Shaped, UInt8
from torch import Tensor
from torch.nn.functional import conv2d, pad

from bglab.errors import BadInput

Color = tuple[int, int, int]


def composite(
    foreground: Shaped[Tensor, "*#batch 3 h w"],
    background: Shaped[Tensor, "*#batch 3 h w"],
    alpha: Shaped[Tensor, "*#batch h w"],
) -> Shaped[Tensor, "*batch 3 h w"]:
    """Composite a foreground over a background: ``alpha * foreground + (1 - alpha) * background``.

    Every composed image of the package is made by this function. Leading dimensions broadcast, so one foreground can
    be pasted on many backgrounds in one call.

    Args:
        foreground: Images with values in [0, 255].
        background: Images of the same size and dtype.
        alpha: A boolean mask, which copies pixels exactly, or a float matte in [0, 1], which blends linearly;
            blended uint8 images are rounded to the nearest integer.

    Example:
        >>> white, black = torch.full((3, 1, 2), 255.0), torch.zeros(3, 1, 2)
        >>> composite(white, black, torch.tensor([[0.25, 1.0]]))[0].tolist()
        [[63.75, 255.0]]
    """
    alpha = alpha.unsqueeze(-3)
    if alpha.dtype == torch.bool:
        return torch.where(alpha, foreground, background)
    if foreground.dtype == torch.uint8:
        mixed = torch.lerp(background.to(alpha.dtype), foreground.to(alpha.dtype), alpha)
        return mixed.round_().clamp_(0, 255).to(torch.uint8)
    return torch.lerp(background, foreground, alpha)


def box_mask(boxes: Int[Tensor, "*batch 4"], height: int, width: int) -> Bool[Tensor, "*batch h w"]:
    """Rasterise boxes into boolean masks that are True inside each box.

    Example:
        >>> box_mask(torch.tensor([1, 0, 3, 1]), 2, 3).int().tolist()
        [[0, 1, 1], [0, 0, 0]]
    """
    x0, y0, x1, y1 = (boxes[..., i, None] for i in range(4))
    x = torch.arange(width, device=boxes.device)
    y = torch.arange(height, device=boxes.device)
    columns, rows = (x >= x0) & (x < x1), (y >= y0) & (y < y1)
    return rows.unsqueeze(-1) & columns.unsqueeze(-2)


def plain(color: Color, like: Shaped[Tensor, "*batch 3 h w"]) -> Shaped[Tensor, "3 h w"]:
    """Create a single-colour image with the height, width, dtype and device of ``like``."""
    height, width = like.shape[-2:]
    return torch.tensor(color, dtype=like.dtype, device=like.device).view(3, 1, 1).expand(3, height, width)


def fill_box(
    images: Shaped[Tensor, "*batch 3 h w"], boxes: Int[Tensor, "*batch 4"], color: Color
) -> Shaped[Tensor, "*batch 3 h w"]:
    """Fill each image's box with one colour.

    Black gives Only-BG-B of Noise or Signal (Table 1), white the removed foreground of Time for a Background Check!
    (section 3).
    """
    return composite(plain(color, images), images, box_mask(boxes, *images.shape[-2:]))


def background_strip(box: tuple[int, int, int, int], height: int, width: int) -> tuple[int, int, int, int]:
    """Select the background strip that Only-BG-T tiles (Noise or Signal, Figure 9 and Appendix A).

    The candidates are the full-height strips left and right of the box and the full-width strips above and below it.
    As in the authors' generator, the direction with the strip of larger area is chosen (full-width strips on a tie),
    then the wider strip of that direction (right or bottom on a tie).

    Args:
        box: Half-open box in pixels.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Returns:
        The strip as a half-open box.

    Raises:
        BadInput: If the box covers the whole image, so that there is no background to tile.
    """
    x0, y0, x1, y1 = box
    left, right, top, bottom = x0, width - x1, y0, height - y1
    if max(left, right, top, bottom) <= 0:
        raise BadInput("expected some background around the box to tile, but the box covers the whole image")
    if max(left, right) * height > max(top, bottom) * width:
        return (0, 0, left, height) if left > right else (x1, 0, width, height)
    return (0, 0, width, top) if top > bottom else (0, y1, width, height)


def tile(strip: Shaped[Tensor, "3 sh sw"], height: int, width: int) -> Shaped[Tensor, "3 {height} {width}"]:
    """Repeat a strip from the top-left corner until it fills ``height × width`` pixels."""
    strip_height, strip_width = strip.shape[-2:]
    repeats = (1, -(-height // strip_height), -(-width // strip_width))
    return strip.repeat(repeats)[:, :height, :width]


def tile_box(image: Shaped[Tensor, "3 h w"], box: tuple[int, int, int, int]) -> Shaped[Tensor, "3 h w"]:
    """Replace the inside of the box with tiled background: Only-BG-T (Noise or Signal, Appendix A).

    The strip from `background_strip` is tiled over the whole image from the top-left corner; the result is copied
    inside the box only.

    Raises:
        BadInput: If the box leaves no background to tile.

    Example:
        >>> row = torch.arange(5, dtype=torch.uint8).expand(3, 1, 5)
        >>> tile_box(row, (1, 0, 3, 1))[0].tolist()
        [[0, 4, 3, 3, 4]]
    """
    height, width = image.shape[-2:]
    x0, y0, x1, y1 = background_strip(box, height, width)
    canvas = tile(image[:, y0:y1, x0:x1], height, width)
    return composite(canvas, image, box_mask(torch.tensor(box, device=image.device), height, width))


def blur(images: Shaped[Tensor, "*batch c h w"], sigma: float) -> Shaped[Tensor, "*batch c h w"]:
    """Blur with a Gaussian of standard deviation ``sigma`` pixels, cut off at three standard deviations.

    Kernel and borders are those of torchvision's ``gaussian_blur``, without the two seconds that its import takes.

    Args:
        images: Images of any number of channels; uint8 results are rounded.
        sigma: Standard deviation in pixels; 0 or less returns the images unchanged.
    """
    if sigma <= 0 or images.numel() == 0:
        return images
    reach = min(round(3 * sigma), min(images.shape[-2:]) - 1)
    channels = images.shape[-3]
    kernel = _gaussian(reach, float(sigma), images.device).expand(channels, 1, 1, -1)
    levels = images.float().reshape(-1, *images.shape[-3:])
    # the Gaussian is separable: two one-dimensional passes cost a fraction of a two-dimensional one
    rows = conv2d(pad(levels, (reach, reach, 0, 0), mode="reflect"), kernel, groups=channels)
    both = conv2d(pad(rows, (0, 0, reach, reach), mode="reflect"), kernel.mT, groups=channels)
    blurred = both.reshape(images.shape)
    return blurred.round_().to(torch.uint8) if images.dtype == torch.uint8 else blurred


def _gaussian(reach: int, sigma: float, device: torch.device) -> Float[Tensor, " k"]:
    """Compute the weights of a Gaussian at ``2 * reach + 1`` pixels; they sum to 1."""
    end = reach / math.sqrt(2.0)
    places = torch.linspace(-end, end, steps=2 * reach + 1, device=device)
    return torch.softmax(places.div(sigma).pow(2).neg(), dim=0)


def soften(masks: Bool[Tensor, "*batch h w"], feather: float) -> Float[Tensor, "*batch h w"]:
    """Feather masks: convert them to float mattes in [0, 1], blurred with a Gaussian of ``feather`` pixels."""
    return blur(masks.to(torch.float32).unsqueeze(-3), feather).squeeze(-3)


def add_noise(
    images: UInt8[Tensor, "*#batch 3 h w"], noise: Float[Tensor, "*#batch 3 h w"]
) -> UInt8[Tensor, "*batch 3 h w"]:
    """Add noise in units of grey levels, round, and clip to [0, 255].

    Used for relative foreground sensitivity, which adds Gaussian noise in pixel space (Moayeri et al., 2022).
    """
    return (images + noise).round_().clamp_(0, 255).to(torch.uint8)


def brighten(images: UInt8[Tensor, "*batch 3 h w"], factor: float) -> UInt8[Tensor, "*batch 3 h w"]:
    """Multiply all values by ``factor``, round, and clip to [0, 255]; 1 returns the images unchanged."""
    return images if factor == 1 else (images * factor).round_().clamp_(0, 255).to(torch.uint8)


def grow(masks: Bool[Tensor, "*batch h w"], radius: int) -> Bool[Tensor, "*batch h w"]:
    """Dilate masks with a disc of ``radius`` pixels, or erode them if ``radius`` is negative.

    The disc contains the pixels whose centres are at most ``radius`` away. Pixels beyond the image border are ignored,
    so a foreground that the border cuts off is not eroded there.

    Example:
        >>> grow(torch.tensor([[False, True, False, False]]), 1).int().tolist()
        [[1, 1, 1, 0]]
    """
    if radius == 0:
        return masks
    reach = abs(radius)
    offsets = torch.arange(-reach, reach + 1, device=masks.device)
    disc = (offsets[:, None] ** 2 + offsets**2 <= reach**2).float()
    grown = masks if radius > 0 else ~masks
    touched = conv2d(grown.reshape(-1, 1, *masks.shape[-2:]).float(), disc[None, None], padding=reach)
    spread = (touched > 0.5).reshape(masks.shape)
    return spread if radius > 0 else ~spread
