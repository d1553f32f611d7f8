"""`bglab.check`: the numbers of a card are those of the analysis, and every format holds them."""

from __future__ import annotations

import dataclasses
import json
import math
import re

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import bglab
from bglab import analysis, check
from bglab.__main__ import main
from bglab.audit import MEASURES, read_card
from bglab.audit.evidence import MOST_OBJECTS, audit_scenes
from bglab.audit.measures import VARIANTS, written, written_interval
from bglab.errors import BadInput, MissingData
from bglab.evaluation import LINF, NoiseGrid, noise_predictions
from bglab.search import search_matrix
from fixtures.networks import fresh
from fixtures.stand_ins import make_scenes

HOSTILE = '<script>alert("1")</script> $x_{2}$ & \x1b[31m'


def values(card):
    return card.subject.table.set_index("measure")["value"]


def test_a_classifier_that_reads_the_background_has_known_numbers(background_card, scenes, by_background):
    found = values(background_card)
    assert found["accuracy_original"] == found["accuracy_mixed_same"] == found["accuracy_only_bg_t"] == 1
    mixed = bglab.compose(scenes, "mixed_rand")
    labels = dict(zip(scenes.scenes.ids, scenes.scenes.labels.tolist(), strict=True))
    same = np.mean([labels[row.donor] == row.label for row in mixed.rows])
    assert 0 < same < 1
    assert found["accuracy_mixed_rand"] == pytest.approx(same)
    assert found["background_gap"] == pytest.approx(1 - same)
    assert found["background_capture"] == found["fooled_by_some"] == found["captured_by_some"] == 1
    assert found["rfs"] < 0


def test_a_classifier_that_reads_the_object_is_never_fooled(object_card):
    found = values(object_card)
    assert found["accuracy_original"] == found["accuracy_mixed_rand"] == found["accuracy_only_fg"] == 1
    assert found["background_gap"] == found["fooled_by_some"] == found["captured_by_some"] == 0
    assert found["rfs"] > 0
    assert object_card.captures == ()
    assert ("Captures", "none of an object that is correct in its own image") in object_card.reasons


def test_numbers_are_those_of_the_analysis(network_card, network, scenes):
    images = pd.concat(bglab.predict(network, bglab.compose(scenes, name), progress=False) for name in VARIANTS)
    objects = bglab.prepare(scenes.scenes.select(ids=network_card.subject.objects["scene"]), 32, progress=False)
    labels = dict(zip(scenes.scenes.ids, scenes.scenes.labels.tolist(), strict=True))
    pairs = search_matrix(network, objects, progress=False)
    noise = noise_predictions(network, objects, NoiseGrid("linf", LINF.strengths, draws=1), progress=False)
    saliency = bglab.saliency_table(network, objects, progress=False)
    accuracy = bglab.accuracy(images, by=["variant"]).set_index("variant")
    expected = {
        **{f"accuracy_{name}": (accuracy.loc[name], "top1") for name in VARIANTS},
        "background_gap": (bglab.background_gap(images).iloc[0], "gap"),
        "background_capture": (
            bglab.background_capture(images.query("variant == 'mixed_rand'"), labels).iloc[0],
            "captured",
        ),
        "fooled_by_some": (analysis.vulnerability(pairs).iloc[0], "vulnerable_any"),
        "captured_by_some": (analysis.vulnerability(pairs).iloc[0], "vulnerable_targeted"),
        "saliency_on_object": (bglab.localisation_summary(saliency).iloc[0], "share_on_object"),
        "rfs": (analysis.foreground_sensitivity(noise, by=["model"]).iloc[0], "rfs"),
    }
    assert list(expected) == list(MEASURES)
    for name, (row, column) in expected.items():
        ours = network_card.subject.value(name)
        theirs = [float(row[f"{column}{end}"]) for end in ("", "_low", "_high")]
        np.testing.assert_array_equal([ours.value, ours.low, ours.high], theirs, err_msg=name)
        assert ours.objects == 27 or name == "background_capture"
    assert network_card.subject.value("accuracy_original").n == 54
    assert network_card.subject.value("saliency_on_object").chance == pytest.approx(144 / 1024)


