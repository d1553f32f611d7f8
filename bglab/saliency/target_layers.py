"""Where in a network class activation maps are read: the last layer that still has positions, found by trying.

No architecture is known by name here. A layer is a candidate if its output can be laid out as channels over a grid,
and it is taken if a gradient of the logits reaches its positions. So a vision transformer with a class token gives
its last block's first norm (the patch tokens after it do not reach the logits any more), and a convolutional network
its last activation before pooling.
"""

from __future__ import annotations

import copy
import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple, final

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.models import Normalised

Layout = Literal["channels_first", "channels_last", "tokens"]

#: Turns a feature map and the gradient of a score with respect to it into a map.
Combine = Callable[[Float[Tensor, "n k mh mw"], Float[Tensor, "n k #mh #mw"]], Float[Tensor, "n mh mw"]]

# what passes on or thins out a map that another layer made
_NO_SOURCE = (
    nn.Identity,
    nn.Softmax,
    nn.modules.dropout._DropoutNd,
    nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd,
    nn.modules.pooling._AdaptiveAvgPoolNd,
    nn.modules.pooling._AdaptiveMaxPoolNd,
)
_POOLING = _NO_SOURCE[3:]

# class, distillation and register tokens; no network has more
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class CamLayer:
    """A layer of a network and how its output is laid out.

    Attributes:
        name: As in ``network.named_modules()``.
        layout: ``channels_first`` (n c h w), ``channels_last`` (n h w c) or ``tokens`` (n t c).
        prefix: How many tokens before the patches belong to no position (class, distillation, registers).
    """

    name: str
    layout: Layout
    prefix: int = 0


class CamOutput(NamedTuple):
    """What a network with a tapped layer gives.

    Attributes:
        logits: Of all classes.
        targets: The class explained in each image.
        maps: Combined from feature map and gradient.
    """

    logits: Float[Tensor, "n c"]
    targets: Int[Tensor, " n"]
    maps: Float[Tensor, "n mh mw"]


def find_layer(network: nn.Module, size: int = 224) -> CamLayer:
    """Find the layer whose output makes the class activation map of a classifier.

    It is the last one in the order of execution whose output has positions which the logits depend on; layers that
    only pass on or pool (dropout, pooling, identity) are skipped, and so are maps that are the class scores themselves.

    Args:
        network: Any classifier of images, n 3 h w → n c.
        size: Side in pixels of images it accepts.

    Raises:
        BadInput: If there is none; the message says why there is no map.
    """
    return _Probe(network, size).best()


def locate_layer(network: nn.Module, name: str, size: int = 224) -> CamLayer:
    """Return the layer of a given name, with the layout of its output.

    Raises:
        UnknownName: If the network has no such layer.
        BadInput: If its output has no positions.
    """
    names = [known for known, _ in network.named_modules() if known]
    if name not in names:
        alike = [known for known in names if known.split(".")[0] == name.split(".")[0]]
        raise UnknownName(unknown_name("layer", name, (alike or [k for k in names if "." not in k])[:24]))
    found = [r.layer for r in _Probe(network, size).records if r.layer.name == name]
    if not found:
        raise BadInput(
            f"expected a layer whose output has positions (a map of channels, or tokens of patches), but "
            f"'{name}' has none; leave the layer out to have it found"
        )
    return found[-1]


def share(network: nn.Module) -> nn.Module:
    """Copy a network's structure while both keep the same tensors, so that hooks on the copy never touch the original.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2))
        >>> copied = share(network)
        >>> copied[0] is network[0], copied[0].weight is network[0].weight
        (False, True)
    """
    tensors = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors}).eval()


def head_weight(network: nn.Module, layer: CamLayer, size: int = 224) -> Float[Tensor, "c k"] | None:
    """Return the last layer's weight if the logits are linear in the average over positions, which is verified.

    Returns:
        One row a class, or None if more than averaging and one linear layer stands between the map and the logits.
    """
    with torch.no_grad():
        probe = _Probe(network, size, gradients=False)
    features = next((r.grid() for r in probe.records if r.layer == layer), None)
    if features is None:
        return None
    average = features.mean((2, 3))
    for module in reversed(list(network.modules())):
        if isinstance(module, nn.Linear) and module.weight.shape == (probe.logits.shape[1], average.shape[1]):
            by_hand = nn.functional.linear(average, module.weight, module.bias)
            if torch.allclose(by_hand, probe.logits, rtol=1e-4, atol=1e-5 * float(probe.logits.abs().max())):
                return module.weight.detach()
    return None


