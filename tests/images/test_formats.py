"""Formats of photographs: each is read, and a file never chooses another decoder by its name."""

from __future__ import annotations

import io
import subprocess
import sys
import types

import numpy as np
import pytest
from PIL import Image

from bglab.errors import BadInput
from bglab.images import IMAGE_SUFFIXES, formats, is_animated, open_image, read_image, read_matte

LOSSLESS = ("png", "apng", "ppm", "pnm", "bmp", "dib", "tif", "tiff", "tga", "qoi", "pcx", "sgi", "jp2", "j2k")
LOSSY = ("jpg", "jpeg", "jfif", "jpe", "mpo", "webp", "avif")


def flat(mode: str = "RGB") -> Image.Image:
    return Image.new("RGB", (24, 16), (200, 60, 30)).convert(mode)


@pytest.mark.parametrize("suffix", [*LOSSLESS, *LOSSY])
def test_every_format_of_photographs_is_read(tmp_path, suffix):
    assert f".{suffix}" in IMAGE_SUFFIXES
    flat().save(tmp_path / f"a.{suffix}")
    image = read_image(tmp_path / f"a.{suffix}")
    assert image.shape == (3, 16, 24)
    assert np.abs(image.mean(axis=(1, 2)) - (200, 60, 30)).max() < (6 if suffix in LOSSY else 0.1)


@pytest.mark.parametrize(("suffix", "mode"), [("pgm", "L"), ("pbm", "1"), ("pfm", "F"), ("gif", "P")])
def test_formats_of_other_modes_are_read(tmp_path, suffix, mode):
    assert f".{suffix}" in IMAGE_SUFFIXES
    flat(mode).save(tmp_path / f"a.{suffix}")
    assert read_image(tmp_path / f"a.{suffix}").shape == (3, 16, 24)


@pytest.mark.parametrize("suffix", ["eps", "ps", "pdf", "wmf", "emf", "svg", "psd", "ico", "fits", "h5"])
def test_formats_of_no_photographs_are_no_images(suffix):
    assert f".{suffix}" not in IMAGE_SUFFIXES


def test_postscript_under_the_name_of_an_image_starts_no_program(tmp_path, monkeypatch):
    def started(*arguments, **options):
        raise AssertionError(f"started {arguments}")

    monkeypatch.setattr(subprocess, "check_call", started)
    monkeypatch.setattr(subprocess, "Popen", started)
    file = tmp_path / "x.png"
    file.write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 100 100\n%%EndComments\nshowpage\n")
    with pytest.raises(BadInput, match="its content is no known format; remove it"):
        open_image(file)


def test_heif_is_registered_where_its_plugin_is_installed(monkeypatch):
    registered = []
    plugin = types.ModuleType("pillow_heif")
    plugin.__spec__ = types.SimpleNamespace(name="pillow_heif")
    plugin.register_heif_opener = lambda: registered.append(True)
    monkeypatch.setitem(sys.modules, "pillow_heif", plugin)
    formats.readable_formats.cache_clear()
    try:
        assert formats.has_heif()
        assert ".heic" in formats._suffixes()
        assert read_image(encoded(flat(), "PNG")).shape == (3, 16, 24)
        assert registered == [True]
    finally:
        formats.readable_formats.cache_clear()


def encoded(image: Image.Image, kind: str, **options) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("convert", [bytes, bytearray, memoryview])
def test_contents_may_be_any_kind_of_bytes(convert):
    content = convert(encoded(flat("RGBA"), "PNG"))
    assert read_image(content)[:, 0, 0].tolist() == [200, 60, 30]
    assert read_matte(content) is None


def test_images_of_pillow_are_read_like_files():
    image = Image.new("RGBA", (4, 2), (9, 8, 7, 0))
    image.putpixel((1, 1), (90, 80, 70, 255))
    assert read_image(image)[:, 1, 1].tolist() == [90, 80, 70]
    assert read_image(image)[:, 0, 0].tolist() == [255, 255, 255]
    assert read_matte(image).tolist() == [[0, 0, 0, 0], [0, 1, 0, 0]]
    assert image.getpixel((0, 0)) == (9, 8, 7, 0)


@pytest.mark.parametrize(("suffix", "is_several"), [("gif", True), ("png", True), ("tif", True), ("webp", True)])
def test_of_several_frames_the_first_is_read(tmp_path, suffix, is_several):
    one, more = tmp_path / f"one.{suffix}", tmp_path / f"more.{suffix}"
    flat().save(one)
    flat().save(more, save_all=True, append_images=[Image.new("RGB", (24, 16), "blue")])
    assert [is_animated(one), is_animated(more)] == [False, is_several]
    assert np.abs(read_image(more).mean(axis=(1, 2)) - (200, 60, 30)).max() < 6


@pytest.mark.parametrize("top", [90, 200, 255, 4000])
def test_a_dark_image_of_16_bits_stays_dark(tmp_path, top):
    levels = np.full((4, 4), top, dtype=np.uint16)
    Image.fromarray(levels).save(tmp_path / "a.png")
    Image.fromarray(levels).save(tmp_path / "a.tif")
    Image.fromarray(levels.astype(np.int32)).save(tmp_path / "b.tif")  # mode I
    for name in ("a.png", "a.tif", "b.tif"):
        assert read_image(tmp_path / name).max() == round(top / 257), name


@pytest.mark.parametrize(
    ("levels", "came"),
    [
        (np.full((2, 2), 70_000, dtype=np.int32), "70000 to 70000"),
        (np.array([[-5, 9]], dtype=np.int32), "-5 to 9"),
        (np.array([[np.nan, 1]], dtype=np.float32), "nan to nan"),
        (np.array([[0, np.inf]], dtype=np.float32), "0 to inf"),
        (np.array([[-1, 1]], dtype=np.float32), "-1 to 1"),
    ],
)
def test_levels_outside_the_range_of_a_mode_are_named(tmp_path, levels, came):
    file = tmp_path / "a.tif"
    Image.fromarray(levels).save(file)
    with pytest.raises(BadInput) as problem:
        open_image(file)
    assert str(problem.value) == (
        f"expected an image that converts to RGB in {file}, but its levels are from {came} and not within 0 to 65535; "
        "save it again"
    )
