"""Grad-CAM by its equation on every engine, the same maps as captum, and nothing left behind."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch
from captum.attr import LayerGradCam
from torch import nn

from bglab.errors import BadInput
from bglab.saliency import GradCam, activation_maps, resolve_targets, saliency_maps, upsample
from bglab.saliency.methods import METHODS
from fixtures.networks import ByHand, fresh, random_images, wrap
from fixtures.saliency import relative


def by_captum(classifier, layer, images, targets):
    """Compute the same maps with captum, on the classifier's own network."""
    levels = images.float().requires_grad_()
    explainer = LayerGradCam(classifier.network, layer)
    return explainer.attribute(levels, target=targets, relu_attributions=True).detach()[:, 0]


def hooks(network):
    return [
        name for name, m in network.named_modules() if m._forward_hooks or m._forward_pre_hooks or m._backward_hooks
    ]


@pytest.mark.parametrize("averaging", [True, False])
def test_a_map_by_hand(averaging):
    network = ByHand(averaging=averaging)
    images = random_images(2, 4)
    result = GradCam(wrap(network, 4)).cam(images, torch.tensor([3, 8]))
    levels = (images.double() / 255 - 0.5) / 0.5
    features = torch.stack([levels[:, 0] - levels[:, 1], levels[:, 2]], dim=1)
    weights = network.head.weight.double()[[3, 8]]
    # d score / d feature is weight / 16 everywhere, or one weight per position; the equation averages it
    weights = weights / 16 if averaging else weights.view(2, 2, 16).mean(2)
    expected = (weights[:, :, None, None] * features).sum(1).clamp(min=0)
    assert result.maps.shape == (2, 4, 4)
    assert (result.maps > 0).any()
    assert (result.maps == 0).any()
    assert torch.allclose(result.maps.double(), expected, atol=1e-6)
    assert torch.equal(result.targets, torch.tensor([3, 8]))


def test_maps_are_not_normalised():
    network = ByHand(averaging=False)
    once = GradCam(wrap(network, 4)).cam(random_images(2, 4), torch.tensor([3, 8])).maps
    network.head.weight.data *= 2
    twice = GradCam(wrap(network, 4)).cam(random_images(2, 4), torch.tensor([3, 8])).maps
    assert torch.allclose(twice, 2 * once)


@pytest.mark.parametrize(
    ("name", "size", "layer"),
    [
        ("resnet18", 96, "layer4"),
        ("convnext_atto", 96, "stages"),
        ("convnext_atto", 96, "stages.2"),
        ("resnet18", 96, "layer3"),
    ],
)
def test_captum_agrees_on_convolutional_networks(name, size, layer):
    classifier = fresh(name, size)
    images, targets = random_images(3, size), torch.tensor([0, 5, 8])
    result = GradCam(classifier, layer).cam(images, targets)
    theirs = by_captum(classifier, classifier.network.network.get_submodule(layer), images, targets)
    assert relative(result.maps, theirs) < 1e-4
    assert torch.allclose(result.logits, classifier(images), atol=1e-4)


@pytest.mark.parametrize("layer", ["bn2", "blocks.4"])
def test_captum_agrees_on_real_weights(lite, photographs, layer):
    result = GradCam(lite, layer).cam(photographs)
    theirs = by_captum(lite, lite.network.network.get_submodule(layer), photographs, result.targets)
    assert relative(result.maps, theirs) < 1e-4
    assert torch.equal(result.targets, lite(photographs).argmax(1))


@pytest.mark.slow
def test_captum_agrees_on_openvino(lite, lite_openvino, photographs):
    explainer = GradCam(lite_openvino)
    assert explainer.layer.name == "bn2"
    result = explainer.cam(photographs)
    theirs = by_captum(lite, lite.network.network.bn2, photographs, result.targets)
    assert relative(result.maps, theirs) < 1e-4
    assert relative(result.logits, lite(photographs)) < 1e-4
    # another batch goes through the same request
    assert relative(explainer.cam(photographs[1:2]).maps, theirs[1:2]) < 1e-4


