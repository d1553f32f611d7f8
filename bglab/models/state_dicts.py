"""State dicts in checkpoints: which entry holds a network's weights, under which prefix, and whether they fit."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bglab.errors import BadInput

#: Parts that torch's own wrappers insert into names, wherever they wrap.
_MACHINERY = re.compile(r"(?<![^.])(_orig_mod|_fsdp_wrapped_module|_checkpoint_wrapped_module|_forward_module)\.")

#: Words in the name of an entry or prefix of averaged weights.
_AVERAGED = frozenset({"ema", "averaged", "average", "avg", "swa", "shadow", "polyak"})

#: Words in the name of a module beside the network that does not affect its logits.
_BESIDE = frozenset(
    {"loss", "losses", "criterion", "criteria", "metric", "metrics", "acc", "acc1", "acc5", "accuracy", "auroc", "f1"}
    | {"precision", "recall", "confusion", "confmat", "optimizer", "ema", "averaged", "attacker", "teacher"}
    | {"normalizer", "normalize", "normalise", "normaliser"}
)
_AUXILIARY = re.compile(r"aux(\d*|logits|_head|_classifier|iliary\w*)$", re.IGNORECASE)

#: Last parts of tensors that evaluation does not need, or that follow from the architecture.
_DERIVED = frozenset(
    {"n_averaged", "num_batches_tracked", "total_ops", "total_params"}
    | {"relative_position_index", "relative_coords_table", "attn_mask"}
)


class Candidate(NamedTuple):
    """Tensors that may be a network's weights.

    Attributes:
        entry: Path of the entry of the checkpoint that holds them; "" for the checkpoint itself.
        prefix: What precedes the network's own names.
        tensors: Tensors by the network's own names, and by those that follow the prefix but are not of the network.
        beside: Tensors of the entry outside the prefix.
    """

    entry: str
    prefix: str
    tensors: Mapping[str, Tensor]
    beside: Mapping[str, Tensor]

    @property
    def label(self) -> str:
        """Name by which a user chooses them: entry and prefix."""
        return ".".join(part for part in (self.entry, self.prefix.rstrip(".")) if part)

    @property
    def is_averaged(self) -> bool:
        """Whether their name says that they are averages over training steps."""
        return bool(_AVERAGED & _words(self.label))

    def lacks(self, own: Mapping[str, Tensor]) -> list[str]:
        """List the tensors of the network that are missing."""
        return [name for name in own if name not in self.tensors and not name.endswith("num_batches_tracked")]


class Fitted(NamedTuple):
    """Weights that fit their network.

    Attributes:
        state: For ``network.load_state_dict``.
        beside: Further tensors of the entry, by name.
        notes: What was chosen, converted and left out, one sentence each.
    """

    state: dict[str, Tensor]
    beside: Mapping[str, Tensor]
    notes: tuple[str, ...]


def tensors_in(content: Any, path: str = "", depth: int = 6) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
    """List the dictionaries of tensors inside of a checkpoint, with the path of the entry that each is in."""
    if isinstance(content, (list, tuple)):
        content = {str(position): value for position, value in enumerate(content)} if len(content) <= 16 else None
    if not isinstance(content, Mapping) or not depth:
        return
    found = {name: value for name, value in content.items() if isinstance(name, str) and isinstance(value, Tensor)}
    if found:
        yield path, found
    for name, value in content.items():
        if isinstance(name, str):
            yield from tensors_in(value, f"{path}.{name}" if path else name, depth - 1)


def find_candidates(content: Any, own: Mapping[str, Tensor]) -> list[Candidate]:
    """Find the tensors of a checkpoint that go by a network's names, under any prefix.

    Args:
        content: What the checkpoint holds.
        own: The network's own tensors by name; only their names count.

    Returns:
        All that are complete, or else the one with most of the names; none if no name occurs.
    """
    found: list[Candidate] = []
    needed = sum(not name.endswith("num_batches_tracked") for name in own)
    for entry, stored in tensors_in(content):
        tensors = _without_machinery(stored)
        counts = Counter(prefix for name in tensors for prefix in _prefixes(name, own))
        # fewer names than the network needs cannot be complete, but the best of them tells what is missing
        enough = min(needed, max(counts.values(), default=0))
        found += [_split(entry, prefix, tensors) for prefix, count in counts.items() if count >= enough]
    complete = [candidate for candidate in found if not candidate.lacks(own)]
    return complete or sorted(found, key=lambda candidate: len(candidate.lacks(own)))[:1]


def choose(candidates: Sequence[Candidate], wanted: str, where: str) -> tuple[Candidate, tuple[str, ...]]:
    """Choose one of several sets of weights: averaged ones unless others are asked for, as timm does.

    Args:
        candidates: From `find_candidates`, at least one.
        wanted: ``ema``, ``model``, or the name of an entry; "" for the default.
        where: Path of the checkpoint, for messages.

    Returns:
        The weights, and a note if there was a choice.

    Raises:
        BadInput: If there is no such set, or none of several is to be preferred.
    """
    different = _without_copies(candidates)
    labels = ", ".join(candidate.label or "(the checkpoint itself)" for candidate in different)
    groups = {"ema": True, "model": False}
    if wanted in groups:
        chosen = [candidate for candidate in different if candidate.is_averaged == groups[wanted]]
    elif wanted:
        chosen = [candidate for candidate in candidates if wanted in {candidate.label, candidate.entry}]
    else:
        chosen = [candidate for candidate in different if candidate.is_averaged] or different
    if not chosen:
        raise BadInput(f"expected weights '{wanted}' in {where}, got {labels}; choose another ?weights=")
    if len(chosen) > 1:
        names = " or ".join(f"?weights={candidate.label}" for candidate in chosen)
        raise BadInput(f"expected one set of weights in {where}, got {len(chosen)}; choose one: {names}")
    one = chosen[0]
    if len(different) > 1:
        rest = " or ".join(repr(candidate.label) for candidate in different if candidate is not one)
        what = "averaged weights" if one.is_averaged else "weights"
        return one, (f"the {what} of '{one.label}' are used; ?weights= chooses those of {rest}",)
    return one, (f"the weights are the averaged ones of '{one.label}'",) if one.is_averaged else ()


def count_outputs(candidate: Candidate, heads: Mapping[str, int]) -> int:
    """Return the number of classes that weights were made for, at least 1.

    Args:
        candidate: The weights.
        heads: Dimension that counts the classes, by the name of the tensor.
    """
    for name, dimension in heads.items():
        if name in candidate.tensors and candidate.tensors[name].ndim > dimension:
            return max(1, candidate.tensors[name].shape[dimension])
    return 1


def fit(candidate: Candidate, own: Mapping[str, Tensor], architecture: str, where: str) -> Fitted:
    """Check that weights are those of a network, tensor for tensor, and convert them to its types.

    Args:
        candidate: The weights.
        own: The network's own tensors by name, possibly on the device ``meta``.
        architecture: Name of the architecture, for messages.
        where: Path of the checkpoint, for messages.

    Raises:
        BadInput: If tensors are missing, of other shapes or of types that are no weights, hold numbers that are not
            finite, or belong to another architecture; the message names them.
    """
    expected = f"expected the weights of {architecture} in {where}, but they do not fit: "
    lacking = candidate.lacks(own)
    if lacking:
        missing = f"{_some(lacking)} {'is' if len(lacking) == 1 else 'are'} missing"
        raise BadInput(f"{expected}{missing}, {len(lacking)} of {len(own)} tensors")
    wrong = [
        f"{name} has the shape {_shape(candidate.tensors[name])} instead of {_shape(tensor)}"
        for name, tensor in own.items()
        if name in candidate.tensors and candidate.tensors[name].shape != tensor.shape
    ]
    if wrong:
        raise BadInput(f"{expected}{_some(wrong, '; ')}{_remedy_for_shapes(wrong)}")
    further = {name: tensor for name, tensor in candidate.tensors.items() if name not in own}
    foreign = [name for name in further if not _is_beside(name, own)]
    if foreign:
        raise BadInput(
            f"{expected}the architecture has no {_some(foreign)} ({len(foreign)} more tensors than it needs)"
        )
    state: dict[str, Tensor] = {}
    casts: Counter[str] = Counter()
    for name, tensor in own.items():
        if name in candidate.tensors:
            state[name] = _converted(name, candidate.tensors[name], tensor.dtype, casts, where)
    notes = [f"{count} tensors were converted from {types}" for types, count in casts.items()]
    absent = len(own) - len(state)
    if absent:
        notes.append(f"{absent} counters num_batches_tracked are missing, which evaluation does not need")
    beside = {**{f"{candidate.prefix}{name}": tensor for name, tensor in further.items()}, **candidate.beside}
    if beside:
        notes.append(f"left out, since {architecture} has no such tensors: {_summary(beside)}")
    return Fitted(state, beside, tuple(notes))


def find_normaliser(beside: Mapping[str, Tensor]) -> tuple[tuple[float, ...], tuple[float, ...], str] | None:
    """Find the mean and standard deviation of a normalising layer in front of the network.

    MadryLab's robustness library keeps them as ``normalizer.new_mean`` and ``normalizer.new_std``.

    Args:
        beside: Tensors beside the network, by name.

    Returns:
        Mean, standard deviation and the name of the mean; None if there is no such layer.
    """
    for name in sorted(beside, key=lambda name: ("attacker" in name, len(name))):
        matched = re.fullmatch(r"(.*?)((?:new_|pixel_|image_|_)?)mean", name)
        partner = f"{matched[1]}{matched[2]}std" if matched else ""
        if partner in beside and beside[name].numel() == beside[partner].numel() == 3:
            mean, std = beside[name].double().flatten(), beside[partner].double().flatten()
            scale = 255.0 if float(mean.max()) > 1 else 1.0
            if bool(mean.isfinite().all()) and bool(std.isfinite().all()) and float(std.min()) > 0:
                return _numbers(mean / scale), _numbers(std / scale), name
    return None


def _numbers(values: Tensor) -> tuple[float, ...]:
    # float32 turns 0.4717 into 0.47170001
    return tuple(round(value, 6) for value in values.tolist())


def _words(label: str) -> set[str]:
    return set(re.split(r"[._]", label.lower()))


def _prefixes(name: str, own: Mapping[str, Tensor]) -> Iterator[str]:
    """List the prefixes after which a name is one of the network's."""
    start = 0
    while start >= 0:
        if name[start:] in own:
            yield name[:start]
        dot = name.find(".", start)
        start = dot + 1 if dot >= 0 else -1


