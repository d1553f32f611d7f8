"""Candidates for a set, their random selection, and classes of equal size."""

from __future__ import annotations

import csv
import json
from collections import Counter

import pytest

from bglab.errors import BadInput, MissingData
from bglab.labels import IN9, imagenet_synsets
from bglab.rebuild import Construction, candidates
from bglab.rebuild.candidates import labels_at, list_candidates, names_in
from fixtures.boxed import BoxedImageNet, files_of, manifest, quiet


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """ImageNet with three good images of each of three classes."""
    written = BoxedImageNet(tmp_path_factory.mktemp("good"))
    written.add_good(3, labels=(0, 1, 8))
    return written.root


def test_the_seed_determines_selection_and_masks(good, tmp_path):
    chosen = [
        {row["id"] for row in manifest(quiet(good, tmp_path / str(seed), each).folder).values() if row["output"]}
        for seed in range(4)
        for each in [Construction("in9", seed=seed, per_class=1)]
    ]
    assert len({frozenset(c) for c in chosen}) > 1
    assert all(len(c) == 3 for c in chosen)
    seeds = {row["grabcut_seed"] for row in manifest(tmp_path / "2").values()}
    assert seeds == {"22", ""}


def test_fewer_per_class_are_a_subset_of_more(good, tmp_path):
    def ids(per_class):
        out = quiet(good, tmp_path / str(per_class), Construction("in9l", per_class=per_class)).folder
        return {row["id"] for row in manifest(out).values() if row["status"] == "accepted"}

    one, two, three = ids(1), ids(2), ids(None)
    assert one < two < three
    assert (len(one), len(two), len(three)) == (3, 6, 9)


def test_images_of_a_full_class_are_not_even_opened(good, tmp_path):
    done = quiet(good, tmp_path, Construction("in9", per_class=2))
    assert done.rejected == {"not_drawn": 3}
    left = [row for row in manifest(tmp_path).values() if row["code"] == "not_drawn"]
    assert {row["reason"] for row in left} == {"its class was full before its turn came: 2 per class"}
    assert {row["sha256"] for row in left} == {""}


def test_the_smallest_class_decides_and_missing_ones_are_named(tmp_path):
    written = BoxedImageNet(tmp_path / "in")
    written.add_good(1, labels=(3,))
    written.add_good(2, labels=(5,))
    done = quiet(written.root, tmp_path / "out", Construction("in9", per_class=4))
    assert (done.per_class, done.accepted, done.rejected) == (1, 2, {"balanced_out": 1})
    assert done.notices == (
        "no image of dog, bird, vehicle, carnivore, instrument, primate, fish was accepted; the set has 2 of 9 classes",
        "expected 4 images per class, but reptile has 1; all classes are reduced to that",
        "2 of 2 scenes have no mixed_same: no other image can be the donor",
    )
    assert not (tmp_path / "out" / "bg_challenge" / "mixed_same").exists()
    left = next(row for row in manifest(done.folder).values() if row["code"] == "balanced_out")
    assert left["reason"] == "it was accepted, and left out to balance the classes: 1 per class"
    assert left["mask_share"]


def test_images_of_the_test_release_are_excluded_and_counted(good, tmp_path):
    release = quiet(good, tmp_path / "release", Construction("in9", per_class=1)).folder
    tested = {row["id"] for row in manifest(release).values() if row["status"] == "accepted"}
    done = quiet(good, tmp_path / "out", Construction("in9", test_release=f"in9:{release}"))
    assert done.rejected == {"test_release": 3}
    assert tested == {row["id"] for row in manifest(done.folder).values() if row["code"] == "test_release"}
    recipe = json.loads((done.folder / "recipe.json").read_text())["recipe"]
    assert recipe["test_release"] == {"pictures": 3, "left_out": sorted(tested)}


def test_test_names_from_a_file(tmp_path):
    (tmp_path / "names.txt").write_text("val/00_dog/n02085620_00001.JPEG\n\nn02085620_00002\n")
    assert names_in(str(tmp_path / "names.txt")) == {"n02085620_00001", "n02085620_00002"}
    (tmp_path / "none.txt").write_text("\n")
    with pytest.raises(BadInput, match="expected names of test images in .*, got none; give the release as in9:PATH"):
        names_in(str(tmp_path / "none.txt"))


