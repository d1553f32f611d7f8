"""`bglab.classifier`: networks and functions of one's own, what is read off them, assumed and refused."""

import logging

import numpy as np
import pytest
import timm
import torch
from torch import nn
from torchvision import models as torchvision_models

import bglab
from bglab.errors import BadInput, UnknownName
from bglab.models import as_classifier, as_classifiers, match_classes, state_digest
from bglab.models.spec import IMAGENET_MEAN

TORCH = {"engine": "torch", "device": "cpu"}


def levels(count=3, size=32, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (count, 3, size, size), generator=generator, dtype=torch.uint8)


def head(outputs, seed=0):
    torch.manual_seed(seed)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, outputs))


class Shifted(nn.Module):
    """A module of the test's own, whose code is a part of what it computes."""

    def __init__(self, shift):
        super().__init__()
        self.body, self.shift = head(9), shift

    def forward(self, images):
        return self.body(images) + 1.0


class Tuple(nn.Module):
    def __init__(self, network, wrap):
        super().__init__()
        self.network, self.wrap = network, wrap

    def forward(self, images):
        return self.wrap(self.network(images))


def test_a_module_predicts_what_a_script_of_torch_gives():
    network, mean, std = head(4).eval(), (0.4, 0.5, 0.6), (0.2, 0.3, 0.25)
    own = bglab.classifier(network, name="mine", classes=["a", "b", "c", "d"], mean=mean, std=std, size=32, **TORCH)
    images = levels(5)
    with torch.inference_mode():
        shift, scale = torch.tensor(mean).view(1, 3, 1, 1), torch.tensor(std).view(1, 3, 1, 1)
        expected = network((images / 255 - shift) / scale)
    torch.testing.assert_close(own(images), expected, rtol=1e-5, atol=1e-6)
    assert (own.spec.id, own.spec.sha256, own.classes) == ("own:mine", state_digest(network), ("a", "b", "c", "d"))
    assert own.notes == ()


def test_what_timm_says_is_read_and_the_classes_are_assumed_aloud(caplog):
    network = timm.create_model("test_vit", num_classes=9)
    config = network.pretrained_cfg
    with caplog.at_level(logging.WARNING):
        own = bglab.classifier(network, **TORCH)
    assert (own.spec.name, own.spec.mean, own.spec.input_size) == ("test_vit", config["mean"], 160)
    assert (own.spec.space, own.spec.crop_pct, own.spec.interpolation) == ("in9", config["crop_pct"], "bicubic")
    assert [record.getMessage() for record in caplog.records] == [
        "own:test_vit: its 9 classes are assumed to be dog, bird, vehicle, reptile, carnivore, insect, instrument, "
        "primate, fish"
    ]
    assert "mean, standard deviation, size and crop are those of timm" in own.notes


def test_the_mean_of_a_torchvision_network_is_assumed_aloud_unless_it_is_given(caplog):
    network = torchvision_models.mobilenet_v3_small(num_classes=1000)
    with caplog.at_level(logging.WARNING):
        own = bglab.classifier(network, **TORCH)
    assert (own.spec.space, own.spec.mean, len(own.classes)) == ("imagenet", IMAGENET_MEAN, 1000)
    assert any("assumed to be ImageNet's (give mean" in record.getMessage() for record in caplog.records)
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        bglab.classifier(network, classes="imagenet", mean=(0.5,) * 3, std=(0.5,) * 3, **TORCH)
    assert not caplog.records


def test_the_original_can_be_trained_further():
    network = head(9).train()
    before = state_digest(network)
    own = bglab.classifier(network, size=32, **TORCH)
    assert network.training
    assert all(parameter.requires_grad for parameter in network.parameters())
    expected = own(levels())
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 1.0
    torch.testing.assert_close(own(levels()), expected)
    assert own.spec.sha256 == before != state_digest(network)


