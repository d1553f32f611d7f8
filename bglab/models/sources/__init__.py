"""Sources of weights: one module per URI scheme, each with a function ``open_weights(path, **options) -> Weights``.

To add a source, add a module; its name is the scheme. A function ``identify(path) -> str`` beside it, which returns
what determines the weights without loading them, lets later runs look up what the first one found out about them.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from urllib.parse import quote, urlencode

from bglab.catalogue import looked_up, nearest, uri_options
from bglab.errors import BadInput, UnknownName
from bglab.models.architectures import name_on_hub
from bglab.models.weights import Weights

#: How the URI of each scheme goes on, for messages; other schemes go on with a path.
_FORMS = {
    "clip": "ARCH/PRETRAINED",
    "hf": "NAME_OR_FOLDER",
    "lite": "efficientnet_lite0",
    "timm": "NAME.TAG",
    "tv": "NAME/WEIGHTS",
}

#: Schemes whose modules have a function ``identify``; the others import the libraries of their networks, which takes
#: seconds, before they know which file they read.
_IDENTIFYING = frozenset({"lite"})


def schemes() -> list[str]:
    """List the URI schemes that `bglab.load_classifier` supports.

    Example:
        >>> "timm" in schemes()
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def open_weights(uri: str) -> tuple[str, Weights]:
    """Load weights by their URI.

    Args:
        uri: ``scheme:path?option=value&…``; the options are the parameters of ``open_weights`` in the scheme's module.

    Returns:
        The scheme and the weights.

    Raises:
        UnknownName: If scheme, option, architecture or tag is unknown; the message lists the known ones.
        MissingData: If the weights are not on this machine and cannot be downloaded.
        BadInput: If they cannot be read, or an option has an unusable value.
    """
    scheme, colon, rest = uri.partition(":")
    if not colon or scheme not in schemes():
        raise UnknownName(_unknown_scheme(uri, scheme if colon else ""))
    path, _, query = rest.partition("?")
    opener: Callable[..., Weights] = importlib.import_module(f"{__name__}.{scheme}").open_weights
    options = uri_options(scheme, query, opener)
    empty = next((name for name, value in options.items() if not value), None)
    if empty:
        raise BadInput(
            f"expected a value for the option {empty} of '{uri}', got none; write {empty}=VALUE or leave it out"
        )
    with looked_up(uri):
        weights = opener(path, **options)
    if scheme != "file":  # which has compared them already
        _check_finite(uri, weights)
    # without its options the same weights would not be loaded, so that they belong to its name
    return scheme, weights._replace(query=urlencode(sorted(options.items()), safe="/,:~", quote_via=quote))


def identify(uri: str) -> str:
    """Return what determines the weights of a URI, without loading them; "" if its source does not tell.

    Args:
        uri: As for `open_weights`, which reports what is wrong with it.
    """
    scheme, _, path = uri.partition(":")
    if scheme not in _IDENTIFYING:
        return ""
    try:
        return f"{uri} {importlib.import_module(f'{__name__}.{scheme}').identify(path)}"
    except (UnknownName, OSError):
        return ""


def _check_finite(uri: str, weights: Weights) -> None:
    """Refuse weights that are not finite, as those of a damaged file."""
    for name, tensor in weights.network.state_dict().items():
        if not bool(tensor.isfinite().all()):
            raise BadInput(
                f"expected finite weights in {uri}, but {name} has numbers that are NaN or infinite; its training "
                "diverged or the file is damaged: download or copy it again"
            )


def _unknown_scheme(uri: str, scheme: str) -> str:
    """Write the message for a URI of no known scheme, with the one that was probably meant."""
    of_timm = name_on_hub(uri)
    near = f"{nearest(scheme, schemes())}:{uri.partition(':')[2]}" if scheme and nearest(scheme, schemes()) else ""
    if of_timm or not scheme:
        # microsoft/resnet-50, as the hub writes names
        near = f"hf:{uri}" if "/" in uri and not of_timm else f"timm:{of_timm or uri}"
    hint = f"; did you mean '{near}'?" if near else "."
    forms = [f"{name}:{_FORMS.get(name, 'PATH')}" for name in schemes()]
    return f"unknown model '{uri}'{hint} Expected {', '.join(forms[:-1])} or {forms[-1]}"
