"""Streaming photographs of every kind of JPEG: the pixels of Pillow and timm, and the refusals, of a plain loop."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval

from bglab.errors import BadInput
from bglab.images import EvaluationTransform, arrays, from_levels, open_image, to_levels
from bglab.labels import imagenet_synsets
from bglab.scenes import Scene, SceneRecord, open_scenes
from bglab.scenes import scene as scene_module
from bglab.variants import StreamSettings, expand, open_full, stream
from fixtures.layouts import box_xml, colours

SYNSET = imagenet_synsets()[0]
BICUBIC = EvaluationTransform(interpolation="bicubic")


def exif(orientation):
    found = Image.Exif()
    found[0x0112] = orientation
    return {"exif": found}


XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><tiff:Orientation>6</tiff:Orientation></x:xmpmeta>'
#: Name of the kind → mode and options of the encoder.
KINDS = {
    "4:2:0": ("RGB", {"subsampling": "4:2:0"}),
    "4:2:2": ("RGB", {"subsampling": "4:2:2"}),
    "4:4:4": ("RGB", {"subsampling": "4:4:4"}),
    "progressive": ("RGB", {"progressive": True}),
    "grey": ("L", {}),
    "cmyk": ("CMYK", {}),
    "restarts": ("RGB", {"restart_marker_rows": 1}),
    "kept as RGB": ("RGB", {"keep_rgb": True}),
    "profile": ("RGB", {"icc_profile": bytes(range(256)) * 300}),
    "xmp": ("RGB", {"xmp": XMP}),
    **{f"turned {i}": ("RGB", exif(i)) for i in range(1, 10)},
}
#: Of both orientations, thin, and small enough to be enlarged.
SIZES = [(500, 375), (375, 500), (333, 500), (90, 301), (101, 77)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    """One photograph of each kind and size, with a box in the middle."""
    folder = tmp_path_factory.mktemp("imagenet")
    for i, (mode, options) in enumerate(KINDS.values()):
        for j, (width, height) in enumerate(SIZES):
            grain = np.random.default_rng(i).integers(-24, 25, (height, width, 3))
            image = Image.fromarray((colours(f"{i}", width, height) + grain).clip(0, 255).astype(np.uint8))
            file = folder / "val" / SYNSET / f"ILSVRC2012_val_{len(SIZES) * i + j:08d}.JPEG"
            file.parent.mkdir(parents=True, exist_ok=True)
            image.convert(mode).save(file, "JPEG", quality=90, **options)
            box = (width // 4, height // 4, width // 2, height // 2)
            box_xml(folder / "Annotations" / "CLS-LOC" / "val" / f"{file.stem}.xml", width, height, [(SYNSET, box)])
    return folder


def plainly(file, transform):
    """Decode by Pillow alone, turned upright by its own function, and resize and crop by timm's."""
    from PIL import ImageOps

    theirs = transforms_imagenet_eval(
        transform.size, crop_pct=transform.crop_pct, interpolation=transform.interpolation, normalize=False
    )
    with Image.open(file) as image:
        return theirs(ImageOps.exif_transpose(image).convert("RGB")).numpy()


@pytest.mark.parametrize("transform", [BICUBIC, EvaluationTransform(96, 0.95)], ids=lambda t: t.key)
def test_every_kind_of_jpeg_has_the_pixels_of_pillow_and_timm(root, transform):
    full = open_full(f"imagenet:{root}", StreamSettings(), progress=False)
    assert len(full.by_box) == len(KINDS) * len(SIZES)
    for block in stream(full, expand(["original"], full.settings), transform):
        assert not block.rejected
        for record, crop in zip(block.records, block.crops[0], strict=True):
            assert np.array_equal(crop, plainly(record.files[0], transform)), record.id


