"""The workbench of a reproduction: scenes, models, trained networks; what is made once is kept and found again.

Everything lies under ``OUT/results``: prediction tables, pair matrices, trained networks. A run that was stopped goes
on from there, and two papers share it.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from bglab.evaluation import predict
from bglab.labels import IN9_NAMES, OUTSIDE, to_in9
from bglab.models import Classifier, load_classifier
from bglab.papers.missing import TimeBoxUsed
from bglab.papers.settings import Settings
from bglab.papers.trained_networks import TrainedNetworks
from bglab.results import PairPredictions
from bglab.scenes import PreparedScenes, SceneSet, open_scenes, prepare
from bglab.search import search_matrix
from bglab.variants import IN9_VARIANTS, Dataset, compose, find_variant, open_published

#: How many images the test set of IN-9 has.
RELEASE_SIZE = 4050
#: How many images ImageNet's validation set has.
VALIDATION_SIZE = 50_000


class Reproduction:
    """Scenes, models and results of one reproduction; see the module."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tables: dict[tuple[str, str, str], pd.DataFrame] = {}
        self._pairs: dict[str, PairPredictions] = {}
        self.trained = TrainedNetworks(settings, self.results)

    @property
    def results(self) -> Path:
        """Folder of prediction tables, pair matrices and trained networks."""
        return self.settings.out / "results"

    @functools.cached_property
    def scenes(self) -> SceneSet:
        """The test scenes."""
        return open_scenes(self.settings.scenes)

    @functools.cached_property
    def in9l_scenes(self) -> SceneSet | None:
        """ImageNet's validation images of the nine classes, the test set of IN-9L; None without ImageNet."""
        whole = self.imagenet_scenes
        if whole is None:
            return None
        labels = to_in9(np.array([record.native_label for record in whole.records], dtype=np.int64)).tolist()
        kept = tuple(r._replace(label=nine) for r, nine in zip(whole.records, labels, strict=True) if nine != OUTSIDE)
        name, fingerprint = f"{whole.name}-in9l", f"{whole.fingerprint}-in9l"
        return replace(whole, records=kept, space="in9", classes=IN9_NAMES, name=name, fingerprint=fingerprint)

    @functools.cached_property
    def imagenet_scenes(self) -> SceneSet | None:
        """ImageNet's validation set; None if it was not named."""
        return open_scenes(self.settings.imagenet) if self.settings.imagenet else None

    @property
    def is_release(self) -> bool:
        """Whether the scenes are the whole test set of IN-9, the data that the paper used."""
        if not self.scenes.name.startswith("in9:") or self.scenes.published is None:
            return False
        return len(self.scenes.published("original")) == RELEASE_SIZE

    def is_papers_data(self, paper: str) -> bool:
        """Whether the scenes are what a paper was measured on: the whole release, or ImageNet's validation set."""
        if paper == "nos":
            return self.is_release
        return self.scenes.name == "imagenet:val" and len(self.scenes) + len(self.scenes.rejected) == VALIDATION_SIZE

    @property
    def data(self) -> str:
        """The data in a phrase."""
        kind = "the release's own images" if self.scenes.published is not None else "composed here"
        return f"{self.scenes.name}, {len(self.scenes):,} scenes, {kind}"

    # images

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a workbench lives as long as its run
    def prepared(self, size: int = 0, scenes: SceneSet | None = None) -> PreparedScenes:
        """Decode scenes once at a size; 0 and None take those of the settings."""
        return prepare(scenes or self.scenes, size or self.settings.size, progress=self.settings.progress)

    @functools.lru_cache(maxsize=32)  # noqa: B019 - as above
    def dataset(self, variant: str, size: int = 0, scenes: SceneSet | None = None) -> Dataset:
        """Give a variant of the scenes: the release's own pixels where it has them, else composed."""
        source, side = scenes or self.scenes, size or self.settings.size
        if source.published is not None and variant in IN9_VARIANTS:
            return open_published(source, variant, size=side, progress=self.settings.progress)
        return compose(self.prepared(side, scenes), find_variant(variant), seed=self.settings.seed)

    # models

    @functools.lru_cache(maxsize=4)  # noqa: B019 - as above
    def classifier(self, model: str) -> Classifier:
        """Load a classifier once."""
        s = self.settings
        return load_classifier(model, engine=s.engine, device=s.device, amp_dtype=s.amp_dtype)

    def size_of(self, model: str) -> int:
        """Side of the images that a model is shown: a trained network's own, else the settings'."""
        return self.classifier(model).spec.input_size if self.is_trained(model) else self.settings.size

    def is_trained(self, model: str) -> bool:
        """Whether a model is one of this run's trained networks."""
        return bool(self.trained.title_of(model))

    def label(self, model: str) -> str:
        """Name a model for people: its URI, or for a trained network its architecture and training set."""
        return self.trained.title_of(model) or model

    def main_model(self) -> str:
        """Give the model of the paper's images and search: trained on IN-9L if there is one, else the first."""
        if self.trained.why_missing("in9l") is None:
            try:
                return self.trained.network("in9l")
            except TimeBoxUsed:
                pass
        return self.settings.models[0]

    # what models say

    def predictions(
        self, models: Sequence[str], variants: Sequence[str], *, scenes: SceneSet | None = None
    ) -> pd.DataFrame:
        """Predict what was not predicted before, and give all of it as one table.

        The column ``model`` holds labels (`label`), ``dataset`` the name of the scenes, so that composed and
        published variants of one set can be paired.
        """
        return pd.concat([self._predicted(m, v, scenes) for m in models for v in variants], ignore_index=True)

    def _predicted(self, model: str, variant: str, scenes: SceneSet | None) -> pd.DataFrame:
        source = scenes or self.scenes
        key = (model, variant, source.fingerprint)
        if key not in self._tables:
            s = self.settings
            dataset = self.dataset(variant, self.size_of(model), scenes)
            table = predict(
                self.classifier(model), dataset, results=self.results, batch_size=s.batch_size, progress=s.progress
            )
            self._tables[key] = table.assign(model=self.label(model), dataset=source.name)
        return self._tables[key]

    def pairs(self, model: str) -> PairPredictions:
        """Search all pairs of foreground and background once; `Settings.pairs_per_class` says of how many scenes."""
        if model not in self._pairs:
            per_class = self.settings.pairs_per_class
            chosen = self.scenes.select(per_class=per_class) if per_class else self.scenes
            self._pairs[model] = search_matrix(
                self.classifier(model),
                chosen,
                results=self.results,
                size=self.size_of(model),
                progress=self.settings.progress,
            )
        return self._pairs[model]

    @property
    def pairs_note(self) -> str:
        """Say how much of the set the search covers."""
        per_class = self.settings.pairs_per_class
        if not per_class:
            return "Every foreground was tried on every background of the set."
        return (
            f"Searched over the first {per_class} scenes of each class instead of all: with fewer backgrounds to "
            "choose from, fewer foregrounds are fooled; --pairs-per-class 0 takes all."
        )
