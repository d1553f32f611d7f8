"""Classify photographs whose variants are made at full resolution, as Time for a Background Check! does.

All variants of a set are made in one pass over the photographs; each network sees them through its own resize and crop.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.evaluation.crop_cache import keeping, kept_blocks
from bglab.evaluation.tabulate import PredictionWriter
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

#: Most images per forward pass on a processor: more are no faster there and take hundreds of megabytes.
_PROCESSOR_BATCH = 16


def stream_predictions(
    classifier: Classifier, writers: Sequence[PredictionWriter], batch_size: int, *, progress: bool
) -> list[pd.DataFrame]:
    """Classify data sets at full resolution; those of the same scenes and region share one pass.

    Args:
        classifier: From `load_classifier`.
        writers: One per data set; all have `Dataset.full`.
        batch_size: Images per forward pass, at most 16 on a processor; halved when a device runs out of memory.
        progress: Show a bar.

    Returns:
        The tables, in the order of the writers.
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
    batching = _batching(classifier, batch_size)
    classifier.engine.get_ready(transform.size, transform.size)
    started = time.perf_counter()
    title, total = f"{classifier.spec.name} · {len(variants)} variants", len(full.by_box) * len(variants)
    with tqdm(total=total, desc=title, unit="image", disable=not progress) as bar:
        for block in blocks(full, variants, transform, batching.size):
            for name, donors, logits in zip(
                block.variants, block.donors, _logits(classifier, block, batching), strict=True
            ):
                rows = zip(block.records, donors, strict=True)
                found = [DatasetRow(r.id, donor, r.label, r.native_label) for r, donor in rows]
                by_name[name].add(found, logits, block.rejected)
            bar.update(block.crops.shape[0] * (block.crops.shape[1] + len(block.rejected)))
    elapsed_s = time.perf_counter() - started
    speed = sum(writer.count for writer in writers) / elapsed_s
    return [writer.finish(elapsed_s, speed) for writer in writers]


def finished(
    results: Path | str, model: str, full: FullScenes, variants: Sequence[str | Variant], *, precision: str = "float32"
) -> frozenset[str]:
    """Return which variants and draws of a model are stored in the results, without loading its weights.

    Args:
        results: Folder of results.
        model: URI as given to `load_classifier`.
        full: From `open_full`.
        variants: As for `run_grid`.
        precision: Precision of the engine's arithmetic.
    """
    found = []
    for variant in expand(variants, full.settings):
        key = full_dataset(full, variant).key
        key = key if precision == "float32" else f"{key}-{precision}"
        stored = read_provenance(prediction_file(Path(results), key, model, variant.name))
        if stored.get("transform") and stored.get("model") == model:
            transform = EvaluationTransform(**stored["transform"] | {"mean": tuple(stored["transform"]["mean"])})
            found += [variant.name] if stored.get("pixels") == full.definition(variant, transform) else []
    return frozenset(found)


def _batching(classifier: Classifier, wanted: int) -> Batching:
    return Batching(min(wanted, _PROCESSOR_BATCH) if classifier.engine.device.type == "cpu" else wanted)


def blocks(
    full: FullScenes, variants: Sequence[Variant], transform: EvaluationTransform, batch_size: int
) -> Iterator[Block]:
    """Yield the blocks of all variants, prefetched: cached crops first, then those that must be decoded."""
    here, missing = [], list(variants)
    if full.settings.keep_crops:
        here = [(v, found) for v in variants if (found := kept_blocks(full, v, transform, batch_size)) is not None]
        missing = [v for v in variants if v.name not in {kept.name for kept, _ in here}]
    for _, found in here:
        yield from found
    if missing:
        fresh = stream(full, missing, transform, block_size=max(1, batch_size // len(missing)))
        yield from prefetch(keeping(full, missing, transform, fresh) if full.settings.keep_crops else fresh)


def _logits(classifier: Classifier, block: Block, batching: Batching) -> Float[np.ndarray, "v n c"]:
    """Classify a block, all its variants in full batches."""
    images = torch.from_numpy(block.crops).flatten(0, 1)
    if not len(images):
        return np.zeros((*block.crops.shape[:2], len(classifier.classes)), np.float32)
    logits = torch.cat(list(classify_batches(classifier, lambda part: images[part], len(images), batching)))
    return logits.numpy().reshape(*block.crops.shape[:2], -1)


class StreamSpeed(NamedTuple):
    """Throughput of streaming in images per second, all measured in one run.

    Attributes:
        decoded: Decoding, variants and crops alone.
        forward: The network alone, on finished crops.
        streamed: Both together, as an evaluation runs them.
        attainable: The most that both together can reach: the smaller of the two where the network has a device of
            its own; ``1 / (1 / decoded + 1 / forward)`` where both share one processor.
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
    """Measure how fast scenes stream through a classifier, against decoding alone and the network alone.

    The three take turns on the same scenes, so that whatever else the machine does slows all of them alike.

    Args:
        classifier: What to stream to.
        full: From `open_full`; crops that are kept already are not used.
        variants: What to make of each scene.
        batch_size: Images per forward pass.
        rounds: Parts into which the set is cut for the turns.
    """
    chosen, transform = expand(variants, full.settings), classifier.spec.transform
    batch = _batching(classifier, batch_size).size
    classifier.engine.get_ready(transform.size, transform.size)
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
    return StreamSpeed(decoded, alone, streamed, 1 / (1 / decoded + 1 / alone) if shared else min(decoded, alone))


def _classified(classifier: Classifier, given: Iterable[Block], batch_size: int) -> Iterator[Block]:
    for block in given:
        _logits(classifier, block, Batching(batch_size))
        yield block


def _images(block: Block) -> int:
    return block.crops.shape[0] * block.crops.shape[1]


def _timed(given: Iterator[Block]) -> tuple[Block, tuple[int, float]]:
    """Run through blocks; give the largest one, how many images there were, and the seconds."""
    started = time.perf_counter()
    count, largest = 0, None
    for block in given:
        count += _images(block)
        if largest is None or _images(block) > _images(largest):
            largest = block
    if largest is None:
        raise BadInput("expected scenes to measure the speed on, got none; open a set that has some")
    return largest, (count, time.perf_counter() - started)