def test_an_original_streams_the_same_beside_other_variants(root):
    full = open_full(f"imagenet:{root}", StreamSettings(), progress=False).select(
        [f"ILSVRC2012_val_{i:08d}" for i in range(0, 95, 7)]
    )
    (alone,) = stream(full, expand(["original"], full.settings), BICUBIC)
    (beside,) = stream(full, expand(["on_white", "original"], full.settings), BICUBIC, with_masks=True)
    assert np.array_equal(alone.crops[0], beside.crops[1])
    assert not np.array_equal(alone.crops[0], beside.crops[0])


def test_an_original_is_streamed_without_an_array_of_the_whole_image(root, monkeypatch):
    converted = []
    to_array = arrays.to_levels
    monkeypatch.setattr(scene_module, "to_levels", lambda image: converted.append(image.size) or to_array(image))
    full = open_full(f"imagenet:{root}", StreamSettings(), progress=False)
    for names, count in ((["original"], 0), (["on_white", "on_grey"], len(full.by_box))):
        list(stream(full, expand(names, full.settings), BICUBIC))
        assert len(converted) == count, names


def test_broken_files_and_annotations_are_refused_as_by_reading(root, tmp_path):
    import shutil

    folder = shutil.copytree(root, tmp_path / "broken")
    full = open_full(f"imagenet:{folder}", StreamSettings(), progress=False)
    files = [record.files for record in full.by_box.records[:4]]
    files[0][0].write_bytes(files[0][0].read_bytes()[:2000])
    files[1][0].write_bytes(b"")
    files[2][0].write_text("no image")
    box_xml(files[3][1], 5000, 4000, [(SYNSET, (0, 0, 9, 9))])
    few = full.select([record.id for record in full.by_box.records[:5]])
    (block,) = stream(few, expand(["original"], full.settings), BICUBIC)
    assert [record.id for record in block.records] == [full.by_box.records[4].id]
    reasons = []
    for record in few.by_box.records[:4]:
        with pytest.raises(BadInput) as problem:
            few.by_box.read(record)
        reasons.append(str(problem.value))
    assert [rejection.reason for rejection in block.rejected] == reasons
    for word, reason in zip(["complete", "is empty", "no known format", "to measure"], reasons, strict=True):
        assert word in reason


def test_a_scene_makes_its_array_once_and_keeps_its_image(root):
    (scene, *_) = open_scenes(f"imagenet:{root}?masks=box")
    assert scene.decoded is scene.decoded
    assert scene.image is scene.image
    assert np.array_equal(scene.image, np.asarray(scene.decoded).transpose(2, 0, 1))
    assert from_levels(scene.image).tobytes() == scene.decoded.tobytes()
    other = scene.with_mask(~scene.mask)
    assert other.decoded is scene.decoded
    assert np.array_equal(other.mask, ~scene.mask)
    changed = replace(scene, image=255 - scene.image)
    assert np.array_equal(to_levels(changed.decoded), 255 - scene.image)
    with pytest.raises(AttributeError, match="colour"):
        _ = scene.colour


@pytest.mark.parametrize("fill", [False, True])
def test_a_scene_of_an_image_is_checked_as_one_of_an_array(fill):
    mask = np.full((4, 6), fill)
    image = Image.new("RGB", (6, 4))
    record = SceneRecord("of", 0)
    with pytest.raises(BadInput) as ours:
        Scene.of_decoded(record, image, mask, (0, 0, 1, 1))
    with pytest.raises(BadInput) as theirs:
        Scene("of", 0, -1, to_levels(image), mask, (0, 0, 1, 1))
    assert str(ours.value) == str(theirs.value)
    mask[0, 0] = not fill
    with pytest.raises(BadInput, match="expected a mask of 5 × 4 pixels"):
        Scene.of_decoded(record, Image.new("RGB", (5, 4)), mask, (0, 0, 1, 1))


def test_an_image_of_any_source_becomes_levels_and_back(tmp_path):
    levels = np.random.default_rng(0).integers(0, 256, (3, 5, 7), dtype=np.uint8)
    from_levels(levels).save(tmp_path / "some.png")
    assert np.array_equal(to_levels(open_image(tmp_path / "some.png")), levels)
