"""What artefacts compute at full size: it is what they do compute, counted once, in the papers' numbers."""

from __future__ import annotations

import inspect
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import timm
import torch

from bglab.figures import theme
from bglab.models import BASELINE
from bglab.papers import Amount, Reproduction, amount_of, catalogue, jobs_of
from bglab.papers.background_check import catalogue as of_tbc
from bglab.papers.background_check import text_numbers
from bglab.papers.background_check.evaluation import SHOWN, evaluate_networks
from bglab.papers.noise_or_signal import images
from bglab.papers.training_runs import TABLE_5
from bglab.papers.work import FULL_SIZES, PREDICTION_BYTES, Job, Work, fine_tuned_on, of_imagenet, trained_on
from bglab.results import write_predictions
from bglab.training import PAPER_ARCHITECTURES, PRESETS, check_backgrounds
from fixtures.trained import small_settings

NOS, TBC = catalogue(["nos"]), catalogue(["tbc"])
RESNET = of_imagenet("timm:resnet50.tv_in1k")


def amount(works, *, training=False):
    jobs = [job for job in jobs_of(works) if (job.kind == "train") == training]
    return sum(map(amount_of, jobs), Amount())


def forwards(name):
    return amount(catalogue()[name].work).forwards


# the papers' numbers


def test_data_sets_have_the_papers_sizes():
    sizes = {name: FULL_SIZES[name].images for name in FULL_SIZES}
    # ImageNet's validation set has 50 images of each of the 370 classes in the nine
    assert sizes == {
        "in9": 4050, "imagenet": 50_000, "in9l": 18_500, "boxed": 31_801, "voc": 5_823, "caltech101": 5_647,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "count"),
    [
        ("nos-table-1", 0),
        ("nos-table-2", 5 * 50_000 + 10 * 18_500 + 10 * 4 * 4050),
        ("nos-table-5", 9 * 8 * 4050 + 9 * 18_500),
        ("nos-figure-3", 4050**2),  # 16.4 million pairs
        ("nos-figure-6", 2 * 90),
        ("nos-figure-8", 32 * (50_000 + 6 * 4050)),
        ("nos-readme-challenge", 2 * 4050**2 + 2 * 4050),
        # unmodified, without foreground, on white, and three draws of textures
        ("tbc-table-1", 7 * 6 * 31_801),
        ("tbc-figure-4", 32 * 6 * 31_801),
        ("tbc-text-caltech101", 3 * 5 * 5_647),
    ],
)
def test_forward_passes_at_full_size(name, count):
    assert forwards(name) == count


def test_work_in_words():
    assert NOS["nos-table-5"].work_text == (
        "9 networks × 8 variants × 4,050 images of ImageNet-9; "
        "9 networks × 18,500 validation images of ImageNet in the nine classes"
    )
    assert NOS["nos-figure-3"].work_text == "1 network × 4,050 foregrounds × 4,050 backgrounds"
    assert NOS["nos-figure-6"].work_text == "2 networks × 90 images of ImageNet-9, saliency maps"
    assert TBC["tbc-figure-1"].work_text.startswith("1 network × 6 versions × 31,801 photographs of ImageNet")
    assert NOS["nos-figure-9"].work_text == "no network takes part"


# jobs


def test_what_artefacts_share_is_done_once():
    first, other = NOS["nos-figure-1"].work, NOS["nos-figure-14"].work
    assert amount([*first, *other]) == amount(first)
    # the five classes of figures read one matrix
    pairs = [work for name in NOS for work in NOS[name].work if work.kind == "matrix"]
    assert amount(pairs).forwards == 2 * 4050**2
    # three variants of Table 2 are those of the README
    shared = amount([*NOS["nos-table-2"].work, *NOS["nos-readme-gap"].work]).forwards
    assert shared == forwards("nos-table-2") + forwards("nos-readme-gap") - 3 * 4050


def test_networks_are_trained_by_the_papers_recipe():
    recipe = PRESETS["paper"]
    (original,) = (
        job for job in jobs_of(NOS["nos-figure-5"].work) if job.kind == "train" and job.network.name == "original"
    )
    assert amount_of(original).forwards == 45_405 * recipe.epochs
    assert amount_of(original).bytes_read == 3 * recipe.source_size**2 * 45_405 * recipe.epochs
    trained = {
        (job.network.name, job.network.architecture) for job in jobs_of(NOS["nos-table-2"].work) if job.kind == "train"
    }
    assert trained == {("in9l", architecture) for architecture in PAPER_ARCHITECTURES.values()}
    # bglab cannot train adversarially
    names = {job.network.name for job in jobs_of(NOS["nos-figure-12"].work) if job.kind == "train"}
    assert not names & {"in9-l2", "in9-linf"}
    assert amount([Work("stream", fine_tuned_on("caltech101", 3), ("original",), "caltech101")], training=True) == (
        3 * 15 * 3030, 0, 3 * 15 * 3030 * 3 * 256**2, 0,
    )  # fmt: skip


def test_photographs_are_prepared_once_for_all_networks_and_rendered_for_each():
    two = of_imagenet("timm:resnet50.tv_in1k", "timm:resnet18.tv_in1k")
    jobs = jobs_of([Work("predict", two, ("original",), "imagenet")])
    assert [job.kind for job in jobs] == ["prepare", "predict", "predict"]
    assert amount_of(jobs[0]) == (0, 50_000, 50_000 * 135_000, 50_000 * 3 * 224**2)
    streamed = amount([Work("stream", two, ("white_fg", "on_texture"), "boxed")])
    assert streamed.forwards == streamed.rendered == 2 * 4 * 31_801
    assert streamed.bytes_read == 2 * 31_801 * 135_000  # each network's pass reads each photograph once


