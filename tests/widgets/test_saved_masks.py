"""A mask mended in the explorer is saved at the size of its image, and is the one that the folder opens with."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

import bglab
from bglab.errors import BadInput
from bglab.images import paste_crop, read_mask, resize_crop
from bglab.scenes import open_scenes, prepare
from fixtures.layouts import colours, oval, save, write_table
from fixtures.stand_ins import make_classifier
from fixtures.views import View

SIZE = 32
WIDTH, HEIGHT = 160, 120
OVAL = oval((40, 30, 100, 90), WIDTH, HEIGHT)


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture
def folder(tmp_path, data_folder):
    root = tmp_path / "set"
    for name in ("a", "b"):
        save(colours(name, WIDTH, HEIGHT), root / "images" / "cow" / f"{name}.png")
    mask = root / "masks" / "cow" / "a.png"
    mask.parent.mkdir(parents=True)
    Image.fromarray(OVAL).save(mask)
    write_table(root / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/b.png", 40, 30, 100, 90))
    return root


@pytest.fixture
def explorer(folder):
    widget = bglab.explore(prepare(open_scenes(f"folder:{folder}"), SIZE, progress=False), make_classifier(brightness))
    yield widget
    widget.close()


def mend(explorer, scene, change):
    """Edit a mask as the brush does; return the mask that was sent."""
    images = explorer._session.images
    mask = images.batch(scene).masks[0].numpy().copy()
    change(mask)
    View(explorer).ask("edit_mask", "uploads", [mask.astype(np.uint8).tobytes()], scene=scene)
    explorer.scene = images.editable(scene)
    return mask


def add_corner(mask):
    mask[:4, :4] = True


def test_a_mended_mask_persists(folder, explorer):
    shown = mend(explorer, "cow/a", add_corner)
    path = explorer.save_mask()
    assert path == folder / "masks" / "cow" / "a.png"
    saved = read_mask(path)
    assert saved.shape == (HEIGHT, WIDTH)
    # 120 rows are resized to 36 for the crop of 32: what was not edited keeps its resolution
    changed = saved != OVAL
    assert changed.any()
    assert not changed[25:].any()
    assert not changed[:, 45:].any()
    again = prepare(open_scenes(f"folder:{folder}"), SIZE, progress=False)
    np.testing.assert_array_equal(again.masks[again.scenes.positions["cow/a"]], shown)


def test_an_edit_can_be_taken_back(folder, explorer):
    mend(explorer, "cow/a", add_corner)
    explorer.save_mask()

    def remove_corner(mask):
        mask[:] = explorer._session.images.batch("cow/a").masks[0].numpy()

    mend(explorer, "cow/a", remove_corner)
    np.testing.assert_array_equal(read_mask(explorer.save_mask()), OVAL)


def test_a_mask_that_was_cut_from_a_box_gets_a_file(folder, explorer):
    whole = open_scenes(f"folder:{folder}")["cow/b"].mask
    explorer.scene = "cow/b"
    path = explorer.save_mask()
    assert path == folder / "masks" / "cow" / "b.png"
    np.testing.assert_array_equal(read_mask(path), whole)


def test_a_path_is_written_to_and_the_set_is_left_alone(folder, explorer, tmp_path):
    before = (folder / "masks" / "cow" / "a.png").read_bytes()
    mend(explorer, "cow/a", add_corner)
    path = explorer.save_mask(tmp_path / "mine" / "mask.png")
    assert read_mask(path)[10, 30]
    assert (folder / "masks" / "cow" / "a.png").read_bytes() == before


def test_a_file_that_holds_more_than_the_mask_is_not_replaced(folder, explorer):
    file = folder / "masks" / "cow" / "a.png"
    labels = np.zeros((HEIGHT, WIDTH), dtype=np.uint8)
    labels[OVAL] = 2
    labels[0, 0] = 1
    Image.fromarray(labels).save(file)
    before = file.read_bytes()
    mend(explorer, "cow/a", add_corner)
    with pytest.raises(BadInput, match=r"in a PNG of two levels, got .*a\.png, which holds more; give a path"):
        explorer.save_mask()
    assert file.read_bytes() == before


def test_uploads_need_a_path(explorer, tmp_path):
    content = io.BytesIO()
    Image.fromarray(colours("mine", 40, 40)).save(content, "PNG")
    explorer.add_image(content.getvalue(), name="mine")
    with pytest.raises(BadInput, match="expected a path for the mask of the uploaded image mine, got none"):
        explorer.save_mask()
    assert read_mask(explorer.save_mask(tmp_path / "mine.png")).shape == (SIZE, SIZE)


def test_other_sets_need_a_path(data_folder, tmp_path):
    explorer = bglab.explore("synthetic9?n=9", make_classifier(brightness), size=SIZE)
    with pytest.raises(BadInput, match="expected a set that stores masks, as folder:PATH does, got synthetic9"):
        explorer.save_mask()
    assert read_mask(explorer.save_mask(tmp_path / "mask.png")).any()
    explorer.close()


@pytest.mark.parametrize(("width", "height"), [(160, 120), (90, 200), (20, 24), (32, 32)])
@pytest.mark.parametrize("fraction", [1.0, 0.875])
def test_a_crop_that_is_pasted_back_crops_to_itself(width, height, fraction):
    rng = np.random.default_rng(0)
    mask = oval((width // 4, height // 4, width // 2, height // 2), width, height)
    crop = np.asarray(resize_crop(Image.fromarray(mask), SIZE, fraction, smooth=False))
    np.testing.assert_array_equal(paste_crop(mask, crop, fraction), mask)
    if min(width, height) >= SIZE / fraction:  # each pixel of the crop has one of the mask
        edited = crop ^ (rng.random(crop.shape) < 0.1)
        pasted = Image.fromarray(paste_crop(mask, edited, fraction))
        np.testing.assert_array_equal(resize_crop(pasted, SIZE, fraction, smooth=False), edited)
