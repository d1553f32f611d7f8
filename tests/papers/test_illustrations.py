"""Figures of example images, and the prediction for one image."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import bglab
from bglab.errors import UnknownName
from bglab.models import classify_image
from bglab.papers import illustrations
from bglab.scenes import prepare
from bglab.variants import variant_table
from fixtures.stand_ins import make_classifier, make_scenes

SIZE = 32


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


def test_an_answer_adds_up(prepared):
    found = classify_image(make_classifier(brightness), torch.from_numpy(np.asarray(prepared.images[0])))
    assert found.probabilities.shape == (10,)
    assert found.probabilities.sum() == pytest.approx(1)
    assert found.prediction == found.probabilities.argmax()
    assert found.native == prepared.scenes.classes[found.prediction]


def test_one_scene_is_shown_in_every_variant(prepared):
    ax = illustrations.plot_variants(make_classifier(brightness), [prepared], "insect")
    texts = [text.get_text() for text in ax.texts]
    for name in bglab.IN9_VARIANTS:
        assert bglab.VARIANTS[name].title in texts
    assert len(ax.images) == 8
    with pytest.raises(UnknownName, match="no scene of class 'cat' with all of original"):
        illustrations.plot_variants(make_classifier(brightness), [prepared], "cat", ["original"])


def test_tiling_shows_its_four_steps(prepared):
    ax = illustrations.plot_tiling(prepared, "scene-4-1")
    assert len(ax.images) == 4
    assert "Strip, tiled" in [text.get_text() for text in ax.texts]


def test_masks_keep_the_object_in_colour(prepared):
    ax = illustrations.plot_masks(prepared)
    assert len(ax.images) == len(prepared)
    shown = np.asarray(ax.images[0].get_array())
    mask = prepared.masks[0]
    assert np.array_equal(shown[mask], prepared.images[0].transpose(1, 2, 0)[mask])
    assert (shown[~mask].std(axis=-1) == 0).all()


def test_the_variant_table_says_how_each_is_made():
    table = variant_table(list(bglab.VARIANTS)).set_index("Variant")
    assert table.loc["Mixed-Next", "Background from"] == "an image of the next class"
    assert table.loc["On-Yellow", "Background"] == "plain yellow"
    assert table.loc["White-FG", "Foreground"] == "painted white, by its box"
    assert table.loc["Spurious-Noise", "Background"] == "as photographed, with noise of 64 levels"
