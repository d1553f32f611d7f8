"""Opens the browser of predictions on a table: which images are behind a number?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from bglab.analysis import RowIndex
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.models import Classifier, ClassifierLike, as_classifier
from bglab.scenes import ScenesLike, open_on_demand
from bglab.variants import Variant
from bglab.widgets.live_widget import made_by_cell
from bglab.widgets.place import Place
from bglab.widgets.prediction_browser import PredictionBrowser
from bglab.widgets.row_detail import RowDetail
from bglab.widgets.row_images import RowImages, prepared_size
from bglab.widgets.session import Session


def browse(
    predictions: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    scenes: ScenesLike | None = None,
    classifier: ClassifierLike | Mapping[str, ClassifierLike] | None = None,
    variants: Sequence[Variant] = (),
    size: int | None = None,
    seed: int = 0,
    **settings: Any,
) -> PredictionBrowser:
    """Browse predictions as images: filter them, see the number that the filter is about, and what is behind it.

    Margins are known as far as the table tells, which keeps one probability and five classes per row: see
    `bglab.analysis.least_margin`, by whose bound rows are sorted. With a classifier, the margin of an image that is
    looked at is computed.

    Args:
        predictions: Table from `bglab.predict` or `bglab.read_predictions`, or several, as from `bglab.predict_all`.
        scenes: Scenes whose images are shown, a URI for `open_scenes`, or a folder; None shows rows as text.
        classifier: Classifier of the table's model, or what stands for one; for several models, a mapping from the
            model's name in the table to its classifier. It explains an image that is looked at by Grad-CAM. None shows
            what the table has.
        variants: Variants of your own that the table has, by which their images are rendered.
        size: Side of the images in pixels; None takes that of the table's data set.
        seed: Seed with which the explorer draws; thumbnails are drawn with that of their data set.
        settings: Initial filters, by the names of `bglab.analysis.RowFilter`: ``variant="mixed_rand"``.

    Raises:
        BadInput: If the table is empty, lacks a column, has labels of several spaces, or a scene twice in one run, or
            if a setting is out of range.
        UnknownName: If a setting or a model is unknown.

    Example:
        ``bglab.browse(predictions, scenes=scenes, compared_with="variant:mixed_same", variant="mixed_rand",
        outcome="negative_flip")`` shows the images that are behind the BG-Gap.
    """
    opened = open_browser(
        predictions, scenes=scenes, classifier=classifier, variants=variants, size=size, seed=seed, settings=settings
    )
    return made_by_cell(opened)


def open_browser(
    predictions: pd.DataFrame | Sequence[pd.DataFrame],
    *,
    scenes: ScenesLike | None = None,
    classifier: ClassifierLike | Mapping[str, ClassifierLike] | None = None,
    variants: Sequence[Variant] = (),
    size: int | None = None,
    seed: int = 0,
    place: Place | None = None,
    settings: Mapping[str, Any] | None = None,
) -> PredictionBrowser:
    """Make a browser for another widget, which closes it; `browse` makes one that its cell closes.

    Args:
        predictions: As of `browse`, and so are the others.
        scenes: Scenes.
        classifier: Classifiers.
        variants: Variants of your own.
        size: Side of the images in pixels.
        seed: Seed.
        place: Where its explorer appears; None reserves a place below the browser.
        settings: Initial filters.
    """
    several = not isinstance(predictions, pd.DataFrame)
    tables = list(predictions) if several else [predictions]
    if not tables or not all(isinstance(table, pd.DataFrame) for table in tables):
        raise BadInput(
            "expected a table of predictions, or several, got "
            f"{', '.join(type(table).__name__ for table in tables[:3]) or 'none'}; make one with bglab.predict"
        )
    table = pd.concat(tables, ignore_index=True) if several else predictions
    if "donor" not in table:
        table = table.assign(donor="")
    named = [table.attrs.get("classes") for table in tables if table.attrs.get("classes")]
    source = None
    if scenes is not None:
        keys = [str(key) for key in table["dataset"].unique()] if "dataset" in table else []
        source = open_on_demand(scenes, size or prepared_size(keys))
        named.append(source.scenes.classes)
    index = RowIndex(table, named[0] if named else None)
    models = _by_model(classifier, index.values["model"])
    session = None if source is None else Session(source, list(models.values()), seed)
    images = RowImages(index, session, {variant.name: variant for variant in variants})
    detail = RowDetail(index, images, session, tuple(models))
    widget = PredictionBrowser(table, index, images, detail, several=several, place=place)
    widget.state = settings or {}
    return widget


def _by_model(
    classifier: ClassifierLike | Mapping[str, ClassifierLike] | None, known: Sequence[str]
) -> dict[str, Classifier]:
    """Return the classifier of each model of the table for which there is one."""
    if classifier is None:
        return {}
    if isinstance(classifier, Mapping):
        for model in classifier:
            if model not in known:
                raise UnknownName(unknown_name("model of the table", str(model), list(known)))
        return {model: as_classifier(each) for model, each in classifier.items()}
    found = as_classifier(classifier)
    if found.spec.id not in known:
        raise BadInput(
            f"expected a classifier of a model of the table ({', '.join(known)}), got {found.spec.id}; if it is one of "
            f'them, say which: classifier={{"{known[0]}": classifier}}'
        )
    return {found.spec.id: found}
