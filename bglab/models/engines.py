"""Where the arithmetic runs: torch on any device, or OpenVINO on a processor.

An engine takes RGB images as uint8 and gives logits in float32; normalisation is part of the network it runs,
so that neither the host nor the bus ever handles float images.
"""

from __future__ import annotations

import hashlib
import logging
import os
import threading
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, final

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bglab.errors import BadInput, MissingData
from bglab.files import data_root

EngineName = Literal["auto", "torch", "openvino"]
AmpDtype = Literal["none", "bfloat16", "float16"]

_LOG = logging.getLogger(__name__)
_AMP = {"bfloat16": torch.bfloat16, "float16": torch.float16}


class Normalised(nn.Module):
    """A network that takes uint8 RGB images and normalises them itself.

    Args:
        network: Takes normalised float images.
        mean: Per channel, of images in [0, 1].
        std: Per channel, of images in [0, 1].
        resize: Side in pixels that a fixed-size network insists on; None feeds images as they are.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], resize: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.resize = resize
        # (x / 255 − mean) / std, rearranged so that levels are never divided
        self.register_buffer("shift", 255.0 * torch.tensor(mean).view(1, 3, 1, 1))
        self.register_buffer("scale", 1.0 / (255.0 * torch.tensor(std).view(1, 3, 1, 1)))

    def forward(self, images: Tensor) -> Tensor:
        """Return logits of shape ``n c`` for uint8 images of shape ``n 3 h w``."""
        levels = images.to(self.shift.dtype)
        if self.resize is not None and levels.shape[-1] != self.resize:
            levels = nn.functional.interpolate(
                levels, size=(self.resize, self.resize), mode="bilinear", align_corners=False, antialias=True
            )
        return self.network((levels - self.shift) * self.scale)


class Engine(ABC):
    """Runs one network.

    Attributes:
        name: ``torch`` or ``openvino``.
        precision: ``float32``, ``bfloat16`` or ``float16``.
        device: Where images should lie.
    """

    name: str
    precision: str
    device: torch.device

    @abstractmethod
    def get_ready(self, height: int, width: int) -> None:
        """Do what has to be done once for images of this size, so that it is not counted as speed."""

    @abstractmethod
    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Classify a batch; float32 logits on the processor or the engine's device."""


@final
class TorchEngine(Engine):
    """Torch, channels last; on CUDA with mixed precision and compilation by choice."""

    name = "torch"

    def __init__(
        self, network: Normalised, device: torch.device, amp_dtype: AmpDtype = "none", *, compile_network: bool = False
    ) -> None:
        self.device = device
        self.precision = "float32" if amp_dtype == "none" else amp_dtype
        self._network: Any = network.eval().to(device).to(memory_format=torch.channels_last)
        if compile_network:
            self._network = torch.compile(self._network, dynamic=False)

    def get_ready(self, height: int, width: int) -> None:
        """Run one black image, which starts the device's libraries; a compiled network compiles here."""
        self.logits(torch.zeros(1, 3, height, width, dtype=torch.uint8))

    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Classify a batch on the engine's device."""
        images = images.to(self.device, non_blocking=True).contiguous(memory_format=torch.channels_last)
        mixed = (
            torch.autocast(self.device.type, dtype=_AMP[self.precision]) if self.precision in _AMP else nullcontext()
        )
        with torch.inference_mode(), mixed:
            return self._network(images).float()


