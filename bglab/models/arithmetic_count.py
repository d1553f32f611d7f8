"""How much arithmetic a network does per image, by which its speed is estimated from that of another one."""

from __future__ import annotations

import functools
import warnings

import torch
from torch import nn

from bglab.models.architectures import create_network, usual_preprocessing

_IMAGENET_CLASSES = 1000


def network_gmacs(network: nn.Module, size: int) -> float | None:
    """Count the multiplications of a network's convolutions and matrix products for one image.

    Args:
        network: Takes uint8 images of shape ``n 3 h w``, as `bglab.models.Classifier.network`.
        size: Side of the image in pixels.

    Returns:
        10⁹ multiply-accumulate operations per image; None if torch does not see the arithmetic, as in a function.
    """
    device = next((parameter.device for parameter in network.parameters()), torch.device("cpu"))
    try:
        return _counted(network, torch.zeros(1, 3, size, size, dtype=torch.uint8, device=device)) or None
    except Exception:  # noqa: BLE001 - whatever a network cannot be counted for, it can still be run
        return None


@functools.lru_cache(maxsize=256)
def architecture_gmacs(architecture: str, size: int) -> float:
    """Count the multiplications of an architecture with ImageNet's classes, without making or loading weights.

    Args:
        architecture: Name as for `bglab.models.create_network`.
        size: Side of the image in pixels.

    Returns:
        10⁹ multiply-accumulate operations per image.

    Raises:
        UnknownName: If there is no such architecture.

    Example:
        >>> round(architecture_gmacs("resnet18", 224), 2)
        1.81
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        network = create_network(architecture, _IMAGENET_CLASSES, size).eval()
        return _counted(network, torch.empty(1, 3, size, size))


def architecture_size(architecture: str) -> int:
    """Return the side in pixels of the images that an architecture's weights are evaluated on.

    Raises:
        UnknownName: If there is no such architecture.

    Example:
        >>> architecture_size("tf_efficientnet_b4.ap_in1k")
        380
    """
    return usual_preprocessing(architecture).fields["input_size"]


def _counted(network: nn.Module, images: torch.Tensor) -> float:
    from torch.utils.flop_counter import FlopCounterMode  # which no prediction waits for

    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(images)
    return counter.get_total_flops() / 2e9  # torch counts a multiplication and an addition as two
