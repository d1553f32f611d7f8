"""Explain the difference between two prediction files by runs between them that change one setting at a time."""

from __future__ import annotations

import functools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.evaluation.predict import predict
from bglab.models import load_classifier
from bglab.results import differing_fields, identity
from bglab.scenes import open_scenes
from bglab.variants import Dataset, StreamSettings, compose, open_published, reopen_full

if TYPE_CHECKING:
    import pandas as pd

    from bglab.analysis import Change, FileComparison

#: Decimal places that sums and differences of points are rounded to, far below one image.
_DIGITS = 6


_COLUMNS = (
    "field", "a", "b", "top1_before", "top1_after", "points", "points_alone", "interaction", "images_changed"
)  # fmt: skip


@dataclass(frozen=True)
class Factor:
    """Settings that are changed together in one step.

    Attributes:
        name: Name of the step.
        shown: Setting whose value is shown for the step.
        compared: Settings of which at least one must differ for the step to be taken.
        along: Settings that are changed along with them.
    """

    name: str
    shown: str
    compared: tuple[str, ...]
    along: tuple[str, ...] = ()


#: The steps in the order in which they are taken: first what is classified, then by which network, then how.
FACTORS = (
    Factor(
        "data", "scenes", ("scenes", "fingerprint", "published", "resolution", "size", "streaming"), ("scenes_uri",)
    ),
    Factor("seed", "seed", ("seed",)),
    Factor("variant", "variant", ("variant", "rule")),
    Factor("weights", "model", ("model", "weights_sha256", "file_sha256"), ("tag",)),
    Factor("protocol", "protocol", ("protocol",)),
    Factor("decision_rule", "decision_rule", ("decision_rule",)),
    Factor("engine", "engine", ("engine",)),
    Factor("precision", "precision", ("precision",)),
)


@dataclass(frozen=True, eq=False)
class Step:
    """One step of a ladder.

    Attributes:
        field: Name of the setting that changes, or ``versions`` for a file that is not reproduced with today's.
        a: Its value before.
        b: Its value after.
        change: What changed in the predictions.
        points_alone: Change of accuracy in percentage points if only this setting of the first file is changed; NaN for
            ``versions``.
    """

    field: str
    a: Any
    b: Any
    change: Change
    points_alone: float

    @property
    def interaction(self) -> float:
        """Points of the step minus those of the change alone: what depends on the steps before."""
        return round(self.change.points - self.points_alone, _DIGITS)


@dataclass(frozen=True, eq=False)
class Ladder:
    """The difference between two prediction files, step by step.

    Attributes:
        comparison: The two files, compared.
        steps: The steps from the first to the second, in the order of `FACTORS`.
        notes: What could not be run again, and why.
    """

    comparison: FileComparison
    steps: tuple[Step, ...]
    notes: tuple[str, ...] = ()

    @property
    def points(self) -> float:
        """Difference in accuracy, second minus first, in percentage points."""
        return self.comparison.change.points

    @property
    def unexplained_points(self) -> float:
        """Points that no step accounts for."""
        return round(self.points - sum(step.change.points for step in self.steps), _DIGITS)

    @property
    def table(self) -> pd.DataFrame:
        """The steps, one row each, with accuracies as fractions and points as percentage points."""
        import pandas as pd

        rows = [
            (
                step.field,
                step.a,
                step.b,
                step.change.top1_before,
                step.change.top1_after,
                step.change.points,
                step.points_alone,
                step.interaction,
                len(step.change.images),
            )
            for step in self.steps
        ]
        return pd.DataFrame(rows, columns=list(_COLUMNS))

    @property
    def unexplained_images(self) -> list[str]:
        """Scenes whose prediction differs between the two files but changes in no step."""
        moved = {scene for step in self.steps for scene in step.change.images["scene"]}
        return [scene for scene in self.comparison.change.images["scene"] if scene not in moved]


def explain(a: Path | str, b: Path | str, *, scenes: str = "", batch_size: int = 64, progress: bool = True) -> Ladder:
    """Explain why two prediction files differ.

    The first file is computed again here, then each setting that differs is changed to that of the second, one after
    the other; the last run is the second file's. A file that comes out differently with the same settings was made with
    other versions or on another machine, which is a step of its own. Every setting is also changed alone, to show how
    much of a step depends on those before it. Nothing is stored.

    Args:
        a: Path of the first prediction file.
        b: Path of the second prediction file.
        scenes: URI of the scenes of both files; "" uses the URIs that are stored in them.
        batch_size: Images per forward pass.
        progress: Whether to show progress bars.

    Returns:
        The steps, whose points add up to the whole difference unless a file could not be computed again.

    Raises:
        BadInput: If a file cannot be read or was imported, or the two have no label space in common.
        MissingData: If scenes or weights are not on this machine.

    Example:
        >>> ladder = explain("r/predictions/…/a.parquet", "r/predictions/…/b.parquet")  # doctest: +SKIP
        >>> [(step.field, step.change.points) for step in ladder.steps]  # doctest: +SKIP
        [('protocol', -2.1), ('decision_rule', 5.2)]
    """
    # here, since every search imports this package, and statistics take 100 MB and a second
    from bglab.analysis import compare_files, read_both

    comparison = compare_files(a, b)
    (table_a, about_a), (table_b, about_b) = read_both(a), read_both(b)
    for path, about in ((a, about_a), (b, about_b)):
        if "preprocessing" not in about:
            raise BadInput(
                f"expected a file that says how its predictions were computed, got {path}, which was made by another "
                "program (bglab import); explain it without --ladder"
            )
    climb = _Climb(_Runner(scenes, batch_size, progress), _settings(about_a), _settings(about_b))
    first = climb.runner.run(climb.start)
    steps = climb.reproduction(table_a, first, about_a)
    steps += climb.steps(first)
    steps += climb.reproduction(climb.last, table_b, about_b, backwards=True)
    return Ladder(comparison, tuple(steps), tuple(climb.notes))


