"""File names of models, data sets and variants: readable, and no two names share one."""

from __future__ import annotations

import hashlib
import re

#: Longest name in bytes; file systems allow 255, endings and scratch files need some of them.
_LONGEST = 150
_DIGITS = 12
#: Names that are their own file names: alike on disks that ignore case, and without a meaning to any system.
_PLAIN = re.compile(r"[a-z0-9_+~](?:[a-z0-9._+~-]*[a-z0-9_+~-])?")
_SOURCED = re.compile(r"([a-z0-9_]+):(.+)", re.DOTALL)
_DIGEST = re.compile(rf"-[0-9a-f]{{{_DIGITS}}}")
#: Names of devices on Windows, with any ending.
_RESERVED = frozenset({"con", "prn", "aux", "nul", *(f"{kind}{i}" for kind in ("com", "lpt") for i in range(10))})


def file_name(text: str) -> str:
    """Turn a name into one path component: the name itself if it is plain, else a readable part and a digest.

    Different names give different components, also on disks that ignore case and in folders that are copied to another
    system. No component is hidden, reserved, longer than 150 bytes, or leads out of its folder.

    Args:
        text: Any text, such as the name of a variant or the key of a data set.

    Example:
        >>> file_name("on_texture~2"), file_name("Mixed Rand"), file_name("../../etc")
        ('on_texture~2', 'Mixed-Rand-0bc2b4c92464', 'etc-74ccf3c5b4c1')
    """
    return text if _is_plain(text) else _with_digest(text)


def model_file_name(model: str) -> str:
    """Turn the URI of a model into one path component, as `file_name` does; a plain ``source:rest`` has no digest.

    Args:
        model: URI of the weights.

    Example:
        >>> model_file_name("lite:efficientnet_lite0"), model_file_name("tv:resnet50/IMAGENET1K_V1")
        ('lite-efficientnet_lite0', 'tv-resnet50-IMAGENET1K_V1-ea8dda2f0c84')
    """
    source = _SOURCED.fullmatch(model)
    if source:
        # a source has no hyphen, so the first one stands for the colon
        joined = f"{source[1]}-{source[2]}"
        return joined if _is_plain(joined) and _is_plain(source[2]) else _with_digest(model)
    return model if _is_plain(model) and "-" not in model else _with_digest(model)


def earlier_file_name(model: str) -> str:
    """Return the component that earlier versions made of the URI of a model, which several models can share."""
    return re.sub(r"[^A-Za-z0-9._+-]+", "-", model).strip("-.") or "unnamed"


def data_file_name(name: str, fingerprint: str) -> str:
    """Name files about a set of scenes: a readable part, and the beginning of its fingerprint, which tells sets apart.

    Args:
        name: Short name of the set.
        fingerprint: Digest of what defines it.

    Example:
        >>> data_file_name("synthetic9:n=45", "f7e65b0123456789")
        'synthetic9-n-45-f7e65b'
    """
    return earlier_file_name(f"{name[: _LONGEST - 10]}-{fingerprint[:6]}")


def may_begin(folder: str, prefix: str) -> bool:
    """Decide by the name of a folder whether the name it stands for can begin with a prefix.

    Args:
        folder: From `file_name`, or the name itself.
        prefix: Beginning to look for.
    """
    return folder.startswith(prefix) or bool(_DIGEST.fullmatch(folder[-_DIGITS - 1 :]))


def is_component(text: str) -> bool:
    """Decide whether a text names something in a folder, rather than a place outside it."""
    return text not in {"", ".", ".."} and not {"/", "\\", "\0"} & set(text)


def _is_plain(text: str) -> bool:
    return bool(
        len(text) <= _LONGEST
        and _PLAIN.fullmatch(text)
        and not _is_reserved(text)
        # what looks like a name with a digest gets one, too
        and not _DIGEST.fullmatch(text[-_DIGITS - 1 :])
    )


def _is_reserved(text: str) -> bool:
    return text.partition(".")[0].lower() in _RESERVED


def _with_digest(text: str) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
    readable = re.sub(r"[^A-Za-z0-9._+~-]+", "-", text).strip("-.")[: _LONGEST - _DIGITS - 2].strip("-.") or "unnamed"
    return f"{'_' if _is_reserved(readable) else ''}{readable}-{digest}"
