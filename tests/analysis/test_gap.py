"""The background gap of everything in a results folder."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

from bglab.analysis import background_gap, collect_gaps, gap_by_mask, paired_difference, share_interval
from bglab.errors import BadInput, UnknownName
from fixtures.predictions import both_variants, with_verdicts

SAME, RAND = [1, 1, 1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0]


def test_by_hand():
    (row,) = collect_gaps(both_variants(SAME, RAND)).table.to_dict("records")
    gap = paired_difference(1, 5, 1, 1)
    assert list(row) == ["model", "dataset", "n", "mixed_same", "mixed_rand", "gap", "gap_low", "gap_high", "p"]
    assert list(row.values())[2:8] == [8, 0.75, 0.25, *gap]
    assert row["p"] == pytest.approx(binomtest(1, 6).pvalue)
    assert background_gap(both_variants(SAME, RAND))["p"].item() == row["p"]


def test_without_a_discordant_scene_p_is_1():
    assert collect_gaps(both_variants([1, 0], [1, 0])).table["p"].item() == 1


def test_another_variant_is_subtracted_under_its_own_name():
    table = pd.concat([both_variants(SAME, RAND), with_verdicts([0] * 8, variant="mixed_next")])
    row = collect_gaps(table, minus="mixed_next").table.iloc[0]
    assert row[["mixed_same", "mixed_next", "gap"]].tolist() == [0.75, 0.0, 0.75]
    assert "mixed_rand" not in row


def test_only_rows_of_one_data_set_and_model_are_paired():
    # together these would be a complete pair of variants
    table = pd.concat([
        with_verdicts([1, 1], variant="mixed_same", dataset="set-published"),
        with_verdicts([0, 0], variant="mixed_rand", dataset="set"),
        with_verdicts([1, 1], variant="mixed_same", dataset="set-seed1", model="a"),
        with_verdicts([0, 0], variant="mixed_rand", dataset="set-seed1", model="b"),
    ])  # fmt: skip
    for by in (["model", "dataset"], ["model"], []):
        gaps = collect_gaps(table, by=by)
        assert gaps.table.empty
        assert gaps.skipped.to_numpy().tolist() == [
            ["m", "set-published", "mixed_rand"],
            ["m", "set", "mixed_same"],
            ["a", "set-seed1", "mixed_rand"],
            ["b", "set-seed1", "mixed_same"],
        ]


def test_what_lacks_a_variant_or_a_scene_is_named_and_the_rest_computed():
    table = pd.concat([
        both_variants(SAME, RAND),
        with_verdicts([1], variant="original", dataset="other"),
        with_verdicts([1], variant="mixed_same", scene=["t0"]),
    ])  # fmt: skip
    gaps = collect_gaps(table)
    assert gaps.table["n"].tolist() == [8]
    assert gaps.skipped.to_numpy().tolist() == [["m", "other", "mixed_same and mixed_rand"]]
    assert gaps.unpaired.to_numpy().tolist() == [["m", "set", 1]]


def test_variants_without_a_common_scene():
    table = pd.concat(
        [with_verdicts([1], variant="mixed_same"), with_verdicts([1], variant="mixed_rand", scene=["t0"])]
    )
    assert collect_gaps(table).skipped["missing"].tolist() == ["a scene with both variants"]


def test_sets_are_pooled_but_a_scene_counts_once():
    other = both_variants([1, 1], [0, 0], dataset="other", scene=["t0", "t1"])
    pooled = collect_gaps(pd.concat([both_variants(SAME, RAND), other]), by="model").table
    assert pooled[["n", "mixed_same"]].to_numpy().tolist() == [[10, 0.8]]
    again = both_variants(SAME, RAND, dataset="set-seed1")
    with pytest.raises(BadInput, match="expected each scene once in 'mixed_same', got s0 twice"):
        collect_gaps(pd.concat([both_variants(SAME, RAND), again]), by="model")


def test_errors():
    with pytest.raises(BadInput, match="expected another variant than mixed_same"):
        collect_gaps(both_variants(SAME, RAND), minus="mixed_same")
    with pytest.raises(UnknownName, match="unknown column 'modell'"):
        collect_gaps(both_variants(SAME, RAND), by="modell")


def swept(verdicts, mask="box", radius=0, **columns):
    """Build the rows of one mask: verdicts by variant, one per scene."""
    parts = [with_verdicts(given, variant=variant, **columns) for variant, given in verdicts.items()]
    sizes = {"mask": mask, "radius": radius, "feather": 0.0, "mask_area": 0.25}
    return pd.concat(parts).assign(**sizes, kept=lambda rows: (rows.scene != "s0") * 0.5)


def test_the_gap_of_each_mask_by_hand():
    verdicts = {"original": [1] * 8, "mixed_same": SAME, "mixed_rand": RAND, "on_own_tiled": [1, 1, 1, 1, 1, 1, 1, 0]}
    table = gap_by_mask(pd.concat([swept(verdicts), swept(verdicts | {"mixed_rand": SAME}, radius=4)]))
    assert table["radius"].tolist() == [0, 4]
    assert table["gap"].tolist() == [0.5, 0.0]
    row = table.iloc[0]
    assert row[["n", "original", "mixed_same", "mixed_rand", "on_own_tiled"]].tolist() == [8, 1.0, 0.75, 0.25, 0.875]
    assert row[["gap", "gap_low", "gap_high"]].tolist() == list(paired_difference(1, 5, 1, 1))
    limits = share_interval(np.array([7]), np.array([8]))
    assert row[["on_own_tiled_low", "on_own_tiled_high"]].tolist() == [float(limit[0]) for limit in limits]
    assert row[["kept", "mask_area", "emptied"]].tolist() == [7 / 16, 0.25, 1]


def test_scenes_without_all_variants_count_for_no_mask():
    verdicts = {"original": [1, 1], "mixed_same": [1, 1], "mixed_rand": [0, 1], "on_own_tiled": [1, 1]}
    lacking = swept(verdicts | {"mixed_same": [1]}, radius=4)
    assert gap_by_mask(pd.concat([swept(verdicts), lacking]))["n"].tolist() == [1, 1]
    with pytest.raises(BadInput, match="expected scenes with every variant and mask, got none"):
        gap_by_mask(pd.concat([swept(verdicts, scene=["a", "b"]), swept(verdicts, radius=4, scene=["c", "d"])]))
