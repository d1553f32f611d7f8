"""The report of a reproduction: a self-contained HTML page, and the same results as JSON for scripts."""

from __future__ import annotations

import base64
import io
import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import pandas as pd
from PIL import Image

from bglab.analysis import detectable_difference, to_html, to_records
from bglab.figures import find_venue, font_note
from bglab.files import write_text
from bglab.papers.artefact import STATUSES, Artefact, Outcome, Product
from bglab.papers.recognition import PAPERS_DATA
from bglab.papers.verdicts import KINDS
from bglab.results import commit, versions

if TYPE_CHECKING:
    from bglab.papers.reproduction import Reproduction

PAPERS = {
    "nos": "Noise or Signal: The Role of Image Backgrounds in Object Recognition (arXiv 2006.09994)",
    "tbc": "Time for a Background Check! Uncovering the Impact of Background Features (arXiv 2006.14077)",
}
#: Name of the report for scripts.
REPORT = "report.json"
_WIDTH_PX = 1400
# columns of a comparison that do not name a number
_NOT_IDENTITY = frozenset(
    {"ours", "ours_low", "ours_high", "published", "difference", "inside", "place", "note", "n", "dataset", "digits",
     "kind", "tolerance", "verdict", "seeds", "mean", "sd"}
)  # fmt: skip


def paper_title(name: str) -> str:
    """Return the title of a paper by its short name, e.g. "nos"."""
    return PAPERS.get(name, name)


def write_report(outcomes: Sequence[Outcome], reproduction: Reproduction) -> tuple[Path, Path]:
    """Write ``report.html`` and ``report.json`` into the output folder.

    Args:
        outcomes: The outcomes, in the order of the report.
        reproduction: The reproduction that made them.

    Returns:
        Paths of the two files.
    """
    folder = reproduction.settings.out
    page = folder / "report.html"
    _write(page, render(outcomes, reproduction))
    return page, write_entries({outcome.artefact.id: entry_of(outcome) for outcome in outcomes}, folder)


