"""The ladder between two prediction files: every changed image belongs to a step, and the points add up."""

from __future__ import annotations

import dataclasses
import json
from importlib import import_module

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import timm
import torch

from bglab.__main__ import main
from bglab.analysis import compare_files, compare_provenance, compare_tables
from bglab.errors import BadInput, MissingData
from bglab.evaluation import explain, predict
from bglab.models import load_classifier
from bglab.scenes import open_scenes, prepare
from bglab.variants import compose
from fixtures.layouts import write_imagenet
from fixtures.stand_ins import make_classifier

SCENES = "synthetic9?n=27&size=48"


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(open_scenes(SCENES), 48, progress=False)


@pytest.fixture
def save(tmp_path):
    """Save a checkpoint with a thousand classes, of which the nine are groups."""

    def write(name="a", seed=0, **more):
        torch.manual_seed(seed)
        network = timm.create_model("test_resnet", num_classes=1000)
        content = {"architecture": "test_resnet", "state_dict": network.state_dict(), "input_size": 40}
        torch.save(content | {"mean": (0.5,) * 3, "std": (0.05,) * 3} | more, tmp_path / f"{name}.pt")
        return f"file:{tmp_path / name}.pt"

    return write


@pytest.fixture
def stored(tmp_path, prepared):
    """Predict, and return the path of the file."""

    def make(model, variant="original", *, seed=0, decision_rule="argmax", engine="torch", protocol="as-is"):
        classifier = load_classifier(model, engine=engine, device="cpu", protocol=protocol)
        dataset = compose(prepared, variant, seed=seed)
        folder = tmp_path / "results"
        table = predict(classifier, dataset, results=folder, decision_rule=decision_rule, progress=False)
        key = table["dataset"].iloc[0]
        (path,) = (folder / "predictions" / key).glob(f"*{classifier.spec.name[-4]}*/{variant}.parquet")
        return path.rename(tmp_path / f"{len(list(tmp_path.glob('*.parquet')))}.parquet")

    return make


def climb(a, b, **options):
    return explain(a, b, progress=False, **options)


def assert_complete(ladder):
    """The steps account for every point and every image, and each begins where the last one ended."""
    assert ladder.unexplained_points == 0
    assert ladder.unexplained_images == []
    change = ladder.comparison.change
    tops = [change.top1_before, *(step.change.top1_after for step in ladder.steps)]
    assert tops[:-1] == [step.change.top1_before for step in ladder.steps]
    assert tops[-1] == pytest.approx(change.top1_after)
    assert sum(step.change.points for step in ladder.steps) == pytest.approx(ladder.points)


@pytest.mark.parametrize(
    ("field", "first", "second"),
    [
        ("protocol", {"protocol": "as-is"}, {"protocol": "model"}),
        ("protocol", {"protocol": "reference"}, {"protocol": "as-is"}),
        ("decision_rule", {"decision_rule": "argmax"}, {"decision_rule": "restricted"}),
        ("engine", {"engine": "torch"}, {"engine": "openvino"}),
        ("seed", {"variant": "mixed_rand", "seed": 0}, {"variant": "mixed_rand", "seed": 1}),
        ("variant", {"variant": "mixed_same"}, {"variant": "mixed_rand"}),
    ],
)
def test_one_setting_explains_the_whole_difference(save, stored, field, first, second):
    model = save()
    ladder = climb(stored(model, **first), stored(model, **second))
    assert [step.field for step in ladder.steps] == [field]
    (step,) = ladder.steps
    assert [step.a, step.b] == [first.get(field), second.get(field)]
    assert (step.interaction, step.points_alone) == (0, step.change.points)
    pd.testing.assert_frame_equal(step.change.images, ladder.comparison.change.images)
    assert_complete(ladder)
    if field != "engine":
        assert len(step.change.images), "the case must change something"


