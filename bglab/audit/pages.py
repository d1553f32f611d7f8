"""Cards and comparisons as HTML: pages without external resources, and the same content for notebooks.

The markup takes its colours from the text around it, so that it is legible on light and dark pages.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import jinja2
import numpy as np

from bglab.audit.evidence import Evidence
from bglab.audit.measures import MEASURES, Unit, written, written_interval
from bglab.figures import CARD_COLORS

#: Width and height of the plot of one measure in pixels, and the height of one model in it.
_PLOT_WIDTH, _LANE = 220, 8
_LIMITS: Mapping[Unit, tuple[float, float]] = {"share": (0.0, 1.0), "points": (-0.5, 0.5), "index": (-1.0, 1.0)}


class Mark(NamedTuple):
    """A dot with its interval: positions in pixels, NaN where undefined, and colour."""

    x: float
    low: float
    high: float
    y: float
    radius: float
    color: str


class Plot(NamedTuple):
    """The plot of one measure: size in pixels, marks, and the positions of zero and of chance (None without)."""

    width: int
    height: int
    marks: list[Mark]
    zero: float | None
    chance: float | None


def plot_of(name: str, everyone: Sequence[Evidence]) -> Plot:
    """Lay out the dots and intervals of one measure."""
    rows = [one.value(name) for one in everyone]
    least, most = _LIMITS[MEASURES[name].unit]
    ends = np.array([[row.low, row.high, row.value] for row in rows], dtype=float)
    widest = float(np.nanmax(np.abs(ends), initial=most))
    least, most = (-widest if least < 0 else 0.0), widest

    def place(value: float) -> float:
        return round(4 + (float(value) - least) / (most - least) * (_PLOT_WIDTH - 8), 1)

    marks = [
        Mark(place(row.value), place(row.low), place(row.high), _LANE * (i + 1), 4 if i == 0 else 2.5,
             CARD_COLORS[i % len(CARD_COLORS)])
        for i, row in enumerate(rows)
    ]  # fmt: skip
    chance = float(rows[0].chance)
    return Plot(
        _PLOT_WIDTH,
        _LANE * (len(rows) + 1),
        marks,
        place(0.0) if least < 0 else None,
        place(chance) if chance == chance else None,
    )


def cells_of(name: str, everyone: Sequence[Evidence]) -> list[tuple[str, str]]:
    """Write value and interval of one measure for each model."""
    rows = [one.value(name) for one in everyone]
    return [(written(name, row.value), written_interval(name, row.low, row.high)) for row in rows]


def image_uri(content: bytes) -> str:
    """Encode a JPEG as a data URI."""
    return f"data:image/jpeg;base64,{base64.b64encode(content).decode()}"


def fragment(template: str, context: Mapping[str, Any]) -> str:
    """Render the content of a page, for notebooks; every text is escaped."""
    return _environment().get_template(template).render(**context, colors=CARD_COLORS)


def page(template: str, title: str, context: Mapping[str, Any]) -> str:
    """Render a whole page without external resources."""
    content = fragment(template, context)
    return _environment().get_template("page.html.j2").render(title=title, content=content)


@functools.cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bglab.audit", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["data"] = image_uri
    environment.tests["number"] = lambda value: value == value  # noqa: PLR0124 - NaN differs from itself
    return environment
