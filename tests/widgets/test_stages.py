"""What the explorer keeps of earlier compositions never changes a pixel of the next one."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.errors import BadInput
from bglab.images import compositing
from bglab.scenes import prepare
from bglab.variants import GivenImage, object_region, render
from bglab.widgets.collection import ImageCollection
from bglab.widgets.rendering import StateRenderer
from bglab.widgets.stages import one_thread
from bglab.widgets.state import State
from fixtures.stand_ins import make_scenes

SIZE = 32

VALUES = {
    "mix": (1.0, 0.37, 0.0),
    "background_blur": (0.0, 2.3),
    "brightness": (1.0, 0.7),
    "feather": (0.0, 1.5),
    "grow": (0, 2, -1),
    "dx": (0.0, 0.13),
    "dy": (0.0, -0.2),
    "scale": (1.0, 1.7),
    "flip": (False, True),
}
BACKGROUNDS = (
    "own", "scene:scene-5-2", "variant:mixed_rand", "variant:no_fg", "variant:core_noise", "variant:only_fg",
    "colour:#3366cc", "texture:cloudy", "noise:gaussian",
)  # fmt: skip


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture
def images(prepared):
    return ImageCollection(prepared)


def from_scratch(images, state):
    """Compose a state by the rules alone, with nothing kept."""
    renderer = StateRenderer(images)
    variant = renderer.variant(state)
    donor = renderer.donor(state.scene, variant)
    own = images.batch(state.scene)
    return render(variant, own, images.batch(donor) if donor else None), object_region(variant, own)


def same(renderer, images, state):
    """Check the pixels and the region of a state; return the pixels."""
    shown = renderer.render(state)
    image, region = from_scratch(images, state)
    assert torch.equal(shown.image, image)
    assert torch.equal(shown.region, region)
    return shown.image


def test_a_walk_over_settings_shows_what_the_rules_compose(images):
    renderer, rng = StateRenderer(images), np.random.default_rng(0)
    choices = VALUES | {"scene": ("scene-3-1", "scene-5-2"), "background": BACKGROUNDS}
    state, seen = State("scene-3-1"), set()
    for _ in range(150):
        # mostly one change at a time, as in the explorer, so that most stages are those of an earlier step
        names = rng.choice(list(choices), size=rng.choice([1, 3], p=[0.8, 0.2]), replace=False)
        state = state.but({name: choices[name][rng.integers(len(choices[name]))] for name in names})
        seen.add(same(renderer, images, state).numpy().tobytes())
    assert len(seen) > 40, len(seen)  # the walk leads somewhere


@pytest.mark.parametrize("name", VALUES)
def test_each_setting_reaches_the_image_after_any_other(images, name):
    renderer = StateRenderer(images)
    for other, values in VALUES.items():
        for value in VALUES[name]:
            same(renderer, images, State("scene-3-1", "scene:scene-5-2", **{other: values[-1], name: value}))


def test_an_edited_mask_is_seen_at_once(images):
    renderer, key = StateRenderer(images), images.editable("scene-3-1")
    state = State(key, "colour:#000000", feather=1.5, dx=0.1)
    before = same(renderer, images, state)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[8:20, 4:30] = True
    images.uploads.set_mask(key, mask)
    assert not torch.equal(same(renderer, images, state), before)
    images.uploads.set_mask(key, ~mask)
    same(renderer, images, state)
    assert torch.equal(renderer.layers(key, "colour:#000000").alpha, images.uploads[key].batch.masks[0])


def test_an_edited_mask_of_the_scene_that_lends_its_background_is_seen_at_once(images):
    renderer, key = StateRenderer(images), images.editable("scene-3-1")
    state = State("scene-5-2", f"scene:{key}", background_blur=1.0)
    before = same(renderer, images, state)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[2:12, 2:12] = True
    images.uploads.set_mask(key, mask)
    assert not torch.equal(same(renderer, images, state), before)


def test_a_new_class_changes_the_donor(images):
    renderer, key = StateRenderer(images), images.editable("scene-3-1")
    labels = []
    for label in (3, 7):
        images.uploads.set_label(key, label)
        state = State(key, "variant:mixed_next")
        same(renderer, images, state)
        labels.append((renderer.render(state).donor_label, renderer.layers(key, "variant:mixed_next").donor_label))
    assert labels == [(4, 4), (8, 8)]


def test_a_replaced_background_is_seen_at_once(images):
    renderer = StateRenderer(images)
    backgrounds = []
    for level in (10, 200):
        images.backgrounds["wall"] = GivenImage(torch.full((3, SIZE, SIZE), level, dtype=torch.uint8))
        backgrounds.append(same(renderer, images, State("scene-3-1", "image:wall", brightness=0.7)))
    assert not torch.equal(*backgrounds)


def test_only_the_stages_of_a_changed_setting_are_computed(images, monkeypatch):
    calls = []

    def recorded(name, plain):
        def call(levels, setting):
            calls.append((name, setting))
            return plain(levels, setting)

        return call

    for name in ("blur", "soften", "grow"):
        monkeypatch.setattr(compositing, name, recorded(name, getattr(compositing, name)))
    renderer = StateRenderer(images)
    state = State("scene-3-1", "texture:cloudy", background_blur=2.0, feather=1.0, grow=2, mix=0.5)

    def computed(**changes):
        calls.clear()
        renderer.render(state.but(changes))
        return {name for name, setting in calls if setting}

    assert computed() == {"blur", "soften", "grow"}
    assert computed(mix=0.4) == computed(dx=0.2) == computed(brightness=0.5) == set()
    assert computed(background_blur=3.0) == {"blur"}
    assert computed(background_blur=3.0, grow=1) == {"soften", "grow", "blur"}


def test_few_pairs_are_kept(images):
    renderer = StateRenderer(images)
    for level in range(20):
        renderer.render(State("scene-3-1", f"colour:#0000{level:02x}"))
    assert len(renderer._recent) == 4
    assert ("scene-3-1", "colour:#000013") in renderer._recent


def test_the_number_of_threads_is_restored():
    before = torch.get_num_threads()
    with one_thread():
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == before


def test_the_number_of_threads_is_restored_after_an_error():
    before = torch.get_num_threads()
    with pytest.raises(BadInput), one_thread():
        raise BadInput("expected a plate of the scene's size")
    assert torch.get_num_threads() == before
