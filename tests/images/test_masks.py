"""Masks: reproducible GrabCut, polygons, quality measures, refinement, and the paper's filters."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from bglab.errors import BadInput
from bglab.images import (
    automatic_cleaning,
    crop_shares,
    grab_cut,
    mask_quality,
    masks,
    paper_filter,
    polygon_mask,
    refine,
    resize_crop,
)

HEIGHT, WIDTH = 60, 80
BOX = (18, 8, 62, 52)


@pytest.fixture(scope="module")
def disc():
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    return (x - 40) ** 2 + (y - 30) ** 2 < 20**2


@pytest.fixture(scope="module")
def image(disc):
    """A reddish, noisy disc on greenish noise."""
    noise = np.random.default_rng(0).normal(0, 25, (3, HEIGHT, WIDTH))
    red, green = np.array([190, 70, 60])[:, None, None], np.array([70, 140, 80])[:, None, None]
    return (np.where(disc, red, green) + noise).clip(0, 255).astype(np.uint8)


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


# --- GrabCut


def test_the_object_is_found(image, disc):
    assert overlap(grab_cut(image, BOX), disc) > 0.97


def test_the_result_is_that_of_the_papers_call(image):
    labels = np.zeros((HEIGHT, WIDTH), np.uint8)
    x0, y0, x1, y1 = BOX
    cv2.setRNGSeed(7)
    cv2.grabCut(
        np.ascontiguousarray(image.transpose(1, 2, 0)),
        labels,
        (x0, y0, x1 - x0, y1 - y0),
        np.zeros((1, 65)),
        np.zeros((1, 65)),
        5,
        cv2.GC_INIT_WITH_RECT,
    )
    assert np.array_equal(grab_cut(image, BOX, seed=7), np.isin(labels, [cv2.GC_FGD, cv2.GC_PR_FGD]))


def test_the_same_seed_gives_the_same_mask_on_any_number_of_threads(image):
    before = cv2.getNumThreads()
    try:
        results = []
        for threads in (1, 2, 4):
            cv2.setNumThreads(threads)
            cv2.setRNGSeed(threads)  # whatever ran before must not matter
            results.append(grab_cut(image, BOX, seed=3))
    finally:
        cv2.setNumThreads(before)
    assert all(np.array_equal(results[0], other) for other in results[1:])


def test_hints_are_obeyed_and_background_wins(image):
    foreground, background = np.zeros((2, HEIGHT, WIDTH), dtype=bool)
    foreground[10:14, 20:24] = True  # outside the disc
    background[28:32, 38:42] = True  # inside the disc
    background[10, 20] = True
    mask = grab_cut(image, BOX, foreground_hint=foreground, background_hint=background)
    assert mask[foreground & ~background].all()
    assert not mask[background].any()
    assert not grab_cut(image, BOX)[10:14, 20:24].any()


def test_nothing_outside_the_box_is_foreground(image):
    mask = grab_cut(image, (18, 8, 62, 45))
    mask[8:45, 18:62] = False
    assert not mask.any()


def test_a_failure_is_tried_again_with_the_next_seed(image, monkeypatch):
    seeds = []

    def flaky(image, start, seed, iterations):
        seeds.append(seed)
        if len(seeds) == 1:
            raise cv2.error("unlucky")
        return np.full((HEIGHT, WIDTH), len(seeds) == 3)

    monkeypatch.setattr(masks, "_cut", flaky)
    assert grab_cut(image, BOX, seed=2**31 - 1).all()
    assert seeds == [2**31 - 1, 0, 1]


def test_an_empty_foreground_is_an_error_after_all_retries(image, monkeypatch):
    seeds = []

    def empty(image, start, seed, iterations):
        seeds.append(seed)
        mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
        mask[30, 20:40] = True
        return mask

    monkeypatch.setattr(masks, "_cut", empty)
    with pytest.raises(BadInput) as caught:
        grab_cut(image, BOX)
    assert str(caught.value) == (
        "expected GrabCut to find a foreground in at least 10% of the box (18, 8, 62, 52), but after 11 attempts "
        "only 1.0% of the box came out as foreground; correct the box, give a foreground hint, or exclude the image"
    )
    assert len(seeds) == 11


def test_an_opencv_failure_is_named(image):
    background = np.ones((HEIGHT, WIDTH), dtype=bool)
    with pytest.raises(BadInput) as caught:
        grab_cut(image, BOX, background_hint=background, retries=0)
    assert str(caught.value).startswith(
        "expected GrabCut to find a foreground in at least 10% of the box (18, 8, 62, 52), but after 1 attempts "
        "OpenCV failed ("
    )


def test_a_box_over_the_whole_image_needs_a_background_hint(image, disc):
    everything = (0, 0, WIDTH, HEIGHT)
    with pytest.raises(BadInput) as caught:
        grab_cut(image, everything)
    assert str(caught.value) == (
        "expected some background around the box, but (0, 0, 80, 60) covers the whole image; "
        "draw it tighter, or give a background hint"
    )
    rim = np.zeros((HEIGHT, WIDTH), dtype=bool)
    rim[:4] = rim[-4:] = True
    assert overlap(grab_cut(image, everything, background_hint=rim), disc) > 0.95


def test_a_box_beyond_the_image_is_an_error(image):
    with pytest.raises(BadInput) as caught:
        grab_cut(image, (10, 10, 90, 20))
    assert str(caught.value) == ("expected a box within 80 × 60 pixels, got (10, 10, 90, 20); correct its annotation")


# --- polygons


@given(st.tuples(*[st.integers(-3, 12)] * 4))
def test_a_rectangle_is_its_half_open_box(sides):
    x0, x1 = sorted(sides[:2])
    y0, y1 = sorted(sides[2:])
    expected = np.zeros((9, 7), dtype=bool)
    expected[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)] = True
    assert np.array_equal(polygon_mask([(x0, y0), (x1, y0), (x1, y1), (x0, y1)], 9, 7), expected)


def test_neighbours_share_no_pixel_and_leave_none_out():
    left = polygon_mask([(0, 0), (6.3, 0), (2.7, 10), (0, 10)], 10, 10)
    right = polygon_mask([(6.3, 0), (10, 0), (10, 10), (2.7, 10)], 10, 10)
    assert (left ^ right).all()


def test_a_polygon_that_winds_twice_is_empty_where_it_does():
    inner = [(2, 2), (4, 2), (4, 4), (2, 4)]
    outer = [(0, 0), (6, 0), (6, 6), (0, 6)]
    ring = polygon_mask([*outer, outer[0], *inner, inner[0]], 6, 6)
    assert ring.sum() == 36 - 4
    assert not ring[2:4, 2:4].any()


def test_two_corners_are_no_polygon():
    with pytest.raises(BadInput, match=r"^expected a polygon of at least 3 corners, got 2; add the missing ones$"):
        polygon_mask([(0, 0), (1, 1)], 4, 4)


# --- quality and refinement


def test_quality_of_a_ring_and_a_speck():
    mask = np.zeros((20, 20), dtype=bool)
    mask[5:10, 5:10] = True
    mask[7, 7] = False
    mask[15, 15] = True
    quality = mask_quality(mask, (5, 5, 15, 15))
    assert quality.image_share == pytest.approx(25 / 400)
    assert quality.box_share == pytest.approx(24 / 100)
    assert quality.components == 2
    assert quality.largest_share == pytest.approx(24 / 25)
    assert quality.hole_share == pytest.approx(1 / 26)
    assert quality.touches_box_centre
    assert not mask_quality(mask, (10, 5, 20, 15)).touches_box_centre


def test_quality_of_nothing():
    quality = mask_quality(np.zeros((5, 5), dtype=bool), (0, 0, 1, 1))
    assert quality == (0.0, 0.0, 0, 0.0, 0.0, False)


def test_pieces_that_touch_at_a_corner_are_one_component():
    assert mask_quality(np.eye(4, dtype=bool), (0, 0, 4, 4)).components == 1


def test_opening_removes_a_thread_and_keeps_the_body():
    mask = np.zeros((30, 30), dtype=bool)
    mask[5:20, 5:20] = True
    mask[12, 20:29] = True
    opened = refine(mask, erode=2, dilate=2)
    assert not opened[12, 23:].any()
    assert opened[7:18, 7:18].all()


def test_an_object_cut_off_by_the_edge_is_not_eroded_there():
    mask = np.zeros((20, 20), dtype=bool)
    mask[:10] = True
    eroded = refine(mask, erode=3)
    assert eroded[:7].all()
    assert not eroded[7:].any()


def test_refining_fills_holes_and_keeps_the_largest_piece():
    mask = np.zeros((20, 20), dtype=bool)
    mask[2:9, 2:9] = True
    mask[4:6, 4:6] = False
    mask[15:17, 15:17] = True
    assert refine(mask, fill_holes=True).sum() == 49 + 4
    assert refine(mask, largest_only=True).sum() == 49 - 4
    assert np.array_equal(refine(mask), mask)


def test_refining_away_everything_is_an_error():
    mask = np.zeros((9, 9), dtype=bool)
    mask[4, 4] = True
    with pytest.raises(BadInput) as caught:
        refine(mask, erode=1)
    assert str(caught.value) == (
        "expected some foreground to be left, but refining the mask (1 pixels, erode=1) removed it all; erode less"
    )


def test_a_negative_radius_is_an_error():
    with pytest.raises(BadInput) as caught:
        refine(np.ones((3, 3), dtype=bool), erode=-1)
    assert (
        str(caught.value)
        == "expected radii of at least 0 pixels, got erode=-1 and dilate=0; dilate grows a mask, erode shrinks it"
    )


# --- the papers' filters


@settings(max_examples=60, deadline=None)
@given(st.integers(150, 500), st.integers(150, 500), st.data())
def test_the_filter_agrees_with_counting_pixels(width, height, data):
    x0, y0 = data.draw(st.integers(0, width - 9)), data.draw(st.integers(0, height - 9))
    x1, y1 = data.draw(st.integers(x0 + 9, width)), data.draw(st.integers(y0 + 9, height))
    box = np.zeros((height, width), np.uint8)
    box[y0:y1, x0:x1] = 255
    # torchvision's Resize: the long side is cut off, not rounded
    size = tuple(int(256 * side / min(width, height)) for side in (width, height))
    whole = Image.fromarray(box).resize(size, Image.Resampling.NEAREST)
    inside = np.asarray(resize_crop(Image.fromarray(box), 224, smooth=False)) > 0
    shares = crop_shares((x0, y0, x1, y1), width, height)
    assert shares == (inside.mean(), inside.sum() / np.count_nonzero(whole))
    reason = paper_filter((x0, y0, x1, y1), width, height)
    assert reason.startswith("the box covers") == (shares.crop_share > 0.9)
    if shares.crop_share <= 0.9:
        assert reason.startswith("the centre crop keeps") == (shares.kept_share < 0.5)


def test_a_box_within_the_crop_is_kept_whole():
    # after the resize its area should be 83.6 pixels, but nearest-pixel resizing makes it 9 × 9 or 10 × 10
    assert crop_shares((200, 100, 220, 120), 500, 560).kept_share == 1.0


def test_at_the_threshold_pixels_decide_rather_than_areas():
    # by areas the crop would keep 49.6 % of the first box and 50.2 % of the second
    assert paper_filter((34, 349, 263, 367), 390, 382) == ""
    assert paper_filter((117, 27, 266, 64), 382, 85) == (
        "the centre crop keeps 49.9% of the box (at least 50% is needed)"
    )


def test_a_box_that_the_resize_loses_is_not_kept():
    assert crop_shares((0, 1, 400, 2), 400, 2000).kept_share == 0.0


def test_each_filter_has_its_sentence():
    small = np.zeros((375, 500), dtype=bool)
    small[150:160, 200:300] = True
    assert paper_filter((20, 0, 480, 375), 500, 375) == (
        "the box covers 100.0% of the centre crop (at most 90% leaves enough background)"
    )
    assert paper_filter((0, 0, 120, 375), 500, 375) == (
        "the centre crop keeps 25.6% of the box (at least 50% is needed)"
    )
    assert paper_filter((200, 100, 300, 300), 500, 375, small) == (
        "the mask fills 5.0% of the box (at least 10% is needed)"
    )
    assert paper_filter((200, 100, 300, 300), 500, 375) == ""
    assert paper_filter((200, 140, 300, 200), 500, 375, small) == ""


def test_without_a_crop_only_the_size_of_the_box_matters():
    assert paper_filter((0, 0, 12, 100), 100, 100, crop_fraction=1.0) == ""
    assert paper_filter((0, 0, 12, 100), 100, 100) == (
        "the centre crop keeps 42.3% of the box (at least 50% is needed)"
    )


def blank():
    return np.zeros((40, 40), dtype=bool)


def test_automatic_cleaning_names_what_is_wrong():
    box = (10, 10, 30, 30)
    whole = blank()
    whole[12:28, 12:28] = True
    assert automatic_cleaning(whole, box) == ""

    little = blank()
    little[10:12, 10:20] = True
    assert automatic_cleaning(little, box) == "the mask fills 5.0% of the box (at least 10% is needed)"

    beyond = whole.copy()
    beyond[30:32, 12:14] = True
    assert automatic_cleaning(beyond, box) == "4 pixels of the mask lie outside the box (all must lie within it)"

    rim = blank()
    rim[10:13, 10:30] = True
    assert automatic_cleaning(rim, box) == "the mask misses the centre of the box (an object usually covers it)"

    pieces = blank()
    pieces[10:30:4, 10:30] = pieces[11:30:4, 10:30] = True
    assert automatic_cleaning(pieces, box) == (
        "the largest of 5 components holds 20.0% of the mask (at least 50% is needed)"
    )
    assert automatic_cleaning(pieces, box, least_connected_share=0.1) == ""
