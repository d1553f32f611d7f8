"""Backward passes as graphs: the same gradients as autograd, and a dynamic number of images."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from bglab.errors import BadInput
from bglab.models import write_out
from bglab.models.backward_graph import convolution_backward, select_backward, slice_backward


class Gradient(nn.Module):
    """Returns the gradient of a network's weighted outputs with respect to its input."""

    def __init__(self, network):
        super().__init__()
        self.network = network.eval().requires_grad_(False)

    def forward(self, inputs):
        leaf = inputs.detach().requires_grad_()
        with torch.enable_grad():
            output = self.network(leaf)
            (gradient,) = torch.autograd.grad(output, leaf, torch.ones_like(output).cumsum(1))
        return output.detach(), gradient


class Attention(nn.Module):
    """Class token, attention and a norm, as in a transformer's last block."""

    def __init__(self):
        super().__init__()
        self.token = nn.Parameter(torch.randn(1, 1, 8))
        self.norm, self.mix = nn.LayerNorm(8), nn.Linear(8, 24)

    def forward(self, tokens):
        tokens = torch.cat([self.token.expand(tokens.shape[0], -1, -1), tokens], dim=1)
        query, key, value = self.mix(self.norm(tokens)).unflatten(2, (3, 2, 4)).permute(2, 0, 3, 1, 4).unbind(0)
        attended = nn.functional.scaled_dot_product_attention(query, key, value)
        return attended.transpose(1, 2).flatten(2)[:, 0]


class LeavesOneSideOpen(nn.Module):
    def forward(self, inputs):
        return inputs.view(inputs.shape[0], -1, 3) ** 2


class ChannelsLast(nn.Module):
    def forward(self, inputs):
        return inputs.contiguous(memory_format=torch.channels_last) ** 2


NETWORKS = {
    "convolutions": lambda: nn.Sequential(
        nn.Conv2d(4, 6, 3, stride=2, padding=1), nn.BatchNorm2d(6), nn.ReLU6(inplace=True), nn.Conv2d(6, 6, 5, groups=3)
    ),
    "activations": lambda: nn.Sequential(nn.Conv2d(4, 8, 1), nn.SiLU(), nn.GELU(), nn.Hardswish(), nn.Sigmoid()),
    # the backward pass of SiLU needs its input, which is overwritten in place
    "in place": lambda: nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.SiLU(inplace=True), nn.Conv2d(8, 8, 1)),
    "left open": LeavesOneSideOpen,
    "channels last": lambda: nn.Sequential(ChannelsLast(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 9)),
    "head": lambda: nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(4), nn.Linear(4, 9)),
    "pooled": lambda: nn.Sequential(nn.AvgPool2d(3), nn.Flatten(), nn.Linear(36, 9)),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_written_out_gradients_are_autograds(name):
    torch.manual_seed(0)
    module = Gradient(NETWORKS[name]())
    written = write_out(module, [torch.zeros(2, 4, 9, 9)])
    for count in (1, 2, 7):
        inputs = torch.randn(count, 4, 9, 9)
        for ours, theirs in zip(written(inputs), module(inputs), strict=True):
            assert ours.shape == theirs.shape
            assert torch.allclose(ours, theirs, atol=1e-5)


def test_attention_with_a_class_token():
    torch.manual_seed(0)
    module = Gradient(Attention())
    written = write_out(module, [torch.zeros(2, 9, 8)])
    for count in (1, 4):
        inputs = torch.randn(count, 9, 8)
        for ours, theirs in zip(written(inputs), module(inputs), strict=True):
            assert torch.allclose(ours, theirs, atol=1e-5)


@pytest.mark.parametrize(
    ("stride", "padding", "dilation", "groups", "kernel", "size"),
    [
        (1, 0, 1, 1, 3, 8),
        (1, 2, 2, 2, 3, 9),
        (1, 1, 1, 4, 3, 8),
        (2, 1, 1, 1, 3, 8),
        (2, 2, 1, 4, 5, 9),
        (3, 0, 1, 2, 2, 10),
    ],
)
def test_convolutions_of_every_kind(stride, padding, dilation, groups, kernel, size):
    torch.manual_seed(0)
    inputs = torch.randn(2, 4, size, size, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(8, 4 // groups, kernel, kernel, dtype=torch.float64)
    output = nn.functional.conv2d(inputs, weight, None, stride, padding, dilation, groups)
    coming = torch.randn_like(output)
    (expected,) = torch.autograd.grad(output, inputs, coming)
    options = ([stride] * 2, [padding] * 2, [dilation] * 2, False, [0, 0], groups, [True, False, False])
    ours = convolution_backward(coming, inputs.detach(), weight, None, *options)[0]
    assert torch.allclose(ours, expected)


class CountsInPython(nn.Module):
    def forward(self, inputs):
        return inputs.flatten(1)[:, :9] * len(inputs)


def test_a_number_of_images_that_is_baked_in_is_refused():
    with pytest.raises(BadInput) as error:
        write_out(Gradient(CountsInPython()), [torch.zeros(2, 4, 9, 9)])
    assert str(error.value) == (
        "expected a network that takes any number of images, but Gradient fixes it; use engine torch"
    )


class WritesIntoAPart(nn.Module):
    def forward(self, inputs):
        values = inputs * 2
        values[:, :2] = inputs[:, :2].sigmoid()
        return values**2


def test_what_writes_into_a_part_is_refused():
    with pytest.raises(BadInput) as error:
        write_out(Gradient(WritesIntoAPart()), [torch.zeros(2, 4, 9, 9)])
    assert str(error.value) == (
        "expected a network that never writes into part of a tensor, got one that does; use engine torch"
    )


def test_slices():
    gradient = torch.tensor([[1.0, 2.0]])
    assert select_backward(gradient, [1, 3, 2], 1, -1).tolist() == [[[0, 0], [0, 0], [1, 2]]]
    assert slice_backward(gradient, [1, 5], 1, 1, 3, 1).tolist() == [[0, 1, 2, 0, 0]]
    assert slice_backward(gradient, [1, 5], -1, -2, 9223372036854775807, 1).tolist() == [[0, 0, 0, 1, 2]]
