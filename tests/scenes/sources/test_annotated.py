"""ImageNet, VOC, Caltech 101 and folders of images: boxes, outlines and tables are read as documented."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput, MissingData
from bglab.images import box_of
from bglab.labels import OUTSIDE, imagenet_synsets
from bglab.scenes import open_scenes
from bglab.variants import compose
from fixtures.layouts import (
    box_xml,
    colours,
    oval,
    save,
    turned_jpeg,
    write_caltech101,
    write_folder,
    write_imagenet,
    write_table,
    write_voc,
)


def close(one, other, levels=3.0):
    return np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean() < levels


# --- imagenet ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kaggle", [False, True])
@pytest.mark.parametrize("listed", [False, True])
def test_imagenet_reads_both_layouts(tmp_path, kaggle, listed):
    write_imagenet(tmp_path, kaggle=kaggle)
    if listed:
        rows = [(f"ILSVRC2012_val_{i + 1:08d}", f"{imagenet_synsets()[207 * (i // 2)]} 1 2 3 4") for i in range(4)]
        write_table(tmp_path / "LOC_val_solution.csv", ("ImageId", "PredictionString"), *rows)
    scenes = open_scenes(f"imagenet:{tmp_path}?masks=box")
    assert (scenes.name, scenes.space, scenes.crop_fraction) == ("imagenet:val", "imagenet", 0.875)
    assert scenes.labels.tolist() == [0, 0, 207, 207]
    scene = scenes["ILSVRC2012_val_00000003"]
    assert (scene.label, scene.native_label) == (207, 207)
    # corners are pixels, both inside, counted from 0: two boxes, and one around them
    assert scene.box == (5, 4, 50, 30)
    assert int(scene.mask.sum()) == 15 * 26 + 20 * 15
    assert scene.mask[4, 5]
    assert scene.mask[24, 49]
    assert scenes.notices == (
        "expected 50,000 images in 1,000 classes of ImageNet's val, got 4 in 2; results are those of this subset",
    )


def test_imagenet_cuts_out_by_grabcut_within_the_box(tmp_path):
    write_imagenet(tmp_path, classes=(7,))
    name, synset = "ILSVRC2012_val_00000001", imagenet_synsets()[7]
    array = np.full((60, 80, 3), (30, 120, 40), dtype=np.uint8)
    array[oval((22, 12, 58, 48), 80, 60)] = (220, 60, 50)
    save(array, tmp_path / "val" / synset / f"{name}.JPEG")
    box_xml(tmp_path / "Annotations/CLS-LOC/val" / f"{name}.xml", 80, 60, [(synset, (20, 10, 59, 49))])
    scene = open_scenes(f"imagenet:{tmp_path}")[name]
    assert scene.box == (20, 10, 60, 50)
    assert (scene.mask == oval((22, 12, 58, 48), 80, 60)).mean() > 0.98


def test_imagenet_rejects_images_without_boxes_or_class(tmp_path):
    write_imagenet(tmp_path)
    annotations = tmp_path / "Annotations" / "CLS-LOC" / "val"
    (annotations / "ILSVRC2012_val_00000002.xml").unlink()
    (tmp_path / "val" / imagenet_synsets()[207]).rename(tmp_path / "val" / "n02099600")
    scenes = open_scenes(f"imagenet:{tmp_path}?masks=box")
    assert scenes.ids == ["ILSVRC2012_val_00000001"]
    unknown = "expected one of ImageNet's 1000 WordNet ids as its class, got 'n02099600'; rename its folder"
    assert [r.reason for r in scenes.rejected] == [
        f"expected ILSVRC2012_val_00000002.xml with its boxes in {annotations}, got no such file",
        unknown,
        unknown,
    ]
    assert scenes.notices[1:] == (
        "1 of 4 images have no box annotation; only variants that need neither mask nor box, such as original, "
        "show them",
        "images of n02099600 are skipped: not among ImageNet's 1000",
    )


@pytest.mark.parametrize(("orientation", "turn"), [(6, Image.Transpose.ROTATE_90), (3, Image.Transpose.ROTATE_180)])
def test_imagenet_turns_boxes_with_the_image(tmp_path, orientation, turn):
    write_imagenet(tmp_path, classes=(0,))
    name, synset = "ILSVRC2012_val_00000001", imagenet_synsets()[0]
    upright = colours("turned", 40, 60)
    marked = np.zeros((60, 40), dtype=bool)
    marked[7:20, 3:11] = True
    stored = np.asarray(Image.fromarray(marked).transpose(turn))
    x0, y0, x1, y1 = box_of(stored)
    (tmp_path / "val" / synset / f"{name}.JPEG").write_bytes(turned_jpeg(upright, orientation, turn))
    annotation = tmp_path / "Annotations" / "CLS-LOC" / "val" / f"{name}.xml"
    box_xml(annotation, stored.shape[1], stored.shape[0], [(synset, (x0, y0, x1 - 1, y1 - 1))])
    scene = open_scenes(f"imagenet:{tmp_path}?masks=box")[name]
    assert close(scene.image.transpose(1, 2, 0), upright)
    np.testing.assert_array_equal(scene.mask, marked)


@pytest.mark.parametrize(
    ("size", "name", "sentence"),
    [
        (
            (61, 40),
            "n01440764",
            "expected {image} to measure 61 × 40 pixels, as {xml} says, got 60 × 40; restore the "
            "image that was annotated, or annotate this one again",
        ),
        (
            (60, 40),
            "n01443537",
            "expected a box of n01440764 in {xml} for {image}, got boxes of n01443537; correct one",
        ),
    ],
)
def test_imagenet_names_annotations_that_disagree(tmp_path, size, name, sentence):
    write_imagenet(tmp_path, classes=(0,))
    xml = box_xml(tmp_path / "Annotations/CLS-LOC/val/ILSVRC2012_val_00000001.xml", *size, [(name, (1, 2, 9, 9))])
    with pytest.raises(BadInput) as problem:
        open_scenes(f"imagenet:{tmp_path}?masks=box")[0]
    image = tmp_path / "val" / "n01440764" / "ILSVRC2012_val_00000001.JPEG"
    assert str(problem.value) == sentence.format(image=image, xml=xml)


def test_imagenet_says_what_is_missing(tmp_path):
    write_imagenet(tmp_path)
    with pytest.raises(MissingData) as missing:
        open_scenes(f"imagenet:{tmp_path}?split=train")
    assert str(missing.value) == (
        f"expected ImageNet's train images in {tmp_path / 'train'}, got no such folder; give the folder that holds "
        "val/ (or ILSVRC/Data/CLS-LOC/val/) and Annotations/CLS-LOC/val/"
    )
    shutil.rmtree(tmp_path / "Annotations")
    with pytest.raises(MissingData) as missing:
        open_scenes(f"imagenet:{tmp_path}")
    assert str(missing.value) == (
        f"expected ImageNet's box annotations in {tmp_path / 'Annotations/CLS-LOC/val'}, got no such folder; unpack "
        "the bounding boxes of ILSVRC 2012 (val) there"
    )


# --- voc ---------------------------------------------------------------------------------------------------


def test_voc_reads_images_of_one_class_and_counts_the_others(tmp_path):
    scenes = open_scenes(f"voc:{write_voc(tmp_path)}")
    assert (scenes.name, scenes.space, len(scenes.classes)) == ("voc:VOC2012-val", "voc", 20)
    assert [(r.id, scenes.classes[r.label]) for r in scenes.records] == [("2007_000001", "cat"), ("2007_000002", "dog")]
    assert scenes.notices == ("1 of 3 images show objects of several classes and are skipped",)
    scene = scenes["2007_000002"]
    # corners are counted from 1: (3, 5, 14.7, 24) and (21, 6, 30, 20)
    assert scene.box == (2, 4, 30, 24)
    # pixels of the class only: the rim of 255 is background
    expected = np.zeros((40, 50), dtype=bool)
    expected[7:22, 5:12] = expected[8:18, 23:28] = True
    np.testing.assert_array_equal(scene.mask, expected)


def test_voc_boxes_can_stand_for_masks(tmp_path):
    scene = open_scenes(f"voc:{write_voc(tmp_path) / 'VOCdevkit'}?masks=box")["2007_000001"]
    assert scene.box == box_of(scene.mask) == (0, 0, 20, 30)


def test_voc_names_missing_lists_and_rejects_missing_segmentations(tmp_path):
    root = write_voc(tmp_path) / "VOCdevkit" / "VOC2012"
    (root / "SegmentationClass" / "2007_000001.png").unlink()
    scenes = open_scenes(f"voc:{root}")
    gone = root / "SegmentationClass" / "2007_000001.png"
    assert [r.reason for r in scenes.rejected] == [f"expected {gone}, but there is no such file; restore it"]
    with pytest.raises(MissingData) as missing:
        open_scenes(f"voc:{root}?split=train")
    assert str(missing.value) == (
        f"expected the list of train images in {root / 'ImageSets/Segmentation/train.txt'}, but there is no such "
        "file; unpack VOCtrainval_11-May-2012.tar and give its folder VOCdevkit/VOC2012"
    )


# --- caltech101 --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("masks", ["outline", "box"])
def test_caltech101_fills_outlines_and_boxes(tmp_path, masks):
    scenes = open_scenes(f"caltech101:{write_caltech101(tmp_path)}?masks={masks}")
    assert scenes.ids == ["Motorbikes/image_0001", "ant/image_0001"]
    assert [scenes.classes[label] for label in scenes.labels] == ["Motorbikes", "ant"]
    scene = scenes["Motorbikes/image_0001"]
    assert scene.box == (10, 5, 30, 20)
    # the outline runs through the centres of its outermost pixels, so its area is one row and column short
    width, height = (19, 14) if masks == "outline" else (20, 15)
    assert abs(int(scene.mask.sum()) - width * height) <= width + height
    assert not scene.mask[:, :10].any()
    assert not scene.mask[20:].any()


def test_caltech101_names_a_missing_outline_and_a_broken_one(tmp_path):
    write_caltech101(tmp_path)
    gone = tmp_path / "Annotations" / "ant" / "annotation_0001.mat"
    gone.unlink()
    broken = tmp_path / "Annotations" / "Motorbikes_16" / "annotation_0001.mat"
    broken.write_bytes(b"nonsense" * 40)
    scenes = open_scenes(f"caltech101:{tmp_path}")
    assert [r.reason for r in scenes.rejected] == [f"expected {gone}, but there is no such file; restore it"]
    with pytest.raises(BadInput, match=r"^expected box_coord and obj_contour in .*Motorbikes_16.*; restore it$"):
        scenes[0]


# --- folder ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "space", "labels"),
    [
        (("cow", "barn"), "folder:mine", [0, 1]),
        (("fish", "00_dog"), "in9", [0, 8]),
        (("n02084071", "n01440764"), "folder:mine", [0, 1]),
        (("n01443537", "n01440764"), "imagenet", [0, 1]),
    ],
)
def test_folder_finds_the_label_space_by_the_class_names(tmp_path, classes, space, labels):
    scenes = open_scenes(f"folder:{write_folder(tmp_path / 'mine', classes)}")
    assert (scenes.space, scenes.labels.tolist()) == (space, labels)
    assert scenes.ids == [f"{name}/one" for name in sorted(classes)]
    assert [r.native_label for r in scenes.records] == ([0, 1] if space == "imagenet" else [OUTSIDE] * 2)
    np.testing.assert_array_equal(scenes[0].mask, oval((10, 5, 30, 25), 40, 30))
    assert scenes[0].box == (10, 5, 30, 25)


def test_folder_reads_tables_of_labels_and_boxes(tmp_path):
    root = tmp_path / "flat"
    array = np.full((60, 80, 3), (30, 120, 40), dtype=np.uint8)
    array[oval((22, 12, 58, 48), 80, 60)] = (220, 60, 50)
    for name in ("a.png", "b.png", "stray.png"):
        save(array, root / "images" / name)
    (root / "masks").mkdir()
    np.save(root / "masks" / "b.npy", oval((22, 12, 58, 48), 80, 60))
    write_table(root / "labels.csv", ("file", "label", "imagenet_index"), ("a.png", "cow", 345), ("b.png", "barn", ""))
    write_table(
        root / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("a.png", 20, 10, 60, 50), ("b.png", 15, 9, 60, 50)
    )
    scenes = open_scenes(f"folder:{root}?crop_fraction=1")
    assert (scenes.classes, scenes.crop_fraction) == (("barn", "cow"), 1.0)
    assert [(r.id, r.label, r.native_label) for r in scenes.records] == [("a", 1, 345), ("b", 0, OUTSIDE)]
    assert (scenes["a"].mask == oval((22, 12, 58, 48), 80, 60)).mean() > 0.98
    assert (scenes["a"].box, scenes["b"].box) == ((20, 10, 60, 50), (15, 9, 60, 50))
    assert [(r.scene, r.reason) for r in scenes.rejected] == [
        ("stray", f"expected the image in {root / 'labels.csv'}, but it is not listed there; add a line for it")
    ]


def test_folder_rejects_images_without_mask_or_with_a_name_twice(tmp_path):
    root = write_folder(tmp_path / "mine")
    (root / "masks" / "cow" / "one.png").unlink()
    twin = save(colours("twin", 40, 30), root / "images" / "barn" / "one.png")
    scenes = open_scenes(f"folder:{root}")
    cow = root / "images" / "cow" / "one.jpg"
    assert scenes.ids == ["barn/one"]
    assert [(r.file, r.reason) for r in scenes.rejected] == [
        (
            str(cow),
            f"expected masks/cow/one.png (or .npy), or a line in boxes.csv, for {cow}, got neither; add one, or run "
            f"'bglab data cut {root}', which proposes masks",
        ),
        (
            str(twin),
            f"expected one image named barn/one, but {root / 'images/barn/one.jpg'} has that name too; rename one",
        ),
    ]


# --- images without a mask -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("write", "scheme", "gone"),
    [
        (write_voc, "voc", "VOCdevkit/VOC2012/SegmentationClass/2007_000001.png"),
        (write_caltech101, "caltech101", "Annotations/ant/annotation_0001.mat"),
        (write_folder, "folder", "masks/cow/one.png"),
    ],
)
def test_an_image_that_has_lost_its_mask_is_still_an_original(tmp_path, write, scheme, gone):
    write(tmp_path)
    whole = open_scenes(f"{scheme}:{tmp_path}")
    before = compose(whole, "original", size=32, progress=False)
    (tmp_path / gone).unlink()
    scenes = open_scenes(f"{scheme}:{tmp_path}")
    (lost,) = (record.id for record in scenes.unmasked)
    assert {*scenes.ids, lost} == set(whole.ids)
    after = compose(scenes, "original", size=32, progress=False)
    assert {row.scene: row.label for row in after.rows} == {row.scene: row.label for row in before.rows}
    assert after.rejected == before.rejected
    assert np.array_equal(after[lost], before[lost])
    only_fg = compose(scenes, "only_fg", size=32, progress=False)
    assert [rejection.scene for rejection in only_fg.rejected] == [lost]
    assert lost not in {row.scene for row in only_fg.rows}
