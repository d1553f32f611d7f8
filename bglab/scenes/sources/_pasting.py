"""How a cut-out is pasted: its visible part, resized, lit and placed."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from bglab.errors import BadInput
from bglab.images import box_of, read_cutout

Pixels = Float[np.ndarray, "h w 3"]
Alpha = Float[np.ndarray, "h w"]

#: Range of the fraction of the image that the object's box covers, and its longest side as a fraction of the image's.
BOX_SHARE = (0.16, 0.4)
_LONGEST = 0.85
#: Range of the factor by which a cut-out is brightened on a photograph.
_GAIN = (0.8, 1.2)


def trimmed(file: Path) -> tuple[Pixels, Alpha]:
    """Read a cut-out, cropped to its visible part, with colours multiplied by alpha.

    Raises:
        BadInput: If the file cannot be read, has no transparency, or shows nothing.
    """
    image, alpha = read_cutout(file)
    x0, y0, x1, y1 = box_of(alpha > 0.5)
    if (x1 - x0) * (y1 - y0) < 16:
        raise BadInput(f"expected an object in {file}, but hardly any of it is opaque; cut it out again")
    window = np.s_[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2]
    alpha = alpha[window]
    return image.transpose(1, 2, 0)[window] * alpha[..., None], alpha


def scaled(
    colors: Pixels, alpha: Alpha, size: int, share: float
) -> tuple[Float[np.ndarray, "rows columns 3"], Float[np.ndarray, "rows columns"]]:
    """Resize a cut-out so that its box covers a fraction of the image and fits inside it.

    Returns:
        Its colours, not multiplied by alpha, and its alpha.
    """
    height, width = alpha.shape
    scale = min(size * (share / (height * width)) ** 0.5, _LONGEST * size / max(height, width))
    shape = (max(2, round(width * scale)), max(2, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    # colours multiplied by alpha are resized, so that colours of transparent pixels never bleed into the edge
    colors, alpha = (cv2.resize(np.ascontiguousarray(a), shape, interpolation=way) for a in (colors, alpha))
    # divided before alpha is clipped: both overshoot alike where a cubic kernel meets an edge
    straight = colors / np.maximum(alpha, 1e-3)[..., None]
    return np.clip(straight, 0, 255), np.clip(alpha, 0, 1)


def lit(colors: Pixels, alpha: Alpha, plate: UInt8[np.ndarray, "3 s s"]) -> Pixels:
    """Brighten or darken a cut-out slightly towards its surroundings, as one exposure of both would.

    Only slightly, since black animals stay black in the sun.
    """
    luminance = np.array([0.2126, 0.7152, 0.0722], np.float32)
    own = float((colors @ luminance * alpha).sum() / alpha.sum())
    around = float(plate.mean(axis=(1, 2)) @ luminance)
    gain = np.clip(((around + 1) / (own + 1)) ** 0.25, *_GAIN)
    return np.clip(colors * np.float32(gain), 0, 255)


def placed(
    colors: Pixels, alpha: Alpha, size: int, rng: np.random.Generator, *, hovers: bool
) -> tuple[UInt8[np.ndarray, "3 {size} {size}"], Float[np.ndarray, "{size} {size}"]]:
    """Place a cut-out on an empty canvas, standing in the lower part or hovering near the middle."""
    height, width = alpha.shape
    across, up = rng.uniform(-1, 1, size=2)
    x = round((size - width) * (0.5 + 0.35 * across))
    y = round((size - height) * (0.5 + 0.25 * up) if hovers else max(0.0, size * (0.92 + 0.035 * up) - height))
    canvas, matte = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
    canvas[y : y + height, x : x + width] = colors.round()
    matte[y : y + height, x : x + width] = alpha
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)), matte
