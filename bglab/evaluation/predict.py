"""Predict: run a classifier over a data set and keep one row per image."""

from __future__ import annotations

import logging
import platform
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.labels import DecisionRule, decide_in9
from bglab.models import Classifier
from bglab.parallel import prefetch
from bglab.results import (
    PREDICTION_SCHEMA,
    commit,
    prediction_file,
    read_predictions_file,
    read_provenance,
    versions,
    write_predictions,
)
from bglab.variants import Dataset

_LOG = logging.getLogger(__name__)

#: What must agree for a kept result to stand in for a new run.
_IDENTITY = ("weights_sha256", "pixels", "decision_rule", "engine", "precision", "seed", "size", "rows")


def predict(
    classifier: Classifier,
    dataset: Dataset,
    *,
    results: Path | str | None = None,
    batch_size: int = 64,
    decision_rule: DecisionRule = "argmax",
    progress: bool = True,
) -> pd.DataFrame:
    """Classify every image of a data set.

    Args:
        classifier: From `load_classifier`.
        dataset: From `compose` or `open_published`.
        results: Folder to keep the table in; an earlier table of the same pixels and weights is read instead
            of computed again. None keeps nothing.
        batch_size: Images a forward pass; halved when a device runs out of memory.
        decision_rule: How a thousand logits become one of nine classes (`labels.decide_in9`).
        progress: Show a bar with the speed.

    Returns:
        One row per image with the columns of `results.PREDICTION_SCHEMA`; how it was made is in ``.attrs``.

    Raises:
        BadInput: If classifier and data set have no classes in common, or the folder cannot be written.
    """
    check_spaces(classifier, dataset)
    provenance = describe(classifier, dataset, decision_rule)
    path = None
    if results is not None:
        path = prediction_file(Path(results), provenance["dataset"], classifier.spec.id, dataset.variant.name)
        kept = _kept(path, provenance)
        if kept is not None:
            return kept
    classifier.engine.get_ready(dataset.size, dataset.size)
    started = time.perf_counter()
    logits = all_logits(classifier, dataset, batch_size=batch_size, progress=progress)
    elapsed_s = time.perf_counter() - started
    provenance |= {"seconds": round(elapsed_s, 3), "images_per_s": round(len(dataset) / elapsed_s, 2)}
    table = tabulate(classifier, dataset, logits.numpy(), decision_rule)
    table.attrs.update(provenance)
    if path is not None:
        write_predictions(path, table, provenance)
    return table


def check_spaces(classifier: Classifier, dataset: Dataset) -> None:
    """Make sure that the classifier's answers can be judged by the data set's labels.

    Raises:
        BadInput: If they cannot.
    """
    judged = {("imagenet", "in9"), (classifier.spec.space, classifier.spec.space)}
    if (classifier.spec.space, dataset.space) not in judged:
        raise BadInput(
            f"expected a classifier that answers in the classes of {dataset.name} ({dataset.space}, "
            f"{len(dataset.classes)} classes), but {classifier.spec.id} answers in {classifier.spec.space} "
            f"({len(classifier.classes)}); choose other scenes or another model"
        )


def all_logits(
    classifier: Classifier, dataset: Dataset, *, batch_size: int = 64, progress: bool = True
) -> Float[Tensor, "n c"]:
    """Run the classifier over the whole data set, in order.

    Images of the next batch are rendered while the engine works on this one; on a device that runs out of
    memory the batch is halved and tried again.

    Raises:
        BadInput: If not even a single image fits.
    """
    if batch_size < 1:
        raise BadInput(f"expected a batch size of at least 1, got {batch_size}")
    parts: list[Tensor] = []
    position = 0
    title = f"{classifier.spec.name} · {dataset.variant.name}"
    with tqdm(total=len(dataset), desc=title, unit="image", disable=not progress) as bar:
        while position < len(dataset):
            try:
                rendered = _rendered(dataset, position, batch_size, classifier.engine.device)
                with closing(prefetch(rendered, name="bglab-render")) as ready:
                    for images in ready:
                        parts.append(classifier(images).cpu())
                        position += len(images)
                        bar.update(len(images))
            except torch.cuda.OutOfMemoryError:
                if batch_size == 1:
                    raise BadInput(
                        f"expected {classifier.spec.id} to fit on {classifier.engine.device}, but a single image "
                        "runs out of its memory; use --device cpu"
                    ) from None
                batch_size //= 2
                _LOG.warning("out of memory on %s: going on with batches of %d", classifier.engine.device, batch_size)
                torch.cuda.empty_cache()
    return torch.cat(parts)


