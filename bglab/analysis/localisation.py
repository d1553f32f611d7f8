"""Hold saliency maps against masks: how much of what a classifier looks at lies on the object.

Maps are raw and non-negative, one an image, at the resolution of the masks: bring maps of a layer's resolution there
with `bglab.saliency.upsample` (bilinear), as all the literature does before it scores them. No measure depends on a
map's scale. A map without any saliency has no measure: it gives NaN, which tables count as ``undefined`` and no
average takes for zero.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy.ndimage import distance_transform_edt
from scipy.stats import rankdata

from bglab.errors import BadInput

#: Tolerance of the pointing game for images of 224 pixels (15 pixels: Zhang et al., ECCV 2016, section 4.1).
TOLERANCE_PX = 15.0

#: The share of pixels below the threshold that turns a map into a region for `intersection_over_union`.
QUANTILE = 0.8

#: The measures of `localise` and where each one's chance level stands: in a column, or one number for all.
MEASURES: dict[str, str | float] = {
    "share_on_object": "mask_area",
    "pointing": "pointing_chance",
    "iou": "iou_chance",
    "auc": 0.5,
}


class Drift(NamedTuple):
    """Rank correlations of two maps of one scene: 1 = the same order of pixels, 0 = nothing in common.

    Attributes:
        inside: Over the pixels of the object.
        outside: Over all others.
    """

    inside: Float[np.ndarray, " n"]
    outside: Float[np.ndarray, " n"]


def localise(
    maps: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n _ _"],
    *,
    tolerance_px: float = TOLERANCE_PX,
    quantile: float = QUANTILE,
) -> pd.DataFrame:
    """Measure maps in every way at once, each with what a map that knows nothing would score.

    Args:
        maps: Saliency, non-negative.
        masks: True on the object.
        tolerance_px: Of the pointing game, in pixels of these masks.
        quantile: Of the threshold of the intersection over union.

    Returns:
        One row a map: ``share_on_object, mask_area, pointing, pointing_chance, iou, iou_chance, auc``, fractions.

    Raises:
        BadInput: If maps and masks do not belong together, or a map is negative or not finite.
    """
    area, near = mask_area(masks), within(masks, tolerance_px)
    return pd.DataFrame(
        {
            "share_on_object": share_on_object(maps, masks),
            "mask_area": area,
            "pointing": pointing_game(maps, masks, near=near),
            "pointing_chance": mask_area(near),
            "iou": intersection_over_union(maps, masks, quantile=quantile),
            # a region of this share, laid at random: its expected overlap over the expected rest
            "iou_chance": area * (1 - quantile) / (area + (1 - quantile) - area * (1 - quantile)),
            "auc": area_under_curve(maps, masks),
        }
    )


def mask_area(masks: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Give the share of pixels that each mask marks: the share on the object of a map that is the same everywhere."""
    return masks.mean(axis=(1, 2), dtype=np.float64)


