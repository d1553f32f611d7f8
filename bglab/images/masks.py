"""Foreground masks: seeded GrabCut, polygons, quality measures, refinement, and the filters of Noise or Signal."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import NamedTuple

import cv2
import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from bglab.errors import BadInput
from bglab.images.boxes import Box
from bglab.images.cropping import resize_crop, resize_short

#: Smallest fraction of the box that GrabCut's foreground must fill (Noise or Signal, Appendix A).
LEAST_BOX_SHARE = 0.1
#: Largest fraction of the centre crop that the box may cover, so that some background is left (Appendix A).
MOST_CROP_SHARE = 0.9
#: Smallest fraction of the box that the centre crop must keep (Appendix A).
LEAST_KEPT_SHARE = 0.5
#: Smallest fraction of the foreground in its largest component. Not from the paper, whose authors inspected masks.
LEAST_CONNECTED_SHARE = 0.5


class CropShares(NamedTuple):
    """What a centre crop does to a box; shares are in [0, 1].

    Attributes:
        crop_share: Fraction of the crop that the box covers.
        kept_share: Fraction of the box that the crop keeps.
    """

    crop_share: float
    kept_share: float


class MaskQuality(NamedTuple):
    """Quality measures of a mask; shares are in [0, 1].

    Attributes:
        image_share: Fraction of the image that is foreground.
        box_share: Fraction of the box that is foreground.
        components: Number of 8-connected components.
        largest_share: Fraction of the foreground in the largest component; 0 for an empty mask.
        hole_share: Area of enclosed background, as a fraction of the foreground with its holes filled.
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
    """Segment the foreground in a box by GrabCut, as Noise or Signal does (Appendix A), but reproducibly.

    OpenCV's GrabCut runs at full resolution, with everything outside the box as background and everything inside as
    probable foreground; the result is neither cleaned nor feathered. The authors did not seed it, so their masks
    differ by tens of pixels from run to run. Here equal seeds give equal masks, on any number of threads.

    The rectangle is exactly the half-open box. The authors passed ``(xmin, ymin, xmax - xmin, ymax - ymin)``
    for annotations that include both corners, which omits the last row and column. The caller decides whether ``x1``
    is ``xmax``, as in their code, or ``xmax + 1``.

    Args:
        image: RGB image at full resolution.
        box: Half-open box in pixels. It must leave some background, unless ``background_hint`` marks some.
        seed: Seed of the first attempt, at least 0; it increases by 1 with each further attempt.
        iterations: Number of GrabCut iterations.
        retries: Number of further attempts if OpenCV raises an error or the foreground fills less than 10 % of the box.
        foreground_hint: Pixels that are certainly foreground.
        background_hint: Pixels that are certainly background; takes precedence over ``foreground_hint``.

    Raises:
        BadInput: If the box is unusable, or all attempts fail.
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
            failure = f"OpenCV failed ({str(problem.err).strip() or problem.func})"
            continue
        if mask.sum() >= least:
            return mask
        share = mask.sum() / ((x1 - x0) * (y1 - y0))
        failure = f"only {share:.1%} of the box came out as foreground"
    raise BadInput(
        f"expected GrabCut to find a foreground in at least {LEAST_BOX_SHARE:.0%} of the box {box}, but after "
        f"{retries + 1} attempts {failure}; correct the box, give a foreground hint, or exclude the image"
    )


def _check_box(box: Box, width: int, height: int, background_hint: Bool[np.ndarray, "h w"] | None) -> None:
    """Raise `BadInput` for a box that GrabCut cannot start from."""
    x0, y0, x1, y1 = box
    if not (0 <= x0 < x1 <= width and 0 <= y0 < y1 <= height):
        raise BadInput(f"expected a box within {width} × {height} pixels, got {box}; correct its annotation")
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
    """Label the pixels as GC_INIT_WITH_RECT would, then apply the hints.

    GrabCut gives exactly the same mask from these labels as from the rectangle.
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
    # OpenCV's random generator, which initialises the colour clusters, is local to the thread
    cv2.setRNGSeed(seed)
    labels, no_rectangle = start.copy(), (0, 0, 0, 0)
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(image, labels, no_rectangle, models[0], models[1], iterations, cv2.GC_INIT_WITH_MASK)
    return (labels == cv2.GC_FGD) | (labels == cv2.GC_PR_FGD)


