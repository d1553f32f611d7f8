"""The reproduction: a complete catalogue, known results, and one rule for the status of all artefacts."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bglab.analysis import published
from bglab.errors import UnknownName
from bglab.figures import theme
from bglab.labels import IN9_NAMES
from bglab.papers import Reproduction, catalogue, comparisons
from bglab.papers.artefact import status_of
from bglab.papers.training_runs import TABLE_5
from fixtures.predictions import both_variants, with_verdicts
from fixtures.trained import small_settings

NOS = catalogue(["nos"])


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    return small_settings(tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out"))


@pytest.fixture(scope="module")
def reproduction(settings):
    return Reproduction(settings)


def made(artefact, reproduction):
    with theme():
        return artefact.make(reproduction)


# the catalogue


def test_the_catalogue_has_every_table_and_figure():
    expected = [f"nos-table-{k}" for k in range(1, 6)] + [f"nos-figure-{k}" for k in range(1, 31)]
    assert list(NOS) == [*expected, "nos-readme-gap", "nos-readme-challenge"]
    for artefact in NOS.values():
        number = artefact.id.rpartition("-")[2]
        assert artefact.place.startswith("README") or artefact.place.endswith(f" {number}")
        assert artefact.about.endswith(".")
        assert not artefact.title.endswith(".")


def test_every_printed_number_belongs_to_an_artefact():
    claimed = pd.concat([artefact.printed_rows() for artefact in NOS.values()])
    of_text = {"nos-text", "nos-recipe"}
    printed = published().query("paper == 'nos'")
    printed = printed.loc[~printed["place"].isin(of_text)]
    assert len(claimed) == len(printed)
    assert set(claimed["place"]) == set(printed["place"])


def test_figures_22_to_29_leave_out_the_insect():
    labels = [NOS[f"nos-figure-{k}"].label for k in range(22, 30)]
    assert labels == [name for name in IN9_NAMES if name != "insect"]
    assert NOS["nos-figure-3"].printed_rows()["value"].tolist() == [0.6655, 0.52, 0.45, 0.45, 0.44, 0.42]
    assert NOS["nos-figure-22"].printed_rows()["label"].unique().tolist() == ["dog"]


def test_an_unknown_id_names_the_nearest():
    with pytest.raises(UnknownName, match="did you mean 'nos-table-2'"):
        NOS["nos-tabel-2"]


# every artefact on small scenes


@pytest.mark.parametrize("name", NOS)
def test_each_artefact_is_made(name, reproduction):
    product = made(NOS[name], reproduction)
    assert len(product.table) > 0
    numbers = product.table.select_dtypes("number").drop(columns=["n"], errors="ignore")
    fractions = [c for c in numbers if c.startswith(("top1", "share", "rate"))]
    assert ((numbers[fractions] >= -1) & (numbers[fractions] <= 1) | numbers[fractions].isna()).all(axis=None)
    for column in fractions:
        if f"{column}_low" in numbers:
            inside = (numbers[f"{column}_low"] <= numbers[column] + 1e-12) & (
                numbers[column] <= numbers[f"{column}_high"] + 1e-12
            )
            assert inside[numbers[column].notna()].all()
    assert product.figure is not None or name == "nos-figure-30"
    status, _ = status_of(NOS[name], product, papers_data=False)
    assert status == {"nos-table-1": "not compared", "nos-table-3": "not compared", "nos-table-4": "reproduced"}.get(
        name, "other data"
    )


def test_table_3_follows_from_the_rule(reproduction):
    table = made(NOS["nos-table-3"], reproduction).table
    assert len(table) == 8
    rows = {tuple(row[1:]): row[0] for row in table.itertuples(index=False, name=None)}
    assert rows["right", "wrong", "right"] == "bg_required"
    assert rows["wrong", "right", "wrong"] == "bg_fools"
    assert rows["right", "wrong", "wrong"] == "bg_fg_required"
    assert rows["wrong", "right", "right"] == "bg_fg_fools"
    assert sorted(rows.values()).count("bg_irrelevant") == 4


def test_table_4_is_equal_and_says_so(reproduction):
    product = made(NOS["nos-table-4"], reproduction)
    assert status_of(NOS["nos-table-4"], product, papers_data=False) == (
        "reproduced", "9 of 9 compared numbers are the same; the paper prints 9 here",
    )  # fmt: skip
    wrong = replace(product, compared=product.compared.assign(inside=[True] * 8 + [False]))
    assert status_of(NOS["nos-table-4"], wrong, papers_data=True)[0] == "differs"


def test_figures_show_the_models_own_predictions(reproduction):
    table = made(NOS["nos-figure-14"], reproduction).table
    predicted = reproduction.predictions([reproduction.main_model()], ["mixed_next"])
    row = predicted.loc[predicted["scene"] == table["scene"].iloc[0]].iloc[0]
    shown = table.set_index("variant").loc["mixed_next"]
    assert (shown["answer"], shown["donor"]) == (IN9_NAMES[row["prediction"]], row["donor"])
    assert set(table["truth"]) == {"dog"}
    assert table["printed"].tolist() == ["dog", "vehicle", "vehicle", "dog", "dog", "dog", "dog", "dog"]


def test_the_strongest_backgrounds_come_first_and_the_total_last(reproduction):
    table = made(NOS["nos-figure-22"], reproduction).table
    assert table["quantity"].tolist() == ["fooling_rate_1", "fooling_rate_2", "fooling_rate_total"]
    assert table["top1"].iloc[0] >= table["top1"].iloc[1]
    assert table["top1"].iloc[2] >= table["top1"].iloc[0]
    assert table["n"].tolist() == [16, 16, 16]  # two foregrounds of each of the eight other classes


# numbers with known answers


class FakeReproduction(SimpleNamespace):
    """A reproduction whose models have given predictions."""

    def __init__(self, tables, **found):
        super().__init__(tables=tables, in9l_scenes=None, imagenet_scenes=None, **found)
        uris = {name: name for name in tables}
        self.settings = SimpleNamespace(models=tuple(m for m in tables if ":" in m), imagenet="", pairs_per_class=0)
        self.trained = SimpleNamespace(
            networks=lambda names, required=False: {n: uris[n] for n in names if n in uris},
            follows_paper=lambda uri: True,
        )

    def predictions(self, models, variants, *, scenes=None):
        chosen = pd.concat([self.tables[m].assign(model=self.label(m)) for m in models])
        return chosen.loc[chosen["variant"].isin(list(variants))]

    def label(self, model):
        return model


def table_of(**shares):
    """Make predictions of a thousand scenes with a given accuracy in each variant."""
    parts = [with_verdicts([i < round(1000 * s) for i in range(1000)], variant=v) for v, s in shares.items()]
    return pd.concat(parts, ignore_index=True)


README = {"original": 0.956, "only_bg_t": 0.178, "mixed_same": 0.862, "mixed_rand": 0.789}


def test_a_model_of_the_readme_is_compared_with_its_row():
    reproduction = FakeReproduction(
        {"tv:resnet50/IMAGENET1K_V1": table_of(**README), "lite:efficientnet_lite0": table_of(**README)}
    )
    product = made(NOS["nos-readme-gap"], reproduction)
    compared = product.compared.set_index("test")
    assert compared["ours"].round(4).to_dict() == {
        "original": 0.956, "mixed_same": 0.862, "mixed_rand": 0.789, "background_gap": 0.073,
    }  # fmt: skip
    assert compared["published"].to_dict() == {
        "original": 0.956, "mixed_same": 0.862, "mixed_rand": 0.789, "background_gap": 0.073,
    }  # fmt: skip
    assert status_of(NOS["nos-readme-gap"], product, papers_data=True) == (
        "reproduced", "4 of 4 compared numbers lie in our 95 % interval; the paper prints 20 here",
    )  # fmt: skip
    assert status_of(NOS["nos-readme-gap"], product, papers_data=False)[0] == "other data"


def test_a_number_outside_the_interval_differs_and_an_unknown_model_is_not_compared():
    worse = README | {"mixed_rand": 0.70}
    product = made(NOS["nos-readme-gap"], FakeReproduction({"tv:resnet50/IMAGENET1K_V1": table_of(**worse)}))
    status, reason = status_of(NOS["nos-readme-gap"], product, papers_data=True)
    assert (status, reason) == (
        "differs", "2 of 4 compared numbers lie in our 95 % interval; the paper prints 20 here",
    )  # fmt: skip
    other = made(NOS["nos-readme-gap"], FakeReproduction({"lite:efficientnet_lite0": table_of(**README)}))
    assert status_of(NOS["nos-readme-gap"], other, papers_data=True)[0] == "other models"


def test_no_winner_is_bold_that_is_not_one():
    near, far = README | {"original": 0.95}, README | {"original": 0.5}
    two = {"tv:resnet50/IMAGENET1K_V1": table_of(**README), "lite:efficientnet_lite0": table_of(**near)}
    assert not made(NOS["nos-table-2"], FakeReproduction(two)).bold.any(axis=None)
    two["lite:efficientnet_lite0"] = table_of(**far)
    bold = made(NOS["nos-table-2"], FakeReproduction(two)).bold
    assert bold.loc["original"].tolist() == [True, False]
    assert bold.to_numpy().sum() == 1


def test_models_are_tested_in_pairs_with_holm_over_all_tests():
    a = both_variants([True] * 40, [True] * 40, model="a")
    b = both_variants([True] * 40, [False] * 12 + [True] * 28, model="b")
    (test,) = comparisons.model_tests(pd.concat([a, b]), ("mixed_same", "mixed_rand"))
    rows = test.table.set_index("variant")
    assert rows.loc["mixed_rand", "p"] == pytest.approx(2 * 0.5**12)
    assert rows.loc["mixed_rand", "p_holm"] == pytest.approx(4 * 0.5**12)
    assert rows.loc["mixed_same", "p_holm"] == 1
    assert np.isnan(rows.loc["mixed_same", "detectable"])
    assert 0 < rows.loc["mixed_rand", "detectable"] < 0.3
    assert comparisons.model_tests(a, ("mixed_same",)) == ()


def test_table_5_compares_each_network_with_its_row_and_names_what_is_missing():
    variants = {v: 0.5 for v in TABLE_5 if v != "in9l"}
    reproduction = FakeReproduction(
        {"mixed_rand": table_of(**variants | {"mixed_rand": 0.7153}), "original": table_of(**variants)}
    )
    product = made(NOS["nos-table-5"], reproduction)
    compared = product.compared.set_index(["train", "test"])
    assert compared.loc[("mixed_rand", "mixed_rand"), "published"] == 0.7153
    assert compared.loc[("original", "mixed_rand"), "published"] == 0.5358
    assert product.notes[0] == ("Missing: Mixed-Next, Mixed-Same, No-FG, Only-BG-B, Only-BG-T, Only-FG, IN-9L.")
    gaps = product.tests[0].table.set_index("train")["gap"]
    assert gaps.round(3).to_dict() == {"mixed_rand": -0.215, "original": 0.0}


def test_figure_7_adds_up_and_meets_the_two_printed_shares():
    full = [True] * 62 + [True] * 35 + [False] * 3
    front = [True] * 62 + [False] * 35 + [True] * 3
    table = pd.concat([
        with_verdicts(full, variant="original"), with_verdicts(front, variant="mixed_rand"),
        with_verdicts([False] * 100, variant="only_bg_t"),
    ])  # fmt: skip
    product = made(NOS["nos-figure-7"], FakeReproduction({"original": table}))
    compared = product.compared.set_index("quantity")
    assert compared["ours"].to_dict() == {"bg_required + bg_fg_required": 0.35, "bg_fools": 0.03}
    assert compared["inside"].tolist() == [True, True]
    shares = product.table.query("category != 'bg_fools_strict'")["share"]
    assert shares.sum() == pytest.approx(1)


def test_figure_12_keeps_the_pre_trained_model_and_says_what_is_missing():
    variants = {"mixed_same": 0.7, "mixed_rand": 0.6}
    tables = {name: table_of(**variants) for name in ("tv:x", "original", "mixed_rand")}
    product = made(NOS["nos-figure-12"], FakeReproduction(tables))
    assert list(dict.fromkeys(product.table["train"])) == ["imagenet", "original", "mixed_rand"]
    assert product.notes == (
        "The pre-trained model is tv:x.",
        "Missing: IN-9LB, 9 classes, IN-9LB, 144 classes, IN-9L, IN-9, L2-robust, IN-9, L∞-robust; give them with "
        "--trained.",
    )
