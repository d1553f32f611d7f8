"""Predictions for variants made at full resolution, the protocol of Time for a Background Check!

All variants of a set are made in one pass over the photographs, then resized and cropped as the network was evaluated.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.evaluation.crop_cache import cache_crops, cached_blocks
from bglab.evaluation.tabulate import PredictionWriter
from bglab.files import sha256_of
from bglab.images import EvaluationTransform
from bglab.models import Batching, Classifier, classify_batches
from bglab.parallel import prefetch
from bglab.results import prediction_file, read_provenance
from bglab.variants import (
    Block,
    DatasetRow,
    FullScenes,
    Variant,
    expand,
    full_dataset,
    region_of,
    stream,
)

if TYPE_CHECKING:
    import pandas as pd

#: Maximum number of images per forward pass on a CPU: larger batches are no faster there and take hundreds of MB.
_PROCESSOR_BATCH = 16


def stream_predictions(
    classifier: Classifier, writers: Sequence[PredictionWriter], batch_size: int, *, progress: bool
) -> list[pd.DataFrame]:
    """Classify data sets at full resolution; those of the same scenes and region share one pass.

    Args:
        classifier: From `load_classifier`.
        writers: One per data set, all at full resolution.
        batch_size: Images per forward pass, at most 16 on a CPU; halved when a device runs out of memory.
        progress: Whether to show a progress bar.

    Returns:
        Prediction tables, in the order of the writers.
    """
    passes: dict[tuple[int, str, int], list[PredictionWriter]] = {}
    seen: Counter[tuple[int, str]] = Counter()
    for writer in writers:
        full, variant = id(writer.dataset.full), writer.dataset.variant
        # a pass tells variants apart by name, so a second one of the same name has a pass of its own
        passes.setdefault((full, region_of(variant), seen[full, variant.name]), []).append(writer)
        seen[full, variant.name] += 1
    tables: dict[int, pd.DataFrame] = {}
    for together in passes.values():
        made = _one_pass(classifier, together, batch_size, progress=progress)
        tables |= {id(writer): table for writer, table in zip(together, made, strict=True)}
    return [tables[id(writer)] for writer in writers]


def _one_pass(
    classifier: Classifier, writers: Sequence[PredictionWriter], batch_size: int, *, progress: bool
) -> list[pd.DataFrame]:
    """Classify variants of one region in one pass over their scenes."""
    full, transform = writers[0].dataset.full, classifier.spec.transform
    assert full is not None, "only full-resolution data sets have it"
    variants = [writer.dataset.variant for writer in writers]
    by_name = {writer.dataset.variant.name: writer for writer in writers}
    classifier.engine.get_ready(transform.size, transform.size, len(full.by_box) * len(variants))
    started = time.perf_counter()
    title, total = f"{classifier.spec.name} · {len(variants)} variants", len(full.by_box) * len(variants)
    with tqdm(total=total, desc=title, unit="image", disable=not progress) as bar:
        for block, found in stream_logits(classifier, full, variants, batch_size):
            for name, donors, logits in zip(block.variants, block.donors, found, strict=True):
                rows = zip(block.records, donors, strict=True)
                images = [DatasetRow(r.id, donor, r.label, r.native_label) for r, donor in rows]
                by_name[name].add(images, logits, block.rejected)
            bar.update(block.crops.shape[0] * (block.crops.shape[1] + len(block.rejected)))
    elapsed_s = time.perf_counter() - started
    speed = sum(writer.count for writer in writers) / elapsed_s
    return [writer.finish(elapsed_s, speed) for writer in writers]


def finished(
    results: Path | str, model: str, full: FullScenes, variants: Sequence[str | Variant], *, precision: str = "float32"
) -> frozenset[str]:
    """Return the variants for which a model's predictions are stored, without loading its weights.

    Args:
        results: Results folder.
        model: URI as given to `load_classifier`.
        full: From `bglab.variants.open_full`.
        variants: Names out of `bglab.variants.STREAMED`, or variants.
        precision: Precision of the engine's arithmetic.

    Returns:
        Names of the stored variants; each draw of a random variant has its own name.
    """
    found = []
    for variant in expand(variants, full.settings):
        key = full_dataset(full, variant).key
        key = key if precision == "float32" else f"{key}-{precision}"
        stored = read_provenance(prediction_file(Path(results), key, model, variant.name))
        if stored.get("transform") and stored.get("model") == model and _is_same_file(model, stored):
            transform = EvaluationTransform(**stored["transform"] | {"mean": tuple(stored["transform"]["mean"])})
            found += [variant.name] if stored.get("pixels") == full.definition(variant, transform) else []
    return frozenset(found)


def _is_same_file(model: str, stored: Mapping[str, Any]) -> bool:
    """Check that a checkpoint is the file that stored predictions were made with; weights of libraries do not change.

    A network may have been trained again, or its mean and standard deviation corrected, under the same path.
    """
    source, _, path = model.partition(":")
    if source != "file":
        return True
    path = path.partition("?")[0]
    return Path(path).is_file() and stored.get("file_sha256") == sha256_of(Path(path))[:16]


def _batching(classifier: Classifier, wanted: int) -> Batching:
    return Batching(min(wanted, _PROCESSOR_BATCH) if classifier.engine.device.type == "cpu" else wanted)


def blocks(
    full: FullScenes, variants: Sequence[Variant], transform: EvaluationTransform, batch_size: int
) -> Iterator[Block]:
    """Yield the blocks of all variants: first those with cached crops, then the others, decoded ahead of use."""
    cached, missing = [], list(variants)
    if full.settings.keep_crops:
        cached = [(v, found) for v in variants if (found := cached_blocks(full, v, transform, batch_size)) is not None]
        missing = [v for v in variants if v.name not in {variant.name for variant, _ in cached}]
    for _, found in cached:
        yield from found
    if missing:
        fresh = stream(full, missing, transform, block_size=max(1, batch_size // len(missing)))
        yield from prefetch(cache_crops(full, missing, transform, fresh) if full.settings.keep_crops else fresh)


def stream_logits(
    classifier: Classifier, full: FullScenes, variants: Sequence[Variant], batch_size: int
) -> Iterator[tuple[Block, Float[np.ndarray, "v n c"]]]:
    """Make variants and classify them, block by block; the next blocks are made while the engine works on one.

    Args:
        classifier: From `load_classifier`.
        full: From `bglab.variants.open_full`.
        variants: From `bglab.variants.expand`; all cut out boxes, or all cut out masks.
        batch_size: Images per forward pass, at most 16 on a CPU; halved when a device runs out of memory.

    Yields:
        A block and the logits of its images.

    Raises:
        BadInput: If a single image does not fit on the device.
    """
    batching = _batching(classifier, batch_size)
    for block in blocks(full, variants, classifier.spec.transform, batching.size):
        yield block, _logits(classifier, block, batching)


def _logits(classifier: Classifier, block: Block, batching: Batching) -> Float[np.ndarray, "v n c"]:
    """Compute the logits of all images of a block; batches may span variants."""
    images = torch.from_numpy(block.crops).flatten(0, 1)
    if not len(images):
        return np.zeros((*block.crops.shape[:2], len(classifier.classes)), np.float32)
    logits = torch.cat(list(classify_batches(classifier, lambda part: images[part], len(images), batching)))
    return logits.numpy().reshape(*block.crops.shape[:2], -1)


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
    batch = _batching(classifier, batch_size).size
    classifier.engine.get_ready(transform.size, transform.size, len(full.by_box) * len(chosen))
    turns = np.zeros((3, 2))
    for ids in np.array_split(np.array(full.by_box.ids, dtype=object), min(rounds, len(full.by_box))):
        part = full.select(ids.tolist())

        def fresh(part: FullScenes = part) -> Iterator[Block]:
            return stream(part, chosen, transform, block_size=max(1, batch // len(chosen)))

        block, decoding = _timed(fresh())
        again = [block] * -(-int(decoding[0]) // max(1, _images(block)))
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
    for block in given:
        _logits(classifier, block, Batching(batch_size))
        yield block


def _images(block: Block) -> int:
    return block.crops.shape[0] * block.crops.shape[1]


def _timed(given: Iterator[Block]) -> tuple[Block, tuple[int, float]]:
    """Consume blocks; return the largest one, the number of images, and the duration in seconds."""
    started = time.perf_counter()
    count, largest = 0, None
    for block in given:
        count += _images(block)
        if largest is None or _images(block) > _images(largest):
            largest = block
    if largest is None:
        raise BadInput("expected scenes to measure the speed on, got none; open a set that has some")
    return largest, (count, time.perf_counter() - started)
