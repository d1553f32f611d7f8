"""Adapters that turn what people have into networks from images to logits: other outputs, functions, other orders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from bglab.errors import BadInput

#: Smallest probability whose logarithm is taken.
_LEAST_PROBABILITY = 1e-12


class Function(nn.Module):
    """A function from normalised images to logits as a network; it is called without gradients.

    Args:
        function: Takes a float32 tensor ``n 3 h w`` and returns ``n c`` numbers as a tensor or an array.
        name: Name for messages.
    """

    def __init__(self, function: Callable[[Tensor], Any], name: str) -> None:
        super().__init__()
        self.function, self.name = function, name

    def forward(self, images: Tensor) -> Tensor:
        """Return what the function returns, as a float32 tensor on the device of the images."""
        with torch.no_grad():
            returned = self.function(images)
        if not isinstance(returned, Tensor):
            returned = torch.from_numpy(np.array(returned, dtype=np.float32))
        return returned.detach().to(images.device, torch.float32)


class LogitsOf(nn.Module):
    """A network that returns its logits as a part of something else, such as the outputs of transformers' models.

    Args:
        network: Takes normalised images.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of shape ``n c``."""
        return find_logits(self.network(images))


class LogOf(nn.Module):
    """A network that returns probabilities; their logarithms serve as logits, whose softmax they are.

    Args:
        network: Returns one probability per class.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return logarithms of probabilities, shape ``n c``."""
        return self.network(images).clamp_min(_LEAST_PROBABILITY).log()


class Flipped(nn.Module):
    """A network that takes blue first and red last.

    Args:
        network: Takes normalised images in that order.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images whose first channel is red."""
        return self.network(images.flip(1))


class Reordered(nn.Module):
    """A network whose classes are put in another order.

    Args:
        network: Returns one logit per class.
        order: For each class of the result, its position among the network's own.
    """

    order: Tensor

    def __init__(self, network: nn.Module, order: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.register_buffer("order", torch.tensor(list(order)), persistent=False)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits in the other order, shape ``n c``."""
        return self.network(images)[:, self.order]


def find_logits(returned: Any) -> Tensor:
    """Find the logits in what a network returned: itself, its entry or attribute ``logits``, or its first element.

    Raises:
        BadInput: If there is no tensor of shape ``n c``.
    """
    found = returned
    if isinstance(returned, dict):
        found = returned.get("logits")
    elif hasattr(returned, "logits"):
        found = returned.logits
    elif isinstance(returned, (tuple, list)) and returned:
        found = returned[0]
    if isinstance(found, Tensor) and found.ndim == 2:
        return found
    what = f"a tensor of shape {tuple(found.shape)}" if isinstance(found, Tensor) else type(returned).__name__
    raise BadInput(
        f"expected logits of shape (images, classes) from the network, got {what}; wrap it in a function that returns "
        "them, or give its head"
    )


def differentiable(network: nn.Module) -> bool:
    """Return whether gradients flow through a network, which they do not through a `Function`."""
    return not any(isinstance(module, Function) for module in network.modules())