def write_entries(entries: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.json`` into a folder.

    Args:
        entries: Entries from `entry_of`, or of an earlier report, by the artefact's id.
        folder: The folder.
    """
    data = folder / REPORT
    _write(data, json.dumps(entries, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    return data


def entry_of(outcome: Outcome) -> dict[str, Any]:
    """Return an outcome as JSON-serialisable values: status, our numbers, the published numbers, and their origin."""
    artefact, product = outcome.artefact, outcome.product
    return {
        "status": outcome.status,
        "chip": outcome.chip,
        "counts": outcome.tally._asdict() if outcome.tally else None,
        "reason": outcome.reason,
        "command": outcome.command,
        "title": artefact.title,
        "place": artefact.place,
        "data": outcome.data,
        "models": list(product.models) if product else [],
        "n": list(product.n) if product and product.n else None,
        "ours": _records(product.table) if product else [],
        "published": _records(artefact.printed_rows()),
        "compared": _records(product.compared) if product and product.compared is not None else [],
        "tests": {test.title: _records(test.table) for test in product.tests} if product else {},
        "notes": list(product.notes) if product else [],
        "contradictions": list(artefact.contradictions),
        "files": list(outcome.files),
    }


def render(outcomes: Sequence[Outcome], reproduction: Reproduction) -> str:
    """Render the report as one HTML page without external resources."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("bglab.papers", "."), autoescape=True, undefined=jinja2.StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    sections = [_section(outcome, reproduction.settings.out) for outcome in outcomes]
    counts = Counter(outcome.status for outcome in outcomes)
    return environment.get_template("report.html.j2").render(
        papers=[paper_title(name) for name in dict.fromkeys(o.artefact.paper for o in outcomes)],
        sections=sections,
        statuses=[(name, counts[name], meaning) for name, meaning in STATUSES.items() if counts[name]],
        data=f"{reproduction.data}, fingerprint {reproduction.scenes.fingerprint}",
        credit=reproduction.scenes.credit,
        scenes=reproduction.settings.scenes if ":" not in reproduction.settings.scenes else reproduction.scenes.name,
        models=reproduction.settings.models,
        preset=reproduction.trained.preset,
        drawn=font_note(find_venue(reproduction.settings.venue, reproduction.settings.width)),
        other_data=_other_data(outcomes, reproduction),
        kinds=KINDS.items(),
        seed_sd=f"{100 * reproduction.settings.seed_sd:g}",
        detectable=_detectable_differences(len(reproduction.scenes)),
        n=len(reproduction.scenes),
        versions=versions(),
        commit=commit(),
    )


def _other_data(outcomes: Sequence[Outcome], reproduction: Reproduction) -> list[str]:
    """Explain for each data set of the papers why the test data are not known to be it."""
    names = dict.fromkeys(o.artefact.papers_data for o in outcomes if o.product is not None and o.artefact.uses_data)
    found = {name: reproduction.recognised(name) for name in names}
    verbs = {"other": "are not", "unverified": "may be"}
    return [
        f"The test data {verbs[f.state]} {PAPERS_DATA[name].title}: {f.reason}."
        for name, f in found.items()
        if f.state != "recognised"
    ]


def _section(outcome: Outcome, folder: Path) -> dict[str, Any]:
    """Collect what the page shows for one artefact."""
    artefact, product = outcome.artefact, outcome.product
    compared = product.compared if product else None
    return {
        "id": artefact.id,
        "title": artefact.title,
        "place": artefact.place,
        "about": artefact.about,
        "status": outcome.status,
        "chip": outcome.chip,
        "colour": outcome.status.replace(" ", "-"),
        "is_judged": bool(outcome.tally and outcome.tally.compared),
        "reason": outcome.reason,
        "command": outcome.command,
        "data": outcome.data,
        "needs": [need.text for need in artefact.needs],
        "image": _embedded(folder / f"{artefact.id}.png") if product and _is_drawn(product) else "",
        "table": _table(product.table if product.shown is None else product.shown, product.bold) if product else "",
        "published": _table(published_table(artefact, product)),
        "compared": _table(comparison_table(compared)) if compared is not None else "",
        "kind": _only_kind(compared) if compared is not None else "",
        "tests": [(test.heading or test.title, _table(test.table)) for test in product.tests] if product else [],
        "notes": product.notes if product else (),
        "contradictions": artefact.contradictions,
        "models": product.models if product else (),
        "n": _count(product.n) if product else "",
        "files": outcome.files,
    }


def _is_drawn(product: Product) -> bool:
    return product.figure is not None and not product.figure_is_table


def published_table(artefact: Artefact, product: Product | None = None) -> pd.DataFrame:
    """Arrange the published numbers: like ours if the product or artefact says how, else as a list; empty if none.

    Args:
        artefact: The artefact.
        product: What it made; None if it was not made.
    """
    rows = artefact.printed_rows()
    if artefact.printed and not artefact.uses_data and product is not None:
        return rows.iloc[:0]  # ours are these very numbers
    if product is not None and product.published is not None:
        return product.published
    if rows.empty:
        return rows
    if artefact.layout is not None:
        return artefact.layout(rows)
    rows = rows.assign(quantity=rows["quantity"].str.replace("_", " ").replace("pictures", "images"))
    fractions = rows["unit"] == "fraction"
    rows = rows.assign(value=[v if f else int(v) for v, f in zip(rows["value"], fractions, strict=True)])
    shown = [c for c in ("label", "model", "train", "test", "quantity", "value", "note") if set(rows[c]) != {""}]
    return rows.reindex(columns=shown).astype({"value": object})


def comparison_table(compared: pd.DataFrame) -> pd.DataFrame:
    """Format a comparison as text, with as many decimals as the paper prints.

    Args:
        compared: Comparisons of an `Outcome`'s product.

    Returns:
        What names each number, then ours, the published one, the difference, the tolerance and the verdict.
    """
    known = compared.dropna(subset=["published"])
    rows = known.to_dict("records")
    names = [c for c in known.columns if c not in _NOT_IDENTITY]
    decimals = [int(row["digits"]) if "digits" in known.columns else None for row in rows]
    columns = {
        "Ours": [_printed(row["ours"], d) for row, d in zip(rows, decimals, strict=True)],
        "Published": [_printed(row["published"], d) for row, d in zip(rows, decimals, strict=True)],
        "Difference": [_printed(row["difference"], d, sign="+") for row, d in zip(rows, decimals, strict=True)],
        "Agrees within": [
            _printed(row["tolerance"], None if d is None else d + 1) for row, d in zip(rows, decimals, strict=True)
        ],
    }
    shown = known.reindex(columns=names).rename(columns={"printed": "paper's model"})
    shown = shown.assign(**columns, Verdict=known["verdict"])
    if not _only_kind(compared):
        shown = shown.assign(Kind=known["kind"])
    return shown.assign(note=known["note"]) if "note" in known.columns and set(known["note"]) != {""} else shown


def _only_kind(compared: pd.DataFrame) -> str:
    """Name the kind of comparison that all rows share; "" if they differ."""
    kinds = set(compared.dropna(subset=["published"])["kind"]) - {""}
    return kinds.pop() if len(kinds) == 1 else ""


def _printed(value: float, decimals: int | None, sign: str = "") -> str:
    """Write a fraction as percent with a number of decimals, or a count (None)."""
    if math.isnan(value):
        return "–"
    text = f"{value:{sign}z,.0f}" if decimals is None else f"{100 * value:{sign}z.{decimals}f}"
    return text.removeprefix("+" if not float(text.replace(",", "")) else "").replace("-", "−")


def _table(table: pd.DataFrame, bold: pd.DataFrame | None = None) -> str:
    """Write a table as HTML that scrolls horizontally if it is too wide."""
    if table.empty:
        return ""
    # the files keep the column name of earlier versions
    return f'<div class="wide">{to_html(table.rename(columns={"pictures": "images"}), bold=bold)}</div>'


def _count(n: tuple[int, int] | None) -> str:
    if n is None:
        return ""
    return f"{n[0]:,}" if n[0] == n[1] else f"{n[0]:,} to {n[1]:,}"


def _detectable_differences(n: int) -> list[tuple[str, str]]:
    """Compute the difference in accuracy detectable with n scenes, for a few shares of disagreement."""
    found = [(share, detectable_difference(n, share)) for share in (0.05, 0.1, 0.2)]
    return [(f"{100 * s:.0f}\u00a0%", f"{100 * d:.1f} points") for s, d in found if not math.isnan(d)]


def _embedded(path: Path) -> str:
    """Encode a figure as a data URI."""
    kind, content = screen_image(path)
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def screen_image(path: Path) -> tuple[str, bytes]:
    """Encode a figure for the screen: plots as PNG, figures with photographs as JPEG, both at screen resolution.

    Args:
        path: A figure that `bglab.figures.save` wrote as PNG.

    Returns:
        ``"png"`` or ``"jpeg"``, and the file's content.
    """
    with Image.open(path) as image:
        plain = image.convert("RGB")
    if plain.width > _WIDTH_PX:
        plain = plain.resize((_WIDTH_PX, round(plain.height * _WIDTH_PX / plain.width)), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    # plots have few colours, photographs many
    if plain.getcolors(maxcolors=40_000) is None:
        plain.save(buffer, "JPEG", quality=86)
        return "jpeg", buffer.getvalue()
    plain.quantize(256, dither=Image.Dither.NONE).save(buffer, "PNG", optimize=True)
    return "png", buffer.getvalue()


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Convert rows to JSON-serialisable values; what JSON does not have becomes text."""
    return [{name: _plain(cell) for name, cell in row.items()} for row in to_records(table)]


def _plain(cell: Any) -> Any:
    return cell if isinstance(cell, bool | int | float | str | None) else str(cell)


def _write(path: Path, text: str) -> None:
    write_text(path, text, what="the report", remedy="choose another --out")
