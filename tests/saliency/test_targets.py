"""Targets: rules become classes of the model, whatever space the labels are in."""

from __future__ import annotations

import pytest
import torch

from bglab.errors import BadInput
from bglab.labels import IN9
from bglab.models import Classifier
from bglab.saliency.targets import mark_classes, resolve_targets
from fixtures.networks import fresh
from fixtures.stand_ins import make_classifier


@pytest.fixture(scope="module")
def nine() -> Classifier:
    return make_classifier(lambda images: torch.zeros(len(images), dtype=torch.int64))


@pytest.fixture(scope="module")
def thousand() -> Classifier:
    return fresh("test_resnet", classes=1000)


def test_rules_for_a_model_of_nine_classes(nine):
    assert resolve_targets(nine, "predicted") == (None, None)
    targets, against = resolve_targets(nine, ("true", "background"), labels=[0, 7], donor_labels=[3, 3])
    assert targets.int().argmax(1).tolist() == [0, 7]
    assert against.int().argmax(1).tolist() == [3, 3]
    assert targets.sum(1).tolist() == [1, 1]
    assert resolve_targets(nine, 4, labels=[0, 1, 2]).targets.tolist() == [4, 4, 4]
    assert resolve_targets(nine, (4, 5), count=2).against.tolist() == [5, 5]
    # against the predicted class: the best of all
    assert resolve_targets(nine, ("true", "predicted"), labels=[0, 7]).against.all()


def test_a_coarse_label_marks_all_its_native_classes(thousand):
    marks = resolve_targets(thousand, "background", donor_labels=[8, 0]).targets
    assert marks[0].nonzero()[:, 0].tolist() == list(IN9[8].imagenet)
    assert marks[1].nonzero()[:, 0].tolist() == list(IN9[0].imagenet)
    native = resolve_targets(thousand, "true", labels=[207], space="imagenet").targets
    assert native.nonzero().tolist() == [[0, 207]]


@pytest.mark.parametrize(
    ("rule", "options", "sentence"),
    [
        ("true", {}, "expected labels for the target 'true', got none; give one label per image"),
        (
            "background",
            {"labels": [1]},
            "expected donor_labels for the target 'background', got none; give one label per image",
        ),
        (3, {}, "expected the number of images for this target, got none; give count or labels"),
        (9, {"count": 1}, "expected an index from 0 to 8, a class of rule:rule, got 9"),
        (
            "true",
            {"labels": [1, 2], "count": 3},
            "expected one label per image, got lists for 2 and 3 images",
        ),
        (
            "true",
            {"labels": [4, -1]},
            "expected labels of in9, got -1 for image 1; choose the target predicted for it",
        ),
        (
            "true",
            {"labels": [4], "space": "imagenet"},
            "expected labels of the space that rule:rule predicts (in9), got imagenet; choose the target predicted, or "
            "another model",
        ),
    ],
)
def test_what_cannot_be_resolved_is_said(nine, rule, options, sentence):
    with pytest.raises(BadInput) as error:
        resolve_targets(nine, rule, **options)
    assert str(error.value) == sentence


def test_a_rule_that_is_none(nine, unchecked):
    with pytest.raises(BadInput) as error:
        resolve_targets(nine, "truth", labels=[1])
    assert str(error.value) == "expected the target predicted, true, background or an index, got 'truth'"


def test_choices_that_do_not_fit(unchecked):
    with pytest.raises(BadInput) as error:
        mark_classes(torch.tensor([1, 2, 3]), 2, 9, missing=True)
    assert str(error.value) == (
        "expected one target per image (2) or 9 marks per image, got torch.int64 of shape (3,); see resolve_targets"
    )
    with pytest.raises(BadInput) as error:
        mark_classes(torch.tensor([207, 1]), 2, 9, missing=True)
    assert str(error.value) == (
        "expected targets from 0 to 8, the model's own classes, got 1 to 207; labels of another space go through "
        "resolve_targets"
    )


def test_a_missing_choice_marks_all_or_none():
    assert mark_classes(None, 2, 3, missing=True).all()
    assert not mark_classes(None, 2, 3, missing=False).any()
