"""``file:PATH``: checkpoints on this machine."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import sha256_of
from bglab.models.architectures import Grouped, create_network
from bglab.models.spec import IMAGENET_MEAN, IMAGENET_STD, IN9_MEAN, IN9_STD
from bglab.models.weights import Weights


def open_weights(path: str, *, architecture: str = "") -> Weights:
    """Load a checkpoint.

    Raises:
        MissingData: If there is no such file.
        UnknownName: If its architecture is unknown.
        BadInput: If it cannot be read or does not fit its architecture.
    """
    file = Path(path).expanduser()
    if not file.is_file():
        raise MissingData(f"expected a checkpoint at {file}, but there is none; give file:PATH of a .pt or .pth file")
    try:
        content = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as problem:  # noqa: BLE001 - torch raises many types for a file that is no checkpoint
        reason = str(problem).splitlines()[0]
        raise BadInput(
            f"expected a checkpoint of tensors in {file}, but it cannot be read safely ({reason}); "
            "save it again with torch.save(network.state_dict(), file)"
        ) from None
    if not isinstance(content, dict) or not content:
        raise BadInput(f"expected a dictionary of tensors in {file}, got {type(content).__name__}; save a state dict")
    state = _plain_names(content.get("state_dict", content.get("model", content)))
    architecture = str(content.get("architecture") or architecture)
    groups = tuple(content.get("groups", ()))
    count = len(groups) or _output_count(state, file)
    size = int(content.get("input_size", 224))
    network = _architecture(architecture, count, size, file)
    try:
        network.load_state_dict(state)
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())[:200]
        raise BadInput(f"expected the weights of {architecture} in {file}, but they do not fit: {reason}") from None
    default = (IN9_MEAN, IN9_STD) if count == 9 else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = content.get("mean", default[0]), content.get("std", default[1])
    if len(groups) > len(set(groups)):
        network = Grouped(network, groups)
    space, classes = str(content.get("space", "")), tuple(content.get("classes", ()))
    weights = Weights(network, str(file), str(content.get("tag", "")), tuple(mean), tuple(std), size, space, classes)
    return weights._replace(file_sha256=sha256_of(file)[:16])


def _plain_names(state: dict[str, Any]) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers add to parameter names, and entries that are no tensors."""
    prefixes = ("module.", "_orig_mod.", "model.", "network.")
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for prefix in prefixes:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _output_count(state: dict[str, Tensor], path: Path) -> int:
    """Return the number of classes, the length of the state dict's last tensor."""
    if not state:
        raise BadInput(f"expected a state dict in {path}, got no tensors; save network.state_dict()")
    return int(list(state.values())[-1].shape[0]) if list(state.values())[-1].ndim else 0


def _architecture(architecture: str, count: int, size: int, path: Path) -> nn.Module:
    try:
        return create_network(architecture, count, size)
    except UnknownName:
        raise UnknownName(
            f"expected the architecture of {path} in its entry 'architecture' or as file:PATH?architecture=NAME, got "
            f"'{architecture}'; give a name that timm knows, or tv_NAME for torchvision's"
        ) from None
