"""Handing out blocks: each result once, blocks of lost workers again, and blocks that always fail by name."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool

import numpy as np
import pytest

from bglab.errors import BadInput, MissingData
from bglab.executors import InProcess, current
from bglab.executors import dispatching as module
from bglab.executors.dispatching import Remote
from bglab.executors.worker import Worker
from bglab.packing import pack, unpack
from bglab.rebuild.spreading import in_order
from fixtures.executed import Squares


class Thread:
    """A worker in a thread, which is lost at some blocks."""

    def __init__(self, losing):
        self.pool, self.worker, self.losing, self.ended = ThreadPoolExecutor(1), Worker.__new__(Worker), losing, False
        self.worker._name = ""

    def hello(self):
        return self.pool.submit(str)

    def submit(self, name, shipped, block):
        return self.pool.submit(self.compute, name, shipped, block)

    def compute(self, name, shipped, block):
        if isinstance(block, int) and self.losing.get(block, 0):
            self.losing[block] -= 1
            self.ended = True
        if self.ended:
            raise BrokenProcessPool("a process was killed")
        return self.worker.compute(name, lambda: pickle.loads(shipped), block)  # noqa: S301

    def end(self):
        self.ended = True
        self.pool.shutdown(wait=False, cancel_futures=True)


class Threads(Remote):
    def __init__(self, losing=None, size=2):
        super().__init__()
        self.losing, self.started, self._size = losing or {}, 0, size

    @property
    def size(self):
        return self._size

    def start(self):
        self.started += 1
        return Thread(self.losing)

    def ship(self, job):
        return pickle.dumps(job)


def test_every_block_has_one_result(tmp_path):
    counted = []
    with Threads() as threads:
        found = dict(threads.run(Squares(tmp_path), range(20), counted.append))
    assert found == {i: i * i for i in range(20)}
    assert (threads.statistics.blocks, threads.statistics.attempts, sum(counted)) == (20, 20, 20)
    assert [Squares(tmp_path).times(i) for i in range(20)] == [1] * 20


def test_blocks_of_a_lost_worker_go_to_others_and_finished_ones_are_not_repeated(tmp_path):
    with Threads({3: 1, 11: 2}) as threads:
        found = list(threads.run(Squares(tmp_path), range(20)))
    assert sorted(found) == [(i, i * i) for i in range(20)]
    assert threads.started > 2
    assert threads.statistics.blocks == 20 < threads.statistics.attempts
    assert [Squares(tmp_path).times(i) for i in range(20)] == [1] * 20


def test_a_block_that_fails_three_times_is_named_and_the_rest_goes_on(tmp_path):
    found = []
    with (
        Threads() as threads,
        pytest.raises(BadInput, match=r"1 failed 3 times: number 4: RuntimeError: no square of 4"),
    ):
        found += threads.run(Squares(tmp_path, failing=(4,)), range(10))
    job = Squares(tmp_path)
    assert [job.times(i) for i in range(10)] == [3 if i == 4 else 1 for i in range(10)]


def test_a_block_that_kills_its_worker_each_time_is_named_and_not_those_that_waited(tmp_path):
    found = []
    with Threads({4: 99}) as threads, pytest.raises(BadInput, match=r"1 failed 3 times: number 4: its worker was lost"):
        found.extend(threads.run(Squares(tmp_path), range(10)))
    assert [Squares(tmp_path).times(i) for i in range(10)] == [i != 4 for i in range(10)]


def test_an_error_that_would_come_again_is_raised_at_once_as_what_it_is(tmp_path):
    class Missing(Squares):
        def run(self, blocks, done):
            raise MissingData("expected the photographs, got none")
            yield

    module_level["Missing"] = Missing
    with Threads() as threads, pytest.raises(MissingData, match=r"expected the photographs, got none \(on "):
        list(threads.run(Local("Missing", tmp_path), range(10)))
    assert threads.statistics.attempts <= 4


module_level = {}


class Local:
    """Makes a job of a class of this test in the worker."""

    def __init__(self, name, folder):
        self.name_of, self.folder = name, folder

    def __reduce__(self):
        return make, (self.name_of, self.folder)

    def name(self, block):
        return str(block)

    def get_ready(self):
        pass

    def run(self, blocks, done):
        raise AssertionError("it is made anew")


def make(name, folder):
    return module_level[name](folder)


def test_a_run_that_is_left_early_does_not_hold_up_the_next_one(tmp_path):
    with Threads() as threads:
        for _ in threads.run(Squares(tmp_path, seconds=0.05), range(20)):
            break
        before = len(list(tmp_path.iterdir()))
        assert before < 10
        assert dict(threads.run(Squares(tmp_path), range(100, 104))) == {i: (100 + i) ** 2 for i in range(4)}


def test_the_current_executor_ends_with_its_context(tmp_path):
    assert isinstance(current(), InProcess)
    with Threads() as threads:
        assert current() is threads
        assert list(in_order(abs, [-3, 2, -1] * 10)) == [3, 2, 1] * 10
    assert isinstance(current(), InProcess)
    assert list(in_order(abs, [-3, 2])) == [3, 2]


def test_large_arrays_are_shared_and_everything_else_is_pickled():
    large, small = np.arange(1 << 20, dtype=np.float32), np.arange(3)
    shared = []
    content, handles = pack({"a": large, "b": large, "c": small}, lambda array: shared.append(array) or "first")
    assert (len(shared), handles, len(content) < 2000) == (1, ["first"], True)
    found = unpack(content, [large])
    assert found["a"] is large
    assert found["b"] is large
    assert found["c"].tolist() == [0, 1, 2]


def test_workers_are_looked_for_again(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_LOOK_S", 0.05)
    threads = Threads(size=0)
    starting = iter([0, 0, 0, 1])
    monkeypatch.setattr(Threads, "size", property(lambda _: next(starting, 1)))
    with threads:
        assert dict(threads.run(Squares(tmp_path), range(3))) == {0: 0, 1: 1, 2: 4}
