"""`bglab check`: the audit card of a model, beside known ones."""

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
    """Add `check`."""
    check = command(verbs, "check", run_check)
    check.add_argument("model", metavar="MODEL", help="for example lite:efficientnet_lite0, file:best.pt")
    check.add_argument(
        "--scenes", help="for example sample, in9:PATH (default: the pack cutouts, three images of each)"
    )
    check.add_argument(
        "--out", nargs="+", default=[], metavar="FILE", help="also write the card as .html, .pdf, .png, .json or .csv"
    )
    add_results_option(check, "folder for result files; finished ones are reused", required=False)
    check.add_argument("--no-beside", action="store_true", help="do not show other networks beside the model")
    add_engine_options(check)
    add_protocol_option(check)


def run_check(options: argparse.Namespace) -> int:
    """Measure on one page how much a model leans on the background, beside known networks."""
    from bglab.audit import check
    from bglab.audit.card import CARD_FORMATS, check_format
    from bglab.audit.checking import BESIDE
    from bglab.scenes import DEFAULT_SCENES

    for file in options.out:  # before anything is computed
        check_format(file, CARD_FORMATS)
    check_outputs(*options.out)
    card = check(
        load(options.model, options),
        scenes=options.scenes or DEFAULT_SCENES,
        beside=() if options.no_beside else BESIDE,
        results=options.results,
        progress=watched(),
    )
    print(card.text(), end="")
    for path in card.save(*options.out):
        print(path)
    return 0
