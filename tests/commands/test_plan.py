"""`bglab plan`: its table, its costs, and what it says when rates are missing or of another machine."""

from __future__ import annotations

import json

import pytest

from bglab.__main__ import main
from fixtures.reports import write_report

GPU = {"device_type": "cuda", "device": "NVIDIA H100", "engine": "torch", "gmacs": None}


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return write_report(tmp_path / "bench.json", about=GPU)


def test_the_table_says_that_it_is_estimated_and_from_what(bench, capsys):
    asked = [
        "plan",
        "nos-figure-1",
        "nos-table-3",
        "--rates",
        "bench.json",
        "--gpus",
        "8",
        "--cost-per-gpu-hour",
        "2.5",
    ]
    assert main(asked) == 0
    assert capsys.readouterr().out.splitlines() == [
        "estimated, not measured: from bench.json, lite:x · torch, float32, on NVIDIA H100 (2 cores)",
        "",
        "                     forwards           read        written      GPU hours           cost",
        "nos-figure-1           32,400        4.88 GB         648 kB          0.022           0.06",
        "nos-table-3                 –              –              –              –           0.00",
        "together               32,400        4.88 GB         648 kB          0.022           0.06",
        "",
        "training, once per network",
        "in9l, resnet50     36,324,000        7.14 TB              –            303         756.75",
        "with training      36,356,400        7.15 TB         648 kB            303         756.81",
        "",
        "38 hours on 8 GPUs that share the work evenly, 0.0028 of them without training",
        "assumed:",
        "- every network is taken to be as fast as lite:x, whose arithmetic the report does not state",
        "- an image that is trained on or differentiated costs 3 forward passes of eager torch",
        "- each version of a photograph costs as much as decoding it, which is an upper bound; the GPU computes "
        "meanwhile",
        "- what several artefacts share is counted once in their sum, as one run of bglab reproduce computes it once",
        "- the data is on the machine, and the release prepared; downloads, starts and failures are not counted",
        "- pairs are searched exhaustively; on the benchmark's scenes, the first hit needed 50 % of the forward passes",
        "",
        "nos-figure-1: 1 network × 8 variants × 4,050 images of ImageNet-9",
        "nos-table-3: no network takes part",
    ]


def test_without_names_all_artefacts_are_listed(bench, capsys):
    assert main(["plan", "--rates", "bench.json", "--json", "plan.json"]) == 0
    printed = capsys.readouterr().out
    values = json.loads((bench.parent / "plan.json").read_text())
    assert len(values["artefacts"]) == 47
    for name in values["artefacts"]:
        assert f"\n{name} " in printed
    assert printed.splitlines()[2].split() == ["forwards", "read", "written", "GPU", "hours"]
    assert (values["gpus"], values["price"], values["unit"]) == (1, None, "GPU hours")
    assert values["work"]["nos-figure-3"] == "1 network × 4,050 foregrounds × 4,050 backgrounds"
    assert printed.endswith("\nplan.json\n")


def test_costs_are_in_the_json(bench):
    assert main(["plan", "nos-figure-5", "--rates", "bench.json", "--json", "p.json", "--cost-per-gpu-hour", "3"]) == 0
    values = json.loads((bench.parent / "p.json").read_text())
    for row in (values["together"], values["total"], *values["trainings"], *values["artefacts"].values()):
        assert row["cost"] == pytest.approx(3 * row["hours"])


def test_cores_have_a_price_of_their_own(tmp_path, capsys):
    file = str(write_report(tmp_path / "cpu.json"))
    assert main(["plan", "nos-figure-5", "--rates", file, "--cost-per-core-hour", "0.04"]) == 0
    printed = capsys.readouterr().out
    assert "core hours           cost" in printed
    assert " hours on 2 cores that share the work evenly, " in printed


@pytest.mark.parametrize(
    ("asked", "sentence"),
    [
        (
            [],
            "expected --rates with the report of a benchmark, got none; run bglab bench --json bench.json first, then ",
        ),
        (
            ["--rates", "no.json"],
            "expected the report of a benchmark at no.json, but there is none; run bglab bench --js",
        ),
        (
            ["nos-tabel-2", "--rates", "bench.json"],
            "unknown artefact 'nos-tabel-2'; did you mean 'nos-table-2'? Known: ",
        ),
        (
            ["--rates", "bench.json", "--cost-per-core-hour", "1"],
            "expected rates of a CPU with --cost-per-core-hour, got those of torch, float32, on NVIDIA H100 (2 cores)",
        ),
        (
            ["--rates", "bench.json", "--gpus", "0"],
            "argument --gpus: expected a whole number of at least 1, got 0; see ",
        ),
        (
            ["--rates", "bench.json", "--cost-per-gpu-hour", "free"],
            "argument --cost-per-gpu-hour: expected a price of at least 0, got free; see bglab plan --help",
        ),
        (
            ["--rates", "bench.json", "--cost-per-gpu-hour=-1"],
            "argument --cost-per-gpu-hour: expected a price of at le",
        ),
    ],
)
def test_what_cannot_be_planned_is_said_in_one_sentence(asked, sentence, bench, capsys):
    try:
        status = main(["plan", *asked])
    except SystemExit as ended:
        status = ended.code
    captured = capsys.readouterr()
    assert status == 2
    assert captured.err.startswith(f"bglab: {sentence}")
    assert captured.err.count("\n") == 1
    assert captured.out == ""


@pytest.mark.parametrize("option", [["--gpus", "8"], ["--cost-per-gpu-hour", "2.5"]])
def test_rates_of_a_cpu_say_nothing_of_gpus(option, tmp_path, capsys):
    file = str(write_report(tmp_path / "cpu.json"))
    assert main(["plan", "nos-figure-5", "--rates", file, *option]) == 2
    assert capsys.readouterr().err == (
        f"bglab: expected rates of a GPU with {option[0]}, got those of openvino, float32, on x86_64 (2 cores); run "
        f"bglab bench --json on a GPU, or leave {option[0]} out for core hours\n"
    )
