"""What waits for what on a GPU: batches are composed beside the network, and copies do not wait for the next batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from bglab.models import Batching, SideStream, classify_batches, images_that_fit, upload
from bglab.models.cuda_streams import copied_back
from bglab.models.engines import TorchEngine
from bglab.saliency import smooth_grad
from bglab.search import PairImages, Pairs, open_evaluator, pair_batches
from fixtures.accelerators import CPU, CUDA, SIZE, imagined_gpu
from fixtures.matrices import LABELS, MATRIX, ORIGINAL, coded_scenes, matrix_classifier
from fixtures.networks import random_images
from fixtures.streams import Streams


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


@pytest.mark.parametrize(
    ("needed", "free", "most", "fitting"),
    [
        (10, 8000, 2048, 512),
        (10, 10**6, 2048, 2048),
        (10, 10**6, 48, 32),
        (10, 80, 2048, 4),
        (10, 24, 2048, 1),
        (10, 0, 2048, 1),
        (0, 64, 2048, 32),
    ],
)
def test_the_batch_takes_most_of_the_free_memory(monkeypatch, needed, free, most, fitting):
    memory = memory_of(monkeypatch, free)
    assert images_that_fit(CUDA, lambda: memory.take(4 * needed), 4, most) == fitting


def test_a_batch_of_half_of_the_few_images_is_tried_if_they_do_not_fit(monkeypatch):
    memory = memory_of(monkeypatch, 10**6)

    def full():
        memory.take(10)
        raise torch.cuda.OutOfMemoryError("full")

    assert images_that_fit(CUDA, full, 32, 2048) == 16
    assert images_that_fit(CUDA, full, 1, 2048) == 1


def memory_of(monkeypatch, free):
    memory = Memory(free)
    for name in ("memory_allocated", "max_memory_allocated", "reset_peak_memory_stats", "empty_cache", "mem_get_info"):
        monkeypatch.setattr(torch.cuda, name, getattr(memory, name))
    return memory


class Memory:
    """Memory of a GPU: what was taken is given back, but stays reserved until the cache is emptied."""

    def __init__(self, free):
        self.free, self.held, self.peak, self.cached = free, 1000, 5000, 0

    def take(self, count):
        self.peak, self.cached = max(self.peak, self.held + count), self.cached + count

    def memory_allocated(self, _device):
        return self.held

    def max_memory_allocated(self, _device):
        return self.peak

    def reset_peak_memory_stats(self, _device):
        self.peak = self.held

    def empty_cache(self):
        self.cached = 0

    def mem_get_info(self, _device):
        return self.free - self.cached, 10**9


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


def test_the_memory_decides_on_the_batches_of_many_blocks(monkeypatch):
    asked = []

    def fits(_device, work, count, most):
        work()
        asked.append((count, most))
        return 3

    monkeypatch.setattr(pair_batches, "images_that_fit", fits)
    classifier = matrix_classifier(MATRIX, ORIGINAL)
    evaluator = open_evaluator(classifier, coded_scenes(LABELS), progress=False)
    rows, columns = np.divmod(np.arange(49), 7)
    every = Pairs(rows, columns)
    batching = Batching(16, most=64)
    assert np.array_equal(*(MATRIX.ravel(), next(pair_batches.answer_blocks(evaluator, [every], batching))))
    assert (batching.size, asked) == (16, [])
    found = np.concatenate(
        list(pair_batches.answer_blocks(evaluator, [every.part(0, 40), every.part(40, 49)], batching))
    )
    assert np.array_equal(found, MATRIX.ravel())
    assert (batching.size, batching.most, asked) == (3, 0, [(32, 64)])
    assert max(classifier.engine.batch_sizes[-16:]) == 3
    list(pair_batches.answer_blocks(evaluator, [every, every], batching))
    assert len(asked) == 1


def test_sizes_by_memory_are_for_a_gpu_that_need_not_repeat_its_bits(streams, place, classifier):
    started = [
        pair_batches.start_batching(place.bring(classifier, deterministic=repeatable), "auto")
        for repeatable in (False, True)
    ]
    assert [(batching.size, batching.most) for batching in started] == [(512, 2048), (512, 0)]
    assert pair_batches.start_batching(place.bring(classifier), 48) == Batching(48)
    assert pair_batches.start_batching(classifier, "auto") == Batching(32)
