"""The public names of bglab and of its packages, each under the shortest name by which it can be imported."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from types import ModuleType
from typing import Any, Literal

from sphinx.pycode import ModuleAnalyzer

import bglab

#: The command line has pages of its own.
_NOT_LISTED = frozenset({"__main__", "commands"})
Kind = Literal["class", "exception", "function", "data"]


@dataclass(frozen=True)
class Public:
    """A public name.

    Attributes:
        module: Module that hands it out, such as ``bglab.analysis``.
        name: Its name there.
        thing: The object.
        listed_as: Full name under which it is documented: another one if a module before this one hands it out, too.
    """

    module: str
    name: str
    thing: Any
    listed_as: str

    @property
    def full(self) -> str:
        """Full name, such as ``bglab.analysis.accuracy``."""
        return f"{self.module}.{self.name}"

    @property
    def kind(self) -> Kind:
        """What it is; a callable module counts as a function."""
        if inspect.isclass(self.thing):
            return "exception" if issubclass(self.thing, BaseException) else "class"
        return "function" if inspect.isroutine(self.thing) or inspect.ismodule(self.thing) else "data"


@cache
def modules() -> tuple[str, ...]:
    """List the modules that have a page: bglab, the packages in it, then its single modules, each by name."""
    found = sorted(pkgutil.iter_modules(bglab.__path__), key=lambda module: (not module.ispkg, module.name))
    names = [module.name for module in found if module.name not in _NOT_LISTED and not module.name.startswith("_")]
    return ("bglab", *(f"bglab.{name}" for name in names))


def commented(module: str) -> dict[str, list[str]]:
    """Return the comments that begin with ``#:`` by the names that a module gives them to, as lines."""
    found = ModuleAnalyzer.for_module(module).find_attr_docs()
    return {name: lines for (owner, name), lines in found.items() if not owner}


@cache
def public_names() -> tuple[Public, ...]:
    """List all public names, module by module."""
    listed: dict[int, str] = {}
    found: list[Public] = []
    for module in modules():
        for name, thing in _names(module):
            full = f"{module}.{name}"
            # equal constants may be one object, classes and functions never are
            known = listed.setdefault(id(thing), full) if callable(thing) and not _is_alias(thing) else full
            found.append(Public(module, name, thing, known))
    return tuple(found)


def module_of(name: str) -> ModuleType:
    """Return a module, even where a function of its package has the same name."""
    importlib.import_module(name)
    return sys.modules[name]


def _names(module: str) -> Iterator[tuple[str, Any]]:
    """Yield the names that a module lists in ``__all__`` or, without it, those that it defines itself."""
    loaded = module_of(module)
    if hasattr(loaded, "__all__"):
        for name in sorted(loaded.__all__, key=str.lower):
            thing = getattr(loaded, name)
            if not inspect.ismodule(thing) or callable(thing):
                yield name, thing
        return
    constants = commented(module)
    for name, thing in sorted(vars(loaded).items(), key=lambda entry: entry[0].lower()):
        own = getattr(thing, "__module__", None) == module and not _is_alias(thing)
        if not name.startswith("_") and (own or name in constants):
            yield name, thing


def _is_alias(thing: Any) -> bool:
    """Check for names of types (`Literal`, `Union`, `TypeVar`), which are data to a reader."""
    return not (inspect.isclass(thing) or inspect.isroutine(thing) or inspect.ismodule(thing))
