"""Saliency methods beside Grad-CAM: their equations, the same maps as captum, and how sure a map is."""

from __future__ import annotations

import numpy as np
import pytest
import timm
import torch
from captum.attr import NoiseTunnel, Saliency
from torch import nn

from bglab.errors import BadInput, UnknownName
from bglab.saliency import GradCam, methods, saliency_maps, upsample
from bglab.saliency.methods import METHODS
from bglab.scenes import open_scenes, prepare
from fixtures.networks import ByHand, fresh, random_images, wrap
from fixtures.saliency import relative


@pytest.fixture(autouse=True)
def few_samples(monkeypatch):
    """Take a few dozen samples for SmoothGrad, whose default is tested once, below."""
    monkeypatch.setattr(methods, "SMOOTH_SAMPLES", 25)


def test_input_gradient_is_captums_largest_channel(lite, photographs):
    targets = lite(photographs).argmax(1)
    levels = photographs.float().requires_grad_()
    theirs = Saliency(lite.network).attribute(levels, target=targets).amax(1)
    assert relative(saliency_maps(lite, photographs, method="input_gradient"), theirs) < 1e-4


def test_input_gradient_by_hand():
    network = ByHand(averaging=True)
    maps = saliency_maps(wrap(network, 4), random_images(2, 4), torch.tensor([3, 8]), method="input_gradient")
    # levels are scaled to [-1, 1]: 2 / 255 per level; each of 16 positions holds a sixteenth of the weight
    expected = network.head.weight[[3, 8]].abs().amax(1) / 16 * 2 / 255
    assert torch.allclose(maps, expected[:, None, None].expand(2, 4, 4))


def test_smooth_grad_is_seeded_by_image():
    classifier = fresh("test_resnet", 32)
    images, targets = random_images(3, 32), torch.tensor([1, 2, 3])
    options = {"method": "smooth_grad"}
    together = saliency_maps(classifier, images, targets, **options)
    assert torch.equal(together, saliency_maps(classifier, images, targets, **options))
    assert relative(saliency_maps(classifier, images[1:2], targets[1:2], **options), together[1:2]) < 1e-4
    assert relative(saliency_maps(classifier, images, targets, **options, seed=1), together) > 0.01


def test_smooth_grad_comes_near_captums_on_average():
    classifier = fresh("test_resnet", 32)
    images, targets = random_images(2, 32), torch.tensor([1, 2])
    torch.manual_seed(0)
    explainer = NoiseTunnel(Saliency(classifier.network))
    theirs = explainer.attribute(
        images.float().requires_grad_(),
        target=targets,
        abs=False,
        nt_type="smoothgrad",
        nt_samples=methods.SMOOTH_SAMPLES,
        stdevs=methods.SMOOTH_NOISE,
    )
    ours = saliency_maps(classifier, images, targets, method="smooth_grad")
    agreement = np.corrcoef(ours.flatten(), theirs.abs().amax(1).flatten())[0, 1]
    assert agreement > 0.7


def reads_red(size=6):
    """Make a small network that is not linear and whose gradient is that of the red channel alone."""
    torch.manual_seed(0)
    first = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        first.weight[:, 1:] = 0
    return wrap(nn.Sequential(first, nn.Tanh(), nn.Flatten(), nn.Linear(4 * (size - 2) ** 2, 9)), size)


@pytest.mark.slow
def test_the_sampling_error_of_smooth_grad_is_that_of_repeated_maps():
    classifier, images, targets = reads_red(), random_images(2, 6), torch.tensor([1, 2])
    repeated = [methods.smooth_grad(classifier, images, targets, samples=12, seed=seed) for seed in range(100)]
    maps, errors = (torch.stack([getattr(result, name) for result in repeated]) for name in ("maps", "errors"))
    # near 0 the absolute value folds the distribution
    clear = maps.mean(0) > 4 * maps.std(0)
    assert clear.sum() > 20
    ratio = errors.square().mean(0)[clear] / maps.var(0)[clear]
    assert float(ratio.mean()) == pytest.approx(1, abs=0.1)


