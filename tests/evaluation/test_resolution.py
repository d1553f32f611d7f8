"""Where variants are made: one pipeline for prepared and full-resolution images, and which is the default."""

from __future__ import annotations

import contextlib
import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch

import bglab
from bglab.__main__ import main
from bglab.errors import BadInput, UnknownName
from bglab.evaluation import all_logits
from bglab.models import EngineChoice
from bglab.papers import Reproduction, Settings, catalogue
from bglab.papers.runner import run_one
from bglab.results import read_provenance
from bglab.results.predictions import prediction_files
from bglab.scenes import area_filter, open_by_box, prepare
from bglab.variants import INVARIANCE, Plain, StreamSettings, compose_all, default_resolution, given, open_full
from fixtures.layouts import box_xml, colours, save, truncate, write_imagenet
from fixtures.plain_script import plain_logits
from fixtures.stand_ins import make_classifier, make_scenes

MODEL = "lite:efficientnet_lite0"


@pytest.fixture(scope="module")
def imagenet(tmp_path_factory):
    return f"imagenet:{write_imagenet(tmp_path_factory.mktemp('imagenet'))}?masks=box"


def brightness(images):
    return images.float().mean((1, 2, 3)).long() % 1000


def classifier():
    """Make an ImageNet classifier of 32 × 32 pixels from a rule."""
    made = make_classifier(brightness, space="imagenet")
    return dataclasses.replace(made, spec=dataclasses.replace(made.spec, input_size=32))


def test_the_second_papers_variants_are_made_at_full_resolution_where_there_are_photographs(imagenet):
    photographs, drawn = bglab.open_scenes(imagenet), bglab.open_scenes("synthetic9?n=9")
    assert [default_resolution(photographs, name) for name in ("white_fg", "on_grey_mask", *INVARIANCE)] == ["full"] * 9
    assert [default_resolution(photographs, name) for name in ("original", "mixed_rand", "no_fg")] == ["prepared"] * 3
    assert default_resolution(drawn, "white_fg") == "prepared"
    assert default_resolution(drawn, "on_scenes") == "full"  # has no prepared form
    assert bglab.compose(photographs, "white_fg", progress=False).resolution == "full"
    assert bglab.compose(photographs, "white_fg", resolution="prepared", progress=False).resolution == "prepared"
    with pytest.raises(UnknownName, match="unknown variant 'white-fg'; did you mean 'white_fg'"):
        default_resolution(photographs, "white-fg")


def test_the_original_is_made_wherever_the_others_are(imagenet):
    def made(*names, **options):
        return [(d.variant.name, d.resolution) for d in compose_all(imagenet, names, progress=False, **options)]

    assert made("original") == [("original", "prepared")]
    assert made("original", "white_fg") == [("original", "full"), ("white_fg", "full")]
    assert made("white_fg", "no_fg", "original") == [
        ("white_fg", "full"),
        ("no_fg", "prepared"),
        ("original", "prepared"),
        ("original", "full"),
    ]
    assert made("original", "white_fg", resolution="prepared") == [("original", "prepared"), ("white_fg", "prepared")]


def test_results_of_both_resolutions_never_share_a_file(imagenet, tmp_path):
    for resolution in ("prepared", "full"):
        datasets = compose_all(imagenet, ["original", "white_fg"], resolution=resolution, progress=False)
        bglab.predict_all(classifier(), datasets, results=tmp_path, progress=False)
    files = list(prediction_files(tmp_path))
    assert len(files) == 4
    by_folder = {path.parts[-3]: read_provenance(path)["resolution"] for path in files}
    assert sorted(by_folder.values()) == ["full", "prepared"]
    assert all(("-full-" in folder) == (resolution == "full") for folder, resolution in by_folder.items())


def test_one_call_predicts_both_kinds_in_the_given_order(imagenet):
    datasets = compose_all(imagenet, ["white_fg", "no_fg", "original"], progress=False)
    together = bglab.predict_all(classifier(), datasets, progress=False)
    for dataset, table in zip(datasets, together, strict=True):
        alone = bglab.predict(classifier(), dataset, progress=False)
        pd.testing.assert_frame_equal(alone, table, check_flags=False)
        assert set(table["variant"]) == {dataset.variant.name}


