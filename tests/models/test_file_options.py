"""Options of file: each is used or refused in words, and one that contradicts the checkpoint is told."""

from __future__ import annotations

import json

import pytest
import torch

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.labels import IN9_NAMES, imagenet_names
from bglab.models import IMAGENET_MEAN, IN9_MEAN, create_network, load_classifier
from bglab.models.architectures import create_network as create
from bglab.models.architectures import find_architecture, head_tensors, usual_preprocessing
from bglab.models.file_options import read_classes
from bglab.models.sources import open_weights
from tests.fixtures.checkpoints import SMALL, small


@pytest.fixture(scope="module")
def nine(tmp_path_factory):
    file = tmp_path_factory.mktemp("nine") / "nine.pt"
    torch.save(small().state_dict(), file)
    return file


@pytest.fixture(scope="module")
def five(tmp_path_factory):
    file = tmp_path_factory.mktemp("five") / "five.pt"
    torch.save(small(5).state_dict(), file)
    return file


def load(file, options=""):
    return open_weights(f"file:{file}?architecture={SMALL}{options}")[1]


def test_options_are_used(nine):
    options = "&mean=0.1,0.2,0.3&std=0.4,0.5,0.6&input_size=64&crop=0.5&interpolation=bicubic"
    weights = load(nine, options)
    assert (weights.mean, weights.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    assert (weights.input_size, weights.crop_pct, weights.interpolation) == (64, 0.5, "bicubic")
    spec = load_classifier(f"file:{nine}?architecture={SMALL}{options}", engine="torch", device="cpu").spec
    again = load_classifier(spec.id, engine="torch", device="cpu").spec
    assert again == spec


@pytest.mark.parametrize(
    ("option", "sentence"),
    [
        ("mean=0.5", "expected three numbers as mean"),
        ("mean=a,b,c", "expected three numbers as mean, for images in .0, 1., got 'a,b,c'"),
        ("mean=0.5,nan,0.5", "expected three numbers as mean"),
        ("mean=123.7,116.3,103.5", "divide by 255"),
        ("std=0.2,0,0.2", "expected three numbers above 0 as std"),
        ("std=0.2,-1,0.2", "expected three numbers above 0 as std"),
        ("input_size=8", "expected a side of 16 to 2048 pixels as input_size, got '8'"),
        ("input_size=64.5", "expected a side of"),
        ("input_size=big", "expected a side of"),
        ("crop=0", "expected a fraction of the short side above 0 and up to 1 as crop"),
        ("crop=1.2", "as crop, got '1.2'"),
        ("interpolation=lanczos", "expected bilinear or bicubic as interpolation, got 'lanczos'"),
        ("space=cifar10", "expected space=in9 or imagenet, got 'cifar10'"),
        ("space=imagenet", "expected a class name for each of the 9 outputs .* got 1000"),
        ("classes=a,b", "expected a class name for each of the 9 outputs .* got 2"),
        ("classes=a,b,c,d,e,f,g,h,h", "expected every class once in classes=, got twice: h"),
        ("classes=a,b,c,d,e,f,g,h,", "got an empty one"),
        ("classes=a,b,c,d,e,f,g,h,i&space=in9", "expected one of the options classes= and space="),
        ("mean=", "expected a value for the option mean"),
        ("weights=best", "expected weights 'best'"),
    ],
)
def test_unusable_values_are_refused_in_words(nine, option, sentence):
    with pytest.raises(BadInput, match=sentence):
        load(nine, f"&{option}")


def test_unknown_options_and_architectures_are_refused(nine):
    with pytest.raises(UnknownName, match="unknown option of file: 'menu'; did you mean 'mean'"):
        load(nine, "&menu=1")
    for name, meant in {
        "googlenet": "tv_googlenet",
        "resnet18.a1_in": "resnet18.a1_in1k",
        "tv_resnet180": "tv_resnet18",
    }.items():
        with pytest.raises(UnknownName, match=f"unknown architecture '{name}'; did you mean '{meant}'"):
            open_weights(f"file:{nine}?architecture={name}")


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("names.txt", "cat\ndog\n\nsea lion\nowl\nant\n"),
        ("names.csv", "cat\ndog\nsea lion\nowl\nant\n"),
        ("numbered.csv", "label,name\n1,dog\n0,cat\n2,sea lion\n4,ant\n3,owl\n"),
        ("list.json", json.dumps(["cat", "dog", "sea lion", "owl", "ant"])),
        ("by_number.json", json.dumps({"0": "cat", "1": "dog", "2": "sea lion", "4": "ant", "3": "owl"})),
        ("by_name.json", json.dumps({"dog": 1, "cat": 0, "owl": 3, "ant": 4, "sea lion": 2})),
    ],
)
def test_class_names_come_from_files(five, tmp_path, name, text):
    (tmp_path / name).write_text(text, encoding="utf-8-sig")
    weights = load(five, f"&classes={tmp_path / name}")
    assert weights.classes == ("cat", "dog", "sea lion", "owl", "ant")
    assert weights.space == "own:five"


