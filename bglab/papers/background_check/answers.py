"""What networks say of photographs whose backgrounds were changed at full resolution: one run for all artefacts."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
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
from bglab.models import BASELINE, Classifier, load_classifier
from bglab.papers.artefact import Test
from bglab.papers.illustrations import OUTSIDE_NAME
from bglab.results import prediction_file, read_predictions_file, read_provenance
from bglab.seeding import keyed_seed
from bglab.variants import FullScenes, StreamSettings, expand, full_dataset, open_full, stream

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

#: What every network is shown: the photograph, its foreground white, and its background white or a texture.
SHOWN = ("original", "white_fg", "on_white", "on_texture")


@dataclass(frozen=True, eq=False)
class Answers:
    """What a run over networks and variants gave.

    Attributes:
        full: The scenes at full resolution.
        predictions: One row per image seen by one network.
        table: From `relative_accuracies`, weakest network first, with intervals of top-5 too.
        baseline: The network that the others are set beside.
        missing: Columns ``[model, reason]``: networks that could not take part.
        transforms: How each network's images are resized and cropped.
        seed: Draws which images are shown.
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
        """Networks in order of their accuracy on unmodified images, weakest first."""
        return tuple(dict.fromkeys(self.table["model"]))

    @property
    def notes(self) -> tuple[str, ...]:
        """What every artefact made from this must say."""
        told = [f"Photographs at full resolution: {self.full.census.text}."]
        if self.full.by_box.space == "in9":
            told.append(
                "The scenes are labelled with the nine classes of ImageNet-9: a right answer is any ImageNet class of "
                "the right one of nine, which is easier than the paper's one of a thousand."
            )
        if self.baseline != BASELINE:
            told.append(f"The paper's baseline, ResNet-18, is not among the networks; {self.baseline} stands in.")
        if len(self.missing):
            told.append(f"{len(self.missing)} networks could not take part; the table of missing networks says why.")
        return tuple(told)

    @property
    def missing_test(self) -> tuple[Test, ...]:
        """Give the missing networks as a table for the page; none if all took part."""
        return (Test("Networks that are missing", self.missing),) if len(self.missing) else ()

    def of(self, model: str) -> pd.DataFrame:
        """Give what one network says, with what it is right about (`mark_correct`)."""
        return mark_correct(self.predictions.loc[self.predictions["model"] == model])

    def shuffled(self, scenes: Sequence[str], key: str) -> list[str]:
        """Put scenes into an order drawn by the seed, so that none is picked by hand."""
        return sorted(scenes, key=lambda scene: keyed_seed(self.seed, key, scene))

    def images(self, scenes: Sequence[str], variants: Sequence[str]) -> dict[str, list[UInt8[np.ndarray, "3 s s"]]]:
        """Make the images of some scenes as the baseline saw them, by variant, in the scenes' order."""
        chosen = [variant for variant in expand(variants, self.full.settings) if variant.name in variants]
        found: dict[tuple[str, str], UInt8[np.ndarray, "3 s s"]] = {}
        for block in stream(self.full.select(scenes), chosen, self.transforms[self.baseline]):
            for name, crops in zip(block.variants, block.crops, strict=True):
                found |= {(name, record.id): crop for record, crop in zip(block.records, crops, strict=True)}
        return {name: [found[name, scene] for scene in scenes] for name in variants}

    def class_name(self, label: int) -> str:
        """Name a label or an answer."""
        return OUTSIDE_NAME if label == OUTSIDE else self.full.by_box.classes[label]

    def classes_of(self, scenes: Sequence[str]) -> list[str]:
        """Name the true classes of scenes."""
        first = self.predictions.drop_duplicates("scene")
        labels = dict(zip(first["scene"].tolist(), first["label"].tolist(), strict=True))
        return [self.class_name(labels[scene]) for scene in scenes]


@functools.lru_cache(maxsize=1)
def opened(reproduction: Reproduction) -> FullScenes:
    """Open the scenes of a workbench at full resolution, once."""
    settings = reproduction.settings
    return open_full(settings.scenes, StreamSettings(seed=settings.seed), progress=settings.progress)


