"""Foregrounds on backgrounds by the million: what the matrix, the first hit and the live search share.

Images are composed on the engine's device from scenes that lie there already. On a processor they are composed
into a few buffers that are used again and again, by a thread of its own while the engine works on the batch before.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.evaluation import all_logits, check_spaces, describe, run_key
from bglab.models import Batching, Classifier
from bglab.parallel import prefetch
from bglab.results import NOT_EVALUATED, PairPredictions, Protocol, Side, protocol_provenance
from bglab.scenes import PreparedScenes, SceneSet, as_prepared
from bglab.search.pair_images import PairImages, Pairs
from bglab.seeding import digest
from bglab.variants import Dataset, compose, scene_tensors

_LOG = logging.getLogger(__name__)

#: Images per forward pass to begin with. A processor gains nothing beyond; a GPU that runs out of memory halves it.
_BATCH_SIZES = {"cuda": 512, "cpu": 32, "mps": 64}

_ORIGINALS_AT_ONCE = 512
BatchSize = int | Literal["auto"]


@dataclass(frozen=True, eq=False)
class PairEvaluator:
    """A classifier with the foregrounds and backgrounds whose pairs it classifies.

    Attributes:
        classifier: Classifier of the pairs.
        composer: Composes the pairs' images.
        originals: The scenes' untouched images, row by row.
        protocol: Rules for which pairs are tried.
        foregrounds: The rows: every scene.
        backgrounds: The columns: every scene of the pool that has a background to lend.
    """

    classifier: Classifier
    composer: PairImages
    originals: Dataset
    protocol: Protocol
    foregrounds: Side
    backgrounds: Side

    @property
    def prepared(self) -> PreparedScenes:
        """Scenes that provide the pixels."""
        return self.composer.prepared

    @property
    def shape(self) -> tuple[int, int]:
        """Number of foregrounds and of backgrounds."""
        return len(self.foregrounds.ids), len(self.backgrounds.ids)

    @property
    def key(self) -> str:
        """Name for result folders: data set, precision, and any departure from the reference's protocol."""
        return "-".join(part for part in (run_key(self.classifier, self.originals), self.protocol.key) if part)

    def head(self, *, progress: bool = True) -> PairPredictions:
        """Classify the originals, and return the matrix with its cells empty."""
        return PairPredictions(
            foregrounds=self.foregrounds,
            backgrounds=self.backgrounds,
            original=self._original_answers(progress=progress),
            native=np.full(self.shape, NOT_EVALUATED, dtype=np.int16),
            space=self.originals.space,
            native_space=self.classifier.spec.space,
            classes=self.originals.classes,
            protocol=self.protocol,
            provenance=self.provenance,
        )

    def _original_answers(self, *, progress: bool) -> Int[np.ndarray, " f"]:
        """Classify the originals in parts, so that they never fill the memory all at once."""
        native = np.empty(len(self.originals), dtype=np.int16)
        with tqdm(total=len(native), desc="originals", unit="image", disable=not progress) as bar:
            for start in range(0, len(native), _ORIGINALS_AT_ONCE):
                part = _part(self.originals, start, start + _ORIGINALS_AT_ONCE)
                native[start : start + len(part)] = all_logits(self.classifier, part, progress=False).argmax(dim=1)
                self.composer.release()
                bar.update(len(part))
        return native

    def get_ready(self) -> None:
        """Let the engine do what is done once, so that it is not counted as speed."""
        self.classifier.engine.get_ready(self.prepared.size, self.prepared.size)

    @property
    def provenance(self) -> dict[str, Any]:
        """Provenance of the matrix, without anything that depends on time."""
        described = describe(self.classifier, self.originals)
        return described | {
            "dataset": self.key,
            "variant": "pairs",
            "rule": "the object, cut out by its mask, on the background tiled over its box",
            "space": self.originals.space,
            "native_space": self.classifier.spec.space,
            "protocol": protocol_provenance(self.protocol),
            "foregrounds": _side_digest(self.foregrounds),
            "backgrounds": _side_digest(self.backgrounds),
        }


def open_evaluator(
    classifier: Classifier,
    scenes: SceneSet | PreparedScenes | str,
    protocol: Protocol | None = None,
    *,
    size: int = 224,
    progress: bool = True,
) -> PairEvaluator:
    """Combine a classifier with foregrounds and backgrounds.

    Args:
        classifier: From `load_classifier`.
        scenes: A set, its prepared form, or a URI for `open_scenes`.
        protocol: Which pairs to try; None is the reference's challenge.
        size: Side of the images in pixels; ignored for prepared scenes.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If classifier and scenes have no classes in common, or no scene lends a background.
    """
    chosen = protocol or Protocol()
    prepared = as_prepared(scenes, size, progress=progress)
    originals = compose(prepared, "original")
    check_spaces(classifier, originals)
    records = prepared.scenes.records
    lends = np.flatnonzero(prepared.has_plate)
    every = _side([records[i] for i in lends])
    kept = chosen.in_pool(every.ids, every.labels)
    if not kept.any():
        raise BadInput(
            f"expected backgrounds to search in {prepared.scenes.name}, but none of its {len(records)} scenes lends "
            "one under this protocol; add scenes or widen the pool"
        )
    return PairEvaluator(
        classifier=classifier,
        composer=PairImages(prepared, lends[kept], classifier.engine.device, scene_tensors(prepared)),
        originals=originals,
        protocol=chosen,
        foregrounds=_side(records),
        backgrounds=_side([records[i] for i in lends[kept]]),
    )


