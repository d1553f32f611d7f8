"""The printed numbers: how many there are, what they add up to, and where the papers contradict themselves."""

from __future__ import annotations

import math

import pytest

from bglab.analysis import Published, published, published_predictions
from bglab.errors import UnknownName
from bglab.labels import IN9, IN9_NAMES

IN9_SETS = {"original", "only_bg_b", "only_bg_t", "no_fg", "only_fg", "mixed_same", "mixed_rand", "mixed_next"}


def grid(place, rows, columns, quantity="accuracy"):
    table = published(place)
    return table.loc[table["quantity"] == quantity].pivot(index=rows, columns=columns, values="value")


def test_the_columns_are_the_fields():
    assert published().columns.tolist() == list(Published._fields)


# counted by hand: 10 models × 7 rows less 5 empty cells; 9 × 9; 8 and 1 classes with five rates and a total; 3 × 2
# and 2 × 5 bars; 4 × 2 bars; 5 × 4; 2 × 2 and the constant; 7 × (2 + ticks); 2 × 3 and two counts
@pytest.mark.parametrize(
    ("place", "count"),
    [
        ("nos-table-2", 65),
        ("nos-table-4", 9),
        ("nos-table-5", 81),
        ("nos-figure-2", 6),
        ("nos-figure-3", 6),
        ("nos-figure-5", 10),
        ("nos-figure-7", 2),
        ("nos-figure-10", 2),
        ("nos-figure-12", 8),
        ("nos-figures-22-29", 48),
        ("nos-readme", 20),
        ("nos-challenge", 5),
        ("nos-text", 25),
        ("nos-recipe", 7),
        ("tbc-table-1", 21),
        ("tbc-text", 12),
    ],
)
def test_no_number_is_missing(place, count):
    assert len(published(place)) == count


def test_every_number_has_a_place_and_nothing_is_printed_twice():
    table = published()
    assert len(table) == 327
    assert (table["place"].str.startswith(table["paper"].iloc[0]) | (table["paper"] == "tbc")).all()
    assert not table.duplicated(["place", "quantity", "model", "train", "test", "label", "note"]).any()


def test_fractions_are_fractions_and_counts_whole():
    table = published()
    fractions = table.loc[table["unit"] == "fraction", "value"]
    counts = table.loc[table["unit"] == "count", "value"]
    assert fractions.between(0, 1).all()
    assert (counts == counts.round()).all()
    settings = table.loc[table["unit"] == "setting"]
    assert set(table["unit"]) == {"fraction", "count", "setting"}
    assert set(settings["place"]) == {"nos-recipe", "nos-text"}


@pytest.mark.parametrize(("place", "tolerance"), [("nos-table-2", 0.00101), ("nos-readme", 0.00101)])
def test_each_printed_gap_is_mixed_same_minus_mixed_rand(place, tolerance):
    accuracy = grid(place, ["model", "train"], "test")
    table = published(place)
    gaps = table.loc[table["quantity"] == "background_gap"].set_index(["model", "train"])["value"]
    expected = accuracy["mixed_same"] - accuracy["mixed_rand"]
    assert len(gaps) == len(accuracy) == (10 if place == "nos-table-2" else 5)
    assert ((gaps - expected.loc[gaps.index]).abs() <= tolerance).all()


def test_table_5_holds_nine_training_sets_on_nine_test_sets():
    table = grid("nos-table-5", "train", "test")
    assert set(table.index) == set(table.columns) == IN9_SETS | {"in9l"}
    assert table.loc["mixed_rand", "mixed_same"] == 0.7133
    assert table.loc["in9l", "original"] == 0.9632
    gaps = (table["mixed_same"] - table["mixed_rand"]).round(4)
    assert gaps.to_dict() == {  # derived in the notes on the paper
        "mixed_next": -0.0479, "mixed_rand": -0.002, "mixed_same": 0.2304, "no_fg": 0.2405, "only_bg_b": 0.2296,
        "only_bg_t": 0.2871, "only_fg": 0.1175, "original": 0.2022, "in9l": 0.143,
    }  # fmt: skip


def test_the_numbers_are_not_mangled_by_the_division():
    assert 0.7807 in published("nos-table-5")["value"].tolist()
    assert 0.0089 in published("tbc-table-1")["value"].tolist()


def test_each_number_has_the_decimal_places_that_are_printed():
    digits = {place: set(published(place)["digits"]) for place in published()["place"].unique()}
    assert digits["nos-table-2"] == digits["nos-readme"] == digits["nos-figure-10"] == {1}
    assert digits["nos-table-5"] == digits["nos-figure-2"] == digits["nos-figure-5"] == {2}
    assert digits["nos-table-4"] == digits["nos-figure-7"] == {0}
    assert published("nos-figure-12").groupby("train")["digits"].unique().map(list).to_dict() == {
        "imagenet": [1], "in9l": [2], "original": [2], "mixed_rand": [2],
    }  # fmt: skip
    table_1 = published("tbc-table-1").query("unit == 'fraction'").groupby("test")["digits"].unique().map(list)
    assert table_1.to_dict() == {"original": [1], "white_fg": [2]}
    always_dog, *others = published("nos-challenge").sort_values("value")["digits"]
    assert (always_dog, set(others)) == (0, {1})


