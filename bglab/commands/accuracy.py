"""`bglab accuracy`: accuracies of the predictions in a results folder."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from bglab.commands._options import add_results_option, check_outputs, command, report_damaged

if TYPE_CHECKING:
    import pandas as pd

#: First columns of the CSV file, always present and in this order.
ACCURACY_COLUMNS = ("model", "dataset", "variant", "space", "n", "top1", "top1_low", "top1_high", "top5")
#: Last columns of the CSV file.
LIMITS_OF_TOP5 = ("top5_low", "top5_high")


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `accuracy`."""
    accuracy = command(verbs, "accuracy", run_accuracy)
    add_results_option(accuracy, "results folder of bglab predict")
    accuracy.add_argument("--by", default="model,dataset,variant", help="columns to group by (default: %(default)s)")
    accuracy.add_argument(
        "--space", choices=("in9", "native"), help="label space to evaluate in (default: that of the scenes)"
    )
    accuracy.add_argument("--csv", metavar="FILE", help="write a CSV file instead of printing")


def run_accuracy(options: argparse.Namespace) -> int:
    """Print the accuracies of the predictions in a results folder, or write them as CSV."""
    from bglab.analysis import accuracy, to_markdown
    from bglab.results import read_predictions, write_table

    check_outputs(options.csv)
    by = [name.strip() for name in options.by.split(",") if name.strip()]
    predictions = read_predictions(options.results, damaged="skip")
    table = accuracy(predictions, by=by, space=options.space)
    if options.csv:
        write_table(_contract_columns(table, by), options.csv)
        print(options.csv)
    else:
        print(to_markdown(table))
    return report_damaged(predictions.attrs["damaged"])


def _contract_columns(table: pd.DataFrame, by: list[str]) -> pd.DataFrame:
    """Reorder an accuracy table as the CSV file has it; columns pooled over are filled with "(all)"."""
    filled = table.copy()
    for name in ACCURACY_COLUMNS:
        if name not in filled:
            filled[name] = "(all)"
    others = [name for name in by if name not in ACCURACY_COLUMNS]
    return filled.reindex(columns=[*ACCURACY_COLUMNS, *others, *LIMITS_OF_TOP5])
