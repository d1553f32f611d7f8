"""What a checkpoint or the options of its URI say about it: architecture, classes and preprocessing."""

from __future__ import annotations

import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from pathlib import Path
from typing import Any, get_args

import torch

from bglab.errors import BadInput, MissingData, brief
from bglab.images import Interpolation
from bglab.labels import IN9, NAMED_SPACES, class_names, imagenet_synsets
from bglab.models.stand_ins import as_mapping

#: Entries that name the architecture, in the checkpoint itself and among its settings.
_ARCHITECTURE = ("architecture", "arch", "model_name", "architecture_name", "net_name")
_ARCHITECTURE_OF_SETTINGS = (*_ARCHITECTURE, "model", "net", "network", "backbone", "encoder_name")

#: Entries with the settings of a training.
_SETTINGS = ("args", "hyper_parameters", "hparams", "config", "cfg", "opt", "pretrained_cfg", "meta")

#: Entries of each field of the preprocessing.
_FIELDS = {
    "mean": ("mean",),
    "std": ("std",),
    "input_size": ("input_size", "img_size", "image_size", "crop_size"),
    "crop_pct": ("crop_pct",),
    "interpolation": ("interpolation",),
}

#: What the option of a field is called.
OPTION_NAMES = {"crop_pct": "crop"}

_SIZES = (16, 2048)


def architectures_named(content: Any, settings: Mapping[str, Any]) -> list[tuple[str, str]]:
    """List what a checkpoint says about its architecture: name and entry.

    Args:
        content: What the checkpoint holds.
        settings: Settings kept beside it.
    """
    found: dict[str, str] = {}
    for entry, values in [("", as_mapping(content) or {}), ("config.json", settings), *settings_of(content)]:
        for name in _ARCHITECTURE if entry in {"", "config.json"} else _ARCHITECTURE_OF_SETTINGS:
            if isinstance(values.get(name), str) and values[name]:
                found.setdefault(values[name], f"{entry}.{name}" if entry else name)
    return list(found.items())


def settings_of(content: Any) -> list[tuple[str, Mapping[str, Any]]]:
    """List the settings of a training that a checkpoint keeps, by the entry that they are in."""
    entries = as_mapping(content) or {}
    read = [(name, as_mapping(entries[name])) for name in _SETTINGS if name in entries]
    return [(name, values) for name, values in read if values is not None]


def preprocessing_named(content: Any, settings: Mapping[str, Any], chosen: Mapping[str, Any]) -> dict[str, Any]:
    """Read the preprocessing that a checkpoint keeps with its weights, as fields of `bglab.models.Weights`.

    Args:
        content: What the checkpoint holds.
        settings: Settings kept beside it.
        chosen: Fields that options determine, whose entries need not be usable.

    Raises:
        BadInput: If an entry of the checkpoint itself has an unusable value.
    """
    found: dict[str, Any] = {}
    beside = as_mapping(settings.get("pretrained_cfg")) or {}
    for entry, values in [*settings_of(content), ("pretrained_cfg", beside), ("", as_mapping(content) or {})]:
        for field, names in _FIELDS.items():
            name = next((each for each in names if values.get(each) not in (None, "", [], ())), None)
            if name is None:
                continue
            try:
                found[field] = check_field(field, values[name])
            except BadInput as problem:
                if not entry and field not in chosen:
                    option = OPTION_NAMES.get(field, field)
                    raise BadInput(f"{problem} in the checkpoint's entry '{name}'; give ?{option}=") from None
    return found


