"""What a user waits for besides rates: the first image of a new process, the answer to a click; and peaks of memory.

The commands are those that a user types, as processes of their own and with the options of the benchmark's classifier
(`bglab.bench.watch`). One run before the measured ones prepares the scenes and converts the network, so that the others
find both on disk.
"""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

import bglab
from bglab.bench.contenders import Plan
from bglab.bench.report import Quantity
from bglab.errors import EXPECTED_ERRORS, BadInput, failure_reason
from bglab.models import Classifier
from bglab.models.sources import schemes
from bglab.scenes import PreparedScenes, SceneSet, open_scenes
from bglab.widgets import explore

#: Most scenes of a set that the commands are started on, since they prepare all of it.
_MOST_SCENES = 5_000
#: Clicks on the thumbnails of other scenes, whose backgrounds the explorer then shows.
_BACKGROUNDS = 6
#: Settings that a click or a slider changes after that.
_CHANGES: tuple[Mapping[str, Any], ...] = (
    {"mix": 0.5},
    {"brightness": 0.8},
    {"scale": 1.2},
    {"dx": 0.1},
    {"flip": True},
    {"background": "colour:#808080"},
)
#: Seconds after which an explorer that does not answer is given up.
_PATIENCE_S = 120
_MIB = 2**20

_COLD_START = "cold start of bglab predict: a new process until its first batch is answered"
_PREDICT = "peak memory of bglab predict"
_SEARCH = "peak memory of bglab search"


class Commands(NamedTuple):
    """The commands whose processes are measured.

    Attributes:
        predict: Arguments of ``bglab predict``, without its results folder.
        search: Arguments of ``bglab search``, likewise.
    """

    predict: list[str]
    search: list[str]


class Watched(NamedTuple):
    """A process that has ended well.

    Attributes:
        first_s: Seconds from its start until its progress bar counted images.
        peak_mib: Its largest resident size in MiB.
    """

    first_s: float
    peak_mib: float


def start_and_memory(
    classifier: Classifier, scenes: SceneSet, prepared: PreparedScenes, plan: Plan
) -> tuple[Quantity, ...]:
    """Measure times to the first answer and peaks of memory.

    Args:
        classifier: Classifier that was timed; new processes load it by its URI.
        scenes: The whole set, which new processes open by its URI.
        prepared: The scenes that were timed, for the explorer.
        plan: Amount of work: number of runs, and of foregrounds and backgrounds of the search.

    Returns:
        One quantity each; those that cannot be measured have the reason as a note.
    """
    return (
        *_of_processes(classifier, scenes, prepared.size, plan),
        _of_explorer(classifier, prepared),
        _of_gpu(classifier.engine.device),
    )


def _of_processes(classifier: Classifier, scenes: SceneSet, size: int, plan: Plan) -> tuple[Quantity, ...]:
    try:
        commands = commands_for(classifier, scenes, size, plan)
        with tempfile.TemporaryDirectory(prefix="bglab-bench-") as folder:
            results = _fresh_folders(Path(folder))
            run_watched(commands.predict, results)
            predicted = [run_watched(commands.predict, results) for _ in range(plan.rounds)]
            searched = run_watched(commands.search, results)  # once: it takes long, and its peak hardly varies
    except EXPECTED_ERRORS as problem:
        return (
            Quantity("cold_start", _COLD_START, "s", (), str(problem)),
            Quantity("predict_memory", _PREDICT, "MiB", (), str(problem)),
            Quantity("search_memory", _SEARCH, "MiB", (), str(problem)),
        )
    images, of_each = f"{len(scenes):,} images", f"up to {plan.scenes_per_class} foregrounds and backgrounds a class"
    return (
        Quantity("cold_start", _COLD_START, "s", tuple(run.first_s for run in predicted)),
        Quantity("predict_memory", f"{_PREDICT}, {images}", "MiB", tuple(run.peak_mib for run in predicted)),
        Quantity("search_memory", f"{_SEARCH}, {of_each}", "MiB", (searched.peak_mib,)),
    )


def commands_for(classifier: Classifier, scenes: SceneSet, size: int, plan: Plan) -> Commands:
    """Write the command lines that do the benchmark's work in processes of their own.

    Raises:
        BadInput: If a new process could not load this classifier or open these scenes, or would prepare a large set.
        UnknownName: Likewise, as `open_scenes`.
        MissingData: Likewise.
    """
    if os.name == "nt":
        raise BadInput("expected a system with pseudo-terminals, in which commands are watched; Windows has none")
    if classifier.spec.source not in schemes():
        raise BadInput("expected a classifier that a new process can load by its URI, got one made of an object")
    if open_scenes(scenes.uri).ids != scenes.ids:
        raise BadInput(f"expected all scenes of {scenes.uri}, which new processes open, got a part of them")
    if len(scenes) > _MOST_SCENES:
        raise BadInput(
            f"expected at most {_MOST_SCENES:,} scenes, since the commands prepare all of them, got {len(scenes):,}; "
            "measure on another set with --scenes"
        )
    choice, spec = classifier.choice, classifier.spec
    engine = ["--engine", choice.engine, "--device", choice.device, "--amp-dtype", choice.amp_dtype]
    engine += ["--torchcompile"] * choice.torchcompile + ["--deterministic"] * choice.deterministic
    shared = ["--scenes", scenes.uri, "--size", str(size), "--protocol", spec.protocol, *engine]
    per_class = str(plan.scenes_per_class)
    return Commands(
        ["predict", *shared, "--models", spec.id, "--variants", "original"],
        ["search", *shared, "--model", spec.id, "--foregrounds-per-class", per_class, "--backgrounds-per-class",
         per_class],
    )  # fmt: skip


