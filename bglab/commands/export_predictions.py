"""`bglab export`: write predictions as tables for other programs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from bglab.commands._options import add_results_option, check_outputs, command, print_error, report_damaged

if TYPE_CHECKING:
    import pandas as pd


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `export`."""
    export = command(verbs, "export", run_export)
    add_results_option(export, "results folder of bglab predict or bglab import")
    export.add_argument("--model", help="model whose predictions to write (default: all)")
    export.add_argument("--variant", help="variant whose predictions to write (default: all)")
    export.add_argument("--dataset", help="key of the data set, or how it begins (default: all)")
    where = export.add_mutually_exclusive_group(required=True)
    where.add_argument("--csv", metavar="FILE", help="write one file; several models or variants have a column each")
    where.add_argument("--out", metavar="FOLDER", help="write FOLDER/DATASET/MODEL/VARIANT.csv for each")
    export.add_argument(
        "--scenes", help="where the images are, to write the names of their files (default: the ids of the scenes)"
    )
    export.add_argument("--top5", action="store_true", help="add a column with the five classes of highest score")


def run_export(options: argparse.Namespace) -> int:
    """Write predictions as CSV in the form of imagenet-x: file_name, predicted_class, predicted_probability."""
    from bglab.files import writable_folder
    from bglab.results import export_predictions, read_predictions, to_table, write_table

    check_outputs(options.csv)
    if options.out:
        writable_folder(Path(options.out))
    predictions = read_predictions(options.results, dataset=options.dataset, damaged="skip")
    damaged = predictions.attrs["damaged"]
    for column in ("model", "variant"):
        predictions = _chosen(predictions, column, getattr(options, column))
    names = None
    if options.scenes:
        from bglab.evaluation import file_names
        from bglab.scenes import open_scenes

        names = file_names(open_scenes(options.scenes))
    spaces = sorted(set(predictions["native_space"]) - {"imagenet"})
    if spaces:
        which = "--classes in9" if spaces == ["in9"] else "--classes scenes"
        print_error(
            f"notice: predicted_class is an index among the classes of {', '.join(spaces)}; bglab import needs {which}"
        )
    if options.out:
        for path in export_predictions(predictions, options.out, file_names=names, top5=options.top5):
            print(path)
        return report_damaged(damaged)
    write_table(to_table(predictions, file_names=names, top5=options.top5), Path(options.csv))
    print(options.csv)
    return report_damaged(damaged)


def _chosen(predictions: pd.DataFrame, column: str, name: str | None) -> pd.DataFrame:
    """Choose the rows of one model or variant."""
    from bglab.catalogue import unknown_name
    from bglab.errors import UnknownName

    if name is None:
        return predictions
    known = list(dict.fromkeys(predictions[column]))
    if name not in known:
        raise UnknownName(unknown_name(column, name, known))
    return predictions.loc[predictions[column] == name]
