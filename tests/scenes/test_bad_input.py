"""A release with every kind of broken file, from the command line: nothing is silently lost or replaced."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from bglab.__main__ import main
from bglab.results import read_predictions, read_provenance
from bglab.results.predictions import prediction_files
from fixtures.layouts import SIZE, in9_id, truncate, write_in9

MODEL = "lite:efficientnet_lite0"


@pytest.fixture
def broken(tmp_path):
    """Write a release of 2 images per class, then break one image or mask in each of seven classes."""
    root = write_in9(tmp_path, per_class=2)

    def image(label):
        return next(root.glob(f"original/val/*/{in9_id(label, 0)}.JPEG"))

    def mask(label):
        return next(root.glob(f"fg_mask/val/*/{in9_id(label, 0)}.npy"))

    truncate(image(0))
    image(1).write_bytes(b"")
    image(2).write_text("this is no image")
    np.save(mask(3), np.zeros((SIZE, SIZE), bool))
    np.save(mask(4), np.ones((SIZE, SIZE), bool))
    np.save(mask(5), np.ones((10, 10), bool))
    mask(6).unlink()
    whole = Image.open(image(7))
    whole.convert("CMYK").save(image(7), format="JPEG", quality=95)
    Image.open(image(8)).convert("L").save(image(8), format="JPEG", quality=95)
    return root


def run(root, results, *options):
    arguments = ["predict", "--scenes", f"in9:{root}", "--models", MODEL, "--results", str(results)]
    return main([*arguments, "--variants", "original", *options])


def test_composed_variants_leave_out_what_cannot_be_used(broken, tmp_path, capsys):
    assert run(broken, tmp_path / "r") == 0
    table = read_predictions(tmp_path / "r")
    unusable = {in9_id(label, 0) for label in range(7)}
    assert len(table) == 11
    assert not unusable & set(table.scene)
    assert {in9_id(7, 0), in9_id(8, 0)} <= set(table.scene)  # CMYK and grey are images like any other
    assert table.scene.is_unique
    (file,) = prediction_files(tmp_path / "r")
    assert {scene for scene, _, _ in read_provenance(file)["rejected"]} == unusable
    said = capsys.readouterr().err
    assert "bglab: notice: 7 scenes skipped:" in said
    for scene in unusable:
        assert scene in said


def test_published_images_need_no_masks(broken, tmp_path, capsys):
    assert run(broken, tmp_path / "r", "--published") == 0
    table = read_predictions(tmp_path / "r")
    assert len(table) == 15
    assert not {in9_id(label, 0) for label in range(3)} & set(table.scene)
    said = capsys.readouterr().err
    assert "bglab: notice: 3 scenes skipped:" in said
    for label in range(3):
        assert f"{in9_id(label, 0)}.JPEG" in said


def test_counts_other_than_the_releases_are_a_notice(broken, tmp_path, capsys):
    assert run(broken, tmp_path / "r", "--published") == 0
    assert "expected 450 images" in capsys.readouterr().err


def test_checking_a_set_lists_every_reason(broken, capsys):
    assert main(["data", "check", f"in9:{broken}"]) == 0
    captured = capsys.readouterr()
    assert "11 usable scenes of 18" in captured.out
    for words in ("reading it failed", "the file is empty", "no known format", "marks nothing", "the whole image"):
        assert words in captured.err, words
    assert "10 × 10" in captured.err
