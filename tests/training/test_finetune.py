"""Fine-tuning on VOC2012 and Caltech101, end to end on a few dozen images in exactly their layouts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.io import savemat

from bglab.analysis import mean_of_runs
from bglab.errors import BadInput
from bglab.results import predictions
from bglab.training import FINE_TUNING, RANDOM, check_backgrounds, read_checkpoint
from bglab.training.finetune import finetune, open_split
from bglab.training.recipe import NO_AUGMENTATION
from bglab.variants import StreamSettings
from fixtures.layouts import box_xml, colours, save

TINY = replace(
    FINE_TUNING, architecture="test_resnet", size=32, epochs=6, batch_size=8, lr=0.1, augmentation=NO_AUGMENTATION
)
QUICK = StreamSettings(smallest=0, largest=1, draws=2, workers=2)
ANIMALS = {"cat": ((200, 30, 30), 8), "dog": ((30, 30, 200), 12)}


def photograph(name, colour, box):
    """Paint an image whose class is the colour of its object."""
    image = colours(name, 50, 40).copy()
    x0, y0, x1, y1 = box
    image[y0:y1, x0:x1] = colour
    return image


@pytest.fixture(scope="module")
def voc(tmp_path_factory):
    """Write VOC2012 with twelve images per class and split; half of them have a segmentation."""
    root = tmp_path_factory.mktemp("voc") / "VOCdevkit" / "VOC2012"
    lists = {("Main", s): [] for s in ("train", "val")} | {("Segmentation", s): [] for s in ("train", "val")}
    palette = [level for index in range(256) for level in (index, 255 - index, 7)]
    (root / "SegmentationClass").mkdir(parents=True)
    for split in ("train", "val"):
        for number in range(12):
            for animal, (colour, index) in ANIMALS.items():
                name = f"2007_{len(lists['Main', 'train']) + len(lists['Main', 'val']):06d}"
                box = (6 + number, 4, 30 + number, 34)
                save(photograph(name, colour, box), root / "JPEGImages" / f"{name}.jpg")
                # VOC counts from 1 and includes both corners
                box_xml(root / "Annotations" / f"{name}.xml", 50, 40, [(animal, (box[0] + 1, box[1] + 1, *box[2:]))])
                lists["Main", split].append(name)
                if number % 2:
                    indices = np.zeros((40, 50), dtype=np.uint8)
                    indices[box[1] + 3 : box[3] - 3, box[0] + 3 : box[2] - 3] = index
                    outlined = Image.fromarray(indices)
                    outlined.putpalette(palette)
                    outlined.save(root / "SegmentationClass" / f"{name}.png")
                    lists["Segmentation", split].append(name)
    for (task, split), names in lists.items():
        (root / "ImageSets" / task).mkdir(parents=True, exist_ok=True)
        (root / "ImageSets" / task / f"{split}.txt").write_text("\n".join(names) + "\n")
    return root.parent.parent


@pytest.fixture(scope="module")
def caltech(tmp_path_factory):
    """Write two classes of Caltech101 with twelve images each and outlines smaller than their boxes."""
    root = tmp_path_factory.mktemp("caltech")
    for name, colour in (("Motorbikes", (30, 200, 30)), ("ant", (200, 200, 30))):
        outlines = root / "Annotations" / {"Motorbikes": "Motorbikes_16"}.get(name, name)
        outlines.mkdir(parents=True)
        for number in range(1, 13):
            image = photograph(f"{name}{number}", colour, (10, 5, 32, 25))
            save(image, root / "101_ObjectCategories" / name / f"image_{number:04d}.jpg")
            contour = np.array([[10.0, 20.0, 10.0, 0.0], [0.0, 9.0, 18.0, 9.0]])
            content = {"box_coord": np.array([[6, 25, 11, 32]]), "obj_contour": contour}
            savemat(outlines / f"annotation_{number:04d}.mat", content)
    return root


@pytest.mark.slow
def test_voc_end_to_end(voc, tmp_path):
    variants = ["original", "on_white", "on_texture", "on_white_mask"]
    options = {"weights": RANDOM, "recipe": TINY, "variants": variants, "settings": QUICK, "runs": 2}
    table = check_backgrounds(f"voc:{voc}", results=tmp_path, progress=False, **options)
    found = mean_of_runs(table).set_index("variant")
    assert found["runs"].tolist() == [2] * 4
    assert found.index.tolist() == variants
    assert found["n"].tolist() == [48, 48, 48, 24]  # by mask: only the images that have a segmentation
    assert found.loc["original", "top1"] > 0.9
    assert set(table["space"]) == {"voc"}
    assert len(set(table["model"])) == 2
    made = sorted((tmp_path / "networks").glob("*.pt"))
    assert [read_checkpoint(file).recipe.seed for file in made] == [0, 1]
    times = [file.stat().st_mtime_ns for file in (*made, *predictions.prediction_files(tmp_path))]
    again = check_backgrounds(f"voc:{voc}", results=tmp_path, progress=False, **options)
    assert len(again) == len(table)
    assert [file.stat().st_mtime_ns for file in (*made, *predictions.prediction_files(tmp_path))] == times


def test_caltech_end_to_end(caltech, tmp_path):
    variants = ("original", "on_white", "on_white_mask")
    table = check_backgrounds(
        f"caltech101:{caltech}", results=tmp_path, weights=RANDOM, recipe=TINY, variants=variants, settings=QUICK,
        runs=2, per_class=8, progress=False,
    )  # fmt: skip
    found = mean_of_runs(table).set_index("variant")
    assert found["runs"].tolist() == [2] * 3
    assert found["n"].tolist() == [24] * 3  # half of each class is tested on: 6 of 12, two classes, two runs
    assert found.loc["original", "top1"] > 0.9


def test_voc_has_a_split_of_its_own(voc):
    split = open_split(f"voc:{voc}", settings=QUICK, progress=False)
    assert len(split.train) == 24
    assert len(split.test.by_box) == 24
    assert len(split.test.by_mask) == 12
    assert not set(split.train.ids) & set(split.test.by_box.ids)
    scene = split.test.by_mask[0]
    assert scene.mask.sum() < split.test.by_box[scene.id].mask.sum()


def test_caltechs_split_is_drawn_anew_in_each_run(caltech):
    uri = f"caltech101:{caltech}"
    splits = [open_split(uri, run, per_class=5, settings=QUICK, progress=False) for run in (0, 0, 1)]
    ids = [set(split.train.ids) for split in splits]
    assert ids[0] == ids[1] != ids[2]
    for split in splits:
        assert sorted(split.train.labels.tolist()) == [1 + 2] * 5 + [7] * 5
        assert not set(split.train.ids) & set(split.test.by_box.ids)
        assert len(split.test.by_box) == 14
    scene = splits[0].test.by_mask[0]
    assert 0 < scene.mask.sum() < splits[0].test.by_box[scene.id].mask.sum()


def test_fine_tuning_starts_from_the_weights_and_a_new_head(caltech, tmp_path):
    import timm

    torch.manual_seed(3)
    trained = timm.create_model("test_resnet", num_classes=1000)
    torch.save({"architecture": "test_resnet", "state_dict": trained.state_dict()}, tmp_path / "trained.pth")
    scenes = open_split(f"caltech101:{caltech}", per_class=4, settings=QUICK, progress=False).train
    still = replace(TINY, lr=0.0, epochs=1, weight_decay=0.0)
    weights = f"file:{tmp_path / 'trained.pth'}"
    tuned = finetune(still, scenes, weights, out=tmp_path / "tuned.pt", device="cpu", progress=False)
    assert tuned.spec.space == "caltech101"
    assert len(tuned.classes) == 101
    own = read_checkpoint(tmp_path / "tuned.pt").content["state_dict"]
    kept = [n for n, t in trained.state_dict().items() if t.shape == own[n].shape and t.is_floating_point()]
    moved = ("running_mean", "running_var")  # batch statistics follow the new images even at rate 0
    assert all(torch.equal(own[n], trained.state_dict()[n]) for n in kept if not n.endswith(moved))
    fresh = finetune(still, scenes, RANDOM, out=tmp_path / "fresh.pt", device="cpu", progress=False)
    assert fresh.spec.sha256 != tuned.spec.sha256


def test_weights_of_another_architecture_are_refused(caltech, tmp_path):
    scenes = open_split(f"caltech101:{caltech}", per_class=4, settings=QUICK, progress=False).train
    with pytest.raises(BadInput) as error:
        finetune(TINY, scenes, "lite:efficientnet_lite0", out=tmp_path / "net.pt", progress=False)
    assert "expected weights of test_resnet in lite:efficientnet_lite0, but only " in str(error.value)
    assert not (tmp_path / "net.pt").exists()


def test_a_set_of_single_images_cannot_be_split(tmp_path):
    from fixtures.layouts import write_caltech101

    root = write_caltech101(tmp_path)
    with pytest.raises(BadInput, match="expected at least two scenes of a class in caltech101:"):
        open_split(f"caltech101:{root}", settings=QUICK, progress=False)


def test_the_default_starts_from_what_it_says():
    from bglab.training import WEIGHTS

    assert WEIGHTS.removeprefix("timm:").partition(".")[0] == FINE_TUNING.architecture
