"""Engines that run networks: torch on any device, or OpenVINO on a CPU.

An engine takes RGB images as uint8 and returns logits in float32; normalisation is part of the network, so that only
bytes are transferred to the device.
"""

from __future__ import annotations

import hashlib
import logging
import sys
import tempfile
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import metadata, util
from pathlib import Path
from typing import Any, Literal, final

import torch
from jaxtyping import Float, UInt8
from torch import Tensor, nn

from bglab.cache_entries import CacheEntry, remove_entry
from bglab.errors import BadInput, MissingData
from bglab.models.cuda_streams import upload
from bglab.models.precision import AmpDtype, arithmetic, check_precision, precision_of
from bglab.models.throughput import MANY, Compiled

EngineName = Literal["auto", "torch", "openvino"]

_LOG = logging.getLogger(__name__)

#: File of a cached conversion; its weights are beside it, with the suffix ``.bin``.
_CONVERSION = "network.xml"


class Normalised(nn.Module):
    """A network that takes uint8 RGB images and normalises them itself.

    Args:
        network: Takes normalised float images.
        mean: Mean per channel, for images in [0, 1].
        std: Standard deviation per channel, for images in [0, 1].
        resize: Side in pixels to resize to, for networks of fixed input size; None does not resize.
    """

    shift: Tensor
    scale: Tensor

    def __init__(
        self, network: nn.Module, mean: Sequence[float], std: Sequence[float], resize: int | None = None
    ) -> None:
        super().__init__()
        self.network = network
        self.resize = resize
        # (x / 255 − mean) / std, rearranged to one subtraction and one multiplication
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


#: A network, or a function that loads it at its first call and returns the same one at the others.
Loadable = Normalised | Callable[[], Normalised]


def loaded(network: Loadable) -> Normalised:
    """Return a network, which is loaded first if need be."""
    return network if isinstance(network, Normalised) else network()


class Engine(ABC):
    """Runs the forward pass of one network.

    Attributes:
        name: ``torch`` or ``openvino``.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        device: Device on which images should be rendered.
        deterministic: Whether slower algorithms are chosen where the fastest does not return the same bits each time.
    """

    name: str
    precision: str
    device: torch.device
    deterministic: bool = False

    @abstractmethod
    def get_ready(self, height: int, width: int, count: int = 1) -> None:
        """Do the one-time work for images of this size, such as compilation, so that it is not timed.

        Args:
            height: Height of the images in pixels.
            width: Width of the images in pixels.
            count: Number of images to expect; for many, an engine may spend some seconds on finding what is fastest.
        """

    @abstractmethod
    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Compute the logits of a batch in float32, on the CPU or the engine's device."""

    def begin(self, images: UInt8[Tensor, "n 3 h w"]) -> Callable[[], Float[Tensor, "n c"]]:
        """Begin to compute the logits of a batch, and return a function that waits for them.

        An engine is busy all the time if the next batch begins before the logits of this one are waited for.

        Args:
            images: Batch that must not be changed until its logits are there.
        """
        logits = self.logits(images)  # launched, not finished, on a GPU
        return lambda: logits


@final
class TorchEngine(Engine):
    """Torch in channels-last layout, optionally with mixed precision and `torch.compile`."""

    name = "torch"

    def __init__(
        self,
        network: Normalised,
        device: torch.device,
        amp_dtype: AmpDtype = "none",
        *,
        compile_network: bool = False,
        deterministic: bool = False,
    ) -> None:
        check_precision(amp_dtype, device)
        self.device = device
        self.deterministic = deterministic and device.type == "cuda"  # elsewhere, all algorithms are
        self.precision = precision_of(amp_dtype)
        self._network: Any = network.eval().to(device).to(memory_format=torch.channels_last)
        if compile_network:
            self._network = torch.compile(self._network, dynamic=False)

    def get_ready(self, height: int, width: int, count: int = 1) -> None:
        """Run one black image, which initialises the device's libraries and compiles the network if requested.

        Raises:
            BadInput: If a single image does not fit on the device.
        """
        try:
            self.logits(torch.zeros(1, 3, height, width, dtype=torch.uint8))
        except torch.cuda.OutOfMemoryError:
            raise BadInput(
                f"expected the network to fit on {self.device}, but a single image of {width} × {height} pixels runs "
                "out of its memory; use --device cpu"
            ) from None

    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Compute the logits of a batch on the engine's device."""
        images = upload(images, self.device).contiguous(memory_format=torch.channels_last)
        with torch.inference_mode(), arithmetic(self.device, self.precision, deterministic=self.deterministic):
            return self._network(images).float()