def _part(dataset: Dataset, start: int, stop: int) -> Dataset:
    """Return the rows of a data set from ``start`` to before ``stop``."""
    place = np.arange(len(dataset))[start:stop]
    return replace(
        dataset, rows=dataset.rows[start:stop], images=lambda wanted, device: dataset.images(place[wanted], device)
    )


def _side(records: Sequence[Any]) -> Side:
    return Side(
        ids=tuple(record.id for record in records),
        labels=np.array([record.label for record in records], dtype=np.int64),
        native_labels=np.array([record.native_label for record in records], dtype=np.int64),
    )


def _side_digest(side: Side) -> str:
    return digest([f"{scene} {label}" for scene, label in zip(side.ids, side.labels, strict=True)])


class Clock:
    """What a run takes, together with the runs it goes on from.

    Args:
        earlier: What those noted.
    """

    def __init__(self, earlier: Mapping[str, Any]) -> None:
        self._earlier = earlier
        self._started = time.perf_counter()

    def note(self, batching: Batching) -> dict[str, Any]:
        """Return duration, forward passes and speed, over all sessions."""
        seconds = self._earlier.get("seconds", 0.0) + time.perf_counter() - self._started
        forwards = self._earlier.get("forwards", 0) + batching.forwards
        return {
            "seconds": round(seconds, 3),
            "forwards": forwards,
            "images_per_s": round(forwards / seconds, 2),
            "batch_size": batching.size,
            "sessions": self._earlier.get("sessions", 0) + 1,
        }


def start_batching(classifier: Classifier, batch_size: BatchSize) -> Batching:
    """Choose the batch to begin with.

    Raises:
        BadInput: If it is less than one.
    """
    if batch_size == "auto":
        return Batching(_BATCH_SIZES.get(classifier.engine.device.type, 32))
    return Batching(batch_size)


def answer_blocks(
    evaluator: PairEvaluator, blocks: Sequence[Pairs], batching: Batching, *, done: Callable[[int], object] = int
) -> Iterator[Int[np.ndarray, " n"]]:
    """Classify blocks of pairs; a batch never spans two blocks.

    Args:
        evaluator: From `open_evaluator`.
        blocks: Pairs to classify, at least one per block; a block is read when its turn comes.
        batching: Images per forward pass.
        done: Called with the number of images of each batch.

    Yields:
        The native predictions of one block.

    Raises:
        BadInput: If not even a single image fits on the device.
    """
    index, start, native = 0, 0, torch.empty(0)
    while index < len(blocks):
        try:
            with closing(_batches(evaluator, blocks, index, start, batching.size)) as batches:
                for length, images in batches:
                    if start == 0:
                        native = torch.empty(length, dtype=torch.int16, device=evaluator.classifier.engine.device)
                    # Answers stay on the device until the block is finished, so that nothing waits in between. They
                    # have their place from the start: small results kept among large ones that come and go make the
                    # memory of a long run grow without end.
                    native[start : start + len(images)] = evaluator.classifier(images).argmax(dim=1)
                    start += len(images)
                    batching.forwards += len(images)
                    done(len(images))
                    if start == length:
                        yield native.cpu().numpy()
                        index, start = index + 1, 0
        except torch.cuda.OutOfMemoryError:
            batching.halve(evaluator.classifier)


def _batches(
    evaluator: PairEvaluator, blocks: Sequence[Pairs], index: int, start: int, size: int
) -> Generator[tuple[int, UInt8[Tensor, "n 3 h w"]], None, None]:
    """Compose batches from one pair on, each with the length of its block; on a processor one ahead."""
    jobs = _jobs(blocks, index, start, size)
    if evaluator.classifier.engine.device.type != "cpu":
        yield from ((length, evaluator.composer.render(pairs)) for length, pairs in jobs)
        return
    side = evaluator.prepared.size
    # one canvas is being filled, one waits, one is with the engine
    canvases = [np.empty((size, 3, side, side), dtype=np.uint8) for _ in range(3)]
    work = ((length, evaluator.composer.compose_into(pairs, canvases[i % 3])) for i, (length, pairs) in enumerate(jobs))
    with closing(prefetch(work, name="bglab-compose")) as ready:
        yield from ready


def _jobs(blocks: Sequence[Pairs], index: int, start: int, size: int) -> Iterator[tuple[int, Pairs]]:
    """Cut blocks into batches, from one pair on, each with the length of its block."""
    for number in range(index, len(blocks)):
        block = blocks[number]
        for first in range(start if number == index else 0, len(block.rows), size):
            yield len(block.rows), block.part(first, first + size)
