"""Work that a GPU does while the next is launched: uploads, batches prepared beside the network, and copies back.

CUDA runs what is launched into a stream in turn, and the CPU goes on at once. It waits where memory that is not pinned
is copied or a value is read, and each wait leaves the GPU without work until the next launch. On all other devices,
these functions do the same work in turn.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import final

import torch
from torch import Tensor

#: Fraction of the free memory that a batch may take: the next one is prepared beside it, and memory fragments.
_BATCH_SHARE = 0.8


def runs_ahead(device: torch.device | str) -> bool:
    """Check whether work on a device is launched into CUDA's streams."""
    return torch.device(device).type == "cuda" and torch.cuda.is_available()


def upload(tensor: Tensor, device: torch.device | str) -> Tensor:
    """Copy a tensor to a device; to a GPU from pinned memory, since nothing waits for such a copy.

    Args:
        tensor: Tensor on any device.
        device: Device of the result.
    """
    if tensor.device.type == "cpu" and runs_ahead(device):
        return tensor.pin_memory().to(device, non_blocking=True)
    return tensor.to(device)


def copied_back(waiting: Callable[[], Tensor], device: torch.device) -> Callable[[], Tensor]:
    """Return a function that waits for a tensor and returns it on the CPU.

    On a GPU the copy begins now, and is waited for alone, not what is launched after it.

    Args:
        waiting: Waits for the tensor, as from `Engine.begin`; what it returns on a GPU is launched, not finished.
        device: Device on which it is computed.
    """
    if not runs_ahead(device):
        return lambda: waiting().cpu()
    copied = waiting().to("cpu", non_blocking=True)  # torch pins the memory of such a copy
    finished = torch.cuda.Event()
    finished.record(torch.cuda.current_stream(device))

    def wait() -> Tensor:
        finished.synchronize()
        return copied.clone()  # pinned memory is scarce, and the caller may keep many

    return wait


@final
class Pace:
    """Keeps the CPU at most one step ahead of a GPU, since memory is held for all that is launched.

    Args:
        device: Device of the steps.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._earlier: torch.cuda.Event | None = None

    def step(self) -> None:
        """Begin a step; wait for what was launched before the last one began, while the GPU works on that."""
        if not runs_ahead(self._device):
            return
        launched = torch.cuda.Event()
        launched.record(torch.cuda.current_stream(self._device))
        if self._earlier is not None:
            self._earlier.synchronize()
        self._earlier = launched


@final
class SideStream:
    """A stream in which a GPU prepares the next batch while it works on this one in the current stream.

    Args:
        device: Device of the batches.
    """

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pace = Pace(device)
        self._stream = torch.cuda.Stream(device) if runs_ahead(device) else None
        if self._stream is not None:
            self._stream.wait_stream(torch.cuda.current_stream(device))  # what the batches are made from

    def run(self, work: Callable[[], Tensor]) -> Tensor:
        """Launch work beside that of the current stream, in which its result can be used as any other.

        Args:
            work: Launches operations that use no tensors of the current stream but those from before this object.
        """
        if self._stream is None:
            return work()
        self._pace.step()
        current = torch.cuda.current_stream(self._device)
        try:
            with torch.cuda.stream(self._stream):
                made = work()
        finally:
            current.wait_stream(self._stream)
        made.record_stream(current)  # its memory belongs to the other stream, which must not use it again too early
        return made


def images_that_fit(device: torch.device, work: Callable[[], object], count: int, most: int) -> int:
    """Measure how many images a GPU can work on at a time, by its free memory and what a few images take.

    Args:
        device: A GPU for which `runs_ahead` is true.
        work: Works on a few images.
        count: Number of these images.
        most: Largest number of images to return.

    Returns:
        A power of two from 1 to ``most``, so that small changes of the free memory do not change it.
    """
    before = torch.cuda.memory_allocated(device)
    torch.cuda.reset_peak_memory_stats(device)
    try:
        work()
    except torch.cuda.OutOfMemoryError:
        most = min(most, max(1, count // 2))
    needed = (torch.cuda.max_memory_allocated(device) - before) / count
    torch.cuda.empty_cache()  # what the few images took counts as free
    free, _ = torch.cuda.mem_get_info(device)
    fitting = max(1, min(most, int(_BATCH_SHARE * free / max(1.0, needed))))
    return 1 << fitting.bit_length() - 1
