"""Fine-tune networks on VOC2012 and Caltech101 and evaluate them on test images with replaced backgrounds.

Time for a Background Check! (section 3) reports one accuracy per data set and background, but neither the training
recipe nor the split of Caltech101. Both are options here, and the checkpoint and predictions of every run are stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from bglab.errors import BadInput
from bglab.evaluation import predict_all
from bglab.locations import place_of
from bglab.models import Classifier, create_network, load_classifier
from bglab.results import earlier_file_name
from bglab.scenes import SceneSet, open_by_box, with_options
from bglab.seeding import digest, keyed_seed
from bglab.training.checkpoints import write_checkpoint
from bglab.training.fit import fit
from bglab.training.recipe import Augmentation, Recipe
from bglab.training.training_set import training_set
from bglab.variants import FullScenes, StreamSettings, Variant, expand, full_dataset, open_full

#: Default recipe of fine-tuning; the paper states only the architecture.
FINE_TUNING = Recipe(
    architecture="resnet18",
    epochs=15,
    batch_size=64,
    lr=0.01,
    schedule="cosine",
    augmentation=Augmentation(crop_area=(0.35, 1.0)),
)

#: Pre-trained weights that `FINE_TUNING` starts from.
WEIGHTS = "timm:resnet18.tv_in1k"

#: Value of ``weights`` for training from random initialisation.
RANDOM = "random"

#: The variants for which the paper prints accuracies on these data sets.
BACKGROUNDS = ("original", "on_white", "on_texture")

#: Minimum fraction of a network's tensors that the pre-trained weights must match; the head never does.
_MIN_MATCHED = 0.8


@dataclass(frozen=True, eq=False)
class Split:
    """Training and test scenes of one run.

    Attributes:
        train: Training scenes.
        test: Test scenes at full resolution; by default foregrounds of any size.
    """

    train: SceneSet
    test: FullScenes


def open_split(
    uri: str, run: int = 0, *, per_class: int = 30, settings: StreamSettings | None = None, progress: bool = True
) -> Split:
    """Open the training and test scenes of one run.

    VOC2012 has its own split (train and val, images whose objects are all of one class). Caltech101 has none: in each
    run, ``per_class`` images of each class are drawn for training, and all others are the test set.

    Args:
        uri: ``voc:PATH``, ``caltech101:PATH``, or any other data set, which is split like Caltech101. Variants by mask
            (``on_white_mask``) use the segmentations of VOC and the outlines of Caltech101.
        run: Number of the run, which keys the random split.
        per_class: Training images per class for data sets without a split; at most half of a class.
        settings: Settings of the streamed variants; None accepts foregrounds of any area.
        progress: Show a progress bar while foregrounds are measured.

    Raises:
        BadInput: If no scenes are left to train or to test on.
    """
    chosen = settings or StreamSettings(smallest=0.0, largest=1.0)
    if uri.startswith("voc:"):
        train = open_by_box(with_options(uri, {"split": "train"}))
        return Split(train, open_full(with_options(uri, {"split": "val"}), chosen, progress=progress))
    full = open_full(uri, chosen, progress=progress)
    chosen_ids = _draw_training_scenes(full.by_box, run, per_class)
    rest = [scene for scene in full.by_box.ids if scene not in chosen_ids]
    if not chosen_ids or not rest:
        raise BadInput(
            f"expected at least two scenes of a class in {full.by_box.name} to split, got fewer; add some images"
        )
    return Split(full.by_box.select(ids=chosen_ids), full.select(rest))


def _draw_training_scenes(scenes: SceneSet, run: int, per_class: int) -> set[str]:
    """Draw the ids of the training scenes: the first of each class in an order keyed by the run."""
    members: dict[int, list[str]] = {}
    for record in scenes.records:
        members.setdefault(record.label, []).append(record.id)
    drawn: set[str] = set()
    for ids in members.values():
        order = sorted(ids, key=lambda scene: keyed_seed(run, "split", scene))
        drawn.update(order[: min(per_class, len(order) // 2)])
    return drawn


def finetune(
    recipe: Recipe,
    scenes: SceneSet,
    weights: str,
    *,
    out: Path | str,
    device: str = "auto",
    progress: bool = True,
) -> Classifier:
    """Fine-tune a network on labelled scenes; the same call resumes an interrupted run.

    The head is always newly initialised. Images are normalised with ImageNet's mean and standard deviation.

    Args:
        recipe: Training recipe; its architecture must be that of the weights.
        scenes: Labelled scenes; the network predicts their classes.
        weights: URI of the initial weights, as for `bglab.models.load_classifier`, or ``random``.
        out: Path of the checkpoint.
        device: Device to train on: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        progress: Show a progress bar.

    Returns:
        The trained classifier.

    Raises:
        BadInput: If the weights do not match the architecture, or ``out`` belongs to another run.
        MissingData: If the weights are not available on this machine.
    """
    if weights != RANDOM and not Path(out).exists():
        _write_initial_checkpoint(recipe, scenes, weights, Path(out), progress=progress)
    return fit(recipe, scenes, out=out, device=device, progress=progress)


def _write_initial_checkpoint(recipe: Recipe, scenes: SceneSet, weights: str, out: Path, *, progress: bool) -> None:
    """Write a checkpoint of epoch 0 with pre-trained weights and a new head, from which `fit` resumes."""
    data = training_set(recipe, scenes, progress=progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed(recipe.seed, "weights"))
        network = create_network(recipe.architecture, len(data.groups), recipe.size)
    trained = load_classifier(weights, engine="torch", device="cpu").network.network.state_dict()
    own = network.state_dict()
    matched = {name: trained[name] for name, t in own.items() if name in trained and trained[name].shape == t.shape}
    if len(matched) < _MIN_MATCHED * len(own):
        raise BadInput(
            f"expected weights of {recipe.architecture} in {weights}, but only {len(matched)} of {len(own)} tensors "
            "match; give the recipe the architecture of the weights"
        )
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    parts = {
        "state_dict": own | matched,
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "classes": data.classes,
        "groups": data.groups,
        "space": data.space,
        "about": {"weights": weights},
    }
    write_checkpoint(out, data.recipe, 0, [], parts)


def check_backgrounds(
    uri: str,
    *,
    results: Path | str,
    networks: Path | str | None = None,
    weights: str = WEIGHTS,
    recipe: Recipe = FINE_TUNING,
    variants: Sequence[str | Variant] = BACKGROUNDS,
    runs: int = 3,
    per_class: int = 30,
    settings: StreamSettings | None = None,
    device: str = "auto",
    batch_size: int = 64,
    progress: bool = True,
) -> pd.DataFrame:
    """Fine-tune several networks on a data set and evaluate each on test images with replaced backgrounds.

    Args:
        uri: URI of the data set, as for `open_split`.
        results: Folder of predictions, or its URL. Finished work is reused.
        networks: Folder of checkpoints on this machine; None stands for the folder ``networks`` in that of predictions.
        weights: URI of the initial weights, or ``random``.
        recipe: Training recipe; run ``i`` adds ``i`` to its seed.
        variants: Names out of `bglab.variants.STREAMED`: by box, or by mask with the suffix ``_mask``.
        runs: Number of networks to train.
        per_class: Training images per class, as for `open_split`.
        settings: Settings of the streamed variants, as for `open_split`.
        device: Device to train on: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        batch_size: Images per forward pass of the evaluation.
        progress: Show progress bars.

    Returns:
        The predictions of all runs, with one model name per run; `bglab.analysis.mean_of_runs` averages them.

    Raises:
        BadInput: If the data set or the recipe cannot be used, or checkpoints would be stored at a URL.
        MissingData: If the data set or the weights are not available.
    """
    folder = place_of(results) / "networks" if networks is None else Path(networks)
    if not isinstance(folder, Path):
        raise BadInput(f"expected a folder on this machine for checkpoints, got {folder}; name one with networks=")
    tables: list[pd.DataFrame] = []
    for run in range(runs):
        split = open_split(uri, run, per_class=per_class, settings=settings, progress=progress)
        own = replace(recipe, seed=recipe.seed + run)
        named = digest([repr(own), weights, split.train.fingerprint])[:8]
        readable = earlier_file_name(f"{split.train.name}-{own.architecture}")[:150]  # the digest tells runs apart
        out = folder / f"{readable}-run{run}-{named}.pt"
        classifier = finetune(own, split.train, weights, out=out, device=device, progress=progress)
        datasets = [full_dataset(split.test, variant) for variant in expand(variants, split.test.settings)]
        tables += predict_all(classifier, datasets, results=results, batch_size=batch_size, progress=progress)
    return pd.concat(tables, ignore_index=True)
