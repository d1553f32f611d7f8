"""Time for a Background Check! in the catalogue: known results, comparison with the paper, and resumed runs."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest

from bglab.analysis import published
from bglab.errors import BadInput
from bglab.figures import plot_influence, plot_invariance, plot_ticks, theme
from bglab.models import TABLE_1, EngineChoice
from bglab.papers import Reproduction, catalogue, first_missing
from bglab.papers.artefact import assess
from bglab.papers.background_check import catalogue as background_check
from bglab.papers.background_check import evaluation, text_numbers
from bglab.papers.runner import run_one
from bglab.papers.verdicts import Conditions
from bglab.scenes import Recognition
from fixtures.evaluations import evaluated
from fixtures.predictions import with_verdicts
from fixtures.trained import small_settings

TBC = catalogue(["tbc"])
RESNET_18, MOBILENET = (TABLE_1[name].uri for name in ("ResNet-18", "MobileNet-v3"))
HERE, ELSEWHERE = Recognition("recognised", "the paper's"), Recognition("other", "not the paper's")


def variants(original, white_fg, on_white=(1, 0, 0, 0), on_texture=(0, 0, 0, 0)):
    return {"original": original, "white_fg": white_fg, "on_white": on_white, "on_texture": on_texture}


LADDER = {
    "m:strong": variants((1, 1, 1, 1), (1, 1, 1, 0)),
    "m:weak": variants((1, 1, 0, 0), (1, 0, 0, 0)),
    "m:middle": variants((1, 1, 1, 0), (1, 1, 0, 0)),
}


@pytest.fixture
def made(monkeypatch):
    def make(name, found):
        monkeypatch.setattr(background_check, "evaluate_networks", lambda reproduction: found)
        with theme():
            return TBC[name].make(None)

    return make


def test_the_catalogue_has_the_table_the_figures_and_the_text():
    figures = [f"tbc-figure-{k}" for k in range(1, 6)]
    text = [f"tbc-text-{name}" for name in ("census", "backgrounds", "voc", "caltech101")]
    assert list(TBC) == ["tbc-table-1", *figures, *text]
    assert all(artefact.paper == "tbc" and artefact.about.endswith(".") for artefact in TBC.values())


def test_text_numbers_are_those_of_their_set():
    assert TBC["tbc-text-voc"].printed_rows()["value"].tolist() == [0.95, 0.75, 0.46]
    assert TBC["tbc-text-caltech101"].printed_rows()["value"].tolist() == [0.94, 0.85, 0.74]
    assert TBC["tbc-text-census"].printed_rows()["value"].tolist() == [31_801, 50_000]
    assert TBC["tbc-text-backgrounds"].printed_rows().empty


def test_table_1_orders_networks_and_nests_their_ticks(made):
    product = made("tbc-table-1", evaluated(LADDER))
    assert product.models == ("m:weak", "m:middle", "m:strong")
    assert product.shown.index.tolist() == ["m:weak", "m:middle", "m:strong"]
    columns = ["1: racket", "2: racket", "3: racket"]
    assert product.shown[columns].to_numpy().tolist() == [[True, False, False], [True, True, False], [True] * 3]
    whitened = product.table.query("test == 'white_fg'")
    assert whitened["ticks"].tolist() == [1, 2, 3]
    assert whitened["top1"].tolist() == [0.25, 0.5, 0.75]
    assert product.tests[0].table["pictures"].tolist() == [1, 1, 1]
    assert product.compared is None
    assert assess(TBC["tbc-table-1"], product, HERE, Conditions(papers_data=True)).status == "other models"


def test_table_1_compares_the_papers_networks_with_their_rows(made):
    exact = {"original": [1] * 7430 + [0] * 2570, "white_fg": [1] * 89 + [0] * 9911}
    wrong = {"original": [1] * 7650 + [0] * 2350, "white_fg": [1] * 1000 + [0] * 9000}
    rest = {"on_white": [0] * 10_000, "on_texture": [0] * 10_000}
    product = made(
        "tbc-table-1", evaluated({RESNET_18: exact | rest, MOBILENET: wrong | rest, "m:other": exact | rest})
    )
    assert product.models == (RESNET_18, MOBILENET)
    compared = product.compared.set_index(["printed", "test"])
    assert compared["published"].to_dict() == {
        ("ResNet-18", "original"): 0.743, ("ResNet-18", "white_fg"): 0.0089,
        ("MobileNet-v3", "original"): 0.765, ("MobileNet-v3", "white_fg"): 0.0093,
    }  # fmt: skip
    found = assess(TBC["tbc-table-1"], product, HERE, Conditions(papers_data=True))
    assert found[:2] == (
        "reproduced", "2 of 21 printed numbers compared, 2 agree (same weights, same data); 2 more without a verdict",
    )  # fmt: skip
    assert found.product.compared["verdict"].tolist() == [*["agrees"] * 2, *["probably other weights"] * 2]
    elsewhere = assess(TBC["tbc-table-1"], product, ELSEWHERE, Conditions(papers_data=False))
    assert elsewhere.status == "other data"
    assert product.notes[-1] == "Omitted from the 3 networks: other."


def test_the_printed_table_counts_its_ticks():
    laid = TBC["tbc-table-1"].layout(published("tbc-table-1"))
    assert laid.columns.tolist() == ["original", "white_fg", "Ticks of seven"]
    assert laid.loc["ResNet-18"].tolist() == [0.743, 0.0089, 1]
    assert laid["Ticks of seven"].tolist() == [1, 2, 3, 4, 5, 6, 7]


def test_without_nested_ticks_the_table_stands_alone(made):
    product = made("tbc-table-1", evaluated({"m:a": variants((1, 1), (1, 0)), "m:b": variants((1, 1), (0, 0))}))
    assert product.figure is None
    assert product.notes[2].endswith("No image has nested ticks, so none is shown.")


def test_more_than_seven_networks_are_thinned_from_end_to_end():
    shares = {f"m:{k:02d}": variants([1] * k + [0] * (32 - k), [0] * 32, [0] * 32, [0] * 32) for k in range(1, 33)}
    chosen = background_check.table_1_models(evaluated(shares))
    assert (len(chosen), chosen[0], chosen[-1]) == (7, "m:01", "m:32")


def test_figure_1_shows_images_that_are_correct_both_times(made):
    found = evaluated({"m:weak": variants((1, 1, 0, 1), (1, 0, 1, 1))})
    table = made("tbc-figure-1", found).table
    assert sorted(table.loc[table["variant"] == "original", "scene"]) == ["s0", "s3"]
    assert table["right"].all()
    assert table["confidence"].tolist() == [0.5] * 4
    none = made("tbc-figure-1", evaluated({"m:weak": variants((1, 0), (0, 1))}))
    assert "classifies no image correctly both" in none.notes[0]
    assert none.table["scene"].tolist() == ["s0", "s0"]
    assert none.table["right"].tolist() == [True, False]


def test_figure_3_shows_what_is_lost_on_both_backgrounds(made):
    found = evaluated({"m:weak": variants((1, 1, 0, 1), (0,) * 4, on_white=(1, 0, 0, 0), on_texture=(0, 0, 0, 1))})
    table = made("tbc-figure-3", found).table
    assert table["scene"].tolist() == ["s1"] * 3
    assert table["right"].tolist() == [True, False, False]
    assert (table["truth"].iloc[0], table["answer"].iloc[1]) == ("racket", "scoreboard")


def test_figures_order_networks_by_their_accuracy_and_say_what_is_missing(made):
    found = evaluated(LADDER, missing=[("timm:absent", "the weights are not here")])
    product = made("tbc-figure-2", found)
    assert product.table["model"].tolist() == ["m:weak", "m:middle", "m:strong"]
    names = [t.get_text() for t in product.figure.get_xticklabels()]
    assert names == ["weak · 50.0", "middle · 75.0", "strong · 100.0"]
    assert "1 of the networks could not be evaluated; a table lists the reasons." in product.notes
    assert product.tests[-1].table.to_numpy().tolist() == [["timm:absent", "the weights are not here"]]
    assert any("the paper has 32" in note for note in product.notes)


@pytest.mark.parametrize(("name", "measure"), [("tbc-figure-4", "top1"), ("tbc-figure-5", "top5")])
def test_figures_4_and_5_set_white_and_texture_beside_the_original(made, name, measure):
    four = LADDER | {"m:weakest": variants((1, 0, 0, 0), (0, 0, 0, 0), on_white=(0, 0, 0, 0))}
    product = made(name, evaluated(four))
    table = product.table.set_index(["model", "variant"])
    assert set(table.index.get_level_values(1)) == {"original", "on_white", "on_texture"}
    assert table.loc[("m:strong", "on_white"), "top1_drop"] == 0.75
    assert f"{measure}_low" in product.shown.columns
    trend = product.tests[0].table.set_index("quantity")
    assert trend.loc["Drop from Original to On-Texture", "networks"] == 4
    if measure == "top1":
        assert trend.loc["Drop from Original to On-Texture", "tau"] == "1.00"
        assert trend.loc["Drop from Original to On-Texture", "p"] == pytest.approx(1 / 12)


def test_the_census_is_compared_with_the_published_counts(monkeypatch):
    monkeypatch.setattr(text_numbers, "open_full_resolution", lambda reproduction: evaluated(LADDER).full)
    product = TBC["tbc-text-census"].make(None)
    assert product.compared["published"].tolist() == [50_000, 31_801]
    assert product.compared["inside"].tolist() == [True, True]
    assert product.table["pictures"].tolist() == [50_000, 31_801, 10_000, 8_199, 0]


def test_a_data_set_is_the_mean_of_its_runs_next_to_the_published_numbers(monkeypatch):
    def runs(uri, **options):
        parts = [
            with_verdicts([1] * right + [0] * (100 - right), model=f"run{run}", variant=variant, space="own")
            for run, shares in enumerate([(94, 80, 70), (95, 85, 74), (93, 90, 78)])
            for variant, right in zip(("original", "on_white", "on_texture"), shares, strict=True)
        ]
        return pd.concat(parts, ignore_index=True)

    monkeypatch.setattr(text_numbers, "check_backgrounds", runs)
    chosen = dict(
        scenes="caltech101:X", train="auto", engine=EngineChoice("torch", "cpu"), batch_size=4, progress=False
    )
    own = SimpleNamespace(settings=SimpleNamespace(**chosen), results="R", networks=Path("R"))
    with theme():
        product = TBC["tbc-text-caltech101"].make(own)
    compared = product.compared.set_index("variant")
    assert compared["ours"].round(4).tolist() == [0.94, 0.85, 0.74]
    assert compared["published"].tolist() == [0.94, 0.85, 0.74]
    assert product.table["n"].tolist() == [100] * 3
    assert product.table["drop"].round(4).tolist() == [0, 0.09, 0.2]
    assert product.notes[1].startswith("Mean of 3 runs; ")


# a run on small scenes


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    settings = small_settings(tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out"))
    return Reproduction(replace(settings, models=(*settings.models, "file:absent.pt")))


@pytest.mark.slow
def test_one_failing_network_does_not_stop_the_others(reproduction):
    outcomes = {name: run_one(TBC[name], reproduction) for name in TBC}
    statuses = {name: outcome.status for name, outcome in outcomes.items()}
    absent = dict.fromkeys(("tbc-text-voc", "tbc-text-caltech101"), "not run")
    assert statuses == dict.fromkeys(TBC, "other data") | absent
    found = outcomes["tbc-figure-4"].product
    assert set(found.models) == set(reproduction.settings.models[:2])
    assert found.table.query("variant == 'on_texture'")["draws"].tolist() == [3, 3]
    (missing,) = found.tests
    assert missing.table["model"].tolist() == ["file:absent.pt"]
    names = {path.name for path in reproduction.settings.out.iterdir()}
    assert {f"tbc-figure-{k}.png" for k in range(1, 6)} <= names
    assert outcomes["tbc-text-voc"].command == "bglab reproduce tbc-text-voc --scenes voc:PATH --out R"
    backgrounds = outcomes["tbc-text-backgrounds"].product
    assert backgrounds.models == (found.models[0],) or backgrounds.models == (reproduction.settings.models[0],)
    assert {"on_green", "on_gaussian_noise"} <= set(backgrounds.table["variant"])


def test_a_second_run_loads_nothing(reproduction, monkeypatch):
    first = evaluation.evaluate_networks(reproduction)

    def refuse(*_args, **_options):
        raise AssertionError("a network was loaded again")

    monkeypatch.setattr(evaluation, "load_classifier", refuse)
    again = evaluation.evaluate_networks(
        Reproduction(replace(reproduction.settings, models=reproduction.settings.models[:2]))
    )
    assert again.models == first.models
    pd.testing.assert_frame_equal(again.table, first.table)


def test_without_any_network_an_error_says_why(reproduction):
    with pytest.raises(BadInput) as error:
        evaluation.evaluate_networks(Reproduction(replace(reproduction.settings, models=("file:absent.pt",))))
    assert str(error.value).startswith(
        "expected at least one network that can be evaluated, got none; file:absent.pt: "
    )


def test_scenes_of_other_classes_are_refused():
    other = SimpleNamespace(scenes=SimpleNamespace(space="voc", name="voc:val"))
    missing = first_missing(TBC["tbc-figure-2"], other)
    assert (
        missing.reason == "expected scenes labelled with ImageNet's or the nine classes, got voc:val labelled with voc"
    )


# figures


def one_network(**columns):
    row = {"model": "m:a", "variant": "on_white", "n": 4, "top1_reference": 0.5}
    for measure in ("top1", "top5"):
        row |= {measure: 0.5, f"{measure}_low": 0.2, f"{measure}_high": 0.8}
    return pd.DataFrame([row | columns])


def test_many_networks_are_named_upright_in_letters_that_fit():
    many = pd.concat([one_network(model=f"m:network_{k}") for k in range(32)], ignore_index=True)
    with theme():
        few, crowd = plot_influence(one_network()), plot_influence(many)
    assert {t.get_rotation() for t in few.get_xticklabels()} == {25}
    assert {t.get_rotation() for t in crowd.get_xticklabels()} == {90}
    size = crowd.get_xticklabels()[0].get_fontsize()
    assert 32 * size < crowd.figure.get_size_inches()[0] * 72


def test_an_unknown_top5_is_left_out_not_drawn_as_zero():
    table = pd.concat([one_network(), one_network(model="m:b", top5=np.nan, top5_low=np.nan, top5_high=np.nan)])
    with theme():
        ax = plot_invariance(table, measure="top5")
    assert [len(line.get_xdata()) for line in ax.lines] == [1]
    assert [t.get_text() for t in ax.get_xticklabels()] == ["a · 50.0", "b · 50.0"]


def test_every_tick_is_drawn_where_it_belongs():
    ticks = pd.DataFrame([[True, False], [True, True]], index=["m:a", "m:b"], columns=["s0", "s1"])
    images = [np.zeros((3, 8, 8), np.uint8)] * 2
    with theme():
        ax = plot_ticks(ticks, images, ["grand piano", "mouse"], remarks=["74.3 / 0.89 %", "76.5 / 0.93 %"])
    marks = [t for t in ax.texts if t.get_text() in "✓✗"]
    marks.sort(key=lambda t: (t.get_position()[1], t.get_position()[0]))
    assert "".join(t.get_text() for t in marks) == "✓✗✓✓"
    with pytest.raises(BadInput) as error:
        plot_ticks(ticks, images, ["mouse"])
    assert str(error.value) == (
        "expected an image and a title for each of at least one column of ticks, got 2 columns, 2 images and 1 titles"
    )
