"""Sweeps of many networks over many variants, which resume and go on when one network fails."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypedDict

import torch

from bglab.errors import failure_reason
from bglab.evaluation.full_resolution import finished
from bglab.evaluation.predict import predict_all
from bglab.files import writable_folder
from bglab.models import Classifier, load_classifier
from bglab.variants import FullScenes, Variant, expand, full_dataset

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)


class Grid(NamedTuple):
    """Outcome of a sweep.

    Attributes:
        done: Columns ``[model, variant, state]``; ``state`` is ``kept`` for results of an earlier run, else ``new``.
        missing: Columns ``[model, variant, reason]``; empty if nothing failed.
    """

    done: pd.DataFrame
    missing: pd.DataFrame


class _Options(TypedDict):
    """Options of `predict_all` that are the same for every model."""

    batch_size: int
    progress: bool


def run_grid(
    models: Sequence[str],
    full: FullScenes,
    variants: Sequence[str | Variant],
    results: Path | str,
    *,
    load: Callable[[str], Classifier] = load_classifier,
    precision: str = "float32",
    batch_size: int = 64,
    progress: bool = True,
) -> Grid:
    """Evaluate each model on all variants that are not in the results yet.

    A model's tables are written when its pass ends, whole or not at all, so the same call resumes after a crash. A
    model that fails is reported and skipped; one whose tables are all stored is not loaded.

    Args:
        models: URIs for `load_classifier`; duplicates are evaluated once.
        full: From `bglab.variants.open_full`.
        variants: Names out of `bglab.variants.STREAMED`, or variants.
        results: Results folder, or its URL.
        load: Loads a classifier by its URI.
        precision: Precision of the engines of ``load``.
        batch_size: Images per forward pass.
        progress: Whether to show a progress bar per model.

    Raises:
        UnknownName: If there is no such variant; raised before any model is loaded.
        BadInput: If the folder cannot be written.
    """
    import pandas as pd

    writable_folder(results)
    options: _Options = {"batch_size": batch_size, "progress": progress}
    datasets = [full_dataset(full, variant) for variant in expand(variants, full.settings)]
    names = [dataset.variant.name for dataset in datasets]
    done: list[tuple[str, str, str]] = []
    missing: list[tuple[str, str, str]] = []
    for model in dict.fromkeys(models):
        before = finished(results, model, full, variants, precision=precision)
        if before >= set(names):
            done += [(model, name, "kept") for name in names]
            continue
        reason = _attempt(model, load, lambda c: predict_all(c, datasets, results=results, **options))
        there = finished(results, model, full, variants, precision=precision) if reason else set(names)
        done += [(model, name, "kept" if name in before else "new") for name in names if name in there]
        missing += [(model, name, reason) for name in names if name not in there]
    return Grid(
        pd.DataFrame(done, columns=["model", "variant", "state"]),
        pd.DataFrame(missing, columns=["model", "variant", "reason"]),
    )


def _attempt(model: str, load: Callable[[str], Classifier], use: Callable[[Classifier], object]) -> str:
    """Load one model and call ``use`` with it; return the reason of a failure, or "" on success."""
    try:
        use(load(model))
    except Exception as problem:  # noqa: BLE001 - whatever one network raises, the others must still run
        _LOG.debug("%s failed", model, exc_info=True)
        reason = failure_reason(problem)
    else:
        reason = ""
    gc.collect()  # frees the weights before the next network is loaded
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if reason:
        _LOG.warning("going on without %s: %s", model, reason)
    return reason
