"""Predictions for photographs whose backgrounds are replaced at full resolution, shared by all artefacts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from jaxtyping import Float, Int, UInt8
from statsmodels.stats.proportion import proportion_confint

from bglab.analysis import mark_correct, relative_accuracies
from bglab.errors import BadInput
from bglab.evaluation import run_grid
from bglab.images import EvaluationTransform
from bglab.labels import OUTSIDE
from bglab.locations import place_of
from bglab.models import BASELINE, Classifier, load_classifier
from bglab.papers.artefact import Test
from bglab.papers.illustrations import OUTSIDE_NAME
from bglab.results import prediction_file, read_predictions_file, read_provenance
from bglab.seeding import keyed_seed
from bglab.variants import FullScenes, StreamSettings, expand, full_dataset, open_full, stream

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

#: Variants that every network is evaluated on: unmodified, foreground white, background white, background a texture.
SHOWN = ("original", "white_fg", "on_white", "on_texture")


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Predictions and accuracies of several networks on several variants.

    Attributes:
        full: The scenes at full resolution.
        predictions: Prediction table, one row per network, variant, draw and image.
        table: Accuracies from `bglab.analysis.relative_accuracies`, least accurate network first, with limits of top-5.
        baseline: The network that the others are compared with.
        missing: Networks that could not be evaluated; columns ``[model, reason]``.
        transforms: Resize and crop of each network's images.
        seed: Seed for the choice of example images.
    """

    full: FullScenes
    predictions: pd.DataFrame
    table: pd.DataFrame
    baseline: str
    missing: pd.DataFrame
    transforms: dict[str, EvaluationTransform]
    seed: int

    @property
    def models(self) -> tuple[str, ...]:
        """Networks by accuracy on unmodified images, least accurate first."""
        return tuple(dict.fromkeys(self.table["model"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes that apply to every artefact made from this evaluation."""
        notes = [f"Photographs at full resolution: {self.full.census.text}."]
        if self.full.by_box.space == "in9":
            notes.append(
                "The scenes are labelled with the nine classes of ImageNet-9: a prediction is correct if its ImageNet "
                "class belongs to the labelled one, which is easier than the paper's 1000-way classification."
            )
        if self.baseline != BASELINE:
            notes.append(f"The paper's baseline, ResNet-18, is not among the networks; baseline is {self.baseline}.")
        if len(self.missing):
            notes.append(f"{len(self.missing)} of the networks could not be evaluated; a table lists the reasons.")
        return tuple(notes)

    @property
    def missing_test(self) -> tuple[Test, ...]:
        """The missing networks as a table for the report; () if there are none."""
        return (Test("Networks that are missing", self.missing),) if len(self.missing) else ()

    def of_model(self, model: str) -> pd.DataFrame:
        """Return the predictions of one network, marked as correct or not by `bglab.analysis.mark_correct`."""
        return mark_correct(self.predictions.loc[self.predictions["model"] == model])

    def shuffled(self, scenes: Sequence[str], key: str) -> list[str]:
        """Order scenes by a draw keyed by the seed, so that no example is chosen by hand."""
        return sorted(scenes, key=lambda scene: keyed_seed(self.seed, key, scene))

    def images(self, scenes: Sequence[str], variants: Sequence[str]) -> dict[str, list[UInt8[np.ndarray, "3 s s"]]]:
        """Render scenes as the baseline's input images, by variant, in the order of ``scenes``."""
        chosen = [variant for variant in expand(variants, self.full.settings) if variant.name in variants]
        found: dict[tuple[str, str], UInt8[np.ndarray, "3 s s"]] = {}
        for block in stream(self.full.select(scenes), chosen, self.transforms[self.baseline]):
            for name, crops in zip(block.variants, block.crops, strict=True):
                found |= {(name, record.id): crop for record, crop in zip(block.records, crops, strict=True)}
        return {name: [found[name, scene] for scene in scenes] for name in variants}

    def class_name(self, label: int) -> str:
        """Return the name of a label or prediction; "outside" if it belongs to none of the nine classes."""
        return OUTSIDE_NAME if label == OUTSIDE else self.full.by_box.classes[label]

    def classes_of(self, scenes: Sequence[str]) -> list[str]:
        """Return the names of the true classes of scenes."""
        first = self.predictions.drop_duplicates("scene")
        labels = dict(zip(first["scene"].tolist(), first["label"].tolist(), strict=True))
        return [self.class_name(labels[scene]) for scene in scenes]


@functools.lru_cache(maxsize=1)
def open_full_resolution(reproduction: Reproduction) -> FullScenes:
    """Open the scenes of a reproduction at full resolution; the result is cached."""
    settings = reproduction.settings
    return open_full(settings.scenes, StreamSettings(seed=settings.seed), progress=settings.progress)


@functools.lru_cache(maxsize=2)
def evaluate_networks(
    reproduction: Reproduction, variants: tuple[str, ...] = SHOWN, models: tuple[str, ...] = ()
) -> Evaluation:
    """Evaluate networks on variants; stored predictions are read, and the result is cached.

    Args:
        reproduction: Scenes, settings and results folder.
        variants: Names of the variants, all rendered in one pass over the photographs.
        models: URIs of the networks; () evaluates those of the settings.

    Raises:
        BadInput: If no network could be evaluated.
    """
    settings, full = reproduction.settings, open_full_resolution(reproduction)
    loader = _Loader(reproduction)
    precision = settings.engine.precision
    grid = run_grid(
        models or settings.models, full, variants, reproduction.results, load=loader, precision=precision,
        batch_size=settings.batch_size, progress=settings.progress,
    )  # fmt: skip
    missing = grid.missing.drop_duplicates("model").reindex(columns=["model", "reason"]).reset_index(drop=True)
    incomplete = set(missing["model"].tolist())
    complete = [model for model in dict.fromkeys(grid.done["model"].tolist()) if model not in incomplete]
    if not complete:
        model, reason = missing.iloc[0]
        raise BadInput(f"expected at least one network that can be evaluated, got none; {model}: {reason}")
    names = [str(loader.ids.get(model, model)) for model in complete]
    predictions, transforms = _read(reproduction, full, names, variants, precision)
    baseline = BASELINE if BASELINE in names else names[0]
    table = with_top5_limits(relative_accuracies(predictions, baseline))
    return Evaluation(full, predictions, table, baseline, missing, transforms, settings.seed)


class _Loader:
    """Loads classifiers with the engine of the settings, and records the exact id of their weights."""

    def __init__(self, reproduction: Reproduction, load: Callable[..., Classifier] = load_classifier) -> None:
        self.settings = reproduction.settings
        self.load = load
        self.ids: dict[str, str] = {}

    def __call__(self, model: str) -> Classifier:
        classifier = self.load(model, **asdict(self.settings.engine))
        self.ids[model] = classifier.spec.id
        return classifier


def _read(
    reproduction: Reproduction, full: FullScenes, models: Sequence[str], variants: Sequence[str], precision: str
) -> tuple[pd.DataFrame, dict[str, EvaluationTransform]]:
    """Read the stored predictions and transforms, without loading weights."""
    parts: list[pd.DataFrame] = []
    transforms: dict[str, EvaluationTransform] = {}
    for model in dict.fromkeys(models):
        for variant in expand(variants, full.settings):
            key = full_dataset(full, variant).key
            folder = key if precision == "float32" else f"{key}-{precision}"
            path = prediction_file(place_of(reproduction.results), folder, model, variant.name)
            parts.append(read_predictions_file(path).assign(model=model, dataset=full.name))
            if model not in transforms:
                stored = read_provenance(path)["transform"]
                transforms[model] = EvaluationTransform(**stored | {"mean": tuple(stored["mean"])})
    return pd.concat(parts, ignore_index=True), transforms


def with_top5_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Add Wilson's 95 % limits of top-5 accuracy, ``top5_low`` and ``top5_high``.

    Args:
        table: Table with columns ``n`` and ``top5``; ``n`` of a mean over draws is the number of images of one draw.
    """
    low, high = limits_of_mean(table["top5"].to_numpy(float), table["n"].to_numpy(np.int64))
    return table.assign(top5_low=low, top5_high=high)


def limits_of_mean(
    shares: Float[np.ndarray, " k"], totals: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Compute Wilson's 95 % limits of mean accuracies over draws or runs.

    Args:
        shares: Accuracies in [0, 1]; NaN where unknown.
        totals: Number of images of one draw or run.

    Returns:
        Lower and upper limits; NaN where the accuracy is unknown.
    """
    known = np.isfinite(shares)
    low, high = proportion_confint(np.where(known, shares, 0) * totals, totals, method="wilson")
    # rounding errors can move a limit past the accuracy itself
    return np.where(known, np.minimum(low, shares), np.nan), np.where(known, np.maximum(high, shares), np.nan)
