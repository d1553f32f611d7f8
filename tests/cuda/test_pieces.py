"""Every piece that handles tensors runs on an accelerator, without an operation that gets tensors of two devices.

Each piece is a function of a place. On an imagined GPU its tensors must be there, with the shapes and types of those of
the CPU; on a real one their values must agree, too.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import unset_fake_temporarily

from bglab.evaluation import all_logits, predict_all, seen_by
from bglab.evaluation.sensitivity import noise_variants
from bglab.images import EvaluationTransform, Placement, box_mask, composite
from bglab.images import place as place_objects
from bglab.models import classify, classify_image
from bglab.progress import Bar
from bglab.results import Protocol
from bglab.saliency import methods, saliency_table
from bglab.saliency.target_layers import CamLayer, head_weight
from bglab.scenes import prepare
from bglab.search import first_hit, open_evaluator, search_matrix
from bglab.search.live import search_live_steps, start_live
from bglab.search.refine import Attempt, attempt_images, refine_attack
from bglab.training import PRESETS
from bglab.training.augmentation import augment, draw_all
from bglab.training.fit import _ProcessGroup, _Run
from bglab.training.recipe import Augmentation
from bglab.training.training_set import training_set
from bglab.variants import VARIANTS, Adjustment, adjusted, compose
from bglab.variants.scene_tensors import SceneTensors
from fixtures.accelerators import CPU, LAST_LAYER, Place, algorithms, check_place, imagined_gpu
from fixtures.networks import fresh, random_images
from fixtures.stand_ins import make_scenes

SIZE = 64
QUIET = {"progress": False}
#: A layer below the head: blocks follow it, so its gradient is computed by a backward pass.
BELOW = CamLayer("layer2", "channels_first")
ADJUSTED = adjusted(
    VARIANTS["mixed_next"],
    Adjustment(mix=0.7, background_blur=2.0, brightness=0.8, feather=1.5, grow=2, dx=0.1, scale=0.9, flip=True),
)
RENDERED = [*VARIANTS.values(), ADJUSTED, *noise_variants("l2", 30).values()]


LAYERS = {"linear head": LAST_LAYER, "below the head": BELOW}


@pytest.fixture(scope="module")
def scenes(data_folder):
    return prepare(make_scenes(per_class=2, size=SIZE), SIZE, progress=False)


@pytest.fixture(scope="module")
def classifier(data_folder):
    return fresh("resnet10t", SIZE)


def same(place, piece, atol=1e-3):
    """Run a piece here and on the CPU; values may differ by a share of the largest one, levels of uint8 by 1."""
    with unset_fake_temporarily():
        expected = piece(Place(CPU))
    found = piece(place)
    check_place(found, expected, place.device)
    if place.has_values:
        compare(found, expected, atol)


def compare(found, expected, atol):
    if isinstance(expected, dict):
        found, expected = tuple(found.values()), tuple(expected.values())
    if isinstance(expected, tuple | list):
        for one, other in zip(found, expected, strict=True):
            compare(one, other, atol)
    elif isinstance(expected, torch.Tensor) and expected.dtype == torch.uint8:
        apart = (found.cpu().int() - expected.int()).abs()
        assert apart.max() <= 1
        assert (apart > 0).float().mean() < 0.01
    elif isinstance(expected, torch.Tensor) and expected.is_floating_point():
        assert float((found.cpu() - expected).abs().max()) <= atol * float(expected.abs().max()) + 1e-6
    elif isinstance(expected, torch.Tensor):
        assert torch.equal(found.cpu(), expected)


# ---- images


@pytest.mark.parametrize("variant", RENDERED, ids=lambda variant: variant.name)
def test_variants(place, scenes, variant):
    dataset = compose(scenes, variant)
    same(place, lambda at: dataset.images(slice(0, 6), at.device))
    same(place, lambda at: dataset.images(np.array([7, 2, 2]), at.device))


def test_scenes_that_do_not_fit_are_sent_batch_by_batch(monkeypatch, scenes):
    with imagined_gpu(monkeypatch, free=0) as place:
        same(place, lambda at: compose(scenes, "mixed_rand").images(slice(0, 6), at.device))
        held = SceneTensors(scenes)
        held.batch(slice(0, 6), place.device)
        assert {tensor.device.type for tensor in held._uploaded["cuda"].values()} == {"cpu"}


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_evaluation_transform(place, interpolation):
    transform, images = EvaluationTransform(48, 0.8, interpolation), random_images(4, SIZE)
    crops = transform.batch(images.to(place.device))
    check_place(crops, transform.batch(images) if place.has_values else crops, place.device)
    if place.has_values:
        assert (crops.cpu().int() - transform.batch(images).int()).abs().max() <= 2
        same(place, lambda at: transform.uncrop(torch.ones(2, 7, 7, device=at.device), SIZE))


@pytest.mark.parametrize("soft", [False, True])
def test_compositing_and_placement(place, soft):
    images, boxes = random_images(4, SIZE), torch.tensor([[4, 8, 40, 50]] * 2)
    placements = [Placement(0.1, -0.2, 1.3), Placement(flip=True)]

    def piece(at):
        front, back = images[:2].to(at.device), images[2:].to(at.device)
        masks = box_mask(boxes.to(at.device), SIZE, SIZE)
        moved, matte = place_objects(front[0], masks[0], placements)
        return composite(front, back, masks.float() * 0.5 if soft else masks), composite(moved, back.float(), matte)

    same(place, piece)


# ---- predictions


def test_predictions(place, scenes, classifier):
    datasets = [compose(scenes, name) for name in ("original", "mixed_rand", "bg_blurred")]

    def piece(at):
        here = at.bring(classifier)
        small = here.spec.under("model")
        seen = seen_by(replace(here, spec=small), datasets[0])
        assert seen.size == SIZE
        return tuple(all_logits(here, dataset, batch_size=5, **QUIET) for dataset in (*datasets, seen))

    with unset_fake_temporarily():
        expected = piece(Place(CPU))
    found = piece(place)
    check_place(found, expected, CPU)  # copied back
    tables = predict_all(place.bring(classifier), datasets, batch_size=5, **QUIET)
    assert [len(table) for table in tables] == [18, 18, 18]
    if place.has_values:
        compare(found[:3], expected[:3], 1e-3)
        for table, logits in zip(tables, expected, strict=False):
            assert table["native"].tolist() == logits.argmax(1).tolist()
    assert tables[0].attrs["precision"] == "float32"


def test_single_images(place, classifier):
    images = random_images(2, SIZE)

    def piece(at):
        here = at.bring(classifier)
        found, one = classify(here, images.to(at.device), "in9"), classify_image(here, images[0].to(at.device))
        return torch.from_numpy(found.probabilities), torch.from_numpy(one.probabilities), here(images)

    with unset_fake_temporarily():
        expected = piece(Place(CPU))
    found = piece(place)
    check_place(found[:2], expected[:2], CPU)
    check_place(found[2], expected[2], place.device)
    if place.has_values:
        compare(found, expected, 1e-3)


# ---- searches


def test_searches(place, scenes, classifier):
    def piece(at):
        here = at.bring(classifier)
        matrix = search_matrix(here, scenes, block_rows=4, batch_size=7, **QUIET)
        hits = first_hit(here, scenes, criterion="targeted", batch_size=8, **QUIET)
        return np.asarray(matrix.native), np.asarray(matrix.original), hits.vulnerable

    with unset_fake_temporarily():
        expected = piece(Place(CPU))
    found = piece(place)
    assert [part.shape for part in found] == [part.shape for part in expected]
    if place.has_values:
        for one, other in zip(found, expected, strict=True):
            assert np.array_equal(one, other)


def test_live_search_and_refinement(place, scenes, classifier):
    def piece(at):
        evaluator = open_evaluator(at.bring(classifier), scenes, Protocol(), **QUIET)
        steps = list(search_live_steps(evaluator, start_live(evaluator, 3), batch_size=8))
        best = refine_attack(evaluator, 3, [0, 5], budget=12, batch_size=4, stop="budget")
        tried = [Attempt(1, 0.5, Placement(0.1, 0.0, 0.8)), Attempt(2)]
        return attempt_images(evaluator, 3, tried), best.image, sum(len(step.columns) for step in steps)

    same(place, piece)


# ---- saliency


@pytest.mark.parametrize("layer", LAYERS, ids=str)
@pytest.mark.parametrize("combine", [methods.grad_cam_map, methods.grad_cam_plus_plus_map])
def test_class_activation_maps(place, classifier, layer, combine):
    marks = torch.zeros(3, 9, dtype=torch.bool)
    marks[:, 4] = True

    def piece(at):
        cam = methods.GradCam(at.bring(classifier), LAYERS[layer], combine=combine)
        return cam.cam(random_images(3, SIZE)), cam.cam(random_images(3, SIZE).to(at.device), against=marks)

    same(place, piece, atol=1e-2)


@pytest.mark.parametrize("layer", LAYERS)
def test_the_layers_are_what_the_maps_are_tested_for(classifier, layer):
    weight = head_weight(classifier.network.network, LAYERS[layer], SIZE)
    assert (weight is not None) == (layer == "linear head")


@pytest.mark.parametrize("method", methods.METHODS)
def test_saliency_methods(place, classifier, method, monkeypatch):
    monkeypatch.setattr(methods, "SMOOTH_SAMPLES", 4)
    monkeypatch.setattr(methods, "OCCLUSION_PARTS", 2)
    images = random_images(2, SIZE)
    same(place, lambda at: methods.saliency_maps(at.bring(classifier), images.to(at.device), method=method), atol=1e-2)


def test_smooth_grad_with_its_errors(place, classifier):
    images = random_images(2, SIZE)
    same(place, lambda at: tuple(methods.smooth_grad(at.bring(classifier), images, samples=3)), atol=1e-2)


def test_saliency_tables(place, scenes, classifier):
    table = saliency_table(place.bring(classifier), scenes, ("mixed_next",), target="true", batch_size=8, **QUIET)
    assert len(table) == 18
    if place.has_values:
        expected = saliency_table(classifier, scenes, ("mixed_next",), target="true", batch_size=8, **QUIET)
        assert np.allclose(table["share_on_object"], expected["share_on_object"], atol=1e-3, equal_nan=True)


# ---- training


def test_augmentation(place):
    images, draws = random_images(4, SIZE), draw_all(0, 0, 4)
    same(place, lambda at: augment(images.to(at.device), draws, Augmentation(), 48))


@pytest.mark.parametrize("deterministic", [False, True])
def test_algorithms_are_chosen_for_the_steps_of_training_only(place, scenes, monkeypatch, deterministic):
    recipe = replace(PRESETS["toy"], architecture="resnet10t", size=SIZE, batch_size=9, deterministic=deterministic)
    run = _Run(training_set(recipe, scenes, **QUIET), _ProcessGroup(0, 1, place.device), None, {})
    before, backward, seen = algorithms(), torch.Tensor.backward, []
    run.network.register_forward_hook(lambda *_: seen.append(algorithms()))
    monkeypatch.setattr(torch.Tensor, "backward", lambda loss: seen.append(algorithms()) or backward(loss))
    run._run_epoch([9], Bar(disable=True))
    run.accuracy(compose(scenes, "original"))
    assert algorithms() == before
    assert seen == [(2, True, False) if deterministic else before] * 3


def test_an_epoch_of_training(place, scenes):
    recipe = replace(PRESETS["toy"], architecture="resnet10t", size=SIZE, batch_size=9, amp_dtype="none", lr=0.01)
    data = training_set(recipe, scenes, **QUIET)

    def piece(at):
        run = _Run(data, _ProcessGroup(0, 1, at.device), None, {})
        run._run_epoch([9, 9], Bar(disable=True))
        run.accuracy(compose(scenes, "original"))
        return run.network.network.state_dict()

    same(place, piece, atol=1e-2)
