"""A Ray cluster of two nodes with one core each: the same bytes as in one process, whatever is killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bglab.errors import BadInput
from bglab.executors import connect, current
from bglab.models import load_classifier
from bglab.results import open_pairs
from bglab.scenes import open_scenes, prepare
from bglab.search import search_matrix
from fixtures import TESTS
from fixtures.checkpoints import SMALL, saved, small
from fixtures.executed import Squares, compute_everything, contents

ray = pytest.importorskip("ray", reason="Ray is not installed; pip install 'bglab[ray]'")

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("ray")]

#: Bytes of each node's object store.
_STORE = 150_000_000


@pytest.fixture(scope="module")
def cluster():
    """Start a cluster of two nodes with one core each."""
    from ray.cluster_utils import Cluster

    options = {"num_cpus": 1, "object_store_memory": _STORE}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setenv("PYTHONPATH", os.pathsep.join([str(TESTS), str(TESTS.parent), os.environ.get("PYTHONPATH", "")]))
        made = Cluster(initialize_head=True, head_node_args={**options, "include_dashboard": False})
        made.add_node(**options)
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def inputs(tmp_path_factory):
    """The mini set where it is, else generated scenes, a small network, and what one process computes with them."""
    folder = tmp_path_factory.mktemp("inputs")
    network = {"state_dict": small().state_dict(), "architecture": SMALL, "input_size": 48}
    (folder / "net.pt").write_bytes(saved(network))
    named = os.environ.get("BGLAB_TEST_DATA", "")
    scenes = f"in9:{Path(named).resolve() / 'bg_challenge'}" if named else "synthetic9?n=72"
    model, prepared = f"file:{folder / 'net.pt'}", prepare(open_scenes(scenes), 48, progress=False)
    compute_everything(load_classifier(model), prepared, folder / "expected")
    return scenes, model, prepared, contents(folder / "expected")


def after(seconds, action):
    """Do something in a thread after some seconds."""
    timer = threading.Timer(seconds, action)
    timer.start()
    return timer


class Processes(Squares):
    """A job that tells which process computes a block."""

    def run(self, blocks, done):
        for _ in blocks:
            time.sleep(0.1)
            yield os.getpid()


def test_a_cluster_writes_the_bytes_of_one_process(cluster, inputs, tmp_path):
    _, model, prepared, expected = inputs
    with connect(cluster.address) as executor:
        compute_everything(load_classifier(model), prepared, tmp_path)
        assert (executor.size, executor.cores, executor.gpus) == (2, 1, 0.0)
    assert contents(tmp_path) == expected != {}
    assert executor.statistics.blocks == executor.statistics.attempts > 20
    assert executor.statistics.seconds / executor.statistics.blocks < 0.1


def test_a_killed_worker_costs_only_what_it_was_computing(cluster, inputs, tmp_path):
    _, model, prepared, expected = inputs
    with connect(cluster.address) as executor:
        (_, killed), *_ = executor.run(Processes(tmp_path), range(4))
        done = executor.statistics.blocks
        timer = after(1.0, lambda: os.kill(killed, signal.SIGKILL))
        compute_everything(load_classifier(model), prepared, tmp_path / "results")
        timer.join()
        list(executor.run(Squares(tmp_path, seconds=0.2), range(4, 12)))
    assert contents(tmp_path / "results") == expected
    blocks, attempts = executor.statistics.blocks - done, executor.statistics.attempts - done
    assert blocks < attempts <= blocks + 2  # those that the worker had


def test_a_killed_node_costs_only_what_was_computed_on_it(cluster, inputs, tmp_path):
    _, model, prepared, expected = inputs
    node = cluster.add_node(num_cpus=1, object_store_memory=_STORE)
    with connect(cluster.address) as executor:
        list(executor.run(Squares(tmp_path, seconds=0.1), range(9)))
        done = executor.statistics.blocks
        assert executor.size == 3
        timer = after(1.0, lambda: cluster.remove_node(node, allow_graceful=False))
        compute_everything(load_classifier(model), prepared, tmp_path / "results")
        timer.join()
        list(executor.run(Squares(tmp_path, seconds=0.2), range(9, 20)))
    assert contents(tmp_path / "results") == expected
    blocks, attempts = executor.statistics.blocks - done, executor.statistics.attempts - done
    assert blocks < attempts <= blocks + 2


_SEARCH = """
import sys
from bglab.__main__ import main
from bglab.search import matrix
matrix._BLOCK_PAIRS = 400
sys.exit(main(sys.argv[1:]))
"""


def test_a_killed_driver_goes_on_without_computing_a_stored_block_again(cluster, inputs, tmp_path):
    scenes, model, prepared, _ = inputs
    expected = search_matrix(load_classifier(model), prepared, progress=False)
    words = ["search", "--scenes", scenes, "-m", model, "--size", "48", "--results", str(tmp_path / "r")]
    command = [sys.executable, "-c", _SEARCH, *words, "--ray", cluster.address]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while not list((tmp_path / "r").glob("**/rows/*.npy")):
        assert first.poll() is None, "it ended before it was killed"
        time.sleep(0.005)
    first.kill()
    first.wait()
    stored = [int(path.name[7:13]) - int(path.name[:6]) for path in (tmp_path / "r").glob("**/rows/*.npy")]
    assert 0 < sum(stored) < len(prepared)
    again = subprocess.run(command, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    (folder,) = {path.parent for path in (tmp_path / "r").glob("**/run.json")}
    pairs = open_pairs(folder)
    np.testing.assert_array_equal(pairs.native, expected.native)
    # of the killed run, a block counts once it is noted, which comes after it is stored
    count, width = np.prod(expected.native.shape), expected.native.shape[1]
    assert count - max(stored) * width <= json.loads((folder / "run.json").read_text())["forwards"] <= count


def test_what_cannot_work_is_one_sentence(cluster, inputs):
    with pytest.raises(BadInput, match="expected a Ray cluster at 127.0.0.1:1, but it cannot be .* --ray local, or"):
        connect("127.0.0.1:1")
    with pytest.raises(BadInput, match=r"expected a node with 64 cores for a worker, got 1 cores and 0 GPUs; 1 cores"):
        connect(cluster.address, worker_cpus=64)
    with pytest.raises(BadInput, match="expected a node with 1 cores and 1 GPUs for a worker"):
        connect(cluster.address, worker_gpus=1)
    with pytest.raises(BadInput, match="run the command on a node of the cluster"):
        connect("ray://127.0.0.1:10001")
    with pytest.raises(BadInput, match="expected at least 1 core"):
        connect("local", worker_cpus=0)
    with connect(cluster.address) as executor, pytest.raises(BadInput, match="object store of .* GB or more on each"):
        executor.ship(np.zeros(_STORE, dtype=np.uint8))


def test_a_second_connection_takes_the_place_of_the_first(cluster, tmp_path):
    first = connect(cluster.address)
    with connect(cluster.address) as second:
        assert dict(second.run(Squares(tmp_path), range(3))) == {0: 0, 1: 1, 2: 4}
    assert first is not second
    assert not current().is_remote


def test_a_worker_of_another_version_is_named(cluster, monkeypatch, tmp_path):
    from bglab.executors import ray_cluster

    monkeypatch.setattr(ray_cluster, "__version__", "99.0")
    with (
        connect(cluster.address) as executor,
        pytest.raises(BadInput, match=r"expected bglab 99.0 on every node, got "),
    ):
        list(executor.run(Squares(tmp_path), range(3)))
