"""The sample photographs: consistency of the manifest, opening the set, and quality of the masks."""

from __future__ import annotations

import csv
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bglab.errors import MissingData, UnknownName
from bglab.images import box_of, mask_quality, paper_filter
from bglab.labels import IN9_NAMES, OUTSIDE, imagenet_names, to_in9
from bglab.scenes import open_scenes
from bglab.scenes.sources import sample
from fixtures import ROOT

INSTALLED = all(importlib.util.find_spec(package) for package in ("foolbox", "skimage"))
needs_images = pytest.mark.skipif(not INSTALLED, reason='the images come with pip install "bglab[demo]"')

# pixels (x, y) that must be foreground and must be background, chosen where segmentation is hard: the thin tail,
# the collar, toes and antennae; grass between legs, wall between handlebars, sky within the crook of a neck
PROBES = {
    "bald_eagle": ([(270, 290), (30, 200), (490, 200), (270, 335), (390, 293)], [(270, 200), (60, 320), (450, 260)]),
    "bull_mastiff": ([(258, 20), (215, 270), (165, 445), (305, 200), (250, 420)], [(200, 400), (420, 250), (320, 226)]),
    "dalmatian": ([(200, 380), (30, 380), (470, 430), (85, 190), (300, 50)], [(120, 200), (430, 120), (200, 430)]),
    "drum": ([(200, 130), (130, 200), (485, 630), (930, 250), (750, 110)], [(60, 400), (500, 40), (300, 655)]),
    "dung_beetle": ([(220, 270), (395, 180), (425, 214), (346, 290), (215, 370)], [(230, 150), (340, 340), (130, 410)]),
    "goose": ([(60, 230), (300, 170), (270, 330), (500, 255), (300, 458)], [(68, 320), (410, 320), (300, 490)]),
    "jeep_gravel": ([(300, 175), (230, 310), (120, 270), (380, 290), (130, 160)], [(280, 320), (160, 300), (70, 225)]),
    "jeep_rocks": ([(100, 250), (380, 350), (300, 180), (60, 190), (480, 250)], [(240, 320), (400, 180), (60, 300)]),
    "leafhopper": ([(180, 200), (395, 52), (330, 268), (170, 440), (265, 130)], [(310, 180), (300, 260), (90, 300)]),
    "motorcycle": ([(200, 390), (560, 230), (331, 410), (350, 122), (511, 40)], [(300, 390), (500, 330), (420, 100)]),
    "white_ibis": ([(205, 220), (250, 180), (238, 212), (470, 230), (203, 270)], [(234, 195), (350, 230), (210, 270)]),
}  # fmt: skip


def rows():
    with (Path(sample.__file__).parent / "sample.csv").open(newline="") as lines:
        return list(csv.DictReader(lines))


# --- the manifest


def test_ids_and_files_are_unique():
    for column in ("id", "file"):
        values = [row[column] for row in rows()]
        assert len(set(values)) == len(values)


def test_labels_names_and_the_nine_classes_agree():
    for row in rows():
        if not row["imagenet_index"]:
            assert row["in9"] in IN9_NAMES, row["id"]
            assert row["note"], row["id"]
            continue
        index = int(row["imagenet_index"])
        assert row["imagenet_name"] == imagenet_names()[index]
        label = int(to_in9(np.array([index]))[0])
        assert row["in9"] == ("" if label == OUTSIDE else IN9_NAMES[label]), row["id"]


def test_every_excluded_image_has_a_reason():
    left_out = [row for row in rows() if not row["box"]]
    assert {"prayer_rug", "beaker", "tabby"} <= {row["id"] for row in left_out}
    assert all(row["note"] for row in left_out)


def test_foolbox_names_the_label_of_its_images():
    for row in rows():
        if row["package"] == "foolbox" and row["imagenet_index"]:
            assert row["file"].removesuffix(".jpg").rsplit("_", 1)[1] == row["imagenet_index"]


# --- opening


