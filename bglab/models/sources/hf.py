"""``hf:NAME_OR_FOLDER``: image classifiers of transformers with their image processor, from a folder or the hub."""

from __future__ import annotations

import importlib.util
import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from bglab.errors import EXPECTED_ERRORS, BadInput, MissingData
from bglab.files import sha256_of
from bglab.models.adapters import Flipped, LogitsOf, Reordered
from bglab.models.downloads import Download, load_weights, of_hub
from bglab.models.sources._outputs import read_outputs
from bglab.models.sources._processors import ProcessorSettings, read_processor
from bglab.models.weights import Weights, json_digest

__all__ = ["ProcessorSettings", "open_weights", "output_names", "read_outputs", "read_processor"]

_WEIGHTS = ("model.safetensors", "pytorch_model.bin")
_PROCESSORS = ("preprocessor_config.json", "processor_config.json")

#: Entries of a configuration that say where it is from.
_NOT_COMPUTED = {"_name_or_path", "transformers_version"}


class _Loaded(NamedTuple):
    """What transformers loads."""

    config: Any
    model: nn.Module
    processor: Any


class _Place(NamedTuple):
    """Where a classifier is: its URI for messages, folder or name, and what is passed to each call of transformers."""

    uri: str
    path: str
    options: dict[str, Any]
    processor: str

    @property
    def folder(self) -> Path:
        return Path(self.path) / self.options["subfolder"]


def open_weights(path: str, *, revision: str = "", subfolder: str = "", processor: str = "") -> Weights:
    """Load an image classifier that `save_pretrained` of transformers wrote.

    Code that a repository brings along is never run.

    Args:
        path: Folder on this machine, or name on the Hugging Face Hub (``microsoft/resnet-50``).
        revision: Branch, tag or commit on the hub; "" stands for the default branch.
        subfolder: Folder in the folder or repository.
        processor: Folder or name that the image processor is loaded from, if the classifier comes without one.

    Raises:
        MissingData: If transformers is not installed, the folder does not exist, or the weights are not on this machine
            and cannot be downloaded.
        BadInput: If it is no image classifier of RGB images, has the classes of ImageNet-21k, or cannot be read.
    """
    if not importlib.util.find_spec("transformers"):
        raise MissingData(f'hf:{path} needs transformers, which is not installed; run pip install "bglab[hf]"')
    place = _locate(path, revision, subfolder, processor)
    loaded = _in_words(place) if place.options["local_files_only"] else _of_hub(place)
    return _weights(place, loaded)


def _locate(path: str, revision: str, subfolder: str, processor: str) -> _Place:
    """Tell folders from names on the hub."""
    folder = Path(path).expanduser()
    options: dict[str, Any] = {"subfolder": subfolder, "trust_remote_code": False, "local_files_only": folder.is_dir()}
    if revision:
        options["revision"] = revision
    if folder.is_dir():
        place = _Place(f"hf:{path}", str(folder), options, processor or str(folder))
        if not (place.folder / "config.json").is_file():
            raise MissingData(
                f"expected a folder that save_pretrained of transformers wrote at {place.folder}, but it has no "
                "config.json; for checkpoints of torch, use file:PATH"
            )
        return place
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(path)
        is_name = not path.startswith((".", "/", "~")) and not folder.exists()
    except HFValidationError:
        is_name = False
    if not is_name:
        found = "a file" if folder.is_file() else "nothing"
        raise MissingData(
            f"expected a folder with config.json and model.safetensors at {folder}, or a name on the Hugging Face Hub "
            f"such as hf:microsoft/resnet-50, but there is {found}; give hf:FOLDER"
        )
    return _Place(f"hf:{path}", path, options, processor or path)


def _of_hub(place: _Place) -> _Loaded:
    """Load from the hub's cache, or download after asking the hub once whether it answers."""
    download, config = _describe(place, *_WEIGHTS), _describe(place, "config.json")
    processor_known = (
        place.processor != place.path or _describe(place, *_PROCESSORS).file or _holds_processor(config.file)
    )
    if not (config.file and processor_known):
        download = replace(download, file=None)
    if download.file is not None:
        place.options["local_files_only"] = True
    return load_weights(download, lambda: _load(place))


def _describe(place: _Place, *names: str) -> Download:
    """Describe the first of some files that is in the hub's cache, or the first if none is."""
    revision, subfolder = place.options.get("revision", ""), place.options["subfolder"]
    repository = f"{place.path}@{revision}" if revision else place.path
    found = [of_hub(place.uri, repository, f"{subfolder}/{name}" if subfolder else name) for name in names]
    return next((each for each in found if each.file), found[0])


