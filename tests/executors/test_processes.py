"""One process per device: the same bytes as in one process, also after one was killed."""

from __future__ import annotations

import pytest

from bglab.__main__ import main
from bglab.executors import connect, current
from bglab.models import load_classifier
from bglab.scenes import open_scenes, prepare
from fixtures.checkpoints import SMALL, saved, small
from fixtures.executed import Squares, compute_everything, contents

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """A small network and scenes."""
    folder = tmp_path_factory.mktemp("inputs")
    (folder / "net.pt").write_bytes(
        saved({"state_dict": small().state_dict(), "architecture": SMALL, "input_size": 48})
    )
    return f"file:{folder / 'net.pt'}", prepare(open_scenes("synthetic9?n=27"), 48, progress=False)


def test_processes_write_the_bytes_of_one(inputs, tmp_path):
    model, prepared = inputs
    classifier = load_classifier(model)
    compute_everything(classifier, prepared, tmp_path / "one")
    with connect(devices=["cpu", "cpu"]) as executor:
        compute_everything(classifier, prepared, tmp_path / "two")
    assert contents(tmp_path / "two") == contents(tmp_path / "one") != {}
    assert executor.statistics.blocks == executor.statistics.attempts > 10
    assert not current().is_remote


def test_a_killed_process_costs_only_what_it_was_computing(tmp_path):
    with connect(devices=["cpu", "cpu"]) as executor:
        found = {}
        for index, result in executor.run(Squares(tmp_path, seconds=0.1), range(12)):
            found[index] = result
            if len(found) == 3:
                seat = next(iter(executor.given))
                next(iter(seat._pool._processes.values())).kill()
    assert found == {i: i * i for i in range(12)}
    assert sum(Squares(tmp_path).times(i) for i in range(12)) <= 14


def test_the_command_takes_several_devices(inputs, tmp_path, capsys):
    words = ["search", "--scenes", "synthetic9?n=9", "-m", inputs[0], "--size", "48", "--results", str(tmp_path)]
    assert main([*words, "--device", "cpu,cpu"]) == 0
    assert main([*words, "--device", "cpu,cuda:7"]) == 2
    assert "expected a device of this machine, got 'cuda:7'" in capsys.readouterr().err
    assert main([*words, "--device", "cpu,cpu", "--ray", "local"]) == 2
    assert "expected one --device with --ray" in capsys.readouterr().err
    assert main([*words, "--worker-cpus", "2"]) == 2
    assert "expected --ray with --worker-cpus" in capsys.readouterr().err
