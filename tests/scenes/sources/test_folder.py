"""Folders of images as people have them: layouts, names and tables; what is broken is left out by name."""

from __future__ import annotations

import unicodedata

import numpy as np
import pytest
from PIL import Image

from bglab.__main__ import main
from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.scenes import open_scenes
from fixtures.layouts import save
from fixtures.own_folder import BOX, HEIGHT, LABELS, WIDTH, mask, opened, photograph, reasons, write

BOXES = "file,x0,y0,x1,y1\n"


# --- layouts -------------------------------------------------------------------------------------------------


def test_class_folders_need_no_folder_of_images(tmp_path):
    root = write(tmp_path / "set", "cow/a.png", "cow/more/b.jpg", "barn/c.png", images=".")
    save(photograph(), root / "stray.png")
    (root / "empty").mkdir()
    scenes = opened(root)
    assert scenes.ids == ["barn/c", "cow/a", "cow/more/b"]
    assert (scenes.classes, scenes.labels.tolist()) == (("barn", "cow"), [0, 1, 1])
    assert scenes["cow/a"].box == BOX
    assert list(reasons(scenes)) == ["stray"]
    assert scenes.notices == (f"folders in {root} without an image: empty",)


def test_images_without_classes_are_unlabelled_with_a_notice(tmp_path):
    root = write(tmp_path / "set", "a.png", "n01440764_7.png")
    scenes = opened(root)
    assert (scenes.classes, scenes.labels.tolist()) == (("unlabelled",), [0, 0])
    assert [record.native_label for record in scenes.records] == [OUTSIDE, 0]
    assert scenes.notices == (
        f"no image in {root / 'images'} has a class, so all are 'unlabelled' and no prediction can be correct; to give "
        f"them classes, move them into folders named after their classes, or write {root / 'labels.csv'} with the "
        "columns file,label and a line such as 'a.png,dog' for each",
    )


def test_parts_of_a_data_set_are_no_classes(tmp_path):
    root = write(tmp_path / "set", "train/cow/a.png", "val/cow/a.png", images=".")
    with pytest.raises(BadInput) as problem:
        open_scenes(f"folder:{root}")
    assert str(problem.value) == (
        f"expected folders named after classes in {root}, got train, val, which divide a data set; give one of them, "
        f"as in folder:{root / 'train'}"
    )