def _holds_processor(config: Path | None) -> bool:
    """Return whether a configuration is one of timm, which needs no file for the processor."""
    try:
        return config is not None and "pretrained_cfg" in json.loads(config.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False


def _in_words(place: _Place) -> _Loaded:
    """Load from a folder; what transformers raises becomes a sentence."""
    try:
        return _load(place)
    except EXPECTED_ERRORS:
        raise
    except Exception as problem:  # noqa: BLE001 - transformers and safetensors raise many types
        reason = _first_line(problem)
        # with an error number it is the disk's, without one it is what transformers raises for any missing file
        kind = MissingData if isinstance(problem, OSError) and problem.errno else BadInput
        raise kind(
            f"expected an image classifier of transformers in {place.folder}, but it cannot be loaded ({reason}); "
            "save it again with model.save_pretrained(folder) and processor.save_pretrained(folder)"
        ) from None


def _first_line(problem: Exception) -> str:
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()]
    return lines[0].rstrip(".")[:200] if lines else type(problem).__name__


def _load(place: _Place) -> _Loaded:
    """Load configuration, processor and weights, in this order: a refusal costs no download of weights."""
    from transformers import AutoConfig, AutoModelForImageClassification

    with _quiet(bars=not place.options["local_files_only"]):
        _check_kind(place)
        try:
            config = AutoConfig.from_pretrained(place.path, **place.options)
        except OSError as problem:
            raise _refused_by_hub(place, problem) from None
        _check_config(place, config)
        processor = _load_processor(place)
        model, report = AutoModelForImageClassification.from_pretrained(
            place.path, config=config, output_loading_info=True, **place.options
        )
    absent = sorted(report["missing_keys"])
    if absent:
        raise BadInput(
            f"expected the weights of an image classifier in {place.uri}, but {len(absent)} of its tensors are not in "
            f"the file ({', '.join(absent[:3])}{' …' if len(absent) > 3 else ''}): it is a network without a head, or "
            f"of another task; choose one fine-tuned for classification{_instead(config.model_type)}"
        )
    return _Loaded(config, model, processor)


def _instead(model_type: str) -> str:
    return ", or clip:ARCH/PRETRAINED for zero-shot" if "clip" in model_type else ""


def _check_kind(place: _Place) -> None:
    """Refuse what is no image classifier by its configuration alone."""
    from transformers import PretrainedConfig
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES

    try:
        options = {name: value for name, value in place.options.items() if name != "trust_remote_code"}
        content, _ = PretrainedConfig.get_config_dict(place.path, **options)
    except OSError as problem:
        raise _refused_by_hub(place, problem) from None
    model_type = str(content.get("model_type") or ("timm_wrapper" if "pretrained_cfg" in content else ""))
    if model_type in MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES and model_type != "imagegpt":
        return
    named = ", ".join(content.get("architectures") or [])
    if content.get("auto_map"):
        raise BadInput(
            f"expected a classifier that transformers itself knows in {place.uri}, but it needs code of its own "
            f"({named or model_type}), which bglab never runs; load it yourself and pass it to bglab.classifier"
        )
    if not model_type:
        raise BadInput(
            f"expected a configuration of transformers with a model_type in {place.uri}, but it has none; "
            "for checkpoints of torch, use file:PATH"
        )
    raise BadInput(
        f"expected an image classifier of transformers in {place.uri}, got the type '{model_type}'"
        f"{f' ({named})' if named else ''}, which transformers does not load as one; choose a ViT, ResNet, ConvNeXt, "
        "Swin … that was fine-tuned for classification"
    )


def _check_config(place: _Place, config: Any) -> None:
    """Refuse networks whose outputs or inputs cannot be used, before their weights are loaded."""
    read_outputs(output_names(config), place.uri)
    if getattr(config, "quantization_config", None):
        raise BadInput(
            f"expected weights in float32, float16 or bfloat16 in {place.uri}, got quantised ones; "
            "choose the weights that they were made from"
        )
    if config.num_labels < 2:
        raise BadInput(f"expected a classifier of at least two classes in {place.uri}, got {config.num_labels} output")
    channels = getattr(config, "num_channels", 3)
    if channels != 3:
        raise BadInput(f"expected a classifier of RGB images in {place.uri}, got one of {channels} channels")


def output_names(config: Any) -> list[str]:
    """Return the names of the outputs in their order."""
    named = {int(index): str(name) for index, name in (config.id2label or {}).items()}
    return [named.get(index, f"LABEL_{index}") for index in range(config.num_labels)]