def test_captures_are_correct_at_home_and_of_different_objects_and_backgrounds(background_card):
    captures = background_card.captures
    assert len(captures) == 5
    assert len({capture.scene for capture in captures}) == len({capture.background for capture in captures}) == 5
    for capture in captures:
        assert capture.class_name != capture.background_class
        assert capture.caption.startswith(f"{capture.class_name} → {capture.background_class} ")
        # one-hot logits: the softmax of the predicted class over nine
        assert capture.probability == capture.own_probability == pytest.approx(math.e / (math.e + 8))


def test_a_model_without_layers_says_why_it_has_no_saliency(background_card):
    row = background_card.subject.value("saliency_on_object")
    assert math.isnan(row.value)
    assert "expected" in row.reason
    assert f"Grad-CAM on object: {row.reason[:30]}" in background_card.text(width=2000)
    assert ("Grad-CAM on object", row.reason) in background_card.reasons


def test_text_has_every_number_and_fits_the_terminal(network_card):
    others = [dataclasses.replace(network_card.subject, model=f"lite:efficientnet_lite{i}") for i in (0, 1)]
    text = dataclasses.replace(network_card, beside=tuple(others)).text()
    assert max(map(len, text.splitlines())) <= 100
    assert "\x1b" not in text
    for name, measure in MEASURES.items():
        row = network_card.subject.value(name)
        cell = f"{written(name, row.value)} {written_interval(name, row.low, row.high)}".strip()
        (line,) = (line for line in text.splitlines() if line.startswith(measure.title + " "))
        assert line.count(cell) == 3
    assert "54 images of 27 objects in 9 classes" in text


def test_html_asks_for_nothing_from_outside(background_card, tmp_path):
    (path,) = background_card.save(tmp_path / "card.html")
    page = path.read_text()
    sources = re.findall(r"(?:src|href)=[\"']([^\"']*)", page)
    assert len(sources) == 10
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"url\(|@import|<script|<link|<iframe", page)
    assert background_card.captures[0].caption in page


def test_a_hostile_name_is_escaped_everywhere(background_card, tmp_path):
    hostile = dataclasses.replace(
        background_card,
        subject=dataclasses.replace(background_card.subject, model=HOSTILE),
        notices=("<img src=x onerror=alert(2)>",),
    )
    html, _, pdf, _ = hostile.save(*(tmp_path / f"card.{ending}" for ending in ("html", "png", "pdf", "csv")))
    for page in (html.read_text(), hostile._repr_html_()):
        assert "<script" not in page
        assert "<img src=x" not in page
        assert "&lt;script&gt;alert" in page
    assert "\x1b" not in hostile.text()
    assert pdf.read_bytes().startswith(b"%PDF")


