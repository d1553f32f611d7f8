"""Training sets: selection of images, targets and donors by a recipe."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from bglab.errors import BadInput
from bglab.models import create_network
from bglab.models.architectures import Grouped
from bglab.scenes import prepare
from bglab.training import PRESETS, fit, read_checkpoint
from bglab.training.training_set import training_set
from bglab.variants import compose
from fixtures.stand_ins import make_scenes

SIZE = 32
QUICK = replace(
    PRESETS["toy"], architecture="test_resnet", size=SIZE, epochs=2, batch_size=16, warmup_epochs=0.0, amp_dtype="none"
)
HERE = {"device": "cpu", "progress": False}


@pytest.fixture(scope="module")
def scenes(data_folder):
    return prepare(make_scenes(per_class=5), SIZE, progress=False)


def test_donors_can_be_drawn_anew_in_each_epoch(scenes):
    fixed = training_set(replace(QUICK, variants=("mixed_rand",)), scenes, progress=False)
    every = np.arange(len(fixed))
    assert torch.equal(fixed.of_epoch(0).images(every, "cpu"), fixed.of_epoch(1).images(every, "cpu"))
    anew = training_set(replace(QUICK, variants=("mixed_rand",), donors="each_epoch"), scenes, progress=False)
    first, second = (anew.of_epoch(epoch).images(every, "cpu") for epoch in (0, 1))
    assert not torch.equal(first, second)
    assert torch.equal(second, anew.of_epoch(1).images(every, "cpu"))
    with pytest.raises(BadInput, match="got a data set whose backgrounds are fixed"):
        training_set(replace(QUICK, donors="each_epoch"), compose(scenes, "mixed_rand"), progress=False)


def test_several_variants_are_concatenated(scenes):
    both = training_set(replace(QUICK, variants=("original", "only_fg")), scenes, progress=False)
    assert len(both) == 90
    chosen = np.array([3, 44, 45, 48])
    expected = [
        compose(scenes, v).images([i], "cpu")
        for v, i in (("original", 3), ("original", 44), ("only_fg", 0), ("only_fg", 3))
    ]
    assert torch.equal(both.images(chosen, "cpu"), torch.cat(expected))
    assert both.targets[chosen].tolist() == [3, 8, 0, 3]


def test_fractions_are_balanced_and_nested(scenes):
    def rows(**changes):
        return training_set(replace(QUICK, **changes), scenes, progress=False)

    half, most = rows(fraction=0.4), rows(fraction=0.8)
    assert np.bincount(half.targets).tolist() == [2] * 9
    assert np.bincount(most.targets).tolist() == [4] * 9
    assert set(half.rows) < set(most.rows)
    assert set(rows(fraction=0.4, seed=7).rows) != set(half.rows)
    uneven = scenes.scenes.select(ids=scenes.scenes.ids[:40])  # dogs to birds: 5, the rest 4
    balanced = training_set(replace(QUICK, balanced=True), prepare(uneven, SIZE, progress=False), progress=False)
    assert np.bincount(balanced.targets).tolist() == [4] * 9


def with_natives(per_class=6, kinds=3):
    """Make scenes with ``kinds`` ImageNet classes per label, in turn."""
    from bglab.labels import IN9

    plain = make_scenes(per_class)
    seen = dict.fromkeys(range(9), 0)
    records = []
    for record in plain.records:
        native = IN9[record.label].imagenet[seen[record.label] % kinds]
        seen[record.label] += 1
        records.append(record._replace(native_label=native))
    return replace(plain, records=tuple(records), fingerprint=f"natives{per_class}{kinds}")


def test_subclasses_are_mapped_back_to_nine_classes(tmp_path):
    prepared = prepare(with_natives(), SIZE, progress=False)
    recipe = replace(QUICK, subclasses=3, epochs=1)
    fine = training_set(recipe, prepared, progress=False)
    assert np.bincount(fine.targets).tolist() == [2] * 27
    assert fine.groups == tuple(np.repeat(np.arange(9), 3).tolist())
    natives = np.array([row.native_label for row in fine.parts[0].rows])
    assert all(len(set(natives[fine.targets == target])) == 1 for target in range(27))
    coarser = training_set(replace(recipe, subclasses=2), prepared, progress=False)
    assert np.bincount(coarser.targets).tolist() == [4, 2] * 9  # three kinds in two groups of neighbours
    few = training_set(replace(recipe, subclasses=1, native_classes=2), prepared, progress=False)
    assert len(few) == 36
    classifier = fit(recipe, prepared, out=tmp_path / "fine.pt", **HERE)
    assert (classifier.spec.space, len(classifier.classes)) == ("in9", 9)
    network = create_network("test_resnet", 27).eval()
    network.load_state_dict(read_checkpoint(tmp_path / "fine.pt").content["state_dict"])
    levels = torch.rand(4, 3, SIZE, SIZE)
    with torch.inference_mode():
        fine_logits, coarse = network(levels), Grouped(network, fine.groups)(levels)
    assert torch.equal(coarse.argmax(1), fine_logits.argmax(1) // 3)
    with pytest.raises(BadInput) as error:
        training_set(replace(recipe, subclasses=4), prepared, progress=False)
    assert str(error.value) == (
        "expected scenes of at least 4 ImageNet classes per label for subclasses=4, got 3 for one label; use scenes "
        "with ImageNet class labels, or a smaller number"
    )


def test_imagenet_scenes_are_reduced_to_the_nine_classes(data_folder):
    plain = with_natives(per_class=2)
    thousand = tuple(f"class {i}" for i in range(1000))
    records = tuple(r._replace(label=r.native_label) for r in plain.records)
    records = (records[0]._replace(label=859, native_label=859), *records[1:])  # a toaster belongs to none
    scenes = replace(plain, space="imagenet", classes=thousand, records=records, fingerprint="thousand")
    cut = training_set(QUICK, prepare(scenes, SIZE, progress=False), progress=False)
    assert (cut.space, len(cut.classes), len(cut)) == ("in9", 9, 17)
    assert np.bincount(cut.targets).tolist() == [1, *[2] * 8]
