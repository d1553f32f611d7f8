"""The background swap without a browser, and the pictures of variants."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import bglab
from bglab import illustrations
from bglab.datasets import compose
from bglab.errors import BadInput, UnknownName
from bglab.inference import ask
from bglab.prepared import prepare
from bglab.variants import given
from fixtures.stand_ins import make_classifier, make_scenes

SIZE = 32


def brightness(pictures):
    return pictures.float().mean((1, 2, 3)).long() % 9


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(), SIZE, progress=False)


@pytest.fixture
def swap(prepared):
    widget = bglab.BackgroundSwap(prepared, make_classifier(brightness))
    yield widget
    widget.close()


def test_what_is_shown_is_what_compose_gives(prepared, swap):
    swap.choose("scene-3-1", "scene:scene-5-2")
    expected = compose(prepared, given("scene-5-2"))["scene-3-1"]
    assert torch.equal(swap.answer.picture, expected)
    assert torch.equal(
        swap.original.picture, torch.from_numpy(np.asarray(prepared.images[prepared.scenes.positions["scene-3-1"]]))
    )
    swap.choose("scene-3-1", "only_fg")
    assert torch.equal(swap.answer.picture, compose(prepared, "only_fg")["scene-3-1"])


def test_mixing_runs_from_the_original_to_the_swap(swap):
    swap.choose("scene-0-0", "scene:scene-1-0", mix=0.0)
    assert torch.equal(swap.answer.picture, swap.original.picture)
    swap.choose("scene-0-0", "scene:scene-1-0", mix=1.0)
    full = swap.answer.picture.float()
    swap.choose("scene-0-0", "scene:scene-1-0", mix=0.5)
    half = (full + swap.original.picture.float()) / 2
    assert (swap.answer.picture.float() - half).abs().max() <= 0.5


@pytest.mark.parametrize(("answer", "verdict"), [(2, "✓ right"), (6, "✗ captured by the background"), (4, "✗ wrong")])
def test_the_verdict_names_what_happened(prepared, answer, verdict):
    widget = bglab.BackgroundSwap(prepared, make_classifier(lambda pictures: torch.full((len(pictures),), answer)))
    widget.choose("scene-2-0", "scene:scene-6-0")
    assert verdict in widget._bars.value
    assert "bird (true)" not in widget._bars.value
    assert "vehicle (true)" in widget._bars.value
    assert "instrument (background)" in widget._bars.value
    widget.close()


def test_a_saved_notebook_keeps_a_picture(swap):
    bundle = swap._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert bundle["image/jpeg"].startswith("/9j/")  # how every JPEG begins in base64


def test_other_label_spaces_are_refused(prepared):
    foreign = dataclasses.replace(prepared, scenes=dataclasses.replace(prepared.scenes, space="voc"))
    with pytest.raises(BadInput, match=r"expected scenes labelled in the nine classes, got random \(voc\)"):
        bglab.BackgroundSwap(foreign, make_classifier(brightness))


def test_an_answer_adds_up(prepared):
    said = ask(make_classifier(brightness), torch.from_numpy(np.asarray(prepared.images[0])))
    assert said.probabilities.shape == (10,)
    assert said.probabilities.sum() == pytest.approx(1)
    assert said.prediction == said.probabilities.argmax()
    assert said.native == prepared.scenes.classes[said.prediction]


def test_versions_show_one_picture_in_every_variant(prepared):
    ax = illustrations.plot_versions(make_classifier(brightness), [prepared], "insect")
    texts = [text.get_text() for text in ax.texts]
    for name in bglab.IN9_VARIANTS:
        assert bglab.VARIANTS[name].title in texts
    assert len(ax.images) == 8
    with pytest.raises(UnknownName, match="no picture of class 'cat' that can show original"):
        illustrations.plot_versions(make_classifier(brightness), [prepared], "cat", ["original"])


def test_tiling_shows_its_four_steps(prepared):
    ax = illustrations.plot_tiling(prepared, "scene-4-1")
    assert len(ax.images) == 4
    assert "The strip, tiled" in [text.get_text() for text in ax.texts]


def test_masks_keep_the_object_in_colour(prepared):
    ax = illustrations.plot_masks(prepared)
    assert len(ax.images) == len(prepared)
    shown = np.asarray(ax.images[0].get_array())
    mask = prepared.masks[0]
    assert np.array_equal(shown[mask], prepared.images[0].transpose(1, 2, 0)[mask])
    assert (shown[~mask].std(axis=-1) == 0).all()


def test_the_variant_table_says_how_each_is_made():
    table = illustrations.variant_table(list(bglab.VARIANTS)).set_index("Variant")
    assert table.loc["Mixed-Next", "Background from"] == "a picture of the next class"
    assert table.loc["On-Yellow", "Background"] == "plain yellow"
    assert table.loc["White-FG", "Foreground"] == "painted white, by its box"
    assert table.loc["Spurious-Noise", "Background"] == "as photographed, with noise of 64 levels"
