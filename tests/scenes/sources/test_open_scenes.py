"""The release on disk: every image is read or rejected by name, and composed variants agree with the published ones."""

from __future__ import annotations

import shutil
import time

import numpy as np
import pytest
import torch

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.images import box_of, compositing, read_image
from bglab.labels import IN9
from bglab.scenes import available, open_scenes
from bglab.scenes.sources.in9 import PUBLISHED, widen_to_black
from fixtures.layouts import (
    BOX,
    SIZE,
    colours,
    in9_id,
    oval,
    save,
    truncate,
    write_in9,
)

DOG = in9_id(0, 0)


@pytest.fixture(scope="module")
def pristine(tmp_path_factory):
    return write_in9(tmp_path_factory.mktemp("pristine"), per_class=2)


@pytest.fixture
def release(pristine, tmp_path):
    """A copy of the release that a test may damage."""
    return shutil.copytree(pristine, tmp_path / "bg_challenge")


def close(one, other, levels=3.0):
    return np.abs(np.asarray(one, dtype=float) - np.asarray(other, dtype=float)).mean() < levels


def test_in9_reads_scenes_with_labels_masks_boxes_and_plates(pristine):
    scenes = open_scenes(f"in9:{pristine}")
    assert (scenes.name, scenes.space, scenes.crop_fraction) == ("in9:bg_challenge", "in9", 1.0)
    assert scenes.labels.tolist() == [label for label in range(9) for _ in range(2)]
    scene = scenes[DOG]
    assert (scene.label, scene.native_label) == (0, IN9[0].imagenet[0])
    assert close(scene.image.transpose(1, 2, 0), colours(DOG, SIZE, SIZE))
    np.testing.assert_array_equal(scene.mask, oval(BOX, SIZE, SIZE))
    assert scene.box == BOX
    assert scene.plate is not None
    assert close(scene.plate, compositing.tile_box(torch.from_numpy(scene.image), BOX))
    assert scenes.rejected == ()


def test_in9_opens_from_the_folder_above_and_keeps_its_fingerprint(pristine, release):
    direct, above = open_scenes(f"in9:{pristine}"), open_scenes(f"in9:{pristine.parent}")
    moved = open_scenes(f"in9:{release}")
    assert direct.ids == above.ids
    assert direct.fingerprint == above.fingerprint == moved.fingerprint
    assert open_scenes(f"in9:{pristine}?plates=tiled").fingerprint != direct.fingerprint


def test_in9_plates_can_be_left_to_tiling(pristine):
    assert open_scenes(f"in9:{pristine}?plates=tiled")[0].plate is None
    with pytest.raises(UnknownName) as problem:
        open_scenes(f"in9:{pristine}?plates=tile")
    assert str(problem.value) == ("unknown value of plates 'tile'; did you mean 'tiled'? Known: published, tiled")


def test_in9_box_is_widened_to_the_published_black_rectangle(tmp_path):
    scene = open_scenes(f"in9:{write_in9(tmp_path, margin=4)}?plates=tiled")[DOG]
    true = (BOX[0] - 4, BOX[1] - 4, BOX[2] + 4, BOX[3] + 4)
    assert max(abs(a - b) for a, b in zip(scene.box, true, strict=True)) <= 1


def test_a_box_does_not_grow_over_dark_or_bright_surroundings():
    box = (10, 10, 20, 20)
    bright = np.full((3, 32, 32), 200, dtype=np.uint8)
    black = bright.copy()
    black[:, 10:20, 10:20] = 0
    assert widen_to_black(box, bright, black) == box
    dark = np.where(np.arange(32) < 10, 5, bright).astype(np.uint8)  # a black strip left of the box
    assert widen_to_black(box, dark, np.minimum(dark, black)) == box
    black[:, 25:30, 25:30] = 0  # two rectangles are no box
    assert widen_to_black(box, bright, black) == box


def test_in9_reports_when_the_counts_differ_from_the_release(release):
    for folder in (release / "mixed_rand" / "val" / "00_dog", release / "only_fg" / "val"):
        shutil.rmtree(folder)
    assert open_scenes(f"in9:{release}").notices == (
        "expected 450 images in each of 9 classes of bg_challenge, got 2 dog, 2 bird, 2 vehicle, 2 reptile, "
        "2 carnivore, 2 insect, 2 instrument, 2 primate, 2 fish; results are not comparable with those of "
        "the release",
        "bg_challenge has no images of only_fg; these variants can be composed, but not opened as published",
        "bg_challenge has 16 published images of mixed_rand but 18 originals; results of mixed_rand use these "
        "images only",
    )


