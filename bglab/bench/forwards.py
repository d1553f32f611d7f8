"""The fastest bare forward pass of a network, with images in memory: what everything else is compared with."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bglab.models import Classifier, OpenVINOEngine, Pool, fastest, sweep
from bglab.parallel import in_flight

#: Images in memory; those of a batch are taken in turn.
_IMAGES = 64


class BareForward(NamedTuple):
    """A forward pass without reading, composing or deciding anything.

    Attributes:
        title: What runs, for the table.
        run: Classifies for at least some seconds; returns the number of images and the seconds.
        rates: Images per second of all settings that were tried before; empty if there is only one.
    """

    title: str
    run: Callable[[float], tuple[int, float]]
    rates: dict[str, float]


def best_forward(classifier: Classifier, images: UInt8[Tensor, "n 3 h w"]) -> BareForward:
    """Find the fastest bare forward pass: for OpenVINO by trying streams and batch sizes.

    Args:
        classifier: Classifier whose engine is timed.
        images: A batch on the engine's device, as large as searches use.
    """
    engine, by_batches = classifier.engine, in_turn(lambda: classifier.begin(images), len(images))
    if not isinstance(engine, OpenVINOEngine):
        return BareForward(f"bare forward pass, batches of {len(images)}, images in memory", by_batches, {})
    compiled, levels = engine.compiled(*images.shape[-2:]), images[:5].numpy()
    rates: dict[str, float] = {}

    def noted() -> Iterator[tuple[Pool, float]]:
        for pool, rate in sweep(compiled.compile_for, [levels], compiled.one_by_one([levels]), every=True):
            rates[str(pool.setting)] = rate
            yield pool, rate

    found = fastest(noted(), [levels])
    if found is None:
        return BareForward("bare forward pass, single images first", by_batches, {})
    best, rates[str(found[0].setting)] = found
    return BareForward(f"best bare forward pass: {best.setting}", _by_queue(best, images.numpy()), rates)


def in_turn(begin: Callable[[], Callable[[], Tensor]], count: int) -> Callable[[float], tuple[int, float]]:
    """Return a function that keeps two batches with the engine, as searches do.

    Args:
        begin: Begins with a batch, and returns a function that waits for it.
        count: Images of a batch.
    """

    def run(seconds: float) -> tuple[int, float]:
        started = time.perf_counter()

        def begun() -> Iterator[Callable[[], Tensor]]:
            yield begin()
            while time.perf_counter() - started < seconds:
                yield begin()

        done = 0
        for waiting in in_flight(begun()):
            waiting()[-1:].cpu()  # a GPU has finished when the last values are here
            done += count
        return done, time.perf_counter() - started

    return run


def _by_queue(pool: Pool, images: UInt8[np.ndarray, "n 3 h w"]) -> Callable[[float], tuple[int, float]]:
    """Keep OpenVINO's own queue full, so that nothing of ours is timed."""
    import openvino

    batch = pool.setting.batch
    many = np.ascontiguousarray(images[np.arange(max(_IMAGES, batch)) % len(images)])
    parts = [many[first : first + batch] for first in range(0, len(many), batch)]
    queue = openvino.AsyncInferQueue(pool.compiled, 2 * pool.setting.streams)

    def run(seconds: float) -> tuple[int, float]:
        count, started = 0, time.perf_counter()
        while not count or time.perf_counter() - started < seconds:
            for part in parts:
                queue.start_async({0: part}, share_inputs=True)
                count += batch
        queue.wait_all()
        return count, time.perf_counter() - started

    return run


def single_forward(classifier: Classifier, images: UInt8[Tensor, "n 3 h w"]) -> Callable[[], object]:
    """Return a forward pass of a batch by all cores together, as single images are answered; on CUDA, any forward."""
    engine = classifier.engine
    if not isinstance(engine, OpenVINOEngine):
        return lambda: classifier(images)
    compiled, levels = engine.compiled(*images.shape[-2:]), [images.numpy()]
    return lambda: torch.from_numpy(compiled.at_once(levels)[0])
