"""Estimate what the papers' tables and figures cost, from rates that the benchmark measured on the reader's machine.

How much is computed is stated by the artefacts (`bglab.papers.work`); here it is divided by rates. A network of another
size than the benchmark's is assumed to need time in proportion to its arithmetic.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bglab.errors import BadInput, MissingData, brief
from bglab.models import architecture_gmacs, architecture_size
from bglab.papers import SIDE, Amount, Artefact, Job, amount_of, jobs_of

#: A backward pass takes about twice the arithmetic of the forward pass.
TRAINING_FORWARDS = 3
_HOUR = 3600.0
#: What the report of a benchmark is about, as far as it is read.
_ABOUT = {"model": str, "engine": str, "precision": str, "device": str, "device_type": str, "cores": int}


@dataclass(frozen=True)
class Rates:
    """Rates of one machine, read from the report of a benchmark.

    Attributes:
        file: The report.
        model: Classifier that was timed.
        where: Engine, precision and device, as one phrase.
        is_gpu: Whether its network ran on a GPU.
        cores: CPU cores of the machine.
        gmacs: Arithmetic of its network in 10⁹ multiply-accumulate operations per image; None if unknown.
        first_hit_share: Forward passes of the first hit over those of all pairs, on the benchmark's scenes.
        by_name: Images per second by the name of the measurement; those that were measured.
        notes: Why others were not.
    """

    file: str
    model: str
    where: str
    is_gpu: bool
    cores: int
    gmacs: float | None
    first_hit_share: float | None
    by_name: Mapping[str, float]
    notes: Mapping[str, str]

    @property
    def unit(self) -> str:
        """What is paid for: ``GPU hours``, or ``core hours`` on a CPU."""
        return "GPU hours" if self.is_gpu else "core hours"

    def of(self, name: str) -> float:
        """Return a rate in images per second.

        Raises:
            BadInput: If it was not measured.
        """
        if name not in self.by_name:
            why = self.notes.get(name)
            raise BadInput(
                f"expected the rate {name} in {self.file}, but it was not measured{f' ({why})' if why else ''}; run "
                f"bglab bench --json {self.file} again, with another --model if need be"
            )
        return self.by_name[name]


def read_rates(path: Path | str) -> Rates:
    """Read the rates of a benchmark.

    Args:
        path: File that ``bglab bench --json`` wrote.

    Raises:
        MissingData: If there is no such file.
        BadInput: If it is not the report of a benchmark.
    """
    file, again = Path(path), f"run bglab bench --json {path}"
    try:
        report = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise MissingData(f"expected the report of a benchmark at {file}, but there is none; {again}") from None
    except (OSError, ValueError) as problem:
        raise BadInput(f"expected the report of a benchmark in {file}, got {brief(problem)}; {again}") from None
    about, rows = (report.get(key) if isinstance(report, dict) else None for key in ("about", "measurements"))
    if not isinstance(about, dict) or not isinstance(rows, dict):
        raise BadInput(f"expected the report of a benchmark in {file}, got other JSON; {again}")
    odd = [name for name, kind in _ABOUT.items() if not isinstance(about.get(name), kind)]
    if odd:
        raise BadInput(f"expected the report of a benchmark in {file}, but it lacks {', '.join(odd)}; {again}")
    medians = {name: _positive(row, "median") for name, row in rows.items()}
    share = _positive(about, "first_hit_forwards_per_foreground")
    backgrounds = _positive(about, "backgrounds")
    return Rates(
        file=str(path),
        model=about["model"],
        where=f"{about['engine']}, {about['precision']}, on {about['device']} ({about['cores']} cores)",
        is_gpu=about["device_type"] != "cpu",
        cores=about["cores"],
        gmacs=_positive(about, "gmacs"),
        first_hit_share=share / backgrounds if share and backgrounds else None,
        by_name={name: rate for name, rate in medians.items() if rate},
        notes={name: str(row.get("note", "")) for name, row in rows.items() if isinstance(row, dict)},
    )


def _positive(values: Any, name: str) -> float | None:
    """Return a positive, finite number of a JSON object, or None."""
    value = values.get(name) if isinstance(values, dict) else None
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return float(value) if math.isfinite(value) and value > 0 else None


class Estimate(NamedTuple):
    """What some work takes on one machine like the benchmark's.

    Attributes:
        amount: Forward passes and bytes.
        hours: GPU hours, or core hours on a CPU.
    """

    amount: Amount
    hours: float


@dataclass(frozen=True)
class Estimates:
    """What artefacts take.

    Attributes:
        rates: What it is estimated from.
        artefacts: Estimate of each artefact alone, without training networks, in order.
        trainings: Estimate of each training that they need.
        together: Estimate of all artefacts in one run, which computes once what several share; without trainings.
        total: The same with the trainings.
    """

    rates: Rates
    artefacts: Mapping[str, Estimate]
    trainings: Mapping[Job, Estimate]
    together: Estimate
    total: Estimate

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What the estimates rest on, one sentence each."""
        rates = self.rates
        scale = f"every network is taken to be as fast as {rates.model}, whose arithmetic the report does not state"
        if rates.gmacs is not None:
            scale = (
                f"a network of another size needs time in proportion to its arithmetic, {rates.gmacs:.3g} GMACs per "
                f"image for {rates.model}; networks of another kind can differ several times"
            )
        beside = "the GPU computes meanwhile" if rates.is_gpu else "decoding and network share the CPU"
        found = [
            scale,
            f"an image that is trained on or differentiated costs {TRAINING_FORWARDS} forward passes of eager torch",
            f"each version of a photograph costs as much as decoding it, which is an upper bound; {beside}",
            "what several artefacts share is counted once in their sum, as one run of bglab reproduce computes it once",
            "the data is on the machine, and the release prepared; downloads, starts and failures are not counted",
        ]
        if rates.first_hit_share is not None:
            found.append(
                "pairs are searched exhaustively; on the benchmark's scenes, the first hit needed "
                f"{100 * rates.first_hit_share:.0f} % of the forward passes"
            )
        return tuple(found)

    def as_json(self) -> dict[str, Any]:
        """Return the estimates as JSON-serialisable values; hours are GPU hours, or core hours on a CPU."""
        trainings = [
            {"network": job.network.name, "architecture": job.network.architecture, **_values(found)}
            for job, found in self.trainings.items()
            if job.network
        ]
        return {
            "estimated_from": {**asdict(self.rates)},
            "unit": self.rates.unit,
            "assumptions": list(self.assumptions),
            "artefacts": {name: _values(found) for name, found in self.artefacts.items()},
            "trainings": trainings,
            "together": _values(self.together),
            "total": _values(self.total),
        }


