"""The preprocessing of a network that is passed as an object: read off it where it says so, assumed where not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import nn

from bglab.images import CropMode, Interpolation
from bglab.models.architectures import of_timm_config
from bglab.models.spec import IMAGENET_MEAN, IMAGENET_STD


@dataclass(frozen=True)
class Preprocessing:
    """What a network expects of its images.

    Attributes:
        mean: Mean per channel, for images in [0, 1].
        std: Standard deviation per channel, for images in [0, 1].
        input_size: Side of the evaluation images in pixels.
        crop_pct: Fraction of the resized image's short side that the evaluation crop keeps.
        interpolation: Resampling filter of the evaluation's resize.
        crop_mode: Crop mode of the evaluation, as in timm.
        name: Name of the network; "" if it has none.
        classes: Names of its classes, or of a label space; () if it says nothing.
        order: For each of these classes, its position among the outputs; None if both have the same order.
        flips_channels: Whether the network takes blue first and red last.
        notes: What was read, one sentence each.
        assumed: What was assumed, one sentence each.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    input_size: int = 224
    crop_pct: float = 0.875
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    name: str = ""
    classes: str | tuple[str, ...] = ()
    order: tuple[int, ...] | None = None
    flips_channels: bool = False
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    @classmethod
    def of_function(cls) -> Preprocessing:
        """Return that of a function, which gets images in [0, 1]."""
        assumed = ("the function gets images in [0, 1] (mean and std say otherwise)",)
        return cls(mean=(0.0,) * 3, std=(1.0,) * 3, assumed=assumed)

    def but(self, given: Mapping[str, Any]) -> Preprocessing:
        """Return it with some values replaced; nothing is assumed any more where both mean and std are given."""
        settled = {"mean", "std"} <= set(given)
        return replace(self, **given, assumed=() if settled else self.assumed)


def unwrap(network: nn.Module) -> nn.Module:
    """Return the network inside wrappers of parallel training and of `torch.compile`."""
    while True:
        if isinstance(network, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            network = network.module
        elif "_orig_mod" in dict(network.named_children()):
            network = network.get_submodule("_orig_mod")
        else:
            return network


def read_preprocessing(network: nn.Module, processor: Any = None) -> Preprocessing:
    """Read what a network says about itself, and assume the usual of ImageNet for the rest.

    Args:
        network: Module of timm, transformers or anything else.
        processor: Image processor of transformers; None uses the one of the folder or name that the network has.

    Raises:
        BadInput: If the processor is none of transformers, or the outputs are those of ImageNet-21k.
    """
    configuration = getattr(network, "pretrained_cfg", None) or getattr(network, "default_cfg", None)
    if configuration and "mean" in configuration:
        return _of_timm(network, configuration)
    if processor is not None or hasattr(getattr(network, "config", None), "id2label"):
        return _of_transformers(network, processor)
    assumed = "mean and standard deviation are assumed to be ImageNet's (give mean and std if they are others)"
    return Preprocessing(assumed=(assumed,))


def _of_timm(network: nn.Module, configuration: Mapping[str, Any]) -> Preprocessing:
    """Read a network of timm, whose size may be another than that of its configuration."""
    from timm.data import resolve_model_data_config  # pyright: ignore[reportPrivateImportUsage]

    found = resolve_model_data_config(network, use_test_size=True)
    architecture = configuration.get("architecture") or type(network).__name__
    fields, notes = of_timm_config(found), ["mean, standard deviation, size and crop are those of timm"]
    if fields["interpolation"] != found["interpolation"]:
        notes.append(f"timm's interpolation {found['interpolation']} is replaced by bicubic")
    return Preprocessing(**fields, name=str(architecture), notes=tuple(notes))


def _of_transformers(network: nn.Module, processor: Any) -> Preprocessing:
    """Read a network of transformers: its image processor, and the names of its classes."""
    from bglab.models.sources.hf import output_names, read_outputs, read_processor

    config: Any = getattr(network, "config", None)
    name = str(getattr(config, "_name_or_path", "")).rstrip("/").rpartition("/")[2]
    read = Preprocessing(name=name or type(network).__name__)
    if config is not None:
        outputs = read_outputs(output_names(config), "")
        classes = outputs.classes or outputs.space
        read = replace(read, classes=classes, order=outputs.order, notes=outputs.notes)
    found = processor if processor is not None else _own_processor(config)
    if found is None:
        assumed = "it has no image processor, so ImageNet's mean, standard deviation and crop are assumed (processor=…)"
        return replace(read, assumed=(assumed,))
    settings = read_processor(found, config)
    return replace(read, **(settings._asdict() | {"notes": (*read.notes, *settings.notes)}))


def _own_processor(config: Any) -> Any:
    """Load the processor from where a network was loaded, without downloading anything; None if there is none."""
    from transformers import AutoImageProcessor

    try:
        return AutoImageProcessor.from_pretrained(config._name_or_path, local_files_only=True)
    except Exception:  # noqa: BLE001 - transformers raises many types for what is not there
        return None
