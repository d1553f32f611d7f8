"""COCO's instances: the main object gives the label, its category the mask, and broken entries are named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bglab.__main__ import main
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.images import box_of
from bglab.scenes import area_census, open_scenes, prepare
from fixtures.layouts import colours, save, turned_jpeg

WIDTH, HEIGHT = 60, 40
CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}, {"id": 44, "name": "bottle"}]


def polygon(x0, y0, x1, y1):
    return [[x0, y0, x1, y0, x1, y1, x0, y1]]


def runs(x0, y0, x1, y1):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    mask[y0:y1, x0:x1] = True
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(flat)) + 1
    counts = np.diff([0, *edges.tolist(), flat.size]).tolist()
    return {"size": [HEIGHT, WIDTH], "counts": counts}


def instance(key, image, category, box, drawn=polygon, **fields):
    x0, y0, x1, y1 = box
    entry = {"id": key, "image_id": image, "category_id": category, "iscrowd": 0, "area": (x1 - x0) * (y1 - y0)}
    return entry | {"bbox": [x0, y0, x1 - x0, y1 - y0], "segmentation": drawn(*box)} | fields


def write_coco(root, annotations, *, images=None, count=2, **others):
    """Write images 1, 2, … of 60 × 40 pixels and their annotations."""
    listed = [{"id": i, "file_name": f"{i:012d}.jpg", "width": WIDTH, "height": HEIGHT} for i in range(1, count + 1)]
    for entry in listed:
        save(colours(entry["file_name"], WIDTH, HEIGHT), root / "val2017" / entry["file_name"])
    file = root / "annotations" / "instances_val2017.json"
    file.parent.mkdir(parents=True)
    content = {"images": images or listed, "annotations": annotations, "categories": CATEGORIES} | others
    file.write_text(json.dumps(content))
    return root


GOOD = instance(1, 1, 18, (5, 5, 25, 30))


def marked(*boxes):
    mask = np.zeros((HEIGHT, WIDTH), dtype=bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def test_the_largest_object_gives_the_label_and_its_category_the_mask(tmp_path):
    entries = [
        instance(1, 1, 1, (40, 2, 55, 20)),
        instance(2, 1, 18, (5, 5, 25, 30), runs),
        instance(3, 1, 18, (20, 25, 35, 38)),
        instance(4, 1, 18, (0, 36, 10, 40), runs, iscrowd=1),
        instance(5, 2, 1, (0, 0, 60, 30), runs, iscrowd=1),
        instance(6, 2, 44, (30, 10, 50, 35)),
    ]
    scenes = open_scenes(f"coco:{write_coco(tmp_path / 'coco', entries)}")
    assert (scenes.name, scenes.space, scenes.full_resolution) == ("coco:coco-val2017", "coco:coco", True)
    assert scenes.classes == ("person", "dog", "bottle")  # in the order of their ids
    assert [(r.id, r.label) for r in scenes.records] == [("000000000001", 1), ("000000000002", 2)]
    assert (scenes.notices, scenes.rejected) == ((), ())
    scene = scenes["000000000001"]
    np.testing.assert_array_equal(scene.mask, marked((5, 5, 25, 30), (20, 25, 35, 38), (0, 36, 10, 40)))
    assert scene.box == box_of(scene.mask) == (0, 5, 35, 40)
    np.testing.assert_array_equal(scenes["000000000002"].mask, marked((30, 10, 50, 35)))


def test_small_objects_and_crowds_make_no_scene(tmp_path):
    entries = [
        GOOD,
        instance(2, 2, 18, (0, 0, 11, 10)),
        instance(3, 3, 18, (0, 0, 12, 10)),
        instance(4, 4, 18, (0, 0, 50, 40), runs, iscrowd=1),
    ]
    root = write_coco(tmp_path, entries, count=5)
    scenes = open_scenes(f"coco:{root}")
    assert scenes.ids == ["000000000001", "000000000003"]
    assert scenes.notices == ("3 of 5 images have no object that covers 5 % of them",)
    assert len(open_scenes(f"coco:{root}?min_share=0")) == 3
    assert open_scenes(f"coco:{root}?min_share=0.2").ids == ["000000000001"]


def test_boxes_can_stand_for_masks(tmp_path):
    root = write_coco(tmp_path, [GOOD | {"bbox": [5.4, 5.0, 19.6, 25]}, instance(2, 1, 18, (50, 0, 60, 10))])
    scene = open_scenes(f"coco:{root}?masks=box")[0]
    np.testing.assert_array_equal(scene.mask, marked((5, 5, 25, 30), (50, 0, 60, 10)))
    assert area_census(f"coco:{root}").ids == ("000000000001",)


@pytest.mark.parametrize(
    ("layout", "options"),
    [
        ("val2017/{}", ""),
        ("images/val2017/{}", ""),
        ("images/{}", ""),
        ("{}", "?annotations=annotations/instances_val2017.json&images=."),
        ("pictures/{}", "?images=pictures"),
    ],
)
def test_images_are_found_where_tools_put_them(tmp_path, layout, options):
    root = write_coco(tmp_path / "set", [GOOD])
    for file in [*(root / "val2017").iterdir()]:
        target = root / layout.format(file.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        file.rename(target)
    scenes = open_scenes(f"coco:{root}{options}")
    assert scenes.records[0].files == (root / layout.format("000000000001.jpg"),)
    assert scenes[0].box == (5, 5, 25, 30)


def test_the_split_is_chosen_by_name(tmp_path):
    root = write_coco(tmp_path, [GOOD])
    file = root / "annotations" / "instances_val2017.json"
    file.with_name("instances_train2017.json").write_bytes(file.read_bytes())
    (root / "train2017").symlink_to(root / "val2017")
    assert open_scenes(f"coco:{root}").name.endswith("-val2017")
    assert open_scenes(f"coco:{root}?split=train2017").name.endswith("-train2017")
    with pytest.raises(UnknownName, match="unknown value of split 'test'"):
        open_scenes(f"coco:{root}?split=test")
    file.rename(file.with_name("instances_minival.json"))
    with pytest.raises(BadInput, match=r"expected one of the splits minival, train2017 of .*; add \?split=minival$"):
        open_scenes(f"coco:{root}")


def test_a_turned_image_turns_its_mask_where_the_stored_pixels_were_annotated(tmp_path):
    upright = colours("turned", HEIGHT, WIDTH)  # 40 wide, 60 high; stored as 60 × 40
    turn = Image.Transpose.ROTATE_90
    for size, expected in (((WIDTH, HEIGHT), True), ((HEIGHT, WIDTH), False)):
        images = [{"id": 1, "file_name": f"{1:012d}.jpg", "width": size[0], "height": size[1]}]
        root = write_coco(tmp_path / str(size[0]), [instance(1, 1, 18, (5, 5, 25, 30))], images=images)
        (root / "val2017" / images[0]["file_name"]).write_bytes(turned_jpeg(upright, 6, turn))
        scene = open_scenes(f"coco:{root}")[0]
        assert scene.image.shape == (3, 60, 40)
        # the frame turned clockwise: its rows from below become columns
        assert scene.box == ((10, 5, 35, 25) if expected else (5, 5, 25, 30))


# --- what is broken


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        (instance(7, 99, 18, (0, 0, 9, 9)), "1 of the annotations: their image_id is not listed in {}, left out: id 7"),
        (
            instance(7, 2, 99, (0, 0, 9, 9)),
            "1 of the annotations: their category_id is not listed in {}, left out: id 7",
        ),
        (instance(1, 2, 18, (0, 0, 9, 9)), "1 of the annotations: another annotation has the id in {}, left out: id 1"),
        ({"id": 7, "category_id": 18}, "1 of the annotations: expected image_id, got none in {}, left out: id 7"),
        ({"image_id": 2}, "1 of the annotations: expected category_id, got none in {}, left out: number 1"),
        ("dog", "1 of the annotations: expected an object in braces in {}, left out: number 1"),
        (None, "1 of the annotations: expected an object in braces in {}, left out: number 1"),
        (
            {"id": [7], "image_id": 2, "category_id": 18, "bbox": [1, 2, 3, 4]},
            "1 of the annotations: expected a whole number as id in {}, left out: id [7]",
        ),
        (
            {"id": 7, "image_id": [2], "category_id": 18},
            "1 of the annotations: their image_id is not listed in {}, left out: id 7",
        ),
        (
            {"id": 7, "image_id": 2, "category_id": 18, "segmentation": []},
            "1 of the annotations: expected a segmentation or a bbox, got neither in {}, left out: id 7",
        ),
    ],
)
def test_an_annotation_that_belongs_to_nothing_is_named(tmp_path, entry, reason):
    root = write_coco(tmp_path, [GOOD, entry])
    scenes = open_scenes(f"coco:{root}")
    assert scenes.ids == ["000000000001"]
    assert scenes.notices[0] == reason.format(root / "annotations" / "instances_val2017.json")


BROKEN = [
    (polygon(-30, 5, 25, 30), r"within 60 × 40 pixels, got a corner at \(-30, 5\)"),
    (polygon(5, 5, 25, 300), r"got a corner at \(25, 300\)"),
    ([[5, 5, float("nan"), 5, 25, 30]], r"got a corner at \(nan, 5\)"),
    ([[5, 5, float("inf"), 5, 25, 30]], r"got a corner at \(inf, 5\)"),
    ([[5, 5, 25, 5]], "at least 3 corners"),
    ([5, 5, 25, 5, 25, 30], "at least 3 corners"),
    ([["a"] * 6], "at least 3 corners"),
    ({"size": [HEIGHT, WIDTH], "counts": [5, 5]}, "sum to 2400 pixels, for a mask of 60 × 40, got 10"),
    ({"size": [HEIGHT, WIDTH], "counts": [-5, 2405]}, "at least 0, got -5"),
    ({"size": [HEIGHT, WIDTH], "counts": "~~"}, "characters that they never have"),
    ({"size": [WIDTH, HEIGHT], "counts": [5, 2395]}, r"size \[40, 60\], got \[60, 40\]"),
    ({"counts": [5, 2395]}, r"size \[40, 60\], got None"),
    ({"size": [HEIGHT, WIDTH]}, "expected polygons or run lengths"),
    ("polygon", "expected polygons or run lengths"),
    (7, "expected polygons or run lengths"),
]


@pytest.mark.parametrize(("drawn", "words"), BROKEN)
def test_a_broken_main_object_rejects_its_image_and_no_other(tmp_path, drawn, words):
    root = write_coco(tmp_path, [GOOD, instance(7, 2, 18, (5, 5, 25, 30), segmentation=drawn)])
    scenes = open_scenes(f"coco:{root}")
    prepared = prepare(scenes, 32, progress=False)
    assert prepared.scenes.ids == ["000000000001"]
    ((scene, _, reason),) = prepared.rejected
    assert scene == "000000000002"
    image = root / "val2017" / "000000000002.jpg"
    file = root / "annotations" / "instances_val2017.json"
    assert reason.startswith(f"annotation 7 in {file}, the main object of {image}: expected ")
    with pytest.raises(BadInput, match=words):
        scenes["000000000002"]


def test_a_broken_object_among_others_is_left_out_by_name(tmp_path, capsys):
    root = write_coco(tmp_path, [GOOD, instance(7, 1, 18, (30, 5, 40, 15), segmentation=[[1, 2]])])
    scene = open_scenes(f"coco:{root}")[0]
    assert scene.box == (5, 5, 25, 30)
    (notice,) = scene.notices
    file, image = root / "annotations" / "instances_val2017.json", root / "val2017" / "000000000001.jpg"
    assert notice.startswith(f"annotation 7 in {file} is left out of {image}: expected a polygon of at least 3 corners")
    assert main(["data", "check", f"coco:{root}", "--size", "32"]) == 0
    assert f"annotation 7 in {file} is left out" in capsys.readouterr().err


@pytest.mark.parametrize(
    "box", [[5, 5, 0, 25], [5, 5, -3, 25], [-9, 5, 20, 25], [5, 5, 99, 25], [5, 5, 20], ["5"] * 4, 7]
)
def test_a_broken_box_rejects_its_image(tmp_path, box):
    root = write_coco(tmp_path, [GOOD, instance(7, 2, 18, (5, 5, 25, 30), bbox=box)])
    with pytest.raises(BadInput, match="expected a bbox"):
        open_scenes(f"coco:{root}?masks=box")["000000000002"]


@pytest.mark.parametrize("area", [None, "large", float("nan"), -4, 0, 10**400, True])
def test_an_area_that_is_none_is_that_of_the_box(tmp_path, area):
    root = write_coco(tmp_path, [instance(1, 1, 18, (5, 5, 25, 30), area=area)])
    assert open_scenes(f"coco:{root}").ids == ["000000000001"]


def test_images_and_categories_that_cannot_be_used_are_named(tmp_path):
    size = {"width": WIDTH, "height": HEIGHT}
    images = [
        {"id": 1, "file_name": "000000000001.jpg", **size},
        {"id": 1, "file_name": "000000000002.jpg", **size},
        {"id": 3, "file_name": "a\0b.jpg", **size},
        {"id": 4, "file_name": "\ud800.jpg", **size},
        {"file_name": "b.jpg", **size},
        {"id": 6, "file_name": "c.jpg", "width": -1, "height": 40},
        {"id": 7, "file_name": "gone.jpg", **size},
        {"id": 8, "file_name": "../annotations/instances_val2017.json", **size},
        {"id": 9, "file_name": "x" * 300 + ".jpg", **size},
        7,
    ]
    categories = [*CATEGORIES, {"id": 18, "name": "cat"}, {"id": 5, "name": "dog"}, {"id": "6", "name": "cow"}, None]
    root = write_coco(tmp_path, [GOOD], images=images, categories=categories)
    scenes = open_scenes(f"coco:{root}")
    assert scenes.ids == ["000000000001"]
    assert scenes.classes == ("person", "dog", "bottle")
    file = root / "annotations" / "instances_val2017.json"
    assert scenes.notices == (
        f"1 of the categories: another category has the id in {file}, left out: id 18",
        f"1 of the categories: another category has the name in {file}, left out: id 5",
        f"2 of the categories: expected a whole number as id, and a name in {file}, left out: id 6, number 6",
        f"1 of the images: another image has the id in {file}, left out: id 1",
        f"4 of the images: expected an id and a file_name in {file}, left out: id 3, id 4, number 4 and 1 more",
        f"1 of the images: expected a width and a height in pixels in {file}, left out: id 6",
    )
    assert [r.scene for r in scenes.rejected] == ["gone", "instances_val2017", "x" * 300]


def test_a_size_that_is_another_or_missing(tmp_path):
    images = [
        {"id": 1, "file_name": "000000000001.jpg", "width": 2 * WIDTH, "height": 2 * HEIGHT},
        {"id": 2, "file_name": "000000000002.jpg"},
    ]
    root = write_coco(tmp_path, [instance(1, 1, 18, (0, 0, 60, 40)), instance(2, 2, 18, (5, 5, 25, 30))], images=images)
    scenes = open_scenes(f"coco:{root}")
    with pytest.raises(BadInput, match=r"to measure 120 × 80 pixels, as .*instances_val2017\.json says, got 60 × 40"):
        scenes[0]
    assert scenes[1].box == (5, 5, 25, 30)
    with pytest.raises(BadInput, match=r"covers 50 % of .*000000000002\.jpg, got none; lower min_share"):
        open_scenes(f"coco:{root}?min_share=0.5")["000000000002"]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "the file is empty"),
        (bytes(50), "only zero bytes"),
        (b"version https://git-lfs.github.com/spec/v1\n", "run git lfs pull"),
        (b'{"images": [', "reading it failed"),
        (b"[" * 100_000, "reading it failed"),
        (b'{"images": "\xff"}', "reading it failed"),
        (b"[]", "got list"),
        (b"{}", "got nothing"),
        (b'{"images": [], "annotations": []}', "got images, annotations"),
        (b'{"images": {}, "annotations": [], "categories": []}', "expected the lists"),
    ],
)
def test_a_file_that_is_no_annotation_is_refused_in_words(tmp_path, content, words, capsys):
    root = write_coco(tmp_path, [GOOD])
    (root / "annotations" / "instances_val2017.json").write_bytes(content)
    with pytest.raises(BadInput, match=words):
        open_scenes(f"coco:{root}")
    assert main(["data", "check", f"coco:{root}"]) == 2
    assert str(root / "annotations" / "instances_val2017.json") in capsys.readouterr().err


def test_other_encodings_of_json_are_read(tmp_path):
    root = write_coco(tmp_path, [GOOD])
    file = root / "annotations" / "instances_val2017.json"
    text = file.read_text()
    for encoding in ("utf-8-sig", "utf-16", "utf-32"):
        file.write_text(text, encoding=encoding)
        assert open_scenes(f"coco:{root}").ids == ["000000000001"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(MissingData, match=r"expected instances_\*\.json in .*annotations, got no such file; give the"):
        open_scenes(f"coco:{tmp_path}")
    root = write_coco(tmp_path / "set", [GOOD])
    with pytest.raises(MissingData, match=r"expected annotations in .*other\.json, but there is no such file"):
        open_scenes(f"coco:{root}?annotations=other.json")
    with pytest.raises(MissingData, match=r"expected images in .*pictures, but there is no such folder"):
        open_scenes(f"coco:{root}?images=pictures")
    with pytest.raises(BadInput, match="expected a min_share from 0 to 1, got 'half'"):
        open_scenes(f"coco:{root}?min_share=half")
    for file in (root / "val2017").iterdir():
        file.unlink()
    with pytest.raises(MissingData, match=r"expected images such as 000000000001\.jpg in .*val2017, got none"):
        open_scenes(f"coco:{root}")


def test_no_main_object_at_all_is_refused_with_the_first_problem(tmp_path):
    root = write_coco(tmp_path, [instance(7, 99, 18, (0, 0, 9, 9))])
    with pytest.raises(
        BadInput, match=r"got none of 2; the first problem: 1 of the annotations: their image_id is not"
    ):
        open_scenes(f"coco:{root}")


def test_the_official_categories_have_a_space_of_their_own(tmp_path):
    names = ["person", *(f"thing {i}" for i in range(79))]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(names)]
    scenes = open_scenes(f"coco:{write_coco(tmp_path, [GOOD], categories=categories)}")
    assert (scenes.space, scenes.classes) == ("coco", tuple(names))
    assert "CC BY 4.0" in scenes.credit
    assert Path(scenes.records[0].file).name == "000000000001.jpg"
