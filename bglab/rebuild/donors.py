"""Whose background a mixed image shows: the release's names are wrong in Mixed-Rand, its pixels are right.

Every mixed image is compared, outside its mask, with all Only-BG-T images of the release: first on means of
8 × 8 pixels, all pairs by two matrix products, then at full size for the nearest few. A cell's mean is what JPEG
keeps best: its error is at most half a quantiser step over eight, a level or two even at low quality.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from tqdm.auto import tqdm

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.images import read_mask
from bglab.labels import IN9_NAMES
from bglab.scenes import PreparedImages, PublishedImage, Rejection, SceneSet, prepare_published

#: The variants whose images show another image's background.
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
#: A background is named only if the means of its cells differ by no more, as a root mean square in grey levels.
MOST_CELL_ERROR = 4.0
#: And its pixels by no more, as a mean over pixels and colours in grey levels.
MOST_PIXEL_ERROR = 16.0
#: A match this near to the runner-up, in grey levels, is counted as doubtful: the two backgrounds look alike.
LEAST_MARGIN = 1.0

_SIZE, _CELL = 224, 8
_CANDIDATES = 8
_LEAST_CELLS = 4
_BATCH = 256
# JPEG stores colour at half resolution in blocks of 16, so a foreground colours its surroundings a little
_MARGIN_PX = 4
_NAMED = re.compile(r"fg_(?P<scene>.+)_bg_(?P<donor>.+)")


class Repair(NamedTuple):
    """What was found out about a release's mixed images.

    Attributes:
        table: One row per image: ``variant, file, fg, bg, bg_class, distance, margin``. ``bg`` is empty where no
            background of the pool fits; ``distance`` is the mean absolute difference outside the mask in grey
            levels (0–255), ``margin`` how much larger the runner-up's is; both NaN for an image that could
            not be compared.
        agreement: Variant → (images whose file name tells the background they show, images matched).
        unmatched: Every image without a background, and why.
        notices: What was unusual, one sentence each.
    """

    table: pd.DataFrame
    agreement: dict[str, tuple[int, int]]
    unmatched: tuple[Rejection, ...]
    notices: tuple[str, ...]


class _Row(NamedTuple):
    """One row of the table."""

    variant: str
    file: str
    fg: str
    bg: str
    bg_class: str
    distance: float
    margin: float


class _Match(NamedTuple):
    """The nearest background of one image: its row in the pool, and how near."""

    position: int
    cell_error: float
    distance: float
    margin: float


class _Pool:
    """The Only-BG-T images of a release, with the means of their cells."""

    def __init__(self, prepared: PreparedImages) -> None:
        self.published = prepared.published
        self.images = prepared.images
        count = len(prepared)
        chunks = (prepared.images[i : i + _BATCH] for i in range(0, count, _BATCH))
        cells = np.concatenate([_cell_means(chunk) for chunk in chunks])
        self.colours = cells.reshape(count, -1)
        self.squares = (cells**2).sum(axis=1).reshape(count, -1)


def repair(scenes: SceneSet, *, variants: Sequence[str] = MIXED, progress: bool = True) -> Repair:
    """Find the background of every mixed image of a release among its Only-BG-T images.

    Args:
        scenes: An ``in9:`` set.
        variants: Which mixed variants to look at; one that the release lacks is named in ``notices``.
        progress: Show a bar.

    Raises:
        BadInput: If the set is no release.
        MissingData: If the release has no Only-BG-T images, or none of the variants.
    """
    if scenes.published is None:
        raise BadInput(f"expected a release with mixed images, as in in9:PATH, but {scenes.name} has scenes only")
    pool = _Pool(prepare_published(scenes, "only_bg_t", _SIZE, progress=progress))
    rows: list[_Row] = []
    unmatched: list[Rejection] = []
    notices: list[str] = []
    for variant in variants:
        try:
            mixed = prepare_published(scenes, variant, _SIZE, progress=progress)
        except MissingData as problem:
            notices.append(f"{variant} takes no part: {problem}")
            continue
        found, lost = _match_variant(scenes, variant, mixed, pool, progress=progress)
        rows += found
        unmatched += lost
    if not rows:
        raise MissingData(f"expected images of {', '.join(variants)} in {scenes.uri}, got none; fetch the release")
    rows.sort(key=lambda row: (row.variant, row.file))
    agreement: dict[str, tuple[int, int]] = {}
    for variant in sorted({row.variant for row in rows}):
        part = [row for row in rows if row.variant == variant]
        agreement[variant] = _agreement(part)
        notices += _notices(variant, part, *agreement[variant])
    return Repair(pd.DataFrame(rows, columns=list(_Row._fields)), agreement, tuple(unmatched), tuple(notices))


def write_repair(found: Repair, file: Path) -> Path:
    """Write the table as csv; the file appears whole or not at all.

    Raises:
        BadInput: If it cannot be written.
    """
    with whole_file(file, what="the backgrounds", remedy="choose another --out") as table:
        found.table.to_csv(table, index=False, float_format="%.3f")
    return file


def _match_variant(
    scenes: SceneSet, variant: str, mixed: PreparedImages, pool: _Pool, *, progress: bool
) -> tuple[list[_Row], list[Rejection]]:
    """Match all images of one variant; those without a background are named with the reason."""
    rows = [_row(variant, Path(r.file), r.scene, None, pool) for r in mixed.rejected]
    unmatched = list(mixed.rejected)
    batches = range(0, len(mixed), _BATCH)
    for start in tqdm(batches, desc=f"matching {variant}", disable=not progress, unit="batch"):
        images = mixed.published[start : start + _BATCH]
        outcomes = _match_batch(scenes, images, mixed.images[start : start + _BATCH], pool)
        for image, outcome in zip(images, outcomes, strict=True):
            match = outcome if isinstance(outcome, _Match) else None
            rows.append(_row(variant, image.file, image.scene, match, pool))
            reason = outcome if isinstance(outcome, str) else _objection(outcome, pool)
            if reason:
                unmatched.append(Rejection(image.scene, str(image.file), reason))
    return rows, unmatched


def _match_batch(
    scenes: SceneSet,
    published: Sequence[PublishedImage],
    images: UInt8[np.ndarray, "n 3 s s"],
    pool: _Pool,
) -> Iterator[_Match | str]:
    """Give the nearest background of each image, or say why it has none."""
    masks = [_read_foreground(scenes, image.scene) for image in published]
    usable = [i for i, mask in enumerate(masks) if not isinstance(mask, str)]
    foregrounds = np.array([masks[i] for i in usable], dtype=bool).reshape(-1, _SIZE, _SIZE)
    shown = _cells_without(foregrounds)
    errors = _cell_errors(_cell_means(images[usable]), shown, pool)
    places = {i: row for row, i in enumerate(usable)}
    for i, mask in enumerate(masks):
        if isinstance(mask, str):
            yield mask
        elif shown[places[i]].sum() < _LEAST_CELLS:
            yield f"expected some background around the foreground of {published[i].file}, but its mask leaves none"
        else:
            yield _nearest(images[i], mask, errors[places[i]], pool)


def _read_foreground(scenes: SceneSet, scene: str) -> Bool[np.ndarray, "s s"] | str:
    """Read the mask of a foreground at the pool's size, grown by what JPEG may have touched."""
    if scene not in scenes.positions:
        return f"expected scene {scene} among those of {scenes.name}, but it has no usable original and mask"
    record = scenes.records[scenes.positions[scene]]
    try:
        mask = read_mask(next(file for file in record.files if file.parents[2].name == "fg_mask"))
    except BadInput as problem:
        return str(problem)
    levels = np.asarray(Image.fromarray(mask).resize((_SIZE, _SIZE), Image.Resampling.NEAREST)).astype(np.uint8)
    return cv2.dilate(levels, np.ones((2 * _MARGIN_PX + 1,) * 2, np.uint8)) > 0