def test_results_take_about_the_bytes_that_are_planned(reproduction, tmp_path):
    table = reproduction.predictions(reproduction.settings.models, ["original"]).iloc[:1]
    rng, sizes = np.random.default_rng(0), []
    for count in (1_000, 9_000):  # a file has thousands of bytes before its first row
        top5 = [row.tolist() for row in rng.integers(0, 1000, (count, 5)).astype(np.int16)]
        rows = table.loc[table.index.repeat(count)].reset_index(drop=True)
        rows = rows.assign(
            scene=[f"n{wordnet:08d}_{image:05d}" for image, wordnet in enumerate(rng.integers(0, 9000, count))],
            label=rng.integers(0, 9, count), prediction=rng.integers(0, 9, count), native=rng.integers(0, 1000, count),
            confidence=rng.random(count, np.float32), top5=top5,
        )  # fmt: skip
        write_predictions(tmp_path / "many.parquet", rows, {})
        sizes.append((tmp_path / "many.parquet").stat().st_size)
    assert (sizes[1] - sizes[0]) / 8_000 == pytest.approx(PREDICTION_BYTES, rel=0.3)


# artefacts compute what they state


class Recording(Reproduction):
    """A reproduction that notes what artefacts ask for; its few scenes stand in for ImageNet."""

    imagenet_scenes = in9l_scenes = None

    def __init__(self, settings):
        super().__init__(settings)
        self.asked = set()
        self.in9l_scenes, self.imagenet_scenes = (replace(self.scenes, name=name) for name in ("in9l", "imagenet"))

    def role(self, model):
        return "given" if model in self.settings.models else self.trained._name_of(model)

    def predictions(self, models, variants, *, scenes=None):
        data = scenes.name if scenes else "in9"
        self.asked |= {("predict", self.role(model), variant, data) for model in models for variant in variants}
        return super().predictions(models, variants)

    def pairs(self, model):
        self.asked.add(("matrix", self.role(model), "", "in9"))
        return super().pairs(model)


@pytest.fixture(scope="module")
def reproduction(tmp_path_factory):
    settings = small_settings(tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out"))
    given = settings.trained / "thousand.pt"
    torch.manual_seed(0)
    torch.save(timm.create_model("test_resnet").state_dict(), given)
    uri = f"file:{given}?architecture=test_resnet"
    return Recording(replace(settings, models=(uri,), imagenet="the same"))


def stated(artefact):
    jobs = [job for job in jobs_of(artefact.work) if job.kind not in {"train", "prepare"}]
    return {
        (job.kind, "given" if ":" in job.network.name else job.network.name, variant, job.data)
        for job in jobs
        for variant in job.variants or ("",)
    }


@pytest.mark.slow
@pytest.mark.parametrize("name", NOS)
def test_artefacts_of_noise_or_signal_compute_what_they_state(name, reproduction, monkeypatch):
    def explained(classifier, *arguments, **options):
        model = next(uri for uri in reproduction.trained._uris.values() if uri == classifier.spec.id)
        reproduction.asked.add(("saliency", reproduction.role(model), "original", "in9"))
        return torch.ones(len(arguments[0]), 4, 4)

    monkeypatch.setattr(images, "saliency_maps", explained)
    reproduction.asked.clear()
    with theme():
        NOS[name].make(reproduction)
    assert reproduction.asked == stated(NOS[name])


class Asked(Exception):
    """An artefact has asked for what it needs."""


@pytest.mark.parametrize("name", [name for name in TBC if name != "tbc-text-census"])
def test_artefacts_of_time_for_a_background_check_compute_what_they_state(name, reproduction, monkeypatch):
    asked = []
    variants_by_default = inspect.signature(evaluate_networks).parameters["variants"].default

    def evaluate(_reproduction, variants=variants_by_default, models=()):
        asked.append((models, variants))
        if name == "tbc-text-backgrounds" and len(asked) == 1:
            return SimpleNamespace(baseline=BASELINE)
        raise Asked

    def check(uri, *, runs, **options):
        asked.append((("run",) * runs, inspect.signature(check_backgrounds).parameters["variants"].default))
        raise Asked

    for module in (of_tbc, text_numbers):
        monkeypatch.setattr(module, "evaluate_networks", evaluate)
    monkeypatch.setattr(text_numbers, "check_backgrounds", check)
    with pytest.raises(Asked):
        TBC[name].make(reproduction)
    works = TBC[name].work
    assert {variant for _, variants in asked for variant in variants} == {v for work in works for v in work.variants}
    models = asked[-1][0]
    if models:
        assert {len(work.networks) for work in works} == {len(models)}
    assert all(work.data == (TBC[name].data or "boxed") for work in works)
    assert set(SHOWN) <= set(variants_by_default)


def test_every_artefact_whose_networks_are_trained_says_so():
    for name in NOS:
        needed = {need.text for need in NOS[name].needs if need.text.startswith("networks trained on")}
        for text in needed:
            networks = {job.network.name for job in jobs_of(NOS[name].work) if job.network}
            assert set(text.removeprefix("networks trained on ").split(", ")) <= networks
    assert {job.network.name for job in jobs_of(NOS["nos-table-5"].work) if job.network} == set(TABLE_5)


def test_networks_by_their_uris():
    (first, second) = of_imagenet("tv:vgg16_bn/IMAGENET1K_V1", "timm:resnet50.gluon_in1k")
    assert (first.architecture, second.architecture) == ("tv_vgg16_bn", "resnet50.gluon_in1k")
    assert jobs_of([Work("matrix", RESNET)]) == (Job("matrix", RESNET[0], "in9", (), 4050),)
    assert trained_on("in9l", architecture="tv_alexnet")[0].training == trained_on("in9l")[0].training
