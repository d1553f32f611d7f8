"""Target layers of class activation maps: the last layer with a spatial output that affects the logits.

The layer is found by a forward pass and its gradients, not by the name of the architecture. A layer is a candidate if
its output can be arranged as channels over a grid, and it is chosen if the logits have a non-zero gradient with respect
to these positions. For a vision transformer with a class token this is the first norm of the last block (the patch
tokens after it no longer affect the logits), for a convolutional network its last activation before pooling.
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

#: Function that turns a feature map and the gradient of a score with respect to it into a saliency map.
Combine = Callable[[Float[Tensor, "n k mh mw"], Float[Tensor, "n k #mh #mw"]], Float[Tensor, "n mh mw"]]

# modules that only pass on or pool the feature map of another layer
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

# maximum number of class, distillation and register tokens
_MOST_PREFIX_TOKENS = 16


@dataclass(frozen=True)
class CamLayer:
    """A layer of a network and how its output is laid out.

    Attributes:
        name: Name in ``network.named_modules()``.
        layout: ``channels_first`` (n c h w), ``channels_last`` (n h w c) or ``tokens`` (n t c).
        prefix: Number of tokens before the patch tokens (class, distillation and register tokens).
    """

    name: str
    layout: Layout
    prefix: int = 0


class CamOutput(NamedTuple):
    """Output of a `TappedNetwork`.

    Attributes:
        logits: Logits of all classes.
        targets: Index of the class explained in each image.
        maps: Saliency maps at the layer's resolution.
    """

    logits: Float[Tensor, "n c"]
    targets: Int[Tensor, " n"]
    maps: Float[Tensor, "n mh mw"]


def find_layer(network: nn.Module, size: int = 224) -> CamLayer:
    """Find the target layer for class activation maps of a network.

    It is the last layer, in the order of execution, with a spatial output on which the logits depend. Layers that only
    pass on or pool (identity, dropout, pooling) and maps that are the class scores themselves are skipped.

    Args:
        network: Image classifier, n 3 h w → n c.
        size: Side in pixels of the images for the trial run.

    Raises:
        BadInput: If there is no such layer; the message gives the reason.
    """
    return _Probe(network, size).best()


def locate_layer(network: nn.Module, name: str, size: int = 224) -> CamLayer:
    """Return the layer of a given name with the layout of its output.

    Args:
        network: Image classifier, n 3 h w → n c.
        name: Name in ``network.named_modules()``.
        size: Side in pixels of the images for the trial run.

    Raises:
        UnknownName: If the network has no such layer.
        BadInput: If the layer's output has no positions.
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
    """Copy the modules of a network but share its tensors, so that hooks on the copy do not affect the original.

    Example:
        >>> network = nn.Sequential(nn.Linear(2, 2))
        >>> copied = share(network)
        >>> copied[0] is network[0], copied[0].weight is network[0].weight
        (False, True)
    """
    tensors = [*network.parameters(), *network.buffers()]
    return copy.deepcopy(network, {id(tensor): tensor for tensor in tensors}).eval()