def share_on_object(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
    """Give the share of each map's saliency that lies on the object, in [0, 1].

    Args:
        maps: Saliency, non-negative, at the masks' resolution.
        masks: True on the object.

    Returns:
        NaN for a map without any saliency. Chance is `mask_area`.

    Raises:
        BadInput: If maps and masks do not belong together, or a map is negative or not finite.

    Example:
        >>> maps, mask = np.array([[[3.0, 1.0]], [[0.0, 0.0]]]), np.array([[True, False]])
        >>> share_on_object(maps, np.stack([mask, mask])).tolist()
        [0.75, nan]
    """
    _check(maps, masks)
    total = maps.sum(axis=(1, 2), dtype=np.float64)
    inside = maps.sum(axis=(1, 2), dtype=np.float64, where=masks)
    return np.divide(inside, total, out=np.full(len(maps), np.nan), where=total > 0)


def pointing_game(
    maps: Float[np.ndarray, "n h w"],
    masks: Bool[np.ndarray, "n _ _"],
    *,
    tolerance_px: float = TOLERANCE_PX,
    near: Bool[np.ndarray, "n _ _"] | None = None,
) -> Float[np.ndarray, " n"]:
    """Say whether each map's maximum lies on the object, or within a tolerance of it (Zhang et al., ECCV 2016).

    Where several pixels share the maximum, most of them must hit, so that no corner of the image is favoured.

    Args:
        maps: Saliency, non-negative, at the masks' resolution.
        masks: True on the object.
        tolerance_px: How far from the object still counts, in pixels of these masks; 15 is meant for 224 pixels.
        near: The same as `within` gives, where it is known already.

    Returns:
        1 for a hit, 0 for a miss, NaN for a map that is the same everywhere and so points nowhere. Chance is the
        share of pixels on or near the object.

    Raises:
        BadInput: If maps and masks do not belong together, or a map is negative or not finite.
    """
    _check(maps, masks)
    near = within(masks, tolerance_px) if near is None else near
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    count = highest.sum(axis=(1, 2))
    hits = (highest & near).sum(axis=(1, 2))
    return np.where(count == maps[0].size, np.nan, (2 * hits > count).astype(np.float64))


def within(masks: Bool[np.ndarray, "n h w"], tolerance_px: float) -> Bool[np.ndarray, "n h w"]:
    """Mark what lies on each object or no further from it than the tolerance, by Euclid's distance of pixels."""
    if tolerance_px < 1:
        return masks
    return np.stack([np.asarray(distance_transform_edt(~mask)) <= tolerance_px for mask in masks])


def intersection_over_union(
    maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"], *, quantile: float = QUANTILE
) -> Float[np.ndarray, " n"]:
    """Give the overlap of each mask with the most salient pixels of its map, over their union.

    Args:
        maps: Saliency, non-negative, at the masks' resolution.
        masks: True on the object.
        quantile: Pixels at or above this quantile of their map count, unless they are zero; 0.8 takes a fifth.

    Returns:
        In [0, 1]; NaN for a map without any saliency.

    Raises:
        BadInput: If maps and masks do not belong together, a map is negative or not finite, or the quantile is not
            in (0, 1).
    """
    _check(maps, masks)
    if not 0 < quantile < 1:
        raise BadInput(f"expected a quantile between 0 and 1, got {quantile}; 0.8 takes the most salient fifth")
    # an order statistic rather than an interpolated one, so that rounding cannot move the edge
    threshold = np.quantile(maps, quantile, axis=(1, 2), keepdims=True, method="higher")
    region = (maps >= threshold) & (maps > 0)
    shared, union = (region & masks).sum(axis=(1, 2)), (region | masks).sum(axis=(1, 2))
    return np.where(region.any(axis=(1, 2)), shared / union, np.nan)


def area_under_curve(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
    """Give the chance that a pixel of the object is more salient than one of the background, ties counted half.

    This is the area under the receiver operating characteristic with saliency as the score for the mask's pixels.

    Args:
        maps: Saliency, non-negative, at the masks' resolution.
        masks: True on the object.

    Returns:
        In [0, 1], with 0.5 for chance; NaN for a map without any saliency.

    Raises:
        BadInput: If maps and masks do not belong together, or a map is negative or not finite.
    """
    _check(maps, masks)
    return np.array([_one_area(one, mask) if one.any() else np.nan for one, mask in zip(maps, masks, strict=True)])


def map_drift(
    maps: Float[np.ndarray, "n h w"], references: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]
) -> Drift:
    """Say how far a map moved when the background changed: Spearman's rank correlation with the reference map.

    The object's pixels are the same in both images, so a classifier that only reads the object keeps its order of
    pixels inside. Rank correlations of neighbouring pixels are high by themselves, above all for maps of a coarse
    layer: compare models or regions, not single values with 0.

    Args:
        maps: Saliency of the changed images, at the masks' resolution.
        references: Saliency of the same scenes as photographed.
        masks: True on the object.

    Returns:
        In [-1, 1]; NaN where either map is the same all over the region.

    Raises:
        BadInput: If maps and masks do not belong together, or a map is negative or not finite.
    """
    _check(maps, masks)
    _check(references, masks)
    triples = list(zip(maps, references, masks, strict=True))
    inside = np.array([_rank_correlation(one[mask], other[mask]) for one, other, mask in triples])
    outside = np.array([_rank_correlation(one[~mask], other[~mask]) for one, other, mask in triples])
    return Drift(inside, outside)


def _one_area(saliency: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """Count by sorted search, which is four times as fast as ranking all pixels."""
    inside, outside = np.sort(saliency[mask]), np.sort(saliency[~mask])
    below = np.searchsorted(outside, inside, "left").sum(dtype=np.int64)
    up_to = np.searchsorted(outside, inside, "right").sum(dtype=np.int64)
    return float(below + up_to) / 2 / inside.size / outside.size


def _rank_correlation(first: Float[np.ndarray, " p"], second: Float[np.ndarray, " p"]) -> float:
    """Correlate ranks; scipy's spearmanr would warn of constant input and spend its time on a p-value."""
    ranks = [rankdata(values) - (values.size + 1) / 2 for values in (first, second)]
    squares = [float(rank @ rank) for rank in ranks]
    if not all(squares):
        return np.nan
    return float(ranks[0] @ ranks[1]) / float(np.sqrt(squares[0]) * np.sqrt(squares[1]))


def _check(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> None:
    """Refuse maps that cannot be scored, naming the first."""
    if not len(maps):
        raise BadInput("expected at least one map, got none; check the selection")
    if maps.shape != masks.shape:
        raise BadInput(
            f"expected maps of the masks' shape {masks.shape}, got {maps.shape}; bring maps of a layer to the "
            "images' size with bglab.saliency.upsample"
        )
    count = masks.sum(axis=(1, 2))
    problems = (
        (
            ~np.isfinite(maps).all(axis=(1, 2)),
            "finite saliency",
            "a value that is not",
            "see whether it overflows",
        ),
        ((maps < 0).any(axis=(1, 2)), "saliency of 0 or more", "a negative value", "take its positive part"),
        ((count == 0) | (count == masks[0].size), "a mask of a part of its image", "all or nothing", "leave it out"),
    )
    for bad, expected, came, remedy in problems:
        if bad.any():
            raise BadInput(f"expected {expected}, got {came} in row {int(np.flatnonzero(bad)[0])}; {remedy}")
