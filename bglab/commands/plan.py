"""`bglab plan`: estimate what the papers' tables and figures cost, from rates measured on this machine."""

from __future__ import annotations

import argparse
import json
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bglab.commands._options import check_outputs, command, positive
from bglab.errors import BadInput

if TYPE_CHECKING:
    from bglab.bench.estimates import Estimate, Estimates, Rates

_HEAD = ("forwards", "read", "written")
_TOGETHER, _TOTAL = "together", "with training"
#: Width of the columns of numbers.
_CELL = 13


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `plan`."""
    plan = command(verbs, "plan", run_plan)
    plan.add_argument(
        "ids", nargs="*", metavar="ARTEFACT",
        help="for example nos-table-2 tbc-figure-4 (default: all; bglab reproduce --list names them)",
    )  # fmt: skip
    plan.add_argument("--rates", metavar="FILE", help="report of bglab bench --json, measured where the work will run")
    plan.add_argument("--gpus", type=positive, metavar="N", help="number of GPUs that share the work (default: 1)")
    plan.add_argument("--cost-per-gpu-hour", type=_price, metavar="PRICE", help="in any currency")
    plan.add_argument("--cost-per-core-hour", type=_price, metavar="PRICE", help="the same for rates of a CPU")
    plan.add_argument("--json", metavar="FILE", help="also write the estimates to this file")


def run_plan(options: argparse.Namespace) -> int:
    """Estimate forward passes, bytes, GPU hours and cost of the papers' tables and figures at full size."""
    if options.rates is None:
        raise BadInput(
            "expected --rates with the report of a benchmark, got none; run bglab bench --json bench.json first, then "
            "bglab plan --rates bench.json"
        )
    from bglab.bench.estimates import estimate, read_rates
    from bglab.files import write_text
    from bglab.papers import catalogue

    check_outputs(options.json)
    known = catalogue()
    chosen = [known[name] for name in dict.fromkeys(options.ids)] or list(known.values())
    rates = read_rates(options.rates)
    price = _price_of(rates, options)
    found = estimate(chosen, rates)
    print("\n".join(_lines(found, options.gpus or 1, price)))
    if options.ids:
        print("\n".join(["", *(f"{artefact.id}: {artefact.work_text}" for artefact in chosen)]))
    if options.json:
        values = _with_cost(found.as_json(), price) | {"gpus": options.gpus or 1, "price": price}
        values["work"] = {artefact.id: artefact.work_text for artefact in chosen}
        write_text(options.json, json.dumps(values, indent=2) + "\n", what="the estimates")
        print(options.json)
    return 0


def _price(text: str) -> float:
    """Parse a price, which is a number of at least 0."""
    try:
        price = float(text)
    except ValueError:
        price = math.nan
    if not (math.isfinite(price) and price >= 0):
        raise argparse.ArgumentTypeError(f"expected a price of at least 0, got {text}")
    return price


def _price_of(rates: Rates, options: argparse.Namespace) -> float | None:
    """Return the price of an hour in the unit of the rates; options of the other unit are refused."""
    of_gpus = {"--gpus": options.gpus, "--cost-per-gpu-hour": options.cost_per_gpu_hour}
    refused = {"--cost-per-core-hour": options.cost_per_core_hour} if rates.is_gpu else of_gpus
    given = next((name for name, value in refused.items() if value is not None), None)
    if given is not None:
        wanted = "a CPU" if rates.is_gpu else "a GPU"
        raise BadInput(
            f"expected rates of {wanted} with {given}, got those of {rates.where}; run bglab bench --json on {wanted}, "
            f"or leave {given} out for {rates.unit}"
        )
    return options.cost_per_gpu_hour if rates.is_gpu else options.cost_per_core_hour


def _lines(found: Estimates, gpus: int, price: float | None) -> list[str]:
    """Format the estimates as lines of text."""
    rates = found.rates
    trainings = {
        f"{job.network.name}, {job.network.architecture}": row for job, row in found.trainings.items() if job.network
    }
    width = max(map(len, [*found.artefacts, *trainings, _TOTAL]))
    head = [*_HEAD, rates.unit, *([] if price is None else ["cost"])]

    def row(name: str, estimate: Estimate) -> str:
        forwards, _, read, written = estimate.amount
        cells = [f"{forwards:,}" if forwards else "–", _bytes(read), _bytes(written), _hours(estimate.hours)]
        cost = [] if price is None else [f"{price * estimate.hours:,.2f}"]
        return _row(name, [*cells, *cost], width)

    training = ["", "training, once per network", *(row(*found) for found in trainings.items()),
                row(_TOTAL, found.total)]  # fmt: skip
    return [
        f"estimated, not measured: from {rates.file}, {rates.model} · {rates.where}",
        "",
        _row("", head, width),
        *(row(name, estimate) for name, estimate in found.artefacts.items()),
        row(_TOGETHER, found.together),
        *(training if trainings else []),
        "",
        _time(found, gpus),
        "assumed:",
        *(f"- {sentence}" for sentence in found.assumptions),
    ]


def _row(name: str, cells: Sequence[str], width: int) -> str:
    return f"{name:{width}}" + "".join(f"  {cell:>{_CELL}}" for cell in cells)


def _time(found: Estimates, gpus: int) -> str:
    """Describe how long it takes until all is done."""
    count, what = (gpus, "GPU") if found.rates.is_gpu else (found.rates.cores, "core")
    total, untrained = (_hours(part.hours / count) for part in (found.total, found.together))
    without = f", {untrained} of them without training" if found.trainings else ""
    return f"{total} hours on {count} {what}{'s' * (count != 1)} that share the work evenly{without}"


def _with_cost(values: dict[str, Any], price: float | None) -> dict[str, Any]:
    """Add the cost to every estimate of the JSON."""
    if price is None:
        return values
    rows = [*values["artefacts"].values(), *values["trainings"], values["together"], values["total"]]
    for row in rows:
        row["cost"] = price * row["hours"]
    return values


def _bytes(count: int) -> str:
    """Format a number of bytes with three significant digits.

    Example:
        >>> _bytes(0), _bytes(32_805_000), _bytes(7_141_588_992_000)
        ('–', '32.8 MB', '7.14 TB')
    """
    for unit, size in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB" if count else "–"


def _hours(hours: float) -> str:
    """Format hours with two significant digits below ten.

    Example:
        >>> _hours(0), _hours(0.00123), _hours(3.21), _hours(1234.5)
        ('–', '0.0012', '3.2', '1,234')
    """
    if not hours:
        return "–"
    return f"{hours:,.0f}" if hours >= 10 else f"{hours:.2g}"
