"""The accuracies on ImageNet and IN-9L count every image, also those without a usable box or mask."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import bglab
from bglab.__main__ import main
from bglab.errors import BadInput
from bglab.figures import theme
from bglab.labels import IN9, imagenet_synsets, to_in9
from bglab.models import EngineChoice
from bglab.models.classifier import build_classifier
from bglab.models.weights import Weights
from bglab.papers import Reproduction, Settings, catalogue
from bglab.papers.noise_or_signal import tables
from bglab.variants import VARIANTS, Plain, compose_all, given
from bglab.variants.rules import Absent
from fixtures.boxed import HEIGHT, WIDTH, BoxedImageNet

NOS = catalogue(["nos"])
SIZE = 32
DOG, BIRD = (IN9[label].imagenet[0] for label in (0, 1))
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    """Write twelve images of two classes, four of them with an object that a mask and a background can be made of."""
    written = BoxedImageNet(tmp_path_factory.mktemp("imagenet"))
    for index in (DOG, BIRD):
        written.add(index)
        written.add(index, corners=((0, 0, WIDTH - 1, HEIGHT - 1),))  # full frame: no background
        written.add(index, corners=((1, 1, 7, 7),), objects=((1, 1, 8, 8),))  # tiny, outside the centre crop
        written.add(index, annotated=False)
    written.add(DOG, corners=((30, 20, 46, 55), (48, 20, 65, 55)))
    written.add(BIRD, corners=((30, 20, 46, 55), (48, 20, 65, 55)))
    written.add(DOG, objects=((66, 20, 90, 60),))  # GrabCut finds nothing in the box
    written.add(BIRD, annotated_class=imagenet_synsets()[DOG])
    assert written.count == 12
    return written.root


def network():
    """Make a random network whose predictions are dog or bird."""
    head = nn.Linear(12, 1000)
    torch.manual_seed(5)
    nn.init.normal_(head.weight)
    head.bias.data = torch.full((1000,), -1e6)
    head.bias.data[[DOG, BIRD]] = 0
    return nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), head).eval()


def load_network(reproduction, model):
    weights = Weights(network(), "random", "", MEAN, STD, SIZE)
    return build_classifier("file", weights, EngineChoice("torch", "cpu"))


def plain_correct(root):
    """Classify every image with Pillow and torch alone; return whether the ImageNet class and the label are correct."""
    files = sorted((root / "val").glob("*/*.JPEG"))
    images = []
    for file in files:
        image = Image.open(file).convert("RGB")
        short = int(SIZE / 0.875)
        image = image.resize((int(short * WIDTH / HEIGHT), short), Image.Resampling.BILINEAR)
        left, top = round((image.width - SIZE) / 2), round((image.height - SIZE) / 2)
        images.append(np.asarray(image.crop((left, top, left + SIZE, top + SIZE))))
    pixels = torch.from_numpy(np.stack(images)).permute(0, 3, 1, 2).float() / 255
    with torch.inference_mode():
        logits = network()((pixels - torch.tensor(MEAN).view(3, 1, 1)) / torch.tensor(STD).view(3, 1, 1))
    truth = np.array([imagenet_synsets().index(file.parent.name) for file in files])
    predicted = logits.argmax(1).numpy()
    return {f.stem: c for f, c in zip(files, predicted == truth, strict=True)}, to_in9(predicted) == to_in9(truth)


@pytest.fixture
def reproduction(tree, tmp_path, monkeypatch):
    monkeypatch.setattr(Reproduction, "classifier", load_network)
    return Reproduction(
        Settings(
            scenes=f"synthetic9?n=18&size={SIZE}", out=tmp_path, models=("file:random",), train="none",
            imagenet=f"imagenet:{tree}", size=SIZE, progress=False,
        )
    )  # fmt: skip


def test_the_accuracies_on_imagenet_and_in9l_are_those_of_a_plain_script(tree, reproduction):
    native, label = plain_correct(tree)
    assert 0 < sum(native.values()) < len(native) == 12
    rows = tables._on_imagenet(reproduction, ["file:random"]).set_index("test")
    assert rows["n"].to_dict() == {"imagenet": 12, "in9l": 12}
    assert rows.loc["imagenet", "top1"] == np.mean(list(native.values()))
    assert rows.loc["in9l", "top1"] == label.mean()
    seen = reproduction.predictions(["file:random"], ["original"], scenes=reproduction.imagenet_scenes)
    assert dict(zip(seen["scene"], seen["label"] == seen["prediction"], strict=True)) == native


@pytest.mark.slow
def test_table_2_and_figure_8_state_how_many_images_they_count(tree, reproduction):
    with theme():
        table_2, figure_8 = (NOS[name].make(reproduction) for name in ("nos-table-2", "nos-figure-8"))
    assert table_2.table.set_index("test").loc[["imagenet", "in9l"], "n"].tolist() == [12, 12]
    assert set(figure_8.table["reference"]) == {np.mean(list(plain_correct(tree)[0].values()))}
    for product in (table_2, figure_8):
        assert "ImageNet and IN-9L count all images: Original needs neither a box nor a mask." in product.notes
    assert any("ImageNet 12, Original 18, IN-9L 12, Only-BG-T 18" in note for note in table_2.notes)
    assert figure_8.notes[0].startswith("Images counted: ImageNet 12, Original 18")


def test_each_variant_uses_the_images_that_it_can_and_says_why_not_the_others(tree):
    whole = bglab.open_scenes(f"imagenet:{tree}")
    original, no_fg = compose_all(whole, ["original", "no_fg"], size=SIZE, progress=False)
    assert (len(original), len(original.rejected)) == (12, 0)
    assert len(no_fg) + len(no_fg.rejected) == 12
    reasons = {rejection.scene: rejection.reason for rejection in no_fg.rejected}
    assert set(reasons) == {row.scene for row in original.rows} - {row.scene for row in no_fg.rows}
    texts = " ".join(reasons.values())
    for reason in ("got no such file", "within the centre crop", "GrabCut can cut out", "expected a box of"):
        assert reason in texts
    assert original.key == no_fg.key  # so that variants of one set can be paired
    masked = bglab.compose(whole, "original", size=SIZE, masked_only=True, progress=False)
    assert masked.rows == no_fg.rows
    for row in masked.rows:
        assert torch.equal(masked[row.scene], original[row.scene])


def test_a_broken_image_is_rejected_for_every_variant(tree, tmp_path):
    import shutil

    root = shutil.copytree(tree, tmp_path / "broken")
    file = sorted((root / "val").glob("*/*.JPEG"))[3]
    file.write_bytes(file.read_bytes()[:200])
    original, no_fg = compose_all(f"imagenet:{root}", ["original", "no_fg"], size=SIZE, progress=False)
    assert [rejection.file for rejection in original.rejected] == [str(file)]
    assert len(original) == 11
    assert file.stem in {rejection.scene for rejection in no_fg.rejected}


def test_selections_keep_images_without_a_mask(tree):
    whole = bglab.open_scenes(f"imagenet:{tree}")
    labels = {record.label: record.id for record in whole.unmasked}
    bare, other = labels[DOG], labels[BIRD]
    assert bglab.compose(whole.select(labels=[DOG]), "original", size=SIZE, progress=False).rows[-1].scene == bare
    some = whole.select(ids=[whole.ids[0], other])
    assert [row.scene for row in bglab.compose(some, "original", size=SIZE, progress=False).rows] == [
        whole.ids[0],
        other,
    ]
    assert [rejection.scene for rejection in some.rejected] == [other]
    assert len(whole.select(per_class=2).photographs) == 4
    with pytest.raises(BadInput, match=f"expected a scene with a mask or box, got {bare}: expected {bare}.xml"):
        whole[bare]


def test_data_check_counts_both(tree, capsys):
    assert main(["data", "check", f"imagenet:{tree}", "--size", str(SIZE)]) == 0
    printed = capsys.readouterr()
    assert "usable scenes of 12" in printed.out
    assert "images for variants that need neither mask nor box (original): 12 of 12" in printed.out


def test_only_original_needs_no_mask():
    assert [name for name, variant in VARIANTS.items() if not variant.needs_mask] == ["original"]
    assert not given(Plain((9, 9, 9)), foreground=Absent()).needs_mask
    assert given(Plain((9, 9, 9))).needs_mask