@pytest.mark.parametrize(
    "returned", [torch.Tensor.numpy, lambda logits: logits.double(), lambda logits: logits.tolist()]
)
def test_a_function_gets_images_between_0_and_1_and_may_return_arrays(returned):
    seen = []

    def service(images):
        seen.append((float(images.min()), float(images.max()), images.requires_grad))
        return returned(images.mean((2, 3)))

    own = bglab.classifier(service, name="service-v1", classes=["red", "green", "blue"], size=8)
    images = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)
    images[0, 1], images[1, 2] = 255, 51
    assert own(images).tolist() == [[0, 1, 0], [0, 0, pytest.approx(0.2)]]
    assert all(0 <= low <= high <= 1 and not grad for low, high, grad in seen)
    assert (own.engine.name, own.spec.sha256, own.spec.id) == ("torch", "", "own:service-v1")
    with pytest.raises(BadInput, match="expected the engine torch for a function"):
        bglab.classifier(service, name="s", classes=["r", "g", "b"], engine="openvino")


def test_saliency_says_why_a_function_has_none_and_what_has():
    own = bglab.classifier(lambda images: images.mean((2, 3)), name="f", classes=["r", "g", "b"], size=32)
    for method in ("grad_cam", "grad_cam_plus_plus", "input_gradient", "smooth_grad"):
        with pytest.raises(BadInput, match="own:f calls a function, whose gradients are not known; use method='occl"):
            bglab.saliency_maps(own, levels(1), method=method)
    maps = bglab.saliency_maps(own, levels(2), method="occlusion")
    assert maps.shape == (2, 32, 32)
    assert float(maps.max()) > 0


def test_saliency_works_on_modules():
    own = bglab.classifier(head(9), name="net", classes="in9", size=32, **TORCH)
    maps = bglab.saliency_maps(own, levels(2))
    assert maps.shape[0] == 2
    assert bool((maps >= 0).all())


@pytest.mark.parametrize(
    "wrap",
    [lambda logits: (logits, None), lambda logits: {"logits": logits}, lambda logits: [logits]],
    ids=["tuple", "dictionary", "list"],
)
def test_logits_are_found_in_what_a_network_returns(wrap):
    network = head(3).eval()
    own = bglab.classifier(Tuple(network, wrap), classes=list("abc"), size=16, **TORCH)
    plain = bglab.classifier(network, classes=list("abc"), size=16, **TORCH)
    torch.testing.assert_close(own(levels(2, 16)), plain(levels(2, 16)))


def test_probabilities_are_taken_as_such_and_it_is_noted():
    network = head(3).eval()
    own = bglab.classifier(nn.Sequential(network, nn.Softmax(1)), name="p", classes=list("abc"), size=16, **TORCH)
    plain = bglab.classifier(network, classes=list("abc"), size=16, **TORCH)
    torch.testing.assert_close(own(levels()).softmax(1), plain(levels()).softmax(1))
    assert "the outputs of p are probabilities; their logarithms are used as logits" in own.notes


def test_wrappers_of_parallel_training_come_off():
    network = head(9)
    assert bglab.classifier(nn.DataParallel(network), size=16, **TORCH).spec.sha256 == state_digest(network)


def test_the_code_of_a_module_is_a_part_of_its_identity():
    pooled, larger = head(9), head(9)
    larger[2] = nn.AdaptiveMaxPool2d(1)
    specs = [bglab.classifier(each, classes="in9", size=16, **TORCH).spec for each in (pooled, larger, Shifted(1))]
    assert specs[0].sha256 == specs[1].sha256
    assert len({spec.code_sha256 for spec in specs}) == 3


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        (head(5), {}, "expected what the 5 outputs of Sequential stand for; give classes=scenes"),
        (
            head(5),
            {"classes": list("abcd")},
            "expected as many classes as Sequential has outputs, 5, but the list has 4",
        ),
        (head(5), {"classes": list("abcda")}, "expected every class once in classes, got twice: a"),
        (
            head(5),
            {"classes": "imagenet"},
            "expected as many classes as Sequential has outputs, 5, but imagenet has 1000",
        ),
        (
            head(5),
            {"classes": "cutouts"},
            "expected classes to be in9 or imagenet, a list of names, or scenes, got 'cut",
        ),
        (head(9), {"mean": (0.5,)}, r"expected three numbers as mean, std above 0, got \(0.5,\)"),
        (head(9), {"std": (0.5, 0.0, 0.5)}, "expected three numbers as std, std above 0"),
        (head(9), {"crop": 1.5}, "expected crop above 0 and up to 1, got 1.5"),
        (head(9), {"size": 0}, "expected a size of at least 1 pixel, got 0"),
        (head(9), {"interpolation": "cubic"}, "expected the interpolation bilinear or bicubic, got 'cubic'"),
        (head(9), {"name": "a\nb"}, "expected a printable name"),
        (
            nn.Conv2d(3, 2, 1),
            {},
            r"expected logits of shape \(images, classes\) from the network, got a tensor of shape",
        ),
        (nn.Linear(7, 9), {}, "expected logits for images of shape"),
        (nn.Sequential(head(9), nn.Threshold(1e9, float("nan"))), {}, "got numbers that are not finite; check"),
        (lambda images: images.mean((2, 3)), {}, "expected a name for the function, got none"),
        (lambda images: 1 / 0, {"name": "f"}, "the model raised ZeroDivisionError"),
        (
            "resnet50",
            {},
            "expected a module or a function, got 'resnet50'; weights on disk or from a hub are loaded by",
        ),
        ({"weight": torch.zeros(1)}, {}, "got a dictionary; if it is a state dict, load it into its network first"),
        (nn.Linear, {}, "got the class Linear; make an object of it"),
        (7, {}, "expected a module or a function from images to logits, got int"),
    ],
)
def test_what_cannot_be_a_classifier_is_refused_in_a_sentence(unchecked, model, options, sentence):
    with pytest.raises(BadInput, match=sentence):
        bglab.classifier(model, **{"size": 16} | options)


