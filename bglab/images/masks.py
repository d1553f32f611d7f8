"""Masks: from a box to a cut-out (seeded GrabCut), how good a cut-out is, and which ones the papers kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image
from scipy import ndimage

from bglab.errors import BadInput
from bglab.images.boxes import Box
from bglab.images.io import resize_crop

#: Least share of the box that GrabCut's foreground must fill; less counts as a failure (Noise or Signal, App. A).
LEAST_BOX_SHARE = 0.1
#: Largest share of the centre crop that the box may cover, or no background is left (App. A).
MOST_CROP_SHARE = 0.9
#: Least share of the box that the centre crop must keep (App. A).
LEAST_KEPT_SHARE = 0.5
#: Least share of the foreground in one piece; ours, in place of the authors' eyes.
LEAST_CONNECTED_SHARE = 0.5


class MaskQuality(NamedTuple):
    """What can be said of a cut-out without looking at it; shares lie in [0, 1].

    Attributes:
        image_share: Foreground, as a share of the image.
        box_share: Foreground inside the box, as a share of the box.
        components: Number of separate pieces (pixels that touch at a corner hang together).
        largest_share: Share of the foreground that lies in the largest piece; 0 for an empty mask.
        hole_share: Enclosed background, as a share of the foreground with its holes filled.
        touches_box_centre: Whether any foreground lies in the central fifth of the box's width and height.
    """

    image_share: float
    box_share: float
    components: int
    largest_share: float
    hole_share: float
    touches_box_centre: bool


def grab_cut(
    image: UInt8[np.ndarray, "3 h w"],
    box: Box,
    *,
    seed: int = 0,
    iterations: int = 5,
    retries: int = 10,
    foreground_hint: Bool[np.ndarray, "h w"] | None = None,
    background_hint: Bool[np.ndarray, "h w"] | None = None,
) -> Bool[np.ndarray, "h w"]:
    """Cut the foreground out of its box, as Noise or Signal does (Appendix A), but reproducibly.

    OpenCV's GrabCut runs at full resolution on the RGB image as it is: everything outside the box is
    background, everything inside may be foreground, and the result is neither cleaned nor feathered. The
    authors did not seed it, so their masks differ by tens of pixels from run to run; here the same seed gives
    the same mask, on any number of threads.

    The rectangle is exactly the half-open box. The authors passed ``(xmin, ymin, xmax - xmin, ymax - ymin)``
    of boxes whose corners are both inside, which leaves out the last column and row; whoever reads such boxes
    decides whether ``x1`` is ``xmax`` (theirs) or ``xmax + 1``.

    Args:
        image: RGB, full resolution.
        box: Half-open, in pixels; some of the image must lie outside it, or be in ``background_hint``.
        seed: Of the first attempt, at least 0; every further attempt takes the next one.
        iterations: Rounds of GrabCut.
        retries: Further attempts after a failure: OpenCV gives up, or less than 10 % of the box is foreground.
        foreground_hint: Pixels that surely are foreground.
        background_hint: Pixels that surely are background; they win over ``foreground_hint``.

    Raises:
        BadInput: If the box is unusable, or every attempt fails.
    """
    height, width = image.shape[-2:]
    _check_box(box, width, height, background_hint)
    image = np.ascontiguousarray(image.transpose(1, 2, 0))
    start = _starting_labels(box, height, width, foreground_hint, background_hint)
    x0, y0, x1, y1 = box
    least = LEAST_BOX_SHARE * (x1 - x0) * (y1 - y0)
    failure = ""
    for attempt in range(retries + 1):
        try:
            mask = _cut(image, start, (seed + attempt) % 2**31, iterations)
        except cv2.error as problem:
            failure = f"OpenCV gave up ({str(problem.err).strip() or problem.func})"
            continue
        if mask.sum() >= least:
            return mask
        share = mask.sum() / ((x1 - x0) * (y1 - y0))
        failure = f"only {share:.1%} of the box came out as foreground"
    raise BadInput(
        f"expected GrabCut to find a foreground in at least {LEAST_BOX_SHARE:.0%} of the box {box}, but after "
        f"{retries + 1} attempts {failure}; mend the box, give a foreground hint, or leave the image out"
    )


def _check_box(box: Box, width: int, height: int, background_hint: Bool[np.ndarray, "h w"] | None) -> None:
    """Refuse a box that GrabCut cannot start from."""
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise BadInput(f"expected a box within {width} × {height} pixels, got {box}; mend its annotation")
    hinted = background_hint is not None and bool(background_hint.any())
    if box == (0, 0, width, height) and not hinted:
        raise BadInput(
            f"expected some background around the box, but {box} covers the whole image; "
            "draw it tighter, or give a background hint"
        )


def _starting_labels(
    box: Box,
    height: int,
    width: int,
    foreground_hint: Bool[np.ndarray, "h w"] | None,
    background_hint: Bool[np.ndarray, "h w"] | None,
) -> UInt8[np.ndarray, "h w"]:
    """Label the pixels as GC_INIT_WITH_RECT would, then write the hints over them.

    Starting from labels is the same as starting from the rectangle, to the last pixel, and lets hints in.
    """
    x0, y0, x1, y1 = box
    labels = np.full((height, width), cv2.GC_BGD, dtype=np.uint8)
    labels[y0:y1, x0:x1] = cv2.GC_PR_FGD
    if foreground_hint is not None:
        labels[foreground_hint] = cv2.GC_FGD
    if background_hint is not None:
        labels[background_hint] = cv2.GC_BGD
    return labels


def _cut(
    image: UInt8[np.ndarray, "h w 3"], start: UInt8[np.ndarray, "h w"], seed: int, iterations: int
) -> Bool[np.ndarray, "h w"]:
    """Run GrabCut once."""
    # the generator that seeds its colour clusters belongs to this thread, so other threads cannot disturb it
    cv2.setRNGSeed(seed)
    labels, no_rectangle = start.copy(), (0, 0, 0, 0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, no_rectangle, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def polygon_mask(points: Sequence[tuple[float, float]], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Mark the pixels whose centre lies inside a polygon (even-odd rule).

    Args:
        points: Corners ``(x, y)`` in pixels; like a half-open box, ``(0, 0)`` to ``(width, height)`` is all.
        height: Of the image.
        width: Of the image.

    Raises:
        BadInput: If there are fewer than three corners.

    Example:
        >>> polygon_mask([(1, 0), (3, 0), (3, 2), (1, 2)], 2, 4).astype(int).tolist()
        [[0, 1, 1, 0], [0, 1, 1, 0]]
    """
    if len(points) < 3:
        raise BadInput(f"expected a polygon of at least 3 corners, got {len(points)}; add the missing ones")
    crossings = np.zeros((height, width + 1), dtype=np.int32)
    for (xa, ya), (xb, yb) in zip(points, [*points[1:], points[0]], strict=True):
        first, last = np.ceil(np.clip(np.sort([ya, yb]) - 0.5, 0, height)).astype(int)
        rows = np.arange(first, last)
        x = xa + (rows + 0.5 - ya) * (xb - xa) / ((yb - ya) or 1.0)
        crossings[rows, np.ceil(np.clip(x - 0.5, 0, width)).astype(int)] += 1
    return np.cumsum(crossings[:, :width], axis=1) % 2 == 1


