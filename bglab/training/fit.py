"""Train classifiers on any variant: `fit` follows a recipe, saves every epoch and resumes interrupted runs.

All random numbers are keyed by (seed, epoch, step or image), so that on the CPU an interrupted and resumed run ends
with bitwise the same weights as an uninterrupted one.
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

from bglab.errors import BadInput
from bglab.files import writable_folder
from bglab.models import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    IN9_MEAN,
    IN9_STD,
    Classifier,
    Normalised,
    autocast,
    check_architecture,
    check_precision,
    create_network,
    float32_arithmetic,
    load_classifier,
    pick_device,
    precision_of,
)
from bglab.progress import Bar
from bglab.scenes import PreparedScenes, SceneSet
from bglab.seeding import keyed_generator, keyed_seed
from bglab.training.augmentation import augment, draw_all
from bglab.training.checkpoints import Checkpoint, checkpoint_to_resume, write_checkpoint
from bglab.training.recipe import Recipe
from bglab.training.training_set import TrainingSet, target_labels, training_set
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
    """Train a network by a recipe and save it as a checkpoint that ``load_classifier("file:OUT")`` reads.

    The checkpoint is written after every epoch. The same call resumes from it, and does nothing if the run is finished.
    Under ``torchrun`` the images of each step are split evenly between the processes, and process 0 writes. On GPUs,
    batch normalisation uses the statistics of the whole batch (SyncBatchNorm). On the CPU each process normalises its
    own part, so that only networks without batch normalisation get the same weights as with one process.

    Args:
        recipe: Training recipe, e.g. ``PRESETS["toy"]``.
        data: Scenes, from which the recipe's variants are composed during training, or a composed data set.
        out: Path of the checkpoint, e.g. ``networks/original.pt``.
        device: Device to train on: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        resume: Whether to resume from ``out`` if it exists; False overwrites it.
        watch: Data sets to evaluate after each epoch; their accuracies are stored in the history as
            ``accuracy_<name>``, and never influence training.
        callback: Called after each epoch with the history so far, e.g. `bglab.figures.LiveCurves`.
        progress: Show a progress bar.

    Returns:
        The trained classifier.

    Raises:
        BadInput: If ``out`` belongs to another recipe, if data and recipe do not match, if training diverges, or if the
            recipe is deterministic and the network has an operation that is not on this device.
        UnknownName: If the architecture or a variant does not exist.
    """
    check_architecture(recipe.architecture)
    path = _check_output(Path(out))
    with _process_group(device) as group:
        check_precision(recipe.amp_dtype, group.device)
        show = progress and group.rank == 0
        train_data = group.first_on_main(lambda: training_set(recipe, data, progress=show))
        checkpoint = checkpoint_to_resume(path, train_data.recipe) if resume else None
        group.barrier()  # process 0 must not write before all have read
        # loading a classifier draws random numbers, too: a network is initialised before its weights are loaded
        with _isolated_rng(group.device):
            if checkpoint is None or not checkpoint.is_finished:
                run = _Run(train_data, group, checkpoint, watch or {})
                run.finish(path, callback, progress=show)
            group.barrier()
            return load_classifier(f"file:{path}", device=str(group.device))


@dataclass(frozen=True)
class _ProcessGroup:
    """The processes that train together, possibly only one."""

    rank: int
    world: int
    device: torch.device

    def barrier(self) -> None:
        """Wait for all processes."""
        if self.world > 1:
            torch.distributed.barrier()

    def first_on_main(self, make: Callable[[], Result]) -> Result:
        """Call a function in process 0 first, so that the other processes find its caches filled."""
        if self.rank:
            self.barrier()
            return make()
        made = make()
        self.barrier()
        return made

    def all_reduce(self, sums: Tensor) -> Tensor:
        """Sum a tensor over all processes, in place."""
        if self.world > 1:
            torch.distributed.all_reduce(sums)
        return sums


@contextlib.contextmanager
def _process_group(device: str) -> Iterator[_ProcessGroup]:
    """Join the processes started by torchrun; without torchrun the group is this process alone."""
    chosen = pick_device(device)
    world = int(os.environ.get("WORLD_SIZE", "1"))
    if world == 1:
        yield _ProcessGroup(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = torch.device("cuda", int(os.environ["LOCAL_RANK"]))
        torch.cuda.set_device(chosen)
    started = not torch.distributed.is_initialized()
    if started:
        torch.distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield _ProcessGroup(torch.distributed.get_rank(), world, chosen)
    finally:
        if started:
            torch.distributed.destroy_process_group()


@contextlib.contextmanager
def _isolated_rng(device: torch.device) -> Iterator[None]:
    """Restore the caller's random state on exit."""
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        yield


