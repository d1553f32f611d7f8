"""Which images an artefact shows: drawn by seed, never picked by hand, and named on the page."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import pandas as pd

from bglab.errors import UnknownName
from bglab.labels import OUTSIDE
from bglab.names import display_name
from bglab.papers.illustrations import OUTSIDE_NAME
from bglab.seeding import keyed_seed

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction


def title_of(variant: str) -> str:
    """Write a variant above an image."""
    return display_name(variant)


def class_name(reproduction: Reproduction, label: int) -> str:
    """Name a label or an answer."""
    return OUTSIDE_NAME if label == OUTSIDE else reproduction.scenes.classes[label]


def shuffled_scenes(
    reproduction: Reproduction, model: str, variants: Sequence[str], name: str = "", *, key: str = "example"
) -> list[str]:
    """List the scenes that every variant shows, in an order drawn by the seed.

    Args:
        reproduction: The workbench.
        model: Whose size of images is meant.
        variants: What the scenes must be able to show.
        name: Class of the scenes; "" takes all.
        key: What the draw is for.

    Raises:
        UnknownName: If there is none.
    """
    sets = [reproduction.dataset(variant, reproduction.size_of(model)) for variant in variants]
    able = set.intersection(*({row.scene for row in dataset.rows} for dataset in sets))
    rows = [row for row in sets[0].rows if row.scene in able]
    chosen = [
        row.scene for row in rows if row.label != OUTSIDE and name in {"", reproduction.scenes.classes[row.label]}
    ]
    if not chosen:
        what = f"of class '{name}' " if name else ""
        raise UnknownName(f"no scene {what}that can show {', '.join(variants)} in {reproduction.scenes.name}")
    return sorted(chosen, key=lambda scene: keyed_seed(reproduction.settings.seed, key, scene))


def answers_to(reproduction: Reproduction, predictions: pd.DataFrame, scene: str) -> dict[str, str]:
    """Name the answers of one model to the versions of a scene, by variant, and the true class as ``truth``.

    Args:
        reproduction: The workbench.
        predictions: Of one model.
        scene: Id of the scene.
    """
    rows = predictions.loc[predictions["scene"] == scene]
    named = {str(row["variant"]): class_name(reproduction, int(row["prediction"])) for row in rows.to_dict("records")}
    return named | {"truth": class_name(reproduction, int(rows["label"].to_numpy()[0]))}
