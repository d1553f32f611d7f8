"""Broken files reject their scenes; disks that fail or go away stop the run, and nothing of it is kept."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

import bglab
from bglab.errors import BadInput, Unreadable
from bglab.images import io as image_io
from bglab.images import open_image
from bglab.scenes import prepare, read_or_reject, reading
from bglab.scenes.reading import files_stamp
from fixtures.own_folder import write


@pytest.fixture(autouse=True)
def without_pauses(monkeypatch):
    monkeypatch.setattr(reading, "_PAUSES", (0, 0))


@pytest.fixture
def images(tmp_path):
    folder = tmp_path / "set"
    write(folder, *(f"images/dog/{number}.png" for number in range(5)))
    return folder


def failing(monkeypatch, number, times, error):
    """Let opening of the chosen file fail so many times."""
    left = {"times": times}
    opened = image_io._open_quietly

    def fail(source):
        if isinstance(source, Path) and source.name == number and left["times"]:
            left["times"] -= 1
            raise OSError(error, os.strerror(error), str(source))
        return opened(source)

    monkeypatch.setattr(image_io, "_open_quietly", fail)


@pytest.mark.parametrize("error", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE, errno.ENOMEM])
def test_a_failing_disk_is_no_broken_image(images, monkeypatch, error):
    file = next((images / "images").rglob("*.png"))
    failing(monkeypatch, file.name, 1, error)
    with pytest.raises(Unreadable, match="check the disk"):
        open_image(file)
    assert open_image(file).size


@pytest.mark.parametrize("times", [2, 1000])
@pytest.mark.parametrize("error", [errno.EIO, errno.EACCES, errno.ENOENT])
def test_what_fails_for_a_moment_is_read_again_and_otherwise_stops_the_run(images, monkeypatch, error, times):
    scenes = bglab.open_scenes(images)
    failing(monkeypatch, scenes.records[1].files[0].name, times, error)
    if times == 1000:
        with pytest.raises(Unreadable, match=scenes.records[1].files[0].name):
            prepare(scenes, 32, progress=False)
        monkeypatch.undo()
    prepared = prepare(scenes, 32, progress=False)
    assert len(prepared) == len(scenes)
    assert prepared.rejected == ()


def test_a_folder_that_is_away_for_a_moment_costs_no_scene(images, monkeypatch):
    scenes = bglab.open_scenes(images)
    count = []
    prepare_one = bglab.scenes.prepared.prepare_one

    def away_after_three(*arguments):
        count.append(None)
        if len(count) == 3:
            images.rename(images.with_name("away"))
        return prepare_one(*arguments)

    monkeypatch.setattr(bglab.scenes.prepared, "prepare_one", away_after_three)
    with pytest.raises(Unreadable):
        prepare(scenes, 32, progress=False)
    images.with_name("away").rename(images)
    assert len(prepare(bglab.open_scenes(images), 32, progress=False)) == len(scenes)


def test_broken_files_reject_their_scenes_until_they_are_restored(images):
    scenes = bglab.open_scenes(images)
    broken, dangling = (scenes.records[i].files[0] for i in (0, 2))
    whole = {file: file.read_bytes() for file in (broken, dangling)}
    broken.write_bytes(whole[broken][:60])
    dangling.unlink()
    dangling.symlink_to(images / "nowhere.png")
    prepared = prepare(scenes, 32, progress=False)
    assert {r.scene for r in prepared.rejected} == {scenes.records[0].id, scenes.records[2].id}
    dangling.unlink()
    for file, content in whole.items():
        file.write_bytes(content)
    again = prepare(scenes, 32, progress=False)
    assert again.rejected == ()
    assert len(again) == len(scenes)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_is_not_permitted_rejects_its_scene_until_it_is(images):
    scenes = bglab.open_scenes(images)
    scenes.records[0].files[0].chmod(0)
    assert len(prepare(scenes, 32, progress=False)) == len(scenes) - 1
    scenes.records[0].files[0].chmod(0o644)
    assert len(prepare(scenes, 32, progress=False)) == len(scenes)


def test_the_stamp_knows_missing_files(tmp_path):
    file = tmp_path / "a.png"
    missing = files_stamp([file])
    file.write_bytes(b"a")
    there = files_stamp([file])
    file.unlink()
    assert there != missing
    assert files_stamp([file]) == missing


def test_other_errors_are_returned_or_raised():
    def refuse():
        raise BadInput("no mask")

    def mistake():
        raise TypeError("a mistake of the program")

    assert str(read_or_reject(refuse, [])) == "no mask"
    assert read_or_reject(lambda: 5, []) == 5
    with pytest.raises(TypeError):
        read_or_reject(mistake, [])


def test_damaged_pixels_in_the_cache_are_prepared_again(images, caplog):
    scenes = bglab.open_scenes(images)
    before = prepare(scenes, 32, progress=False)
    pixels = np.array(before.images)
    file = Path(before.images.filename)
    damaged = bytearray(file.read_bytes())
    damaged[500:900] = bytes(400)
    del before
    file.write_bytes(bytes(damaged))
    after = prepare(scenes, 32, progress=False)
    assert "damaged" in caplog.text
    assert np.array_equal(after.images, pixels)
