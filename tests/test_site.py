"""The site: it has every notebook, table, command and public name, its links lead somewhere, and it loads no others."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
import types
from pathlib import Path
from urllib.parse import unquote, urldefrag

import pytest

import bglab
from bglab.__main__ import _COMMANDS, _parser
from bglab.papers import catalogue
from fixtures import ROOT
from fixtures.checkpoints import SMALL, saved, small
from fixtures.chromium import open_page

NOTEBOOKS = sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))
HOW_TOS = ("run_table_2", "your_own_model")
GENERATOR = "Sphinx is not installed; make docs installs it"


@pytest.fixture(autouse=True)
def generators(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT / "docs"))


def blocks(page, language):
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "docs" / f"{page}.md").read_text(), flags=re.DOTALL)


def commands(text):
    """Return the commands of bglab in a shell block, as words."""
    lines = [shlex.split(line, comments=True) for line in text.replace("\\\n", " ").splitlines()]
    return [words[1:] for words in lines if words[:1] == ["bglab"]]


def test_the_home_page_leads_to_table_2_by_one_click():
    home = (ROOT / "docs" / "index.md").read_text()
    assert "**[Run Table 2 on your own model](run_table_2.md)**" in home
    first = commands(blocks("run_table_2", "sh")[0])[0]
    assert first[:2] == ["reproduce", "nos-table-2"]
    assert {"--scenes", "-m"} <= set(first)


@pytest.mark.parametrize("page", HOW_TOS)
def test_the_commands_of_the_how_tos_are_commands(page):
    found = [words for block in blocks(page, "sh") for words in commands(block)]
    assert found
    for words in found:
        assert callable(_parser().parse_args(words).run), words


def smaller(text):
    """Return code or a command for a network and scenes that take seconds."""
    assert "resnet18" in text
    assert "synthetic9?n=90" in text
    return text.replace("resnet18", SMALL).replace("synthetic9?n=90", "synthetic9?n=18")


def saved_network(folder):
    (folder / "best.pt").write_bytes(saved(small(outputs=1000).state_dict()))


def python(code, folder):
    # the reader's network is the one of the checkpoint
    code = smaller(code)
    code = re.sub(
        r"^(network = .*)  # yours$",
        r"\1\nimport torch; network.load_state_dict(torch.load('best.pt', weights_only=True))",
        code,
        flags=re.MULTILINE,
    )
    ran = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr[-2000:]
    return ran.stdout


@pytest.mark.slow
def test_table_2_of_the_page_is_the_same_by_command_and_in_python(tmp_path):
    import pandas as pd

    saved_network(tmp_path)
    words = commands(smaller(blocks("run_table_2", "sh")[0]))[0]
    ran = subprocess.run(
        [sys.executable, "-m", "bglab", *words], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (tmp_path / "report" / "report.html").is_file()
    made = pd.read_csv(tmp_path / "report" / "nos-table-2.csv").set_index("test")
    assert list(made.index) == ["original", "only_bg_t", "mixed_same", "mixed_rand", "background_gap"]

    in_memory, whole = blocks("run_table_2", "python")
    printed = dict(re.findall(r"^\| (\S+) +\| (\S+)", python(in_memory, tmp_path), flags=re.MULTILINE))
    shown = {"Original": "original", "Only-BG-T": "only_bg_t", "Mixed-Rand": "mixed_rand"}
    assert {name: float(printed[name]) for name in shown} == {
        name: round(100 * made.loc[test, "top1"], 1) for name, test in shown.items()
    }
    (tmp_path / "report" / "nos-table-2.csv").unlink()
    assert python(whole, tmp_path).strip().endswith("report.html")
    again = pd.read_csv(tmp_path / "report" / "nos-table-2.csv").set_index("test")
    assert again["top1"].equals(made["top1"])


@pytest.mark.slow
def test_the_check_of_the_page_runs(tmp_path):
    saved_network(tmp_path)
    (block,) = blocks("your_own_model", "python")
    assert "mine" in python(block, tmp_path)
    assert "mine" in (tmp_path / "card.html").read_text()


@pytest.fixture(scope="module")
def papers(tmp_path_factory):
    """Return the pages of the papers with a report of one figure, and without one."""
    from PIL import Image

    sys.path.insert(0, str(ROOT / "docs"))
    from _generate.papers import write_papers

    report, made, bare = (tmp_path_factory.mktemp(name) for name in ("report", "made", "bare"))
    Image.new("RGB", (40, 30), "white").save(report / "nos-figure-1.png")
    entry = {"status": "other data", "reason": "", "models": ["net"], "n": [7, 7], "data": "drawn, 7 scenes"}
    entries = {
        "nos-figure-1": entry | {"files": ["nos-figure-1.png"]},
        "nos-figure-2": entry | {"status": "not run", "reason": "no network was given", "files": [], "n": None},
    }
    (report / "report.json").write_text(json.dumps(entries))
    (report / "report.html").write_text("<p>report</p>")
    write_papers(made, report)
    write_papers(bare, None)
    sys.path.remove(str(ROOT / "docs"))
    return made / "papers", bare / "papers"


def sections(page):
    """Return the text of each artefact on a page."""
    parts = re.split(r"^\((\w+-[\w-]+)\)=$", page.read_text(), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_table_and_figure_has_its_place(papers):
    for folder in papers:
        found = sections(folder / "nos.md") | sections(folder / "tbc.md")
        assert list(found) == list(catalogue())


@pytest.mark.parametrize("name", list(catalogue()))
def test_a_table_or_figure_says_all_that_is_known_about_it(papers, name):
    artefact = catalogue()[name]
    text = sections(papers[1] / f"{artefact.paper}.md")[name].replace("\\", "")
    assert artefact.title in text
    assert artefact.about in text
    for need in artefact.needs:
        assert need.text in text
    for sentence in artefact.contradictions:
        assert f"A contradiction in the paper\n:class: warning\n\n{sentence}" in text
    (words,) = commands(re.findall(r"```sh\n(.*?)```", text, flags=re.DOTALL)[0])
    assert _parser().parse_args(words).ids == [name]
    printed = artefact.printed_rows()
    assert (f"{len(printed)} numbers as the paper prints them" in text) == bool(len(printed))
    # no figure of ours without a report
    assert "{.ours}" not in text


def test_a_figure_of_ours_says_what_it_was_made_from(papers):
    text = sections(papers[0] / "nos.md")
    assert "figures/nos-figure-1." in text["nos-figure-1"]
    assert "[Ours]{.ours} made from drawn, 7 scenes by net, not from the paper's data" in text["nos-figure-1"]
    assert "no network was given" in text["nos-figure-2"]
    assert "Not made for this site" in text["nos-figure-3"]
    assert [path.stem for path in (papers[0] / "figures").iterdir() if path.suffix != ".html"] == ["nos-figure-1"]


def test_what_the_paper_prints_is_told_from_what_we_computed(papers):
    """Numbers of the paper are inside a box that says so, and nowhere else."""
    text = sections(papers[0] / "nos.md")["nos-table-2"]
    inside = re.search(r'<details class="published-numbers">.*?</details>', text, flags=re.DOTALL)
    assert inside is not None
    assert "56.1" in inside[0]  # MobileNet-v3 on Mixed-Rand
    assert "56.1" not in text.replace(inside[0], "")


def test_every_command_has_a_page_with_all_its_options(tmp_path):
    from _generate.commands import subcommands, write_commands

    write_commands(tmp_path)
    known = dict(subcommands(_parser()))
    assert len(known) >= len(_COMMANDS)
    for name, (parser, _) in known.items():
        page = (tmp_path / "commands" / f"{name}.md").read_text()
        for option in parser._option_string_actions:
            assert f"`{option}`" in page or option in ("-h", "--help"), (name, option)
        assert f"({name}.md)" in (tmp_path / "commands" / "index.md").read_text()


@pytest.mark.slow
def test_every_public_name_is_in_the_reference(tmp_path):
    pytest.importorskip("sphinx", reason=GENERATOR)
    from _generate.names import Public, modules, public_names
    from _generate.reference import _directive, write_reference

    write_reference(tmp_path)
    pages = {module: (tmp_path / "reference" / f"{module}.rst").read_text() for module in modules()}
    documented = set()
    for module, page in pages.items():
        documented |= set(re.findall(r"^\.\. auto\w+:: (\S+)$", page, flags=re.MULTILINE))
        documented |= {f"{module}.{name}" for name in re.findall(r"^\.\. py:\w+:: (\w+)", page, flags=re.MULTILINE)}
    assert {f"bglab.{name}" for name in bglab.__all__} <= documented
    assert {entry.listed_as for entry in public_names()} <= documented
    for package in ("analysis", "figures", "models", "papers", "saliency", "search", "training", "variants", "widgets"):
        names = sys.modules[f"bglab.{package}"].__all__
        assert {entry.name for entry in public_names() if entry.module == f"bglab.{package}"} == set(names)

    class Called(types.ModuleType):
        def __call__(self, paper: str = "nos") -> str:
            """Show a paper."""
            return paper

    # a package that can be called is a function, too
    directive = _directive(Public("bglab", "shown", Called("bglab.shown"), "bglab.shown"))
    assert directive.startswith(".. py:function:: shown(paper: ")
    assert directive.endswith("Show a paper.")


def test_a_notebook_without_outputs_is_executed_once_for_its_cells(tmp_path, monkeypatch):
    import _generate.notebooks as generator

    cell = {"cell_type": "code", "id": "a", "metadata": {}, "execution_count": None, "outputs": [], "source": "1"}
    shown = {"output_type": "stream", "name": "stdout", "text": "1"}
    source = tmp_path / "notebooks" / "00_one.ipynb"
    source.parent.mkdir()
    ran = []

    def execute(command, check):
        ran.append(command[-1])
        Path(command[-1]).write_text(json.dumps({"cells": [cell | {"outputs": [shown]}]}))

    monkeypatch.setattr(generator, "ROOT", tmp_path)
    monkeypatch.setattr(generator.subprocess, "run", execute)
    for text, expected in (("1", 1), ("1", 1), ("2", 2)):
        source.write_text(json.dumps({"cells": [cell | {"source": text}]}))
        generator.copy_notebooks(tmp_path / "site", tmp_path / "cache")
        assert len(ran) == expected
    assert "stdout" in (tmp_path / "site" / "notebooks" / source.name).read_text()
    source.write_text(json.dumps({"cells": [cell | {"outputs": [shown]}]}))
    generator.copy_notebooks(tmp_path / "site", tmp_path / "cache")
    assert len(ran) == 2


def sources():
    yield from (ROOT / "bglab").rglob("*.py")
    yield from (ROOT / "notebooks").glob("*.ipynb")
    yield from (path for path in (ROOT / "docs").rglob("*") if path.is_file() and path.suffix != ".pyc")
    yield ROOT / "CHANGELOG.md"


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Return the site that was built, or build it: minutes, with every warning an error."""
    pytest.importorskip("sphinx", reason=GENERATOR)
    pytest.importorskip("furo", reason=GENERATOR)
    built = ROOT / "build" / "site"
    home = built / "index.html"
    if not home.is_file() or home.stat().st_mtime < max(path.stat().st_mtime for path in sources()):
        built = tmp_path_factory.mktemp("site")
        command = [sys.executable, str(ROOT / "docs" / "build.py"), "--no-figures", "--out", str(built)]
        ran = subprocess.run(
            [*command, "--work", str(built.parent / "work")], capture_output=True, text=True, check=False
        )
        assert ran.returncode == 0, ran.stderr[-3000:]
    return built


