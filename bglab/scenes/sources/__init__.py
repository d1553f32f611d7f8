"""Where scenes come from: one module a scheme, each with ``open_source(path, **options) -> SceneSet``.

Adding a source is adding a file: its module name is its scheme.
"""

from __future__ import annotations

import importlib
import inspect
import logging
import pkgutil
from collections.abc import Callable
from urllib.parse import parse_qsl

from bglab.catalogue import unknown_name
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.scenes.scene import SceneSet

_LOG = logging.getLogger(__name__)


def schemes() -> list[str]:
    """List the schemes that `open_scenes` understands.

    Example:
        >>> "in9" in schemes()
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def open_scenes(uri: str) -> SceneSet:
    """Open a set of scenes; nothing is decoded yet.

    Args:
        uri: ``scheme:path?option=value&…``: ``in9:PATH`` (the release), ``imagenet:PATH``, ``voc:PATH``,
            ``caltech101:PATH``, ``folder:PATH``, ``cutouts``, ``sample``, ``synthetic9``.

    Raises:
        UnknownName: If there is no such scheme or option.
        MissingData: If the path or the pack is not there.
        BadInput: If the path is not laid out as its scheme says.

    Example:
        >>> len(open_scenes("synthetic9?n=18"))
        18
    """
    scheme, _, rest = uri.partition(":")
    if "?" in scheme:
        scheme, _, rest = scheme.partition("?")
        rest = f"?{rest}"
    path, _, query = rest.partition("?")
    if scheme not in schemes():
        raise UnknownName(unknown_name("source of scenes", scheme, schemes()))
    opener: Callable[..., SceneSet] = importlib.import_module(f"{__name__}.{scheme}").open_source
    known = [name for name in inspect.signature(opener).parameters if name not in {"path", "uri"}]
    options = dict(parse_qsl(query, keep_blank_values=True))
    for option in options:
        if option not in known:
            raise UnknownName(unknown_name(f"option of {scheme}:", option, known or ["(none)"]))
    try:
        return opener(path, uri=uri, **options)
    except TypeError as problem:  # a wrong value of an option surfaces here with the option's name
        raise BadInput(f"expected usable options in '{uri}', got: {problem}") from problem


def available(*uris: str) -> list[str]:
    """Keep the sets that can be opened on this machine, so that a notebook runs on what is at hand.

    Args:
        *uris: Sets in order of preference; one whose data is missing is left out with a log line.

    Raises:
        MissingData: If none can be opened; the message is that of the first.
    """
    found: list[str] = []
    missing: list[MissingData] = []
    for uri in uris:
        try:
            open_scenes(uri)
        except MissingData as problem:
            _LOG.warning("going on without %s: %s", uri, problem)
            missing.append(problem)
        else:
            found.append(uri)
    if not found:
        raise missing[0]
    return found
