"""First answers and peaks of memory: what is seen of a process, which commands are started, what cannot be measured."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import asdict, replace

import psutil
import pytest
import torch

import bglab
from bglab.__main__ import _parser
from bglab.bench import start_and_memory as module
from bglab.bench import watch
from bglab.bench.contenders import Plan
from bglab.bench.start_and_memory import commands_for, explorer_answers, run_watched, start_and_memory
from bglab.commands._options import engine_choice
from bglab.errors import BadInput
from bglab.models import EngineChoice, load_classifier
from fixtures.networks import fresh
from fixtures.stand_ins import make_classifier, make_scenes
from fixtures.trained import SCENES, SIZE, write_trained

PLAN = Plan(rounds=2, scenes_per_class=1)

#: A program that takes memory, and counts two images with a pause before each.
COUNTING = """
import sys, time
held = bytearray({mib} << 20)
assert sys.stderr.isatty()
for count in range(3):
    print(f"\\r{{50 * count:3d}}%|##| {{count}}/2 [00:00<00:00]", end="", file=sys.stderr, flush=True)
    time.sleep({pause})
print("\\nbglab: the end", file=sys.stderr)
sys.exit({status})
"""


def watched(code, pattern=r"[1-9]/2 \["):
    command = [sys.executable, "-I", watch.__file__, pattern, sys.executable, "-c", code]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def test_the_first_image_is_what_the_progress_bar_shows():
    seen = watched(COUNTING.format(mib=1, pause=0.5, status=0))
    assert 0.5 <= seen["first_s"] < 1.0  # after the first pause and before the second has passed
    assert (seen["status"], seen["said"]) == (0, "bglab: the end")


def test_the_peak_is_of_the_process_alone():
    small, large = (watched(COUNTING.format(mib=mib, pause=0, status=0))["peak_mib"] for mib in (1, 64))
    assert small < psutil.Process().memory_info().rss / 2**20 / 2  # this process has imported torch
    assert 60 < large - small < 70


def test_a_program_that_fails_or_shows_nothing_is_seen():
    failed = watched(COUNTING.format(mib=1, pause=0, status=3))
    assert failed["status"] == 3
    silent = watched("pass")
    assert (silent["first_s"], silent["said"]) == (None, "")


@pytest.fixture
def trained(tmp_path):
    """Return a classifier that other processes can load, with options that are not the defaults."""
    file = write_trained(tmp_path, ["given"]) / "given.pt"
    return load_classifier(f"file:{file}", engine="torch", device="cpu", deterministic=True, protocol="model")


def test_commands_have_the_options_of_the_classifier(trained):
    commands = commands_for(trained, bglab.open_scenes(SCENES), SIZE, PLAN)
    for arguments in commands:
        options = _parser().parse_args([*arguments, "--results", "R"])
        assert engine_choice(options) == trained.choice == EngineChoice("torch", "cpu", deterministic=True)
        assert (options.scenes, options.size, options.protocol) == (SCENES, SIZE, "model")
        assert trained.spec.id in {getattr(options, "model", None), *getattr(options, "models", [])}
    assert (options.foregrounds_per_class, options.backgrounds_per_class) == (1, 1)
    assert "--torchcompile" not in commands.predict
    compiled = replace(trained, choice=replace(trained.choice, torchcompile=True, amp_dtype="bfloat16"))
    arguments = commands_for(compiled, bglab.open_scenes(SCENES), SIZE, PLAN).predict
    options = _parser().parse_args([*arguments, "--results", "R"])
    assert asdict(engine_choice(options)) == asdict(compiled.choice)


def test_what_a_new_process_could_not_do_is_refused_beforehand(trained, monkeypatch):
    scenes = bglab.open_scenes(SCENES)
    with pytest.raises(BadInput, match=r"^expected a classifier that a new process can load by its URI, got one made"):
        commands_for(fresh("test_efficientnet"), scenes, SIZE, PLAN)
    with pytest.raises(BadInput, match=r"^expected all scenes of synthetic9\?n=18&size=32, .*, got a part of them$"):
        commands_for(trained, scenes.select(per_class=1), SIZE, PLAN)
    monkeypatch.setattr(module, "_MOST_SCENES", 17)
    with pytest.raises(BadInput, match=r"^expected at most 17 scenes, .* got 18; measure on another set with --scenes"):
        commands_for(trained, scenes, SIZE, PLAN)


@pytest.mark.slow
def test_processes_are_measured(trained):
    scenes = bglab.open_scenes(SCENES)
    prepared = bglab.prepare(scenes.select(per_class=1), SIZE, progress=False)
    found = {row.name: row for row in start_and_memory(trained, scenes, prepared, PLAN)}
    starts, memory = found["cold_start"].values, found["predict_memory"].values
    assert len(starts) == len(memory) == 2
    assert all(0.1 < seconds < 60 for seconds in starts)
    assert all(50 < mib < 4000 for mib in memory)
    assert found["predict_memory"].title.endswith(", 18 images")
    assert 50 < found["search_memory"].values[0] < 4000


@pytest.mark.slow
def test_a_command_that_fails_says_why(tmp_path):
    arguments = ["predict", "--scenes", SCENES, "--models", "nothing:here", "--variants", "original"]
    with pytest.raises(BadInput, match=r"^expected bglab predict to run, but it ended with status 2: bglab: unknown "):
        run_watched(arguments, iter([tmp_path]))


def test_clicks_are_answered_and_none_repeats_a_state(monkeypatch):
    prepared = bglab.prepare(make_scenes(1), 32, progress=False)
    explored = []

    def opened(*arguments):
        explored.append(explorer := bglab.explore(*arguments))
        return explorer

    monkeypatch.setattr(module, "explore", opened)
    times = explorer_answers(fresh("test_efficientnet", 32), prepared)
    # six of the eight other scenes lend their backgrounds, and six settings change
    assert len(times) == 12
    assert all(0 < ms < 10_000 for ms in times)
    # each click and the first message are classified anew, and once the photograph that they are compared with
    assert explored[0].forwards == 12 + 1 + 1
    assert not explored[0]._session.inspector.classifiers


def test_an_explorer_that_refuses_is_a_reason():
    def fail(_images):
        raise RuntimeError("no such kernel")

    prepared = bglab.prepare(make_scenes(1), 32, progress=False)
    row = module._of_explorer(make_classifier(fail), prepared)
    assert row.values == ()
    assert row.note == "expected a prediction of the explorer, got: RuntimeError: no such kernel"


def test_memory_of_the_gpu(monkeypatch):
    assert module._of_gpu(torch.device("cpu")).note == "measured on CUDA only, and this ran on cpu"
    monkeypatch.setattr(torch.cuda, "max_memory_allocated", lambda device: 3 << 20)
    assert module._of_gpu(torch.device("cuda", 0)).values == (3.0,)
