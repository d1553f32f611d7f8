"""Reading pickled checkpoints without running their code: classes of other packages become empty stand-ins.

``torch.load(weights_only=True)`` refuses a whole checkpoint for one foreign object among its settings. Here each
foreign class is replaced by a stand-in, which keeps the content and has no behaviour.
"""

from __future__ import annotations

import argparse
import io
import pickletools
import re
import warnings
import zipfile
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch

from bglab.errors import BadInput

#: What torch begins its files with that are no zip file (before version 1.6): the pickled magic number.
LEGACY_START = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."

_HOW_TO_SAVE = "save it again with torch.save(network.state_dict(), file)"

#: Attribute by which a stand-in names its class.
_CLASS = "__stands_for__"

#: Modules of Python that pickles name as Python 2 did.
_RENAMED = {"__builtin__": "builtins", "copy_reg": "copyreg"}

#: Harmless classes that are restored as they are, besides those of torch.
_HARMLESS = [
    argparse.Namespace,
    np.ndarray,
    np.dtype,
    *(getattr(np.dtypes, name) for name in np.dtypes.__all__),
    *(
        (function, f"numpy.{package}.multiarray.{function.__name__}")
        for package in ("core", "_core")
        for function in (np._core.multiarray.scalar, np._core.multiarray._reconstruct)  # pyright: ignore[reportAttributeAccessIssue]
    ),
]


def load_pickled(file: Path) -> Any:
    """Load a file of ``torch.save`` on the CPU; no code of the file or of the classes that it names is run.

    Objects of classes outside torch are ordered dictionaries with the object's content; see `stands_for`.

    Raises:
        BadInput: If the file is damaged, or needs more than that.
    """
    try:
        is_zip = zipfile.is_zipfile(file)
        names = _global_names(file, is_zip=is_zip)
        known: list[Any] = [*_HARMLESS, *((_stand_in(name), name) for name in names if not name.startswith("numpy."))]
        with warnings.catch_warnings(), torch.serialization.safe_globals(known):
            warnings.simplefilter("ignore")
            return torch.load(file, map_location="cpu", weights_only=True, mmap=is_zip)
    except OSError:
        raise
    except Exception as problem:  # noqa: BLE001 - torch raises many types for a file that is no checkpoint
        raise unreadable(file, _reason(problem)) from None


def stands_for(value: Any) -> str:
    """Return the class of the object that a value stands in for; "" for any other value."""
    return str(getattr(value, "__dict__", {}).get(_CLASS, "")) if isinstance(value, OrderedDict) else ""


def as_mapping(value: Any) -> Mapping[str, Any] | None:
    """Return the entries of a dictionary, of a namespace, or of an object that a stand-in took the place of."""
    if isinstance(value, argparse.Namespace):
        return vars(value)
    if stands_for(value):
        return {name: entry for name, entry in (vars(value) | dict(value)).items() if name != _CLASS}
    return value if isinstance(value, Mapping) else None


def unreadable(file: Path, reason: str) -> BadInput:
    """Make the exception for a file that no tensors can be read from."""
    return BadInput(
        f"expected a checkpoint of tensors in {file}, but it cannot be read safely ({reason}); {_HOW_TO_SAVE}"
    )


def _stand_in(name: str) -> type:
    """Make the class that takes the place of the class or function of a name.

    Its objects are ordered dictionaries, the only type that the restricted unpickler lets grow by items and by state.
    """

    def new(cls: type, *_: Any, **__: Any) -> OrderedDict[Any, Any]:
        made: OrderedDict[Any, Any] = OrderedDict()
        made.__dict__[_CLASS] = name
        return made

    return type(name.rpartition(".")[2] or "StandIn", (), {"__new__": new})


def _global_names(file: Path, *, is_zip: bool) -> set[str]:
    """List the classes and functions that a file's pickles name."""
    if is_zip:
        with zipfile.ZipFile(file) as archive:
            pickle = next(name for name in archive.namelist() if name.endswith("data.pkl"))
            entry = archive.getinfo(pickle)
            if not entry.CRC:
                del entry.CRC  # torch was told to write none, which zipfile takes for a wrong one
            return set(_globals_of(io.BytesIO(archive.open(entry).read())))
    with file.open("rb") as stream:
        if stream.read(len(LEGACY_START)) != LEGACY_START:
            return set()
        # the protocol's version, the system, the content, and the names of the tensors' storages
        return {name for _ in range(4) for name in _globals_of(stream)}


def _globals_of(stream: BinaryIO | io.BytesIO) -> Iterator[str]:
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name == "GLOBAL":
            module, _, name = str(argument).partition(" ")
            yield f"{_RENAMED.get(module, module)}.{name}"


def _reason(problem: Exception) -> str:
    """Return the part of torch's message that tells what stands in the way, in plain text."""
    if isinstance(problem, StopIteration):
        return "it is a zip file without data.pkl, not one of torch.save"
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(problem))
    blocked = re.search(r"GLOBAL (\S+)", text)
    if blocked:
        return f"it needs {blocked[1]}, which may run code"
    named = re.search(r"(Can only .*? but got .*|Trying to .*|Unsupported operand \d+)", text)
    line = named[1] if named else next(iter(text.strip().splitlines()), "")
    return " ".join((line or type(problem).__name__).split())[:200]
