"""What changed between two models: paired differences of their measures, and the images whose verdict changed."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float

from bglab.analysis import (
    compare_localisation,
    compare_models,
    design_effect,
    holm,
    mark_correct,
    mean_difference,
    row_clusters,
)
from bglab.analysis.intervals import combined_difference
from bglab.audit.evidence import Evidence
from bglab.audit.measures import MEASURES
from bglab.errors import BadInput
from bglab.labels import OUTSIDE

_KEYS = ["variant", "scene"]
_SIDES = ("_before", "_after")
#: Columns of a table of changed images.
CHANGED = ("change", "variant", "scene", "true_class", "before", "before_native", "before_confidence", "after",
           "after_native", "after_confidence", "clearness")  # fmt: skip
#: Columns of a table of differences.
DIFFERENCES = ("measure", "n", "before", "after", "difference", "low", "high")


class PairedImages(NamedTuple):
    """Images that both models have classified, and the number of those left out.

    Attributes:
        both: One row per image: ``[variant, scene]``, then every column of the predictions and ``correct``, with the
            endings ``_before`` and ``_after``.
        left_out: Images that only one model has classified, or that show another background to each.
    """

    both: pd.DataFrame
    left_out: int

    def side(self, ending: str) -> pd.DataFrame:
        """Return the predictions of one model for the common images, as a prediction table named by the ending."""
        names = [name.removesuffix(ending) for name in self.both.columns if name.endswith(ending)]
        part = self.both[[*_KEYS, *(f"{name}{ending}" for name in names)]].set_axis([*_KEYS, *names], axis=1)
        # the two may have the same name, and files of two folders name their data differently
        return part.drop(columns="correct").assign(model=ending.removeprefix("_"), dataset="")


def pair_images(before: Evidence, after: Evidence) -> PairedImages:
    """Match the images of two models by variant and scene.

    Raises:
        BadInput: If they have no image in common, or their labels differ.
    """
    sides = [mark_correct(one.images.assign(model=one.model)) for one in (before, after)]
    for one, side in zip((before, after), sides, strict=True):
        if side.duplicated(_KEYS).any():
            scene = side.loc[side.duplicated(_KEYS), "scene"].iloc[0]
            raise BadInput(
                f"expected each scene once per variant for {one.model}, got {scene} twice; select one data set"
            )
    both = sides[0].merge(sides[1], on=_KEYS, suffixes=_SIDES)
    same = both["donor_before"].fillna("") == both["donor_after"].fillna("")
    both = both.loc[same].reset_index(drop=True)
    if both.empty:
        raise BadInput(
            f"expected images that both models have classified, got none in common of {before.model} and "
            f"{after.model}; measure both on the same scenes"
        )
    if not ((both["label_before"] == both["label_after"]) & (both["space_before"] == both["space_after"])).all():
        raise BadInput(
            f"expected the same classes of the same scenes, got others for {before.model} and {after.model}; "
            "measure both on the same scenes"
        )
    return PairedImages(both, len(sides[0]) + len(sides[1]) - 2 * len(both))


def difference_table(before: Evidence, after: Evidence, images: PairedImages) -> pd.DataFrame:
    """Compute the paired difference of every measure that both models have.

    Returns:
        One row per measure: ``[measure, n, before, after, difference, low, high]``; ``difference`` is after minus
        before with its 95 % interval. Shares over images or objects are paired, with Newcombe's interval and copies and
        donors as clusters; Grad-CAM has a paired bootstrap interval. The two values of RFS count as independent, which
        makes its interval too wide rather than too narrow. ``before`` and ``after`` are over the ``n`` images or
        objects that both models have.
    """
    rows = []
    for name in MEASURES:
        kind = "accuracy" if name.startswith("accuracy_") else name
        row = _DIFFERENCES[kind](name, before, after, images)
        if row is not None:
            rows.append((name, *row))
    return pd.DataFrame(rows, columns=list(DIFFERENCES))


_Row = tuple[int, float, float, float, float, float]


def _compared(
    first: Float[np.ndarray, " n"], second: Float[np.ndarray, " n"], scenes: Iterable[str], *donors: Iterable[str]
) -> _Row | None:
    """Compare the means of paired values in [0, 1]; ``second`` is after."""
    known = ~np.isnan(first) & ~np.isnan(second)
    first, second = first[known], second[known]
    if not len(first):
        return None
    clusters = row_clusters(np.asarray(scenes)[known], *(np.asarray(column)[known] for column in donors))
    apart = second - first
    effect = design_effect(apart - apart.mean(), *clusters)
    value, low, high = mean_difference(second, first, design_effect=effect)
    return len(first), float(first.mean()), float(second.mean()), value, low, high


def _accuracy(name: str, _before: Evidence, _after: Evidence, images: PairedImages) -> _Row | None:
    rows = images.both.loc[images.both["variant"] == name.removeprefix("accuracy_")]
    sides = (rows[f"correct{ending}"].to_numpy(float) for ending in _SIDES)
    return _compared(*sides, rows["scene"], rows["donor_before"].fillna(""))


def _gap(_name: str, _before: Evidence, _after: Evidence, images: PairedImages) -> _Row | None:
    rows = images.both
    sides = [rows.loc[rows["variant"] == variant] for variant in ("mixed_same", "mixed_rand")]
    both = sides[0].merge(sides[1], on="scene", suffixes=("_same", "_rand"))
    # a gap of one scene is −1, 0 or 1; halved and shifted, it is a share
    first, second = (
        (both[f"correct{end}_same"].to_numpy(float) - both[f"correct{end}_rand"].to_numpy(float) + 1) / 2
        for end in _SIDES
    )
    donors = (both[f"donor_before_{side}"].fillna("") for side in ("same", "rand"))
    row = _compared(first, second, both["scene"], *donors)
    if row is None:
        return None
    n, before, after, *difference = row
    value, low, high = (2 * limit for limit in difference)
    return n, 2 * before - 1, 2 * after - 1, value, low, high


def _capture(_name: str, _before: Evidence, _after: Evidence, images: PairedImages) -> _Row | None:
    rows = images.both.loc[images.both["variant"] == "mixed_rand"]
    labels = dict(zip(images.both["scene"], images.both["label_before"], strict=True))
    donor = rows["donor_before"].map(labels).fillna(OUTSIDE)
    other = np.asarray((donor != OUTSIDE) & (donor != rows["label_before"]), dtype=bool)
    first, second = (np.asarray(rows[f"prediction{end}"] == donor, dtype=float)[other] for end in _SIDES)
    return _compared(first, second, rows["scene"][other], rows["donor_before"][other])


def _searched(column: str) -> Callable[[str, Evidence, Evidence, PairedImages], _Row | None]:
    def compared(_name: str, before: Evidence, after: Evidence, _images: PairedImages) -> _Row | None:
        if before.objects.empty or after.objects.empty:
            return None
        both = before.objects.merge(after.objects, on="scene", suffixes=_SIDES)
        return _compared(*(both[f"{column}{end}"].to_numpy(float) for end in _SIDES), both["scene"])

    return compared


def _saliency(_name: str, before: Evidence, after: Evidence, _images: PairedImages) -> _Row | None:
    sides = [one.objects.assign(model=name) for name, one in (("after", after), ("before", before))]
    if any(side.empty or side["share_on_object"].isna().all() for side in sides):
        return None
    rows = pd.concat(sides, ignore_index=True).assign(variant="original")
    found = compare_localisation(rows, by=["variant"]).iloc[0]
    if not found.at["n"]:
        return None
    names = ("b", "a", "difference", "difference_low", "difference_high")
    before_mean, after_mean, value, low, high = (float(found.at[name]) for name in names)
    return int(found.at["n"]), before_mean, after_mean, value, low, high


def _rfs(name: str, before: Evidence, after: Evidence, _images: PairedImages) -> _Row | None:
    first, second = before.value(name), after.value(name)
    if math.isnan(first.value) or math.isnan(second.value):
        return None
    below = np.array([one.value - one.low for one in (second, first)], dtype=float)
    above = np.array([one.high - one.value for one in (second, first)], dtype=float)
    value, low, high = combined_difference(second.value - first.value, below, above, 0.0)
    return min(first.n, second.n), first.value, second.value, value, low, high


_DIFFERENCES: Mapping[str, Callable[[str, Evidence, Evidence, PairedImages], _Row | None]] = {
    "accuracy": _accuracy,
    "background_gap": _gap,
    "background_capture": _capture,
    "fooled_by_some": _searched("fooled"),
    "captured_by_some": _searched("captured"),
    "saliency_on_object": _saliency,
    "rfs": _rfs,
}


def verdict_counts(images: PairedImages) -> pd.DataFrame:
    """Count the images of each variant whose verdict changed, with an exact test.

    Returns:
        One row per variant: ``[variant, n, fixed, broken, objects, discordant, p, p_holm]``. ``fixed`` images were
        incorrect before and are correct after, ``broken`` the other way round. ``p`` is that of McNemar's exact test,
        two-sided, which counts an object once (see `bglab.analysis.compare_models`), ``p_holm`` is corrected for the
        number of variants.
    """
    predictions = pd.concat([images.side("_after"), images.side("_before")], ignore_index=True)
    rows = []
    for variant in dict.fromkeys(images.both["variant"]):
        found = compare_models(predictions, variant=variant).iloc[0]
        counts = [int(found[name]) for name in ("n", "a_only", "b_only", "objects", "discordant")]
        rows.append((variant, *counts, float(found["p"])))
    table = pd.DataFrame(rows, columns=["variant", "n", "fixed", "broken", "objects", "discordant", "p"])
    return table.assign(p_holm=holm(table["p"].to_numpy(dtype=float)))


def changed_images(images: PairedImages) -> pd.DataFrame:
    """List the images whose verdict changed, the clearest first.

    Returns:
        One row per image: ``[change, variant, scene, true_class, before, before_native, before_confidence, after,
        after_native, after_confidence, clearness]``. ``change`` is ``fixed`` or ``broken``; ``before`` and ``after``
        are the predicted classes in the space of the scenes, ``…_native`` among the model's own; confidences are
        softmax probabilities of the latter, in [0, 1], and ``clearness`` is the smaller of the two.
    """
    both = images.both
    changed = both.loc[both["correct_before"] != both["correct_after"]]
    table = pd.DataFrame(
        {
            "change": np.where(changed["correct_after"].astype(bool), "fixed", "broken"),
            "variant": changed["variant"],
            "scene": changed["scene"],
            "true_class": changed["true_class_before"],
            **{
                f"{side}{end}": changed[f"{column}_{side}"]
                for side in ("before", "after")
                for end, column in (("", "predicted_class"), ("_native", "native_class"), ("_confidence", "confidence"))
            },
        }
    ).astype({"before_confidence": float, "after_confidence": float})
    table = table.assign(clearness=table[["before_confidence", "after_confidence"]].min(axis=1))
    return (
        table.sort_values("clearness", ascending=False, kind="stable")
        .reset_index(drop=True)
        .reindex(columns=list(CHANGED))
    )
