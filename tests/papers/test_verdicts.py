"""Verdicts on simulated results: perfect replications are reproduced, shifted ones differ, one image can decide."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from bglab.analysis import published, with_published
from bglab.papers import catalogue
from bglab.papers.artefact import Product, assess
from bglab.papers.comparisons import PaperModel, compare_with_published, score_table
from bglab.papers.noise_or_signal.tables import README_WEIGHTS
from bglab.papers.verdicts import ASSUMED_SEED_SD, Conditions, judge
from bglab.scenes import Recognition
from fixtures.predictions import with_verdicts

NOS = catalogue(["nos"])
ON_RELEASE = Conditions(papers_data=True, imagenet=True)
RELEASE = Recognition("recognised", "the release")
IMAGES, ROUNDS = 4050, 150
NAMED = {"VGG16-BN": "tv:vgg16_bn/IMAGENET1K_V1", "ResNet-50": "tv:resnet50/IMAGENET1K_V1",
         "ResNet-152": "tv:resnet152/IMAGENET1K_V1"}  # fmt: skip


# the same weights on the same images


def counts_of(model):
    """Return for each variant the smallest and largest number of correct images that the README's numbers allow."""
    rows = published("nos-readme").query("model == @model and train == 'imagenet' and quantity == 'accuracy'")
    half = 0.0005
    return {
        row["test"]: (math.ceil((row["value"] - half) * IMAGES), math.floor((row["value"] + half) * IMAGES))
        for row in rows.to_dict("records")
    }


def answers(correct):
    """Simulate the predictions of the named weights: model → variant → number of correct images."""
    parts = [
        with_verdicts([k < count for k in range(IMAGES)], model=NAMED[model], variant=variant)
        for model, variants in correct.items()
        for variant, count in variants.items()
    ]
    return pd.concat(parts, ignore_index=True)


def assessed(predictions):
    """Compare predictions with the README's table as the artefact does, for weights that it names."""
    table = score_table(predictions)
    names = {uri: PaperModel(README_WEIGHTS[uri], "imagenet", "named") for uri in NAMED.values()}
    product = Product(table, compared=compare_with_published(table, published("nos-readme"), names))
    return assess(NOS["nos-readme-gap"], product, RELEASE, ON_RELEASE)


