"""Networks and images that several chapters on saliency share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.models import load_classifier

LITE = "lite:efficientnet_lite0"


@pytest.fixture(scope="module")
def lite():
    return load_classifier(LITE, engine="torch", device="cpu")


@pytest.fixture(scope="module")
def lite_openvino():
    return load_classifier(LITE, engine="openvino")


@pytest.fixture(scope="module")
def photographs():
    """Smooth images with one object each: coloured discs before a gradient."""
    rows, columns = np.mgrid[0:224, 0:224]
    images = []
    for centre in (60, 110, 160):
        ramp = np.stack([rows, columns, 223 - rows])
        disc = (rows - centre) ** 2 + (columns - centre) ** 2 < 40**2
        images.append(np.where(disc, np.array([230, 140, 20]).reshape(3, 1, 1), ramp))
    return torch.from_numpy(np.stack(images).astype(np.uint8))
