"""Stored predictions of trained networks: read from small files, or computed by training and classifying anew.

The notebooks and the tests of the papers' findings read the predictions of `STUDIES`, so that neither trains a network
unless the files were removed or the data changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bglab.catalogue import Catalogue
from bglab.locations import Place, place_of
from bglab.papers.reproduction import Reproduction
from bglab.papers.settings import Settings
from bglab.papers.training_runs import TRAINING_RUNS
from bglab.results import data_file_name, read_predictions_file, versions, write_predictions
from bglab.scenes import SceneSet
from bglab.variants import IN9_VARIANTS

# columns that no analysis of trained networks reads; files without them are ten times smaller
_OMITTED = ["top5", "confidence"]


@dataclass(frozen=True)
class Study:
    """Synthetic scenes on which small networks are trained and tested.

    Attributes:
        about: Network, training set and test set in one sentence, to show with the numbers.
        scenes: URI of the test scenes.
        train_scenes: URI of the training scenes, disjoint from the test scenes.
        large_scenes: URI of four times as many training scenes, which stand in for IN-9L; "" for none.
    """

    about: str
    scenes: str
    train_scenes: str
    large_scenes: str = ""

    def settings(self, out: Path | str) -> Settings:
        """Return settings that store networks under ``out`` and train without a time limit."""
        return Settings(
            self.scenes, Path(out), train_scenes=self.train_scenes, large_scenes=self.large_scenes,
            train_minutes=math.inf, progress=False,
        )  # fmt: skip


#: The studies whose predictions are stored in the repository.
STUDIES: Catalogue[Study] = Catalogue(
    "study",
    {
        "small": Study(
            "test_resnet, 64 pixels, 12 epochs on 180 synthetic scenes (IN-9L: 720), four in five of them with the "
            "scenery of their own class; tested on 450 other scenes",
            "synthetic9?n=450&size=64",
            "synthetic9?n=180&seed=1&size=64",
            "synthetic9?n=720&seed=2&size=64",
        ),
        "large": Study(
            "test_resnet, 64 pixels, 12 epochs on 4,500 synthetic scenes, nine in ten of them with the scenery of "
            "their own class; tested on 900 other scenes",
            "synthetic9?n=900&rho=0.9&size=64&seed=1",
            "synthetic9?n=4500&rho=0.9&size=64",
        ),
    },
)


def trained_predictions(
    source: Reproduction | Settings,
    names: Sequence[str],
    folder: Path | str,
    *,
    variants: Sequence[str] = IN9_VARIANTS,
) -> pd.DataFrame:
    """Load the predictions of trained networks for variants of the test scenes; missing ones are computed and stored.

    Args:
        source: Test scenes, training scenes, and the folder of trained networks.
        names: Names of the networks in `bglab.papers.training_runs`.
        folder: Folder of the prediction files, or its URL; predictions that had to be computed are added to it.
        variants: Names of the variants.

    Returns:
        A prediction table without ``top5`` and ``confidence``, with the network's name in the column ``train``.

    Raises:
        MissingData: If a network is neither stored nor given nor can be trained.
        BadInput: If a file is broken.
    """
    reproduction = source if isinstance(source, Reproduction) else Reproduction(source)
    tables = [_load_or_predict(reproduction, name, folder, tuple(variants)) for name in names]
    return pd.concat(tables, ignore_index=True)


def predictions_path(reproduction: Reproduction, name: str, folder: Path | str) -> Place:
    """Return the prediction file of a network; other training or test scenes have a file of their own."""
    data = TRAINING_RUNS[name].data
    source = _slug(reproduction.trained.training_scenes(data)) if reproduction.trained.training_uri(data) else "given"
    return place_of(folder) / _slug(reproduction.scenes) / f"{name}-{reproduction.trained.preset}-{source}.parquet"


def _slug(scenes: SceneSet) -> str:
    return data_file_name(scenes.name, scenes.fingerprint)


def _load_or_predict(
    reproduction: Reproduction, name: str, folder: Path | str, variants: tuple[str, ...]
) -> pd.DataFrame:
    path = predictions_path(reproduction, name, folder)
    found = read_predictions_file(path) if path.is_file() else None
    if found is None or not set(variants) <= set(found["variant"]):
        # variants already in the file are classified again, so that all rows come from one network
        wanted = dict.fromkeys([*(found["variant"] if found is not None else ()), *variants])
        found = _predict(reproduction, name, path, tuple(wanted))
    chosen = found.loc[found["variant"].isin(variants)].drop(columns=_OMITTED)
    return chosen.assign(train=name).sort_values("variant", key=lambda v: v.map(variants.index), kind="stable")


def _predict(reproduction: Reproduction, name: str, path: Place, variants: tuple[str, ...]) -> pd.DataFrame:
    """Locate or train a network, classify the variants, and write the predictions with their provenance."""
    uri = reproduction.trained.network(name)
    recipe = reproduction.trained.recipe_of(uri)
    table = reproduction.predictions([uri], variants)
    table = table.assign(top5=[[]] * len(table), confidence=math.nan)
    about = {
        "scenes": reproduction.scenes.name,
        "fingerprint": reproduction.scenes.fingerprint,
        "recipe": recipe.as_dict() if recipe else {},
        "seed": reproduction.settings.seed,
        "versions": versions(),
    }
    write_predictions(path, table, about)
    return read_predictions_file(path)
