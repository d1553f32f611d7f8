"""Evaluate a network as Time for a Background Check! does: photographs at full resolution, its own resize and crop."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.evaluation.crop_cache import keeping, kept_blocks
from bglab.evaluation.predict import check_spaces, describe, tabulate
from bglab.images import EvaluationTransform
from bglab.models import Classifier
from bglab.parallel import prefetch
from bglab.results import prediction_file, read_predictions_file, read_provenance, write_predictions
from bglab.scenes import Rejection
from bglab.variants import Block, Dataset, DatasetRow, FullScenes, Variant, expand, region_of, stream

_LOG = logging.getLogger(__name__)

#: What must agree for a kept result to stand in for a new run.
_IDENTITY = ("weights_sha256", "pixels", "engine", "precision")

#: Most images a forward pass on a processor: more are no faster there and take hundreds of megabytes.
_PROCESSOR_BATCH = 16

#: Images a variant holds as logits before they become rows: a few megabytes.
_HELD = 1024


def evaluate(
    classifier: Classifier,
    full: FullScenes,
    variants: Sequence[str | Variant],
    *,
    results: Path | str | None = None,
    batch_size: int = 64,
    progress: bool = True,
) -> dict[str, pd.DataFrame]:
    """Classify variants made at full resolution, all of them in one pass over the photographs.

    Args:
        classifier: From `load_classifier`; the images are resized and cropped as its weights were evaluated.
        full: From `bglab.variants.open_full`.
        variants: Names out of `bglab.variants.STREAMED`; random ones are drawn ``full.settings.draws`` times.
        results: Folder to keep the tables in; a kept table of the same weights and pixels is read instead.
        batch_size: Images a forward pass, at most 16 on a processor; halved when a device runs out of memory.
        progress: Show a bar.

    Returns:
        For each variant and draw (``on_texture``, ``on_texture~1``, …) one row per image with the columns of
        `results.PREDICTION_SCHEMA`; how it was made, and which images could not be used, is in ``.attrs``.

    Raises:
        BadInput: If classifier and scenes have no classes in common, or no image can be used.
    """
    wanted = expand(variants, full.settings)
    templates = {variant.name: template(full, variant, classifier.spec.transform) for variant in wanted}
    check_spaces(classifier, next(iter(templates.values())))
    tables: dict[str, pd.DataFrame] = {}
    for variant in wanted if results is not None else ():
        kept = _kept(Path(results or ""), classifier, templates[variant.name])
        if kept is not None:
            tables[variant.name] = kept
    batch = _batch(classifier, batch_size)
    for region in ("box", "mask"):
        missing = [v for v in wanted if v.name not in tables and region_of(v) == region]
        if missing:
            tables |= _run(classifier, full, missing, templates, results, batch, progress=progress)
    return {variant.name: tables[variant.name] for variant in wanted}


def template(full: FullScenes, variant: Variant, transform: EvaluationTransform) -> Dataset:
    """Describe the images of one variant as a data set that has no rows yet."""

    def images(positions: object, device: object) -> UInt8[Tensor, "n 3 h w"]:
        raise BadInput("expected streamed images to be evaluated as they come; compose a data set to index it")

    scenes = full.by_box
    return Dataset(
        name=full.name,
        variant=variant,
        space=scenes.space,
        classes=scenes.classes,
        rows=(),
        size=224,  # part of the key: networks of every input size share one data set, whose images are full size
        seed=full.settings.seed,
        published=False,
        fingerprint=scenes.fingerprint,
        digest=full.definition(variant, transform),
        rejected=(),
        images=images,
    )


def finished(
    results: Path | str, model: str, full: FullScenes, variants: Sequence[str | Variant], *, precision: str = "float32"
) -> frozenset[str]:
    """Say which variants and draws of a model lie in the results, without loading its weights.

    Args:
        results: Folder of results.
        model: URI as given to `load_classifier`.
        full: From `open_full`.
        variants: As for `evaluate`.
        precision: Of the engine's arithmetic.
    """
    found = []
    for variant in expand(variants, full.settings):
        dataset = template(full, variant, EvaluationTransform())
        key = dataset.key if precision == "float32" else f"{dataset.key}-{precision}"
        kept = read_provenance(prediction_file(Path(results), key, model, variant.name))
        if kept.get("transform") and kept.get("model") == model:
            transform = EvaluationTransform(**kept["transform"] | {"mean": tuple(kept["transform"]["mean"])})
            found += [variant.name] if kept.get("pixels") == full.definition(variant, transform) else []
    return frozenset(found)


def _batch(classifier: Classifier, wanted: int) -> int:
    if wanted < 1:
        raise BadInput(f"expected a batch size of at least 1, got {wanted}")
    return min(wanted, _PROCESSOR_BATCH) if classifier.engine.device.type == "cpu" else wanted


def _kept(results: Path, classifier: Classifier, dataset: Dataset) -> pd.DataFrame | None:
    """Give the table kept from an earlier run if it was made from the same pixels and weights."""
    wanted = describe(classifier, dataset)
    path = prediction_file(results, wanted["dataset"], classifier.spec.id, dataset.variant.name)
    kept = read_provenance(path)
    differing = [name for name in _IDENTITY if kept.get(name) != wanted[name]]
    if kept and differing:
        _LOG.warning("evaluating again, since %s was made with another %s", path, ", ".join(differing))
    if not kept or differing:
        return None
    table = read_predictions_file(path)
    table.attrs.update(kept)
    return table


def _run(
    classifier: Classifier,
    full: FullScenes,
    variants: Sequence[Variant],
    templates: dict[str, Dataset],
    results: Path | str | None,
    batch_size: int,
    *,
    progress: bool,
) -> dict[str, pd.DataFrame]:
    """Evaluate variants of one region in one pass, and write each one's table."""
    transform = classifier.spec.transform
    classifier.engine.get_ready(transform.size, transform.size)
    collectors = {v.name: _Collector(classifier, templates[v.name]) for v in variants}
    started = time.perf_counter()
    title = f"{classifier.spec.name} · {len(variants)} variants"
    total = len(full.by_box) * len(variants)
    with tqdm(total=total, desc=title, unit="image", disable=not progress) as bar:
        for block in blocks(full, variants, transform, batch_size):
            for name, logits in zip(block.variants, _answers(classifier, block, batch_size), strict=True):
                collectors[name].add(block, logits)
            bar.update(block.crops.shape[0] * (block.crops.shape[1] + len(block.rejected)))
    elapsed_s = time.perf_counter() - started
    speed = round(sum(c.count for c in collectors.values()) / elapsed_s, 2)
    return {name: _finish(c, full, results, elapsed_s, speed) for name, c in collectors.items()}