def head_weight(network: nn.Module, layer: CamLayer, size: int = 224) -> Float[Tensor, "c k"] | None:
    """Return the weight of the linear head, if average pooling and this head are all that follows a layer.

    This is verified by computing the logits from the averaged output of the layer in a trial run.

    Args:
        network: Image classifier, n 3 h w → n c.
        layer: Target layer.
        size: Side in pixels of the images for the trial run.

    Returns:
        The weight, one row per class; None if anything else follows the layer.
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
    """Compute Grad-CAM before its ReLU: the sum of channels, each weighted by its gradient averaged over positions."""
    return (gradient.mean((2, 3), keepdim=True) * features).sum(1)


@final
class TappedNetwork(nn.Module):
    """A network that computes logits and class activation maps in one forward pass.

    Autograd records only the part after the target layer, whose output is made a leaf tensor; neither parameters nor
    inputs require gradients. With the weight of a linear head, nothing is recorded.

    Args:
        network: Network of uint8 images; its modules are copied, its tensors are shared.
        layer: Target layer, named as in ``network.network``.
        combine: Function that turns feature map and gradient into a map.
        weight: Weight of the head from `head_weight`; None computes the gradient by autograd.
    """

    def __init__(
        self, network: Normalised, layer: CamLayer, combine: Combine, weight: Float[Tensor, "c k"] | None = None
    ) -> None:
        super().__init__()
        self.network = share(network)
        self.layer = layer
        self.combine = combine
        self.weight = weight
        self._kept = threading.local()  # a widget and a notebook cell may call it at the same time
        self.network.get_submodule(f"network.{layer.name}").register_forward_hook(self._tap)

    def forward(self, images: Tensor, wanted: Bool[Tensor, "n c"], unwanted: Bool[Tensor, "n c"]) -> CamOutput:
        """Explain the best-scoring wanted class of each image, against its best-scoring unwanted class if any."""
        try:
            # only the gradient by autograd needs a recorded graph
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
        return features.clone()  # later layers may modify their input in place

    def _aspect(self, images: Tensor) -> float:
        if self.network.resize is not None:
            return 1.0
        return int(images.shape[-2]) / int(images.shape[-1])  # plain integers, even while the network is traced


def to_grid(output: Tensor, layer: CamLayer, shape: tuple[int, int]) -> Float[Tensor, "n k mh mw"]:
    """Arrange a layer's output, or a gradient of the same shape, as channels over a grid of positions.

    Args:
        output: Output in the layout of the layer.
        layer: The layer and its layout.
        shape: Height and width of the grid; used for tokens only.
    """
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
            f"expected the {count} patch tokens of '{layer.name}' to form a grid with the aspect ratio of the images, "
            "but they form none; use square images"
        )
    return height, count // height


def _one_hot(index: Int[Tensor, " n"], allowed: Bool[Tensor, "n c"]) -> Float[Tensor, "n c"]:
    """Encode class indices as one-hot rows; a row that allows no class is 0."""
    classes = torch.arange(allowed.shape[1], device=allowed.device)
    return ((classes == index[:, None]) & allowed).float()


@dataclass(frozen=True, eq=False)
class _Record:
    """Output of one module in a trial run."""

    layer: CamLayer
    module: nn.Module
    output: Tensor

    def grid(self) -> Float[Tensor, "n k mh mw"]:
        return to_grid(self.output, self.layer, _grid_shape(self.layer, self.output.shape))


class _Probe:
    """A trial run of a network on two noise images, which records every output with positions."""

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
        """Return the last layer with positions on which the logits depend."""
        pooled = {id(r.output) for r in self.records if isinstance(r.module, _POOLING)}
        candidates = [r for r in self.records if id(r.output) not in pooled and not isinstance(r.module, _NO_SOURCE)]
        candidates = [r for r in candidates if not self._is_scores(r)]
        while candidates and self._is_query(candidates[-1]):
            candidates.pop()
        if not candidates:
            raise BadInput(
                f"expected a layer with positions in {self._name}, but no layer's output has any: it pools all "
                "positions before its first layer; use the method input_gradient or occlusion"
            )
        candidates = _without_parts(candidates)
        last = next((r for r in reversed(candidates) if self._reaches(r)), None)
        if last is None:
            raise BadInput(
                f"expected the logits of {self._name} to depend on a layer's positions, but no gradient reaches any of "
                f"its {len(candidates)} feature maps: its predictions do not depend on the image; choose another model"
            )
        same = [r for r in candidates if r.output is last.output]
        # a block and its last activation output the same tensor: return the name with the fewest parts, the block's
        return min(reversed(same), key=lambda r: r.layer.name.count(".")).layer

    def _is_scores(self, record: _Record) -> bool:
        if record.layer.layout == "tokens" or record.grid().shape[1] != self.logits.shape[1]:
            return False
        return torch.allclose(record.grid().mean((2, 3)), self.logits, rtol=1e-3, atol=1e-5)

    def _reaches(self, record: _Record) -> bool:
        return self._counting(record) > 0

    def _is_query(self, record: _Record) -> bool:
        """Check whether one token of many counts: the queries of attentional pooling have no positions."""
        return record.layer.layout == "tokens" and record.layer.prefix == 0 and self._counting(record) == 1

    def _counting(self, record: _Record) -> int:
        """Count the positions on which the logits depend."""
        if not record.output.requires_grad:
            return 0
        weights = torch.linspace(0.5, 1.5, self.logits.shape[1], device=self.logits.device).expand_as(self.logits)
        (gradient,) = torch.autograd.grad(self.logits, record.output, weights, retain_graph=True, allow_unused=True)
        if gradient is None:
            return 0
        if record.layer.layout == "tokens":
            return int((gradient[:, record.layer.prefix :].abs().amax((0, 2)) > 0).sum())
        channels = 1 if record.layer.layout == "channels_first" else 3
        return int((gradient.abs().amax((0, channels)) > 0).sum())


def _without_parts(records: list[_Record]) -> list[_Record]:
    """Drop the outputs inside transformer blocks: queries, keys, values and hidden units."""
    whole = [r for r in records if r.layer.layout != "tokens" or not isinstance(r.module, nn.Linear)]
    width = next((r.output.shape[-1] for r in reversed(whole) if r.layer.layout == "tokens"), 0)
    return [r for r in whole if r.layer.layout != "tokens" or r.output.shape[-1] == width]


def _recorder(outputs: list[tuple[str, nn.Module, Tensor]], name: str, *, kept: bool) -> Callable[..., None]:
    def record(module: nn.Module, _inputs: Any, output: Any) -> None:
        if isinstance(output, Tensor) and output.is_floating_point() and output.shape[0] == 2:
            # clone, since in-place activations change outputs; with gradients, the identity of a tensor is needed
            outputs.append((name, module, output.clone() if kept else output))

    return record


def _with_positions(outputs: list[tuple[str, nn.Module, Tensor]]) -> list[_Record]:
    records = []
    sides: list[int] = []  # sides of the square maps seen so far, from which patch tokens are made
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
    """Infer the layout from the two equal sides, since the trial images are square."""
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
