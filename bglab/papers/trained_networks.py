"""The trained networks of a reproduction: given as files, trained within a time limit, or missing with a reason."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from bglab.errors import BadInput, MissingData
from bglab.executors import current
from bglab.files import whole_file, writable_folder
from bglab.labels import OUTSIDE
from bglab.names import display_name
from bglab.papers.missing import Missing, TimeLimitReached
from bglab.papers.settings import Settings
from bglab.papers.training_job import TrainingJob, TrainingPlan
from bglab.papers.training_runs import TRAINING_RUNS, TrainingRun
from bglab.results import data_file_name
from bglab.scenes import SceneSet, open_scenes, prepare
from bglab.training import PRESETS, Checkpoint, Recipe, differences, fit, read_checkpoint

# sizes of the drawn training sets as multiples of the test set: small enough for a laptop; IN-9L is 4 × IN-9
_TRAIN_TIMES, _LARGE_TIMES = 1, 4
_PAPERS_ARCHITECTURE = "resnet50"
# fields of a recipe that the paper does not state, or that describe our copy of the data
_NOT_STATED = frozenset(
    {"seed", "augmentation", "source_scale", "donors", "amp_dtype", "deterministic", "decay_rate", "scenes", "pixels"}
)
# the training sets are lost, and rebuilt ones differ a little in size
_IMAGES_TOLERANCE = 0.1
_BUILD = "bglab data build in9 --imagenet PATH --out PATH"


class TrainedNetworks:
    """Trained networks by name (`bglab.papers.training_runs`); each is located or trained once.

    Args:
        settings: Settings of the reproduction.
        results: Folder for the checkpoints of newly trained networks.
    """

    def __init__(self, settings: Settings, results: Path) -> None:
        self.settings = settings
        self.results = results
        self._uris: dict[str, str] = {}
        self._repeats: dict[str, str] = {}
        self._training_s = 0.0

    def title_of(self, model: str) -> str:
        """Return the display name of a trained network, its architecture and training set; "" for other models."""
        name = self._name_of(model)
        if not name:
            return ""
        recipe = self.recipe_of(model)
        title = f"{recipe.architecture if recipe else _PAPERS_ARCHITECTURE}, {TRAINING_RUNS[name].title}"
        return f"{title}, {_path_of(model).stem}" if model in self._repeats else title

    def _name_of(self, model: str) -> str:
        """Return the name of the training run that a network stands for; "" for other models."""
        own = (name for name, uri in self._uris.items() if uri == model)
        return self._repeats.get(model) or next(own, "")

    def repeats(self, name: str) -> tuple[str, ...]:
        """Return the URIs of further networks of a training run, trained with other seeds.

        They are given as ``<name>-seed1.pt``, ``<name>-seed2.pt``, … next to ``<name>.pt``. Only networks that follow
        the paper's recipe count, since their spread stands for the recipe's.

        Args:
            name: Name of the network in `bglab.papers.training_runs`.
        """
        folder = self.settings.trained
        files = sorted(folder.glob(f"{name}-seed*.pt")) if folder else []
        found = [f"file:{file}" for file in files if file.stem.removeprefix(f"{name}-seed").isdecimal()]
        self._repeats |= dict.fromkeys(found, name)
        return tuple(uri for uri in found if self.follows_paper(uri))

    def recipe_of(self, model: str) -> Recipe | None:
        """Read the recipe that a network was trained with; None for weights that `training.fit` did not write."""
        return _recipe_in(_path_of(model))

    def follows_paper(self, model: str) -> bool:
        """Check whether a network was trained as in Noise or Signal (Appendix C), by what its checkpoint records."""
        return not self.departure(model)

    def departure(self, model: str) -> str:
        """Explain how the training of a network departs from that of Noise or Signal, in one clause; "" if it does not.

        The file name only says which network of the paper it stands for. What counts is inside the checkpoint: the
        recipe with its variant, the finished epochs, and the number and origin of the training images.

        Args:
            model: URI of a trained network.
        """
        name, path = self._name_of(model), _path_of(model)
        if not name or _recipe_in(path) is None:
            return "how the given weights were trained is not known, as their file holds no recipe"
        return departure(TRAINING_RUNS[name], _record_in(path))

    @property
    def preset(self) -> str:
        """Name of the training preset, or ``none``."""
        wanted = self.settings.train
        return wanted if wanted != "auto" else "toy" if self.training_uri("in9") else "none"

    def training_uri(self, data: str) -> str:
        """Return the URI of the training scenes for ``in9`` or ``in9l``; "" if there are none."""
        named = self.settings.train_scenes if data == "in9" else self.settings.large_scenes
        if named or not self.settings.scenes.startswith("synthetic9"):
            return named
        scheme, _, query = self.settings.scenes.partition("?")
        options = dict(parse_qsl(query))
        times = _TRAIN_TIMES if data == "in9" else _LARGE_TIMES
        drawn = {
            "n": len(open_scenes(self.settings.scenes)) * times,
            "seed": int(options.get("seed", 0)) + (1 if data == "in9" else 2),
        }
        return f"{scheme}?{urlencode(options | drawn)}"

    @functools.lru_cache(maxsize=4)  # noqa: B019 - lives as long as its run
    def training_scenes(self, data: str) -> SceneSet:
        """Open the training scenes, ``in9`` or ``in9l``."""
        return open_scenes(self.training_uri(data))

    def why_missing(self, name: str) -> Missing | None:
        """Return what is missing for a trained network; None if it is available or can be trained."""
        run = TRAINING_RUNS[name]
        if name in self._uris or self._given(name) is not None:
            return None
        if not run.trainable:
            reason = f"bglab cannot train '{run.title}'; put the network into the folder of --trained as {name}.pt"
            return Missing("needs training", reason)
        if not self.training_uri(run.data):
            option = "--train-scenes" if run.data == "in9" else "--large-scenes"
            reason = (f"no network trained on {run.title} was given (--trained DIR with {name}.pt), and there are "
                      f"no scenes to train it on ({option} URI)")  # fmt: skip
            return Missing("needs data", reason, _BUILD)
        if self.preset == "none":
            reason = f"no network trained on {run.title} was given (--trained DIR with {name}.pt)"
            return Missing("needs training", reason, "the same command with --train toy, or --train paper on a GPU")
        if run.needs_natives and not self.knows_natives(run.data):
            scenes = self.training_scenes(run.data).name
            reason = f"{run.title} needs scenes with ImageNet class labels, which {scenes} does not have"
            return Missing("needs data", reason, _BUILD)
        return None

    def network(self, name: str) -> str:
        """Return the URI of a trained network, training it first if necessary.

        Raises:
            MissingData: If it is not available and cannot be trained.
            TimeLimitReached: If the run's time limit for training is reached; finished epochs are stored.
        """
        missing = self.why_missing(name)
        if missing is not None:
            raise MissingData(f"{missing.reason}; {missing.command}" if missing.command else missing.reason)
        if name not in self._uris:
            path = self._given(name) or self._train(name)
            # a plain state dict does not name its architecture
            query = "" if _recipe_in(path) else f"?architecture={_PAPERS_ARCHITECTURE}"
            self._uris[name] = f"file:{path}{query}"
        return self._uris[name]

    def networks(self, names: Sequence[str], *, required: bool = False) -> dict[str, str]:
        """Return the URIs, by name, of those networks that are available or can be trained within the time limit.

        Args:
            names: Names of the networks.
            required: Whether to raise if the time limit leaves none of them.

        Raises:
            TimeLimitReached: If ``required`` and the time limit leaves no network.
        """
        if current().is_remote:
            self._train_together([name for name in names if self.why_missing(name) is None])
        found: dict[str, str] = {}
        stopped: TimeLimitReached | None = None
        for name in names:
            try:
                if self.why_missing(name) is None:
                    found[name] = self.network(name)
            except TimeLimitReached as problem:
                stopped = problem
        if stopped is not None and required and not found:
            raise stopped
        return found

    def _given(self, name: str) -> Path | None:
        folder = self.settings.trained
        path = folder / f"{name}.pt" if folder else None
        return path if path and path.is_file() else None

    def knows_natives(self, data: str) -> bool:
        """Check whether the training scenes have ImageNet class labels."""
        return any(record.native_label != OUTSIDE for record in self.training_scenes(data).records)

    def _train_together(self, names: Sequence[str]) -> None:
        """Train the networks that are not trained yet by workers, one network each.

        A worker writes the checkpoint after every epoch, so a network goes on where it was when a worker is lost.
        """
        plans = {name: self._plan(name) for name in names if name not in self._uris and self._given(name) is None}
        left = [plan for plan in plans.values() if not (plan.path.is_file() and read_checkpoint(plan.path).is_finished)]
        sets = {
            (plan.data, plan.recipe.source_size): prepare(
                self.training_scenes(plan.data), plan.recipe.source_size, progress=self.settings.progress
            )
            for plan in left
        }
        started = time.perf_counter()
        left_s = 60 * self.settings.train_minutes - self._training_s
        for index, content in current().run(TrainingJob(sets, self.settings.engine.device, left_s), left):
            if not left[index].path.is_file():  # the worker has a disk of its own
                with whole_file(left[index].path, what="a checkpoint", remedy="choose another --out") as file:
                    file.write(content)
        self._training_s += time.perf_counter() - started

    def _plan(self, name: str) -> TrainingPlan:
        run = TRAINING_RUNS[name]
        scenes = self.training_scenes(run.data)
        recipe = run.recipe(PRESETS[self.preset], natives=self.knows_natives(run.data))
        folder = writable_folder(self.results / "trained" / data_file_name(scenes.name, scenes.fingerprint))
        return TrainingPlan(name, run.data, recipe, folder / f"{name}-{self.preset}.pt")

    def _train(self, name: str) -> Path:
        """Train a network within the time limit; the checkpoint is written after every epoch."""
        run = TRAINING_RUNS[name]
        _, _, recipe, path = self._plan(name)
        scenes = self.training_scenes(run.data)
        started, left_s = time.perf_counter(), 60 * self.settings.train_minutes - self._training_s
        limit = f"the training time limit of {self.settings.train_minutes:g} minutes was reached"

        def stop(history: pd.DataFrame) -> None:
            if len(history) < recipe.epochs and time.perf_counter() - started > left_s:
                raise TimeLimitReached(
                    f"{limit} at epoch {len(history)} of {recipe.epochs} of {run.title}; run the same command again to "
                    "resume"
                )

        if left_s <= 0 and not (path.is_file() and read_checkpoint(path).is_finished):
            raise TimeLimitReached(f"{limit} before {run.title}; run the same command again to resume")
        try:
            data = prepare(scenes, recipe.source_size, progress=self.settings.progress)
            options = {"device": self.settings.engine.device, "progress": self.settings.progress}
            fit(recipe, data, out=path, callback=stop, **options)
        except BadInput as problem:
            raise BadInput(f"training on {run.title} failed: {problem}") from None
        finally:
            self._training_s += time.perf_counter() - started
        return path


def departure(run: TrainingRun, checkpoint: Checkpoint) -> str:
    """Explain how a checkpoint departs from a training run of the paper, in one clause; "" if it does not.

    Args:
        run: The training run of the paper.
        checkpoint: The checkpoint, finished or not.
    """
    recipe, wanted = checkpoint.recipe, run.recipe(PRESETS["paper"], natives=True)
    if not run.trainable:
        return "bglab cannot train this network, so its recipe is not the paper's"
    found = {name: pair for name, pair in differences(recipe, wanted).items() if name not in _NOT_STATED}
    if found:
        name, (ours, papers) = next(iter(found.items()))
        return f"{name} is {_shown(ours)} and the paper's {_shown(papers)}"
    if not checkpoint.is_finished:
        return f"{checkpoint.epoch} of {recipe.epochs} epochs are finished"
    kinds = recipe.augmentation
    if not (kinds.crop_area[0] < 1 and kinds.flip and kinds.brightness and kinds.contrast and kinds.saturation):
        return "the images were not cropped, flipped and changed in colour"
    images, of_imagenet = (checkpoint.about.get(key, 0) for key in ("pictures", "imagenet_pictures"))
    if not recipe.pixels or of_imagenet < images or not images:
        return "the training images are not known to be ImageNet's"
    if abs(images - run.images) > _IMAGES_TOLERANCE * run.images:
        return f"{images:,} images were trained on, and about {run.images:,} in the paper"
    return ""


def _shown(value: object) -> str:
    return ", ".join(map(display_name, value)) if isinstance(value, tuple) else str(value)


def _path_of(model: str) -> Path:
    return Path(model.removeprefix("file:").partition("?")[0])


def _recipe_in(path: Path) -> Recipe | None:
    """Read the recipe of a checkpoint; None if `training.fit` did not write the file."""
    try:
        return _record_in(path).recipe
    except BadInput:
        return None


def _record_in(path: Path) -> Checkpoint:
    """Read what a checkpoint records, without its weights; again only if the file has changed.

    Titles, sizes and verdicts ask for it several hundred times in a reproduction, and each reading compares the
    checksums of all weights.
    """
    try:
        found = path.stat()
    except OSError:
        return read_checkpoint(path)  # which says what is wrong
    return _record_of(path, (found.st_ino, found.st_size, found.st_mtime_ns))


@functools.lru_cache(maxsize=64)
def _record_of(path: Path, _state: tuple[int, int, int]) -> Checkpoint:
    return replace(read_checkpoint(path), content={})
