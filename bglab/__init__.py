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
    "search_matrix": "adversarial",
    "first_hit": "verdicts",
    "GradCam": "saliency",
    "saliency_maps": "saliency",
    "saliency_table": "saliency_rows",
    "explain_scenes": "saliency_rows",
    "localisation_summary": "saliency_metrics",
    "compare_localisation": "saliency_metrics",
    "fooled_by_share": "saliency_metrics",
    "read_saliency": "saliency_files",
    "fit": "training",
    "Recipe": "recipes",
    "PRESETS": "recipes",
    "history": "checkpoints",
    "LiveCurves": "learning_curves",
    "explore": "widgets.explorer",
    "search_live": "widgets.search",
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
    "search_matrix",
    "first_hit",
    "GradCam",
    "saliency_maps",
    "saliency_table",
    "explain_scenes",
    "localisation_summary",
    "compare_localisation",
    "fooled_by_share",
    "read_saliency",
    "fit",
    "Recipe",
    "PRESETS",
    "history",
    "LiveCurves",
    "explore",
    "search_live",
    "UnknownName",
    "MissingData",
    "BadInput",
]

if TYPE_CHECKING:
    from bglab.adversarial import search_matrix
    from bglab.checkpoints import history
    from bglab.classifiers import load_classifier
    from bglab.datasets import compose, open_published
    from bglab.errors import BadInput, MissingData, UnknownName
    from bglab.inference import predict
    from bglab.learning_curves import LiveCurves
    from bglab.metrics import accuracy, background_capture, background_gap, categories, compare_models
    from bglab.prepared import prepare
    from bglab.recipes import PRESETS, Recipe
    from bglab.results import read_predictions
    from bglab.saliency import GradCam, saliency_maps
    from bglab.saliency_files import read_saliency
    from bglab.saliency_metrics import compare_localisation, fooled_by_share, localisation_summary
    from bglab.saliency_rows import explain_scenes, saliency_table
    from bglab.sources import available, open_scenes
    from bglab.training import fit
    from bglab.variants import IN9_VARIANTS, VARIANTS, given, render
    from bglab.verdicts import first_hit
    from bglab.widgets.explorer import explore
    from bglab.widgets.search import search_live


def __getattr__(name: str) -> object:
    """Load a public name on first use."""
    if name not in _WHERE:
        raise AttributeError(f"module 'bglab' has no attribute '{name}'; it has {', '.join(_WHERE)}")
    return getattr(importlib.import_module(f"bglab.{_WHERE[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
