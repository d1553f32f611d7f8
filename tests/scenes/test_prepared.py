"""Prepared scenes: decoded once, exact, with every unusable scene reported."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput
from bglab.files import data_root
from bglab.images import box_of, compositing, crop_box, read_image, resize_crop
from bglab.scenes import Scene, SceneRecord, memory_bytes, open_scenes, prepare
from bglab.scenes.scene import file_fingerprint
from fixtures.layouts import write_folder
from fixtures.stand_ins import make_scene, make_scenes


def counting(scenes):
    """Return the set with a reader that records which scenes are read, and that record."""
    calls = []

    def read(record):
        calls.append(record.id)
        return scenes.read(record)

    return dataclasses.replace(scenes, read=read), calls


def test_scenes_of_the_right_size_come_through_untouched(data_folder):
    scenes = make_scenes(per_class=2)
    prepared = prepare(scenes, 32, progress=False)
    for i, scene in enumerate(scenes):
        assert np.array_equal(prepared.images[i], scene.image)
        assert np.array_equal(prepared.masks[i], scene.mask)
        assert tuple(prepared.boxes[i]) == scene.box
    assert prepared.has_plate.all()
    assert prepared.rejected == ()


def test_the_second_time_nothing_is_read(data_folder):
    scenes, calls = counting(dataclasses.replace(make_scenes(), fingerprint="counted"))
    first = prepare(scenes, 32, progress=False)
    assert sorted(calls) == sorted(scenes.ids)
    again = prepare(scenes, 32, progress=False)
    assert len(calls) == len(scenes)
    assert again.digest == first.digest
    assert np.array_equal(again.images, first.images)


def test_a_file_edited_in_place_is_read_again(data_folder, tmp_path):
    file = tmp_path / "image.png"
    Image.fromarray(np.full((32, 32, 3), 10, np.uint8)).save(file)
    record = SceneRecord("only", 0, -1, (file,))

    def read(record):
        scene = make_scene(record.id, record.label)
        return dataclasses.replace(scene, image=read_image(record.files[0]))

    scenes = dataclasses.replace(
        make_scenes(), records=(record,), read=read, fingerprint=file_fingerprint(tmp_path, [record])
    )
    before = prepare(scenes, 32, progress=False)
    Image.fromarray(np.full((32, 32, 3), 11, np.uint8)).save(file)  # as many bytes as before
    after = prepare(scenes, 32, progress=False)
    assert before.images.max() == 10
    assert after.images.max() == 11
    assert before.digest != after.digest


def test_unusable_scenes_are_listed_and_never_replaced(data_folder):
    whole = make_scenes(per_class=2)

    def read(record):
        if record.id == "scene-3-0":
            raise BadInput("expected a complete image in photo.jpg, but it is cut short; replace the file")
        scene = make_scene(record.id, record.label)
        return dataclasses.replace(scene, mask=~scene.mask & False) if record.id == "scene-5-1" else scene

    prepared = prepare(dataclasses.replace(whole, read=read, fingerprint="two broken"), 32, progress=False)
    assert len(prepared) == 16
    assert [r.scene for r in prepared.rejected] == ["scene-3-0", "scene-5-1"]
    assert prepared.rejected[0].reason.startswith("expected a complete image in photo.jpg")
    assert prepared.rejected[1].reason == (
        "expected a foreground in scene scene-5-1, but its mask marks nothing; redraw the mask"
    )
    # rows and records still belong together
    for i, record in enumerate(prepared.scenes.records):
        assert np.array_equal(prepared.images[i], make_scene(record.id, record.label).image)


def test_a_set_of_broken_scenes_is_an_error(data_folder):
    def read(record):
        raise BadInput(f"cannot read {record.id}")

    scenes = dataclasses.replace(make_scenes(), read=read, fingerprint="all broken")
    with pytest.raises(BadInput) as error:
        prepare(scenes, 32, progress=False)
    assert str(error.value) == (
        "expected usable scenes in random, but all were rejected; the first: scene-0-0: cannot read scene-0-0"
    )


def test_a_box_that_leaves_no_background_gives_no_plate(data_folder):
    full = make_scene("full", 0)
    full = dataclasses.replace(full, box=(0, 0, 32, 32))
    scenes = dataclasses.replace(
        make_scenes(), records=(SceneRecord("full", 0),), read=lambda _: full, fingerprint="full box"
    )
    prepared = prepare(scenes, 32, progress=False)
    assert prepared.has_plate.tolist() == [False]
    assert not prepared.plates.any()


def test_plates_are_tiled_at_full_resolution(data_folder):
    scene = make_scene("large", 0, size=96)
    scenes = dataclasses.replace(
        make_scenes(), records=(SceneRecord("large", 0),), read=lambda _: scene, fingerprint="large"
    )
    prepared = prepare(scenes, 48, progress=False)
    import torch

    tiled = compositing.tile_box(torch.from_numpy(scene.image), scene.box).numpy()
    expected = Image.fromarray(tiled.transpose(1, 2, 0)).resize((48, 48), Image.Resampling.BILINEAR)
    assert np.array_equal(prepared.plates[0], np.asarray(expected).transpose(2, 0, 1))


def test_resize_and_crop_follow_imagenet_evaluation():
    from torchvision import transforms

    rng = np.random.default_rng(0)
    for width, height in [(500, 375), (333, 500), (256, 256), (224, 224), (640, 480)]:
        image = Image.fromarray(rng.integers(0, 256, (height, width, 3), dtype=np.uint8))
        reference = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])(image)
        assert np.array_equal(np.asarray(resize_crop(image, 224)), np.asarray(reference))


def test_boxes_follow_their_images():
    box = (100, 50, 300, 200)
    canvas = np.zeros((375, 500), dtype=bool)
    canvas[50:200, 100:300] = True
    moved = resize_crop(Image.fromarray(canvas), 224, smooth=False)
    followed = crop_box(box, 500, 375, 224)
    assert np.abs(np.subtract(followed, box_of(np.asarray(moved)))).max() <= 1
    assert crop_box((0, 0, 10, 10), 500, 375, 224) == (0, 0, 0, 0)  # lost by the crop


def test_a_killed_build_leaves_no_cache_that_counts(data_folder):
    scenes = dataclasses.replace(make_scenes(), fingerprint="killed")

    def die(record):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        prepare(dataclasses.replace(scenes, read=die), 32, progress=False)
    folder = data_root() / "cache"
    assert not [p for p in folder.iterdir() if "killed" in p.name]
    assert len(prepare(scenes, 32, progress=False)) == 27


def test_another_crop_of_a_folder_is_prepared_anew(tmp_path):
    write_folder(tmp_path)
    whole, cropped = (open_scenes(f"folder:{tmp_path}?crop_fraction={fraction}") for fraction in ("1", "0.5"))
    before, after = (prepare(scenes, 16, progress=False) for scenes in (whole, cropped))
    assert before.digest != after.digest
    assert (
        open_scenes(f"folder:{tmp_path}").fingerprint
        == open_scenes(f"folder:{tmp_path}?crop_fraction=0.875").fingerprint
    )


def test_a_broken_index_is_built_again(data_folder):
    scenes = dataclasses.replace(make_scenes(), fingerprint="broken-index")
    prepare(scenes, 32, progress=False)
    (data_root() / "cache" / "broken-index-32" / "index.json").write_text("{")
    assert len(prepare(scenes, 32, progress=False)) == 27
    assert json.loads((data_root() / "cache" / "broken-index-32" / "index.json").read_text())["rows"]


def test_a_cache_that_cannot_be_written_says_so(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "file"))
    with pytest.raises(BadInput) as error:
        prepare(make_scenes(), 32, progress=False)
    assert str(error.value) == (
        f"expected a folder to write to at {tmp_path / 'file' / 'cache'}, but Not a directory; choose another with "
        "--results, or set BGLAB_DATA for caches and downloads"
    )


def test_scenes_check_themselves():
    scene = make_scene("a", 0)
    with pytest.raises(BadInput) as error:
        dataclasses.replace(scene, mask=scene.mask[:20])
    assert str(error.value) == (
        "expected a mask of 32 × 32 pixels for scene a, got 32 × 20; rebuild the mask from this image"
    )
    with pytest.raises(BadInput, match="but its mask marks the whole image; redraw the mask"):
        dataclasses.replace(scene, mask=np.ones((32, 32), bool))
    with pytest.raises(BadInput, match=r"expected a box within 32 × 32 pixels for scene a, got \(3, 3, 40, 10\)"):
        dataclasses.replace(scene, box=(3, 3, 40, 10))


def test_selecting_scenes():
    scenes = make_scenes()
    assert scenes.select(labels=[2]).labels.tolist() == [2, 2, 2]
    assert len(scenes.select(per_class=1)) == 9
    assert scenes.select() is scenes
    assert scenes.select(per_class=1).fingerprint != scenes.fingerprint
    assert scenes["scene-2-1"].label == 2
    with pytest.raises(LookupError, match="unknown scene 'scene-9-9'"):
        scenes["scene-9-9"]
    with pytest.raises(LookupError, match="unknown scene 'nobody'. Known: scene-0-0"):
        scenes.select(ids=["nobody"])


def test_a_whole_release_fits_on_a_device():
    # the release as images, masks and backgrounds: what the search keeps resident
    assert memory_bytes(4050, 224) < 1.5e9
    assert isinstance(make_scene("a", 0), Scene)
