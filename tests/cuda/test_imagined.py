"""The imagined GPU finds what it is there for: tensors of two devices, and reads without a copy to the CPU."""

from __future__ import annotations

import pytest
import torch

from bglab.variants import VARIANTS, compose, rules
from fixtures.accelerators import CUDA, imagined_gpu
from fixtures.networks import fresh
from fixtures.stand_ins import make_scenes


@pytest.fixture
def imagined(monkeypatch):
    with imagined_gpu(monkeypatch) as place:
        yield place


def test_two_devices_in_one_operation_are_refused(imagined):
    with pytest.raises(RuntimeError, match="devices,? cuda:0(,| and) cpu"):
        torch.zeros(2, device=CUDA) + torch.zeros(2)


def test_values_are_read_after_a_copy_only(imagined):
    tensor = torch.ones(2, 3, device=CUDA)
    assert tensor.cpu().numpy().shape == (2, 3)
    with pytest.raises(TypeError, match="can't convert cuda:0 device type tensor to numpy"):
        tensor.numpy()


def test_a_constant_left_on_the_cpu_is_found(data_folder, monkeypatch):
    dataset = compose(make_scenes(per_class=1), VARIANTS["on_green"], size=32, progress=False)
    on_cpu = rules.plain
    with imagined_gpu(monkeypatch) as place:
        assert dataset.images(slice(0, 3), place.device).device.type == "cuda"
        monkeypatch.setattr(rules, "plain", lambda color, like: on_cpu(color, like).to("cpu"))
        with pytest.raises(RuntimeError, match="devices,? cuda:0(,| and) cpu"):
            dataset.images(slice(0, 3), place.device)


def test_a_network_left_on_the_cpu_is_found(data_folder, monkeypatch):
    classifier = fresh("test_resnet")
    with imagined_gpu(monkeypatch) as place:
        here = place.bring(classifier)
        images = torch.zeros(2, 3, 64, 64, dtype=torch.uint8, device=CUDA)
        assert here(images).device.type == "cuda"
        here.network.shift = here.network.shift.cpu()
        with pytest.raises(RuntimeError, match="devices,? cuda:0(,| and) cpu"):
            here(images)
