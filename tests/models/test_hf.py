"""Image classifiers of transformers: the same logits as transformers itself computes, or a sentence."""

from __future__ import annotations

import json
import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from bglab.errors import BadInput, MissingData
from bglab.labels import IN9_NAMES
from bglab.models import downloads, load_classifier
from bglab.models.sources.hf import read_processor
from bglab.saliency import GradCam

transformers = pytest.importorskip("transformers", reason='transformers is not installed (pip install "bglab[hf]")')
pytestmark = pytest.mark.slow  # importing transformers alone takes seconds

OPTIONS = {"engine": "torch", "device": "cpu"}
SIDE = 64
SMALL = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


@pytest.fixture(autouse=True)
def quiet():
    transformers.utils.logging.disable_progress_bar()
    level = transformers.utils.logging.get_verbosity()
    transformers.utils.logging.set_verbosity_error()
    yield
    transformers.utils.logging.set_verbosity(level)


def vit(**options):
    config = transformers.ViTConfig(**SMALL, image_size=SIDE, patch_size=16, **options)
    return transformers.ViTForImageClassification(config), transformers.ViTImageProcessor(size=SIDE)


def resnet(**options):
    config = transformers.ResNetConfig(
        embedding_size=8, hidden_sizes=[8, 16], depths=[1, 1], layer_type="basic", **options
    )
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": SIDE}, crop_pct=0.8)
    return transformers.ResNetForImageClassification(config), processor


def convnext(**options):
    config = transformers.ConvNextConfig(hidden_sizes=[8, 16, 16, 16], depths=[1, 1, 1, 1], **options)
    processor = transformers.ConvNextImageProcessor(size={"shortest_edge": 384})
    return transformers.ConvNextForImageClassification(config), processor


def beit(**options):
    config = transformers.BeitConfig(**SMALL, image_size=SIDE, patch_size=16, **options)
    processor = transformers.BeitImageProcessor(size={"height": 80, "width": 80}, crop_size=SIDE, do_center_crop=True)
    return transformers.BeitForImageClassification(config), processor


def timm_wrapper(**options):
    preprocessing = {
        "input_size": [3, SIDE, SIDE],
        "crop_pct": 0.9,
        "interpolation": "bicubic",
        "mean": [0.4, 0.5, 0.6],
        "std": [0.2, 0.3, 0.4],
        "crop_mode": "center",
    }
    config = transformers.TimmWrapperConfig(architecture="test_resnet", pretrained_cfg=preprocessing, **options)
    return transformers.TimmWrapperForImageClassification(config), None


MAKERS = {maker.__name__: maker for maker in (vit, resnet, convnext, beit, timm_wrapper)}
FIVE = {"id2label": dict(enumerate(["cat", "cow", "pig", "hen", "owl"])), "num_labels": 5}


def save(folder: Path, made, **options) -> Path:
    model, processor = made
    model.save_pretrained(folder, **options)
    if processor is not None:
        processor.save_pretrained(folder)
    return folder


@pytest.fixture
def seeded():
    torch.manual_seed(0)


