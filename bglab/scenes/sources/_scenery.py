"""Photographs of scenery without an object, each labelled with the class that is usually photographed there.

``scenery.csv`` next to this module lists photographs of Debian packages and, for machines without those, of pip
packages; a folder of one's own has a table of the same columns:

- ``file``: path within the package or folder;
- ``class``: name of one of the nine classes;
- ``package``: Debian package, or ``pip:NAME``; empty in a folder of one's own;
- ``region``: part from which crops are taken, ``x0 y0 x1 y1`` as fractions of the photograph, which leaves out animals
  and frames; empty for the whole. For a panorama (``.exr``), the range of directions ``from to`` in which a view's
  centre may lie, as fractions of a full turn from the left edge;
- ``place``: ``stands`` if objects stand on the ground there, ``hovers`` if they are anywhere;
- ``author``, ``licence``: from the package's copyright file.
"""

from __future__ import annotations

import functools
import importlib.util
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import UInt8

from bglab.errors import BadInput, MissingData
from bglab.files import data_root
from bglab.images import can_read_panoramas, open_image, perspective_view, read_panorama, tone_map
from bglab.labels import IN9_NAMES
from bglab.scenes.sources._tables import check_class, check_file, parse_number, read_rows

TABLE = Path(__file__).with_name("scenery.csv")

#: Version of the crops' pixels, to be raised with every change of them; part of every fingerprint.
VERSION = 1

#: Range of a crop's side as a fraction of the region's shorter side, and of a view's angle in degrees.
_CROP_SHARE = (0.62, 1.0)
_FIELD_OF_VIEW = (58.0, 82.0)
#: Range of the height of a view's centre above the horizon in degrees: the ground fills a little more than half.
_PITCH = (-14.0, -3.0)
#: Regions are kept in memory with this shorter side at most, in pixels.
_KEPT_SIDE = 640
_PANORAMA = ".exr"


class Photograph(NamedTuple):
    """One row of a table of scenery.

    Attributes:
        path: The file.
        name: Its stem, by which results and credits name it.
        package: Debian package, ``pip:NAME``, or empty.
        label: Class among the nine.
        region: ``(x0, y0, x1, y1)``, or ``(from, to)`` of a panorama.
        stands: Whether objects stand in its lower part.
        author: Who took it.
        licence: Its licence.
    """

    path: Path
    name: str
    package: str
    label: int
    region: tuple[float, ...]
    stands: bool
    author: str
    licence: str

    @property
    def is_substitute(self) -> bool:
        """Whether it comes from a pip package, to be used where there is nothing better."""
        return self.package.startswith("pip:")

    @property
    def identity(self) -> str:
        """What decides its crops, without its place on this machine."""
        return repr((self.name, self.label, self.region, self.stands, self.path.stat().st_size))

    @property
    def is_panorama(self) -> bool:
        """Whether it covers the whole sphere."""
        return self.path.suffix.lower() == _PANORAMA


class Scenery(NamedTuple):
    """The photographs that are on this machine.

    Attributes:
        photographs: In the order of the table.
        missing: Rows of the table whose file is not here, by package.
    """

    photographs: tuple[Photograph, ...]
    missing: Mapping[str, int]

    def of_class(self, label: int) -> tuple[Photograph, ...]:
        """Return a class's photographs; those of pip packages only if there are no others."""
        all_here = [photograph for photograph in self.photographs if photograph.label == label]
        chosen = [photograph for photograph in all_here if not photograph.is_substitute]
        return tuple(chosen or all_here)

    @property
    def used(self) -> tuple[Photograph, ...]:
        """The photographs of all classes."""
        return tuple(photograph for label in range(len(IN9_NAMES)) for photograph in self.of_class(label))


def find_scenery(folder: str = "") -> Scenery:
    """Find the photographs of a table.

    Args:
        folder: Folder with ``scenery.csv``; empty for the photographs that come with packages.

    Raises:
        MissingData: If there is no such table, or none of its photographs is here.
        BadInput: If the table or a row of it is invalid.
        UnknownName: If a class is unknown.
    """
    table = Path(folder).expanduser() / "scenery.csv" if folder else TABLE
    if not table.is_file():
        raise MissingData(
            f"expected a table of scenery {table}, but there is none; write one with the columns file,class"
        )
    rows = _read_table(table)
    here = [row for row in rows if row.path.is_file() and (can_read_panoramas() or not row.is_panorama)]
    if folder and not here:
        raise MissingData(
            f"expected the photographs that {table} lists next to it, but none of the {len(rows)} is there"
        )
    found = Scenery(tuple(here), {})
    # photographs of pip packages that others replace are not missed
    missed = [row for row in rows if row not in here and not (row.is_substitute and found.of_class(row.label))]
    return found._replace(missing=Counter(row.package for row in missed))


