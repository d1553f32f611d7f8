"""Choice of the example images that an artefact shows: drawn by seed, not by hand, and named in the report."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bglab.errors import UnknownName
from bglab.labels import OUTSIDE
from bglab.papers.illustrations import OUTSIDE_NAME
from bglab.seeding import keyed_seed

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction


def class_name(reproduction: Reproduction, label: int) -> str:
    """Return the name of a label or prediction; "outside" for ImageNet classes that belong to none of the nine."""
    return OUTSIDE_NAME if label == OUTSIDE else reproduction.scenes.classes[label]


def shuffled_scenes(
    reproduction: Reproduction, model: str, variants: Sequence[str], name: str = "", *, key: str = "example"
) -> list[str]:
    """List the scenes that exist in every variant, in an order drawn by the seed.

    Args:
        reproduction: Scenes and seed.
        model: URI of the model whose input size is used.
        variants: Variants that the scenes must exist in.
        name: Class of the scenes; "" lists all classes.
        key: Key of the draw; different keys give independent orders.

    Raises:
        UnknownName: If there is no such scene.
    """
    sets = [reproduction.dataset(variant, reproduction.size_of(model)) for variant in variants]
    shared = set.intersection(*({row.scene for row in dataset.rows} for dataset in sets))
    rows = [row for row in sets[0].rows if row.scene in shared]
    chosen = [
        row.scene for row in rows if row.label != OUTSIDE and name in {"", reproduction.scenes.classes[row.label]}
    ]
    if not chosen:
        what = f"of class '{name}' " if name else ""
        raise UnknownName(f"no scene {what}with all of {', '.join(variants)} in {reproduction.scenes.name}")
    return sorted(chosen, key=lambda scene: keyed_seed(reproduction.settings.seed, key, scene))


def predicted_classes(reproduction: Reproduction, predictions: pd.DataFrame, scene: str) -> dict[str, str]:
    """Return the class that a model predicts for each variant of a scene, and the true class under ``truth``.

    Args:
        reproduction: Source of the class names.
        predictions: Prediction table of one model.
        scene: Id of the scene.
    """
    rows = predictions.loc[predictions["scene"] == scene]
    named = {str(row["variant"]): class_name(reproduction, int(row["prediction"])) for row in rows.to_dict("records")}
    return named | {"truth": class_name(reproduction, int(rows["label"].to_numpy()[0]))}
