"""Converted networks on a processor: compiled for single images, and for many.

A single image is answered first by all cores together. Many images are faster in several streams, each with small
batches of a fixed size: these stay in a processor's caches, and a stream with a core of its own hands nothing over to
others. How many streams and how large a batch is best depends on network and machine, so a few settings are measured
when a network first gets many images, and the best is kept. A setting counts only if its outputs have the bits of
single images, so results do not depend on what was measured.
"""

from __future__ import annotations

import json
import logging
import math
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib import metadata
from queue import SimpleQueue
from typing import Any, NamedTuple, final

import numpy as np
from jaxtyping import Shaped

from bglab.cache_entries import CacheEntry
from bglab.errors import BadInput
from bglab.parallel import is_limited, usable_cores
from bglab.seeding import digest

_LOG = logging.getLogger(__name__)

#: Number of images from which on some seconds of measuring pay.
MANY = 1000
#: Batch sizes that are tried, the most promising first.
BATCHES = (2, 1, 4, 8, 16, 32)
#: Larger batches, which take more memory, are not tried where one is slower than the best by this factor.
_SLOWER = 0.95
#: Seconds to measure a setting at a time, and after which no further one is tried.
_EACH_S, _MOST_S = 0.2, 5.0
#: The best of all are measured again in turn, so that a busy moment does not decide.
_FINALISTS, _ROUNDS = 3, 5
_FILE = "setting.json"
#: Version of what is kept: incremented whenever settings are chosen in another way.
_VERSION = 1

Arrays = Sequence[Shaped[np.ndarray, "n ..."]]
Outputs = tuple[Shaped[np.ndarray, "n ..."], ...]


class Setting(NamedTuple):
    """How a network is compiled for many images.

    Attributes:
        streams: Number of batches that are computed at the same time.
        batch: Number of images in each; shorter batches are padded.
    """

    streams: int
    batch: int

    def __str__(self) -> str:
        return f"{self.streams} stream{'s' * (self.streams != 1)}, batches of {self.batch}"


@final
class Compiled:
    """A converted network that answers single images at once, and many images at the highest rate.

    Args:
        core: OpenVINO's runtime.
        model: Converted network; the first dimension of each input is that of the images.
        precision: ``f32`` or ``bf16``.
        key: Identity of network, input and precision, under which the best setting is kept; "" keeps none.
    """

    def __init__(self, core: Any, model: Any, precision: str, key: str) -> None:
        self._core, self._model, self._key = core, model, key and f"{key} {precision}"
        self._hints = {"INFERENCE_PRECISION_HINT": precision}
        if is_limited():  # other workers use the other cores, and none of them shall be bound to one
            self._hints |= {"INFERENCE_NUM_THREADS": str(usable_cores()), "ENABLE_CPU_PINNING": "NO"}
        compiled = core.compile_model(model, "CPU", self._hints | {"PERFORMANCE_HINT": "LATENCY"})
        self._request = compiled.create_infer_request()
        self._busy = threading.Lock()  # a request serves one caller at a time, but widgets and cells share it
        self._pool: Pool | None = None
        self._is_tuned = False

    @property
    def setting(self) -> Setting | None:
        """Setting for many images; None if there is none yet, or none has the bits of single images."""
        return self._pool.setting if self._pool else None

    def choose_setting(self, examples: Arrays) -> None:
        """Compile for many images, with the setting that is kept or, for some seconds, found to be best.

        Args:
            examples: Inputs of a few images to measure with.
        """
        if self._is_tuned:
            return
        entry = setting_entry(self._key, self._core) if self._key else None
        self._pool = _best_pool(self.compile_for, examples, self.one_by_one(examples), entry)
        self._is_tuned = True

    def begin(self, inputs: Arrays) -> Callable[[], Outputs]:
        """Begin to compute, and return a function that waits for the outputs; few images are computed right away.

        Args:
            inputs: One array per input. They must not be changed before the outputs are there.
        """
        inputs = [np.ascontiguousarray(array) for array in inputs]
        # with fewer images than that, some stream would have nothing to do
        if self._pool and len(inputs[0]) >= self._pool.setting.streams * self._pool.setting.batch:
            return self._pool.begin(inputs)
        outputs = self.at_once(inputs)
        return lambda: outputs

    def at_once(self, inputs: Arrays) -> Outputs:
        """Compute a batch with all cores together."""
        with self._busy:
            outputs = self._request.infer(dict(enumerate(inputs)), share_inputs=True)
            return tuple(np.array(value) for value in outputs.to_tuple())

    def one_by_one(self, inputs: Arrays) -> Outputs:
        """Compute single images."""
        outputs = [self.at_once([array[i : i + 1] for array in inputs]) for i in range(len(inputs[0]))]
        return tuple(np.concatenate(values) for values in zip(*outputs, strict=True))

    def compile_for(self, setting: Setting) -> Pool:
        """Compile the network for a setting."""
        model = self._model.clone()
        shapes = [[setting.batch, *each.partial_shape[1:]] for each in model.inputs]
        model.reshape(dict(enumerate(shapes)))
        compiled = self._core.compile_model(model, "CPU", self._hints | {"NUM_STREAMS": str(setting.streams)})
        return Pool(compiled, setting)


