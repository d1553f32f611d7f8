"""What a model predicted for the images of a check: the tables that a card and a comparison are made from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bglab.analysis import pair_outcomes
from bglab.audit.measures import MEASURES, VARIANTS, Value, count_objects, measure_table
from bglab.errors import BadInput
from bglab.evaluation import LINF, NoiseGrid, matched, noise_predictions, predict
from bglab.labels import OUTSIDE
from bglab.models import Classifier
from bglab.names import object_name
from bglab.results import PairPredictions
from bglab.saliency import saliency_table
from bglab.scenes import PreparedScenes, ScenesLike, as_prepared, prepare
from bglab.search import search_matrix, stratified
from bglab.variants import Dataset, compose

#: Most objects that are searched and explained, one image each; larger sets are sampled, as many of each class.
MOST_OBJECTS = 100
#: One draw of the noise of Moayeri et al. at each of their strengths.
_NOISE = NoiseGrid("linf", LINF.strengths, draws=1)
#: Columns of the predictions that are kept.
_KEPT = ("scene", "variant", "donor", "label", "native_label", "prediction", "native", "confidence", "space",
         "native_space", "dataset")  # fmt: skip


class ScenesFacts(NamedTuple):
    """What was measured on.

    Attributes:
        uri: URI of the scenes.
        name: Short name of the scenes.
        fingerprint: Digest of what defines them.
        size: Side of the images in pixels.
        images: Number of images.
        objects: Number of objects that they show; copies of one object count once.
        classes: Number of classes with images.
        searched: Number of objects that were searched and explained, one image each.
        backgrounds: Number of backgrounds that each was put on.
        skipped: Number of scenes that could not be used.
        credit: Origin and licence.
    """

    uri: str
    name: str
    fingerprint: str
    size: int
    images: int
    objects: int
    classes: int
    searched: int
    backgrounds: int
    skipped: int
    credit: str

    @property
    def sentences(self) -> tuple[str, str]:
        """How the data were counted, and what was searched, in a sentence each."""
        shown = f"{self.images:,} images in {self.classes} classes"
        if self.objects < self.images:
            shown = f"{self.images:,} images of {self.objects:,} objects in {self.classes} classes"
        skipped = f"; {self.skipped:,} scenes could not be used" if self.skipped else ""
        counted = " copies of an object count once in every interval" if self.objects < self.images else ""
        first = f"Accuracies and gap: {shown}{skipped}{';' + counted if counted else ''}."
        sampled = " (a sample)" if self.searched < self.objects else ""
        second = (
            f"Search, Grad-CAM and noise: {self.searched:,} objects{sampled}, one image each; search over "
            f"{self.backgrounds:,} backgrounds, all pairs. Fooled: misclassified on at least one of them; captured: "
            "classified as the class of one."
        )
        return first, second


@dataclass(frozen=True, eq=False)
class Evidence:
    """What one model predicted, and the measures computed from it.

    Attributes:
        model: URI of the weights.
        digest: SHA-256 of the weights, first 16 hexadecimal digits; "" if unknown.
        table: One row per measure, see `bglab.audit.measures.measure_table`.
        images: Predictions, one row per image and variant, with the names ``true_class``, ``predicted_class`` and
            ``native_class`` of the classes.
        objects: One row per object searched: ``[scene, fooled, captured, share_on_object]``; the first two are 1 or 0
            for objects that some background fools or captures, NaN where there was no search.
    """

    model: str
    digest: str
    table: pd.DataFrame
    images: pd.DataFrame = field(repr=False)
    objects: pd.DataFrame = field(repr=False)

    def value(self, measure: str) -> Value:
        """Return the value of one measure.

        Raises:
            UnknownName: If there is no such measure.
        """
        MEASURES[measure]  # raises on an unknown name
        row = self.table.loc[self.table["measure"] == measure].to_dict("records")[0]
        return Value(**{name: row[name] for name in Value._fields})


@dataclass(frozen=True, eq=False)
class AuditScenes:
    """Prepared scenes of a check.

    Attributes:
        every: All scenes.
        objects: One scene of each object, at most `MOST_OBJECTS`.
    """

    every: PreparedScenes
    objects: PreparedScenes

    @property
    def facts(self) -> ScenesFacts:
        """What was measured on."""
        scenes = self.every.scenes
        return ScenesFacts(
            uri=scenes.uri,
            name=scenes.name,
            fingerprint=scenes.fingerprint,
            size=self.every.size,
            images=len(scenes),
            objects=count_objects(scenes.ids),
            classes=len(set(scenes.labels.tolist()) - {OUTSIDE}),
            searched=len(self.objects),
            backgrounds=int(self.objects.has_plate.sum()),
            skipped=len(self.every.rejected),
            credit=scenes.credit,
        )


def audit_scenes(scenes: ScenesLike, *, progress: bool = True) -> AuditScenes:
    """Prepare scenes, and choose one image of each object to search and explain.

    Args:
        scenes: Scene set, prepared scenes, a folder, or a URI for `bglab.open_scenes`.
        progress: Show a bar while scenes are prepared for the first time.

    Raises:
        BadInput: If no scene has a known class, or none can be used.
    """
    every = as_prepared(scenes, progress=progress)
    ids, labels = every.scenes.ids, every.scenes.labels
    first: dict[str, int] = {}
    for position in np.flatnonzero(labels != OUTSIDE).tolist():
        first.setdefault(object_name(ids[position]), position)
    if not first:
        raise BadInput(f"expected scenes of known class in {every.scenes.name}, got none; label them")
    chosen = np.array(list(first.values()))
    if len(chosen) > MOST_OBJECTS:
        chosen = stratified(chosen, labels, "audit")[:MOST_OBJECTS]
    objects = prepare(every.scenes.select(ids={ids[i] for i in chosen.tolist()}), every.size, progress=progress)
    return AuditScenes(every, objects)


class Measured(NamedTuple):
    """The evidence of a model, and the pair matrix behind it; None without a search."""

    evidence: Evidence
    pairs: PairPredictions | None


def measure_model(
    classifier: Classifier, scenes: AuditScenes, *, results: Path | str | None = None, progress: bool = True
) -> Measured:
    """Classify, search and explain the scenes of a check with one model.

    A measure that the model or the scenes do not support is left out, and the table tells why.

    Args:
        classifier: From `bglab.load_classifier`.
        scenes: From `audit_scenes`.
        results: Folder for result files, or its URL; finished ones are read instead of computed again.
        progress: Show bars.

    Raises:
        BadInput: If the model does not predict the classes of the scenes.
    """
    original = compose(scenes.every, "original")
    classifier = matched(classifier, original)
    reasons: dict[str, str] = {}
    parts = []
    for name in VARIANTS:
        try:
            dataset = compose(scenes.every, name)
        except BadInput as problem:
            reasons[f"accuracy_{name}"] = str(problem)
            continue
        parts.append(predict(classifier, dataset, results=results, progress=progress))
    pairs = saliency = None
    if scenes.objects.has_plate.any():
        pairs = search_matrix(classifier, scenes.objects, results=results, progress=progress)
    else:
        reasons |= dict.fromkeys(("fooled_by_some", "captured_by_some"), "no scene has a background to tile")
    try:
        saliency = saliency_table(classifier, scenes.objects, ("original",), results=results, progress=progress)
    except BadInput as problem:
        reasons["saliency_on_object"] = str(problem)
    images = pd.concat(parts, ignore_index=True)
    noise = noise_predictions(classifier, scenes.objects, _NOISE, results=results, progress=progress)
    labels = dict(zip(scenes.every.scenes.ids, scenes.every.scenes.labels.tolist(), strict=True))
    reasons["background_gap"] = reasons.get("accuracy_mixed_same", reasons.get("accuracy_mixed_rand", ""))
    reasons["background_capture"] = reasons.get("accuracy_mixed_rand", "no image has a background of another class")
    table = measure_table(images, donor_labels=labels, pairs=pairs, saliency=saliency, noise=noise, reasons=reasons)
    kept = _with_names(images.reindex(columns=list(_KEPT)), original, classifier)
    evidence = Evidence(classifier.spec.id, classifier.spec.sha256, table, kept, _object_table(scenes, pairs, saliency))
    return Measured(evidence, pairs)


def _with_names(images: pd.DataFrame, dataset: Dataset, classifier: Classifier) -> pd.DataFrame:
    """Add the names of true and predicted classes, which files of predictions do not hold."""

    def named(column: str, classes: tuple[str, ...]) -> list[str]:
        return [classes[number] if number != OUTSIDE else "(outside)" for number in images[column].tolist()]

    return images.assign(
        true_class=named("label", dataset.classes),
        predicted_class=named("prediction", dataset.classes),
        native_class=named("native", classifier.classes),
    )


def _object_table(scenes: AuditScenes, pairs: PairPredictions | None, saliency: pd.DataFrame | None) -> pd.DataFrame:
    ids = scenes.objects.scenes.ids
    fooled = captured = np.full(len(ids), np.nan)
    if pairs is not None:
        outcomes = pair_outcomes(pairs)
        fooled, captured = (np.asarray(o.any(axis=1), dtype=float) for o in (outcomes.wrong, outcomes.captured))
    shares: dict[str, float] = {}
    if saliency is not None:
        shares = dict(zip(saliency["scene"], saliency["share_on_object"].tolist(), strict=True))
    share = [shares.get(scene, np.nan) for scene in ids]
    return pd.DataFrame({"scene": ids, "fooled": fooled, "captured": captured, "share_on_object": share})
