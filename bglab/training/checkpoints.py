"""Checkpoints: a network in training or trained, with the recipe, the data and the history that made it.

The file is what ``load_classifier("file:PATH")`` reads; it holds tensors and plain values only, so that reading
one never runs code from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bglab.errors import BadInput, MissingData
from bglab.files import whole_file
from bglab.results import commit, versions
from bglab.training.recipe import Recipe, differences, recipe_from

#: Raised whenever an older checkpoint could no longer be gone on with.
_FORMAT = "bglab training 1"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a checkpoint holds besides weights.

    Attributes:
        recipe: What was, or is being, trained; ``scenes`` and ``pixels`` name the data.
        epoch: Epochs that are done.
        history: One row an epoch: ``epoch, lr, loss, accuracy, seconds, images_per_s`` and one
            ``accuracy_<variant>`` for every data set that was watched.
        classes: What the network answers.
        about: How many images, which were rejected, versions, commit, device.
        content: Everything, as stored.
    """

    recipe: Recipe
    epoch: int
    history: pd.DataFrame
    classes: tuple[str, ...]
    about: Mapping[str, Any]
    content: dict[str, Any] = field(repr=False)

    @property
    def is_finished(self) -> bool:
        """Whether every epoch is done."""
        return self.epoch >= self.recipe.epochs


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint that `training.fit` wrote, finished or not.

    Raises:
        MissingData: If there is none.
        BadInput: If it is another kind of file, or broken.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingData(f"expected a checkpoint at {path}, got no such file; make one with bglab train --out {path}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as problem:  # noqa: BLE001 - torch raises many kinds for a file that is no checkpoint
        raise _unreadable(path, f"it cannot be read safely ({str(problem).partition('.')[0][:120]})") from None
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _unreadable(path, f"it is no file of the format '{_FORMAT}'")
    return Checkpoint(
        recipe=recipe_from(content["recipe"]),
        epoch=content["epoch"],
        history=pd.DataFrame(content["history"]),
        classes=tuple(content["classes"]),
        about=content["about"],
        content=content,
    )


def history(path: Path | str) -> pd.DataFrame:
    """Give the history of a training run, one row an epoch; see `Checkpoint`.

    Raises:
        MissingData: If there is no checkpoint.
        BadInput: If it cannot be read.
    """
    read = read_checkpoint(path)
    read.history.attrs.update(architecture=read.recipe.architecture, variants=read.recipe.variants)
    return read.history


def kept_checkpoint(path: Path, recipe: Recipe) -> Checkpoint | None:
    """Give the checkpoint to go on from, or None if there is no file.

    Raises:
        BadInput: If the file is no checkpoint, or one of another recipe or other data.
    """
    if not path.exists():
        return None
    kept = read_checkpoint(path)
    found = differences(kept.recipe, recipe)
    if found:
        what = ", ".join(f"{name} was {was!r}, is {wanted!r}" for name, (was, wanted) in found.items())
        raise BadInput(
            f"expected a checkpoint of the same recipe and data in {path}, but {what}; choose another --out, or "
            "train afresh with --no-resume"
        )
    return kept


def write_checkpoint(
    path: Path, recipe: Recipe, epoch: int, history: list[dict[str, float]], parts: Mapping[str, Any]
) -> None:
    """Write a checkpoint, whole or not at all.

    Args:
        path: Where to.
        recipe: With ``scenes`` and ``pixels`` filled in.
        epoch: Epochs that are done.
        history: One entry an epoch.
        parts: What else it holds: weights, classes, preprocessing, and the optimiser while training goes on.

    Raises:
        BadInput: If the file cannot be written.
    """
    content = {
        "format": _FORMAT,
        "architecture": recipe.architecture,
        "tag": f"epoch {epoch} of {recipe.epochs}",
        "input_size": recipe.size,
        "recipe": recipe.as_dict(),
        "epoch": epoch,
        "history": history,
        **parts,
    }
    content["about"] = {**content.get("about", {}), "versions": versions(), "commit": commit()}
    remedy = "free some space and run the same command again: it goes on from the last epoch that was kept"
    with whole_file(path, what="a checkpoint", remedy=remedy) as file:
        try:
            torch.save(content, file)
        except RuntimeError as problem:  # torch's words for a full disk
            raise OSError(str(problem)) from None


def _unreadable(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"expected a checkpoint of bglab train in {path}, but {reason}; remove the file, choose another --out, or "
        "train afresh with --no-resume"
    )
