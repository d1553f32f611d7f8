"""Sources of scenes: one module per URI scheme, each with a function ``open_source(path, **options) -> SceneSet``.

To add a source, add a module; its name is the scheme.
"""

from __future__ import annotations

import importlib
import logging
import pkgutil
from collections.abc import Callable
from pathlib import Path

from bglab.catalogue import looked_up, unknown_name, uri_options
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.scenes.scene import SceneSet

_LOG = logging.getLogger(__name__)

#: Photographs that need no dataset of one's own, used where no scenes are named: 82 objects, each on three photographs
#: of the scenery of its class.
DEFAULT_SCENES = "cutouts?copies=3"


def schemes() -> list[str]:
    """List the URI schemes that `open_scenes` supports.

    Example:
        >>> "in9" in schemes()
        True
    """
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if not module.name.startswith("_"))


def open_scenes(uri: str | Path) -> SceneSet:
    """Open a set of scenes without decoding any image.

    Args:
        uri: A folder of images, as for ``folder:PATH``, or ``scheme:path?option=value&…``. The schemes are
            ``in9:PATH`` (the release of Noise or Signal), ``imagenet:PATH``, ``voc:PATH``, ``caltech101:PATH``,
            ``coco:PATH``, ``folder:PATH``, ``cutouts``, ``sample`` and ``synthetic9``; the options are the parameters
            of ``open_source`` in the scheme's module.

    Raises:
        UnknownName: If there is no such scheme or option.
        MissingData: If the data is not on this machine.
        BadInput: If an option has an unusable value, or the folder does not have the expected layout.

    Example:
        >>> len(open_scenes("synthetic9?n=18"))
        18
    """
    with looked_up(str(uri)):
        return _open(_of_folder(uri))


def _open(uri: str) -> SceneSet:
    scheme, _, rest = uri.partition(":")
    if "?" in scheme:
        scheme, _, rest = scheme.partition("?")
        rest = f"?{rest}"
    path, _, query = rest.partition("?")
    if scheme not in schemes():
        raise UnknownName(unknown_name("source of scenes", scheme, schemes()))
    opener: Callable[..., SceneSet] = importlib.import_module(f"{__name__}.{scheme}").open_source
    options = uri_options(scheme, query, opener)
    try:
        return opener(path, uri=uri, **options)
    except TypeError as problem:  # raised for options whose value has the wrong type
        raise BadInput(f"expected usable options in '{uri}', got: {problem}") from problem


def _of_folder(given: str | Path) -> str:
    """Return the URI that a folder stands for, or the URI itself.

    Raises:
        BadInput: If it is neither.
    """
    if not isinstance(given, (str, Path)):
        raise BadInput(
            f"expected the URI of scenes such as 'cutouts' or 'in9:PATH', or a folder, got {type(given).__name__}"
        )
    text = str(given)
    named = text.partition(":")[0].partition("?")[0] in schemes()
    return f"folder:{text}" if isinstance(given, Path) or (not named and Path(text).is_dir()) else text


def absolute_uri(uri: str) -> str:
    """Return a URI whose path, if there is one on this machine, does not depend on the working folder.

    Example:
        >>> absolute_uri("synthetic9?n=18")
        'synthetic9?n=18'
    """
    scheme, colon, rest = uri.partition(":")
    path, mark, query = rest.partition("?")
    located = Path(path).expanduser()
    return f"{scheme}:{located.resolve()}{mark}{query}" if colon and path and located.exists() else uri


def available(*uris: str) -> list[str]:
    """Filter URIs by whether their data is on this machine, so that a notebook runs with what is available.

    Args:
        *uris: URIs for `open_scenes`; those whose data is missing are skipped with a logged warning.

    Returns:
        The URIs that can be opened, in the given order.

    Raises:
        BadInput: If no URI is given.
        MissingData: If none can be opened; the message is that of the first.
    """
    if not uris:
        raise BadInput('expected at least one URI, got none; give for example bglab.available("cutouts", "sample")')
    found: list[str] = []
    missing: list[MissingData] = []
    for uri in uris:
        try:
            open_scenes(uri)
        except MissingData as problem:
            _LOG.warning("skipping %s: %s", uri, problem)
            missing.append(problem)
        else:
            found.append(uri)
    if not found:
        raise missing[0]
    return found
