"""Untrained networks by the name of their architecture, from timm and torchvision, and their usual preprocessing."""

from __future__ import annotations

import difflib
import functools
import re
import warnings
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, NamedTuple, get_args

import torch
from torch import Tensor, nn

from bglab.catalogue import unknown_name
from bglab.errors import UnknownName
from bglab.images import Interpolation, crop_pct

#: What hub names begin with, before the name that timm knows.
_HUB = re.compile(r"^(?:hf-hub:|hf_hub:|https?://huggingface\.co/)?timm/")


class Architecture(NamedTuple):
    """An architecture of timm or torchvision.

    Attributes:
        name: Name in timm, possibly with a tag, or ``tv_`` followed by a name in torchvision.
        note: What the name was before, if the libraries call it by another now; "" otherwise.
    """

    name: str
    note: str = ""

    @property
    def torchvision_name(self) -> str:
        """Name in torchvision; "" for architectures of timm."""
        return self.name.removeprefix("tv_") if self.name.startswith("tv_") else ""


class Usual(NamedTuple):
    """The usual preprocessing of an architecture.

    Attributes:
        fields: Mean, standard deviation, size, crop and filter, as fields of `bglab.models.Weights`.
        whose: What they were read from.
        is_published: Whether the file is one of torchvision's own weights, and they are its own.
    """

    fields: dict[str, Any]
    whose: str
    is_published: bool = False


def find_architecture(name: str) -> Architecture:
    """Find an architecture by its name.

    Args:
        name: Name in timm, with or without a tag, also one that timm has renamed or as the hub writes it; or ``tv_``
            followed by a name in torchvision. ``tv_resnet50`` is torchvision's, although timm once called its own so.

    Raises:
        UnknownName: If there is none; the message suggests the nearest names.

    Example:
        >>> find_architecture("swsl_resnext50_32x4d").name
        'resnext50_32x4d.fb_swsl_ig1b_ft_in1k'
    """
    import timm
    from torchvision import models

    of_torchvision = models.list_models(models)
    plain = name_on_hub(name) or name
    if plain.startswith("tv_") and plain.removeprefix("tv_") in of_torchvision:
        return Architecture(plain)
    renamed = renamed_by_timm(plain)
    if renamed:
        return Architecture(renamed, f"{name} is called {renamed} in timm now")
    base, _, tag = plain.partition(".")
    if not timm.is_model(base) or (tag and plain not in _tagged(base)):
        known = [*timm.list_models(), *(f"tv_{model}" for model in of_torchvision)]
        # a name that only torchvision has is more likely meant than a similar one of timm
        same = [f"tv_{plain}"] if plain in of_torchvision else _tagged(base) if timm.is_model(base) else []
        close = difflib.get_close_matches(plain, known, n=6, cutoff=0.5)
        raise UnknownName(unknown_name("architecture", name, same or close or near_names(plain, known)))
    return Architecture(plain)


def check_architecture(name: str) -> None:
    """Check that an architecture exists in timm or torchvision.

    Raises:
        UnknownName: If it does not; the message suggests the nearest names.
    """
    find_architecture(name)


def renamed_by_timm(name: str) -> str:
    """Return the name that timm gives to an architecture now, with its tag; "" if it was not renamed.

    Example:
        >>> renamed_by_timm("tv_resnet50"), renamed_by_timm("resnet50")
        ('resnet50.tv_in1k', '')
    """
    from timm.models import get_deprecated_models

    return get_deprecated_models().get(name) or ""


def name_on_hub(name: str) -> str:
    """Return timm's name of weights that are named as their page on the hub names them; "" for other names.

    Example:
        >>> name_on_hub("hf-hub:timm/resnet18.a1_in1k")
        'resnet18.a1_in1k'
    """
    return _HUB.sub("", name) if _HUB.match(name) else ""


def create_network(architecture: str, outputs: int, size: int = 224) -> nn.Module:
    """Build a network with random weights, drawn from torch's global generator.

    The heads that GoogLeNet and Inception v3 have for training only are left out.

    Args:
        architecture: Name as for `find_architecture`.
        outputs: Number of classes.
        size: Side of the input images in pixels; used only by architectures of fixed input size.

    Raises:
        UnknownName: If there is no such architecture; the message suggests the nearest names.
    """
    import timm
    from torchvision import models

    found = find_architecture(architecture)
    if not found.torchvision_name:
        config = timm.get_pretrained_cfg(found.name, allow_unregistered=False)
        sized: dict[str, Any] = {"img_size": size} if config is not None and config.fixed_input_size else {}
        return timm.create_model(found.name, num_classes=outputs, **sized)
    options: dict[str, Any] = {}
    if found.torchvision_name in {"googlenet", "inception_v3"}:
        options = {"aux_logits": False, "init_weights": False}
    if found.torchvision_name.startswith("vit_"):
        options = {"image_size": size}
    if found.torchvision_name == "maxvit_t":
        options = {"input_size": (size, size)}
    return models.get_model(found.torchvision_name, weights=None, num_classes=outputs, **options)


