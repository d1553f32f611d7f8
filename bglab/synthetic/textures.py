"""Textures: tileable noise, coat patterns and grey photographs, computed once and shared by every scene."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from jaxtyping import Float

from bglab.catalogue import Catalogue
from bglab.seeding import keyed_generator
from bglab.synthetic.photographs import photograph

#: Side of a texture tile in its own pixels.
TILE = 512
Tile = Float[np.ndarray, "t t"]


def _waves() -> tuple[Tile, Tile]:
    """Return the vertical and the horizontal frequency of each Fourier coefficient, in cycles per tile."""
    frequency = np.fft.fftfreq(TILE, 1 / TILE)
    return frequency[:, None] + 0 * frequency, frequency + 0 * frequency[:, None]


def _noise(name: str, amplitude: Tile) -> Tile:
    """Shape white noise by an amplitude spectrum; two standard deviations either side of the mean fill [0, 1]."""
    white = np.fft.fft2(keyed_generator(0, "texture", name).standard_normal((TILE, TILE)))
    field = np.fft.ifft2(white * amplitude).real
    field /= field.std() * 4
    return np.clip(field + 0.5, 0, 1)


def _fractal(name: str, slope: float, lowest: float, stretch: float = 1.0) -> Tile:
    """Make 1/f^slope noise without frequencies below ``lowest``; ``stretch`` above 1 elongates it along x."""
    down, across = _waves()
    frequency = np.hypot(down, across * stretch)
    return _noise(name, np.where(frequency < lowest, 0.0, 1 / np.maximum(frequency, 1) ** slope))


def _band(name: str, centre: float, width: float) -> Tile:
    """Make band-pass noise with frequencies around ``centre`` cycles per tile."""
    frequency = np.hypot(*_waves())
    return _noise(name, np.exp(-(((frequency - centre) / width) ** 2)))


def smoothstep(values: Float[np.ndarray, "*shape"], low: float, high: float) -> Float[np.ndarray, "*shape"]:
    """Rise smoothly from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((values - low) * (1 / (high - low)), 0, 1)
    return t * t * (3 - 2 * t)


def _stripes() -> Tile:
    """Make wavering vertical stripes that thin out and break off, like a tiger's."""
    x = np.arange(TILE) / TILE
    bend = _fractal("stripe bend", 2.6, 1) - 0.5
    wave = np.sin(2 * np.pi * (14 * x[None, :] + 1.8 * bend))
    return smoothstep(wave - 1.6 * (_band("stripe gap", 7, 4) - 0.4), 0.1, 0.5)


def _bands() -> Tile:
    """Make broad, nearly straight vertical bands, like a reef fish's."""
    x = np.arange(TILE) / TILE
    bend = _fractal("band bend", 2.2, 1) - 0.5
    return smoothstep(np.sin(2 * np.pi * (8 * x[None, :] + 0.5 * bend)), -0.05, 0.15)


def _scales() -> Tile:
    """Make a net of rounded scales: high where the nearest centre of a honeycomb is far away."""
    across, down = 28, 16
    y, x = np.mgrid[0:TILE, 0:TILE] / TILE
    even = np.hypot(x * across % 1 - 0.5, (y * down % 1 - 0.5) * across / down)
    odd = np.hypot((x * across + 0.5) % 1 - 0.5, ((y * down + 0.5) % 1 - 0.5) * across / down)
    return smoothstep(np.minimum(even, odd), 0.34, 0.56)


#: Textures that are grey photographs from scikit-image, taken from above; their seams hardly show.
PHOTOGRAPHED = ("grass", "gravel")


def _photographed(name: str) -> Tile:
    return photograph("skimage", f"data/{name}.png")[..., 0] / 255


_MAKERS = Catalogue(
    "texture",
    {
        "cloud": lambda: _fractal("cloud", 1.75, 1.5),
        "mottle": lambda: _fractal("mottle", 1.1, 8),
        "grain": lambda: _fractal("grain", 0.7, 20),
        "streak": lambda: _fractal("streak", 1.0, 6, 9.0),
        "ripple": lambda: 1 - np.abs(2 * _band("ripple", 9, 5) - 1) * 1.6,
        "fur": lambda: _fractal("fur", 0.9, 10, 0.5),
        "stripes": _stripes,
        "bands": _bands,
        "spots": lambda: smoothstep(_band("spots", 26, 4), 0.62, 0.70),
        "patches": lambda: smoothstep(_band("patches", 6, 3), 0.50, 0.56),
        "scales": _scales,
        **{name: functools.partial(_photographed, name) for name in PHOTOGRAPHED},
    },
)


@functools.lru_cache(maxsize=64)
def tile(name: str, side: int) -> Float[np.ndarray, "{side} {side}"]:
    """Return a tileable texture in [0, 1] at a resolution.

    Args:
        name: One of "cloud", "mottle", "grain", "streak", "ripple", "fur", "stripes", "bands", "spots", "patches",
            "scales", or one of `PHOTOGRAPHED`.
        side: Side of the tile in pixels.

    Raises:
        MissingData: If the texture is a photograph whose package is not installed.

    Example:
        >>> tile("cloud", 32).shape
        (32, 32)
    """
    full = np.clip(_full(name), 0, 1)
    way = cv2.INTER_AREA if side < TILE else cv2.INTER_LINEAR
    scaled = np.ascontiguousarray(cv2.resize(full, (side, side), interpolation=way))
    scaled.setflags(write=False)
    return scaled


def window(rng: np.random.Generator, name: str, size: int, zoom: float = 1.0) -> Float[np.ndarray, "{size} {size}"]:
    """Cut out a random, perhaps mirrored, part of a texture.

    Args:
        rng: Generator for the part, which does not depend on the resolution.
        name: Name of the texture; see `tile`.
        size: Side of the image in pixels.
        zoom: 1 shows half the tile's side across the image, 2 a quarter of it.
    """
    whole = tile(name, round(2 * size * zoom))
    u, v, flip = rng.random(3)
    free = whole.shape[0] - size
    y, x = int(u * free), int(v * free)
    view = whole[y : y + size, x : x + size]
    return view[:, ::-1] if flip < 0.5 else view


@functools.lru_cache(maxsize=16)
def glow(size: int) -> Float[np.ndarray, "{size}*3 {size}*3"]:
    """Return a soft round light in [0, 1], centred in a square of three times the image's side."""
    axis = (np.arange(3 * size) + 0.5) / size - 1.5
    light = np.exp(-(axis[:, None] ** 2 + axis[None, :] ** 2) / (2 * 0.28**2)).astype(np.float32)
    light.setflags(write=False)
    return light


def glow_at(size: int, x: float, y: float) -> Float[np.ndarray, "{size} {size}"]:
    """Return a soft round light in [0, 1] around a point, in fractions of the image's side in [−0.5, 1.5]."""
    left, top = round((1.5 - x) * size), round((1.5 - y) * size)
    left, top = min(max(left, 0), 2 * size), min(max(top, 0), 2 * size)
    return glow(size)[top : top + size, left : left + size]


@functools.cache
def _full(name: str) -> Float[np.ndarray, "t t"]:
    """Make a texture at full resolution."""
    return _MAKERS[name]().astype(np.float32)