def _read_table(table: Path) -> list[Photograph]:
    return [_checked(text, table, where) for where, text in read_rows(table, "class", "photograph")]


def _checked(text: Mapping[str, str], table: Path, where: str) -> Photograph:
    """Check one row."""
    file, label = check_file(text["file"], where), check_class(text["class"], where)
    package, place = text.get("package", ""), text.get("place") or "stands"
    if place not in {"stands", "hovers"}:
        raise BadInput(f"expected stands or hovers as place in {where}, got '{place}'; correct it or leave it empty")
    path = _find(package, file) if table == TABLE else table.parent / file
    region = _region(text.get("region", ""), is_panorama=file.suffix.lower() == _PANORAMA, where=where)
    return Photograph(
        path, file.stem, package, label, region, place == "stands", text.get("author", ""), text.get("licence", "")
    )


def _region(text: str, *, is_panorama: bool, where: str) -> tuple[float, ...]:
    """Parse a region."""
    wanted = "two numbers, the range of directions" if is_panorama else "x0 y0 x1 y1 within 0 and 1"
    try:
        numbers = tuple(parse_number(word) for word in text.split()) or (
            (0.0, 1.0) if is_panorama else (0.0, 0.0, 1.0, 1.0)
        )
    except ValueError:
        numbers = ()
    low, high = numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]
    is_valid = len(numbers) == (2 if is_panorama else 4) and all(a < b for a, b in zip(low, high, strict=True))
    if not is_valid or not (is_panorama or (min(numbers) >= 0 and max(numbers) <= 1)):
        raise BadInput(f"expected {wanted} as region in {where}, got '{text}'; correct it or leave it empty")
    return numbers


def _find(package: str, file: Path) -> Path:
    """Return where a package's file is, or would be."""
    if package.startswith("pip:"):
        spec = importlib.util.find_spec(package.removeprefix("pip:"))
        return (Path(spec.origin).parent if spec and spec.origin else Path(package)) / file
    fetched = data_root() / "scenery" / package / file
    return fetched if fetched.is_file() else Path("/") / file


def credit(photographs: Sequence[Photograph]) -> str:
    """Name the photographers, each with the licence."""
    authors = dict.fromkeys((photograph.author or "unnamed", photograph.licence) for photograph in photographs)
    names = "; ".join(f"{author} ({licence})" if licence else author for author, licence in authors)
    return f"Scenery: {len(photographs)} photographs by {names}."


def crop(photograph: Photograph, size: int, rng: np.random.Generator) -> UInt8[np.ndarray, "3 {size} {size}"]:
    """Take a square crop of a photograph, or a view of a panorama.

    Args:
        photograph: The photograph.
        size: Side of the crop in pixels.
        rng: Generator for its place and size.

    Raises:
        BadInput: If the file cannot be read.
    """
    share, across, down = rng.uniform(size=3)
    low, high = _FIELD_OF_VIEW if photograph.is_panorama else _CROP_SHARE
    extent = low + (high - low) * share
    if photograph.is_panorama:
        first, last = photograph.region
        light = perspective_view(
            _panorama(photograph.path),
            size,
            turn=first + (last - first) * across,
            pitch=_PITCH[0] + (_PITCH[1] - _PITCH[0]) * down,
            field_of_view=extent,
        )
        return np.ascontiguousarray(tone_map(light).transpose(2, 0, 1))
    image = _region_pixels(photograph.path, photograph.region)
    height, width = image.shape[:2]
    side = extent * min(height, width)
    # what objects stand on lies in the lower half of a landscape
    top = (height - side) * (0.5 + down / 2 if photograph.stands else down)
    left = (width - side) * across
    square = image[round(top) : round(top + side), round(left) : round(left + side)]
    way = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.ascontiguousarray(cv2.resize(square, (size, size), interpolation=way).transpose(2, 0, 1))


@functools.lru_cache(maxsize=64)
def _region_pixels(path: Path, region: Sequence[float]) -> UInt8[np.ndarray, "h w 3"]:
    """Read a photograph's region, reduced to what crops need."""
    image = np.asarray(open_image(path))
    height, width = image.shape[:2]
    x0, y0, x1, y1 = (round(v * side) for v, side in zip(region, (width, height) * 2, strict=True))
    image = image[y0:y1, x0:x1]
    scale = min(1.0, _KEPT_SIDE / min(image.shape[:2]))
    shape = (round(image.shape[1] * scale), round(image.shape[0] * scale))
    return image if scale == 1 else cv2.resize(image, shape, interpolation=cv2.INTER_AREA)


@functools.lru_cache(maxsize=16)
def _panorama(path: Path) -> np.ndarray:
    return read_panorama(path)
