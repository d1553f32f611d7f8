"""Verdicts on compared numbers: which rule applies to a pair of numbers, and whether they agree by it.

Three kinds of comparison are kept apart (`KINDS`), because two numbers can differ for three reasons. The same weights
classify the same images the same way, so nothing but the rounding of the printed number may separate them. A network
that was trained again by the same recipe differs by its seed. Of another network, or on other data, nothing follows.

**Retrained networks.** Both runs are tested on the same images, so the sampling of these images, which binomial
intervals describe, moves both alike and is not added. What differs is the seed: the difference of two runs has the
variance ``sd² + sd²``. The paper trained once and prints no spread, so its standard deviation is assumed
(`ASSUMED_SEED_SD`); ours is estimated if networks were trained with several seeds. The intervals of all retrained
numbers of a table hold simultaneously with 95 % (Šidák), since a table of 81 numbers with single 95 % intervals would
show four of them outside even for a perfect replication.
"""

from __future__ import annotations

import math
from typing import Literal, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from scipy import stats

Kind = Literal["same weights, same data", "same recipe", "another network or data"]
Verdict = Literal["agrees", "differs", "no verdict", "probably other weights"]

#: What is known of the origin of our number: ``named``: weights that the paper names; ``guessed``: weights that fit the
#: paper's description; ``recipe``: trained by the paper's recipe; ``count``: no network takes part; ``other``.
Basis = Literal["named", "guessed", "recipe", "count", "other"]

SAME_WEIGHTS: Kind = "same weights, same data"
SAME_RECIPE: Kind = "same recipe"
OTHER: Kind = "another network or data"

#: Meaning of each kind of comparison, as shown in the report.
KINDS: dict[Kind, str] = {
    SAME_WEIGHTS: "the paper's own weights on its own images, or a count in which no network takes part: agrees if it "
    "rounds to the printed number; no image may be off beyond that",
    SAME_RECIPE: "trained again by the paper's recipe and tested on its images: agrees if the printed number lies in "
    "the 95 % interval for another seed, simultaneously for all such numbers of the table",
    OTHER: "shown for orientation, without a verdict",
}

#: Assumed standard deviation, over seeds, of the accuracy of a network trained by the paper's recipe. The paper has one
#: run per network. 0.5 points is what two networks differ by, each, if they disagree on 20 % of 4,050 images.
ASSUMED_SEED_SD = 0.005

#: Probability that all retrained numbers of a table agree if all are perfect replications.
CONFIDENCE = 0.95

#: Number of compared numbers of one network from which their agreement to the printed digit identifies its weights.
IDENTIFYING = 2

#: Number of images of IN-9L's test set, if it is the largest balanced part of ImageNet's validation set (fish has 16
#: classes of 50 images). It was never released, so our column IN-9L holds all images of the nine classes.
IN9L_TEST_SIZE = 7200

#: Note for numbers of retrained networks that have no verdict.
SEARCH_SPREAD = (
    "How much the fooling rates of a search differ between trainings is not known (a user of the release reports a "
    "network fooled on more than 99 % of the foregrounds, the paper's is on 88 %), so those of retrained networks have "
    "no verdict."
)

_EPSILON = 1e-9
_JUDGED = ("agrees", "differs")
# columns that name a number of the paper, and those that name a network
_NUMBER = ("printed", "train", "test", "variant", "quantity", "class", "foregrounds")
_NETWORK = ("model", "printed", "train")


class Conditions(NamedTuple):
    """What a comparison may take for granted.

    Attributes:
        papers_data: Whether the test images are the paper's.
        imagenet: Whether the images of the columns ImageNet and IN-9L are ImageNet's validation set.
        float32: Whether networks were run in full precision; lower precisions change predictions.
        seed_sd: Standard deviation of accuracies over seeds, a fraction.
    """

    papers_data: bool
    imagenet: bool = False
    float32: bool = True
    seed_sd: float = ASSUMED_SEED_SD


class Tally(NamedTuple):
    """How many printed numbers were judged.

    Attributes:
        printed: Numbers that the paper prints for the artefact.
        compared: Those of them that have a verdict.
        agree: Those of them that agree.
        shown: Those that are compared without a verdict.
    """

    printed: int
    compared: int
    agree: int
    shown: int

    @property
    def text(self) -> str:
        """The tally as a phrase, e.g. "5 of 65 printed numbers compared, 5 agree"."""
        return f"{self.compared} of {self.printed} printed numbers compared, {self.agree} agree"


