"""Networks of checkpoints: the architecture that a checkpoint is of, filled with its weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from bglab.errors import BadInput, UnknownName
from bglab.models.architecture_guesses import fitting_architectures
from bglab.models.architectures import (
    Architecture,
    Usual,
    create_network,
    find_architecture,
    head_tensors,
    tensor_layout,
    usual_preprocessing,
)
from bglab.models.checkpoint_files import CheckpointFile, Scripted
from bglab.models.file_options import architectures_named
from bglab.models.spec import IMAGENET_MEAN, IMAGENET_STD
from bglab.models.stand_ins import stands_for, unreadable
from bglab.models.state_dicts import (
    Candidate,
    Fitted,
    choose,
    count_outputs,
    find_candidates,
    find_normaliser,
    fit,
    tensors_in,
)

#: What the format of `bglab.training` begins with; it stores the preprocessing that it trained with.
_OWN_FORMAT = "bglab training"

#: Preprocessing of networks that nothing else is known about, as fields of `bglab.models.Weights`.
USUAL: dict[str, Any] = {
    "mean": IMAGENET_MEAN,
    "std": IMAGENET_STD,
    "input_size": 224,
    "crop_pct": 0.875,
    "interpolation": "bilinear",
    "crop_mode": "center",
}


class Loaded(NamedTuple):
    """A network with its weights.

    Attributes:
        network: On the CPU.
        outputs: Number of its logits.
        usual: Preprocessing that is usual for it.
    """

    network: nn.Module
    outputs: int
    usual: Usual


@dataclass
class Checkpoint:
    """A checkpoint while it is being made into a network.

    Attributes:
        file: Its path.
        read: What the file holds.
        sha256: Digest of the file.
        architecture: Architecture that the user names; "" leaves it to the checkpoint.
        weights: Which of several sets of weights the user wants; "" for the default.
        chosen: Preprocessing that the user wants, as fields of `bglab.models.Weights`.
        named: Preprocessing that the checkpoint keeps, likewise.
        notes: What was read off it or assumed, one sentence each.
        layer: Tensor of a normalising layer that mean and standard deviation were read off; "" if there is none.
    """

    file: Path
    read: CheckpointFile
    sha256: str
    architecture: str
    weights: str
    chosen: Mapping[str, Any]
    named: dict[str, Any]
    notes: list[str] = field(default_factory=list)
    layer: str = ""

    def entry(self, name: str) -> Any:
        """Return an entry of the checkpoint; None if there is none."""
        return self.read.content.get(name) if isinstance(self.read.content, Mapping) else None

    @property
    def is_own(self) -> bool:
        """Whether `bglab.training` wrote it."""
        return str(self.entry("format")).startswith(_OWN_FORMAT)

    def usual_fields(self, usual: Usual) -> dict[str, Any]:
        """Return the preprocessing that holds where neither the user nor the checkpoint names one."""
        return USUAL if self.is_own else USUAL | usual.fields

    def size(self, usual: Usual) -> int:
        """Return the side of the evaluation images in pixels."""
        return {**self.usual_fields(usual), **self.named, **self.chosen}["input_size"]


def load_network(checkpoint: Checkpoint) -> Loaded:
    """Build the network of a checkpoint and give it its weights; what there is to know is added to the notes.

    Raises:
        UnknownName: If its architecture is unknown.
        BadInput: If it holds no weights, or they do not fit its architecture.
    """
    return _script(checkpoint) if checkpoint.read.network is not None else _network(checkpoint)


def _script(checkpoint: Checkpoint) -> Loaded:
    """Prepare a program of TorchScript, which needs no architecture."""
    if checkpoint.weights:
        raise BadInput(f"expected no option weights= for TorchScript, which has one set, got '{checkpoint.weights}'")
    network = checkpoint.read.network
    assert isinstance(network, Scripted)
    kinds = sorted({str(t.dtype).removeprefix("torch.") for t in network.parameters() if t.dtype != torch.float32})
    if kinds:
        network = network.float()
        checkpoint.notes.append(f"weights were converted from {', '.join(kinds)} to float32")
    odd = [name for name, tensor in network.state_dict().items() if not bool(torch.isfinite(tensor).all())]
    if odd:
        raise BadInput(f"expected finite weights in {checkpoint.file}, but {odd[0].removeprefix('program.')} is not")
    usual = Usual(dict(USUAL), "ImageNet, since TorchScript does not tell its own")
    if checkpoint.architecture:
        usual = usual_preprocessing(checkpoint.architecture)
    size = checkpoint.size(usual)
    return Loaded(network, _output_count(network.eval(), size, checkpoint.file), usual)


def _output_count(network: nn.Module, size: int, file: Path) -> int:
    """Run a network on one image and return the number of its logits."""
    try:
        with torch.inference_mode():
            logits = network(torch.zeros(1, 3, size, size))
    except Exception as problem:  # noqa: BLE001 - every network raises its own types
        lines = [line for line in str(problem).strip().splitlines() if line.strip()] or [type(problem).__name__]
        raise BadInput(
            f"expected the network in {file} to take images of {size}×{size} pixels, but it fails ({lines[-1][:160]}); "
            "give the size that it was made for as ?input_size="
        ) from None
    if not isinstance(logits, Tensor) or logits.ndim != 2 or len(logits) != 1:
        what = f"a tensor of shape {tuple(logits.shape)}" if isinstance(logits, Tensor) else type(logits).__name__
        raise BadInput(f"expected logits of shape (1, classes) from the network in {file}, got {what}")
    return logits.shape[1]


def _network(checkpoint: Checkpoint) -> Loaded:
    """Find architecture and weights in a checkpoint and build the network of them."""
    content, file = checkpoint.read.content, checkpoint.file
    _check_content(content, file)
    architecture, candidates = _recognise(checkpoint)
    usual = usual_preprocessing(architecture.name, checkpoint.sha256)
    size = checkpoint.size(usual)
    chosen, choice = choose(candidates, checkpoint.weights, str(file))
    heads = head_tensors(architecture.name, size)
    if not heads:
        raise BadInput(f"expected a classifier, but {architecture.name} has no head; choose another architecture")
    outputs = count_outputs(chosen, heads)
    try:
        fitted = fit(chosen, tensor_layout(architecture.name, outputs, size), architecture.name, str(file))
    except BadInput as problem:
        raise BadInput(f"{problem}{_other_fits(content, architecture.name)}") from None
    network = _filled(architecture.name, outputs, size, fitted)
    if usual.is_published and hasattr(network, "transform_input"):
        # the preprocessing of torchvision's own weights expects it
        network.transform_input = True  # pyright: ignore[reportArgumentType]
    checkpoint.notes += [note for note in (architecture.note, *choice, *fitted.notes) if note]
    if size != usual.fields["input_size"]:
        _output_count(network.eval(), size, file)
    normaliser = find_normaliser(fitted.beside)
    if normaliser:
        checkpoint.named["mean"], checkpoint.named["std"], checkpoint.layer = normaliser
    return Loaded(network, outputs, usual)


def _filled(architecture: str, outputs: int, size: int, fitted: Fitted) -> nn.Module:
    """Build a network and give it its weights; the caller's random numbers are not used up."""
    with torch.random.fork_rng(devices=[]):
        network = create_network(architecture, outputs, size)
    # only counters of batch normalisation may be missing
    network.load_state_dict(fitted.state, strict=False)
    return network


