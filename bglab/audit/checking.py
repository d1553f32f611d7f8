"""`check`: one model measured beside known ones, as an audit card."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path

from bglab.audit.captures import Capture, clearest_captures
from bglab.audit.card import Card
from bglab.audit.evidence import AuditScenes, Evidence, audit_scenes, measure_model
from bglab.errors import BadInput, MissingData
from bglab.files import data_root, writable_folder
from bglab.models import Classifier, ClassifierLike, as_classifier, load_classifier
from bglab.results import commit, versions
from bglab.scenes import DEFAULT_SCENES, ScenesLike
from bglab.search import open_evaluator

#: Networks that a model is shown beside: their ImageNet weights come with pip packages.
BESIDE = ("lite:efficientnet_lite0", "lite:efficientnet_lite1", "lite:efficientnet_lite2")


def check(
    model: ClassifierLike,
    *,
    scenes: ScenesLike = DEFAULT_SCENES,
    beside: Sequence[str] = BESIDE,
    results: Path | str | None = None,
    progress: bool = True,
) -> Card:
    """Measure how much a classifier leans on the background, on one page.

    The card has accuracies and the background gap; the share of objects that some background makes wrong or captures;
    the share of Grad-CAM on the object; relative foreground sensitivity; and the five clearest captures. Every number
    has a 95 % interval and is computed by `bglab.analysis`. On the default scenes a check takes about a minute on two
    processor cores once the other networks are cached.

    Accuracies are over all scenes. Search, Grad-CAM and noise use one image of each object, of at most
    `bglab.audit.evidence.MOST_OBJECTS` objects, and put every object on every background.

    Args:
        model: Classifier, or what stands for one: a URI, the path of a checkpoint, a torch module.
        scenes: Scene set, prepared scenes, a folder, or a URI for `bglab.open_scenes`.
        beside: URIs of networks to show beside the model, itself excepted. They run on the model's device under its
            protocol; what they predict is cached in the data folder. One that cannot be loaded, or does not predict
            the classes of the scenes, is left out, which `Card.notices` tells.
        results: Folder for the model's result files, or its URL; finished ones are read instead of computed again. None
            stores nothing.
        progress: Show bars.

    Returns:
        A card that notebooks display; print it for a table, or `Card.save` it as HTML, PDF, PNG, JSON or CSV.

    Raises:
        BadInput: If the model does not predict the classes of the scenes, no scene can be used, or the folder cannot
            be written to.
        MissingData: If weights or scenes are not on this machine.
        UnknownName: If the model or the source of scenes is unknown.
    """
    if results is not None:
        writable_folder(results)
    classifier = as_classifier(model)
    prepared = audit_scenes(scenes, progress=progress)
    evidence, captures = _subject(classifier, prepared, results, progress=progress)
    others, notices = _others(classifier, prepared, beside, progress=progress)
    facts = prepared.facts
    return Card(
        subject=evidence,
        beside=others,
        scenes=facts,
        captures=captures,
        notices=(*prepared.every.scenes.notices, *notices),
        versions=versions(),
        commit=commit(),
        command=_command(classifier, scenes),
    )


def _command(classifier: Classifier, scenes: ScenesLike) -> str:
    """Return what makes the card again: the command, or the call for a network or scenes that only Python has."""
    own = classifier.spec.source == "own"
    if isinstance(scenes, str | Path) and not own:
        return shlex.join(["bglab", "check", classifier.spec.id, "--scenes", str(scenes)])
    model = "classifier" if own else repr(classifier.spec.id)
    return f"bglab.check({model}, scenes={repr(str(scenes)) if isinstance(scenes, str | Path) else 'scenes'})"


def _subject(
    classifier: Classifier, scenes: AuditScenes, results: Path | str | None, *, progress: bool
) -> tuple[Evidence, tuple[Capture, ...]]:
    """Measure the model, and render its clearest captures."""
    evidence, pairs = measure_model(classifier, scenes, results=results, progress=progress)
    if pairs is None:
        return evidence, ()
    return evidence, clearest_captures(open_evaluator(classifier, scenes.objects, progress=False), pairs)


def _others(
    classifier: Classifier, scenes: AuditScenes, beside: Sequence[str], *, progress: bool
) -> tuple[tuple[Evidence, ...], list[str]]:
    """Measure the networks beside the model, from the cache where they were measured before."""
    others: list[Evidence] = []
    notices: list[str] = []
    shown = {classifier.spec.sha256}
    for name in dict.fromkeys(beside):
        if name == classifier.spec.id:
            continue
        try:
            other = load_classifier(
                name, device=str(classifier.engine.device), protocol=classifier.spec.protocol
            )  # fmt: skip
            # weights that are shown already under another name
            if other.spec.sha256 in shown:
                continue
            shown.add(other.spec.sha256)
            folder = writable_folder(data_root() / "cache" / "check")
            others.append(measure_model(other, scenes, results=folder, progress=progress).evidence)
        except (BadInput, MissingData) as problem:
            notices.append(f"{name} is not shown: {problem}")
    return tuple(others), notices
