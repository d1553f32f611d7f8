"""``clip:ARCH/PRETRAINED``: zero-shot classification by open_clip, whose text embeddings become a linear head."""

from __future__ import annotations

import importlib.util
import logging
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple, final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from bglab.cache_entries import CacheEntry
from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.files import sha256_of
from bglab.images import CropMode
from bglab.models.architectures import near_names
from bglab.models.downloads import Download, load_weights, of_address, of_hub
from bglab.models.engines import restored_logging
from bglab.models.sources._prompts import Prompts, make_prompts
from bglab.models.weights import Weights, json_digest, state_digest

_LOG = logging.getLogger(__name__)

_EMBEDDINGS = "embeddings.npy"

#: Prompts that the text tower encodes at once.
_BATCH = 256
#: Open_clip's modes of resizing in timm's words.
_CROP_MODES: dict[str, CropMode] = {"shortest": "center", "squash": "squash", "longest": "border"}


@final
class ZeroShot(nn.Module):
    """The image tower of a CLIP with the embeddings of class prompts as a linear head.

    Args:
        visual: Image tower; takes normalised images and returns embeddings, alone or first of several results.
        embeddings: Normalised embedding of each class, ``c k``.
        scale: Factor of the cosine similarities.
        shift: Number added to each logit, as in SigLIP.
    """

    def __init__(self, visual: nn.Module, embeddings: Tensor, scale: float, shift: float = 0.0) -> None:
        super().__init__()
        self.visual = visual
        self.head = nn.Linear(embeddings.shape[1], embeddings.shape[0])
        with torch.no_grad():
            self.head.weight.copy_(embeddings * scale)
            self.head.bias.fill_(shift)

    def forward(self, images: Tensor) -> Tensor:
        """Return scaled cosine similarities of images and classes, shape ``n c``."""
        features = self.visual(images)
        if isinstance(features, (tuple, list)):
            features = features[0]
        return self.head(normalize(features, dim=-1))


class _Source(NamedTuple):
    """Where a CLIP is: its URI for messages, its architecture, its tag, and the file of its weights, if it is here."""

    uri: str
    architecture: str
    tag: str
    file: Path | None


