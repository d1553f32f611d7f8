"""The measures of an audit card: their names, their values with intervals, and how these are written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, Literal, NamedTuple

import pandas as pd

from bglab.analysis import (
    accuracy,
    background_capture,
    background_gap,
    foreground_sensitivity,
    localisation_summary,
    vulnerability,
)
from bglab.catalogue import Catalogue
from bglab.names import display_name, object_name
from bglab.results import PairPredictions

#: Variants whose accuracy is on the card.
VARIANTS = ("original", "mixed_same", "mixed_rand", "only_fg", "only_bg_t")

Unit = Literal["share", "points", "index"]


class Measure(NamedTuple):
    """One line of the card.

    Attributes:
        title: Name in tables.
        headline: Name below the large number at the top; "" if the measure is not among them.
        unit: ``share`` is a fraction in [0, 1], written in percent; ``points`` a difference of two of these, in
            [-1, 1], written in percentage points; ``index`` a number in [-1, 1], written as it is.
        about: What it measures, in one sentence.
    """

    title: str
    headline: str
    unit: Unit
    about: str


_ABOUT_VARIANTS = {
    "original": "the images as they are",
    "mixed_same": "each object on the background of another image of its class",
    "mixed_rand": "each object on the background of a random image",
    "only_fg": "the object on black",
    "only_bg_t": "the background alone, tiled over the object's box",
}

#: All measures, in the order of the card.
MEASURES: Catalogue[Measure] = Catalogue(
    "measure",
    {
        f"accuracy_{name}": Measure(
            f"Accuracy, {display_name(name)}",
            "accuracy on Original" if name == "original" else "",
            "share",
            f"Top-1 accuracy on {display_name(name)}: {about}.",
        )
        for name, about in _ABOUT_VARIANTS.items()
    }
    | {
        "background_gap": Measure(
            "BG-Gap (points)",
            "points BG-Gap, Mixed-Same − Mixed-Rand",
            "points",
            "Accuracy on Mixed-Same minus accuracy on Mixed-Rand, paired by scene.",
        ),
        "background_capture": Measure(
            "Captured, Mixed-Rand",
            "",
            "share",
            "Mixed-Rand images, with a background of another class, that are classified as that class.",
        ),
        "fooled_by_some": Measure(
            "Fooled, search",
            "fooled by some background",
            "share",
            "Objects that are misclassified on at least one of the backgrounds searched.",
        ),
        "captured_by_some": Measure(
            "Captured, search",
            "captured by some background",
            "share",
            "Objects that are classified as the class of at least one of the backgrounds searched.",
        ),
        "saliency_on_object": Measure(
            "Grad-CAM on object",
            "of Grad-CAM on the object",
            "share",
            "Share of Grad-CAM for the predicted class inside the object's mask, on Original; a map without "
            "information scores the relative area of the mask.",
        ),
        "rfs": Measure(
            "RFS (−1 to 1)",
            "relative foreground sensitivity",
            "index",
            "Relative foreground sensitivity (Moayeri et al. 2022): accuracy with noise on the background minus "
            "accuracy with noise on the object, over the largest difference possible; above 0 where the object "
            "matters more.",
        ),
    },
)


class Value(NamedTuple):
    """The value of a measure; floats are NaN where they are undefined.

    Attributes:
        n: Number of images or objects.
        objects: Number of objects that they show.
        value: The value, in [0, 1] or [-1, 1].
        low: Lower limit of the 95 % interval.
        high: Upper limit.
        chance: Value of a model without information.
        reason: Why the measure is missing, "" if it is not.
    """

    n: int
    objects: int
    value: float
    low: float
    high: float
    chance: float
    reason: str


#: Columns of a table of measures.
COLUMNS = ("measure", *Value._fields)


def measure_table(
    images: pd.DataFrame,
    *,
    donor_labels: Mapping[str, int] | None = None,
    pairs: PairPredictions | None = None,
    saliency: pd.DataFrame | None = None,
    noise: pd.DataFrame | None = None,
    reasons: Mapping[str, str] | None = None,
) -> pd.DataFrame:
    """Compute every measure of one model by the functions of `bglab.analysis`.

    Args:
        images: Predictions of one model, one row per image and variant.
        donor_labels: Class of each scene that lends a background.
        pairs: Predictions of every object on every background.
        saliency: From `bglab.saliency_table`, on Original.
        noise: From `bglab.evaluation.noise_predictions`.
        reasons: Why a measure is missing.

    Returns:
        One row per measure of `MEASURES`: ``[measure, n, objects, value, low, high, chance, reason]``; ``n`` counts
        images and ``objects`` the objects they show. ``low`` and ``high`` are the limits of the 95 % interval, NaN
        where there are too few objects for one; ``chance`` is NaN where it is not defined. ``value`` is NaN where the
        measure is missing, and ``reason`` tells why.
    """
    rows = _accuracy_rows(images) | _donor_rows(images, donor_labels or {})
    if pairs is not None:
        rows |= _search_rows(pairs)
    if saliency is not None:
        found = _first(localisation_summary(saliency, by=["model"]))
        known = saliency.loc[saliency["share_on_object"].notna()]
        rows["saliency_on_object"] = _row(found, "share_on_object", known["scene"]) | {
            "n": len(known),
            "chance": float(found["share_on_object_chance"]),
            "reason": "" if len(known) else f"all {len(saliency):,} maps are zero everywhere",
        }
    if noise is not None:
        rows["rfs"] = _row(_first(foreground_sensitivity(noise, by=["model"])), "rfs", noise["scene"].unique())
    missing = {"n": 0, "objects": 0, "value": math.nan, "low": math.nan, "high": math.nan}
    why = reasons or {}
    return pd.DataFrame(
        [
            {"measure": name, "chance": math.nan, "reason": ""}
            | (rows[name] if name in rows else missing | {"reason": why.get(name, "not measured")})
            for name in MEASURES
        ]
    ).reindex(columns=list(COLUMNS))


def _row(found: Mapping[str, Any], name: str, scenes: Iterable[Any]) -> dict[str, Any]:
    """Turn a row of an analysis table into one of ours."""
    ends = {end: float(found[f"{name}{suffix}"]) for end, suffix in (("value", ""), ("low", "_low"), ("high", "_high"))}
    return {"n": int(found["n"]), "objects": count_objects(scenes)} | ends


def _first(table: pd.DataFrame) -> dict[str, Any]:
    """Return the only row of an analysis table."""
    return {str(name): cell for name, cell in table.to_dict("records")[0].items()}


def count_objects(scenes: Iterable[Any]) -> int:
    """Count the objects that scenes show; copies of one object count once."""
    return len({object_name(str(scene)) for scene in scenes})


def _accuracy_rows(images: pd.DataFrame) -> dict[str, dict[str, Any]]:
    table = accuracy(images, by=["variant"])
    return {
        f"accuracy_{row['variant']}": _row(row, "top1", images.loc[images["variant"] == row["variant"], "scene"])
        for row in table.to_dict("records")
        if row["variant"] in VARIANTS
    }


def _donor_rows(images: pd.DataFrame, donor_labels: Mapping[str, int]) -> dict[str, dict[str, Any]]:
    rows = {}
    mixed = images.loc[images["variant"] == "mixed_rand"]
    if {"mixed_same", "mixed_rand"} <= set(images["variant"]):
        gap = _first(background_gap(images, by=["model"]))
        rows["background_gap"] = _row(gap, "gap", mixed["scene"])
    if set(mixed["donor"]) & set(donor_labels):
        captured = _first(background_capture(mixed, donor_labels, by=["variant"]))
        other = mixed["donor"].map(donor_labels) != mixed["label"]
        rows["background_capture"] = _row(captured, "captured", mixed.loc[other, "scene"])
    return rows


def _search_rows(pairs: PairPredictions) -> dict[str, dict[str, Any]]:
    found, scenes = _first(vulnerability(pairs)), pairs.foregrounds.ids
    return {
        "fooled_by_some": _row(found, "vulnerable_any", scenes),
        "captured_by_some": _row(found, "vulnerable_targeted", scenes),
    }


def written(name: str, value: float, *, sign: bool = False) -> str:
    """Write a value of a measure without its unit: percent or points with one decimal, an index with two.

    Example:
        >>> written("accuracy_original", 0.8049), written("rfs", -0.126), written("rfs", float("nan"))
        ('80.5', '−0.13', '–')
    """
    if math.isnan(value):
        return "–"
    scale, digits = (1, 2) if MEASURES[name].unit == "index" else (100, 1)
    text = f"{scale * value:{'+' if sign else ''}z.{digits}f}".replace("100.0", "100")
    return text.removeprefix("+" if not float(text) else "").replace("-", "−")


def written_interval(name: str, low: float, high: float, *, sign: bool = False) -> str:
    """Write an interval in brackets; "" if it is undefined."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"[{written(name, low, sign=sign)}, {written(name, high, sign=sign)}]"


def unit_of(name: str) -> str:
    """Return the unit that follows a value: " %", " points", or "" for an index."""
    return {"share": " %", "points": " points", "index": ""}[MEASURES[name].unit]