def test_in9_rejects_by_name_what_lacks_a_file(release):
    folder = IN9[1].folder
    mask = release / "fg_mask" / "val" / folder / f"{in9_id(1, 0)}.npy"
    mask.unlink()
    empty = release / "original" / "val" / folder / f"{in9_id(1, 1)}.JPEG"
    empty.write_bytes(b"")
    dog = release / "original" / "val" / "00_dog" / f"{DOG}.JPEG"
    save(colours("twin", SIZE, SIZE), dog.with_suffix(".png"))
    scenes = open_scenes(f"in9:{release}")
    assert len(scenes) == 16
    assert [(r.scene, r.reason) for r in scenes.rejected] == [
        (in9_id(1, 0), f"expected {mask}, but there is no such file; restore it"),
        (in9_id(1, 1), f"expected content in {empty}, but the file is empty; restore it"),
        (DOG, f"expected one image named {DOG}, but {dog} has that name too; rename one"),
    ]
    # a published image needs no mask
    assert in9_id(1, 0) in [image.scene for image in scenes.published("original")]


@pytest.mark.parametrize(
    ("mask", "sentence"),
    [
        (np.zeros((SIZE, SIZE), bool), "expected a foreground in {}, but the mask marks nothing; redraw it"),
        (
            np.ones((SIZE, SIZE), np.uint8),
            "expected some background in {}, but the mask marks the whole image; redraw it",
        ),
        (
            np.eye(SIZE + 2, dtype=bool),
            "expected a mask of 48 × 48 pixels, as its image has, in {}, got 50 × 50; rebuild the mask from this image",
        ),
    ],
)
def test_in9_names_an_unusable_mask(release, mask, sentence):
    file = release / "fg_mask" / "val" / "00_dog" / f"{DOG}.npy"
    np.save(file, mask)
    with pytest.raises(BadInput) as problem:
        open_scenes(f"in9:{release}")[DOG]
    assert str(problem.value) == sentence.format(file)


def test_in9_names_a_truncated_image_and_a_plate_of_another_size(release):
    folder = release / "original" / "val" / "00_dog"
    noise = np.random.default_rng(0).integers(0, 256, (SIZE, SIZE, 3), dtype=np.uint8)
    truncate(save(noise, folder / f"{DOG}.JPEG"))
    plate = save(colours("plate", 20, 10), release / "only_bg_t" / "val" / "00_dog" / f"{in9_id(0, 1)}.JPEG")
    scenes = open_scenes(f"in9:{release}")
    with pytest.raises(BadInput, match="expected a complete image in .*00_dog.*, but reading it failed"):
        scenes[DOG]
    with pytest.raises(BadInput) as problem:
        scenes[in9_id(0, 1)]
    assert str(problem.value) == (
        f"expected 48 × 48 pixels, as the original has, in {plate}, got 20 × 10; restore it from the release"
    )


def test_in9_never_guesses_a_misspelt_class(release):
    images = release / "original" / "val"
    (images / "00_dog").rename(images / "00_dgo")
    shutil.rmtree(images / "08_fish")
    scenes = open_scenes(f"in9:{release}")
    reason = "expected a folder named after a class, got '00_dgo'; if it is '00_dog', rename it"
    assert scenes.notices[:2] == (
        f"the images in {images / '00_dgo'} are skipped: {reason}",
        f"{images} has no folder '00_dog', '08_fish'; the set has only the other 7 classes",
    )
    assert {r.scene: r.reason for r in scenes.rejected} == {DOG: reason, in9_id(0, 1): reason}
    assert set(scenes.labels.tolist()) == set(range(1, 8))


def test_in9_refuses_folders_that_are_no_release(tmp_path):
    gone = tmp_path / "gone"
    with pytest.raises(MissingData) as missing:
        open_scenes(f"in9:{gone}")
    remedy = "run `bglab data fetch in9`, or give the folder bg_challenge of the unpacked release"
    assert str(missing.value) == f"expected a folder at {gone} for 'in9:', but it does not exist; {remedy}"
    with pytest.raises(BadInput) as problem:
        open_scenes(f"in9:{tmp_path}")
    assert str(problem.value) == f"expected the folder original/val of the release in {tmp_path}, got none; {remedy}"
    save(colours("stray", 8, 8), tmp_path / "original" / "val" / "cats" / "stray.JPEG")
    with pytest.raises(BadInput) as problem:
        open_scenes(f"in9:{tmp_path}")
    assert str(problem.value) == (
        f"expected class folders like '00_dog' in {tmp_path / 'original' / 'val'}, got cats; give the folder that "
        "holds the unpacked archive"
    )


