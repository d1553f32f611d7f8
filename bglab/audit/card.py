"""The audit card: measures of one model beside others, as text, in notebooks, and as a file of one page."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bglab import files
from bglab.analysis import to_csv
from bglab.audit.captures import Capture, decode
from bglab.audit.evidence import Evidence, ScenesFacts
from bglab.audit.measures import MEASURES, written, written_interval
from bglab.audit.pages import cells_of, fragment, page, plot_of
from bglab.audit.plain import capture_columns, evidence_columns
from bglab.audit.text import headings, lines_of_text, table_text
from bglab.errors import BadInput
from bglab.figures import CardTexts, draw_card, theme
from bglab.figures import save as save_figure
from bglab.sealed import seal

#: Formats that a card is saved in.
CARD_FORMATS = (".html", ".pdf", ".png", ".json", ".csv")

#: Version of the JSON format.
CARD_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Card:
    """How much a model leans on the background, beside other models; `bglab.check` makes one.

    Attributes:
        subject: The model, with its predictions and measures.
        beside: The models it is shown beside.
        scenes: What was measured on.
        captures: The clearest captures, the clearest first.
        notices: What was left out or is unusual, one sentence each.
        versions: Versions of the packages that the numbers depend on.
        commit: Commit of the checkout, "" outside one.
        command: Command that makes the card again.
    """

    subject: Evidence
    beside: tuple[Evidence, ...]
    scenes: ScenesFacts
    captures: tuple[Capture, ...] = field(repr=False)
    notices: tuple[str, ...] = ()
    versions: Mapping[str, str] = field(default_factory=dict, repr=False)
    commit: str = ""
    command: str = ""

    @property
    def model(self) -> str:
        """URI of the model."""
        return self.subject.model

    @property
    def everyone(self) -> tuple[Evidence, ...]:
        """The model, then those beside it."""
        return (self.subject, *self.beside)

    @property
    def table(self) -> pd.DataFrame:
        """All numbers, one row per model and measure, with the columns of `bglab.audit.measures.measure_table`.

        Values are fractions in [0, 1] or differences in [-1, 1].
        """
        parts = [one.table.assign(model=one.model) for one in self.everyone]
        table = pd.concat(parts, ignore_index=True)
        return table.reindex(columns=["model", *table.columns.drop("model")])

    def __repr__(self) -> str:
        return f"Card({self.model} on {self.scenes.name}: {len(MEASURES)} measures, {len(self.captures)} captures)"

    def __str__(self) -> str:
        return self.text()

    def text(self, width: int = 100) -> str:
        """Write the card as plain text.

        Args:
            width: Most characters per line; models that do not fit beside each other follow in another table.
        """
        rows = [(MEASURES[name].title, *(_cells(one, name) for one in self.everyone)) for name in MEASURES]
        rows = [row for name, row in zip(MEASURES, rows, strict=True) for row in (row, *self._chance_row(name))]
        about = [
            f"{self.model}, weights {self.subject.digest or 'unknown'}",
            f"{self.scenes.uri}, fingerprint {self.scenes.fingerprint}",
            *self.scenes.sentences,
            "Percent with 95 % intervals, unless stated otherwise.",
        ]
        after = [f"{title}: {reason}" for title, reason in self.reasons]
        if self.captures:
            after.append("Clearest captures: " + "; ".join(capture.caption for capture in self.captures))
        after += self.notices
        parts = [
            lines_of_text(about, width),
            table_text(["", *headings([one.model for one in self.everyone])], rows, width),
            lines_of_text(after, width),
        ]
        return "\n\n".join(part for part in parts if part) + "\n"

    @property
    def reasons(self) -> list[tuple[str, str]]:
        """Titles of what the model does not have, and why."""
        rows = self.subject.table
        named = zip(rows["measure"], rows["reason"], strict=True)
        lines = [(MEASURES[name].title, reason) for name, reason in named if reason]
        if not self.captures and not self.subject.value("captured_by_some").reason:
            lines.append(("Captures", "none of an object that is correct in its own image"))
        return lines

    def _chance_row(self, name: str) -> list[tuple[str, ...]]:
        chances = [one.value(name).chance for one in self.everyone]
        if all(chance != chance for chance in chances):
            return []
        return [("  chance (its area)", *(written(name, chance) for chance in chances))]

    def _repr_html_(self) -> str:
        return fragment("card.html.j2", self._context())

    def _context(self) -> dict[str, Any]:
        """What the template shows."""
        return {
            "model": self.model,
            "digest": self.subject.digest or "unknown",
            "scenes": self.scenes,
            "headlines": self.headlines,
            "names": headings([one.model for one in self.everyone]),
            "rows": [
                {
                    "title": measure.title,
                    "about": measure.about,
                    "plot": plot_of(name, self.everyone),
                    "cells": cells_of(name, self.everyone),
                }
                for name, measure in MEASURES.items()
            ],
            "captures": self.captures,
            "reasons": self.reasons,
            "notices": self.notices,
            "command": self.command,
            "versions": self.versions,
            "commit": self.commit,
        }

    def _json(self) -> str:
        """Write everything as JSON; numbers that are undefined become null, images base64 of a JPEG."""
        content = {
            "format": CARD_FORMAT,
            "model": self.model,
            "subject": evidence_columns(self.subject, whole=True),
            "beside": [evidence_columns(one, whole=False) for one in self.beside],
            "scenes": self.scenes._asdict(),
            "captures": [capture_columns(capture) for capture in self.captures],
            "notices": list(self.notices),
            "versions": dict(self.versions),
            "commit": self.commit,
            "command": self.command,
        }
        # the digest is of what is written, and UTF-8 cannot encode every name of a file
        text = json.dumps(content, ensure_ascii=False, allow_nan=False).encode("utf-8", "replace").decode()
        return json.dumps(seal(json.loads(text)), indent=1, ensure_ascii=False) + "\n"

    def save(self, *paths: Path | str) -> list[Path]:
        """Write the card to files, whose endings select the formats.

        ``.html`` is one page without external resources, ``.pdf`` and ``.png`` one A4 page; ``.csv`` is `table`, and
        ``.json`` has everything, so that `bglab.audit.read_card` reads the card again.

        Args:
            *paths: Files to write; missing folders are created.

        Returns:
            The paths.

        Raises:
            BadInput: If an ending is another, or a file cannot be written.
        """
        chosen = [check_format(path, CARD_FORMATS) for path in paths]
        for path in chosen:
            if path.suffix.lower() in {".pdf", ".png"}:
                self._save_figure(path)
                continue
            texts = {
                ".html": lambda: page("card.html.j2", f"{self.model} · bglab check", self._context()),
                ".json": self._json,
                ".csv": lambda: to_csv(self.table),
            }
            write_text(path, texts[path.suffix.lower()]())
        return chosen

    def _save_figure(self, path: Path) -> None:
        """Draw the page, and write it as PDF or PNG."""
        first, second = self.scenes.sentences
        software = ", ".join(f"{name} {version}" for name, version in self.versions.items())
        texts = CardTexts(
            title=self.model,
            about=(
                f"weights {self.subject.digest or 'unknown'} · scenes {self.scenes.uri} · fingerprint "
                f"{self.scenes.fingerprint}",
                first,
                second,
            ),
            headlines=tuple(self.headlines),
            notes=(*(f"{title}: {reason}" for title, reason in self.reasons), *self.notices),
            footer=(
                f"Made again with: {self.command}",
                software + (f", commit {self.commit}" if self.commit else ""),
                self.scenes.credit,
            ),
        )
        titles = {name: (measure.title, measure.unit) for name, measure in MEASURES.items()}
        names = headings([one.model for one in self.everyone])
        images = [(decode(c.own_image), decode(c.image), c.caption, own_caption(c)) for c in self.captures]
        with theme():
            figure = draw_card(self.table, names, titles, images, texts)
            save_figure(figure, path)

    @property
    def headlines(self) -> list[tuple[str, str, str]]:
        """The large numbers: value with unit, interval or chance, and name."""
        lines = []
        for name, measure in MEASURES.items():
            if not measure.headline:
                continue
            row = self.subject.value(name)
            mark = " %" if measure.unit == "share" and row.value == row.value else ""
            chance = f"chance {written(name, row.chance)}" if row.chance == row.chance else ""
            below = "; ".join(part for part in (written_interval(name, row.low, row.high), chance) if part)
            lines.append((written(name, row.value) + mark, below, measure.headline))
        return lines


def own_caption(capture: Capture) -> str:
    """Caption of the object's own image: its class and that class's probability."""
    return f"{capture.class_name} {100 * capture.own_probability:.0f} %"


def _cells(one: Evidence, name: str) -> str:
    row = one.value(name)
    return f"{written(name, row.value)} {written_interval(name, row.low, row.high)}".rstrip()


def check_format(path: Path | str, formats: tuple[str, ...]) -> Path:
    """Check the ending of a file.

    Raises:
        BadInput: If it is not among the formats.
    """
    path = Path(path)
    if path.suffix.lower() not in formats:
        raise BadInput(
            f"expected a file name ending in {', '.join(formats)}, got '{path.name}'; choose one of these formats"
        )
    return path


def write_text(path: Path, text: str) -> None:
    """Write a file whole or not at all.

    Raises:
        BadInput: If it cannot be written.
    """
    # an id of a scene may hold what UTF-8 cannot encode
    files.write_text(path, text.encode("utf-8", "replace").decode(), what="the card", remedy="choose another file")
