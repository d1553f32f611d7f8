"""The comparison of two models: differences of all measures, and the images whose verdict changed."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from bglab.analysis import as_percent, to_csv, to_records
from bglab.audit.card import check_format, write_text
from bglab.audit.evidence import Evidence
from bglab.audit.measures import MEASURES, written, written_interval
from bglab.audit.pages import fragment, page
from bglab.audit.text import headings, lines_of_text, table_text
from bglab.names import display_name

#: Formats that a comparison is saved in.
COMPARISON_FORMATS = (".html", ".json", ".csv")

#: Changed images that are listed in text, and shown in notebooks and pages.
_LISTED = 12


@dataclass(frozen=True, eq=False)
class Comparison:
    """What changed from one model to another on the same images; `bglab.compare` makes one.

    Attributes:
        before: The first model.
        after: The second model.
        table: Differences of the measures, see `bglab.audit.changes.difference_table`.
        counts: Fixed and broken images per variant with an exact test, see `bglab.audit.changes.verdict_counts`.
        changes: The images whose verdict changed, the clearest first, see `bglab.audit.changes.changed_images`.
        left_out: Number of predictions of images that only one model has classified.
        thumbnails: JPEG of the first changed images, by their row in ``changes``; empty if the scenes are not at hand.
    """

    before: Evidence
    after: Evidence
    table: pd.DataFrame
    counts: pd.DataFrame
    changes: pd.DataFrame
    left_out: int = 0
    thumbnails: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def __repr__(self) -> str:
        fixed = self.changes["change"].tolist().count("fixed")
        return (
            f"Comparison({self.before.model} → {self.after.model}: {fixed} images fixed, "
            f"{len(self.changes) - fixed} broken)"
        )

    def __str__(self) -> str:
        return self.text()

    @property
    def _differences(self) -> list[tuple[str, str, str, str, str]]:
        """Title, before, after, difference and interval of each measure, as text."""
        return [
            (
                MEASURES[name].title,
                written(name, before),
                written(name, after),
                written(name, difference, sign=True),
                written_interval(name, low, high, sign=True),
            )
            for name, _, before, after, difference, low, high in self.table.itertuples(index=False, name=None)
        ]

    @property
    def _left_out(self) -> str:
        if not self.left_out:
            return ""
        return f"{self.left_out:,} predictions of images that only one of the two has are left out."

    def text(self, width: int = 100) -> str:
        """Write the comparison as plain text.

        Args:
            width: Most characters per line.
        """
        about = [
            f"before: {self.before.model}, weights {self.before.digest or 'unknown'}",
            f"after:  {self.after.model}, weights {self.after.digest or 'unknown'}",
            "Percent and percentage points; differences are after − before, paired, with 95 % intervals.",
            self._left_out,
        ]
        rows = [(*row[:3], f"{row[3]} {row[4]}".rstrip()) for row in self._differences]
        names = ["before", "after", "after − before"]
        counts = as_percent(self.counts.drop(columns=["discordant"]))
        changes = [_line(row) for row in self.changes.head(_LISTED).to_dict("records")]
        more = len(self.changes) - len(changes)
        changes += [f"… and {more:,} more"] if more else []
        title = f"Images whose verdict changed, the clearest first ({len(self.changes):,}):"
        parts = [
            lines_of_text(about, width),
            table_text(["", *names], rows, width),
            table_text(counts.columns.tolist(), counts.to_numpy().tolist(), width),
            lines_of_text([title, *changes], width) if changes else "No verdict changed.",
        ]
        return "\n\n".join(parts) + "\n"

    def _repr_html_(self) -> str:
        return fragment("comparison.html.j2", self._context())

    def _context(self) -> dict[str, Any]:
        """What the template shows."""
        shown = self.changes.head(2 * _LISTED)
        return {
            "before": self.before,
            "after": self.after,
            "names": headings([self.before.model, self.after.model]),
            "differences": self._differences,
            "counts": as_percent(self.counts.drop(columns=["discordant"])),
            "left_out": self._left_out,
            "changes": [
                (row | {"variant": display_name(str(row["variant"]))}, self.thumbnails.get(place))
                for place, row in enumerate(shown.to_dict("records"))
            ],
            "total": len(self.changes),
            "predicted": prediction_text,
        }

    def save(self, *paths: Path | str) -> list[Path]:
        """Write the comparison to files, whose endings select the formats.

        ``.html`` is one page without external resources, ``.csv`` the changed images, ``.json`` all three tables.

        Args:
            *paths: Files to write; missing folders are created.

        Returns:
            The paths.

        Raises:
            BadInput: If an ending is another, or a file cannot be written.
        """
        chosen = [check_format(path, COMPARISON_FORMATS) for path in paths]
        title = f"{self.before.model} → {self.after.model} · bglab compare"
        for path in chosen:
            texts = {
                ".html": lambda: page("comparison.html.j2", title, self._context()),
                ".json": self._json,
                ".csv": lambda: to_csv(self.changes),
            }
            write_text(path, texts[path.suffix.lower()]())
        return chosen

    def _json(self) -> str:
        content = {
            "before": {"model": self.before.model, "digest": self.before.digest},
            "after": {"model": self.after.model, "digest": self.after.digest},
            "differences": to_records(self.table),
            "counts": to_records(self.counts),
            "changes": to_records(self.changes),
            "left_out": self.left_out,
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def _line(row: Mapping[str, Any]) -> str:
    """Describe a changed image in one line."""
    sides = (
        f"{prediction_text(row[side], row[f'{side}_native'])} {100 * row[f'{side}_confidence']:.0f} %"
        for side in ("before", "after")
    )
    return f"  {row['change']:<6} {row['scene']}, {display_name(str(row['variant']))}: {' → '.join(sides)}"


def prediction_text(name: str, native: str) -> str:
    """Name a predicted class, with the model's own class in brackets if that is another.

    Example:
        >>> prediction_text("insect", "bee"), prediction_text("dog", "dog")
        ('insect (bee)', 'dog')
    """
    if name == "(outside)":
        return native or name
    return name if native in {"", name} else f"{name} ({native})"