@pytest.fixture(scope="module")
def pages(site):
    from bs4 import BeautifulSoup

    found = [path for path in site.rglob("*.html") if not path.is_relative_to(site / "_downloads")]
    return {path: BeautifulSoup(path.read_text(), "html.parser") for path in found}


@pytest.mark.slow
@pytest.mark.alone
def test_links_inside_the_site_resolve(pages):
    marks = {path: {tag["id"] for tag in page.find_all(id=True)} for path, page in pages.items()}
    broken = []
    for path, page in pages.items():
        for tag in page.find_all("a", href=True):
            target, mark = urldefrag(tag["href"])
            if re.match(r"\w+:", target):
                continue
            aim = (path.parent / unquote(target)).resolve() if target else path
            if not aim.is_file() or (mark and aim in marks and unquote(mark) not in marks[aim]):
                broken.append((path.name, tag["href"]))
    assert broken == []


@pytest.mark.slow
@pytest.mark.alone
def test_pages_load_nothing_from_elsewhere(site, pages):
    attributes = {"script": "src", "link": "href", "img": "src", "iframe": "src", "source": "src", "object": "data"}
    for path, page in pages.items():
        for name, attribute in attributes.items():
            for tag in page.find_all(name, attrs={attribute: True}):
                assert not re.match(r"(\w+:)?//", tag[attribute]), (path.name, str(tag)[:200])
    for style in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*['\"]?(?:\w+:)?//", style.read_text()), style.name


@pytest.mark.slow
@pytest.mark.alone
def test_two_clicks_lead_from_home_to_the_command(site, pages):
    home = pages[site / "index.html"]
    clicks = {(site / urldefrag(tag["href"])[0]).resolve() for tag in home.select("article a[href]")}
    table = pages[site / "run_table_2.html"]
    assert site / "run_table_2.html" in clicks
    assert "bglab reproduce nos-table-2 --scenes" in table.get_text()
    assert all(site / "notebooks" / f"{name}.html" in pages for name in NOTEBOOKS)
    listed = {page.name for page in (site / "reference").glob("*.html")}
    assert {"bglab.html", "bglab.papers.html", "bglab.variants.html"} <= listed
    assert "mixed_rand" in (site / "searchindex.js").read_text()


@pytest.mark.slow
@pytest.mark.alone
def test_names_in_docstrings_lead_to_their_places(site, pages):
    """`Recipe` is defined in another module than the one that it is documented in."""
    page = pages[site / "reference" / "bglab.training.html"]
    targets = {tag["href"] for tag in page.select("article a.reference.internal")}
    assert "bglab.html#bglab.Recipe" in targets or "../reference/bglab.html#bglab.Recipe" in targets
    linked = [tag for tag in page.select("article code.xref") if tag.find_parent("a")]
    assert linked


@pytest.mark.slow
@pytest.mark.browser
def test_the_site_works_from_files_on_a_narrow_screen(site):
    for width, scheme in ((700, "light"), (390, "dark")):
        with open_page(width=width, color_scheme=scheme) as page:
            asked = []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            for name in ("index", "run_table_2", "papers/nos", "notebooks/06_saliency", "reference/bglab", "cluster"):
                page.goto(f"file://{site}/{name}.html")
                wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
                assert wide <= 0, (name, width)
            page.goto(f"file://{site}/search.html?q=background+gap")
            page.wait_for_selector("#search-results li a", timeout=20_000)
            assert asked
            assert [url for url in asked if not url.startswith(("file:", "data:", "blob:"))] == []
