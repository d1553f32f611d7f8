"""Which rows are behind a number: filters of a prediction table, and the metric of what they select."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from bglab.analysis.clusters import Codes, clustered_share, row_clusters
from bglab.analysis.correctness import integers, mark_correct
from bglab.analysis.intervals import Difference
from bglab.analysis.margins import least_margin
from bglab.analysis.metrics import paired_accuracies
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, UnknownName
from bglab.labels import NAMED_SPACES, OUTSIDE, class_names

#: What rows may be selected by, besides their columns. Flips are named as by S. Yan et al., CVPR 2021: a negative flip
#: is correct in the row that it is compared with, and incorrect here.
OUTCOMES = ("", "correct", "incorrect", "flip", "negative_flip", "positive_flip")
FLIPS = OUTCOMES[3:]

#: Orders of the selected rows, in words.
ORDERS = {
    "margin": "margin, lowest first",
    "narrow": "margin, narrowest first",
    "confidence": "confidence, highest first",
    "doubt": "confidence, lowest first",
    "scene": "scene",
}
_RUN = ("dataset", "model", "variant", "scene")
#: Name of the class of predictions outside the label space.
OUTSIDE_NAME = "(outside)"


@dataclass(frozen=True)
class RowFilter:
    """A filter of prediction rows; "" stands for all.

    Attributes:
        dataset: Key of the data set.
        variant: Name of the variant.
        model: Id of the model.
        outcome: One of `OUTCOMES`; flips need ``compared_with``.
        compared_with: ``variant:NAME`` or ``model:NAME``: every row is compared with the row of the same scene, data
            set and model (or variant) on that variant (or by that model). Rows without one, and those rows themselves,
            are left out.
        true_class: Name of the true class.
        predicted_class: Name of the predicted class; ``(outside)`` is none of the label space.
        least_confidence: Least confidence, in [0, 1]. Rows of unknown confidence are in the range from 0 to 1 only.
        most_confidence: Largest confidence, in [0, 1].
        order: One of `ORDERS`.
    """

    dataset: str = ""
    variant: str = ""
    model: str = ""
    outcome: str = ""
    compared_with: str = ""
    true_class: str = ""
    predicted_class: str = ""
    least_confidence: float = 0.0
    most_confidence: float = 1.0
    order: str = "margin"

    @property
    def is_whole_range(self) -> bool:
        """Whether the range of confidence leaves nothing out."""
        return self.least_confidence <= 0 and self.most_confidence >= 1

    def but(self, changes: Mapping[str, Any]) -> RowFilter:
        """Return the filter with some fields changed.

        Raises:
            UnknownName: If there is no such field.
        """
        for name in changes:
            if name not in FILTER_FIELDS:
                raise UnknownName(unknown_name("filter", name, FILTER_FIELDS))
        return replace(self, **changes)


#: Names of all fields of a filter.
FILTER_FIELDS = tuple(each.name for each in fields(RowFilter))


class Metric(NamedTuple):
    """A share of rows with its 95 % interval.

    Attributes:
        event: What is counted: ``correct``, or the outcome or predicted class of the filter.
        hits: Rows with the event.
        n: Rows that the share is of.
        value: The share, in [0, 1]; NaN without rows.
        low: Lower limit of the interval.
        high: Upper limit of the interval.
        here: With ``compared_with``: accuracy of the rows; NaN otherwise.
        there: Accuracy of the rows that they are compared with.
        difference: ``here`` minus ``there`` with Newcombe's 95 % interval, in [-1, 1].
    """

    event: str
    hits: int
    n: int
    value: float
    low: float
    high: float
    here: float
    there: float
    difference: Difference


class Selection(NamedTuple):
    """What a filter selects.

    Attributes:
        rows: Positions of the selected rows in `RowIndex.table`, in order.
        metric: The share that the filter is about.
        confusion: Rows by true class and predicted class, in the order of `RowIndex.classes`; the last column counts
            predictions outside them. Neither the outcome nor a class is selected in it.
        unpaired: Rows left out because there is no row to compare them with.
    """

    rows: Int[np.ndarray, " k"]
    metric: Metric
    confusion: Int[np.ndarray, "c p"]
    unpaired: int


class _Pairs(NamedTuple):
    """For each row, what it is compared with."""

    places: Int[np.ndarray, " n"]  # position of the counterpart, −1 without one
    is_reference: Bool[np.ndarray, " n"]
    clusters: Sequence[Codes]


class RowIndex:
    """A prediction table that is filtered again and again, in milliseconds.

    Args:
        predictions: One row per image and model, from `bglab.predict` or `bglab.read_predictions`.
        classes: Names of the classes of its label space; None looks them up, or numbers them.

    Attributes:
        table: The rows whose true class is known, marked by `mark_correct`, with two more columns: ``margin``
            (`least_margin`) and ``row``, the position in ``predictions``.
        unlabelled: Rows left out since their true class is unknown.
        classes: Names of the classes by label.
        truth: True class of each row.
        answer: Predicted class of each row, or OUTSIDE.

    Raises:
        BadInput: If the table is empty, lacks a column, has labels of several spaces, or a scene twice in one run.
    """

    def __init__(self, predictions: pd.DataFrame, classes: Sequence[str] | None = None) -> None:
        marked = mark_correct(predictions.assign(row=np.arange(len(predictions))))
        spaces = list(dict.fromkeys(marked["space"]))
        if len(spaces) > 1:
            raise BadInput(
                f"expected labels of one space, got {', '.join(spaces)}; select one of them, such as "
                f'predictions[predictions["space"] == "{spaces[0]}"]'
            )
        self.unlabelled = len(predictions) - len(marked)
        self.table = marked.assign(margin=least_margin(marked)).reset_index(drop=True)
        self.truth, self.answer = integers(self.table, "label"), integers(self.table, "answer")
        self.classes = _class_names(spaces[0], classes, int(max(self.truth.max(), self.answer.max())) + 1)
        self.correct = self.table["correct"].to_numpy(bool)
        self.confidence = self.table["confidence"].to_numpy(np.float32)
        self._codes: dict[str, Codes] = {}
        self.values: dict[str, tuple[str, ...]] = {}
        for column in _RUN:
            codes, values = pd.factorize(self.table[column].to_numpy(object))
            self._codes[column], self.values[column] = codes.astype(np.int64), tuple(map(str, values))
        self._clusters = row_clusters(self.table["scene"], self.table["donor"])
        self._has_donor = self.table["donor"].to_numpy(object) != ""
        self._check_once()
        self._orders = self._sorted()
        self._pairs: dict[str, _Pairs] = {}

    def __len__(self) -> int:
        return len(self.table)

    def codes(self, column: str) -> Codes:
        """Return the position of each row's value in ``values``, for the columns dataset, model, variant and scene."""
        return self._codes[column]

    def check(self, wanted: RowFilter) -> None:
        """Refuse a filter that names something that the table does not have.

        Raises:
            UnknownName: If there is no such value, class, outcome or order.
            BadInput: If a confidence is out of range, or a flip is asked for without anything to compare with.
        """
        for column in ("dataset", "variant", "model"):
            self._check_name(column, getattr(wanted, column), self.values[column])
        self._check_name("outcome", wanted.outcome, OUTCOMES)
        self._check_name("true_class", wanted.true_class, self.classes)
        self._check_name("predicted_class", wanted.predicted_class, (*self.classes, OUTSIDE_NAME))
        self._check_name("compared_with", wanted.compared_with, self.references)
        if wanted.order not in ORDERS:
            raise UnknownName(unknown_name("order", wanted.order, list(ORDERS)))
        for name in ("least_confidence", "most_confidence"):
            value = getattr(wanted, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
                raise BadInput(f"expected {name} from 0 to 1, got {value!r:.60}")
        if wanted.outcome in FLIPS and not wanted.compared_with:
            raise BadInput(
                f"expected something to compare with for {wanted.outcome}, got nothing; set compared_with to one of "
                f"{', '.join(self.references)}"
            )

    @property
    def references(self) -> tuple[str, ...]:
        """What rows can be compared with: the variants and models of the table, where there are several."""
        kinds = [(kind, self.values[kind]) for kind in ("variant", "model") if len(self.values[kind]) > 1]
        return tuple(f"{kind}:{name}" for kind, names in kinds for name in names)

    def select(self, wanted: RowFilter) -> Selection:
        """Select rows, and compute the metric that the filter is about.

        Of the rows that agree in data set, variant, model, confidence and true class, and have a row to compare them
        with where that is asked for, the metric is the share that has the outcome and the predicted class of the
        filter, or is correct if there is neither. The interval is that of `bglab.analysis.accuracy`: Wilson's, for
        clusters of rows of one object or one donor.

        Raises:
            UnknownName: As `check`.
            BadInput: As `check`.
        """
        self.check(wanted)
        inside = self._inside(wanted)
        pairs, unpaired = None, 0
        if wanted.compared_with:
            pairs = self._paired(wanted.compared_with)
            inside &= ~pairs.is_reference
            unpaired = int((inside & (pairs.places < 0)).sum())
            inside &= pairs.places >= 0
        confusion = self._confusion(inside)
        if wanted.true_class:
            inside = inside & (self.truth == self.classes.index(wanted.true_class))
        event = self._event(wanted, pairs)
        metric = self._metric(wanted, inside, event, pairs)
        shown = inside & event if wanted.outcome or wanted.predicted_class else inside
        order = self._orders[wanted.order]
        return Selection(order[shown[order]], metric, confusion, unpaired)

    def counterpart(self, row: int, compared_with: str) -> int:
        """Return the position of the row that a row is compared with, or -1."""
        return int(self._paired(compared_with).places[row]) if compared_with else -1

    def _check_once(self) -> None:
        keys = self._joined(_RUN)
        order = np.argsort(keys, kind="stable")
        twice = np.flatnonzero(np.diff(keys[order]) == 0)
        if twice.size:
            row = self.table.iloc[int(order[twice[0] + 1])]
            raise BadInput(
                f"expected each scene once per model, data set and variant, got {row['scene']} twice in "
                f"{row['variant']} of {row['model']}; drop the duplicate rows"
            )

    @staticmethod
    def _check_name(field: str, name: str, known: Sequence[str]) -> None:
        if name != "" and name not in known:
            raise UnknownName(unknown_name(field.replace("_", " "), str(name)[:60], list(known)))

    def _joined(self, columns: Sequence[str]) -> Codes:
        """Number the combinations of values of several columns; equal numbers are equal combinations."""
        joined = np.zeros(len(self), dtype=np.int64)
        for column in columns:
            joined = joined * len(self.values[column]) + self._codes[column]
        return joined

    def _sorted(self) -> dict[str, Int[np.ndarray, " n"]]:
        """Sort all rows by each of the orders; those without a margin or confidence come last."""
        margin, confidence = self.table["margin"].to_numpy(np.float64), self.confidence.astype(np.float64)
        names = np.array(self.values["scene"], dtype=object)
        scenes = np.argsort(np.argsort(names, kind="stable"), kind="stable")[self._codes["scene"]]
        last = (self._codes["model"], self._codes["variant"], scenes)
        signed = np.where(self.correct, confidence, -confidence)
        keys: dict[str, tuple[np.ndarray, ...]] = {
            "margin": (*last, signed, margin),
            "narrow": (*last, confidence, np.abs(margin)),
            "confidence": (*last, -confidence),
            "doubt": (*last, confidence),
            "scene": last,
        }
        return {name: np.lexsort(columns) for name, columns in keys.items()}

    def _inside(self, wanted: RowFilter) -> Bool[np.ndarray, " n"]:
        """Mark the rows that agree in data set, variant, model and confidence."""
        inside = np.ones(len(self), dtype=bool)
        for column in ("dataset", "variant", "model"):
            if name := getattr(wanted, column):
                inside &= self._codes[column] == self.values[column].index(name)
        if not wanted.is_whole_range:
            inside &= (self.confidence >= np.float32(wanted.least_confidence)) & (
                self.confidence <= np.float32(wanted.most_confidence)
            )
        return inside

    def _event(self, wanted: RowFilter, pairs: _Pairs | None) -> Bool[np.ndarray, " n"]:
        """Mark the rows that the metric counts."""
        correct, event = self.correct, np.ones(len(self), dtype=bool)
        if wanted.predicted_class:
            name = wanted.predicted_class
            event &= self.answer == (OUTSIDE if name == OUTSIDE_NAME else self.classes.index(name))
        if wanted.outcome in FLIPS and pairs is not None:
            before = correct[pairs.places]
            event &= {
                "flip": before != correct,
                "negative_flip": before & ~correct,
                "positive_flip": ~before & correct,
            }[wanted.outcome]
        elif wanted.outcome == "incorrect":
            event &= ~correct
        elif wanted.outcome == "correct" or not wanted.predicted_class:
            event &= correct
        return event

    def _metric(
        self, wanted: RowFilter, inside: Bool[np.ndarray, " n"], event: Bool[np.ndarray, " n"], pairs: _Pairs | None
    ) -> Metric:
        rows = np.flatnonzero(inside)
        clusters = [codes[rows] for codes in (pairs.clusters if pairs else self._clusters)]
        share = clustered_share(event[rows].astype(float), *clusters)
        said = " and ".join(part for part in (wanted.outcome, wanted.predicted_class and "predicted") if part)
        here = there = np.nan
        difference = Difference(np.nan, np.nan, np.nan)
        if pairs is not None and rows.size:
            first, second = self.correct[rows], self.correct[pairs.places[rows]]
            here, there = float(first.mean()), float(second.mean())
            difference = paired_accuracies(first, second, clusters)
        return Metric(said or "correct", int(event[rows].sum()), len(rows), *share, here, there, difference)

    def _confusion(self, inside: Bool[np.ndarray, " n"]) -> Int[np.ndarray, "c p"]:
        width = len(self.classes) + 1
        answer = np.where(self.answer[inside] == OUTSIDE, width - 1, self.answer[inside])
        counts = np.bincount(self.truth[inside] * width + answer, minlength=(width - 1) * width)
        return counts.reshape(width - 1, width)

    def _paired(self, compared_with: str) -> _Pairs:
        """Find each row's counterpart, once for each variant or model to compare with."""
        if compared_with not in self._pairs:
            kind, _, name = compared_with.partition(":")
            keys = self._joined([column for column in _RUN if column != kind])
            is_reference = self._codes[kind] == self.values[kind].index(name)
            references = np.flatnonzero(is_reference)
            references = references[np.argsort(keys[references], kind="stable")]
            at = np.minimum(np.searchsorted(keys[references], keys), len(references) - 1)
            places = np.where(keys[references[at]] == keys, references[at], -1)
            clusters = list(self._clusters)
            # both models see the same image, so its donor is that of either
            if kind == "variant" and len(clusters) > 1 and self._has_donor[references].any():
                clusters.append(clusters[1][places])
            self._pairs[compared_with] = _Pairs(places, is_reference, clusters)
        return self._pairs[compared_with]


def _class_names(space: str, classes: Sequence[str] | None, count: int) -> tuple[str, ...]:
    """Return the names of the classes of a label space, numbered where they are not known."""
    names = class_names(space) if space in NAMED_SPACES else tuple(classes or ())
    if len(names) < count:
        names = (*names, *(f"class {i}" for i in range(len(names), count)))
    if len(set(names)) < len(names):  # a few classes of ImageNet share their names
        names = tuple(f"{name} ({i})" if names.count(name) > 1 else name for i, name in enumerate(names))
    return names
