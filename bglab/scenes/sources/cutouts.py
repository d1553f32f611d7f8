"""Cut-outs: photographed objects with transparency, pasted on plates at a plausible size and position.

The objects are the photographic stamps of Debian's ``tuxpaint-stamps-default``, or any folder of RGBA images
with a table of labels. ``cutouts.csv`` next to this file lists the stamps that were chosen by eye: photographs
that belong to one of the nine classes. It leaves out game birds, as the release's own list of classes does, the
dingo (which looks like a dog, but belongs to the carnivores), cartoons, toys and mirrored copies.
"""

from __future__ import annotations

import csv
import functools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, get_args

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import data_root
from bglab.images import IMAGE_SUFFIXES, box_of, read_cutout
from bglab.labels import IMAGENET_TO_IN9, IN9_NAMES, OUTSIDE
from bglab.names import copy_name
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.seeding import keyed_generator
from bglab.synthetic import HABITATS_BY_CLASS, HOVERS, PLATES, VERSION, PlateRule, choose_plate, paint_plate

Pixels = Float[np.ndarray, "h w 3"]
Alpha = Float[np.ndarray, "h w"]

_TABLE = Path(__file__).with_name("cutouts.csv")
_STAMPS = Path("usr/share/tuxpaint/stamps")
_STAMPS_CREDIT = (
    "Objects: photographic stamps of Tux Paint, © 2002–2022 Bill Kendrick and contributors, GPL-2; single images "
    "are in the public domain or under Creative Commons, as the package's changelog lists them. "
)
_PLATES_CREDIT = (
    "Plates: regions of the ImageNet photographs in foolbox and of scikit-image's sample images, "
    "and scenery rendered by bglab."
)

#: Range of the fraction of the image that the object's box covers, and its longest side as a fraction of the image's.
_BOX_SHARE = (0.28, 0.5)
_LONGEST = 0.92


class _Row(NamedTuple):
    """One row of a table of labels."""

    file: str
    label: int
    native_label: int
    habitats: tuple[str, ...]


class _Options(NamedTuple):
    """Options that change the pixels."""

    seed: int
    size: int
    plates: PlateRule
    copies: int


def open_source(
    path: str = "",
    *,
    uri: str,
    seed: int | str = 0,
    size: int | str = 256,
    plates: str = "natural",
    copies: int | str = 1,
) -> SceneSet:
    """Open cut-outs as scenes without reading the images yet.

    Args:
        path: Folder of RGBA images with ``labels.csv`` (columns file, label, and optionally imagenet_index,
            habitat), or the stamps' folder; empty finds the stamps where `bglab data fetch cutouts` or apt put them.
        uri: URI that names the set and its options.
        seed: Seed for the plates, sizes and positions.
        size: Side of the scenes in pixels, 64–512.
        plates: ``natural`` pastes an object where its kind is usually photographed, ``any`` anywhere; ``drawn`` is
            ``natural`` without photographs.
        copies: Number of scenes per cut-out, 1–100; from the second on, ids end in -copy2, -copy3, ….

    Raises:
        MissingData: If there are no stamps on this machine, or no such folder.
        BadInput: If the table of labels or an option is invalid.
        UnknownName: If a class, a habitat or the rule for plates is unknown.
    """
    options = _Options(
        _whole("seed", seed, 0, 2**63 - 1),
        _whole("size", size, 64, 512),
        _plate_rule(plates),
        _whole("copies", copies, 1, 100),
    )
    root, table = _find(path)
    rows = _read_table(table)
    here = [row for row in rows if (root / row.file).is_file()]
    if not here:
        raise MissingData(
            f"expected the images that {table.name} lists in {root}, but none of the {len(rows)} is there; "
            "give the folder that they lie in"
        )
    cutouts = _with_ids(here, options.copies, table)
    records = tuple(_record(root, scene, cutout) for scene, cutout in cutouts.items())
    is_stamps = table == _TABLE
    return SceneSet(
        uri=uri,
        name="cutouts" if is_stamps else f"cutouts:{root.resolve().name}",
        space="in9",
        classes=IN9_NAMES,
        records=records,
        read=functools.partial(_read, cutouts=cutouts, options=options),
        fingerprint=file_fingerprint(root, records, f"cutouts, plates {VERSION}", *map(repr, options)),
        crop_fraction=1.0,
        notices=(*_single_notice(here, options), *(() if is_stamps else _unlisted_notice(root, rows))),
        rejected=tuple(
            Rejection(_scene_id(row), row.file, f"the image is listed in {table.name} but is not there")
            for row in rows
            if row not in here
        ),
        credit=(_STAMPS_CREDIT if is_stamps else "Objects: your own images. ") + _PLATES_CREDIT,
    )


