"""What the first run finds out about weights is kept, and later runs use it only for the same weights."""

from __future__ import annotations

import json
import logging

import pytest
import torch
from torch import nn

from bglab.errors import BadInput
from bglab.images import EvaluationTransform
from bglab.models import Weights, load_classifier, sources
from bglab.models.classifier import build_classifier
from bglab.models.engines import OpenVINOEngine
from bglab.models.sources import lite

#: What stands for the source lite:, whose package need not be installed then.
URI = "lite:small"


class _Source:
    """A source whose weights can be replaced, and which counts how often they are loaded."""

    def __init__(self) -> None:
        self.seed, self.loads = 0, 0

    def identify(self, path: str) -> str:
        return f"{path} {self.seed}"

    def open_weights(self, path: str) -> Weights:
        self.loads += 1
        torch.manual_seed(self.seed)
        network = nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(48, 9))
        return Weights(network, path, f"seed-{self.seed}", (0.5, 0.4, 0.3), (0.2, 0.3, 0.1), 32, crop_pct=0.9)


@pytest.fixture
def source(monkeypatch, tmp_path):
    """Take the place of ``lite:``, with an empty cache."""
    made = _Source()
    monkeypatch.setenv("BGLAB_DATA", str(tmp_path))
    monkeypatch.setattr(lite, "identify", made.identify)
    monkeypatch.setattr(lite, "open_weights", made.open_weights)
    return made


@pytest.fixture
def images():
    return torch.randint(0, 256, (3, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def kept(folder):
    return list((folder / "cache" / "weights").glob("*/description.json"))


def test_a_later_run_knows_the_same_and_loads_nothing(source, images, monkeypatch):
    pytest.importorskip("openvino")
    first = load_classifier(URI)
    logits = first(images)
    assert source.loads == 1
    with monkeypatch.context() as patch:
        patch.setattr(nn.Module, "__call__", None)  # no network of torch runs
        later = load_classifier(URI)
        assert isinstance(later.engine, OpenVINOEngine)
        assert torch.equal(later(images), logits)
    assert source.loads == 1
    assert (later.spec, later.classes, later.notes) == (first.spec, first.classes, first.notes)
    assert later.spec.transform == EvaluationTransform(32, 0.9, mean=(0.5, 0.4, 0.3))


def test_the_network_is_loaded_once_when_it_is_asked_for(source, images):
    first = load_classifier(URI)
    later = load_classifier(URI)
    network = later.network
    assert later.network is network
    assert source.loads == 2
    assert torch.equal(network(images), first.network(images))
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_the_engine_torch_loads_it_at_once(source, images):
    first = load_classifier(URI, engine="torch", device="cpu")
    later = load_classifier(URI, engine="torch", device="cpu")
    assert source.loads == 2
    assert torch.equal(later(images), first(images))


@pytest.mark.parametrize("protocol", ["as-is", "reference", "model"])
def test_each_protocol_is_that_of_weights_read_anew(source, protocol):
    load_classifier(URI)
    later = load_classifier(URI, protocol=protocol)
    anew = build_classifier("lite", source.open_weights("small"), protocol=protocol)
    assert later.spec == anew.spec
    for name in ("shift", "scale"):
        assert torch.equal(getattr(later.network, name), getattr(anew.network, name))


def test_other_weights_are_described_anew(source, images):
    before = load_classifier(URI)
    source.seed = 1
    after = load_classifier(URI)
    assert source.loads == 2
    assert after.spec.tag == "seed-1"
    assert after.spec.sha256 != before.spec.sha256
    assert not torch.equal(after(images), before(images))


def test_a_network_replaced_since_it_was_described_is_refused(source):
    load_classifier(URI)
    later = load_classifier(URI)
    source.seed = 1
    with pytest.raises(BadInput, match=r"expected the weights of lite:small that were there before, .* load the"):
        later.network.eval()


def test_weights_replaced_while_they_are_loaded_are_not_described(source, tmp_path, monkeypatch):
    def replaced(path):
        source.seed += 1
        return source.open_weights(path)

    monkeypatch.setattr(lite, "open_weights", replaced)
    load_classifier(URI)
    assert kept(tmp_path) == []


def test_a_damaged_description_is_noticed_and_made_again(source, tmp_path, caplog):
    first = load_classifier(URI)
    (file,) = kept(tmp_path)
    whole = file.read_text()
    file.write_text(json.dumps(json.loads(whole) | {"notes": ["edited"]}))
    with caplog.at_level(logging.WARNING):
        later = load_classifier(URI)
    assert "damaged" in caplog.text
    assert (later.spec, later.notes, source.loads) == (first.spec, (), 2)
    assert file.read_text() == whole


def test_without_a_cache_weights_are_described_each_time(source, tmp_path):
    (tmp_path / "cache").write_text("no folder")
    specs = {load_classifier(URI, engine="torch", device="cpu").spec for _ in range(2)}
    assert len(specs) == 1
    assert source.loads == 2


def test_what_cannot_be_identified_is_left_to_the_source_to_report():
    for uri in ("timm:resnet18.a1_in1k", "lite:nothing", "lite:efficientnet_lite0?size=3", "nothing", "file:/nowhere"):
        assert sources.identify(uri) == ""
