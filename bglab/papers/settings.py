"""Settings of a reproduction: data, models, training and inference options."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bglab.figures import Width
from bglab.models import EngineChoice, InputProtocol
from bglab.papers.verdicts import ASSUMED_SEED_SD

Training = Literal["auto", "none", "toy", "paper"]

#: Models whose ImageNet weights are installed with pip.
DEFAULT_MODELS = ("lite:efficientnet_lite0", "lite:efficientnet_lite1", "lite:efficientnet_lite2")


@dataclass(frozen=True)
class Settings:
    """Settings of a reproduction.

    Attributes:
        scenes: URI of the test scenes.
        out: Folder of the report; predictions, pair matrices and checkpoints are stored in ``out/results``.
        models: URIs of pre-trained classifiers.
        trained: Folder with trained networks, ``<name>.pt`` (`bglab.papers.training_runs`), and ``<name>-seed1.pt``, …
            for further ones that differ only by their seed; None for none.
        train: Preset for training the networks that are missing, or ``none``; ``auto`` is ``toy`` if training scenes
            are given or can be generated (``synthetic9``), otherwise ``none``.
        train_scenes: URI of the training scenes; "" generates them for ``synthetic9`` and has none otherwise.
        large_scenes: URI of the larger training set that stands in for IN-9L; "" as for ``train_scenes``.
        imagenet: URI of ImageNet's validation set, for the columns ImageNet and IN-9L; "" leaves them empty.
        train_minutes: Limit on the total training time of a run in minutes; the next run resumes.
        pairs_per_class: Scenes per class in the background search; 0 uses all.
        size: Side of the input images of pre-trained models in pixels; trained networks use their own.
        seed: Seed for the donor draw and for the choice of example images.
        batch_size: Images per forward pass.
        engine: How classifiers are run: engine, device, precision, compilation.
        protocol: How prepared images reach the networks, see `bglab.models.InputProtocol`; images made at full
            resolution are always resized and cropped as the weights were evaluated.
        progress: Show progress bars.
        seed_sd: Assumed standard deviation of accuracies over training seeds, a fraction: how much a network trained
            again by the paper's recipe may differ (`bglab.papers.verdicts`).
        results: Folder of predictions and pair matrices, or its URL; None stands for ``out/results``, where checkpoints
            are stored in either case.
        venue: Venue whose page and fonts figures and tables are made for, see `bglab.figures.find_venue`; "" is none.
        width: Whether they are as wide as a column or as the text of the venue's page.
    """

    scenes: str
    out: Path
    models: tuple[str, ...] = DEFAULT_MODELS
    trained: Path | None = None
    train: Training = "auto"
    train_scenes: str = ""
    large_scenes: str = ""
    imagenet: str = ""
    train_minutes: float = 20.0
    pairs_per_class: int = 0
    size: int = 224
    seed: int = 0
    batch_size: int = 64
    engine: EngineChoice = EngineChoice()
    protocol: InputProtocol = "as-is"
    progress: bool = True
    seed_sd: float = ASSUMED_SEED_SD
    results: Path | str | None = None
    venue: str = ""
    width: Width = "column"
