"""Networks by architecture, without trained weights."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName


def create_network(architecture: str, outputs: int, size: int = 224) -> nn.Module:
    """Build a network with fresh weights, from torch's global random numbers.

    Args:
        architecture: A name of timm, or ``tv_`` and a name of torchvision.
        outputs: Number of classes.
        size: Side in pixels of the images it will see; matters only to networks of a fixed size.

    Raises:
        UnknownName: With the nearest name.
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
    """Make sure that there is such an architecture.

    Raises:
        UnknownName: With the nearest name.
    """
    import timm
    from torchvision import models

    known = [*timm.list_models(), *(f"tv_{model}" for model in models.list_models(models))]
    if name not in known and not timm.is_model(name):
        nearest = difflib.get_close_matches(name, known, n=6, cutoff=0.5)
        raise UnknownName(unknown_name("architecture", name, nearest or near_names(name, known)))


class Grouped(nn.Module):
    """A network trained on finer classes that answers in coarser ones: the best logit of each group.

    The arg-max is the group of the finest arg-max, as Noise or Signal judges such networks (Figure 10).

    Args:
        network: Gives one logit a fine class.
        groups: The coarse class of each fine one; every coarse class has at least one.
    """

    def __init__(self, network: nn.Module, groups: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.members = [[i for i, g in enumerate(groups) if g == group] for group in sorted(set(groups))]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of the coarse classes."""
        logits = self.network(images)
        return torch.stack([logits[:, members].amax(1) for members in self.members], dim=1)


def near_names(name: str, known: list[str]) -> list[str]:
    """List the architectures that start alike, so that an error stays readable."""
    alike = [k for k in known if k.startswith(name[:5])]
    return (alike or known)[:12]
