"""Search a background that captures one object, with controls that tell whether the background is the reason.

A background captures an object if the classifier predicts the background's class instead of the object's. That is the
background's doing only if the classifier still recognises the object where the background says nothing: the `CONTROLS`
show the same object at the same place, in the same size, on other backgrounds. A capture is *clear* if the classifier
is right on all of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int, Shaped, UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.images import Placement, composite, place
from bglab.models import Classification
from bglab.results import succeeds
from bglab.search.refine import Attempt
from bglab.variants import VARIANTS, Draw, Foreground, Keep, Plain, SceneBatch, Variant, given

#: The controls of a capture by name: what the object is shown on, at the placement of the capture.
CONTROLS: Mapping[str, Variant] = {
    "plain grey": given(Plain((128, 128, 128)), name="given_808080"),
    "its own tiled background": VARIANTS["on_own_tiled"],
}
#: Scales and shifts, as fractions of the side, at which an object is tried besides where it is.
_SCALES, _SHIFTS = (1.0, 0.8, 0.6), (0.0, -0.25, 0.25)
#: Smallest share of the object that a placement leaves in the frame.
_IN_FRAME = 0.9
#: Number of backgrounds that are tried at other placements, and of placements tried for an object no control shows.
_CLOSEST, _UNRECOGNISED = 8, 6
#: Clarity from which on a clear capture is good enough to stop: the right answers are then likelier than all others.
_CONVINCING = 0.5
#: First and last step of the climb to a clearer capture, and the number of placements that it may try.
_FIRST_STEP, _LAST_STEP, _CLIMBED = 0.1, 0.025, 40

Stage = Literal["backgrounds", "placements", "clearer"]


class Controls(NamedTuple):
    """What the classifier answers for the control images of one placement, in the order of `CONTROLS`.

    Attributes:
        predictions: Predicted class of each.
        own_probabilities: Probability of the object's class in each, in [0, 1].
        correct: Whether each prediction is the object's class.
        in_frame: Share of the object that lies in the frame, in [0, 1].
    """

    predictions: tuple[int, ...]
    own_probabilities: tuple[float, ...]
    correct: tuple[bool, ...]
    in_frame: float

    @property
    def are_correct(self) -> bool:
        """Whether the classifier recognises the object in all of them, and it lies in the frame."""
        return all(self.correct) and self.in_frame >= _IN_FRAME


class Trial(NamedTuple):
    """One object, placed on one background, with its controls.

    Attributes:
        attempt: Background and placement.
        prediction: Predicted class.
        captured: Whether that is the background's class, and not the object's.
        probability: Probability of the background's class, in [0, 1].
        own_probability: Probability of the object's class, in [0, 1].
        controls: The controls of the placement.
    """

    attempt: Attempt
    prediction: int
    captured: bool
    probability: float
    own_probability: float
    controls: Controls

    @property
    def is_clear(self) -> bool:
        """Whether it is a capture whose controls are all classified correctly."""
        return self.captured and self.controls.are_correct

    @property
    def clarity(self) -> float:
        """Smallest of the background's class in the capture and the object's class in each control, in [0, 1]."""
        return min(self.probability, *self.controls.own_probabilities)

    @property
    def is_convincing(self) -> bool:
        """Whether it is a clear capture in which no answer is less likely than all others together."""
        return self.is_clear and self.clarity >= _CONVINCING

    @property
    def rank(self) -> tuple[bool, bool, float]:
        """Key by which trials are compared: clear captures, then others, then the closest to a capture."""
        return self.is_clear, self.captured, self.clarity if self.captured else self.probability


class CaptureStep(NamedTuple):
    """Progress of a search after one batch.

    Attributes:
        stage: Whether it tries ``backgrounds``, other ``placements``, or makes a capture ``clearer``.
        trials: Trials of this batch.
        best: Best trial so far: a clear capture, else a capture, else the closest to one.
        tried: Number of backgrounds tried so far.
        total: Number of backgrounds that the search tries.
    """

    stage: Stage
    trials: Sequence[Trial]
    best: Trial
    tried: int
    total: int


@dataclass(frozen=True, eq=False)
class CaptureTask:
    """One object, backgrounds that may capture it, and a classifier.

    Attributes:
        scene: The object with its own background, as a batch of one.
        label: Class of the object.
        columns: Backgrounds to try, in this order.
        labels: Class of every background, by column.
        plates: Returns the backgrounds of some columns, on the device of the scene.
        classify: Classifies images.
        foreground: How the object is cut out.
    """

    scene: SceneBatch
    label: int
    columns: Int[np.ndarray, " k"]
    labels: Int[np.ndarray, " b"]
    plates: Callable[[Int[np.ndarray, " n"]], UInt8[Tensor, "n 3 h w"]] = field(repr=False)
    classify: Callable[[UInt8[Tensor, "n 3 h w"]], Classification] = field(repr=False)
    foreground: Foreground = Keep("mask")

    @cached_property
    def _cut(self) -> tuple[UInt8[Tensor, "3 h w"], Shaped[Tensor, "h w"]]:
        """The object's colours and alpha."""
        colours, alpha = self.foreground.draw(self.scene, Draw(0, "capture"))
        return colours.expand_as(self.scene.images)[0], alpha[0]

    @cached_property
    def _control_plates(self) -> UInt8[Tensor, "c 3 h w"]:
        plates = [v.background.plate(self.scene, self.scene, Draw(0, v.name)) for v in CONTROLS.values()]
        return torch.cat([plate.expand_as(self.scene.images) for plate in plates])

    def check_controls(self, placements: Sequence[Placement]) -> list[Controls]:
        """Classify the control images of placements."""
        fronts, alphas = self._placed(placements)
        count = len(CONTROLS)
        plates = self._control_plates.repeat(len(placements), 1, 1, 1)
        images = composite(fronts.repeat_interleave(count, 0), plates, alphas.repeat_interleave(count, 0))
        answers = self.classify(images)
        predictions = answers.predictions.reshape(-1, count)
        own = answers.probabilities[:, self.label].reshape(-1, count)
        area = float(self._cut[1].sum())
        shown = [float(alpha.sum()) / max(area * p.scale**2, 1e-9) for alpha, p in zip(alphas, placements, strict=True)]
        return [
            Controls(tuple(p.tolist()), tuple(o.tolist()), tuple((p == self.label).tolist()), float(min(share, 1.0)))
            for p, o, share in zip(predictions, own, shown, strict=True)
        ]

    def try_attempts(self, attempts: Sequence[Attempt], controls: Mapping[Placement, Controls]) -> list[Trial]:
        """Classify the object on backgrounds.

        Args:
            attempts: Backgrounds and placements; their mix is not used.
            controls: The controls of each placement.
        """
        distinct = list(dict.fromkeys(attempt.placement for attempt in attempts))
        which = torch.tensor([distinct.index(attempt.placement) for attempt in attempts])
        fronts, alphas = self._placed(distinct)
        columns = np.array([attempt.column for attempt in attempts])
        answers = self.classify(composite(fronts[which], self.plates(columns), alphas[which]))
        every, other = np.arange(len(attempts)), self.labels[columns]
        captured = succeeds("targeted", answers.predictions, np.full(len(attempts), self.label), other)
        values = zip(
            answers.predictions.tolist(),
            captured.tolist(),
            answers.probabilities[every, other].tolist(),
            answers.probabilities[:, self.label].tolist(),
            strict=True,
        )
        return [Trial(a, *v, controls[a.placement]) for a, v in zip(attempts, values, strict=True)]

    def _placed(self, placements: Sequence[Placement]) -> tuple[UInt8[Tensor, "n 3 h w"], Float[Tensor, "n h w"]]:
        """Apply placements to the object, with colours rounded as the variants round them."""
        fronts, alphas = place(*self._cut, placements)
        return fronts.round_().clamp_(0, 255).to(torch.uint8), alphas


