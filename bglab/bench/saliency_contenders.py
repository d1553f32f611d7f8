"""What `bglab.bench.measure` times of saliency: our class activation maps, and those of the libraries they replace."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.bench.contenders import Arena, Contender, repeat
from bglab.errors import BadInput
from bglab.saliency import CamLayer, GradCam, find_layer, head_weight, locate_layer


def map_contenders(arena: Arena) -> list[Contender]:
    """List what makes class activation maps; none of it is asked to enlarge them."""
    batch = arena.images(arena.plan.map_batch)
    size = arena.classifier.spec.input_size
    try:
        layer = find_layer(arena.classifier.network.network, size)
    except BadInput as problem:
        return [Contender("grad_cam", "Grad-CAM", None, str(problem))]
    targets = arena.classifier(batch).argmax(1)
    bare = Contender(
        "bare_for_maps",
        f"bare forward pass, batches of {len(batch)}",
        lambda _: repeat(arena, len(batch), lambda: arena.classifier(batch)),
    )
    return [
        bare,
        _ours(arena, "grad_cam", f"Grad-CAM, ours, at {layer.name}", layer, batch),
        _below(arena, layer, batch),
        *(_library(arena, name, layer, batch, targets) for name in _LIBRARIES),
    ]


def _ours(arena: Arena, name: str, title: str, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"]) -> Contender:
    explainer = GradCam(arena.classifier, layer)
    explainer.get_ready(*batch.shape[-2:])
    arena.maps[name] = explainer.cam(batch).maps.cpu()
    work = functools.partial(explainer.cam, batch)
    return Contender(name, title, lambda _: repeat(arena, len(batch), work), beside="bare_for_maps")


def _below(arena: Arena, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"]) -> Contender:
    """Take the second block before the head that a backward pass reaches through more than pooling and one layer."""
    name, title = "grad_cam_below", "Grad-CAM, ours, below the head"
    network, size = arena.classifier.network.network, arena.classifier.spec.input_size
    blocks = [n for n, module in network.named_modules() if n and n.count(".") <= 1 and next(module.children(), None)]
    before = blocks[: blocks.index(layer.name)] if layer.name in blocks else blocks
    found: list[CamLayer] = []
    for block in reversed(before):
        try:
            candidate = locate_layer(network, block, size)
        except BadInput:
            continue
        if head_weight(network, candidate, size) is None:
            found.append(candidate)
        if len(found) == 2:
            return _ours(arena, name, f"{title}, at {block}", candidate, batch)
    return Contender(name, title, None, f"{arena.classifier.spec.name} has no two blocks with positions below its head")


def _captum(
    arena: Arena, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Callable[[], Tensor]:
    from captum.attr import LayerGradCam

    explainer = LayerGradCam(arena.usual, arena.usual.network.get_submodule(layer.name))

    def explain() -> Tensor:
        levels = batch.float().requires_grad_()
        return torch.as_tensor(explainer.attribute(levels, target=targets, relu_attributions=True)).detach()[:, 0]

    return explain


def _pytorch_grad_cam(
    arena: Arena, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Callable[[], Tensor]:
    library: Any = importlib.import_module("pytorch_grad_cam")
    wanted: Any = importlib.import_module("pytorch_grad_cam.utils.model_targets")
    network = arena.usual.network

    def explain() -> Tensor:
        levels = (batch.float() - arena.usual.shift) * arena.usual.scale
        with library.GradCAM(model=network, target_layers=[network.get_submodule(layer.name)]) as explainer:
            return torch.from_numpy(explainer(levels, [wanted.ClassifierOutputTarget(int(t)) for t in targets]))

    return explain


#: Libraries by the name they are imported by: what they are called, and how they are asked.
_LIBRARIES: dict[str, tuple[str, Callable[..., Callable[[], Tensor]]]] = {
    "captum": ("captum's LayerGradCam, eager torch", _captum),
    "pytorch_grad_cam": ("pytorch-grad-cam, eager torch", _pytorch_grad_cam),
}


def _library(
    arena: Arena, name: str, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Contender:
    title, ask = _LIBRARIES[name]
    if not importlib.util.find_spec(name):
        return Contender(name, title, None, "not installed")
    if layer.layout != "channels_first":
        return Contender(name, title, None, f"takes '{layer.name}' for channels over a grid, which it is not")
    explain = ask(arena, layer, batch, targets)
    try:
        arena.maps[name] = explain().cpu()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return Contender(name, title, None, f"out of memory with batches of {len(batch)}")
    return Contender(name, title, lambda _: repeat(arena, len(batch), explain))
