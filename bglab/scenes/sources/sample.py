"""``sample``: photographs from two pip packages with hand-drawn outlines; needs no download.

The images are data files of foolbox and scikit-image, which are located without importing the packages. Labels, boxes
and outlines are in ``sample.csv`` next to this module, with these columns:

- ``imagenet_index``: empty if ImageNet has no such class; then only the ImageNet-9 label applies;
- ``box``: half-open box in pixels, drawn by hand; empty for images that are excluded (``note`` gives the reason);
- ``outline``, ``holes``: polygons around the object and around gaps in it, separated by ``|``;
- ``band``: width in pixels, on each side of those polygons, of the region that GrabCut segments;
- ``foreground``: polygons that are certainly foreground, such as legs and mirrors thinner than the band;
- ``refine``: names of the options of `bglab.images.refine` to apply.

An image without an outline is segmented from its box alone, as in Noise or Signal (Appendix A).
"""

from __future__ import annotations

import csv
import functools
import importlib.util
from collections.abc import Iterable
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, UInt8

from bglab.catalogue import unknown_name
from bglab.errors import MissingData, UnknownName
from bglab.images import Box, grab_cut, polygon_mask, read_image, refine
from bglab.labels import IN9_NAMES, OUTSIDE, imagenet_names
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet
from bglab.seeding import digest

Polygon = tuple[tuple[float, float], ...]

_INSTALL = 'pip install "bglab[demo]"'

#: Distribution on PyPI by the name of the Python package.
_DISTRIBUTIONS = {"foolbox": "foolbox", "skimage": "scikit-image"}

_CREDIT = (
    "Photographs from the packages foolbox (MIT; it names no photographers; the drum is CC BY themusicianlab, "
    "retouched by Patomis) and scikit-image (espresso: Rachel Michetti, CC0; motorcycle: Middlebury 2014 stereo "
    "benchmark); boxes and outlines by bglab."
)


class _Entry(NamedTuple):
    """One row of the manifest; ``box`` is None for an excluded image."""

    package: str
    file: str
    id: str
    native_label: int
    label: int
    box: Box | None
    outline: tuple[Polygon, ...]
    holes: tuple[Polygon, ...]
    foreground: tuple[Polygon, ...]
    band: int
    refine: tuple[str, ...]
    note: str


def open_source(path: str = "", *, uri: str) -> SceneSet:
    """Open the sample photographs.

    Preparing them keeps the whole central square (``crop_fraction`` 1), since the usual crop of 87.5 % would cut off
    parts of most objects.

    Args:
        path: Empty or ``in9`` for the scenes with an ImageNet-9 label; ``all`` for all scenes with an ImageNet label,
            with ImageNet's classes.
        uri: The complete URI given by the user.

    Raises:
        UnknownName: If the path has another value.
        MissingData: If neither package is installed.
    """
    if path not in {"", "in9", "all"}:
        raise UnknownName(unknown_name("part of the sample pack", path, ["in9", "all"]))
    space = "imagenet" if path == "all" else "in9"
    entries = _manifest()
    files = {entry.id: file for entry in entries if (file := _find(entry.package, entry.file))}
    if not files:
        raise MissingData(f"the sample photographs come with foolbox and scikit-image; get them with: {_INSTALL}")
    usable = {e.id: e for e in entries if e.box is not None and _label(e, space) != OUTSIDE}
    records = tuple(
        SceneRecord(e.id, _label(e, space), e.native_label, (files[e.id],)) for e in usable.values() if e.id in files
    )
    return SceneSet(
        uri=uri,
        name="sample:all" if path == "all" else "sample",
        space=space,
        classes=imagenet_names() if space == "imagenet" else IN9_NAMES,
        records=records,
        read=lambda record: _read(record, usable[record.id]),
        fingerprint=digest([repr((usable[r.id], r.files[0].stat().st_size)) for r in records]),
        crop_fraction=1.0,
        notices=tuple(_notices(entry for entry in usable.values() if entry.id not in files)),
        rejected=tuple(_rejections(entries, space)),
        credit=_CREDIT,
    )


def _label(entry: _Entry, space: str) -> int:
    """Return the label of an entry in one of the two label spaces."""
    return entry.native_label if space == "imagenet" else entry.label