@final
class OpenVINOEngine(Engine):
    """OpenVINO on a CPU, converted from the torch module in memory and compiled once per image size.

    Args:
        network: Network to run, or what loads it if there is no cached conversion.
        amp_dtype: ``none`` or ``bfloat16``.
        key: Identity of architecture and weights, under which conversions are cached on disk; "" caches none.

    Raises:
        BadInput: If the precision is float16 or tf32.
        MissingData: If OpenVINO is not installed.
    """

    name = "openvino"

    def __init__(self, network: Loadable, amp_dtype: AmpDtype = "none", *, key: str = "") -> None:
        if amp_dtype not in {"none", "bfloat16"}:
            raise BadInput(f"expected --amp-dtype none or bfloat16 for OpenVINO on a processor, got {amp_dtype}")
        if not util.find_spec("openvino"):
            raise MissingData(
                'the engine openvino is not installed; run pip install "bglab[cpu]", or use --engine torch'
            )
        self.device = torch.device("cpu")
        self.precision = precision_of(amp_dtype)
        self._network = network
        self._key = key
        self._compiled: dict[tuple[int, int], Compiled] = {}

    def get_ready(self, height: int, width: int, count: int = 1) -> None:
        """Convert and compile the network for this size on the first call, and for many images once these follow."""
        compiled = self.compiled(height, width)
        if count >= MANY:
            compiled.choose_setting([noise_images(height, width).numpy()])

    def compiled(self, height: int, width: int) -> Compiled:
        """Return the network compiled for this size in pixels; it is converted and compiled on the first call."""
        if (height, width) not in self._compiled:
            example = torch.zeros(2, 3, height, width, dtype=torch.uint8)
            key = f"{self._key} {height} {width}" if self._key else ""
            self._compiled[height, width] = self._compile(lambda: loaded(self._network), key, [example])
        return self._compiled[height, width]

    def logits(self, images: UInt8[Tensor, "n 3 h w"]) -> Float[Tensor, "n c"]:
        """Compute the logits of a batch on the CPU."""
        return self.begin(images)()

    def begin(self, images: UInt8[Tensor, "n 3 h w"]) -> Callable[[], Float[Tensor, "n c"]]:
        """Begin to compute the logits of a batch; if these are few, they are there when this returns."""
        waiting = self.compiled(*images.shape[-2:]).begin([images.cpu().numpy()])
        return lambda: torch.from_numpy(waiting()[0]).float()

    def start_another(self, make: Callable[[], nn.Module], examples: Sequence[Tensor], name: str) -> Compiled:
        """Convert and compile another network with the same weights, such as one that also returns feature maps.

        Args:
            make: Builds the network; called only if no conversion of it is cached.
            examples: One tensor per input; the first dimension stays dynamic, the others are fixed.
            name: Distinguishes its cached conversion from others of the same weights.
        """
        shapes = [tuple(example.shape[1:]) for example in examples]
        return self._compile(make, f"{self._key} {name} {shapes}" if self._key else "", examples)

    def _compile(self, make: Callable[[], nn.Module], key: str, examples: Sequence[Tensor]) -> Compiled:
        core = _core()

        def made() -> nn.Module:
            # a torch engine with the same network may have put its weights in channels-last layout, through which
            # backward passes cannot be traced with symbolic sizes
            loaded(self._network).eval().to(memory_format=torch.contiguous_format)
            return make()

        model = _converted(core, made, key, examples)
        return Compiled(core, model, "bf16" if self.precision == "bfloat16" else "f32", key)


def noise_images(height: int, width: int, count: int = 5) -> UInt8[Tensor, "n 3 h w"]:
    """Draw images of noise, the same ones each time, to compare and time networks with."""
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (count, 3, height, width), generator=generator, dtype=torch.uint8)


@cache
def _core() -> Any:
    """Return OpenVINO's runtime, one for the whole process.

    Each runtime installs a stack for signal handlers and restores the previous one when it ends. If runtimes end in
    another order than they started, the restored stack no longer exists, and the next interrupt kills the process.
    """
    # OpenVINO reports each import and conversion over the network, unless the package that does so is absent
    sys.modules.setdefault("openvino_telemetry", None)  # pyright: ignore[reportArgumentType] - as Python documents it
    import openvino

    return openvino.Core()


def _converted(core: Any, make: Callable[[], nn.Module], key: str, examples: Sequence[Tensor]) -> Any:
    """Read the cached conversion of a module (milliseconds), or convert it (seconds) and cache the result.

    What was converted is read back before it is used: the file's constants are folded in another order than those in
    memory, so the first run would otherwise differ from all later ones in the last bits.
    """
    name = hashlib.blake2b(key.encode(), digest_size=8).hexdigest()
    entry = CacheEntry(f"engines/openvino-{metadata.version('openvino')}-{name}", key, "a converted network")
    found = entry.find() if key else None
    if found is not None:
        try:
            return core.read_model(found / _CONVERSION)
        except RuntimeError as problem:  # such as one that a newer build of OpenVINO refuses
            _LOG.warning("converting again, since %s cannot be read: %s", found, problem)
            remove_entry(entry.name)
    model = _convert(make, examples)
    return _kept(core, model, entry if key else None)


