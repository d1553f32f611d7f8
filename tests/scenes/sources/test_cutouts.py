"""Cut-outs: what is pasted where, from the user's folder and from the real stamps when they are here."""

from __future__ import annotations

import importlib.util
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import data_root
from bglab.images import box_of
from bglab.labels import IMAGENET_TO_IN9, IN9_NAMES, OUTSIDE
from bglab.scenes import Scene, SceneSet, open_scenes
from bglab.scenes.sources import cutouts
from bglab.seeding import keyed_generator
from bglab.synthetic import HABITATS_BY_CLASS, HOVERS, PLATES, choose_plate, paint_plate
from bglab.synthetic.photographs import photograph
from fixtures import ROOT

HEADER = "file,label,imagenet_index,habitat\n"
ROWS = "pets/rex.png,dog,207,meadow\ntrout.png,fish,,\nwren.png,bird,-1,sky\n"


def save_disc(path: Path, width: int = 80, height: int = 60, color: tuple[int, int, int] = (230, 20, 40)) -> None:
    """Save an antialiased ellipse whose hidden colours are garish, so that any halo shows."""
    y, x = np.mgrid[:height, :width]
    away = np.hypot((x + 0.5) / width - 0.5, (y + 0.5) / height - 0.5) * 2
    alpha = np.clip((0.9 - away) * width / 4, 0, 1)
    rgba = np.zeros((height, width, 4), np.uint8)
    rgba[..., :3] = np.where(alpha[..., None] > 0, color, (0, 255, 0))
    rgba[..., 3] = (alpha * 255).round()
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(rgba).save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "own"
    save_disc(root / "pets" / "rex.png")
    save_disc(root / "trout.png", 120, 30)
    save_disc(root / "wren.png", 60, 80)
    (root / "labels.csv").write_text(HEADER + ROWS)
    return root


def drawn(folder: Path, options: str = "") -> SceneSet:
    return open_scenes(f"cutouts:{folder}?plates=drawn{options}")


def needs_photographs() -> None:
    if not (importlib.util.find_spec("foolbox") and importlib.util.find_spec("skimage")):
        pytest.skip("foolbox and scikit-image, whose photographs serve as plates, are not installed")


@pytest.fixture(scope="module")
def stamps() -> SceneSet:
    named = os.environ.get("BGLAB_TEST_STAMPS", "")
    fetched = ROOT / "data" / "cutouts"
    path = named or (str(fetched) if fetched.is_dir() else "")
    try:
        return open_scenes(f"cutouts:{path}?plates=drawn")
    except MissingData:
        pytest.skip("Tux Paint's stamps are not on this machine (bglab data fetch cutouts, or name BGLAB_TEST_STAMPS)")


def assert_pasted(scene: Scene, size: int) -> None:
    """Check what holds for every scene of this source."""
    assert scene.plate is not None
    assert scene.image.shape == scene.plate.shape == (3, size, size)
    assert scene.image.dtype == scene.plate.dtype == np.uint8
    assert scene.box == box_of(scene.mask)
    x0, y0, x1, y1 = scene.box
    assert max(x1 - x0, y1 - y0) <= 0.95 * size
    outside = np.ones_like(scene.mask)
    outside[max(0, y0 - 8) : y1 + 8, max(0, x0 - 8) : x1 + 8] = False
    np.testing.assert_array_equal(scene.image[:, outside], scene.plate[:, outside])


def test_a_folder_opens_as_scenes_with_ids_by_class_and_stem(folder):
    scenes = drawn(folder)
    assert scenes.ids == ["dog-rex", "fish-trout", "bird-wren"]
    assert scenes.labels.tolist() == [0, 8, 1]
    assert [record.native_label for record in scenes.records] == [207, OUTSIDE, OUTSIDE]
    assert (scenes.name, scenes.space, scenes.classes, scenes.crop_fraction) == ("cutouts:own", "in9", IN9_NAMES, 1.0)
    assert scenes.rejected == ()
    for scene in scenes:
        assert_pasted(scene, 256)


