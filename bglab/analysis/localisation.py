"""Localisation metrics: how much of a saliency map lies on the object, according to a mask.

Maps are raw and non-negative, one per image, at the resolution of the masks; upsample the maps of a layer with
`bglab.saliency.upsample` (bilinear) first, as is usual in the literature. No metric depends on the scale of a map.
Metrics of an all-zero map are NaN; summaries count such maps as ``undefined`` and leave them out of means. Values are
those of single maps and have no interval; their means in `bglab.analysis.localisation_summary` do.
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

#: Quantile of a map above which its pixels form the region of `intersection_over_union`.
QUANTILE = 0.8

#: The metrics of `localise` with their chance levels: a column of its table, or a constant.
MEASURES: dict[str, str | float] = {
    "share_on_object": "mask_area",
    "pointing": "pointing_chance",
    "iou": "iou_chance",
    "auc": 0.5,
}


class Drift(NamedTuple):
    """Spearman's rank correlations between two maps per scene, in [-1, 1]; 1 for the same order of pixels.

    Attributes:
        inside: Correlation over the pixels of the object.
        outside: Correlation over all other pixels.
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
    """Compute all localisation metrics and the chance level of each, the expected score of an uninformative map.

    Args:
        maps: Saliency, non-negative.
        masks: True on the object.
        tolerance_px: Tolerance of the pointing game, in pixels of the masks.
        quantile: Threshold of the intersection over union, in (0, 1).

    Returns:
        One row per map, fractions in [0, 1]: ``[share_on_object, mask_area, pointing, pointing_chance, iou, iou_chance,
        auc]``. Chance is ``mask_area`` for ``share_on_object`` and 0.5 for ``auc``; see `MEASURES`.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, or a mask is empty or full.
    """
    area, near = mask_area(masks), within(masks, tolerance_px)
    return pd.DataFrame(
        {
            "share_on_object": share_on_object(maps, masks),
            "mask_area": area,
            "pointing": pointing_game(maps, masks, near=near),
            "pointing_chance": mask_area(near),
            "iou": intersection_over_union(maps, masks, quantile=quantile),
            # for a random region of this share: expected intersection over expected union
            "iou_chance": area * (1 - quantile) / (area + (1 - quantile) - area * (1 - quantile)),
            "auc": area_under_curve(maps, masks),
        }
    )


def mask_area(masks: Bool[np.ndarray, "n h w"]) -> Float[np.ndarray, " n"]:
    """Compute the share of pixels in each mask, in (0, 1): the chance level of `share_on_object`."""
    return masks.mean(axis=(1, 2), dtype=np.float64)


