"""Search a whole set for the clearest captures: objects taken for the class of a background, and why."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from bglab.errors import BadInput
from bglab.labels import OUTSIDE
from bglab.models import ClassifierLike
from bglab.progress import Bar
from bglab.results import Protocol, Side, allowed_pairs
from bglab.scenes import ScenesLike
from bglab.search.capture import CaptureTask, Trial, search_capture_steps
from bglab.search.live import classify_shown, find_row, stratified
from bglab.search.pair_batches import BatchSize, start_batching
from bglab.search.pair_evaluator import PairEvaluator, open_evaluator

_COLUMNS = (
    *("object", "label", "class", "background", "background_label", "background_class", "dx", "dy", "scale"),
    *("original", "on_background", "own_on_background", "on_grey", "on_own_tiled", "clarity"),
)


def capture_task(evaluator: PairEvaluator, foreground: int | str) -> CaptureTask:
    """Return the task of capturing one foreground with the backgrounds of other classes that the protocol allows.

    Args:
        evaluator: From `open_evaluator`.
        foreground: Row of the foreground, or the scene's id.

    Raises:
        UnknownName: If there is no such scene.
        BadInput: If the scene's class is unknown.
    """
    row = find_row(evaluator, foreground)
    ids, labels, native = evaluator.foregrounds
    if labels[row] == OUTSIDE:
        raise BadInput(f"expected a scene of known class, got {ids[row]}; captures need the object's own class")
    others, composer = evaluator.backgrounds.labels, evaluator.composer
    own = Side(ids[row : row + 1], labels[row : row + 1], native[row : row + 1])
    allowed = allowed_pairs(evaluator.protocol, own, evaluator.backgrounds)[0]
    columns = np.flatnonzero(allowed & (others != labels[row]) & (others != OUTSIDE))
    return CaptureTask(
        scene=composer.tensors.batch(slice(row, row + 1), composer.device),
        label=int(labels[row]),
        columns=stratified(columns, others, ids[row]),
        labels=others,
        plates=lambda wanted: composer.tensors.batch(composer.positions[wanted], composer.device).plates,
        classify=lambda images: classify_shown(evaluator, images),
    )


def clear_captures(
    classifier: ClassifierLike,
    scenes: ScenesLike,
    protocol: Protocol | None = None,
    *,
    size: int = 224,
    batch_size: BatchSize = "auto",
    progress: bool = True,
) -> pd.DataFrame:
    """Search every object of a set for clear captures, e.g. for convincing examples.

    Each object is tried on every background of another class where it was photographed, and on the eight that come
    closest to a capture at 26 other positions and scales, as far as the classifier recognises the object there in both
    controls: on plain grey, and on its own tiled background.

    Args:
        classifier: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes, or a URI for `open_scenes`.
        protocol: Rules for which pairs are tried; None stands for ``Protocol()``, all pairs of different classes.
        size: Side of the images in pixels; ignored for prepared scenes.
        batch_size: Images per forward pass, or ``auto``.
        progress: Show a bar.

    Returns:
        One row per pair of object and background with a clear capture, at the placement where it is clearest, the
        clearest pair first: ``[object, label, class, background, background_label, background_class, dx, dy, scale]``,
        where the placement is that of `bglab.images.Placement`; then probabilities in [0, 1]: ``original``, of the
        object's class in the photograph; ``on_background`` and ``own_on_background``, of the background's and the
        object's class in the capture; ``on_grey`` and ``on_own_tiled``, of the object's class in the controls; and
        ``clarity``, the smallest of ``on_background``, ``on_grey`` and ``on_own_tiled``.

    Raises:
        BadInput: If classifier and scenes have no classes in common, or no scene has a background for the protocol.
    """
    evaluator = open_evaluator(classifier, scenes, protocol, size=size, progress=progress)
    size_of_batch = start_batching(evaluator.classifier, batch_size).size
    rows = [
        row
        for foreground in Bar(evaluator.foregrounds.ids, desc="captures", unit="object", disable=not progress)
        for row in _clear_rows(evaluator, foreground, size_of_batch)
    ]
    table = pd.DataFrame(rows, columns=list(_COLUMNS)).sort_values("clarity", ascending=False, kind="stable")
    return table.drop_duplicates(["object", "background"]).reset_index(drop=True)


def _clear_rows(evaluator: PairEvaluator, foreground: str, batch_size: int) -> Iterator[dict[str, Any]]:
    """Search one object thoroughly, and tabulate its clear captures."""
    row = find_row(evaluator, foreground)
    if evaluator.foregrounds.labels[row] == OUTSIDE:
        return
    task = capture_task(evaluator, row)
    if not task.columns.size:
        return
    found = [
        trial
        for step in search_capture_steps(task, batch_size=batch_size, thorough=True)
        for trial in step.trials
        if trial.is_clear
    ]
    if not found:
        return
    original = float(classify_shown(evaluator, task.scene.images).probabilities[0, task.label])
    for trial in found:
        yield {"object": foreground, "original": original, **_described(evaluator, task, trial)}


def _described(evaluator: PairEvaluator, task: CaptureTask, trial: Trial) -> dict[str, Any]:
    column, placement = trial.attempt.column, trial.attempt.placement
    classes, other = evaluator.originals.classes, int(task.labels[column])
    grey, tiled = trial.controls.own_probabilities
    return {
        "label": task.label,
        "class": classes[task.label],
        "background": evaluator.backgrounds.ids[column],
        "background_label": other,
        "background_class": classes[other],
        "dx": placement.dx,
        "dy": placement.dy,
        "scale": placement.scale,
        "on_background": trial.probability,
        "own_on_background": trial.own_probability,
        "on_grey": grey,
        "on_own_tiled": tiled,
        "clarity": trial.clarity,
    }
