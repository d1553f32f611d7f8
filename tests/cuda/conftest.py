"""The tests of this folder run on an imagined GPU everywhere, and on a real one where there is one."""

from __future__ import annotations

import pytest
import torch

from fixtures.accelerators import CUDA, Place, imagined_gpu


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