def test_the_object_is_whole_and_its_edge_mixes_object_and_plate_only(folder):
    scene = drawn(folder)["dog-rex"]
    middle = (slice(None), *((scene.box[1] + scene.box[3]) // 2, (scene.box[0] + scene.box[2]) // 2))
    assert scene.image[middle].tolist() == [230, 20, 40]
    low = np.minimum(scene.plate, np.array([230, 20, 40], np.uint8)[:, None, None]).astype(int)
    high = np.maximum(scene.plate, np.array([230, 20, 40], np.uint8)[:, None, None]).astype(int)
    # the garish green hidden under transparency would leave this range
    assert ((scene.image >= low - 1) & (scene.image <= high + 1)).all()
    partly = (scene.image != scene.plate).any(axis=0) & (scene.image != scene.image[middle][:, None, None]).any(axis=0)
    assert partly.sum() > 100, "the edge is antialiased"


def test_the_box_takes_a_sensible_share_and_stands_or_hovers(folder):
    scenes = drawn(folder, "&copies=6")
    for scene in scenes:
        x0, y0, x1, y1 = scene.box
        if scene.label == IN9_NAMES.index("dog"):
            assert 0.14 <= (x1 - x0) * (y1 - y0) / 256**2 <= 0.42
            assert 0.86 * 256 <= y1 <= 0.96 * 256
        else:
            assert 0.15 * 256 <= (y0 + y1) / 2 <= 0.85 * 256


def test_scenes_are_keyed_by_seed_and_id(folder):
    whole, one = drawn(folder), drawn(folder).select(ids=["bird-wren"])
    np.testing.assert_array_equal(whole["bird-wren"].image, one["bird-wren"].image)
    other = drawn(folder, "&seed=1")["bird-wren"]
    assert (other.image != one[0].image).any()
    copies = drawn(folder, "&copies=2")
    assert copies.ids[:2] == ["dog-rex", "dog-rex-copy2"]
    np.testing.assert_array_equal(copies["dog-rex"].image, whole["dog-rex"].image)
    assert (copies["dog-rex-copy2"].plate != copies["dog-rex"].plate).any()


def test_copies_never_take_the_id_of_another_image(folder):
    save_disc(folder / "pets" / "rex-2.png")
    with (folder / "labels.csv").open("a") as table:
        table.write("pets/rex-2.png,dog,,\n")
    copies = drawn(folder, "&copies=3")
    assert len(set(copies.ids)) == len(copies) == 12
    save_disc(folder / "pets" / "rex-copy2.png")
    with (folder / "labels.csv").open("a") as table:
        table.write("pets/rex-copy2.png,dog,,\n")
    with pytest.raises(BadInput) as problem:
        drawn(folder, "&copies=2")
    table = folder / "labels.csv"
    assert str(problem.value) == f"expected one image called dog-rex-copy2 in {table}, got 2; rename all but one"


def test_size_is_an_option(folder):
    assert_pasted(drawn(folder, "&size=96")["dog-rex"], 96)


def test_fingerprint_travels_and_tells_options_apart(folder, tmp_path):
    copy = tmp_path / "elsewhere" / "own"
    shutil.copytree(folder, copy)
    assert drawn(folder).fingerprint == drawn(copy).fingerprint
    options = ["", "&seed=1", "&size=128", "&copies=2"]
    prints = {drawn(folder, o).fingerprint for o in options} | {
        open_scenes(f"cutouts:{folder}?plates=natural").fingerprint
    }
    assert len(prints) == 5
    save_disc(copy / "wren.png", 50, 50)
    assert drawn(folder).fingerprint != drawn(copy).fingerprint


def test_a_class_of_one_and_images_without_a_row_are_noticed(folder):
    save_disc(folder / "stray.png")
    assert drawn(folder).notices == (
        "only one cut-out of: dog, bird, fish; without a donor of the same class, Mixed-Same skips it "
        "(copies=2 makes two scenes of every cut-out)",
        "images without a row in labels.csv are left out: 1, the first is stray.png",
    )
    assert len(drawn(folder, "&copies=2").notices) == 1


def test_a_listed_image_that_is_missing_is_rejected_by_name(folder):
    (folder / "trout.png").unlink()
    scenes = drawn(folder)
    assert scenes.ids == ["dog-rex", "bird-wren"]
    assert scenes.rejected == (("fish-trout", "trout.png", "the image is listed in labels.csv but is not there"),)


def test_a_broken_an_opaque_and_an_empty_image_are_named_when_read(folder):
    (folder / "trout.png").write_bytes((folder / "trout.png").read_bytes()[:90])
    Image.new("RGB", (9, 9)).save(folder / "pets" / "rex.png")
    Image.new("RGBA", (9, 9)).save(folder / "wren.png")
    scenes = drawn(folder)
    with pytest.raises(BadInput, match="trout.png"):
        scenes["fish-trout"]
    with pytest.raises(BadInput) as opaque:
        scenes["dog-rex"]
    rex = folder / "pets" / "rex.png"
    assert str(opaque.value) == f"expected a cut-out with transparency in {rex}, got mode RGB; save it as RGBA"
    with pytest.raises(BadInput) as empty:
        scenes["bird-wren"]
    wren = folder / "wren.png"
    assert str(empty.value) == f"expected an object in {wren}, but hardly any of it is opaque; cut it out again"


@pytest.mark.parametrize(
    ("table", "kind", "sentence"),
    [
        (
            "name,label\na.png,dog\n",
            BadInput,
            "expected the columns file,label in {t}, got name, label; add a header and a row per image",
        ),
        ("", BadInput, "expected the columns file,label in {t}, got no row; add a header and a row per image"),
        (
            "file,label\nwren.png,birds\n",
            UnknownName,
            "unknown class 'birds'; did you mean 'bird'? Known: dog, bird, vehicle, reptile, carnivore, insect, "
            "instrument, primate, fish (line 2 of {t})",
        ),
        (
            HEADER + "wren.png,bird,207,\n",
            BadInput,
            "expected an ImageNet index of the class bird, or -1, in line 2 of {t}, got '207'; correct it or "
            "leave it empty",
        ),
        (
            HEADER + "wren.png,bird,seven,\n",
            BadInput,
            "expected an ImageNet index of the class bird, or -1, in line 2 of {t}, got 'seven'; correct it or "
            "leave it empty",
        ),
        (
            "file,label\n../wren.png,bird\n",
            BadInput,
            "expected a file within the folder in line 2 of {t}, got '../wren.png'; write it relative to the table",
        ),
        (
            "file,label\nwren.png,bird\nwren.png,bird\n",
            BadInput,
            "expected one image called bird-wren in {t}, got 2; rename all but one",
        ),
        (
            HEADER + "wren.png,bird,,ski\n",
            UnknownName,
            "unknown habitat 'ski'; did you mean 'sky'? Known: " + ", ".join(HOVERS) + " (line 2 of {t})",
        ),
        (
            "file,label\ngone.png,bird\n",
            MissingData,
            "expected the images that labels.csv lists in {f}, but none of the 1 is there; give the folder that they "
            "lie in",
        ),
    ],
)
def test_a_table_that_cannot_be_used_is_explained(folder, table, kind, sentence):
    (folder / "labels.csv").write_text(table)
    with pytest.raises(kind) as problem:
        drawn(folder)
    assert str(problem.value) == sentence.format(t=folder / "labels.csv", f=folder)


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("size=63", "expected a whole number from 64 to 512 for size, got '63'; correct the option"),
        ("copies=two", "expected a whole number from 1 to 100 for copies, got 'two'; correct the option"),
        (
            "plates=natrual",
            "unknown kind of plates 'natrual'; did you mean 'natural'? Known: photographs, natural, any, drawn",
        ),
    ],
)
def test_an_option_that_cannot_be_used_is_explained(folder, option, sentence):
    with pytest.raises((BadInput, UnknownName)) as problem:
        open_scenes(f"cutouts:{folder}?{option}")
    assert str(problem.value) == sentence