def mask_quality(mask: Bool[np.ndarray, "h w"], box: Box) -> MaskQuality:
    """Measure a cut-out: how much there is of it, in how many pieces, with how many holes.

    Args:
        mask: True on the foreground.
        box: The box it was cut from, half-open, not empty.

    Example:
        >>> mask = polygon_mask([(1, 1), (4, 1), (4, 4), (1, 4)], 5, 10)
        >>> mask[2, 2] = False
        >>> quality = mask_quality(mask, (1, 1, 5, 5))
        >>> quality.image_share, quality.box_share, quality.components, round(quality.hole_share, 3)
        (0.16, 0.5, 1, 0.111)
    """
    x0, y0, x1, y1 = box
    inside = mask[y0:y1, x0:x1]
    centre_x, centre_y = _central_fifth(x1 - x0), _central_fifth(y1 - y0)
    sizes = _component_sizes(mask)
    total = int(mask.sum())
    filled = int(_without_holes(mask).sum())
    return MaskQuality(
        image_share=float(mask.mean()),
        box_share=float(inside.mean()),
        components=len(sizes),
        largest_share=float(sizes.max() / total) if total else 0.0,
        hole_share=(filled - total) / filled if filled else 0.0,
        touches_box_centre=bool(inside[centre_y, centre_x].any()),
    )


