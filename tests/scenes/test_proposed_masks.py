"""Proposed masks: found by GrabCut or by a network, never written over others, and resumed where a run stopped."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from PIL import Image

import bglab
from bglab.__main__ import main
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.images import box_of, read_mask
from bglab.scenes import open_scenes, propose_masks
from fixtures.layouts import oval, save, truncate, write_table

WIDTH, HEIGHT = 80, 60
DISC = oval((22, 12, 58, 48), WIDTH, HEIGHT)


def photograph(mask=DISC):
    """A red disc on green, both noisy; h w 3."""
    noise = np.random.default_rng(0).normal(0, 12, (*mask.shape, 3))
    return (np.where(mask[..., None], (200, 60, 50), (40, 130, 60)) + noise).clip(0, 255).astype(np.uint8)


@pytest.fixture
def folder(tmp_path):
    """Two classes with an image each, and no masks."""
    root = tmp_path / "set"
    for name in ("cow/a.png", "dog/b.png"):
        save(photograph(), root / "images" / name)
    return root


def overlap(a, b):
    return (a & b).sum() / (a | b).sum()


def test_a_folder_without_masks_opens_once_they_are_proposed(folder):
    with pytest.raises(BadInput, match="bglab data cut"):
        open_scenes(f"folder:{folder}")
    proposed = bglab.propose_masks(folder, progress=False)
    masks = folder / "masks"
    assert proposed.written == (masks / "cow" / "a.png", masks / "dog" / "b.png")
    assert (proposed.kept, proposed.failed) == ((), ())
    assert proposed.text == f"{masks}: 2 written, 0 there already, 0 images without"
    scenes = open_scenes(f"folder:{folder}")
    assert (scenes.ids, scenes.rejected) == (["cow/a", "dog/b"], ())
    for scene in scenes:
        assert overlap(scene.mask, DISC) > 0.95


def test_equal_seeds_propose_equal_masks(folder):
    first = [path.read_bytes() for path in propose_masks(folder, out="one", progress=False).written]
    assert [path.read_bytes() for path in propose_masks(folder, out="two", progress=False).written] == first


def test_the_box_in_the_table_says_which_object_is_meant(folder):
    both = DISC | oval((2, 2, 20, 20), WIDTH, HEIGHT)
    save(photograph(both), folder / "images" / "cow" / "a.png")
    write_table(folder / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/a.png", 20, 10, 60, 50))
    propose_masks(folder, progress=False)
    assert overlap(read_mask(folder / "masks" / "cow" / "a.png"), DISC) > 0.95


def test_a_large_image_gets_a_mask_of_its_own_size(folder):
    large = np.kron(DISC, np.ones((30, 30), dtype=bool))
    save(photograph(large), folder / "images" / "cow" / "a.png")
    write_table(folder / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/a.png", 600, 300, 1800, 1500))
    propose_masks(folder, progress=False)
    mask = read_mask(folder / "masks" / "cow" / "a.png")
    assert mask.shape == large.shape
    assert overlap(mask, large) > 0.95


@pytest.mark.parametrize("suffix", [".png", ".npy"])
def test_masks_that_are_there_are_kept(folder, suffix):
    file = folder / "masks" / "cow" / f"a{suffix}"
    file.parent.mkdir(parents=True)
    mine = oval((30, 20, 50, 40), WIDTH, HEIGHT)
    if suffix == ".npy":
        np.save(file, mine)
    else:
        Image.fromarray(mine).save(file)
    before = file.read_bytes()
    proposed = propose_masks(folder, progress=False)
    assert (proposed.kept, proposed.written) == ((file,), (folder / "masks" / "dog" / "b.png",))
    assert file.read_bytes() == before
    again = propose_masks(folder, progress=False)
    assert (len(again.kept), again.written) == (2, ())


def test_force_replaces_masks_of_the_same_file_name_only(folder):
    masks = folder / "masks"
    for name in ("cow/a.png", "dog/b.npy"):
        (masks / name).parent.mkdir(parents=True)
    Image.fromarray(oval((30, 20, 50, 40), WIDTH, HEIGHT)).save(masks / "cow" / "a.png")
    np.save(masks / "dog" / "b.npy", DISC)
    proposed = propose_masks(folder, force=True, progress=False)
    assert proposed.written == (masks / "cow" / "a.png",)
    assert overlap(read_mask(masks / "cow" / "a.png"), DISC) > 0.95
    assert [(r.scene, r.reason) for r in proposed.failed] == [
        ("dog/b", f"expected no other mask than dog/b.png to replace, got {masks / 'dog' / 'b.npy'}; remove it first")
    ]


def test_images_without_a_mask_are_named_and_the_command_fails(folder, capsys):
    truncate(save(photograph(), folder / "images" / "cow" / "broken.png"))
    (folder / "images" / "cow" / "empty.png").write_bytes(b"")
    save(np.full((HEIGHT, WIDTH, 3), 128, np.uint8), folder / "images" / "cow" / "plain.png")
    save(photograph(), folder / "images" / "dog" / "b.jpg")
    write_table(folder / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/a.png", 20, 10, 600, 500))
    assert main(["data", "cut", str(folder)]) == 1
    shown = capsys.readouterr()
    for name in ("broken.png", "empty.png", "plain.png", "cow/a.png", "b.png"):
        assert name in shown.err
    assert f"{folder / 'masks'}: 1 written, 0 there already, 5 images without" in shown.out
    assert f'bglab.explore("folder:{folder}", classifier)' in shown.out


def test_the_command_continues_where_it_stopped(folder, capsys):
    assert main(["data", "cut", f"folder:{folder}"]) == 0
    (folder / "masks" / "dog" / "b.png").unlink()
    assert main(["data", "cut", str(folder), "--seed", "1"]) == 0
    assert "1 written, 1 there already, 0 images without" in capsys.readouterr().out


def test_classes_without_the_folder_images_are_found(tmp_path):
    save(photograph(), tmp_path / "cow" / "a.png")
    for _ in range(2):
        proposed = propose_masks(tmp_path, out="proposals", progress=False)
    assert proposed.kept == (tmp_path / "proposals" / "cow" / "a.png",)
    assert proposed.failed == ()


def test_what_cannot_be_cut_is_refused_in_words(folder, tmp_path):
    with pytest.raises(UnknownName, match="unknown method 'grabcat'; did you mean 'grabcut'"):
        propose_masks(folder, method="grabcat")
    with pytest.raises(MissingData, match="does not exist; give the folder that holds images/"):
        propose_masks(tmp_path / "nowhere")
    (tmp_path / "bare" / "images").mkdir(parents=True)
    with pytest.raises(BadInput, match=r"expected images in .*images, got none"):
        propose_masks(tmp_path / "bare")


# --- networks of rembg, whose weights cannot be in a test


class FakeRembg(ModuleType):
    """A module with rembg's two functions; the mask is what is redder than green."""

    def __init__(self):
        super().__init__("rembg")
        self.calls = []
        self.problem = None

    def new_session(self, model_name="u2net", *args, **kwargs):
        if self.problem == "weights":
            raise ConnectionError("no route to host")
        return f"session of {model_name}"

    def remove(self, data, *, session=None, only_mask=False, **kwargs):
        assert only_mask
        self.calls.append((session, kwargs))
        if self.problem == "image" and len(self.calls) == 1:
            raise RuntimeError("onnxruntime failed")
        levels = np.asarray(data).astype(int)
        return Image.fromarray(((levels[..., 0] > levels[..., 1]) * 255).astype(np.uint8))


