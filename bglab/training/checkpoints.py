"""Checkpoints: the weights of a network during or after training, with its recipe, data and history.

``load_classifier("file:PATH")`` reads them. A checkpoint holds only tensors and plain values, so that loading it never
executes code.
"""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from bglab.errors import BadInput, MissingData, check_environment
from bglab.files import whole_file
from bglab.results import commit, versions
from bglab.training.recipe import Recipe, differences, recipe_from

#: Version of the format, increased when older checkpoints can no longer be resumed.
_FORMAT = "bglab training 1"


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The contents of a checkpoint.

    Attributes:
        recipe: Recipe of the run, with ``scenes`` and ``pixels`` filled in.
        epoch: Number of finished epochs.
        history: One row per epoch with ``epoch, lr, loss, accuracy, seconds, images_per_s``, and
            ``accuracy_<name>`` for every data set passed to `fit` as ``watch``; accuracies are fractions.
        classes: Names of the classes that the network predicts.
        about: Number of training images, of those whose ImageNet class is known, and of rejected scenes; versions,
            commit, device.
        content: The stored dictionary, with weights and optimiser state.
    """

    recipe: Recipe
    epoch: int
    history: pd.DataFrame
    classes: tuple[str, ...]
    about: Mapping[str, Any]
    content: dict[str, Any] = field(repr=False)

    @property
    def is_finished(self) -> bool:
        """Whether all epochs are finished."""
        return self.epoch >= self.recipe.epochs


def read_checkpoint(path: Path | str) -> Checkpoint:
    """Read a checkpoint written by `bglab.training.fit`, of a finished or unfinished run.

    Raises:
        MissingData: If the file does not exist.
        BadInput: If the file is no such checkpoint, or damaged.
        Unreadable: If its disk fails.
    """
    path = Path(path)
    if not path.is_file():
        raise MissingData(f"expected a checkpoint at {path}, got no such file; make one with bglab train --out {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()  # torch itself does not compare checksums
        content = None if damaged else torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    except Exception as problem:  # noqa: BLE001 - torch raises many kinds for a file that is no checkpoint
        check_environment(path, problem)
        raise _unreadable(path, f"it cannot be read safely ({str(problem).partition('.')[0][:120]})") from None
    if damaged:
        raise _unreadable(path, f"it is damaged: the checksum of {damaged} differs")
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise _unreadable(path, f"it is not a file of the format '{_FORMAT}'")
    return Checkpoint(
        recipe=recipe_from(content["recipe"]),
        epoch=content["epoch"],
        history=pd.DataFrame(content["history"]),
        classes=tuple(content["classes"]),
        about=content["about"],
        content=content,
    )


def history(path: Path | str) -> pd.DataFrame:
    """Read the history of a training run, one row per epoch; see `Checkpoint`.

    Raises:
        MissingData: If the checkpoint does not exist.
        BadInput: If it cannot be read.
    """
    read = read_checkpoint(path)
    read.history.attrs.update(architecture=read.recipe.architecture, variants=read.recipe.variants)
    return read.history


def checkpoint_to_resume(path: Path, recipe: Recipe) -> Checkpoint | None:
    """Read the checkpoint that a run resumes from; None if the file does not exist.

    Args:
        path: Path of the checkpoint.
        recipe: Recipe of the run, with ``scenes`` and ``pixels`` filled in.

    Raises:
        BadInput: If the file is no checkpoint, or belongs to another recipe or other data.
    """
    if not path.exists():
        return None
    checkpoint = read_checkpoint(path)
    found = differences(checkpoint.recipe, recipe)
    if found:
        what = ", ".join(f"{name} was {was!r}, is {wanted!r}" for name, (was, wanted) in found.items())
        raise BadInput(
            f"expected a checkpoint of the same recipe and data in {path}, but {what}; choose another --out, or "
            "start over with --no-resume"
        )
    return checkpoint


def write_checkpoint(
    path: Path, recipe: Recipe, epoch: int, history: list[dict[str, float]], parts: Mapping[str, Any]
) -> None:
    """Write a checkpoint atomically.

    Args:
        path: Path of the file.
        recipe: Recipe of the run, with ``scenes`` and ``pixels`` filled in.
        epoch: Number of finished epochs.
        history: One entry per epoch.
        parts: Further entries: weights, classes, preprocessing, and the optimiser state of an unfinished run.

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
    remedy = "free some space and run the same command again to resume from the last saved epoch"
    with whole_file(path, what="a checkpoint", remedy=remedy) as file:
        try:
            torch.save(content, file)
        except RuntimeError as problem:  # what torch raises if the disk is full
            raise OSError(str(problem)) from None


def _unreadable(path: Path, reason: str) -> BadInput:
    return BadInput(
        f"expected a checkpoint of bglab train in {path}, but {reason}; remove the file, choose another --out, or "
        "start over with --no-resume"
    )