def test_the_gap_of_nine_classes_is_that_of_144_and_the_printed_difference():
    gaps = published("nos-figure-10").set_index("train")["value"]
    assert gaps["in9lb-9"] - gaps["in9lb-144"] == pytest.approx(0.023)


def test_table_4_counts_the_classes_of_the_map():
    printed = published("nos-table-4").set_index("label")["value"]
    assert printed.to_dict() == {c.name: len(c.imagenet) for c in IN9}


def test_fooling_totals_are_whole_images_of_3600():
    table = published()
    totals = table.loc[table["quantity"] == "fooling_rate_total"].set_index("label")["value"]
    whole = {name: math.ceil(round(value * 3600, 6)) for name, value in totals.items()}
    assert whole == {
        "dog": 2224, "bird": 2312, "vehicle": 2429, "reptile": 1978, "carnivore": 1912, "insect": 2396,
        "instrument": 2635, "primate": 2298, "fish": 2509,
    }  # fmt: skip
    for name, count in whole.items():
        assert math.floor(count / 3600 * 10_000) == round(totals[name] * 10_000)


def test_no_single_background_exceeds_its_class_and_rates_fall():
    table = published()
    rates = table.loc[table["quantity"].str.startswith("fooling_rate")].pivot(
        index="label", columns="quantity", values="value"
    )
    assert set(rates.index) == set(IN9_NAMES)
    five = [rates[f"fooling_rate_{k}"] for k in range(1, 6)]
    assert (five[0] < rates["fooling_rate_total"]).all()
    assert all((stronger >= weaker).all() for stronger, weaker in zip(five, five[1:], strict=False))
    assert rates.loc["insect"].tolist() == [0.52, 0.45, 0.45, 0.44, 0.42, 0.6655]


def test_bars_agree_with_the_tables():
    table_5 = grid("nos-table-5", "train", "test")
    for place in ("nos-figure-2", "nos-figure-5", "nos-figure-12"):
        for row in published(place).itertuples():
            if row.train != "imagenet":
                assert row.value == table_5.loc[row.train, row.test], place
    table_2 = published("nos-table-2").query("model == 'ResNet-50' and train == 'imagenet'").set_index("test")["value"]
    bars = published("nos-figure-12").query("train == 'imagenet'").set_index("test")["value"]
    assert bars.to_dict() == {v: table_2[v] for v in ("mixed_same", "mixed_rand")}
    spread = published("nos-figure-5").query("train == 'mixed_rand'")["value"]
    assert spread.max() - spread.min() <= 0.038 + 1e-9


def test_contradictions_are_flagged_in_the_notes():
    text, readme = published("nos-text"), published("nos-readme")
    table_5 = grid("nos-table-5", "train", "test")
    gain = text.query("quantity == 'accuracy_gain' and test == 'mixed_rand'").iloc[0]
    assert (gain["value"], gain["note"]) == (0.173, "Table 5 contradicts: 17.95 points")
    assert table_5.loc["mixed_rand", "mixed_rand"] - table_5.loc["original", "mixed_rand"] == pytest.approx(0.1795)
    shape = text.query("quantity == 'shape_gain'").iloc[0]
    assert (shape["value"], shape["note"]) == (0.13, "about; Table 5 contradicts: 21.76 points")
    assert table_5.loc["in9l", "no_fg"] - table_5.loc["in9l", "only_bg_b"] == pytest.approx(0.2176)
    swapped = readme.query("train == 'mixed_rand'")["note"].unique()
    assert swapped.tolist() == ["mixed_same and mixed_rand are swapped compared with Table 5, where the gap is -0.20"]


def test_the_second_papers_table():
    table = grid("tbc-table-1", "model", "test")
    assert table.loc["ResNet-18"].to_dict() == {"original": 0.743, "white_fg": 0.0089}
    ticks = published("tbc-table-1").query("quantity == 'ticks'")["value"]
    assert ticks.tolist() == [1, 2, 3, 4, 5, 6, 7]
    odd = published("tbc-table-1").loc[lambda t: t["note"].str.contains("not monotone"), "value"]
    assert odd.tolist() == [0.0378, 0.0375]


def test_the_printed_predictions_of_figure_1_are_half_correct():
    table = published_predictions()
    assert len(table) == 72
    assert set(table["variant"]) == IN9_SETS
    assert set(table["label"]) == set(table["prediction"]) == set(IN9_NAMES)
    insect = table.loc[table["label"] == "insect"]
    assert (insect["prediction"] == "insect").sum() == 4


def test_an_unknown_place_names_the_nearest():
    with pytest.raises(UnknownName) as caught:
        published("nos-tabel-2")
    assert str(caught.value) == (
        "unknown place 'nos-tabel-2'; did you mean 'nos-table-2'? Known: nos-table-2, nos-table-4, nos-table-5, "
        "nos-figures-22-29, nos-figure-3, nos-figure-2, nos-figure-5, nos-figure-12, nos-readme, tbc-table-1, "
        "nos-text, nos-recipe, nos-figure-7, nos-figure-10, nos-challenge, tbc-text"
    )


