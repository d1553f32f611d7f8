"""Recipes and augmentation: the paper's values, round trips, invalid values, per-image random numbers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from bglab.errors import BadInput, UnknownName
from bglab.training import PAPER_ARCHITECTURES, PRESETS, Recipe, differences
from bglab.training.augmentation import DRAWS, augment, draw_all
from bglab.training.recipe import NO_AUGMENTATION, Augmentation, recipe_from


def test_the_paper_s_recipe():
    paper = PRESETS["paper"]  # Noise or Signal, Appendix C
    assert (paper.epochs, paper.batch_size, paper.lr) == (200, 256, 0.1)
    assert (paper.schedule, paper.decay_epochs, paper.momentum, paper.weight_decay) == ("step", 50, 0.9, 1e-4)
    assert paper.architecture == "resnet50"
    assert paper.augmentation.crop_area == (0.08, 1.0)
    assert paper.augmentation.flip == 0.5
    assert min(paper.augmentation.brightness, paper.augmentation.contrast, paper.augmentation.saturation) > 0
    assert (paper.size, paper.source_size) == (224, 256)
    assert [paper.lr_at(e) for e in (0, 50, 100, 150)] == pytest.approx([0.1, 0.01, 0.001, 0.0001])
    assert list(PAPER_ARCHITECTURES) == ["AlexNet", "ShuffleNet", "ResNet-50", "WRN-50x2", "VGG16-BN"]


@pytest.mark.parametrize("schedule", ["cosine", "linear"])
def test_the_rate_warms_up_and_decays_to_zero(schedule):
    recipe = replace(PRESETS["toy"], schedule=schedule, epochs=10, warmup_epochs=2.0, lr=0.4)
    rates = [recipe.lr_at(epoch) for epoch in np.linspace(0, 10, 101)]
    assert rates[0] == 0
    assert rates[10] == pytest.approx(0.2)
    assert max(rates) == rates[20] == pytest.approx(0.4)
    assert rates[60] == pytest.approx(0.2)
    assert rates[-1] == pytest.approx(0, abs=1e-12)
    assert all(a >= b for a, b in zip(rates[20:], rates[21:], strict=False))


@pytest.mark.parametrize("name", ["paper", "toy"])
def test_a_recipe_comes_back_from_json(name):
    recipe = replace(PRESETS[name], variants=("original", "mixed_rand"), amp_dtype="bfloat16", scenes="s", pixels="p")
    assert recipe_from(json.loads(json.dumps(recipe.as_dict()))) == recipe


def test_differences_name_fields_and_both_values():
    other = replace(Recipe(), seed=3, augmentation=NO_AUGMENTATION)
    assert differences(Recipe(), other) == {"seed": (0, 3), "augmentation": (Augmentation(), NO_AUGMENTATION)}
    assert differences(Recipe(), Recipe()) == {}


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"lr": float("nan")}, "expected lr of a recipe from 0 to 100, got nan"),
        ({"epochs": 0}, "expected epochs of a recipe from 1 to 1e+06, got 0"),
        ({"schedule": "stairs"}, "expected schedule of a recipe out of step, cosine, linear, got 'stairs'"),
        ({"variants": ()}, "expected images to train on, but the recipe's variants leaves none; set variants"),
        ({"fraction": 0.0}, "expected images to train on, but the recipe's fraction leaves none; set fraction"),
    ],
)
def test_values_out_of_range(changes, sentence, unchecked):
    with pytest.raises(BadInput) as error:
        replace(Recipe(), **changes)
    assert str(error.value) == sentence


def test_augmentation_out_of_range():
    with pytest.raises(BadInput) as error:
        Augmentation(crop_area=(0.5, 1.5))
    assert str(error.value) == (
        "expected crop_area of a recipe as two rising numbers above 0 and at most 1, got (0.5, 1.5); (1, 1) leaves "
        "images whole"
    )
    with pytest.raises(BadInput, match="expected flip of a recipe from 0 to 1, got 2"):
        Augmentation(flip=2)


def test_recipes_of_another_version_and_unknown_presets():
    with pytest.raises(BadInput, match="got optimiser as well; it is from another version of bglab"):
        recipe_from({"optimiser": "lamb"})
    with pytest.raises(UnknownName, match="unknown preset 'papper'; did you mean 'paper'"):
        PRESETS["papper"]


def images(count=6, size=20):
    return torch.from_numpy(np.random.default_rng(0).integers(0, 256, (count, 3, size, size), dtype=np.uint8))


def test_random_numbers_are_per_image():
    assert np.array_equal(draw_all(0, 3, 50)[:20], draw_all(0, 3, 20))
    assert not np.array_equal(draw_all(0, 3, 20), draw_all(0, 4, 20))
    draws, rules = draw_all(0, 0, 6), Augmentation()
    whole = augment(images(), draws, rules, 20)
    apart = torch.cat([augment(images()[i : i + 1], draws[i : i + 1], rules, 20) for i in range(6)])
    assert torch.allclose(whole, apart, atol=1e-3)
    assert 0 <= whole.min() <= whole.max() <= 255


def test_nothing_changes_without_augmentation():
    unchanged = augment(images(), draw_all(0, 0, 6), NO_AUGMENTATION, 20)
    assert torch.allclose(unchanged, images().float(), atol=0.01)


def test_a_certain_flip_mirrors():
    mirrored = augment(images(), draw_all(0, 0, 6), replace(NO_AUGMENTATION, flip=1.0), 20)
    assert torch.allclose(mirrored, images().float().flip(-1), atol=0.01)


def test_a_crop_is_part_of_the_image():
    # levels that rise from left to right and from top to bottom tell where a crop was taken
    ramp = torch.arange(100, dtype=torch.uint8)
    across = ramp.expand(1, 100, 100)
    image = torch.cat([across, across.transpose(1, 2), across])[None].repeat(64, 1, 1, 1)
    rules = replace(NO_AUGMENTATION, crop_area=(0.25, 0.25), crop_ratio=(1.0, 1.0))
    crops = augment(image, draw_all(0, 0, 64), rules, 50)
    spans = crops[:, 0].amax((1, 2)) - crops[:, 0].amin((1, 2))
    assert torch.allclose(spans, torch.full((64,), 49.0), atol=1.1)
    starts = crops[:, :2].amin((2, 3))
    assert starts.min() < 10
    assert starts.max() > 40
    assert not torch.allclose(starts[:, 0], starts[:, 1], atol=5)  # across and down are drawn apart


def test_colours_change_by_no_more_than_the_strength():
    grey = torch.full((200, 3, 8, 8), 100, dtype=torch.uint8)
    bright = augment(grey, draw_all(0, 0, 200), replace(NO_AUGMENTATION, brightness=0.2), 8)
    assert 80 <= bright.min() < 85
    assert 115 < bright.max() <= 120
    contrast = augment(images(), draw_all(0, 0, 6), replace(NO_AUGMENTATION, contrast=1.0), 20)
    assert (contrast - images()).abs().max() > 10
    saturated = augment(grey, draw_all(0, 0, 200), replace(NO_AUGMENTATION, saturation=1.0), 8)
    assert torch.allclose(saturated, grey.float(), atol=0.01)  # grey has no colour to lose
    assert draw_all(0, 0, 1).shape == (1, DRAWS)
