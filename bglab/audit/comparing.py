"""`compare`: two models, checkpoints, cards or prediction tables on the same images."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bglab.analysis import with_class_names
from bglab.audit.captures import encode
from bglab.audit.card import Card
from bglab.audit.card_file import read_card
from bglab.audit.changes import changed_images, difference_table, pair_images, verdict_counts
from bglab.audit.comparison import Comparison
from bglab.audit.evidence import AuditScenes, Evidence, audit_scenes, measure_model
from bglab.audit.measures import measure_table
from bglab.errors import EXPECTED_ERRORS, BadInput
from bglab.files import writable_folder
from bglab.locations import place_of
from bglab.models import Classifier, ClassifierLike, as_classifier
from bglab.results import read_predictions, read_predictions_file
from bglab.scenes import DEFAULT_SCENES, ScenesLike, open_scenes
from bglab.variants import VARIANTS, compose

#: Changed images that are rendered.
_RENDERED = 24

Compared = ClassifierLike | Card | pd.DataFrame


def compare(
    before: Compared,
    after: Compared,
    *,
    scenes: ScenesLike | None = None,
    results: Path | str | None = None,
    progress: bool = True,
) -> Comparison:
    """Compare two models on the same images: what changed in every measure, and which images changed their verdict.

    Each side is a model, which is measured as by `bglab.check`; a card from `bglab.check`; or a prediction table of one
    model, which has accuracies only.

    Args:
        before: Classifier, or what stands for one (URI, checkpoint, torch module); card; prediction table; or the path
            of a card (``.json``), a prediction file (``.parquet``) or a results folder with the predictions of one
            model, or the URL of one of these.
        after: The same; differences are after minus before.
        scenes: Scenes to measure models on, as for `bglab.check`; None takes those of a card that is given, else
            `bglab.scenes.DEFAULT_SCENES`.
        results: Folder for result files of models, or its URL; finished ones are read instead of computed again.
        progress: Show bars.

    Returns:
        A comparison that notebooks display; print it for tables, or `Comparison.save` it as HTML, JSON or CSV.

    Raises:
        BadInput: If the two have no image in common, or a table is of several models.
        MissingData: If weights, scenes or files are not on this machine.
        UnknownName: If a model or the source of scenes is unknown.
    """
    if results is not None:
        writable_folder(results)
    sides = [_read(side) for side in (before, after)]
    cards = [side for side in sides if isinstance(side, Card)]
    needed = any(isinstance(side, Classifier) for side in sides)
    chosen = scenes if scenes is not None else cards[0].scenes.uri if cards else DEFAULT_SCENES
    prepared = audit_scenes(chosen, progress=progress) if needed else None
    first, second = (_evidence(side, prepared, results, progress=progress) for side in sides)
    images = pair_images(first, second)
    changes = changed_images(images)
    if prepared is None:
        prepared = _at_hand(scenes, cards, progress=progress)
    return Comparison(
        before=first,
        after=second,
        table=difference_table(first, second, images),
        counts=verdict_counts(images),
        changes=changes,
        left_out=images.left_out,
        thumbnails={} if prepared is None else _thumbnails(changes, prepared),
    )


def _read(side: Compared) -> Classifier | Card | pd.DataFrame:
    """Read a side that is the path of a file or folder, and load one that stands for a model."""
    if isinstance(side, Card | pd.DataFrame):
        return side
    if not isinstance(side, str | Path):
        return as_classifier(side)
    path = place_of(side)
    if path.suffix.lower() == ".json":
        return read_card(side)
    if path.suffix.lower() == ".parquet":
        return read_predictions_file(path)
    return read_predictions(side) if path.is_dir() else as_classifier(side)


def _evidence(
    side: Classifier | Card | pd.DataFrame, scenes: AuditScenes | None, results: Path | str | None, *, progress: bool
) -> Evidence:
    if isinstance(side, Card):
        return side.subject
    if isinstance(side, pd.DataFrame):
        return evidence_of(side)
    assert scenes is not None, "opened if a side is a model"
    return measure_model(side, scenes, results=results, progress=progress).evidence


def evidence_of(predictions: pd.DataFrame) -> Evidence:
    """Make evidence of a prediction table: accuracies, and the gap if both of its variants are there.

    Args:
        predictions: Predictions of one model on one set, one row per image and variant.

    Raises:
        BadInput: If the table lacks a column, or has predictions of several models.
    """
    needed = ("native", "native_space", "confidence", "donor")
    missing = [name for name in needed if name not in predictions.columns]
    if missing:
        raise BadInput(
            f"expected a prediction table with the column '{missing[0]}', got none; make it with bglab predict"
        )
    named = with_class_names(predictions)
    models = list(dict.fromkeys(named["model"]))
    if len(models) != 1:
        raise BadInput(f"expected predictions of one model, got {', '.join(map(str, models))}; select one")
    for name, number in (("true_class", "label"), ("predicted_class", "prediction"), ("native_class", "native")):
        # names of the classes of a set of one's own are not in the table
        named[name] = named[name].where(named[name] != "", "class " + named[number].astype(str))
    labels = dict(zip(named["scene"], named["label"].tolist(), strict=True))
    objects = pd.DataFrame({"scene": [], "fooled": [], "captured": [], "share_on_object": []})
    digest = str(predictions.attrs.get("weights_sha256", ""))
    return Evidence(str(models[0]), digest, measure_table(named, donor_labels=labels), named, objects)


def _at_hand(scenes: ScenesLike | None, cards: list[Card], *, progress: bool) -> AuditScenes | None:
    """Return the scenes of cards or those given, to render images of; None if they are others or not here."""
    if scenes is not None:
        return audit_scenes(scenes, progress=progress)
    for card in cards:
        try:
            opened = open_scenes(card.scenes.uri)
        except EXPECTED_ERRORS:  # no images then, of scenes that are not here
            continue
        if opened.fingerprint == card.scenes.fingerprint:
            return audit_scenes(opened, progress=progress)
    return None


def _thumbnails(changes: pd.DataFrame, scenes: AuditScenes) -> dict[int, bytes]:
    """Render the first changed images, those of variants that are known by name."""
    found = {}
    shown = changes.head(_RENDERED)
    for variant, rows in shown.loc[shown["variant"].isin(list(VARIANTS))].groupby("variant", sort=False):
        dataset = compose(scenes.every, str(variant))
        places = {row.scene: place for place, row in enumerate(dataset.rows)}
        known = [(index, places[scene]) for index, scene in rows["scene"].items() if scene in places]
        images = dataset.images([place for _, place in known], "cpu") if known else ()
        found |= {index: encode(image) for (index, _), image in zip(known, images, strict=True)}
    return found