def search_capture_steps(
    task: CaptureTask, start: Placement | None = None, *, batch_size: int = 16, thorough: bool = False
) -> Iterator[CaptureStep]:
    """Search a clear capture batch by batch, as far as steps are requested.

    The backgrounds are tried with the object where it is, until a clear capture is convincing: its clarity is at least
    one half. If none is, the backgrounds that come closest are tried at other positions and scales, those first at
    which the controls are recognised best. What was found is then moved and scaled in small steps as long as it gets
    clearer.

    Args:
        task: Object, backgrounds and classifier.
        start: Placement to start with; None stands for the object as photographed.
        batch_size: Images per step, approximately.
        thorough: Whether to try every background and placement, without small steps, instead of stopping at the first
            convincing capture.

    Yields:
        The trials of each batch with the best trial so far.

    Raises:
        BadInput: If there is no background to try, or the batch size is less than 1.
    """
    if not task.columns.size or batch_size < 1:
        raise BadInput(
            f"expected backgrounds of other classes and a batch size of at least 1, got {task.columns.size} and "
            f"{batch_size}; add scenes of other classes"
        )
    search = _CaptureSearch(task, start or Placement(), batch_size)
    yield from search.try_backgrounds(thorough=thorough)
    if thorough or not search.best.is_convincing:
        yield from search.try_placements(thorough=thorough)
    if not thorough and search.best.captured:
        yield from search.climb()