def _central_fifth(length: int) -> slice:
    """Give the middle fifth of a side, at least one pixel."""
    low = (2 * length) // 5
    return slice(low, max(-(-3 * length // 5), low + 1))


def _component_sizes(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " n"]:
    """Count the pixels of each separate piece."""
    _, _, statistics, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    return statistics[1:, cv2.CC_STAT_AREA].astype(np.float64)


def refine(
    mask: Bool[np.ndarray, "h w"],
    *,
    erode: int = 0,
    dilate: int = 0,
    largest_only: bool = False,
    fill_holes: bool = False,
) -> Bool[np.ndarray, "h w"]:
    """Clean a mask, in the order of the options; erode and dilate by the same radius to remove thin bits.

    An object that the image's edge cuts off stays cut off there. To feather the edge, see `pixels.soften`.

    Args:
        mask: True on the foreground.
        erode: Radius in pixels of the disc that is taken off the edge.
        dilate: Radius in pixels of the disc that is put on the edge.
        largest_only: Keep only the largest piece.
        fill_holes: Make background that the foreground encloses part of it.

    Raises:
        BadInput: If a radius is negative, or nothing is left.

    Example:
        >>> specks = np.array([[True, False, True, True, False]])
        >>> refine(specks, largest_only=True).astype(int).tolist()
        [[0, 0, 1, 1, 0]]
    """
    if erode < 0 or dilate < 0:
        raise BadInput(f"expected radii of at least 0 pixels, got erode={erode} and dilate={dilate}; swap them")
    levels = mask.astype(np.uint8)
    levels = cv2.dilate(cv2.erode(levels, _disc(erode)), _disc(dilate))
    if largest_only:
        _, pieces, statistics, _ = cv2.connectedComponentsWithStats(levels, connectivity=8)
        if len(statistics) > 1:
            levels = (pieces == 1 + statistics[1:, cv2.CC_STAT_AREA].argmax()).astype(np.uint8)
    refined = _without_holes(levels > 0) if fill_holes else levels > 0
    if not refined.any():
        raise BadInput(
            f"expected some foreground to be left, but refining the mask ({int(mask.sum())} pixels, "
            f"erode={erode}) removed it all; erode less"
        )
    return refined


def _without_holes(mask: Bool[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """Fill background that cannot reach the image's edge without stepping diagonally."""
    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)


def _disc(radius: int) -> UInt8[np.ndarray, "d d"]:
    """Give a disc to erode or dilate with."""
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))


def paper_filter(
    box: Box,
    width: int,
    height: int,
    mask: Bool[np.ndarray, "h w"] | None = None,
    *,
    size: int = 224,
    crop_fraction: float = 0.875,
) -> str:
    """Say why Noise or Signal would leave an image out (Appendix A), or nothing if it would keep it.

    The box may cover at most 90 % of the centre crop, and the crop must keep at least half of it; what lies in
    the crop is counted in pixels after a nearest-pixel resize, as the authors' generator does.

    Args:
        box: Half-open, in pixels of the full image.
        width: Of the full image.
        height: Of the full image.
        mask: The cut-out at full size; without it only the box is judged.
        size: Side of the centre crop.
        crop_fraction: Part of the resized short side that the crop keeps.

    Returns:
        One sentence, or an empty string.

    Example:
        >>> paper_filter((0, 0, 500, 370), 500, 375)
        'the box covers 100.0% of the centre crop (at most 90% leaves enough background)'
        >>> paper_filter((100, 100, 300, 300), 500, 375)
        ''
    """
    x0, y0, x1, y1 = box
    marked = Image.new("L", (width, height))
    marked.paste(255, box)
    kept = int(np.count_nonzero(np.asarray(resize_crop(marked, size, crop_fraction, smooth=False))))
    if kept > MOST_CROP_SHARE * size**2:
        return (
            f"the box covers {kept / size**2:.1%} of the centre crop "
            f"(at most {MOST_CROP_SHARE:.0%} leaves enough background)"
        )
    scale = size / crop_fraction / min(width, height)
    share = kept / ((x1 - x0) * (y1 - y0) * scale**2)
    if share < LEAST_KEPT_SHARE:
        return f"the centre crop keeps {share:.1%} of the box (at least {LEAST_KEPT_SHARE:.0%} is needed)"
    return "" if mask is None else _too_little(mask, box)


def _too_little(mask: Bool[np.ndarray, "h w"], box: Box) -> str:
    """Say so if the mask fills too little of its box."""
    share = mask_quality(mask, box).box_share
    if share < LEAST_BOX_SHARE:
        return f"the mask fills {share:.1%} of the box (at least {LEAST_BOX_SHARE:.0%} is needed)"
    return ""


def automatic_cleaning(
    mask: Bool[np.ndarray, "h w"], box: Box, *, least_connected_share: float = LEAST_CONNECTED_SHARE
) -> str:
    """Say why a cut-out looks bad, in place of the authors' cleaning by hand, which cannot be repeated.

    The authors removed segmentations that keep much background or miss the object. Here a mask must fill 10 %
    to 100 % of its box without leaving it, touch the centre of the box, and hang together.

    Args:
        mask: True on the foreground.
        box: The box it was cut from, half-open.
        least_connected_share: Share of the foreground that must lie in one piece, in [0, 1].

    Returns:
        One sentence, or an empty string for a mask to keep.
    """
    quality = mask_quality(mask, box)
    x0, y0, x1, y1 = box
    outside = int(mask.sum() - mask[y0:y1, x0:x1].sum())
    if reason := _too_little(mask, box):
        return reason
    if outside:
        return f"the mask leaves the box by {outside} pixels (a cut-out lies within its box)"
    if not quality.touches_box_centre:
        return "the mask misses the centre of the box (an object usually covers it)"
    if quality.largest_share < least_connected_share:
        return (
            f"the largest of {quality.components} pieces holds {quality.largest_share:.1%} of the mask "
            f"(at least {least_connected_share:.0%} is needed)"
        )
    return ""
