"""The layer a map is read from: found in any architecture, and refused with the reason where there is none."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

from bglab.errors import BadInput
from bglab.saliency import CamLayer, find_layer, head_weight, locate_layer
from bglab.saliency.target_layers import share
from fixtures.networks import fresh


@pytest.mark.parametrize(
    ("name", "size", "layer", "linear"),
    [
        ("test_resnet", 64, CamLayer("layer4", "channels_first"), True),
        ("test_efficientnet", 64, CamLayer("bn2", "channels_first"), True),
        ("test_convnext", 96, CamLayer("stages", "channels_first"), False),  # a norm between averaging and head
        ("test_mambaout", 96, CamLayer("stages", "channels_last"), False),
        ("test_vit", 160, CamLayer("blocks.5.norm1", "tokens", 1), False),
        ("test_vit3", 160, CamLayer("norm", "tokens", 1), False),
        ("tv_densenet121", 64, CamLayer("features", "channels_first"), False),  # an activation follows the layer
        ("tv_squeezenet1_1", 64, CamLayer("features", "channels_first"), False),
        ("tv_mobilenet_v3_small", 64, CamLayer("features", "channels_first"), False),
        ("tv_alexnet", 96, CamLayer("features.11", "channels_first"), False),  # before its last pooling
        ("mobilenetv3_small_050", 64, CamLayer("blocks", "channels_first"), False),
    ],
)
def test_layers_are_found(name, size, layer, linear):
    network = fresh(name, size).network.network
    assert find_layer(network, size) == layer
    assert (head_weight(network, layer, size) is not None) == linear


def test_tokens_that_belong_to_no_position_are_counted():
    torch.manual_seed(0)
    options = {"patch_size": 16, "img_size": 48, "embed_dim": 16, "depth": 2, "num_heads": 2, "num_classes": 9}
    distilled = timm.models.deit.VisionTransformerDistilled(**options).eval()
    assert find_layer(distilled, 48) == CamLayer("blocks.1.norm1", "tokens", 2)
    registers = timm.models.VisionTransformer(**options, reg_tokens=4).eval()
    assert find_layer(registers, 48) == CamLayer("blocks.1.norm1", "tokens", 5)
    averaging = timm.models.VisionTransformer(**options, global_pool="avg", class_token=False).eval()
    assert find_layer(averaging, 48) == CamLayer("blocks", "tokens", 0)


def test_swin_and_mixer():
    torch.manual_seed(0)
    swin = timm.models.SwinTransformer(
        img_size=64, patch_size=4, window_size=4, embed_dim=16, depths=(1, 1), num_heads=(1, 2), num_classes=9
    ).eval()
    found = find_layer(swin, 64)
    assert found == CamLayer("norm", "channels_last")
    weight = head_weight(swin, found, 64)
    assert weight is not None
    assert torch.equal(weight, swin.head.fc.weight)
    mixer = timm.models.MlpMixer(img_size=64, patch_size=16, embed_dim=16, num_blocks=2, num_classes=9).eval()
    nn.init.normal_(mixer.head.weight)
    assert find_layer(mixer, 64) == CamLayer("norm", "tokens", 0)


def test_a_layer_by_name():
    network = fresh("test_resnet").network.network
    assert locate_layer(network, "layer2.0", 64) == CamLayer("layer2.0", "channels_first")
    with pytest.raises(BadInput, match="but 'global_pool' has none; leave the layer out to have it found"):
        locate_layer(network, "global_pool", 64)


def test_networks_without_a_map_say_why():
    pooled = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9))
    with pytest.raises(BadInput) as error:
        find_layer(pooled, 64)
    assert str(error.value) == (
        "expected a layer with positions in Sequential, but no layer's output has any: it pools all positions before "
        "its first layer; use the method input_gradient or occlusion"
    )
    mute = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9))
    nn.init.zeros_(mute[3].weight)
    with pytest.raises(BadInput) as error:
        find_layer(mute, 64)
    assert str(error.value) == (
        "expected the logits of Sequential to depend on a layer's positions, but no gradient reaches any of its 1 "
        "feature maps: its predictions do not depend on the image; choose another model"
    )


def test_sharing_copies_no_tensor():
    network = fresh("test_resnet").network.network
    copied = share(network)
    ours, theirs = list(network.parameters()), list(copied.parameters())
    assert len(ours) == len(theirs)
    assert all(a is b for a, b in zip(ours, theirs, strict=True))
    copied.layer4.register_forward_hook(lambda *_: None)
    assert not network.layer4._forward_hooks