def _find(package: str, file: str) -> Path | None:
    """Find an image in an installed package without importing the package."""
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        return None
    found = Path(spec.origin).parent / "data" / file
    return found if found.is_file() else None


def _notices(missing: Iterable[_Entry]) -> list[str]:
    """Write one sentence per package about the scenes that it should provide."""
    ids: dict[str, list[str]] = {}
    for entry in missing:
        ids.setdefault(entry.package, []).append(entry.id)
    return [
        f"expected {', '.join(names)} in the package {_DISTRIBUTIONS[package]}, which is not installed or no "
        f"longer holds them; get them with: {_INSTALL}"
        for package, names in ids.items()
    ]


def _rejections(entries: Iterable[_Entry], space: str) -> list[Rejection]:
    """List the excluded images of the manifest with their notes; none are reported for ImageNet-9."""
    if space == "in9":
        return []
    return [
        Rejection(entry.id, entry.file, entry.note)
        for entry in entries
        if entry.box is None or entry.native_label == OUTSIDE
    ]


def _manifest() -> list[_Entry]:
    """Read the manifest."""
    table = resources.files("bglab.scenes.sources").joinpath("sample.csv")
    return [_entry(row) for row in csv.DictReader(table.read_text(encoding="utf-8").splitlines())]


def _entry(row: dict[str, str]) -> _Entry:
    """Read one row of the manifest."""
    box = tuple(int(side) for side in row["box"].split())
    return _Entry(
        package=row["package"],
        file=row["file"],
        id=row["id"],
        native_label=int(row["imagenet_index"] or OUTSIDE),
        label=IN9_NAMES.index(row["in9"]) if row["in9"] else OUTSIDE,
        box=(box[0], box[1], box[2], box[3]) if box else None,
        outline=_polygons(row["outline"]),
        holes=_polygons(row["holes"]),
        foreground=_polygons(row["foreground"]),
        band=int(row["band"] or 0),
        refine=tuple(row["refine"].split()),
        note=row["note"],
    )


def _polygons(text: str) -> tuple[Polygon, ...]:
    """Parse polygons written as ``x,y x,y x,y | x,y x,y x,y``.

    Example:
        >>> _polygons("0,0 2,0 2,1.5 | 5,5 6,5 6,6")[0]
        ((0.0, 0.0), (2.0, 0.0), (2.0, 1.5))
    """
    return tuple(tuple(_point(pair) for pair in part.split()) for part in text.split("|") if part.strip())


def _point(pair: str) -> tuple[float, float]:
    x, y = pair.split(",")
    return (float(x), float(y))


def _read(record: SceneRecord, entry: _Entry) -> Scene:
    """Read a photograph and segment its foreground."""
    assert entry.box is not None  # entries without a box have no record
    image = read_image(record.files[0])
    mask = _mask(record.files[0], entry).copy()  # the cached one is shared
    return Scene(record.id, record.label, record.native_label, image, mask, entry.box)


@functools.lru_cache(maxsize=32)
def _mask(file: Path, entry: _Entry) -> Bool[np.ndarray, "h w"]:
    """Segment a photograph; cached, since GrabCut takes about a second and widgets request a scene repeatedly."""
    mask = _cut_out(read_image(file), entry)
    switches = set(entry.refine)
    mask = refine(mask, largest_only="largest_only" in switches, fill_holes="fill_holes" in switches)
    mask.setflags(write=False)
    return mask


def _cut_out(image: UInt8[np.ndarray, "3 h w"], entry: _Entry) -> Bool[np.ndarray, "h w"]:
    """Segment the foreground by GrabCut within the band around the outline, or within the box if there is none."""
    assert entry.box is not None
    if not entry.outline:
        return grab_cut(image, entry.box)
    height, width = image.shape[-2:]
    shape = _union(entry.outline, height, width) & ~_union(entry.holes, height, width)
    drawn = _union(entry.foreground, height, width)
    core = refine(shape, erode=entry.band) | drawn
    reach = refine(shape, dilate=entry.band) | drawn
    return grab_cut(image, entry.box, foreground_hint=core, background_hint=~reach)


def _union(polygons: Iterable[Polygon], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Rasterise the union of polygons."""
    mask = np.zeros((height, width), dtype=bool)
    for polygon in polygons:
        mask |= polygon_mask(polygon, height, width)
    return mask
