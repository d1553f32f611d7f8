"""Find the donor of every mixed image of a release from its pixels, since the file names of Mixed-Rand are incorrect.

Outside its mask, every mixed image is compared with all Only-BG-T images of the release: first by the means of cells of
8 × 8 pixels, for all pairs by two matrix products, then at full resolution for the nearest few. JPEG preserves the mean
of a cell best: its error is at most half a quantisation step divided by eight, one or two grey levels even at low
quality.
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

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.images import read_mask
from bglab.labels import IN9_NAMES
from bglab.progress import Bar
from bglab.scenes import PreparedImages, PublishedImage, Rejection, SceneSet, prepare_published, read_or_reject

#: Variants whose images have the background of another image.
MIXED = ("mixed_same", "mixed_rand", "mixed_next")
#: Largest root mean square difference of cell means at which a background is considered found, in grey levels.
MOST_CELL_ERROR = 4.0
#: Largest mean absolute difference over pixels and channels at which it is considered found, in grey levels.
MOST_PIXEL_ERROR = 16.0
#: A match whose margin to the second-best background is smaller, in grey levels, is reported as ambiguous.
LEAST_MARGIN = 1.0

_SIZE, _CELL = 224, 8
_CANDIDATES = 8
_LEAST_CELLS = 4
_BATCH = 256
# JPEG stores colour at half resolution in blocks of 16 × 16 pixels, so a foreground affects its surroundings
_MARGIN_PX = 4
_NAMED = re.compile(r"fg_(?P<scene>.+)_bg_(?P<donor>.+)")


class Repair(NamedTuple):
    """The backgrounds of the mixed images of a release.

    Attributes:
        table: One row per image with columns ``variant, file, fg, bg, bg_class, distance, margin``. ``bg`` is empty if
            no background was found; ``distance`` is the mean absolute difference outside the mask in grey levels
            (0 to 255), ``margin`` how much larger that of the second-best background is. Both are NaN for images that
            could not be compared.
        agreement: By variant, the number of images whose file name states the background that was found, and the
            number of images whose background was found.
        unmatched: Images without a background, with reasons.
        notices: Anything unusual, one sentence each.
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
    """The nearest background of one image: its row in the pool, and its differences in grey levels."""

    position: int
    cell_error: float
    distance: float
    margin: float


class _Pool:
    """The Only-BG-T images of a release, with their cell means and the squares of these summed over channels."""

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
        scenes: Scenes of a release, from ``in9:PATH``.
        variants: Mixed variants to examine; those that the release does not contain are named in ``notices``.
        progress: Whether to show progress bars.

    Raises:
        BadInput: If the set has no published images.
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
            notices.append(f"{variant} is skipped: {problem}")
            continue
        variant_rows, variant_unmatched = _match_variant(scenes, variant, mixed, pool, progress=progress)
        rows += variant_rows
        unmatched += variant_unmatched
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
    """Write the table of `repair` to a CSV file, atomically, and return its path.

    Raises:
        BadInput: If the file cannot be written.
    """
    with whole_file(file, what="the backgrounds", remedy="choose another --out") as table:
        found.table.to_csv(table, index=False, float_format="%.3f")
    return file


def _match_variant(
    scenes: SceneSet, variant: str, mixed: PreparedImages, pool: _Pool, *, progress: bool
) -> tuple[list[_Row], list[Rejection]]:
    """Match all images of one variant; return the table rows and the images without a background."""
    rows = [_row(variant, Path(r.file), r.scene, None, pool) for r in mixed.rejected]
    unmatched = list(mixed.rejected)
    batches = range(0, len(mixed), _BATCH)
    for start in Bar(batches, desc=f"matching {variant}", disable=not progress, unit="batch"):
        images = mixed.published[start : start + _BATCH]
        outcomes = _match_batch(scenes, images, mixed.images[start : start + _BATCH], pool)
        for image, outcome in zip(images, outcomes, strict=True):
            match = outcome if isinstance(outcome, _Match) else None
            rows.append(_row(variant, image.file, image.scene, match, pool))
            reason = outcome if isinstance(outcome, str) else _mismatch(outcome, pool)
            if reason:
                unmatched.append(Rejection(image.scene, str(image.file), reason))
    return rows, unmatched


def _match_batch(
    scenes: SceneSet,
    published: Sequence[PublishedImage],
    images: UInt8[np.ndarray, "n 3 s s"],
    pool: _Pool,
) -> Iterator[_Match | str]:
    """Yield the nearest background of each image, or the reason why it cannot be compared."""
    masks = [_read_foreground(scenes, image.scene) for image in published]
    usable = [i for i, mask in enumerate(masks) if not isinstance(mask, str)]
    foregrounds = np.array([masks[i] for i in usable], dtype=bool).reshape(-1, _SIZE, _SIZE)
    visible = _visible_cells(foregrounds)
    errors = _cell_errors(_cell_means(images[usable]), visible, pool)
    rows = {i: row for row, i in enumerate(usable)}
    for i, mask in enumerate(masks):
        if isinstance(mask, str):
            yield mask
        elif visible[rows[i]].sum() < _LEAST_CELLS:
            yield f"expected some background around the foreground of {published[i].file}, but its mask leaves none"
        else:
            yield _nearest(images[i], mask, errors[rows[i]], pool)