def photographs(side: int) -> list[Image.Image]:
    drawn = np.random.default_rng(1)
    coarse = [Image.fromarray(drawn.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in range(3)]
    return [
        image.resize(size, Image.Resampling.BICUBIC)
        for image, size in zip(coarse, ((side, side), (500, 375), (400, 600)), strict=True)
    ]


@pytest.mark.parametrize("kind", MAKERS)
def test_logits_are_those_of_transformers(kind, tmp_path, seeded):
    folder = save(tmp_path / kind, MAKERS[kind](**FIVE))
    classifier = load_classifier(f"hf:{folder}", protocol="model", **OPTIONS)
    # the script of a model card
    processor = transformers.AutoImageProcessor.from_pretrained(folder)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    for image in photographs(classifier.spec.input_size):
        with torch.inference_mode():
            expected = model(**processor(images=image, return_tensors="pt")).logits
        found = classifier(torch.from_numpy(classifier.spec.transform(image))[None])
        # Pillow and torchvision round resized levels differently
        assert torch.allclose(found, expected, atol=0.005 * float(expected.abs().max()))
        assert int(found.argmax()) == int(expected.argmax())
    assert classifier.classes == tuple(FIVE["id2label"].values())
    assert classifier.spec.space == classifier.spec.id == f"hf:{folder}"


def test_an_image_of_the_networks_size_is_exact_as_it_is(tmp_path, seeded):
    made = vit(**FIVE)
    folder, processor = save(tmp_path / "vit", made), made[1]
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    image = photographs(SIDE)[0]
    with torch.inference_mode():
        expected = model(**processor(images=image, return_tensors="pt")).logits
    levels = torch.from_numpy(np.asarray(image).copy()).permute(2, 0, 1)[None]
    assert torch.allclose(load_classifier(f"hf:{folder}", **OPTIONS)(levels), expected, atol=1e-5)


def test_openvino_computes_the_same(tmp_path, seeded):
    folder = save(tmp_path / "vit", vit(**FIVE))
    levels = torch.randint(0, 256, (3, 3, SIDE, SIDE), dtype=torch.uint8)
    converted = load_classifier(f"hf:{folder}", engine="openvino", device="cpu")
    assert torch.allclose(converted(levels), load_classifier(f"hf:{folder}", **OPTIONS)(levels), atol=1e-4)


@pytest.mark.parametrize("kind", ["vit", "resnet"])
def test_grad_cam_finds_its_layer(kind, tmp_path, seeded):
    classifier = load_classifier(f"hf:{save(tmp_path / kind, MAKERS[kind](num_labels=9))}", **OPTIONS)
    assert classifier.spec.space == "in9"
    layer = GradCam(classifier).layer
    expected = {"vit": "network.vit.layers.1.layernorm_before", "resnet": "network.resnet.encoder.stages.1"}
    assert layer.name == expected[kind]


SETTINGS = [
    # processor, (size, resized, crop mode, interpolation)
    (lambda t: t.ViTImageProcessor(size=SIDE, resample=3), (64, 64, "squash", "bicubic")),
    (lambda t: t.ConvNextImageProcessor(size={"shortest_edge": 224}), (224, 256, "center", "bicubic")),
    (lambda t: t.ConvNextImageProcessor(size={"shortest_edge": 384}), (384, 384, "squash", "bicubic")),
    (lambda t: t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE), (64, 64, "center", "bicubic")),
    (lambda t: t.LevitImageProcessor(), (224, 256, "center", "bicubic")),
    (lambda t: t.PoolFormerImageProcessor(size={"shortest_edge": 224}, crop_size=224), (224, 248, "center", "bicubic")),
    (lambda t: t.MobileNetV2ImageProcessor(), (224, 256, "center", "bilinear")),
    (lambda t: t.DeiTImageProcessor(), (224, 256, "squash", "bicubic")),
]


@pytest.mark.parametrize(("make", "expected"), SETTINGS)
def test_geometry_of_processors(make, expected):
    found = read_processor(make(transformers))
    transform = found.transform
    assert (transform.size, transform.resized, transform.crop_mode, transform.interpolation) == expected
    assert not [note for note in found.notes if "differs from" in note]


def test_normalisation_of_processors():
    plain = read_processor(
        transformers.ViTImageProcessor(size=SIDE, image_mean=[0.1, 0.2, 0.3], image_std=[0.4, 0.5, 0.6])
    )
    assert (plain.mean, plain.std) == ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6))
    neither = read_processor(transformers.ViTImageProcessor(size=SIDE, do_normalize=False))
    assert (neither.mean, neither.std) == ((0.0,) * 3, (1.0,) * 3)
    levels = read_processor(transformers.ViTImageProcessor(size=SIDE, do_rescale=False, do_normalize=False))
    assert levels.std == pytest.approx((1 / 255,) * 3)
    symmetric = transformers.ViTImageProcessor(
        size=SIDE, rescale_factor=1 / 127.5, image_mean=[1.0] * 3, image_std=[1.0] * 3
    )
    assert read_processor(symmetric).mean == pytest.approx((0.5,) * 3)
    assert read_processor(symmetric).std == pytest.approx((0.5,) * 3)
    shifted = transformers.EfficientNetImageProcessor(size=SIDE, rescale_offset=True, include_top=True)
    assert not [note for note in read_processor(shifted).notes if "differs from" in note]


def test_what_a_processor_does_and_bglab_does_not_is_said():
    nearest = read_processor(transformers.ViTImageProcessor(size=SIDE, resample=0))
    assert "its processor resizes by the filter nearest, for which bicubic stands in" in nearest.notes
    assert any("makes of a photograph differs from what bglab does" in note for note in nearest.notes)
    uncropped = read_processor(transformers.CLIPImageProcessor(size={"shortest_edge": SIDE}, do_center_crop=False))
    assert "its processor crops nothing; bglab crops the centre" in uncropped.notes
    with pytest.raises(BadInput, match="expected a network of square images, got one of 32 × 64 pixels"):
        read_processor(transformers.ViTImageProcessor(size={"height": 64, "width": 32}))
    with pytest.raises(BadInput, match="expected an image processor of transformers, got int"):
        read_processor(3)