def _cell_means(images: UInt8[np.ndarray, "n 3 s s"]) -> Float[np.ndarray, "n 3 c"]:
    """Average cells of 8 × 8 pixels, as levels around 0 so that single precision is plenty."""
    count, side = len(images), _SIZE // _CELL
    cells = np.asarray(images).reshape(count, 3, side, _CELL, side, _CELL)
    return cells.mean(axis=(3, 5), dtype=np.float32).reshape(count, 3, -1) - np.float32(128)


def _cells_without(foregrounds: Bool[np.ndarray, "n s s"]) -> Bool[np.ndarray, "n c"]:
    """Mark the cells that no foreground touches."""
    count, side = len(foregrounds), _SIZE // _CELL
    return ~foregrounds.reshape(count, side, _CELL, side, _CELL).any(axis=(2, 4)).reshape(count, -1)


def _cell_errors(
    means: Float[np.ndarray, "n 3 c"], shown: Bool[np.ndarray, "n c"], pool: _Pool
) -> Float[np.ndarray, "n b"]:
    """Give the root mean square difference of the shown cells, for all pairs of images and backgrounds.

    With weights w in {0, 1}: Σ w (x - b)² = Σ w x² - 2 (w x)·b + w·b², so that all pairs are two products.
    """
    weights = shown.astype(np.float32)
    weighted = means * weights[:, None]
    own = (weighted * means).sum(axis=(1, 2))
    sums = own[:, None] - 2 * weighted.reshape(len(means), -1) @ pool.colours.T + weights @ pool.squares.T
    return np.sqrt(np.maximum(sums, 0) / np.maximum(3 * weights.sum(axis=1), 1)[:, None])