@final
class Pool:
    """Requests of a network compiled for one setting, which threads keep busy.

    Args:
        compiled: Network compiled for the setting.
        setting: Streams and batch size.
    """

    def __init__(self, compiled: Any, setting: Setting) -> None:
        self.compiled, self.setting = compiled, setting
        # while one is computed, another waits in each stream, so that none is idle until Python has the next ready
        workers = 2 * setting.streams
        self._requests: SimpleQueue[Any] = SimpleQueue()
        for _ in range(workers):
            self._requests.put(compiled.create_infer_request())
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="bglab-openvino")

    def begin(self, inputs: Arrays) -> Callable[[], Outputs]:
        """Begin to compute, and return a function that waits for the outputs.

        Args:
            inputs: One contiguous array per input. They must not be changed before the outputs are there.
        """
        size = self.setting.batch
        parts = [
            self._threads.submit(self._run, [array[first : first + size] for array in inputs])
            for first in range(0, len(inputs[0]), size)
        ]
        return lambda: tuple(np.concatenate(values) for values in zip(*(part.result() for part in parts), strict=True))

    def _run(self, inputs: Arrays) -> Outputs:
        count, request = len(inputs[0]), self._requests.get()
        try:
            padded = [_padded(array, self.setting.batch) for array in inputs]
            outputs = request.infer(dict(enumerate(padded)), share_inputs=True)
            return tuple(np.array(value[:count]) for value in outputs.to_tuple())
        finally:
            self._requests.put(request)


def _padded(array: Shaped[np.ndarray, "n ..."], count: int) -> Shaped[np.ndarray, "m ..."]:
    if len(array) == count:
        return array
    return np.concatenate([array, np.zeros((count - len(array), *array.shape[1:]), array.dtype)])


def _best_pool(
    compile_for: Callable[[Setting], Pool], inputs: Arrays, expected: Outputs, entry: CacheEntry | None
) -> Pool | None:
    """Return a network compiled for the setting that is kept, or for the best of some that are measured now."""
    kept = None if entry is None else _read(entry)
    if kept is not None:
        pool = compile_for(kept)
        if _is_equal(pool, inputs, expected):
            return pool
    found = fastest(sweep(compile_for, inputs, expected), inputs)
    if found is None:
        return None
    if entry is not None:
        _write(entry, found[0].setting)
    return found[0]