def test_absent_stamps_are_explained(tmp_path, monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path))
    monkeypatch.setattr(cutouts, "_STAMPS", Path("nowhere/stamps"))
    with pytest.raises(MissingData) as problem:
        open_scenes("cutouts")
    assert str(problem.value) == (
        f"expected Tux Paint's stamps in {tmp_path / 'cutouts'} or /nowhere/stamps, but they are in neither; run bglab "
        "data fetch cutouts (needs apt), or open cutouts:PATH on a folder of RGBA images with labels.csv"
    )
    with pytest.raises(MissingData) as problem:
        open_scenes(f"cutouts:{tmp_path}")
    assert str(problem.value) == (
        f"expected labels.csv or Tux Paint's stamps in {tmp_path}, but neither is there; add labels.csv with the "
        "columns file,label, or leave the path out"
    )


def test_stamps_are_found_where_the_package_was_unpacked(tmp_path, monkeypatch):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path))
    root = tmp_path / "cutouts" / "usr/share/tuxpaint/stamps"
    save_disc(root / "animals/mammals/dogs/dog.png")
    assert data_root() == tmp_path
    scenes = open_scenes("cutouts?plates=drawn")
    assert (scenes.ids, scenes.name) == (["dog-dog"], "cutouts")
    assert scenes.records[0].native_label == 249
    assert len(scenes.rejected) > 70
    assert "GPL-2" in scenes.credit
    assert scenes.fingerprint == open_scenes(f"cutouts:{root}?plates=drawn").fingerprint


