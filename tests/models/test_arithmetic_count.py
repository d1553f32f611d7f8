"""How much arithmetic networks do: counted by hand, with and without weights, and not where torch does not see it."""

from __future__ import annotations

import pytest
import timm
import torch
from torch import nn

import bglab
from bglab.errors import UnknownName
from bglab.models import Normalised, architecture_gmacs, architecture_size, network_gmacs
from fixtures.networks import ByHand, wrap


def test_products_are_counted_once_each():
    # two filters of three channels at 8 × 8 positions, and a head of nine classes over two channels
    assert network_gmacs(wrap(ByHand(averaging=True), 8).network, 8) == (8 * 8 * 6 + 2 * 9) / 1e9


def test_networks_of_fixed_size_are_counted_at_their_own():
    resized = Normalised(ByHand(averaging=True), (0.5,) * 3, (0.5,) * 3, resize=8)
    assert network_gmacs(resized, 32) == network_gmacs(resized, 8)


def test_an_architecture_needs_no_weights():
    counted = architecture_gmacs("test_resnet", 64)
    network = Normalised(timm.create_model("test_resnet"), (0.5,) * 3, (0.5,) * 3)
    assert counted == network_gmacs(network, 64)
    assert next(network.parameters()).device.type == "cpu"
    with pytest.raises(UnknownName, match="unknown architecture 'resnt18'; did you mean"):
        architecture_gmacs("resnt18", 64)


def test_published_counts_are_met():
    """VGG-16 and ResNet-50 are known to take 15.5 and 4.1 billion multiplications."""
    assert architecture_gmacs("tv_vgg16_bn", 224) == pytest.approx(15.5, abs=0.05)
    assert architecture_gmacs("resnet50.tv_in1k", 224) == pytest.approx(4.1, abs=0.05)
    # attention counts, too
    assert architecture_gmacs("vit_base_patch16_224", 224) == pytest.approx(17.6, abs=0.1)


def test_weights_have_the_size_of_their_evaluation():
    assert architecture_size("tf_efficientnet_b5.ns_jft_in1k") == 456
    assert architecture_size("tv_alexnet") == 224


def test_what_torch_does_not_see_is_unknown():
    constant = lambda images: torch.zeros(len(images), 9)  # noqa: E731
    function = bglab.classifier(constant, classes=[f"c{i}" for i in range(9)], name="constant")
    assert network_gmacs(function.network, 32) is None

    class Refusing(nn.Module):
        def forward(self, images):
            raise RuntimeError("not with this one")

    assert network_gmacs(Refusing(), 32) is None
