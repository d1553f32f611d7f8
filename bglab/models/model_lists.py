"""Named lists of networks: thirty-two that cover the range of Time for a Background Check!, and recent ones.

The paper takes its weights from timm and names seven networks (Table 1); the other twenty-five of its Figures 2, 4
and 5 are not listed. `NETWORKS` is therefore a selection from the families that the paper names, with the tag of every
network's weights. Where the paper does not specify the weights of one of the seven, the note gives the reason for the
choice.

CLIP has no ImageNet head: timm provides its image tower, and `TODAY` lists fine-tuned ones. Zero-shot classification
from class names needs the text tower (the package open_clip_torch); its predictions can be stored and evaluated like
any other prediction table. timm's DINOv2 and DINOv3 have no linear head; one trained on ImageNet features is loaded by
``file:PATH``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

from bglab.catalogue import Catalogue


class Network(NamedTuple):
    """A network of a list, with the exact weights to load.

    Attributes:
        name: Name in timm, with the tag of the weights.
        family: Family by which figures group networks.
        printed: Name in Table 1 of the paper; "" for networks outside that table.
        note: Reason for the choice of weights; "" if there was none to make.
    """

    name: str
    family: str
    printed: str = ""
    note: str = ""

    @property
    def uri(self) -> str:
        """URI for `load_classifier`."""
        return f"timm:{self.name}"


_NEAREST = "the paper does not say which weights; of timm's these come nearest to its printed accuracy"

_OF_THE_PAPER = (
    Network("resnet18.tv_in1k", "ResNet", "ResNet-18", "the paper's baseline"),
    Network("resnet26.bt_in1k", "ResNet"),
    Network("resnet34.tv_in1k", "ResNet"),
    Network("resnet50.tv_in1k", "ResNet"),
    Network("resnet101.tv_in1k", "ResNet", "ResNet101", _NEAREST),
    Network("resnet152.tv_in1k", "ResNet"),
    Network("mobilenetv2_100.ra_in1k", "MobileNet"),
    Network("tf_mobilenetv3_large_minimal_100.in1k", "MobileNet", "MobileNet-v3", _NEAREST),
    Network("mobilenetv3_large_100.ra_in1k", "MobileNet"),
    Network("wide_resnet50_2.tv_in1k", "Wide ResNet", "Wide-ResNet-50-2", _NEAREST),
    Network("wide_resnet101_2.tv_in1k", "Wide ResNet"),
    Network("resnext50_32x4d.tv_in1k", "ResNeXt"),
    Network("resnext101_32x8d.tv_in1k", "ResNeXt"),
    Network("dpn68.mx_in1k", "DPN"),
    Network("dpn92.mx_in1k", "DPN"),
    Network("dpn98.mx_in1k", "DPN"),
    Network("dpn131.mx_in1k", "DPN"),
    Network("efficientnet_b0.ra_in1k", "EfficientNet"),
    Network("tf_efficientnet_b1.ns_jft_in1k", "EfficientNet", "EfficientNet-b1", _NEAREST),
    Network("efficientnet_b2.ra_in1k", "EfficientNet"),
    Network("efficientnet_b3.ra2_in1k", "EfficientNet"),
    Network("tf_efficientnet_b4.ap_in1k", "EfficientNet"),
    Network("tf_efficientnet_b5.ns_jft_in1k", "EfficientNet"),
    Network("resnet18.fb_swsl_ig1b_ft_in1k", "SWSL"),
    Network("resnet50.fb_swsl_ig1b_ft_in1k", "SWSL"),
    Network("resnext50_32x4d.fb_swsl_ig1b_ft_in1k", "SWSL", "SWSL-ResNeXt50-32x4d"),
    Network("resnext101_32x4d.fb_swsl_ig1b_ft_in1k", "SWSL"),
    Network("resnext101_32x8d.fb_swsl_ig1b_ft_in1k", "SWSL"),
    Network("resnext101_32x16d.fb_swsl_ig1b_ft_in1k", "SWSL"),
    Network("resnext101_32x8d.fb_wsl_ig1b_ft_in1k", "WSL"),
    Network("resnext101_32x16d.fb_wsl_ig1b_ft_in1k", "WSL"),
    Network(
        "resnext101_32x32d.fb_wsl_ig1b_ft_in1k",
        "WSL",
        "WSL-ResNeXt101-32x48d",
        "the largest that timm still carries; the paper's is 32x48d, whose old name now loads the weights of 32x8d",
    ),
)

_OF_TODAY = (
    Network("resnet50.a1_in1k", "ResNet", note="today's recipe for the same network"),
    Network("convnext_tiny.fb_in1k", "ConvNeXt"),
    Network("convnext_base.fb_in22k_ft_in1k", "ConvNeXt"),
    Network("convnext_large.fb_in22k_ft_in1k", "ConvNeXt"),
    Network("convnextv2_base.fcmae_ft_in22k_in1k", "ConvNeXt"),
    Network("tf_efficientnetv2_s.in21k_ft_in1k", "EfficientNet"),
    Network("vit_small_patch16_224.augreg_in21k_ft_in1k", "ViT"),
    Network("vit_base_patch16_224.augreg2_in21k_ft_in1k", "ViT"),
    Network("vit_large_patch16_224.augreg_in21k_ft_in1k", "ViT"),
    Network("deit3_base_patch16_224.fb_in22k_ft_in1k", "ViT"),
    Network("swin_base_patch4_window7_224.ms_in22k_ft_in1k", "Swin"),
    Network("beit_base_patch16_224.in22k_ft_in22k_in1k", "BEiT"),
    Network("eva02_base_patch14_448.mim_in22k_ft_in22k_in1k", "EVA"),
    Network("vit_base_patch16_clip_224.openai_ft_in1k", "CLIP", note="the image tower, fine-tuned"),
    Network("vit_base_patch16_clip_224.laion2b_ft_in12k_in1k", "CLIP", note="the image tower, fine-tuned"),
)

#: The thirty-two networks by family. Figures order them by accuracy on unmodified images.
NETWORKS: Catalogue[Network] = Catalogue("network", {network.name: network for network in _OF_THE_PAPER})

#: Networks published after the paper.
TODAY: Catalogue[Network] = Catalogue("network of today", {network.name: network for network in _OF_TODAY})

#: The seven networks of Table 1, from left to right: printed name → network.
TABLE_1: Catalogue[Network] = Catalogue(
    "network of Table 1",
    {
        name: next(network for network in _OF_THE_PAPER if network.printed == name)
        for name in (
            "ResNet-18",
            "MobileNet-v3",
            "ResNet101",
            "Wide-ResNet-50-2",
            "EfficientNet-b1",
            "SWSL-ResNeXt50-32x4d",
            "WSL-ResNeXt101-32x48d",
        )
    },
)

#: Lists that can be named in place of their networks: ``--models thirty-two today``.
LISTS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "thirty-two": tuple(network.uri for network in _OF_THE_PAPER),
        "table-1": tuple(TABLE_1[name].uri for name in TABLE_1),
        "today": tuple(network.uri for network in _OF_TODAY),
    }
)


def expand(models: Sequence[str]) -> tuple[str, ...]:
    """Replace names of lists by the URIs of their networks, and drop duplicates.

    Args:
        models: Names out of `LISTS`, or URIs for `load_classifier`.

    Example:
        >>> expand(["lite:efficientnet_lite0", "table-1"])[:2]
        ('lite:efficientnet_lite0', 'timm:resnet18.tv_in1k')
    """
    return tuple(dict.fromkeys(uri for name in models for uri in LISTS.get(name, (name,))))


#: The network that the others are compared with (Appendix A: box labels are noisy).
BASELINE = TABLE_1["ResNet-18"].uri
