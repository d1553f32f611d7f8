"""Predictions for variants made at full resolution, the protocol of Time for a Background Check!

All variants of a set are made in one pass over the photographs, then resized and cropped as the network was evaluated.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from jaxtyping import Float

from bglab.errors import MissingData
from bglab.evaluation.crop_cache import cache_crops, cached_blocks
from bglab.evaluation.parts import compute_tables
from bglab.evaluation.tabulate import PredictionWriter, encode_predictions, tabulate
from bglab.executors import current
from bglab.files import sha256_of
from bglab.images import EvaluationTransform
from bglab.labels import DecisionRule
from bglab.locations import place_of
from bglab.models import Batching, Classifier, classify_batches, finite_logits
from bglab.parallel import in_flight, prefetch
from bglab.results import PREDICTION_SCHEMA, prediction_file, read_provenance, table_blocks
from bglab.scenes import Rejection, SceneSet
from bglab.variants import (
    Block,
    Dataset,
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
#: Number of scenes whose logits are collected before they become rows: a few megabytes per variant.
_HELD = 1024


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
    full = writers[0].dataset.full
    assert full is not None, "only full-resolution data sets have it"
    if current().is_remote:  # crops are kept where they are made, which is elsewhere
        full = replace(full, settings=replace(full.settings, keep_crops=False))
    photographs = next((record.files for record in full.by_box.records), ())
    first = next((file for file in photographs if file.exists()), None)
    job = _StreamedJob(classifier, full, tuple(w.dataset for w in writers), batch_size, writers[0].rule, first)
    title, total = f"{classifier.spec.name} · {len(writers)} variants", len(full.by_box) * len(writers)
    files = [writer.files for writer in writers]
    made = compute_tables(job, job.blocks(), files, PREDICTION_SCHEMA, title=title, total=total, progress=progress)
    return [
        writer.finish(parts, made.seconds, made.images_per_s)
        for writer, parts in zip(writers, made.tables, strict=True)
    ]


@dataclass(frozen=True, eq=False)
class _StreamedJob:
    """Makes variants of blocks of scenes at full resolution and classifies them.

    Attributes:
        classifier: Classifier of the images.
        full: The scenes.
        datasets: One per variant; all cut out boxes, or all cut out masks.
        batch_size: Images per forward pass.
        rule: How ImageNet logits are mapped to nine classes.
        first: A photograph that is there; None if the first one is not.
    """

    classifier: Classifier
    full: FullScenes
    datasets: tuple[Dataset, ...]
    batch_size: int
    rule: DecisionRule
    first: Path | None

    @property
    def variants(self) -> list[Variant]:
        """Variants of the data sets."""
        return [dataset.variant for dataset in self.datasets]

    @property
    def scenes(self) -> SceneSet:
        """Scenes with the foregrounds that the variants cut out."""
        return self.full.scenes(region_of(self.variants[0]))

    @property
    def scenes_at_once(self) -> int:
        """Number of scenes whose variants make a batch."""
        return max(1, stream_batching(self.classifier, self.batch_size).size // len(self.datasets))

    def blocks(self) -> list[range]:
        """Divide the scenes; crops are kept for all of them at once."""
        count = len(self.scenes)
        return [range(count)] if self.full.settings.keep_crops else table_blocks(count, self.scenes_at_once)

    def get_ready(self) -> None:
        """Initialise the engine for this number of images; a worker looks for the photographs first.

        Raises:
            MissingData: If they are not there: all would be skipped as unusable.
        """
        if self.first is not None and not self.first.exists():
            raise MissingData(
                f"expected the photographs of {self.full.name} on every node, but there is no {self.first}; put them "
                "on a disk that the nodes share, under the same path"
            )
        size = self.classifier.spec.transform.size
        self.classifier.engine.get_ready(size, size, len(self.full.by_box) * len(self.datasets))

    def run(self, blocks: Sequence[range], done: Callable[[int], object]) -> Iterator[tuple[bytes, ...]]:
        """Encode the predictions of each variant for each block; one is decoded while the one before it is computed."""
        if self.full.settings.keep_crops:
            rows = _Rows(self)
            for crops, logits in stream_logits(self.classifier, self.full, self.variants, self.batch_size):
                rows.add(crops, logits)
                done(crops.image_count)
            yield rows.encode()
            return
        batching = stream_batching(self.classifier, self.batch_size)
        rows = _Rows(self)
        with closing(prefetch(self._made(blocks))) as ready:
            begun = ((crops, crops and begin_block(self.classifier, crops, batching)) for crops in ready)
            for crops, waiting in in_flight(begun):
                if crops is None or waiting is None:
                    yield rows.encode()
                    rows = _Rows(self)
                else:
                    rows.add(crops, waiting())
                    done(crops.image_count)

    def _made(self, blocks: Sequence[range]) -> Iterator[Block | None]:
        """Make the crops of some blocks; None comes after the last ones of each."""
        scenes, transform = self.scenes, self.classifier.spec.transform
        for block in blocks:
            part = self.full.select(scenes.ids[block.start : block.stop])
            yield from stream(part, self.variants, transform, block_size=self.scenes_at_once)
            yield None

    def name(self, block: range) -> str:
        """Name the scenes of a block."""
        return f"scenes {block.start} to {block.stop - 1} of {self.full.name}"


class _Rows:
    """Predictions for the crops of some scenes, which become rows while logits of only a few are held."""

    def __init__(self, job: _StreamedJob) -> None:
        self._job = job
        self._tables: dict[str, list[pd.DataFrame]] = {variant.name: [] for variant in job.variants}
        self._rejected: dict[str, list[Rejection]] = {variant.name: [] for variant in job.variants}
        self._held: list[tuple[Block, Float[np.ndarray, "v n c"]]] = []

    def add(self, crops: Block, logits: Float[np.ndarray, "v n c"]) -> None:
        """Add crops, of some of the variants, with their logits."""
        self._held.append((crops, logits))
        if sum(len(block.records) for block, _ in self._held) >= _HELD:
            self._tabulate()

    def encode(self) -> tuple[bytes, ...]:
        """Encode the rows of each variant."""
        self._tabulate()
        return tuple(
            encode_predictions(self._tables[name], self._rejected[name])
            for name in (variant.name for variant in self._job.variants)
        )

    def _tabulate(self) -> None:
        for dataset in self._job.datasets:
            name = dataset.variant.name
            found = [
                (block, logits, block.variants.index(name)) for block, logits in self._held if name in block.variants
            ]
            self._rejected[name] += [rejection for block, _, _ in found for rejection in block.rejected]
            rows = [
                DatasetRow(record.id, donor, record.label, record.native_label)
                for block, _, i in found
                for record, donor in zip(block.records, block.donors[i], strict=True)
            ]
            if rows:
                shown = replace(dataset, rows=tuple(rows))
                logits = np.concatenate([logits[i] for _, logits, i in found])
                self._tables[name].append(tabulate(self._job.classifier, shown, logits, self._job.rule))
        self._held = []


def finished(
    results: Path | str, model: str, full: FullScenes, variants: Sequence[str | Variant], *, precision: str = "float32"
) -> frozenset[str]:
    """Return the variants for which a model's predictions are stored, without loading its weights.

    Args:
        results: Results folder, or its URL.
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
        stored = read_provenance(prediction_file(place_of(results), key, model, variant.name))
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


