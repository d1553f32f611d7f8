"""One foreground at a time: a search that reports as it goes, and a closer look at where and how it succeeds."""

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
from bglab.search.pair_composer import Pairs
from bglab.search.pair_evaluator import PairEvaluator
from bglab.seeding import keyed_generator

Order = Literal["stratified", "file"]


class LiveState(NamedTuple):
    """Where a live search stands; give it to `search_live_steps` to go on from there.

    Attributes:
        foreground: Row of the foreground.
        tried: How many candidates were tried.
        left: Columns of the candidates that are left, in the order in which they will be tried.
    """

    foreground: int
    tried: int
    left: Int[np.ndarray, " k"]


@dataclass(frozen=True, eq=False)
class LiveStep:
    """One batch of a live search.

    Attributes:
        columns: Which backgrounds were tried.
        answers: What the classifier says.
        wrong: Whether each is an error.
        captured: Whether each is taken for its background's class, which is another than the foreground's.
        own_probability: Probability of the foreground's class.
        target_probability: Probability of the background's class.
        state: Where the search stands now.
    """

    columns: Int[np.ndarray, " n"]
    answers: Classification
    wrong: Bool[np.ndarray, " n"]
    captured: Bool[np.ndarray, " n"]
    own_probability: Float[np.ndarray, " n"]
    target_probability: Float[np.ndarray, " n"]
    state: LiveState


def start_live(evaluator: PairEvaluator, foreground: int | str, *, order: Order = "stratified") -> LiveState:
    """Line up the candidates for one foreground.

    Args:
        evaluator: From `open_evaluator`; its protocol says which backgrounds are candidates.
        foreground: Row, or the scene's id.
        order: ``stratified`` deals out the classes in turn, each in an order drawn for this foreground, so that what
            was tried so far is always a fair sample of all candidates; ``file`` is the set's order.

    Raises:
        UnknownName: If there is no such scene.
        BadInput: If it has no candidates, or the order is neither.
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
        return LiveState(row, 0, _stratified(evaluator, columns, own.ids[0]))
    raise BadInput(f"expected the order stratified or file, got '{order}'")


def search_live_steps(evaluator: PairEvaluator, state: LiveState, *, batch_size: int = 32) -> Iterator[LiveStep]:
    """Try one foreground's candidates, batch by batch; stop asking for steps to stop the search.

    Args:
        evaluator: From `open_evaluator`.
        state: From `start_live`, or from a step of an earlier search to go on after it.
        batch_size: Candidates a step.

    Raises:
        BadInput: If the batch is less than one.
    """
    if batch_size < 1:
        raise BadInput(f"expected a batch size of at least 1, got {batch_size}")
    while state.left.size:
        columns = state.left[:batch_size]
        pairs = Pairs(np.full(columns.size, state.foreground), columns)
        answers = classify_shown(evaluator, evaluator.composer.images(pairs))
        own, other = evaluator.foregrounds.labels[pairs.rows], evaluator.backgrounds.labels[columns]
        every = np.arange(columns.size)
        state = LiveState(state.foreground, state.tried + columns.size, state.left[batch_size:])
        yield LiveStep(
            columns=columns,
            answers=answers,
            wrong=succeeds("any", answers.predictions, own, other),
            captured=succeeds("targeted", answers.predictions, own, other),
            own_probability=answers.probabilities[every, own],
            target_probability=answers.probabilities[every, other],
            state=state,
        )


def classify_shown(evaluator: PairEvaluator, images: UInt8[Tensor, "n 3 h w"]) -> Classification:
    """Classify images in the label space of the evaluator's scenes."""
    return classify(evaluator.classifier, images, evaluator.originals.space)


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


def _stratified(evaluator: PairEvaluator, columns: Int[np.ndarray, " k"], scene: str) -> Int[np.ndarray, " k"]:
    """Deal out columns class by class in turn, each class in an order of its own."""
    rng = keyed_generator(0, "live search", scene)
    shuffled = columns[rng.permutation(columns.size)]
    labels = evaluator.backgrounds.labels[shuffled]
    turn = np.zeros(columns.size, dtype=np.int64)
    for label in np.unique(labels):
        turn[labels == label] = np.arange((labels == label).sum())
    return shuffled[np.argsort(turn, kind="stable")]
