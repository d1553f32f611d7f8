"""The area rule of Time for a Background Check!: foregrounds of 5 to 70 % of the image, counted without decoding it."""

from __future__ import annotations

import pytest
from PIL import Image

from bglab.errors import BadInput
from bglab.labels import imagenet_synsets
from bglab.scenes import area_census, area_filter, open_by_box
from bglab.variants import (
    StreamSettings,
    open_full,
)
from fixtures.layouts import box_xml, colours, save, write_imagenet


def test_the_area_rule_counts_on_the_original_image(tmp_path):
    root = write_imagenet(tmp_path)
    synset = imagenet_synsets()[0]
    folder = root / "Annotations" / "CLS-LOC" / "val"
    boxes = {
        "exactly the least": [(0, 0, 11, 9)],  # 12 × 10 of 60 × 40 pixels: 5 %
        "a hair less": [(0, 0, 16, 6)],  # 119 pixels
        "the most": [(0, 0, 59, 27)],  # 60 × 28: 70 %
        "more": [(0, 0, 59, 28)],
        "two that overlap": [(0, 0, 29, 39), (10, 0, 39, 39)],  # 40 × 40, counted once: 67 %
        "another class": [],
    }
    for name, corners in boxes.items():
        save(colours(name, 60, 40), root / "val" / synset / f"{name}.JPEG")
        objects = [(synset, c) for c in corners] or [("n02084071", (1, 1, 30, 30))]
        box_xml(folder / f"{name}.xml", 60, 40, objects)
    census = area_census(f"imagenet:{root}")
    assert set(census.ids) - {f"ILSVRC2012_val_{i:08d}" for i in range(1, 5)} == {
        "exactly the least",
        "the most",
        "two that overlap",
    }
    assert (census.total, census.smaller, census.larger) == (10, 1, 1)
    assert [r.scene for r in census.rejected] == ["another class"]
    assert census.text == "7 of 10 scenes have a foreground of usable size; 1 smaller, 1 larger, 1 unusable"
    assert census.rejected[0].reason.startswith(f"expected a box of {synset} within the image in {folder}")
    with pytest.raises(BadInput, match="expected limits with 0 <= smallest < largest <= 1, got 0.7 and 0.05"):
        area_census(f"imagenet:{root}", 0.7, 0.05)
    with pytest.raises(BadInput, match="expected foregrounds of 90% to 100% of the image in imagenet:val, got none"):
        open_full(f"imagenet:{root}", StreamSettings(smallest=0.9, largest=1, workers=2), progress=False)


def test_the_census_decodes_no_image_of_imagenet(tmp_path, monkeypatch):
    root = write_imagenet(tmp_path)
    monkeypatch.setattr(Image, "open", lambda *_: pytest.fail("an image was opened"))
    assert len(area_census(f"imagenet:{root}").ids) == 4


def test_the_census_of_real_images(mini):
    census = area_census(f"imagenet:{mini / 'imagenet'}")
    decoded = open_by_box(f"imagenet:{mini / 'imagenet'}")
    shares = [area_filter.foreground_share(decoded, record) for record in decoded.records[:12]]
    assert shares == [float(decoded.read(record).mask.mean()) for record in decoded.records[:12]]
    assert census.total == 96
    assert len(census.ids) + census.smaller + census.larger == 96
