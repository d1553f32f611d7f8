"""Reference implementation of the backgrounds challenge, following the procedure of its release.

For each foreground, every background file is read and decoded anew by the workers of a DataLoader, composited on the
CPU in batches of 32, and classified by the network in eager torch, channels first, float32. The benchmark times bglab
against it and checks that both predict the same classes.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import final

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from bglab.models import Normalised

#: Batch size and number of DataLoader workers of the release, fixed for all machines.
BATCH_SIZE, WORKERS = 32, 8


@final
class PlateFiles(Dataset[Tensor]):
    """Background images on disk, decoded on every access.

    Args:
        files: Image files, all of one size.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Float[Tensor, "3 h w"]:
        with Image.open(self._files[index]) as image:
            levels = np.array(image.convert("RGB"))
        return torch.from_numpy(levels).permute(2, 0, 1).float().div(255)


def eager_copy(network: Normalised, device: torch.device) -> Normalised:
    """Copy a network in the default state of timm and torchvision: channels first, float32, trainable weights."""
    copied = copy.deepcopy(network).to(device).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return copied.float().eval().requires_grad_(requires_grad=True)


def reference_search(
    network: Normalised,
    image: UInt8[np.ndarray, "3 h w"],
    mask: Bool[np.ndarray, "h w"],
    files: Sequence[Path],
    *,
    workers: int = WORKERS,
    is_error: Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]] | None = None,
) -> Float[Tensor, "n c"]:
    """Classify one foreground on background after background.

    Args:
        network: Network from `eager_copy`.
        image: The foreground's photograph.
        mask: True on the foreground.
        files: Background files, of the photograph's size.
        workers: Number of DataLoader workers; 0 reads and decodes in the main process.
        is_error: Function that marks the incorrect ones of a batch of predicted classes; the loop stops after the first
            batch with an error. None classifies all backgrounds.

    Returns:
        Logits of the classified images, in the order of the files.
    """
    device = network.shift.device
    foreground, matte = torch.from_numpy(image.copy()).float().div(255), torch.from_numpy(mask.copy()).float()
    logits: list[Tensor] = []
    with warnings.catch_warnings(), torch.no_grad():
        # torch warns if there are more workers than cores, which is intended here
        warnings.simplefilter("ignore")
        for plates in DataLoader(PlateFiles(files), batch_size=BATCH_SIZE, num_workers=workers):
            composed = (plates * (1 - matte) + matte * foreground).to(device)
            logits.append(network(255 * composed).cpu())  # `Normalised` expects values from 0 to 255
            if is_error is not None and is_error(logits[-1].argmax(1).numpy()).any():
                break
    return torch.cat(logits)