def test_a_network_of_blue_first_sees_red_first(tmp_path, seeded):
    model, _ = vit(**FIVE)
    processor = transformers.MobileViTImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIDE)
    folder = save(tmp_path / "blue_first", (model, processor))
    image = photographs(SIDE)[0]
    with torch.inference_mode():
        expected = model.eval()(**processor(images=image, return_tensors="pt")).logits
    classifier = load_classifier(f"hf:{folder}", protocol="model", **OPTIONS)
    found = classifier(torch.from_numpy(classifier.spec.transform(image))[None])
    assert torch.allclose(found, expected, atol=1e-5)
    assert not torch.allclose(
        classifier(torch.from_numpy(classifier.spec.transform(image))[None].flip(1)), expected, atol=1e-3
    )


def test_the_nine_are_put_in_their_order(tmp_path, seeded):
    names = ["fish", "01_bird", "musical instrument", "dog", "vehicle", "reptile", "carnivore", "insect", "primate"]
    folder = save(tmp_path / "nine", vit(id2label=dict(enumerate(names)), num_labels=9))
    classifier = load_classifier(f"hf:{folder}", **OPTIONS)
    assert (classifier.spec.space, classifier.classes) == ("in9", IN9_NAMES)
    levels = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    model = transformers.AutoModelForImageClassification.from_pretrained(folder).eval()
    with torch.inference_mode():
        own = model((levels / 255 - 0.5) / 0.5).logits
    assert torch.allclose(classifier(levels), own[:, [3, 1, 4, 5, 6, 7, 2, 8, 0]], atol=1e-5)


def test_half_precision_is_computed_in_single_and_said(tmp_path, seeded):
    model, processor = vit(**FIVE)
    folder = save(tmp_path / "half", (model.half(), processor))
    classifier = load_classifier(f"hf:{folder}", **OPTIONS)
    assert {tensor.dtype for tensor in classifier.network.network.parameters()} == {torch.float32}
    assert "its weights are stored as float16 and computed with as float32" in classifier.notes


def test_weights_of_torch_load_safely(tmp_path, seeded):
    folder = save(tmp_path / "bin", vit(**FIVE))
    levels = torch.randint(0, 256, (2, 3, SIDE, SIDE), dtype=torch.uint8)
    before = load_classifier(f"hf:{folder}", **OPTIONS)(levels)
    state = transformers.AutoModelForImageClassification.from_pretrained(folder).state_dict()
    (folder / "model.safetensors").unlink()
    torch.save(state, folder / "pytorch_model.bin")
    assert torch.equal(load_classifier(f"hf:{folder}", **OPTIONS)(levels), before)

    class Nasty:
        def __reduce__(self):
            return (print, ("ran",))

    torch.save(state | {"classifier.bias": Nasty()}, folder / "pytorch_model.bin")
    with pytest.raises(BadInput, match="expected an image classifier of transformers in .*, but it cannot be loaded"):
        load_classifier(f"hf:{folder}")


def edit(folder: Path, file: str = "config.json", **changes) -> None:
    content = json.loads((folder / file).read_text())
    (folder / file).write_text(json.dumps(content | changes))


def spoil_head(folder):
    transformers.ViTModel(transformers.ViTConfig(**SMALL, image_size=SIDE, patch_size=16)).save_pretrained(folder)


SPOILT = {
    "cut off": (lambda f: (f / "model.safetensors").write_bytes(b"cut"), BadInput, "but it cannot be loaded"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), BadInput, "but it cannot be loaded"),
    "no json": (lambda f: (f / "config.json").write_text("{"), BadInput, "cannot be loaded"),
    "no processor": (lambda f: (f / "preprocessor_config.json").unlink(), MissingData, r"\?processor=NAME_OR_FOLDER"),
    "no configuration": (lambda f: (f / "config.json").unlink(), MissingData, "but it has no config.json"),
    "no head": (spoil_head, BadInput, "tensors are not in the file .*: it is a network without a head"),
    "text": (lambda f: edit(f, model_type="bert"), BadInput, "got the type 'bert'"),
    "detection": (lambda f: edit(f, model_type="detr"), BadInput, "got the type 'detr'"),
    "own code": (
        lambda f: edit(f, model_type="mine", auto_map={"AutoConfig": "c.C"}),
        BadInput,
        "needs code of its own .*, which bglab never runs",
    ),
    "grey": (lambda f: edit(f, num_channels=1), BadInput, "expected a classifier of RGB images in .*, got one of 1"),
    "22k": (lambda f: edit(f, id2label={i: str(i) for i in range(21841)}), BadInput, "the 21,841 of ImageNet-21k"),
}