def judge(compared: pd.DataFrame, conditions: Conditions) -> pd.DataFrame:
    """Add the kind of each comparison, its tolerance, and its verdict.

    Args:
        compared: Table from `bglab.analysis.with_published` with the column ``basis`` (see `Basis`). Optional columns:
            ``spread``, the standard deviation over seeds of a number as a multiple of an accuracy's, NaN if unknown (a
            background gap has √2, since both its accuracies vary); ``seeds`` and ``mean`` and ``sd``, the number of our
            networks trained with different seeds, and the mean and standard deviation over them.
        conditions: What the comparison may take for granted.

    Returns:
        The table without ``basis`` and ``spread``, and with the columns ``kind``, ``tolerance`` and ``verdict``: the
        largest difference that agrees, as a fraction (NaN without a verdict). Rows that lack one of the two numbers
        have "" as kind and verdict.
    """
    frame = compared.reset_index(drop=True)
    known = (frame["published"].notna() & frame["ours"].notna()).to_numpy(bool)
    kinds = np.array([_kind(row, conditions) for row in frame.to_dict("records")], dtype=object)
    kinds[~known] = ""
    exact, retrained = kinds == SAME_WEIGHTS, kinds == SAME_RECIPE
    tolerance = np.full(len(frame), np.nan)
    verdicts = np.where(known, "no verdict", "").astype(object)
    agree = _equal_to_the_digit(frame)
    tolerance[exact] = _half_unit(frame)[exact]
    verdicts[exact] = np.where(agree[exact], *_JUDGED)
    tolerance[retrained] = _seed_tolerance(frame.loc[retrained], conditions.seed_sd)
    away = np.abs(_column(frame, "mean", "ours") - frame["published"].to_numpy(float))
    judged = retrained & np.isfinite(tolerance)
    verdicts[judged] = np.where(away[judged] <= tolerance[judged] + _EPSILON, *_JUDGED)
    for rows in _unconfirmed(frame, exact, agree):
        kinds[rows], tolerance[rows], verdicts[rows] = OTHER, np.nan, "probably other weights"
    frame = frame.drop(columns=["basis", "spread"], errors="ignore")
    return frame.assign(kind=kinds, tolerance=tolerance, verdict=verdicts)


def tally(judged: pd.DataFrame | None, printed: int) -> Tally:
    """Count the printed numbers that have a verdict and those that agree.

    A number of the paper that is compared more than once, e.g. with the same weights from two sources, counts once,
    and agrees if all of its comparisons do.

    Args:
        judged: Table from `judge`; None if nothing was compared.
        printed: How many numbers the paper prints for the artefact.
    """
    if judged is None or judged.empty:
        return Tally(printed, 0, 0, 0)
    names = [c for c in _NUMBER if c in judged.columns]
    numbers = judged.groupby(names, sort=False, dropna=False)["verdict"].agg(frozenset)
    with_verdict = [set(verdicts) & set(_JUDGED) for verdicts in numbers]
    return Tally(
        printed,
        sum(bool(found) for found in with_verdict),
        sum(found == {"agrees"} for found in with_verdict),
        sum(not found and verdicts != {""} for found, verdicts in zip(with_verdict, numbers, strict=True)),
    )


def _kind(row: dict, conditions: Conditions) -> Kind:
    test, basis = row.get("test", ""), row["basis"]
    papers_data = conditions.imagenet if test in {"imagenet", "in9l"} else conditions.papers_data
    # IN-9L's test images were not released, so its weights never meet the same data
    same_weights = basis in {"named", "guessed"} and conditions.float32 and test != "in9l"
    if papers_data and (same_weights or basis == "count"):
        return SAME_WEIGHTS
    return SAME_RECIPE if papers_data and basis == "recipe" else OTHER


