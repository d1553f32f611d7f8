"""An interactive lab for one question: how much does an image classifier lean on the background?

Scenes become variants, a classifier turns them into predictions, metrics turn predictions into small tables,
figures and widgets show them. Names load when they are first used, so ``import bglab`` needs no torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# name → module, in the order in which the sentence above reads
_WHERE = {
    "open_scenes": "sources",
    "available": "sources",
    "prepare": "prepared",
    "compose": "datasets",
    "open_published": "datasets",
    "VARIANTS": "variants",
    "IN9_VARIANTS": "variants",
    "given": "variants",
    "render": "variants",
    "load_classifier": "classifiers",
    "predict": "inference",
    "accuracy": "metrics",
    "background_gap": "metrics",
    "compare_models": "metrics",
    "categories": "metrics",
    "background_capture": "metrics",
    "read_predictions": "results",
    "explore": "widgets.explorer",
    "UnknownName": "errors",
    "MissingData": "errors",
    "BadInput": "errors",
}

__all__ = [
    "open_scenes",
    "available",
    "prepare",
    "compose",
    "open_published",
    "VARIANTS",
    "IN9_VARIANTS",
    "given",
    "render",
    "load_classifier",
    "predict",
    "accuracy",
    "background_gap",
    "compare_models",
    "categories",
    "background_capture",
    "read_predictions",
    "explore",
    "UnknownName",
    "MissingData",
    "BadInput",
]

if TYPE_CHECKING:
    from bglab.classifiers import load_classifier
    from bglab.datasets import compose, open_published
    from bglab.errors import BadInput, MissingData, UnknownName
    from bglab.inference import predict
    from bglab.metrics import accuracy, background_capture, background_gap, categories, compare_models
    from bglab.prepared import prepare
    from bglab.results import read_predictions
    from bglab.sources import available, open_scenes
    from bglab.variants import IN9_VARIANTS, VARIANTS, given, render
    from bglab.widgets.explorer import explore


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _WHERE:
        raise AttributeError(f"module 'bglab' has no attribute '{name}'; it has {', '.join(_WHERE)}")
    return getattr(importlib.import_module(f"bglab.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
