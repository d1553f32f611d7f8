"""`bglab import` and `bglab export`: predictions of other programs come in, and go out again."""

from __future__ import annotations

import pandas as pd
import pytest

from bglab.__main__ import main
from bglab.results import prediction_file, read_provenance, write_predictions
from bglab.scenes import open_scenes
from bglab.variants import compose
from fixtures.layouts import write_in9

SCENES = "synthetic9?n=18&size=32"


@pytest.fixture
def table(tmp_path, data_folder):
    """Return a CSV file with the class of every scene, in the form of imagenet-x."""
    scenes = open_scenes(SCENES)
    file = tmp_path / "mine.csv"
    classes = [scenes.classes[label] for label in scenes.labels]
    pd.DataFrame({"file_name": scenes.ids, "predicted_class": classes, "predicted_probability": 0.5}).to_csv(
        file, index=False
    )
    return file


def run(verb, *options):
    return main([verb, *map(str, options)])


def test_predictions_come_in_and_go_out(table, tmp_path, capsys):
    results = tmp_path / "R"
    options = ["--scenes", SCENES, "--size", 32, "--model", "mine", "--results", results]
    assert run("import", "--csv", table, "--variant", "original", *options) == 0
    printed = capsys.readouterr()
    assert printed.out == "imported:mine original: 18 images, 100.0 % correct\n"
    assert (
        printed.err == f"bglab: notice: {table} has no column top5 or no value there: top-5 accuracy is not defined\n"
    )
    key = compose(SCENES, "original", size=32, progress=False).key
    assert read_provenance(prediction_file(results, key, "imported:mine", "original"))["imported"] is True
    assert run("accuracy", "--results", results, "--csv", tmp_path / "a.csv") == 0
    row = pd.read_csv(tmp_path / "a.csv").iloc[0]
    assert row[["model", "dataset", "variant", "n", "top1"]].tolist() == ["imported:mine", key, "original", 18, 1.0]
    assert run("export", "--results", results, "--model", "imported:mine", "--csv", tmp_path / "out.csv") == 0
    assert (
        "predicted_class is an index among the classes of in9; bglab import needs --classes in9"
        in capsys.readouterr().err
    )
    assert run("import", "--csv", tmp_path / "out.csv", "--variant", "original", *options) == 2
    assert "which could be the nine classes of synthetic9" in capsys.readouterr().err
    again = [*options[:-1], tmp_path / "R2"]
    assert run("import", "--csv", tmp_path / "out.csv", "--variant", "original", "--classes", "in9", *again) == 0
    assert run("export", "--results", tmp_path / "R2", "--out", tmp_path / "all") == 0
    (written,) = (tmp_path / "all").rglob("*.csv")
    assert written.relative_to(tmp_path / "all").as_posix() == f"{key}/imported-mine/original.csv"
    assert written.read_text() == (tmp_path / "out.csv").read_text()


def test_exported_files_have_the_names_of_the_images(tmp_path, capsys, data_folder):
    root = write_in9(tmp_path)
    scenes = open_scenes(f"in9:{root}")
    table = tmp_path / "t.csv"
    pd.DataFrame({"file_name": scenes.ids, "predicted_class": 207}).to_csv(table, index=False)
    options = ["--model", "m", "--variant", "original", "--size", 32]
    assert run("import", "--csv", table, "--scenes", f"in9:{root}", "--results", tmp_path / "R", *options) == 0
    out = tmp_path / "out.csv"
    assert run("export", "--results", tmp_path / "R", "--csv", out, "--scenes", f"in9:{root}") == 0
    assert sorted(pd.read_csv(out)["file_name"]) == sorted(record.files[0].name for record in scenes.records)
    assert pd.read_csv(out).columns.tolist() == ["file_name", "predicted_class"]


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("image,class\na,1\n", "bglab: expected the columns file_name, predicted_class and optionally "),
        ("file_name,predicted_class\nx.jpg,dog\n", "bglab: expected file names of synthetic9:n=18,size=32 in "),
        ("", "bglab: expected a header and rows in "),
    ],
)
def test_a_wrong_table_is_one_sentence(tmp_path, capsys, content, sentence):
    file = tmp_path / "t.csv"
    file.write_text(content)
    options = ["--model", "m", "--variant", "original", "--size", 32, "--results", tmp_path / "R"]
    assert run("import", "--csv", file, "--scenes", SCENES, *options) == 2
    error = capsys.readouterr().err
    assert error.startswith(sentence)
    assert error.count("\n") == 1


def test_an_unknown_model_is_named(table, tmp_path, capsys):
    options = ["--scenes", SCENES, "--size", 32, "--model", "mine", "--variant", "original"]
    assert run("import", "--csv", table, "--results", tmp_path / "R", *options) == 0
    capsys.readouterr()
    assert run("export", "--results", tmp_path / "R", "--model", "imported:mime", "--csv", tmp_path / "o.csv") == 2
    error = capsys.readouterr().err
    assert error.startswith("bglab: unknown model 'imported:mime'; did you mean 'imported:mine'?")


def test_the_ladder_needs_files_that_bglab_computed(table, tmp_path, capsys):
    options = ["--scenes", SCENES, "--size", 32, "--model", "mine", "--variant", "original"]
    assert run("import", "--csv", table, "--results", tmp_path / "R", *options) == 0
    (file,) = (tmp_path / "R").rglob("original.parquet")
    assert run("explain", file, file) == 0
    assert run("explain", "--ladder", file, file) == 2
    assert "which was made by another program (bglab import); explain it without --ladder" in capsys.readouterr().err


def test_an_imported_table_is_not_used_in_place_of_a_computed_one(table, tmp_path, data_folder):
    """Whatever the file is called: without weights and engine its settings differ from those of any run."""
    from bglab.evaluation import from_table, predict
    from fixtures.stand_ins import make_classifier

    dataset = compose(SCENES, "original", size=32, progress=False)
    imported = from_table(table, scenes=SCENES, model="m", variant="original", size=32, progress=False)
    path = prediction_file(tmp_path, dataset.key, "rule:rule", "original")
    write_predictions(path, imported, {str(name): value for name, value in imported.attrs.items()})
    classifier = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
    computed = predict(classifier, dataset, results=tmp_path, progress=False)
    assert classifier.engine.batch_sizes == [18]
    assert set(computed["model"]) == {"rule:rule"}