def test_kaggle_layout_gives_the_same_images(tmp_path):
    sets = []
    for kaggle in (False, True):
        written = BoxedImageNet(tmp_path / str(kaggle), kaggle=kaggle)
        written.add_good(2, labels=(0, 1))
        out = quiet(written.root, tmp_path / f"out-{kaggle}", Construction("in9")).folder
        sets.append({n: h for n, h in files_of(out).items() if n.startswith("bg_challenge")})
    assert sets[0] == sets[1]
    assert len(sets[0]) == 4 * 9


def test_names_of_both_splits():
    assert candidates.scene_id("ILSVRC2012_val_00050000", "n01440764") == "n01440764_50000"
    assert candidates.scene_id("n01440764_36", "n01440764") == "n01440764_36"
    assert candidates.scene_id("holiday", "n01440764") == "n01440764_holiday"


def test_in9l_needs_no_boxes_and_has_originals_only(tmp_path):
    written = BoxedImageNet(tmp_path / "in", "train")
    for label in range(9):
        for _ in range(2):
            written.add(IN9[label].imagenet[-1], annotated=False)
    broken = written.add(IN9[0].imagenet[0], annotated=False)
    broken.write_bytes(b"no image")
    (written.root / "Annotations" / "CLS-LOC" / "train").rmdir()
    done = quiet(written.root, tmp_path / "out", Construction("in9l", split="train"))
    assert (done.per_class, done.accepted, done.files) == (2, 18, 18)
    assert done.rejected == {"picture_unreadable": 1}
    assert sorted(p.name for p in (done.folder / "bg_challenge").iterdir()) == ["original"]
    with pytest.raises(MissingData, match="expected ImageNet's box annotations in "):
        quiet(written.root, tmp_path / "boxed", Construction("in9", split="train"))


def test_in9lb_has_sixteen_subclasses_and_labels_at_every_granularity(tmp_path):
    written = BoxedImageNet(tmp_path / "in")
    for coarse in IN9:
        for index in coarse.imagenet[:18]:
            written.add(index, annotated=False, size=(24, 20), objects=())
    done = quiet(written.root, tmp_path / "out", Construction("in9lb"))
    assert (done.per_class, done.accepted) == (16, 144)
    assert done.rejected == {"other_subclass": 16}
    with (done.folder / "labels.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert all((done.folder / row["file"]).is_file() for row in rows)
    for granularity, classes in ((1, 144), (2, 72), (4, 36), (8, 18), (16, 9)):
        counts = Counter(int(row[f"label_{granularity}"]) for row in rows)
        assert counts == dict.fromkeys(range(classes), granularity)
    for row in rows:
        folder = row["file"].split("/")[-2]
        assert IN9[int(row["label_16"])].folder == folder
        assert int(row["label_1"]) // 16 == int(row["label_16"])
    groups = json.loads((done.folder / "recipe.json").read_text())["recipe"]["subclasses"]
    assert [len(group) for group in groups] == [16] * 9
    assert groups[8] == [imagenet_synsets()[i] for i in IN9[8].imagenet]


def test_in9lb_needs_the_complete_imagenet(good):
    with pytest.raises(BadInput) as problem:
        list_candidates(good, "in9lb", "val", seed=0)
    assert str(problem.value) == (
        "expected at least 16 subclasses of dog for in9lb, got 1; give the complete ImageNet, or build in9l"
    )


def test_merging_keeps_neighbours_together():
    groups = [range(16), range(100, 116)]
    assert labels_at(groups, 16) == {i: i // 100 for group in groups for i in group}
    assert sorted(set(labels_at(groups, 4).values())) == list(range(8))


def test_nothing_to_build_from(tmp_path):
    with pytest.raises(MissingData, match="expected a folder at "):
        quiet(tmp_path / "nowhere", tmp_path / "out", Construction("in9"))
    written = BoxedImageNet(tmp_path / "in")
    written.add(906)
    with pytest.raises(BadInput) as problem:
        quiet(written.root, tmp_path / "out", Construction("in9"))
    assert str(problem.value) == (
        f"expected images of the nine classes in {written.root / 'val'}, got none among 1; the most common reason: "
        "its class is none of the 370 of ImageNet-9"
    )
    written.add(151, corners=())
    with pytest.raises(BadInput) as problem:
        quiet(written.root, tmp_path / "out", Construction("in9"))
    assert str(problem.value).startswith(f"expected images to accept in {written.root}, got none of 2; the most common")