@functools.lru_cache(maxsize=2)
def answers(reproduction: Reproduction, variants: tuple[str, ...] = SHOWN, models: tuple[str, ...] = ()) -> Answers:
    """Evaluate networks on variants, once a workbench; what is in the results already is not done again.

    Args:
        reproduction: The workbench.
        variants: What to show; all of it is made in one pass over the photographs.
        models: URIs; () takes those of the settings.

    Raises:
        BadInput: If no network could be evaluated.
    """
    settings, full = reproduction.settings, opened(reproduction)
    loader = _Loader(reproduction)
    precision = "float32" if settings.amp_dtype == "none" else settings.amp_dtype
    grid = run_grid(
        models or settings.models, full, variants, reproduction.results, load=loader, precision=precision,
        batch_size=settings.batch_size, progress=settings.progress,
    )  # fmt: skip
    missing = grid.missing.drop_duplicates("model").reindex(columns=["model", "reason"]).reset_index(drop=True)
    incomplete = set(missing["model"].tolist())
    complete = [model for model in dict.fromkeys(grid.done["model"].tolist()) if model not in incomplete]
    if not complete:
        model, reason = missing.iloc[0]
        raise BadInput(f"expected at least one network that can answer, got none; {model}: {reason}")
    names = [str(loader.ids.get(model, model)) for model in complete]
    predictions, transforms = _read(reproduction, full, names, variants, precision)
    baseline = BASELINE if BASELINE in names else names[0]
    table = with_top5_limits(relative_accuracies(predictions, baseline))
    return Answers(full, predictions, table, baseline, missing, transforms, settings.seed)


class _Loader:
    """Loads classifiers as the settings say, one at a time, and remembers the exact name of their weights."""

    def __init__(self, reproduction: Reproduction, load: Callable[..., Classifier] = load_classifier) -> None:
        self.settings = reproduction.settings
        self.load = load
        self.ids: dict[str, str] = {}

    def __call__(self, model: str) -> Classifier:
        s = self.settings
        classifier = self.load(model, engine=s.engine, device=s.device, amp_dtype=s.amp_dtype)
        self.ids[model] = classifier.spec.id
        return classifier


def _read(
    reproduction: Reproduction, full: FullScenes, models: Sequence[str], variants: Sequence[str], precision: str
) -> tuple[pd.DataFrame, dict[str, EvaluationTransform]]:
    """Read what was evaluated, and how images were cropped, without loading weights."""
    parts: list[pd.DataFrame] = []
    transforms: dict[str, EvaluationTransform] = {}
    for model in dict.fromkeys(models):
        for variant in expand(variants, full.settings):
            key = full_dataset(full, variant).key
            folder = key if precision == "float32" else f"{key}-{precision}"
            path = prediction_file(reproduction.results, folder, model, variant.name)
            parts.append(read_predictions_file(path).assign(model=model, dataset=full.name))
            if model not in transforms:
                kept = read_provenance(path)["transform"]
                transforms[model] = EvaluationTransform(**kept | {"mean": tuple(kept["mean"])})
    return pd.concat(parts, ignore_index=True), transforms


def with_top5_limits(table: pd.DataFrame) -> pd.DataFrame:
    """Add Wilson's limits of top-5, ``top5_low`` and ``top5_high``.

    Args:
        table: Columns ``[n, top5]``; a mean over draws stands for as many images as one draw has.
    """
    low, high = limits_of_mean(table["top5"].to_numpy(float), table["n"].to_numpy(np.int64))
    return table.assign(top5_low=low, top5_high=high)


def limits_of_mean(
    shares: Float[np.ndarray, " k"], totals: Int[np.ndarray, " k"]
) -> tuple[Float[np.ndarray, " k"], Float[np.ndarray, " k"]]:
    """Give Wilson's 95 % limits of mean shares over draws or runs of ``totals`` images; NaN where there is none."""
    known = np.isfinite(shares)
    low, high = proportion_confint(np.where(known, shares, 0) * totals, totals, method="wilson")
    # rounding can push a limit past the share itself
    return np.where(known, np.minimum(low, shares), np.nan), np.where(known, np.maximum(high, shares), np.nan)
