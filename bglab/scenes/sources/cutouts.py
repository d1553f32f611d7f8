"""Cut-outs: photographed objects with transparency, pasted on photographs of scenery at a plausible size and place.

The scenery, see `bglab.scenes.sources._scenery`, shows where objects of a class are usually photographed. Classes
without a photograph on this machine get plates, which are painted.

The objects are the photographic stamps of Debian's ``tuxpaint-stamps-default``, or any folder of RGBA images
with a table of labels. ``cutouts.csv`` next to this file lists the stamps that were chosen by eye: photographs
that belong to one of the nine classes. It leaves out game birds, as the release's own list of classes does, the
dingo (which looks like a dog, but belongs to the carnivores), cartoons, toys and mirrored copies.
"""

from __future__ import annotations

import functools
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
from jaxtyping import UInt8

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import data_root, files_below
from bglab.images import IMAGE_SUFFIXES, box_of
from bglab.labels import IMAGENET_TO_IN9, IN9_NAMES, OUTSIDE
from bglab.names import copy_name
from bglab.scenes.scene import Rejection, Scene, SceneRecord, SceneSet, file_fingerprint
from bglab.scenes.sources import _pasting, _scenery
from bglab.scenes.sources._tables import check_class, check_file, read_rows
from bglab.seeding import keyed_generator
from bglab.synthetic import HABITATS_BY_CLASS, HOVERS, PLATES, VERSION, PlateRule, choose_plate, paint_plate

_TABLE = Path(__file__).with_name("cutouts.csv")
_STAMPS = Path("usr/share/tuxpaint/stamps")
_STAMPS_CREDIT = (
    "Objects: photographic stamps of Tux Paint, © 2002–2022 Bill Kendrick and contributors, GPL-2; single images "
    "are in the public domain or under Creative Commons, as the package's changelog lists them. "
)
_PLATES_CREDIT = (
    "Painted scenery: regions of the ImageNet photographs in foolbox and of scikit-image's sample images, "
    "and scenery rendered by bglab."
)

#: Version of how objects are pasted, to be raised with every change; part of every fingerprint.
_VERSION = 2


class _Row(NamedTuple):
    """One row of a table of labels."""

    file: str
    label: int
    native_label: int
    habitats: tuple[str, ...]


PlateChoice = Literal["photographs", "natural", "any", "drawn"]


class _Options(NamedTuple):
    """Options that change the pixels."""

    seed: int
    size: int
    plates: PlateChoice
    copies: int


class _Pasted(NamedTuple):
    """A cut-out of one scene: its row, its id without the copy's number, and that number, from 1."""

    row: _Row
    base: str
    copy: int


def open_source(
    path: str = "",
    *,
    uri: str,
    seed: int | str = 0,
    size: int | str = 256,
    plates: str = "photographs",
    scenery: str = "",
    copies: int | str = 1,
) -> SceneSet:
    """Open cut-outs as scenes without reading the images yet.

    Args:
        path: Folder of RGBA images with ``labels.csv`` (columns file, label, and optionally imagenet_index,
            habitat), or the stamps' folder; empty finds the stamps where `bglab data fetch cutouts` or apt put them.
        uri: URI that names the set and its options.
        seed: Seed for the scenery, sizes and positions.
        size: Side of the scenes in pixels, 64–512.
        plates: ``photographs`` pastes an object on a photograph of the scenery of its class; ``natural`` on a plate,
            painted with small parts of photographs, of a habitat of its kind; ``any`` on any plate; ``drawn`` is
            ``natural`` without photographs.
        scenery: Folder of photographs with ``scenery.csv`` (columns file, class, and optionally region, place, author,
            licence), which are used in place of those from packages.
        copies: Number of scenes per cut-out, 1–100; from the second on, ids end in -copy2, -copy3, ….

    Raises:
        MissingData: If there are no stamps on this machine, or no such folder.
        BadInput: If the table of labels or an option is invalid.
        UnknownName: If a class, a habitat or the rule for plates is unknown.
    """
    options = _Options(
        _whole("seed", seed, 0, 2**63 - 1),
        _whole("size", size, 64, 512),
        _plate_choice(plates),
        _whole("copies", copies, 1, 100),
    )
    if scenery and options.plates != "photographs":
        raise BadInput(f"expected either a folder of scenery or painted plates, got both ({uri}); leave one out")
    photographs = _scenery.find_scenery(scenery) if options.plates == "photographs" else None
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
        read=functools.partial(_read, cutouts=cutouts, options=options, scenery=photographs),
        fingerprint=file_fingerprint(
            root, records, f"cutouts {_VERSION}, plates {VERSION}", *map(repr, options), *_identities(photographs)
        ),
        crop_fraction=1.0,
        notices=(
            *_single_notice(here, options),
            *_scenery_notices(photographs, here, is_own=bool(scenery)),
            *(() if is_stamps else _unlisted_notice(root, rows)),
        ),
        rejected=tuple(
            Rejection(_scene_id(row), row.file, f"the image is listed in {table.name} but is not there")
            for row in rows
            if row not in here
        ),
        credit=(_STAMPS_CREDIT if is_stamps else "Objects: your own images. ") + _credit(photographs, here),
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
    column = "coarse_name" if table == _TABLE else "label"
    return [_checked_row(row, column, where) for where, row in read_rows(table, column, "image")]


