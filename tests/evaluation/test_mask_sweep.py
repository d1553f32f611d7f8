"""Sweeps over masks: what is composed, what is stored, and that all masks are compared on the same scenes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import ndimage

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import describe, mask_predictions, mask_sweep, replace_masks
from bglab.images import grab_cut
from bglab.results.predictions import prediction_files
from bglab.scenes import open_scenes, prepare
from bglab.variants import compose
from fixtures.stand_ins import make_classifier, make_scenes

SIZE = 32
SOURCES = ("stored", "ellipse", "box")
OPTIONS = {"sources": SOURCES, "radii": (-1, 0, 2), "size": SIZE, "progress": False}


@pytest.fixture(scope="module")
def scenes(data_folder):
    return make_scenes(3, SIZE)


@pytest.fixture
def seen():
    """Return a list of the images that the classifier below has seen."""
    return []


@pytest.fixture
def classifier(seen):
    def answer(images):
        seen.append(images.clone())
        return images.long().sum((1, 2, 3)) % 9

    return make_classifier(answer)


def disc(radius):
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    return x**2 + y**2 <= radius**2


def test_masks_of_every_source():
    scenes = open_scenes("synthetic9?n=9&size=64")
    scene = scenes[0]
    x0, y0, x1, y1 = scene.box
    box = replace_masks(scenes, "box")[0].mask
    assert box.sum() == box[y0:y1, x0:x1].sum() == (x1 - x0) * (y1 - y0)
    ellipse = replace_masks(scenes, "ellipse")[0].mask
    assert ellipse.sum() == pytest.approx(np.pi / 4 * box.sum(), rel=0.03)
    assert not (ellipse & ~box).any()
    assert np.array_equal(replace_masks(scenes, "grabcut", seed=3)[0].mask, grab_cut(scene.image, scene.box, seed=3))
    assert replace_masks(scenes, "stored") is scenes
    with pytest.raises(UnknownName, match="unknown source of masks 'grab_cut'; did you mean 'grabcut'"):
        replace_masks(scenes, "grab_cut")


def test_two_masks_never_share_a_name_a_cache_or_a_stored_table(scenes, classifier):
    cut = [replace_masks(scenes, source) for source in SOURCES]
    cut += [replace_masks(scenes, "grabcut", seed=seed) for seed in (0, 1)]
    assert len({one.fingerprint for one in cut}) == 5
    composed = [compose(prepare(one, SIZE, progress=False), "mixed_rand") for one in cut[:3]]
    assert len({dataset.key for dataset in composed}) == 3
    assert len({describe(classifier, dataset)["pixels"] for dataset in composed}) == 3


@pytest.mark.parametrize("radius", [-1, 2])
def test_the_images_are_those_of_a_plain_script(scenes, classifier, seen, radius):
    prepared = prepare(scenes, SIZE, progress=False)
    table = mask_predictions(classifier, scenes, **OPTIONS | {"sources": ["stored"], "radii": [radius]})
    change = ndimage.binary_dilation if radius > 0 else ndimage.binary_erosion
    masks = np.stack([
        change(mask, disc(abs(radius)), **({} if radius > 0 else {"border_value": 1})) for mask in prepared.masks
    ])  # fmt: skip
    own = np.where(masks[:, None], prepared.images, prepared.plates)
    assert any(torch.equal(images, torch.from_numpy(own)) for images in seen)
    control = table[table.variant == "on_own_tiled"]
    assert control.kept.tolist() == pytest.approx(masks.sum((1, 2)) / prepared.masks.sum((1, 2)))
    assert control.mask_area.tolist() == pytest.approx(masks.mean((1, 2)))


def test_rows_donors_and_resuming(scenes, classifier, seen, tmp_path):
    table = mask_predictions(classifier, scenes, **OPTIONS, feathers=(0, 1.5), results=tmp_path)
    cells = table.groupby(["mask", "radius", "feather", "variant"]).size()
    assert len(cells) == 3 * 3 * 2 * 4
    assert set(cells) == {27}
    assert table.dataset.nunique() == 1
    donors = table[table.variant == "mixed_rand"].groupby("scene").donor
    assert set(donors.nunique()) == {1}
    # Original needs no mask and is classified once
    assert len(list(prediction_files(tmp_path))) == 1 + 3 * 3 * 2 * 3
    seen.clear()
    again = mask_predictions(classifier, scenes, **OPTIONS, feathers=(0, 1.5), results=tmp_path)
    assert not seen
    columns = ["mask", "radius", "feather", "variant", "scene", "prediction", "kept"]
    assert again[columns].equals(table[columns])


def test_without_a_change_the_mixed_images_are_the_usual_ones(scenes, classifier):
    table = mask_predictions(classifier, scenes, **OPTIONS | {"radii": [0]})
    stored = table[(table["mask"] == "stored") & (table.variant == "mixed_rand")]
    dataset = compose(prepare(scenes, SIZE, progress=False), "mixed_rand")
    expected = dataset.images(slice(None), "cpu").long().sum((1, 2, 3)) % 9
    assert stored.prediction.tolist() == expected.tolist()
    assert stored.donor.tolist() == [row.donor for row in dataset.rows]
    assert (stored.kept == 1).all()


def test_all_masks_are_compared_on_the_scenes_that_every_source_can_cut(scenes, classifier, monkeypatch):
    def fails_once(scene, seed):
        if scene.id == "scene-4-1":
            raise BadInput("expected a foreground")
        return scene.mask

    monkeypatch.setattr(mask_sweep, "MASK_SOURCES", Catalogue("source of masks", {"picky": fails_once}))
    table = mask_predictions(classifier, scenes, **OPTIONS | {"sources": ["stored", "picky"], "radii": [0]})
    assert set(table.groupby(["mask", "variant"]).size()) == {26}
    assert "scene-4-1" not in {*table.scene, *table.donor}
    same = table.pivot_table(index=["variant", "scene"], columns="mask", values="prediction")
    assert same.stored.equals(same.picky.rename("stored"))


@pytest.mark.parametrize(
    "changed", [{"sources": ()}, {"radii": ()}, {"feathers": ()}, {"feathers": (-1.0,)}], ids=lambda c: str(c)
)
def test_an_empty_sweep_is_an_error(scenes, classifier, changed):
    with pytest.raises(BadInput, match="expected at least one source of masks, radius and feather"):
        mask_predictions(classifier, scenes, **OPTIONS | changed)
