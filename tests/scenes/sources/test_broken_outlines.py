"""Broken outlines of Caltech 101: each is named with its file and left out, and the others are used."""

from __future__ import annotations

import io

import numpy as np
import pytest
from scipy.io import savemat

from bglab.errors import BadInput
from bglab.images import box_of
from bglab.scenes import open_scenes, prepare
from fixtures.layouts import write_caltech101

MAT = "Annotations/ant/annotation_0001.mat"
CONTOUR = np.array([[0.0, 19.0, 19.0, 0.0], [0.0, 0.0, 14.0, 14.0]])


def mat(box=((6, 20, 11, 30),), contour=CONTOUR, **options):
    buffer = io.BytesIO()
    variables = {"box_coord": np.array(box) if isinstance(box, tuple) else box, "obj_contour": contour}
    savemat(buffer, {name: value for name, value in variables.items() if value is not None}, **options)
    return buffer.getvalue()


def damaged():
    content = bytearray(mat(do_compression=True))
    content[-3] ^= 0xFF
    return bytes(content)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12\n", "run git lfs pull"),
        (b"<html>404</html>", "got a web page"),
        (bytes(400), "got only zero bytes"),
        (b"x" * 400, "reading it failed"),
        (mat()[:200], "reading it failed|got no obj_contour"),
        (damaged(), "reading it failed"),
        (b"MATLAB 7.3 MAT-file".ljust(124) + b"\x00\x02IM" + b"\x89HDF\r\n\x1a\n".ljust(400), "save it with -v7"),
        (mat(box=None), "got no box_coord"),
        (mat(contour=None), "got no obj_contour"),
        (mat(box=((6, 20, 11),)), "expected four numbers in box_coord"),
        (mat(box=((np.nan, 20, 11, 30),)), "got NaN or larger ones"),
        (mat(box=((6, 20, 11, np.inf),)), "got NaN or larger ones"),
        (mat(box=((6, 20, 11, 1e300),)), "got NaN or larger ones"),
        (mat(box=((6 + 1j, 20, 11, 30),)), "got values of type complex128"),
        (mat(box=np.array([[1, "a", 2, 3]], dtype=object)), "got values of type object"),
        (mat(box=("text",)), "got values of type <U4"),
        (mat(box=((20, 6, 11, 30),)), "got rows 20 to 6 and columns 11 to 30"),
        (mat(box=((6, 20, 30, 11),)), "got rows 6 to 20 and columns 30 to 11"),
        (mat(box=((-6, 20, 11, 30),)), "got rows -6 to 20"),
        (mat(box=((0, 0, 0, 0),)), "got rows 0 to 0"),
        (mat(box=((6, 20, 90, 99),)), "within 40 × 30 pixels"),
        (mat(contour=np.full((2, 4), np.nan)), "got NaN or larger ones"),
        (mat(contour=CONTOUR[:, :2]), "at least 3 corners, 2 × n, in .*got 2 × 2"),
        (mat(contour=CONTOUR.T), "at least 3 corners, 2 × n, in .*got 4 × 2"),
        (mat(contour=CONTOUR * 0), "the mask marks nothing"),
        (mat(contour=np.zeros((0, 0))), "got 0 × 0"),
    ],
)
def test_an_outline_that_cannot_be_used_is_named_and_the_others_are_used(tmp_path, content, words):
    (write_caltech101(tmp_path) / MAT).write_bytes(content)
    scenes = open_scenes(f"caltech101:{tmp_path}")
    prepared = prepare(scenes, 32, progress=False)
    assert prepared.scenes.ids == ["Motorbikes/image_0001"]
    assert [(r.scene, str(tmp_path / MAT) in r.reason) for r in prepared.rejected] == [("ant/image_0001", True)]
    with pytest.raises(BadInput, match=words):
        scenes["ant/image_0001"]


@pytest.mark.parametrize("compressed", [False, True])
def test_damage_to_an_outline_never_ends_the_process(tmp_path, compressed):
    whole = mat(do_compression=compressed)
    file = write_caltech101(tmp_path) / MAT
    scenes = open_scenes(f"caltech101:{tmp_path}")
    expected = scenes["ant/image_0001"].mask
    refused = 0
    for place in range(124, len(whole)):
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x62]) + whole[place + 1 :])
        try:
            found = scenes["ant/image_0001"].mask
        except BadInput:
            refused += 1
        else:
            assert not compressed or np.array_equal(found, expected), place
    assert refused > (len(whole) - 124) // (1 if compressed else 3) - 60


def test_bytes_that_follow_an_outline_are_told(tmp_path):
    file = write_caltech101(tmp_path) / MAT
    for content in (mat() + b"more", mat(format="4") + bytes(7)):
        file.write_bytes(content)
        with pytest.raises(BadInput, match="reading it failed"):
            open_scenes(f"caltech101:{tmp_path}")["ant/image_0001"]


def test_caltech101_clips_a_box_beyond_the_image_and_says_so(tmp_path):
    (write_caltech101(tmp_path) / MAT).write_bytes(mat(box=((6, 35, 11, 30),)))
    scene = open_scenes(f"caltech101:{tmp_path}?masks=box")["ant/image_0001"]
    assert scene.box == box_of(scene.mask) == (10, 5, 30, 30)
    assert scene.notices == (f"the box in {tmp_path / MAT} reaches to (30, 35) and is clipped to 40 × 30 pixels",)


def test_caltech101_needs_no_outline_for_boxes(tmp_path):
    (write_caltech101(tmp_path) / MAT).write_bytes(mat(contour=None))
    assert open_scenes(f"caltech101:{tmp_path}?masks=box")["ant/image_0001"].box == (10, 5, 30, 20)


def test_caltech101_names_outlines_without_an_image(tmp_path):
    write_caltech101(tmp_path)
    stray = tmp_path / "Annotations" / "ant" / "annotation_0007.mat"
    stray.write_bytes(mat())
    assert open_scenes(f"caltech101:{tmp_path}").notices[-1] == (
        f"1 outlines in {stray.parent} have no image, such as annotation_0007.mat"
    )
