"""Prepared scenes as tensors on a device, copied there once for all variants of a set."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from bglab.models import upload
from bglab.scenes import PreparedScenes, memory_bytes
from bglab.variants.rules import SceneBatch

#: Fraction of a device's free memory that scenes may take.
_RESIDENT_SHARE = 0.4
_PARTS = ("images", "masks", "plates", "boxes")


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
        parts = zip(_PARTS, self.parts(_PARTS, positions, device), strict=True)
        return SceneBatch(ids=tuple(self._ids[positions]), **dict(parts))

    def parts(
        self, names: Sequence[str], positions: slice | Int[np.ndarray, " n"], device: torch.device | str
    ) -> tuple[Tensor, ...]:
        """Return some of the scenes' arrays at some positions on a device.

        Args:
            names: Names of fields of a `SceneBatch`, such as ``plates``.
            positions: Positions of the scenes.
            device: Device of the tensors.
        """
        arrays = self._on(torch.device(device))
        chosen: slice | Tensor
        if isinstance(positions, slice):
            chosen = positions
        else:
            chosen = upload(torch.from_numpy(np.asarray(positions)), arrays["boxes"].device)
        return tuple(upload(arrays[name][chosen], device) for name in names)

    def hold(self, device: torch.device | str) -> None:
        """Copy the scenes to a device now, if they fit there, and not when the first batch needs them."""
        self._on(torch.device(device))

    def _on(self, device: torch.device) -> dict[str, Tensor]:
        """Return the arrays of all scenes, on the device if they fit there, otherwise memory-mapped on the CPU."""
        if str(device) not in self._uploaded:
            mapped = {name: torch.from_numpy(np.asarray(getattr(self._prepared, name))) for name in _PARTS}
            if device.type == "cuda":
                free, _ = torch.cuda.mem_get_info(device)
                if memory_bytes(len(self._prepared), self._prepared.size) < _RESIDENT_SHARE * free:
                    mapped = {name: array.to(device) for name, array in mapped.items()}
            self._uploaded[str(device)] = mapped
        return self._uploaded[str(device)]
