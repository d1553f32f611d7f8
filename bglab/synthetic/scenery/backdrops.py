"""Paints for plates: regions of photographs that come with pip packages, and scenery drawn from noise.

A paint fills any rectangle with colours in [0, 255] from a generator; the same generator state gives the same
pixels.
"""

from __future__ import annotations

import functools
import importlib.util
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import final

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from bglab.errors import MissingData
from bglab.images import Box, open_image
from bglab.synthetic.textures import window

Color = tuple[int, int, int]
Colors = Float[np.ndarray, "h w 3"]
Field = Float[np.ndarray, "h w"]


class Paint(ABC):
    """Fills a rectangle."""

    @abstractmethod
    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Paint ``height × width`` pixels.

        Args:
            rng: Chooses the part of the photograph or of the noise.
            height: In pixels.
            width: In pixels.
        """


@final
@dataclass(frozen=True)
class Photo(Paint):
    """A part of a photograph, chosen by eye so that it shows no object of the nine classes.

    Attributes:
        package: The pip package that the photograph comes with.
        file: Its path within the package.
        box: The region, half-open, in pixels.
        tint: Colours that stand for black and for white, for grey photographs; empty keeps their own.
        calm: Blur in pixels of an image of 256, for regions whose grain would be enlarged.
    """

    package: str
    file: str
    box: Box
    tint: tuple[Color, ...] = ()
    calm: float = 0.0

    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Cut out a random part of the region in the right proportions and fit it to the rectangle.

        Raises:
            MissingData: If the package is not installed.
        """
        x0, y0, x1, y1 = self.box
        region = photograph(self.package, self.file)[y0:y1, x0:x1]
        part = _random_part(rng, region, width / height).astype(np.float32)
        way = cv2.INTER_AREA if part.shape[0] > height else cv2.INTER_CUBIC
        colors = cv2.resize(part, (width, height), interpolation=way)
        colors = _calm(colors, self.calm)
        return _between(colors.mean(axis=2) / 255, *self.tint) if self.tint else np.clip(colors, 0, 255)


@final
@dataclass(frozen=True)
class Mottled(Paint):
    """Noise between two colours: sand, snow, asphalt, plaster, blurred foliage, water.

    Attributes:
        dark: Colour of the noise's lowest value.
        light: Colour of its highest.
        texture: Which noise (see `bglab.synthetic.textures`).
        zoom: Its magnification, at least 0.5.
        grain: Strength of fine grain, in grey levels.
        calm: Blur in pixels of an image of 256.
    """

    dark: Color
    light: Color
    texture: str = "cloud"
    zoom: float = 1.0
    grain: float = 0.0
    calm: float = 0.0

    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Paint it."""
        relief = _contrast(_noise(rng, self.texture, height, width, self.zoom))
        colors = _between(relief, self.dark, self.light)
        colors = colors + self.grain * (2 * _noise(rng, "grain", height, width, 1.0)[..., None] - 1)
        return _calm(colors, self.calm)


@final
@dataclass(frozen=True)
class Sky(Paint):
    """A gradient from zenith to horizon with soft clouds.

    Attributes:
        zenith: Colour at the top.
        horizon: Colour at the bottom.
        cover: How much of it clouds take, 0–1.
    """

    zenith: Color
    horizon: Color
    cover: float = 0.4

    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Paint it."""
        colors = _gradient(self.zenith, self.horizon, height, width)
        # clouds are wider than high, and fade towards the horizon's haze
        relief = _noise(rng, "cloud", 2 * height, width, 0.8)[::2]
        clouds = np.clip((relief - (1 - self.cover)) * 2.5 + 0.25, 0, 1)[..., None]
        return colors + clouds * 0.85 * (np.float32(246) - colors)


