"""`bglab.compare`: paired differences, and the images whose verdict changed."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binomtest

import bglab
from bglab import compare
from bglab.__main__ import main
from bglab.audit.comparing import evidence_of
from bglab.errors import BadInput


@pytest.fixture(scope="module")
def comparison(background_card, by_object, scenes):
    """Compare the classifier that reads the background, as a card, with the one that reads the object."""
    return compare(background_card, by_object, scenes=scenes, progress=False)


def other_class(scenes):
    """Mark the Mixed-Rand images whose background is of another class."""
    labels = dict(zip(scenes.scenes.ids, scenes.scenes.labels.tolist(), strict=True))
    return {row.scene: labels[row.donor] != row.label for row in bglab.compose(scenes, "mixed_rand").rows}


def test_fixed_and_broken_images_are_those_that_the_rule_says(comparison, scenes):
    counts = comparison.counts.set_index("variant")
    other = other_class(scenes)
    assert counts.loc["mixed_rand", ["n", "fixed", "broken"]].tolist() == [54, sum(other.values()), 0]
    assert counts.loc["original", ["n", "fixed", "broken"]].tolist() == [54, 0, 0]
    fixed = comparison.changes.query("variant == 'mixed_rand'")
    assert set(fixed["change"]) == {"fixed"}
    assert set(fixed["scene"]) == {scene for scene, is_other in other.items() if is_other}
    assert (fixed["after"] == fixed["true_class"]).all()
    assert (fixed["before"] != fixed["true_class"]).all()
    assert comparison.changes["clearness"].is_monotonic_decreasing


def test_the_test_counts_an_object_once(comparison, scenes):
    other = other_class(scenes)
    objects = {scene.removesuffix("-copy2") for scene, is_other in other.items() if is_other}
    row = comparison.counts.set_index("variant").loc["mixed_rand"]
    assert (row["objects"], row["discordant"]) == (27, len(objects))
    assert row["p"] == pytest.approx(binomtest(len(objects), len(objects)).pvalue)
    assert row["p_holm"] >= row["p"]


def test_differences_are_paired(comparison, background_card, object_card):
    table = comparison.table.set_index("measure")
    before, after = (card.subject.table.set_index("measure")["value"] for card in (background_card, object_card))
    for name in table.index:
        assert table.loc[name, "before"] == pytest.approx(before[name], abs=1e-12), name
        assert table.loc[name, "after"] == pytest.approx(after[name], abs=1e-12), name
        assert table.loc[name, "difference"] == pytest.approx(after[name] - before[name], abs=1e-12), name
        assert table.loc[name, "low"] <= table.loc[name, "difference"] <= table.loc[name, "high"]
    assert table.loc["background_gap", "high"] < 0
    assert table.loc["accuracy_original", "low"] < 0 < table.loc["accuracy_original", "high"]
    assert "saliency_on_object" not in table.index  # neither has layers to explain


def test_saliency_of_two_networks_is_compared(network_card, network):
    same = compare(network_card, network_card, progress=False)
    row = same.table.set_index("measure").loc["saliency_on_object"]
    assert row["before"] == row["after"] == pytest.approx(network_card.subject.value("saliency_on_object").value)
    assert row["difference"] == 0
    assert same.changes.empty
    assert "No verdict changed." in same.text()


def test_pages_show_the_changed_images_and_nothing_from_outside(comparison, tmp_path):
    html, data, table = comparison.save(*(tmp_path / f"c.{ending}" for ending in ("html", "json", "csv")))
    sources = re.findall(r"(?:src|href)=[\"']([^\"']*)", html.read_text())
    assert len(sources) == 24
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert json.loads(data.read_text())["counts"][0]["variant"] == "original"
    assert pd.read_csv(table)["scene"].tolist() == comparison.changes["scene"].tolist()
    assert max(map(len, comparison.text().splitlines())) <= 100


def test_names_are_escaped(comparison):
    hostile = dataclasses.replace(comparison, after=dataclasses.replace(comparison.after, model="<script>x</script>"))
    assert "<script" not in hostile._repr_html_()
    assert "&lt;script&gt;" in hostile._repr_html_()


def test_prediction_tables_have_accuracies_and_the_gap(by_background, by_object, scenes, comparison):
    tables = [
        pd.concat(
            bglab.predict(classifier, bglab.compose(scenes, name), progress=False)
            for name in ("mixed_same", "mixed_rand")
        )
        for classifier in (by_background, by_object)
    ]
    found = compare(*tables, progress=False)
    names = ["accuracy_mixed_same", "accuracy_mixed_rand", "background_gap", "background_capture"]
    assert found.table["measure"].tolist() == names
    whole = comparison.table.set_index("measure").loc[names].reset_index()
    pd.testing.assert_frame_equal(found.table, whole)
    assert found.counts["fixed"].tolist() == comparison.counts.set_index("variant").loc[
        ["mixed_same", "mixed_rand"], "fixed"
    ].tolist()  # fmt: skip


def test_images_on_another_background_are_left_out(by_background, scenes):
    first, second = (
        bglab.predict(by_background, bglab.compose(scenes, "mixed_rand", seed=seed), progress=False) for seed in (0, 1)
    )
    same = int((first["donor"].to_numpy() == second["donor"].to_numpy()).sum())
    assert 0 < same < 54
    found = compare(first, second, progress=False)
    assert found.counts["n"].tolist() == [same]
    assert found.left_out == 2 * (54 - same)


def test_other_images_are_refused(background_card):
    renamed = background_card.subject.images.assign(scene="other-" + background_card.subject.images["scene"])
    other = dataclasses.replace(background_card, subject=dataclasses.replace(background_card.subject, images=renamed))
    with pytest.raises(BadInput, match="none in common"):
        compare(background_card, other, progress=False)


def test_tables_of_several_models_are_refused(by_background, scenes):
    table = bglab.predict(by_background, bglab.compose(scenes, "original"), progress=False)
    with pytest.raises(BadInput, match="expected predictions of one model, got rule:rule, other"):
        evidence_of(pd.concat([table, table.assign(model="other")]))


def test_cards_are_compared_by_the_command(background_card, object_card, comparison, tmp_path, capsys):
    before, after, out = (tmp_path / f"{name}.json" for name in ("before", "after", "out"))
    background_card.save(before)
    object_card.save(after)
    assert main(["compare", str(before), str(after), "--out", str(out)]) == 0
    found = json.loads(out.read_text())
    assert [row["fixed"] for row in found["counts"]] == comparison.counts["fixed"].tolist()
    assert capsys.readouterr().out == comparison.text() + f"{out}\n"


def test_cards_of_scenes_that_are_not_here_are_compared_without_images(background_card, object_card, comparison):
    away = [
        dataclasses.replace(card, scenes=card.scenes._replace(uri="in9:/nowhere"))
        for card in (background_card, object_card)
    ]
    found = compare(*away, progress=False)
    pd.testing.assert_frame_equal(found.changes, comparison.changes)
    assert found.thumbnails == {}
    assert np.isfinite(found.table["difference"]).all()
