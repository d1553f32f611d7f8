"""The networks of a reproduction: given, trained within a time box, or missing with the reason why."""

from __future__ import annotations

import functools
import time
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl, urlencode

import pandas as pd

from bglab.errors import BadInput, MissingData
from bglab.files import writable_folder
from bglab.labels import OUTSIDE
from bglab.papers.missing import Missing, TimeBoxUsed
from bglab.papers.settings import Settings
from bglab.papers.training_runs import NETWORKS
from bglab.results import file_name
from bglab.scenes import SceneSet, open_scenes, prepare
from bglab.training import PRESETS, Recipe, differences, fit, read_checkpoint

# a laptop trains on as many scenes as it tests on; IN-9L has four times the images of IN-9
_TRAIN_TIMES, _LARGE_TIMES = 1, 4
# what the paper trains
_PAPERS_NETWORK = "resnet50"
_BUILD = "bglab data build in9 --imagenet PATH --out PATH"


class TrainedNetworks:
    """Trained networks by name (`bglab.papers.training_runs`); each is found or trained once.

    Args:
        settings: Of the reproduction.
        results: Folder for what is trained.
    """

    def __init__(self, settings: Settings, results: Path) -> None:
        self.settings = settings
        self.results = results
        self._uris: dict[str, str] = {}
        self._training_s = 0.0

    def title_of(self, model: str) -> str:
        """Name a trained network for people: its architecture and training set; "" for any other model."""
        for name, uri in self._uris.items():
            if uri == model:
                recipe = self.recipe_of(model)
                return f"{recipe.architecture if recipe else _PAPERS_NETWORK}, {NETWORKS[name].title}"
        return ""

    def recipe_of(self, model: str) -> Recipe | None:
        """Give the recipe that a trained network was made by; None for weights that did not come from here."""
        return _recipe_in(Path(model.removeprefix("file:").partition("?")[0]))

    def follows_paper(self, model: str) -> bool:
        """Whether a trained network was trained as the paper says: ResNet-50 and its recipe.

        Weights without a recipe are taken for what the folder calls them, such as the networks that the authors gave
        away.
        """
        recipe = self.recipe_of(model)
        if recipe is None:
            return True
        free = {"variants", "scenes", "pixels", "seed", "subclasses", "native_classes", "fraction", "lr", "balanced",
                "augmentation", "donors", "amp_dtype", "source_scale"}  # fmt: skip
        return not set(differences(recipe, PRESETS["paper"])) - free

    @property
    def preset(self) -> str:
        """Name of the preset that trains, or ``none``."""
        wanted = self.settings.train
        return wanted if wanted != "auto" else "toy" if self.training_uri("in9") else "none"

    def training_uri(self, data: str) -> str:
        """Say what is trained on, ``in9`` or ``in9l``; "" if nothing is there."""
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

    @functools.lru_cache(maxsize=4)  # noqa: B019 - as above
    def training_scenes(self, data: str) -> SceneSet:
        """Open the training scenes, ``in9`` or ``in9l``."""
        return open_scenes(self.training_uri(data))

    def why_missing(self, name: str) -> Missing | None:
        """Say what is missing for a trained network; None if it is there or can be trained."""
        network = NETWORKS[name]
        if name in self._uris or self._given(name) is not None:
            return None
        if not network.trainable:
            reason = (
                f"a network '{network.title}' is not trained here; put it into the folder of --trained as {name}.pt"
            )
            return Missing("needs training", reason)
        if not self.training_uri(network.data):
            option = "--train-scenes" if network.data == "in9" else "--large-scenes"
            reason = (f"no network trained on {network.title} was given (--trained DIR with {name}.pt), and there are "
                      f"no scenes to train it on ({option} URI)")  # fmt: skip
            return Missing("needs data", reason, _BUILD)
        if self.preset == "none":
            reason = f"no network trained on {network.title} was given (--trained DIR with {name}.pt)"
            return Missing("needs training", reason, "the same command with --train toy, or --train paper on a GPU")
        if network.needs_natives and not self.knows_natives(network.data):
            scenes = self.training_scenes(network.data).name
            reason = f"{network.title} needs scenes that know their ImageNet class, and {scenes} do not"
            return Missing("needs data", reason, _BUILD)
        return None

    def network(self, name: str) -> str:
        """Give the URI of a trained network; trains it if it is not there.

        Raises:
            MissingData: If it can be neither found nor trained.
            TimeBoxUsed: If the time box of the run is used up; what was trained is kept.
        """
        missing = self.why_missing(name)
        if missing is not None:
            raise MissingData(f"{missing.reason}; {missing.command}" if missing.command else missing.reason)
        if name not in self._uris:
            path = self._given(name) or self._train(name)
            # a plain state dict does not say what it is
            query = "" if _recipe_in(path) else f"?architecture={_PAPERS_NETWORK}"
            self._uris[name] = f"file:{path}{query}"
        return self._uris[name]

    def networks(self, names: Sequence[str], *, required: bool = False) -> dict[str, str]:
        """Give those of the networks that are there or can be trained within the time box, by name.

        Args:
            names: Which ones.
            required: Whether to raise if the time box leaves none of them.

        Raises:
            TimeBoxUsed: If it does.
        """
        found: dict[str, str] = {}
        stopped: TimeBoxUsed | None = None
        for name in names:
            try:
                if self.why_missing(name) is None:
                    found[name] = self.network(name)
            except TimeBoxUsed as problem:
                stopped = problem
        if stopped is not None and required and not found:
            raise stopped
        return found

    def _given(self, name: str) -> Path | None:
        folder = self.settings.trained
        path = folder / f"{name}.pt" if folder else None
        return path if path and path.is_file() else None

    def knows_natives(self, data: str) -> bool:
        """Whether training scenes know their ImageNet class."""
        return any(record.native_label != OUTSIDE for record in self.training_scenes(data).records)

    def _train(self, name: str) -> Path:
        """Train a network within the time box; every epoch is kept."""
        network = NETWORKS[name]
        scenes = self.training_scenes(network.data)
        recipe = network.recipe(PRESETS[self.preset], natives=self.knows_natives(network.data))
        folder = writable_folder(self.results / "trained" / file_name(f"{scenes.name}-{scenes.fingerprint[:6]}"))
        path = folder / f"{name}-{self.preset}.pt"
        started, box = time.perf_counter(), 60 * self.settings.train_minutes - self._training_s

        def stop(history: pd.DataFrame) -> None:
            if len(history) < recipe.epochs and time.perf_counter() - started > box:
                raise TimeBoxUsed(
                    f"the time box of {self.settings.train_minutes:g} minutes for trainings was used up at epoch "
                    f"{len(history)} of {recipe.epochs} of {network.title}; run the same command again to go on"
                )

        if box <= 0 and not (path.is_file() and read_checkpoint(path).is_finished):
            raise TimeBoxUsed(
                f"the time box of {self.settings.train_minutes:g} minutes for trainings was used up before "
                f"{network.title}; run the same command again to go on"
            )
        try:
            data = prepare(scenes, recipe.source_size, progress=self.settings.progress)
            fit(recipe, data, out=path, device=self.settings.device, callback=stop, progress=self.settings.progress)
        except BadInput as problem:
            raise BadInput(f"training on {network.title} failed: {problem}") from None
        finally:
            self._training_s += time.perf_counter() - started
        return path


def _recipe_in(path: Path) -> Recipe | None:
    """Read the recipe in a checkpoint; None if the file is no checkpoint of `training.fit`."""
    try:
        return read_checkpoint(path).recipe
    except BadInput:
        return None