def test_several_settings_are_changed_in_the_stated_order_and_their_interaction_is_shown(save, stored):
    a = stored(save("a"), protocol="as-is", decision_rule="argmax")
    b = stored(save("b", seed=1), protocol="model", decision_rule="restricted")
    ladder = climb(a, b)
    assert [step.field for step in ladder.steps] == ["weights", "protocol", "decision_rule"]
    assert_complete(ladder)
    assert ladder.steps[0].interaction == 0
    for step in ladder.steps:
        assert step.interaction == pytest.approx(step.change.points - step.points_alone)
    other = stored(save("a"), protocol="as-is", decision_rule="restricted")
    assert ladder.steps[2].points_alone == compare_files(a, other).change.points


def test_weights_of_one_architecture_differ_in_their_tag(prepared, stored, tmp_path, monkeypatch):
    def load(model, **_):
        tag = model.partition(".")[2]
        shift = {"a1": 0, "a2": 3}[tag]
        classifier = make_classifier(lambda images: (images.float().mean((1, 2, 3)).long() + shift) % 9)
        spec = dataclasses.replace(classifier.spec, source="timm", name="net", tag=tag, sha256=tag * 8)
        return dataclasses.replace(classifier, spec=spec)

    monkeypatch.setattr(import_module("bglab.evaluation.ladder"), "load_classifier", load)
    dataset, paths = compose(prepared, "original"), []
    for tag in ("a1", "a2"):
        predict(load(f"timm:net.{tag}"), dataset, results=tmp_path / tag, progress=False)
        paths += (tmp_path / tag).rglob("*.parquet")
    (step,) = (ladder := climb(*paths)).steps
    assert (step.field, step.a, step.b) == ("tag", "a1", "a2")
    assert_complete(ladder)


def rewrite(path, change, about=lambda stored: None):
    """Change the rows and the provenance of a stored file."""
    table = pq.read_table(path)
    provenance = json.loads(table.schema.metadata[b"bglab"])
    about(provenance)
    changed = pa.Table.from_pandas(change(table.to_pandas()), schema=table.schema, preserve_index=False)
    pq.write_table(changed.replace_schema_metadata({b"bglab": json.dumps(provenance).encode()}), path)


def test_a_file_that_comes_out_differently_with_the_same_settings_is_a_step_of_its_own(save, stored):
    model = save()
    a, b = stored(model), stored(model, decision_rule="restricted")

    def three_others(rows):
        return rows.assign(prediction=[(p + 1) % 9 if i < 3 else p for i, p in enumerate(rows["prediction"])])

    rewrite(a, three_others, lambda stored: stored["versions"].update(torch="1.0"))
    ladder = climb(a, b)
    assert [step.field for step in ladder.steps] == ["versions", "decision_rule"]
    assert len(ladder.steps[0].change.images) == 3
    assert ladder.steps[0].a["versions.torch"] == "1.0" != ladder.steps[0].b["versions.torch"]
    assert_complete(ladder)
    backwards = climb(b, a)
    assert [step.field for step in backwards.steps] == ["decision_rule", "versions"]
    assert_complete(backwards)


def test_what_cannot_be_computed_again_stays_unexplained_and_is_said(save, stored):
    a = stored(save(mean=(0.1, 0.2, 0.9)))
    b = stored(save(mean=(0.5, 0.5, 0.5)))
    ladder = climb(a, b)
    assert "the first file cannot be computed again here, since preprocessing differ now" in ladder.notes[0]
    assert ladder.unexplained_points == pytest.approx(ladder.points)
    assert ladder.unexplained_images == ladder.comparison.change.images["scene"].tolist() != []


def test_photographs_at_full_resolution_are_computed_again_as_they_were(save, tmp_path):
    model, paths = save(), []
    root = write_imagenet(tmp_path / "imagenet")
    for seed, folder in enumerate(("first", "second")):
        arguments = [
            "--scenes",
            f"imagenet:{root}",
            "--models",
            model,
            "--variants",
            "on_gaussian_noise",
            "--engine",
            "torch",
        ]
        assert main(["predict", *arguments, "--seed", str(seed), "--results", str(tmp_path / folder)]) == 0
        paths += (tmp_path / folder).rglob("on_gaussian_noise.parquet")
    ladder = climb(*paths)
    assert ladder.notes == ()
    assert_complete(ladder)