def _without_machinery(stored: Mapping[str, Tensor]) -> Mapping[str, Tensor]:
    plain = {_MACHINERY.sub("", name): tensor for name, tensor in stored.items()}
    return plain if len(plain) == len(stored) else stored


def _split(entry: str, prefix: str, tensors: Mapping[str, Tensor]) -> Candidate:
    inside = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
    beside = {name: tensor for name, tensor in tensors.items() if not name.startswith(prefix)}
    return Candidate(entry, prefix, inside, beside)


def _without_copies(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Drop the attackers of adversarial training, and sets whose tensors equal those of another."""
    victims = [candidate for candidate in candidates if "attacker" not in _words(candidate.label)] or list(candidates)
    kept: list[Candidate] = []
    for candidate in sorted(victims, key=lambda candidate: len(candidate.prefix)):
        if not any(_are_equal(candidate, other) for other in kept):
            kept.append(candidate)
    return kept


def _are_equal(one: Candidate, other: Candidate) -> bool:
    shared = one.tensors.keys() & other.tensors.keys()
    return all(
        one.tensors[name].dtype == other.tensors[name].dtype and torch.equal(one.tensors[name], other.tensors[name])
        for name in shared
    )


def _is_beside(name: str, own: Mapping[str, Tensor]) -> bool:
    """Check that a tensor among the network's cannot be a part of another architecture."""
    first, _, rest = name.partition(".")
    if name.rpartition(".")[2] in _DERIVED:
        return True
    if any(known.partition(".")[0] == first for known in own):
        return False
    if not rest and first in {"mean", "std"}:
        return True
    return bool(_BESIDE & _words(first)) or bool(_AUXILIARY.match(first))


def _converted(name: str, tensor: Tensor, dtype: torch.dtype, casts: Counter[str], where: str) -> Tensor:
    """Return a tensor in the network's type, if that means the same numbers."""
    kind = "quantised" if tensor.is_quantized else str(tensor.dtype).removeprefix("torch.")
    if tensor.is_quantized or tensor.layout != torch.strided or tensor.is_meta:
        kind = kind if tensor.is_quantized else "sparse" if tensor.layout != torch.strided else "empty"
        raise BadInput(f"expected plain tensors in {where}, but {name} is {kind}; save the network's float weights")
    floats = {torch.float16, torch.bfloat16, torch.float32, torch.float64}
    if dtype.is_floating_point and tensor.dtype not in floats:
        raise BadInput(
            f"expected floating-point weights in {where}, but {name} is {kind}; save the network before quantisation"
        )
    if not bool(torch.isfinite(tensor).all()):
        count = int((~torch.isfinite(tensor)).sum())
        raise BadInput(
            f"expected finite weights in {where}, but {name} has {count} of {tensor.numel()} numbers that are NaN or "
            "infinite; its training diverged or the file is damaged"
        )
    if tensor.dtype == dtype:
        return tensor
    converted = tensor.to(dtype)
    if not bool(torch.isfinite(converted).all()) or (
        not dtype.is_floating_point and not torch.equal(converted.double(), tensor.double())
    ):
        raise BadInput(f"expected {name} in {where} to be {str(dtype).removeprefix('torch.')}, got {kind}")
    casts[f"{kind} to {str(dtype).removeprefix('torch.')}"] += 1
    return converted


def _remedy_for_shapes(wrong: Sequence[str]) -> str:
    if any("pos_emb" in each or "relative_position" in each or "rel_pos" in each for each in wrong):
        return "; weights for images of another size need ?input_size="
    return ""


def _shape(tensor: Tensor) -> str:
    return "×".join(map(str, tensor.shape)) or "scalar"


def _some(names: Sequence[str], joint: str = ", ", most: int = 3) -> str:
    rest = f"{joint}… ({len(names)} in all)" if len(names) > most else ""
    return joint.join(names[:most]) + rest


def _summary(beside: Mapping[str, Tensor]) -> str:
    """List tensors by module, with the number of those of each."""
    modules = Counter(name.partition(".")[0] if len(beside) > 6 else name for name in beside)
    parts = [name if name in beside else f"{name}.* ({count})" for name, count in modules.most_common(6)]
    return ", ".join(parts) + (" …" if len(modules) > 6 else "")
