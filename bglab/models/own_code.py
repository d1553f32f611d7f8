"""The code of networks that are passed as objects, whose weights alone do not determine what they compute."""

from __future__ import annotations

import inspect

from torch import nn

from bglab.models.weights import text_digest

#: Libraries whose modules are identified by the versions that results record.
_LIBRARIES = ("torch", "torchvision", "timm", "transformers", "open_clip", "bglab", "torchaudio", "lightning")


def code_digest(network: nn.Module) -> str:
    """Compute a digest of a network's structure and of the source of its own classes, 16 hexadecimal digits.

    Args:
        network: Module with any submodules.
    """
    own = {type(module) for module in network.modules()}
    sources = sorted(_source(each) for each in own if each.__module__.partition(".")[0] not in _LIBRARIES)
    return text_digest("\n".join([repr(network), *sources]))


def _source(kind: type) -> str:
    """Return the source of a class, or its methods' bytecode where there is no source."""
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        methods = [value for value in vars(kind).values() if inspect.isfunction(value)]
        codes = [f"{method.__name__} {method.__code__.co_code.hex()} {method.__code__.co_consts}" for method in methods]
        return "\n".join([kind.__qualname__, *sorted(codes)])