def run_watched(arguments: list[str], results: Iterator[Path]) -> Watched:
    """Run a command of bglab in a process of its own, to its end, and return what was seen of it.

    Args:
        arguments: Arguments of ``bglab``.
        results: Folders for its results, of which it takes the next.

    Raises:
        BadInput: If it fails, or no progress bar counted an image.
    """
    package = Path(bglab.__file__).parents[1]
    # this very package, from wherever the benchmark is started; tqdm would hold back what comes within a tenth of a
    # second
    paths = os.pathsep.join([str(package), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = os.environ | {"PYTHONPATH": paths, "TQDM_MININTERVAL": "0"}
    command = [sys.executable, "-P", "-m", "bglab", *arguments, "--results", str(next(results))]
    program = Path(__file__).with_name("watch.py")
    counted = r"original.*?\|\s*[1-9]\d*/\d+ \["  # as tqdm counts: efficientnet_lite0 · original: 73%|█| 64/88 [
    run = subprocess.run(
        [sys.executable, "-I", str(program), counted, *command],
        env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    seen = json.loads(run.stdout) if run.returncode == 0 else {"status": run.returncode, "said": run.stderr[-200:]}
    if seen["status"] != 0 or seen["first_s"] is None:
        status, said = seen["status"], seen["said"]
        raise BadInput(f"expected bglab {arguments[0]} to run, but it ended with status {status}: {said}")
    return Watched(seen["first_s"], seen["peak_mib"])


def _fresh_folders(folder: Path) -> Iterator[Path]:
    """Yield folders without results, so that no run reads those of another."""
    number = 0
    while True:
        number += 1
        yield folder / f"run-{number}"


def _of_explorer(classifier: Classifier, prepared: PreparedScenes) -> Quantity:
    name, unit = "explorer_answer", "ms"
    try:
        times = explorer_answers(classifier, prepared)
    except Exception as problem:  # noqa: BLE001 - whatever a classifier raises, the rest of the report is there
        return Quantity(name, "answer of the explorer to a click", unit, (), failure_reason(problem))
    return Quantity(name, f"answer of the explorer to a click, {len(times)} clicks", unit, tuple(times))


def explorer_answers(classifier: Classifier, prepared: PreparedScenes) -> list[float]:
    """Measure how long the explorer takes from a view's message to the prediction and saliency that answer it.

    Messages go the way of a browser's, through the widget's own thread; the browser and the connection to it are not
    part of it. The first answer of all, for which Grad-CAM is converted, is not counted.

    Args:
        classifier: Classifier to explore.
        prepared: Scenes; the first is shown, and others lend their backgrounds.

    Returns:
        Milliseconds of each change, none of which repeats a state.

    Raises:
        BadInput: If the explorer refuses a state, or does not answer.
    """
    explorer = explore(prepared, classifier)
    answers: queue.Queue[dict[str, Any]] = queue.Queue()
    vars(explorer)["send"] = lambda content, buffers=None: answers.put(content)
    first, *others = prepared.scenes.ids
    lending = [scene for scene in others if prepared.has_plate[prepared.scenes.positions[scene]]][:_BACKGROUNDS]
    times: list[float] = []
    try:
        state = explorer.state | {"scene": first}
        for change in ({}, *({"background": f"scene:{scene}"} for scene in lending), *_CHANGES):
            state |= change
            started = time.perf_counter()
            explorer._handle_custom_msg({"type": "inspect", "view": "bench", "seq": 0, "state": state}, [])
            _next(answers)
            if change:
                times.append(1000 * (time.perf_counter() - started))
    finally:
        explorer.retire()
    return times


def _next(answers: queue.Queue[dict[str, Any]]) -> None:
    """Wait for the explorer's next message, which must be a prediction."""
    try:
        answer = answers.get(timeout=_PATIENCE_S)
    except queue.Empty:
        raise BadInput(f"expected an answer of the explorer within {_PATIENCE_S} s, got none") from None
    if answer["type"] != "result":
        raise BadInput(f"expected a prediction of the explorer, got: {answer.get('text', answer['type'])}")


def _of_gpu(device: torch.device) -> Quantity:
    name, title = "gpu_memory", "peak memory of this benchmark's tensors on the GPU"
    if device.type != "cuda":
        return Quantity(name, title, "MiB", (), f"measured on CUDA only, and this ran on {device.type}")
    return Quantity(name, title, "MiB", (torch.cuda.max_memory_allocated(device) / _MIB,))
