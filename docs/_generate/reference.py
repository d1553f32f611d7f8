"""Pages of the public names, one per module, from which autodoc takes signatures and docstrings."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from _generate.names import Kind, Public, commented, module_of, modules, public_names
from _generate.pages import write

_HEADINGS: dict[Kind, str] = {"function": "Functions", "class": "Classes", "exception": "Errors", "data": "Data"}


def write_reference(folder: Path) -> None:
    """Write a page per module and the list of them.

    Args:
        folder: Folder of the site's sources.
    """
    for module in modules():
        write(folder / "reference" / f"{module}.rst", _page(module))
    lines = [
        "# Python reference",
        "What `import bglab` hands out comes first; each package has a page with everything it hands out to others.",
        "| | |\n|---|---|",
        *(f"| [`{module}`]({module}.rst) | {_first_line(module)} |" for module in modules()),
    ]
    text = "\n\n".join(lines[:2]) + "\n\n" + "\n".join(lines[2:])
    listed = "\n".join(modules())
    write(folder / "reference" / "index.md", f"{text}\n\n```{{toctree}}\n:hidden:\n\n{listed}\n```\n")


def _page(module: str) -> str:
    """Write the page of a module."""
    names = [entry for entry in public_names() if entry.module == module]
    here = [entry for entry in names if entry.listed_as == entry.full]
    elsewhere = [entry for entry in names if entry.listed_as != entry.full]
    parts = [
        _heading(module, "="),
        f".. py:module:: {module}\n   :no-index-entry:",
        inspect.getdoc(module_of(module)) or "",
    ]
    for kind, title in _HEADINGS.items():
        chosen = [entry for entry in here if entry.kind == kind]
        if chosen:
            parts += [_heading(title, "-"), *map(_directive, chosen)]
    if elsewhere:
        listed = "\n".join(f"- :py:obj:`{e.listed_as}`" for e in elsewhere)
        parts += [_heading("Handed out here, too", "-"), listed]
    return "\n\n".join(parts) + "\n"


def _directive(entry: Public) -> str:
    if inspect.ismodule(entry.thing):
        call = type(entry.thing).__call__
        signature = str(inspect.signature(call)).replace("(self, ", "(").replace("(self)", "()")
        # the page of the module has its name in the index
        head = f".. py:function:: {entry.name}{signature}\n   :module: {entry.module}\n   :no-index:"
        return _block(head, inspect.getdoc(call) or inspect.getdoc(entry.thing))
    if entry.kind == "data":
        return _block(f".. py:data:: {entry.name}\n   :module: {entry.module}", "\n".join(_comment(entry)))
    options = "\n   :members:" if entry.kind in ("class", "exception") else ""
    if options and any(_says_something(base) for base in entry.thing.__bases__):
        options += "\n   :show-inheritance:"
    return f".. auto{entry.kind}:: {entry.full}{options}"


def _says_something(base: type) -> bool:
    """Check whether a reader learns from a base class."""
    return base.__module__ not in ("builtins", "abc", "typing") and not base.__name__.startswith("_")


def _block(head: str, text: str | None) -> str:
    body = "\n".join(f"   {line}".rstrip() for line in (text or "").splitlines())
    return f"{head}\n\n{body}" if body else head


def _comment(entry: Public) -> Iterator[str]:
    """Yield the lines of the comment that describes a constant, and the names that it consists of."""
    yield from _comments().get((entry.name, id(entry.thing)), ())
    keys = _keys(entry.thing)
    if keys:
        yield ""
        yield f"Names: {keys}."


def _keys(thing: Any) -> str:
    try:
        keys = list(thing) if not isinstance(thing, str) else []
    except TypeError:
        return ""
    return (
        ", ".join(f"``{key or repr(key)}``" for key in keys)
        if keys and all(isinstance(key, str) for key in keys)
        else ""
    )


@cache
def _comments() -> dict[tuple[str, int], list[str]]:
    """Map name and identity of every constant to the lines of its comment."""
    found: dict[tuple[str, int], list[str]] = {}
    for name, module in sorted(sys.modules.items()):
        if name.startswith("bglab.") and getattr(module, "__file__", None):
            for attribute, lines in commented(name).items():
                if attribute in vars(module):
                    found.setdefault((attribute, id(vars(module)[attribute])), lines)
    return found


def _first_line(module: str) -> str:
    text = (inspect.getdoc(module_of(module)) or "").partition("\n")[0]
    return text.replace("|", "\\|")


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}"
