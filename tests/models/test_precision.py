"""Precision: torch's settings for float32 on a GPU are set while a network runs, and restored afterwards."""

from __future__ import annotations

import threading

import pytest
import torch

from bglab.errors import BadInput
from bglab.models.engines import EngineChoice
from bglab.models.precision import _operations, arithmetic, float32_arithmetic
from fixtures.accelerators import algorithms
from fixtures.networks import fresh, random_images

CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def settings():
    values = [torch.backends.cudnn.allow_tf32, torch.get_float32_matmul_precision()]
    return values + [operation.fp32_precision for operation in _operations()]


@pytest.fixture(params=["torch's own", "everything fast", "nothing fast"])
def before(request):
    own = settings()
    if request.param != "torch's own":
        torch.backends.cudnn.allow_tf32 = request.param == "everything fast"
        torch.set_float32_matmul_precision("medium" if request.param == "everything fast" else "highest")
    yield settings()
    torch.backends.cudnn.allow_tf32, matmul, *operations = own
    torch.set_float32_matmul_precision(matmul)
    for operation, value in zip(_operations(), operations, strict=True):
        operation.fp32_precision = value


@pytest.mark.parametrize(
    ("precision", "cudnn", "matmul", "operation"),
    [("float32", False, "highest", "ieee"), ("tf32", True, "high", "tf32"), ("bfloat16", False, "highest", "ieee")],
)
def test_settings_hold_inside_and_are_restored(before, precision, cudnn, matmul, operation):
    with float32_arithmetic(CUDA, precision):
        assert settings() == [cudnn, matmul, *[operation] * len(_operations())]
    assert settings() == before


def test_settings_are_restored_after_an_error(before):
    with pytest.raises(RuntimeError, match="in between"), float32_arithmetic(CUDA, "float32"):
        raise RuntimeError("in between")
    assert settings() == before


def test_a_setting_that_torch_cannot_tell_stays_as_it_is():
    if not _operations():
        pytest.skip("this torch has no settings per operation")
    conv, rnn, _ = _operations()
    own = conv.fp32_precision, rnn.fp32_precision
    conv.fp32_precision, rnn.fp32_precision = "ieee", "tf32"
    try:
        with float32_arithmetic(CUDA, "float32"):
            assert (conv.fp32_precision, rnn.fp32_precision) == ("ieee", "ieee")
        assert (conv.fp32_precision, rnn.fp32_precision) == ("ieee", "tf32")
    finally:
        conv.fp32_precision, rnn.fp32_precision = own


def test_other_devices_have_no_such_setting(before):
    with arithmetic(CPU, "float32"):
        assert settings() == before


def test_threads_of_different_precision_wait_for_each_other():
    entered, seen = threading.Event(), []

    def run():
        with float32_arithmetic(CUDA, "tf32"):
            seen.append(torch.get_float32_matmul_precision())
            entered.set()

    with float32_arithmetic(CUDA, "float32"):
        other = threading.Thread(target=run)
        other.start()
        assert not entered.wait(0.2)
        assert torch.get_float32_matmul_precision() == "highest"
    other.join()
    assert seen == ["high"]


def test_tf32_needs_an_nvidia_gpu():
    with pytest.raises(BadInput, match="expected an NVIDIA GPU for --amp-dtype tf32, got the device cpu"):
        EngineChoice("torch", "cpu", "tf32").start(fresh("test_resnet").network)
    with pytest.raises(BadInput, match="expected --amp-dtype none or bfloat16 for OpenVINO"):
        EngineChoice("openvino", "cpu", "tf32").start(fresh("test_resnet").network)


def test_mixed_precision_of_the_cpu_is_as_before():
    classifier = fresh("test_resnet")
    rough = EngineChoice("torch", "cpu", "bfloat16").start(classifier.network)
    exact, found = classifier(random_images()), rough.logits(random_images())
    assert 0 < float((found - exact).abs().max()) < 0.1


@pytest.mark.parametrize("precision", ["float32", "tf32"])
def test_repeatable_algorithms_are_chosen_inside_only(precision):
    own = algorithms()
    with arithmetic(CUDA, precision, deterministic=True):
        assert algorithms() == (2, True, False)
        with pytest.raises(RuntimeError, match="does not have a deterministic implementation"):
            torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    assert algorithms() == own
    with arithmetic(CUDA, precision):
        assert algorithms() == own
    with pytest.raises(RuntimeError, match="in between"), arithmetic(CUDA, precision, deterministic=True):
        raise RuntimeError("in between")
    assert algorithms() == own


def test_an_operation_that_has_no_repeatable_algorithm_is_named():
    own = algorithms()
    with (
        pytest.raises(BadInput, match="but torch has none for put_; leave out --deterministic"),
        arithmetic(CUDA, "float32", deterministic=True),
    ):
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.ones(2), accumulate=False)
    assert algorithms() == own


def test_processors_always_return_the_same_bits():
    engine = EngineChoice("torch", "cpu", deterministic=True).start(fresh("test_resnet").network)
    assert not engine.deterministic
