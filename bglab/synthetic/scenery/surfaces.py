"""Surfaces: the one painter each of clouds, level ground, open water and cloth that all scenery is made with."""

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
    """How a kind of level ground differs from its plain colour.

    Attributes:
        texture: Texture that recedes to the horizon.
        grain: Above 1 for a finer texture.
        strength: How much the texture lightens and darkens.
        patches: Texture of large light and dark areas; empty for none.
        patchiness: How much those lighten and darken.
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


def pave(rng: np.random.Generator, tones: Tones, surface: Surface, horizon: float) -> None:
    """Give level ground its texture.

    Args:
        rng: Chooses the parts of the textures.
        tones: Colours of the ground, which reaches down to the image's lower edge.
        surface: What the ground is.
        horizon: Height at which the ground would end if nothing hid it; at or above its first row.
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
        rng: Chooses the parts of the textures.
        size: Side of the image in pixels.
        surface: What the ground is.
        top: Height at which it begins.
        horizon: Height at which it would end if nothing hid it; at or above ``top``.
        stops: Its colours at given heights.

    Returns:
        The rows below ``top``.
    """
    tones = gradient(size, *stops)[:, first_row(size, top) :]
    pave(rng, tones, surface, horizon)
    return tones


def add_clouds(tones: Tones, density: Amount, least: float, *, thin: bool = False) -> None:
    """Add clouds with dark undersides, or a thin white haze, to a sky.

    Args:
        tones: The sky.
        density: Density of the clouds, in [0, 1].
        least: Density at which a cloud begins, below 0.8.
        thin: Whether the sky shows through, without undersides.
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
    """Paint water below the surface: a gradient with caustics and slanting shafts of light."""
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
    """Line the horizon with round crowns in colours between two, lighter where the light falls."""
    x, height, wide, tall = rng.permutation(np.linspace(-0.02, 1.02, 9)), *rng.random((3, 9))
    at = np.array([x, horizon - 0.02 - 0.1 * height]).T
    radii = np.array([0.07 + 0.08 * wide, 0.08 + 0.09 * tall]).T
    layers = [(scattered(ROUND, at, radii), 1.0), (scattered(ROUND, at - 0.018, 0.62 * radii), 1.1)]
    fill_stacks(image, layers, tints(rng, 9, dark, light))
