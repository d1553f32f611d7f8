"""Saliency against masks: small cases by hand, brute force, and what must not matter."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy.stats import spearmanr

from bglab.analysis import localisation
from bglab.errors import BadInput

SIZE = 12


@pytest.fixture(scope="module")
def random_maps():
    """Build maps with many ties and their masks."""
    rng = np.random.default_rng(7)
    maps = rng.integers(0, 6, size=(20, SIZE, SIZE)).astype(np.float32)
    masks = rng.random((20, SIZE, SIZE)) < rng.random((20, 1, 1)) * 0.6 + 0.1
    return maps, masks


def one(values, mask):
    return np.array([values], dtype=float), np.array([mask], dtype=bool)


def test_the_share_by_hand():
    maps, masks = one([[4, 2], [1, 1]], [[1, 0], [0, 1]])
    assert localisation.share_on_object(maps, masks).tolist() == [5 / 8]
    assert localisation.mask_area(masks).tolist() == [0.5]


def test_the_share_of_a_constant_map_is_the_area(random_maps):
    maps, masks = random_maps
    shares = localisation.share_on_object(np.full_like(maps, 3), masks)
    assert np.allclose(shares, localisation.mask_area(masks))


def test_pointing_by_hand():
    mask = np.zeros((1, 9, 9), dtype=bool)
    mask[0, 4, 4] = True
    for (row, column), distance in {(4, 4): 0, (4, 6): 2, (1, 8): 5, (0, 0): 32**0.5}.items():
        maps = np.zeros((1, 9, 9))
        maps[0, row, column] = 1
        for tolerance in (1.0, 2.0, 4.9, 5.0, 5.6, 5.7):
            hit = localisation.pointing_game(maps, mask, tolerance_px=tolerance)
            assert hit.tolist() == [float(distance <= tolerance)], (row, column, tolerance)


def test_most_of_several_maxima_must_hit():
    mask = [[1, 1, 0, 0, 0, 0]]
    for values, hit in (([[5, 5, 5, 0, 0, 0]], 1.0), ([[0, 5, 5, 0, 0, 0]], 0.0), ([[0, 5, 0, 0, 5, 5]], 0.0)):
        maps, masks = one(values, mask)
        assert localisation.pointing_game(maps, masks, tolerance_px=0).tolist() == [hit]


def test_the_overlap_by_hand():
    maps, masks = one([[9, 8, 7, 0, 0], [1, 1, 1, 1, 0]], [[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]])
    # of ten pixels the top fifth is 9 and 8: two shared, four in the union
    assert localisation.intersection_over_union(maps, masks, quantile=0.8).tolist() == [2 / 4]
    assert localisation.intersection_over_union(maps, masks, quantile=0.7).tolist() == [2 / 5]
    # a quantile that falls among the zeros takes every pixel with saliency, and no other
    assert localisation.intersection_over_union(maps, masks, quantile=0.1).tolist() == [4 / 7]


def test_the_area_under_the_curve_by_hand():
    maps, masks = one([[3, 2, 2, 1]], [[1, 1, 0, 0]])
    assert localisation.area_under_curve(maps, masks).tolist() == [(1 + 1 + 0.5 + 1) / 4]


def test_everything_agrees_with_brute_force(random_maps):
    maps, masks = random_maps
    table = localisation.localise(maps, masks, tolerance_px=2.0, quantile=0.75)
    for row, saliency, mask in zip(table.itertuples(), maps, masks, strict=True):
        pixels = list(itertools.product(range(SIZE), repeat=2))
        inside = [p for p in pixels if mask[p]]
        outside = [p for p in pixels if not mask[p]]
        assert row.share_on_object == pytest.approx(sum(saliency[p] for p in inside) / saliency.sum())
        wins = sum((saliency[a] > saliency[b]) + (saliency[a] == saliency[b]) / 2 for a in inside for b in outside)
        assert row.auc == pytest.approx(wins / len(inside) / len(outside))
        near = {p for p in pixels if min((p[0] - a) ** 2 + (p[1] - b) ** 2 for a, b in inside) <= 4}
        top = [p for p in pixels if saliency[p] == saliency.max()]
        assert row.pointing == float(2 * sum(p in near for p in top) > len(top))
        assert row.pointing_chance == pytest.approx(len(near) / len(pixels))
        threshold = sorted(saliency.ravel())[int(np.ceil(0.75 * (SIZE**2 - 1)))]
        region = {p for p in pixels if saliency[p] >= threshold > 0}
        assert row.iou == pytest.approx(len(region & set(inside)) / len(region | set(inside)))


def test_drift_is_spearmans_on_each_side(random_maps):
    maps, masks = random_maps
    references = maps[::-1].copy()
    drift = localisation.map_drift(maps, references, masks)
    for i, mask in enumerate(masks):
        assert drift.inside[i] == pytest.approx(spearmanr(maps[i][mask], references[i][mask]).statistic)
        assert drift.outside[i] == pytest.approx(spearmanr(maps[i][~mask], references[i][~mask]).statistic)
    still = localisation.map_drift(maps, 5 * maps + 2, masks)
    assert np.allclose(still.inside, 1)
    assert np.allclose(still.outside, 1)


@pytest.mark.parametrize("factor", [1e-30, 1 / 3, 1e30])
def test_the_scale_of_a_map_changes_nothing(random_maps, factor):
    maps, masks = random_maps
    plain = localisation.localise(maps.astype(float), masks)
    scaled = localisation.localise(maps.astype(float) * factor, masks)
    assert np.allclose(plain, scaled, rtol=1e-12, atol=0)


def test_mirroring_image_and_mask_changes_nothing(random_maps):
    maps, masks = random_maps
    plain = localisation.localise(maps, masks)
    mirrored = localisation.localise(maps[:, ::-1, ::-1].copy(), masks[:, ::-1, ::-1].copy())
    assert np.allclose(plain, mirrored)


def test_the_batch_changes_nothing(random_maps):
    maps, masks = random_maps
    whole = localisation.localise(maps, masks)
    singles = [localisation.localise(maps[i : i + 1], masks[i : i + 1]).iloc[0] for i in range(len(maps))]
    assert np.array_equal(whole.to_numpy(), np.stack(singles))


def test_a_map_that_is_its_mask_scores_full_marks():
    masks = np.zeros((1, 10, 10), dtype=bool)
    masks[0, 2:4, 3:8] = True
    row = localisation.localise(masks.astype(float), masks, tolerance_px=0).iloc[0]
    assert row[["share_on_object", "pointing", "iou", "auc"]].tolist() == [1, 1, 1, 1]
    inverse = localisation.localise((~masks).astype(float), masks, tolerance_px=0).iloc[0]
    assert inverse[["share_on_object", "pointing", "iou", "auc"]].tolist() == [0, 0, 0, 0]


def test_a_map_without_saliency_has_no_measure():
    maps = np.zeros((2, 6, 6), dtype=np.float32)
    maps[1, 0, 0] = 1
    masks = np.zeros((2, 6, 6), dtype=bool)
    masks[:, 0, :3] = True
    table = localisation.localise(maps, masks)
    measured = table[["share_on_object", "pointing", "iou", "auc"]]
    assert measured.iloc[0].isna().all()
    assert measured.iloc[1].notna().all()
    assert table["mask_area"].tolist() == [3 / 36, 3 / 36]
    assert all(np.isnan(side).tolist() == [True, True] for side in localisation.map_drift(maps, maps[::-1], masks))


def test_random_regions_reach_the_stated_chance():
    rng = np.random.default_rng(0)
    masks = rng.random((300, 20, 20)) < 0.3
    table = localisation.localise(rng.random((300, 20, 20)), masks, tolerance_px=0)
    means = table.mean()
    assert means["share_on_object"] == pytest.approx(means["mask_area"], abs=0.01)
    assert means["iou"] == pytest.approx(means["iou_chance"], abs=0.01)
    assert means["auc"] == pytest.approx(0.5, abs=0.01)
    assert means["pointing"] == pytest.approx(means["pointing_chance"], abs=0.1)
    assert means["pointing_chance"] == means["mask_area"]


def _with(array, position, value):
    changed = array.copy()
    changed[position] = value
    return changed


MAPS = np.ones((3, 4, 4))
MASKS = np.broadcast_to(np.eye(4, dtype=bool), (3, 4, 4)).copy()


@pytest.mark.parametrize(
    ("maps", "masks", "sentence"),
    [
        (
            np.ones((3, 2, 2)),
            MASKS,
            "expected maps of the masks' shape (3, 4, 4), got (3, 2, 2); resize maps of a layer with "
            "bglab.saliency.upsample",
        ),
        (
            _with(MAPS, (1, 0, 0), -0.1),
            MASKS,
            "expected non-negative saliency, got a negative value in row 1; take its positive part",
        ),
        (
            _with(MAPS, (2, 3, 3), np.inf),
            MASKS,
            "expected finite saliency, got NaN or infinity in row 2; check for overflow",
        ),
        (
            MAPS,
            _with(MASKS, 1, False),
            "expected a mask of a part of the image, got all or nothing in row 1; leave it out",
        ),
        (MAPS[:0], MASKS[:0], "expected at least one map, got none; check the selection"),
    ],
)
@pytest.mark.parametrize(
    "measure",
    [
        localisation.share_on_object,
        localisation.pointing_game,
        localisation.intersection_over_union,
        localisation.area_under_curve,
        lambda maps, masks: localisation.map_drift(maps, maps, masks),
    ],
)
def test_what_cannot_be_scored_is_refused(measure, maps, masks, sentence):
    with pytest.raises(BadInput) as error:
        measure(maps, masks)
    assert str(error.value) == sentence


def test_a_quantile_beyond_its_range_is_refused():
    with pytest.raises(BadInput) as error:
        localisation.intersection_over_union(MAPS, MASKS, quantile=1.0)
    assert str(error.value) == "expected a quantile between 0 and 1, got 1.0; 0.8 takes the most salient fifth"
