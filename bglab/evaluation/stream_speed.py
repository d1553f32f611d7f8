"""The speed of streaming photographs, beside that of decoding and of the network alone."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from bglab.errors import BadInput
from bglab.evaluation.full_resolution import begin_block, stream_batching
from bglab.models import Batching, Classifier
from bglab.parallel import in_flight, prefetch
from bglab.variants import Block, FullScenes, Variant, expand, stream


class StreamSpeed(NamedTuple):
    """Throughput of streaming in images per second, all measured in one run.

    Attributes:
        decoded: Decoding, rendering and cropping alone.
        forward: The network alone, on finished crops.
        streamed: Both together, as in an evaluation.
        attainable: Upper bound on ``streamed``: the smaller of the two rates where the network runs on an accelerator,
            ``1 / (1 / decoded + 1 / forward)`` where both share the CPU.
    """

    decoded: float
    forward: float
    streamed: float
    attainable: float


def measure_speed(
    classifier: Classifier,
    full: FullScenes,
    variants: Sequence[str | Variant] = ("original",),
    *,
    batch_size: int = 64,
    rounds: int = 4,
) -> StreamSpeed:
    """Measure the throughput of streaming, and that of decoding alone and of the network alone.

    The three are measured in turn on the same part of the scenes, so that other load on the machine affects all alike.

    Args:
        classifier: From `load_classifier`.
        full: From `bglab.variants.open_full`; cached crops are not used.
        variants: Variants to make of each scene.
        batch_size: Images per forward pass.
        rounds: Number of parts that the scenes are split into.

    Raises:
        BadInput: If there are no scenes.
    """
    chosen, transform = expand(variants, full.settings), classifier.spec.transform
    batch = stream_batching(classifier, batch_size).size
    classifier.engine.get_ready(transform.size, transform.size, len(full.by_box) * len(chosen))
    turns = np.zeros((3, 2))
    for ids in np.array_split(np.array(full.by_box.ids, dtype=object), min(rounds, len(full.by_box))):
        part = full.select(ids.tolist())

        def fresh(part: FullScenes = part) -> Iterator[Block]:
            return stream(part, chosen, transform, block_size=max(1, batch // len(chosen)))

        block, decoding = _timed(fresh())
        again = [block] * -(-int(decoding[0]) // max(1, block.image_count))
        _, forward = _timed(_classified(classifier, again, batch))
        _, both = _timed(_classified(classifier, prefetch(fresh()), batch))
        turns += [decoding, forward, both]
    decoded, alone, streamed = (turns[:, 0] / turns[:, 1]).tolist()
    shared = classifier.engine.device.type == "cpu"
    return StreamSpeed(decoded, alone, streamed, attainable_rate(decoded, alone, shared=shared))


def attainable_rate(decoded: float, forward: float, *, shared: bool) -> float:
    """Return the upper bound on the rate of streaming.

    Args:
        decoded: Images per second of decoding alone.
        forward: Images per second of the network alone.
        shared: Whether both share the CPU.

    Example:
        >>> attainable_rate(300, 100, shared=True), attainable_rate(300, 100, shared=False)
        (75.0, 100)
    """
    return 1 / (1 / decoded + 1 / forward) if shared else min(decoded, forward)


def _classified(classifier: Classifier, given: Iterable[Block], batch_size: int) -> Iterator[Block]:
    batching = Batching(batch_size)
    for block, waiting in in_flight((block, begin_block(classifier, block, batching)) for block in given):
        waiting()
        yield block


def _timed(given: Iterator[Block]) -> tuple[Block, tuple[int, float]]:
    """Consume blocks; return the largest one, the number of images, and the duration in seconds."""
    started = time.perf_counter()
    count, largest = 0, None
    for block in given:
        count += block.image_count
        if largest is None or block.image_count > largest.image_count:
            largest = block
    if largest is None:
        raise BadInput("expected scenes to measure the speed on, got none; open a set that has some")
    return largest, (count, time.perf_counter() - started)