def test_our_table_agrees_with_the_nine_classes():
    rows = cutouts._read_table(cutouts._TABLE)
    assert {row.label for row in rows} == set(range(9))
    assert all(row.native_label == OUTSIDE or IMAGENET_TO_IN9[row.native_label] == row.label for row in rows)
    assert len({cutouts._scene_id(row) for row in rows}) == len(rows) > 60


def test_every_habitat_has_a_plate_that_needs_no_photograph():
    assert set(HABITATS_BY_CLASS) == set(IN9_NAMES)
    for habitat in HOVERS:
        name = choose_plate("drawn", (habitat,), keyed_generator(0, habitat))
        assert PLATES[name].is_drawn
        assert habitat in PLATES[name].habitats


def test_natural_plates_fit_and_any_plates_roam():
    draws = [keyed_generator(0, i) for i in range(60)]
    assert all("underwater" in PLATES[choose_plate("natural", ("underwater",), rng)].habitats for rng in draws)
    assert len({choose_plate("any", ("underwater",), rng) for rng in draws}) > 20


@pytest.mark.parametrize("name", [name for name, plate in PLATES.items() if plate.is_drawn])
def test_drawn_plates_are_repeatable_and_vary(name):
    plate = paint_plate(name, 96, 0, "a")
    assert plate.shape == (3, 96, 96)
    assert plate.std() > 2, "a plate is not blank"
    np.testing.assert_array_equal(plate, paint_plate(name, 96, 0, "a"))
    assert (plate != paint_plate(name, 96, 0, "b")).any()
    assert (plate != paint_plate(name, 96, 1, "a")).any()


@pytest.mark.parametrize("name", [name for name, plate in PLATES.items() if not plate.is_drawn])
def test_photographed_plates_can_be_painted(name):
    needs_photographs()
    plate = paint_plate(name, 128, 0, "a")
    assert plate.shape == (3, 128, 128)
    assert (plate != paint_plate(name, 128, 0, "b")).any()


def test_a_photograph_that_is_not_installed_is_explained():
    with pytest.raises(MissingData) as problem:
        photograph("no_such_package", "data/lawn.jpg")
    assert str(problem.value) == (
        "expected the photograph data/lawn.jpg of the pip package no_such_package for a plate, but it is not "
        "installed; run pip install 'bglab[demo]', or open cutouts?plates=drawn, which needs no photographs"
    )


def test_the_object_keeps_its_size_when_the_plate_changes(folder):
    needs_photographs()
    natural, roaming = open_scenes(f"cutouts:{folder}"), open_scenes(f"cutouts:{folder}?plates=any")
    for ours, theirs in zip(natural, roaming, strict=True):
        assert np.subtract(ours.box[2:], ours.box[:2]).tolist() == np.subtract(theirs.box[2:], theirs.box[:2]).tolist()


def test_the_real_stamps_all_read(stamps):
    assert stamps.rejected == ()
    assert len(set(stamps.ids)) == len(stamps) > 60
    assert set(stamps.labels.tolist()) == set(range(9))
    for scene in stamps:
        assert_pasted(scene, 256)
        assert scene.mask.mean() > 0.02


def test_a_number_is_what_spreadsheets_write(folder):
    (folder / "labels.csv").write_text("file,label,imagenet_index\na.png,bird,1_0\n")
    with pytest.raises(BadInput, match="expected an ImageNet index of the class bird"):
        drawn(folder)