class _Run:
    """A training run: network, optimiser, and history.

    Args:
        data: Training data.
        group: The processes that train together.
        checkpoint: Checkpoint to resume from; None starts over.
        watch: Data sets to evaluate after each epoch, by name.
    """

    def __init__(
        self, data: TrainingSet, group: _ProcessGroup, checkpoint: Checkpoint | None, watch: Mapping[str, Dataset]
    ) -> None:
        self.recipe, self.data, self.group, self.watch = data.recipe, data, group, watch
        recipe = self.recipe
        torch.manual_seed(keyed_seed(recipe.seed, "weights"))
        network = create_network(recipe.architecture, len(data.groups), recipe.size)
        self.mean, self.std = (IN9_MEAN, IN9_STD) if data.space == "in9" else (IMAGENET_MEAN, IMAGENET_STD)
        if checkpoint is not None:
            network.load_state_dict(checkpoint.content["state_dict"])
        if group.world > 1 and group.device.type == "cuda":
            # torch's own conversion drops the activations that timm fuses into its normalisation layers
            from timm.layers.norm_act import convert_sync_batchnorm

            network = convert_sync_batchnorm(network)
        self.network = Normalised(network, self.mean, self.std).to(group.device).to(memory_format=torch.channels_last)
        self.model = DistributedDataParallel(self.network) if group.world > 1 else self.network
        self.optimizer = torch.optim.SGD(
            self.network.parameters(),
            lr=recipe.lr,
            momentum=recipe.momentum,
            nesterov=recipe.nesterov,
            weight_decay=recipe.weight_decay,
        )
        # float16 gradients underflow unless the loss is scaled; the other precisions need no scaling
        self.scaler = torch.amp.GradScaler(group.device.type, enabled=recipe.amp_dtype == "float16")
        self.epoch, self.history = 0, []
        if checkpoint is not None:
            self.optimizer.load_state_dict(checkpoint.content["optimizer"])
            self.scaler.load_state_dict(checkpoint.content["scaler"])
            self.epoch, self.history = checkpoint.epoch, list(checkpoint.content["history"])
        self.groups = torch.tensor(data.groups, device=group.device)

    def finish(self, path: Path, callback: Callable[[pd.DataFrame], None] | None, *, progress: bool) -> None:
        """Train the remaining epochs; process 0 writes a checkpoint after each."""
        recipe, is_main = self.recipe, self.group.rank == 0
        title = f"{recipe.architecture} · {', '.join(recipe.variants)}"
        sizes = _batch_sizes(len(self.data), recipe.batch_size, self.group.world)
        done = self.epoch * sum(sizes)
        total = recipe.epochs * sum(sizes)
        with Bar(total=total, initial=done, desc=title, unit="image", disable=not progress) as bar:
            while self.epoch < recipe.epochs:
                row = self._run_epoch(sizes, bar)
                self.epoch += 1
                if is_main:
                    row |= {f"accuracy_{name}": self.accuracy(dataset) for name, dataset in self.watch.items()}
                    self.history.append(row)
                    write_checkpoint(path, recipe, self.epoch, self.history, self._parts())
                    bar.set_postfix(epoch=self.epoch, loss=f"{row['loss']:.3f}", accuracy=f"{row['accuracy']:.3f}")
                    if callback is not None:
                        callback(pd.DataFrame(self.history))

    def _run_epoch(self, sizes: list[int], bar: Bar) -> dict[str, float]:
        """Train one epoch and return its row of the history."""
        recipe, started = self.recipe, time.perf_counter()
        self.model.train()
        data = self.data.of_epoch(self.epoch)
        order = keyed_generator(recipe.seed, "order", self.epoch).permutation(len(data))
        draws = draw_all(recipe.seed, self.epoch, len(data))
        sums = torch.zeros(2, device=self.group.device, dtype=torch.float64)
        lr = 0.0
        for step, batch in enumerate(np.split(order[: sum(sizes)], np.cumsum(sizes)[:-1])):
            lr = recipe.lr_at(self.epoch + (step + 0.5) / len(sizes))
            for group in self.optimizer.param_groups:
                group["lr"] = lr
            # sorted, since reading in storage order is fastest; the gradient does not depend on the order
            mine = np.sort(batch[self.group.rank :: self.group.world])
            torch.manual_seed(keyed_seed(recipe.seed, "step", self.epoch, step, self.group.rank))  # for dropout
            sums += self._step(data, mine, draws[mine])
            bar.update(len(batch))
        loss, correct = self.group.all_reduce(sums).tolist()
        if not math.isfinite(loss):
            raise BadInput(
                f"expected the loss to fall, but it is no longer finite in epoch {self.epoch + 1}; train with a "
                f"lower --lr than {recipe.lr:g}"
            )
        count, seconds = sum(sizes), time.perf_counter() - started
        row = {"epoch": self.epoch + 1, "lr": lr, "loss": loss / count, "accuracy": correct / count}
        return row | {"seconds": seconds, "images_per_s": count / seconds}

    def _step(self, data: TrainingSet, chosen: Int[np.ndarray, " n"], draws: Float[np.ndarray, "n d"]) -> Tensor:
        """Take one optimiser step; return the summed loss and the number of correct predictions."""
        recipe, device = self.recipe, self.group.device
        try:
            images = data.images(chosen, device)
            targets = torch.from_numpy(data.targets[chosen]).to(device)
            levels = augment(images, draws, recipe.augmentation, recipe.size)
            with self._float32():
                with self._mixed():
                    logits = self.model(levels.contiguous(memory_format=torch.channels_last))
                loss = nn.functional.cross_entropy(logits.float(), targets, label_smoothing=recipe.label_smoothing)
                self.scaler.scale(loss).backward()
        except torch.cuda.OutOfMemoryError:
            raise BadInput(
                f"expected a batch of {recipe.batch_size} images of {recipe.size} px to fit on {device}, but it ran "
                "out of memory; train with a smaller --batch-size or --amp-dtype bfloat16"
            ) from None
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        correct = (self.groups[logits.argmax(1)] == self.groups[targets]).sum()
        return torch.stack([loss.detach().double() * len(chosen), correct])

    def _mixed(self) -> contextlib.AbstractContextManager[Any]:
        return autocast(self.group.device, self.recipe.amp_dtype)

    def _float32(self) -> contextlib.AbstractContextManager[Any]:
        """Return the context for float32 operations, in which backward passes run, too."""
        recipe = self.recipe
        precision = precision_of(recipe.amp_dtype)
        return float32_arithmetic(self.group.device, precision, deterministic=recipe.deterministic)

    def accuracy(self, dataset: Dataset) -> float:
        """Compute the network's current accuracy on a data set, a fraction in [0, 1]."""
        self.network.eval()
        labels = torch.from_numpy(target_labels(dataset)).to(self.group.device)
        correct = 0
        with torch.inference_mode(), self._float32(), self._mixed():
            for first in range(0, len(dataset), _EVALUATION_BATCH):
                rows = slice(first, min(first + _EVALUATION_BATCH, len(dataset)))
                images = dataset.images(rows, self.group.device).contiguous(memory_format=torch.channels_last)
                correct += int((self.groups[self.network(images).argmax(1)] == labels[rows]).sum())
        return correct / len(dataset)

    def _parts(self) -> dict[str, Any]:
        """Return the entries of the checkpoint; the optimiser state only if epochs remain."""
        data = self.data
        parts: dict[str, Any] = {
            "state_dict": self.network.network.state_dict(),
            "mean": self.mean,
            "std": self.std,
            "space": data.space,
            "classes": data.classes,
            "groups": data.groups,
            "about": {
                "pictures": len(data),
                "imagenet_pictures": data.from_imagenet,
                "rejected": data.rejected,
                "device": str(self.group.device),
            },
        }
        if self.epoch < self.recipe.epochs:
            parts |= {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}
        return parts


def _batch_sizes(count: int, batch_size: int, world: int) -> list[int]:
    """Return the batch sizes of an epoch: full batches only, or a single smaller one if there are too few images."""
    if batch_size % world:
        raise BadInput(
            f"expected a batch size divisible by the {world} processes, got {batch_size}; "
            f"train with --batch-size {max(1, round(batch_size / world)) * world}"
        )
    if count >= batch_size:
        return [batch_size] * (count // batch_size)
    if count < 2 * world:
        raise BadInput(f"expected at least {2 * world} images to train on, got {count}; choose other scenes")
    return [count - count % world]


def _check_output(path: Path) -> Path:
    """Check before training that the checkpoint can be written, and loaded by a URI with its name."""
    if "?" in path.name or path.is_dir():
        raise BadInput(f"expected --out to name a file without a question mark, got {path}; write for example net.pt")
    try:
        writable_folder(path.parent)
    except BadInput:
        raise BadInput(
            f"expected to write a checkpoint to {path}, but its folder cannot be written; choose another --out"
        ) from None
    return path
