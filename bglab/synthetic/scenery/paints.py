"""Paints: what fills the bands of a plate, either parts of photographs or painted scenery.

Painted scenery comes from the painters behind ``synthetic9`` and looks the same at any resolution.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from bglab.synthetic.colors import Color, shaded
from bglab.synthetic.photographs import photograph
from bglab.synthetic.scenery.brushes import Tones, blend_in, gradient, soften, to_image, to_tones
from bglab.synthetic.scenery.closeups import jungle
from bglab.synthetic.scenery.surfaces import Surface, add_clouds, curtain, hedge, level_ground, water
from bglab.synthetic.textures import PHOTOGRAPHED, window


class Paint(NamedTuple):
    """A way to fill some rows of a square image.

    Attributes:
        fill: Returns the colours of the rows, given a generator, the image's side in pixels, and a slice of rows
            with both ends. Raises `MissingData` if it needs a photograph whose package is not installed.
        is_drawn: Whether it needs no photograph.
    """

    fill: Callable[[np.random.Generator, int, slice], Tones]
    is_drawn: bool = True


def photo(package: str, file: str, *box: int, tint: tuple[Color, ...] = (), blur: float = 0.0) -> Paint:
    """Fill with a region of a photograph, which was chosen by eye to show no object of the nine classes.

    Args:
        package: Pip package that contains the photograph.
        file: File name in the package's folder ``data``.
        box: Region (x0, y0, x1, y1), half-open, in pixels; a random part of it is resized to the rows.
        tint: Colours that replace black and white in a grey photograph; empty keeps the photograph's own.
        blur: Radius of a blur as a fraction of the rows' height, for regions whose grain would be enlarged.
    """

    def fill(rng: np.random.Generator, size: int, rows: slice) -> Tones:
        x0, y0, x1, y1 = box
        height = rows.stop - rows.start
        part = _random_part(rng, photograph(package, f"data/{file}")[y0:y1, x0:x1], size / height)
        way = cv2.INTER_AREA if part.shape[0] > height else cv2.INTER_CUBIC
        tones = to_tones(soften(cv2.resize(part, (size, height), interpolation=way), blur))
        if not tint:
            return tones
        tinted = gradient(size, (0, tint[0]))[:, :height]
        blend_in(tinted, tint[1], tones.mean(axis=0) / 255)
        return tinted

    return Paint(fill, is_drawn=False)


def cloudy_sky(zenith: Color, horizon: Color, clouds: float, hedge_colors: tuple[Color, ...] = ()) -> Paint:
    """Paint a sky with clouds, optionally behind a hedge, both then out of focus.

    Args:
        zenith: Colour at the top.
        horizon: Colour at the bottom.
        clouds: Density at the edge of a cloud, below 0.8; a lower one gives more clouds.
        hedge_colors: Darkest and lightest colour of the hedge; empty for none.
    """

    def fill(rng: np.random.Generator, size: int, rows: slice) -> Tones:
        tones = gradient(size, (0, zenith), (rows.stop / size, horizon))
        add_clouds(tones, window(rng, "cloud", size), clouds)
        if hedge_colors:
            image = to_image(tones)
            hedge(rng, image, rows.stop / size, *hedge_colors)
            tones = to_tones(soften(image, 0.04))
        return tones[:, rows]

    return Paint(fill)


def receding(surface: Surface, near: Color, *, far: float = 1.1, rise: float = 0.0) -> Paint:
    """Paint level ground that recedes to the horizon.

    Args:
        surface: Kind of ground.
        near: Colour at the lower edge of the image.
        far: Factor by which it is lighter (above 1) or darker at the upper edge; see `shaded`.
        rise: Height of the horizon above the ground's upper edge, as a fraction of the image's side.
    """

    def fill(rng: np.random.Generator, size: int, rows: slice) -> Tones:
        top = rows.start / size
        tones = level_ground(rng, size, surface, top, top - rise, (top, shaded(near, far)), (1, near))
        return tones[:, : rows.stop - rows.start]

    return Paint(fill, is_drawn=surface.texture not in PHOTOGRAPHED)


def under_water(surface: Color, deep: Color) -> Paint:
    """Paint water below the surface, from its colour at the top to that at the bottom."""

    def fill(rng: np.random.Generator, size: int, rows: slice) -> Tones:
        image = water(rng, size, (0, surface), (rows.stop / size, deep), reach=1.3)
        return to_tones(soften(image, 0.05))[:, rows]

    return Paint(fill)


def drapery(cloth: Color) -> Paint:
    """Paint a heavy curtain."""
    return Paint(lambda rng, size, rows: curtain(rng, size, cloth, rows.stop / size)[:, rows])


def foliage(blur: float) -> Paint:
    """Paint a jungle out of focus; ``blur`` is the radius as a fraction of the image's side."""
    return Paint(lambda rng, size, rows: to_tones(soften(jungle(rng, size), blur))[:, rows])


def _random_part(
    rng: np.random.Generator, region: UInt8[np.ndarray, "a b 3"], aspect: float
) -> UInt8[np.ndarray, "c d 3"]:
    """Cut out a part of the given width ÷ height, at least three quarters of the largest, perhaps mirrored."""
    height, width = region.shape[:2]
    zoom, u, v, flip = rng.random(4)
    part_height = min(height, width / aspect) * (1 - 0.25 * zoom)
    rows, columns = max(2, int(part_height)), max(2, int(part_height * aspect))
    y, x = int(v * (height - rows)), int(u * (width - columns))
    part = region[y : y + rows, x : x + columns]
    return part[:, ::-1] if flip < 0.5 else part
