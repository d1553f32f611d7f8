"""Estimates of jobs: rates are read from a benchmark's report or refused, and divide what artefacts state."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from bglab.bench.estimates import estimate, job_seconds, read_rates
from bglab.errors import BadInput, MissingData
from bglab.models import architecture_gmacs
from bglab.papers import Amount, amount_of, catalogue, jobs_of
from bglab.papers.work import Work, of_imagenet, trained_on
from fixtures.reports import ABOUT, RATES, write_report

RESNET_18 = of_imagenet("timm:resnet18.tv_in1k")
KNOWN = catalogue()


@pytest.fixture
def rates(tmp_path):
    return read_rates(write_report(tmp_path / "bench.json"))


def seconds(work, rates):
    return sum(job_seconds(job, rates) for job in jobs_of([work]) if job.kind != "train")


def test_rates_are_the_medians_of_the_report(rates):
    assert rates.by_name == RATES
    assert rates.where == "openvino, float32, on x86_64 (2 cores)"
    assert (rates.unit, rates.cores, rates.gmacs) == ("core hours", 2, 0.5)
    assert rates.first_hit_share == 5.5 / 11


def test_each_kind_of_work_has_its_rate(rates):
    same = replace(rates, gmacs=None)  # every network is as fast as the benchmark's
    assert seconds(Work("predict", RESNET_18, ("original", "no_fg")), same) == pytest.approx(
        2 * 4050 / RATES["predict"]
    )
    assert seconds(Work("matrix", RESNET_18), same) == pytest.approx(4050**2 / RATES["matrix"])
    maps = Work("saliency", RESNET_18, ("original",), images=90)
    assert seconds(maps, same) == pytest.approx(3 * 90 / RATES["eager"])
    (training,) = (job for job in jobs_of([Work("matrix", trained_on("original"))]) if job.kind == "train")
    assert job_seconds(training, same) == pytest.approx(3 * 200 * 45_405 / RATES["eager"])
    prepared = Work("predict", RESNET_18, ("original",), "imagenet")
    assert seconds(prepared, same) == pytest.approx(50_000 / RATES["decode"] + 50_000 / RATES["predict"])


def test_photographs_are_decoded_before_the_network_on_a_cpu_and_beside_it_on_a_gpu(rates):
    same, versions = replace(rates, gmacs=None), 6 * 31_801
    streamed = Work("stream", RESNET_18, ("original", "white_fg", "on_white", "on_texture"), "boxed")
    rendering, forward = versions / RATES["decode"], versions / RATES["predict"]
    assert seconds(streamed, same) == pytest.approx(rendering + forward)
    assert seconds(streamed, replace(same, is_gpu=True)) == pytest.approx(max(rendering, forward))


def test_networks_of_another_size_take_time_in_proportion_to_their_arithmetic(rates):
    same = replace(rates, gmacs=None)
    work = Work("predict", RESNET_18, ("original",))
    assert seconds(work, rates) / seconds(work, same) == pytest.approx(architecture_gmacs("resnet18", 224) / 0.5)
    # photographs have the size of the weights' evaluation; decoding them takes what it takes
    large = Work("stream", of_imagenet("timm:tf_efficientnet_b4.ap_in1k"), ("original",), "boxed")
    extra = seconds(large, rates) - 31_801 / RATES["decode"]
    assert extra == pytest.approx(31_801 / RATES["predict"] * architecture_gmacs("tf_efficientnet_b4", 380) / 0.5)
    assert "0.5 GMACs per image for lite:x" in estimate([], rates).assumptions[0]
    assert estimate([], same).assumptions[0].startswith("every network is taken to be as fast as lite:x")


def test_artefacts_alone_and_together(rates):
    found = estimate([KNOWN["nos-figure-1"], KNOWN["nos-figure-14"], KNOWN["nos-table-3"]], rates)
    alone = found.artefacts["nos-figure-1"]
    assert alone.amount.forwards == 8 * 4050
    relative = architecture_gmacs("resnet50", 224) / 0.5
    assert alone.hours == pytest.approx(2 * 8 * 4050 * relative / RATES["predict"] / 3600)  # on two cores
    assert found.artefacts["nos-figure-14"] == alone == found.together  # the same predictions
    assert found.artefacts["nos-table-3"] == (Amount(), 0)
    ((job, training),) = found.trainings.items()
    assert (job.network.name, training.amount) == ("in9l", amount_of(job))
    assert found.total.hours == pytest.approx(alone.hours + training.hours)
    of_gpu = estimate([KNOWN["nos-figure-1"]], replace(rates, is_gpu=True))
    assert of_gpu.artefacts["nos-figure-1"].hours == pytest.approx(alone.hours / 2)


def test_the_json_has_every_number(rates):
    values = json.loads(json.dumps(estimate([KNOWN["nos-figure-5"]], rates).as_json()))
    assert values["unit"] == "core hours"
    assert values["estimated_from"]["by_name"] == RATES
    assert set(values["artefacts"]["nos-figure-5"]) == {*Amount._fields, "hours"}
    assert [row["network"] for row in values["trainings"]] == ["mixed_rand", "original"]
    assert values["together"] == values["artefacts"]["nos-figure-5"]


def test_all_artefacts_can_be_estimated(rates):
    found = estimate(list(KNOWN.values()), replace(rates, gmacs=None))
    assert list(found.artefacts) == list(KNOWN)
    assert found.together.amount.forwards < sum(row.amount.forwards for row in found.artefacts.values())
    assert found.together.amount.forwards > 2 * 4050**2


# what is no report


def test_a_report_that_is_not_there_says_how_to_make_it(tmp_path):
    with pytest.raises(
        MissingData, match=r"^expected the report of a benchmark at .*/none\.json, but there is none; run "
    ):
        read_rates(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "got Expecting value"),
        ("[1, 2]", "got other JSON"),
        ('{"about": {}, "measurements": []}', "got other JSON"),
        ('{"about": {"model": "m"}, "measurements": {}}', "but it lacks engine, precision, device, device_type, cores"),
        (json.dumps({"about": {**ABOUT, "cores": "two"}, "measurements": {}}), "but it lacks cores"),
    ],
)
def test_what_is_no_report_is_refused(content, found, tmp_path):
    file = tmp_path / "other.json"
    file.write_text(content)
    with pytest.raises(BadInput) as caught:
        read_rates(file)
    assert str(caught.value).startswith(f"expected the report of a benchmark in {file}, {found}")
    assert str(caught.value).endswith(f"; run bglab bench --json {file}")


@pytest.mark.parametrize("rate", [None, 0, -3.0, float("nan"), float("inf"), "7", True])
def test_a_rate_that_is_none_is_missed_only_where_it_is_needed(rate, tmp_path):
    file = write_report(tmp_path / "bench.json", matrix=rate, note="out of memory")
    rates = read_rates(file)
    assert estimate([KNOWN["nos-figure-5"]], rates).together.hours > 0
    with pytest.raises(BadInput) as caught:
        estimate([KNOWN["nos-figure-4"]], rates)
    assert str(caught.value) == (
        f"expected the rate matrix in {file}, but it was not measured (out of memory); run bglab bench --json {file} "
        "again, with another --model if need be"
    )
