"""Which common architectures the tensors of a checkpoint fit, for messages about checkpoints that do not say."""

from __future__ import annotations

from typing import Any

from bglab.errors import BadInput
from bglab.models.architectures import head_tensors, tensor_layout
from bglab.models.state_dicts import count_outputs, find_candidates, fit

_COMMON = (
    *("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext50_32x4d"),
    *("tv_resnet18", "tv_resnet50", "tv_densenet121", "tv_vgg16", "tv_mobilenet_v2", "tv_efficientnet_b0"),
    *("tv_vit_b_16", "tv_convnext_tiny", "tv_swin_t", "tv_googlenet", "tv_inception_v3", "tv_alexnet"),
    *("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224", "convnext_tiny", "efficientnet_b0"),
    *("swin_tiny_patch4_window7_224", "mobilenetv3_large_100", "densenet121"),
)


def fitting_architectures(content: Any, *also: str) -> list[str]:
    """List the common architectures that the tensors of a checkpoint fit, in names and shapes.

    Args:
        content: What the checkpoint holds.
        also: Further architectures to compare with, before the common ones.
    """
    return [name for name in dict.fromkeys((*also, *_COMMON)) if _fits(content, name)]


def _fits(content: Any, architecture: str) -> bool:
    own = tensor_layout(architecture, 1000)
    candidates = find_candidates(content, own)
    if not candidates or candidates[0].lacks(own):
        return False
    outputs = count_outputs(candidates[0], head_tensors(architecture))
    try:
        fit(candidates[0], tensor_layout(architecture, outputs), architecture, "")
    except BadInput:
        return False
    return True
