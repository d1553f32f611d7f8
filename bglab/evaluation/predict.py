"""Predictions of a classifier for data sets, one row per image, stored and resumed."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from bglab.evaluation.full_resolution import stream_predictions
from bglab.evaluation.parts import compute_tables
from bglab.evaluation.tabulate import PredictionWriter, encode_predictions, matched, seen_by, tabulate
from bglab.labels import DecisionRule
from bglab.locations import place_of
from bglab.models import Batching, Classifier, ClassifierLike, as_classifier, classify_batches
from bglab.progress import Bar
from bglab.results import PREDICTION_SCHEMA, table_blocks
from bglab.scenes import ScenesLike
from bglab.variants import Dataset, compose

if TYPE_CHECKING:
    import pandas as pd


def predict(
    classifier: ClassifierLike,
    dataset: Dataset | ScenesLike,
    *,
    results: Path | str | None = None,
    batch_size: int = 64,
    decision_rule: DecisionRule = "argmax",
    progress: bool = True,
) -> pd.DataFrame:
    """Classify every image of a data set.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        dataset: From `bglab.variants.compose` or `bglab.variants.open_published`, or scenes, whose unmodified images
            are classified. Images made at full resolution are
            resized and cropped by the evaluation transform of the classifier's weights.
        results: Results folder, or its URL; a stored table of the same pixels and weights is read instead of computed
            again. None stores nothing.
        batch_size: Images per forward pass; halved when a device runs out of memory.
        decision_rule: How ImageNet logits are mapped to nine classes, see `bglab.labels.decide_in9`.
        progress: Whether to show a progress bar.

    Returns:
        One row per image with the columns of `bglab.results.PREDICTION_SCHEMA`; the provenance is in ``.attrs``.

    Raises:
        BadInput: If classifier and data set have no classes in common, no image is usable, or the folder cannot be
            written.
    """
    (table,) = predict_all(
        as_classifier(classifier),
        [dataset if isinstance(dataset, Dataset) else compose(dataset, "original", progress=progress)],
        results=results,
        batch_size=batch_size,
        decision_rule=decision_rule,
        progress=progress,
    )
    return table


def predict_all(
    classifier: ClassifierLike,
    datasets: Sequence[Dataset],
    *,
    results: Path | str | None = None,
    batch_size: int = 64,
    decision_rule: DecisionRule = "argmax",
    progress: bool = True,
) -> tuple[pd.DataFrame, ...]:
    """Classify several data sets; full-resolution variants of the same scenes share one pass over the photographs.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        datasets: From `bglab.variants.compose` or `bglab.variants.open_published`.
        results: Results folder, as for `predict`.
        batch_size: Images per forward pass; halved when a device runs out of memory.
        decision_rule: How ImageNet logits are mapped to nine classes.
        progress: Whether to show progress bars.

    Returns:
        Prediction tables as from `predict`, in the order of the data sets.

    Raises:
        BadInput: As for `predict`.
    """
    Batching(batch_size)  # checks the size before anything is read
    folder = None if results is None else place_of(results)
    classifier = matched(classifier, *datasets)
    seen = [seen_by(classifier, dataset) for dataset in datasets]
    writers = [PredictionWriter(classifier, dataset, folder, decision_rule) for dataset in seen]
    tables = {i: stored for i, writer in enumerate(writers) if (stored := writer.stored()) is not None}
    left = {i: writer for i, writer in enumerate(writers) if i not in tables}
    for i, writer in left.items():
        if writer.dataset.full is None:
            tables[i] = _predict_prepared(writer, batch_size, progress=progress)
    streamed = {i: writer for i, writer in left.items() if writer.dataset.full is not None}
    made = stream_predictions(classifier, list(streamed.values()), batch_size, progress=progress)
    tables |= dict(zip(streamed, made, strict=True))
    return tuple(tables[i] for i in range(len(datasets)))


def _predict_prepared(writer: PredictionWriter, batch_size: int, *, progress: bool) -> pd.DataFrame:
    """Classify a data set of prepared images."""
    dataset, classifier = writer.dataset, writer.classifier
    job = _PreparedJob(classifier, dataset, batch_size, writer.rule)
    blocks, title = table_blocks(len(dataset), batch_size), f"{classifier.spec.name} · {dataset.variant.name}"
    made = compute_tables(
        job, blocks, [writer.files], PREDICTION_SCHEMA, title=title, total=len(dataset), progress=progress
    )
    return writer.finish(made.tables[0], made.seconds, made.images_per_s)


@dataclass(frozen=True, eq=False)
class _PreparedJob:
    """Classifies blocks of a data set of prepared images."""

    classifier: Classifier
    dataset: Dataset
    batch_size: int
    rule: DecisionRule

    def get_ready(self) -> None:
        """Initialise the engine for this number of images."""
        self.classifier.engine.get_ready(self.dataset.size, self.dataset.size, len(self.dataset))

    def run(self, blocks: Sequence[range], done: Callable[[int], object]) -> Iterator[tuple[bytes, ...]]:
        """Encode the predictions for each block; one begins while the one before it is computed."""
        device, waiting = self.classifier.engine.device, deque(blocks)
        # blocks are whole batches, but for the last, so no batch belongs to two of them
        places = np.concatenate([np.arange(block.start, block.stop) for block in blocks])
        parts: list[Tensor] = []
        for logits in classify_batches(
            self.classifier,
            lambda part: self.dataset.images(places[part], device),
            len(places),
            Batching(self.batch_size),
        ):
            parts.append(logits)
            done(len(logits))
            if sum(map(len, parts)) == len(waiting[0]):
                block = waiting.popleft()
                shown = self.dataset.part(block.start, block.stop)
                yield (encode_predictions([tabulate(self.classifier, shown, torch.cat(parts).numpy(), self.rule)]),)
                parts.clear()

    def name(self, block: range) -> str:
        """Name the images of a block."""
        return f"images {block.start} to {block.stop - 1} of {self.dataset.variant.name}"


def all_logits(
    classifier: Classifier, dataset: Dataset, *, batch_size: int = 64, progress: bool = True
) -> Float[Tensor, "n c"]:
    """Compute the logits of a whole data set, in order.

    Args:
        classifier: From `load_classifier`.
        dataset: Any data set, shown as the classifier's protocol says. At full resolution an unusable scene raises
            here, whereas `predict` skips it.
        batch_size: Images per forward pass; halved when a device runs out of memory.
        progress: Whether to show a progress bar.

    Returns:
        Logits in float32, on the CPU.

    Raises:
        BadInput: If a single image does not fit on the device, or a scene is unusable at full resolution.
    """
    device, dataset = classifier.engine.device, seen_by(classifier, dataset)
    title = f"{classifier.spec.name} · {dataset.variant.name}"
    parts: list[Tensor] = []
    with Bar(total=len(dataset), desc=title, unit="image", disable=not progress) as bar:
        batching = Batching(batch_size)
        for logits in classify_batches(classifier, lambda part: dataset.images(part, device), len(dataset), batching):
            parts.append(logits)
            bar.update(len(logits))
    return torch.cat(parts)