def _read_foreground(scenes: SceneSet, scene: str) -> Bool[np.ndarray, "s s"] | str:
    """Read the mask of a foreground at the pool's size, dilated because of JPEG; a sentence if there is none."""
    if scene not in scenes.positions:
        return f"expected scene {scene} among those of {scenes.name}, but it has no usable original and mask"
    record = scenes.records[scenes.positions[scene]]
    file = next(file for file in record.files if file.parents[2].name == "fg_mask")
    mask = read_or_reject(lambda: read_mask(file), [file])
    if isinstance(mask, BadInput):
        return str(mask)
    levels = np.asarray(Image.fromarray(mask).resize((_SIZE, _SIZE), Image.Resampling.NEAREST)).astype(np.uint8)
    return cv2.dilate(levels, np.ones((2 * _MARGIN_PX + 1,) * 2, np.uint8)) > 0


def _cell_means(images: UInt8[np.ndarray, "n 3 s s"]) -> Float[np.ndarray, "n 3 c"]:
    """Average cells of 8 × 8 pixels, shifted to a range around 0 so that single precision suffices."""
    count, side = len(images), _SIZE // _CELL
    cells = np.asarray(images).reshape(count, 3, side, _CELL, side, _CELL)
    return cells.mean(axis=(3, 5), dtype=np.float32).reshape(count, 3, -1) - np.float32(128)


def _visible_cells(foregrounds: Bool[np.ndarray, "n s s"]) -> Bool[np.ndarray, "n c"]:
    """Mark the cells that contain no foreground."""
    count, side = len(foregrounds), _SIZE // _CELL
    return ~foregrounds.reshape(count, side, _CELL, side, _CELL).any(axis=(2, 4)).reshape(count, -1)


def _cell_errors(
    means: Float[np.ndarray, "n 3 c"], visible: Bool[np.ndarray, "n c"], pool: _Pool
) -> Float[np.ndarray, "n b"]:
    """Compute the root mean square difference of the visible cells for all pairs of images and backgrounds.

    With weights w in {0, 1}, Σ w (x - b)² = Σ w x² - 2 (w x)·b + w·b², so all pairs take two matrix products.
    """
    weights = visible.astype(np.float32)
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
    """Compare an image at full resolution with the backgrounds whose cell means are nearest."""
    candidates: Int[np.ndarray, " k"] = np.argsort(errors, kind="stable")[:_CANDIDATES]
    # the three channels are stacked to one tall grey image, so that OpenCV sums up in one pass
    own, visible = _as_rows(image), np.tile((~foreground).astype(np.uint8), (3, 1))
    sums = [cv2.norm(_as_rows(pool.images[c]), own, cv2.NORM_L1, visible) for c in candidates]
    distances = np.array(sums) / visible.sum()
    order = np.argsort(distances, kind="stable")
    best = int(candidates[order[0]])
    margin = float(distances[order[1]] - distances[order[0]]) if len(order) > 1 else float("nan")
    return _Match(best, float(errors[best]), float(distances[order[0]]), margin)


def _as_rows(image: UInt8[np.ndarray, "3 s s"]) -> UInt8[np.ndarray, "s3 s"]:
    return np.ascontiguousarray(image).reshape(-1, _SIZE)


def _mismatch(match: _Match, pool: _Pool) -> str:
    """Explain why the nearest background is not a match; "" if it is."""
    if match.cell_error <= MOST_CELL_ERROR and match.distance <= MOST_PIXEL_ERROR:
        return ""
    return (
        f"expected its background among the {len(pool.published)} Only-BG-T images, but the nearest, "
        f"{pool.published[match.position].scene}, differs by {match.distance:.1f} grey levels"
    )


def _row(variant: str, file: Path, scene: str, match: _Match | None, pool: _Pool) -> _Row:
    """Make one row of the table; the file is named relative to the variant, which is the same on every machine."""
    name = f"{file.parent.name}/{file.name}"
    if match is None:
        return _Row(variant, name, scene, "", "", float("nan"), float("nan"))
    if _mismatch(match, pool):
        return _Row(variant, name, scene, "", "", match.distance, match.margin)
    donor = pool.published[match.position]
    return _Row(variant, name, scene, donor.scene, IN9_NAMES[donor.label], match.distance, match.margin)


def _agreement(rows: Sequence[_Row]) -> tuple[int, int]:
    """Count the matched images whose file name states the background that was found, and the matched images."""
    matched = [row for row in rows if row.bg]
    names = [_NAMED.fullmatch(Path(row.file).stem) for row in matched]
    return sum(bool(n) and n["donor"] == row.bg for n, row in zip(names, matched, strict=True)), len(matched)


def _notices(variant: str, rows: Sequence[_Row], agreeing: int, matched: int) -> list[str]:
    """Report incorrect file names, images without a background, and ambiguous matches."""
    notices: list[str] = []
    if agreeing < matched:
        incorrect = f"{matched - agreeing} of {matched} file names of {variant}"
        notices.append(f"{incorrect} state another background than the image has; the table contains the one it has")
    missing = [row.file for row in rows if not row.bg]
    if missing:
        notices.append(
            f"{len(missing)} of {len(rows)} images of {variant} match none of the release's Only-BG-T images, or "
            f"could not be compared; their bg is empty (the first: {missing[0]})"
        )
    ambiguous = [row.file for row in rows if row.bg and row.margin < LEAST_MARGIN]
    if ambiguous:
        notices.append(
            f"{len(ambiguous)} of {matched} backgrounds of {variant} are less than {LEAST_MARGIN:g} grey level nearer "
            f"than the second-best, so either may be the correct one (the first: {ambiguous[0]})"
        )
    return notices
