"""Classifiers: exact weights or none, one preprocessing, the same logits on every engine."""

from __future__ import annotations

import logging
import subprocess
import sys

import pytest
import timm
import torch

from bglab import labels
from bglab.cache_entries import CacheEntry
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.models import Normalised, OpenVINOEngine, load_classifier, pick_device
from bglab.models.classifier import build_classifier
from bglab.models.engines import EngineChoice, TorchEngine
from bglab.models.weights import Weights, state_digest

LITE = "lite:efficientnet_lite0"


def images(count: int = 4, size: int = 64) -> torch.Tensor:
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def tiny(classes: int = 9, seed: int = 0):
    torch.manual_seed(seed)
    network = timm.create_model("test_resnet", num_classes=classes).eval()
    return Weights(network, "test_resnet", "random", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3), 64)


@pytest.fixture(scope="module")
def lite():
    return load_classifier(LITE, engine="torch", device="cpu")


def test_lite_weights_are_the_real_ones(lite):
    assert lite.spec.id == LITE
    assert lite.spec.tag == "57934424"
    assert lite.spec.space == "imagenet"
    assert lite.spec.input_size == 224
    assert not lite.spec.fixed_input_size
    assert lite.classes == labels.imagenet_names()


def test_uint8_in_equals_normalised_floats_by_hand():
    classifier = build_classifier("random", tiny(), EngineChoice("torch", "cpu"))
    levels = images()
    mean, std = torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1), torch.tensor([0.2, 0.25, 0.3]).view(3, 1, 1)
    with torch.inference_mode():
        by_hand = tiny().network((levels.float() / 255 - mean) / std)
    assert torch.allclose(classifier(levels), by_hand, atol=1e-4)


@pytest.mark.parametrize("classes", [9, pytest.param(1000, marks=pytest.mark.slow)])
def test_engines_agree(classes):
    weights = tiny(classes)
    torch_answer = build_classifier("random", weights, EngineChoice("torch", "cpu"))(images(7))
    vino = build_classifier("random", weights, EngineChoice("openvino"))
    assert isinstance(vino.engine, OpenVINOEngine)
    answer = vino(images(7))
    assert answer.dtype == torch.float32
    assert torch.allclose(answer, torch_answer, atol=1e-3)
    assert torch.equal(answer.argmax(1), torch_answer.argmax(1))
    # another batch size and another image size go through the same engine
    assert torch.allclose(vino(images(7)[2:3]), torch_answer[2:3], atol=1e-3)
    assert vino(images(2, size=96)).shape == (2, classes)


def test_a_cached_conversion_gives_the_same_logits(data_folder):
    weights = tiny()
    first = EngineChoice("openvino").start(Normalised(weights.network, weights.mean, weights.std), key="a test")
    before = first.logits(images())
    assert list((data_folder / "cache" / "engines").glob("*/*.xml"))
    again = EngineChoice("openvino").start(Normalised(weights.network, weights.mean, weights.std), key="a test")
    assert torch.equal(again.logits(images()), before)


def test_without_a_cache_the_logits_are_the_same(data_folder, monkeypatch, caplog):
    weights = tiny()
    network = Normalised(weights.network, weights.mean, weights.std)
    cached = EngineChoice("openvino").start(network, key="no cache").logits(images())
    assert torch.equal(EngineChoice("openvino").start(network).logits(images()), cached)

    def full(self):
        raise BadInput("the disk is full")

    monkeypatch.setattr(CacheEntry, "make", full)
    assert torch.equal(EngineChoice("openvino").start(network, key="full disk").logits(images()), cached)
    assert "the disk is full" in caplog.text


