"""Classifiers on variants: predictions for prepared and streamed images, sweeps over models, sensitivity to noise.

What is computed here is stored by `bglab.results` and summarised by `bglab.analysis`.
"""

from bglab.evaluation.full_resolution import evaluate, template
from bglab.evaluation.predict import all_logits, check_spaces, describe, predict, run_key, tabulate
from bglab.evaluation.sensitivity import ablation_predictions, noise_predictions
from bglab.evaluation.sweep import run_grid

__all__ = [
    "ablation_predictions",
    "all_logits",
    "check_spaces",
    "describe",
    "evaluate",
    "noise_predictions",
    "predict",
    "run_grid",
    "run_key",
    "tabulate",
    "template",
]
