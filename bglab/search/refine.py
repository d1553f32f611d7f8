"""Refine an attack: move, scale and mix a foreground until the classifier errs, or errs as clearly as it can."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from bglab.errors import BadInput
from bglab.images import Placement, composite, place
from bglab.labels import OUTSIDE
from bglab.results import Criterion, succeeds
from bglab.search.live import classify_shown, find_row
from bglab.search.pair_evaluator import PairEvaluator

#: Initial step of each coordinate.
_FIRST_STEPS = {"mix": 0.25, "dx": 0.15, "dy": 0.15, "scale": 0.25}
#: Fraction of the initial steps below which the search ends.
_LAST_STEP = 1 / 16
#: Smallest and largest scale of the foreground.
_SCALES = (0.25, 3.0)


@dataclass(frozen=True)
class Attempt:
    """One image of an attack: a foreground's cut-out, placed on a background.

    Attributes:
        column: Column of the background.
        mix: Weight of the image on the new background: 0 is the original image, 1 the complete swap.
        placement: Position, scale and mirroring of the cut-out.
    """

    column: int
    mix: float = 1.0
    placement: Placement = Placement()


@dataclass(frozen=True, eq=False)
class Refinement:
    """Result of a refined attack.

    Attributes:
        attempt: The best attempt.
        image: Its image.
        native: Its predicted class among the classifier's own classes.
        prediction: Its predicted class in the label space of the scenes.
        succeeded: Whether it meets the criterion.
        score: Log-probability of the background's class, or under ``any`` the negative log-probability of the
            foreground's class.
        scores: The best score after each batch; the first is that of the given backgrounds, unchanged.
        hit_before: Whether one of the given backgrounds, unchanged, already met the criterion.
        forwards: Number of images classified.
    """

    attempt: Attempt
    image: UInt8[Tensor, "3 h w"]
    native: int
    prediction: int
    succeeded: bool
    score: float
    scores: tuple[float, ...]
    hit_before: bool
    forwards: int


def attempt_images(evaluator: PairEvaluator, foreground: int, attempts: Sequence[Attempt]) -> UInt8[Tensor, "n 3 h w"]:
    """Render attempts: the placed cut-out over the plate, blended with the original image and rounded once at the end.

    Args:
        evaluator: From `open_evaluator`.
        foreground: Row of the foreground.
        attempts: Backgrounds, mixes and placements.
    """
    composer, device = evaluator.composer, evaluator.composer.device
    own = composer.tensors.batch(slice(foreground, foreground + 1), device)
    columns = np.array([attempt.column for attempt in attempts])
    plates = composer.tensors.batch(composer.positions[columns], device).plates
    moved, alpha = place(own.images[0], own.masks[0], [attempt.placement for attempt in attempts])
    swapped = composite(moved, plates.to(torch.float32), alpha)
    mix = torch.tensor([attempt.mix for attempt in attempts], device=device).view(-1, 1, 1)
    shown = composite(swapped, own.images.to(torch.float32), mix.expand_as(alpha))
    return shown.round_().clamp_(0, 255).to(torch.uint8)


def refine_attack(
    evaluator: PairEvaluator,
    foreground: int | str,
    columns: Sequence[int],
    *,
    criterion: Criterion = "targeted",
    budget: int = 200,
    batch_size: int = 32,
    stop: Literal["success", "budget"] = "success",
) -> Refinement:
    """Optimise mix, position, scale and mirroring of a cut-out to fool the classifier.

    Deterministic coordinate search: starting from the best of the given backgrounds, one coordinate at a time takes a
    step in both directions, and the attempt with the highest score is kept. Steps are halved after a round without
    improvement.

    Args:
        evaluator: From `open_evaluator`.
        foreground: Row of the foreground, or the scene's id.
        columns: Columns of the backgrounds to start from, e.g. the best of a live search.
        criterion: ``any`` error, or ``targeted``, a prediction of the background's class.
        budget: Maximum number of images to classify.
        batch_size: Images per forward pass.
        stop: Stop at the first ``success``, or only when the ``budget`` is spent or the steps are too small, so that
            the score also rises where a background fools the classifier from the start.

    Raises:
        UnknownName: If there is no such scene.
        BadInput: If no background qualifies for the criterion, or the budget or batch size is less than 1.
    """
    *_, found = refine_attack_steps(
        evaluator, foreground, columns, criterion=criterion, budget=budget, batch_size=batch_size, stop=stop
    )
    return found


def refine_attack_steps(
    evaluator: PairEvaluator,
    foreground: int | str,
    columns: Sequence[int],
    *,
    criterion: Criterion = "targeted",
    budget: int = 200,
    batch_size: int = 32,
    stop: Literal["success", "budget"] = "success",
) -> Iterator[Refinement]:
    """Refine an attack batch by batch, as far as steps are requested; see `refine_attack`.

    Yields:
        The best attempt so far, after each batch.

    Raises:
        UnknownName: If there is no such scene.
        BadInput: If no background qualifies for the criterion, or the budget or batch size is less than 1.
    """
    row = find_row(evaluator, foreground)
    label = evaluator.foregrounds.labels[row]
    usable = [c for c in columns if criterion == "any" or evaluator.backgrounds.labels[c] not in {label, OUTSIDE}]
    if not usable or min(budget, batch_size) < 1:
        raise BadInput(
            f"expected a budget of images and backgrounds {'of another class ' if criterion == 'targeted' else ''}for "
            f"{evaluator.foregrounds.ids[row]}, got {budget} and {len(usable)}; give columns of evaluator.backgrounds"
        )
    search = _Refiner(evaluator, row, criterion, budget, batch_size, stop)
    for _ in search.evaluate([Attempt(int(column)) for column in usable]):
        search.note_start()
        yield search.found()
    for _ in search.climb():
        yield search.found()


class _Scored(NamedTuple):
    attempt: Attempt
    native: int
    prediction: int
    succeeded: bool
    score: float

    @property
    def rank(self) -> tuple[bool, float]:
        return self.succeeded, self.score


class _Refiner:
    """State of one refinement: the best attempt so far, and all attempts made."""

    def __init__(
        self,
        evaluator: PairEvaluator,
        row: int,
        criterion: Criterion,
        budget: int,
        batch_size: int,
        stop: Literal["success", "budget"],
    ) -> None:
        self._evaluator, self._row = evaluator, row
        self._criterion: Criterion = criterion
        self._budget, self._batch_size, self._stop = budget, batch_size, stop
        self._best: _Scored | None = None
        self._evaluated: set[Attempt] = set()
        self._scores: list[float] = []
        self._hit_before = False

    @property
    def _is_over(self) -> bool:
        won = self._best is not None and self._best.succeeded and self._stop == "success"
        return won or len(self._evaluated) >= self._budget

    def climb(self) -> Iterator[None]:
        """Vary one coordinate after the other, in ever smaller steps; yields after each batch."""
        share = 1.0
        while share >= _LAST_STEP and not self._is_over:
            before = self._best
            for coordinate in (*_FIRST_STEPS, "flip"):
                assert self._best is not None  # the initial backgrounds were evaluated first
                yield from self.evaluate(_moves(self._best.attempt, coordinate, share))
            if self._best is before:
                share /= 2

    def evaluate(self, attempts: Sequence[Attempt]) -> Iterator[None]:
        """Classify new attempts within the budget, and keep the best one; yields after each batch."""
        new = [attempt for attempt in dict.fromkeys(attempts) if attempt not in self._evaluated]
        for start in range(0, len(new), self._batch_size):
            batch = new[start : start + self._batch_size][: self._budget - len(self._evaluated)]
            if self._is_over:
                return
            self._evaluated.update(batch)
            best = max(self._score(batch), key=lambda scored: scored.rank)
            if self._best is None or best.rank > self._best.rank:
                self._best = best
            self._scores.append(self._best.score)
            yield

    def note_start(self) -> None:
        """Take what was found so far as the start that the refinement improves on."""
        assert self._best is not None
        self._hit_before, self._scores = self._best.succeeded, [self._best.score]

    def found(self) -> Refinement:
        """Return the best attempt with its image."""
        assert self._best is not None
        best = self._best
        image = attempt_images(self._evaluator, self._row, [best.attempt])[0]
        return Refinement(
            image=image,
            scores=tuple(self._scores),
            hit_before=self._hit_before,
            forwards=len(self._evaluated),
            **best._asdict(),
        )

    def _score(self, attempts: Sequence[Attempt]) -> list[_Scored]:
        answers = classify_shown(self._evaluator, attempt_images(self._evaluator, self._row, attempts))
        other = self._evaluator.backgrounds.labels[[attempt.column for attempt in attempts]]
        own = np.full(len(attempts), self._evaluator.foregrounds.labels[self._row])
        succeeded = succeeds(self._criterion, answers.predictions, own, other)
        aim = other if self._criterion == "targeted" else own
        # probabilities that underflow to 0 get a finite logarithm
        logs = np.log(np.maximum(answers.probabilities[np.arange(len(attempts)), aim], 1e-300))
        scores = logs if self._criterion == "targeted" else -logs
        parts = (answers.native.tolist(), answers.predictions.tolist(), succeeded.tolist(), scores.tolist())
        return [_Scored(*row) for row in zip(attempts, *parts, strict=True)]


def _moves(attempt: Attempt, coordinate: str, share: float) -> list[Attempt]:
    """Return the neighbours of an attempt along one coordinate, a fraction ``share`` of the initial step away."""
    placement = attempt.placement
    if coordinate == "flip":
        return [replace(attempt, placement=replace(placement, flip=not placement.flip))]
    step = share * _FIRST_STEPS[coordinate]
    if coordinate == "mix":
        mixes = (min(max(attempt.mix + sign * step, 0.0), 1.0) for sign in (-1, 1))
        return [replace(attempt, mix=mix) for mix in mixes]
    if coordinate == "scale":
        scales = (min(max(placement.scale * factor, _SCALES[0]), _SCALES[1]) for factor in (1 / (1 + step), 1 + step))
        return [replace(attempt, placement=replace(placement, scale=scale)) for scale in scales]
    shifts = (min(max(getattr(placement, coordinate) + sign * step, -0.5), 0.5) for sign in (-1, 1))
    return [replace(attempt, placement=replace(placement, **{coordinate: shift})) for shift in shifts]
