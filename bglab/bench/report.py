"""What a benchmark reports: rates, their ratios, times to the first answer, peaks of memory."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import median
from typing import Any, Literal, NamedTuple

Unit = Literal["times", "share"]
QuantityUnit = Literal["s", "ms", "MiB"]


class Measurement(NamedTuple):
    """The throughput of one contender.

    Attributes:
        name: Key of the contender, stable across runs and versions.
        title: Description, shown in the printed table.
        rates: Images per second of each measurement; () if it could not be measured.
        note: Reason why it could not be measured.
    """

    name: str
    title: str
    rates: tuple[float, ...]
    note: str = ""

    @property
    def rate(self) -> float | None:
        """Median of ``rates`` in images per second; None if it could not be measured."""
        return median(self.rates) if self.rates else None


class Ratio(NamedTuple):
    """The ratio of two measurements of one run.

    Attributes:
        name: Key of the ratio, stable across runs and versions.
        title: Description, numerator / denominator.
        value: Median over the rounds.
        unit: ``times`` for a speed-up, ``share`` for a fraction of the baseline's throughput.
        aim: Target value; None if there is none.
    """

    name: str
    title: str
    value: float
    unit: Unit = "times"
    aim: float | None = None


class Quantity(NamedTuple):
    """A duration or an amount of memory, which is no rate and takes no part in the rounds.

    Attributes:
        name: Key of the quantity, stable across runs and versions.
        title: What is measured, shown in the printed table.
        unit: ``s``, ``ms`` or ``MiB``.
        values: All measurements; () if it could not be measured.
        note: Reason why it could not be measured.
    """

    name: str
    title: str
    unit: QuantityUnit
    values: tuple[float, ...]
    note: str = ""

    @property
    def median(self) -> float | None:
        """Median of ``values``; None if it could not be measured."""
        return median(self.values) if self.values else None


@dataclass(frozen=True, eq=False)
class Report:
    """The results of a benchmark.

    Attributes:
        about: Model, engine, device, images, versions.
        measurements: Throughput of each contender.
        ratios: Ratios of the measurements.
        checks: Agreement between the outputs of the contenders, one sentence each.
        start_and_memory: Times to the first answer and peaks of memory.
    """

    about: dict[str, Any]
    measurements: tuple[Measurement, ...]
    ratios: tuple[Ratio, ...]
    checks: tuple[str, ...]
    start_and_memory: tuple[Quantity, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON-serialisable values; rates are in images per second."""
        return {
            "about": self.about,
            "measurements": {m.name: {**m._asdict(), "median": m.rate} for m in self.measurements},
            "ratios": {ratio.name: ratio._asdict() for ratio in self.ratios},
            "start_and_memory": {q.name: {**q._asdict(), "median": q.median} for q in self.start_and_memory},
            "checks": list(self.checks),
        }
