"""A part of Sphinx: resolves names in backticks, however a docstring imports them, and leaves out what is no page."""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.domains.python import PyObject, PythonDomain
from sphinx.environment import BuildEnvironment

from _generate.names import public_names


def setup(app: Sphinx) -> dict[str, Any]:
    """Register what follows with Sphinx."""
    app.connect("missing-reference", _resolve)
    for field in PyObject.doc_field_types:
        if field.name == "variable":
            field.label = "Attributes"
    app.connect("autodoc-skip-member", _skip)
    app.connect("autodoc-process-docstring", _mend, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}


def _resolve(app: Sphinx, env: BuildEnvironment, node: pending_xref, content: nodes.Element) -> nodes.Element | None:
    """Find the page of a name that was written in another way than the one it is documented under."""
    if node.get("refdomain") != "py":
        return None
    domain = env.domains.python_domain
    assert isinstance(domain, PythonDomain)
    for full in _candidates(str(node["reftarget"]).removesuffix("()")):
        if full in domain.objects:
            entry = domain.objects[full]
            builder, page = app.builder, str(node["refdoc"])
            target = builder.get_relative_uri(page, entry.docname) + "#" + entry.node_id
            if entry.docname == page:
                target = "#" + entry.node_id
            return nodes.reference("", "", content.deepcopy(), internal=True, refuri=target, reftitle=full)
    return None


def _candidates(target: str) -> list[str]:
    """List the documented names that may be meant, the most certain first."""
    exact, by_end = _index()
    parts = target.split(".")
    found, owners = [], []
    for length in range(len(parts), 0, -1):
        head, rest = ".".join(parts[:length]), parts[length:]
        ends = by_end.get(head, set())
        known = exact.get(head) or (next(iter(ends)) if len(ends) == 1 else None)
        if known:
            found.append(".".join([known, *rest]))
            owners.append(known)
    # a field has no place of its own: its class describes it
    return found + owners


@cache
def _index() -> tuple[dict[str, str], dict[str, set[str]]]:
    """Map every full name, and where objects are defined, to the name they are documented under; the same for ends."""
    exact: dict[str, str] = {}
    by_end: dict[str, set[str]] = defaultdict(set)
    for entry in public_names():
        exact[entry.full] = entry.listed_as
        home = f"{getattr(entry.thing, '__module__', '')}.{getattr(entry.thing, '__qualname__', '')}"
        exact.setdefault(home, entry.listed_as)
        by_end[entry.name].add(entry.listed_as)
    return exact, by_end


def _skip(_app: Sphinx, _kind: str, _name: str, thing: Any, _skips: Any, _options: Any) -> bool | None:
    """Leave out the fields of named tuples, which their class describes, and what matplotlib adds to classes."""
    if (getattr(thing, "__doc__", None) or "").startswith("Alias for field number"):
        return True
    return True if str(getattr(thing, "__module__", None) or "bglab").partition(".")[0] != "bglab" else None


def _mend(_app: Sphinx, _kind: str, _name: str, _thing: Any, _options: Any, lines: list[str]) -> None:
    """Keep napoleon from taking the begin of a sentence for a type: "One row per group: …"; the signature has types."""
    for number, line in enumerate(lines):
        if line in ("Returns:", "Yields:"):
            lines[number] = f":{line.lower()}"