def test_the_sampling_error_of_smooth_grad_falls_with_the_square_root_of_the_samples():
    classifier, images = reads_red(), random_images(2, 6)
    few, many = (methods.smooth_grad(classifier, images, samples=samples) for samples in (32, 128))
    norms = [result.errors.flatten(1).norm(dim=1) for result in (few, many)]
    assert torch.allclose(norms[0] / norms[1], torch.full((2,), 2.0), rtol=0.1)
    assert torch.allclose(many.relative_errors, norms[1] / many.maps.flatten(1).norm(dim=1))


def test_a_linear_network_has_no_sampling_error():
    result = methods.smooth_grad(wrap(ByHand(averaging=True), 4), random_images(2, 4), samples=3)
    assert float(result.relative_errors.max()) < 1e-6


def test_smooth_grad_warns_of_noisier_maps_than_stated(monkeypatch, caplog):
    monkeypatch.setattr(methods, "SMOOTH_ERROR", 1e-9)
    saliency_maps(reads_red(), random_images(1, 6), method="smooth_grad")
    assert "SmoothGrad maps of Sequential have a sampling error of up to" in caplog.text
    with pytest.raises(BadInput, match="expected at least 2 samples"):
        methods.smooth_grad(reads_red(), random_images(1, 6), samples=1)


@pytest.mark.slow
def test_the_default_number_of_samples_leaves_the_stated_error(lite):
    """As the comment at `SMOOTH_SAMPLES` says: on a photograph, and not with a few dozen."""
    image = torch.from_numpy(prepare(open_scenes("sample").select(per_class=1), progress=False).images[:1])
    assert float(methods.smooth_grad(lite, image).relative_errors.max()) <= methods.SMOOTH_ERROR
    assert float(methods.smooth_grad(lite, image, samples=25).relative_errors.max()) > methods.SMOOTH_ERROR


def test_occlusion_finds_what_counts():
    network = ByHand(averaging=False)
    network.head.weight.data.zero_()
    network.head.weight.data[3, 16 + 5] = 1.0  # blue at row 1, column 1
    images = torch.full((1, 3, 4, 4), 255, dtype=torch.uint8)
    maps = saliency_maps(wrap(network, 4), images, torch.tensor([3]), method="occlusion")
    touched = torch.zeros(4, 4, dtype=torch.bool)
    touched[:3, :3] = True  # windows of two by two pixels, moved by one
    assert torch.equal(maps[0] > 0, touched)
    assert maps[0, 1, 1] == maps.max()
    assert torch.allclose(maps[0, 1, 1], torch.tensor(1.0 - (128 / 255 - 0.5) / 0.5), atol=1e-6)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_raw_maps_of_the_promised_size(method):
    maps = saliency_maps(fresh("test_resnet", 64, seed=1), random_images(2, 64), method=method)
    assert maps.shape == ((2, 2, 2) if method.startswith("grad_cam") else (2, 64, 64))
    assert maps.dtype == torch.float32
    assert (maps >= 0).all()
    assert maps.max() > 0


def test_maps_of_a_fixed_size_network_and_of_half_precision():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=9, depth=1).eval()
    classifier = wrap(network, 224)
    assert classifier.spec.fixed_input_size
    assert GradCam(classifier).cam(random_images(1, 96)).maps.shape == (1, 14, 14)


def test_unknown_names():
    classifier = fresh("test_resnet")
    with pytest.raises(UnknownName) as error:
        saliency_maps(classifier, random_images(), method="gradcam")
    assert str(error.value) == (
        "unknown saliency method 'gradcam'; did you mean 'grad_cam'? Known: grad_cam, grad_cam_plus_plus, "
        "input_gradient, smooth_grad, occlusion"
    )
    with pytest.raises(UnknownName, match=r"unknown layer 'layer5'; did you mean 'layer.'\? Known: "):
        GradCam(classifier, "layer5")
    with pytest.raises(BadInput) as error:
        GradCam(classifier, "fc")
    assert str(error.value) == (
        "expected a layer whose output has positions (a map of channels, or tokens of patches), but 'fc' has none; "
        "leave the layer out to have it found"
    )


def test_upsampling_keeps_values():
    maps = torch.tensor([[[1.0, 3.0], [5.0, 7.0]]])
    large = upsample(maps, 8, 8)
    assert large.shape == (1, 8, 8)
    assert large.max() == 7.0
    assert large[0, 0, 0] == 1.0
    assert large.mean() == pytest.approx(4.0)