@functools.lru_cache(maxsize=64)
def tensor_layout(architecture: str, outputs: int, size: int = 224) -> Mapping[str, Tensor]:
    """List the tensors of a network by name, on the device ``meta``: shapes and types without numbers.

    Raises:
        UnknownName: If there is no such architecture.
    """
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return MappingProxyType(create_network(architecture, outputs, size).state_dict())


def head_tensors(architecture: str, size: int = 224) -> dict[str, int]:
    """List the tensors whose shape depends on the number of classes, with the dimension that counts them."""
    few, many = (tensor_layout(architecture, outputs, size) for outputs in (11, 13))
    return {
        name: next(
            d for d, (one, other) in enumerate(zip(few[name].shape, many[name].shape, strict=True)) if one != other
        )
        for name in few
        if name in many and few[name].shape != many[name].shape
    }


def usual_preprocessing(architecture: str, file_sha256: str = "") -> Usual:
    """Look up the preprocessing that belongs to an architecture, as fields of `bglab.models.Weights`.

    That of timm is its configuration at the size of training; that of torchvision belongs to its default weights,
    unless the file is one of its others.

    Args:
        architecture: Name as for `find_architecture`.
        file_sha256: SHA-256 of the file of the weights; torchvision puts its first digits into its files' names.

    Raises:
        UnknownName: If there is no such architecture.
    """
    import timm
    from timm.data import resolve_data_config  # pyright: ignore[reportPrivateImportUsage]
    from torchvision import models

    found = find_architecture(architecture)
    if found.torchvision_name:
        entries = list(models.get_model_weights(found.torchvision_name))
        default: Any = models.get_model_weights(found.torchvision_name)
        same = [entry for entry in entries if _is_published(entry.url, file_sha256)]
        entry = same[0] if same else default.DEFAULT
        return Usual(of_transforms(entry), f"torchvision's weights {entry.name}", bool(same))
    config: Any = timm.get_pretrained_cfg(found.name)
    resolved = resolve_data_config(pretrained_cfg=config.to_dict())
    return Usual(of_timm_config(resolved), f"timm's configuration of {found.name}")


def of_timm_config(resolved: Mapping[str, Any]) -> dict[str, Any]:
    """Read the preprocessing of a network of timm, as fields of `bglab.models.Weights`.

    Args:
        resolved: From `timm.data.resolve_data_config` or `resolve_model_data_config`. Bicubic stands in for filters
            that `bglab.images.EvaluationTransform` does not have.
    """
    interpolation = resolved["interpolation"]
    return {
        "mean": tuple(resolved["mean"]),
        "std": tuple(resolved["std"]),
        "input_size": int(resolved["input_size"][-1]),
        "crop_pct": resolved["crop_pct"],
        "interpolation": interpolation if interpolation in get_args(Interpolation) else "bicubic",
        "crop_mode": resolved["crop_mode"],
    }


def of_transforms(entry: Any) -> dict[str, Any]:
    """Read the preprocessing of an entry of torchvision's weights, as fields of `bglab.models.Weights`.

    Args:
        entry: Member of a ``torchvision.models.WeightsEnum``.
    """
    transforms = entry.transforms()
    size = transforms.crop_size[0]
    return {
        "mean": tuple(transforms.mean),
        "std": tuple(transforms.std),
        "input_size": size,
        "crop_pct": crop_pct(size, transforms.resize_size[0]),
        "interpolation": transforms.interpolation.value,
    }


def _is_published(url: str, file_sha256: str) -> bool:
    digits = re.search(r"-([0-9a-f]{8})\.pth$", url)
    return bool(digits and file_sha256.startswith(digits[1]))


class Grouped(nn.Module):
    """A network trained on fine classes that predicts coarse ones, by the maximum logit of each group.

    The predicted coarse class is therefore the group of the predicted fine class, as in Noise or Signal, Figure 10.

    Args:
        network: Returns one logit per fine class.
        groups: Coarse class of each fine class; every coarse class occurs at least once.
    """

    def __init__(self, network: nn.Module, groups: Sequence[int]) -> None:
        super().__init__()
        self.network = network
        self.members = [[i for i, g in enumerate(groups) if g == group] for group in sorted(set(groups))]

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of the coarse classes, shape ``n c``."""
        logits = self.network(images)
        return torch.stack([logits[:, members].amax(1) for members in self.members], dim=1)


def near_names(name: str, known: list[str]) -> list[str]:
    """List at most twelve names that begin like ``name``, or the first twelve, for an error message."""
    alike = [k for k in known if k.startswith(name[:5])]
    return (alike or known)[:12]


def _tagged(base: str) -> list[str]:
    """List the names of an architecture of timm with the tags that timm has a configuration for."""
    from timm.models import get_arch_pretrained_cfgs

    return list(get_arch_pretrained_cfgs(base))