def exact():
    """Numbers of correct images that agree with every printed number."""
    middle = {model: {v: sum(ends) // 2 for v, ends in counts_of(model).items()} for model in NAMED}
    return {model: dict(variants) for model, variants in middle.items()}


def test_exact_answers_agree_in_every_number():
    found = assessed(answers(exact()))
    assert found[:2] == (
        "reproduced", "12 of 20 printed numbers compared, 12 agree (same weights, same data)",
    )  # fmt: skip
    assert set(found.product.compared["verdict"]) == {"agrees"}


@pytest.mark.parametrize("end", [0, 1])
def test_one_image_beyond_the_printed_digit_differs(end):
    correct = exact()
    correct["ResNet-50"]["original"] = counts_of("ResNet-50")["original"][end]
    assert assessed(answers(correct)).status == "reproduced"
    correct["ResNet-50"]["original"] += 1 if end else -1
    found = assessed(answers(correct))
    assert (found.status, found.tally) == ("differs", (20, 12, 11, 0))
    wrong = found.product.compared.query("verdict == 'differs'")
    assert wrong[["printed", "test"]].to_numpy().tolist() == [["ResNet-50", "original"]]


def row(ours, printed, digits, **columns):
    """Compare one number with a printed one."""
    values = {"ours": [ours], "published": [printed], "digits": [digits], "basis": ["named"], "test": ["original"]}
    return judge(pd.DataFrame(values | columns), ON_RELEASE).iloc[0]


@pytest.mark.parametrize(
    ("ours", "printed", "digits", "verdict"),
    [
        (0.7885, 0.789, 1, "agrees"),  # an exact half may be rounded up
        (0.7885, 0.788, 1, "agrees"),  # or down
        (0.78849, 0.789, 1, "differs"),
        (0.779, 0.789, 1, "differs"),
        (0.71534, 0.7153, 2, "agrees"),
        (0.71536, 0.7153, 2, "differs"),
    ],
)
def test_the_same_weights_agree_if_they_round_to_the_printed_number(ours, printed, digits, verdict):
    found = row(ours, printed, digits)
    assert (found["kind"], found["verdict"]) == ("same weights, same data", verdict)
    assert found["tolerance"] == pytest.approx(0.5 * 10.0 ** -(digits + 2))


def test_a_gap_may_be_the_difference_of_rounded_accuracies():
    # 86.24 - 78.86 = 7.38, which rounds to 7.4; the rounded accuracies differ by 86.2 - 78.9 = 7.3
    tests = ["mixed_same", "mixed_rand", "background_gap"]
    frame = pd.DataFrame({"model": "m", "test": tests, "ours": [0.8624, 0.7886, 0.0738], "digits": 1, "basis": "named"})
    for gap, verdict in ((0.073, "agrees"), (0.074, "agrees"), (0.072, "differs"), (0.075, "differs")):
        found = judge(frame.assign(published=[0.862, 0.789, gap]), ON_RELEASE)
        assert found["verdict"].tolist() == ["agrees", "agrees", verdict]


# the same recipe


@pytest.fixture(scope="module")
def table_5():
    """Table 5 compared with itself: 81 numbers of networks that follow the recipe."""
    printed = published("nos-table-5")
    ours = printed.rename(columns={"value": "top1"}).assign(n=IMAGES)
    ours = ours.assign(top1_low=ours["top1"], top1_high=ours["top1"])
    compared = with_published(
        ours[["train", "test", "n", "top1", "top1_low", "top1_high"]], printed, on={"train": "train", "test": "test"}
    )
    return compared.assign(basis="recipe")


def statuses(table_5, shift=0.0, seed_sd=ASSUMED_SEED_SD):
    """Simulate pairs of runs, the paper's and ours, around the same true accuracies; return the statuses.

    Both are draws over seeds with a standard deviation of 0.5 points; ``shift`` is added to one row of ours.
    """
    rng = np.random.default_rng(0)
    truth = table_5["published"].to_numpy()
    shifted = shift * (table_5["train"] == "original").to_numpy()
    found = []
    for _ in range(ROUNDS):
        papers = (truth + rng.normal(0, 0.005, len(truth))).round(4)
        ours = truth + shifted + rng.normal(0, 0.005, len(truth))
        product = Product(table_5, compared=table_5.assign(ours=ours, published=papers))
        conditions = ON_RELEASE._replace(seed_sd=seed_sd)
        found.append(assess(NOS["nos-table-5"], product, RELEASE, conditions).status)
    return pd.Series(found)


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
def test_perfect_replications_of_table_5_are_reproduced(table_5):
    assert (statuses(table_5) == "reproduced").mean() >= 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
def test_a_shift_of_three_points_in_one_row_differs(table_5):
    assert (statuses(table_5, shift=0.03) == "differs").mean() >= 0.9
    assert (statuses(table_5, shift=-0.03) == "differs").mean() >= 0.9


@pytest.mark.slow
@pytest.mark.usefixtures("untraced")
def test_the_assumed_spread_decides(table_5):
    # the figures above are no accident of a rule that always says the same
    assert (statuses(table_5, seed_sd=0.002) == "differs").mean() >= 0.9
    assert (statuses(table_5, shift=0.03, seed_sd=0.02) == "reproduced").mean() >= 0.9


def test_the_tolerance_covers_two_seeds_and_all_numbers_at_once(table_5):
    found = judge(table_5, ON_RELEASE)
    on_release = found.loc[found["test"] != "in9l", "tolerance"]
    # 81 intervals that hold together with 95 % are 3.42 standard deviations wide, and two runs vary by √2 of one
    assert on_release.unique() == pytest.approx([3.420 * math.sqrt(2) * 0.005 + 0.00005], rel=1e-3)
    # the images of IN-9L are not the paper's, so their sampling adds to it
    assert (found.loc[found["test"] == "in9l", "tolerance"] > on_release.max()).all()
    single = judge(table_5.head(1), ON_RELEASE)["tolerance"].item()
    assert single == pytest.approx(1.960 * math.sqrt(2) * 0.005 + 0.00005, rel=1e-3)


def test_several_seeds_of_ours_replace_the_assumption(table_5):
    one = table_5.loc[(table_5["train"] == "original") & (table_5["test"] == "original")]
    ours = one.assign(seeds=5, mean=one["ours"] + 0.01, sd=0.004)
    found = judge(ours, ON_RELEASE).iloc[0]
    # our five networks: t with four degrees of freedom; the paper's spread is at least the assumed one
    assert found["tolerance"] == pytest.approx(2.776 * math.sqrt(0.005**2 + 0.004**2 / 5) + 0.00005, rel=1e-3)
    assert found["verdict"] == "agrees"
    assert judge(ours.assign(mean=one["ours"] + 0.03), ON_RELEASE)["verdict"].item() == "differs"


def test_a_number_whose_spread_over_seeds_is_unknown_has_no_verdict():
    found = row(0.6, 0.8, 1, basis=["recipe"], spread=[math.nan])
    assert (found["kind"], found["verdict"]) == ("same recipe", "no verdict")


# other networks and data


@pytest.mark.parametrize("basis", ["named", "guessed", "recipe", "count", "other"])
def test_nothing_is_judged_on_other_data(basis):
    frame = pd.DataFrame({"test": ["original"], "ours": [0.5], "published": [0.5], "digits": [1], "basis": [basis]})
    found = judge(frame, Conditions(papers_data=False, imagenet=True)).iloc[0]
    assert (found["kind"], found["verdict"]) == ("another network or data", "no verdict")
    assert math.isnan(found["tolerance"])


def test_the_columns_of_imagenet_depend_on_imagenet():
    frame = pd.DataFrame({"test": ["imagenet", "in9l"], "ours": 0.5, "published": 0.5, "digits": 1, "basis": "named"})
    with_imagenet = judge(frame, Conditions(papers_data=False, imagenet=True))
    assert with_imagenet["verdict"].tolist() == ["agrees", "no verdict"]  # IN-9L's test images were not released
    without = judge(frame, Conditions(papers_data=True, imagenet=False))
    assert set(without["verdict"]) == {"no verdict"}


def test_a_number_that_one_side_lacks_is_no_comparison():
    frame = pd.DataFrame({"test": ["a", "b"], "ours": [0.5, math.nan], "published": [math.nan, 0.5], "digits": 1})
    found = judge(frame.assign(basis="named"), ON_RELEASE)
    assert found[["kind", "verdict"]].to_numpy().tolist() == [["", ""], ["", ""]]