@pytest.mark.parametrize("variant", PUBLISHED)
def test_in9_lists_published_images_with_their_labels(pristine, variant):
    images = open_scenes(f"in9:{pristine}").published(variant)
    assert [p.label for p in images] == [label for label in range(9) for _ in range(2)]
    first = images[0]
    assert (first.scene, first.native_label) == (DOG, IN9[0].imagenet[0])
    assert first.file.parts[-4:-1] == (variant, "val", "00_dog")
    # the release names the background of mixed_rand wrongly, so it counts as unknown
    assert first.donor == {"mixed_same": in9_id(0, 7), "mixed_next": in9_id(1, 0)}.get(variant, "")


def test_in9_names_variants_that_are_unknown_or_absent(release):
    shutil.rmtree(release / "no_fg")
    published = open_scenes(f"in9:{release}").published
    with pytest.raises(UnknownName) as unknown:
        published("mixed-rand")
    assert str(unknown.value) == (
        "unknown published variant 'mixed-rand'; did you mean 'mixed_rand'? Known: " + ", ".join(PUBLISHED)
    )
    with pytest.raises(MissingData) as missing:
        published("no_fg")
    assert str(missing.value) == (
        f"expected the published images of no_fg in {release / 'no_fg' / 'val'}, got none; run `bglab data fetch "
        "in9`, or give the folder bg_challenge of the unpacked release, or leave out --published to compose the variant"
    )


@pytest.mark.alone
def test_in9_opens_a_release_of_full_size_in_a_moment(tmp_path):
    for coarse in IN9:
        for part, suffix in (*((variant, ".JPEG") for variant in PUBLISHED[:3]), ("fg_mask", ".npy")):
            folder = tmp_path / part / "val" / coarse.folder
            folder.mkdir(parents=True)
            for number in range(450):
                (folder / f"{coarse.wordnet_id}_{number}{suffix}").write_bytes(b"-")
    start = time.perf_counter()
    assert len(open_scenes(f"in9:{tmp_path}")) == 4050
    assert time.perf_counter() - start < 5  # about 0.4 s alone; shared machines are slower


# --- real images -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", ["bg_challenge", "imagenet"])
def test_every_real_scene_can_be_read(mini, layout):
    uri = f"in9:{mini}" if layout == "bg_challenge" else f"imagenet:{mini / 'imagenet'}?masks=box"
    scenes = open_scenes(uri)
    assert len(scenes) == 96
    assert scenes.rejected == ()
    for scene in scenes:
        assert 0 < scene.mask.mean() < 1
        assert scene.box == box_of(scene.mask)


def test_composed_variants_agree_with_the_published_ones(mini):
    scenes = open_scenes(f"in9:{mini}?plates=tiled")
    for scene in scenes:
        image, mask = torch.from_numpy(scene.image), torch.from_numpy(scene.mask)
        black = torch.zeros_like(image)
        composed = {
            "only_fg": compositing.composite(image, black, mask),
            "no_fg": compositing.composite(black, image, mask),
            "only_bg_b": compositing.fill_box(image, torch.tensor(scene.box), (0, 0, 0)),
            "only_bg_t": compositing.tile_box(image, scene.box),
        }
        original = scenes.records[scenes.positions[scene.id]].files[0]
        for variant, pixels in composed.items():
            file = original.parents[3] / variant / "val" / original.parent.name / original.name
            error = np.abs(read_image(file).astype(int) - pixels.numpy().astype(int))
            # JPEG leaves a few levels on average, and more only along new edges
            assert error.mean() < 4, (scene.id, variant)
            assert (error < 32).mean() > 0.97, (scene.id, variant)


def test_available_wants_a_uri():
    with pytest.raises(BadInput, match="expected at least one URI, got none"):
        available()


def test_a_path_that_no_folder_can_have_is_said():
    for uri in ("in9:" + "a" * 300, "a" * 300):
        with pytest.raises((MissingData, UnknownName)) as problem:
            open_scenes(uri)
        assert len(str(problem.value)) < 500