@needs_images
def test_the_nine_classes_and_everything():
    nine, everything = open_scenes("sample"), open_scenes("sample:all")
    assert (nine.name, nine.space, nine.classes) == ("sample", "in9", IN9_NAMES)
    assert set(nine.ids) == set(PROBES)
    assert {IN9_NAMES[label] for label in nine.labels} == {"dog", "bird", "vehicle", "insect", "instrument"}
    assert (everything.name, everything.space) == ("sample:all", "imagenet")
    assert len(everything) == 15
    assert [r.label for r in everything.records] == [r.native_label for r in everything.records]
    assert nine.fingerprint == open_scenes("sample:in9").fingerprint != everything.fingerprint
    assert nine.notices == everything.notices == ()
    assert nine.crop_fraction == 1.0
    assert "CC0" in nine.credit


@needs_images
def test_excluded_images_are_listed_with_the_reason():
    reasons = {r.scene: r.reason for r in open_scenes("sample:all").rejected}
    assert reasons["prayer_rug"] == "the label is wrong: it shows stained-glass windows"
    assert "motorcycle" in reasons  # no ImageNet class, but one of the nine
    nine = open_scenes("sample")
    assert nine.rejected == ()
    assert nine.records[nine.positions["motorcycle"]].native_label == OUTSIDE


def test_an_unknown_part_is_an_error():
    with pytest.raises(UnknownName) as caught:
        open_scenes("sample:al")
    assert str(caught.value) == "unknown part of the sample pack 'al'; did you mean 'all'? Known: in9, all"


def test_without_the_packages_the_error_says_how_to_get_them(monkeypatch):
    monkeypatch.setattr(sample, "_find", lambda package, file: None)
    with pytest.raises(MissingData) as caught:
        open_scenes("sample")
    assert str(caught.value) == (
        'the sample photographs come with foolbox and scikit-image; get them with: pip install "bglab[demo]"'
    )


@needs_images
def test_without_one_package_the_rest_opens_with_a_notice(monkeypatch):
    find = sample._find
    monkeypatch.setattr(sample, "_find", lambda package, file: find(package, file) if package == "foolbox" else None)
    nine = open_scenes("sample")
    assert set(nine.ids) == set(PROBES) - {"motorcycle"}
    assert nine.notices == (
        "expected motorcycle in the package scikit-image, which is not installed or no longer holds them; "
        'get them with: pip install "bglab[demo]"',
    )


def test_a_package_that_is_not_there_has_no_images():
    assert sample._find("no_such_package", "a.png") is None
    assert sample._find("numpy", "no_such_image.png") is None


@needs_images
def test_opening_imports_neither_package():
    program = (
        "import sys; from bglab.scenes.sources.sample import open_source; open_source(uri='sample');"
        "print({'foolbox', 'skimage', 'torch'} & set(sys.modules))"
    )
    came = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    assert came.stdout.strip() == "set()"


# --- cut-outs


@needs_images
@pytest.mark.parametrize("name", PROBES)
def test_the_cutout_is_whole_and_clean(name):
    scene = open_scenes("sample")[name]
    inside, outside = PROBES[name]
    assert [p for p in inside if not scene.mask[p[1], p[0]]] == []
    assert [p for p in outside if scene.mask[p[1], p[0]]] == []


@needs_images
@pytest.mark.slow
def test_every_box_is_tight_and_passes_the_papers_filter():
    scenes = open_scenes("sample:all")
    for scene in scenes:
        height, width = scene.mask.shape
        assert np.abs(np.subtract(scene.box, box_of(scene.mask))).max() <= 3, scene.id
        assert paper_filter(scene.box, width, height, scene.mask, crop_fraction=1.0) == "", scene.id
        assert mask_quality(scene.mask, scene.box).image_share < 0.6, scene.id


@needs_images
def test_a_scene_may_be_changed_without_harm_to_the_next_reader():
    scenes = open_scenes("sample")
    first = scenes["white_ibis"]
    share = first.mask.mean()
    first.mask[:] = False
    assert scenes["white_ibis"].mask.mean() == share
