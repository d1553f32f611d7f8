"""The saliency contenders of the benchmark: Grad-CAM of bglab, captum and pytorch-grad-cam, and a forward pass."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.bench.contenders import Contender, Timing, Workload, repeat
from bglab.bench.forwards import in_turn
from bglab.errors import BadInput
from bglab.models import MANY
from bglab.saliency import CamLayer, GradCam, find_layer, head_weight, locate_layer


def saliency_contenders(workload: Workload) -> list[Contender]:
    """List the implementations of Grad-CAM; all are timed without upsampling the maps, if the library allows it."""
    batch = workload.images(workload.plan.map_batch)
    size = workload.classifier.spec.input_size
    try:
        layer = find_layer(workload.classifier.network.network, size)
    except BadInput as problem:
        return [Contender("grad_cam", "Grad-CAM", None, str(problem))]
    targets = workload.classifier(batch).argmax(1)
    return [
        _bglab(workload, "grad_cam", f"Grad-CAM, bglab, at {layer.name}", layer, batch),
        _below_head(workload, layer, batch),
        *(_library(workload, name, layer, batch, targets) for name in _LIBRARIES),
    ]


def _bglab(workload: Workload, name: str, title: str, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"]) -> Contender:
    explainer = GradCam(workload.classifier, layer)
    explainer.get_ready(*batch.shape[-2:], count=MANY)
    workload.maps[name] = explainer.cam(batch).maps.cpu()

    def begin() -> Callable[[], Tensor]:
        begun = explainer.begin(batch)
        return lambda: begun().maps

    steady = in_turn(begin, len(batch))
    return Contender(name, title, lambda _: Timing(*steady(workload.plan.seconds)), baseline="bare")


def _below_head(workload: Workload, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"]) -> Contender:
    """Choose the second-to-last block whose gradient needs a backward pass through more than pooling and the head."""
    name, title = "grad_cam_below", "Grad-CAM, bglab, below the head"
    network, size = workload.classifier.network.network, workload.classifier.spec.input_size
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
            return _bglab(workload, name, f"{title}, at {block}", candidate, batch)
    return Contender(
        name, title, None, f"{workload.classifier.spec.name} has no two blocks with spatial positions below its head"
    )


def _captum(
    workload: Workload, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Callable[[], Tensor]:
    from captum.attr import LayerGradCam

    explainer = LayerGradCam(workload.eager, workload.eager.network.get_submodule(layer.name))

    def explain() -> Tensor:
        levels = batch.float().requires_grad_()
        return torch.as_tensor(explainer.attribute(levels, target=targets, relu_attributions=True)).detach()[:, 0]

    return explain


def _pytorch_grad_cam(
    workload: Workload, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Callable[[], Tensor]:
    library: Any = importlib.import_module("pytorch_grad_cam")
    wanted: Any = importlib.import_module("pytorch_grad_cam.utils.model_targets")
    network = workload.eager.network

    def explain() -> Tensor:
        levels = (batch.float() - workload.eager.shift) * workload.eager.scale
        with library.GradCAM(model=network, target_layers=[network.get_submodule(layer.name)]) as explainer:
            return torch.from_numpy(explainer(levels, [wanted.ClassifierOutputTarget(int(t)) for t in targets]))

    return explain


#: Import name of each library → title of the contender, and the function that sets it up.
_LIBRARIES: dict[str, tuple[str, Callable[..., Callable[[], Tensor]]]] = {
    "captum": ("captum's LayerGradCam, eager torch", _captum),
    "pytorch_grad_cam": ("pytorch-grad-cam, eager torch", _pytorch_grad_cam),
}


def _library(
    workload: Workload, name: str, layer: CamLayer, batch: UInt8[Tensor, "n 3 h w"], targets: Int[Tensor, " n"]
) -> Contender:
    title, set_up = _LIBRARIES[name]
    if not importlib.util.find_spec(name):
        return Contender(name, title, None, "not installed")
    if layer.layout != "channels_first":
        return Contender(name, title, None, f"assumes channels-first feature maps, which '{layer.name}' does not have")
    explain = set_up(workload, layer, batch, targets)
    try:
        workload.maps[name] = explain().cpu()
    except torch.cuda.OutOfMemoryError:
        torch.cuda.empty_cache()
        return Contender(name, title, None, f"out of memory with batches of {len(batch)}")
    return Contender(name, title, lambda _: repeat(workload, len(batch), explain))
