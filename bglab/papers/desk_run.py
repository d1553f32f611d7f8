"""Artefacts made one after the other in a thread that others watch and stop; what was done is stored, so they go on."""

from __future__ import annotations

import json
import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from bglab.figures import Width, theme
from bglab.papers.artefact import Artefact, Outcome
from bglab.papers.exporting import FORMATS, data_text, export_product
from bglab.papers.report import REPORT, entry_of, write_entries
from bglab.papers.reproduction import Predicted, Reproduction
from bglab.papers.runner import run_one
from bglab.papers.settings import Settings
from bglab.progress import Progress, Stopped, Watch, watching

#: Shortest time between two reports of one step in seconds: faster ones only keep a browser busy.
_PACE_S = 0.2


class Step(NamedTuple):
    """How far one step of an artefact is, for example a network's predictions for one variant.

    Attributes:
        title: What is done.
        done: Items done, those of earlier runs included.
        total: Items in all; None if unknown.
        unit: What is counted.
        rate: Items per second; None before the first.
        seconds_left: Seconds until the step is done; None if unknown.
    """

    title: str
    done: int
    total: int | None
    unit: str
    rate: float | None
    seconds_left: float | None

    @classmethod
    def of(cls, progress: Progress) -> Step:
        """Convert progress for JSON, which has no NaN."""
        rate, left = (value if math.isfinite(value) else None for value in (progress.rate, progress.seconds_left))
        return cls(progress.title, progress.done, progress.total, progress.unit, rate, left)


class DeskRun:
    """Outcomes of the artefacts of one reproduction, made in the thread that calls `make`, stopped from any other.

    Args:
        settings: Data, models and options. Progress is told to whoever calls `make`, not drawn.

    Attributes:
        reproduction: Scenes, models and results.
        outcomes: Outcomes of this session, by the artefact's id.
        stopped: Ids of artefacts that were stopped and go on from where they were.
    """

    def __init__(self, settings: Settings) -> None:
        self.reproduction = Reproduction(settings)
        self.outcomes: dict[str, Outcome] = {}
        self.stopped: set[str] = set()
        self._predicted: dict[str, list[Predicted]] = {}
        self._earlier = _read(settings.out)
        self._stop = threading.Event()
        self._opening = threading.Lock()

    def open(self) -> Reproduction:
        """Open the scenes, once, whichever thread needs them first, and return the reproduction.

        Raises:
            MissingData: If their data is not here.
            UnknownName: If there is no such source.
        """
        with self._opening:
            self.reproduction.scenes  # noqa: B018 - opens them
        return self.reproduction

    def status(self, artefact: Artefact) -> tuple[str, str]:
        """Return the status of an artefact and its short form: of this session, else of an earlier run; "" of none."""
        if artefact.id in self.stopped:
            return "stopped", "stopped"
        if artefact.id in self.outcomes:
            return self.outcomes[artefact.id].status, self.outcomes[artefact.id].chip
        entry = self._earlier.get(artefact.id, {})
        status = str(entry.get("status", ""))
        return ("", "") if status in {"", "not run", "failed"} else (status, f"{entry.get('chip', status)}, earlier")

    def predicted(self, artefact: Artefact) -> list[Predicted]:
        """Return the predictions that an artefact was made from in this session: of the test scenes, else of others.

        All are of one set of scenes.
        """
        found = self._predicted.get(artefact.id, [])
        of_test = [each for each in found if each.scenes is self.reproduction.scenes]
        return of_test or [each for each in found if each.scenes is found[0].scenes]

    def make(
        self,
        artefacts: Sequence[Artefact],
        *,
        told: Callable[[Artefact, tuple[Step, ...]], object],
        made: Callable[[Outcome], object],
    ) -> bool:
        """Make artefacts in order, and add their outcomes to ``report.json``.

        Args:
            artefacts: Artefacts to make, or to go on with.
            told: Called now and then with the steps of the present artefact so far.
            made: Called with each outcome.

        Returns:
            Whether all were made; False after `stop`.
        """
        self._stop.clear()
        self.open()
        for artefact in artefacts:
            try:
                if self._stop.is_set():
                    raise Stopped
                with watching(self._watch(artefact, told)), self.reproduction.noting_predictions() as predicted:
                    outcome = run_one(artefact, self.reproduction)
            except Stopped:
                self.stopped.add(artefact.id)
                return False
            self.stopped.discard(artefact.id)
            self.outcomes[artefact.id] = outcome
            self._predicted[artefact.id] = list(predicted.values()) if outcome.product else []
            self._record(outcome)
            made(outcome)
        return True

    def _watch(self, artefact: Artefact, told: Callable[[Artefact, tuple[Step, ...]], object]) -> Watch:
        """Return a function that collects the steps of an artefact, tells of them now and then, and stops it."""
        steps: dict[str, Step] = {}
        reported = 0.0

        def watch(progress: Progress) -> None:
            nonlocal reported
            if self._stop.is_set():
                raise Stopped
            steps[progress.title] = Step.of(progress)
            now = time.monotonic()
            if now - reported >= _PACE_S or progress.done == progress.total:
                reported = now
                told(artefact, tuple(steps.values()))

        return watch

    def export(
        self, artefact: Artefact, venue: str, width: Width, formats: Sequence[str] = FORMATS
    ) -> tuple[Path, ...]:
        """Make an artefact at a venue's width, and write its files; results come from the store where they are.

        Args:
            artefact: Artefact whose requirements are met.
            venue: One of `bglab.figures.VENUES`.
            width: As wide as a column, or as the text.
            formats: Formats out of `bglab.papers.FORMATS`.

        Returns:
            The files, in the folder ``exports``.
        """
        reproduction = self.open()
        folder = reproduction.settings.out / "exports"
        with theme(venue, width):
            product = replace(artefact.make(reproduction), data=data_text(artefact, reproduction))
            names = export_product(artefact, product, folder, venue=venue, width=width, formats=formats)
        return tuple(folder / name for name in names)

    def stop(self) -> None:
        """Stop what `make` is doing as soon as its step has made progress; stored results stay."""
        self._stop.set()

    def _record(self, outcome: Outcome) -> None:
        """Add an outcome to the report of the folder, beside those of other artefacts."""
        folder = self.reproduction.settings.out
        write_entries(_read(folder) | {outcome.artefact.id: entry_of(outcome)}, folder)


def _read(folder: Path) -> dict[str, Any]:
    """Read the report of an earlier run; {} if there is none that can be read."""
    try:
        found = json.loads((folder / REPORT).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) and all(isinstance(each, dict) for each in found.values()) else {}
