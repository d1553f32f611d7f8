"""Evaluation transforms: timm's pixels, one by one or in batches, and within two levels of them on an accelerator."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch._subclasses.fake_tensor import FakeTensorMode

from bglab.errors import BadInput
from bglab.images import EvaluationTransform
from bglab.images.transforms import resize_and_crop
from bglab.models import load_classifier
from fixtures.layouts import colours

TRANSFORMS = [
    EvaluationTransform(interpolation="bicubic"),
    EvaluationTransform(),
    EvaluationTransform(240, 0.882, "bicubic"),
    EvaluationTransform(224, 1.0, "bicubic", "squash"),
    EvaluationTransform(224, 0.9, "bicubic", "border"),
]


def squares(side, count=4):
    """Smooth images, as photographs are, and one of noise."""
    rng = np.random.default_rng(0)
    coarse = rng.integers(0, 256, (count - 1, 16, 16, 3), dtype=np.uint8)
    smooth = [np.asarray(Image.fromarray(image).resize((side, side), Image.Resampling.BICUBIC)) for image in coarse]
    return np.stack([*smooth, rng.integers(0, 256, (side, side, 3), dtype=np.uint8)])


@pytest.mark.parametrize("transform", TRANSFORMS, ids=lambda t: t.key)
@pytest.mark.parametrize("side", [64, 224, 300])
def test_a_batch_equals_its_images_one_by_one(transform, side):
    images = squares(side)
    one_by_one = np.stack([transform(Image.fromarray(image)) for image in images])
    batch = torch.from_numpy(images).permute(0, 3, 1, 2)
    assert np.array_equal(transform.batch(batch).numpy(), one_by_one)
    on_device = resize_and_crop(batch, transform).numpy()
    assert on_device.shape == one_by_one.shape
    assert np.abs(on_device.astype(int) - one_by_one).max() <= 2


def test_on_an_accelerator_nothing_is_made_on_the_processor():
    with FakeTensorMode(allow_non_fake_inputs=False):
        images = torch.zeros(5, 3, 224, 224, dtype=torch.uint8, device="cuda")
        crops = EvaluationTransform(240, 0.882, "bicubic").batch(images)
    assert (crops.device.type, crops.dtype, tuple(crops.shape)) == ("cuda", torch.uint8, (5, 3, 240, 240))


def test_an_empty_batch_keeps_its_shape():
    assert EvaluationTransform().batch(torch.zeros(0, 3, 64, 64, dtype=torch.uint8)).shape == (0, 3, 224, 224)


def test_images_that_are_not_square_are_refused():
    with pytest.raises(BadInput, match="square"):
        EvaluationTransform().batch(torch.zeros(1, 3, 64, 80, dtype=torch.uint8))


def test_a_map_returns_to_where_the_crop_was():
    transform = EvaluationTransform(224, 0.5)  # the crop is the middle half
    placed = transform.uncrop(torch.ones(1, 7, 7), 64)[0]
    expected = torch.zeros(64, 64)
    expected[16:48, 16:48] = 1
    assert torch.equal(placed, expected)


def test_the_transform_is_timms_in_every_mode():
    from timm.data.transforms_factory import transforms_imagenet_eval

    image = Image.fromarray(colours("tall", 60, 90))
    for mode in ("center", "squash", "border"):
        for interpolation in ("bilinear", "bicubic"):
            theirs = transforms_imagenet_eval(
                32, crop_pct=0.9, crop_mode=mode, interpolation=interpolation, use_prefetcher=True
            )
            ours = EvaluationTransform(32, 0.9, interpolation, mode)(image)
            assert np.array_equal(ours, np.asarray(theirs(image))), (mode, interpolation)


def test_a_classifier_brings_its_own_transform():
    transform = load_classifier("lite:efficientnet_lite1", engine="torch", device="cpu").spec.transform
    assert transform == EvaluationTransform(240, 0.882, "bicubic", "center", (0.5, 0.5, 0.5))
    assert transform.key == "240-0.882-bicubic-center"


def test_torchvisions_two_sizes_come_back_exactly():
    from torchvision import models

    from bglab.images import crop_pct

    for name in models.list_models(models):
        for weights in models.get_model_weights(name):
            made = weights.transforms()
            assert int(made.crop_size[0] / crop_pct(made.crop_size[0], made.resize_size[0])) == made.resize_size[0]