def test_logits_at_full_resolution_are_those_of_the_classifiers_own_transform(imagenet):
    dataset = bglab.compose(imagenet, "white_fg", progress=False)
    table = bglab.predict(classifier(), dataset, progress=False)
    assert dataset.size != classifier().spec.transform.size
    logits = all_logits(classifier(), dataset, progress=False)
    assert logits.argmax(1).tolist() == table["native"].tolist()


def test_an_image_at_full_resolution_can_be_looked_at(imagenet):
    dataset = bglab.compose(imagenet, "white_fg", progress=False).seen_through(classifier().spec.transform)
    image = dataset[dataset.rows[0].scene]
    assert image.shape == (3, 32, 32)
    assert image.dtype == torch.uint8
    assert torch.equal(image, dataset.images(np.array([0]), "cpu")[0])


def test_a_chosen_part_of_a_set_keeps_its_boxes(imagenet):
    whole = bglab.open_scenes(imagenet)
    part = whole.select(ids=whole.ids[:2])
    rows = bglab.compose(part, "on_white", progress=False).rows
    assert {row.scene for row in rows} <= set(part.ids)
    changed = dataclasses.replace(whole, records=tuple(r._replace(label=0) for r in whole.records))
    assert {row.label for row in bglab.compose(changed, "on_white", progress=False).rows} == {0}


def test_a_part_of_a_set_has_only_its_part_of_the_census(tmp_path):
    root = write_imagenet(tmp_path)
    synset, (tiny, broken) = "n01440764", ("tiny", "broken")
    for name, boxes in ((tiny, [(synset, (1, 1, 3, 3))]), (broken, [("n02084071", (1, 1, 30, 30))])):
        save(colours(name, 60, 40), root / "val" / synset / f"{name}.JPEG")
        box_xml(root / "Annotations/CLS-LOC/val" / f"{name}.xml", 60, 40, boxes)
    save(colours("bare", 60, 40), root / "val" / synset / "bare.JPEG")
    whole = bglab.open_scenes(f"imagenet:{root}?masks=box")
    everything = bglab.compose(whole, "white_fg", progress=False)
    assert {r.scene for r in everything.rejected} == {"bare", broken}
    good = bglab.compose(whole.select(labels=[207]), "white_fg", progress=False)
    assert (good.rejected, len(good), good.full.census.total) == ((), 2, 2)
    bad = bglab.compose(whole.select(ids=[whole.ids[0], tiny, broken]), "white_fg", progress=False)
    assert [r.scene for r in bad.rejected] == [broken]
    assert bad.full.census.text == ("1 of 3 scenes have a foreground of usable size; 1 smaller, 0 larger, 1 unusable")
    assert whole.select(labels=[207]).rejected == ()


def test_one_image_cut_out_by_its_mask_does_not_list_the_folder_again(tmp_path, monkeypatch):
    dataset = bglab.compose(f"imagenet:{write_imagenet(tmp_path)}?masks=box", "white_fg_mask", progress=False)
    monkeypatch.setattr(area_filter, "open_scenes", lambda _: pytest.fail("the folder was listed again"))
    for position in (0, 1):
        with contextlib.suppress(BadInput):  # GrabCut may find no object in these images
            dataset[position]


def test_the_names_of_an_error_include_those_made_at_full_resolution_only():
    with pytest.raises(
        UnknownName, match=r"unknown variant 'on_scene'; did you mean 'on_scenes'\? Known: .*on_scenes_mask"
    ):
        bglab.compose("synthetic9?n=9", "on_scene", progress=False)


