"""`bglab explain`: why two prediction files differ."""

from __future__ import annotations

import argparse
import json
import math
from typing import TYPE_CHECKING, Any

from bglab.commands._options import check_outputs, command, positive, print_error, watched
from bglab.errors import MissingData

if TYPE_CHECKING:
    from bglab.analysis import FileComparison
    from bglab.evaluation import Ladder

_LISTED_IMAGES = 10
_LONGEST = 60


def add(verbs: argparse._SubParsersAction) -> None:
    """Add `explain`."""
    explain = command(verbs, "explain", run_explain)
    explain.add_argument("a", metavar="A", help="a prediction file: RESULTS/predictions/DATASET/MODEL/VARIANT.parquet")
    explain.add_argument("b", metavar="B", help="the prediction file to compare it with")
    explain.add_argument(
        "--ladder",
        action="store_true",
        help="classify again, changing one setting at a time from those of A to those of B, and say what each changes",
    )
    explain.add_argument("--json", metavar="FILE", help="write fields, steps and images to this file")
    explain.add_argument(
        "--scenes", default="", metavar="URI", help="where the scenes are now (default: where the files say)"
    )
    explain.add_argument(
        "-b", "--batch-size", type=positive, default=64, help="images per forward pass (default: %(default)s)"
    )


def run_explain(options: argparse.Namespace) -> int:
    """Explain why two prediction files differ: settings, images that changed, and what each setting changes."""
    from bglab.analysis import compare_files
    from bglab.files import write_text
    from bglab.locations import place_of

    for path in (options.a, options.b):
        if not place_of(path).is_file():
            raise MissingData(
                f"expected a prediction file at {path}, but there is none; bglab predict --results R writes them to "
                "R/predictions/DATASET/MODEL/VARIANT.parquet"
            )
    check_outputs(options.json)
    ladder = None
    if options.ladder:
        from bglab.evaluation import explain

        ladder = explain(options.a, options.b, scenes=options.scenes, batch_size=options.batch_size, progress=watched())
    comparison = ladder.comparison if ladder else compare_files(options.a, options.b)
    print("\n".join(_lines(comparison)))
    if ladder:
        print("\n".join(_ladder_lines(ladder)))
        for note in ladder.notes:
            print_error(f"notice: {note}")
    if options.json:
        write_text(options.json, json.dumps(_as_json(comparison, ladder), indent=2) + "\n", what="the comparison")
        print(options.json)
    return 0


def _lines(comparison: FileComparison) -> list[str]:
    """Format what differs, and the change of accuracy, as lines of text."""
    change = comparison.change
    lines = ["A and B differ in nothing that is recorded."]
    if comparison.fields:
        width = max(len(field.name) for field in comparison.fields)
        lines = [f"{'':{width}}  A → B"]
        lines += [f"{field.name:{width}}  {_short(field.a)} → {_short(field.b)}" for field in comparison.fields]
    images = change.images
    lines += [
        "",
        f"top-1 accuracy: {100 * change.top1_before:.1f} % → {100 * change.top1_after:.1f} % "
        f"({_signed(change.points)} points)",
        f"predicted class changed: {len(images)} of {change.common + int(images.isna().any(axis=1).sum())} images",
    ]
    for row in images.head(_LISTED_IMAGES).to_dict("records"):
        before, after, label = (_class(comparison, row[name]) for name in ("before", "after", "label"))
        lines.append(f"  {row['scene']}: {before} → {after} (true class {label})")
    if len(images) > _LISTED_IMAGES:
        lines.append(f"  … and {len(images) - _LISTED_IMAGES} more; --json lists all")
    return lines


def _ladder_lines(ladder: Ladder) -> list[str]:
    """Format the steps as lines of text."""
    lines = ["", "One setting at a time, in this order:"]
    width = max((len(step.field) for step in ladder.steps), default=0)
    for step in ladder.steps:
        change = step.change
        alone = "" if math.isnan(step.points_alone) else f", alone {_signed(step.points_alone)}"
        lines.append(
            f"  {step.field:{width}}  {100 * change.top1_before:.1f} % → {100 * change.top1_after:.1f} %: "
            f"{_signed(change.points)} points{alone}, {len(change.images)} images  "
            f"({_short(step.a)} → {_short(step.b)})"
        )
    lines.append(f"  sum {_signed(ladder.points - ladder.unexplained_points)} of {_signed(ladder.points)} points")
    if ladder.unexplained_points or ladder.unexplained_images:
        lines.append(
            f"  unexplained: {_signed(ladder.unexplained_points)} points, {len(ladder.unexplained_images)} images"
        )
    return lines


def _as_json(comparison: FileComparison, ladder: Ladder | None) -> dict[str, Any]:
    """Return fields, points, images and steps; accuracies are fractions, points are percentage points."""
    change = comparison.change
    content: dict[str, Any] = {
        "fields": [field._asdict() for field in comparison.fields],
        "top1_a": change.top1_before,
        "top1_b": change.top1_after,
        "points": change.points,
        "images_in_both": change.common,
        "images_changed": len(change.images),
        "images": json.loads(change.images.to_json(orient="records") or "[]"),
    }
    if ladder is not None:
        content["steps"] = [
            {
                "field": step.field,
                "a": step.a,
                "b": step.b,
                "top1_before": step.change.top1_before,
                "top1_after": step.change.top1_after,
                "points": step.change.points,
                "points_alone": None if math.isnan(step.points_alone) else step.points_alone,
                "interaction": None if math.isnan(step.interaction) else step.interaction,
                "images_changed": len(step.change.images),
                "images": step.change.images["scene"].tolist(),
            }
            for step in ladder.steps
        ]
        content |= {
            "unexplained_points": ladder.unexplained_points,
            "unexplained_images": ladder.unexplained_images,
            "notes": list(ladder.notes),
        }
    return content


def _short(value: Any) -> str:
    text = "–" if value is None else str(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"


def _signed(points: float) -> str:
    return f"{points:+.1f}".replace("-", "−")


def _class(comparison: FileComparison, number: Any) -> str:
    import pandas as pd

    return "absent" if pd.isna(number) else comparison.class_name(int(number))