def test_a_damaged_conversion_is_made_again(data_folder, caplog):
    weights = tiny()
    network = Normalised(weights.network, weights.mean, weights.std)
    before = EngineChoice("openvino").start(network, key="damaged").logits(images())
    for file in (data_folder / "cache" / "engines").glob("*/*.bin"):
        content = bytearray(file.read_bytes())
        content[len(content) // 2 :][:64] = bytes(64)
        content[: len(content) // 2] = bytes(len(content) // 2)
        file.write_bytes(bytes(content))
    assert torch.equal(EngineChoice("openvino").start(network, key="damaged").logits(images()), before)
    assert "damaged" in caplog.text


def test_a_network_too_large_for_its_device_says_so(monkeypatch):
    weights = tiny()
    engine = EngineChoice("torch", "cpu").start(Normalised(weights.network, weights.mean, weights.std), key="")

    def run_out(images):
        raise torch.cuda.OutOfMemoryError("simulated")

    monkeypatch.setattr(engine, "logits", run_out)
    with pytest.raises(BadInput, match="expected the network to fit on cpu, but a single image of 48 × 32 pixels"):
        engine.get_ready(32, 48)


MANY_ENGINES = """
import os, signal, torch
from bglab.models.engines import EngineChoice, Normalised

caught = []
signal.signal(signal.SIGUSR1, lambda *_: caught.append("caught"))
def engine():
    network = Normalised(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten()), [0.5] * 3, [0.5] * 3)
    made = EngineChoice("openvino").start(network)
    made.get_ready(8, 8)
    return made
first = engine()
second = engine()
del first  # in the order in which they started
del second
os.kill(os.getpid(), signal.SIGUSR1)
print(*caught)
"""


@pytest.mark.slow
def test_engines_that_come_and_go_leave_interrupts_alone():
    command = [sys.executable, "-W", "ignore", "-c", MANY_ENGINES]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (run.returncode, run.stdout.strip()) == (0, "caught"), run.stderr


class _Untraceable(torch.nn.Module):
    def forward(self, images):
        raise ValueError("not this one")


def test_a_conversion_that_fails_leaves_everybodys_logging_alone():
    root = logging.getLogger()
    before = root.level, root.handlers[:], root.filters[:]
    with pytest.raises(Exception, match="not this one"):
        OpenVINOEngine(Normalised(_Untraceable(), (0.5,) * 3, (0.5,) * 3)).logits(images())
    assert (root.level, root.handlers, root.filters) == before


def test_half_precision_stays_close():
    weights = tiny()
    exact = build_classifier("random", weights, EngineChoice("torch", "cpu"))(images())
    rough = build_classifier("random", weights, EngineChoice("torch", "cpu", "bfloat16"))
    assert rough.engine.precision == "bfloat16"
    assert rough(images()).dtype == torch.float32
    assert torch.allclose(rough(images()), exact, atol=0.05 * exact.abs().max().item())


def test_a_fixed_size_network_resizes_for_itself():
    torch.manual_seed(0)
    network = timm.create_model("vit_tiny_patch16_224", num_classes=9, depth=1).eval()
    weights = Weights(network, "vit_tiny_patch16_224", "random", (0.5,) * 3, (0.5,) * 3, 224)
    classifier = build_classifier("random", weights, EngineChoice("torch", "cpu"))
    assert classifier.spec.fixed_input_size
    assert classifier(images(2, size=160)).shape == (2, 9)
    exact = images(2, size=224)
    assert torch.allclose(classifier(exact), network((exact.float() / 255 - 0.5) / 0.5), atol=1e-4)


def test_the_digest_knows_every_value():
    one, two = tiny().network, tiny().network
    assert state_digest(one) == state_digest(two)
    with torch.no_grad():
        next(two.parameters()).view(-1)[0] += 1e-3
    assert state_digest(one) != state_digest(two)


def test_the_engine_follows_the_device():
    weights = tiny()
    on_processor = build_classifier("random", weights, EngineChoice(device="cpu"))
    assert isinstance(on_processor.engine, OpenVINOEngine)
    assert isinstance(build_classifier("random", weights, EngineChoice("torch")).engine, TorchEngine)


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (
            "resnet50",
            "unknown model 'resnet50'; did you mean 'timm:resnet50'? Expected clip:ARCH/PRETRAINED, file:PATH",
        ),
        ("hub:resnet50", "unknown model 'hub:resnet50'. Expected clip:ARCH/PRETRAINED, file:PATH"),
        ("timm:resnet50", "'timm:resnet50' names an architecture, not its weights, and timm's default has changed"),
        ("timm:resnet5000.tv_in1k", "unknown timm architecture 'resnet5000'"),
        ("timm:resnet50.tv_in1", "unknown tag of timm:resnet50 'tv_in1'; did you mean 'tv_in1k'?"),
        ("tv:resnet50", "'tv:resnet50' does not say which weights; add one of them: tv:resnet50/IMAGENET1K_V1"),
        ("tv:resnet51/IMAGENET1K_V1", "unknown torchvision model 'resnet51'; did you mean 'resnet50'?"),
        ("lite:efficientnet_lite9", "unknown lite model 'efficientnet_lite9'; did you mean 'efficientnet_lite2'?"),
    ],
)
def test_names_that_are_not_exact_are_refused(name, sentence):
    with pytest.raises(UnknownName) as error:
        load_classifier(name)
    assert str(error.value).startswith(sentence)