def test_files_that_are_not_used_are_named(tmp_path):
    root = write(tmp_path / "set", "cow/a.png")
    for name in ("images/notes.txt", "images/cow/a.xcf", "images/.DS_Store", "masks/read.me", "images/cow/b.EPS"):
        (root / name).write_bytes(b"x")
    save(mask(), root / "masks" / "cow" / "z.png")
    frames = [Image.fromarray(photograph() // (i + 1)) for i in range(2)]
    frames[0].save(root / "images" / "cow" / "turn.gif", save_all=True, append_images=frames[1:])
    scenes = opened(root)
    images, masks = root / "images", root / "masks"
    assert scenes.notices == (
        f"passed over 3 files in {images} that are no images: notes.txt, cow/a.xcf, cow/b.EPS (1 of .txt, 1 of .xcf, "
        "1 of .eps)",
        f"only the first frame is used of 1 image in {images}: cow/turn.gif",
        f"passed over 1 file in {masks} that are no masks: read.me (1 of .me)",
        f"1 mask in {masks} without an image of the same name: cow/z.png",
    )
    assert reasons(scenes)["cow/turn"] == (
        f"expected masks/cow/turn.png (or .npy), or a line in boxes.csv, for {images / 'cow/turn.gif'}, got neither; "
        f"add one, or run 'bglab data cut {root}', which proposes masks"
    )


def test_a_circle_of_links_ends(tmp_path):
    root = write(tmp_path / "set", "cow/a.png")
    (root / "images" / "cow" / "loop").symlink_to(root / "images")
    (root / "images" / "cow" / "gone.png").symlink_to(tmp_path / "nowhere.png")
    scenes = opened(root)
    assert scenes.ids == ["cow/a"]
    assert list(reasons(scenes)) == ["cow/gone"]


# --- names ---------------------------------------------------------------------------------------------------


def test_names_agree_in_both_forms_of_unicode(tmp_path):
    composed = "Höhle/Bär.png"
    apart = unicodedata.normalize("NFD", composed)
    assert apart != composed
    one = write(tmp_path / "one" / "set", apart, masks=False)
    save(mask(), one / "masks" / composed)
    two = write(tmp_path / "two" / "set", composed, masks=False)
    save(mask(), two / "masks" / apart)
    assert opened(one).ids == opened(two).ids == ["Höhle/Bär"]
    assert opened(one).classes == ("Höhle",)
    assert opened(one).fingerprint == opened(two).fingerprint
    assert opened(two)[0].box == BOX
    corners = ",".join(map(str, BOX))
    table = write(
        tmp_path / "three",
        apart,
        masks=False,
        labels=f"file,label\n{composed.replace('/', chr(92))},cow\n",
        boxes=f"{BOXES}{composed[:-3]}PNG,{corners}\n",
    )
    assert opened(table).ids == ["Höhle/Bär"]
    assert opened(table)[0].box == BOX


def test_two_masks_of_one_image_are_a_contradiction(tmp_path):
    root = write(tmp_path / "set", "cow/a.png", "cow/b.png")
    np.save(root / "masks" / "cow" / "a.npy", mask() > 0)
    one, two = root / "masks/cow/a.npy", root / "masks/cow/a.png"
    assert reasons(opened(root)) == {
        "cow/a": f"expected one mask for {root / 'images/cow/a.png'}, got {one} and {two}; remove one"
    }


def test_a_mask_is_of_the_size_of_the_upright_image(tmp_path):
    root = write(tmp_path / "set", "cow/a.png", "cow/b.png", "cow/c.png")
    turned = Image.Exif()
    turned[0x0112] = 6
    for name in "abc":
        Image.fromarray(photograph()).save(root / "images" / "cow" / f"{name}.png", exif=turned)
    Image.fromarray(mask()).save(root / "masks" / "cow" / "a.png", exif=turned)
    save(np.ones((9, 9), dtype=np.uint8), root / "masks" / "cow" / "c.png")
    scenes = opened(root)
    assert scenes["cow/a"].image.shape == (3, WIDTH, HEIGHT)
    assert scenes["cow/a"].image[0][scenes["cow/a"].mask].min() >= 170
    with pytest.raises(BadInput, match="got 40 × 30; turn the mask upright, as EXIF turns the image$"):
        scenes["cow/b"]
    with pytest.raises(BadInput, match="got 9 × 9; rebuild the mask from this image$"):
        scenes["cow/c"]


# --- classes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("names", "space", "labels"),
    [
        (("great_white_shark", "Tench", "n01443537"), "imagenet", [0, 2, 1]),
        (("great white shark", "GOLDFISH"), "imagenet", [1, 2]),
        (("08_fish", "dog"), "in9", [8, 0]),
        (("tench", "my cat"), "folder:set", [0, 1]),
        (("crane", "tench"), "folder:set", [0, 1]),
    ],
)
def test_names_of_imagenets_classes_are_imagenets_labels(tmp_path, names, space, labels):
    scenes = opened(write(tmp_path / "set", *(f"{name}/a.png" for name in names)))
    assert scenes.space == space
    assert sorted(scenes.labels.tolist()) == sorted(labels)
    expected = labels if space == "imagenet" else [OUTSIDE] * len(names)
    assert sorted(record.native_label for record in scenes.records) == sorted(expected)
    said = "because 'crane' names two of its classes; write n02012849 or n03126707 instead" in "".join(scenes.notices)
    assert said == ("crane" in names)


def test_an_imagenet_index_stands_for_a_label_and_must_not_contradict_it(tmp_path):
    root = write(
        tmp_path / "set", "a.png", "b.png", "c.png", labels="file,imagenet_index\na.png,3\nb.png,5.0\nc.png,3\n"
    )
    scenes = opened(root)
    assert (scenes.space, scenes.labels.tolist()) == ("imagenet", [3, 5, 3])
    rows = "a.png,tench,3\nb.png,tench,0\nc.png,goldfish,\n"
    write(root, labels=f"file,label,imagenet_index\n{rows}")
    scenes = opened(root)
    assert (scenes.space, scenes.ids, scenes.labels.tolist()) == ("imagenet", ["b", "c"], [0, 1])
    assert reasons(scenes)["a"] == (
        f"expected one ImageNet class in line 2 of {root / 'labels.csv'}, got 'tench', which has index 0, and "
        "imagenet_index 3; correct one"
    )
    rows = "a.png,my fish,3\nb.png,my fish,0\nc.png,my cow,-1\n"
    write(root, labels=f"file,label,imagenet_index\n{rows}")
    scenes = opened(root)
    assert (scenes.space, scenes.labels.tolist()) == ("folder:set", [1, 1, 0])
    assert [record.native_label for record in scenes.records] == [3, 0, OUTSIDE]


# --- tables --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ("b.png,,", "expected file, label in {}, got an empty field; fill it in"),
        ("b.png,cow,1000", "expected an imagenet_index from 0 to 999 in {}, got '1000'; leave it empty if unknown"),
        ("b.png,cow,²", "expected an imagenet_index from 0 to 999 in {}, got '²'; leave it empty if unknown"),
        ("b.png,cow,,9", "expected a file and its label in {}, but it has 4 cells for 3 columns; correct the row"),
        (",cow,", "expected a file in {}, but the field 'file' is empty; correct the row"),
        ("../b.png,cow,", "expected a file within the folder in {}, got '../b.png'; write it relative to the table"),
        ("/b.png,cow,", "expected a file within the folder in {}, got '/b.png'; write it relative to the table"),
    ],
)
def test_a_bad_row_of_labels_leaves_out_its_image(tmp_path, row, reason):
    labels = f"file,label,imagenet_index\na.png,cow,\n{row}\nc.png,barn,\n"
    root = write(tmp_path / "set", "a.png", "b.png", "c.png", labels=labels)
    save(photograph(), tmp_path / "b.png")
    scenes = opened(root)
    assert scenes.ids == ["a", "c"]
    assert reason.format(f"line 3 of {root / 'labels.csv'}") in reasons(scenes).values()
    assert "b" in reasons(scenes)


