"""Image files of every mode: read correctly, or refused by name."""

from __future__ import annotations

import io
import struct
import time
import warnings
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from bglab.errors import BadInput
from bglab.images import crop_box, open_image, open_turned, read_cutout, read_image, read_mask, resize_crop
from fixtures.layouts import colours, oval, save, truncate, turned_jpeg

# the transposition whose result each EXIF orientation turns upright again
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


def as_bytes(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def test_an_rgb_png_is_read_exactly_and_channels_first(tmp_path):
    array = colours("plain", 7, 5)
    image = read_image(save(array, tmp_path / "plain.png"))
    assert image.dtype == np.uint8
    assert image.flags.c_contiguous
    np.testing.assert_array_equal(image, array.transpose(2, 0, 1))


def test_grey_becomes_three_equal_channels():
    levels = np.arange(20, dtype=np.uint8).reshape(4, 5) * 12
    image = read_image(as_bytes(Image.fromarray(levels), "PNG"))
    assert (image == levels).all()


def test_a_palette_becomes_its_colours():
    array = np.array([[[255, 0, 0], [0, 255, 0], [0, 0, 255]]], dtype=np.uint8)
    encoded = as_bytes(Image.fromarray(array).quantize(3), "PNG")
    assert Image.open(io.BytesIO(encoded)).mode == "P"
    np.testing.assert_array_equal(read_image(encoded), array.transpose(2, 0, 1))


def test_cmyk_becomes_the_colours_it_prints():
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))
    encoded = as_bytes(red, "JPEG", quality=100)
    assert Image.open(io.BytesIO(encoded)).mode == "CMYK"
    assert np.abs(read_image(encoded).mean(axis=(1, 2)) - (255, 0, 0)).max() < 3


def test_sixteen_bits_are_scaled_to_eight():
    levels = np.array([[0, 257, 128 * 257, 65535]], dtype=np.uint16)
    encoded = as_bytes(Image.fromarray(levels), "PNG")
    assert Image.open(io.BytesIO(encoded)).mode == "I;16"
    assert read_image(encoded)[0].tolist() == [[0, 1, 128, 255]]


@pytest.mark.parametrize(("top", "expected"), [(1.0, [0, 64, 255]), (255.0, [0, 64, 255])])
def test_float_images_are_scaled_by_what_they_hold(top, expected):
    levels = np.array([[0.0, 0.25 * top, top]], dtype=np.float32)
    assert read_image(as_bytes(Image.fromarray(levels), "TIFF"))[0].tolist() == [expected]


def test_transparency_is_laid_on_white():
    rgba = np.zeros((1, 3, 4), dtype=np.uint8)
    rgba[0, :, 3] = 0, 128, 255
    assert read_image(as_bytes(Image.fromarray(rgba), "PNG"))[0].tolist() == [[255, 127, 0]]


@pytest.mark.parametrize("orientation", sorted(UNDO))
def test_every_exif_orientation_is_turned_upright(orientation):
    upright = colours("upright", 24, 16)
    image = read_image(turned_jpeg(upright, orientation, UNDO[orientation]))
    assert image.shape == (3, 16, 24)
    assert np.abs(image.transpose(1, 2, 0).astype(int) - upright).mean() < 2


@pytest.mark.parametrize("broken", [b"II*\x00\xff\xff\xff\xffnonsense", b"II*\x00\x08\x00\x00\x00\x09", b"no EXIF"])
def test_broken_exif_does_not_cost_the_image(tmp_path, broken):
    array = colours("exif", 16, 16)
    file = tmp_path / "exif.jpg"
    file.write_bytes(as_bytes(Image.fromarray(array), "JPEG", exif=b"Exif\x00\x00" + broken, quality=97))
    assert np.abs(read_image(file).transpose(1, 2, 0).astype(int) - array).mean() < 3
    assert open_turned(file).turn is None


def test_an_empty_file_is_named(tmp_path):
    file = tmp_path / "empty.jpg"
    file.touch()
    with pytest.raises(BadInput) as problem:
        open_image(file)
    assert str(problem.value) == f"expected an image in {file}, but the file is empty; restore or remove it"


def test_a_text_file_named_jpg_is_named(tmp_path):
    file = tmp_path / "text.jpg"
    file.write_text("not an image")
    with pytest.raises(BadInput) as problem:
        open_image(file)
    assert str(problem.value) == f"expected an image in {file}, but its content is no known format; remove it"


def test_a_truncated_jpeg_is_named_and_never_half_read(tmp_path):
    rng = np.random.default_rng(0)
    file = save(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8), tmp_path / "half.jpg")
    truncate(file)
    with pytest.raises(BadInput) as problem:
        open_image(file)
    sentence = str(problem.value)
    assert sentence.startswith(f"expected a complete image in {file}, but reading it failed (image file is truncated")
    assert sentence.endswith("; replace the file")


def test_a_missing_file_is_named(tmp_path):
    file = tmp_path / "gone.jpg"
    with pytest.raises(BadInput) as problem:
        open_image(file)
    sentence = f"expected a complete image in {file}, but reading it failed ([Errno 2] No such file or directory"
    assert str(problem.value).startswith(sentence)


def test_a_broken_upload_is_called_an_upload():
    with pytest.raises(BadInput) as problem:
        open_image(b"nonsense")
    assert str(problem.value) == (
        "expected an image in the uploaded image, but its content is no known format; remove it"
    )