def polygon_mask(points: Sequence[tuple[float, float]], height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Rasterise a polygon: mark the pixels whose centre lies inside it (even-odd rule).

    Args:
        points: Vertices ``(x, y)`` in pixels; the image spans ``(0, 0)`` to ``(width, height)``.
        height: Height of the image in pixels.
        width: Width of the image in pixels.

    Raises:
        BadInput: If there are fewer than three vertices.

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


def ellipse_mask(box: Box, height: int, width: int) -> Bool[np.ndarray, "h w"]:
    """Rasterise the ellipse that touches all four sides of a box: the pixels whose centre lies inside it.

    Example:
        >>> ellipse_mask((0, 0, 4, 3), 3, 5).astype(int).tolist()
        [[0, 1, 1, 0, 0], [1, 1, 1, 1, 0], [0, 1, 1, 0, 0]]
    """
    x0, y0, x1, y1 = box
    x = (np.arange(width) + 0.5 - (x0 + x1) / 2) / ((x1 - x0) / 2)
    y = (np.arange(height) + 0.5 - (y0 + y1) / 2) / ((y1 - y0) / 2)
    return y[:, None] ** 2 + x**2 <= 1


def mask_quality(mask: Bool[np.ndarray, "h w"], box: Box) -> MaskQuality:
    """Measure the area, components and holes of a mask.

    Args:
        mask: Boolean mask, True for the foreground.
        box: The box that the mask was segmented from, half-open and not empty.

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
    """Compute the middle fifth of a side, at least one pixel."""
    low = (2 * length) // 5
    return slice(low, max(-(-3 * length // 5), low + 1))


def _component_sizes(mask: Bool[np.ndarray, "h w"]) -> Float[np.ndarray, " n"]:
    """Count the pixels of each 8-connected component."""
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
    """Clean a mask by erosion, dilation, selection of the largest component and hole filling, in this order.

    Erosion and dilation by the same radius are an opening, which removes thin parts. Nothing is eroded at the image
    border. To feather a mask, see `bglab.images.soften`.

    Args:
        mask: Boolean mask, True for the foreground.
        erode: Radius in pixels of the disc that the mask is eroded with.
        dilate: Radius in pixels of the disc that the mask is dilated with.
        largest_only: Whether to keep only the largest component.
        fill_holes: Whether to add enclosed background to the foreground.

    Raises:
        BadInput: If a radius is negative, or no foreground is left.

    Example:
        >>> specks = np.array([[True, False, True, True, False]])
        >>> refine(specks, largest_only=True).astype(int).tolist()
        [[0, 0, 1, 1, 0]]
    """
    if erode < 0 or dilate < 0:
        raise BadInput(
            f"expected radii of at least 0 pixels, got erode={erode} and dilate={dilate}; dilate grows a mask, erode "
            "shrinks it"
        )
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
    """Fill the background that is not 4-connected to the image border."""
    from scipy import ndimage  # imported here, since other operations on masks do not need SciPy

    return np.asarray(ndimage.binary_fill_holes(mask), dtype=bool)


def _disc(radius: int) -> UInt8[np.ndarray, "d d"]:
    """Create an elliptical structuring element."""
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
    """Check an image against the filters of Noise or Signal (Appendix A).

    The box may cover at most 90 % of the centre crop, the crop must keep at least half of the box, and the mask must
    fill at least 10 % of the box. Pixels are counted as by `crop_shares`.

    Args:
        box: Half-open box in pixels of the full image.
        width: Width of the full image in pixels.
        height: Height of the full image in pixels.
        mask: Mask at full resolution; None checks the box only.
        size: Side of the centre crop in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps.

    Returns:
        One sentence on why the image is excluded; an empty string if it passes.

    Example:
        >>> paper_filter((0, 0, 500, 370), 500, 375)
        'the box covers 100.0% of the centre crop (at most 90% leaves enough background)'
        >>> paper_filter((100, 100, 300, 300), 500, 375)
        ''
    """
    shares = crop_shares(box, width, height, size=size, crop_fraction=crop_fraction)
    if shares.crop_share > MOST_CROP_SHARE:
        return (
            f"the box covers {shares.crop_share:.1%} of the centre crop "
            f"(at most {MOST_CROP_SHARE:.0%} leaves enough background)"
        )
    if shares.kept_share < LEAST_KEPT_SHARE:
        return f"the centre crop keeps {shares.kept_share:.1%} of the box (at least {LEAST_KEPT_SHARE:.0%} is needed)"
    return "" if mask is None else _too_little(mask, box)


def crop_shares(box: Box, width: int, height: int, *, size: int = 224, crop_fraction: float = 0.875) -> CropShares:
    """Compute the fraction of the centre crop that a box covers, and the fraction of the box that the crop keeps.

    The box is drawn as a mask, which is resized by nearest pixel; its pixels are counted before and after the crop, as
    in the authors' generator (Noise or Signal, Appendix A).

    Args:
        box: Half-open box in pixels of the full image.
        width: Width of the full image in pixels.
        height: Height of the full image in pixels.
        size: Side of the centre crop in pixels.
        crop_fraction: Fraction of the resized short side that the crop keeps.

    Returns:
        Both shares; ``kept_share`` is 0 for a box so thin that no pixel of it is left after the resize.

    Example:
        >>> crop_shares((0, 0, 500, 500), 500, 500)
        CropShares(crop_share=1.0, kept_share=0.765625)
    """
    marked = Image.new("L", (width, height))
    marked.paste(255, box)
    whole = np.count_nonzero(np.asarray(resize_short(marked, size, crop_fraction, smooth=False)))
    kept = np.count_nonzero(np.asarray(resize_crop(marked, size, crop_fraction, smooth=False)))
    return CropShares(float(kept / size**2), float(kept / whole) if whole else 0.0)


def _too_little(mask: Bool[np.ndarray, "h w"], box: Box) -> str:
    """Explain that the mask fills too little of its box; empty if it fills enough."""
    share = mask_quality(mask, box).box_share
    if share < LEAST_BOX_SHARE:
        return f"the mask fills {share:.1%} of the box (at least {LEAST_BOX_SHARE:.0%} is needed)"
    return ""


def automatic_cleaning(
    mask: Bool[np.ndarray, "h w"], box: Box, *, least_connected_share: float = LEAST_CONNECTED_SHARE
) -> str:
    """Check a mask automatically, as a substitute for the authors' manual cleaning, which cannot be reproduced.

    The authors removed segmentations that contain much background or miss the object (Noise or Signal, Appendix A).
    Here a mask must fill at least 10 % of its box, lie within it, touch its centre, and be mostly connected.

    Args:
        mask: Boolean mask, True for the foreground.
        box: The box that the mask was segmented from, half-open.
        least_connected_share: Smallest fraction of the foreground in the largest component, in [0, 1].

    Returns:
        One sentence on what is wrong with the mask; an empty string if it passes.
    """
    quality = mask_quality(mask, box)
    x0, y0, x1, y1 = box
    outside = int(mask.sum() - mask[y0:y1, x0:x1].sum())
    if reason := _too_little(mask, box):
        return reason
    if outside:
        return f"{outside} pixels of the mask lie outside the box (all must lie within it)"
    if not quality.touches_box_centre:
        return "the mask misses the centre of the box (an object usually covers it)"
    if quality.largest_share < least_connected_share:
        return (
            f"the largest of {quality.components} components holds {quality.largest_share:.1%} of the mask "
            f"(at least {least_connected_share:.0%} is needed)"
        )
    return ""


def mask_png(mask: Bool[np.ndarray, "h w"]) -> bytes:
    """Encode a mask losslessly as a PNG with one bit per pixel."""
    content = BytesIO()
    Image.fromarray(mask).save(content, "PNG", optimize=True)
    return content.getvalue()
