"""`bglab compare`: what changed from one model or checkpoint to another."""

from __future__ import annotations

import argparse

from bglab.commands._options import (
    add_engine_options,
    add_protocol_option,
    add_results_option,
    check_outputs,
    command,
    load,
    watched,
)


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `compare`."""
    compare = command(verbs, "compare", run_compare)
    side = "a model such as file:before.pt, a card (.json), a prediction file (.parquet) or a results folder"
    compare.add_argument("before", metavar="BEFORE", help=side)
    compare.add_argument("after", metavar="AFTER", help="the same; differences are after minus before")
    compare.add_argument(
        "--scenes", help="scenes to measure models on (default: those of a card, else the pack cutouts)"
    )
    compare.add_argument(
        "--out", nargs="+", default=[], metavar="FILE", help="also write the comparison as .html, .json or .csv"
    )
    add_results_option(compare, "folder for result files; finished ones are reused", required=False)
    add_engine_options(compare)
    add_protocol_option(compare)


def run_compare(options: argparse.Namespace) -> int:
    """Compare two models on the same images: differences of all measures, and the images whose verdict changed."""
    from bglab.audit import compare
    from bglab.audit.card import check_format
    from bglab.audit.comparison import COMPARISON_FORMATS

    for file in options.out:  # before anything is computed
        check_format(file, COMPARISON_FORMATS)
    check_outputs(*options.out)
    sides = [side if _is_file(side) else load(side, options) for side in (options.before, options.after)]
    compared = compare(*sides, scenes=options.scenes, results=options.results, progress=watched())
    print(compared.text(), end="")
    for path in compared.save(*options.out):
        print(path)
    return 0


def _is_file(side: str) -> bool:
    """Tell the path of a card, of predictions or of a folder from the URI of a model."""
    from bglab.locations import place_of

    place = place_of(side)
    return place.suffix.lower() in {".json", ".parquet"} or place.is_dir()