def _values(found: Estimate) -> dict[str, Any]:
    return {**found.amount._asdict(), "hours": found.hours}


def estimate(artefacts: Sequence[Artefact], rates: Rates) -> Estimates:
    """Estimate what artefacts take at full size, with the papers' networks.

    Args:
        artefacts: Tables and figures out of `bglab.papers.catalogue`.
        rates: From `read_rates`.

    Raises:
        BadInput: If the benchmark lacks a rate that is needed.
    """
    of_each = {artefact.id: jobs_of(artefact.work) for artefact in artefacts}
    whole = jobs_of(work for artefact in artefacts for work in artefact.work)
    trainings = {job: _estimated([job], rates) for job in whole if job.kind == "train"}
    return Estimates(
        rates,
        {name: _estimated(_untrained(jobs), rates) for name, jobs in of_each.items()},
        trainings,
        _estimated(_untrained(whole), rates),
        _estimated(whole, rates),
    )


def _untrained(jobs: Iterable[Job]) -> list[Job]:
    return [job for job in jobs if job.kind != "train"]


def _estimated(jobs: Iterable[Job], rates: Rates) -> Estimate:
    amount, seconds = Amount(), 0.0
    for job in jobs:
        amount += amount_of(job)
        seconds += job_seconds(job, rates)
    return Estimate(amount, seconds / _HOUR * (1 if rates.is_gpu else rates.cores))


def job_seconds(job: Job, rates: Rates) -> float:
    """Estimate the duration of a job on one machine like the benchmark's, in seconds.

    Args:
        job: From `bglab.papers.jobs_of`.
        rates: From `read_rates`.

    Raises:
        BadInput: If the benchmark lacks a rate that is needed.
    """
    amount, relative = amount_of(job), relative_arithmetic(job, rates)
    if job.kind in {"train", "saliency"}:
        return TRAINING_FORWARDS * relative * amount.forwards / rates.of("eager")
    rendering = amount.rendered / rates.of("decode") if amount.rendered else 0.0
    if job.kind == "prepare":
        return rendering
    forward = relative * amount.forwards / rates.of("matrix" if job.kind == "matrix" else "predict")
    # on a GPU the network runs while the CPU decodes
    return max(rendering, forward) if rates.is_gpu else rendering + forward


def relative_arithmetic(job: Job, rates: Rates) -> float:
    """Return the arithmetic of a job's network per image, as a multiple of the benchmark's; 1 if that is unknown.

    Prepared images have 224 pixels for every network; photographs are cropped to the size of the weights' evaluation.
    """
    if rates.gmacs is None or job.network is None:
        return 1.0
    architecture = job.network.architecture
    size = architecture_size(architecture) if job.kind == "stream" else SIDE
    return architecture_gmacs(architecture, size) / rates.gmacs
