"""Run many networks on many variants: resume, go on past what fails, and say at the end what is missing and why."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

import pandas as pd
import torch

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.evaluation.full_resolution import finished
from bglab.evaluation.predict import predict_all
from bglab.files import writable_folder
from bglab.models import Classifier, load_classifier
from bglab.variants import FullScenes, Variant, expand, full_dataset

_LOG = logging.getLogger(__name__)


class Grid(NamedTuple):
    """What a run over networks and variants has.

    Attributes:
        done: Columns ``[model, variant, state]``, ``state`` being ``kept`` from an earlier run or ``new``.
        missing: Columns ``[model, variant, reason]``; empty if nothing is.
    """

    done: pd.DataFrame
    missing: pd.DataFrame


class _Options(TypedDict):
    """What `predict_all` is called with for every model."""

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

    Every model's tables are written as soon as its pass ends, whole or not at all: after a crash, a failing model or
    a killed process the same call goes on with what is missing. A model whose tables are all there is not loaded.

    Args:
        models: URIs for `load_classifier`; one that occurs twice counts once.
        full: From `open_full`.
        variants: Names out of `bglab.variants.STREAMED`; an unknown one is refused before anything runs.
        results: Folder of results.
        load: Turns a URI into a classifier.
        precision: Of the engines that ``load`` starts.
        batch_size: Images a forward pass.
        progress: Show a bar a model.

    Raises:
        UnknownName: If there is no such variant.
        BadInput: If the folder cannot be written.
    """
    writable_folder(Path(results))
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
    """Load one model and use it; give the reason why that failed, "" if it did not."""
    try:
        use(load(model))
    except (BadInput, MissingData, UnknownName) as problem:
        reason = str(problem)
    except Exception as problem:  # noqa: BLE001 - whatever one network of many raises, the others must go on
        _LOG.debug("%s failed", model, exc_info=True)
        first = (str(problem).splitlines() or [""])[0]
        reason = f"{type(problem).__name__}: {first}" if first else type(problem).__name__
    else:
        reason = ""
    gc.collect()  # a network's weights must be gone before the next one's come
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    if reason:
        _LOG.warning("going on without %s: %s", model, reason)
    return reason
