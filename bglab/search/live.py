"""The live search: try the backgrounds of one foreground in steps that can be shown, stopped and continued."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.models import Classification, classify
from bglab.results import Side, allowed_pairs, succeeds
from bglab.search.pair_evaluator import PairEvaluator
from bglab.search.pair_images import Pairs
from bglab.seeding import keyed_generator

Order = Literal["stratified", "file"]


class LiveState(NamedTuple):
    """Progress of a live search; `search_live_steps` continues from it.

    Attributes:
        foreground: Row of the foreground.
        tried: Number of candidates tried so far.
        left: Columns of the remaining candidates, in the order in which they will be tried.
    """

    foreground: int
    tried: int
    left: Int[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class LiveStep:
    """One batch of a live search.

    Attributes:
        columns: Columns of the backgrounds that were tried.
        answers: Predictions of the classifier for these pairs.
        incorrect: True where the prediction is not the foreground's class.
        captured: True where the prediction is the background's class and that differs from the foreground's.
        own_probability: Probability of the foreground's class, in [0, 1].
        target_probability: Probability of the background's class, in [0, 1].
        state: Progress after this step.
    """

    columns: Int[np.ndarray, " n"]
    answers: Classification
    incorrect: Bool[np.ndarray, " n"]
    captured: Bool[np.ndarray, " n"]
    own_probability: Float[np.ndarray, " n"]
    target_probability: Float[np.ndarray, " n"]
    state: LiveState


def start_live(evaluator: PairEvaluator, foreground: int | str, *, order: Order = "stratified") -> LiveState:
    """List the candidate backgrounds of one foreground in the order in which they will be tried.

    Args:
        evaluator: From `open_evaluator`; its protocol selects the candidates.
        foreground: Row of the foreground, or the scene's id.
        order: ``stratified`` alternates between the classes, each in random order (keyed by the foreground), so that
            the candidates tried so far are always spread evenly over the classes; ``file`` is the order of the set.

    Raises:
        UnknownName: If there is no such scene.
        BadInput: If the foreground has no candidates, or the order is unknown.
    """
    row = find_row(evaluator, foreground)
    ids, labels, native_labels = evaluator.foregrounds
    own = Side(ids[row : row + 1], labels[row : row + 1], native_labels[row : row + 1])
    columns = np.flatnonzero(allowed_pairs(evaluator.protocol, own, evaluator.backgrounds)[0])
    if not columns.size:
        raise BadInput(
            f"expected candidate backgrounds for {own.ids[0]} under {evaluator.protocol}, got none; widen it"
        )
    if order == "file":
        return LiveState(row, 0, columns)
    if order == "stratified":
        return LiveState(row, 0, stratified(columns, evaluator.backgrounds.labels, own.ids[0]))
    raise BadInput(f"expected the order stratified or file, got '{order}'")


def search_live_steps(evaluator: PairEvaluator, state: LiveState, *, batch_size: int = 32) -> Iterator[LiveStep]:
    """Try the remaining candidates of one foreground, batch by batch.

    The search runs only as far as steps are requested.

    Args:
        evaluator: From `open_evaluator`.
        state: From `start_live`, or from a step of an earlier search, to continue after it.
        batch_size: Candidates per step.

    Yields:
        The results of one batch, with the state to continue from.

    Raises:
        BadInput: If the batch size is less than 1.
    """
    if batch_size < 1:
        raise BadInput(f"expected a batch size of at least 1, got {batch_size}")
    while state.left.size:
        columns = state.left[:batch_size]
        pairs = Pairs(np.full(columns.size, state.foreground), columns)
        answers = classify_shown(evaluator, evaluator.composer.render(pairs))
        own, other = evaluator.foregrounds.labels[pairs.rows], evaluator.backgrounds.labels[columns]
        every = np.arange(columns.size)
        state = LiveState(state.foreground, state.tried + columns.size, state.left[batch_size:])
        yield LiveStep(
            columns=columns,
            answers=answers,
            incorrect=succeeds("any", answers.predictions, own, other),
            captured=succeeds("targeted", answers.predictions, own, other),
            own_probability=answers.probabilities[every, own],
            target_probability=answers.probabilities[every, other],
            state=state,
        )


def classify_shown(evaluator: PairEvaluator, images: UInt8[Tensor, "n 3 h w"]) -> Classification:
    """Classify composed images in the label space of the evaluator's scenes."""
    classifier = evaluator.classifier
    return classify(classifier, classifier.see(images), evaluator.originals.space)


def find_row(evaluator: PairEvaluator, foreground: int | str) -> int:
    """Return the row of a foreground.

    Raises:
        UnknownName: If there is no such scene.
    """
    scenes = evaluator.prepared.scenes
    if isinstance(foreground, str):
        if foreground not in scenes.positions:
            raise UnknownName(unknown_name("scene", foreground, scenes.near(foreground)))
        return scenes.positions[foreground]
    return range(len(scenes))[foreground]


def stratified(columns: Int[np.ndarray, " k"], labels: Int[np.ndarray, " b"], scene: str) -> Int[np.ndarray, " k"]:
    """Shuffle columns and interleave their classes: one of each class, then the second of each, and so on.

    Args:
        columns: Columns to order.
        labels: Class of every background, by column.
        scene: Id of the foreground, which keys the order.
    """
    rng = keyed_generator(0, "live search", scene)
    shuffled = columns[rng.permutation(columns.size)]
    classes = labels[shuffled]
    turn = np.zeros(columns.size, dtype=np.int64)
    for label in np.unique(classes):
        turn[classes == label] = np.arange((classes == label).sum())
    return shuffled[np.argsort(turn, kind="stable")]