def test_a_name_without_tag_lists_the_tags():
    with pytest.raises(UnknownName) as error:
        load_classifier("timm:resnet50")
    assert "timm:resnet50.tv_in1k" in str(error.value)
    assert "timm:resnet50.a1_in1k" in str(error.value)


def test_checkpoints(tmp_path):
    network = tiny().network
    plain = tmp_path / "plain.pth"
    torch.save({f"module.{name}": value for name, value in network.state_dict().items()}, plain)
    ours = tmp_path / "ours.pt"
    content = {"architecture": "test_resnet", "state_dict": network.state_dict(), "mean": (0.4, 0.5, 0.6)}
    torch.save(content | {"std": (0.2, 0.25, 0.3), "input_size": 64}, ours)
    options = {"engine": "torch", "device": "cpu"}
    by_query = load_classifier(f"file:{plain}?architecture=test_resnet", **options)
    assert by_query.spec.space == "in9"
    assert by_query.spec.mean == (0.4717, 0.4499, 0.3837)  # normalisation of the release's nine-class networks
    with torch.inference_mode():
        expected = Normalised(network, (0.4, 0.5, 0.6), (0.2, 0.25, 0.3))(images())
    assert torch.allclose(load_classifier(f"file:{ours}", **options)(images()), expected, atol=1e-5)
    with pytest.raises(UnknownName, match="expected the architecture of .*plain.pth in its entry 'architecture'"):
        load_classifier(f"file:{plain}")
    with pytest.raises(BadInput, match="but they do not fit"):
        load_classifier(f"file:{plain}?architecture=resnet18")


def test_checkpoints_that_are_none(tmp_path):
    with pytest.raises(MissingData, match="expected a checkpoint at .*, but there is none; give file:PATH"):
        load_classifier(f"file:{tmp_path / 'absent.pth'}")
    text = tmp_path / "text.pth"
    text.write_text("not a checkpoint")
    with pytest.raises(BadInput, match="but it cannot be read safely"):
        load_classifier(f"file:{text}?architecture=resnet18")
    network = timm.create_model("test_resnet", num_classes=12)
    twelve = tmp_path / "twelve.pth"
    torch.save(network.state_dict(), twelve)
    with pytest.raises(BadInput, match=r"expected a network with 1000 \(ImageNet\) or 9 \(IN-9\) outputs"):
        load_classifier(f"file:{twelve}?architecture=test_resnet")


def test_a_checkpoint_cannot_run_code(tmp_path):
    class Nasty:
        def __reduce__(self):
            return (print, ("ran",))

    file = tmp_path / "nasty.pth"
    torch.save({"state_dict": Nasty()}, file)
    with pytest.raises(BadInput, match="but it cannot be read safely"):
        load_classifier(f"file:{file}?architecture=test_resnet")


def test_floats_are_refused(lite):
    with pytest.raises(BadInput, match=r"expected uint8 images of shape \(n, 3, h, w\), got torch.float32"):
        lite(torch.zeros(1, 3, 224, 224))


def test_devices_by_name():
    assert pick_device("cpu").type == "cpu"
    with pytest.raises(BadInput, match="expected a device such as auto, cpu, cuda:0 or mps, got 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(BadInput, match="expected a device of this machine, got 'cuda:3', which is not here"):
            pick_device("cuda:3")
    with pytest.raises(BadInput, match="expected --amp-dtype none or bfloat16 for OpenVINO"):
        EngineChoice("openvino", "cpu", "float16").start(Normalised(torch.nn.Identity(), (0.5,) * 3, (0.5,) * 3))
