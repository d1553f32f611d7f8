"""Scenes prepared on demand are those of the prepared set, bit by bit, and nothing is prepared twice or too early."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from bglab.errors import BadInput
from bglab.images import open_image, open_reduced, resize_crop
from bglab.scenes import (
    PreparedScenes,
    ScenesOnDemand,
    as_prepared,
    find_prepared,
    open_on_demand,
    open_scenes,
    prepare,
)
from fixtures.boxed import count_cuts, write_forty
from fixtures.layouts import write_folder

SIZE = 64
ARRAYS = ("images", "masks", "plates", "boxes", "has_plate")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_forty(tmp_path_factory.mktemp("imagenet"))


@pytest.fixture
def counted(monkeypatch):
    return count_cuts(monkeypatch)


def test_a_large_set_opens_without_cutting_anything_out(folder, counted):
    scenes = open_on_demand(f"imagenet:{folder}", SIZE)
    assert isinstance(scenes, ScenesOnDemand)
    assert len(scenes) == 40
    assert [scenes.thumbnail(i, 16).shape for i in range(3)] == [(3, 16, 16)] * 3
    assert counted == []


def test_pixels_and_masks_are_those_of_the_prepared_set(folder, data_folder):
    one_by_one, whole = (
        ScenesOnDemand(open_scenes(f"imagenet:{folder}"), SIZE),
        prepare(open_scenes(f"imagenet:{folder}"), SIZE, progress=False),
    )
    assert len(whole) == 39
    for scene, position in list(whole.scenes.positions.items())[::6]:
        arrays = one_by_one.arrays(one_by_one.scenes.positions[scene])
        assert set(arrays) == set(ARRAYS)
        for name in ARRAYS:
            assert np.array_equal(arrays[name], getattr(whole, name)[position]), (scene, name)
        assert np.array_equal(one_by_one.photograph(one_by_one.scenes.positions[scene]), whole.images[position])


def test_real_photographs_are_those_of_the_prepared_set(mini):
    chosen = open_scenes(f"imagenet:{mini / 'imagenet'}")
    chosen = chosen.select(ids=chosen.ids[:3])
    one_by_one, whole = ScenesOnDemand(chosen, SIZE), prepare(chosen, SIZE, progress=False)
    for position, scene in enumerate(whole.scenes.ids):
        for name, array in one_by_one.arrays(chosen.positions[scene]).items():
            assert np.array_equal(array, getattr(whole, name)[position]), (scene, name)


def test_no_mask_is_cut_out_twice(folder, counted):
    scenes = ScenesOnDemand(open_scenes(f"imagenet:{folder}"), SIZE)
    for position in (5, 7, 5, 7, 5):
        scenes.arrays(position)
    assert len(counted) == 2


def test_only_the_scenes_used_last_are_kept(folder, counted, monkeypatch):
    monkeypatch.setattr("bglab.scenes.on_demand._KEPT", 2)
    scenes = ScenesOnDemand(open_scenes(f"imagenet:{folder}"), SIZE)
    for position in (5, 6, 5, 7, 5):
        scenes.arrays(position)
    assert len(counted) == 3
    scenes.arrays(6)
    assert len(counted) == 4


def test_a_scene_without_a_mask_is_refused_once_and_for_all(folder, counted):
    scenes = ScenesOnDemand(open_scenes(f"imagenet:{folder}"), SIZE)
    for _ in range(2):
        with pytest.raises(BadInput, match="expected a foreground that GrabCut can cut out of"):
            scenes.arrays(2)
    assert list(scenes.rejected) == [scenes.scenes.ids[2]]
    assert len(counted) == 1
    assert scenes.first_usable() == scenes.scenes.ids[0]


def test_the_first_scene_that_can_be_used_is_found(folder):
    opened = open_scenes(f"imagenet:{folder}")
    late = ScenesOnDemand(opened.with_records(opened.records[2:]), SIZE)
    assert late.first_usable() == opened.ids[3]
    with pytest.raises(BadInput, match="expected usable scenes in imagenet:val, but the first were all rejected"):
        ScenesOnDemand(opened.with_records(opened.records[2:3]), SIZE).first_usable()


def test_an_image_that_cannot_be_read_has_a_grey_thumbnail(folder, tmp_path):
    opened = open_scenes(f"imagenet:{folder}")
    broken = tmp_path / "broken.JPEG"
    broken.write_bytes(opened.records[0].files[0].read_bytes()[:300])
    record = opened.records[0]._replace(files=(broken, opened.records[0].files[1]))
    scenes = ScenesOnDemand(dataclasses.replace(opened, records=(record,)), SIZE)
    assert (scenes.thumbnail(0, 16) == 128).all()
    assert (scenes.photograph(0) == 0).all()
    assert record.id in scenes.rejected


def test_prepared_sets_and_small_ones_are_prepared(folder, tmp_path, monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    opened = open_scenes(f"imagenet:{folder}")
    assert find_prepared(opened, SIZE) is None
    assert isinstance(open_on_demand(opened, SIZE), ScenesOnDemand)
    whole = prepare(opened, SIZE, progress=False)
    again = open_on_demand(opened, SIZE)
    assert isinstance(again, PreparedScenes)
    assert again.digest == whole.digest
    assert open_on_demand(whole, SIZE) is whole
    assert isinstance(open_on_demand("synthetic9?n=36&size=64", SIZE), PreparedScenes)
    assert isinstance(open_on_demand(f"folder:{write_folder(tmp_path / 'few')}", SIZE), PreparedScenes)
    # an image edited in place makes the prepared set useless
    edited = opened.records[0].files[1]
    edited.write_text(edited.read_text() + "\n")
    assert find_prepared(opened, SIZE) is None
    assert len(as_prepared(open_scenes(f"imagenet:{folder}"), SIZE, progress=False)) == 39


def test_a_reduced_image_shows_the_same_at_a_fraction_of_the_size(mini):
    file = next((mini / "imagenet" / "val").rglob("*.JPEG"))
    whole, reduced = open_image(file), open_reduced(file, 73)
    assert min(reduced.size) >= 73
    assert reduced.size[0] < whole.size[0] / 2
    difference = np.subtract(*(np.asarray(resize_crop(image, 64), dtype=float) for image in (whole, reduced)))
    assert np.abs(difference).mean() < 6
