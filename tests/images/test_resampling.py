"""Resizing only what a crop shows: Pillow's and timm's pixels for every shape, size, filter and mode."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bglab.images import EvaluationTransform, resampling, resize_crop

BILINEAR, BICUBIC, LANCZOS = Image.Resampling.BILINEAR, Image.Resampling.BICUBIC, Image.Resampling.LANCZOS
#: Usual photographs, odd sides, thin ones either way, smaller and larger than the crop, and already of the size.
SHAPES = [(500, 375), (375, 500), (333, 500), (501, 377), (257, 256), (256, 256), (300, 171), (171, 300)]
SHAPES += [(90, 60), (60, 90), (61, 183), (900, 70), (70, 900), (224, 224), (1201, 1600), (64, 63)]


def noise(width, height, mode="RGB"):
    bands = len(mode)
    levels = np.random.default_rng(width * height).integers(0, 256, (height, width, bands), dtype=np.uint8)
    return Image.fromarray(levels[..., 0] if bands == 1 else levels)


@pytest.mark.parametrize("shape", SHAPES, ids=lambda s: f"{s[0]}x{s[1]}")
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_the_centre_crop_has_timms_pixels(shape, interpolation):
    from timm.data.transforms_factory import transforms_imagenet_eval

    image = noise(*shape)
    for size, share in ((224, 0.875), (224, 0.9), (224, 0.95), (96, 1.0), (240, 0.882), (64, 0.5), (128, 0.25)):
        theirs = transforms_imagenet_eval(size, crop_pct=share, interpolation=interpolation, normalize=False)
        ours = EvaluationTransform(size, share, interpolation)(image)
        assert ours.flags.c_contiguous
        assert np.array_equal(ours, theirs(image).numpy()), (size, share)


@pytest.mark.parametrize("mode", ["RGB", "L", "RGBA"])
@pytest.mark.parametrize("resample", [BILINEAR, BICUBIC, LANCZOS, Image.Resampling.NEAREST], ids=lambda r: r.name)
def test_any_crop_of_any_resize_has_pillows_pixels(mode, resample):
    rng = np.random.default_rng(3)
    for width, height in SHAPES:
        image = noise(width, height, mode)
        for short in (64, 77, 256):
            scale = short / min(width, height)
            resized = (max(short, int(width * scale)), max(short, int(height * scale)))
            corner = tuple(int(rng.integers(0, side - short // 2 + 1)) for side in resized)
            box = (*corner, corner[0] + short // 2, corner[1] + short // 2)
            ours = resampling.resize_and_crop_image(image, resized, corner, short // 2, resample)
            assert ours == image.resize(resized, resample).crop(box), (width, height, short, corner)


def test_what_lies_outside_the_image_is_black_as_in_pillow():
    image = noise(50, 40)
    ours = resampling.resize_and_crop_image(image, (30, 24), (-4, -2), 32, BILINEAR)
    assert ours == image.resize((30, 24), BILINEAR).crop((-4, -2, 28, 30))
    assert not np.asarray(ours)[:2].any()


def test_usual_photographs_are_resized_in_parts(monkeypatch):
    resized = []
    whole = Image.Image.resize

    def record(image, size, *arguments, **options):
        resized.append((image.size, size))
        return whole(image, size, *arguments, **options)

    resampling._rows_come_first()  # once for the process
    monkeypatch.setattr(Image.Image, "resize", record)
    resize_crop(noise(500, 375), 224)
    # of 375 rows those that the crop shows, and of 341 columns the middle ones
    (first, to), (second, crop) = resized
    assert first[1] < 340
    assert (to, second, crop) == ((341, first[1]), (224, first[1]), (224, 224))
    resized.clear()
    resize_crop(noise(100, 500), 224)
    assert resized == [((100, 500), (256, 1280))]


def test_a_pillow_of_another_order_resizes_the_whole_image(monkeypatch):
    monkeypatch.setattr(resampling, "_rows_come_first", lambda: False)
    calls = []
    whole = Image.Image.resize
    monkeypatch.setattr(Image.Image, "resize", lambda self, size, *rest: calls.append(size) or whole(self, size, *rest))
    resize_crop(noise(500, 375), 224)
    assert calls == [(341, 256)]


@pytest.mark.parametrize("order", ["rows first", "columns first"])
def test_the_order_of_pillows_passes_is_found_out(monkeypatch, order):
    whole = Image.Image.resize

    def columns_first(image, size, *rest):
        return whole(whole(image, (image.width, size[1]), *rest), size, *rest)

    if order == "columns first":
        monkeypatch.setattr(Image.Image, "resize", columns_first)
    resampling._rows_come_first.cache_clear()
    try:
        assert resampling._rows_come_first() == (order == "rows first")
    finally:
        resampling._rows_come_first.cache_clear()