def _check_content(content: Any, file: Path) -> None:
    """Refuse a checkpoint without tensors, and say what it holds instead."""
    foreign = stands_for(content)
    if not foreign and any(True for _ in tensors_in(content)):
        return
    if not foreign and isinstance(content, Mapping):
        foreign = next((name for name in map(stands_for, content.values()) if name), "")
    if foreign:
        raise unreadable(
            file, f"it holds an object of {foreign} instead of tensors by name, which needs code to restore"
        )
    if not isinstance(content, Mapping):
        raise BadInput(f"expected a dictionary of tensors in {file}, got {type(content).__name__}; save a state dict")
    raise BadInput(f"expected a state dict in {file}, got no tensors; save network.state_dict()")


def _recognise(checkpoint: Checkpoint) -> tuple[Architecture, list[Candidate]]:
    """Find the architecture of a checkpoint, and the weights in it that go by the architecture's names."""
    named = architectures_named(checkpoint.read.content, checkpoint.read.settings)
    if checkpoint.architecture:
        possible = [(find_architecture(checkpoint.architecture), "")]
    else:
        possible = [(each, f"{entry}") for name, entry in named for each in _meanings(name, checkpoint)]
    if not possible:
        said = f"'{named[0][0]}' in its entry '{named[0][1]}'" if named else "none"
        raise UnknownName(
            f"expected the architecture of {checkpoint.file} in its entry 'architecture' or as "
            f"file:PATH?architecture=NAME, got {said}; give a name that timm knows, or tv_NAME for torchvision's"
            f"{_other_fits(checkpoint.read.content, '')}"
        )
    found = []
    for architecture, entry in possible:
        own = tensor_layout(architecture.name, 1000, checkpoint.named.get("input_size", 224))
        candidates = find_candidates(checkpoint.read.content, own)
        found.append((architecture, entry, candidates, own))
        if candidates and not candidates[0].lacks(own):
            break
    architecture, entry, candidates, own = min(found, key=lambda each: _lacking(each[2], each[3]))
    if not candidates:
        raise BadInput(
            f"expected the weights of {architecture.name} in {checkpoint.file}, but they do not fit: none of its "
            "tensors goes by a name of that architecture; choose another architecture="
            f"{_other_fits(checkpoint.read.content, architecture.name)}"
        )
    if entry and not checkpoint.is_own:
        checkpoint.notes.append(f"the architecture {architecture.name} is that of the checkpoint's entry '{entry}'")
    plain = {_plain(name): (name, entry) for name, entry in named}
    if checkpoint.architecture and plain and _plain(architecture.name) not in plain:
        other, where = next(iter(plain.values()))
        checkpoint.notes.append(f"architecture={checkpoint.architecture} replaces {other} of the entry '{where}'")
    return architecture, candidates


def _other_fits(content: Any, architecture: str) -> str:
    """Write which other architectures the tensors fit, to go on with a message."""
    from torchvision import models

    plain = architecture.removeprefix("tv_")
    same = [f"tv_{plain}"] if plain == architecture and plain in models.list_models(models) else []
    found = [name for name in fitting_architectures(content, *same) if name != architecture]
    return f". Its tensors fit architecture={' or '.join(found[:3])}" if found else ""


def _lacking(candidates: Sequence[Candidate], own: Mapping[str, Tensor]) -> int:
    return len(candidates[0].lacks(own)) if candidates else len(own)


def _plain(name: str) -> str:
    return name.removeprefix("tv_").partition(".")[0]


def _meanings(name: str, checkpoint: Checkpoint) -> list[Architecture]:
    """List the architectures that an entry may mean: timm's of that name, and torchvision's, whose scripts write it."""
    found = []
    for each in (name, f"tv_{name}"):
        try:
            found.append(find_architecture(each))
        except UnknownName:
            continue
    # what torchvision's and PyTorch's own training scripts store, and timm's does not
    by_torchvision = checkpoint.entry("best_acc1") is not None or checkpoint.entry("lr_scheduler") is not None
    return found[::-1] if by_torchvision else found