def classes_named(content: Any, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """Read the names of the classes that a checkpoint keeps with its weights; () if there are none."""
    beside = as_mapping(settings.get("pretrained_cfg")) or {}
    for _, values in [("", as_mapping(content) or {}), *settings_of(content), ("", settings), ("", beside)]:
        for name in ("classes", "class_names", "label_names", "class_to_idx", "idx_to_class"):
            names = _names_in(values.get(name))
            if names:
                return names
    return ()


def check_field(field: str, value: Any) -> Any:
    """Check and convert the value of a field of the preprocessing, from an option's text or an entry.

    Raises:
        BadInput: If it is unusable.
    """
    checks: dict[str, Callable[[Any], Any]] = {
        "mean": lambda values: _three_numbers("mean", values, least=-math.inf),
        "std": lambda values: _three_numbers("std", values, least=0.0),
        "input_size": _check_size,
        "crop_pct": _check_crop,
        "interpolation": _check_interpolation,
    }
    return checks[field](value)


def read_classes(text: str) -> tuple[str, ...]:
    """Read the option ``classes``: names separated by commas, or a text, CSV or JSON file of one name per line.

    Raises:
        MissingData: If it is the name of a file that does not exist.
        BadInput: If the file cannot be read, or a name is empty or there twice.
    """
    file = Path(text).expanduser()
    is_file = file.suffix.lower() in {".txt", ".csv", ".json", ".tsv"}
    if is_file and not file.is_file():
        raise MissingData(
            f"expected class names at {file}, but there is no such file; give classes=NAME,NAME or a path"
        )
    names = _read_names(file) if is_file else tuple(name.strip() for name in text.split(","))
    where = str(file) if is_file else "classes="
    if not all(names) or not names:
        raise BadInput(f"expected a name for each class in {where}, got an empty one; one name per output, in order")
    twice = sorted(name for name, count in Counter(names).items() if count > 1)
    # ImageNet itself has two cranes and two maillots
    if twice and space_of(names, "") not in NAMED_SPACES:
        raise BadInput(f"expected every class once in {where}, got twice: {', '.join(twice[:5])}")
    return names


def check_space(space: str) -> str:
    """Check the option ``space``.

    Raises:
        BadInput: If there is no such label space.
    """
    if space not in NAMED_SPACES:
        known = " or ".join(NAMED_SPACES)
        raise BadInput(f"expected space={known}, got '{space}'; for other classes give classes=NAME,NAME")
    return space


def space_of(names: Sequence[str], name: str) -> str:
    """Return the label space of class names: a known one, or one of its own that is named after the network.

    The folders of ImageNet and ImageNet-9, which `torchvision.datasets.ImageFolder` takes for names, are known, too.
    """
    known = {space: [class_names(space)] for space in NAMED_SPACES}
    known["imagenet"].append(imagenet_synsets())
    known["in9"].append(tuple(coarse.folder for coarse in IN9))
    return next((space for space, lists in known.items() if tuple(names) in lists), f"own:{name}")


def _three_numbers(what: str, values: Any, least: float) -> tuple[float, ...]:
    parts = values.split(",") if isinstance(values, str) else values
    if isinstance(parts, torch.Tensor):
        parts = parts.flatten().tolist()
    try:
        numbers = tuple(float(part) for part in parts)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(math.isfinite(number) and number > least for number in numbers):
        above = " above 0" if least == 0 else ""
        raise BadInput(f"expected three numbers{above} as {what}, for images in [0, 1], got {_shown(values)}")
    if max(map(abs, numbers)) > 10:
        raise BadInput(
            f"expected {what} for images in [0, 1], got {_shown(values)}, which is for levels up to 255; divide by 255"
        )
    return numbers


def _check_size(value: Any) -> int:
    if isinstance(value, (list, tuple)) and value and value[-1] == value[max(-2, -len(value))]:
        value = value[-1]
    try:
        size = int(str(value))
    except ValueError:
        size = 0
    if not _SIZES[0] <= size <= _SIZES[1]:
        raise BadInput(f"expected a side of {_SIZES[0]} to {_SIZES[1]} pixels as input_size, got {_shown(value)}")
    return size


def _check_crop(value: Any) -> float:
    try:
        crop = float(value)
    except (TypeError, ValueError):
        crop = 0.0
    if not 0 < crop <= 1:
        raise BadInput(
            f"expected a fraction of the short side above 0 and up to 1 as crop, got {_shown(value)}; 0.875 is usual"
        )
    return crop


def _check_interpolation(value: Any) -> Interpolation:
    known = get_args(Interpolation)
    if value not in known:
        raise BadInput(f"expected {' or '.join(known)} as interpolation, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    return f"'{value}'"[:80]


def _read_names(file: Path) -> tuple[str, ...]:
    """Read one name per line or, in CSV, per row after an optional column of numbers; or a list or object of JSON."""
    try:
        text = file.read_text(encoding="utf-8-sig")
        content = json.loads(text) if file.suffix.lower() == ".json" else None
    except ValueError as problem:
        raise BadInput(
            f"expected class names in {file}, but it cannot be read ({brief(problem)}); save it as UTF-8"
        ) from None
    if file.suffix.lower() == ".json":
        names = _names_in(content)
        if not names:
            raise BadInput(f'expected a list of class names in {file}, or an object of names by number {{"0": "cat"}}')
        return names
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if file.suffix.lower() == ".txt":
        return tuple(lines)
    rows = list(csv.reader(lines, delimiter="\t" if file.suffix.lower() == ".tsv" else ","))
    if all(len(row) == 1 for row in rows):
        return tuple(row[0].strip() for row in rows)
    numbered = rows if _is_whole(rows[0][0]) else rows[1:]
    if not all(len(row) == 2 and _is_whole(row[0]) for row in numbered):
        raise BadInput(f"expected one class name per line of {file}, or a number and a name, got {rows[0]}")
    return _in_order([(int(row[0]), row[1].strip()) for row in numbered]) or _badly_numbered(file)


def _badly_numbered(file: Path) -> tuple[str, ...]:
    raise BadInput(f"expected the class numbers 0, 1, 2, … once each in {file}, got others")


def _names_in(value: Any) -> tuple[str, ...]:
    """Read class names from a list, from names by number, or from numbers by name; () if it holds none."""
    if isinstance(value, (list, tuple)) and all(isinstance(name, str) for name in value):
        return tuple(value)
    entries = as_mapping(value)
    if not entries:
        return ()
    if all(isinstance(number, int) and not isinstance(number, bool) for number in entries.values()):
        return _in_order([(number, name) for name, number in entries.items()])
    if not all(_is_whole(str(number)) for number in entries):
        return ()
    return _in_order([(int(str(number)), name) for number, name in entries.items()])


def _is_whole(text: str) -> bool:
    return text.strip().isdecimal() and len(text) < 10


def _in_order(numbered: Sequence[tuple[int, Any]]) -> tuple[str, ...]:
    """Put names in the order of their numbers; () unless these are 0, 1, 2, … once each."""
    if sorted(number for number, _ in numbered) != list(range(len(numbered))):
        return ()
    names = [name for _, name in sorted(numbered, key=itemgetter(0))]
    return tuple(names) if all(isinstance(name, str) for name in names) else ()