def test_rows_may_repeat_but_not_contradict_each_other(tmp_path):
    labels = f"{LABELS}a.png,cow\nb.png,cow\n"
    corners = "12,8,28,22"
    boxes = f"{BOXES}a.png,{corners}\na.png,12.0,8,28,22\nc.png,{corners}\nc.png,11,8,28,22\nz.png,{corners}\n"
    root = write(tmp_path / "set", "a.png", "b.png", "c.png", masks=False, labels=labels, boxes=boxes)
    scenes = opened(root)
    assert scenes.ids == ["a"]
    assert reasons(scenes) == {
        "b": f"expected one label for {root / 'images/b.png'} in {root / 'labels.csv'}, got 'barn' and, in line 6, "
        "'cow'; remove the wrong one",
        "c": f"expected one box for {root / 'images/c.png'} in {root / 'boxes.csv'}, got (12, 8, 28, 22) and, in line "
        "5, (11, 8, 28, 22); keep one",
    }
    assert scenes.notices == (f"{root / 'boxes.csv'} names 1 image not in {root / 'images'}: z.png",)


@pytest.mark.parametrize(
    ("corners", "box"),
    [("12,8,28,22", BOX), ("12.0,8.00,28,22", BOX), ("1.2e1,8,28,2.2E1", BOX), ("12.9,8.1,27.2,21.01", BOX)],
)
def test_boxes_are_rounded_outwards(tmp_path, corners, box):
    table = f"{BOXES}a.png,{corners}\n"
    root = write(tmp_path / "set", "a.png", masks=False, labels="file,label\na.png,cow\n", boxes=table)
    assert opened(root)[0].box == box
    table = f"FILE; X0 ;y0;x1;y1\na.png;{corners.replace(',', ';').replace('.', ',')}\n".replace("a,png", "a.png")
    write(root, boxes=table)
    assert opened(root)[0].box == box