def test_json_holds_the_whole_card(background_card, tmp_path):
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    background_card.save(first)
    again = read_card(first)
    pd.testing.assert_frame_equal(again.table, background_card.table)
    pd.testing.assert_frame_equal(again.subject.images, background_card.subject.images, check_dtype=False)
    pd.testing.assert_frame_equal(again.subject.objects, background_card.subject.objects)
    assert again.captures == background_card.captures
    again.save(second)
    assert first.read_bytes() == second.read_bytes()
    json.loads(first.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_csv_has_unrounded_numbers(network_card, tmp_path):
    (path,) = network_card.save(tmp_path / "card.csv")
    table = pd.read_csv(path, keep_default_na=False, na_values={"value": "", "low": "", "high": ""})
    assert table["measure"].tolist() == list(MEASURES)
    np.testing.assert_allclose(table["value"], network_card.table["value"], rtol=1e-12)


def test_pdf_and_png_are_one_page_with_nothing_cut(background_card, tmp_path):
    others = tuple(dataclasses.replace(background_card.subject, model=f"lite:efficientnet_lite{i}") for i in range(3))
    whole = dataclasses.replace(background_card, beside=others)
    pdf, png = whole.save(tmp_path / "card.pdf", tmp_path / "card.png")
    assert len(re.findall(rb"/Type /Page\b", pdf.read_bytes())) == 1
    with Image.open(png) as image:
        pixels = np.asarray(image.convert("L"))
    assert pixels.shape[0] / pixels.shape[1] == pytest.approx(11.69 / 8.27, rel=0.01)
    margin = 60  # 300 dpi
    edges = (pixels[:margin], pixels[-margin:], pixels[:, :margin], pixels[:, -margin:])
    assert all((edge == 255).all() for edge in edges)


@pytest.mark.parametrize("name", ["card.txt", "card"])
def test_unknown_formats_are_refused(network_card, tmp_path, name):
    with pytest.raises(BadInput, match=r"\.html, \.pdf, \.png, \.json, \.csv"):
        network_card.save(tmp_path / name)


def test_models_beside_that_cannot_be_loaded_are_named(network, scenes):
    card = check(network, scenes=scenes, beside=("file:missing.pt", network.spec.id), progress=False)
    assert card.beside == ()
    assert len(card.notices) == 1
    assert card.notices[0].startswith("file:missing.pt is not shown: expected a checkpoint")
    assert card.notices[0][:30] in card.text()


def test_results_are_stored_and_reused(network, scenes, network_card, tmp_path):
    first = check(network, scenes=scenes, beside=(), results=tmp_path, progress=False)
    written_at = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*.*") if path.is_file()}
    assert len(written_at) > 15
    second = check(network, scenes=scenes, beside=(), results=tmp_path, progress=False)
    assert {path: path.stat().st_mtime_ns for path in written_at} == written_at
    for card in (first, second):
        pd.testing.assert_frame_equal(card.table, network_card.table)


def test_large_sets_are_sampled_evenly():
    chosen = audit_scenes(bglab.prepare(make_scenes(per_class=20), 32, progress=False), progress=False)
    counts = np.bincount(chosen.objects.scenes.labels)
    assert len(chosen.objects) == MOST_OBJECTS
    assert counts.min() == 11
    assert "100 objects (a sample)" in chosen.facts.sentences[1]


def test_scenes_of_other_classes_are_refused(network):
    other = dataclasses.replace(make_scenes(), space="own", classes=tuple("abcdefghi"))
    with pytest.raises(BadInput, match="expected a classifier that predicts the classes of random"):
        check(network, scenes=bglab.prepare(other, 32, progress=False), beside=(), progress=False)


@pytest.mark.parametrize("content", ["", "{}", "[]", '{"format": 99}', '{"format": 1, "subject": {"model": "m"}}'])
def test_files_that_are_no_cards_are_refused(tmp_path, content):
    path = tmp_path / "card.json"
    path.write_text(content)
    with pytest.raises(BadInput, match="expected a card in"):
        read_card(path)


def test_a_missing_card_is_missing(tmp_path):
    with pytest.raises(MissingData, match="no such file"):
        read_card(tmp_path / "none.json")


def test_the_command_refuses_a_format_before_it_computes(capsys):
    assert main(["check", "file:missing.pt", "--out", "card.docx"]) == 2
    assert "ending in .html" in capsys.readouterr().err


@pytest.mark.slow
def test_the_command_prints_and_writes_a_card(tmp_path, capsys):
    out = tmp_path / "card.json"
    arguments = ["check", "lite:efficientnet_lite0", "--scenes", "synthetic9?n=18&size=64", "--no-beside"]
    assert main([*arguments, "--out", str(out), "--results", str(tmp_path / "R")]) == 0
    printed = capsys.readouterr().out
    card = read_card(out)
    assert printed == card.text() + f"{out}\n"
    assert card.model == "lite:efficientnet_lite0"
    assert card.scenes.images == card.scenes.searched == 18


def test_maps_that_are_all_zero_are_said_to_be(scenes):
    card = check(fresh("test_resnet", size=32, seed=0), scenes=scenes, beside=(), progress=False)
    assert card.subject.value("saliency_on_object").reason == "all 27 maps are zero everywhere"
