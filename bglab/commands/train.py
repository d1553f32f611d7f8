"""`bglab train`: train a network on a variant."""

from __future__ import annotations

import argparse
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bglab.commands._options import (
    add_deterministic_option,
    check_outputs,
    command,
    positive,
    report_notices,
    watched,
)

if TYPE_CHECKING:
    from bglab.training import Recipe

#: Names of `bglab.training.PRESETS`; reading them there would make every command wait for torch.
_PRESETS = ("paper", "toy")

#: Options that set the field of the recipe with the same name.
_CHANGES = ("architecture", "epochs", "batch_size", "lr", "weight_decay", "seed", "size", "fraction", "amp_dtype",
            "deterministic", "decay_epochs", "decay_rate", "warmup_epochs", "donors", "subclasses",
            "native_classes")  # fmt: skip


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `train`."""
    train = command(verbs, "train", run_train)
    train.add_argument("--scenes", required=True, help="for example synthetic9?n=4500, imagenet:PATH?split=train")
    train.add_argument(
        "--variant", required=True, nargs="+", metavar="V", help="variants to train on, for example original"
    )
    train.add_argument("--out", required=True, help="checkpoint to write after each epoch; load it as file:OUT")
    train.add_argument("--preset", choices=_PRESETS, default="toy", help="recipe to start from (default: %(default)s)")
    train.add_argument(
        "--arch", dest="architecture", metavar="A",
        help="name in timm, or tv_ and torchvision's name; the paper's are in bglab.training.PAPER_ARCHITECTURES",
    )  # fmt: skip
    train.add_argument("--epochs", type=positive, help="number of epochs")
    train.add_argument("-b", "--batch-size", type=positive, help="images per step, over all processes")
    train.add_argument("--lr", type=float, help="maximum learning rate")
    train.add_argument("--weight-decay", type=float, help="weight decay of all parameters")
    train.add_argument(
        "--decay-epochs", type=positive, help="with the preset paper: epochs between two drops of the learning rate"
    )
    train.add_argument("--decay-rate", type=float, help="with the preset paper: factor of a drop")
    train.add_argument("--warmup-epochs", type=float, help="epochs of linear warm-up")
    train.add_argument("--seed", type=int, help="seed for initialisation, order, augmentation, dropout and donors")
    train.add_argument("--size", type=positive, help="side of the images in pixels")
    train.add_argument("--fraction", type=float, help="fraction of each class's images to train on")
    train.add_argument("--subclasses", type=positive, help="train on this many groups of ImageNet classes per label")
    train.add_argument("--native-classes", type=positive, help="use only this many ImageNet classes of each label")
    train.add_argument("--donors", choices=("fixed", "each_epoch"), help="draw donors once or in each epoch")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps; torchrun uses all GPUs")
    train.add_argument(
        "--amp-dtype", choices=("none", "tf32", "bfloat16", "float16"), help="precision of training; none is float32"
    )
    add_deterministic_option(train)
    train.add_argument(
        "--resume", action=argparse.BooleanOptionalAction, default=True,
        help="resume from OUT if it exists (the default), or overwrite it",
    )  # fmt: skip


def run_train(options: argparse.Namespace) -> int:
    """Train a network on a variant; an interrupted run is resumed, a finished one is not repeated."""
    recipe = _recipe(options)

    from bglab.scenes import open_scenes
    from bglab.training import fit, read_checkpoint

    is_main = int(os.environ.get("RANK", "0")) == 0
    path = Path(options.out)
    check_outputs(options.out)  # before the scenes are read
    before = path.stat().st_mtime_ns if path.is_file() else None
    scenes = open_scenes(options.scenes)
    if is_main:
        report_notices(scenes)
    fit(recipe, scenes, out=path, device=options.device, resume=options.resume, progress=watched())
    if is_main:
        checkpoint = read_checkpoint(path)
        recipe, history = checkpoint.recipe, checkpoint.history
        how = "was already trained" if path.stat().st_mtime_ns == before else "was trained"
        print(
            f"{recipe.architecture} {how} on {', '.join(recipe.variants)}: {recipe.epochs} epochs of "
            f"{checkpoint.about['pictures']} images in {history['seconds'].sum():.0f} s, "
            f"{100 * history['accuracy'].iloc[-1]:.1f} % training accuracy; load it as file:{path}"
        )
    return 0


def _recipe(options: argparse.Namespace) -> Recipe:
    """Apply the options to the preset."""
    changes: dict[str, Any] = {name: getattr(options, name) for name in _CHANGES if getattr(options, name) is not None}
    from bglab.training import PRESETS

    return replace(PRESETS[options.preset], variants=tuple(options.variant), **changes)
