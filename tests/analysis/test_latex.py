"""Tables in LaTeX: escaping, packages, intervals, and layouts that fit a column."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from bglab.analysis import latex_text, significant_best, spread, to_latex
from bglab.analysis.latex_layout import SCRIPT, pieces, text_width
from fixtures.latex import latex_problems, tabulars

COLUMN = 3.25


def long_table(models, variants, n=4050):
    rng = np.random.default_rng(3)
    rows = [(m, v, n, p, p - 0.013, p + 0.013) for m in models for v, p in zip(variants, rng.random(len(variants)))]  # noqa: B905
    return pd.DataFrame(rows, columns=["model", "variant", "n", "top1", "top1_low", "top1_high"])


@pytest.fixture(scope="module")
def wide():
    table = pd.DataFrame({
        "model": ["a_1", "b", "a_1", "b"], "variant": ["original", "original", "only_bg_t", "only_bg_t"],
        "top1": [0.956, 0.91, 0.178, 0.157], "top1_low": [0.949, 0.9, 0.166, 0.146],
        "top1_high": [0.962, 0.918, 0.19, 0.169],
    })  # fmt: skip
    return spread(table, rows="variant", columns="model", value="top1")


def test_a_table_is_a_float_with_booktabs_rules_and_names_its_packages(wide):
    assert to_latex(wide, caption="Accuracy.", label="tab:a", bold=significant_best(wide), inches=COLUMN) == (
        "% packages: booktabs\n"
        "\\begin{table}[t]\n\\centering\n"
        "\\caption{Accuracy. Values in percent. Brackets: 95\\,\\% intervals.}\n\\label{tab:a}\n"
        "\\small\n\\setlength{\\tabcolsep}{4pt}\n"
        "\\begin{tabular}{@{}lrr@{}}\n\\toprule\nVariant & a\\_1 & b \\\\\n\\midrule\n"
        "Original & \\textbf{95.6} {\\scriptsize [94.9, 96.2]} & 91.0 {\\scriptsize [90.0, 91.8]} \\\\\n"
        "Only-BG-T & 17.8 {\\scriptsize [16.6, 19.0]} & 15.7 {\\scriptsize [14.6, 16.9]} \\\\\n"
        "\\bottomrule\n\\end{tabular}\n\\end{table}\n"
    )


def test_signs_are_math_and_special_characters_escaped():
    table = pd.DataFrame({"note": ["50 % of A&B_{x} < 1|2"], "gap": [-0.05], "p": [0.0], "correct": [True]})
    latex = to_latex(table)
    assert "50 \\% of A\\&B\\_\\{x\\} $<$ 1$|$2 & $-$5.0 & $<$ 0.001 & $\\checkmark$ \\\\" in latex
    assert latex.startswith("% packages: booktabs, amssymb\n")
    assert latex_text("L∞ × σ – naïve 犬") == "L$\\infty$ $\\times$ $\\sigma$ -- naïve U+72AC"


def test_the_matrix_of_nine_networks_and_sets_fits_a_column_in_the_order_of_the_table():
    names = ["mixed_next", "mixed_rand", "mixed_same", "no_fg", "only_bg_b", "only_bg_t", "only_fg", "original", "in9l"]
    table = long_table(names, names).rename(columns={"model": "train"})
    matrix = spread(table, rows="train", columns="variant", value="top1")
    latex = to_latex(matrix, caption="C.", inches=COLUMN)
    (rows,) = tabulars(latex)
    assert len(rows) == 10
    assert [cell.rpartition("{")[2].rstrip("}") for cell in rows[0][1:]] == [
        "Mixed-Next", "Mixed-Rand", "Mixed-Same", "No-FG", "Only-BG-B", "Only-BG-T", "Only-FG", "Original", "IN-9L",
    ]  # fmt: skip
    assert "The 95\\,\\% intervals reach at most 1.3 points from the values." in latex
    assert rows[1][1] == f"{100 * matrix.iloc[0, 0].value:.1f}"
    full = to_latex(matrix, caption="C.", inches=6.875, spans_columns=True)
    assert "\\begin{table*}" in full
    assert "Brackets" in full


def test_intervals_move_below_where_they_do_not_fit_beside():
    table = spread(long_table(list("abcd"), ["original", "mixed_same"]), rows="variant", columns="model", value="top1")
    (rows,) = tabulars(to_latex(table, caption="C.", inches=COLUMN))
    assert len(rows) == 5
    # a name may take the two lines of its row
    assert ["".join(row[0] for row in rows[at : at + 2]) for at in (1, 3)] == ["Original", "Mixed-Same"]
    cell = table.iloc[1, 3]
    low, high = 100 * cell.low, 100 * cell.high
    assert f"[{low:.1f}, {high:.1f}]" in rows[4][4]


def test_a_name_that_rows_share_is_written_once_over_them():
    models = ["timm:resnext101_32x8d.fb_swsl_ig1b_ft_in1k", "timm:resnext101_32x8d.fb_wsl_ig1b_ft_in1k"]
    table = long_table(models, ["original", "on_white", "on_texture"]).assign(drop=0.1, gain=0.1)
    (rows,) = tabulars(to_latex(table, inches=COLUMN))
    names = [row[0].replace("\\_", "_") for row in rows[1:]]
    assert "".join(names) == "".join(models)
    assert len([row for row in rows[1:] if row[1]]) == 6


def test_a_table_longer_than_a_page_becomes_several_floats():
    table = long_table([f"network_{k}" for k in range(90)], ["original"])
    latex = to_latex(table, caption="Long.", label="tab:long", inches=COLUMN)
    parts = tabulars(latex)
    assert len(parts) == latex.count("\\begin{table}") == 2
    assert [row[0] for rows in parts for row in rows[1:]] == [f"network\\_{k}" for k in range(90)]
    assert "\\label{tab:long-2}" in latex
    assert "\\caption{Continued, part 2 of 2.}" in latex


def test_a_table_wider_than_a_column_is_divided_into_panels():
    table = spread(long_table([f"model number {k}" for k in range(24)], ["original"]), rows="variant", columns="model",
                   value="top1")  # fmt: skip
    panels = tabulars(to_latex(table, inches=2))
    assert len(panels) > 1
    assert {rows[1][0] for rows in panels} == {"Original"}
    assert sum(len(rows[1]) - 1 for rows in panels) == 24


@pytest.mark.parametrize("inches", [1.5, 3.25, 5.5, 6.875])
def test_every_layout_parses(inches, wide):
    names = pd.DataFrame({"scene": ["n01440764_" + "1" * 40], "truth": ["a rather long name of a class"]})
    for table in (wide, long_table([f"a_{k}&b" for k in range(40)], ["original", "mixed_rand"]), names):
        assert latex_problems(to_latex(table, caption="C.", inches=inches)) == []


def test_the_parser_finds_what_is_wrong():
    broken = "\\begin{table}\n\\begin{tabular}{@{}lr@{}}\na & b \\\\\n1 & 2 & 3 \\\\\n\\end{tabular}\n"
    assert latex_problems(broken) == ["open: table", "3 cells in a row of 2 columns: 1 & 2 & 3"]
    assert latex_problems("\\begin{tabular}{@{}l@{}}\na_b \\\\\n\\end{tabular}\n") == ["unescaped _: a_b \\\\"]


def test_words_are_parted_where_a_reader_expects_it():
    assert pieces("test_resnet, IN-9L") == ["test_", "resnet, ", "IN-9L"]
    assert pieces("On-Texture") == ["On-Texture"]
    assert "".join(pieces("n01440764_10026.JPEG and more")) == "n01440764_10026.JPEG and more"


def test_widths_are_those_of_computer_modern():
    # by \settowidth in \scriptsize of the class article; the estimate may only be too wide
    for text, width in {"78.9 [77.6, 80.1]": 54.85, "Mixed-Rand": 42.95}.items():
        assert width <= text_width(text, SCRIPT) <= 1.05 * width
