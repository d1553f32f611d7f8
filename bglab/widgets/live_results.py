"""What a live search has tried on one foreground, evaluated by a target: table, share that fools, worst first."""

from __future__ import annotations

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from bglab.analysis import share_interval
from bglab.labels import OUTSIDE
from bglab.results import Criterion
from bglab.search import LiveState, LiveStep, PairEvaluator, search_live_steps, start_live

#: Targets other than one of the scenes' classes.
TARGETS = ("any error", "the background's class")
_COLUMNS = ("background", "label", "native", "prediction", "fooled", "score", "column")


def criterion_of(target: str) -> Criterion:
    """Return the criterion by which backgrounds are refined for a target."""
    return "any" if target == TARGETS[0] else "targeted"


class LiveResults:
    """Backgrounds tried so far on one foreground.

    Args:
        evaluator: Classifier, foregrounds and backgrounds.
        scene: Id of the foreground.

    Attributes:
        evaluator: Classifier, foregrounds and backgrounds.
        scene: Id of the foreground.
        state: Progress of the search.
    """

    def __init__(self, evaluator: PairEvaluator, scene: str) -> None:
        self.evaluator, self.scene = evaluator, scene
        self.state: LiveState = start_live(evaluator, scene)
        self._steps: list[LiveStep] = []

    def advance(self, count: int) -> LiveStep:
        """Try the next backgrounds."""
        step = next(search_live_steps(self.evaluator, self.state, batch_size=count))
        self._steps.append(step)
        self.state = step.state
        return step

    def clear(self) -> None:
        """Drop what was tried."""
        self._steps.clear()

    def table(self, target: str) -> pd.DataFrame:
        """Tabulate every background tried so far, the worst first; see `bglab.widgets.search.LiveSearch.results`."""
        tables = [self.tabulate(step, target) for step in self._steps] or [_empty()]
        table = pd.concat(tables, ignore_index=True)
        return table.sort_values(["fooled", "score"], ascending=False, kind="stable").reset_index(drop=True)

    def tabulate(self, step: LiveStep, target: str) -> pd.DataFrame:
        """Tabulate the backgrounds of one step, in the order in which they were tried."""
        side, classes = self.evaluator.backgrounds, self.evaluator.classifier.classes
        fooled, score = self._evaluate(step, target)
        values = (
            [side.ids[column] for column in step.columns],
            side.labels[step.columns],
            [classes[native] for native in step.answers.native],
            step.answers.predictions,
            fooled,
            score,
            step.columns,
        )
        return pd.DataFrame(dict(zip(_COLUMNS, values, strict=True)))

    def share(self, target: str) -> tuple[float, float, float]:
        """Return the share in [0, 1] of the tried backgrounds that fool, and its 95 % interval; NaN before any."""
        if not self._steps:
            return float("nan"), float("nan"), float("nan")
        fooled = np.array([sum(int(self._evaluate(step, target)[0].sum()) for step in self._steps)])
        tried = np.array([self.state.tried])
        low, high = share_interval(fooled, tried)
        return float(fooled[0] / tried[0]), float(low[0]), float(high[0])

    def predicted(self, prediction: int, native: str) -> str:
        """Return a predicted class in words, with that of the classifier's own classes that maps to it, if any."""
        name = self.class_name(prediction)
        is_native = self.evaluator.classifier.spec.space == self.evaluator.originals.space
        return name if is_native and self.evaluator.originals.space != "in9" else f"{name} ({native})"

    def class_name(self, label: int) -> str:
        """Return the name of one of the scenes' classes, or ``outside``."""
        return "outside" if label == OUTSIDE else self.evaluator.originals.classes[label]

    def _evaluate(self, step: LiveStep, target: str) -> tuple[Bool[np.ndarray, " n"], Float[np.ndarray, " n"]]:
        """Check for each background whether it reaches the target, and how probable the target is."""
        if target == TARGETS[0]:
            return step.incorrect, 1 - step.own_probability
        if target == TARGETS[1]:
            return step.captured, step.target_probability
        wanted = self.evaluator.originals.classes.index(target)
        label = int(self.evaluator.foregrounds.labels[self.state.foreground])
        return (step.answers.predictions == wanted) & (wanted != label), step.answers.probabilities[:, wanted]


def _empty() -> pd.DataFrame:
    return pd.DataFrame(columns=list(_COLUMNS)).astype({"fooled": bool, "score": float})
