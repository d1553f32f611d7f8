"""Files that weights are kept in: those of ``torch.save`` and ``torch.jit.save``, safetensors, and their shards."""

from __future__ import annotations

import errno
import json
import warnings
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from bglab.errors import BadInput, MissingData
from bglab.files import sha256_of
from bglab.models.stand_ins import LEGACY_START, load_pickled, unreadable

_SUFFIXES = (".pt", ".pth", ".tar", ".ckpt", ".bin", ".safetensors", ".ts", ".index.json")
_FORMS = "give file:PATH of a .pt, .pth or .safetensors file"

#: Files of other kinds, by what they begin with.
_OTHER_KINDS = {
    b"\x89HDF\r\n": "it is an HDF5 file, as Keras writes",
    b"\x93NUMPY": "it is an array of numpy",
    b"version https://git-lfs": "it is a pointer of git-lfs; fetch the file itself with git lfs pull",
    b"<!DOCTYPE": "it is a web page; download the file itself",
    b"<!doctype": "it is a web page; download the file itself",
    b"<html": "it is a web page; download the file itself",
    b"\x1f\x8b": "it is compressed by gzip; unpack it first",
    b"7z\xbc\xaf": "it is compressed by 7-Zip; unpack it first",
    b"BZh": "it is compressed by bzip2; unpack it first",
    b"GGUF": "it is a file of GGUF",
}


class CheckpointFile(NamedTuple):
    """What a file of weights holds.

    Attributes:
        content: The stored object, or the tensors by name.
        network: The network itself, if the file holds a program of TorchScript.
        settings: Settings kept beside the weights, as timm's ``config.json`` on the hub.
        notes: What there is to know about the file, one sentence each.
    """

    content: Any
    network: nn.Module | None = None
    settings: Mapping[str, Any] = {}
    notes: tuple[str, ...] = ()


class Scripted(nn.Module):
    """A program of TorchScript.

    Args:
        program: From ``torch.jit.load``.
        file: Its file, whose digest takes the place of weights that freezing has turned into constants.
    """

    file_digest: Tensor

    def __init__(self, program: torch.jit.ScriptModule, file: Path) -> None:
        super().__init__()
        self.program = program
        self.register_buffer("file_digest", torch.tensor(list(bytes.fromhex(sha256_of(file))), dtype=torch.uint8))

    def forward(self, images: Tensor) -> Any:
        """Run the program."""
        return self.program(images)


def read_checkpoint_file(file: Path) -> CheckpointFile:
    """Read a file of weights without running code of its own.

    Args:
        file: Of ``torch.save``, ``torch.jit.save`` or safetensors, or the ``*.index.json`` that lists shards.

    Raises:
        MissingData: If there is no such file.
        BadInput: If it is a folder, of another kind, or damaged.
    """
    if file.is_dir():
        raise BadInput(_folder(file))
    if not file.is_file():
        raise MissingData(f"expected a checkpoint at {file}, but there is none; {_FORMS}")
    if file.name.endswith(".index.json"):
        return _read_shards(file)
    size = file.stat().st_size
    with file.open("rb") as stream:
        start = stream.read(64)
    if not size:
        raise BadInput(f"expected a checkpoint of tensors in {file}, got an empty file; copy it again")
    for begin, what in _OTHER_KINDS.items():
        if start.lstrip().startswith(begin):
            raise BadInput(f"expected a checkpoint of tensors in {file}, but {what}; {_FORMS}")
    if file.suffix == ".safetensors" or _is_safetensors(start, size):
        return _read_safetensors(file)
    if start.startswith(b"PK"):
        return _read_zip(file)
    if not start.startswith(LEGACY_START) and not start.startswith(b"\x80"):
        raise unreadable(file, "it is neither a file of torch.save nor of safetensors")
    return CheckpointFile(load_pickled(file))


def _folder(folder: Path) -> str:
    """Write the message for a folder, with the checkpoints in it."""
    found = sorted(each.name for each in folder.iterdir() if each.is_file() and each.name.endswith(_SUFFIXES))
    some = f"; it contains {', '.join(found[:5])}{' …' if len(found) > 5 else ''}" if found else ""
    return f"expected a checkpoint, got the folder {folder}{some}; {_FORMS}"


