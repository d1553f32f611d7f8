"""Evaluation of classifiers on variants: predictions, sweeps over many models, and sensitivity to noise and masks.

Tables computed here are stored by `bglab.results` and summarised by `bglab.analysis`.
"""

from bglab.evaluation.class_vocabulary import CLASSES, Classes
from bglab.evaluation.full_resolution import finished, stream_logits
from bglab.evaluation.import_notices import import_notices
from bglab.evaluation.imported import from_table, import_predictions
from bglab.evaluation.ladder import FACTORS, Ladder, Step, explain
from bglab.evaluation.mask_sweep import MASK_SOURCES, mask_predictions, replace_masks
from bglab.evaluation.parts import compute_tables
from bglab.evaluation.predict import all_logits, predict, predict_all
from bglab.evaluation.row_matching import file_names
from bglab.evaluation.sensitivity import LINF, NoiseGrid, ablation_predictions, noise_predictions
from bglab.evaluation.stream_speed import StreamSpeed, attainable_rate, measure_speed
from bglab.evaluation.sweep import run_grid
from bglab.evaluation.tabulate import describe, matched, run_key, seen_by, tabulate

__all__ = [
    "CLASSES",
    "Classes",
    "FACTORS",
    "LINF",
    "Ladder",
    "Step",
    "MASK_SOURCES",
    "NoiseGrid",
    "StreamSpeed",
    "ablation_predictions",
    "all_logits",
    "attainable_rate",
    "compute_tables",
    "describe",
    "explain",
    "file_names",
    "finished",
    "from_table",
    "import_notices",
    "import_predictions",
    "mask_predictions",
    "measure_speed",
    "noise_predictions",
    "matched",
    "predict",
    "predict_all",
    "replace_masks",
    "run_grid",
    "run_key",
    "seen_by",
    "stream_logits",
    "tabulate",
]