def _settings(about: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings in a provenance that a run can be made with, under the names in `FACTORS`."""
    known = {name for factor in FACTORS for name in (*factor.compared, *factor.along)}
    # files from before a field existed have its value of then
    defined = identity(about)
    settings = {name: about.get(name) for name in known}
    settings |= {"resolution": defined["resolution"], "protocol": defined["preprocessing"]["protocol"]}
    if settings["resolution"] == "full":  # the size is the network's, not the data's
        settings["size"] = None
        settings["streaming"] = {k: v for k, v in about["streaming"].items() if k not in {"workers", "keep_crops"}}
    return settings


@dataclass(eq=False)
class _Climb:
    """The way from one file's settings to the other's, and what was found on it."""

    runner: _Runner
    start: Mapping[str, Any]
    goal: Mapping[str, Any]
    notes: list[str] = field(default_factory=list)
    last: pd.DataFrame = field(init=False)

    def steps(self, first: pd.DataFrame) -> list[Step]:
        """Change one factor after the other, starting from the first file's settings."""
        from bglab.analysis import compare_tables

        settings, self.last, found = self.start, first, []
        for factor in FACTORS:
            if all(settings[name] == self.goal[name] for name in factor.compared):
                continue
            changed = self._changed(settings, factor)
            table = self.runner.run(changed)
            change = compare_tables(self.last, table)
            alone = change.points
            if found:
                alone = compare_tables(first, self.runner.run(self._changed(self.start, factor))).points
            name, shown = _named(factor, settings, changed)
            found.append(Step(name, settings[shown], changed[shown], change, alone))
            settings, self.last = changed, table
        return found

    def reproduction(
        self, before: pd.DataFrame, after: pd.DataFrame, about: Mapping[str, Any], *, backwards: bool = False
    ) -> list[Step]:
        """Compare a stored file with the run of its settings here; a step only if both have the same settings."""
        from bglab.analysis import compare_provenance, compare_tables

        here, which = (before, "second") if backwards else (after, "first")
        now = {str(name): value for name, value in here.attrs.items()}
        other = differing_fields(about, now)
        if other:
            self.notes.append(
                f"the {which} file cannot be computed again here, since {', '.join(other)} differ now; that part of "
                "the difference stays unexplained"
            )
            return []
        change = compare_tables(before, after)
        if change.images.empty:
            return []
        pairs = [pair for pair in compare_provenance(about, now) if pair.name not in _DESCRIBED]
        stored, today = ({pair.name: getattr(pair, side) for pair in pairs} for side in ("a", "b"))
        return [Step("versions", *((today, stored) if backwards else (stored, today)), change, math.nan)]

    def _changed(self, settings: Mapping[str, Any], factor: Factor) -> dict[str, Any]:
        return dict(settings) | {name: self.goal[name] for name in (*factor.compared, *factor.along)}


#: Names of the same thing, which explain no difference.
_DESCRIBED = frozenset({"scenes_uri", "model"})


def _named(factor: Factor, before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, str]:
    """Return name and shown setting of a step; weights of one architecture differ in their tag."""
    if factor.name == "weights" and before["tag"] != after["tag"]:
        architectures = [str(s["model"]).removesuffix(str(s["tag"])) for s in (before, after)]
        if architectures[0] == architectures[1]:
            return "tag", "tag"
    return factor.name, factor.shown


@dataclass(eq=False)
class _Runner:
    """Computes predictions for settings; networks, sets and tables are used again within one ladder."""

    scenes: str
    batch_size: int
    progress: bool
    _tables: dict[str, pd.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._load = functools.lru_cache(maxsize=2)(load_classifier)
        self._open = functools.lru_cache(maxsize=2)(open_scenes)

    def run(self, settings: Mapping[str, Any]) -> pd.DataFrame:
        """Classify the images that the settings describe; the provenance is in ``.attrs``."""
        key = json.dumps(dict(settings), sort_keys=True)
        if key not in self._tables:
            precision = settings["precision"]
            classifier = self._load(
                settings["model"],
                engine=settings["engine"],
                amp_dtype="none" if precision == "float32" else precision,
                protocol=settings["protocol"] if settings["resolution"] == "prepared" else "as-is",
            )
            options = {"batch_size": self.batch_size, "progress": self.progress}
            rule = settings["decision_rule"]
            self._tables[key] = predict(classifier, self._dataset(settings), decision_rule=rule, **options)
        return self._tables[key]

    def _dataset(self, settings: Mapping[str, Any]) -> Dataset:
        uri = self.scenes or settings["scenes_uri"]
        if not uri:
            where = settings["scenes"]
            raise MissingData(f"the file does not say where the scenes {where} are; name them with --scenes URI")
        scenes, variant = self._open(uri), settings["variant"]
        try:
            if settings["published"]:
                return open_published(scenes, variant, size=settings["size"], progress=self.progress)
            if settings["resolution"] == "full":
                full = reopen_full(scenes, StreamSettings(**settings["streaming"]), progress=self.progress)
                return compose(full, variant)
            return compose(
                scenes,
                variant,
                seed=settings["seed"],
                size=settings["size"] or 224,
                resolution="prepared",
                progress=self.progress,
            )
        except UnknownName as problem:
            raise BadInput(
                f"expected a variant known by name, to compute it again, got one of your own: {problem}"
            ) from None
