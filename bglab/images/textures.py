"""Texture backgrounds: procedural and tileable, or images from a folder.

Time for a Background Check! pastes objects on textures without naming their source (section 3). The default here are
procedural textures, each determined by its seed and its name. The Describable Textures Dataset, which the paper
cites, or any folder of images can be used instead.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import files_below
from bglab.images.arrays import from_levels, to_levels
from bglab.images.formats import IMAGE_SUFFIXES
from bglab.images.io import read_image
from bglab.seeding import digest, keyed_generator

# number of procedural plates, and their side in pixels: enough for variety, few enough to stay in memory
_STOCK, _STOCK_SIZE = 128, 512

Field = Float[np.ndarray, "s s"]


def draw_texture(size: int, rng: np.random.Generator, family: str | None = None) -> UInt8[np.ndarray, "3 s s"]:
    """Generate one procedural texture, tileable, with values in [0, 255].

    Args:
        size: Side in pixels.
        rng: Random generator (see `bglab.seeding.keyed_generator`).
        family: One of `FAMILIES`; None draws one at random.

    Raises:
        UnknownName: If there is no such family.

    Example:
        >>> draw_texture(32, np.random.default_rng(0), "cloudy").shape
        (3, 32, 32)
    """
    name = family or str(rng.choice(list(FAMILIES)))
    relief = FAMILIES[name](size, rng)
    return _colour(relief, size, rng)


def _spectral(size: int, rng: np.random.Generator, falloff: float, stretch: float = 1.0) -> Field:
    """Generate noise with a power-law spectrum; ``stretch`` above 1 elongates it horizontally."""
    fy = np.fft.fftfreq(size)[:, None] * size
    fx = np.fft.rfftfreq(size)[None, :] * size
    radius = np.hypot(fx * stretch, fy)
    radius[0, 0] = np.inf  # no constant component: the colours set the mean
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
    """Generate sine stripes, with whole numbers of periods so that they tile, distorted by smooth noise."""
    waves = rng.integers(-9, 10, size=2)
    waves[rng.integers(2)] = rng.integers(4, 15)
    y, x = np.mgrid[:size, :size] / size
    bend = rng.uniform(0, 2.5) * (_spectral(size, rng, 2.0) - 0.5)
    return _unit(np.sin(2 * np.pi * (waves[0] * x + waves[1] * y + bend)))


def _woven(size: int, rng: np.random.Generator) -> Field:
    """Generate a plain weave: warp and weft threads that alternate on top."""
    threads = int(rng.integers(8, 24)) * 2
    y, x = np.mgrid[:size, :size] * threads / size
    warp, weft = np.sin(np.pi * x) ** 2, np.sin(np.pi * y) ** 2
    over = (np.floor(x) + np.floor(y)) % 2 == 0
    return _unit(np.where(over, warp + 0.3, weft) + 0.25 * _spectral(size, rng, 0.4))


def _cellular(size: int, rng: np.random.Generator) -> Field:
    """Generate Worley noise: the distance to the nearest of some random points, on a torus so that it tiles."""
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
    """Map a field in [0, 1] to a gradient between two random colours, plus fine noise so that no area is flat."""
    dark, light = np.sort(rng.uniform(20, 235, size=(2, 3)), axis=0)
    plate = dark[:, None, None] + (light - dark)[:, None, None] * relief
    plate += 6 * rng.standard_normal((1, size, size))
    return plate.round().clip(0, 255).astype(np.uint8)


def _unit(field: Field) -> Field:
    """Rescale to [0, 1]."""
    low, high = field.min(), field.max()
    return (field - low) / max(high - low, 1e-12)


@dataclass(frozen=True, eq=False)
class Plates:
    """A collection of background plates from which one can be drawn for an image of any size.

    Attributes:
        source: The source it was opened from, without absolute paths.
        names: Name of each plate, as result tables list it in the column ``donor``.
        stamp: Hexadecimal digest of what defines the plates.
        is_tileable: Whether opposite edges match. Tileable plates are tiled to cover larger images, others enlarged.
        read: Function that returns a plate by its index.
        usable: Function that returns the index of the plate to use for a scene where another was drawn; None if every
            plate can be used for every scene.
    """

    source: str
    names: tuple[str, ...]
    stamp: str
    is_tileable: bool
    read: Callable[[int], UInt8[np.ndarray, "3 _ _"]] = field(repr=False)
    usable: Callable[[int, str], int] | None = field(default=None, repr=False)

    def draw(
        self, rng: np.random.Generator, height: int, width: int, *, scene: str = ""
    ) -> tuple[str, UInt8[np.ndarray, "3 h w"]]:
        """Draw a random plate and a random crop of ``height × width`` pixels from it.

        Args:
            rng: Source of the draw.
            height: Height of the crop in pixels.
            width: Width of the crop in pixels.
            scene: Id of the scene that the plate is for.

        Returns:
            The name of the plate and the crop, with values in [0, 255].
        """
        position = int(rng.integers(len(self.names)))
        position = position if self.usable is None else self.usable(position, scene)
        plate = self.read(position)
        if plate.shape[1] < height or plate.shape[2] < width:
            plate = _tiled(plate, height, width) if self.is_tileable else _enlarged(plate, height, width)
        top, left = (int(rng.integers(room + 1)) for room in (plate.shape[1] - height, plate.shape[2] - width))
        return self.names[position], plate[:, top : top + height, left : left + width]


def open_plates(source: str = "procedural", *, seed: int = 0) -> Plates:
    """Open a collection of texture plates.

    Args:
        source: ``procedural`` for generated textures of all `FAMILIES`; ``dtd:PATH`` for the Describable Textures
            Dataset, with the path of the folder that contains ``images/``; ``folder:PATH`` for all images below a
            folder.
        seed: Seed of the procedural textures.

    Raises:
        UnknownName: If the source is none of these.
        MissingData: If the folder does not exist.
        BadInput: If the folder contains no images.

    Example:
        >>> name, plate = open_plates().draw(np.random.default_rng(0), 24, 40)
        >>> name.split("-")[0] in FAMILIES, plate.shape
        (True, (3, 24, 40))
    """
    scheme, _, path = source.partition(":")
    if source == "procedural":
        return _procedural(seed)
    if scheme not in {"dtd", "folder"} or not path:
        raise UnknownName(f"unknown source of textures '{source}'. Known: procedural, dtd:PATH, folder:PATH")
    root = Path(path).expanduser()
    folder = root / "images" if scheme == "dtd" else root
    if not folder.is_dir():
        raise MissingData(f"expected a folder of textures at {folder} for '{source}', got none; unpack it there")
    files = [file for file in files_below(folder) if file.suffix.lower() in IMAGE_SUFFIXES]
    if not files:
        raise BadInput(f"expected images below {folder} for '{source}', got none; give another folder")
    names = tuple(file.relative_to(folder).as_posix() for file in files)
    sizes = [f"{name} {file.stat().st_size}" for name, file in zip(names, files, strict=True)]
    return Plates(
        f"{scheme}:{root.name}", names, digest(sizes), is_tileable=False, read=lambda i: _plate_from_file(files[i])
    )


def _procedural(seed: int) -> Plates:
    names = tuple(f"{list(FAMILIES)[i % len(FAMILIES)]}-{i:03d}" for i in range(_STOCK))
    return Plates(
        "procedural",
        names,
        digest([str(seed), str(_STOCK_SIZE), *names]),
        is_tileable=True,
        read=lambda i: _procedural_plate(seed, names[i]),
    )


@functools.lru_cache(maxsize=_STOCK)
def _procedural_plate(seed: int, name: str) -> UInt8[np.ndarray, "3 s s"]:
    return draw_texture(_STOCK_SIZE, keyed_generator(seed, "texture", name), name.partition("-")[0])


@functools.lru_cache(maxsize=_STOCK)
def _plate_from_file(file: Path) -> UInt8[np.ndarray, "3 h w"]:
    return read_image(file)


def _tiled(plate: UInt8[np.ndarray, "3 ph pw"], height: int, width: int) -> UInt8[np.ndarray, "3 h w"]:
    """Repeat a plate until it is at least ``height × width`` pixels."""
    return np.tile(plate, (1, -(-height // plate.shape[1]), -(-width // plate.shape[2])))


def _enlarged(plate: UInt8[np.ndarray, "3 ph pw"], height: int, width: int) -> UInt8[np.ndarray, "3 h w"]:
    """Enlarge a plate to at least ``height × width`` pixels, preserving its aspect ratio."""
    factor = max(height / plate.shape[1], width / plate.shape[2])
    size = (max(width, round(plate.shape[2] * factor)), max(height, round(plate.shape[1] * factor)))
    return to_levels(from_levels(plate).resize(size, Image.Resampling.BICUBIC))
