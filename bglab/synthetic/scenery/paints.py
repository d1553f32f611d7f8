"""Paints: what the bands of a plate are filled with, from photographs or by the painters of `surfaces`.

The same generator state gives the same pixels, and painted scenery is the same at any resolution.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import final

import cv2
import numpy as np
from jaxtyping import UInt8

from bglab.images import Box
from bglab.synthetic.colors import Color, shaded
from bglab.synthetic.photographs import photograph
from bglab.synthetic.scenery.brushes import Tones, blend_in, gradient, soften, to_image, to_tones
from bglab.synthetic.scenery.closeups import jungle
from bglab.synthetic.scenery.surfaces import (
    Surface,
    add_clouds,
    curtain,
    hedge,
    pave,
    water,
)
from bglab.synthetic.textures import PHOTOGRAPHED, window


class Paint(ABC):
    """Fills some rows of a square image."""

    @abstractmethod
    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint rows of an image.

        Args:
            rng: Makes every choice.
            size: Side of the image in pixels.
            rows: First row and the row after the last.

        Returns:
            Colours in [0, 255] of these rows.
        """

    @property
    def is_drawn(self) -> bool:
        """Whether it needs no photograph."""
        return True


@final
@dataclass(frozen=True)
class Photo(Paint):
    """A part of a photograph, chosen by eye so that it shows no object of the nine classes.

    Attributes:
        package: The pip package that the photograph comes with.
        file: Its path within the package.
        box: The region, half-open, in pixels.
        tint: Colours that stand for black and for white, for grey photographs; empty keeps their own.
        blur: Radius of the blur as a fraction of the image's side, for regions whose grain would be enlarged.
    """

    package: str
    file: str
    box: Box
    tint: tuple[Color, ...] = ()
    blur: float = 0.0

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Cut out a random part of the region in the right proportions and fit it to the rows.

        Raises:
            MissingData: If the package is not installed.
        """
        x0, y0, x1, y1 = self.box
        height = rows.stop - rows.start
        part = _random_part(rng, photograph(self.package, self.file)[y0:y1, x0:x1], size / height)
        way = cv2.INTER_AREA if part.shape[0] > height else cv2.INTER_CUBIC
        tones = to_tones(soften(cv2.resize(part, (size, height), interpolation=way), self.blur))
        if not self.tint:
            return tones
        tinted = gradient(size, (0, self.tint[0]))[:, :height]
        blend_in(tinted, self.tint[1], tones.mean(axis=0) / 255)
        return tinted

    @property
    def is_drawn(self) -> bool:
        """Whether it needs no photograph."""
        return False


@final
@dataclass(frozen=True)
class Sky(Paint):
    """A sky with clouds, perhaps behind a hedge out of focus.

    Attributes:
        zenith: Colour at the top.
        horizon: Colour at the bottom.
        clouds: Density above which there is a cloud, below 0.8; lower for more of them.
        hedge: Darkest and lightest colour of the hedge; empty for none.
    """

    zenith: Color
    horizon: Color
    clouds: float
    hedge: tuple[Color, ...] = ()

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint it."""
        tones = gradient(size, (0, self.zenith), (rows.stop / size, self.horizon))
        add_clouds(tones, window(rng, "cloud", size), self.clouds)
        if self.hedge:
            image = to_image(tones)
            hedge(rng, image, rows.stop / size, *self.hedge)
            tones = to_tones(soften(image, 0.04))
        return tones[:, rows]


@final
@dataclass(frozen=True)
class Ground(Paint):
    """Level ground that recedes to the horizon.

    Attributes:
        surface: What the ground is.
        near: Its colour at the lower edge of the image.
        far: The factor by which it is lighter (above 1) or darker far away.
        rise: How far above its upper edge the horizon is, as a fraction of the image's side.
    """

    surface: Surface
    near: Color
    far: float = 1.1
    rise: float = 0.0

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint it.

        Raises:
            MissingData: If its texture is a photograph whose package is not installed.
        """
        top = rows.start / size
        tones = gradient(size, (top, shaded(self.near, self.far)), (1, self.near))[:, rows.start :]
        pave(rng, tones, self.surface, top - self.rise)
        return tones[:, : rows.stop - rows.start]

    @property
    def is_drawn(self) -> bool:
        """Whether it needs no photograph."""
        return self.surface.texture not in PHOTOGRAPHED


@final
@dataclass(frozen=True)
class Depths(Paint):
    """Open water below the surface, with light from above.

    Attributes:
        surface: Colour at the top.
        deep: Colour at the bottom.
    """

    surface: Color
    deep: Color

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint it."""
        image = water(rng, size, (0, self.surface), (rows.stop / size, self.deep), reach=1.3)
        return to_tones(soften(image, 0.05))[:, rows]


@final
@dataclass(frozen=True)
class Curtain(Paint):
    """Heavy cloth in vertical folds, of one colour."""

    cloth: Color

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint it."""
        return curtain(rng, size, self.cloth, rows.stop / size)[:, rows]


@final
@dataclass(frozen=True)
class Jungle(Paint):
    """Foliage out of focus.

    Attributes:
        blur: Radius of the blur, as a fraction of the image's side.
    """

    blur: float

    def fill(self, rng: np.random.Generator, size: int, rows: slice) -> Tones:
        """Paint it."""
        return to_tones(soften(jungle(rng, size), self.blur))[:, rows]


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
