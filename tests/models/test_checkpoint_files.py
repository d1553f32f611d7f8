"""Files of weights: those of torch.save in both formats, TorchScript, safetensors and shards, and what is none."""

from __future__ import annotations

import argparse
import json
import pathlib
import pickle
import warnings
from collections import defaultdict

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from bglab.errors import BadInput, MissingData
from bglab.models import Normalised, load_classifier, state_digest
from bglab.models.sources import open_weights
from tests.fixtures.checkpoints import SMALL, saved, small
from tests.fixtures.networks import random_images


def load(file, options=f"?architecture={SMALL}"):
    return open_weights(f"file:{file}{options}")[1]


class Settings(dict):
    """Stands for the dictionaries of libraries that need not be installed."""


class Tracker:
    """Stands for objects that trainers leave in a checkpoint."""

    def __init__(self) -> None:
        self.best = 0.5


def write_legacy(network, file):
    torch.save({"state_dict": network.state_dict()}, file, _use_new_zipfile_serialization=False)


def write_safetensors(network, file):
    save_file(dict(reversed(sorted(network.state_dict().items()))), file)


def write_sorted(network, file):
    torch.save(dict(sorted(network.state_dict().items())), file)


def write_shards(network, file):
    state = network.state_dict()
    half = len(state) // 2
    parts = {"a.safetensors": dict(list(state.items())[:half]), "b.safetensors": dict(list(state.items())[half:])}
    for name, part in parts.items():
        save_file(part, file.parent / name)
    places = {tensor: name for name, part in parts.items() for tensor in part}
    file.write_text(json.dumps({"metadata": {}, "weight_map": places}))


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("legacy.pth", write_legacy),
        ("model.safetensors", write_safetensors),
        ("named_otherwise.bin", write_safetensors),
        ("sorted.pth", write_sorted),
        ("model.safetensors.index.json", write_shards),
    ],
)
def test_every_kind_of_file_gives_the_same_network(tmp_path, name, write):
    write(small(), tmp_path / name)
    assert state_digest(load(tmp_path / name).network) == state_digest(small())


@pytest.mark.parametrize(
    "beside",
    [
        {"args": argparse.Namespace(model=SMALL, lr=0.1, out=pathlib.Path("out"))},
        {"best": np.float64(0.7), "history": np.arange(3.0)},
        {"hyper_parameters": Settings(lr=0.1), "callbacks": defaultdict(list, a=[1])},
        {"trackers": [Tracker()], "epoch": 3},
    ],
)
@pytest.mark.parametrize("is_zip", [True, False])
def test_foreign_objects_beside_the_weights_do_not_matter(tmp_path, beside, is_zip):
    file = tmp_path / "c.pth"
    torch.save({"state_dict": small().state_dict(), **beside}, file, _use_new_zipfile_serialization=is_zip)
    assert state_digest(load(file).network) == state_digest(small())


def test_a_pickled_module_is_refused_with_how_to_save_it(tmp_path):
    file = tmp_path / "whole.pth"
    for whole in (small(), {"model": small(), "epoch": 3}):
        torch.save(whole, file)
        with pytest.raises(BadInput, match=r"cannot be read safely \(it holds an object of timm\.models\.") as refusal:
            load(file)
        assert "torch.save(network.state_dict(), file)" in str(refusal.value)


def test_torchscript_needs_no_architecture(tmp_path):
    network = small()
    file = tmp_path / "traced.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated by torch, and still what people have
        traced = torch.jit.trace(network, torch.zeros(1, 3, 64, 64))
        traced.save(str(file))
        torch.jit.freeze(traced.eval()).save(str(tmp_path / "frozen.pt"))
        traced.half().save(str(tmp_path / "half.pt"))
    classifier = load_classifier(f"file:{file}?mean=0.4,0.5,0.6&std=0.2,0.2,0.2", engine="torch", device="cpu")
    expected = Normalised(small(), (0.4, 0.5, 0.6), (0.2,) * 3)(random_images())
    assert torch.allclose(classifier(random_images()), expected, atol=1e-4)
    assert any("TorchScript does not tell" in note for note in classifier.notes)
    digests = {state_digest(load(tmp_path / name, "").network) for name in ("traced.pt", "frozen.pt", "half.pt")}
    assert len(digests) == 3
    assert any("float16 to float32" in note for note in load(tmp_path / "half.pt", "").notes)
    with pytest.raises(BadInput, match="expected no option weights= for TorchScript"):
        load(file, "?weights=ema")


