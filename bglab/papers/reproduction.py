"""One reproduction: its scenes, models, trained networks and cached results.

Prediction tables, pair matrices and trained networks are stored under ``OUT/results``, the first two also elsewhere. An
interrupted run resumes from them, and both papers share them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from bglab.evaluation import predict
from bglab.labels import IN9_NAMES, OUTSIDE, to_in9
from bglab.models import Classifier, load_classifier
from bglab.papers.missing import TimeLimitReached
from bglab.papers.recognition import PAPERS_DATA
from bglab.papers.settings import Settings
from bglab.papers.trained_networks import TrainedNetworks
from bglab.papers.verdicts import Conditions
from bglab.results import PairPredictions
from bglab.scenes import PreparedScenes, Recognition, SceneRecord, SceneSet, open_scenes, prepare
from bglab.search import search_matrix
from bglab.variants import IN9_VARIANTS, Dataset, compose, find_variant, open_published

#: Side of the released images in pixels.
RELEASE_PX = 224


class Predicted(NamedTuple):
    """Predictions of one model on one variant of a set of scenes.

    Attributes:
        model: URI of the model.
        scenes: The scenes.
        table: Prediction table; its column ``model`` holds the display name.
    """

    model: str
    scenes: SceneSet
    table: pd.DataFrame


class Reproduction:
    """Scenes, models and results of one reproduction, each opened or computed on first use.

    Args:
        settings: Data, models and options of the run.
    """

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._tables: dict[tuple[str, str, str], Predicted] = {}
        self._used: dict[tuple[str, str, str], Predicted] = {}
        self._pairs: dict[str, PairPredictions] = {}
        self.trained = TrainedNetworks(settings, self.networks)

    @property
    def results(self) -> Path | str:
        """Folder of prediction tables and pair matrices, or its URL."""
        return self.networks if self.settings.results is None else self.settings.results

    @property
    def networks(self) -> Path:
        """Folder of trained networks."""
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
        inside = whole.with_records(_of_nine_classes(whole.records), _of_nine_classes(whole.unmasked))
        name, fingerprint = f"{whole.name}-in9l", f"{whole.fingerprint}-in9l"
        return replace(inside, space="in9", classes=IN9_NAMES, name=name, fingerprint=fingerprint)

    @functools.cached_property
    def imagenet_scenes(self) -> SceneSet | None:
        """ImageNet's validation set; None if the settings do not name it."""
        return open_scenes(self.settings.imagenet) if self.settings.imagenet else None

    @functools.lru_cache(maxsize=8)  # noqa: B019 - as below; a digest of the whole release takes seconds
    def recognised(self, data: str) -> Recognition:
        """Check whether the test scenes are a data set of the papers.

        Args:
            data: Name out of `bglab.papers.recognition.PAPERS_DATA`.
        """
        size = self.settings.size
        if data == "in9" and size != RELEASE_PX:
            return Recognition("other", f"images of {size} pixels were used, and the released ones have {RELEASE_PX}")
        if data == "in9" and self.settings.protocol == "model":
            return Recognition("other", "images were resized and cropped before the network, and the paper's were not")
        return PAPERS_DATA[data].recognise(self.scenes)

    @property
    def is_release(self) -> bool:
        """Whether the scenes are the complete released test set of IN-9, with verified content."""
        return self.recognised("in9").state == "recognised"

    def conditions(self, data: Recognition) -> Conditions:
        """Return what comparisons with the published numbers may take for granted.

        Args:
            data: Whether the test images are those that the numbers were measured on.
        """
        whole = self.imagenet_scenes
        return Conditions(
            data.state == "recognised",
            imagenet=whole is not None and PAPERS_DATA["imagenet"].recognise(whole).state == "recognised",
            float32=self.settings.engine.precision == "float32",
            seed_sd=self.settings.seed_sd,
        )

    @property
    def data(self) -> str:
        """Description of the data: name, number of scenes, released or composed variants, and the protocol."""
        kind = "released images" if self.scenes.published is not None else "variants composed by bglab"
        protocol = self.settings.protocol
        shown = f", prepared images under the protocol {protocol}" if protocol != "as-is" else ""
        return f"{self.scenes.name}, {len(self.scenes):,} scenes, {kind}{shown}"

    # images

    @functools.lru_cache(maxsize=4)  # noqa: B019 - a reproduction lives as long as its run
    def prepared(self, size: int = 0, scenes: SceneSet | None = None) -> PreparedScenes:
        """Prepare scenes at a side length in pixels, once; 0 and None use the size and scenes of the settings."""
        return prepare(scenes or self.scenes, size or self.settings.size, progress=self.settings.progress)

    @functools.lru_cache(maxsize=32)  # noqa: B019 - as above
    def dataset(self, variant: str, size: int = 0, scenes: SceneSet | None = None) -> Dataset:
        """Open a variant of the scenes: the released images where they exist, composed ones otherwise.

        Original needs neither mask nor box, so it has all images of the scenes, also those that no object could be cut
        out of; the other variants have those with a mask.
        """
        source, side = scenes or self.scenes, size or self.settings.size
        if source.published is not None and variant in IN9_VARIANTS:
            return open_published(source, variant, size=side, progress=self.settings.progress)
        chosen, s = find_variant(variant), self.settings
        whole = source if source.read_image is not None and not chosen.needs_mask else self.prepared(side, scenes)
        return compose(whole, chosen, seed=s.seed, size=side, resolution="prepared", progress=s.progress)

    # models

    @functools.lru_cache(maxsize=4)  # noqa: B019 - as above
    def classifier(self, model: str) -> Classifier:
        """Load a classifier once, under the protocol of the settings."""
        return load_classifier(model, **asdict(self.settings.engine), protocol=self.settings.protocol)

    def size_of(self, model: str) -> int:
        """Return the side of a model's input images in pixels: a trained network's own, else the settings'."""
        return self.classifier(model).spec.input_size if self.is_trained(model) else self.settings.size

    def is_trained(self, model: str) -> bool:
        """Check whether a model is one of this run's trained networks."""
        return bool(self.trained.title_of(model))

    def label(self, model: str) -> str:
        """Return a model's display name: its URI, or for a trained network its architecture and training set."""
        return self.trained.title_of(model) or model

    def main_model(self) -> str:
        """Choose the model of the example figures and the search: trained on IN-9L if available, else the first."""
        if self.trained.why_missing("in9l") is None:
            try:
                return self.trained.network("in9l")
            except TimeLimitReached:
                pass
        return self.settings.models[0]

    # predictions

    def predictions(
        self, models: Sequence[str], variants: Sequence[str], *, scenes: SceneSet | None = None
    ) -> pd.DataFrame:
        """Classify variants with models and return one prediction table; stored predictions are read, not recomputed.

        The column ``model`` holds display names (`label`), and ``dataset`` the name of the scenes, so that composed
        and released variants of one set can be paired.

        Args:
            models: URIs of the models.
            variants: Names of the variants.
            scenes: Scenes to classify; None uses those of the settings.
        """
        tables = [self._predicted(model, variant, scenes).table for model in models for variant in variants]
        return pd.concat(tables, ignore_index=True).assign(dataset=(scenes or self.scenes).name)

    @contextlib.contextmanager
    def noting_predictions(self) -> Iterator[dict[tuple[str, str, str], Predicted]]:
        """Collect the prediction tables that are used meanwhile, for example by an artefact."""
        before, self._used = self._used, {}
        try:
            yield self._used
        finally:
            self._used = before

    def _predicted(self, model: str, variant: str, scenes: SceneSet | None) -> Predicted:
        source = scenes or self.scenes
        key = (model, variant, source.fingerprint)
        if key not in self._tables:
            s = self.settings
            dataset = self.dataset(variant, self.size_of(model), scenes)
            table = predict(
                self.classifier(model), dataset, results=self.results, batch_size=s.batch_size, progress=s.progress
            )
            self._tables[key] = Predicted(model, source, table.assign(model=self.label(model)))
        self._used[key] = self._tables[key]
        return self._tables[key]

    def pairs(self, model: str) -> PairPredictions:
        """Classify all pairs of foreground and background, once; `Settings.pairs_per_class` limits the scenes."""
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
        """Note on how much of the set the search covers."""
        per_class = self.settings.pairs_per_class
        if not per_class:
            return "Every foreground was tested on every background of the set."
        return (
            f"The search covers only the first {per_class} scenes of each class: with fewer backgrounds, fewer "
            "foregrounds are vulnerable; --pairs-per-class 0 searches all."
        )


def _of_nine_classes(records: Sequence[SceneRecord]) -> list[SceneRecord]:
    """Keep the ImageNet images that belong to one of the nine classes, with its label."""
    labels = to_in9(np.array([record.native_label for record in records], dtype=np.int64)).tolist()
    return [r._replace(label=label) for r, label in zip(records, labels, strict=True) if label != OUTSIDE]