def test_prepared_scenes_do_not_get_back_what_their_preparation_rejected(tmp_path):
    root = write_imagenet(tmp_path)
    truncate(next((root / "val").rglob("*.JPEG")))
    prepared = prepare(bglab.open_scenes(f"imagenet:{root}?masks=box"), 32, progress=False)
    assert len(prepared) == 3
    rows = bglab.compose(prepared, "white_fg", resolution="full", progress=False).rows
    assert [row.scene for row in rows] == prepared.scenes.ids


def test_a_donor_has_no_full_resolution_form(imagenet):
    with pytest.raises(UnknownName, match="unknown variant at full resolution 'mixed_rand'"):
        bglab.compose(imagenet, "mixed_rand", resolution="full", progress=False)


def test_some_variants_have_no_prepared_form():
    with pytest.raises(BadInput, match="made on prepared images, got 'on_scenes'; use resolution full"):
        bglab.compose("synthetic9?n=9&size=32", "on_scenes", size=32, resolution="prepared", progress=False)


def test_saliency_names_what_it_skips(tmp_path, capsys):
    root = write_imagenet(tmp_path)
    truncate(next((root / "val").rglob("*.JPEG")))
    arguments = ["saliency", "--scenes", f"imagenet:{root}", "--model", MODEL, "--variants", "on_white"]
    for _ in range(2):  # computed, then read
        assert main([*arguments, "--results", str(tmp_path / "results"), "--batch-size", "2"]) == 0
        printed = capsys.readouterr().err
        assert "1 scenes skipped:" in printed
        assert "expected a complete image in" in printed


def test_prepared_is_never_made_at_full_resolution_instead(capsys):
    arguments = ["predict", "--scenes", "synthetic9?n=9&size=32", "--models", MODEL, "--results", "unused"]
    assert main([*arguments, "--size", "32", "--variants", "on_scenes", "--resolution", "prepared"]) == 2
    assert "got 'on_scenes'; use resolution full" in capsys.readouterr().err


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_resolution_is_refused(imagenet):
    for make in (bglab.compose, lambda scenes, name, **options: compose_all(scenes, [name], **options)):
        with pytest.raises(BadInput, match="expected the resolution prepared or full, got 'Full'"):
            make(imagenet, "on_white", resolution="Full", progress=False)


def test_two_variants_of_one_name_are_refused():
    white, black = (given(Plain((level,) * 3)) for level in (255, 0))
    with pytest.raises(BadInput, match="expected one variant of each name, got two of 'given'"):
        compose_all("synthetic9?n=9&size=32", [white, black], size=32, progress=False)
    assert len(compose_all("synthetic9?n=9&size=32", [white, white], size=32, progress=False)) == 1


def test_the_same_data_set_twice_gives_the_same_table_twice(imagenet):
    dataset = bglab.compose(imagenet, "on_grey", progress=False)
    first, second = bglab.predict_all(classifier(), [dataset, dataset], progress=False)
    pd.testing.assert_frame_equal(first, second, check_flags=False)


@pytest.mark.parametrize("name", ["on_white~/../../x", "on_texture~x", "on_texture~0", "on_texture~", "on_white~1"])
def test_only_a_draws_number_may_follow_a_variants_name(imagenet, name):
    with pytest.raises(UnknownName, match="unknown draw"):
        bglab.compose(imagenet, name, resolution="full", progress=False)
    assert bglab.compose(imagenet, "on_texture~1", progress=False).variant.name == "on_texture~1"


def test_published_images_have_one_size(capsys):
    arguments = ["predict", "--scenes", "synthetic9?n=9", "--models", MODEL, "--variants", "original"]
    assert main([*arguments, "--results", "unused", "--published", "--resolution", "full"]) == 2
    assert "expected --published or --resolution full, got both" in capsys.readouterr().err


