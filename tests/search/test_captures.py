"""The search for captures whose controls are correct, of one object and of a whole set."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.errors import BadInput
from bglab.images import Placement
from bglab.results.protocol import Protocol
from bglab.scenes import prepare
from bglab.search import CONTROLS, capture_task, clear_captures, open_evaluator, search_capture_steps
from bglab.search.refine import Attempt, attempt_images
from bglab.variants import Adjustment, adjusted, render
from bglab.widgets.state import State
from fixtures.matrices import coded_scenes
from fixtures.stand_ins import make_classifier, make_scenes

SIZE = 32


#: Grey levels of objects and backgrounds, by class.
LEVELS = 20.0 * torch.arange(9) + 20


def nearest_level(images):
    """Answer by the mean level: an object of class 5 is class 5 on grey, but class 4 on a background of class 4."""
    return -(images.float().mean((1, 2, 3))[:, None] - LEVELS).abs() / 10


@pytest.fixture(scope="module")
def evaluator():
    labels = [label for label in range(9) for _ in range(2)]
    scenes = coded_scenes(labels, size=SIZE)
    levels = LEVELS[labels].numpy().astype(np.uint8)[:, None, None, None]
    scenes.images[:], scenes.plates[:] = levels, levels
    scenes.masks[:] = False
    scenes.masks[:, 8:24, 8:24] = True
    classifier = make_classifier(lambda images: images[:, 0, 0, 0].long() * 0)
    object.__setattr__(classifier.engine, "logits", nearest_level)
    return open_evaluator(classifier, scenes)


@pytest.fixture(scope="module")
def textured(data_folder):
    """Return an evaluator of scenes with random pixels."""
    classifier = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
    return open_evaluator(classifier, prepare(make_scenes(), SIZE, progress=False))


def test_only_backgrounds_of_other_classes_are_tried(evaluator):
    task = capture_task(evaluator, "s7")
    assert sorted(set(evaluator.backgrounds.labels[task.columns])) == [0, 1, 2, 4, 5, 6, 7, 8]
    narrow = open_evaluator(evaluator.classifier, evaluator.prepared, Protocol(pool_classes=(3, 4)))
    assert set(narrow.backgrounds.labels[capture_task(narrow, "s7").columns]) == {4}


def test_trials_are_of_the_images_that_the_variants_show(textured):
    seen = []
    task = capture_task(textured, "scene-3-1")
    classify = task.classify
    object.__setattr__(task, "classify", lambda images: (seen.append(images), classify(images))[1])
    placements = [Placement(), Placement(dx=0.13, dy=-0.21, scale=0.8, flip=True)]
    controls = dict(zip(placements, task.check_controls(placements), strict=True))
    attempts = [Attempt(4, placement=p) for p in placements]
    trials = task.try_attempts(attempts, controls)
    shown, pasted = seen
    expected = [
        render(adjusted(variant, Adjustment(dx=p.dx, dy=p.dy, scale=p.scale, flip=p.flip)), task.scene, task.scene)
        for p in placements
        for variant in CONTROLS.values()
    ]
    assert torch.equal(shown, torch.cat(expected))
    row = textured.prepared.scenes.positions["scene-3-1"]
    assert (pasted.int() - attempt_images(textured, row, attempts).int()).abs().max() <= 1
    for trial in trials:
        assert trial.clarity == min(trial.probability, *trial.controls.own_probabilities)


def test_the_best_trial_only_gets_better(evaluator):
    steps = list(search_capture_steps(capture_task(evaluator, "s7"), batch_size=8))
    ranks = [step.best.rank for step in steps]
    assert ranks == sorted(ranks)
    assert [step.tried for step in steps] == sorted(step.tried for step in steps)


def test_an_object_out_of_the_frame_is_no_control(evaluator):
    task = capture_task(evaluator, "s7")
    inside, outside = task.check_controls([Placement(scale=0.5), Placement(dx=0.9)])
    assert inside.in_frame == pytest.approx(1, abs=0.02)
    assert outside.in_frame < 0.2
    assert not outside.are_correct


def test_a_set_is_searched_for_its_clearest_captures(evaluator):
    table = clear_captures(evaluator.classifier, evaluator.prepared, progress=False)
    assert set(table.loc[table["label"] == 5, "background_label"]) >= {4, 6}
    assert table["clarity"].is_monotonic_decreasing
    assert not table.duplicated(["object", "background"]).any()
    assert (table["label"] != table["background_label"]).all()
    parts = table[["on_background", "on_grey", "on_own_tiled"]].to_numpy()
    np.testing.assert_allclose(table["clarity"], parts.min(axis=1))
    first = table.iloc[0]
    row = evaluator.prepared.scenes.positions[first["object"]]
    task = capture_task(evaluator, row)
    placement = Placement(first["dx"], first["dy"], first["scale"])
    column = evaluator.backgrounds.ids.index(first["background"])
    (controls,) = task.check_controls([placement])
    (trial,) = task.try_attempts([Attempt(column, placement=placement)], {placement: controls})
    assert trial.is_clear
    assert (trial.probability, trial.clarity) == pytest.approx((first["on_background"], first["clarity"]))
    State(first["object"], f"scene:{first['background']}", **first[["dx", "dy", "scale"]].to_dict())


def test_a_set_without_captures_gives_an_empty_table(evaluator):
    constant = make_classifier(lambda images: torch.zeros(len(images), dtype=torch.long))
    table = clear_captures(constant, evaluator.prepared, Protocol(foregrounds_per_class=1), progress=False)
    assert table.empty
    assert "clarity" in table


def test_without_backgrounds_of_other_classes_there_is_nothing_to_search(evaluator):
    own = open_evaluator(evaluator.classifier, evaluator.prepared, Protocol(pool_classes=(3,)))
    with pytest.raises(BadInput, match="expected backgrounds of other classes .* got 0 and 16"):
        next(search_capture_steps(capture_task(own, "s7")))
