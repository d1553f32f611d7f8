"""The live search of one foreground, the placement of cut-outs, and refined attacks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bglab import analysis
from bglab.errors import BadInput, UnknownName
from bglab.images import Placement, compositing, place
from bglab.labels import IN9_NAMES
from bglab.results.protocol import Protocol
from bglab.scenes import prepare
from bglab.search import (
    Pairs,
    live,
    open_evaluator,
    refine_attack,
    refine_attack_steps,
    search_live_steps,
    search_matrix,
    start_live,
)
from bglab.search.refine import Attempt, attempt_images
from fixtures.matrices import coded_scenes, matrix_classifier
from fixtures.stand_ins import make_classifier, make_scenes

LABELS = [0, 0, 0, 0, 1, 1, 2, 2, 2]
MATRIX = np.random.default_rng(3).integers(0, 3, size=(9, 9))


@pytest.fixture(scope="module")
def evaluator():
    return open_evaluator(matrix_classifier(MATRIX, LABELS), coded_scenes(LABELS))


@pytest.fixture(scope="module")
def real(data_folder):
    """Return an evaluator of random scenes whose classifier predicts by brightness."""
    prepared = prepare(make_scenes(), 32, progress=False)
    return open_evaluator(make_classifier(lambda p: p.float().mean((1, 2, 3)).long() % 9), prepared)


@pytest.mark.parametrize("order", ["stratified", "file"])
def test_a_live_search_ends_with_the_row_of_the_matrix(evaluator, order):
    steps = list(search_live_steps(evaluator, start_live(evaluator, "s4", order=order), batch_size=2))
    columns = np.concatenate([step.columns for step in steps])
    assert sorted(columns) == list(range(9))
    assert (columns.tolist() == list(range(9))) == (order == "file")
    native = np.concatenate([step.answers.native for step in steps])
    np.testing.assert_array_equal(native, MATRIX[4, columns])
    outcomes = analysis.pair_outcomes(search_matrix(evaluator.classifier, evaluator.prepared, progress=False))
    np.testing.assert_array_equal(np.concatenate([step.incorrect for step in steps]), outcomes.wrong[4, columns])
    np.testing.assert_array_equal(np.concatenate([step.captured for step in steps]), outcomes.captured[4, columns])
    assert [step.state.tried for step in steps] == [2, 4, 6, 8, 9]
    assert not steps[-1].state.left.size
    sums = np.concatenate([step.answers.probabilities for step in steps]).sum(axis=1)
    np.testing.assert_allclose(sums, 1)
    likely = np.e / (np.e + 8)
    own = np.concatenate([step.own_probability for step in steps])
    np.testing.assert_allclose(own, np.where(native == 1, likely, 1 / (np.e + 8)))
    target = np.concatenate([step.target_probability for step in steps])
    np.testing.assert_allclose(target, np.where(native == np.array(LABELS)[columns], likely, 1 / (np.e + 8)))


def test_a_stopped_search_goes_on_from_its_state(evaluator):
    whole = [step.columns.tolist() for step in search_live_steps(evaluator, start_live(evaluator, 0), batch_size=2)]
    asked = len(evaluator.classifier.engine.batch_sizes)
    steps = search_live_steps(evaluator, start_live(evaluator, 0), batch_size=2)
    first = next(steps)
    steps.close()
    assert len(evaluator.classifier.engine.batch_sizes) == asked + 1
    rest = [step.columns.tolist() for step in search_live_steps(evaluator, first.state, batch_size=2)]
    assert [first.columns.tolist(), *rest] == whole


def test_the_first_candidates_are_of_every_class(evaluator):
    left = start_live(evaluator, 2).left
    assert sorted(np.array(LABELS)[left[:3]]) == [0, 1, 2]
    assert sorted(np.array(LABELS)[left[:6]]) == [0, 0, 1, 1, 2, 2]
    assert left.tolist() != start_live(evaluator, 3).left.tolist()


def test_the_protocol_holds_for_live_searches():
    evaluator = open_evaluator(
        matrix_classifier(MATRIX, LABELS), coded_scenes(LABELS), Protocol(own_class=False, own_image=False)
    )
    assert sorted(start_live(evaluator, 4).left) == [0, 1, 2, 3, 6, 7, 8]
    lonely = open_evaluator(matrix_classifier([[0]], [0]), coded_scenes([0]), Protocol(own_class=False))
    with pytest.raises(BadInput) as error:
        start_live(lonely, 0)
    assert str(error.value) == (
        f"expected candidate backgrounds for s0 under {Protocol(own_class=False)}, got none; widen it"
    )


def test_wrong_names_and_orders(evaluator, unchecked):
    with pytest.raises(UnknownName) as error:
        start_live(evaluator, "s99")
    assert str(error.value) == "unknown scene 's99'. Known: s0, s1, s2, s3, s4, s5, s6, s7"
    with pytest.raises(BadInput, match="expected the order stratified or file, got 'random'"):
        start_live(evaluator, 0, order="random")
    with pytest.raises(BadInput, match="expected a batch size of at least 1, got 0"):
        next(search_live_steps(evaluator, start_live(evaluator, 0), batch_size=0))


def by_hand(image, mask, placement):
    """Apply the placement rule pixel by pixel."""
    height, width = mask.shape
    front, alpha = np.zeros((3, height, width)), np.zeros((height, width))
    if placement.flip:
        image, mask = image[:, :, ::-1], mask[:, ::-1]
    for row in range(height):
        for column in range(width):
            u = (column + 0.5 - width / 2 - placement.dx * width) / placement.scale + width / 2
            v = (row + 0.5 - height / 2 - placement.dy * height) / placement.scale + height / 2
            left, top = int(np.floor(u - 0.5)), int(np.floor(v - 0.5))
            for y, x in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
                weight = (1 - abs(u - 0.5 - x)) * (1 - abs(v - 0.5 - y))
                inside = 0 <= x < width and 0 <= y < height
                alpha[row, column] += weight * mask[y, x] if inside else 0
    # repeating the border equals sampling at the nearest position inside
    for row in range(height):
        for column in range(width):
            u = (column + 0.5 - width / 2 - placement.dx * width) / placement.scale + width / 2 - 0.5
            v = (row + 0.5 - height / 2 - placement.dy * height) / placement.scale + height / 2 - 0.5
            u, v = np.clip(u, 0, width - 1), np.clip(v, 0, height - 1)
            left, top = min(int(u), width - 2), min(int(v), height - 2)
            a, b = u - left, v - top
            upper = (1 - a) * image[:, top, left] + a * image[:, top, left + 1]
            lower = (1 - a) * image[:, top + 1, left] + a * image[:, top + 1, left + 1]
            front[:, row, column] = (1 - b) * upper + b * lower
    return front, alpha


@settings(max_examples=25, deadline=None)
@given(
    st.floats(-0.6, 0.6), st.floats(-0.6, 0.6), st.floats(0.3, 3.0), st.booleans(), st.integers(2, 6), st.integers(2, 7)
)
def test_placement_follows_its_rule(dx, dy, scale, flip, height, width):
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, size=(3, height, width), dtype=np.uint8)
    mask = rng.random((height, width)) < 0.5
    placement = Placement(dx, dy, scale, flip)
    moved, alpha = place(torch.from_numpy(image), torch.from_numpy(mask), [placement])
    front, expected = by_hand(image.astype(float), mask.astype(float), placement)
    np.testing.assert_allclose(alpha[0], expected, atol=1e-4)
    np.testing.assert_allclose(moved[0], front, atol=0.02)


def test_whole_pixels_move_exactly():
    image = torch.arange(48, dtype=torch.uint8).reshape(3, 4, 4)
    mask = torch.ones(4, 4, dtype=torch.bool)
    placements = [Placement(), Placement(dx=0.25), Placement(dy=-0.5), Placement(flip=True)]
    moved, alpha = place(image, mask, placements)
    torch.testing.assert_close(moved[0], image.float())
    torch.testing.assert_close(moved[1][:, :, 1:], image.float()[:, :, :-1])
    torch.testing.assert_close(moved[2][:, :2], image.float()[:, 2:])
    torch.testing.assert_close(moved[3], image.float().flip(-1))
    assert alpha[0].tolist() == [[1.0] * 4] * 4
    assert alpha[1][:, 0].tolist() == [0.0] * 4
    assert alpha[2][2:].tolist() == [[0.0] * 4] * 2
    with pytest.raises(BadInput) as error:
        Placement(scale=0)
    assert str(error.value) == "expected a scale above 0, got 0; 1 keeps the size of the object"


def test_an_unmoved_attempt_is_the_pair_and_mix_0_the_original(real):
    pairs = Pairs(np.full(4, 6), np.array([0, 5, 6, 26]))
    attempts = [Attempt(int(column)) for column in pairs.columns]
    assert torch.equal(attempt_images(real, 6, attempts), real.composer.render(pairs))
    unmixed = attempt_images(real, 6, [Attempt(3, mix=0.0, placement=Placement(dx=0.2))])
    assert torch.equal(unmixed[0], torch.from_numpy(np.asarray(real.prepared.images[6])))
    half = attempt_images(real, 6, [Attempt(5, mix=0.5)])[0].int()
    ends = real.composer.render(Pairs(np.array([6]), np.array([5])))[0].int(), unmixed[0].int()
    assert ((half - (ends[0] + ends[1]) / 2).abs() <= 0.5).all()


def reader(target):
    """Predict ``target`` with more confidence the further right the bright object is, otherwise class 0."""

    def logits(images):
        bright = (images.float().mean(1) > 200).float()
        columns = torch.arange(images.shape[-1], dtype=torch.float32)
        place_ = (bright.sum(1) * columns).sum(1) / bright.sum((1, 2)).clamp(min=1)
        answer = torch.zeros(len(images), len(IN9_NAMES))
        answer[:, target] = (place_ - images.shape[-1] * 0.7) / 4
        return answer

    return logits


@pytest.fixture
def movable():
    """Return an evaluator whose classifier is fooled only when the object is far to the right."""
    scenes = coded_scenes([0, 1], size=16)
    scenes.images[:] = 250
    scenes.plates[:] = 20
    scenes.masks[:] = False
    scenes.masks[:, 4:12, 4:12] = True
    classifier = make_classifier(lambda p: p[:, 0, 0, 0].long() * 0)
    object.__setattr__(classifier.engine, "logits", reader(1))
    return open_evaluator(classifier, scenes)


def test_an_attack_finds_the_place_that_fools(movable):
    found = refine_attack(movable, 0, [0, 1], criterion="targeted", budget=200)
    assert found.succeeded
    assert (found.prediction, found.native, found.attempt.column) == (1, 1, 1)
    assert found.attempt.placement.dx > 0.1
    assert found.forwards < 60
    assert list(found.scores) == sorted(found.scores)
    torch.testing.assert_close(found.image, attempt_images(movable, 0, [found.attempt])[0])
    assert movable.classifier(found.image[None]).argmax().item() == 1
    again = refine_attack(movable, 0, [0, 1], criterion="targeted", budget=200)
    assert (again.attempt, again.forwards) == (found.attempt, found.forwards)


def test_the_budget_is_kept(movable):
    for budget in (1, 3, 10):
        found = refine_attack(movable, 0, [1], budget=budget, batch_size=2, stop="budget")
        assert found.forwards <= budget
    further = refine_attack(movable, 0, [1], budget=150, stop="budget")
    assert further.score > refine_attack(movable, 0, [1], budget=150).score
    with pytest.raises(BadInput) as error:
        refine_attack(movable, 0, [0])
    assert str(error.value) == (
        "expected a budget of images and backgrounds of another class for s0, got 200 and 0; give columns of "
        "evaluator.backgrounds"
    )


def test_an_attack_that_fools_from_the_start_becomes_more_certain(movable):
    movable.prepared.masks[0] = False
    movable.prepared.masks[0, 4:12, 12:16] = True
    start = refine_attack(movable, 0, [1], budget=1)
    assert start.succeeded
    assert start.hit_before
    again = refine_attack(movable, 0, [1])
    assert again.forwards == 1, "it stops at its first success unless told otherwise"
    further = refine_attack(movable, 0, [1], stop="budget")
    assert further.succeeded
    assert further.score > start.score + 0.01
    steps = list(refine_attack_steps(movable, 0, [1], stop="budget"))
    assert [step.forwards for step in steps] == sorted(step.forwards for step in steps)
    assert steps[-1].score == further.score
    assert steps[0].scores == (pytest.approx(start.score),)


def test_any_error_may_use_any_background(movable):
    found = refine_attack(movable, 0, [0], criterion="any", budget=200)
    assert found.succeeded
    assert found.score == pytest.approx(-np.log(live.classify_shown(movable, found.image[None]).probabilities[0, 0]))


def test_probabilities_of_imagenet_models_are_summed_over_classes(real):
    classifier = make_classifier(lambda images: torch.full((len(images),), 207), "imagenet")
    imagenet = dataclasses.replace(real, classifier=classifier)
    answers = live.classify_shown(imagenet, torch.zeros(2, 3, 4, 4, dtype=torch.uint8))
    assert answers.native.tolist() == [207, 207]
    assert answers.predictions.tolist() == [0, 0]
    assert answers.probabilities.shape == (2, 10)
    np.testing.assert_allclose(answers.probabilities[0, 0], (np.exp(1) + 115) / (np.exp(1) + 999))


def test_a_moved_cutout_keeps_its_pixels_over_the_plate(real):
    placement = Placement(dx=0.25)
    moved = attempt_images(real, 2, [Attempt(9, placement=placement)])[0]
    image, mask = (torch.from_numpy(np.asarray(getattr(real.prepared, n)[2])) for n in ("images", "masks"))
    plate = torch.from_numpy(np.asarray(real.prepared.plates[9]))
    shifted_mask = torch.zeros_like(mask)
    shifted_mask[:, 8:] = mask[:, :-8]
    assert torch.equal(moved, compositing.composite(image.roll(8, dims=-1), plate, shifted_mask))
