"""The streaming rows of the benchmark: files like photographs, all decoded and classified, and the share."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch
from PIL import Image
from timm.data.transforms_factory import transforms_imagenet_eval

import bglab
from bglab.bench.contenders import Plan, Timing, prepare_workload
from bglab.bench.measure import Turn
from bglab.bench.streaming import streaming_contenders
from bglab.images import to_levels
from fixtures.networks import fresh
from fixtures.stand_ins import make_scenes

SIDE = 64
PLAN = Plan(rounds=1, workers=(0,), scenes_per_class=1, files=9, written=1, map_batch=2, seconds=0.0)

streaming = import_module("bglab.bench.streaming")
bench = import_module("bglab.bench.measure")  # the package's own name for it is the function


def opened(file):
    with Image.open(file) as image:
        return image.convert("RGB")


@pytest.fixture
def workload(tmp_path):
    prepared = bglab.prepare(make_scenes(1, SIDE), SIDE, progress=False)
    return prepare_workload(fresh("test_efficientnet", SIDE, seed=3), prepared, tmp_path, PLAN)


@pytest.fixture
def seen(workload, monkeypatch):
    """All images that the network is given from here on."""
    given = []
    logits = workload.classifier.engine.logits
    monkeypatch.setattr(
        workload.classifier.engine, "logits", lambda images: given.append(images.clone()) or logits(images)
    )
    return given


def test_streaming_classifies_every_file_and_decoding_none(workload, seen, tmp_path):
    folder = tmp_path / "photographs"
    folder.mkdir()
    stream, decode, pillow = streaming_contenders(workload, folder)
    seen.clear()
    assert [each.name for each in (stream, decode, pillow)] == ["stream", "decode", "pillow"]
    assert {each.baseline for each in (stream, decode, pillow)} == {"bare"}
    assert decode.step(0).images == pillow.step(0).images == 64
    assert not seen
    assert stream.step(0).images == 64
    files = sorted(folder.glob("*.jpg"))
    transform = workload.classifier.spec.transform
    timms = transforms_imagenet_eval(
        transform.size, crop_pct=transform.crop_pct, interpolation=transform.interpolation, normalize=False
    )
    expected = np.stack([timms(opened(file)).numpy() for file in files])
    assert np.array_equal(torch.cat(seen).numpy(), expected)


def test_pillow_and_timm_make_the_same_crops(workload, tmp_path, monkeypatch):
    *_, pillow = streaming_contenders(workload, tmp_path)
    made, by_pillow = [], streaming._by_pillow
    monkeypatch.setattr(streaming, "_by_pillow", lambda *given: made.append(by_pillow(*given)))
    pillow.step(0)
    transform = workload.classifier.spec.transform
    expected = [transform(opened(file)) for file in tmp_path.glob("photograph-*.jpg")]
    assert {crop.tobytes() for crop in made} == {crop.tobytes() for crop in expected}


def test_the_files_are_like_imagenets(workload, tmp_path):
    streaming_contenders(workload, tmp_path)
    files = sorted(tmp_path.glob("photograph-*.jpg"))
    sizes = [opened(file).size for file in files]
    assert (sizes.count((500, 375)), sizes.count((375, 500)), len(files)) == (48, 16, 64)
    # they show the workload's images, of which there are nine
    first, tenth = (to_levels(opened(files[i])) for i in (1, 10))
    assert np.array_equal(first, tenth)


def turn(name, images_per_s, number=0):
    return Turn(number, name, Timing(images_per_s, 1.0))


def test_the_share_is_of_what_decoding_and_forward_pass_allow(workload):
    turns = [turn("bare", 100), turn("stream", 70), turn("bare", 300), turn("decode", 300), turn("bare", 999)]
    ratio = bench._stream_share(turns, workload, "decode", "decoding", 0.95)
    assert (ratio.name, ratio.unit, ratio.aim) == ("stream / attainable with decode", "share", 0.95)
    # the forward pass took 2 s for 400 images: 1 / (1 / 300 + 1 / 200) = 120
    assert ratio.value == pytest.approx(70 / 120)


def test_an_accelerator_decodes_beside_the_forward_pass(workload, monkeypatch):
    monkeypatch.setattr(workload.classifier.engine, "device", torch.device("cuda"))
    turns = [turn("bare", 200), turn("stream", 150), turn("bare", 200), turn("decode", 300), turn("bare", 200)]
    assert bench._stream_share(turns, workload, "decode", "decoding").value == pytest.approx(150 / 200)
