"""Damaged and changed checkpoints: refused in words, or loaded as they were, or with a note of what differs."""

from __future__ import annotations

import pytest
import torch

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.models import state_digest
from bglab.models.sources import open_weights
from tests.fixtures.checkpoints import KINDS, SMALL, mutations, saved, small


def outcome(file):
    """Return what a file is loaded as, and its notes; or the refusal."""
    try:
        weights = open_weights(f"file:{file}")[1]
    except (BadInput, MissingData, UnknownName) as refusal:
        return str(refusal), ()
    what = (
        state_digest(weights.network),
        weights.mean,
        weights.std,
        weights.input_size,
        weights.space,
        weights.classes,
    )
    return what, weights.notes


def check(tmp_path, count, seed):
    """Load many changed checkpoints; return how many of them were refused."""
    content = {"architecture": SMALL, "mean": (0.4, 0.5, 0.6), "std": (0.2,) * 3, "state_dict": small().state_dict()}
    file = tmp_path / "changed.pt"
    file.write_bytes(saved(content))
    original, notes = outcome(file)
    assert not isinstance(original, str), original
    refused = 0
    for mutation in mutations(content, count, seed):
        file.write_bytes(mutation.data)
        found, said = outcome(file)
        refused += isinstance(found, str)
        assert isinstance(found, str) or found == original or said != notes, (mutation.kind, found, said)
        assert not isinstance(found, str) or ("\x1b" not in found and len(found) < 900), found
    return refused


def test_changed_checkpoints_never_give_other_numbers_in_silence(tmp_path):
    assert check(tmp_path, 2 * len(KINDS), seed=0) >= len(KINDS)


@pytest.mark.slow
def test_many_changed_checkpoints(tmp_path):
    assert check(tmp_path, 300, seed=1) >= 150


def test_damaged_headers_of_safetensors_are_refused(tmp_path):
    from safetensors.torch import save_file

    file = tmp_path / "model.safetensors"
    save_file(small().state_dict(), file)
    whole = file.read_bytes()
    header = 8 + int.from_bytes(whole[:8], "little")
    expected = state_digest(small())
    generator = torch.Generator().manual_seed(0)
    refused = 0
    for place in torch.randint(0, header, (25,), generator=generator).tolist():
        file.write_bytes(whole[:place] + bytes([whole[place] ^ 0x15]) + whole[place + 1 :])
        try:
            assert state_digest(open_weights(f"file:{file}?architecture={SMALL}")[1].network) == expected
        except BadInput:
            refused += 1
    assert refused >= 20