def _nearest(
    image: UInt8[np.ndarray, "3 s s"],
    foreground: Bool[np.ndarray, "s s"],
    errors: Float[np.ndarray, " b"],
    pool: _Pool,
) -> _Match:
    """Compare an image at full size with the backgrounds whose cells are nearest."""
    candidates: Int[np.ndarray, " k"] = np.argsort(errors, kind="stable")[:_CANDIDATES]
    # one tall grey image and mask for all three colours: OpenCV then sums up in one pass
    own, shown = _as_rows(image), np.tile((~foreground).astype(np.uint8), (3, 1))
    sums = [cv2.norm(_as_rows(pool.images[c]), own, cv2.NORM_L1, shown) for c in candidates]
    distances = np.array(sums) / shown.sum()
    order = np.argsort(distances, kind="stable")
    best = int(candidates[order[0]])
    margin = float(distances[order[1]] - distances[order[0]]) if len(order) > 1 else float("nan")
    return _Match(best, float(errors[best]), float(distances[order[0]]), margin)


def _as_rows(image: UInt8[np.ndarray, "3 s s"]) -> UInt8[np.ndarray, "s3 s"]:
    return np.ascontiguousarray(image).reshape(-1, _SIZE)


def _objection(match: _Match, pool: _Pool) -> str:
    """Say why the nearest background is not the one shown; "" if it is."""
    if match.cell_error <= MOST_CELL_ERROR and match.distance <= MOST_PIXEL_ERROR:
        return ""
    return (
        f"expected its background among the {len(pool.published)} Only-BG-T images, but the nearest, "
        f"{pool.published[match.position].scene}, differs by {match.distance:.1f} grey levels"
    )


def _row(variant: str, file: Path, scene: str, match: _Match | None, pool: _Pool) -> _Row:
    """Write one row; the file is named from its class folder on, so that the table travels."""
    name = f"{file.parent.name}/{file.name}"
    if match is None:
        return _Row(variant, name, scene, "", "", float("nan"), float("nan"))
    if _objection(match, pool):
        return _Row(variant, name, scene, "", "", match.distance, match.margin)
    donor = pool.published[match.position]
    return _Row(variant, name, scene, donor.scene, IN9_NAMES[donor.label], match.distance, match.margin)


def _agreement(rows: Sequence[_Row]) -> tuple[int, int]:
    """Count the matched images whose file name tells the background they show, and the matched ones."""
    matched = [row for row in rows if row.bg]
    names = [_NAMED.fullmatch(Path(row.file).stem) for row in matched]
    return sum(bool(n) and n["donor"] == row.bg for n, row in zip(names, matched, strict=True)), len(matched)


def _notices(variant: str, rows: Sequence[_Row], right: int, matched: int) -> list[str]:
    """Say what a user of the variant should know."""
    notices: list[str] = []
    if right < matched:
        wrong = f"{matched - right} of {matched} file names of {variant}"
        notices.append(f"{wrong} tell another background than the image shows; the table has the one it shows")
    missing = [row.file for row in rows if not row.bg]
    if missing:
        notices.append(
            f"{len(missing)} of {len(rows)} images of {variant} show none of the release's Only-BG-T images, or "
            f"could not be compared; their bg is left empty (the first: {missing[0]})"
        )
    doubtful = [row.file for row in rows if row.bg and row.margin < LEAST_MARGIN]
    if doubtful:
        notices.append(
            f"{len(doubtful)} of {matched} backgrounds of {variant} are less than {LEAST_MARGIN:g} grey level nearer "
            f"than the runner-up, which looks alike; either may be meant (the first: {doubtful[0]})"
        )
    return notices