def sweep(
    compile_for: Callable[[Setting], Pool], inputs: Arrays, expected: Outputs, *, every: bool = False
) -> Iterator[tuple[Pool, float]]:
    """Measure settings, the most promising first; those whose outputs differ from the expected ones are left out.

    Args:
        compile_for: Compiles the network for a setting.
        inputs: Inputs of a few images to measure with.
        expected: Their outputs, computed one image at a time.
        every: Whether to measure all settings, and not only as many as some seconds allow.

    Yields:
        The compiled network and its images per second.
    """
    until = math.inf if every else time.perf_counter() + _MOST_S
    for streams in _streams():
        best = 0.0
        for batch in BATCHES:
            if time.perf_counter() > until:
                return
            setting = Setting(streams, batch)
            pool = compile_for(setting)
            if not _is_equal(pool, inputs, expected):
                _LOG.debug("%s: other bits than those of single images", setting)
                continue
            rate = _rate(pool, inputs)
            yield pool, rate
            del pool  # the caller may have no use for it, and the next one takes as much memory
            best = max(best, rate)
            if not every and batch > BATCHES[0] and rate < _SLOWER * best:
                break


def fastest(measured: Iterable[tuple[Pool, float]], inputs: Arrays) -> tuple[Pool, float] | None:
    """Measure the best of some settings again in turn, and return the fastest with its images per second.

    Args:
        measured: From `sweep`; of its networks only the best few are held at a time.
        inputs: Inputs of a few images to measure with.

    Returns:
        The compiled network and its rate; None if no setting was measured.
    """
    finalists: list[tuple[Pool, float]] = []
    for found in measured:
        finalists = sorted([*finalists, found], key=lambda each: -each[1])[:_FINALISTS]
        del found
    if not finalists:
        return None
    rates = np.median([[_rate(pool, inputs) for pool, _ in finalists] for _ in range(_ROUNDS)], axis=0)
    return finalists[int(rates.argmax())][0], float(rates.max())


def setting_entry(key: str, core: Any) -> CacheEntry:
    """Return where the setting of a network is kept: for this machine, this version of OpenVINO, and this input.

    Args:
        key: Identity of the network, its input and its precision.
        core: OpenVINO's runtime.
    """
    machine = [str(core.get_property("CPU", "FULL_DEVICE_NAME")), str(usable_cores()), metadata.version("openvino")]
    stamp = digest([key, *machine, str(_VERSION)])
    return CacheEntry(f"engines/setting-{stamp}", stamp, "the best setting of a network")


def _streams() -> list[int]:
    """Return the numbers of streams to try, the largest first: one per core, fewer, and one over all cores."""
    cores = usable_cores()
    return sorted({max(1, cores // part) for part in (1, 2, 4)} | {1}, reverse=True)


def _is_equal(pool: Pool, inputs: Arrays, expected: Outputs) -> bool:
    """Compare the outputs at every place in a batch, and of a batch that is padded."""
    places = np.arange(pool.setting.batch + 1) % len(inputs[0])
    found = pool.begin([array[places] for array in inputs])()
    return all(np.array_equal(one, other[places]) for one, other in zip(found, expected, strict=True))


def _rate(pool: Pool, inputs: Arrays) -> float:
    """Measure the images per second of a pool that is kept busy."""
    size, streams = pool.setting.batch, pool.setting.streams
    places = np.arange(size) % len(inputs[0])
    part = [array[places] for array in inputs]
    count, started, waiting = 0, time.perf_counter(), [pool.begin(part) for _ in range(2 * streams)]
    while time.perf_counter() - started < _EACH_S:
        for i, wait in enumerate(waiting):
            wait()
            count += size
            waiting[i] = pool.begin(part)
    for wait in waiting:
        wait()
        count += size
    return count / (time.perf_counter() - started)


def _read(entry: CacheEntry) -> Setting | None:
    """Read the setting that is kept; None if there is none."""
    folder = entry.find()
    return None if folder is None else Setting(**json.loads((folder / _FILE).read_bytes()))


def _write(entry: CacheEntry, setting: Setting) -> None:
    try:
        with entry.make() as folder:
            (folder / _FILE).write_text(json.dumps(setting._asdict()), encoding="utf-8")
    except BadInput as problem:
        _LOG.warning("the best setting is measured again next time: %s", problem)
