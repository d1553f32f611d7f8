"""Pages of the two papers: every table and figure with its requirements, the published numbers and a figure of ours."""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from _generate.pages import write
from bglab.analysis import to_html
from bglab.papers import PAPERS, Artefact, catalogue
from bglab.papers.report import PAPERS as TITLES
from bglab.papers.report import published_table, screen_image

_ARXIV = {"nos": "2006.09994", "tbc": "2006.14077"}
# how the papers' data are opened, by their names in bglab.papers.recognition
_SCENES = {
    "in9": "in9:PATH/bg_challenge", "imagenet": "imagenet:PATH", "voc": "voc:PATH", "caltech101": "caltech101:PATH",
}  # fmt: skip
_NOT_MADE = "Not made for this site."


class Report(NamedTuple):
    """A report of `bglab reproduce`.

    Attributes:
        folder: Its folder.
        entries: Content of ``report.json`` by the artefacts' ids.
    """

    folder: Path
    entries: dict[str, dict[str, Any]]


def write_papers(folder: Path, report: Path | None) -> None:
    """Write a page per paper.

    Args:
        folder: Folder of the site's sources.
        report: Folder of a report whose figures are shown; None shows none.
    """
    pages = folder / "papers"
    read = None
    if report is not None:
        read = Report(report, json.loads((report / "report.json").read_text(encoding="utf-8")))
        write(pages / "figures" / "report.html", (report / "report.html").read_bytes())
    for paper in PAPERS:
        write(pages / f"{paper}.md", "\n\n".join(_page(paper, read, pages / "figures")) + "\n")


def _page(paper: str, report: Report | None, figures: Path) -> Iterator[str]:
    """Yield the paragraphs of a paper's page."""
    artefacts = list(catalogue([paper]).values())
    title = TITLES[paper].partition(" (")[0]
    yield f"# {re.split(r'(?<=!) |: ', title)[0]}"
    yield (
        f"*{title}*, [arXiv {_ARXIV[paper]}](https://arxiv.org/abs/{_ARXIV[paper]}): its {len(artefacts)} tables, "
        "figures and numbers, and the command that makes each from your data and networks."
    )
    yield "\n".join(_legend(report))
    rows = [f"| [{_md(a.place)}](#{a.id}) | {_md(a.title)} | `{a.id}` |" for a in artefacts]
    yield "| in the paper | | id |\n|---|---|---|\n" + "\n".join(rows)
    for artefact in artefacts:
        yield from _section(artefact, report, figures)


def _legend(report: Report | None) -> Iterator[str]:
    """Yield what the colours mean and, with a report, what our figures were made from."""
    yield ":::{container} legend"
    yield "[Published]{.published} marks numbers that the paper prints. [Ours]{.ours} marks what bglab computed."
    if report is None:
        yield "This copy of the site was built without figures of ours."
    else:
        data = dict.fromkeys(e["data"] for e in report.entries.values() if e["files"] and e["n"])
        drawn = " (scenes that bglab draws)" if any(text.startswith("synthetic9") for text in data) else ""
        yield (
            f"Figures of ours on this page were made from {_md('; '.join(filter(None, data)))}{drawn}; each says so. "
            "{download}`The report <figures/report.html>` has their tables."
        )
    yield ":::"


def _section(artefact: Artefact, report: Report | None, figures: Path) -> Iterator[str]:
    """Yield the paragraphs of a table or figure."""
    yield f"({artefact.id})=\n## {_md(artefact.place)}: {_md(artefact.title)}"
    yield _md(artefact.about)
    needs = "; ".join(need.text for need in artefact.needs) or "nothing"
    yield f"**Needs** {_md(needs)}. **At full size** {_md(artefact.work_text)}."
    yield f"```sh\n{command_of(artefact)}\n```"
    for sentence in artefact.contradictions:
        yield f":::{{admonition}} A contradiction in the paper\n:class: warning\n\n{_md(sentence)}\n:::"
    yield from _ours(artefact, report, figures)
    yield from _published(artefact)


def command_of(artefact: Artefact) -> str:
    """Return the command that makes a table or figure from the paper's data."""
    trained = " --trained DIR" if any("trained" in need.text for need in artefact.needs) else ""
    scenes = _SCENES[artefact.papers_data]
    return f"bglab reproduce {artefact.id} --scenes {scenes}{trained} --out report"


def _ours(artefact: Artefact, report: Report | None, figures: Path) -> Iterator[str]:
    """Yield our figure and what it was made from, or why there is none."""
    if report is None:
        return
    entry = report.entries.get(artefact.id)
    if entry is None or f"{artefact.id}.png" not in entry["files"]:
        why = _NOT_MADE if entry is None else f"Not made for this site: {entry['reason']}."
        yield f":::{{container}} ours-missing\n[Ours]{{.ours}} {_md(why)}\n:::"
        return
    kind, content = screen_image(report.folder / f"{artefact.id}.png")
    name = f"{artefact.id}.{kind}"
    write(figures / name, content)
    alt = f"Our {artefact.place}: {artefact.title}".replace("\n", " ")
    caption = f"[Ours]{{.ours}} {_md(_origin(artefact, entry))}"
    yield f":::{{figure}} figures/{name}\n:alt: {alt}\n:figclass: ours-figure\n\n{caption}\n:::"


def _origin(artefact: Artefact, entry: dict[str, Any]) -> str:
    """Return what a figure was made from, as a caption."""
    if not artefact.uses_data:
        return "made from no images: it follows from definitions."
    by = f" by {', '.join(entry['models'])}" if entry["models"] else ""
    known = entry["status"] in ("reproduced", "differs", "other models", "not compared")
    contrast = "" if known else ", not from the paper's data: compare no number of it with the paper's"
    return f"made from {entry['data']}{by}{contrast}."


def _published(artefact: Artefact) -> Iterator[str]:
    """Yield the published numbers, which a reader unfolds."""
    table = published_table(artefact)
    if table.empty:
        return
    count = len(artefact.printed_rows())
    yield (
        f'<details class="published-numbers"><summary><span class="published">Published</span> '
        f"{count} numbers as the paper prints them ({html.escape(artefact.place)})</summary>\n"
        f'<div class="wide">{_one_line(to_html(table))}</div></details>'
    )


def _one_line(text: str) -> str:
    """Join the lines of HTML, which an empty line would end in Markdown."""
    return " ".join(line.strip() for line in text.splitlines())


def _md(text: str) -> str:
    """Write plain text as Markdown that shows it literally."""
    for character in "\\*_<>|[]{}$`":
        text = text.replace(character, f"\\{character}")
    return text
