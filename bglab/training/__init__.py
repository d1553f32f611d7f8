"""Training recipes, training sets, fine-tuning and checkpoints."""

from bglab.training.checkpoints import Checkpoint, history, read_checkpoint
from bglab.training.finetune import BACKGROUNDS, FINE_TUNING, RANDOM, WEIGHTS, check_backgrounds
from bglab.training.fit import fit
from bglab.training.recipe import PAPER_ARCHITECTURES, PRESETS, Recipe, differences

__all__ = [
    "BACKGROUNDS",
    "Checkpoint",
    "FINE_TUNING",
    "PAPER_ARCHITECTURES",
    "PRESETS",
    "RANDOM",
    "Recipe",
    "WEIGHTS",
    "check_backgrounds",
    "differences",
    "fit",
    "history",
    "read_checkpoint",
]
