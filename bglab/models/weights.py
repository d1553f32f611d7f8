"""Weights as a source hands them over: a network with its preprocessing and, if they are known, its classes."""

from __future__ import annotations

import hashlib
import json
from typing import Any, NamedTuple

import torch
from torch import nn

from bglab.images import CropMode, Interpolation


class Weights(NamedTuple):
    """A network with its weights and their metadata.

    Attributes:
        network: Takes normalised images ``n 3 h w`` and returns logits ``n c``, on the CPU.
        name: Architecture, path or name.
        tag: Tag of the weights among those of the architecture.
        mean: Mean per channel, for images in [0, 1].
        std: Standard deviation per channel, for images in [0, 1].
        input_size: Side of the evaluation images in pixels.
        space: Label space of the logits; "" lets their number determine it.
        classes: Names of the classes of the logits; () for those of a named space.
        crop_pct: Fraction of the resized image's short side that the evaluation crop keeps, in (0, 1].
        interpolation: Resampling filter of the evaluation's resize.
        crop_mode: Crop mode of the evaluation, as in timm.
        file_sha256: SHA-256 of the checkpoint's file, first 16 hexadecimal digits; "" for weights of a library.
        query: Options of the URI, without which the same weights would not be loaded.
        notes: What was read off the weights or assumed about them, one sentence each.
        code_sha256: SHA-256 of the code of a network's own classes, or of the configuration by which a library builds
            it, first 16 hexadecimal digits; "" if the weights and the versions of libraries determine what it computes.
    """

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
    query: str = ""
    notes: tuple[str, ...] = ()
    code_sha256: str = ""


def state_digest(network: nn.Module) -> str:
    """Compute the SHA-256 of a network's tensors, names and values; 16 hexadecimal digits."""
    hashed = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        hashed.update(name.encode())
        hashed.update(tensor.detach().cpu().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return hashed.hexdigest()[:16]


def text_digest(text: str) -> str:
    """Compute the SHA-256 of a text; 16 hexadecimal digits."""
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def json_digest(content: Any) -> str:
    """Compute the SHA-256 of values as JSON writes them, in any order of their names; 16 hexadecimal digits."""
    return text_digest(json.dumps(content, sort_keys=True, default=str))