def test_torchscript_of_one_size_says_which_option_it_needs(tmp_path):
    file = tmp_path / "sized.pt"
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 1, 3), torch.nn.Flatten(), torch.nn.Linear(900, 9)).eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(network).save(str(file))
    with pytest.raises(BadInput, match=r"to take images of 224×224 pixels, but it fails .*as \?input_size="):
        load(file, "")
    assert load(file, "?input_size=32").input_size == 32


def damaged(whole: bytes) -> bytes:
    middle = len(whole) // 2
    return whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (b"", "got an empty file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:5f", "git lfs pull"),
        (b"<!DOCTYPE html><html>", "it is a web page"),
        (b"\x89HDF\r\n\x1a\n" + bytes(80), "it is an HDF5 file, as Keras writes"),
        (b"not a checkpoint", "neither a file of torch.save nor of safetensors"),
        (pickle.dumps({"weight": [1, 2]}), "cannot be read safely"),
        (saved({"a": torch.zeros(3)})[:-30], "it is damaged"),
        (damaged(saved({"a": torch.arange(9000.0)})), "the checksum of .* differs"),
        (saved([1, 2, 3]), "expected a dictionary of tensors in .*, got list"),
        (saved({"epoch": 3}), "got no tensors; save network.state_dict"),
        (saved(torch.zeros(3)), "expected a dictionary of tensors in .*, got Tensor"),
        ((2**40).to_bytes(8, "little") + b"{}", "neither a file of torch.save nor of safetensors"),
    ],
)
def test_what_is_no_checkpoint_is_refused_by_what_it_is(tmp_path, data, sentence):
    file = tmp_path / "c.pth"
    file.write_bytes(data)
    with pytest.raises(BadInput, match=sentence):
        load(file)


def test_folders_and_missing_files_are_told_apart(tmp_path):
    (tmp_path / "best.pth").write_bytes(saved({}))
    with pytest.raises(BadInput, match=r"got the folder .*; it contains best\.pth; give file:PATH"):
        load(tmp_path)
    with pytest.raises(MissingData, match="expected a checkpoint at .*, but there is none"):
        load(tmp_path / "absent.pth")


def test_a_missing_shard_and_a_missing_tensor_are_named(tmp_path):
    index = tmp_path / "model.safetensors.index.json"
    write_shards(small(), index)
    listed = json.loads(index.read_text())
    listed["weight_map"]["extra.weight"] = "a.safetensors"
    index.write_text(json.dumps(listed))
    with pytest.raises(BadInput, match=r"expected extra.weight in a\.safetensors, as .* says"):
        load(index)
    (tmp_path / "b.safetensors").unlink()
    with pytest.raises(MissingData, match=r"b\.safetensors"):
        load(index)
    index.write_text(json.dumps({"weight_map": {"a": "../elsewhere.safetensors"}}))
    with pytest.raises(BadInput, match="expected files beside"):
        load(index)


def test_the_configuration_beside_safetensors_is_read(tmp_path):
    file = tmp_path / "model.safetensors"
    save_file(small(3).state_dict(), file)
    config = {"mean": [0.1, 0.2, 0.3], "std": [0.2] * 3, "input_size": [3, 96, 96], "crop_pct": 0.9}
    config |= {"interpolation": "bicubic", "label_names": ["cat", "dog", "owl"]}
    (tmp_path / "config.json").write_text(json.dumps({"architecture": SMALL, "pretrained_cfg": config}))
    weights = load(file, "")
    assert weights.mean == (0.1, 0.2, 0.3)
    assert (weights.input_size, weights.crop_pct, weights.interpolation) == (96, 0.9, "bicubic")
    assert weights.classes == ("cat", "dog", "owl")
    assert weights.space == "own:model"


def test_files_without_checksums_are_read_with_a_note(tmp_path):
    file = tmp_path / "c.pth"
    torch.serialization.set_crc32_options(False)  # noqa: FBT003 - their signature
    try:
        torch.save(small().state_dict(), file)
    finally:
        torch.serialization.set_crc32_options(True)  # noqa: FBT003 - their signature
    assert any("without checksums" in note for note in load(file).notes)
