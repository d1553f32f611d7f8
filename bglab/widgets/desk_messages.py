"""What the desk sends to a browser, and the code and snapshot of it: all of it read from a run, none of it changed."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import pandas as pd

from bglab.analysis import to_cells
from bglab.figures import VENUES, WIDTHS, ShownFigure, color_of
from bglab.papers import (
    FORMATS,
    Artefact,
    DeskRun,
    Reproduction,
    Settings,
    comparison_table,
    first_missing,
    paper_title,
    published_table,
)

#: Sources that the desk suggests for the scenes; any other URI can be typed.
_SOURCES = ("synthetic9", "cutouts", "sample", "in9:PATH", "imagenet:PATH")
#: Options of `bglab reproduce` for settings whose value differs from the default.
_OPTIONS = {
    "scenes": "--scenes", "models": "-m", "out": "--out", "trained": "--trained", "train": "--train",
    "train_scenes": "--train-scenes", "large_scenes": "--large-scenes", "imagenet": "--imagenet",
    "train_minutes": "--train-minutes", "pairs_per_class": "--pairs-per-class", "size": "--size", "seed": "--seed",
    "batch_size": "--batch-size", "protocol": "--protocol", "results": "--results",
}  # fmt: skip
_COLOURS = {"reproduced": color_of("correct"), "differs": color_of("incorrect")}
_ALWAYS = ("scenes", "models", "out", "pairs_per_class")


def greeting(known: Mapping[str, Artefact], settings: Settings, state: dict[str, Any]) -> dict[str, Any]:
    """Collect what a view needs once: the artefacts, the settings, the venues, and the state."""
    listed = [{"id": each.id, "paper": each.paper, "place": each.place, "title": each.title} for each in known.values()]
    return {
        "artefacts": listed,
        "papers": {name: paper_title(name) for name in dict.fromkeys(each["paper"] for each in listed)},
        "sources": list(_SOURCES),
        "settings": {
            "scenes": settings.scenes,
            "models": " ".join(settings.models),
            "seed": settings.seed,
            "out": str(settings.out),
        },
        "venues": [name for name in VENUES if name != "notebook"],
        "widths": list(WIDTHS),
        "formats": list(FORMATS),
        "state": state,
    }


def state_of(artefact: Artefact, reproduction: Reproduction) -> dict[str, str]:
    """Return whether an artefact can be made, and otherwise what is missing and what provides it."""
    missing = first_missing(artefact, reproduction)
    if missing is None:
        return {"state": "ready", "reason": "", "command": ""}
    return {"state": missing.state, "reason": missing.reason, "command": missing.command}


def artefact_message(artefact: Artefact, run: DeskRun) -> tuple[dict[str, Any], list[bytes]]:
    """Describe an artefact with what the paper prints and, if it was made in this session, ours beside it.

    Returns:
        The message, and its figure as PNG if there is one.
    """
    outcome = run.outcomes.get(artefact.id)
    product = outcome.product if outcome else None
    status, chip = run.status(artefact)
    tables = {"published": _cells(published_table(artefact, product), None)}
    pictures: list[bytes] = []
    if product is not None:
        shown = product.table if product.shown is None else product.shown
        tables["ours"] = _cells(shown, product.bold)
        if product.compared is not None:
            tables["compared"] = _cells(comparison_table(product.compared), None)
        for test in product.tests:
            tables[test.heading or test.title] = _cells(test.table, None)
        file = run.reproduction.settings.out / f"{artefact.id}.png"
        if product.figure is not None and not product.figure_is_table and file.exists():
            pictures.append(file.read_bytes())
    content = {
        "type": "artefact",
        "id": artefact.id,
        "title": artefact.title,
        "place": artefact.place,
        "paper": paper_title(artefact.paper),
        "about": artefact.about,
        "work": artefact.work_text,
        "needs": [need.text for need in artefact.needs],
        "status": status,
        "chip": chip,
        "reason": outcome.reason if outcome else "",
        "command": outcome.command if outcome else "",
        "data": outcome.data if outcome else "",
        "n": list(product.n) if product and product.n else None,
        "models": list(product.models) if product else [],
        "predictions": sum(len(each.table) for each in run.predicted(artefact)) if product else None,
        "notes": list(product.notes) if product else [],
        "contradictions": list(artefact.contradictions),
        "tables": tables,
    }
    return content, pictures


def _cells(table: pd.DataFrame, bold: pd.DataFrame | None) -> dict[str, Any] | None:
    return None if table.empty else to_cells(table.rename(columns={"pictures": "images"}), bold=bold)._asdict()


def code_of(artefact: Artefact, settings: Settings) -> str:
    """Write the cell that makes the same, and the command that does, as its first line."""
    defaults = {each.name: each.default for each in fields(Settings)}
    chosen = {
        name: getattr(settings, name)
        for name in _OPTIONS
        if name in _ALWAYS or getattr(settings, name) != defaults[name]
    }
    words: list[str] = []
    for name, value in chosen.items():
        values = value if isinstance(value, tuple) else (value,)
        words += [_OPTIONS[name], *(shlex.quote(str(each)) for each in values)]
    arguments = [
        f"    {name}={f'Path({str(value)!r})' if name in {'out', 'trained'} else repr(value)},\n"
        for name, value in chosen.items()
    ]
    return (
        f"# bglab reproduce {artefact.id} {' '.join(words)}\n"
        "from pathlib import Path\n\n"
        "from bglab.papers import Reproduction, Settings, catalogue, run\n\n"
        f"settings = Settings(\n{''.join(arguments)})\n"
        f'(outcome,) = run([catalogue()["{artefact.id}"]], Reproduction(settings))\n'
        "outcome.product.table"
    )


def overview(known: Mapping[str, Artefact], run: DeskRun) -> ShownFigure:
    """Draw the list of artefacts with the status of each, in a column per paper."""
    lines: list[tuple[str, str, str]] = []
    for paper in dict.fromkeys(each.paper for each in known.values()):
        title = paper_title(paper).replace("!", ":").partition(":")[0]
        lines.append(("title", title, ""))
        lines += [_line(each, run) for each in known.values() if each.paper == paper]
    rows = -(-len(lines) // 2)
    figure = ShownFigure(figsize=(9.5, 0.2 * (rows + 1)))
    for i, (status, place, text) in enumerate(lines):
        left, y = 0.01 + 0.5 * (i // rows), 1 - (i % rows + 0.6) / (rows + 1)
        if status == "title":
            figure.text(left, y, place, va="top", weight="bold", fontsize=9)
            continue
        colour = _COLOURS.get(status, "#333333" if status else "#767676")
        figure.text(left, y, f"{'●' if status else '○'} {place}", va="top", fontsize=7, color=colour)
        figure.text(left + 0.11, y, text, va="top", fontsize=7, color=colour)
    return figure


def _line(artefact: Artefact, run: DeskRun) -> tuple[str, str, str]:
    status, chip = run.status(artefact)
    place = artefact.place.replace(", first table", " 1").replace(", second table", " 2")
    return status, place, artefact.title + (f" · {chip}" if status else "")
