"""Train classifiers on any variant: `fit` follows a recipe, keeps every epoch, and goes on where it was stopped.

All randomness is keyed by (seed, epoch, step or image), so a run that is killed and goes on ends, on a
processor, with the same weights to the last bit as one that was left alone.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pandas as pd
import torch
import torch.distributed
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from tqdm.auto import tqdm

from bglab.errors import BadInput
from bglab.files import writable_folder
from bglab.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    IN9_MEAN,
    IN9_STD,
    Classifier,
    Normalised,
    check_architecture,
    create_network,
    load_classifier,
    pick_device,
)
from bglab.scenes import PreparedScenes, SceneSet
from bglab.seeding import keyed_generator, keyed_seed
from bglab.training.augmentation import augment, draw_all
from bglab.training.checkpoints import Checkpoint, kept_checkpoint, write_checkpoint
from bglab.training.recipe import Recipe
from bglab.training.training_set import TrainingSet, judged_labels, training_set
from bglab.variants import Dataset

Result = TypeVar("Result")

_EVALUATION_BATCH = 256


def fit(
    recipe: Recipe,
    data: SceneSet | PreparedScenes | Dataset | str,
    *,
    out: Path | str,
    device: str = "auto",
    resume: bool = True,
    watch: Mapping[str, Dataset] | None = None,
    callback: Callable[[pd.DataFrame], None] | None = None,
    progress: bool = True,
) -> Classifier:
    """Train a network by a recipe and keep it in a file that ``load_classifier("file:OUT")`` reads.

    The file is written anew after every epoch. The same call goes on from there, and does nothing if the run is
    finished. Under ``torchrun`` all processes share the work: a step's images are dealt out evenly, process 0
    writes. On GPUs batch normalisation sees the whole batch (SyncBatchNorm); on processors each process
    normalises its own share, so only networks without it give the weights of a single process there.

    Args:
        recipe: What to do, e.g. ``PRESETS["toy"]``.
        data: Scenes, from which the recipe's variants are composed while training, or a data set as it is.
        out: The checkpoint, e.g. ``networks/original.pt``.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        resume: Go on from ``out`` if it is there; False overwrites it.
        watch: Data sets to classify after each epoch, by the name their accuracy gets in the history; they
            never change the weights.
        callback: Called after each epoch with the history so far, e.g. a `bglab.figures.LiveCurves`.
        progress: Show a bar.

    Returns:
        The trained classifier.

    Raises:
        BadInput: If ``out`` holds another recipe's checkpoint, data and recipe do not fit, or training diverges.
        UnknownName: If there is no such architecture or variant.
    """
    check_architecture(recipe.architecture)
    path = _usable(Path(out))
    with _team(device) as team:
        loud = progress and team.rank == 0
        learned = team.one_first(lambda: training_set(recipe, data, progress=loud))
        kept = kept_checkpoint(path, learned.recipe) if resume else None
        team.wait()  # nobody writes before everybody has read
        # also loading draws: a network is built with fresh weights before it gets its own
        with _own_randomness(team.device):
            if kept is None or not kept.is_finished:
                run = _Run(learned, team, kept, watch or {})
                run.finish(path, callback, progress=loud)
            team.wait()
            return load_classifier(f"file:{path}", device=str(team.device))


@dataclass(frozen=True)
class _Team:
    """The processes that train together; one process alone is a team too."""

    rank: int
    world: int
    device: torch.device

    def wait(self) -> None:
        """Wait until every process is here."""
        if self.world > 1:
            torch.distributed.barrier()

    def one_first(self, make: Callable[[], Result]) -> Result:
        """Let process 0 make something, and fill the caches, before the others do."""
        if self.rank:
            self.wait()
            return make()
        made = make()
        self.wait()
        return made

    def total(self, sums: Tensor) -> Tensor:
        """Add up over all processes."""
        if self.world > 1:
            torch.distributed.all_reduce(sums)
        return sums


@contextlib.contextmanager
def _team(device: str) -> Iterator[_Team]:
    """Join the processes that torchrun started, if it did."""
    chosen = pick_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield _Team(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    started = not torch.distributed.is_initialized()
    if started:
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield _Team(torch.distributed.get_rank(), world, chosen)
    finally:
        if started:
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _own_randomness(device: torch.device) -> Iterator[None]:
    """Keep what is drawn here from changing the caller's random numbers."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class _Run:
    """A network on its way: weights, optimiser, and the epochs that are done."""

    def __init__(
        self, learned: TrainingSet, team: _Team, kept: Checkpoint | None, watch: Mapping[str, Dataset]
    ) -> None:
        self.recipe, self.data, self.team, self.watch = learned.recipe, learned, team, watch
        recipe = self.recipe
        torch.manual_seed(keyed_seed(recipe.seed, "weights"))
        network = create_network(recipe.architecture, len(learned.groups), recipe.size)
        self.mean, self.std = (IN9_MEAN, IN9_STD) if learned.space == "in9" else (IMAGENET_MEAN, IMAGENET_STD)
        if kept is not None:
            network.load_state_dict(kept.content["state_dict"])
        if team.world > 1 and team.device.type == "cuda":
            # torch's own conversion drops the activations that timm merges into the layer
            from timm.layers.norm_act import convert_sync_batchnorm

            network = convert_sync_batchnorm(network)
        self.network = Normalised(network, self.mean, self.std).to(team.device).to(memory_format=torch.channels_last)
        self.model = DistributedDataParallel(self.network) if team.world > 1 else self.network
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        # float16 gradients vanish unless they are scaled; the other precisions need none
        self.scaler = torch.amp.GradScaler(team.device.type, enabled=recipe.amp_dtype == "float16")
        self.epoch, self.history = 0, []
        if kept is not None:
            self.optimizer.load_state_dict(kept.content["optimizer"])
            self.scaler.load_state_dict(kept.content["scaler"])
            self.epoch, self.history = kept.epoch, list(kept.content["history"])
        self.groups = torch.tensor(learned.groups, device=team.device)

    def finish(self, path: Path, callback: Callable[[pd.DataFrame], None] | None, *, progress: bool) -> None:
        """Train the epochs that are left and keep each."""
        recipe, first = self.recipe, self.team.rank == 0
        title = f"{recipe.architecture} · {', '.join(recipe.variants)}"
        sizes = _batch_sizes(len(self.data), recipe.batch_size, self.team.world)
        done = self.epoch * sum(sizes)
        total = recipe.epochs * sum(sizes)
        with tqdm(total=total, initial=done, desc=title, unit="image", disable=not progress) as bar:
            while self.epoch < recipe.epochs:
                row = self._run_epoch(sizes, bar)
                self.epoch += 1
                if first:
                    row |= {f"accuracy_{name}": self.accuracy(dataset) for name, dataset in self.watch.items()}
                    self.history.append(row)
                    write_checkpoint(path, recipe, self.epoch, self.history, self._parts())
                    bar.set_postfix(epoch=self.epoch, loss=f"{row['loss']:.3f}", accuracy=f"{row['accuracy']:.3f}")
                    if callback is not None:
                        callback(pd.DataFrame(self.history))

    def _run_epoch(self, sizes: list[int], bar: tqdm) -> dict[str, float]:
        """Train one epoch; give its row of the history."""
        recipe, started = self.recipe, time.perf_counter()
        self.model.train()
        data = self.data.of_epoch(self.epoch)
        order = keyed_generator(recipe.seed, "order", self.epoch).permutation(len(data))
        draws = draw_all(recipe.seed, self.epoch, len(data))
        sums = torch.zeros(2, device=self.team.device, dtype=torch.float64)
        lr = 0.0
        for step, batch in enumerate(np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])):
            lr = recipe.lr_at(self.epoch + (step + 0.5) / len(sizes))
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            # in the set's order, which files are read in fastest; a step does not depend on it
            mine = np.sort(batch[self.team.rank :: self.team.world])
            torch.manual_seed(keyed_seed(recipe.seed, "step", self.epoch, step, self.team.rank))  # for dropout
            sums += self._step(data, mine, draws[mine])
            bar.update(len(batch))
        loss, right = self.team.total(sums).tolist()
        if not math.isfinite(loss):
            raise BadInput(
                f"expected the loss to fall, but it is no longer finite in epoch {self.epoch + 1}; train with a "
                f"lower --lr than {recipe.lr:g}"
            )
        count, seconds = sum(sizes), time.perf_counter() - started
        row = {"epoch": self.epoch + 1, "lr": lr, "loss": loss / count, "accuracy": right / count}
        return row | {"seconds": seconds, "images_per_s": count / seconds}

    def _step(self, data: TrainingSet, chosen: Int[np.ndarray, " n"], draws: Float[np.ndarray, "n d"]) -> Tensor:
        """Take one step downhill; give the summed loss and the number of right answers."""
        recipe, device = self.recipe, self.team.device
        try:
            images = data.images(chosen, device)
            targets = torch.from_numpy(data.targets[chosen]).to(device)
            levels = augment(images, draws, recipe.augmentation, recipe.size)
            with self._mixed():
                logits = self.model(levels.contiguous(memory_format=torch.channels_last))
            loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
            self.scaler.scale(loss).backward()
        except torch.cuda.OutOfMemoryError:
            raise BadInput(
                f"expected {recipe.batch_size} images of {recipe.size} px a step to fit on {device}, but it ran "
                "out of memory; train with a smaller --batch-size or --amp-dtype bfloat16"
            ) from None
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        right = (self.groups[logits.argmax(1)] == self.groups[targets]).sum()
        return torch.stack([loss.detach().double() * len(chosen), right])

    def _mixed(self) -> contextlib.AbstractContextManager[Any]:
        if self.recipe.amp_dtype == "none":
            return contextlib.nullcontext()
        return torch.autocast(self.team.device.type, dtype=getattr(torch, self.recipe.amp_dtype))

    def accuracy(self, dataset: Dataset) -> float:
        """Give the part of a data set's images that the network gets right as it is now."""
        self.network.eval()
        labels = torch.from_numpy(judged_labels(dataset)).to(self.team.device)
        right = 0
        with torch.inference_mode(), self._mixed():
            for first in range(0, len(dataset), _EVALUATION_BATCH):
                rows = slice(first, min(first + _EVALUATION_BATCH, len(dataset)))
                images = dataset.images(rows, self.team.device).contiguous(memory_format=torch.channels_last)
                right += int((self.groups[self.network(images).argmax(1)] == labels[rows]).sum())
        return right / len(dataset)

    def _parts(self) -> dict[str, Any]:
        """Give what a checkpoint holds of this run; the optimiser only while there is something left to do."""
        data = self.data
        parts: dict[str, Any] = {
            "state_dict": self.network.network.state_dict(),
            "mean": self.mean,
            "std": self.std,
            "space": data.space,
            "classes": data.classes,
            "groups": data.groups,
            "about": {"pictures": len(data), "rejected": data.rejected, "device": str(self.team.device)},
        }
        if self.epoch < self.recipe.epochs:
            parts |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        return parts


def _batch_sizes(count: int, batch_size: int, world: int) -> list[int]:
    """Give the sizes of an epoch's batches: whole ones only, or a single smaller one."""
    if batch_size % world:
        raise BadInput(
            f"expected a batch size that {world} processes can share evenly, got {batch_size}; "
            f"train with --batch-size {max(1, round(batch_size / world)) * world}"
        )
    if count >= batch_size:
        return [batch_size] * (count // batch_size)
    if count < 2 * world:
        raise BadInput(f"expected at least {2 * world} images to train on, got {count}; choose other scenes")
    return [count - count % world]


def _usable(path: Path) -> Path:
    """Make sure that the checkpoint can be written, and read again under its name, before training starts."""
    if "?" in path.name or path.is_dir():
        raise BadInput(f"expected --out to name a file without a question mark, got {path}; write for example net.pt")
    try:
        writable_folder(path.parent)
    except BadInput:
        raise BadInput(
            f"expected to write a checkpoint to {path}, but its folder cannot be written; choose another --out"
        ) from None
    return path
