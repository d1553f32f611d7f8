"""An interactive lab for one question: how much does an image classifier lean on the background?

Scenes become variants, a classifier turns them into predictions, metrics turn predictions into small tables,
figures and widgets show them. Names load when they are first used, so ``import bglab`` needs no torch.
"""

from typing import Any

import lazy_loader

__version__ = "0.1.0"

_load, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


def __getattr__(name: str) -> Any:
    """Load a public name or a package when it is first used; an unknown one is answered with the nearest."""
    if name in __all__ or name.startswith("_"):
        return _load(name)
    from importlib import import_module, util

    if util.find_spec(f"{__name__}.{name}"):
        return import_module(f"{__name__}.{name}")
    from bglab.catalogue import nearest

    near = nearest(name, __all__)
    hint = f"; did you mean bglab.{near}?" if near else "; dir(bglab) lists what it has"
    raise AttributeError(f"bglab has no '{name}'{hint}")
