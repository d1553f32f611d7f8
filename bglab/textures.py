"""Texture plates of our own: seeded, tileable, from several families of spectra and structures.

Time for a Background Check! pastes objects on textures without naming their source; these families are the
default here, keyed so that a plate depends on (seed, key) alone.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from jaxtyping import Float, UInt8

from bglab.catalogue import Catalogue

Field = Float[np.ndarray, "s s"]


def texture(size: int, rng: np.random.Generator, family: str | None = None) -> UInt8[np.ndarray, "3 s s"]:
    """Draw one texture plate.

    Args:
        size: Side in pixels; the plate's opposite edges match.
        rng: Where its randomness comes from (see `bglab.seeding.keyed_generator`).
        family: One of `FAMILIES`; None draws one.

    Example:
        >>> texture(32, np.random.default_rng(0), "cloudy").shape
        (3, 32, 32)
    """
    name = family or str(rng.choice(list(FAMILIES)))
    relief = FAMILIES[name](size, rng)
    return _colour(relief, size, rng)


def _spectral(size: int, rng: np.random.Generator, falloff: float, stretch: float = 1.0) -> Field:
    """Filter white noise to a power law of frequency; ``stretch`` lengthens it along one direction."""
    fy = np.fft.fftfreq(size)[:, None] * size
    fx = np.fft.rfftfreq(size)[None, :] * size
    radius = np.hypot(fx * stretch, fy)
    radius[0, 0] = np.inf  # no constant part: the colour map sets the mean
    spectrum = np.fft.rfft2(rng.standard_normal((size, size))) * radius**-falloff
    return _unit(np.fft.irfft2(spectrum, s=(size, size)))


def _cloudy(size: int, rng: np.random.Generator) -> Field:
    return _spectral(size, rng, falloff=rng.uniform(1.0, 1.8))


def _grainy(size: int, rng: np.random.Generator) -> Field:
    return _spectral(size, rng, falloff=rng.uniform(0.1, 0.6))


def _brushed(size: int, rng: np.random.Generator) -> Field:
    field = _spectral(size, rng, falloff=rng.uniform(0.8, 1.3), stretch=rng.uniform(6, 20))
    return field.T if rng.random() < 0.5 else field


def _striped(size: int, rng: np.random.Generator) -> Field:
    """Draw sine bands, a whole number of periods each way so that they tile, bent by soft noise."""
    waves = rng.integers(-9, 10, size=2)
    waves[rng.integers(2)] = rng.integers(4, 15)
    y, x = np.mgrid[:size, :size] / size
    bend = rng.uniform(0, 2.5) * (_spectral(size, rng, 2.0) - 0.5)
    return _unit(np.sin(2 * np.pi * (waves[0] * x + waves[1] * y + bend)))


def _woven(size: int, rng: np.random.Generator) -> Field:
    """Draw warp and weft that pass over each other alternately."""
    threads = int(rng.integers(8, 24)) * 2
    y, x = np.mgrid[:size, :size] * threads / size
    warp, weft = np.sin(np.pi * x) ** 2, np.sin(np.pi * y) ** 2
    over = (np.floor(x) + np.floor(y)) % 2 == 0
    return _unit(np.where(over, warp + 0.3, weft) + 0.25 * _spectral(size, rng, 0.4))


def _cellular(size: int, rng: np.random.Generator) -> Field:
    """Measure the distance to the nearest of some scattered points, on a torus: pebbles, scales, crackle."""
    points = rng.uniform(0, 1, size=(int(rng.integers(20, 70)), 2))
    axis = (np.arange(size) + 0.5) / size
    nearest = np.full((size, size), np.inf)
    for px, py in points:
        dx, dy = np.abs(axis - px), np.abs(axis - py)
        square = np.minimum(dx, 1 - dx)[None, :] ** 2 + np.minimum(dy, 1 - dy)[:, None] ** 2
        np.minimum(nearest, square, out=nearest)
    return _unit(np.sqrt(nearest))


FAMILIES: Catalogue[Callable[[int, np.random.Generator], Field]] = Catalogue(
    "texture",
    {
        "cloudy": _cloudy,
        "grainy": _grainy,
        "brushed": _brushed,
        "striped": _striped,
        "woven": _woven,
        "cellular": _cellular,
    },
)


def _colour(relief: Field, size: int, rng: np.random.Generator) -> UInt8[np.ndarray, "3 s s"]:
    """Shade a relief between two random colours, with a little grain so that no area is flat."""
    dark, light = np.sort(rng.uniform(20, 235, size=(2, 3)), axis=0)
    plate = dark[:, None, None] + (light - dark)[:, None, None] * relief
    plate += 6 * rng.standard_normal((1, size, size))
    return plate.round().clip(0, 255).astype(np.uint8)


def _unit(field: Field) -> Field:
    """Stretch to [0, 1]."""
    low, high = field.min(), field.max()
    return (field - low) / max(high - low, 1e-12)