@final
@dataclass(frozen=True)
class Depths(Paint):
    """Open water below the surface: light from above, slanting shafts, haze.

    Attributes:
        surface: Colour at the top.
        deep: Colour at the bottom.
    """

    surface: Color
    deep: Color

    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Paint it."""
        colors = _gradient(self.surface, self.deep, height, width)
        shafts = _noise(rng, "streak", width, height, 0.5).T
        slant = np.array([[1, rng.uniform(-0.5, 0.5), 0], [0, 1, 0]])
        shafts = cv2.warpAffine(np.ascontiguousarray(shafts), slant, (width, height), borderMode=cv2.BORDER_REFLECT)
        shafts = cv2.GaussianBlur(shafts, (0, 0), max(width, height) / 90)
        fading = np.linspace(1, 0, height, dtype=np.float32)[:, None]
        light = 110 * (shafts - 0.5) * fading + 30 * (_noise(rng, "cloud", height, width, 0.7) - 0.5)
        return colors + light[..., None]


@final
@dataclass(frozen=True)
class Curtain(Paint):
    """Heavy cloth in vertical folds.

    Attributes:
        dark: Colour in the folds.
        light: Colour on their ridges.
    """

    dark: Color
    light: Color

    def fill(self, rng: np.random.Generator, height: int, width: int) -> Colors:
        """Paint it."""
        x = np.linspace(0, 1, width, dtype=np.float32)
        # one fold follows another at uneven distances, but each hangs straight
        bend = _noise(rng, "cloud", 2, width, 0.6)[0]
        phase = rng.uniform(0, 2 * np.pi)
        folds = 0.5 + 0.5 * np.sin(2 * np.pi * (8 * x + 4 * bend) + phase)
        sag = 0.15 * (_noise(rng, "streak", width, height, 0.6).T - 0.5)
        weave = 0.05 * (_noise(rng, "grain", height, width, 1.0) - 0.5)
        return _between(np.clip(folds[None, :] + sag + weave, 0, 1), self.dark, self.light)


def recede(colors: Colors) -> Colors:
    """Tilt a texture seen from above into a plane that runs to the horizon at its top edge."""
    height, width = colors.shape[:2]
    near = ((0.0, 0.0), (width, 0.0), (0.7 * width, height), (0.3 * width, height))
    frame = ((0.0, 0.0), (width, 0.0), (width, height), (0.0, height))
    tilt = cv2.getPerspectiveTransform(np.array(near, np.float32), np.array(frame, np.float32))
    return cv2.warpPerspective(colors, tilt, (width, height), borderMode=cv2.BORDER_REFLECT)


@functools.lru_cache(maxsize=32)
def photograph(package: str, file: str) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photograph that comes with a pip package, without importing the package.

    Raises:
        MissingData: If the package is not installed, or has no such image.
    """
    spec = importlib.util.find_spec(package)
    path = None if spec is None or spec.origin is None else Path(spec.origin).parent / file
    if path is None or not path.is_file():
        raise MissingData(
            f"expected the photograph {file} of the pip package {package} for a plate, but it is not installed; "
            "run pip install 'bglab[demo]', or open cutouts?plates=drawn, which needs no photographs"
        )
    image = np.array(open_image(path))
    image.setflags(write=False)
    return image


def _random_part(
    rng: np.random.Generator, region: UInt8[np.ndarray, "a b 3"], aspect: float
) -> UInt8[np.ndarray, "c d 3"]:
    """Cut out at least three quarters of the largest part with the given width ÷ height, perhaps mirrored."""
    height, width = region.shape[:2]
    zoom, u, v, flip = rng.random(4)
    part_height = min(height, width / aspect) * (1 - 0.25 * zoom)
    rows, columns = max(2, int(part_height)), max(2, int(part_height * aspect))
    y, x = int(v * (height - rows)), int(u * (width - columns))
    part = region[y : y + rows, x : x + columns]
    return part[:, ::-1] if flip < 0.5 else part


def _calm(colors: Colors, blur: float) -> Colors:
    """Blur by so many pixels of an image 256 wide; 0 changes nothing."""
    return cv2.GaussianBlur(colors, (0, 0), blur * colors.shape[1] / 256) if blur else colors


def _noise(rng: np.random.Generator, texture: str, height: int, width: int, zoom: float) -> Field:
    """Take a part of one of the textures, in [0, 1]."""
    # in steps of 64 pixels, so that bands of every height share one scaled texture
    side = -(-max(height, width) // 64) * 64
    return window(rng, texture, side, zoom)[:height, :width]


def _contrast(relief: Field) -> Field:
    """Spread noise, whose values crowd around the middle, over [0, 1]."""
    return np.clip((relief - 0.5) * 1.6 + 0.5, 0, 1)


def _between(relief: Field, dark: Color, light: Color) -> Colors:
    """Mix two colours by a relief in [0, 1]."""
    low, high = np.array(dark, np.float32), np.array(light, np.float32)
    return low + relief[..., None] * (high - low)


def _gradient(top: Color, bottom: Color, height: int, width: int) -> Colors:
    """Blend from top to bottom."""
    ramp = np.linspace(0, 1, height, dtype=np.float32)[:, None]
    return _between(np.repeat(ramp, width, axis=1), top, bottom)