def test_what_stands_for_a_classifier(unchecked):
    own = bglab.classifier(head(9), classes="in9", size=16, **TORCH)
    assert as_classifier(own) is own
    assert [each.spec.space for each in as_classifiers([own, head(9)])] == ["in9", "in9"]
    with pytest.raises(UnknownName, match="unknown model 'lite0'; did you mean 'timm:lite0'"):
        as_classifier("lite0")
    scenes = bglab.open_scenes("synthetic9?n=9&size=32")
    for wrong in (scenes, 3, None, [own]):
        with pytest.raises(BadInput, match="expected (a|one) classifier"):
            as_classifier(wrong)


def test_classes_of_the_same_names_in_another_order_are_put_in_order():
    network = head(3).eval()
    own = bglab.classifier(network, name="n", classes=["cat", "sea lion", "dog"], size=16, **TORCH)
    matched = match_classes(own, "folder:zoo", ("dog", "cat", "Sea_Lion"), "zoo")
    torch.testing.assert_close(matched(levels()), own(levels())[:, [2, 0, 1]])
    assert (matched.spec.space, matched.classes) == ("folder:zoo", ("dog", "cat", "Sea_Lion"))
    same = match_classes(own, "folder:zoo", ("cat", "sea_lion", "dog"), "zoo")
    torch.testing.assert_close(same(levels()), own(levels()))
    with pytest.raises(BadInput, match="only the scenes have owl; only the classifier has dog; choose other scenes"):
        match_classes(own, "folder:zoo", ("cat", "sea lion", "owl"), "zoo")


def test_label_spaces_of_the_same_name_are_compared_by_their_classes():
    own = bglab.classifier(head(3).eval(), name="n", classes=["cat", "dog", "owl"], size=16, **TORCH)
    zoo = match_classes(own, "folder:zoo", ("cat", "dog", "owl"), "zoo")
    assert match_classes(zoo, "folder:zoo", ("cat", "dog", "owl"), "zoo") is zoo
    torch.testing.assert_close(
        match_classes(zoo, "folder:zoo", ("owl", "cat", "dog"), "zoo")(levels()), own(levels())[:, [2, 0, 1]]
    )
    with pytest.raises(BadInput, match="only the scenes have emu; only the classifier has owl"):
        match_classes(zoo, "folder:zoo", ("cat", "dog", "emu"), "another folder of that name")


