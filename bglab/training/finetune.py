"""Fine-tune networks on VOC2012 and Caltech101 and change their test images' backgrounds.

Time for a Background Check! (section 3) reports one number a background for each set and says neither how its
networks were trained nor how Caltech101 was split; both are named options here, and every run is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import pandas as pd
import torch

from bglab.errors import BadInput
from bglab.evaluation import predict_all
from bglab.models import Classifier, create_network, load_classifier
from bglab.results import file_name
from bglab.scenes import SceneSet, open_by_box, with_options
from bglab.seeding import digest, keyed_seed
from bglab.training.checkpoints import write_checkpoint
from bglab.training.fit import fit
from bglab.training.recipe import Augmentation, Recipe
from bglab.training.training_set import training_set
from bglab.variants import FullScenes, StreamSettings, Variant, expand, full_dataset, open_full

#: How networks are fine-tuned unless told otherwise; the paper names the network alone.
FINE_TUNING = Recipe(
    architecture="resnet18",
    epochs=15,
    batch_size=64,
    lr=0.01,
    schedule="cosine",
    augmentation=Augmentation(crop_area=(0.35, 1.0)),
)

#: The pre-trained weights that `FINE_TUNING` starts from.
WEIGHTS = "timm:resnet18.tv_in1k"

#: Starts from fresh weights instead of trained ones.
RANDOM = "random"

#: The three backgrounds the paper prints for these sets.
BACKGROUNDS = ("original", "on_white", "on_texture")

#: Least part of a network's tensors that the weights to start from must fill; the rest is a new head.
_LEAST_FILLED = 0.8


@dataclass(frozen=True, eq=False)
class Split:
    """What one run learns from and is tested on.

    Attributes:
        train: Scenes to learn from.
        test: Scenes to test on, at full resolution, with every foreground size.
    """

    train: SceneSet
    test: FullScenes


def open_split(
    uri: str, run: int = 0, *, per_class: int = 30, settings: StreamSettings | None = None, progress: bool = True
) -> Split:
    """Open the training and test scenes of one run.

    VOC2012 has its own split (train and val, the images whose objects are all of one class). Caltech101 has none:
    ``per_class`` images of each class are drawn for training, anew in each run, and all others are tested on.

    Args:
        uri: ``voc:PATH``, ``caltech101:PATH``, or any other set, which is split like Caltech101. Its masks serve the
            variants by mask (``on_white_mask``): segmentations in VOC, outlines in Caltech101.
        run: Number of the run; keys the drawn split.
        per_class: Training images a class where the set has no split; at most half of a class.
        settings: Of the streamed variants; the area limits are the caller's, and 0 to 1 by default.
        progress: Show a bar while scenes are measured.

    Raises:
        BadInput: If nothing is left to train or to test on.
    """
    chosen = settings or StreamSettings(smallest=0.0, largest=1.0)
    if uri.startswith("voc:"):
        train = open_by_box(with_options(uri, {"split": "train"}))
        return Split(train, open_full(with_options(uri, {"split": "val"}), chosen, progress=progress))
    full = open_full(uri, chosen, progress=progress)
    learned = _drawn(full.by_box, run, per_class)
    rest = [scene for scene in full.by_box.ids if scene not in learned]
    if not learned or not rest:
        raise BadInput(f"expected at least two scenes of a class in {full.by_box.name} to split, got none; add some")
    return Split(full.by_box.select(ids=learned), full.select(rest))


def _drawn(scenes: SceneSet, run: int, per_class: int) -> set[str]:
    """Draw the training scenes: of each class those that come first in an order keyed by the run."""
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
    """Fine-tune a network on scenes and keep it in a file; the same call goes on where it was stopped.

    Args:
        recipe: How to train; its architecture must be that of the weights.
        scenes: Labelled scenes; the network answers in their classes.
        weights: What to start from, as for `load_classifier`, or ``random``. The head is always new. Images are
            normalised with ImageNet's mean and deviation.
        out: The checkpoint.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        progress: Show a bar.

    Raises:
        BadInput: If the weights are another architecture's, or ``out`` holds another run.
        MissingData: If the weights are not on this machine.
    """
    if weights != RANDOM and not Path(out).exists():
        _write_start(recipe, scenes, weights, Path(out), progress=progress)
    return fit(recipe, scenes, out=out, device=device, progress=progress)


def _write_start(recipe: Recipe, scenes: SceneSet, weights: str, out: Path, *, progress: bool) -> None:
    """Write the checkpoint of an epoch 0 whose network has trained weights and a new head; `fit` goes on from it."""
    learned = training_set(recipe, scenes, progress=progress)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(keyed_seed(recipe.seed, "weights"))
        network = create_network(recipe.architecture, len(learned.groups), recipe.size)
    trained = load_classifier(weights, engine="torch", device="cpu").network.network.state_dict()
    own = network.state_dict()
    fitting = {name: trained[name] for name, t in own.items() if name in trained and trained[name].shape == t.shape}
    if len(fitting) < _LEAST_FILLED * len(own):
        raise BadInput(
            f"expected weights of {recipe.architecture} in {weights}, but only {len(fitting)} of {len(own)} tensors "
            "fit; give the recipe the architecture of the weights"
        )
    optimizer = torch.optim.SGD(network.parameters(), lr=recipe.lr, momentum=recipe.momentum)
    parts = {
        "state_dict": own | fitting,
        "optimizer": optimizer.state_dict(),
        "scaler": {},
        "classes": learned.classes,
        "groups": learned.groups,
        "space": learned.space,
        "about": {"weights": weights},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    write_checkpoint(out, learned.recipe, 0, [], parts)


def check_backgrounds(
    uri: str,
    *,
    results: Path | str,
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
    """Fine-tune on a set several times and evaluate every run on changed backgrounds.

    Args:
        uri: As for `open_split`.
        results: Folder of results; checkpoints lie in its ``networks``, and finished work is not done again.
        weights: What to start from, or ``random``.
        recipe: How to train; run ``i`` adds ``i`` to its seed.
        variants: Names out of `bglab.variants.STREAMED`: by box, or by mask with the ending ``_mask``.
        runs: How many networks to train.
        per_class: As for `open_split`.
        settings: As for `open_split`.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        batch_size: Images a forward pass of the evaluation.
        progress: Show bars.

    Returns:
        The predictions of all runs, each run a model of its own; `background_check_metrics.mean_of_runs` averages.

    Raises:
        BadInput: If the set or the recipe cannot be used.
        MissingData: If the set or the weights are not there.
    """
    tables: list[pd.DataFrame] = []
    for run in range(runs):
        split = open_split(uri, run, per_class=per_class, settings=settings, progress=progress)
        own = replace(recipe, seed=recipe.seed + run)
        named = digest([repr(own), weights, split.train.fingerprint])[:8]
        out = Path(results) / "networks" / f"{file_name(split.train.name)}-{own.architecture}-run{run}-{named}.pt"
        classifier = finetune(own, split.train, weights, out=out, device=device, progress=progress)
        datasets = [full_dataset(split.test, variant) for variant in expand(variants, split.test.settings)]
        tables += predict_all(classifier, datasets, results=results, batch_size=batch_size, progress=progress)
    return pd.concat(tables, ignore_index=True)
