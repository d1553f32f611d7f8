"""Which common architectures the tensors of a checkpoint fit, for messages about checkpoints that do not say."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from bglab.errors import BadInput
from bglab.models.architectures import head_tensors, tensor_layout
from bglab.models.state_dicts import count_outputs, find_candidates, fit, tensors_in

#: Common architectures, by a tensor that all of them have and few others.
_COMMON: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "layer1.0.conv1.weight": (
            *("resnet18", "resnet34", "resnet50", "resnet101", "wide_resnet50_2", "resnext50_32x4d"),
            *("tv_resnet18", "tv_resnet50"),
        ),
        "features.denseblock1.denselayer1.conv1.weight": ("tv_densenet121", "densenet121"),
        "features.0.weight": ("tv_vgg16", "tv_alexnet"),
        "features.1.conv.0.0.weight": ("tv_mobilenet_v2",),
        "features.1.0.block.0.0.weight": ("tv_efficientnet_b0",),
        "features.1.block.0.0.weight": ("tv_mobilenet_v3_large",),
        "features.1.0.block.0.weight": ("tv_convnext_tiny",),
        "features.1.0.attn.qkv.weight": ("tv_swin_t",),
        "encoder.layers.encoder_layer_0.ln_1.weight": ("tv_vit_b_16",),
        "inception3a.branch1.conv.weight": ("tv_googlenet",),
        "Mixed_5b.branch1x1.conv.weight": ("tv_inception_v3", "inception_v3"),
        "blocks.0.attn.qkv.weight": ("vit_tiny_patch16_224", "vit_small_patch16_224", "vit_base_patch16_224"),
        "stages.0.blocks.0.conv_dw.weight": ("convnext_tiny",),
        "blocks.0.0.conv_dw.weight": ("efficientnet_b0", "mobilenetv3_large_100"),
        "layers.0.blocks.0.attn.qkv.weight": ("swin_tiny_patch4_window7_224",),
    }
)


def fitting_architectures(content: Any, *also: str) -> list[str]:
    """List the common architectures that the tensors of a checkpoint fit, in names and shapes.

    Args:
        content: What the checkpoint holds.
        also: Further architectures to compare with, before the common ones.
    """
    names = [f".{name}" for _, tensors in tensors_in(content) for name in tensors]
    # building a network takes far longer than looking for a name
    likely = [group for part, group in _COMMON.items() if any(name.endswith(f".{part}") for name in names)]
    return [
        name for name in dict.fromkeys((*also, *(each for group in likely for each in group))) if _fits(content, name)
    ]


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
