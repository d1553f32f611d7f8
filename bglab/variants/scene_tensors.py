"""Prepared scenes as tensors on a device, copied there once for all variants of a set."""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bglab.scenes import PreparedScenes, memory_bytes
from bglab.variants.rules import SceneBatch

#: Fraction of a device's free memory that scenes may take.
_RESIDENT_SHARE = 0.4


@functools.lru_cache(maxsize=2)
def scene_tensors(prepared: PreparedScenes) -> SceneTensors:
    """Return the tensors of prepared scenes; calls with the same scenes share one copy per device."""
    return SceneTensors(prepared)


class SceneTensors:
    """Prepared scenes as tensors: memory-mapped on the CPU, or copied to a GPU if they fit.

    Args:
        prepared: From `bglab.scenes.prepare`.
    """

    def __init__(self, prepared: PreparedScenes) -> None:
        self._prepared = prepared
        self._ids = np.array(prepared.scenes.ids, dtype=object)
        self._uploaded: dict[str, dict[str, Tensor]] = {}

    def __reduce__(self) -> tuple[Callable[..., SceneTensors], tuple[PreparedScenes]]:
        """Pickle for a worker, which copies the scenes to its own device."""
        return scene_tensors, (self._prepared,)

    def batch(self, positions: slice | Int[np.ndarray, " n"], device: torch.device | str) -> SceneBatch:
        """Return the scenes at some positions on a device."""
        arrays = self._on(torch.device(device))
        if isinstance(positions, slice):
            parts = {name: array[positions] for name, array in arrays.items()}
        else:
            index = torch.from_numpy(np.asarray(positions))
            parts = {name: array[index.to(array.device)] for name, array in arrays.items()}
        moved = {name: part.to(device, non_blocking=True) for name, part in parts.items()}
        return SceneBatch(ids=tuple(self._ids[positions]), **moved)

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        """Return the arrays of all scenes, on the device if they fit there, otherwise memory-mapped on the CPU."""
        if str(device) not in self._uploaded:
            names = ("images", "masks", "plates", "boxes")
            mapped = {name: torch.from_numpy(np.asarray(getattr(self._prepared, name))) for name in names}
            if device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(device)
                if memory_bytes(len(self._prepared), self._prepared.size) < _RESIDENT_SHARE * free:
                    mapped = {name: array.to(device) for name, array in mapped.items()}
            self._uploaded[str(device)] = mapped
        return self._uploaded[str(device)]