class _Seen(nn.Module):
    """A norm that also outputs its patch tokens as a feature map, since captum expects channels on the second axis."""

    def __init__(self, norm):
        super().__init__()
        self.norm, self.map = norm, nn.Identity()

    def forward(self, tokens):
        tokens = self.norm(tokens)
        patches = self.map(tokens[:, 1:].transpose(1, 2).unflatten(2, (10, 10)))
        return torch.cat([tokens[:, :1], patches.flatten(2).transpose(1, 2)], dim=1)


def test_captum_agrees_on_a_vision_transformer():
    classifier = fresh("test_vit", 160)
    images, targets = random_images(3, 160), torch.tensor([1, 4, 8])
    explainer = GradCam(classifier)
    assert explainer.layer.name == "blocks.5.norm1"
    ours = explainer.cam(images, targets).maps
    assert ours.shape == (3, 10, 10)
    block = classifier.network.network.blocks[5]
    block.norm1 = _Seen(block.norm1)
    assert relative(ours, by_captum(classifier, block.norm1.map, images, targets)) < 1e-4


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "size", "layer", "options"),
    [
        ("test_vit", 160, None, {}),
        ("convnext_atto", 64, None, {"depths": (1, 1, 2, 1)}),
        ("resnet18", 64, "layer3", {}),
        ("test_efficientnet", 160, "blocks.1", {}),
        ("swin_s3_tiny_224", 224, "layers.3.blocks.0", {"depths": (1, 2, 1, 2)}),
    ],
)
def test_a_backward_pass_on_openvino_equals_torch(name, size, layer, options, caplog):
    by_torch = fresh(name, size, **options)
    on_openvino = wrap(by_torch.network.network, size, "openvino")
    images, targets = random_images(3, size), torch.tensor([0, 5, 8])
    expected = GradCam(by_torch, layer).cam(images, targets, against=torch.tensor([1, 1, 1]))
    explainer = GradCam(on_openvino, layer)
    for rows in (slice(0, 3), slice(1, 2)):
        result = explainer.cam(images[rows], targets[rows], against=torch.tensor([1, 1, 1])[rows])
        assert relative(result.maps, expected.maps[rows]) < 2e-3
        assert torch.equal(result.targets, targets[rows])
    assert not [r for r in caplog.records if r.name.startswith("bglab")]  # no falling back to torch


def test_what_openvino_cannot_do_is_done_by_torch(monkeypatch, caplog):
    def refuse(*_arguments):
        raise RuntimeError("no rule\nfor aten::strange")

    monkeypatch.setattr(activation_maps, "write_out", refuse)
    network = ByHand(averaging=False)
    expected = GradCam(wrap(network, 4)).cam(random_images(2, 4))
    with caplog.at_level(logging.WARNING):
        result = GradCam(wrap(network, 4, "openvino")).cam(random_images(2, 4))
    assert torch.allclose(result.maps, expected.maps, atol=1e-5)
    assert caplog.messages == [
        "maps of features are computed by torch, since OpenVINO cannot compute them: for aten::strange"
    ]


def test_pytorch_grad_cam_agrees_up_to_its_normalisation(lite, photographs):
    library = pytest.importorskip("pytorch_grad_cam")
    from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget

    targets = torch.tensor([1, 2, 3])
    ours = upsample(GradCam(lite).cam(photographs, targets).maps, 224, 224)
    lowest, highest = ours.amin((1, 2), keepdim=True), ours.amax((1, 2), keepdim=True)
    network = lite.network.network
    inputs = ((photographs.float() - lite.network.shift) * lite.network.scale).requires_grad_()
    with library.GradCAM(model=network, target_layers=[network.bn2]) as explainer:
        theirs = explainer(inputs, [ClassifierOutputTarget(int(t)) for t in targets])
    assert np.abs(((ours - lowest) / (highest - lowest)).numpy() - theirs).max() < 0.02