def _convert(make: Callable[[], nn.Module], examples: Sequence[Tensor]) -> Any:
    import openvino

    shapes = [[-1, *example.shape[1:]] for example in examples]
    with torch.no_grad(), warnings.catch_warnings(), restored_logging():
        warnings.simplefilter("ignore")  # the converter uses tracing, which torch declares deprecated
        network = make()
        try:
            return openvino.convert_model(network, example_input=tuple(examples), input=shapes)
        except Exception as problem:
            raise BadInput(
                f"expected a network that OpenVINO converts, but it refuses it ({_reason(problem)}); use --engine torch"
            ) from problem


def _kept(core: Any, model: Any, entry: CacheEntry | None) -> Any:
    """Cache a conversion and read it back; where it cannot be cached, warn, and read it back from a temporary file."""
    if entry is not None:
        try:
            with entry.make() as folder:
                _save(model, folder)
            found = entry.find()
            if found is not None:
                return core.read_model(found / _CONVERSION)
        except (BadInput, RuntimeError) as problem:
            _LOG.warning("the converted network could not be cached: %s", problem)
    try:
        with tempfile.TemporaryDirectory() as folder:
            _save(model, Path(folder))
            # given as bytes, since a file that is mapped to memory must not be removed
            weights = (Path(folder) / _CONVERSION).with_suffix(".bin").read_bytes()
            return core.read_model((Path(folder) / _CONVERSION).read_bytes(), weights)
    except (OSError, RuntimeError) as problem:
        _LOG.warning("confidences of this run may differ from others in their last digits: %s", problem)
        return model


def _save(model: Any, folder: Path) -> None:
    import openvino

    openvino.save_model(model, folder / _CONVERSION, compress_to_fp16=False)


def _reason(problem: Exception) -> str:
    """Find the line that says why a conversion failed, among the many that the converter writes."""
    lines = [line.strip() for line in str(problem).splitlines() if line.strip()] or [type(problem).__name__]
    if "Exception:" in lines[:-1]:  # tracing failed, and the line after it is what the network raised
        return lines[lines.index("Exception:") + 1][:200]
    return next((line for line in lines if line.startswith("--")), lines[0])[:200]


@contextmanager
def restored_logging() -> Iterator[None]:
    """Restore the root logger at the end: a failed conversion leaves it at level ERROR, and open_clip configures it."""
    root = logging.getLogger()
    level, handlers, filters = root.level, root.handlers[:], root.filters[:]
    try:
        yield
    finally:
        root.setLevel(level)
        root.handlers[:], root.filters[:] = handlers, filters


@dataclass(frozen=True)
class EngineChoice:
    """Options of the engine that runs a network, named as in timm where timm has them.

    Attributes:
        engine: ``torch``, ``openvino``, or ``auto``: torch on CUDA and MPS, OpenVINO on a CPU if it is installed.
        device: ``auto``, ``cpu``, ``cuda``, ``cuda:1``, ``mps``.
        amp_dtype: ``none`` (IEEE float32, for results to report), ``tf32`` (NVIDIA GPUs only), ``bfloat16`` or
            ``float16``.
        torchcompile: Whether to compile the network (torch only; the first batch takes about a minute).
        deterministic: Whether to use only algorithms that return the same bits each time. On CPUs all do.
    """

    engine: EngineName = "auto"
    device: str = "auto"
    amp_dtype: AmpDtype = "none"
    torchcompile: bool = False
    deterministic: bool = False

    @property
    def precision(self) -> str:
        """Precision of the arithmetic, as stored with results."""
        return precision_of(self.amp_dtype)

    def start(self, network: Loadable, key: str = "") -> Engine:
        """Start an engine for a network.

        Args:
            network: Network to run, or what loads it when the engine needs it.
            key: Identity of architecture and weights, under which conversions are cached on disk; "" caches none.

        Raises:
            BadInput: If engine, device or precision is not available on this machine.
            MissingData: If OpenVINO is requested but not installed.
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
            return TorchEngine(
                loaded(network),
                device,
                self.amp_dtype,
                compile_network=self.torchcompile,
                deterministic=self.deterministic,
            )
        raise BadInput(f"expected the engine auto, torch or openvino, got '{name}'")


def pick_device(name: str) -> torch.device:
    """Return the device of a name; ``auto`` is CUDA if available, then MPS, then the CPU.

    Raises:
        BadInput: If this machine has no such device.
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
