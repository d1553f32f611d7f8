"""Own networks predict what a short script of timm, torchvision or torch alone gives, image for image."""

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torchvision import models as torchvision_models
from torchvision.transforms import v2

import bglab

TORCH = {"engine": "torch", "device": "cpu"}


@pytest.fixture(scope="module")
def dataset():
    return bglab.compose(bglab.open_scenes("synthetic9?n=18&size=96"), "original", size=96, progress=False)


@pytest.fixture(scope="module")
def images(dataset):
    """Return the prepared images as Pillow has them."""
    levels = dataset.images(np.arange(len(dataset)), torch.device("cpu"))
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in levels]


def check(table, logits):
    """Compare a prediction table with the logits of a script."""
    assert table["native"].tolist() == logits.argmax(1).tolist()
    np.testing.assert_allclose(table["confidence"], logits.softmax(1).amax(1), rtol=1e-4)
    assert table["confidence"].nunique() > len(table) / 2  # the network tells the images apart


@pytest.mark.parametrize("name", ["test_resnet", "test_vit", "test_efficientnet"])
def test_a_module_of_timm(name, dataset, images):
    torch.manual_seed(1)
    network = timm.create_model(name, num_classes=9).eval()
    for module in network.modules():  # random weights that answer differently from image to image
        if isinstance(module, torch.nn.Linear):
            torch.nn.init.normal_(module.weight, std=0.5)
    own = bglab.classifier(network, protocol="model", **TORCH)

    config = timm.data.resolve_model_data_config(network, use_test_size=True)
    transform = timm.data.create_transform(**config, is_training=False)
    with torch.inference_mode():
        logits = network(torch.stack([transform(image) for image in images]))
    check(bglab.predict(own, dataset, progress=False), logits)


def test_a_module_of_torchvision(dataset, images):
    torch.manual_seed(2)
    network = torchvision_models.resnet18(num_classes=9).eval()
    torch.nn.init.normal_(network.fc.weight, std=2.0)
    own = bglab.classifier(network, name="mine", classes="in9", size=64, crop=0.8, protocol="model", **TORCH)

    transform = v2.Compose(
        [
            v2.Resize(80), v2.CenterCrop(64), v2.PILToTensor(), v2.ToDtype(torch.float32, scale=True),
            v2.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
        ]
    )  # fmt: skip
    with torch.inference_mode():
        logits = network(torch.stack([transform(image) for image in images]))
    check(bglab.predict(own, dataset, progress=False), logits)


def test_a_function_and_an_ensemble(dataset, images):
    torch.manual_seed(3)
    members = [timm.create_model("test_resnet", num_classes=9).eval() for _ in range(2)]
    for member in members:
        torch.nn.init.normal_(member.fc.weight, std=2.0)

    def ensemble(levels):
        """Take images in [0, 1] and return numbers of numpy, as a remote service would."""
        return np.mean([member((levels - 0.5) / 0.5).detach().numpy() for member in members], axis=0)

    own = bglab.classifier(ensemble, name="two-resnets", classes="in9", size=96)
    batch = torch.stack([v2.functional.pil_to_tensor(image) for image in images]) / 255
    check(bglab.predict(own, dataset, progress=False), torch.from_numpy(ensemble(batch)))