def test_one_forward_pass_and_no_gradient_below_the_layer():
    classifier = fresh("test_resnet")
    explainer = GradCam(classifier, "layer3")
    seen = []
    first = explainer._tapped.network.network.layer1
    first.register_forward_hook(lambda _module, _inputs, output: seen.append(output.requires_grad))
    explainer.cam(random_images())
    assert seen == [False]


def test_no_hook_is_left():
    classifier = fresh("test_resnet")
    explainer = GradCam(classifier)
    explainer.cam(random_images())
    for method in METHODS:
        saliency_maps(classifier, random_images(1, 32), method=method)
    assert hooks(classifier.network) == []
    with pytest.raises(RuntimeError):
        explainer.cam(torch.zeros(1, 3, 0, 0, dtype=torch.uint8))
    assert hooks(classifier.network) == []
    assert not explainer._tapped._kept.__dict__
    with pytest.raises(BadInput):
        GradCam(classifier, "fc")
    assert hooks(classifier.network) == []


def test_it_works_inside_inference_mode():
    explainer = GradCam(fresh("test_convnext", 96))
    with torch.inference_mode():
        inside = explainer.cam(random_images(2, 96)).maps
    assert torch.equal(inside, explainer.cam(random_images(2, 96)).maps)


def test_an_image_has_the_same_map_in_any_company():
    explainer = GradCam(fresh("test_convnext", 96))
    together = explainer.cam(random_images(4, 96), torch.tensor([1, 2, 3, 4])).maps
    alone = explainer.cam(random_images(4, 96)[2:3], torch.tensor([3])).maps
    assert relative(alone, together[2:3]) < 1e-4


def test_one_class_against_another():
    network = ByHand(averaging=False)
    explainer = GradCam(wrap(network, 4))
    images = random_images(2, 4)
    same = explainer.cam(images, torch.tensor([3, 8]), against=torch.tensor([3, 8]))
    assert not same.maps.any()
    network.head.weight.data[3] -= network.head.weight.data[5]  # the difference as a class of its own
    expected = GradCam(wrap(network, 4)).cam(images, torch.tensor([3, 3])).maps
    network.head.weight.data[3] += network.head.weight.data[5]
    assert torch.allclose(explainer.cam(images, torch.tensor([3, 3]), against=torch.tensor([5, 5])).maps, expected)


def test_marked_classes_stand_for_the_best_of_them(lite, photographs):
    choice = resolve_targets(lite, ("true", "background"), labels=[0, 1, 8], donor_labels=[1, 1, 0])
    result = GradCam(lite).cam(photographs, choice.targets, against=choice.against)
    logits = lite(photographs)
    assert choice.targets is not None
    expected = logits.masked_fill(~choice.targets, -torch.inf).argmax(1)
    assert torch.equal(result.targets, expected)
    assert not torch.equal(expected, logits.argmax(1))
    by_index = logits.masked_fill(~choice.against, -torch.inf).argmax(1)
    assert torch.equal(result.maps, GradCam(lite).cam(photographs, expected, against=by_index).maps)
    gradient = saliency_maps(lite, photographs, choice.targets, against=choice.against, method="input_gradient")
    assert torch.allclose(
        gradient, saliency_maps(lite, photographs, expected, against=by_index, method="input_gradient"), atol=1e-6
    )


def test_grad_cam_plus_plus_by_hand():
    network = ByHand(averaging=False)
    images = random_images(1, 4)
    ours = saliency_maps(wrap(network, 4), images, torch.tensor([3]), method="grad_cam_plus_plus")
    levels = ((images.double() / 255 - 0.5) / 0.5)[0].numpy()
    features = np.stack([levels[0] - levels[1], levels[2]])
    gradient = network.head.weight.double()[3].view(2, 4, 4).detach().numpy()
    expected = np.zeros((4, 4))
    for k in range(2):
        weight = 0.0
        for i in range(4):
            for j in range(4):
                g = gradient[k, i, j]
                if g > 0:
                    weight += g * g**2 / (2 * g**2 + features[k].sum() * g**3)
        expected += weight * features[k]
    assert np.allclose(ours[0].numpy(), expected.clip(min=0), rtol=1e-3, atol=1e-5)
