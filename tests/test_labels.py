"""The mapping from ImageNet to ImageNet-9, and the decision rules."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from bglab import labels
from bglab.catalogue import Catalogue, unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.labels import IMAGENET_TO_IN9, IN9, OUTSIDE
from fixtures import ROOT


def test_class_counts_are_those_of_table_4():
    assert [len(c.imagenet) for c in IN9] == [116, 52, 42, 36, 35, 27, 26, 20, 16]
    assert (IMAGENET_TO_IN9 != OUTSIDE).sum() == 370
    assert (IMAGENET_TO_IN9 == OUTSIDE).sum() == 630
    assert sum(len(c.imagenet) for c in IN9) == len({i for c in IN9 for i in c.imagenet})


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("golden retriever", 0),
        ("Italian greyhound", OUTSIDE),  # not part of ImageNet-9, although it is a dog
        ("whippet", OUTSIDE),
        ("tabby", OUTSIDE),
        ("quail", OUTSIDE),
        ("goldfish", 8),
        ("acoustic guitar", 6),
        ("gorilla", 7),
        ("ladybug", 5),
        ("tiger", 4),
        ("jeep", 2),
        ("wreck", OUTSIDE),
    ],
)
def test_the_map_by_name(name, label):
    assert IMAGENET_TO_IN9[labels.imagenet_names().index(name)] == label


def test_synsets_are_sorted_and_known():
    synsets = labels.imagenet_synsets()
    assert len(synsets) == 1000
    assert list(synsets) == sorted(synsets)
    assert labels.synset_index()["n02099601"] == 207


def test_the_classes_are_those_of_timm():
    from timm.data import ImageNetInfo

    theirs = ImageNetInfo("imagenet-1k")
    assert list(labels.imagenet_synsets()) == theirs.label_names()
    assert list(labels.imagenet_names()) == [text.split(",")[0] for text in theirs.label_descriptions()]


def test_the_class_names_need_neither_timm_nor_torch():
    code = (
        "import sys; sys.modules['timm'] = sys.modules['torch'] = None\n"
        "from bglab.labels import imagenet_names; assert len(imagenet_names()) == 1000"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == 0


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_softmax_is_scipys_to_the_bit(dtype):
    from scipy import special

    logits = np.random.default_rng(0).normal(scale=20, size=(40, 1000)).astype(dtype)
    logits[3, :7] = -np.inf
    found = labels.softmax(logits)
    assert found.dtype == dtype
    assert np.array_equal(found, special.softmax(logits, axis=1))
    assert np.array_equal(labels.softmax(logits[3]), special.softmax(logits[3]))


def test_the_three_decision_rules_differ_where_they_should(unchecked):
    logits = np.full((1, 1000), -10.0)
    logits[0, 999] = 5.0  # outside
    logits[0, 207] = 4.0  # one dog, strongest of the mapped
    logits[0, 300:327] = 3.5  # every insect a little: together the most probable
    assert labels.decide_in9(logits, "argmax").tolist() == [OUTSIDE]
    assert labels.decide_in9(logits, "restricted").tolist() == [0]
    assert labels.decide_in9(logits, "summed").tolist() == [5]
    with pytest.raises(BadInput, match="expected a decision rule out of argmax, restricted, summed; got 'best'"):
        labels.decide_in9(logits, "best")  # pyright: ignore[reportArgumentType]


def test_an_incorrect_separator_finds_its_name():
    sentence = unknown_name("variant", "mixed-rand", ["original", "mixed_rand", "mixed_next"])
    assert sentence == (
        "unknown variant 'mixed-rand'; did you mean 'mixed_rand'? Known: original, mixed_rand, mixed_next"
    )
    with pytest.raises(UnknownName, match=r"^unknown thing 'zzz'\. Known: a, b$"):
        Catalogue("thing", {"a": 1, "b": 2})["zzz"]