def share_on_object(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
    """Compute the share of the total saliency of each map that lies on the object.

    With bounding boxes as masks this is the energy-based pointing game of Score-CAM (Wang et al., CVPR 2020 Workshops).

    Args:
        maps: Saliency, non-negative, at the resolution of the masks.
        masks: True on the object.

    Returns:
        Fractions in [0, 1], NaN for all-zero maps. Chance is `mask_area`.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, or a mask is empty or full.

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
    """Check whether the maximum of each map lies on the object or within a tolerance of it (Zhang et al., ECCV 2016).

    If several pixels share the maximum, more than half of them must hit; taking the first would favour a corner.

    Args:
        maps: Saliency, non-negative, at the resolution of the masks.
        masks: True on the object.
        tolerance_px: Largest distance from the object that counts as a hit, in pixels of the masks; the paper uses 15.
        near: Result of `within` for these masks and this tolerance, if already computed.

    Returns:
        1 for a hit, 0 for a miss, NaN for constant maps. Chance is the share of pixels on or near the object.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, or a mask is empty or full.
    """
    _check(maps, masks)
    near = within(masks, tolerance_px) if near is None else near
    highest = maps == maps.max(axis=(1, 2), keepdims=True)
    count = highest.sum(axis=(1, 2))
    hits = (highest & near).sum(axis=(1, 2))
    return np.where(count == maps[0].size, np.nan, (2 * hits > count).astype(np.float64))


def within(masks: Bool[np.ndarray, "n h w"], tolerance_px: float) -> Bool[np.ndarray, "n h w"]:
    """Dilate each mask: True for pixels on the object or within the tolerance, a Euclidean distance in pixels."""
    if tolerance_px < 1:
        return masks
    return np.stack([np.asarray(distance_transform_edt(~mask)) <= tolerance_px for mask in masks])


def intersection_over_union(
    maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"], *, quantile: float = QUANTILE
) -> Float[np.ndarray, " n"]:
    """Compute the intersection over union of each mask with the most salient pixels of its map.

    Args:
        maps: Saliency, non-negative, at the resolution of the masks.
        masks: True on the object.
        quantile: Non-zero pixels at or above this quantile of their map form the region; 0.8 takes the top 20 %.

    Returns:
        Fractions in [0, 1], NaN for all-zero maps.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, a mask is empty or full, or the
            quantile is not in (0, 1).
    """
    _check(maps, masks)
    if not 0 < quantile < 1:
        raise BadInput(f"expected a quantile between 0 and 1, got {quantile}; 0.8 takes the most salient fifth")
    # "higher" returns a value of the map itself; interpolation could round the threshold past it
    threshold = np.quantile(maps, quantile, axis=(1, 2), keepdims=True, method="higher")
    region = (maps >= threshold) & (maps > 0)
    shared, union = (region & masks).sum(axis=(1, 2)), (region | masks).sum(axis=(1, 2))
    return np.where(region.any(axis=(1, 2)), shared / union, np.nan)


def area_under_curve(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> Float[np.ndarray, " n"]:
    """Compute the area under the ROC curve, with saliency as the score for belonging to the object.

    This is the probability that a random pixel of the object is more salient than one of the background; ties count
    half.

    Args:
        maps: Saliency, non-negative, at the resolution of the masks.
        masks: True on the object.

    Returns:
        Fractions in [0, 1], 0.5 for chance; NaN for all-zero maps.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, or a mask is empty or full.
    """
    _check(maps, masks)
    return np.array([_one_area(one, mask) if one.any() else np.nan for one, mask in zip(maps, masks, strict=True)])


def map_drift(
    maps: Float[np.ndarray, "n h w"], references: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]
) -> Drift:
    """Compute how much maps change with the background: Spearman's rank correlation with a reference map.

    The pixels of the object are the same in both images, so a classifier that uses the object alone keeps the order of
    pixels inside. Neighbouring pixels are correlated, especially in maps of a coarse layer: compare models or regions
    with each other, not single values with 0.

    Args:
        maps: Saliency of the modified images, at the resolution of the masks.
        references: Saliency of the original images of the same scenes.
        masks: True on the object.

    Returns:
        Correlations in [-1, 1]; NaN where either map is constant over the region.

    Raises:
        BadInput: If maps and masks differ in shape, a map is negative or not finite, or a mask is empty or full.
    """
    _check(maps, masks)
    _check(references, masks)
    triples = list(zip(maps, references, masks, strict=True))
    inside = np.array([_rank_correlation(one[mask], other[mask]) for one, other, mask in triples])
    outside = np.array([_rank_correlation(one[~mask], other[~mask]) for one, other, mask in triples])
    return Drift(inside, outside)


def _one_area(saliency: Float[np.ndarray, "h w"], mask: Bool[np.ndarray, "h w"]) -> float:
    """Count pairs by sorting and binary search, which is four times as fast as ranking all pixels."""
    inside, outside = np.sort(saliency[mask]), np.sort(saliency[~mask])
    below = np.searchsorted(outside, inside, "left").sum(dtype=np.int64)
    up_to = np.searchsorted(outside, inside, "right").sum(dtype=np.int64)
    return float(below + up_to) / 2 / inside.size / outside.size


def _rank_correlation(first: Float[np.ndarray, " p"], second: Float[np.ndarray, " p"]) -> float:
    """Correlate ranks; scipy's spearmanr would warn about constant input and also compute a p-value."""
    ranks = [rankdata(values) - (values.size + 1) / 2 for values in (first, second)]
    squares = [float(rank @ rank) for rank in ranks]
    if not all(squares):
        return np.nan
    return float(ranks[0] @ ranks[1]) / float(np.sqrt(squares[0]) * np.sqrt(squares[1]))


def _check(maps: Float[np.ndarray, "n h w"], masks: Bool[np.ndarray, "n _ _"]) -> None:
    """Raise for maps that cannot be scored, naming the first one."""
    if not len(maps):
        raise BadInput("expected at least one map, got none; check the selection")
    if maps.shape != masks.shape:
        raise BadInput(
            f"expected maps of the masks' shape {masks.shape}, got {maps.shape}; resize maps of a layer "
            "with bglab.saliency.upsample"
        )
    count = masks.sum(axis=(1, 2))
    problems = (
        (~np.isfinite(maps).all(axis=(1, 2)), "finite saliency", "NaN or infinity", "check for overflow"),
        ((maps < 0).any(axis=(1, 2)), "non-negative saliency", "a negative value", "take its positive part"),
        ((count == 0) | (count == masks[0].size), "a mask of a part of the image", "all or nothing", "leave it out"),
    )
    for bad, expected, got, remedy in problems:
        if bad.any():
            raise BadInput(f"expected {expected}, got {got} in row {int(np.flatnonzero(bad)[0])}; {remedy}")
