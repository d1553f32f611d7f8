"""Every table and figure at the narrowest column: no text is small or cut, fonts are embedded, LaTeX fits."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from PIL import Image

from bglab import figures
from bglab.commands import reproduce as command
from bglab.errors import UnknownName
from bglab.figures import theme
from bglab.models import LISTS, TABLE_1
from bglab.papers import FORMATS, Reproduction, catalogue, data_text, export_product
from bglab.papers.artefact import Artefact, Product
from bglab.papers.background_check import catalogue as background_check
from bglab.papers.background_check import text_numbers
from bglab.papers.exporting import caption, latex_table
from fixtures.evaluations import evaluated
from fixtures.latex import compile_tables, has_latex, latex_problems, tabulars
from fixtures.parsers import run
from fixtures.plots import layout_problems
from fixtures.predictions import with_verdicts
from fixtures.trained import small_settings

KNOWN = catalogue()
COLUMN = min(venue.column for venue in figures.VENUES.values())
#: Names as long as those of the papers' networks, which the two small networks get.
NAMES = ("timm:tf_mobilenetv3_small_100.in1k", "tv:wide_resnet50_2/IMAGENET1K_V1")


class LongNames(Reproduction):
    """A reproduction whose small networks have the names of the papers' networks."""

    def label(self, model):
        given = self.settings.models
        return NAMES[given.index(model)] if model in given else super().label(model)


