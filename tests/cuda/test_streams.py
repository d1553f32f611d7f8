"""What waits for what on a GPU: batches are composed beside the network, and copies do not wait for the next batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.models import Batching, SideStream, classify_batches, upload
from bglab.models.cuda_streams import copied_back
from bglab.models.engines import TorchEngine
from bglab.saliency import smooth_grad
from bglab.scenes import prepare
from bglab.search import PairImages, Pairs, open_evaluator, pair_batches
from fixtures.accelerators import CPU, CUDA, imagined_gpu
from fixtures.networks import fresh, random_images
from fixtures.stand_ins import make_scenes
from fixtures.streams import Streams

SIZE = 64


@pytest.fixture(scope="module")
def classifier(data_folder):
    return fresh("resnet10t", SIZE)


@pytest.fixture(scope="module")
def scenes(data_folder):
    return prepare(make_scenes(per_class=2, size=SIZE), SIZE, progress=False)


@pytest.fixture
def place(monkeypatch):
    with imagined_gpu(monkeypatch) as imagined:
        yield imagined


@pytest.fixture
def streams(monkeypatch, place):
    return Streams(monkeypatch)


@pytest.fixture
def copies(monkeypatch, streams):
    """Note copies, too."""
    to = torch.Tensor.to

    def noted(tensor, *args, non_blocking=False, **named):
        streams.notes.append(f"{streams.here}: to {args[0]}{'' if non_blocking else ', waited for'}")
        return to(tensor, *args, **named)

    monkeypatch.setattr(torch.Tensor, "to", noted)
    for name in ("pin_memory", "clone"):
        monkeypatch.setattr(torch.Tensor, name, streams.noting(name, lambda tensor: tensor))
    return streams.notes


# ---- pieces


def test_uploads_come_from_pinned_memory(copies):
    levels = torch.zeros(2)
    there = upload(levels, CUDA)
    assert there.device.type == "cuda"
    assert copies == ["main: pin_memory", "main: to cuda"]
    assert upload(there, CUDA) is there
    assert "main: pin_memory" not in copies[2:]
    assert upload(levels, "cpu") is levels
    assert "main: pin_memory" not in copies[2:]


def test_a_copy_back_begins_at_once_and_is_waited_for_alone(copies):
    logits = torch.zeros(2, device=CUDA)
    wait = copied_back(lambda: logits, CUDA)
    copies.append("main: next")
    assert wait().device == CPU
    assert copies == ["main: to cpu", "main: event 1", "main: next", "wait for event 1", "main: clone"]


def test_on_a_processor_nothing_is_waited_for_before_it_is_asked_for():
    asked = []
    wait = copied_back(lambda: asked.append(1) or torch.ones(2), CPU)
    assert not asked
    assert wait().tolist() == [1, 1]


def test_the_current_stream_waits_for_work_beside_it_also_if_that_fails(streams):
    ahead = SideStream(CUDA)
    logits = torch.zeros(2, device=CUDA)
    assert ahead.run(streams.noting("compose", lambda: logits)) is logits

    def full():
        raise torch.cuda.OutOfMemoryError("full")

    with pytest.raises(torch.cuda.OutOfMemoryError):
        ahead.run(streams.noting("compose", full))
    assert streams.notes == [
        "side waits for main",
        "main: event 1", "side: compose", "main waits for side", "kept for main",
        "main: event 2", "wait for event 1", "side: compose", "main waits for side",
    ]  # fmt: skip


def test_on_a_processor_there_is_no_stream_beside(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_stream", None)
    assert SideStream(CPU).run(lambda: torch.ones(1)).item() == 1


# ---- runs


def test_pairs_are_composed_beside_the_network(place, streams, monkeypatch, scenes, classifier):
    evaluator = open_evaluator(place.bring(classifier), scenes, progress=False)
    monkeypatch.setattr(PairImages, "render", streams.noting("compose", PairImages.render))
    monkeypatch.setattr(TorchEngine, "logits", streams.noting("network", TorchEngine.logits))
    rows, columns = np.divmod(np.arange(14), 7)
    blocks = list(pair_batches.answer_blocks(evaluator, [Pairs(rows, columns)], Batching(5)))
    assert [len(block) for block in blocks] == [14]
    beside = ["side: compose", "main waits for side", "kept for main", "main: network"]
    assert streams.notes == [
        "side waits for main",
        "main: event 1", *beside,
        "main: event 2", "wait for event 1", *beside,
        "main: event 3", "wait for event 2", *beside,
    ]  # fmt: skip


def test_scenes_are_uploaded_in_the_stream_of_all_who_read_them(place, streams, monkeypatch, scenes, classifier):
    evaluator = open_evaluator(place.bring(classifier), scenes, progress=False)
    monkeypatch.setattr(torch.cuda, "mem_get_info", streams.noting("room", torch.cuda.mem_get_info))
    list(pair_batches.answer_blocks(evaluator, [Pairs(np.zeros(3, int), np.arange(3))], Batching(5)))
    assert "main: room" in streams.notes
    assert "side: room" not in streams.notes


def test_logits_are_copied_while_the_network_works_on_the_next_batch(place, streams, monkeypatch, classifier):
    monkeypatch.setattr(TorchEngine, "logits", streams.noting("network", TorchEngine.logits))
    images = random_images(6, SIZE)
    parts = classify_batches(place.bring(classifier), lambda part: images[part].to(CUDA), 6, Batching(2))
    assert [tuple(logits.shape) for logits in parts] == [(2, 9)] * 3
    assert streams.notes == [
        "main: network", "main: event 1",
        "main: network", "main: event 2", "wait for event 1",
        "main: network", "main: event 3", "wait for event 2",
        "wait for event 3",
    ]  # fmt: skip


def test_noise_is_drawn_at_most_one_sample_ahead(place, streams, classifier):
    smooth_grad(place.bring(classifier), random_images(2, SIZE), samples=3)
    assert streams.notes == [
        "main: event 1", "main: event 2", "wait for event 1", "main: event 3", "wait for event 2"
    ]  # fmt: skip