def blocks(
    full: FullScenes, variants: Sequence[Variant], transform: EvaluationTransform, batch_size: int
) -> Iterator[Block]:
    """Give the blocks of all variants, a step ahead of who asks: kept crops first, then what must be decoded."""
    here, missing = [], list(variants)
    if full.settings.keep_crops:
        here = [(v, found) for v in variants if (found := kept_blocks(full, v, transform, batch_size)) is not None]
        missing = [v for v in variants if v.name not in {kept.name for kept, _ in here}]
    for _, found in here:
        yield from found
    if missing:
        fresh = stream(full, missing, transform, block_size=max(1, batch_size // len(missing)))
        yield from prefetch(keeping(full, missing, transform, fresh) if full.settings.keep_crops else fresh)


def _answers(classifier: Classifier, block: Block, batch_size: int) -> Float[np.ndarray, "v n c"]:
    """Classify a block, all its variants in full batches."""
    images = torch.from_numpy(block.crops).flatten(0, 1)
    if not len(images):
        return np.zeros((*block.crops.shape[:2], len(classifier.classes)), np.float32)
    logits = torch.cat([_logits(classifier, batch) for batch in images.split(batch_size)])
    return logits.numpy().reshape(*block.crops.shape[:2], -1)


def _logits(classifier: Classifier, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
    """Classify a batch; on a device that runs out of memory, in halves."""
    try:
        return classifier(images).cpu()
    except torch.cuda.OutOfMemoryError:
        if len(images) == 1:
            raise BadInput(
                f"expected {classifier.spec.id} to fit on {classifier.engine.device}, but a single image runs out "
                "of its memory; use --device cpu"
            ) from None
    torch.cuda.empty_cache()
    return torch.cat([_logits(classifier, half) for half in images.split(-(-len(images) // 2))])


class _Collector:
    """Gathers the rows of one variant as they come; logits become rows early, so that memory stays small."""

    def __init__(self, classifier: Classifier, dataset: Dataset) -> None:
        self.classifier = classifier
        self.dataset = dataset
        self.rejected: list[Rejection] = []
        self.count = 0
        self._rows: list[DatasetRow] = []
        self._logits: list[Float[np.ndarray, "n c"]] = []
        self._tables: list[pd.DataFrame] = []

    def add(self, block: Block, logits: Float[np.ndarray, "n c"]) -> None:
        """Take in what the classifier says of one block."""
        donors = block.donors[block.variants.index(self.dataset.variant.name)]
        self._rows += [DatasetRow(r.id, d, r.label, r.native_label) for r, d in zip(block.records, donors, strict=True)]
        self._logits.append(logits)
        self.rejected += block.rejected
        self.count += len(block.records)
        if len(self._rows) >= _HELD:
            self._tabulate()

    def table(self) -> pd.DataFrame:
        """Give all rows.

        Raises:
            BadInput: If no image could be used.
        """
        if self._rows:
            self._tabulate()
        if not self._tables:
            first = self.rejected[0].reason if self.rejected else "there were none"
            raise BadInput(f"expected usable images of {self.dataset.variant.name}, got none; the first: {first}")
        return pd.concat(self._tables, ignore_index=True)

    def _tabulate(self) -> None:
        rows = replace(self.dataset, rows=tuple(self._rows))
        self._tables.append(tabulate(self.classifier, rows, np.concatenate(self._logits)))
        self._rows, self._logits = [], []


def _finish(
    collector: _Collector, full: FullScenes, results: Path | str | None, elapsed_s: float, speed: float
) -> pd.DataFrame:
    """Put the provenance to a finished table and write it."""
    table = collector.table()
    classifier, dataset = collector.classifier, replace(collector.dataset, rejected=tuple(collector.rejected))
    transform = asdict(classifier.spec.transform)
    provenance: dict[str, Any] = describe(classifier, dataset) | {
        "rows": len(table),
        "size": transform["size"],
        "transform": transform | {"mean": list(transform["mean"])},
        "streaming": asdict(full.settings) | {"textures": full.textures.source, "backdrops": full.backdrops.source},
        "area": full.census.text,
        "seconds": round(elapsed_s, 3),
        "images_per_s": speed,
    }
    provenance["preprocessing"]["resize"] = f"at full resolution, then {classifier.spec.transform.key}"
    table.attrs.update(provenance)
    if results is not None:
        path = prediction_file(Path(results), provenance["dataset"], classifier.spec.id, dataset.variant.name)
        write_predictions(path, table, provenance)
    return table


class StreamSpeed(NamedTuple):
    """What streaming costs, in images a second, all measured in one run.

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
        batch_size: Images a forward pass.
        rounds: Parts into which the set is cut for the turns.
    """
    chosen, transform = expand(variants, full.settings), classifier.spec.transform
    batch = _batch(classifier, batch_size)
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
        _answers(classifier, block, batch_size)
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