def stream_batching(classifier: Classifier, wanted: int) -> Batching:
    """Return the batch size of streaming: at most 16 on a CPU.

    Args:
        classifier: From `load_classifier`.
        wanted: Images per forward pass.
    """
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
    batching = stream_batching(classifier, batch_size)
    made = blocks(full, variants, classifier.spec.transform, batching.size)
    for block, waiting in in_flight((block, begin_block(classifier, block, batching)) for block in made):
        yield block, waiting()


def begin_block(classifier: Classifier, block: Block, batching: Batching) -> Callable[[], Float[np.ndarray, "v n c"]]:
    """Begin to compute the logits of a block, and return a function that waits for them.

    The engine begins with the next block before this one is waited for, so its cores are never idle.

    Args:
        classifier: From `load_classifier`.
        block: Crops of some scenes.
        batching: Images per forward pass; halved when a device runs out of memory.
    """
    images = torch.from_numpy(block.crops).flatten(0, 1)
    try:
        waiting = classifier.begin(images) if 0 < len(images) <= batching.size else None
    except torch.cuda.OutOfMemoryError:
        waiting = None

    def finish() -> Float[np.ndarray, "v n c"]:
        if waiting is not None:
            with contextlib.suppress(torch.cuda.OutOfMemoryError):
                logits = finite_logits(classifier, waiting().cpu())
                return logits.numpy().reshape(*block.crops.shape[:2], -1)
        return _logits(classifier, block, batching)

    return finish


def _logits(classifier: Classifier, block: Block, batching: Batching) -> Float[np.ndarray, "v n c"]:
    """Compute the logits of all images of a block; batches may span variants."""
    images = torch.from_numpy(block.crops).flatten(0, 1)
    if not len(images):
        return np.zeros((*block.crops.shape[:2], len(classifier.classes)), np.float32)
    logits = torch.cat(list(classify_batches(classifier, lambda part: images[part], len(images), batching)))
    return logits.numpy().reshape(*block.crops.shape[:2], -1)
