"""Annotations of COCO next to a folder's images: masks, boxes and classes; what is broken is left out by name."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bglab.errors import BadInput
from fixtures.own_folder import BOX, HEIGHT, LABELS, WIDTH, mask, opened, reasons, write

POLYGON = [12, 8, 28, 8, 28, 22, 12, 22]


def annotations() -> dict:
    entries = enumerate(["a.png", "train2017/b.png", "c.png", "gone.png"])
    return {
        "images": [{"id": i, "file_name": name, "width": WIDTH, "height": HEIGHT} for i, name in entries],
        "categories": [{"id": 7, "name": "cow"}, {"id": 8, "name": "barn"}],
        "annotations": [
            {"image_id": 0, "category_id": 7, "segmentation": [POLYGON], "bbox": [12, 8, 16, 14]},
            {"image_id": 1, "category_id": 8, "bbox": [12.5, 8.5, 15, 13.5]},
            {"image_id": 2, "category_id": 8, "segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]},
            {"image_id": 2, "category_id": 7, "segmentation": {"size": [HEIGHT, WIDTH], "counts": [30, 1170]}},
        ],
    }


def test_annotations_of_coco_give_masks_boxes_and_classes(tmp_path):
    root = write(tmp_path / "set", "a.png", "b.png", "c.png", masks=False)
    (root / "annotations.json").write_text(json.dumps(annotations()))
    scenes = opened(root)
    assert (scenes.classes, scenes.ids, scenes.labels.tolist()) == (("barn", "cow"), ["a", "b"], [1, 0])
    assert np.array_equal(scenes["a"].mask, mask() > 0)
    assert scenes["b"].box == BOX
    assert reasons(scenes) == {
        "c": f"expected annotations of one category for {root / 'images/c.png'}, got barn, cow; name its class in "
        "labels.csv, or by the folder that it is in"
    }
    assert scenes.notices == (f"{root / 'annotations.json'} names 1 image not in {root / 'images'}: gone.png",)
    (root / "labels.csv").write_text(LABELS)
    assert opened(root)["c"].box == (1, 1, 9, 9)  # the object of its class


def test_annotations_belong_to_the_fingerprint(tmp_path):
    root = write(tmp_path / "set", "a.png", masks=False)
    content = annotations()
    (root / "instances_val.json").write_text(json.dumps(content))
    before = opened(root).fingerprint
    content["annotations"][0]["segmentation"] = [[11, 8, 28, 8, 28, 22, 12, 22]]
    (root / "instances_val.json").write_text(json.dumps(content))
    assert opened(root).fingerprint != before


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"segmentation": [[1, 2]]}, "a polygon of at least 3 corners"),
        ({"segmentation": {"size": [3, 3], "counts": [9]}}, "its size is 3 × 3 pixels and not 40 × 30"),
        ({"segmentation": None, "bbox": None}, "expected a segmentation for each of the 1 objects annotated in"),
        ({"bbox": ["x", 1, 2, 3]}, "could not convert string to float"),
        ({"segmentation": None, "bbox": [50, 50, 2, 2]}, "has no pixel of the image"),
    ],
)
def test_a_broken_annotation_leaves_out_its_image(tmp_path, change, reason):
    root = write(tmp_path / "set", "cow/a.png", "barn/b.png", masks=False)
    content = annotations()
    content["annotations"][0] |= change
    (root / "annotations.json").write_text(json.dumps(content))
    scenes = opened(root)
    assert scenes["barn/b"].box == BOX
    said = reasons(scenes).get("cow/a", "")
    if not said:
        with pytest.raises(BadInput) as problem:
            scenes["cow/a"]
        said = str(problem.value)
    assert reason in said
    assert "a.png" in said


@pytest.mark.parametrize(
    ("part", "change", "said"),
    [
        (
            "annotations",
            {"image_id": 9},
            "1 annotation of no image, without image_id or with one that it does not list",
        ),
        ("annotations", {"category_id": 9}, "the category_id 9 of one is none of its categories"),
        ("annotations", {"category_id": None}, "the category_id None of one is none of its categories"),
        ("categories", {"name": ["cow"]}, "the category_id 7 of one is none of its categories"),
        ("images", {"id": 1}, "b.png in {root}/annotations.json, got that of {root}/images/cow/a.png; correct it"),
    ],
)
def test_an_annotation_that_points_nowhere_is_told(tmp_path, part, change, said):
    root = write(
        tmp_path / "set", "cow/a.png", "barn/b.png", masks=False, boxes="file,x0,y0,x1,y1\nbarn/b.png,1,1,9,9\n"
    )
    write(root, "cow/whole.png")
    content = annotations()
    # a second object in the same image, so that the first could be missing unnoticed
    content["annotations"].append(content["annotations"][0] | {"segmentation": [[1, 1, 9, 1, 9, 9, 1, 9]]})
    content[part][0] |= change
    (root / "annotations.json").write_text(json.dumps(content))
    scenes = opened(root)
    assert said.format(root=root) in "\n".join([*scenes.notices, *reasons(scenes).values()])


@pytest.mark.parametrize("content", ["[]", "{", '{"images": 3, "annotations": []}', "null"])
def test_json_that_is_not_cocos_is_passed_over_with_a_notice(tmp_path, content):
    root = write(tmp_path / "set", "cow/a.png")
    (root / "annotations.json").write_text(content)
    scenes = opened(root)
    assert scenes.ids == ["cow/a"]
    assert len(scenes.notices) == 1
    assert scenes.notices[0].startswith("annotations.json was passed over: expected ")