def test_a_png_whose_pixels_are_damaged_is_refused(tmp_path):
    whole = as_bytes(Image.fromarray(oval((4, 4, 40, 30), 48, 40).astype(np.uint8) * 255), "PNG")
    start, end = whole.index(b"IDAT") + 4, whole.index(b"IEND") - 8
    file = tmp_path / "damaged.png"
    unnoticed = 0
    for place in range(start, end):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        try:
            unnoticed += not np.array_equal(Image.open(io.BytesIO(damaged)), Image.open(io.BytesIO(whole)))
        except OSError:
            continue
        file.write_bytes(damaged)
        for reader in (open_image, read_image, read_mask):
            with pytest.raises(BadInput, match="the checksum of its part 'IDAT' differs"):
                reader(file)
    assert unnoticed > 0  # by Pillow, which skips the checksums of pixels
    # what follows the end does not matter
    assert np.array_equal(read_image(whole + b"more"), read_image(whole))


def test_a_tiff_whose_directory_is_damaged_is_read_without_a_warning():
    array = colours("tiff", 20, 20)
    data = as_bytes(Image.fromarray(array), "TIFF", software="x" * 40)
    software = struct.pack("<HHI", 305, 2, 41)
    assert data.count(software) == 1
    damaged = data.replace(software, struct.pack("<HHI", 305, 2, 100_000))  # longer than the file
    np.testing.assert_array_equal(read_image(damaged), array.transpose(2, 0, 1))


def test_threads_swap_the_warning_filters_one_at_a_time(monkeypatch):
    encoded = as_bytes(Image.fromarray(colours("threads", 16, 16)), "PNG")
    real, inside, most = Image.open, [], []

    def slow_open(source, **options):
        inside.append(source)
        time.sleep(0.005)
        most.append(len(inside))
        inside.remove(source)
        return real(source, **options)

    monkeypatch.setattr("bglab.images.io.Image.open", slow_open)
    before = list(warnings.filters)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(open_image, [encoded] * 12))
    assert max(most) == 1  # two at once could leave each other's filters behind
    assert list(warnings.filters) == before


def test_a_mask_of_zeros_and_ones_reads_like_one_of_zeros_and_255(tmp_path):
    mask = np.array([[0, 1], [1, 0]], dtype=np.uint8)
    ones, bytes_ = save(mask, tmp_path / "ones.png"), save(mask * 255, tmp_path / "bytes.png")
    np.save(tmp_path / "array.npy", mask[None])
    for file in (ones, bytes_, tmp_path / "array.npy"):
        assert read_mask(file).dtype == bool
        assert read_mask(file).tolist() == [[False, True], [True, False]]


def test_a_mask_of_other_dimensions_is_named(tmp_path):
    file = tmp_path / "deep.npy"
    np.save(file, np.zeros((2, 3, 4)))
    with pytest.raises(BadInput) as problem:
        read_mask(file)
    assert str(problem.value) == f"expected a mask of two dimensions in {file}, got shape (2, 3, 4); rebuild it"


def test_an_empty_mask_file_is_named(tmp_path):
    file = tmp_path / "empty.npy"
    file.touch()
    with pytest.raises(BadInput) as problem:
        read_mask(file)
    assert str(problem.value) == (
        f"expected a mask in {file}, but reading it failed (No data left in file); rebuild it"
    )


def test_a_cut_out_gives_colours_and_alpha(tmp_path):
    rgba = np.zeros((2, 2, 4), dtype=np.uint8)
    rgba[0, 0] = 10, 20, 30, 51
    colour, alpha = read_cutout(save(rgba, tmp_path / "cut.png"))
    assert colour[:, 0, 0].tolist() == [10, 20, 30]
    assert alpha[0, 0] == pytest.approx(0.2)


def test_a_cut_out_without_transparency_is_refused(tmp_path):
    file = save(colours("solid", 4, 4), tmp_path / "solid.png")
    with pytest.raises(BadInput) as problem:
        read_cutout(file)
    assert str(problem.value) == f"expected a cut-out with transparency in {file}, got mode RGB; save it as RGBA"


def test_an_image_of_the_right_size_is_left_untouched():
    image = Image.fromarray(colours("same", 224, 224))
    assert np.array_equal(np.asarray(resize_crop(image, 224, 1.0)), np.asarray(image))


@given(
    width=st.integers(20, 120),
    height=st.integers(20, 120),
    size=st.sampled_from([16, 28, 32]),
    fraction=st.sampled_from([0.875, 1.0]),
    corner=st.tuples(st.floats(0, 0.7), st.floats(0, 0.7)),
)
def test_a_box_follows_the_crop_of_its_pixels(width, height, size, fraction, corner):
    x0, y0 = int(corner[0] * width), int(corner[1] * height)
    box = (x0, y0, x0 + max(width // 4, 1), y0 + max(height // 4, 1))
    inside = np.zeros((height, width), dtype=np.uint8)
    inside[box[1] : box[3], box[0] : box[2]] = 255
    cropped = np.asarray(resize_crop(Image.fromarray(inside), size, fraction, smooth=False)) > 0
    left, top, right, bottom = crop_box(box, width, height, size, fraction)
    columns, rows = np.flatnonzero(cropped.any(axis=0)), np.flatnonzero(cropped.any(axis=1))
    if columns.size == 0 or rows.size == 0:
        assert right - left <= 1 or bottom - top <= 1
        return
    # rounding to whole pixels may move an edge by one
    assert abs(columns[0] - left) <= 1
    assert abs(columns[-1] + 1 - right) <= 1
    assert abs(rows[0] - top) <= 1
    assert abs(rows[-1] + 1 - bottom) <= 1


@pytest.mark.parametrize(("width", "height"), [(500, 333), (333, 500), (224, 224), (100, 400)])
def test_resize_and_crop_give_the_requested_size(width, height):
    assert resize_crop(Image.new("RGB", (width, height)), 64).size == (64, 64)
