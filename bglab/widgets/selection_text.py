"""A selection of rows in words: its number, of which rows, how it is computed; and the code that selects them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bglab.analysis import OUTSIDE_NAME, Metric, RowFilter, RowIndex, Selection
from bglab.labels import OUTSIDE
from bglab.names import display_name, python_literal
from bglab.variants import VARIANTS

#: Outcomes in words, as in the control.
OUTCOME_WORDS = {
    "": "all",
    "correct": "correct",
    "incorrect": "incorrect",
    "flip": "all flips",
    "negative_flip": "negative flips (✓ → ✗)",
    "positive_flip": "positive flips (✗ → ✓)",
}
_HEADS = {
    "": "Accuracy",
    "correct": "Accuracy",
    "incorrect": "Error rate",
    "flip": "Flips",
    "negative_flip": "Negative flips",
    "positive_flip": "Positive flips",
}
_INTERVAL = (
    "The interval is Wilson's at 95 %; rows of one object, and rows that share a background's donor, are clusters, "
    "which widen it."
)


class Said(NamedTuple):
    """A selection in words.

    Attributes:
        head: Name of the metric.
        value: Its value and interval.
        rows: Which rows it is about, and which of them are shown.
        how: How it is computed.
        compared: With a comparison: both accuracies and their difference; "" otherwise.
    """

    head: str
    value: str
    rows: str
    how: str
    compared: str


def variant_title(name: str) -> str:
    """Return the name of a variant as the papers print it, or as it is if it is your own."""
    return display_name(name) if name in VARIANTS else name


def reference_words(reference: str) -> str:
    """Write what rows are compared with, e.g. ``Mixed-Same``."""
    kind, _, name = reference.partition(":")
    return variant_title(name) if kind == "variant" else name


def say(index: RowIndex, wanted: RowFilter, found: Selection) -> Said:
    """Describe a selection.

    Args:
        index: The rows.
        wanted: The filter.
        found: What it selects.
    """
    metric = found.metric
    head = _HEADS[wanted.outcome] if wanted.outcome or not wanted.predicted_class else ""
    predicted = f"predicted as {wanted.predicted_class}" if wanted.predicted_class else ""
    head = " ".join(part for part in (head, predicted) if part)
    return Said(
        head[0].upper() + head[1:],
        _value(metric),
        _rows(index, wanted, found),
        f"{_how(wanted)} {_INTERVAL}",
        _compared(wanted, metric),
    )


def _value(metric: Metric) -> str:
    if not metric.n:
        return "no such rows"
    interval = f"[{_number(metric.low)}, {_number(metric.high)}]"
    return f"{_number(metric.value)} % {interval}, {metric.hits:,} of n = {metric.n:,}"


def _number(fraction: float) -> str:
    return f"{100 * fraction:.1f}"


def _signed(fraction: float) -> str:
    return f"{100 * fraction:+.1f}".replace("-", "−")


def _conditions(index: RowIndex, wanted: RowFilter) -> list[str]:
    """List what the rows have in common."""
    parts = []
    for column, plural in (("dataset", "data sets"), ("variant", "variants"), ("model", "models")):
        name, known = getattr(wanted, column), index.values[column]
        shown = variant_title(name) if column == "variant" else name
        if name:
            parts.append(f"{column.replace('dataset', 'data set')} {shown}")
        elif len(known) > 1:
            others = wanted.compared_with.startswith(f"{column}:")
            parts.append(f"the other {len(known) - 1} {plural}" if others else f"all {len(known)} {plural}")
    if wanted.true_class:
        parts.append(f"true class {wanted.true_class}")
    if not wanted.is_whole_range:
        parts.append(f"confidence from {wanted.least_confidence:.2f} to {wanted.most_confidence:.2f}")
    return parts


def _rows(index: RowIndex, wanted: RowFilter, found: Selection) -> str:
    metric = found.metric
    conditions = "; ".join(_conditions(index, wanted)) or "the whole table"
    sentences = [f"n = {metric.n:,} rows: {conditions}."]
    shown = len(found.rows)
    sentences.append("All are shown." if shown == metric.n else f"Shown: the {shown:,} that it counts.")
    if found.unpaired:
        sentences.append(
            f"Left out: {found.unpaired:,} without a row on {reference_words(wanted.compared_with)} to compare with."
        )
    if index.unlabelled:
        sentences.append(f"Left out: {index.unlabelled:,} of the table whose true class is unknown.")
    return " ".join(sentences)


def _how(wanted: RowFilter) -> str:
    there = reference_words(wanted.compared_with)
    events = {
        "correct": "whose predicted class is the true class",
        "incorrect": "whose predicted class is not the true class (a prediction outside the classes is incorrect)",
        "flip": f"that are correct here or on {there}, but not on both",
        "negative_flip": f"that are incorrect here and correct on {there}",
        "positive_flip": f"that are correct here and incorrect on {there}",
    }
    parts = [events[wanted.outcome or "correct"]] if wanted.outcome or not wanted.predicted_class else []
    if wanted.predicted_class:
        parts.append(f"whose predicted class is {wanted.predicted_class}")
    return f"Share of these rows {' and '.join(parts)}."


def _compared(wanted: RowFilter, metric: Metric) -> str:
    if not wanted.compared_with or not metric.n:
        return ""
    difference, there = metric.difference, reference_words(wanted.compared_with)
    return (
        f"Accuracy {_number(metric.there)} % on {there}, {_number(metric.here)} % here: "
        f"{_signed(difference.value)} points [{_signed(difference.low)}, {_signed(difference.high)}] "
        "(paired, Newcombe's 95 % interval)"
    )


def row_label(index: RowIndex, row: int) -> str:
    """Describe one row in a line."""
    table = index.table.iloc[row]
    names = (*index.classes, OUTSIDE_NAME)
    truth, answer = names[int(index.truth[row])], names[int(index.answer[row])]
    return f"{table['scene']} · {variant_title(str(table['variant']))} · true {truth}, predicted {answer}"


def margin_words(margin: float) -> str:
    """Write what is known of a margin.

    Example:
        >>> margin_words(0.4), margin_words(-0.551), margin_words(float("nan"))
        ('margin at least +0.40', 'margin at most −0.55', 'margin unknown')
    """
    if np.isnan(margin):
        return "margin unknown"
    bound = "at least" if margin > 0 else "at most" if margin < 0 else "possibly"
    return f"margin {bound} {margin:+.2f}".replace("-", "−").replace("possibly +0.00", "near 0, by what is stored")


def code(index: RowIndex, wanted: RowFilter, *, several: bool) -> str:
    """Write the pandas code that selects the same rows of the table ``predictions``.

    Args:
        index: The rows.
        wanted: The filter.
        several: Whether the widget was given several tables, which are then concatenated first.
    """
    lines = ["import pandas as pd", ""] if several else []
    lines += ["from bglab.analysis import mark_correct", ""]
    lines += ["predictions = pd.concat(predictions, ignore_index=True)"] if several else []
    lines.append("rows = mark_correct(predictions)")
    if wanted.compared_with:
        lines += _pairing(wanted.compared_with)
    tests = _tests(index, wanted)
    if tests:
        lines += ["selected = rows[", *(f"    {'& ' if i else ''}{test}" for i, test in enumerate(tests)), "]"]
    else:
        lines.append("selected = rows")
    return "\n".join([*lines, "selected"])


def _pairing(compared_with: str) -> list[str]:
    kind, _, name = compared_with.partition(":")
    keys = [column for column in ("dataset", "model", "variant", "scene") if column != kind]
    column, literal = f'rows["{kind}"]', python_literal(name)
    return [
        f"keys = [{', '.join(python_literal(key) for key in keys)}]",
        f'there = rows[{column} == {literal}].set_index(keys)["correct"].rename("correct_there")',
        f'rows = rows[{column} != {literal}].join(there, on=keys, how="inner")',
    ]


def _tests(index: RowIndex, wanted: RowFilter) -> list[str]:
    """Write a condition for each filter."""
    tests = [
        f'(rows["{column}"] == {python_literal(getattr(wanted, column))})'
        for column in ("dataset", "variant", "model")
        if getattr(wanted, column)
    ]
    if not wanted.is_whole_range:
        tests.append(f'rows["confidence"].between({wanted.least_confidence!r}, {wanted.most_confidence!r})')
    if wanted.true_class:
        tests.append(f'(rows["label"] == {index.classes.index(wanted.true_class)})')
    if wanted.predicted_class:
        name = wanted.predicted_class
        tests.append(f'(rows["answer"] == {OUTSIDE if name == OUTSIDE_NAME else index.classes.index(name)})')
    correct, there = 'rows["correct"]', 'rows["correct_there"]'
    outcomes = {
        "correct": correct,
        "incorrect": f"~{correct}",
        "flip": f"({correct} != {there})",
        "negative_flip": f"({there} & ~{correct})",
        "positive_flip": f"(~{there} & {correct})",
    }
    return [*tests, outcomes[wanted.outcome]] if wanted.outcome else tests