@pytest.mark.parametrize(
    "setting",
    [
        *({"image_mean": [0.5, {"a": 1}, 0.5]}, {"image_std": ["a", 0.5, 0.5]}, {"image_std": [0.5, 0, 0.5]}),
        *({"image_mean": [0.5, float("nan"), 0.5]}, {"rescale_factor": 0}, {"size": {"height": -4, "width": -4}}),
    ],
    ids=str,
)
def test_settings_of_a_processor_that_cannot_be_used_are_said(setting, tmp_path, seeded):
    folder = save(tmp_path / "vit", vit(**FIVE))
    file = folder / "preprocessor_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | setting))
    with pytest.raises(BadInput, match="in the settings of ViTImageProcessor"):
        load_classifier(f"hf:{folder}")


@pytest.mark.parametrize("how", SPOILT)
def test_what_cannot_be_used_is_said(how, tmp_path, seeded):
    folder = save(tmp_path / "vit", vit(**FIVE))
    spoil, error, sentence = SPOILT[how]
    spoil(folder)
    with pytest.raises(error, match=sentence):
        load_classifier(f"hf:{folder}")


def test_a_processor_from_elsewhere(tmp_path, seeded):
    folder = save(tmp_path / "vit", vit(**FIVE))
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    shutil.move(folder / "preprocessor_config.json", elsewhere)
    assert load_classifier(f"hf:{folder}?processor={elsewhere}", **OPTIONS).spec.input_size == SIDE


def test_folders_that_are_none(tmp_path):
    for name in (tmp_path / "absent", "./absent", "a/b/c"):
        with pytest.raises(MissingData, match="or a name on the Hugging Face Hub such as hf:microsoft/resnet-50"):
            load_classifier(f"hf:{name}")


@pytest.fixture
def empty_cache(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def test_a_hub_out_of_reach_is_named(empty_cache, monkeypatch):
    monkeypatch.setattr(downloads, "why_unreachable", lambda _address: "Network is unreachable")
    with pytest.raises(MissingData, match=r"the weights of hf:some/model are not on this machine .*Network is unreach"):
        load_classifier("hf:some/model")


def test_a_gated_model_says_what_to_do(empty_cache, monkeypatch):
    def refuse(*_arguments, **_options):
        raise OSError("You are trying to access a gated repo.\nMake sure to have access to it")

    monkeypatch.setattr(downloads, "why_unreachable", lambda _address: "")
    monkeypatch.setattr(transformers.PretrainedConfig, "get_config_dict", refuse)
    with pytest.raises(MissingData, match="hf:some/model is gated; accept its terms at https://huggingface.co/some/mo"):
        load_classifier("hf:some/model")


def test_a_cached_model_asks_nobody(empty_cache, tmp_path, monkeypatch, seeded):
    def refuse(address):
        raise AssertionError(f"{address} was asked")

    monkeypatch.setattr(downloads, "why_unreachable", refuse)
    monkeypatch.setattr("transformers.utils.hub.constants.HF_HUB_CACHE", str(empty_cache))
    commit, place = "0123456789abcdef" * 2 + "01234567", empty_cache / "models--some--model"
    save(place / "snapshots" / commit, vit(**FIVE))
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    classifier = load_classifier("hf:some/model", **OPTIONS)
    assert (classifier.spec.id, classifier.spec.tag) == ("hf:some/model", commit[:12])
    assert load_classifier(f"hf:some/model?revision={commit}", **OPTIONS).spec.sha256 == classifier.spec.sha256


def test_loading_leaves_settings_of_transformers_alone(tmp_path, seeded):
    folder = save(tmp_path / "vit", vit(**FIVE))
    logs = transformers.utils.logging
    logs.set_verbosity(logging.WARNING)
    logs.enable_progress_bar()
    load_classifier(f"hf:{folder}", **OPTIONS)
    assert logs.get_verbosity() == logging.WARNING
    assert logs.is_progress_bar_enabled()