def _checked_row(row: Mapping[str, str], column: str, where: str) -> _Row:
    """Check one row."""
    check_file(row["file"], where)
    name = row[column]
    label, written = check_class(name, where), row.get("imagenet_index") or "-1"
    native = int(written) if re.fullmatch(r"-?\d{1,4}", written, re.ASCII) else -2
    if native != OUTSIDE and not (0 <= native < 1000 and IMAGENET_TO_IN9[native] == label):
        raise BadInput(
            f"expected an ImageNet index of the class {name}, or -1, in {where}, got '{written}'; "
            "correct it or leave it empty"
        )
    habitats = tuple(row.get("habitat", "").split()) or HABITATS_BY_CLASS[name]
    for habitat in habitats:
        if habitat not in HOVERS:
            raise UnknownName(f"{unknown_name('habitat', habitat, list(HOVERS))} ({where})")
    return _Row(row["file"], label, native, habitats)


def _scene_id(cutout: _Row) -> str:
    return f"{IN9_NAMES[cutout.label]}-{Path(cutout.file).stem}"


def _with_ids(rows: list[_Row], copies: int, table: Path) -> dict[str, _Pasted]:
    """Map ids to cut-outs, once per copy; ids must differ."""
    named = [
        (copy_name(_scene_id(row), copy), _Pasted(row, _scene_id(row), copy))
        for row in rows
        for copy in range(1, copies + 1)
    ]
    for scene, count in Counter(scene for scene, _ in named).items():
        if count > 1:
            raise BadInput(f"expected one image called {scene} in {table}, got {count}; rename all but one")
    return dict(named)


def _record(root: Path, scene: str, cutout: _Pasted) -> SceneRecord:
    row = cutout.row
    return SceneRecord(scene, row.label, row.native_label, (root / row.file,))


def _identities(scenery: _scenery.Scenery | None) -> list[str]:
    """Return what identifies the photographs, wherever they lie."""
    if scenery is None:
        return []
    return [f"scenery {_scenery.VERSION}", *(photograph.identity for photograph in scenery.used)]


def _scenery_notices(scenery: _scenery.Scenery | None, rows: list[_Row], *, is_own: bool) -> list[str]:
    """Return notices of photographs that are not here and of classes that have none."""
    if scenery is None:
        return []
    notices = []
    if scenery.missing:
        where = ", ".join(f"{count} of {package or 'the folder'}" for package, count in scenery.missing.items())
        how = "restore the files or remove their rows" if is_own else "bglab data prepare cutouts fetches them"
        notices.append(f"photographs of scenery that are not here: {where}; {how}")
    without = sorted({row.label for row in rows if not scenery.of_class(row.label)})
    if without:
        names = ", ".join(IN9_NAMES[label] for label in without)
        notices.append(f"no photograph of scenery is here for: {names}; these objects are on painted plates")
    return notices


