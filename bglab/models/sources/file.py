"""``file:PATH``: checkpoints on this machine."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from torch import nn

from bglab.errors import BadInput
from bglab.files import sha256_of
from bglab.labels import NAMED_SPACES, class_names
from bglab.models.architectures import Grouped, Usual, find_architecture
from bglab.models.checkpoint_files import read_checkpoint_file
from bglab.models.checkpoint_networks import Checkpoint, load_network
from bglab.models.file_options import (
    OPTION_NAMES,
    check_field,
    check_space,
    classes_named,
    preprocessing_named,
    read_classes,
    space_of,
)
from bglab.models.spec import IN9_MEAN, IN9_STD
from bglab.models.weights import Weights

_FIELD_WORDS = {
    "mean": "mean",
    "std": "standard deviation",
    "input_size": "size",
    "crop_pct": "crop",
    "interpolation": "interpolation",
}

_SPACES = {"imagenet": "ImageNet", "in9": "ImageNet-9"}


def open_weights(
    path: str,
    *,
    architecture: str = "",
    classes: str = "",
    space: str = "",
    mean: str = "",
    std: str = "",
    input_size: str = "",
    crop: str = "",
    interpolation: str = "",
    weights: str = "",
) -> Weights:
    """Load a checkpoint: a state dict under any entry and prefix, of ``torch.save`` or safetensors, or TorchScript.

    What an option says counts, then what the checkpoint says, then what is usual for its architecture.

    Args:
        path: Path of the file, or of the ``*.index.json`` of several.
        architecture: Name in timm, or ``tv_`` followed by a name in torchvision; checkpoints may name it themselves.
        classes: Names of the classes in the order of the logits, separated by commas, or the path of a text, CSV or
            JSON file of them.
        space: ``imagenet`` or ``in9``, if the classes are those.
        mean: Mean per channel, for images in [0, 1]: three numbers separated by commas.
        std: Standard deviation per channel, likewise.
        input_size: Side of the evaluation images in pixels.
        crop: Fraction of the resized image's short side that the evaluation crop keeps, in (0, 1].
        interpolation: ``bilinear`` or ``bicubic``.
        weights: Which of several sets of weights: ``ema`` (the default, as in timm), ``model``, or an entry's name.

    Raises:
        MissingData: If there is no such file.
        UnknownName: If its architecture is unknown.
        BadInput: If it cannot be read or does not fit its architecture, or an option has an unusable value.
    """
    given = {"mean": mean, "std": std, "input_size": input_size, "crop_pct": crop, "interpolation": interpolation}
    chosen = {name: check_field(name, value) for name, value in given.items() if value}
    chosen_names = read_classes(classes) if classes else class_names(check_space(space)) if space else ()
    if classes and space:
        raise BadInput("expected one of the options classes= and space=, got both; leave out one of them")
    if architecture:
        find_architecture(architecture)  # an unknown name is told before a large file is read
    file = Path(path).expanduser()
    read = read_checkpoint_file(file)
    named = preprocessing_named(read.content, read.settings, chosen)
    checkpoint = Checkpoint(file, read, sha256_of(file), architecture, weights, chosen, named, list(read.notes))
    network, outputs, usual = load_network(checkpoint)
    network, outputs = _grouped(checkpoint, network, outputs)
    found_space, names = _classes(checkpoint, chosen_names, outputs)
    fields = _preprocessing(checkpoint, usual, found_space)
    tag = checkpoint.entry("tag")
    made = Weights(
        network, str(file), tag if isinstance(tag, str) else "", fields["mean"], fields["std"], fields["input_size"]
    )
    return made._replace(
        **fields, space=found_space, classes=names, file_sha256=checkpoint.sha256[:16], notes=tuple(checkpoint.notes)
    )


def _grouped(checkpoint: Checkpoint, network: nn.Module, outputs: int) -> tuple[nn.Module, int]:
    """Join the fine classes that a network of `bglab.training` was trained on to the coarse ones that it predicts."""
    groups = checkpoint.entry("groups")
    is_usable = isinstance(groups, (list, tuple)) and len(groups) == outputs and all(isinstance(g, int) for g in groups)
    if not is_usable:
        if checkpoint.is_own:
            raise BadInput(f"expected a class for each of {outputs} outputs in the entry 'groups' of {checkpoint.file}")
        return network, outputs
    coarse = len(set(groups))
    return (Grouped(network, groups), coarse) if len(groups) > coarse else (network, outputs)


def _classes(checkpoint: Checkpoint, chosen: tuple[str, ...], outputs: int) -> tuple[str, tuple[str, ...]]:
    """Determine label space and class names of a number of outputs; "" and () leave it to their number."""
    file, named = checkpoint.file, classes_named(checkpoint.read.content, checkpoint.read.settings)
    said = checkpoint.entry("space")
    said = said if isinstance(said, str) else ""
    if chosen:
        if len(chosen) != outputs:
            raise BadInput(
                f"expected a class name for each of the {outputs} outputs of {file}, got {len(chosen)} names in the "
                "options; give one per output, in their order"
            )
        space = space_of(chosen, file.stem)
        if (named and named != chosen) or (said and said != space):
            itself = ", ".join(named[:5]) or said
            checkpoint.notes.append(f"the option replaces the classes that the checkpoint itself names ({itself})")
        return space, () if space in NAMED_SPACES else chosen
    if named and len(named) != outputs:
        if said:
            raise BadInput(f"expected {outputs} class names in {file}, got {len(named)}; give ?classes=NAME,NAME")
        checkpoint.notes.append(f"the checkpoint names {len(named)} classes for {outputs} outputs; they are not used")
        named = ()
    if said in NAMED_SPACES and not named and len(class_names(said)) != outputs:
        raise BadInput(f"expected {len(class_names(said))} outputs for the space '{said}' of {file}, got {outputs}")
    if said and (named or said in NAMED_SPACES):
        return said, named
    if named:
        space, more = space_of(named, file.stem), " …" if outputs > 9 else ""
        checkpoint.notes.append(f"its classes are those that the checkpoint names: {', '.join(named[:9])}{more}")
        return space, () if space in NAMED_SPACES else named
    space = {1000: "imagenet", 9: "in9"}.get(outputs, "")
    if space:
        checkpoint.notes.append(
            f"its {outputs} outputs are taken for the classes of {_SPACES[space]}, in their usual order"
        )
    return space, ()


def _preprocessing(checkpoint: Checkpoint, usual: Usual, space: str) -> dict[str, Any]:
    """Put together what options, checkpoint and architecture say; the first that says something counts."""
    notes, named, chosen = checkpoint.notes, checkpoint.named, checkpoint.chosen
    fields = checkpoint.usual_fields(usual)
    known = {**named, **chosen}
    if space == "in9":
        fields = fields | {"mean": IN9_MEAN, "std": IN9_STD}
        if not checkpoint.is_own and not {"mean", "std"} <= set(known):
            notes.append(
                "mean and standard deviation are taken to be those of the nine-class networks of Noise or Signal; if "
                f"it was trained with others (those of {usual.whose} are {_listed(usual.fields['mean'])} and "
                f"{_listed(usual.fields['std'])}), give ?mean= and &std="
            )
    assumed = [name for name in _FIELD_WORDS if name not in known and not (space == "in9" and name in {"mean", "std"})]
    if assumed and not checkpoint.is_own:
        notes.append(f"{_joined([_FIELD_WORDS[name] for name in assumed])} are those of {usual.whose}")
    kept = [name for name in _FIELD_WORDS if name in named and name not in chosen]
    if kept and not checkpoint.is_own:
        where = f" (in its layer '{checkpoint.layer}')" if checkpoint.layer else ""
        values = ", ".join(f"{_FIELD_WORDS[name]} {named[name]}" for name in kept)
        notes.append(f"the checkpoint itself keeps {values}{where}")
    for name, value in chosen.items():
        if name in named and named[name] != value:
            notes.append(f"{OPTION_NAMES.get(name, name)}= replaces what the checkpoint says ({named[name]})")
    return {**fields, **known}


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)


def _joined(words: Sequence[str]) -> str:
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