@pytest.fixture
def rembg(monkeypatch):
    fake = FakeRembg()
    monkeypatch.setitem(sys.modules, "rembg", fake)
    return fake


def test_rembg_proposes_masks_within_the_boxes(folder, rembg):
    write_table(folder / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/a.png", 0, 0, 40, 60))
    propose_masks(folder, method="rembg", progress=False)
    left = DISC.copy()
    left[:, 40:] = False
    assert overlap(read_mask(folder / "masks" / "cow" / "a.png"), left) > 0.98
    assert overlap(read_mask(folder / "masks" / "dog" / "b.png"), DISC) > 0.98
    assert rembg.calls == [("session of u2net", {})] * 2


def test_segment_anything_is_asked_for_what_is_in_the_box(folder, rembg):
    write_table(folder / "boxes.csv", ("file", "x0", "y0", "x1", "y1"), ("cow/a.png", 20, 10, 60, 50))
    propose_masks(folder, method="sam", progress=False)
    assert rembg.calls == [
        ("session of sam", {"sam_prompt": [{"type": "rectangle", "data": [20, 10, 60, 50], "label": 1}]}),
        ("session of sam", {"sam_prompt": [{"type": "rectangle", "data": [2, 1, 78, 59], "label": 1}]}),
    ]
    assert box_of(read_mask(folder / "masks" / "cow" / "a.png")) == box_of(DISC)


def test_one_image_that_fails_stops_no_other(folder, rembg):
    rembg.problem = "image"
    proposed = propose_masks(folder, method="rembg", progress=False)
    assert [path.name for path in proposed.written] == ["b.png"]
    assert [(r.scene, "onnxruntime failed" in r.reason) for r in proposed.failed] == [("cow/a", True)]


def test_missing_packages_and_weights_say_how_to_get_them(folder, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rembg", None)
    assert main(["data", "cut", str(folder), "--method", "rembg"]) == 2
    assert "pip install 'bglab[rembg]'" in capsys.readouterr().err
    fake = FakeRembg()
    fake.problem = "weights"
    monkeypatch.setitem(sys.modules, "rembg", fake)
    with pytest.raises(MissingData, match=r"the weights of rembg's network sam, but no route to host; rembg downloads"):
        propose_masks(folder, method="sam", progress=False)
    assert not (folder / "masks").exists()
