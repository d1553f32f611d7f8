"""Calibration: on rendered scenes a perfect background reader and a perfect foreground reader score what theory says.

With probability ρ a scene stands on its class's own scenery, otherwise on one of the nine drawn uniformly, so the
scenery names the class with probability ρ + (1 − ρ) / 9. A reader that finds nothing it knows always says "dog",
which is right for one class in nine.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats

import bglab
from bglab.scenes.sources.synthetic9 import describe
from bglab.variants import compose
from fixtures.stand_ins import make_classifier

COUNT, SIZE = 540, 48
PIXELS = 48
RHOS = (0.0, 0.5, 1.0)
FRAME = 2  # width of the edge; most of it shows scenery, whatever the object
MIXED = ("mixed_same", "mixed_rand", "mixed_next")


@pytest.fixture(
    scope="module", params=[pytest.param(rho, marks=[] if rho == 0.5 else pytest.mark.slow) for rho in RHOS]
)
def world(request, data_folder):
    """Return ρ, prepared scenes, and both readers."""
    rho = request.param
    scenes = bglab.open_scenes(f"synthetic9?n={COUNT}&rho={rho}&size={SIZE}")
    prepared = bglab.prepare(scenes, SIZE, progress=False)
    images = torch.from_numpy(np.asarray(prepared.images))
    plates = torch.from_numpy(np.asarray(prepared.plates))
    masks = torch.from_numpy(np.asarray(prepared.masks))
    families = torch.tensor([describe(record, rho=rho).scenery for record in scenes.records])
    labels = torch.from_numpy(scenes.labels)
    edge = torch.ones(SIZE, SIZE, dtype=torch.bool)
    edge[FRAME:-FRAME, FRAME:-FRAME] = False
    rng = np.random.default_rng(0)
    on_edge = _some_pixels(rng, [edge.numpy()] * len(scenes))
    on_object = _some_pixels(rng, list(masks.numpy()))

    def read_background(shown):
        """Predict the family of the scenery whose edge the image shows."""
        return _recognise(shown, plates, on_edge, families)

    def read_foreground(shown):
        """Predict the class of the object whose pixels the image shows."""
        return _recognise(shown, images, on_object, labels)

    return rho, prepared, read_background, read_foreground


def _some_pixels(rng, regions):
    """Draw a few pixels of each region: rows and columns, one line per region."""
    drawn = [rng.choice(np.argwhere(region), size=PIXELS) for region in regions]
    return torch.from_numpy(np.stack(drawn)).unbind(-1)


def _recognise(images, known, where, classes):
    """Return the class of the known image that most of the pixels agree with, exactly; 0 where most agree with none."""
    rows, columns = where
    index = torch.arange(len(known))[:, None]
    expected = known[index, :, rows, columns]  # known, pixel, channel
    seen = images.permute(0, 2, 3, 1)[:, rows, columns]  # image, known, pixel, channel
    agreement = (seen == expected).all(-1).float().mean(-1)
    best, which = agreement.max(dim=1)
    return torch.where(best > 0.5, classes[which], 0)


def accuracy(reader, prepared, variant):
    table = bglab.predict(make_classifier(reader), compose(prepared, variant), batch_size=90, progress=False)
    return bglab.accuracy(table, by=["variant"]).iloc[0]


def expect(row, probability):
    """Compare an accuracy with a probability: exactly for 0 and 1, otherwise by a binomial test."""
    if probability in {0.0, 1.0}:
        assert row.top1 == probability
    else:
        assert stats.binomtest(round(row.top1 * row.n), int(row.n), probability).pvalue > 1e-4


@pytest.mark.parametrize("variant", ["original", "only_bg_t", "only_bg_b", "no_fg", "mixed_same"])
def test_the_background_reader_follows_the_scenery(world, variant):
    rho, prepared, read_background, _ = world
    expect(accuracy(read_background, prepared, variant), rho + (1 - rho) / 9)


def test_the_background_reader_is_at_chance_on_random_backgrounds(world):
    _, prepared, read_background, _ = world
    expect(accuracy(read_background, prepared, "mixed_rand"), 1 / 9)


def test_the_background_reader_is_misled_by_the_next_class(world):
    rho, prepared, read_background, _ = world
    expect(accuracy(read_background, prepared, "mixed_next"), (1 - rho) / 9)


@pytest.mark.parametrize("variant", ["only_fg", "on_white_mask", "on_texture_mask", "on_grey_mask"])
def test_the_background_reader_sees_nothing_on_plates(world, variant):
    _, prepared, read_background, _ = world
    assert accuracy(read_background, prepared, variant).top1 == pytest.approx(1 / 9)


@pytest.mark.parametrize("variant", ["original", "only_fg", "on_white", "on_texture_mask", "spurious_noise", *MIXED])
def test_the_foreground_reader_is_always_correct(world, variant):
    _, prepared, _, read_foreground = world
    expect(accuracy(read_foreground, prepared, variant), 1.0)


@pytest.mark.parametrize("variant", ["only_bg_t", "only_bg_b", "no_fg", "white_fg", "core_noise"])
def test_the_foreground_reader_sees_nothing_without_its_object(world, variant):
    _, prepared, _, read_foreground = world
    assert accuracy(read_foreground, prepared, variant).top1 == pytest.approx(1 / 9)


def test_the_gap_is_eight_ninths_of_rho(world):
    rho, prepared, read_background, read_foreground = world
    gaps = {}
    for name, reader in (("background", read_background), ("foreground", read_foreground)):
        parts = [
            bglab.predict(make_classifier(reader), compose(prepared, variant), batch_size=90, progress=False)
            for variant in ("mixed_same", "mixed_rand")
        ]
        gaps[name] = bglab.background_gap(pd.concat(parts), by=["model"]).iloc[0]
    reader = gaps["background"]
    assert reader.gap_low - 0.02 < 8 / 9 * rho < reader.gap_high + 0.02
    if rho == 0:
        assert reader.gap_low <= 0 <= reader.gap_high
    else:
        assert reader.gap_low > 0
        assert reader.gap == pytest.approx(8 / 9 * rho, abs=0.08)
    assert gaps["foreground"].gap == 0
