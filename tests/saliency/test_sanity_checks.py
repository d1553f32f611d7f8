"""Sanity checks of maps: twenty architectures pass, and networks built to defeat the checks fail."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bglab.errors import UnknownName
from bglab.saliency.sanity_checks import examine_layer, textured_images
from fixtures.networks import fresh, wrap

QUICK = [
    ("test_resnet", 96),
    ("test_efficientnet", 96),
    ("test_convnext", 96),
    ("test_vit", 160),
    ("resnet18", 96),
    ("resnetv2_18", 96),
    ("convnext_atto", 96),
    ("mobilenetv3_small_050", 96),
    ("test_byobnet", 96),
    ("test_efficientnet_ln", 96),
    ("test_mambaout", 96),
    ("test_nfnet", 96),
    ("test_vit2", 64),
    ("test_vit3", 160),
    ("edgenext_xx_small", 96),
    ("tv_squeezenet1_1", 96),
    ("tv_mobilenet_v2", 96),
    ("tv_shufflenet_v2_x0_5", 96),
]
SLOW = [
    ("regnetx_002", 96),
    ("vit_tiny_patch16_224", 224),
    ("deit_tiny_distilled_patch16_224", 224),
    ("swin_s3_tiny_224", 224),
    ("gmlp_ti16_224", 224),
    ("poolformer_s12", 160),
]


@pytest.mark.parametrize(
    ("name", "size"), [*QUICK, *(pytest.param(*network, marks=pytest.mark.slow) for network in SLOW)]
)
def test_sound_maps_pass(name, size):
    report = examine_layer(fresh(name, size))
    assert report.passed, str(report)
    assert [check.name for check in report.checks] == ["positions", "class", "weights", "shift"]


def test_the_report_reads_as_sentences():
    report = examine_layer(fresh("test_resnet", 64))
    lines = str(report).splitlines()
    assert lines[0] == "random:ResNet, maps at layer4 (channels_first): all checks passed"
    assert lines[1].startswith("  pass  The map differs between positions: its values spread by 0.")
    assert lines[2].startswith(
        "  pass  The map changes with the class: the maps of the best and the worst class agree by"
    )
    assert lines[3].startswith("  pass  The map depends on what was learnt: its ranks agree by ")
    assert lines[4].startswith("  pass  The map moves with the image: after a shift by 32 pixels it agrees by ")


class Blind(nn.Module):
    """Pools all positions first and broadcasts the average, so that its maps are constant."""

    def __init__(self):
        super().__init__()
        self.spread, self.mix, self.head = nn.Upsample((8, 8)), nn.Conv2d(3, 16, 1), nn.Linear(16, 9)

    def forward(self, images):
        return self.head(self.mix(self.spread(images.mean((2, 3), keepdim=True))).relu().mean((2, 3)))


class Undecided(nn.Module):
    """Predicts the same logit for every class."""

    def __init__(self):
        super().__init__()
        self.features, self.head = nn.Conv2d(3, 16, 8, stride=8), nn.Linear(16, 1)

    def forward(self, images):
        return self.head(self.features(images).relu().mean((2, 3))).expand(-1, 9)


class Rooted(nn.Module):
    """Computes features of a fixed image, scaled by the brightness of the real one."""

    def __init__(self):
        super().__init__()
        self.own = nn.Parameter(torch.randn(1, 3, 64, 64))
        self.features, self.head = nn.Conv2d(3, 16, 8, stride=8), nn.Linear(16, 9)

    def forward(self, images):
        return self.head(self.features(self.own * images.mean((1, 2, 3), keepdim=True)).relu().mean((2, 3)))


class Untaught(nn.Module):
    """Multiplies brightness by one learnt factor per class, so that no weight changes where its maps are high."""

    def __init__(self):
        super().__init__()
        self.look = nn.AvgPool2d(8)
        self.see = nn.Upsample(scale_factor=1)
        self.head = nn.Linear(3, 9)
        nn.init.uniform_(self.head.weight, 0.5, 1.5)

    def forward(self, images):
        return self.head(self.see(self.look(images)).mean((1, 2, 3))[:, None].expand(-1, 3))


@pytest.mark.parametrize(
    ("network", "failing", "sentence"),
    [
        (Blind, "positions", "so it localises nothing; the classifier ignores positions."),
        (Undecided, "class", "so it does not explain the prediction."),
        (Rooted, "shift", "so its positions mean nothing."),
        (Untaught, "weights", "so it shows edges rather than what was learnt."),
    ],
)
def test_networks_built_to_defeat_maps_are_refused(network, failing, sentence):
    torch.manual_seed(0)
    report = examine_layer(wrap(network(), 64))
    assert not report.passed
    failed = {check.name: check.sentence for check in report.checks if not check.passed}
    assert failing in failed
    assert failed[failing].endswith(sentence)
    assert "checks FAILED" in str(report)


def test_a_network_that_pools_first_is_refused_with_the_reason():
    torch.manual_seed(0)
    report = examine_layer(wrap(nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 9)), 64))
    assert report.layer is None
    assert [(check.name, check.passed) for check in report.checks] == [("layer", False)]
    assert "it pools all positions before its first layer" in report.checks[0].sentence
    assert str(report).splitlines()[0] == "random:Sequential, no target layer: checks FAILED"


def test_the_same_seed_gives_the_same_report():
    classifier = fresh("test_convnext", 96)
    assert examine_layer(classifier) == examine_layer(classifier)
    assert examine_layer(classifier) != examine_layer(classifier, seed=1)


def test_the_classifier_is_left_as_it_was():
    classifier = fresh("test_resnet", 64)
    before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
    examine_layer(classifier)
    assert all(torch.equal(value, before[name]) for name, value in classifier.network.state_dict().items())
    assert not any(module._forward_hooks for module in classifier.network.modules())


def test_a_chosen_layer_and_own_images():
    classifier = fresh("test_resnet", 64)
    report = examine_layer(classifier, "layer3", textured_images(2, 64, seed=5))
    assert report.layer is not None
    assert report.layer.name == "layer3"
    with pytest.raises(UnknownName, match="unknown layer 'layer9'"):
        examine_layer(classifier, "layer9")


def test_images_have_their_content_on_the_left():
    images = textured_images(3, 64)
    assert (images[..., 32:] == 128).all()
    assert all((image[..., :32] != 128).any() for image in images)
