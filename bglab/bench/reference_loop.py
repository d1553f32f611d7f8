"""The challenge as its release searches it, written from its description: what ours is timed against, and agrees with.

For each foreground, every background file is read and decoded anew by the processes of a DataLoader, composed on the
processor in batches of 32, and classified by the network as its library gives it: eager torch, channels first, float32.
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

#: What the release sets, and never adapts to the machine.
BATCH_SIZE, WORKERS = 32, 8


@final
class PlateFiles(Dataset[Tensor]):
    """Background images on the disk, decoded each time they are asked for.

    Args:
        files: Images of one size.
    """

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Float[Tensor, "3 h w"]:
        with Image.open(self._files[index]) as image:
            levels = np.array(image.convert("RGB"))
        return torch.from_numpy(levels).permute(2, 0, 1).float().div(255)


def as_usual(network: Normalised, device: torch.device) -> Normalised:
    """Copy a network into the state in which libraries hand it out: channels first, float32, every weight trainable."""
    copied = copy.deepcopy(network).to(device).to(memory_format=torch.contiguous_format)  # pyright: ignore[reportCallIssue]
    return copied.float().eval().requires_grad_(requires_grad=True)


def search_in_a_loop(
    network: Normalised,
    image: UInt8[np.ndarray, "3 h w"],
    mask: Bool[np.ndarray, "h w"],
    files: Sequence[Path],
    *,
    workers: int = WORKERS,
    is_error: Callable[[Int[np.ndarray, " n"]], Bool[np.ndarray, " n"]] | None = None,
) -> Float[Tensor, "n c"]:
    """Put one foreground on background after background.

    Args:
        network: From `as_usual`.
        image: The foreground's photograph.
        mask: True on the foreground.
        files: The backgrounds, of the photograph's size.
        workers: Processes that read and decode; 0 does it in between.
        is_error: Which of the native answers of a batch are wrong; the loop ends with the first batch that has one.
            None tries every background.

    Returns:
        Logits of the images that were classified, in the files' order.
    """
    device = network.shift.device
    foreground, matte = torch.from_numpy(image.copy()).float().div(255), torch.from_numpy(mask.copy()).float()
    answers: list[Tensor] = []
    with warnings.catch_warnings(), torch.no_grad():
        # torch warns where there are fewer cores than processes, which is part of what is timed
        warnings.simplefilter("ignore")
        for plates in DataLoader(PlateFiles(files), batch_size=BATCH_SIZE, num_workers=workers):
            composed = (plates * (1 - matte) + matte * foreground).to(device)
            answers.append(network(255 * composed).cpu())  # ours take levels; theirs scale here, too
            if is_error is not None and is_error(answers[-1].argmax(1).numpy()).any():
                break
    return torch.cat(answers)
