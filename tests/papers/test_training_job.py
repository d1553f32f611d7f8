"""Networks that are trained at the same time: finished checkpoints, which later runs find."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from bglab.executors import connect
from bglab.papers import Reproduction, trained_networks
from bglab.training import PRESETS, read_checkpoint
from fixtures.trained import SIZE, small_settings

pytestmark = pytest.mark.slow

NAMES = ("original", "mixed_rand", "only_bg_t")


def test_workers_train_one_network_each(tmp_path, tmp_path_factory, monkeypatch):
    recipe = replace(PRESETS["toy"], architecture="test_resnet", size=SIZE, epochs=2, batch_size=9)
    monkeypatch.setattr(trained_networks, "PRESETS", {"toy": recipe, "paper": PRESETS["paper"]})
    given = small_settings(tmp_path_factory.mktemp("networks"), tmp_path_factory.mktemp("out"))
    chosen = replace(given, train="toy", trained=None, train_minutes=5.0)
    with connect(devices=["cpu", "cpu"]) as executor:
        together = Reproduction(replace(chosen, out=tmp_path / "together")).trained.networks(NAMES)
    assert executor.statistics.blocks == executor.statistics.attempts == len(NAMES)
    alone = Reproduction(replace(chosen, out=tmp_path / "alone")).trained.networks(NAMES)
    assert list(together) == list(alone) == list(NAMES)
    for name in NAMES:
        ours, theirs = (read_checkpoint(uri[name].removeprefix("file:")) for uri in (together, alone))
        assert ours.is_finished
        assert ours.recipe == theirs.recipe
        state, expected = (torch.load(uri[name].removeprefix("file:"))["state_dict"] for uri in (together, alone))
        for key, tensor in expected.items():
            torch.testing.assert_close(state[key], tensor, rtol=1e-3, atol=1e-3)  # sums depend on the number of threads
