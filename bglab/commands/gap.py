"""`bglab gap`: the background gap of the predictions in a results folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bglab.commands._options import add_results_option, check_outputs, command, print_error, report_damaged

if TYPE_CHECKING:
    import pandas as pd

    from bglab.analysis import Gaps

#: Columns of the CSV file, always present and in this order; ``--minus`` renames the fifth.
GAP_COLUMNS = ("model", "dataset", "n", "mixed_same", "mixed_rand", "gap", "gap_low", "gap_high", "p")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `gap`."""
    gap = command(verbs, "gap", run_gap)
    add_results_option(gap, "results folder of bglab predict")
    gap.add_argument("--by", default="model,dataset", help="columns to group by (default: %(default)s)")
    gap.add_argument(
        "--minus",
        metavar="VARIANT",
        default="mixed_rand",
        help="variant whose accuracy is subtracted, such as mixed_next (default: %(default)s)",
    )
    gap.add_argument("--csv", metavar="FILE", help="write a CSV file instead of printing")


def run_gap(options: argparse.Namespace) -> int:
    """Print accuracy on Mixed-Same minus Mixed-Rand, paired by scene, with 95 % intervals, or write it as CSV."""
    from bglab.analysis import collect_gaps, to_markdown
    from bglab.errors import BadInput
    from bglab.results import read_predictions, write_table

    check_outputs(options.csv)
    by = [name.strip() for name in options.by.split(",") if name.strip()]
    predictions = read_predictions(options.results, damaged="skip")
    gaps = collect_gaps(predictions, minus=options.minus, by=by)
    if gaps.table.empty:
        raise BadInput(_nothing_paired(predictions, gaps, options.results, options.minus))
    _report_left_out(gaps)
    if options.csv:
        write_table(_contract_columns(gaps.table, by, options.minus), options.csv)
        print(options.csv)
    else:
        print(to_markdown(gaps.table))
    return report_damaged(predictions.attrs["damaged"])


def _nothing_paired(predictions: pd.DataFrame, gaps: Gaps, results: str, minus: str) -> str:
    """Explain which variants there are, and how to make what the first model and data set lacks."""
    there = ", ".join(dict.fromkeys(predictions["variant"]))
    # those that lack one variant come before those that lack both
    model, dataset, missing = min(gaps.skipped.itertuples(index=False, name=None), key=lambda row: " and " in row[2])
    variants = [name for name in ("mixed_same", minus) if name in missing.split(" and ")] or ["mixed_same", minus]
    return (
        f"expected mixed_same and {minus} of the same scenes by one model, got {there}; make what is missing with "
        f"bglab predict --results {results} --models {model} --variants {' '.join(variants)} and the --scenes and "
        f"other options that gave {dataset}"
    )


def _report_left_out(gaps: Gaps) -> None:
    for model, dataset, missing in gaps.skipped.itertuples(index=False, name=None):
        print_error(f"notice: skipping {model} on {dataset}, which lacks {missing}")
    for model, dataset, scenes in gaps.unpaired.itertuples(index=False, name=None):
        print_error(f"notice: {scenes} scenes of {dataset} have one of the variants only for {model} and are left out")


def _contract_columns(table: pd.DataFrame, by: list[str], minus: str) -> pd.DataFrame:
    """Reorder a table of gaps to `GAP_COLUMNS`; columns pooled over are filled with "(all)"."""
    columns = [minus if name == "mixed_rand" else name for name in GAP_COLUMNS]
    filled = table.assign(**{name: "(all)" for name in columns if name not in table})
    return filled.reindex(columns=[*columns, *(name for name in by if name not in columns)])
