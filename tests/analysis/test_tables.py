"""What the writers print, to the letter."""

from __future__ import annotations

import io
import math

import pandas as pd
import pytest

from bglab.analysis import Estimate, published, tables
from bglab.errors import BadInput, UnknownName


@pytest.fixture
def accuracy():
    return pd.DataFrame(
        {
            "model": ["a_1", "a_1", "b", "b"],
            "variant": ["original", "only_bg_t", "original", "only_bg_t"],
            "n": [4050, 4050, 4050, 4050],
            "top1": [0.956, 0.178, 0.91, 0.157],
            "top1_low": [0.949, 0.166, 0.9, 0.146],
            "top1_high": [0.962, 0.19, 0.918, 0.169],
            "top5": [0.99, math.nan, 0.98, 0.5],
        }
    )


@pytest.fixture
def wide(accuracy):
    return tables.spread(accuracy, rows="variant", columns="model", value="top1")


def test_percent_folds_intervals_and_prints_names(accuracy):
    shown = tables.as_percent(accuracy)
    assert shown.columns.tolist() == ["Model", "Variant", "n", "Top-1 (%)", "Top-5 (%)"]
    assert shown.iloc[1].tolist() == ["a_1", "Only-BG-T", "4,050", "17.8 [16.6, 19.0]", "–"]


@pytest.mark.parametrize(
    ("column", "cell", "text"),
    [
        ("gap", -0.002, "−0.2"),
        ("gap", -0.0001, "0.0"),
        ("top1", 1.0, "100.0"),
        ("p", 0.0004, "< 0.001"),
        ("p_holm", 0.0123, "0.012"),
        ("inside", True, "yes"),
        ("inside", pd.NA, "–"),
        ("count", -3, "−3"),
        ("category", "bg_fg_required", "BG+FG Required"),
        ("train", "in9l", "IN-9L"),
        ("test", "no_fg, only_bg_b", "No-FG, Only-BG-B"),
        ("model", "only_bg_t", "only_bg_t"),
        ("top1", Estimate(math.nan, math.nan, math.nan), "–"),
    ],
)
def test_each_kind_of_cell(column, cell, text):
    table = pd.DataFrame({column: pd.Series([cell], dtype=object)})
    assert tables.as_percent(table).iloc[0, 0] == text


def test_digits_are_decimals_of_a_percent():
    assert tables.as_percent(pd.DataFrame({"top1": [0.73801]}), digits=2).iloc[0, 0] == "73.80"


def test_spreading_keeps_the_order_of_appearance(accuracy):
    backwards = accuracy.iloc[::-1]
    wide = tables.spread(backwards, rows="variant", columns="model", value="top1")
    assert wide.index.tolist() == ["only_bg_t", "original"]
    assert wide.columns.tolist() == ["b", "a_1"]
    assert wide.loc["original", "a_1"] == Estimate(0.956, 0.949, 0.962)


def test_spreading_leaves_a_missing_cell_empty(accuracy):
    wide = tables.spread(accuracy.iloc[:3], rows="variant", columns="model", value="top1")
    assert tables.as_percent(wide).loc["Only-BG-T", "b"] == "–"


def test_spreading_keeps_rows_without_any_value(accuracy):
    accuracy.loc[accuracy["variant"] == "original", "top5"] = math.nan
    wide = tables.spread(accuracy, rows="variant", columns="model", value="top5")
    assert wide.index.tolist() == ["original", "only_bg_t"]
    assert wide.loc["original"].isna().all()


def test_spreading_refuses_two_rows_for_a_cell(accuracy):
    with pytest.raises(BadInput) as caught:
        tables.spread(pd.concat([accuracy, accuracy]), rows="variant", columns="model", value="top1")
    assert str(caught.value) == (
        "expected one row per cell, got two for original and a_1; select one data set or space first"
    )
    with pytest.raises(UnknownName) as caught:
        tables.spread(accuracy, rows="varaint", columns="model", value="top1")
    assert str(caught.value) == (
        "unknown column 'varaint'; did you mean 'variant'? Known: model, variant, n, top1, top1_low, top1_high, top5"
    )


