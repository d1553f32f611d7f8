"""Classify pairs in batches: the next batch is composed while the engine works on the current one.

On a GPU, pairs are composed on the device, in a stream of their own. On a CPU, a thread composes them into a few
buffers that are reused.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor

from bglab.models import Batching, Classifier, SideStream, images_that_fit, not_finite, runs_ahead
from bglab.parallel import in_flight, prefetch
from bglab.search.pair_evaluator import PairEvaluator
from bglab.search.pair_images import Pairs

#: Initial images per batch, by type of device: on a CPU they are split further, a GPU that runs out of memory halves
#: them.
_BATCH_SIZES = {"cuda": 512, "cpu": 32, "mps": 64}
#: Largest batch that the free memory of a GPU is used for.
_LARGEST_BATCH = 4 * _BATCH_SIZES["cuda"]
#: Images by which the memory that an image takes is measured.
_TRIAL_IMAGES = 32

BatchSize = int | Literal["auto"]


class Clock:
    """Duration, number of forward passes and speed of a run, including the sessions that it resumes.

    Args:
        earlier: Statistics from `note` of the sessions before; empty for a new run.
    """

    def __init__(self, earlier: Mapping[str, Any]) -> None:
        self._earlier = earlier
        self._started = time.perf_counter()
        self._forwards = 0

    def count(self, images: int) -> None:
        """Count images that were classified."""
        self._forwards += images

    def note(self, batching: Batching) -> dict[str, Any]:
        """Return the statistics so far, over all sessions: the contents of ``run.json``.

        Args:
            batching: Images per forward pass.
        """
        seconds = self._earlier.get("seconds", 0.0) + time.perf_counter() - self._started
        forwards = self._earlier.get("forwards", 0) + self._forwards
        return {
            "seconds": round(seconds, 3),
            "forwards": forwards,
            "images_per_s": round(forwards / seconds, 2),
            "batch_size": batching.size,
            "sessions": self._earlier.get("sessions", 0) + 1,
        }


def start_batching(classifier: Classifier, batch_size: BatchSize) -> Batching:
    """Choose the initial batch size.

    Args:
        classifier: Classifier whose device decides under ``auto``. On a GPU, `answer_blocks` chooses another size by
            the free memory if there are many images, and batches of other sizes need not have the same bits.
        batch_size: Images per forward pass, or ``auto``.

    Raises:
        BadInput: If the batch size is less than 1.
    """
    if batch_size != "auto":
        return Batching(batch_size)
    engine = classifier.engine
    by_memory = runs_ahead(engine.device) and not engine.deterministic
    return Batching(_BATCH_SIZES.get(engine.device.type, 32), most=_LARGEST_BATCH if by_memory else 0)


def answer_blocks(
    evaluator: PairEvaluator, blocks: Sequence[Pairs], batching: Batching, *, done: Callable[[int], object] = int
) -> Iterator[Int[np.ndarray, " n"]]:
    """Classify blocks of pairs; a batch never spans two blocks.

    Args:
        evaluator: From `open_evaluator`.
        blocks: Blocks of pairs to classify, each with at least one pair; a block is read only when its turn comes.
        batching: Images per forward pass; halved when a device runs out of memory. If it allows, the size of batches
            of several blocks is chosen by the free memory of a GPU.
        done: Called after each batch with its number of images.

    Yields:
        For each block, the predicted class of every pair among the classifier's own classes.

    Raises:
        BadInput: If not even a single image fits on the device, or the logits are not finite.
    """
    if batching.most and len(blocks) > 1:  # one block alone is too short to measure anything for
        _fit(evaluator, blocks[0].part(0, _TRIAL_IMAGES), batching)
    index, start, native = 0, 0, torch.empty(0)
    while index < len(blocks):
        try:
            with closing(_batches(evaluator, blocks, index, start, batching.size)) as batches:
                begun = ((length, evaluator.classifier.begin(images)) for length, images in batches)
                for length, waiting in in_flight(begun):
                    logits = waiting()
                    if start == 0:
                        native = torch.zeros(length + 1, dtype=torch.int16, device=logits.device)
                    # Predictions stay on the device until the block is finished, so that no batch waits for a
                    # transfer. They are allocated up front: small tensors that outlive the large ones allocated
                    # around them fragment the memory, which then grows throughout a long run. The last element says
                    # whether some logits were not finite, and is transferred with the others.
                    native[start : start + len(logits)] = logits.argmax(dim=1)
                    native[length] |= (~logits.amax(dim=1).isfinite()).any()
                    start += len(logits)
                    batching.forwards += len(logits)
                    done(len(logits))
                    if start == length:
                        finished = native.cpu().numpy()
                        if finished[length]:
                            raise not_finite(evaluator.classifier)
                        yield finished[:length]
                        index, start = index + 1, 0
        except torch.cuda.OutOfMemoryError:
            batching.halve(evaluator.classifier)


def _fit(evaluator: PairEvaluator, few: Pairs, batching: Batching) -> None:
    """Choose the size of the batches by the free memory of a GPU."""
    classifier = evaluator.classifier

    def classify() -> None:
        classifier(classifier.see(evaluator.composer.render(few)))

    evaluator.composer.tensors.hold(classifier.engine.device)
    batching.size = images_that_fit(classifier.engine.device, classify, len(few.rows), batching.most)
    batching.most = 0


def _batches(
    evaluator: PairEvaluator, blocks: Sequence[Pairs], index: int, start: int, size: int
) -> Generator[tuple[int, UInt8[Tensor, "n 3 h w"]], None, None]:
    """Compose the batches from pair ``start`` of block ``index`` on, each with the length of its block."""
    jobs = _jobs(blocks, index, start, size)
    classifier, composer = evaluator.classifier, evaluator.composer
    if classifier.engine.device.type != "cpu":
        composer.tensors.hold(classifier.engine.device)  # in the stream of all others that read them
        ahead = SideStream(classifier.engine.device)
        for length, pairs in jobs:
            yield length, ahead.run(lambda pairs=pairs: classifier.see(composer.render(pairs)))
        return
    side = evaluator.prepared.size
    # one canvas is being filled, one waits, one has been handed to the engine, and one is being finished by it
    canvases = [np.empty((size, 3, side, side), dtype=np.uint8) for _ in range(4)]
    work = (
        (length, classifier.see(composer.compose_into(pairs, canvases[i % 4])))
        for i, (length, pairs) in enumerate(jobs)
    )
    with closing(prefetch(work, name="bglab-compose")) as ready:
        yield from ready


def _jobs(blocks: Sequence[Pairs], index: int, start: int, size: int) -> Iterator[tuple[int, Pairs]]:
    """Split blocks into batches from pair ``start`` of block ``index`` on, each with the length of its block."""
    for number in range(index, len(blocks)):
        block = blocks[number]
        for first in range(start if number == index else 0, len(block.rows), size):
            yield len(block.rows), block.part(first, first + size)