class _CaptureSearch:
    """State of one search: the trials so far, and the controls of each placement."""

    def __init__(self, task: CaptureTask, start: Placement, batch_size: int) -> None:
        self._task, self._start, self._batch_size = task, start, batch_size
        self._controls: dict[Placement, Controls] = {}
        self._trials: list[Trial] = []
        self._attempted: set[Attempt] = set()

    @property
    def best(self) -> Trial:
        return max(self._trials, key=lambda trial: trial.rank)

    def try_backgrounds(self, *, thorough: bool) -> Iterator[CaptureStep]:
        """Try every background with the object where it is."""
        self._check([self._start])
        attempts = [Attempt(int(column), placement=self._start) for column in self._task.columns]
        for first in range(0, len(attempts), self._batch_size):
            yield self._try("backgrounds", attempts[first : first + self._batch_size])
            if self.best.is_convincing and not thorough:
                return

    def try_placements(self, *, thorough: bool) -> Iterator[CaptureStep]:
        """Try the closest backgrounds at other placements, best recognised first."""
        placements = [p for p in _other_placements(self._start.flip) if p != self._start]
        per_batch = max(1, self._batch_size // len(CONTROLS))
        for first in range(0, len(placements), per_batch):
            self._check(placements[first : first + per_batch])
            yield self._step("placements", [])
        ordered = sorted(placements, key=lambda p: (self._controls[p].are_correct, self._sureness(p)), reverse=True)
        chosen = [p for p in ordered if self._controls[p].are_correct]
        if not chosen and not thorough and not self.best.captured:
            chosen = [p for p in ordered if self._controls[p].in_frame >= _IN_FRAME][:_UNRECOGNISED]
        closest = sorted(self._trials, key=lambda trial: trial.probability, reverse=True)[:_CLOSEST]
        attempts = [replace(trial.attempt, placement=p) for p in chosen for trial in closest]
        for first in range(0, len(attempts), self._batch_size):
            yield self._try("placements", attempts[first : first + self._batch_size])
            if self.best.is_convincing and not thorough:
                return

    def climb(self) -> Iterator[CaptureStep]:
        """Move and scale the best trial in ever smaller steps, as long as that makes it clearer."""
        step, left = _FIRST_STEP, _CLIMBED
        while step >= _LAST_STEP and left > 0:
            before = self.best
            near = [replace(before.attempt, placement=p) for p in _near(before.attempt.placement, step)]
            near = [attempt for attempt in near if attempt not in self._attempted][:left]
            left -= len(near)
            if near:
                self._check([attempt.placement for attempt in near])
                yield self._try("clearer", near)
            if self.best is before:
                step /= 2

    def _sureness(self, placement: Placement) -> float:
        return min(self._controls[placement].own_probabilities)

    def _check(self, placements: Sequence[Placement]) -> None:
        new = [placement for placement in placements if placement not in self._controls]
        if new:
            self._controls.update(zip(new, self._task.check_controls(new), strict=True))

    def _try(self, stage: Stage, attempts: Sequence[Attempt]) -> CaptureStep:
        trials = self._task.try_attempts(attempts, self._controls)
        self._trials += trials
        self._attempted.update(attempts)
        return self._step(stage, trials)

    def _step(self, stage: Stage, trials: Sequence[Trial]) -> CaptureStep:
        tried = len({trial.attempt.column for trial in self._trials})
        return CaptureStep(stage, trials, self.best, tried, self._task.columns.size)


def _other_placements(flip: bool) -> list[Placement]:  # noqa: FBT001 - a placement's own field
    """Return placements over the frame, the largest and most central first."""
    shifts = sorted(((dx, dy) for dx in _SHIFTS for dy in _SHIFTS), key=lambda s: abs(s[0]) + abs(s[1]))
    return [Placement(dx, dy, scale, flip) for scale in _SCALES for dx, dy in shifts]


def _near(placement: Placement, step: float) -> list[Placement]:
    """Return the placements one step away, rounded to what the sliders of the explorer can show."""
    moved = [
        replace(placement, **{name: round(getattr(placement, name) + sign * step, 3)})
        for name in ("dx", "dy")
        for sign in (-1, 1)
    ]
    scaled = [replace(placement, scale=round(placement.scale * factor, 2)) for factor in (1 - step, 1 + step)]
    return [p for p in moved + scaled if abs(p.dx) <= 1 and abs(p.dy) <= 1 and 0.3 <= p.scale <= 2]
