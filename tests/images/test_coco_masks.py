"""COCO's masks: run lengths and polygons decode to the right pixels, and damaged ones are refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from bglab.errors import BadInput
from bglab.images import decode_rle, polygons_mask


def runs_of(mask):
    """Count runs pixel by pixel, column by column."""
    runs, marked = [0], False
    for pixel in mask.T.ravel():
        if pixel != marked:
            runs.append(0)
            marked = not marked
        runs[-1] += 1
    return runs


def compress(runs):
    """Write run lengths as text, as `rleToString` of the COCO API does."""
    text = ""
    for i, run in enumerate(runs):
        x, more = run - (runs[i - 2] if i > 2 else 0), True
        while more:
            code, x = x & 0x1F, x >> 5
            more = x != -1 if code & 0x10 else x != 0
            text += chr((code | 0x20 if more else code) + 48)
    return text


@settings(max_examples=60, deadline=None)
@given(arrays.arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
def test_run_lengths_and_their_text_decode_to_the_mask(mask):
    runs = runs_of(mask)
    np.testing.assert_array_equal(decode_rle(runs, *mask.shape), mask)
    np.testing.assert_array_equal(decode_rle(compress(runs), *mask.shape), mask)
    np.testing.assert_array_equal(decode_rle(compress(runs).encode(), *mask.shape), mask)


def test_long_runs_decode():
    mask = np.zeros((480, 640), dtype=bool)
    mask[100:300, 50:400] = True
    np.testing.assert_array_equal(decode_rle(compress(runs_of(mask)), 480, 640), mask)


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        ([1, 2, 2], r"sum to 6 pixels, for a mask of 3 × 2, got 5; export"),
        ([], r"got 0; export"),
        ([8, -2], r"at least 0, got -2"),
        ([1.5, 4.5], r"whole numbers"),
        ([True, 5], r"whole numbers"),
        ("12", r"got 3; export"),
        ("1 3", r"characters that they never have"),
        ("12é", r"characters that they never have"),
        (b"12\xff", r"characters that they never have"),
        ("12S", r"the last one is cut off"),
        ("S" * 30, r"longer than any image"),
    ],
)
def test_damaged_run_lengths_are_refused(counts, words):
    with pytest.raises(BadInput, match=words):
        decode_rle(counts, 2, 3)


def test_polygons_are_united():
    mask = polygons_mask([[0, 0, 4, 0, 4, 2, 0, 2], [2, 1, 6, 1, 6, 3, 2, 3]], 4, 8)
    expected = np.zeros((4, 8), dtype=bool)
    expected[0:2, 0:4] = expected[1:3, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_vertex_just_beyond_the_border_is_clipped():
    assert polygons_mask([[-0.5, -0.5, 8.9, -0.5, 8.9, 4.4, -0.5, 4.4]], 4, 8).all()


@pytest.mark.parametrize(
    ("polygons", "words"),
    [
        ([], "at least one polygon, got none"),
        ([[0, 0, 1, 1]], "at least 3 corners"),
        ([[0, 0, 1, 1, 2, 0, 5]], "at least 3 corners"),
        ([[0, 0, 3, 0, "x", 3]], "at least 3 corners"),
        ([[[0, 0], [3, 0], [3, 3]]], "at least 3 corners"),
        ([[0, 0, 3, 0, float("nan"), 3]], r"within 8 × 4 pixels, got a corner at \(nan, 3\)"),
        ([[0, 0, 3, 0, float("inf"), 3]], r"got a corner at \(inf, 3\)"),
        ([[-3, 0, 3, 0, 3, 3]], r"got a corner at \(-3, 0\)"),
        ([[0, 0, 3, 0, 3, 9]], r"got a corner at \(3, 9\)"),
    ],
)
def test_damaged_polygons_are_refused(polygons, words):
    with pytest.raises(BadInput, match=words):
        polygons_mask(polygons, 4, 8)
