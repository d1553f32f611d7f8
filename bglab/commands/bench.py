"""`bglab bench`: time search and saliency against the code they replace, the first answers, and peaks of memory."""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bglab.commands._options import add_engine_options, check_outputs, command, load, positive, report_notices, watched

if TYPE_CHECKING:
    from bglab.bench import Measurement, Quantity, Ratio, Report

#: Default scenes, the first that is available: none needs a download, and the last one is generated.
_SCENES = ("cutouts", "sample", "synthetic9?n=108")

#: Heading of what is no rate.
_SECTION = "start and memory"


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `bench`."""
    bench = command(verbs, "bench", run_bench)
    bench.add_argument("--scenes", help=f"for example in9:PATH (default: the first available of {', '.join(_SCENES)})")
    bench.add_argument(
        "-m", "--model", default="lite:efficientnet_lite0", help="classifier to time (default: %(default)s)"
    )
    bench.add_argument("--rounds", type=positive, default=3, help="number of rounds (default: %(default)s)")
    bench.add_argument("--json", metavar="FILE", help="also write all measurements to this file")
    add_engine_options(bench)


def run_bench(options: argparse.Namespace) -> int:
    """Time search and saliency against the reference loop, captum and the bare forward pass."""
    from bglab.bench import measure, plan_for
    from bglab.files import write_text
    from bglab.scenes import available, open_scenes

    check_outputs(options.json)
    scenes = open_scenes(options.scenes or available(*_SCENES)[0])
    report_notices(scenes)
    classifier = load(options.model, options)
    report = measure(classifier, scenes, plan_for(classifier, options.rounds), progress=watched())
    print("\n".join(_lines(report)))
    if options.json:
        write_text(options.json, json.dumps(report.as_json(), indent=2) + "\n", what="the measurements")
        print(options.json)
    return 0


def _lines(report: Report) -> list[str]:
    """Format the report as lines of text."""
    about = report.about
    titles = [row.title for row in (*report.measurements, *report.ratios, *report.start_and_memory)]
    width = max(map(len, [*titles, _SECTION]))
    where = f"{about['engine']}, {about['precision']}, on {about['device']} ({about['cores']} cores)"
    return [
        f"{about['model']} · {where}",
        f"{about['foregrounds']} foregrounds × {about['backgrounds']} backgrounds of {about['scenes']}, "
        f"{about['size']} px · {about['plan']['rounds']} rounds, interleaved",
        "",
        f"{'':{width}}  {'images/s':>10}   min – max",
        *(_measurement_line(row, width) for row in report.measurements),
        "",
        f"{'':{width}}  {'ratio':>10}   target",
        *(_ratio_line(row, width) for row in report.ratios),
        "",
        *_start_and_memory(report.start_and_memory, width),
        *report.checks,
    ]


def _measurement_line(row: Measurement, width: int) -> str:
    if row.rate is None:
        return f"{row.title:{width}}  {'–':>10}   {row.note}"
    return f"{row.title:{width}}  {_number(row.rate):>10}   {_number(min(row.rates))} – {_number(max(row.rates))}"


def _ratio_line(row: Ratio, width: int) -> str:
    aim = "" if row.aim is None else _value(row, row.aim)
    return f"{row.title:{width}}  {_value(row, row.value):>10}   {aim}".rstrip()


def _start_and_memory(rows: Sequence[Quantity], width: int) -> list[str]:
    """Format the section of what is no rate, each value with its unit."""
    head = f"{_SECTION:{width}}  {'median':>10}   min – max"
    return [head, *(_quantity_line(row, width) for row in rows), ""] if rows else []


def _quantity_line(row: Quantity, width: int) -> str:
    if row.median is None:
        return f"{row.title:{width}}  {'–':>10}   {row.note}"
    between = f"{_number(min(row.values))} – {_number(max(row.values))}"
    return f"{row.title:{width}}  {f'{_number(row.median)} {row.unit}':>10}   {between}"


def _value(row: Ratio, value: float) -> str:
    return f"{100 * value:.0f} %" if row.unit == "share" else f"{value:.3g} ×"


def _number(rate: float) -> str:
    """Format a rate with at least three significant digits.

    Example:
        >>> _number(6.283), _number(12345.6)
        ('6.28', '12,346')
    """
    return f"{rate:.3g}" if rate < 1000 else f"{rate:,.0f}"
