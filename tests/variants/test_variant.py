"""Every row of the variant table keeps its invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.errors import BadInput, UnknownName
from bglab.images import compositing
from bglab.scenes import prepare
from bglab.variants import VARIANTS, pair_donors, render, rules
from bglab.variants import composition as datasets
from bglab.variants import variant as variants
from fixtures.stand_ins import make_scenes

SIZE = 32
ALL = list(VARIANTS)


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


def compose(prepared, name, **options):
    return datasets.compose(prepared, name, progress=False, **options)


def everything(dataset):
    return dataset.images(slice(0, len(dataset)), "cpu")


def regions(prepared):
    """Return masks and box masks as tensors."""
    masks = torch.from_numpy(np.asarray(prepared.masks))
    boxes = compositing.box_mask(torch.from_numpy(np.asarray(prepared.boxes)), SIZE, SIZE)
    return masks, boxes


def masked(images, region):
    """Return the pixels of a region, channels last."""
    return images.permute(0, 2, 3, 1)[region]


@pytest.mark.parametrize("name", ALL)
def test_images_are_levels_of_the_right_shape(prepared, name):
    images = everything(compose(prepared, name))
    assert images.dtype == torch.uint8
    assert images.shape == (27, 3, SIZE, SIZE)


@pytest.mark.parametrize("name", ALL)
def test_the_same_twice_and_whatever_the_batch(prepared, name):
    dataset = compose(prepared, name, seed=3)
    whole = everything(dataset)
    assert torch.equal(whole, everything(compose(prepared, name, seed=3)))
    order = np.random.default_rng(0).permutation(len(dataset))
    for start in range(0, len(dataset), 5):
        some = order[start : start + 5]
        assert torch.equal(dataset.images(some, "cpu"), whole[torch.from_numpy(some)])
    assert torch.equal(dataset[4], whole[4])
    assert torch.equal(dataset[dataset.rows[-1].scene], whole[-1])


@pytest.mark.parametrize("name", ALL)
def test_the_order_of_the_set_changes_nothing(prepared, name):
    forward = compose(prepared, name)
    backward = compose(prepare(make_scenes(reverse=True), SIZE, progress=False), name)
    by_scene = {row.scene: (row.donor, i) for i, row in enumerate(backward.rows)}
    images, reversed_images = everything(forward), everything(backward)
    for i, row in enumerate(forward.rows):
        donor, j = by_scene[row.scene]
        assert donor == row.donor
        assert torch.equal(images[i], reversed_images[j])


@pytest.mark.parametrize("name", ALL)
def test_the_seed_changes_what_is_random_and_nothing_else(prepared, name):
    variant = VARIANTS[name]
    random = variant.donor in {"same_class", "any_class", "next_class"} or any(
        isinstance(rule, rules.Texture | rules.Noise | rules.NoisyBackground | rules.NoisyForeground)
        for rule in (variant.foreground, variant.background)
    )
    same = torch.equal(everything(compose(prepared, name, seed=0)), everything(compose(prepared, name, seed=1)))
    assert same != random


KEEPS_OBJECT = [n for n in ALL if isinstance(VARIANTS[n].foreground, rules.Keep)]
KEEPS_SURROUNDINGS = [n for n in ALL if isinstance(VARIANTS[n].background, rules.Own)]


@pytest.mark.parametrize("name", KEEPS_OBJECT)
def test_the_object_is_untouched(prepared, name):
    masks, boxes = regions(prepared)
    region = boxes if VARIANTS[name].foreground.region == "box" else masks
    images = torch.from_numpy(np.asarray(prepared.images))
    assert torch.equal(masked(everything(compose(prepared, name)), region), masked(images, region))


@pytest.mark.parametrize("name", KEEPS_SURROUNDINGS)
def test_the_surroundings_are_untouched(prepared, name):
    masks, boxes = regions(prepared)
    foreground = VARIANTS[name].foreground
    region = boxes if getattr(foreground, "region", "mask") == "box" else masks
    images = torch.from_numpy(np.asarray(prepared.images))
    assert torch.equal(masked(everything(compose(prepared, name)), ~region), masked(images, ~region))


@pytest.mark.parametrize(
    ("name", "region", "color"),
    [
        ("only_bg_b", "box", (0, 0, 0)),
        ("no_fg", "mask", (0, 0, 0)),
        ("only_fg", "not mask", (0, 0, 0)),
        ("white_fg", "box", (255, 255, 255)),
        ("white_fg_mask", "mask", (255, 255, 255)),
        ("on_white", "not box", (255, 255, 255)),
        ("on_green", "not box", (0, 128, 0)),
        ("on_yellow", "not box", (255, 255, 0)),
        ("on_grey", "not box", (128, 128, 128)),
        ("on_white_mask", "not mask", (255, 255, 255)),
    ],
)
def test_what_is_painted_is_exactly_that_colour(prepared, name, region, color):
    masks, boxes = regions(prepared)
    where = boxes if "box" in region else masks
    where = ~where if region.startswith("not") else where
    painted = masked(everything(compose(prepared, name)), where)
    assert torch.equal(painted, torch.tensor(color, dtype=torch.uint8).expand_as(painted))


def test_only_bg_t_has_no_object_and_its_own_surroundings(prepared):
    _, boxes = regions(prepared)
    rendered = everything(compose(prepared, "only_bg_t"))
    assert torch.equal(rendered, torch.from_numpy(np.asarray(prepared.plates)))
    images = torch.from_numpy(np.asarray(prepared.images))
    assert torch.equal(masked(rendered, ~boxes), masked(images, ~boxes))
    assert not torch.equal(masked(rendered, boxes), masked(images, boxes))


@pytest.mark.parametrize("name", ["mixed_same", "mixed_rand", "mixed_next", "on_own_tiled"])
def test_mixed_images_show_their_donors_plate(prepared, name):
    masks, _ = regions(prepared)
    dataset = compose(prepared, name)
    images = everything(dataset)
    positions = prepared.scenes.positions
    for i, row in enumerate(dataset.rows):
        donor = positions[row.donor or row.scene]
        plate = torch.from_numpy(np.asarray(prepared.plates[donor]))
        assert torch.equal(images[i][:, ~masks[i]], plate[:, ~masks[i]])


def test_donors_follow_their_rules():
    scenes = make_scenes(per_class=5)
    labels, ids = scenes.labels, scenes.ids
    lends = np.ones(len(ids), dtype=bool)
    same = pair_donors(VARIANTS["mixed_same"], ids, labels, lends)
    assert (labels[same] == labels).all()
    assert (same != np.arange(len(ids))).all()
    following = pair_donors(VARIANTS["mixed_next"], ids, labels, lends)
    assert (labels[following] == (labels + 1) % 9).all()
    assert (pair_donors(VARIANTS["on_own_tiled"], ids, labels, lends) == np.arange(len(ids))).all()
    assert len(set(same.tolist())) > 20  # not one donor for all


def test_any_class_is_uniform_over_all_nine_the_own_one_included():
    scenes = make_scenes(per_class=20)
    labels, ids, lends = scenes.labels, scenes.ids, np.ones(180, dtype=bool)
    drawn = np.concatenate([labels[pair_donors(VARIANTS["mixed_rand"], ids, labels, lends, seed=s)] for s in range(20)])
    counts = np.bincount(drawn, minlength=9)
    assert counts.sum() == 3600
    assert abs(counts - 400).max() < 90  # 4.8 standard deviations of a fair draw
    own = np.mean(drawn == np.tile(labels, 20))
    assert abs(own - 1 / 9) < 0.03


def test_scenes_that_cannot_lend_are_never_donors(prepared):
    scenes = make_scenes(per_class=3)
    lends = np.ones(27, dtype=bool)
    lends[::3] = False
    for name in ("mixed_same", "mixed_rand", "mixed_next"):
        donors = pair_donors(VARIANTS[name], scenes.ids, scenes.labels, lends)
        assert lends[donors[donors >= 0]].all()


def test_a_scene_without_donor_is_named_not_replaced(data_folder):
    scenes = make_scenes(per_class=2)
    lonely = scenes.select(ids=[i for i in scenes.ids if i != "scene-4-1"])
    dataset = datasets.compose(lonely, "mixed_same", size=SIZE, progress=False)
    assert len(dataset) == 16
    assert [r.scene for r in dataset.rejected] == ["scene-4-0"]
    assert dataset.rejected[0].reason == (
        "the set has no background to lend it (same_class, carnivore), so it has no mixed_same"
    )


def test_the_next_class_with_scenes_steps_in_for_an_empty_one(data_folder):
    scenes = make_scenes(per_class=2).select(labels=[0, 3, 8])
    dataset = datasets.compose(scenes, "mixed_next", size=SIZE, progress=False)
    donors = {row.label: int(row.donor.split("-")[1]) for row in dataset.rows}
    assert donors == {0: 3, 3: 8, 8: 0}


def test_given_backgrounds(prepared):
    masks, _ = regions(prepared)
    plate = torch.randint(0, 256, (3, SIZE, SIZE), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    chosen = everything(compose(prepared, variants.given(plate)))
    assert torch.equal(chosen[5][:, ~masks[5]], plate[:, ~masks[5]])
    lent = compose(prepared, variants.given("scene-7-2"))
    assert {row.donor for row in lent.rows} == {"scene-7-2"}
    pink = everything(compose(prepared, variants.given(rules.Plain((255, 0, 255)))))
    assert pink[0][:, ~masks[0]].T.unique(dim=0).tolist() == [[255, 0, 255]]
    with pytest.raises(BadInput, match="expected a scene of the set to lend its background, got 'scene-9-9'; try"):
        compose(prepared, variants.given("scene-9-9"))
    with pytest.raises(BadInput, match=r"expected a plate of \(32, 32\) pixels \(height, width\), got \(8, 8\)"):
        everything(compose(prepared, variants.given(plate[:, :8, :8])))


def test_noise_goes_where_it_should_and_scales(prepared):
    masks, _ = regions(prepared)
    images = torch.from_numpy(np.asarray(prepared.images)).float()
    for name, region in (("core_noise", masks), ("spurious_noise", ~masks)):
        changes = []
        for sigma in (8, 32):
            noisy = everything(compose(prepared, variants.at_strength(VARIANTS[name], sigma))).float()
            changes.append((noisy - images).permute(0, 2, 3, 1)[region].abs().mean())
        assert 2 < changes[0] < changes[1]
    with pytest.raises(BadInput, match="expected a variant with noise or blur, got 'original'"):
        variants.at_strength(VARIANTS["original"], 3)


def test_a_feathered_edge_mixes_only_near_the_edge(prepared):
    masks, _ = regions(prepared)
    soft = variants.given(rules.Plain((0, 0, 0)), foreground=rules.Keep(feather=1.5), name="soft")
    alpha = compositing.soften(masks, 1.5)
    rendered = everything(compose(prepared, soft)).float()
    images = torch.from_numpy(np.asarray(prepared.images)).float()
    assert (rendered - alpha.unsqueeze(1) * images).abs().max() <= 0.51


def test_unknown_variants_are_refused_with_the_nearest_name():
    with pytest.raises(UnknownName) as error:
        datasets.compose("synthetic9", "mixed-rand")
    assert str(error.value).startswith(
        "unknown variant 'mixed-rand'; did you mean 'mixed_rand'? Known: original, only_bg_b"
    )


def test_titles_are_those_of_the_papers():
    titles = [VARIANTS[name].title for name in variants.IN9_VARIANTS]
    assert titles == [
        "Original",
        "Only-BG-B",
        "Only-BG-T",
        "No-FG",
        "Only-FG",
        "Mixed-Same",
        "Mixed-Rand",
        "Mixed-Next",
    ]


def test_a_tiled_background_needs_a_donor(prepared):
    dataset = compose(prepared, "original")
    assert len(dataset) == 27
    batch = rules.SceneBatch(
        ("a",),
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        torch.ones(1, 4, 4, dtype=torch.bool),
        torch.zeros(1, 3, 4, 4, dtype=torch.uint8),
        torch.tensor([[0, 0, 2, 2]]),
    )
    with pytest.raises(BadInput, match="expected donors for a tiled background, got none"):
        render(VARIANTS["mixed_same"], batch)