def _credit(scenery: _scenery.Scenery | None, rows: list[_Row]) -> str:
    """Name the photographers of the scenery that is shown, and what is painted."""
    if scenery is None:
        return _PLATES_CREDIT
    shown = [photograph for photograph in scenery.used if photograph.label in {row.label for row in rows}]
    is_painted = any(not scenery.of_class(row.label) for row in rows)
    return " ".join([*([_scenery.credit(shown)] if shown else []), *([_PLATES_CREDIT] if is_painted else [])])


def _unlisted_notice(root: Path, rows: list[_Row]) -> tuple[str, ...]:
    """Return a notice of images in the user's folder that have no row."""
    listed = {root / row.file for row in rows}
    images_here = (p for p in files_below(root) if p.suffix.lower() in IMAGE_SUFFIXES)
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


def _read(
    record: SceneRecord, cutouts: Mapping[str, _Pasted], options: _Options, scenery: _scenery.Scenery | None
) -> Scene:
    """Paste one cut-out on its scenery.

    No shadow is added, so the image equals the plate wherever the object is not.
    """
    cutout = cutouts[record.id]
    fitting = _fitting(cutout.row, scenery) if scenery else ()
    plate, hovers = _photograph(record, cutout, fitting, options) if fitting else _plate(record, cutout, options)
    colors, alpha = _pasting.trimmed(record.files[0])
    # the object and its background have generators of their own, so that the object keeps its size when scenery changes
    rng = keyed_generator(options.seed, "cut-out place", record.id)
    colors, alpha = _pasting.scaled(colors, alpha, options.size, rng.uniform(*_pasting.BOX_SHARE))
    if fitting:
        colors = _pasting.lit(colors, alpha, plate)
    canvas, matte = _pasting.placed(colors, alpha, options.size, rng, hovers=hovers)
    import torch  # opening the set must not take the seconds that torch takes

    from bglab.images import composite

    image = composite(torch.from_numpy(canvas), torch.from_numpy(plate), torch.from_numpy(matte)).numpy()
    mask = matte > 0.5
    return Scene(record.id, record.label, record.native_label, image, mask, box_of(mask), plate)


def _fitting(row: _Row, scenery: _scenery.Scenery) -> tuple[_scenery.Photograph, ...]:
    """Return photographs of an object's class: those where it stands if its habitats are on the ground, if any."""
    photographs = scenery.of_class(row.label)
    stands = not any(HOVERS[habitat] for habitat in row.habitats)
    return tuple(photograph for photograph in photographs if photograph.stands == stands) or photographs


def _photograph(
    record: SceneRecord, cutout: _Pasted, photographs: tuple[_scenery.Photograph, ...], options: _Options
) -> tuple[UInt8[np.ndarray, "3 s s"], bool]:
    """Return a crop of a photograph, and whether objects hover in it; copies of an object take turns."""
    order = keyed_generator(options.seed, "cut-out scenery", cutout.base).permutation(len(photographs))
    chosen = photographs[int(order[(cutout.copy - 1) % len(photographs)])]
    rng = keyed_generator(options.seed, "cut-out crop", chosen.name, record.id)
    return _scenery.crop(chosen, options.size, rng), not chosen.stands


def _plate(record: SceneRecord, cutout: _Pasted, options: _Options) -> tuple[UInt8[np.ndarray, "3 s s"], bool]:
    """Return a painted plate, and whether objects hover in it."""
    rule: PlateRule = "natural" if options.plates == "photographs" else options.plates
    rng = keyed_generator(options.seed, "plate choice", record.id)
    name = choose_plate(rule, cutout.row.habitats, rng)
    return paint_plate(name, options.size, options.seed, record.id), PLATES[name].hovers


def _plate_choice(name: str) -> PlateChoice:
    for choice in get_args(PlateChoice):
        if name == choice:
            return choice
    raise UnknownName(unknown_name("kind of plates", name, list(get_args(PlateChoice))))


def _whole(name: str, value: int | str, low: int, high: int) -> int:
    """Parse an option that is a whole number within bounds."""
    try:
        number = int(value)
    except ValueError:
        number = low - 1
    if not low <= number <= high:
        raise BadInput(f"expected a whole number from {low} to {high} for {name}, got '{value}'; correct the option")
    return number
