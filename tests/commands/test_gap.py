"""`bglab gap`: its columns, its table, and what it says about missing variants."""

from __future__ import annotations

import pandas as pd
import pytest

from bglab.__main__ import main
from bglab.commands.gap import GAP_COLUMNS
from bglab.results import prediction_file, write_predictions
from fixtures.predictions import both_variants, with_verdicts

SAME, RAND = [1, 1, 1, 1, 1, 1, 0, 0], [1, 0, 0, 0, 0, 0, 1, 0]


def store(folder, table):
    for (dataset, model, variant), rows in table.groupby(["dataset", "model", "variant"]):
        write_predictions(prediction_file(folder, dataset, model, variant), rows, {})


@pytest.fixture
def results(tmp_path):
    """Return a folder with both variants of a composed and a published set, and one of another model."""
    published = both_variants([1] * 8, RAND, dataset="set-published")
    store(tmp_path, pd.concat([both_variants(SAME, RAND), published, with_verdicts([1], model="b")]))
    return tmp_path


def test_the_csv_has_fractions_in_fixed_columns(results, tmp_path, capsys):
    file = tmp_path / "gap.csv"
    assert main(["gap", "--results", str(results), "--csv", str(file)]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"{file}\n"
    assert captured.err == "bglab: notice: skipping b on set, which lacks mixed_same and mixed_rand\n"
    table = pd.read_csv(file)
    assert tuple(table.columns) == GAP_COLUMNS
    assert table[["model", "dataset", "n", "mixed_same", "mixed_rand", "gap"]].to_numpy().tolist() == [
        ["m", "set", 8, 0.75, 0.25, 0.5],
        ["m", "set-published", 8, 1.0, 0.25, 0.75],
    ]
    assert ((table.gap_low < table.gap) & (table.gap < table.gap_high)).all()
    assert table.p.between(0, 1).all()


def test_columns_pooled_over_and_another_variant(results, tmp_path):
    store(results, with_verdicts([0] * 8, variant="mixed_next"))
    file = tmp_path / "gap.csv"
    assert main(["gap", "--results", str(results), "--by", "model", "--minus", "mixed_next", "--csv", str(file)]) == 0
    table = pd.read_csv(file)
    assert list(table.columns) == ["mixed_next" if name == "mixed_rand" else name for name in GAP_COLUMNS]
    assert table.loc[0, ["dataset", "n", "gap"]].tolist() == ["(all)", 8, 0.75]


def test_the_printed_table_is_in_percent(results, capsys):
    assert main(["gap", "--results", str(results)]) == 0
    head, _, first, *_ = capsys.readouterr().out.splitlines()
    assert head == "| Model | Dataset | n | Mixed-Same (%) | Mixed-Rand (%) | BG-Gap (points) | p |"
    assert first.startswith("| m | set | 8 | 75.0 | 25.0 | 50.0 [")


def test_without_a_pair_it_says_what_is_there_and_what_makes_the_rest(tmp_path, capsys):
    store(tmp_path, pd.concat([with_verdicts([1]), with_verdicts([1], variant="mixed_same", model="lite:b0")]))
    assert main(["gap", "--results", str(tmp_path)]) == 2
    assert capsys.readouterr().err == (
        "bglab: expected mixed_same and mixed_rand of the same scenes by one model, got mixed_same, original; make "
        f"what is missing with bglab predict --results {tmp_path} --models lite:b0 --variants mixed_rand and the "
        "--scenes and other options that gave set\n"
    )
