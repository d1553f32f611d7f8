"""The papers' findings, tested on the stored predictions of trained networks: directions, never the papers' numbers."""

from __future__ import annotations

import numpy as np
import pytest

from bglab.analysis import accuracy, background_capture, background_gap, categories, compare_models, share_interval
from bglab.papers import Reproduction
from bglab.papers.studies import STUDIES, predictions_path, trained_predictions
from bglab.papers.training_runs import SIZES, TABLE_5, size_id
from fixtures import ROOT

STORED = ROOT / "data" / "results" / "trained"
CHANCE = 1 / 9
BACKGROUNDS = ("only_bg_b", "only_bg_t", "no_fg")
MIXED = ("mixed_next", "mixed_rand", "mixed_same", "original")


def predictions(study, names, tmp_path, **changes):
    reproduction = Reproduction(STUDIES[study].settings(tmp_path))
    missing = [name for name in names if not predictions_path(reproduction, name, STORED).is_file()]
    assert not missing, f"expected the stored predictions of {', '.join(missing)} under data/results/trained"
    return trained_predictions(reproduction, names, STORED, **changes)


def scores(table):
    return accuracy(table, by=["train", "variant"]).set_index(["train", "variant"])


def test_networks_trained_on_backgrounds_alone_beat_chance_on_whole_images(tmp_path):
    """Noise or Signal, Figure 2."""
    found = scores(predictions("small", BACKGROUNDS, tmp_path))
    for name in BACKGROUNDS:
        assert found.loc[(name, "original"), "top1_low"] > 2 * CHANCE
        assert found.loc[(name, name), "top1_low"] > 2 * CHANCE


def test_a_network_trained_on_backgrounds_knows_nothing_of_objects(tmp_path):
    """Noise or Signal, Table 5: near chance once the background is gone."""
    found = scores(predictions("large", ["only_bg_t"], tmp_path))
    low, high = found.loc[("only_bg_t", "only_fg"), ["top1_low", "top1_high"]]
    assert low < CHANCE < high


def test_training_on_random_backgrounds_shrinks_the_gap(tmp_path):
    """Noise or Signal, Figures 5 and 12: 20.2 points after Original, -0.2 after Mixed-Rand."""
    gaps = background_gap(predictions("large", ["original", "mixed_rand"], tmp_path), by=["train"]).set_index("train")
    assert gaps.loc["original", "gap_low"] > 4 * gaps.loc["mixed_rand", "gap_high"]


def test_training_on_random_backgrounds_helps_where_backgrounds_mislead(tmp_path):
    """Noise or Signal, Figure 5: 17.95 points more on Mixed-Rand, 22.32 on Mixed-Next."""
    table = predictions("large", ["mixed_rand", "original"], tmp_path)
    table = table.assign(model=table["train"])
    for variant in ("mixed_rand", "mixed_next"):
        compared = compare_models(table, variant=variant)
        assert compared["difference_low"].item() > 0.1
        assert compared["p_holm"].item() < 1e-6


def test_blurred_backgrounds_lie_between_none_and_fitting_ones(tmp_path):
    """Noise or Signal, Figure 13, for the network trained on Original."""
    found = scores(predictions("large", ["original"], tmp_path, variants=["only_fg", "bg_blurred", "mixed_same"]))[
        "top1"
    ]
    assert found["original", "only_fg"] < found["original", "bg_blurred"] < found["original", "mixed_same"]


@pytest.mark.parametrize("study", ["small", "large"])
def test_what_the_background_decides_is_the_difference_of_two_accuracies(study, tmp_path):
    """Noise or Signal, Table 3: accuracy(Original) - accuracy(Mixed-Rand) = required - fools."""
    table = predictions(study, ["mixed_rand", "original", "only_bg_t"], tmp_path)
    counts = categories(table, by=["train"]).pivot_table(index="train", columns="category", values="count")
    required, fools = (counts[f"bg_{kind}"] + counts[f"bg_fg_{kind}"] for kind in ("required", "fools"))
    hits = table.assign(correct=table["label"] == table["prediction"]).groupby(["train", "variant"])["correct"].sum()
    difference = hits[:, "original"] - hits[:, "mixed_rand"]
    assert (required - fools).astype(int).to_dict() == difference.to_dict()


def test_the_background_is_required_least_after_random_and_most_after_only_backgrounds(tmp_path):
    """Noise or Signal, Figure 7."""
    table = categories(predictions("large", ["mixed_rand", "original", "only_bg_t"], tmp_path), by=["train"])
    counts = table.pivot_table(index="train", columns="category", values="count")
    required = counts["bg_required"] + counts["bg_fg_required"]
    sides = share_interval(required.to_numpy(int), np.full(3, table["n"].iloc[0]))
    low, high = (dict(zip(required.index, side, strict=True)) for side in sides)
    assert high["mixed_rand"] < low["original"]
    assert high["original"] < low["only_bg_t"]


def test_a_network_trained_on_original_predicts_the_backgrounds_class(tmp_path):
    table = predictions("large", ["original", "mixed_rand"], tmp_path)
    classes = dict(zip(table["scene"], table["label"], strict=True))
    captured = background_capture(table.loc[table["variant"] == "mixed_rand"], classes, by=["train"])
    captured = captured.set_index("train")
    assert captured.loc["original", "captured_low"] > CHANCE
    assert captured.loc["mixed_rand", "captured_high"] < captured.loc["original", "captured_low"]


def test_more_data_raises_accuracy_and_leaves_a_gap(tmp_path):
    """Noise or Signal, Figure 11."""
    table = predictions("small", [size_id(size) for size in SIZES], tmp_path, variants=MIXED)
    found = scores(table)
    least, most = size_id(min(SIZES)), size_id(max(SIZES))
    assert found.loc[(most, "original"), "top1_low"] > found.loc[(least, "original"), "top1_high"]
    gaps = background_gap(table, by=["train"]).set_index("train")
    assert gaps.loc[most, "gap_low"] > 0


def test_the_predictions_of_every_network_of_table_5_are_stored(tmp_path):
    table = predictions("small", TABLE_5, tmp_path)
    assert table.groupby("train").size().to_dict() == dict.fromkeys(TABLE_5, 8 * 450)