@pytest.mark.parametrize(
    ("corners", "reason"),
    [
        ("nan,8,28,22", "expected pixels in {}, but 'nan' is no number; correct the row"),
        ("12,inf,28,22", "expected pixels in {}, but 'inf' is no number; correct the row"),
        ("12,8,,22", "expected pixels in {}, but '' is no number; correct the row"),
        ("12,0,8,0,28,0,22,0", "expected pixels in {}, but it has 9 cells for 5 columns; correct the row"),
        (
            "-1,8,28,22",
            "expected a box with 0 ≤ x0 < x1 and 0 ≤ y0 < y1 in {}, got x0 -1, y0 8, x1 28, y1 22; correct the row",
        ),
        (
            "28,8,12,22",
            "expected a box with 0 ≤ x0 < x1 and 0 ≤ y0 < y1 in {}, got x0 28, y0 8, x1 12, y1 22; correct the row",
        ),
    ],
)
def test_a_bad_box_leaves_out_its_image(tmp_path, corners, reason):
    boxes = f"{BOXES}a.png,12,8,28,22\nb.png,{corners}\nc.png,12,8,28,22\n"
    root = write(tmp_path / "set", "a.png", "b.png", "c.png", masks=False, labels=LABELS, boxes=boxes)
    scenes = opened(root)
    assert scenes.ids == ["a", "c"]
    assert reasons(scenes) == {"b": reason.format(f"line 3 of {root / 'boxes.csv'}")}
    assert [record.id for record in scenes.unmasked] == ["b"]


def test_a_box_beyond_its_image_is_named_when_it_is_read(tmp_path):
    boxes = f"{BOXES}a.png,12,8,41,22\n"
    root = write(tmp_path / "set", "a.png", labels="file,label\na.png,cow\n", boxes=boxes)
    with pytest.raises(BadInput) as problem:
        opened(root)[0]
    assert str(problem.value) == (
        f"expected a box within 40 × 30 pixels for {root / 'images/a.png'}, got (12, 8, 41, 22); correct it in "
        "boxes.csv"
    )


def test_a_table_in_another_encoding_is_read_with_a_notice(tmp_path):
    root = write(tmp_path / "set", "a.png")
    (root / "labels.csv").write_bytes("file;label\na.png;Kühe\n".encode("cp1252"))
    scenes = opened(root)
    assert scenes.classes == ("Kühe",)
    assert scenes.notices == (
        f"{root / 'labels.csv'} is not in UTF-8 and was read as Windows-1252; save it as UTF-8 if names in it look "
        "wrong",
    )


@pytest.mark.parametrize(
    ("table", "text", "sentence"),
    [
        ("labels", "name,label\n", "expected the columns file, label in {}, got name, label; add file"),
        ("labels", "", "expected the columns file, label in {}, got none; add file, label"),
        ("boxes", "file,x0\n", "expected the columns file, x0, y0, x1, y1 in {}, got file, x0; add y0, x1, y1"),
    ],
)
def test_a_table_that_lacks_a_column_is_refused(tmp_path, table, text, sentence):
    root = write(tmp_path / "set", "cow/a.png", **{table: text})
    with pytest.raises(BadInput) as problem:
        opened(root)
    assert str(problem.value) == sentence.format(root / f"{table}.csv")


# --- the command ---------------------------------------------------------------------------------------------


def test_checking_a_folder_tells_everything_that_is_left_out(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path / "data"))
    root = write(
        tmp_path / "set", "a.png", "b.png", "c.png", labels=f"{LABELS}d.png,\n", boxes=f"{BOXES}c.png,9,9,3,3\n"
    )
    save(np.full((HEIGHT, WIDTH), 9, dtype=np.uint8), root / "masks" / "b.png")
    (root / "images" / "notes.txt").write_text("")
    assert main(["data", "check", f"folder:{root}", "--size", "32"]) == 0
    said = capsys.readouterr()
    assert "1 usable scenes of 4" in said.out
    for words in ("passed over 1 file", "line 5 of", "line 2 of", "marks the whole image", "scenes skipped:"):
        assert words in said.err, words
