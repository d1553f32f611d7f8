"""Masks as people have them: read by what they hold, or refused by name."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter

from bglab.errors import BadInput
from bglab.images import decode_rle, read_mask

HEIGHT, WIDTH = 30, 40
OBJECT = np.zeros((HEIGHT, WIDTH), dtype=bool)
OBJECT[10:20, 12:28] = True
TWO = OBJECT.astype(np.uint8)
TWO[10:20, 20:28] = 2
RIM = np.zeros_like(OBJECT)
RIM[9, 11:29] = RIM[20, 11:29] = True
VOID = np.where(RIM, 255, TWO).astype(np.uint8)
# the first colours of PASCAL VOC, and that of its undecided pixels
VOC = np.zeros((256, 3), dtype=np.uint8)
VOC[:3], VOC[255] = [(0, 0, 0), (128, 0, 0), (0, 128, 0)], (224, 224, 192)


def disc(blur: float = 0.0) -> Image.Image:
    large = Image.new("L", (WIDTH * 4, HEIGHT * 4))
    ImageDraw.Draw(large).ellipse((40, 20, 120, 100), fill=255)
    return large.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS).filter(ImageFilter.GaussianBlur(blur))


def palette(indices: np.ndarray, colours: np.ndarray) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image = image.convert("L")
    image.putpalette(colours.astype(np.uint8).tobytes())
    return image


def painted(background: tuple[int, ...], foreground: tuple[int, ...]) -> Image.Image:
    return Image.fromarray(np.where(OBJECT[..., None], foreground, background).astype(np.uint8))


def refusal(file) -> str:
    with pytest.raises(BadInput) as problem:
        read_mask(file)
    assert str(problem.value).startswith("expected ")
    assert str(file) in str(problem.value)
    return str(problem.value)


@pytest.mark.parametrize("levels", [TWO, VOID, TWO * 90, TWO * 60, OBJECT * 1, OBJECT * 7, OBJECT * 255])
def test_grey_numbers_of_classes_and_two_levels(tmp_path, levels):
    Image.fromarray(levels.astype(np.uint8)).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), OBJECT)


@pytest.mark.parametrize("indices", [TWO, VOID, OBJECT * 1, OBJECT * 2])
@pytest.mark.parametrize("mode", ["P", "RGB"])
def test_palettes_and_their_colours_are_label_maps(tmp_path, indices, mode):
    palette(indices, VOC).convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), OBJECT)


def test_a_palette_of_black_and_white_is_read_by_its_colours(tmp_path):
    black_first, white_first = [(0, 0, 0), (255, 255, 255)], [(255, 255, 255), (0, 0, 0)]
    palette(OBJECT * 1, np.array(black_first)).save(tmp_path / "a.png")
    palette(~OBJECT * 1, np.array(white_first)).save(tmp_path / "b.gif")
    palette(OBJECT * 255, VOC).save(tmp_path / "c.png")
    for name in ("a.png", "b.gif", "c.png"):
        assert np.array_equal(read_mask(tmp_path / name), OBJECT), name


@pytest.mark.parametrize("blur", [0.0, 1.0, 2.0])
@pytest.mark.parametrize("form", ["L", "RGB", "P", "dimmed", "sixteen bits"])
def test_soft_edges_are_cut_in_the_middle(tmp_path, blur, form):
    image = disc(blur)
    levels = np.asarray(image)
    if form == "dimmed":
        image = Image.fromarray((levels * 0.8).astype(np.uint8))
    elif form == "sixteen bits":
        image = Image.fromarray(levels.astype(np.uint16) * 257)
    else:
        image = image.convert(form)
    image.save(tmp_path / "m.png")
    expected = levels > levels.max() / 2
    assert (read_mask(tmp_path / "m.png") != expected).mean() < 0.004


@pytest.mark.parametrize("quality", [25, 60, 95])
@pytest.mark.parametrize("kind", ["jpg", "webp", "avif"])
def test_noise_of_compression_is_neither_object_nor_number(tmp_path, quality, kind):
    Image.fromarray(OBJECT.astype(np.uint8) * 255).save(tmp_path / f"m.{kind}", quality=quality)
    assert (read_mask(tmp_path / f"m.{kind}") != OBJECT).mean() < 0.01


CLEAR, WHITE, BLACK = (0, 0, 0, 0), (255, 255, 255, 255), (0, 0, 0, 255)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
@pytest.mark.parametrize(
    ("background", "foreground"),
    [
        (CLEAR, WHITE),
        ((255, 255, 255, 0), WHITE),
        (CLEAR, BLACK),
        (BLACK, WHITE),
        (CLEAR, (90, 90, 90, 200)),
        ((0, 0, 0, 0), (255, 255, 255, 0)),
        ((0, 0, 0, 250), (255, 255, 255, 255)),
    ],
)
def test_transparency_is_the_mask_where_it_tells(tmp_path, mode, background, foreground):
    painted(background, foreground).convert(mode).save(tmp_path / "m.png")
    assert np.array_equal(read_mask(tmp_path / "m.png"), OBJECT)


def test_transparency_and_white_are_combined(tmp_path):
    levels = np.zeros((HEIGHT, WIDTH, 4), dtype=np.uint8)
    levels[5:25, 5:35] = BLACK
    levels[OBJECT] = WHITE
    Image.fromarray(levels).save(tmp_path / "card.png")
    assert np.array_equal(read_mask(tmp_path / "card.png"), OBJECT)
    levels[..., :3] = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3))
    levels[..., 3] = OBJECT * 255
    Image.fromarray(levels).save(tmp_path / "cutout.png")
    assert np.array_equal(read_mask(tmp_path / "cutout.png"), OBJECT)
    image = palette(OBJECT * 1, np.array([(0, 0, 0), (255, 255, 255)]))
    image.save(tmp_path / "keyed.gif", transparency=0)
    assert np.array_equal(read_mask(tmp_path / "keyed.gif"), OBJECT)


TRIMAP = np.where(RIM, 128, OBJECT * 255)
TRIMAP[5:9] = 128


@pytest.mark.parametrize(
    ("image", "came"),
    [
        (Image.fromarray(TRIMAP.astype(np.uint8)), "the levels 0, 128, 255"),
        (Image.fromarray(VOID + np.uint8(1) * (VOID < 255)), "the levels 1, 2, 3, 255 without 0"),
        (Image.fromarray(np.arange(1200).reshape(30, 40).astype(np.uint8)), "the levels 0, 1, 2, 3, 4, 5, …"),
        (palette(TWO, np.array([(90, 0, 90), (70, 70, 0), (0, 0, 0)])), "a palette in which index 0 is not black"),
        (palette(TWO + 1, VOC), "a palette in which index 0 is not used"),
        (painted((9, 200, 30), (200, 30, 9)), "colours of which none is black"),
        (painted(BLACK, (255, 255, 255, 0)), "black where it is opaque and white where it is transparent"),
    ],
)
def test_what_can_be_read_in_two_ways_is_refused(tmp_path, image, came):
    image.save(tmp_path / "m.png")
    assert refusal(tmp_path / "m.png") == (
        f"expected a mask, or a label map with background 0, in {tmp_path / 'm.png'}, got {came}; save the object in "
        "white (255) on black (0), or as a boolean .npy array"
    )


def test_a_label_map_saved_as_jpeg_and_a_photograph_are_refused(tmp_path):
    Image.fromarray(TWO).save(tmp_path / "numbers.jpg")
    assert "got JPEG of levels" in refusal(tmp_path / "numbers.jpg")
    noise = np.random.default_rng(0).integers(60, 200, (HEIGHT, WIDTH, 3)).astype(np.uint8)
    Image.fromarray(noise).save(tmp_path / "photograph.png")
    Image.fromarray(noise[..., 0]).save(tmp_path / "grey.png")
    assert "colours" in refusal(tmp_path / "photograph.png")
    assert "without 0" in refusal(tmp_path / "grey.png")


@pytest.mark.parametrize(
    "array",
    [
        OBJECT,
        OBJECT.astype(np.uint8),
        OBJECT.astype(np.uint8) * 255,
        VOID,
        TWO.astype(np.int64),
        VOID.astype(np.int32),
        TWO.astype(np.int32) * 70_000,
        TWO.astype(np.uint16) * 300,
        OBJECT.astype(np.float16),
        OBJECT * 0.9 + ~OBJECT * 0.4,
        OBJECT[None, :, :, None],
    ],
)
def test_arrays_are_masks_shares_or_numbers(tmp_path, array):
    np.save(tmp_path / "m.npy", array)
    assert np.array_equal(read_mask(tmp_path / "m.npy"), OBJECT)


@pytest.mark.parametrize(
    ("array", "came"),
    [
        (np.where(OBJECT, np.nan, 0.0), "expected floats from 0 to 1 in {}, got nan to nan"),
        (np.where(OBJECT, np.inf, 0.0), "expected floats from 0 to 1 in {}, got 0 to inf"),
        (OBJECT * 255.0, "expected floats from 0 to 1 in {}, got 0 to 255"),
        (OBJECT * 3.5 - 2, "expected floats from 0 to 1 in {}, got -2 to 1.5"),
        (OBJECT.astype(np.int8) - 1, "expected integers of at least 0 in {}, got -1"),
        (OBJECT.astype(complex), "expected booleans or numbers in {}, got complex128"),
    ],
)
def test_arrays_out_of_range_are_refused(tmp_path, array, came):
    file = tmp_path / "m.npy"
    np.save(file, array)
    assert refusal(file).startswith(came.format(file))


def test_booleans_that_are_written_as_255_are_true(tmp_path):
    file = tmp_path / "m.npy"
    np.save(file, (OBJECT.astype(np.uint8) * 255).view(bool))
    read = read_mask(file)
    assert (read == OBJECT).all()
    assert int(read.view(np.uint8).max()) == 1


# strings and sizes as pycocotools 2 encodes them
def test_damaged_arrays_are_refused(tmp_path):
    file = tmp_path / "m.npy"
    np.save(file, OBJECT)
    whole = file.read_bytes()
    file.write_bytes(whole[:-1] + b"\x40")  # NumPy takes it for true
    assert "some are neither true nor false" in refusal(file)
    file.write_bytes(whole.replace(b"(30, 40), }", b"(30, 40), \xa1"))
    assert "reading it failed" in refusal(file)
    # a header that claims the pixels, too, and which NumPy would quote whole
    file.write_bytes(whole[:8] + (len(whole) - 10).to_bytes(2, "little") + whole[10:])
    assert "reading it failed" in refusal(file)
    assert len(refusal(file)) < len(str(file)) + 400


def test_compressed_runs_are_those_of_coco():
    expected = np.zeros((9, 7), dtype=bool)
    expected[2:5, 1:6] = True
    expected[6, 3] = True
    assert np.array_equal(decode_rle(";36000KN32207", 9, 7), expected)
    rectangle = np.zeros((90, 120), dtype=bool)
    rectangle[30:70, 40:80] = True
    zeros = "0" * 77
    assert np.array_equal(decode_rle(f"^a3X1b1{zeros}b_3", 90, 120), rectangle)


RUNS = [12 * 30 + 10, *[10, 20] * 15, 10, 12 * 30 - 20 + 10 + 20 - 0]
RUNS[-1] = HEIGHT * WIDTH - sum(RUNS[:-1])
POLYGON = [12, 10, 28, 10, 28, 20, 12, 20]


@pytest.mark.parametrize(
    "content",
    [
        {"size": [HEIGHT, WIDTH], "counts": RUNS},
        {"segmentation": {"size": [HEIGHT, WIDTH], "counts": RUNS}, "bbox": [12, 10, 16, 10]},
        {"segmentation": [POLYGON]},
        [{"segmentation": [[12, 10, 20, 10, 20, 20, 12, 20]]}, {"segmentation": [[20, 10, 28, 10, 28, 20, 20, 20]]}],
        {"images": [{"id": 1}], "annotations": [{"segmentation": [POLYGON]}]},
    ],
)
def test_json_of_one_image_holds_runs_or_polygons(tmp_path, content):
    (tmp_path / "m.json").write_text(json.dumps(content))
    assert np.array_equal(read_mask(tmp_path / "m.json", (WIDTH, HEIGHT)), OBJECT)


@pytest.mark.parametrize(
    ("content", "came"),
    [
        ("{", "reading it failed"),
        ("[" * 100_000, "reading it failed"),
        ("{}", "there is no segmentation in it"),
        ("3", "it holds int where an annotation should be"),
        ('{"size": [30, 40], "counts": [1, 2]}', "sum to 1200 pixels, for a mask of 40 × 30, got 3"),
        ('{"size": [30, 40], "counts": [-5, 1205]}', "at least 0, got -5 in"),
        ('{"size": [3, 4], "counts": [2, 10]}', "its size is 4 × 3 pixels and not 40 × 30, as its image has"),
        ('{"size": [30, 40], "counts": "^a3X"}', "the last one is cut off"),
        ('{"size": [30, 40], "counts": "é"}', "got characters that they never have"),
        ('{"segmentation": [[1, 2, 3]]}', "a polygon of at least 3 corners"),
        ('{"segmentation": [[1, 2, NaN, 3, 4, 5]]}', "got a corner at (nan, 3)"),
        ('{"segmentation": []}', "a segmentation is neither polygons nor a run-length encoding"),
    ],
)
def test_broken_json_is_refused(tmp_path, content, came):
    file = tmp_path / "m.json"
    file.write_text(content, encoding="utf-8")
    with pytest.raises(BadInput) as problem:
        read_mask(file, (WIDTH, HEIGHT))
    assert came in str(problem.value)
    assert str(problem.value).startswith("expected ")
    assert str(file) in str(problem.value)