def test_saliency_is_measured_at_full_resolution(tmp_path):
    scenes = make_scenes(per_class=1)
    full = open_full(scenes, StreamSettings(smallest=0, largest=1, workers=2), progress=False)
    model = bglab.load_classifier(MODEL, engine="torch", device="cpu")
    rows = bglab.saliency_table(model, full, ["original", "on_white"], results=tmp_path, progress=False)
    assert rows.groupby("variant").size().to_dict() == {"original": len(scenes), "on_white": len(scenes)}
    assert rows.loc[rows["variant"] == "original", "drift_outside"].isna().all()
    assert rows.loc[rows["variant"] == "on_white", "drift_outside"].notna().all()
    # the network sees the middle seven eighths of the image, and the box with it
    boxes = [np.kron(scene.mask, np.ones((8, 8), dtype=bool)) for scene in open_by_box(scenes)]
    seen = [box[len(box) // 16 : -len(box) // 16, len(box) // 16 : -len(box) // 16].mean() for box in boxes]
    assert rows["mask_area"].tolist()[: len(scenes)] == pytest.approx(seen, abs=0.01)
    again = bglab.saliency_table(model, full, ["original", "on_white"], results=tmp_path, progress=False)
    pd.testing.assert_frame_equal(again, rows, check_dtype=False)
    shown = bglab.explain_scenes(model, full, scenes.ids[1:3], "on_white")
    assert shown.rows["scene"].tolist() == scenes.ids[1:3]
    assert shown.images.shape == (2, 3, 224, 224)


@pytest.mark.slow
def test_the_command_equals_the_reproduction_and_a_plain_script(mini, tmp_path):
    names = ("original", "white_fg", "on_white")
    scenes, results = f"imagenet:{mini / 'imagenet'}", tmp_path / "predict"
    arguments = ["predict", "--scenes", scenes, "--models", MODEL, "--results", str(results), "--variants", *names]
    assert main([*arguments, "--engine", "torch", "--device", "cpu"]) == 0
    ours = bglab.read_predictions(results).set_index(["variant", "scene"])["native"]
    assert {read_provenance(path)["resolution"] for path in prediction_files(results)} == {"full"}

    out = tmp_path / "report"
    settings = Settings(scenes=scenes, out=out, models=(MODEL,), engine=EngineChoice("torch", "cpu"), progress=False)
    reproduction = Reproduction(settings)
    for name in ("tbc-figure-2", "tbc-figure-4"):
        run_one(catalogue(["tbc"])[name], reproduction)
    theirs = bglab.read_predictions(out / "results").set_index(["variant", "scene"])["native"]
    for name in names:
        pd.testing.assert_series_equal(ours[name].sort_index(), theirs[name].sort_index())

    network = bglab.load_classifier(MODEL, engine="torch", device="cpu").network.network
    for name in names:
        logits = plain_logits(mini / "imagenet", network, name, ours[name].index)
        assert ours[name].tolist() == logits.argmax(1).tolist(), name


def test_a_device_that_runs_out_of_memory_gets_smaller_batches_at_full_resolution(imagenet, caplog):
    dataset = bglab.compose(imagenet, "white_fg", progress=False)
    expected = bglab.predict(classifier(), dataset, progress=False)
    small = classifier()
    answer = small.engine.answer

    def answer_two(images):
        if len(images) > 2:
            raise torch.cuda.OutOfMemoryError("simulated")
        return answer(images)

    small.engine.answer = answer_two
    table = bglab.predict(small, dataset, batch_size=8, progress=False)
    pd.testing.assert_frame_equal(table, expected, check_flags=False)
    assert "out of memory on cpu: going on with batches of 2" in caplog.text


def test_another_rule_under_the_same_name_is_not_read_from_the_results(tmp_path):
    tables = []
    for level in (255, 0, 0):
        dataset = bglab.compose("synthetic9?n=9&size=32", given(Plain((level,) * 3)), size=32, progress=False)
        made = make_classifier(lambda images: images.float().mean((1, 2, 3)).long() % 9)
        tables.append(bglab.predict(made, dataset, results=tmp_path, progress=False))
        seen = len(made.engine.batch_sizes)
    assert not tables[0]["prediction"].equals(tables[1]["prediction"])
    pd.testing.assert_frame_equal(tables[1], tables[2], check_dtype=False, check_flags=False)
    assert seen == 0  # the last table was read