def test_equal_files_have_no_steps(save, stored):
    a = stored(save())
    ladder = climb(a, a)
    assert (ladder.steps, ladder.points, ladder.comparison.fields) == ((), 0, ())


def test_a_file_that_does_not_say_where_its_scenes_are_needs_their_uri(save, stored):
    model = save()
    a, b = stored(model), stored(model, decision_rule="restricted")
    for path in (a, b):
        rewrite(path, lambda rows: rows, lambda stored: stored.pop("scenes_uri"))
    with pytest.raises(MissingData, match="--scenes"):
        climb(a, b)
    assert_complete(climb(a, b, scenes=SCENES))


def test_the_command_writes_fields_steps_and_images(save, stored, tmp_path, capsys):
    model = save()
    a, b = stored(model, protocol="model"), stored(model, protocol="reference")
    assert main(["explain", str(a), str(b), "--ladder", "--json", str(tmp_path / "e.json")]) == 0
    printed = capsys.readouterr().out
    found = json.loads((tmp_path / "e.json").read_text())
    differing = {field["name"]: (field["a"], field["b"]) for field in found["fields"]}
    assert differing["protocol"] == ("model", "reference")
    assert {"mean", "std", "resize"} <= set(differing)
    (step,) = found["steps"]
    assert list(step) == [
        "field", "a", "b", "top1_before", "top1_after", "points", "points_alone", "interaction", "images_changed",
        "images",
    ]  # fmt: skip
    assert step["images_changed"] == len(step["images"]) == found["images_changed"] == len(found["images"]) > 0
    assert step["points"] == found["points"]
    assert found["unexplained_points"] == 0
    assert f"predicted class changed: {found['images_changed']} of 27 images" in printed
    assert main(["explain", str(a), str(b)]) == 0
    assert "One setting at a time" not in capsys.readouterr().out


def test_a_file_without_provenance_is_refused(save, stored):
    a = stored(save())
    pq.write_table(pq.read_table(a).replace_schema_metadata(None), a)
    with pytest.raises(BadInput, match="with their provenance"):
        compare_files(a, a)


def rows(predictions, space="in9", **more):
    count = len(predictions)
    scenes = [f"s{i}" for i in range(count)]
    table = {"model": "m", "dataset": "d", "variant": "original", "scene": scenes, "label": 0, "native_label": 0,
             "prediction": predictions, "native": predictions, "top5": [[0]] * count, "space": space,
             "native_space": "in9"}  # fmt: skip
    return pd.DataFrame(table | more)


def test_images_of_one_table_only_are_changes():
    change = compare_tables(rows([0, 1, 0]), rows([0, 0]))
    assert (change.common, change.top1_before, change.top1_after) == (2, 2 / 3, 1.0)
    assert change.images["scene"].tolist() == ["s1", "s2"]
    assert change.images["after"].isna().tolist() == [False, True]
    assert change.points == pytest.approx(100 / 3)


def test_two_rows_of_one_scene_are_refused():
    with pytest.raises(BadInput, match="one row per scene"):
        compare_tables(rows([0, 1], scene=["s", "s"]), rows([0]))


def test_fields_are_listed_one_by_one():
    before = {"preprocessing": {"mean": (0.5, 0.5)}, "seconds": 1.0, "classes": ["dog"]}
    after = {"preprocessing": {"mean": [0.5, 0.5], "std": [0.1]}, "seconds": 2.0, "classes": ["cat"]}
    assert [tuple(field) for field in compare_provenance(before, after)] == [
        ("classes", ["dog"], ["cat"]),
        ("std", None, [0.1]),
    ]
