"""Cards of classifiers whose every prediction is known: one that reads the background, one that reads the object."""

from __future__ import annotations

import numpy as np
import pytest

from bglab import check
from bglab.labels import IN9_NAMES
from bglab.names import copy_name
from bglab.scenes import Scene, SceneRecord, SceneSet, prepare
from bglab.seeding import digest
from fixtures.networks import fresh
from fixtures.stand_ins import make_classifier

SIZE = 32


def read(record: SceneRecord) -> Scene:
    """Draw an object of level 100 + 10 × label on a background of level 10 × label."""
    image = np.full((3, SIZE, SIZE), 10 * record.label, dtype=np.uint8)
    mask = np.zeros((SIZE, SIZE), dtype=bool)
    mask[10:22, 10:22] = True
    image[:, mask] = 100 + 10 * record.label
    return Scene(record.id, record.label, -1, image, mask, (10, 10, 22, 22))


@pytest.fixture(scope="session")
def scenes(data_folder):
    """Prepare three objects of each class, two images of each."""
    records = [
        SceneRecord(copy_name(f"object-{label}-{i}", copy), label)
        for copy in (1, 2)
        for label in range(9)
        for i in range(3)
    ]
    return prepare(
        SceneSet("levels", "levels", "in9", IN9_NAMES, tuple(records), read, digest(["levels"]), crop_fraction=1.0),
        SIZE,
        progress=False,
    )


@pytest.fixture(scope="session")
def by_background():
    """Make a classifier that reads the class off the upper left pixel."""
    return make_classifier(lambda images: (images[:, 0, 0, 0].long() // 10).clamp(0, 8))


@pytest.fixture(scope="session")
def by_object():
    """Make a classifier that reads the class off the middle pixel."""
    return make_classifier(lambda images: ((images[:, 0, 16, 16].long() - 100) // 10).clamp(0, 8))


@pytest.fixture(scope="session")
def background_card(by_background, scenes):
    """Check the classifier that reads the background."""
    return check(by_background, scenes=scenes, beside=(), progress=False)


@pytest.fixture(scope="session")
def object_card(by_object, scenes):
    """Check the classifier that reads the object."""
    return check(by_object, scenes=scenes, beside=(), progress=False)


@pytest.fixture(scope="session")
def network():
    """Make a small network with random weights."""
    return fresh("test_resnet", size=SIZE, seed=1)  # maps of seed 0 are zero


@pytest.fixture(scope="session")
def network_card(network, scenes):
    """Check the network."""
    return check(network, scenes=scenes, beside=(), progress=False)
