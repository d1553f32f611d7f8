"""Answers of trained networks as small files: read where they are kept; else trained, asked, and kept.

The notebooks and the tests of the papers' findings read `STUDIES` from here, so that neither trains anything unless
the files were removed or the data was changed.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from bglab.catalogue import Catalogue
from bglab.papers.reproduction import Reproduction
from bglab.papers.settings import Settings
from bglab.papers.training_runs import NETWORKS
from bglab.results import file_name, read_predictions_file, versions, write_predictions
from bglab.scenes import SceneSet
from bglab.variants import IN9_VARIANTS

# what no analysis of trained networks asks for; leaving it out makes a file ten times smaller
_LEFT_OUT = ["top5", "confidence"]


@dataclass(frozen=True)
class Study:
    """Drawn scenes to train and test toy networks on.

    Attributes:
        about: What is trained on what, one sentence to show beside the numbers.
        scenes: URI of the test scenes.
        train_scenes: URI of the training scenes, which share no scene with the test.
        large_scenes: URI of four times as many, which stand for IN-9L; "" for none.
    """

    about: str
    scenes: str
    train_scenes: str
    large_scenes: str = ""

    def settings(self, out: Path | str) -> Settings:
        """Give the settings of a workbench that keeps its networks under ``out`` and trains until it is done."""
        return Settings(
            self.scenes, Path(out), train_scenes=self.train_scenes, large_scenes=self.large_scenes,
            train_minutes=math.inf, progress=False,
        )  # fmt: skip


#: The studies whose answers are kept with the project.
STUDIES: Catalogue[Study] = Catalogue(
    "study",
    {
        "small": Study(
            "test_resnet, 64 pixels, 12 epochs on 180 drawn scenes (IN-9L: 720), of which four in five stand before "
            "their own class's scenery; tested on 450 others",
            "synthetic9?n=450&size=64",
            "synthetic9?n=180&seed=1&size=64",
            "synthetic9?n=720&seed=2&size=64",
        ),
        "large": Study(
            "test_resnet, 64 pixels, 12 epochs on 4,500 drawn scenes, of which nine in ten stand before their own "
            "class's scenery; tested on 900 others",
            "synthetic9?n=900&rho=0.9&size=64&seed=1",
            "synthetic9?n=4500&rho=0.9&size=64",
        ),
    },
)


def trained_answers(
    source: Reproduction | Settings,
    names: Sequence[str],
    kept: Path | str,
    *,
    variants: Sequence[str] = IN9_VARIANTS,
) -> pd.DataFrame:
    """Give what trained networks answer to variants of the test scenes, from files where they hold it.

    Args:
        source: Test scenes, training scenes, and where networks are kept.
        names: Trained networks by name (`bglab.papers.training_runs`).
        kept: Folder of the files; what had to be trained or asked is added to it.
        variants: What to show the networks.

    Returns:
        A prediction table without ``top5`` and ``confidence``, with the network's name in the column ``train``.

    Raises:
        MissingData: If a network is neither kept nor given nor can be trained.
        BadInput: If a file is broken.
    """
    reproduction = source if isinstance(source, Reproduction) else Reproduction(source)
    return pd.concat([_answers(reproduction, name, Path(kept), tuple(variants)) for name in names], ignore_index=True)


def kept_file(reproduction: Reproduction, name: str, kept: Path | str) -> Path:
    """Say where the answers of a network lie: other scenes to train or to test on are another file."""
    data = NETWORKS[name].data
    source = _slug(reproduction.trained.training_scenes(data)) if reproduction.trained.training_uri(data) else "given"
    return Path(kept) / _slug(reproduction.scenes) / f"{name}-{reproduction.trained.preset}-{source}.parquet"


def _slug(scenes: SceneSet) -> str:
    return file_name(f"{scenes.name}-{scenes.fingerprint[:6]}")


def _answers(reproduction: Reproduction, name: str, kept: Path, variants: tuple[str, ...]) -> pd.DataFrame:
    path = kept_file(reproduction, name, kept)
    found = read_predictions_file(path) if path.is_file() else None
    if found is None or not set(variants) <= set(found["variant"]):
        # what the file held is asked again, so that all of it comes from one network
        wanted = dict.fromkeys([*(found["variant"] if found is not None else ()), *variants])
        found = _ask(reproduction, name, path, tuple(wanted))
    chosen = found.loc[found["variant"].isin(variants)].drop(columns=_LEFT_OUT)
    return chosen.assign(train=name).sort_values("variant", key=lambda v: v.map(variants.index), kind="stable")


def _ask(reproduction: Reproduction, name: str, path: Path, variants: tuple[str, ...]) -> pd.DataFrame:
    """Find or train a network, ask it, and keep its answers with how they came about."""
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
