"""What workers are sent: a classifier that answers the same there, or says why it cannot, and scenes without files."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bglab.errors import BadInput, MissingData
from bglab.evaluation.full_resolution import _StreamedJob
from bglab.models import classifier as module
from bglab.models import load_classifier
from bglab.scenes import open_scenes, prepare
from bglab.variants import compose, full_dataset, open_full
from fixtures.checkpoints import SMALL, saved, small


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    file = tmp_path_factory.mktemp("network") / "net.pt"
    file.write_bytes(saved({"state_dict": small().state_dict(), "architecture": SMALL, "input_size": 48}))
    return load_classifier(f"file:{file}")


@pytest.fixture(scope="module")
def prepared():
    return prepare(open_scenes("synthetic9?n=9&size=48"), 48, progress=False)


def sent(found):
    return pickle.loads(pickle.dumps(found))  # noqa: S301 - made on the line itself


def test_a_classifier_answers_the_same_elsewhere(classifier, prepared, monkeypatch):
    monkeypatch.setattr(module, "_RECEIVED", {})
    there = sent(classifier)
    images = compose(prepared, "original", progress=False).images(slice(0, 5), "cpu")
    assert torch.equal(there(images), classifier(images))
    assert (there.spec, there.classes, there.notes) == (classifier.spec, classifier.classes, classifier.notes)
    assert there is not classifier
    assert sent(classifier) is there  # a worker loads it once


def test_a_classifier_whose_engine_differs_there_is_refused(classifier, monkeypatch):
    monkeypatch.setattr(module, "_RECEIVED", {})
    receive, (key, *parts, engine, packed) = classifier.__reduce__()
    with pytest.raises(BadInput, match=f"expected torch float32 cuda as in the process .*, got {' '.join(engine)}; "):
        receive(key, *parts, ("torch", "float32", "cuda"), packed)


def test_a_classifier_that_cannot_be_sent_is_loaded_by_its_name(classifier, prepared, monkeypatch):
    monkeypatch.setattr(module, "_RECEIVED", {})
    monkeypatch.setattr(module, "_PACKED", {classifier: None})
    images = compose(prepared, "original", progress=False).images(slice(0, 5), "cpu")
    assert torch.equal(sent(classifier).network(images), classifier.network(images))


def test_scenes_are_sent_without_their_files(prepared):
    there = sent(prepared)
    assert np.array_equal(there.images, prepared.images)
    assert there.scenes.ids == prepared.scenes.ids
    with pytest.raises(BadInput, match="to be read where the scenes were opened"):
        there.scenes[0]
    made, expected = (compose(each, "mixed_rand", progress=False) for each in (there, prepared))
    assert torch.equal(sent(made).images(slice(0, 9), "cpu"), expected.images(slice(0, 9), "cpu"))


def test_a_worker_that_does_not_see_the_photographs_says_so(classifier):
    full = open_full("synthetic9?n=9&size=64", progress=False)
    dataset = full_dataset(full, compose(full, "original", progress=False).variant)
    job = _StreamedJob(classifier, full, (dataset,), 8, "argmax", Path("/nowhere/photograph.jpg"))
    with pytest.raises(MissingData, match="expected the photographs of .* on every node, but there is no /nowhere/"):
        copy.copy(job).get_ready()
    replace(job, first=None).get_ready()
