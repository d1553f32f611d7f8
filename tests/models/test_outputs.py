"""What the outputs of a network stand for: ImageNet's classes and the nine by name, in any order."""

from __future__ import annotations

import random

import pytest
from timm.data import ImageNetInfo
from torchvision.models import ResNet18_Weights

from bglab.errors import BadInput
from bglab.labels import IN9_NAMES, imagenet_names, imagenet_synsets
from bglab.models.sources._outputs import read_outputs

DESCRIBED = ImageNetInfo().label_descriptions(as_dict=True)
#: As configurations on the hub name them: "tench, Tinca tinca".
ALL_SYNONYMS = [DESCRIBED[synset] for synset in imagenet_synsets()]
GENERIC = [f"LABEL_{i}" for i in range(1000)]


@pytest.mark.parametrize(
    "names",
    [
        ALL_SYNONYMS,
        list(imagenet_names()),
        list(imagenet_synsets()),
        [f"{synset} {name}" for synset, name in zip(imagenet_synsets(), ALL_SYNONYMS, strict=True)],
        ResNet18_Weights.DEFAULT.meta["categories"],
    ],
    ids=["synonyms", "ours", "synsets", "synsets-and-names", "torchvision"],
)
def test_imagenet_in_its_order(names):
    found = read_outputs(names, "own")
    assert (found.space, found.classes, found.order) == ("imagenet", (), None)
    assert found.notes[0].startswith("its classes are ImageNet's, in their order")


@pytest.mark.parametrize("names", [ALL_SYNONYMS, list(imagenet_names()), list(imagenet_synsets())])
def test_imagenet_in_another_order(names):
    shuffled = random.Random(0).sample(names, len(names))  # noqa: S311
    found = read_outputs(shuffled, "own")
    assert found.space == "imagenet"
    assert [shuffled[i] for i in found.order] == names
    assert found.notes[0] == "its classes are ImageNet's, put in their order by name"


def test_names_that_two_classes_share_are_said():
    shuffled = random.Random(0).sample(list(imagenet_names()), 1000)  # noqa: S311
    assert "of classes of the same name (crane, maillot)" in read_outputs(shuffled, "own").notes[1]


def test_an_output_for_the_background_is_left_out():
    found = read_outputs(["background", *ALL_SYNONYMS], "own")
    assert (found.space, found.order) == ("imagenet", tuple(range(1, 1001)))
    assert found.notes[0].startswith("its output for 'background' is left out")


def test_names_that_only_count_are_assumed():
    assert read_outputs(GENERIC, "own").space == "imagenet"
    assert "have no names (LABEL_0, …) and are assumed to be ImageNet's" in read_outputs(GENERIC, "own").notes[0]
    assert read_outputs(GENERIC[:9], "own").space == "in9"
    assert read_outputs(GENERIC[:5], "own") == ("own", tuple(GENERIC[:5]), None, ())


def test_the_nine_in_any_order():
    assert read_outputs(IN9_NAMES, "own")[:3] == ("in9", (), None)
    folders = ["08_fish", "00_dog", "Bird", "musical instrument", "02_wheeled vehicle", "reptile", "carnivore"]
    names = [*folders, "insect", "n02469914"]
    found = read_outputs(names, "own")
    assert found.space == "in9"
    assert [names[i] for i in found.order] == [
        "00_dog", "Bird", "02_wheeled vehicle", "reptile", "carnivore", "insect", "musical instrument", "n02469914",
        "08_fish",
    ]  # fmt: skip


def test_other_classes_keep_their_names():
    places = [f"place {chr(97 + i % 26)}{i // 26}" for i in range(1000)]
    assert read_outputs(places, "own")[:3] == ("own", tuple(places), None)
    nearly = [*IN9_NAMES[:8], "boat"]
    assert read_outputs(nearly, "own")[:3] == ("own", tuple(nearly), None)
    twice = read_outputs(["crane", "cat", "crane"], "own")
    assert twice.classes == ("crane (0)", "cat", "crane (2)")
    assert "more than once (crane)" in twice.notes[0]


@pytest.mark.parametrize("count", [21841, 21843, 11221])
def test_imagenet_21k_is_refused(count):
    with pytest.raises(BadInput, match=r"of ImageNet-21k \(or 22k\); choose its version fine-tuned on ImageNet-1k"):
        read_outputs([str(i) for i in range(count)], "own")
