"""Spherical photographs with a high dynamic range, and the perspective views of them that a camera would take."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from bglab.errors import BadInput, MissingData, brief
from bglab.files import check_regular
from bglab.images.limits import MOST_PANORAMA_PIXELS, check_size


def can_read_panoramas() -> bool:
    """Whether the package that reads OpenEXR files is installed."""
    return importlib.util.find_spec("OpenEXR") is not None


def read_panorama(path: Path) -> Float[np.ndarray, "h w 3"]:
    """Read a spherical photograph in OpenEXR format.

    Args:
        path: File whose pixels cover the whole sphere: columns are directions, rows are heights (equirectangular).

    Returns:
        Linear light, not negative; 1 has no special meaning.

    Raises:
        MissingData: If the package OpenEXR is not installed.
        BadInput: If the file cannot be read, has no colours, is not twice as wide as high, or has more pixels than
            `bglab.images.limits.MOST_PANORAMA_PIXELS`.
    """
    if not can_read_panoramas():
        raise MissingData(f"reading {path} needs the package OpenEXR; run pip install 'bglab[demo]'")
    import OpenEXR

    check_regular(path, "an OpenEXR image")
    try:
        with OpenEXR.File(str(path), header_only=True) as file:
            for part in file.parts:
                low, high = (np.asarray(corner, dtype=np.int64) for corner in part.header["dataWindow"])
                width, height = (int(side) for side in high - low + 1)
                check_size(width, height, path, most_pixels=MOST_PANORAMA_PIXELS)
        with OpenEXR.File(str(path)) as file:
            channels = file.channels()
            # pixels that have an alpha channel come under another name
            pixels = next((channels[name].pixels[..., :3] for name in ("RGB", "RGBA") if name in channels), None)
    except (RuntimeError, ValueError, OSError, LookupError) as problem:
        if isinstance(problem, BadInput):
            raise
        raise BadInput(f"expected an OpenEXR image in {path}, but reading it failed ({brief(problem)})") from None
    if pixels is None or pixels.shape[1] != 2 * pixels.shape[0]:
        came = "no colour channels" if pixels is None else f"{pixels.shape[1]} × {pixels.shape[0]} pixels"
        raise BadInput(f"expected a spherical photograph, twice as wide as high, in {path}, got {came}")
    return np.nan_to_num(np.maximum(pixels.astype(np.float32), 0))


def perspective_view(
    panorama: Float[np.ndarray, "h w 3"], size: int, *, turn: float, pitch: float, field_of_view: float
) -> Float[np.ndarray, "{size} {size} 3"]:
    """Project a part of a spherical photograph as a camera sees it, with straight lines straight.

    Args:
        panorama: Spherical photograph.
        size: Side of the square view in pixels.
        turn: Direction of the view's centre as a fraction of a full turn from the panorama's left edge.
        pitch: Height of the view's centre above the horizon in degrees.
        field_of_view: Angle that the view's width covers, in degrees, below 180.

    Returns:
        Linear light.

    Example:
        >>> sky_and_ground = np.concatenate([np.ones((8, 32, 3)), np.zeros((8, 32, 3))]).astype(np.float32)
        >>> view = perspective_view(sky_and_ground, 4, turn=0.5, pitch=0, field_of_view=60)
        >>> view[:, 0, 0].round().tolist()
        [1.0, 1.0, 0.0, 0.0]
    """
    height, width = panorama.shape[:2]
    reach = np.tan(np.radians(field_of_view) / 2)
    across = (np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1
    x, y = np.meshgrid(across * reach, -across * reach)
    tilt = np.radians(pitch)
    up, ahead = y * np.cos(tilt) + np.sin(tilt), np.cos(tilt) - y * np.sin(tilt)
    column = (turn + np.arctan2(x, ahead) / (2 * np.pi)) % 1 * width - 0.5
    row = (0.5 - np.arctan2(up, np.hypot(x, ahead)) / np.pi) * height - 0.5
    # the left edge continues the right one
    wrapped = np.concatenate([panorama[:, -1:], panorama, panorama[:, :1]], axis=1)
    return cv2.remap(
        wrapped,
        (column + 1).astype(np.float32),
        row.astype(np.float32),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REPLICATE,
    )


def tone_map(light: Float[np.ndarray, "h w 3"], *, key: float = 0.18) -> UInt8[np.ndarray, "h w 3"]:
    """Convert linear light to an 8-bit sRGB image as a photograph of it would look.

    The global operator of Reinhard et al., "Photographic Tone Reproduction for Digital Images" (2002), equations 1, 2
    and 4: the geometric mean of the luminance is shown as ``key``, and highlights are compressed.

    Args:
        light: Linear light, not negative.
        key: Luminance that an average surface is shown with, in (0, 1); smaller for dark scenes.

    Example:
        >>> int(tone_map(np.full((2, 2, 3), 7, np.float32))[0, 0, 0])
        118
    """
    luminance = light @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    average = float(np.exp(np.log(luminance + 1e-6).mean()))
    scaled = luminance * (key / average)
    white = max(float(np.quantile(scaled, 0.995)), 1.0)
    shown = scaled * (1 + scaled / white**2) / (1 + scaled)
    linear = np.clip(light * (shown / (luminance + 1e-6))[..., None], 0, 1)
    encoded = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return (encoded * 255).round().astype(np.uint8)
