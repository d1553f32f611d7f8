"""Training several networks at the same time, one per worker."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bglab.executors import assigned_device
from bglab.papers.missing import TimeLimitReached
from bglab.scenes import PreparedScenes
from bglab.training import Recipe, fit


class TrainingPlan(NamedTuple):
    """A network to train.

    Attributes:
        name: Name of its run.
        data: Its training images, ``in9`` or ``in9l``.
        recipe: How it is trained.
        path: File of its checkpoint.
    """

    name: str
    data: str
    recipe: Recipe
    path: Path


@dataclass(frozen=True, eq=False)
class TrainingJob:
    """Trains networks, and returns their checkpoints.

    Attributes:
        sets: Prepared training scenes by their name and size.
        device: Device to train on where a worker has none of its own.
        left_s: Time limit in seconds, after which a network stops at its next epoch.
    """

    sets: Mapping[tuple[str, int], PreparedScenes]
    device: str
    left_s: float

    def get_ready(self) -> None:
        """Do nothing."""

    def run(self, blocks: Sequence[TrainingPlan], done: Callable[[int], object]) -> Iterator[bytes]:
        """Train each network, or go on where it was."""
        started = time.perf_counter()
        for plan in blocks:

            def stop(history: pd.DataFrame) -> None:
                if time.perf_counter() - started > self.left_s:
                    raise TimeLimitReached("the training time limit was reached")

            scenes = self.sets[plan.data, plan.recipe.source_size]
            device = assigned_device() or self.device
            with contextlib.suppress(TimeLimitReached):
                fit(plan.recipe, scenes, out=plan.path, callback=stop, device=device, progress=False)
            done(len(scenes))
            yield plan.path.read_bytes()

    def name(self, block: TrainingPlan) -> str:
        """Name the network."""
        return f"the training of {block.name}"
