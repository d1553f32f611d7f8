"""What a paper used is recognised by its data and by what a checkpoint records, and look-alikes are not."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest
import timm

from bglab.labels import IN9_NAMES
from bglab.papers import Reproduction, catalogue, recognition, reproduction, runner, trained_networks
from bglab.papers.recognition import recognise_caltech101, recognise_imagenet, recognise_voc
from bglab.papers.trained_networks import departure
from bglab.papers.training_runs import TABLE_5, TRAINING_RUNS, granularity_id, size_id
from bglab.scenes import Rejection, SceneRecord, SceneSet, archives, content_digest, open_scenes, release
from bglab.training import PRESETS, Checkpoint, Recipe, fit
from bglab.training.checkpoints import read_checkpoint, write_checkpoint
from bglab.training.recipe import NO_AUGMENTATION
from fixtures.layouts import SIZE, write_caltech101, write_in9, write_voc
from fixtures.trained import small_settings

NOS = catalogue(["nos"])

# the release


@pytest.fixture
def on_release(tmp_path, monkeypatch):
    """Settings for a small set with the names of the release, whose content has not been verified."""
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    monkeypatch.setattr(release, "PER_CLASS", 1)
    monkeypatch.setattr(reproduction, "RELEASE_PX", SIZE)
    root = write_in9(tmp_path)
    settings = small_settings(tmp_path / "networks", tmp_path / "out")
    return replace(settings, scenes=f"in9:{root}", size=SIZE), root


@pytest.mark.slow
def test_only_verified_content_gets_a_verdict(on_release):
    settings, root = on_release
    before = Reproduction(settings)
    assert not before.is_release
    outcome = runner.run_one(NOS["nos-figure-9"], before)
    assert outcome.status == "unverified data"
    assert "its content is not known here" in outcome.reason
    archives()["in9"].content_note.write_text(content_digest(root))
    assert Reproduction(settings).is_release
    assert runner.run_one(NOS["nos-figure-9"], Reproduction(settings)).status == "not compared"


def test_resized_images_are_not_those_of_the_release(on_release):
    settings, root = on_release
    archives()["in9"].content_note.write_text(content_digest(root))
    resized = Reproduction(replace(settings, size=32))
    assert not resized.is_release
    assert resized.recognised("in9").reason == "images of 32 pixels were used, and the released ones have 48"


# the other data sets


def imagenet(names, label=lambda k: k // 50, rejected=0):
    records = tuple(SceneRecord(name, label(k), label(k)) for k, name in enumerate(names))
    kept, dropped = records[: len(records) - rejected], records[len(records) - rejected :]
    return SceneSet(
        "imagenet:X", "imagenet:val", "imagenet", (), kept, lambda record: None, "f",
        rejected=tuple(Rejection(record.id, "", "no box") for record in dropped),
    )  # fmt: skip


@pytest.mark.slow
def test_imagenet_is_recognised_by_its_names_and_its_classes():
    names = [f"ILSVRC2012_val_{k:08d}" for k in range(1, 50_001)]
    assert recognise_imagenet(imagenet(names)).state == "recognised"
    assert recognise_imagenet(imagenet(names, rejected=12)).state == "recognised"
    assert recognise_imagenet(imagenet(names[:-1])).state == "other"
    assert recognise_imagenet(imagenet([f"photo_{k}" for k in range(50_000)])).state == "other"
    assert recognise_imagenet(imagenet(names, label=lambda k: k // 51)).state == "other"
    assert recognise_imagenet(open_scenes("synthetic9?n=9&size=32")).state == "other"


def test_voc_is_recognised_by_its_lists_and_files(tmp_path, monkeypatch):
    scenes = open_scenes(f"voc:{write_voc(tmp_path)}")
    root = scenes.records[0].files[0].parents[1]
    (root / "ImageSets" / "Main").mkdir(parents=True, exist_ok=True)
    assert recognise_voc(scenes).state == "other"
    lists = {split: (root / "ImageSets" / "Main" / f"{split}.txt") for split in ("train", "val")}
    for split, name in (("train", "2008_000001"), ("val", "2008_000002")):
        lists[split].write_text(f"{name}\n")
        (root / "JPEGImages" / f"{name}.jpg").touch()
    monkeypatch.setattr(recognition, "VOC_SIZES", {"train": 1, "val": 1})
    assert recognise_voc(scenes).state == "recognised"
    (root / "JPEGImages" / "2008_000002.jpg").unlink()
    assert recognise_voc(scenes) == ("other", "0 of the 1 val images of VOC2012 are in it")
    assert recognise_voc(open_scenes("synthetic9?n=9&size=32")).state == "other"


def test_caltech101_is_recognised_by_its_number_of_images(tmp_path, monkeypatch):
    scenes = open_scenes(f"caltech101:{write_caltech101(tmp_path)}")
    assert recognise_caltech101(scenes).state == "other"
    monkeypatch.setattr(recognition, "CALTECH101_SIZE", len(scenes))
    found = len({record.label for record in scenes.records})
    assert recognise_caltech101(scenes).state == "other"  # some classes are missing
    assert recognise_caltech101(replace(scenes, classes=scenes.classes[:found])).state == "recognised"


def test_the_text_numbers_of_voc_and_caltech101_have_data_of_their_own():
    tbc = catalogue(["tbc"])
    assert {name: tbc[name].papers_data for name in ("tbc-table-1", "tbc-text-voc", "tbc-text-caltech101")} == {
        "tbc-table-1": "imagenet", "tbc-text-voc": "voc", "tbc-text-caltech101": "caltech101",
    }  # fmt: skip
    assert {artefact.papers_data for artefact in NOS.values()} == {"in9"}


# checkpoints


def checkpoint(name, recipe=None, epoch=200, images=None, of_imagenet=None):
    """Make the checkpoint of a network that was trained as the paper says, unless arguments change it."""
    run = TRAINING_RUNS[name]
    images = run.images if images is None else images
    recipe = recipe or run.recipe(PRESETS["paper"], natives=True)
    about = {"pictures": images, "imagenet_pictures": images if of_imagenet is None else of_imagenet}
    recipe = replace(recipe, scenes="in9:rebuilt-train", pixels="0123456789abcdef")
    return Checkpoint(recipe, epoch, pd.DataFrame(), IN9_NAMES, about, {})


@pytest.mark.parametrize("name", [*TABLE_5, granularity_id(9), granularity_id(144), size_id(0.25)])
def test_a_network_trained_as_the_paper_says_follows_it(name):
    assert departure(TRAINING_RUNS[name], checkpoint(name)) == ""
    changes = {"seed": 3, "donors": "each_epoch", "deterministic": True}
    free = replace(TRAINING_RUNS[name].recipe(PRESETS["paper"], natives=True), **changes)
    assert departure(TRAINING_RUNS[name], checkpoint(name, free)) == ""


PAPER = PRESETS["paper"]
LOOK_ALIKES = {
    "another variant": (checkpoint("original", replace(PAPER, variants=("mixed_rand",))),
                        "variants is Mixed-Rand and the paper's Original"),
    "unfinished": (checkpoint("original", epoch=1), "1 of 200 epochs are finished"),
    "another network": (checkpoint("original", replace(PAPER, architecture="resnet18")),
                        "architecture is resnet18 and the paper's resnet50"),
    "fewer epochs": (checkpoint("original", replace(PAPER, epochs=90)), "epochs is 90 and the paper's 200"),
    "another learning rate": (checkpoint("original", replace(PAPER, lr=0.01)), "lr is 0.01 and the paper's 0.1"),
    "a part of the images": (checkpoint("original", images=4050),
                             "4,050 images were trained on, and about 45,405 in the paper"),
    "synthetic images": (checkpoint("original", of_imagenet=0), "the training images are not known to be ImageNet's"),
    "plain images": (checkpoint("original", replace(PAPER, augmentation=NO_AUGMENTATION)),
                     "the images were not cropped, flipped and changed in colour"),
    "toy": (checkpoint("original", PRESETS["toy"]), "architecture is test_resnet and the paper's resnet50"),
}  # fmt: skip


@pytest.mark.parametrize("name", LOOK_ALIKES)
def test_a_look_alike_does_not_follow_the_paper(name):
    found, reason = LOOK_ALIKES[name]
    assert departure(TRAINING_RUNS["original"], found) == reason


def test_no_checkpoint_of_a_network_that_bglab_cannot_train_follows_the_paper():
    assert departure(TRAINING_RUNS["in9-l2"], checkpoint("in9-l2")) != ""


def test_a_file_called_original_after_one_epoch_on_synthetic_mixed_rand_does_not_pass(tmp_path):
    network = timm.create_model("resnet50", num_classes=9)
    parts = {"state_dict": network.state_dict(), "classes": list(IN9_NAMES), "mean": [0.5] * 3, "std": [0.25] * 3,
             "groups": list(range(9)), "space": "in9", "about": {"pictures": 180, "imagenet_pictures": 0}}  # fmt: skip
    recipe = Recipe(variants=("mixed_rand",), balanced=True, scenes="synthetic9", pixels="0123456789abcdef")
    write_checkpoint(tmp_path / "original.pt", recipe, 1, [], parts)
    settings = small_settings(tmp_path / "networks", tmp_path / "out")
    trained = Reproduction(replace(settings, trained=tmp_path)).trained
    uri = trained.network("original")
    assert not trained.follows_paper(uri)
    assert trained.departure(uri) == "variants is Mixed-Rand and the paper's Original"


@pytest.mark.slow
def test_a_checkpoint_records_how_many_of_its_images_are_imagenets(tmp_path):
    recipe = replace(PRESETS["toy"], size=32, epochs=1, warmup_epochs=0.0, batch_size=9)
    counts = {}
    for scenes in ("synthetic9?n=18&size=32", f"in9:{write_in9(tmp_path, per_class=2)}"):
        out = tmp_path / f"{scenes.partition(':')[0].partition('?')[0]}.pt"
        fit(recipe, scenes, out=out, device="cpu", progress=False)
        about = read_checkpoint(out).about
        counts[out.stem] = (about["pictures"], about["imagenet_pictures"])
    assert counts == {"synthetic9": (18, 0), "in9": (18, 18)}


def test_further_seeds_count_if_they_follow_the_paper(tmp_path):
    settings = small_settings(tmp_path / "networks", tmp_path / "out")
    wanted = TRAINING_RUNS["original"].recipe(PAPER, natives=True)
    about = {"about": {"pictures": 45_405, "imagenet_pictures": 45_405}, "classes": list(IN9_NAMES)}
    for name, epoch in (("original", 200), ("original-seed1", 200), ("original-seed2", 1), ("original-seedling", 200)):
        recipe = replace(wanted, seed=len(name), scenes="in9:rebuilt-train", pixels="0123456789abcdef")
        write_checkpoint(tmp_path / f"{name}.pt", recipe, epoch, [], about)
    trained = Reproduction(replace(settings, trained=tmp_path)).trained
    assert trained.follows_paper(trained.network("original"))
    assert trained.repeats("original") == (f"file:{tmp_path}/original-seed1.pt",)
    assert trained.title_of(f"file:{tmp_path}/original-seed1.pt") == "resnet50, Original, original-seed1"
    assert trained.repeats("mixed_rand") == ()


def test_a_checkpoint_is_read_again_only_if_it_has_changed(tmp_path, monkeypatch):
    settings = small_settings(tmp_path / "networks", tmp_path / "out")
    trained = Reproduction(settings).trained
    uri = trained.network("original")
    read = []
    monkeypatch.setattr(trained_networks, "read_checkpoint", lambda path: read.append(path) or read_checkpoint(path))
    assert trained.title_of(uri) == trained.title_of(uri) == "test_resnet, Original"
    assert trained.departure(uri) != ""
    assert read == []
    file = tmp_path / "networks" / "original.pt"
    changed = replace(trained.recipe_of(uri), architecture="resnet18", epochs=2)
    write_checkpoint(file, changed, 2, [], {"about": {}, "classes": list(IN9_NAMES)})
    assert trained.title_of(uri) == trained.title_of(uri) == "resnet18, Original"
    assert read == [file]