def many_networks():
    """Evaluate as many networks as the paper has, better from one to the next, on sixty images."""
    rng, models = np.random.default_rng(0), {}
    for place, name in enumerate(LISTS["thirty-two"]):
        shares = {"original": 0.5, "white_fg": 0.1, "on_white": 0.3, "on_texture": 0.2}
        right = {variant: rng.random(60) < share + 0.014 * place for variant, share in shares.items()}
        for variant in ("original", "white_fg"):  # nested ticks
            right[variant][50 : 50 + place // 4] = True
        models[name] = right
    return evaluated(models)


def runs_of_a_set(uri, **options):
    parts = [with_verdicts([1] * right + [0] * (100 - right), model="run0", variant=variant, space="own")
             for variant, right in (("original", 94), ("on_white", 80), ("on_texture", 70))]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Make every artefact for the narrowest column; return the products by id, and the folder of their files."""
    networks, out = tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out")
    reproduction = LongNames(replace(small_settings(networks, out), venue="cvpr"))
    found = many_networks()
    tests = (*background_check.SHOWN, *text_numbers._OTHER_BACKGROUNDS)
    backgrounds = evaluated({TABLE_1["ResNet-18"].uri: dict.fromkeys(tests, (1, 1, 0, 1))})
    products = {}
    with pytest.MonkeyPatch.context() as patch, theme("cvpr"):
        patch.setattr(background_check, "evaluate_networks", lambda _: found)
        patch.setattr(text_numbers, "open_full_resolution", lambda _: found.full)
        patch.setattr(text_numbers, "evaluate_networks", lambda *_: backgrounds)
        patch.setattr(text_numbers, "check_backgrounds", runs_of_a_set)
        for name, artefact in KNOWN.items():
            product = replace(artefact.make(reproduction), data=data_text(artefact, reproduction))
            products[name] = product
            export_product(artefact, product, out, venue="cvpr", formats=("pdf", "tex"))
    return products, out


@pytest.mark.slow
def test_every_figure_is_as_wide_as_the_column_and_complete(made):
    drawn = {name: product.figure for name, product in made[0].items() if product.figure is not None}
    assert len(drawn) >= 40
    problems = {}
    for name, figure in drawn.items():
        whole = figure.figure if isinstance(figure, Axes) else figure
        assert whole.get_size_inches()[0] == COLUMN
        with theme("cvpr"):
            problems[name] = layout_problems(whole, figures.SMALLEST_PT)
    assert {name: found for name, found in problems.items() if found} == {}


@pytest.mark.slow
def test_every_table_parses_and_says_what_it_shows(made):
    products, out = made
    for name in products:
        latex, artefact = (out / f"{name}.tex").read_text(), KNOWN[name]
        assert latex_problems(latex) == [], name
        assert latex.startswith("% packages: booktabs"), name
        assert f"\\label{{tab:{name}}}" in latex, name
        assert f"(after {artefact.place} of " in latex, name
        if artefact.uses_data:
            how = "full resolution" if artefact.paper == "tbc" else "variants composed by bglab, protocol as-is"
            assert "18 scenes" in latex, name
            assert how in latex, name
    assert "$n = 18$ images" in (out / "nos-table-5.tex").read_text()


@pytest.mark.slow
@pytest.mark.skipif(not has_latex(), reason="pdflatex with booktabs is not installed; the parser checks the tables")
def test_every_table_compiles_within_the_column(made, tmp_path):
    files = sorted(made[1].glob("*-*.tex"))
    assert len(files) == len(KNOWN)
    assert compile_tables(files, tmp_path, columns=2, inches=2 * COLUMN + 0.3125) == []


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pdffonts") is None, reason="pdffonts of poppler-utils is not installed")
def test_every_font_is_embedded_truetype(made):
    for file in sorted(made[1].glob("*.pdf")):
        listed = subprocess.run(["pdffonts", file], capture_output=True, text=True, check=True).stdout
        rows = listed.splitlines()[2:]
        assert rows, file.name
        for row in rows:
            assert "Type 3" not in row, file.name
            embedded, subset, _ = row.split()[-5:-2]
            assert (embedded, subset) == ("yes", "yes"), file.name


@pytest.mark.slow
def test_the_matrix_of_table_5_has_the_papers_order(made):
    (rows,) = tabulars((made[1] / "nos-table-5.tex").read_text())
    papers = ["Mixed-Next", "Mixed-Rand", "Mixed-Same", "No-FG", "Only-BG-B", "Only-BG-T", "Only-FG", "Original"]
    assert [row[0] for row in rows[1:]] == [*papers, "IN-9L"]
    assert [cell.rpartition("{")[2].rstrip("}") for cell in rows[0][1:]] == papers


# one product


ARTEFACT = Artefact("nos-table-90", "Fifty & fifty", "Table 90", "Halves.", lambda _: Product(pd.DataFrame()))
HALVES = pd.DataFrame(
    {"model": NAMES, "n": [40, 50], "top1": [0.5, 0.4], "top1_low": [0.4, 0.3], "top1_high": [0.6, 0.5]}
)


def test_a_product_is_written_in_the_formats_asked_for(tmp_path):
    with theme("cvpr"):
        product = Product(HALVES, figures.plot_table(pd.DataFrame({"a": ["1"]})), models=NAMES, data="two coins")
    assert export_product(ARTEFACT, product, tmp_path / "new", venue="cvpr", formats=("tex", "svg")) == (
        "nos-table-90.svg", "nos-table-90.tex",
    )  # fmt: skip
    assert sorted(path.suffix for path in (tmp_path / "new").iterdir()) == [".svg", ".tex"]
    assert export_product(ARTEFACT, product, tmp_path) == tuple(f"nos-table-90.{kind}" for kind in FORMATS)
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "nos-table-90.csv"), HALVES)
    bare = replace(product, figure=None)
    assert export_product(ARTEFACT, bare, tmp_path) == ("nos-table-90.csv", "nos-table-90.tex")
    with pytest.raises(UnknownName, match="unknown format 'eps'. Known: pdf, svg, png, csv, tex"):
        export_product(ARTEFACT, product, tmp_path, formats=["eps"])
    with pytest.raises(UnknownName, match="unknown venue 'cvpr2023'"):
        export_product(ARTEFACT, product, tmp_path, venue="cvpr2023")


def test_a_caption_says_n_data_and_models_and_a_table_shortens_their_names():
    product = Product(HALVES, models=NAMES, data="two coins, protocol as-is")
    assert caption(ARTEFACT, product) == (
        "Fifty \\& fifty (after Table 90 of Noise or Signal). Data: two coins, protocol as-is. Models: "
        "tf\\_mobilenetv3\\_small\\_100, wide\\_resnet50\\_2. $n = 40$ to $50$ images."
    )
    (rows,) = tabulars(latex_table(ARTEFACT, product, venue="neurips"))
    assert [row[0] for row in rows] == ["Model", "tf\\_mobilenetv3\\_small\\_100", "wide\\_resnet50\\_2"]


def test_what_is_the_same_in_every_row_moves_to_the_caption():
    same = HALVES.assign(n=40, draws=3, variant="white_fg")
    latex = latex_table(ARTEFACT, Product(same, models=NAMES), venue="cvpr")
    assert tabulars(latex)[0][0] == ["Model", "Top-1 (\\%)"]
    assert "In all rows: variant White-FG, draws 3." in latex


@pytest.mark.parametrize(("width", "pixels", "environment"), [("column", 975, "table"), ("full", 2062, "table*")])
def test_the_command_makes_them_for_a_venue(capsys, tmp_path, width, pixels, environment):
    assert run(command.add, ["reproduce", "nos-table-4", "--scenes", "synthetic9?n=18&size=32", "--out", str(tmp_path),
                             "--venue", "cvpr", "--width", width]) == 0  # fmt: skip
    with Image.open(tmp_path / "nos-table-4.png") as image:
        assert abs(image.width - pixels) <= 1
    assert f"\\begin{{{environment}}}" in (tmp_path / "nos-table-4.tex").read_text()
    page = (tmp_path / "report.html").read_text()
    assert page.count("of CVPR 2024 (") == 1
    capsys.readouterr()


def test_the_command_refuses_an_unknown_venue_before_it_starts(tmp_path):
    with pytest.raises(UnknownName, match="unknown venue 'iccv2025'"):
        run(command.add, ["reproduce", "nos-table-4", "--scenes", "synthetic9", "--out", str(tmp_path / "R"),
                          "--venue", "iccv2025"])  # fmt: skip
    assert not (tmp_path / "R").exists()