def open_weights(path: str, *, prompts: str = "", classes: str = "") -> Weights:
    """Load a CLIP of open_clip and make a classifier of it by embedding prompts for each class.

    Embeddings of many prompts take minutes on a CPU; they are cached on disk.

    Args:
        path: Architecture and pretrained tag as in open_clip (``ViT-B-32/laion2b_s34b_b79k``), architecture and path of
            a checkpoint (``ViT-B-32//home/me/epoch_5.pt``), or a folder with open_clip_config.json and weights.
        prompts: Text, CSV or JSON file with templates (``a photo of a {}.``) or prompts per class; by default the 80
            templates that OpenAI wrote for ImageNet.
        classes: ``imagenet`` or ``in9``; by default the classes of ``prompts``, or ImageNet's.

    Raises:
        MissingData: If open_clip is not installed, or files are not on this machine and cannot be downloaded.
        UnknownName: If architecture or tag is unknown; the message lists the known ones.
        BadInput: If a checkpoint or the prompts cannot be used.
    """
    if not importlib.util.find_spec("open_clip"):
        raise MissingData(f'clip:{path} needs open_clip, which is not installed; run pip install "bglab[clip]"')
    with _quiet():
        source = _locate(path)
        written = make_prompts(prompts, classes)
        model, tokenizer, notes = _load(source)
        embeddings = _embedded(source, model, tokenizer, written)
    return _weights(source, model, embeddings, written, notes)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep open_clip from configuring the root logger and from warning about what notes tell."""
    with restored_logging(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _locate(path: str) -> _Source:
    """Tell a folder, an architecture with a checkpoint, and an architecture with a tag."""
    import open_clip

    folder = Path(path).expanduser()
    if (folder / "open_clip_config.json").is_file():
        return _Source(f"clip:{path}", f"local-dir:{folder}", "", _checkpoint_in(folder))
    known = open_clip.list_models()
    parts = path.split("/")
    # some write ViT-B/32 for ViT-B-32
    heads = [("-".join(parts[:count]), "/".join(parts[count:])) for count in range(1, len(parts) + 1)]
    architecture, tag = next(((head, rest) for head, rest in heads if head in known), ("", ""))
    if not architecture:
        raise UnknownName(unknown_name("open_clip architecture", parts[0], near_names(parts[0], known)))
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    file = Path(tag).expanduser()
    if tag and file.is_file():
        return _Source(f"clip:{path}", architecture, "", file)
    if tag in tags:
        return _Source(f"clip:{path}", architecture, tag, None)
    if "/" in tag or file.suffix in {".pt", ".pth", ".bin", ".safetensors"}:
        raise MissingData(
            f"expected a checkpoint at {file}, but there is none; give clip:{architecture}/PATH of a file of open_clip"
        )
    listed = [f"clip:{architecture}/{each}" for each in tags] or ["none"]
    raise UnknownName(
        f"'clip:{path}' does not say which weights; add the path of a checkpoint, clip:{architecture}/PATH, or one of "
        f"open_clip's: {', '.join(listed)}"
    )


def _checkpoint_in(folder: Path) -> Path:
    """Find the weights in a folder by the names that open_clip gives them."""
    for name in (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.bin",
        "model.safetensors",
        "pytorch_model.bin",
    ):
        if (folder / name).is_file():
            return folder / name
    raise MissingData(f"expected open_clip_model.safetensors in {folder}, but there are no weights in it; add them")


def _load(source: _Source) -> tuple[Any, Any, tuple[str, ...]]:
    """Load model and tokenizer, and note what is doubtful about the weights."""
    if not source.tag:
        return _load_file(source)
    import open_clip

    config = open_clip.pretrained.get_pretrained_cfg(source.architecture, source.tag)
    download = _describe(source, config)

    def load() -> tuple[Any, Any]:
        # a path, else the hub is asked each time whether it has a newer file
        file = str(download.file or open_clip.pretrained.download_pretrained(config))
        return _create(source.architecture, file, config), open_clip.get_tokenizer(source.architecture)

    model, tokenizer = load_weights(download, load)
    own = bool((open_clip.get_model_config(source.architecture) or {}).get("quick_gelu", False))
    if own == bool(config.get("quick_gelu", False)):
        return model, tokenizer, ()
    trained, right = ("GELU", "the architecture without quickgelu") if own else ("QuickGELU", "its -quickgelu version")
    note = f"the weights were trained with {trained}, which {source.architecture} does not compute; choose {right}"
    return model, tokenizer, (note,)


def _describe(source: _Source, config: dict[str, Any]) -> Download:
    """Describe the file of a tag, on the hub or at an address."""
    repository, _, filename = str(config.get("hf_hub", "")).rpartition("/")
    if not repository:
        address = of_address(source.uri, str(config.get("url", "")))
        folder = Path("~/.cache/clip").expanduser()  # where open_clip puts it
        file = folder / Path(address.address).name
        return replace(address, folder=folder, setting="HOME", file=file if file.is_file() else None)
    names = [filename] if filename else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    names += [re.sub(r"\.(bin|pth)$", ".safetensors", name) for name in names]
    found = [of_hub(source.uri, repository, name) for name in dict.fromkeys(names)]
    return next((each for each in found if each.file), found[0])


def _create(architecture: str, file: str | None, config: dict[str, Any] | None = None) -> Any:
    """Create a model with the weights of a file and the preprocessing that belongs to its tag."""
    import open_clip

    kept = ("mean", "std", "interpolation", "resize_mode")
    preprocessing = {name: config[name] for name in kept if config and name in config}
    model: Any = open_clip.create_model(architecture, pretrained=file, force_preprocess_cfg=preprocessing)
    return model.eval()


def _load_file(source: _Source) -> tuple[Any, Any, tuple[str, ...]]:
    """Load a checkpoint on this machine."""
    import open_clip

    is_folder = source.architecture.startswith("local-dir:")
    try:
        model = _create(source.architecture, None if is_folder else str(source.file))
    except Exception as problem:  # noqa: BLE001 - torch and safetensors raise many types for a file that is none
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise BadInput(
            f"expected the weights of {source.architecture} in {source.file}, but they cannot be loaded ({reason}); "
            "choose the architecture that they were trained with"
        ) from None
    try:
        tokenizer = open_clip.get_tokenizer(source.architecture)
    except Exception as problem:  # noqa: BLE001 - tokenizers come from several libraries
        reason = " ".join(str(problem).split())[:200] or type(problem).__name__
        raise MissingData(
            f"the tokenizer of {source.architecture} is not on this machine and could not be fetched ({reason}); "
            "go online once, or give a folder with open_clip_config.json, the tokenizer and the weights: clip:FOLDER"
        ) from None
    note = f"preprocessing and activation are those of {source.architecture}, since a checkpoint does not name its own"
    return model, tokenizer, () if is_folder else (note,)


def _embedded(source: _Source, model: Any, tokenizer: Any, prompts: Prompts) -> Tensor:
    """Embed the prompts of each class, or read the embeddings from the cache."""
    digest = json_digest(
        [state_digest(model), prompts.digest, _configuration(source), metadata.version("open_clip_torch")]
    )
    entry = CacheEntry(f"text_embeddings/{digest}", digest, "embeddings of prompts")
    found = entry.find()
    if found is not None:
        return torch.from_numpy(np.load(found / _EMBEDDINGS, allow_pickle=False))
    embeddings = embed(model.encode_text, tokenizer, prompts.texts)
    try:
        with entry.make() as folder:
            np.save(folder / _EMBEDDINGS, embeddings.numpy())
    except BadInput as problem:
        _LOG.warning("%s", problem)
    return embeddings


def _configuration(source: _Source) -> Any:
    """Return the configuration of an architecture, which determines what the weights compute."""
    import open_clip

    folder = source.architecture.removeprefix("local-dir:")
    if folder != source.architecture:
        return (Path(folder) / "open_clip_config.json").read_text(encoding="utf-8")
    return open_clip.get_model_config(source.architecture)


def embed(
    encode: Callable[[Tensor], Tensor], tokenizer: Callable[[list[str]], Tensor], texts: tuple[tuple[str, ...], ...]
) -> Tensor:
    """Compute the normalised mean of the normalised embeddings of each class's prompts.

    Args:
        encode: Text tower, tokens → embeddings.
        tokenizer: Turns texts into tokens.
        texts: Prompts of each class.

    Returns:
        One row per class.
    """
    flat = [text for each in texts for text in each]
    if len(flat) > 10 * _BATCH:
        _LOG.info("embedding %d prompts, which are cached for the next time", len(flat))
    with torch.inference_mode():
        rows = [
            normalize(encode(tokenizer(flat[start : start + _BATCH])).float(), dim=-1)
            for start in range(0, len(flat), _BATCH)
        ]
        classes = torch.cat(rows).split([len(each) for each in texts])
        return torch.stack([normalize(each.mean(0), dim=0) for each in classes]).clone()


def _weights(source: _Source, model: Any, embeddings: Tensor, prompts: Prompts, notes: tuple[str, ...]) -> Weights:
    """Put image tower and head together, and describe them with open_clip's preprocessing."""
    config: dict[str, Any] = model.visual.preprocess_cfg
    size = config["size"]
    height, width = size if isinstance(size, (tuple, list)) else (size, size)
    if height != width:
        raise BadInput(f"expected a CLIP of square images in {source.uri}, got {width} × {height}; choose another")
    mode = config.get("resize_mode") or "shortest"
    mean, std = tuple(map(float, config["mean"])), tuple(map(float, config["std"]))
    if mode == "longest":
        fill = int(config.get("fill_color", 0))
        notes = (*notes, f"at full resolution, images are padded with the mean, where open_clip pads with level {fill}")
    bias = getattr(model, "logit_bias", None)
    network = ZeroShot(
        model.visual,
        embeddings,
        float(model.logit_scale.detach().exp()),
        0.0 if bias is None else float(bias.detach()),
    )
    return Weights(
        network=network.float(),
        name=source.uri.removeprefix("clip:"),
        tag=source.tag,
        mean=mean,
        std=std,
        input_size=int(height),
        space=prompts.space or source.uri,
        classes=prompts.classes,
        crop_pct=1.0,
        interpolation="bilinear" if config.get("interpolation") == "bilinear" else "bicubic",
        crop_mode=_CROP_MODES[mode],
        file_sha256=sha256_of(source.file)[:16] if source.file else "",
        notes=(*prompts.notes, *notes),
        code_sha256=json_digest(_configuration(source)),
    )