def _unit(frame: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Return one unit of the last printed digit; counts have whole units."""
    digits = frame["digits"].to_numpy(float, na_value=np.nan) if "digits" in frame else np.zeros(len(frame))
    return np.where(frame["basis"] == "count", 1.0, 10.0 ** -(digits + 2))


def _half_unit(frame: pd.DataFrame) -> Float[np.ndarray, " n"]:
    return np.where(frame["basis"] == "count", 0.0, _unit(frame) / 2)


def _equal_to_the_digit(frame: pd.DataFrame) -> Bool[np.ndarray, " n"]:
    """Check whether our number rounds to the printed one; an exact half may be rounded either way.

    A background gap may also be printed as the difference of the two rounded accuracies, as all gaps of Table 2 are.
    """
    ours, published, unit = frame["ours"].to_numpy(float), frame["published"].to_numpy(float), _unit(frame)
    equal = np.abs(ours - published) <= _half_unit(frame) + _EPSILON
    if "test" not in frame:
        return equal
    low, high = np.ceil(ours / unit - 0.5 - 1e-6), np.floor(ours / unit + 0.5 + 1e-6)
    for rows in _networks(frame):
        at = {frame["test"].iloc[row]: row for row in rows}
        if {"mixed_same", "mixed_rand", "background_gap"} <= set(at):
            same, rand, gap = at["mixed_same"], at["mixed_rand"], at["background_gap"]
            printed = np.round(published[gap] / unit[gap])
            equal[gap] |= low[same] - high[rand] <= printed <= high[same] - low[rand]
    return equal


def _networks(frame: pd.DataFrame) -> list[np.ndarray]:
    """Return the rows of each network."""
    names = [c for c in _NETWORK if c in frame.columns]
    if not names:
        return [np.arange(len(frame))]
    return list(frame.groupby(names, sort=False, dropna=False).indices.values())


def _unconfirmed(
    frame: pd.DataFrame, exact: Bool[np.ndarray, " n"], agree: Bool[np.ndarray, " n"]
) -> list[Bool[np.ndarray, " n"]]:
    """Return the rows of each network with guessed weights that its numbers do not identify as the paper's.

    That several numbers agree to the printed digit does not happen with other weights; that one does not agree says
    nothing about the paper if the weights are a guess.
    """
    guessed = (frame["basis"] == "guessed").to_numpy(bool) & exact
    found = []
    for rows in _networks(frame):
        own = np.zeros(len(frame), dtype=bool)
        own[rows] = guessed[rows]
        if own.any() and not (agree[own].all() and own.sum() >= IDENTIFYING):
            found.append(own)
    return found


def _seed_tolerance(frame: pd.DataFrame, seed_sd: float) -> Float[np.ndarray, " n"]:
    """Compute the largest difference that another seed explains, simultaneously for all numbers; NaN if unknown."""
    if frame.empty:
        return np.zeros(0)
    gap = (frame["test"] == "background_gap").to_numpy(bool) if "test" in frame else np.zeros(len(frame), bool)
    spread = _column(frame, "spread", default=1.0) * np.where(gap, math.sqrt(2), 1.0)
    seeds = np.nan_to_num(_column(frame, "seeds", default=1.0), nan=1.0)
    own_sd, freedom = _pooled_sd(frame, spread, seeds)
    ours = seed_sd if math.isnan(own_sd) else own_sd
    # our networks estimate the spread of the recipe, of which the paper's run is one more draw
    theirs = seed_sd if math.isnan(own_sd) else max(seed_sd, own_sd)
    variance = spread**2 * (theirs**2 + ours**2 / seeds) + _other_images(frame)
    single = CONFIDENCE ** (1 / max(int(np.isfinite(spread).sum()), 1))
    quantile = stats.t.ppf(0.5 + single / 2, freedom) if math.isfinite(freedom) else stats.norm.ppf(0.5 + single / 2)
    return quantile * np.sqrt(variance) + _half_unit(frame)


def _pooled_sd(
    frame: pd.DataFrame, spread: Float[np.ndarray, " n"], seeds: Float[np.ndarray, " n"]
) -> tuple[float, float]:
    """Pool the standard deviations over our seeds; return that of an accuracy, and its degrees of freedom.

    The numbers of one network vary together, so a network counts for one number.
    """
    sd = _column(frame, "sd", default=math.nan)
    known = np.isfinite(sd) & np.isfinite(spread) & (seeds > 1)
    if not known.any():
        return math.nan, math.inf
    freedom = sum(seeds[rows].max() - 1 for rows in _networks(frame) if (seeds[rows] > 1).any())
    return float(np.sqrt(np.mean((sd[known] / spread[known]) ** 2))), float(freedom)


def _other_images(frame: pd.DataFrame) -> Float[np.ndarray, " n"]:
    """Return the sampling variance of the column IN-9L, whose images are not exactly the paper's; 0 elsewhere."""
    if not {"test", "n"} <= set(frame.columns):
        return np.zeros(len(frame))
    p, n = frame["ours"].to_numpy(float), frame["n"].to_numpy(float)
    return np.where(frame["test"] == "in9l", p * (1 - p) * (1 / n + 1 / IN9L_TEST_SIZE), 0.0)


def _column(frame: pd.DataFrame, name: str, instead: str = "", *, default: float = math.nan) -> Float[np.ndarray, " n"]:
    """Return a column as floats; a missing one is that of another name, or a constant."""
    if name in frame.columns:
        values = frame[name].to_numpy(float, na_value=np.nan)
        return np.where(np.isfinite(values), values, frame[instead].to_numpy(float)) if instead else values
    return frame[instead].to_numpy(float) if instead else np.full(len(frame), default)