def _is_safetensors(start: bytes, size: int) -> bool:
    """Check for the length of a header within the file, followed by the header, which is JSON."""
    return len(start) > 8 and start[8:9] == b"{" and 2 <= int.from_bytes(start[:8], "little") <= size - 8


def _read_safetensors(file: Path) -> CheckpointFile:
    try:
        with safe_open(file, framework="pt", device="cpu") as opened:
            content = {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - it is no dictionary
    except (SafetensorError, ValueError, RuntimeError, AttributeError, TypeError) as problem:
        reason = " ".join(str(problem).split())[:200]
        raise BadInput(
            f"expected tensors of safetensors in {file}, but it is damaged ({reason}); copy or download it again"
        ) from None
    return CheckpointFile(content, settings=_settings_beside(file))


def _settings_beside(file: Path) -> Mapping[str, Any]:
    """Read the ``config.json`` that timm's repositories on the hub keep next to their weights."""
    beside = file.parent / "config.json"
    try:
        settings = json.loads(beside.read_text(encoding="utf-8")) if beside.is_file() else {}
    except ValueError:
        return {}
    # the configurations of other libraries have no such entry, or name classes in it
    return settings if isinstance(settings, dict) and isinstance(settings.get("architecture"), str) else {}


def _read_shards(index: Path) -> CheckpointFile:
    """Read the tensors of several files that an index lists."""
    try:
        listed = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        shards = {name: str(shard) for name, shard in listed.items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise BadInput(
            f"expected an index with a weight_map of tensor names to files in {index}, got another"
        ) from None
    content: dict[str, Any] = {}
    for shard in sorted(set(shards.values())):
        if Path(shard).name != shard:
            raise BadInput(f"expected files beside {index} in its weight_map, got '{shard}'")
        read = read_checkpoint_file(index.parent / shard).content
        if not isinstance(read, Mapping):
            raise unreadable(index.parent / shard, "it is no dictionary of tensors")
        content |= {name: tensor for name, tensor in read.items() if shards.get(name) == shard}
    lost = sorted(set(shards) - set(content))
    if lost:
        raise BadInput(f"expected {lost[0]} in {shards[lost[0]]}, as {index} says, but it is not in it; copy it again")
    return CheckpointFile(content, settings=_settings_beside(index))


def _read_zip(file: Path) -> CheckpointFile:
    """Read a file of ``torch.save`` or ``torch.jit.save`` after comparing its checksums, which torch does not."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
            has_checksums = any(entry.CRC for entry in entries)
            damaged = archive.testzip() if has_checksums else None
    except OSError as problem:
        if problem.errno != errno.EINVAL:
            raise
        # a damaged directory makes zipfile look for an entry before the beginning of the file
        raise _damaged(file, "its directory is changed") from None
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, ValueError) as problem:
        raise _damaged(file, f"its end or its directory is missing or changed: {problem}") from None
    if damaged:
        raise _damaged(file, f"the checksum of {damaged} differs")
    notes = () if has_checksums else (f"{file.name} was written without checksums, so that damage would go unnoticed",)
    names = {entry.filename.partition("/")[2] or entry.filename for entry in entries}
    if "constants.pkl" in names:
        return CheckpointFile({}, network=_read_script(file), notes=notes)
    if any(name.startswith("models/") for name in names) or "archive_format" in names:
        raise unreadable(file, "it is an archive of torch.export")
    if not any(name.endswith("data.pkl") for name in names):
        raise unreadable(file, "it is a zip file without data.pkl, not one of torch.save")
    return CheckpointFile(load_pickled(file), notes=notes)


def _read_script(file: Path) -> Scripted:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls the format deprecated each time
            program = torch.jit.load(str(file), map_location="cpu")
    except Exception as problem:  # noqa: BLE001 - torch raises many types
        lines = str(problem).strip().splitlines() or [type(problem).__name__]
        raise _damaged(file, f"TorchScript says: {lines[0][:160]}") from None
    return Scripted(program, file)


def _damaged(file: Path, reason: str) -> BadInput:
    return BadInput(f"expected a whole checkpoint in {file}, but it is damaged ({reason}); copy or download it again")
