"""`bglab predict` with models of transformers and open_clip, from folders on this machine."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import torch

from bglab.__main__ import main

pytestmark = pytest.mark.slow  # importing the two libraries takes seconds
SCENES = "synthetic9?n=9&size=64"


def run(model, tmp_path):
    arguments = ["predict", "--scenes", SCENES, "--models", model, "--size", "64", "--variants", "original"]
    assert main([*arguments, "--results", str(tmp_path / "results"), "--engine", "torch", "--device", "cpu"]) == 0
    assert main(["accuracy", "--results", str(tmp_path / "results"), "--csv", str(tmp_path / "a.csv")]) == 0
    return pd.read_csv(tmp_path / "a.csv")


def test_a_folder_of_transformers(tmp_path):
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    transformers.utils.logging.disable_progress_bar()
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64, image_size=64, num_labels=9
    )
    torch.manual_seed(0)
    transformers.ViTForImageClassification(config).save_pretrained(tmp_path / "vit")
    transformers.ViTImageProcessor(size=64).save_pretrained(tmp_path / "vit")
    table = run(f"hf:{tmp_path / 'vit'}", tmp_path)
    assert (table.model.tolist(), table.n.tolist()) == ([f"hf:{tmp_path / 'vit'}"], [9])


def test_a_folder_of_open_clip(tmp_path):
    open_clip = pytest.importorskip("open_clip", reason="open_clip is not installed")
    configuration = {
        "embed_dim": 16,
        "vision_cfg": {"image_size": 64, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16},
        "text_cfg": {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1},
    }
    folder = tmp_path / "clip"
    folder.mkdir()
    torch.manual_seed(0)
    torch.save(open_clip.CLIP(**configuration).state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps({"model_cfg": configuration}))
    (folder / "prompts.txt").write_text("a photo of a {}.\n")
    uri = f"clip:{folder}?classes=in9&prompts={folder / 'prompts.txt'}"
    table = run(uri, tmp_path)
    assert (table.model.tolist(), table.n.tolist()) == ([uri], [9])