def _find(path: str) -> tuple[Path, Path]:
    """Find the images' folder and their table of labels."""
    if path:
        folder = Path(path).expanduser()
        if (folder / "labels.csv").is_file():
            return folder, folder / "labels.csv"
        places = [folder]
    else:
        places = [data_root() / "cutouts", Path("/")]
    for place in places:
        for root in (place, place / "stamps", place / _STAMPS):
            if (root / "animals" / "mammals").is_dir():
                return root, _TABLE
    if path:
        raise MissingData(
            f"expected labels.csv or Tux Paint's stamps in {path}, but neither is there; "
            "add labels.csv with the columns file,label, or leave the path out"
        )
    raise MissingData(
        f"expected Tux Paint's stamps in {data_root() / 'cutouts'} or /{_STAMPS}, but they are in neither; "
        "run bglab data fetch cutouts (needs apt), or open cutouts:PATH on a folder of RGBA images with labels.csv"
    )


def _read_table(table: Path) -> list[_Row]:
    """Read a table of labels; that of the stamps calls the label's column coarse_name."""
    try:
        with table.open(newline="", encoding="utf-8-sig") as file:
            rows = list(csv.DictReader(file))
    except (UnicodeDecodeError, csv.Error) as problem:
        raise BadInput(
            f"expected a table in {table}, but reading it failed ({problem}); save it as UTF-8 csv"
        ) from None
    column = "coarse_name" if table == _TABLE else "label"
    if not rows or not {"file", column} <= rows[0].keys():
        came = ", ".join(str(name) for name in rows[0]) if rows else "no row"
        raise BadInput(f"expected the columns file,{column} in {table}, got {came}; add a header and a row per image")
    return [_checked_row(row, column, f"line {line} of {table}") for line, row in enumerate(rows, start=2)]


def _checked_row(row: Mapping[str, str | None], column: str, where: str) -> _Row:
    """Check one row."""
    file, name = (row["file"] or "").strip(), (row[column] or "").strip()
    if not file or Path(file).is_absolute() or ".." in Path(file).parts:
        raise BadInput(f"expected a file within the folder in {where}, got '{file}'; write it relative to the table")
    if name not in IN9_NAMES:
        raise UnknownName(f"{unknown_name('class', name, list(IN9_NAMES))} ({where})")
    label, written = IN9_NAMES.index(name), (row.get("imagenet_index") or "").strip() or "-1"
    try:
        native = int(written)
    except ValueError:
        native = -2
    if native != OUTSIDE and not (0 <= native < 1000 and IMAGENET_TO_IN9[native] == label):
        raise BadInput(
            f"expected an ImageNet index of the class {name}, or -1, in {where}, got '{written}'; "
            "correct it or leave it empty"
        )
    habitats = tuple((row.get("habitat") or "").split()) or HABITATS_BY_CLASS[name]
    for habitat in habitats:
        if habitat not in HOVERS:
            raise UnknownName(f"{unknown_name('habitat', habitat, list(HOVERS))} ({where})")
    return _Row(file, label, native, habitats)


def _scene_id(cutout: _Row) -> str:
    return f"{IN9_NAMES[cutout.label]}-{Path(cutout.file).stem}"


def _with_ids(rows: list[_Row], copies: int, table: Path) -> dict[str, _Row]:
    """Map ids to rows, once per copy; ids must differ."""
    named = [(copy_name(_scene_id(row), copy), row) for row in rows for copy in range(1, copies + 1)]
    for scene, count in Counter(scene for scene, _ in named).items():
        if count > 1:
            raise BadInput(f"expected one image called {scene} in {table}, got {count}; rename all but one")
    return dict(named)


def _record(root: Path, scene: str, cutout: _Row) -> SceneRecord:
    return SceneRecord(scene, cutout.label, cutout.native_label, (root / cutout.file,))


def _unlisted_notice(root: Path, rows: list[_Row]) -> tuple[str, ...]:
    """Return a notice of images in the user's folder that have no row."""
    listed = {root / row.file for row in rows}
    images_here = (p for p in sorted(root.rglob("*")) if p.suffix.lower() in IMAGE_SUFFIXES)
    unlisted = [p.relative_to(root).as_posix() for p in images_here if p not in listed]
    if not unlisted:
        return ()
    return (f"images without a row in labels.csv are left out: {len(unlisted)}, the first is {unlisted[0]}",)


