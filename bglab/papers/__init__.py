"""Reproductions of the two papers: a catalogue of their tables and figures, and a report that compares the numbers.

`artefact` defines a table or figure, one package per paper lists them, `runner` makes them, `report` writes the page.
Names are imported on first use, since listing the catalogue does not need torch. The package can be called, as
``bglab.papers()``, which opens the desk: `bglab.widgets.papers`.
"""

import importlib
import sys
from types import ModuleType
from typing import Any

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)


class _Callable(ModuleType):
    """This package, which Python puts in the place of the function of its name as soon as anything imports it."""

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Open the desk; takes what `bglab.widgets.papers` takes, and returns it."""
        return importlib.import_module("bglab.widgets").papers(*arguments, **options)


sys.modules[__name__].__class__ = _Callable
