"""Surfaces: the painters of clouds, level ground, water, cloth and hedges that sceneries and plates share."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from bglab.synthetic.colors import Color, shaded, tints
from bglab.synthetic.objects.outlines import ROUND
from bglab.synthetic.scenery.brushes import (
    Amount,
    Canvas,
    Tones,
    blend_in,
    fill_each,
    fill_stacks,
    first_row,
    gradient,
    ground,
    modulate,
    scattered,
    soften,
    to_image,
)
from bglab.synthetic.textures import smoothstep, window


class Surface(NamedTuple):
    """Textures of a kind of level ground.

    Attributes:
        texture: Name of the texture that recedes to the horizon.
        grain: Factor on that texture's frequency.
        strength: Strength of that texture; see `modulate`.
        patches: Name of a texture that does not recede; empty for none.
        patchiness: Strength of that texture.
    """

    texture: str
    grain: float
    strength: float
    patches: str = ""
    patchiness: float = 0.0


GRASS = Surface("grain", 2.0, 0.7, "cloud", 0.25)
ASPHALT = Surface("grain", 2.4, 0.5, "cloud", 0.25)
DUNE = Surface("streak", 1.2, 0.42, "grain", 0.16)
LITTER = Surface("mottle", 2.0, 0.8)
SNOW = Surface("mottle", 2.0, 0.3)
BOARDS = Surface("streak", 1.4, 0.55)
SEABED = Surface("ripple", 1.0, 0.3)


def add_texture(rng: np.random.Generator, tones: Tones, surface: Surface, horizon: float) -> None:
    """Add textures to level ground.

    Args:
        rng: Generator for the offsets into the textures.
        tones: Colours of the ground, which reaches down to the image's lower edge.
        surface: Kind of ground.
        horizon: Height of the horizon; at or above the first row of the ground.
    """
    rows, size = tones.shape[1:]
    modulate(tones, ground(rng, size, surface.texture, horizon, surface.grain)[-rows:], surface.strength)
    if surface.patches:
        modulate(tones, window(rng, surface.patches, size)[-rows:], surface.patchiness)


def level_ground(
    rng: np.random.Generator, size: int, surface: Surface, top: float, horizon: float, *stops: tuple[float, Color]
) -> Tones:
    """Paint level ground from a height down to the image's lower edge.

    Args:
        rng: Generator for the offsets into the textures.
        size: Side of the image in pixels.
        surface: Kind of ground.
        top: Height of the ground's upper edge.
        horizon: Height of the horizon; at or above ``top``.
        stops: Colours at given heights, as in `gradient`.

    Returns:
        The rows below ``top``.
    """
    tones = gradient(size, *stops)[:, first_row(size, top) :]
    add_texture(rng, tones, surface, horizon)
    return tones


def add_clouds(tones: Tones, density: Amount, least: float, *, thin: bool = False) -> None:
    """Add clouds with dark undersides, or a thin white haze, to a sky.

    Args:
        tones: Colours of the sky.
        density: Density of the clouds, in [0, 1].
        least: Density at the edge of a cloud, below 0.8.
        thin: Whether to add haze instead of clouds.
    """
    cover = smoothstep(density, least, 0.8)
    if thin:
        blend_in(tones, (255, 255, 255), 0.7 * cover)
        return
    # the underside of a cloud is where there is more cloud above than below
    lift = np.roll(density, max(1, round(0.06 * tones.shape[2])), axis=0) - density
    blend_in(tones, (255, 253, 250), np.float32(0.94) * cover)
    modulate(tones, np.clip(np.float32(0.5) - lift * cover, 0, 1), 0.4)


def water(rng: np.random.Generator, size: int, *stops: tuple[float, Color], reach: float = 0.95) -> Canvas:
    """Paint water below the surface: a gradient with caustics, and shafts of light down to the height ``reach``."""
    tones = gradient(size, *stops)
    modulate(tones, window(rng, "ripple", size), 0.12)
    image = to_image(tones)
    lit, slant = image.copy(), rng.uniform(-0.25, 0.25)
    x, wide = rng.random((2, 5))
    half = 0.02 + 0.05 * wide
    corners = [(x - half, -0.02), (x + half, -0.02), (x + slant + 2 * half, reach), (x + slant - 2 * half, reach)]
    shafts = np.array([(cx, np.full(5, cy)) for cx, cy in corners]).transpose(2, 0, 1)
    fill_each(lit, shafts, np.full((5, 3), (226, 250, 244)))  # they may cross
    return cv2.addWeighted(image, 0.84, soften(lit, 0.03), 0.16, 0)


def curtain(rng: np.random.Generator, size: int, cloth: Color, edge: float) -> Tones:
    """Paint a heavy curtain in vertical folds that ends at a height."""
    x = (np.arange(size, dtype=np.float32) + 0.5) / size
    sway = np.sin(2 * np.pi * (x * rng.uniform(0.8, 1.8) + rng.random()))
    phase = 2 * np.pi * (rng.uniform(6, 9) * x + 0.35 * sway)
    folds = 0.5 + 0.42 * np.sin(phase) + 0.16 * np.sin(2.3 * phase + 1)
    tones = gradient(size, (0, shaded(cloth, 0.62)), (0.4, cloth), (edge, shaded(cloth, 0.75)))
    modulate(tones, folds.astype(np.float32)[None, :], 1.0)
    return tones


def hedge(rng: np.random.Generator, image: Canvas, horizon: float, dark: Color, light: Color) -> None:
    """Line the horizon with round bushes in colours between two, with a lit side."""
    x, height, wide, tall = rng.permutation(np.linspace(-0.02, 1.02, 9)), *rng.random((3, 9))
    at = np.array([x, horizon - 0.02 - 0.1 * height]).T
    radii = np.array([0.07 + 0.08 * wide, 0.08 + 0.09 * tall]).T
    layers = [(scattered(ROUND, at, radii), 1.0), (scattered(ROUND, at - 0.018, 0.62 * radii), 1.1)]
    fill_stacks(image, layers, tints(rng, 9, dark, light))