def _single_notice(rows: list[_Row], options: _Options) -> tuple[str, ...]:
    """Return a notice of classes that are too small for donors of the same class."""
    counts = Counter(row.label for row in rows)
    single = [IN9_NAMES[label] for label in sorted(counts) if counts[label] == 1]
    if options.copies > 1 or not single:
        return ()
    return (
        f"only one cut-out of: {', '.join(single)}; without a donor of the same class, Mixed-Same skips it "
        "(copies=2 makes two scenes of every cut-out)",
    )


def _read(record: SceneRecord, cutouts: Mapping[str, _Row], options: _Options) -> Scene:
    """Paste one cut-out on its plate.

    No shadow is added, so the image equals the plate wherever the object is not.
    """
    cutout = cutouts[record.id]
    # the object and the plate have generators of their own, so that the object keeps its size when plates change
    plate_name = choose_plate(options.plates, cutout.habitats, keyed_generator(options.seed, "plate choice", record.id))
    plate = paint_plate(plate_name, options.size, options.seed, record.id)
    colors, alpha = _trimmed(record.files[0])
    rng = keyed_generator(options.seed, "cut-out place", record.id)
    colors, alpha = _scaled(colors, alpha, options.size, rng.uniform(*_BOX_SHARE))
    canvas, matte = _placed(colors, alpha, options.size, rng, hovers=PLATES[plate_name].hovers)
    import torch  # opening the set must not take the seconds that torch takes

    from bglab.images import composite

    image = composite(torch.from_numpy(canvas), torch.from_numpy(plate), torch.from_numpy(matte)).numpy()
    mask = matte > 0.5
    return Scene(record.id, record.label, record.native_label, image, mask, box_of(mask), plate)


def _trimmed(file: Path) -> tuple[Pixels, Alpha]:
    """Read a cut-out, cropped to its visible part, with colours multiplied by alpha.

    Raises:
        BadInput: If the file cannot be read, has no transparency, or shows nothing.
    """
    image, alpha = read_cutout(file)
    x0, y0, x1, y1 = box_of(alpha > 0.5)
    if (x1 - x0) * (y1 - y0) < 16:
        raise BadInput(f"expected an object in {file}, but hardly any of it is opaque; cut it out again")
    window = np.s_[max(0, y0 - 2) : y1 + 2, max(0, x0 - 2) : x1 + 2]
    alpha = alpha[window]
    return image.transpose(1, 2, 0)[window] * alpha[..., None], alpha


def _scaled(
    colors: Pixels, alpha: Alpha, size: int, share: float
) -> tuple[Float[np.ndarray, "rows columns 3"], Float[np.ndarray, "rows columns"]]:
    """Resize a cut-out so that its box covers a fraction of the image and fits inside it.

    Returns:
        Its colours, not multiplied by alpha, and its alpha.
    """
    height, width = alpha.shape
    scale = min(size * (share / (height * width)) ** 0.5, _LONGEST * size / max(height, width))
    shape = (max(2, round(width * scale)), max(2, round(height * scale)))
    way = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    # colours multiplied by alpha are resized, so that colours of transparent pixels never bleed into the edge
    colors, alpha = (cv2.resize(np.ascontiguousarray(a), shape, interpolation=way) for a in (colors, alpha))
    # divided before alpha is clipped: both overshoot alike where a cubic kernel meets an edge
    straight = colors / np.maximum(alpha, 1e-3)[..., None]
    return np.clip(straight, 0, 255), np.clip(alpha, 0, 1)


def _placed(
    colors: Pixels, alpha: Alpha, size: int, rng: np.random.Generator, *, hovers: bool
) -> tuple[UInt8[np.ndarray, "3 {size} {size}"], Float[np.ndarray, "{size} {size}"]]:
    """Place a cut-out on an empty canvas, standing in the lower part or hovering near the middle."""
    height, width = alpha.shape
    across, up = rng.uniform(-1, 1, size=2)
    x = round((size - width) * (0.5 + 0.35 * across))
    y = round((size - height) * (0.5 + 0.25 * up) if hovers else max(0.0, size * (0.92 + 0.035 * up) - height))
    canvas, matte = np.zeros((size, size, 3), np.uint8), np.zeros((size, size), np.float32)
    canvas[y : y + height, x : x + width] = colors.round()
    matte[y : y + height, x : x + width] = alpha
    return np.ascontiguousarray(canvas.transpose(2, 0, 1)), matte


def _plate_rule(name: str) -> PlateRule:
    for rule in get_args(PlateRule):
        if name == rule:
            return rule
    raise UnknownName(unknown_name("rule for plates", name, list(get_args(PlateRule))))


def _whole(name: str, value: int | str, low: int, high: int) -> int:
    """Parse an option that is a whole number within bounds."""
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise BadInput(f"expected a whole number from {low} to {high} for {name}, got '{value}'; correct the option")
    return number