def test_markdown(wide):
    assert tables.to_markdown(wide, bold=tables.significant_best(wide)) == (
        "| Variant | a_1 | b |\n"
        "| :-- | --: | --: |\n"
        "| Original | **95.6 [94.9, 96.2]** | 91.0 [90.0, 91.8] |\n"
        "| Only-BG-T | 17.8 [16.6, 19.0] | 15.7 [14.6, 16.9] |\n"
    )


def test_markdown_escapes_bars_and_aligns_words_left():
    table = pd.DataFrame({"note": ["a|b"], "n": [1]})
    assert tables.to_markdown(table) == "| Note | n |\n| :-- | --: |\n| a\\|b | 1 |\n"


def test_html_sets_intervals_small_and_escapes(wide):
    shown = tables.to_html(wide, bold=tables.significant_best(wide))
    assert "<b>95.6 <small>[94.9, 96.2]</small></b>" in shown
    assert tables.to_html(wide) == tables.to_html(wide)
    tricky = tables.to_html(pd.DataFrame({"note": ["<script>"], "p": [0.0]}))
    assert "&lt;script&gt;" in tricky
    assert ">&lt; 0.001<" in tricky


def test_a_notebook_displays_the_styled_table(wide):
    assert "95.6 <small>[94.9, 96.2]</small>" in tables.styled(wide)._repr_html_()


def test_csv_keeps_every_digit_and_unfolds_intervals(accuracy, wide):
    read = pd.read_csv(io.StringIO(tables.to_csv(accuracy)))
    pd.testing.assert_frame_equal(read, accuracy)
    assert tables.to_csv(tables.with_intervals(accuracy)) == tables.to_csv(accuracy)
    assert tables.to_csv(wide).splitlines() == [
        "variant,a_1,a_1_low,a_1_high,b,b_low,b_high",
        "original,0.956,0.949,0.962,0.91,0.9,0.918",
        "only_bg_t,0.178,0.166,0.19,0.157,0.146,0.169",
    ]


def test_bold_needs_an_interval_above_all_others(wide):
    assert tables.significant_best(wide).to_numpy().tolist() == [[True, False], [False, False]]
    alone = wide[["b"]]
    assert not tables.significant_best(alone).to_numpy().any()


def test_published_numbers_are_joined_with_ours(accuracy):
    printed = published("nos-readme").query("model == 'ResNet-50' and train == 'imagenet' and quantity == 'accuracy'")
    table = tables.with_published(accuracy.query("model == 'a_1'"), printed, on={"variant": "test"})
    assert table.columns.tolist() == [
        "variant", "model", "n", "ours", "ours_low", "ours_high", "published", "difference", "inside", "place", "note",
        "digits",
    ]  # fmt: skip
    first, second = table.iloc[0], table.iloc[1]
    assert (first["ours"], first["published"], first["difference"]) == (0.956, 0.956, 0)
    assert bool(first["inside"])
    assert first["place"] == "nos-readme"
    assert math.isnan(second["published"])
    assert second["inside"] is pd.NA
    assert table["digits"].tolist() == [1, pd.NA]


def test_a_published_number_outside_the_interval_is_marked(accuracy):
    printed = published("nos-table-2").query("model == 'ResNet-50' and train == 'imagenet' and test == 'original'")
    table = tables.with_published(accuracy, printed, on={"variant": "test"})
    assert table.loc[table["model"] == "b", "inside"].tolist() == [False, pd.NA]
    assert table["difference"].iloc[2] == pytest.approx(0.91 - 0.962)
    low = tables.with_published(accuracy, printed.assign(value=0.93), on={"variant": "test"})
    assert low.loc[low["variant"] == "original", "inside"].tolist() == [False, False]


def test_models_are_matched_by_the_name_the_paper_prints(accuracy):
    ours = accuracy.assign(printed=accuracy["model"].map({"a_1": "ResNet-50", "b": "DPN-92"}))
    table = tables.with_published(
        ours, published("nos-table-2").query("train == 'imagenet'"), on={"printed": "model", "variant": "test"}
    )
    assert table["published"].tolist() == [0.962, 0.178, 0.968, 0.206]


def test_an_unknown_column_of_published_numbers_is_named(accuracy):
    with pytest.raises(UnknownName) as caught:
        tables.with_published(accuracy, published(), on={"variant": "tset"})
    assert str(caught.value) == (
        "unknown column 'tset'; did you mean 'test'? "
        "Known: paper, place, quantity, value, model, train, test, label, unit, note, digits"
    )