def signed_map(
    features: Float[Tensor, "n k mh mw"], gradient: Float[Tensor, "n k #mh #mw"]
) -> Float[Tensor, "n mh mw"]:
    """Sum the channels, weighted by their gradients' averages over positions: Grad-CAM before its ReLU."""
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1)


@final
class TappedNetwork(nn.Module):
    """A classifier's network that gives logits and class activation maps in one forward pass.

    Automatic differentiation covers only what lies above the layer: no parameter and no input needs a gradient, so
    nothing is recorded until the layer's output is made a leaf. With the weight of a linear head there is none at all.

    Args:
        network: Takes uint8 images; its structure is copied, its tensors are shared.
        layer: Where to read the map, by its name in ``network.network``.
        combine: Feature map and gradient → map.
        weight: From `head_weight`, if the head is averaging and one linear layer.
    """

    def __init__(
        self, network: Normalised, layer: CamLayer, combine: Combine, weight: Float[Tensor, "c k"] | None = None
    ) -> None:
        super().__init__()
        self.network = share(network)
        self.layer = layer
        self.combine = combine
        self.weight = weight
        self._kept = threading.local()  # a widget and a cell may ask at the same time
        self.network.get_submodule(f"network.{layer.name}").register_forward_hook(self._tap)

    def forward(self, images: Tensor, wanted: Bool[Tensor, "n c"], unwanted: Bool[Tensor, "n c"]) -> CamOutput:
        """Explain the best of each image's wanted classes, against the best of its unwanted ones if there are any."""
        try:
            # autograd needs a recorded head; the closed form needs nothing
            with torch.set_grad_enabled(self.weight is None):
                logits = self.network(images).float()
            features = self._kept.features
            values = logits.detach()
            targets = values.masked_fill(~wanted, -torch.inf).argmax(1)
            seeds = _one_hot(targets, wanted) - _one_hot(values.masked_fill(~unwanted, -torch.inf).argmax(1), unwanted)
            shape = _grid_shape(self.layer, features.shape, self._aspect(images))
            if self.weight is None:
                (gradient,) = torch.autograd.grad(logits, features, seeds)
                gradient = to_grid(gradient, self.layer, shape)
            else:
                gradient = (seeds @ self.weight)[:, :, None, None] / (shape[0] * shape[1])
            grid = to_grid(features.detach(), self.layer, shape)
            return CamOutput(values, targets, self.combine(grid.float(), gradient.float()))
        finally:
            self._kept.__dict__.clear()

    def _tap(self, _module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        features = output if self.weight is not None else output.detach().requires_grad_()
        self._kept.features = features
        return features.clone()  # what follows may work in place

    def _aspect(self, images: Tensor) -> float:
        if self.network.resize is not None:
            return 1.0
        return int(images.shape[-2]) / int(images.shape[-1])  # numbers even while a tracer looks on


def to_grid(output: Tensor, layer: CamLayer, shape: tuple[int, int]) -> Float[Tensor, "n k mh mw"]:
    """Lay a layer's output (or a gradient of the same shape) out as channels over positions."""
    if layer.layout == "channels_first":
        return output
    if layer.layout == "channels_last":
        return output.permute(0, 3, 1, 2)
    return output[:, layer.prefix :].transpose(1, 2).unflatten(2, shape)


def _grid_shape(layer: CamLayer, shape: torch.Size, aspect: float = 1.0) -> tuple[int, int]:
    """Return height and width of the grid of tokens, which has the aspect ratio of the images."""
    if layer.layout == "channels_first":
        return int(shape[2]), int(shape[3])
    if layer.layout == "channels_last":
        return int(shape[1]), int(shape[2])
    count = int(shape[1]) - layer.prefix
    height = max(1, round(math.sqrt(count * aspect)))
    if count % height:
        raise BadInput(
            f"expected the {count} patches of '{layer.name}' to make a grid of the images' shape, but they make "
            "none; use square images"
        )
    return height, count // height


def _one_hot(index: Int[Tensor, " n"], allowed: Bool[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Mark the chosen class with 1; a row that allows no class stays 0."""
    classes = torch.arange(allowed.shape[1], device=allowed.device)
    return ((classes == index[:, None]) & allowed).float()


@dataclass(frozen=True, eq=False)
class _Record:
    """One module's output in a trial run."""

    layer: CamLayer
    module: nn.Module
    output: Tensor

    def grid(self) -> Float[Tensor, "n k mh mw"]:
        return to_grid(self.output, self.layer, _grid_shape(self.layer, self.output.shape))


class _Probe:
    """A trial run of a network on two noisy images, with every output that has positions."""

    def __init__(self, network: nn.Module, size: int, *, gradients: bool = True) -> None:
        self._name = type(network).__name__
        copied = share(network)
        outputs: list[tuple[str, nn.Module, Tensor]] = []
        for name, module in copied.named_modules():
            if name:
                module.register_forward_hook(_recorder(outputs, name, kept=not gradients))
        generator = torch.Generator().manual_seed(0)
        device = next((p.device for p in network.parameters()), torch.device("cpu"))
        images = torch.randn(2, 3, size, size, generator=generator).to(device).requires_grad_(gradients)
        self.logits: Tensor = copied(images)
        self.records = _with_positions(outputs)

    def best(self) -> CamLayer:
        """Take the last output that has positions the logits depend on."""
        pooled = {id(r.output) for r in self.records if isinstance(r.module, _POOLING)}
        candidates = [r for r in self.records if id(r.output) not in pooled and not isinstance(r.module, _NO_SOURCE)]
        candidates = [r for r in candidates if not self._is_scores(r)]
        if not candidates:
            raise BadInput(
                f"expected a layer with positions in {self._name}, but no layer's output has any, so there is no map; "
                "it pools all positions before its first layer, and input_gradient or occlusion explain it instead"
            )
        candidates = _without_parts(candidates)
        last = next((r for r in reversed(candidates) if self._reaches(r)), None)
        if last is None:
            raise BadInput(
                f"expected the logits of {self._name} to depend on a layer's positions, but no gradient reaches any of "
                f"its {len(candidates)} maps, so there is no map; its answer does not come from what it sees"
            )
        same = [r for r in candidates if r.output is last.output]
        # a block and its last activation give one tensor: the shortest name is how people call it
        return min(reversed(same), key=lambda r: r.layer.name.count(".")).layer

    def _is_scores(self, record: _Record) -> bool:
        if record.layer.layout == "tokens" or record.grid().shape[1] != self.logits.shape[1]:
            return False
        return torch.allclose(record.grid().mean((2, 3)), self.logits, rtol=1e-3, atol=1e-5)

    def _reaches(self, record: _Record) -> bool:
        if not record.output.requires_grad:
            return False
        weights = torch.linspace(0.5, 1.5, self.logits.shape[1], device=self.logits.device).expand_as(self.logits)
        (gradient,) = torch.autograd.grad(self.logits, record.output, weights, retain_graph=True, allow_unused=True)
        if gradient is None:
            return False
        on_positions = gradient[:, record.layer.prefix :] if record.layer.layout == "tokens" else gradient
        return bool(on_positions.abs().max() > 0)


def _without_parts(records: list[_Record]) -> list[_Record]:
    """Leave out queries, keys, values and hidden units, which are only a part of what a block passes on."""
    whole = [r for r in records if r.layer.layout != "tokens" or not isinstance(r.module, nn.Linear)]
    width = next((r.output.shape[-1] for r in reversed(whole) if r.layer.layout == "tokens"), 0)
    return [r for r in whole if r.layer.layout != "tokens" or r.output.shape[-1] == width]


def _recorder(outputs: list[tuple[str, nn.Module, Tensor]], name: str, *, kept: bool) -> Callable[..., None]:
    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.shape[0] == 2:
            # an activation in place would change what the layer gave; one tensor's identity tells who passed it on
            outputs.append((name, module, output.clone() if kept else output))

    return record


def _with_positions(outputs: list[tuple[str, nn.Module, Tensor]]) -> list[_Record]:
    records = []
    sides: list[int] = []  # of the square maps seen so far: how patches become tokens
    for name, module, output in outputs:
        layout = _layout(module, output)
        if layout == "tokens":
            prefix = _prefix(output.shape[1], sides)
            if prefix is not None:
                records.append(_Record(CamLayer(name, layout, prefix), module, output))
        elif layout is not None:
            sides.append(output.shape[2])
            records.append(_Record(CamLayer(name, layout), module, output))
    return records


def _layout(module: nn.Module, output: Tensor) -> Layout | None:
    """Tell the layout by the two sides that are equal, as the trial images are square."""
    if output.ndim == 3:
        return "tokens"
    if output.ndim != 4:
        return None
    _, second, third, fourth = output.shape
    last = second == third > 1
    if third == fourth > 1 and not (last and type(module) is nn.LayerNorm):
        return "channels_first"
    return "channels_last" if last else None


def _prefix(tokens: int, sides: list[int]) -> int | None:
    """Return the number of tokens without a position (class and register tokens); None if the rest form no square."""
    fitting = [tokens - side * side for side in sides if side > 1 and 0 <= tokens - side * side <= _MOST_PREFIX_TOKENS]
    if not fitting and math.isqrt(tokens) ** 2 == tokens > 1:
        return 0
    return min(fitting, default=None)
