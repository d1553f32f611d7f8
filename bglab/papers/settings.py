"""What a reproduction is made from, as one value."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bglab.models import AmpDtype, EngineName

Training = Literal["auto", "none", "toy", "paper"]

#: Networks whose ImageNet weights come with pip.
DEFAULT_MODELS = ("lite:efficientnet_lite0", "lite:efficientnet_lite1", "lite:efficientnet_lite2")


@dataclass(frozen=True)
class Settings:
    """What a reproduction is made from.

    Attributes:
        scenes: URI of the test scenes.
        out: Folder of the report; results lie in ``out/results``.
        models: URIs of pre-trained classifiers.
        trained: Folder with networks that are trained already, ``<name>.pt`` (`bglab.papers.training_runs`).
        train: Which preset trains what is missing; ``auto`` is ``toy`` where training scenes can be drawn,
            ``none`` elsewhere.
        train_scenes: URI of the training scenes; "" draws them for ``synthetic9`` and has none otherwise.
        large_scenes: URI of the larger training set that stands for IN-9L; "" likewise.
        imagenet: URI of ImageNet's validation set, for the columns ImageNet and IN-9L; "" leaves them empty.
        train_minutes: Time box of all trainings of a run; the next run goes on.
        pairs_per_class: Scenes a class in the background search; 0 takes all.
        size: Side of the images in pixels for given models; trained networks see their own.
        seed: Of donors and of which images are shown.
        batch_size: Images a forward pass.
        engine: See `load_classifier`; likewise the next two.
        device: Where the arithmetic runs.
        amp_dtype: Its precision.
        progress: Show bars.
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
    engine: EngineName = "auto"
    device: str = "auto"
    amp_dtype: AmpDtype = "none"
    progress: bool = True