def _rendered(
    dataset: Dataset, start: int, batch_size: int, device: torch.device
) -> Iterator[UInt8[Tensor, "n 3 h w"]]:
    """Render batch after batch."""
    for first in range(start, len(dataset), batch_size):
        yield dataset.images(slice(first, min(first + batch_size, len(dataset))), device)


def tabulate(
    classifier: Classifier, dataset: Dataset, logits: Float[np.ndarray, "n c"], decision_rule: DecisionRule = "argmax"
) -> pd.DataFrame:
    """Turn logits into the prediction table; see `results.PREDICTION_SCHEMA` for its columns."""
    native = logits.argmax(axis=1)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    to_nine = classifier.spec.space == "imagenet" and dataset.space == "in9"
    # a stable order makes the fifth of equal logits the same on every machine
    top5 = np.argsort(-logits, axis=1, kind="stable")[:, :5]
    return pd.DataFrame(
        {
            "model": classifier.spec.id,
            "dataset": run_key(classifier, dataset, decision_rule),
            "variant": dataset.variant.name,
            "scene": [row.scene for row in dataset.rows],
            "donor": [row.donor for row in dataset.rows],
            "label": np.array([row.label for row in dataset.rows], dtype=np.int64),
            "native_label": np.array([row.native_label for row in dataset.rows], dtype=np.int64),
            "prediction": decide_in9(logits, decision_rule) if to_nine else native,
            "native": native,
            "top5": list(top5),
            "confidence": (1.0 / shifted.sum(axis=1)).astype(np.float32),
            "space": dataset.space,
            "native_space": classifier.spec.space,
        }
    ).reindex(columns=PREDICTION_SCHEMA.names)


def run_key(classifier: Classifier, dataset: Dataset, decision_rule: DecisionRule = "argmax") -> str:
    """Name what was measured: the data set, and any departure from float32 and arg-max, so that none is overwritten."""
    parts = [dataset.key]
    parts += [decision_rule] if decision_rule != "argmax" else []
    parts += [classifier.engine.precision] if classifier.engine.precision != "float32" else []
    return "-".join(parts)


def describe(classifier: Classifier, dataset: Dataset, decision_rule: DecisionRule = "argmax") -> dict[str, Any]:
    """Say how a prediction table is made: weights, preprocessing, pixels, rule, engine, versions."""
    spec = asdict(classifier.spec)
    return {
        "model": classifier.spec.id,
        "tag": spec["tag"],
        "weights_sha256": spec["sha256"],
        "preprocessing": {
            "mean": list(spec["mean"]),
            "std": list(spec["std"]),
            "resize": spec["input_size"] if spec["fixed_input_size"] else "none: images are fed as they are",
        },
        "decision_rule": decision_rule,
        "engine": classifier.engine.name,
        "precision": classifier.engine.precision,
        "device": _device_name(classifier.engine.device),
        "dataset": run_key(classifier, dataset, decision_rule),
        "scenes": dataset.name,
        "classes": list(dataset.classes),
        "variant": dataset.variant.name,
        "rule": repr(dataset.variant),
        "published": dataset.published,
        "seed": dataset.seed,
        "size": dataset.size,
        "rows": len(dataset),
        "rejected": [list(r) for r in dataset.rejected],
        "fingerprint": dataset.fingerprint,
        "pixels": dataset.digest,
        "versions": versions(),
        "commit": commit(),
    }


def _kept(path: Path, wanted: dict[str, Any]) -> pd.DataFrame | None:
    """Give the table kept from an earlier run if it was made from the same pixels and weights."""
    kept = read_provenance(path)
    if not kept:
        return None
    differing = [name for name in _IDENTITY if kept.get(name) != wanted[name]]
    if differing:
        what = ", ".join(f"{name} was {kept.get(name)}, is {wanted[name]}" for name in differing)
        _LOG.warning("predicting again, since %s was made otherwise: %s", path, what)
        return None
    table = read_predictions_file(path)
    table.attrs.update(kept)
    return table


def _device_name(device: torch.device) -> str:
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return platform.processor() or platform.machine() if device.type == "cpu" else str(device)
