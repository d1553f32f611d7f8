"""Untrained networks by the name of their architecture, from timm and torchvision."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName


def create_network(architecture: str, outputs: int, size: int = 224) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    Args:
        architecture: Name in timm, or ``tv_`` followed by a name in torchvision.
        outputs: Number of classes.
        size: Side of the input images in pixels; used only by architectures of fixed input size.

    Raises:
        UnknownName: If there is no such architecture; the message suggests the nearest names.
    """
    import timm
    from torchvision import models

    check_architecture(architecture)
    if not timm.is_model(architecture):
        return models.get_model(architecture.removeprefix("tv_"), weights=None, num_classes=outputs)
    config = timm.get_pretrained_cfg(architecture, allow_unregistered=False)
    if config is not None and config.fixed_input_size:
        return timm.create_model(architecture, num_classes=outputs, img_size=size)
    return timm.create_model(architecture, num_classes=outputs)


def check_architecture(name: str) -> None:
    """Check that an architecture exists in timm or torchvision.

    Raises:
        UnknownName: If it does not; the message suggests the nearest names.
    """
    import timm
    from torchvision import models

    known = [*timm.list_models(), *(f"tv_{model}" for model in models.list_models(models))]
    if name not in known and not timm.is_model(name):
        nearest = difflib.get_close_matches(name, known, n=6, cutoff=0.5)
        raise UnknownName(unknown_name("architecture", name, nearest or near_names(name, known)))


class Grouped(nn.Module):
    """A network trained on fine classes that predicts coarse ones, by the maximum logit of each group.

    The predicted coarse class is therefore the group of the predicted fine class, as in Noise or Signal, Figure 10.

    Args:
        network: Returns one logit per fine class.
        groups: Coarse class of each fine class; every coarse class occurs at least once.
    """

    def __init__(self, network: nn.Module, groups: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.members = [[i for i, g in enumerate(groups) if g == group] for group in sorted(set(groups))]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of the coarse classes, shape ``n c``."""
        logits = self.network(images)
        return torch.stack([logits[:, members].amax(1) for members in self.members], dim=1)


def near_names(name: str, known: list[str]) -> list[str]:
    """List at most twelve names that begin like ``name``, or the first twelve, for an error message."""
    alike = [k for k in known if k.startswith(name[:5])]
    return (alike or known)[:12]