@final
class OpenVINOEngine(Engine):
    """OpenVINO on a processor, converted from the torch module in memory; one compilation an image size."""

    name = "openvino"

    def __init__(self, network: Normalised, amp_dtype: AmpDtype = "none", *, key: str = "") -> None:
        if amp_dtype == "float16":
            raise BadInput("expected --amp-dtype none or bfloat16 for OpenVINO on a processor, got float16")
        if not util.find_spec("openvino"):
            raise MissingData(
                'the engine openvino is not installed; run pip install "bglab[cpu]", or use --engine torch'
            )
        self.device = torch.device("cpu")
        self.precision = "float32" if amp_dtype == "none" else amp_dtype
        self._network = network.eval()
        self._key = key
        self._requests: dict[tuple[int, int], Any] = {}
        self._busy = threading.Lock()  # a request serves one caller at a time; widgets and cells may share it

    def get_ready(self, height: int, width: int) -> None:
        """Convert and compile the network for this size, unless that was done."""
        if (height, width) not in self._requests:
            self._requests[height, width] = self._compile(height, width)

    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Classify a batch on the processor."""
        height, width = images.shape[-2:]
        self.get_ready(height, width)
        batch = np.ascontiguousarray(images.cpu().numpy())
        with self._busy:
            answer = self._requests[height, width].infer({0: batch}, share_inputs=True)
            return torch.from_numpy(np.array(answer[0], dtype=np.float32))

    def start_another(
        self, make: Callable[[], nn.Module], examples: Sequence[Tensor], name: str
    ) -> Callable[..., tuple[Tensor, ...]]:
        """Convert and compile a second network over the same weights, such as one that gives feature maps as well.

        Args:
            make: Builds it; called only if no conversion is kept from an earlier session.
            examples: One tensor for each of its inputs; the first dimension stays free, the others are fixed.
            name: What tells it from the engine's own network.

        Returns:
            A function of as many tensors that gives all outputs; it serves one caller at a time.
        """
        shapes = [tuple(example.shape[1:]) for example in examples]
        request = self._start(make, f"{self._key} {name} {shapes}" if self._key else "", examples)
        busy = threading.Lock()

        def run(*inputs: Tensor) -> tuple[Tensor, ...]:
            arrays = [np.ascontiguousarray(given.cpu().numpy()) for given in inputs]
            with busy:
                answer = request.infer(dict(enumerate(arrays)), share_inputs=True)
                return tuple(torch.from_numpy(np.array(value)) for value in answer.to_tuple())

        return run

    def _compile(self, height: int, width: int) -> Any:
        example = torch.zeros(2, 3, height, width, dtype=torch.uint8)
        key = f"{self._key} {height} {width}" if self._key else ""
        return self._start(lambda: self._network, key, [example])

    def _start(self, make: Callable[[], nn.Module], key: str, examples: Sequence[Tensor]) -> Any:
        core = _core()
        # an engine of torch with the same network may have turned its weights round, which backward passes on symbolic
        # sizes cannot be traced through
        self._network.to(memory_format=torch.contiguous_format)
        model = _converted(core, make, key, examples)
        hints = {
            # one stream over all cores: batches come one after another, and a widget's single image is fastest
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "bf16" if self.precision == "bfloat16" else "f32",
        }
        return core.compile_model(model, "CPU", hints).create_infer_request()


@cache
def _core() -> Any:
    """Return OpenVINO's runtime, one for the whole process.

    Each runtime gives the thread a stack for signal handlers and puts back at its end what it found. Where runtimes end
    in another order than they began, that is a stack long gone, and the next interrupt ends the process.
    """
    import openvino

    return openvino.Core()


def _converted(core: Any, make: Callable[[], nn.Module], key: str, examples: Sequence[Tensor]) -> Any:
    """Convert a module, or read the conversion kept from an earlier session (seconds become milliseconds)."""
    import openvino

    name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    kept = data_root() / "cache" / "engines" / f"openvino-{metadata.version('openvino')}-{name}.xml"
    if key and kept.is_file():
        try:
            return core.read_model(kept)
        except RuntimeError as problem:
            _LOG.warning("converting again, since %s cannot be read: %s", kept, problem)
    shapes = [[-1, *example.shape[1:]] for example in examples]
    with torch.no_grad(), warnings.catch_warnings(), _logging_kept():
        warnings.simplefilter("ignore")  # the converter traces, which torch announces as deprecated
        model = openvino.convert_model(make(), example_input=tuple(examples), input=shapes)
    if key:
        _keep(openvino, model, kept)
    return model


@contextmanager
def _logging_kept() -> Iterator[None]:
    """Put the root logger back: a conversion that fails leaves it at errors only, for everybody in the process."""
    root = logging.getLogger()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


def _keep(openvino: Any, model: Any, kept: Path) -> None:
    """Keep a conversion for the next session; a cache that cannot be written costs time, not the run."""
    scratch = kept.with_name(f".{os.getpid()}-{kept.name}")
    try:
        kept.parent.mkdir(parents=True, exist_ok=True)
        openvino.save_model(model, scratch, compress_to_fp16=False)
        scratch.with_suffix(".bin").replace(kept.with_suffix(".bin"))
        scratch.replace(kept)
    except (OSError, RuntimeError) as problem:
        _LOG.warning("the converted network could not be kept in %s: %s", kept.parent, problem)


@dataclass(frozen=True)
class EngineChoice:
    """How to run networks; every field has timm's name where timm has one.

    Attributes:
        engine: ``auto`` takes torch on CUDA and MPS, and OpenVINO on a processor if it is installed.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        amp_dtype: ``none`` is float32, which is what reported numbers need.
        torchcompile: Compile the network (torch only; the first batch takes a minute).
    """

    engine: EngineName = "auto"
    device: str = "auto"
    amp_dtype: AmpDtype = "none"
    torchcompile: bool = False

    @property
    def precision(self) -> str:
        """Name of the arithmetic's precision, as results state it."""
        return "float32" if self.amp_dtype == "none" else self.amp_dtype

    def start(self, network: Normalised, key: str = "") -> Engine:
        """Start an engine for a network.

        Args:
            network: What to run.
            key: Identity of architecture and weights, under which a conversion may be kept; "" keeps none.

        Raises:
            BadInput: If the choice cannot be had on this machine.
        """
        device = pick_device(self.device)
        name = self.engine
        if name == "auto":
            name = "openvino" if device.type == "cpu" and util.find_spec("openvino") else "torch"
        if name == "openvino":
            if device.type != "cpu":
                raise BadInput(f"expected --device cpu for the engine openvino, got {device}; use --engine torch")
            return OpenVINOEngine(network, self.amp_dtype, key=key)
        if name == "torch":
            return TorchEngine(network, device, self.amp_dtype, compile_network=self.torchcompile)
        raise BadInput(f"expected the engine auto, torch or openvino, got '{name}'")


def pick_device(name: str) -> torch.device:
    """Turn a name into a device that is here; ``auto`` prefers CUDA, then MPS.

    Raises:
        BadInput: If there is no such device on this machine.
    """
    if name == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda")
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise BadInput(f"expected a device such as auto, cpu, cuda:0 or mps, got '{name}'") from None
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not here.get(device.type, False) or (device.index or 0) >= max(1, torch.cuda.device_count()):
        raise BadInput(f"expected a device of this machine, got '{name}', which is not here; use --device auto")
    return device
