"""Precision of the arithmetic: what ``float32`` means on an NVIDIA GPU, and mixed precision.

By default torch lets cuDNN round the inputs of float32 convolutions to TensorFloat-32, which has 10 bits of mantissa
instead of 23. Here ``none`` computes in IEEE float32, and TensorFloat-32 is a precision of its own with its own name.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch

from bglab.errors import BadInput

AmpDtype = Literal["none", "tf32", "bfloat16", "float16"]

_AUTOCAST = {"bfloat16": torch.bfloat16, "float16": torch.float16}
# torch's settings hold for the whole process: threads that compute in different precisions wait for each other
_SETTINGS = threading.RLock()


def precision_of(amp_dtype: AmpDtype) -> str:
    """Return the name of a precision as stored with results.

    Example:
        >>> precision_of("none"), precision_of("tf32")
        ('float32', 'tf32')
    """
    return "float32" if amp_dtype == "none" else amp_dtype


def check_precision(amp_dtype: AmpDtype, device: torch.device) -> None:
    """Check that a device can compute in a precision.

    Raises:
        BadInput: If it is ``tf32`` and the device is no NVIDIA GPU.
    """
    if amp_dtype == "tf32" and device.type != "cuda":
        raise BadInput(
            f"expected an NVIDIA GPU for --amp-dtype tf32, got the device {device}; use --amp-dtype none or bfloat16"
        )


@contextmanager
def float32_arithmetic(device: torch.device, precision: str, *, deterministic: bool = False) -> Iterator[None]:
    """Compute in IEEE float32 on an NVIDIA GPU, or in TensorFloat-32 if the precision is ``tf32``.

    Applies to convolutions and matrix products of float32 tensors; torch's own settings are restored at the end. Other
    devices have no such choice.

    Args:
        device: Device of the computation.
        precision: ``float32``, ``tf32``, or that of mixed precision, whose remaining operations are IEEE float32.
        deterministic: Whether only algorithms are used that return the same bits each time, see `repeatable`.
    """
    if device.type != "cuda":
        yield
        return
    with _SETTINGS:
        before = _read()
        try:
            wanted = _settings("tf32" if precision == "tf32" else "ieee")
            _write({name: value for name, value in wanted.items() if name in before})
            with repeatable() if deterministic else nullcontext():
                yield
        finally:
            _write(before)


@contextmanager
def repeatable() -> Iterator[None]:
    """Use only algorithms that return the same bits each time, however slow; torch's own settings are restored.

    Raises:
        BadInput: If an operation inside has no such algorithm.
    """
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # without it, cuBLAS has no such algorithms
    cudnn: Any = torch.backends.cudnn
    with _SETTINGS:
        mode, chosen = torch.get_deterministic_debug_mode(), (cudnn.deterministic, cudnn.benchmark)
        try:
            torch.set_deterministic_debug_mode("error")
            cudnn.deterministic, cudnn.benchmark = True, False
            yield
        except RuntimeError as problem:
            operation, found, _ = str(problem).partition(" does not have a deterministic implementation")
            if not found:
                raise
            raise BadInput(
                f"expected algorithms that return the same bits each time, but torch has none for {operation}; leave "
                "out --deterministic"
            ) from None
        finally:
            torch.set_deterministic_debug_mode(mode)
            cudnn.deterministic, cudnn.benchmark = chosen


def arithmetic(device: torch.device, precision: str, *, deterministic: bool = False) -> AbstractContextManager[object]:
    """Compute a forward pass in a precision: that of `float32_arithmetic`, with autocast for mixed precision.

    Args:
        device: Device of the computation.
        precision: ``float32``, ``tf32``, ``bfloat16`` or ``float16``.
        deterministic: As for `float32_arithmetic`.
    """
    mixed = precision in _AUTOCAST
    return (_mixed if mixed else float32_arithmetic)(device, precision, deterministic=deterministic)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Return torch's autocast for mixed precision, or a context that does nothing for the others."""
    if precision not in _AUTOCAST:
        return nullcontext()
    return torch.autocast(device.type, dtype=_AUTOCAST[precision])


@contextmanager
def _mixed(device: torch.device, precision: str, *, deterministic: bool) -> Iterator[None]:
    with float32_arithmetic(device, precision, deterministic=deterministic), autocast(device, precision):
        yield


def _settings(precision: Literal["ieee", "tf32"]) -> dict[str, Any]:
    """Return the settings for one precision of all float32 operations."""
    allowed = precision == "tf32"
    return {
        "cudnn": allowed,
        "matmul": "high" if allowed else "highest",
        "operations": (precision,) * len(_operations()),
    }


def _operations() -> tuple[Any, ...]:
    """Return the settings per operation, which torch has from version 2.9 on."""
    backends: Any = torch.backends
    if not hasattr(backends.cudnn, "conv"):
        return ()
    return backends.cudnn.conv, backends.cudnn.rnn, backends.cuda.matmul


def _read() -> dict[str, Any]:
    """Read torch's settings; those that it cannot tell, since a caller mixed both kinds, are left out."""
    found: dict[str, Any] = {"operations": tuple(operation.fp32_precision for operation in _operations())}
    readers = {"cudnn": lambda: torch.backends.cudnn.allow_tf32, "matmul": torch.get_float32_matmul_precision}
    for name, reader in readers.items():
        try:
            found[name] = reader()
        except RuntimeError:
            continue
    return found


def _write(settings: dict[str, Any]) -> None:
    """Write the older settings, which other code reads, then those per operation, which decide where torch has them."""
    if "cudnn" in settings:
        torch.backends.cudnn.allow_tf32 = settings["cudnn"]
    if "matmul" in settings:
        torch.set_float32_matmul_precision(settings["matmul"])
    for operation, value in zip(_operations(), settings["operations"], strict=True):
        operation.fp32_precision = value
