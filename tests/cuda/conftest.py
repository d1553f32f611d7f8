"""The tests of this folder run on an imagined GPU everywhere, and on a real one where there is one."""

from __future__ import annotations

import pytest
import torch

from bglab.scenes import prepare
from fixtures.accelerators import CUDA, SIZE, Place, imagined_gpu
from fixtures.networks import fresh
from fixtures.stand_ins import make_scenes


def pytest_collection_modifyitems(items):
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("cuda"):
            item.add_marker(pytest.mark.skip(reason="torch sees no NVIDIA GPU"))


@pytest.fixture(params=["imagined", pytest.param("real", marks=pytest.mark.cuda)])
def place(request, monkeypatch):
    if request.param == "real":
        yield Place(CUDA)
        return
    with imagined_gpu(monkeypatch) as imagined:
        yield imagined


@pytest.fixture(scope="module")
def classifier(data_folder):
    """Start a small network."""
    return fresh("resnet10t", SIZE)


@pytest.fixture(scope="module")
def scenes(data_folder):
    """Prepare two scenes of each class."""
    return prepare(make_scenes(per_class=2, size=SIZE), SIZE, progress=False)
