"""Photographs of scenery: which are used, what is cropped, and what is said about those that are not here."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.labels import IN9_NAMES
from bglab.scenes import open_scenes
from bglab.scenes.sources import _scenery
from bglab.scenes.sources._scenery import crop, find_scenery
from bglab.seeding import keyed_generator
from fixtures import ROOT

HEADER = "file,class,region,place,author,licence\n"


def save_blocks(path, left=(250, 0, 0), right=(0, 0, 250)):
    """Save a photograph whose halves differ, so that a crop shows where it was taken."""
    pixels = np.zeros((90, 160, 3), np.uint8)
    pixels[:, :80], pixels[:, 80:] = left, right
    Image.fromarray(pixels).save(path)


def save_object(path):
    y, x = np.mgrid[:60, :80]
    rgba = np.full((60, 80, 4), 120, np.uint8)
    rgba[..., 3] = 255 * (np.hypot((x - 40) / 38, (y - 30) / 28) < 1)
    Image.fromarray(rgba).save(path)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "own"
    root.mkdir()
    for name in ("meadow", "wood", "sea"):
        save_blocks(root / f"{name}.png")
    (root / "scenery.csv").write_text(
        HEADER
        + "meadow.png,dog,0 0 0.5 1,stands,A. Painter,CC0-1.0\n"
        + "wood.png,dog,0.5 0 1 1,hovers,,\n"
        + "sea.png,fish,,,,\n"
    )
    for name in ("rex", "trout", "wren"):
        save_object(root / f"{name}.png")
    (root / "labels.csv").write_text("file,label\nrex.png,dog\ntrout.png,fish\nwren.png,bird\n")
    return root


def test_a_folder_of_photographs_serves_as_scenery(folder):
    scenes = open_scenes(f"cutouts:{folder}?scenery={folder}&copies=4")
    dogs = [scene for scene in scenes if scene.label == IN9_NAMES.index("dog")]
    # habitats of dogs are on the ground, so only the photograph in which objects stand is used: its left half, red
    assert len(dogs) == 4
    for scene in dogs:
        assert scene.plate is not None
        assert (scene.plate[0] > 240).all()
        assert (scene.plate[2] < 10).all()
        x0, y0, x1, y1 = scene.box
        outside = np.ones_like(scene.mask)
        outside[max(0, y0 - 8) : y1 + 8, max(0, x0 - 8) : x1 + 8] = False
        np.testing.assert_array_equal(scene.image[:, outside], scene.plate[:, outside])
        assert (scene.image[:, scene.mask] != scene.plate[:, scene.mask]).any()
        assert 0.82 * 256 <= scene.box[3] <= 0.97 * 256, "it stands on the ground"
    crops = {scene.plate.tobytes() for scene in scenes if scene.id.startswith("fish")}
    assert len(crops) > 1, "copies show several crops"
    assert scenes.notices[0] == ("no photograph of scenery is here for: bird; these objects are on painted plates")
    assert "3 photographs by A. Painter (CC0-1.0); unnamed" in scenes.credit
    assert "Painted scenery" in scenes.credit


def test_the_fingerprint_depends_on_the_photographs_and_not_on_their_place(folder, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(folder, moved)
    here, there = (open_scenes(f"cutouts:{root}?scenery={root}") for root in (folder, moved))
    assert here.fingerprint == there.fingerprint
    np.testing.assert_array_equal(here["dog-rex"].image, there["dog-rex"].image)
    save_blocks(moved / "sea.png", (1, 2, 3), (200, 100, 50))
    (moved / "scenery.csv").write_text((moved / "scenery.csv").read_text().replace("0 0 0.5 1", "0 0 0.4 1"))
    assert open_scenes(f"cutouts:{moved}?scenery={moved}").fingerprint != here.fingerprint
    assert open_scenes(f"cutouts:{folder}?plates=natural").fingerprint != here.fingerprint


def test_a_photograph_that_is_gone_is_noticed(folder):
    (folder / "wood.png").unlink()
    scenes = open_scenes(f"cutouts:{folder}?scenery={folder}")
    assert scenes.notices[1] == (
        "photographs of scenery that are not here: 1 of the folder; restore the files or remove their rows"
    )
    for name in ("meadow", "sea"):
        (folder / f"{name}.png").unlink()
    with pytest.raises(MissingData, match="none of the 3 is there"):
        open_scenes(f"cutouts:{folder}?scenery={folder}")


def test_pip_packages_fill_in_only_where_nothing_else_is_here(folder, tmp_path, monkeypatch):
    table = tmp_path / "table.csv"
    monkeypatch.setattr(_scenery, "TABLE", table)
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path))
    table.write_text(
        "file,package,class\nmeadow.png,a-package,dog\nimages/no.jpg,pip:bglab,dog\nno.jpg,pip:gone,bird\n"
    )
    assert find_scenery().photographs == ()
    assert find_scenery().missing == {"a-package": 1, "pip:bglab": 1, "pip:gone": 1}
    (tmp_path / "scenery").mkdir()
    shutil.copytree(folder, tmp_path / "scenery" / "a-package")
    found = find_scenery()
    assert [photograph.name for photograph in found.of_class(0)] == ["meadow"]
    assert found.missing == {"pip:gone": 1}, "a substitute that is not needed is not missed"
    assert found.of_class(1) == ()


def test_all_photographs_of_the_table_have_an_author_and_a_licence():
    rows = _scenery._read_table(_scenery.TABLE)
    packaged = [row for row in rows if not row.is_substitute]
    assert {row.label for row in packaged} == set(range(9))
    assert all(row.author and row.licence for row in rows)
    assert len({row.name for row in packaged}) == len(packaged), "one class per photograph"
    assert min(sum(row.label == label for row in packaged) for label in range(9)) >= 3


def test_the_photographs_on_this_machine_can_be_cropped(monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(ROOT / "data"))
    found = find_scenery()
    packaged = [photograph for photograph in found.photographs if not photograph.is_substitute]
    if not packaged:
        pytest.skip("no package with photographs of scenery is here (bglab data prepare cutouts)")
    for photograph in packaged:
        first, second = (crop(photograph, 96, keyed_generator(seed, photograph.name)) for seed in (0, 1))
        assert first.shape == (3, 96, 96)
        assert first.std() > 8, "a crop shows something"
        assert (first != second).any(), "crops differ"
        np.testing.assert_array_equal(first, crop(photograph, 96, keyed_generator(0, photograph.name)))


@pytest.mark.parametrize(
    ("table", "kind", "sentence"),
    [
        ("name\nsea.png\n", BadInput, "expected the columns file,class in {t}, got name; add a header and a row per"),
        ("file,class\nsea.png,fsh\n", UnknownName, "unknown class 'fsh'; did you mean 'fish'?"),
        ("file,class\n/etc/sea.png,fish\n", BadInput, "expected a file within the folder in line 2 of {t}"),
        (HEADER + "sea.png,fish,0 0 2 1,,,\n", BadInput, "expected x0 y0 x1 y1 within 0 and 1 as region in line 2"),
        (HEADER + "sea.png,fish,0 0 nan 1,,,\n", BadInput, "expected x0 y0 x1 y1 within 0 and 1 as region in line 2"),
        (HEADER + "sea.exr,fish,0 0 1 1,,,\n", BadInput, "expected two numbers, the range of directions as region"),
        (
            HEADER + "sea.png,fish,,swims,,\n",
            BadInput,
            "expected stands or hovers as place in line 2 of {t}, got 'swims'",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_explained(folder, table, kind, sentence):
    (folder / "scenery.csv").write_text(table)
    with pytest.raises(kind) as problem:
        open_scenes(f"cutouts:{folder}?scenery={folder}")
    assert str(problem.value).startswith(sentence.format(t=folder / "scenery.csv"))


def test_scenery_and_painted_plates_exclude_each_other(folder):
    with pytest.raises(BadInput, match="either a folder of scenery or painted plates"):
        open_scenes(f"cutouts:{folder}?scenery={folder}&plates=drawn")
    with pytest.raises(MissingData, match=r"expected a table of scenery .*scenery.csv, but there is none"):
        open_scenes(f"cutouts:{folder}?scenery={folder / 'nowhere'}")