def test_a_caller_cannot_change_the_numbers():
    mine = published("nos-table-5")
    mine["value"] = 0.0
    assert published("nos-table-5")["value"].min() > 0


# the same numbers once more, typed from the papers' pages in another order: by column where the module goes by row

TABLE_2_BY_MODEL = """
MobileNet-v3/imagenet: 67.9 91.0 90.0 15.7 69.7 56.1 13.6
EffNet-b0/imagenet: 77.2 95.6 94.3 11.9 79.7 67.8 11.9
ResNet-50/imagenet: 77.6 96.2 95.0 17.8 82.3 76.3 6.0
WRN-50x2/imagenet: 78.5 95.8 95.5 20.7 81.7 73.0 8.7
DPN-92/imagenet: 80.0 96.8 96.0 20.6 85.4 77.6 7.8
AlexNet/in9l: 86.7 83.1 41.5 76.2 54.2 22.0
ShuffleNet/in9l: 95.7 93.2 43.6 86.7 69.4 17.3
ResNet-50/in9l: 96.3 94.6 43.6 89.9 75.6 14.3
WRN-50x2/in9l: 97.2 95.2 45.1 90.6 78.0 12.6
VGG16-BN/in9l: 97.6 96.0 45.7 91.0 78.0 13.0
"""
TABLE_5_BY_TEST = """
in9l: 46.44 67.53 69.21 47.62 41.01 47.94 51.50 80.38 94.61
original: 52.32 73.23 75.01 48.94 42.10 49.06 54.62 85.95 96.32
only_fg: 59.60 74.89 61.65 31.48 21.38 19.19 84.20 63.23 84.12
only_bg_t: 8.22 14.62 41.58 42.52 42.54 50.25 22.59 40.54 43.60
only_bg_b: 11.19 15.33 35.19 36.79 54.30 38.49 23.58 32.94 34.02
no_fg: 16.20 26.72 39.85 70.91 37.85 40.84 27.90 42.22 55.78
mixed_same: 48.49 71.33 74.40 42.79 38.37 45.80 47.63 73.80 89.90
mixed_rand: 53.28 71.53 51.36 18.74 15.41 17.09 35.88 53.58 75.60
mixed_next: 78.07 71.09 45.41 13.70 10.35 11.48 33.04 48.77 71.21
"""
FIVE_WEAKEST_FIRST = """
dog: 17 18 19 20 21 61.77
bird: 32 34 35 36 38 64.22
vehicle: 41 41 43 44 47 67.47
reptile: 22 22 23 25 28 54.94
carnivore: 17 18 20 21 28 53.11
insect: 42 44 45 45 52 66.55
instrument: 45 46 46 46 47 73.19
primate: 25 27 28 33 39 63.83
fish: 43 44 44 44 46 69.69
"""
README = """
VGG16-BN/imagenet: 94.3 83.6 73.4 10.2
ResNet-50/imagenet: 95.6 86.2 78.9 7.3
ResNet-152/imagenet: 96.7 89.3 83.5 5.8
ResNet-50/in9l: 96.4 89.8 75.6 14.2
ResNet-50/mixed_rand: 73.3 71.5 71.3 0.2
"""


def typed(text):
    lines = (line.split(":") for line in text.strip().splitlines())
    return {name: [round(float(value) / 100, 6) for value in values.split()] for name, values in lines}


def by_model(place):
    table = published(place)
    return {f"{model}/{train}": rows["value"].tolist() for (model, train), rows in table.groupby(["model", "train"])}


@pytest.mark.parametrize(("place", "text"), [("nos-table-2", TABLE_2_BY_MODEL), ("nos-readme", README)])
def test_the_tables_of_models_are_what_was_typed_a_second_time(place, text):
    assert {name: sorted(values) for name, values in by_model(place).items()} == {
        name: sorted(values) for name, values in typed(text).items()
    }


def test_table_5_is_what_was_typed_a_second_time():
    table = published("nos-table-5")
    assert {test: rows["value"].tolist() for test, rows in table.groupby("test")} == typed(TABLE_5_BY_TEST)


def test_the_fooling_rates_are_what_was_typed_a_second_time():
    table = published()
    rates = table.loc[table["quantity"].str.startswith("fooling_rate")]
    assert {name: sorted(rows["value"]) for name, rows in rates.groupby("label")} == typed(FIVE_WEAKEST_FIRST)


def test_the_recipe_and_the_numbers_of_images_are_the_printed_ones():
    recipe = published("nos-recipe")
    assert recipe["value"].tolist() == [200, 256, 0.1, 0.01, 50, 0.9, 0.0001]
    counts = published("nos-text").query("unit == 'count'")["value"].tolist()
    assert sorted(counts) == [16, 144, 450, 4050, 5045, 45405, 180000]
    assert 9 * 5045 == 45405
    assert 9 * 450 == 4050
    theirs = published("tbc-text").query("unit == 'count'")["value"].tolist()
    assert sorted(theirs) == [3, 32, 31801, 50000]