@pytest.mark.parametrize(
    ("name", "text", "sentence"),
    [
        ("gap.csv", "0,cat\n2,dog\n", "expected the class numbers 0, 1, 2, … once each"),
        ("wide.csv", "a,b,c\nd,e,f\n", "expected one class name per line"),
        ("broken.json", "{", "expected class names in .*, but it cannot be read"),
        ("odd.json", '{"a": [1]}', "expected a list of class names"),
        ("empty.txt", "", "expected a name for each class"),
        ("twice.txt", "a\nb\nc\na\nb\n", "got twice: a, b"),
    ],
)
def test_files_of_class_names_that_cannot_be_used(five, tmp_path, name, text, sentence):
    (tmp_path / name).write_text(text)
    with pytest.raises(BadInput, match=sentence):
        load(five, f"&classes={tmp_path / name}")
    with pytest.raises(MissingData, match="expected class names at .*absent.txt, but there is no such file"):
        load(five, "&classes=absent.txt")


def test_other_classes_name_the_ways_out(five):
    with pytest.raises(
        BadInput, match=r"\?classes=a,b,c,d,e \(or \?space=.*bglab\.classifier\(network, classes=scenes\)"
    ):
        load_classifier(f"file:{five}?architecture={SMALL}", engine="torch", device="cpu")
    uri = f"file:{five}?architecture={SMALL}&classes=a%26b,c d,e,f,g"
    classifier = load_classifier(uri, engine="torch", device="cpu")
    assert classifier.classes == ("a&b", "c d", "e", "f", "g")
    assert load_classifier(classifier.spec.id, engine="torch", device="cpu").classes == classifier.classes


def test_known_classes_by_name_are_the_label_space(tmp_path, nine):
    assert load(nine, f"&classes={','.join(IN9_NAMES)}").space == "in9"
    assert load(nine, "&space=in9").space == "in9"
    assert load(nine, "&classes=a,b,c,d,e,f,g,h,i").mean == (0.5, 0.5, 0.5)  # timm's, as they are not IN-9's
    file = tmp_path / "names.txt"
    file.write_text("\n".join(imagenet_names()))  # two names occur twice in it
    torch.save(small(1000).state_dict(), tmp_path / "thousand.pt")
    assert load(tmp_path / "thousand.pt", f"&classes={file}").space == "imagenet"
    folders = {f"0{i}_x": i for i in range(9)}
    torch.save({"state_dict": small().state_dict(), "class_to_idx": folders}, tmp_path / "folders.pt")
    assert load(tmp_path / "folders.pt").classes == tuple(folders)


def test_what_is_assumed_is_told(nine):
    notes = load(nine).notes
    assert load(nine).mean == IN9_MEAN
    assert any("those of the nine-class networks of Noise or Signal" in note for note in notes)
    assert f"size, crop and interpolation are those of timm's configuration of {SMALL}" in notes
    assert "its 9 outputs are taken for the classes of ImageNet-9, in their usual order" in notes