def _load_processor(place: _Place) -> Any:
    """Load the image processor."""
    from transformers import AutoImageProcessor

    options = dict(place.options)
    if place.processor != place.path:
        options = {"trust_remote_code": False, "local_files_only": Path(place.processor).expanduser().is_dir()}
    try:
        return AutoImageProcessor.from_pretrained(str(Path(place.processor).expanduser()), **options)
    except (OSError, ValueError) as problem:
        if isinstance(problem, OSError) and not options["local_files_only"]:
            raise _refused_by_hub(place, problem) from None
        raise MissingData(
            f"expected an image processor with {place.uri}, but none can be loaded from {place.processor} "
            f"({_first_line(problem)}); save it with processor.save_pretrained(folder), or name another: "
            f"{place.uri}?processor=NAME_OR_FOLDER"
        ) from None


def _refused_by_hub(place: _Place, problem: OSError) -> Exception:
    """Return what to raise for an error of the hub: the terms that have to be accepted, or the error itself."""
    said = str(problem).casefold()
    if "gated" in said:
        return MissingData(
            f"{place.uri} is gated; accept its terms at https://huggingface.co/{place.path} and run hf auth login"
        )
    if "not a valid model identifier" in said or "is not a local folder" in said:
        return MissingData(
            f"expected a name on the Hugging Face Hub, but it has no public model '{place.path}'; check the name, or "
            "run hf auth login if it is private"
        )
    return problem


@contextmanager
def _quiet(*, bars: bool) -> Iterator[None]:
    """Silence what transformers logs and warns about; progress bars stay for downloads."""
    from transformers.utils import logging

    level, shown = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    if not bars:
        logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.set_verbosity(level)
        if shown and not bars:
            logging.enable_progress_bar()


def _weights(place: _Place, loaded: _Loaded) -> Weights:
    """Wrap the network so that it returns logits in the order of its label space, and describe it."""
    config, model = loaded.config, loaded.model
    with _quiet(bars=False):
        settings = read_processor(loaded.processor, config)
    outputs = read_outputs(output_names(config), place.uri)
    notes = [*settings.notes, *outputs.notes]
    stored = {str(tensor.dtype) for tensor in model.parameters()} | {str(_stored_dtype(config))}
    half = [name.removeprefix("torch.") for name in sorted(stored) if name in {"torch.float16", "torch.bfloat16"}]
    if half:
        notes.append(f"its weights are stored as {' and '.join(half)} and computed with as float32")
    network: nn.Module = LogitsOf(_convertible(model.to(torch.float32)))
    if settings.flips_channels:
        network = Flipped(network)
    if outputs.order is not None:
        network = Reordered(network, outputs.order)
    file = next((place.folder / name for name in _WEIGHTS if (place.folder / name).is_file()), None)
    return Weights(
        network=network,
        name=place.path if not Path(place.path).is_dir() else place.uri.removeprefix("hf:"),
        tag=_commit(place),
        mean=settings.mean,
        std=settings.std,
        input_size=settings.input_size,
        space=outputs.space,
        classes=outputs.classes,
        crop_pct=settings.crop_pct,
        interpolation=settings.interpolation,
        crop_mode=settings.crop_mode,
        file_sha256=sha256_of(file)[:16] if file else "",
        notes=tuple(notes),
        code_sha256=_digest(config),
    )


def _commit(place: _Place) -> str:
    """Return the commit of a repository in the hub's cache, first 12 hexadecimal digits; "" for a folder."""
    file = None if Path(place.path).is_dir() else _describe(place, "config.json").file
    if file is None or "snapshots" not in file.parts:
        return ""
    return file.parts[len(file.parts) - file.parts[::-1].index("snapshots")][:12]


def _digest(config: Any) -> str:
    """Compute the SHA-256 of a configuration, which determines what the weights compute; 16 hexadecimal digits."""
    content = {name: value for name, value in config.to_dict().items() if name not in _NOT_COMPUTED}
    return json_digest(content)


def _convertible(model: nn.Module) -> nn.Module:
    """Replace EfficientNet's pooling, whose window is larger than its map, by the mean, which OpenVINO converts."""
    base = getattr(model, "efficientnet", None)
    if base is not None and isinstance(base.pooler, nn.AvgPool2d):
        base.pooler = nn.AdaptiveAvgPool2d(1)
    return model


def _stored_dtype(config: Any) -> Any:
    """Return the type of the stored weights, whose name changed with transformers 4.56."""
    return getattr(config, "dtype", None) or config.__dict__.get("torch_dtype")
