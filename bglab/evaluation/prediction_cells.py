"""Cells of a table of predictions: class, probability and the five best classes of one row, checked."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from bglab.errors import BadInput
from bglab.evaluation.class_vocabulary import Vocabulary, is_integer
from bglab.labels import IMAGENET_TO_IN9, OUTSIDE
from bglab.results import shorten

#: Columns of names, classes and probabilities: first that of imagenet-x, then bglab's own.
NAME_COLUMNS = ("file_name", "scene")
CLASS_COLUMNS = ("predicted_class", "native")
PROBABILITY_COLUMNS = ("predicted_probability", "confidence")

#: Softmax probabilities in float32 may exceed 1 by their rounding.
_ROUNDING = 1e-5


class Cells(NamedTuple):
    """What a row of a table predicts.

    Attributes:
        native: Predicted class among the model's own.
        prediction: Predicted class in the set's own label space, or OUTSIDE.
        top5: The five classes of highest score, best first; empty if the table has none.
        confidence: Probability of ``native``, in [0, 1]; None if the table has none.
    """

    native: int
    prediction: int
    top5: tuple[int, ...]
    confidence: float | None


class CellReader:
    """Reads the rows of one table.

    Args:
        columns: Columns of the table.
        vocabulary: Classes of the model.
        space: Label space of the set.
        classes: Number of the set's classes.
    """

    def __init__(self, columns: Sequence[str], vocabulary: Vocabulary, space: str, classes: int) -> None:
        self._class = first_of(CLASS_COLUMNS, columns)
        self._probability = first_of(PROBABILITY_COLUMNS, columns)
        self._vocabulary, self._classes = vocabulary, classes
        self._to_nine = vocabulary.space == "imagenet" and space == "in9"
        self._known: dict[str, int] = {}

    def read(self, row: Mapping[str, str]) -> Cells:
        """Read one row.

        Raises:
            BadInput: If a cell is missing or has no meaning.
        """
        native = self._index(row[self._class])
        derived = int(IMAGENET_TO_IN9[native]) if self._to_nine else native
        prediction = self._prediction(row.get("prediction", ""), derived)
        return Cells(native, prediction, self._top5(row.get("top5", ""), native), self._confidence(row))

    def _index(self, text: str) -> int:
        if not text:
            raise BadInput(f"expected a class under {self._class}, got an empty cell")
        if text not in self._known:
            self._known[text] = self._vocabulary.index(text)
        return self._known[text]

    def _prediction(self, text: str, derived: int) -> int:
        """Read the class among the set's own, which another decision rule than the arg-max may have chosen."""
        if not text:
            return derived
        if not is_integer(text) or not OUTSIDE <= int(float(text)) < self._classes:
            raise BadInput(f"expected a prediction from -1 to {self._classes - 1}, got '{shorten(text)}'")
        prediction = int(float(text))
        if prediction != derived and not self._to_nine:
            raise BadInput(
                f"expected the same class under prediction and {self._class}, got {prediction} and {derived}"
            )
        return prediction

    def _top5(self, text: str, native: int) -> tuple[int, ...]:
        parts = re.split(r"[\s,;]+", text.strip("[]() "))
        if parts == [""]:
            return ()
        if not all(is_integer(part) for part in parts):
            raise BadInput(f"expected five indices of classes under top5, got '{shorten(text)}'")
        best = tuple(self._index(part) for part in parts)
        expected = min(5, len(self._vocabulary.names))
        if len(set(best)) != expected or len(best) != expected:
            raise BadInput(f"expected {expected} different classes under top5, got '{shorten(text)}'")
        if best[0] != native:
            raise BadInput(f"expected top5 to begin with the predicted class {native}, got '{shorten(text)}'")
        return best

    def _confidence(self, row: Mapping[str, str]) -> float | None:
        text = row.get(self._probability, "")
        if not text:
            return None
        value = as_number(text)
        if not 0 <= value <= 1 + _ROUNDING:
            raise BadInput(f"expected a probability between 0 and 1 under {self._probability}, got '{shorten(text)}'")
        return min(value, 1.0)


def first_of(names: Sequence[str], columns: Sequence[str]) -> str:
    """Return the first of several columns that a table has; "" if it has none."""
    return next((name for name in names if name in columns), "")


def as_number(text: str) -> float:
    """Parse a number, also with a decimal comma; NaN if it is none."""
    try:
        return float(text.replace(",", ".") if text.count(",") == 1 and "." not in text else text)
    except ValueError:
        return math.nan


def check_percentages(column: str, texts: Sequence[str], source: str) -> None:
    """Check that the probabilities of a table are not percentages, which would be wrong in all rows.

    Raises:
        BadInput: If more than half of them are above 1 and none is above 100.
    """
    values = [value for value in map(as_number, texts) if not math.isnan(value)]
    above = sum(value > 1 + _ROUNDING for value in values)
    if values and above > len(values) / 2 and max(values) <= 100 and min(values) >= 0:
        raise BadInput(
            f"expected probabilities between 0 and 1 under {column} in {source}, got values up to {max(values):g}, "
            "which look like percentages; divide them by 100"
        )
