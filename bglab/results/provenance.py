"""Provenance of results: versions, commit, and the settings stored in each file, by which runs resume."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bglab.errors import BadInput
from bglab.files import checkout
from bglab.locations import Place
from bglab.results.stored import set_aside

if TYPE_CHECKING:
    import pandas as pd

_LOG = logging.getLogger(__name__)

#: Number of symbolic references that are followed before a cycle is assumed, as in git.
_MAX_REFERENCES = 5

_VERSIONED = ("bglab", "torch", "torchvision", "timm", "openvino", "numpy", "pillow", "opencv-python-headless")


#: Fields of a provenance that name, describe or time a result without determining its content.
_DESCRIPTIVE = frozenset(
    {
        # names: digests of weights, scenes and pixels stand for them
        "model", "tag", "file_sha256", "dataset", "scenes", "scenes_uri",
        # results agree up to rounding as long as engine and precision do
        "device", "versions", "commit",
        # part of the digest of the pixels at full resolution
        "transform", "streaming", "area",
        # outcome and speed of the run
        "rejected", "seconds", "images_per_s",
        # the same for imported predictions
        "table", "left_out", "without_prediction", "notices",
    }
)  # fmt: skip
#: Values of fields in files that were written before the field existed.
_BEFORE = {"resolution": "prepared", "code_sha256": "", "outputs_sha256": ""}


def identity(provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a provenance that determine the content of a result, as JSON has them.

    Every field counts, unless it is known to describe only: a field that is added later belongs to the identity from
    then on.

    Args:
        provenance: Provenance of a stored or a requested result.

    Example:
        >>> found = identity({"weights_sha256": "5f", "seconds": 2.5, "preprocessing": {"mean": (0.5,)}})
        >>> sorted(found)
        ['code_sha256', 'outputs_sha256', 'preprocessing', 'resolution', 'weights_sha256']
        >>> found["preprocessing"]
        {'protocol': 'as-is', 'mean': [0.5]}
    """
    fields = json.loads(json.dumps({name: value for name, value in provenance.items() if name not in _DESCRIPTIVE}))
    full = _BEFORE | fields
    if "preprocessing" in full:
        protocol = "as-is" if full["resolution"] == "prepared" else "model"
        full["preprocessing"] = {"protocol": protocol} | full["preprocessing"]
    return full


def differing_fields(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> list[str]:
    """List the fields of the identity in which a stored result differs from the requested one.

    Fields that are not known before a run, such as the number of rows at full resolution, are not compared.
    """
    before, now = identity(stored), identity(wanted)
    return [name for name in now if before.get(name) != now[name]]


def reusable(path: Place, wanted: Mapping[str, Any], read: Callable[[Place], pd.DataFrame]) -> pd.DataFrame | None:
    """Read a stored result if it can be used instead of computing it again.

    Every computation resumes by this rule: a stored result is used if its `identity` agrees. A result that differs is
    reported in a warning. A damaged one is set aside, as it may have taken days, and what is in it reported, too.

    Args:
        path: File of the result.
        wanted: Provenance of the requested run.
        read: Reads the table of such a file.

    Returns:
        The stored table with its provenance in ``.attrs``, or None if there is no result, or it differs or is damaged.

    Raises:
        Unreadable: If the disk fails.
        BadInput: If a damaged file cannot be set aside.
    """
    if not path.is_file():
        return None
    try:
        table = read(path)
    except BadInput as problem:
        _LOG.warning("computing %s again: %s; the damaged file is now %s", path, problem, set_aside(path))
        return None
    stored = {str(name): value for name, value in table.attrs.items()}
    differing = differing_fields(stored, wanted)
    if stored and differing:
        what = describe_difference(stored, wanted, differing)
        _LOG.warning("computing %s again, since its settings differ: %s", path, what)
    return None if differing else table


def describe_difference(stored: Mapping[str, Any], wanted: Mapping[str, Any], names: Sequence[str]) -> str:
    """Describe differing fields of two identities for a message, e.g. "seed was 0, is 1"."""
    before, now = identity(stored), identity(wanted)
    pairs: list[tuple[str, Any, Any]] = []
    for name in names:
        old, new = before.get(name), now.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            pairs += [(part, old.get(part), new.get(part)) for part in {**old, **new} if old.get(part) != new.get(part)]
        else:
            pairs.append((name, old, new))
    return ", ".join(f"{name} was {old}, is {new}" for name, old, new in pairs)


def versions() -> dict[str, str]:
    """Return the versions of the installed packages that results depend on."""
    found: dict[str, str] = {}
    for name in _VERSIONED:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def commit() -> str:
    """Return the first 12 digits of the checkout's commit, read from git's files; "" outside a checkout.

    Branches may be loose or packed, and the checkout may be a linked worktree or a submodule.
    """
    root = checkout()
    try:
        return _commit_of(root)[:12] if root else ""
    except (OSError, ValueError):  # no repository, or one of another format
        return ""


def _commit_of(root: Path) -> str:
    """Follow HEAD to a commit.

    A linked worktree has a file ``.git`` that names its own folder (with HEAD), and there a file ``commondir`` that
    names the folder it shares with the others (with the branches).
    """
    own = root / ".git"
    if own.is_file():
        own = root / own.read_text().strip().removeprefix("gitdir: ")
    common = own / (own / "commondir").read_text().strip() if (own / "commondir").is_file() else own
    value = (own / "HEAD").read_text().strip()
    for _ in range(_MAX_REFERENCES):
        if not value.startswith("ref: "):
            return value
        value = _read_reference(value.removeprefix("ref: "), (own, common))
    return ""


def _read_reference(name: str, folders: tuple[Path, Path]) -> str:
    """Read a branch from its own file, else from the list of packed ones; "" if it has no commit yet."""
    for folder in folders:
        if (folder / name).is_file():
            return (folder / name).read_text().strip()
    packed = folders[1] / "packed-refs"
    lines = packed.read_text().splitlines() if packed.is_file() else []
    return next((line.split()[0] for line in lines if line.split()[1:] == [name]), "")