def test_options_and_entries_that_disagree(tmp_path):
    file = tmp_path / "c.pt"
    content = {
        "architecture": SMALL,
        "state_dict": small().state_dict(),
        "mean": [0.4] * 3,
        "classes": list("abcdefghi"),
    }
    torch.save(content, file)
    weights = open_weights(f"file:{file}?mean=0.5,0.5,0.5&space=in9")[1]
    assert weights.mean == (0.5, 0.5, 0.5)
    assert "mean= replaces what the checkpoint says ((0.4, 0.4, 0.4))" in weights.notes
    assert any(
        note.startswith("the option replaces the classes that the checkpoint itself names (a, b,")
        for note in weights.notes
    )
    torch.save({**content, "mean": (0.4, 0.5)}, file)
    with pytest.raises(BadInput, match=r"got '\(0.4, 0.5\)' in the checkpoint's entry 'mean'; give \?mean="):
        open_weights(f"file:{file}")
    assert open_weights(f"file:{file}?mean=0.5,0.5,0.5")[1].mean == (0.5, 0.5, 0.5)


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("tv_resnet50", "tv_resnet50"),
        ("resnet50.a1_in1k", "resnet50.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "resnet18.a1_in1k"),
        ("swsl_resnext50_32x4d", "resnext50_32x4d.fb_swsl_ig1b_ft_in1k"),
        ("vit_base_patch16_224_in21k", "vit_base_patch16_224.augreg_in21k"),
    ],
)
def test_architectures_by_their_names_of_today_and_before(name, found):
    architecture = find_architecture(name)
    assert architecture.name == found
    assert bool(architecture.note) == ("hub" not in name and name != found)


def test_torchvision_means_torchvision():
    assert type(create("tv_resnet18", 3)).__module__ == "torchvision.models.resnet"
    assert type(create_network("resnet18", 3)).__module__ == "timm.models.resnet"
    usual = usual_preprocessing("tv_inception_v3")
    assert (usual.fields["input_size"], usual.fields["mean"]) == (299, IMAGENET_MEAN)
    published = usual_preprocessing("tv_resnet50", "0676ba61" + 56 * "0")
    assert (published.whose, published.is_published) == ("torchvision's weights IMAGENET1K_V1", True)
    assert int(224 / published.fields["crop_pct"]) == 256


@pytest.mark.parametrize(
    ("name", "heads"),
    [
        ("resnet18", {"fc.weight", "fc.bias"}),
        ("tv_squeezenet1_0", {"classifier.1.weight", "classifier.1.bias"}),
        ("tv_vit_b_16", {"heads.head.weight", "heads.head.bias"}),
        ("mobilevit_xxs", {"head.fc.weight", "head.fc.bias"}),
    ],
)
def test_heads_are_found_by_what_the_number_of_classes_changes(name, heads):
    assert head_tensors(name) == dict.fromkeys(heads, 0)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("hf-hub:timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("https://huggingface.co/timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("timm:timm/resnet18.a1_in1k", "timm:resnet18.a1_in1k"),
        ("timm:tv_resnet50", "timm:resnet50.tv_in1k"),
        ("timm:swsl_resnext50_32x4d", "timm:resnext50_32x4d.fb_swsl_ig1b_ft_in1k"),
    ],
)
def test_names_of_the_hub_and_of_earlier_versions_lead_to_names_that_work(name, hint):
    with pytest.raises(UnknownName, match=f"did you mean '{hint}'"):
        open_weights(name)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("c.csv", "number,name\n0,cat\n1,owl\n1,dog\n"),
        ("c.csv", "number,name\n0,cat\n1,owl\n\u00b2,dog\n"),
        ("c.json", '{"cat": 0, "owl": 1, "dog": 0}'),
        ("c.json", '{"0": "cat", "00": "owl", "1": "dog"}'),
        ("c.json", '{"cat": false, "owl": true}'),
    ],
)
def test_class_numbers_that_occur_twice_or_are_none_lose_no_class(tmp_path, name, content):
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(BadInput, match="expected"):
        read_classes(str(tmp_path / name))


def test_a_path_that_no_file_can_have_is_said():
    with pytest.raises(MissingData, match="no name is as long as 'file:aaa"):
        open_weights(f"file:{'a' * 300}.pt")
    with pytest.raises(UnknownName) as problem:
        open_weights(f"lite:{'a' * 9000}")
    assert len(str(problem.value)) < 500


def test_weights_of_every_source_are_finite(nine, monkeypatch):
    weights = open_weights(f"file:{nine}?architecture={SMALL}")[1]
    next(weights.network.parameters()).data.view(-1)[0] = float("nan")
    monkeypatch.setattr("bglab.models.sources.lite.open_weights", lambda path: weights)
    with pytest.raises(BadInput, match="expected finite weights in lite:efficientnet_lite0, but"):
        open_weights("lite:efficientnet_lite0")
