"""The analysis of Time for a Background Check!: draws averaged, comparison with a baseline, nested ticks."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from bglab.analysis import mean_of_runs, nested_images, relative_accuracies, tick_table, variant_accuracies
from bglab.analysis.invariance import split_draws
from bglab.errors import BadInput, UnknownName
from fixtures.predictions import with_verdicts


def verdicts(model, **variants):
    """Build one model's rows: variant=(1, 0, …)."""
    return pd.concat([with_verdicts(v, model=model, variant=name.replace("__", "~")) for name, v in variants.items()])


def test_draws_are_averaged_and_their_spread_is_reported():
    table = variant_accuracies(
        verdicts("m", original=[1, 1, 1, 0], on_texture=[1, 0, 0, 0], on_texture__1=[1, 1, 1, 0])
    )
    row = table.set_index("variant").loc["on_texture"]
    assert (row["n"], row["draws"], row["top1"]) == (4, 2, 0.5)
    assert row["top1_spread"] == pytest.approx(math.sqrt(0.125))
    assert row["top1_low"] < 0.5 < row["top1_high"]
    single = table.set_index("variant").loc["original"]
    assert (single["draws"], single["top1"]) == (1, 0.75)
    assert math.isnan(single["top1_spread"])
    assert table["variant"].tolist() == ["original", "on_texture"]


def test_the_interval_does_not_shrink_with_draws():
    one = variant_accuracies(verdicts("m", on_texture=[1, 0, 1, 0]))
    three = variant_accuracies(
        verdicts("m", on_texture=[1, 0, 1, 0], on_texture__1=[0, 1, 1, 0], on_texture__2=[1, 0, 0, 1])
    )
    assert one["top1_low"].item() == three["top1_low"].item()


def test_a_draw_of_other_images_is_refused():
    uneven = verdicts("m", on_texture=[1, 0], on_texture__1=[1, 0, 1])
    with pytest.raises(BadInput) as error:
        variant_accuracies(uneven)
    assert str(error.value) == (
        "expected draws of on_texture with equally many images for m, got 2 and 3; evaluate that variant again"
    )


def test_names_of_draws_are_taken_apart():
    table = split_draws(verdicts("m", on_texture=[1], on_texture__2=[0]))
    assert table["variant"].tolist() == ["on_texture"] * 2
    assert table["draw"].tolist() == [0, 2]


def test_models_are_compared_with_the_baseline_in_the_order_of_clean_accuracy():
    table = pd.concat(
        [
            verdicts("strong", original=[1, 1, 1, 1], white_fg=[1, 1, 0, 0], on_white=[1, 1, 1, 1]),
            verdicts("base", original=[1, 1, 0, 0], white_fg=[1, 0, 0, 0], on_white=[1, 0, 0, 0]),
        ]
    )
    found = relative_accuracies(table, "base")
    assert found["model"].tolist() == ["base"] * 3 + ["strong"] * 3
    assert found["rank"].tolist() == [0] * 3 + [1] * 3
    row = found.set_index(["model", "variant"]).loc[("strong", "white_fg")]
    assert (row["top1_reference"], row["top1_drop"], row["top1_baseline"], row["top1_gain"]) == (1.0, 0.5, 0.25, 0.25)
    assert found.loc[found["variant"] == "original", "top1_drop"].tolist() == [0, 0]
    assert found["top5_drop"].notna().all()
    with pytest.raises(UnknownName, match="unknown model 'bas'; did you mean 'base'?"):
        relative_accuracies(table, "bas")
    with pytest.raises(UnknownName, match="unknown variant 'orig'"):
        relative_accuracies(table, "base", reference="orig")


def ticks():
    return pd.concat(
        [
            verdicts("weak", white_fg=[1, 0, 0, 0, 1], original=[1] * 5),
            verdicts("middle", white_fg=[1, 1, 0, 0, 0], original=[1] * 5),
            verdicts("strong", white_fg=[1, 1, 1, 0, 1], original=[1] * 5),
        ]
    )


def test_ticks_are_nested_from_the_weakest_network_on():
    nested = nested_images(ticks(), ["weak", "middle", "strong"])
    # s3 nobody gets right; s4 the middle one loses
    assert nested[["scene", "first", "step"]].to_numpy().tolist() == [
        ["s0", "weak", 0],
        ["s1", "middle", 1],
        ["s2", "strong", 2],
    ]
    table = tick_table(ticks(), ["weak", "middle", "strong"])
    assert table.index.tolist() == ["weak", "middle", "strong"]
    assert table.to_numpy().tolist() == [[True, False, False], [True, True, False], [True, True, True]]
    assert tick_table(ticks(), ["weak", "strong"], scenes=["s4"]).to_numpy().tolist() == [[True], [True]]


def test_ticks_need_every_network():
    with pytest.raises(
        BadInput, match="expected predictions of other on 'white_fg', got only middle, strong, weak; predict it first"
    ):
        nested_images(ticks(), ["weak", "other"])
    with pytest.raises(
        BadInput, match="expected predictions of all models for s9 on 'white_fg', got none; choose other scenes"
    ):
        tick_table(ticks(), ["weak"], scenes=["s9"])


def test_images_that_one_network_has_not_seen_are_skipped():
    table = pd.concat([verdicts("weak", white_fg=[1, 1]), verdicts("strong", white_fg=[1])])
    assert nested_images(table, ["weak", "strong"])["scene"].tolist() == ["s0"]


def test_runs_are_averaged_over_networks():
    table = pd.concat(
        [
            verdicts("run0", original=[1, 1, 1, 1], on_white=[1, 0, 0, 0]),
            verdicts("run1", original=[1, 1, 1, 0], on_white=[1, 1, 0, 0]),
            verdicts("run2", original=[1, 1, 1, 1], on_white=[1, 1, 1, 0]),
        ]
    )
    found = mean_of_runs(table).set_index("variant")
    white = found.loc["on_white"]
    assert (white["runs"], white["n"], white["top1"]) == (3, 12, 0.5)
    assert (white["top1_lowest"], white["top1_highest"], white["top1_spread"]) == (0.25, 0.75, pytest.approx(0.25))