def test_predictions_follow_the_names_of_the_classes(tmp_path):
    scenes = bglab.open_scenes("synthetic9?n=18&size=32")
    network, order = head(9).eval(), [3, 1, 4, 0, 5, 8, 2, 6, 7]
    names = [scenes.classes[i] for i in order]
    dataset = bglab.compose(scenes, "original", size=32, progress=False)
    plain = bglab.predict(bglab.classifier(network, name="n", classes="in9", size=32, **TORCH), dataset, progress=False)
    mixed = bglab.classifier(network, name="n", classes=names, size=32, **TORCH)
    table = bglab.predict(mixed, dataset, results=tmp_path, progress=False)
    assert table["prediction"].tolist() == [order[i] for i in plain["native"]]
    np.testing.assert_allclose(table["confidence"], plain["confidence"], rtol=1e-5)
    # names that are put right are not answered from the stored table
    right = bglab.classifier(network, name="n", classes="in9", size=32, **TORCH)
    assert bglab.predict(right, dataset, results=tmp_path, progress=False)["native"].equals(plain["native"])


def test_scenes_give_the_classes_of_a_network():
    scenes = bglab.open_scenes("synthetic9?n=9&size=32")
    own = bglab.classifier(head(9), classes=scenes, size=32, **TORCH)
    assert (own.spec.space, own.classes) == (scenes.space, scenes.classes)
    prepared = bglab.prepare(scenes, 32, progress=False)
    assert bglab.classifier(head(9), classes=prepared, size=32, **TORCH).spec.space == scenes.space


class DataDependent(nn.Module):
    """A network whose control flow depends on the image, which tracing cannot see."""

    def __init__(self):
        super().__init__()
        self.body = head(9)

    def forward(self, images):
        return self.body(images) * (2.0 if images.mean() > 0 else -1.0)


def test_torch_takes_the_place_of_an_engine_that_computes_something_else():
    pytest.importorskip("openvino")
    own = bglab.classifier(DataDependent(), classes="in9", mean=(0.5,) * 3, std=(0.5,) * 3, size=16, device="cpu")
    network = own.network
    dark, bright = torch.zeros(2, 3, 16, 16, dtype=torch.uint8), torch.full((2, 3, 16, 16), 255, dtype=torch.uint8)
    for images in (dark, bright, levels(2, 16)):
        with torch.inference_mode():
            torch.testing.assert_close(own(images), network(images), rtol=1e-3, atol=1e-4)


def test_a_network_that_openvino_cannot_convert_runs_on_torch():
    pytest.importorskip("openvino")

    class Sorting(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = head(9)

        def forward(self, images):
            found = torch.from_numpy(np.sort(images.detach().numpy(), axis=-1))
            return self.body(found)

    own = bglab.classifier(Sorting(), classes="in9", mean=(0.5,) * 3, std=(0.5,) * 3, size=16, device="cpu")
    assert own.engine.name == "torch"
    assert any(note.startswith("torch runs the network, since OpenVINO cannot (") for note in own.notes)


def test_what_transformers_says_is_read():
    transformers = pytest.importorskip("transformers")
    names = {0: "fish", 1: "dog", 2: "bird", 3: "vehicle", 4: "reptile", 5: "carnivore", 6: "insect", 7: "instrument"}
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=37, image_size=32, patch_size=8,
        id2label=names | {8: "primate"}, label2id={name: i for i, name in (names | {8: "primate"}).items()},
    )  # fmt: skip
    torch.manual_seed(0)
    network = transformers.ViTForImageClassification(config).eval()
    processor = transformers.ViTImageProcessor(size={"height": 32, "width": 32})
    own = bglab.classifier(network, processor=processor, **TORCH)
    assert (own.spec.space, own.spec.input_size, own.spec.mean) == ("in9", 32, (0.5, 0.5, 0.5))
    images = levels(2, 32)
    with torch.inference_mode():
        expected = network((images / 255 - 0.5) / 0.5).logits
    torch.testing.assert_close(own(images), expected[:, [1, 2, 3, 4, 5, 6, 7, 8, 0]], rtol=1e-4, atol=1e-5)
    assert bglab.saliency_maps(own, images).shape[0] == 2


def test_names_that_differ_in_case_only_are_told_apart():
    network = head(2).eval()
    own = bglab.classifier(network, name="n", classes=["Cat", "cat"], size=16, **TORCH)
    matched = match_classes(own, "folder:zoo", ("cat", "Cat"), "zoo")
    torch.testing.assert_close(matched(levels()), own(levels())[:, [1, 0]])
    with pytest.raises(BadInput, match="only the scenes have CAT"):
        match_classes(own, "folder:zoo", ("CAT", "cat"), "zoo")
