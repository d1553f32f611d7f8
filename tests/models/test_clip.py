"""Zero-shot classification: the same logits as a script of open_clip computes, or a sentence."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from PIL import Image

from bglab.errors import BadInput, MissingData, UnknownName
from bglab.labels import imagenet_names, imagenet_synsets
from bglab.models import downloads, load_classifier
from bglab.models.sources._prompts import IN9_PROMPT_NAMES, make_prompts
from bglab.saliency import GradCam

open_clip = pytest.importorskip("open_clip", reason='open_clip is not installed (pip install "bglab[clip]")')
pytestmark = pytest.mark.slow  # importing open_clip alone takes seconds

OPTIONS = {"engine": "torch", "device": "cpu"}
TEXT = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
VIT = {"image_size": 64, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16}
POOLED = {"attentional_pool": True, "attn_pooler_queries": 16, "attn_pooler_heads": 2, "output_tokens": True}
CONFIGURATIONS = {
    "tiny-vit": {"embed_dim": 16, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-resnet": {
        "embed_dim": 16,
        "vision_cfg": VIT | {"layers": [1, 1, 1, 1], "width": 16, "patch_size": None},
        "text_cfg": TEXT,
    },
    "tiny-biased": {"embed_dim": 16, "custom_text": True, "init_logit_bias": -10, "vision_cfg": VIT, "text_cfg": TEXT},
    "tiny-coca": {
        "embed_dim": 16,
        "custom_text": True,
        "vision_cfg": VIT | POOLED,
        "text_cfg": TEXT | {"context_length": 76, "embed_cls": True, "output_tokens": True},
        "multimodal_cfg": TEXT | {"context_length": 76, "attn_pooler_heads": 2},
    },
}
#: Two templates instead of 80, for speed.
TEMPLATES = ["a photo of a {}.", "a drawing of the {}."]


@pytest.fixture(scope="module")
def checkpoints(tmp_path_factory):
    """Register tiny architectures, and save random weights of each: architecture → checkpoint."""
    folder = tmp_path_factory.mktemp("clip")
    for name, configuration in CONFIGURATIONS.items():
        (folder / f"{name}.json").write_text(json.dumps(configuration))
    open_clip.add_model_config(folder)
    root, saved = logging.getLogger(), {}
    before = root.level, root.handlers[:]
    for name in CONFIGURATIONS:
        torch.manual_seed(0)
        saved[name] = folder / f"{name}.pt"
        torch.save(open_clip.create_model(name).state_dict(), saved[name])
    (folder / "templates.txt").write_text("\n".join(["# two of 80", *TEMPLATES, ""]))
    root.setLevel(before[0])
    root.handlers[:] = before[1]
    return saved


@pytest.fixture
def templates(checkpoints):
    return checkpoints["tiny-vit"].parent / "templates.txt"


def by_script(architecture: str, checkpoint: Path, image: Image.Image, names, templates=TEMPLATES):
    """Classify an image as open_clip's own evaluation does."""
    model, _, preprocess = open_clip.create_model_and_transforms(architecture, pretrained=str(checkpoint))
    model.eval()
    tokenizer = open_clip.get_tokenizer(architecture)
    weights = open_clip.build_zero_shot_classifier(model, tokenizer, names, templates)
    with torch.inference_mode():
        features = model.encode_image(preprocess(image)[None], normalize=True)
        logits = model.logit_scale.exp() * features @ weights
        return logits if getattr(model, "logit_bias", None) is None else logits + model.logit_bias


def photographs() -> list[Image.Image]:
    drawn = np.random.default_rng(1)
    coarse = [Image.fromarray(drawn.integers(0, 256, (9, 12, 3), dtype=np.uint8)) for _ in range(3)]
    return [image.resize(size) for image, size in zip(coarse, ((64, 64), (500, 375), (400, 600)), strict=True)]


@pytest.mark.parametrize("architecture", CONFIGURATIONS)
def test_logits_are_those_of_open_clip(architecture, checkpoints, templates):
    uri = f"clip:{architecture}/{checkpoints[architecture]}?prompts={templates}&classes=in9"
    classifier = load_classifier(uri, protocol="model", **OPTIONS)
    assert (classifier.spec.space, classifier.spec.input_size, classifier.spec.crop_mode) == ("in9", 64, "center")
    for image in photographs():
        found = classifier(torch.from_numpy(classifier.spec.transform(image))[None])
        expected = by_script(architecture, checkpoints[architecture], image, IN9_PROMPT_NAMES)
        assert torch.allclose(found, expected, atol=1e-4)


def test_imagenet_in_the_order_of_its_names(checkpoints, templates):
    uri = f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={templates}"
    classifier = load_classifier(uri, protocol="model", **OPTIONS)
    assert (classifier.spec.space, classifier.classes) == ("imagenet", imagenet_names())
    image = photographs()[1]
    found = classifier(torch.from_numpy(classifier.spec.transform(image))[None])
    expected = by_script("tiny-vit", checkpoints["tiny-vit"], image, open_clip.IMAGENET_CLASSNAMES)
    assert torch.allclose(found, expected, atol=1e-4)
    assert "zero-shot: templates.txt's 2 templates for ImageNet's 1000 classes" in classifier.notes


def test_the_default_is_open_clips_own_names_and_templates():
    prompts = make_prompts()
    assert (prompts.space, len(prompts.texts), {len(each) for each in prompts.texts}) == ("imagenet", 1000, {80})
    names, templates = open_clip.IMAGENET_CLASSNAMES, open_clip.OPENAI_IMAGENET_TEMPLATES
    assert prompts.texts[207] == tuple(template(names[207]) for template in templates)
    assert make_prompts(classes="in9").texts[2][0] == "a bad photo of a wheeled vehicle."


def test_openvino_and_grad_cam(checkpoints, templates):
    uri = f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={templates}&classes=in9"
    classifier = load_classifier(uri, **OPTIONS)
    levels = torch.randint(0, 256, (3, 3, 64, 64), dtype=torch.uint8)
    result = GradCam(classifier).cam(levels)
    assert GradCam(classifier).layer.name == "visual.transformer.resblocks.1.ln_1"
    assert bool((result.maps.flatten(1).amax(1) > 0).any())
    converted = load_classifier(uri, engine="openvino", device="cpu")
    assert torch.allclose(converted(levels), classifier(levels), atol=1e-3)


def test_queries_of_attentional_pooling_are_no_positions(checkpoints, templates):
    uri = f"clip:tiny-coca/{checkpoints['tiny-coca']}?prompts={templates}&classes=in9"
    layer = GradCam(load_classifier(uri, **OPTIONS)).layer
    assert (layer.name, layer.layout, layer.prefix) == ("visual.attn_pool.ln_k", "tokens", 1)


def test_embeddings_are_cached(checkpoints, templates, data_folder, monkeypatch, caplog):
    uri = f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={templates}&classes=in9"
    before = load_classifier(uri, **OPTIONS).spec.sha256
    files = list((data_folder / "cache" / "text_embeddings").glob("*/*.npy"))
    assert files

    def refuse(*_arguments):
        raise AssertionError("embedded again")

    with monkeypatch.context() as patched:
        patched.setattr("bglab.models.sources.clip.embed", refuse)
        assert load_classifier(uri, **OPTIONS).spec.sha256 == before
        with pytest.raises(AssertionError, match="embedded again"):
            load_classifier(f"clip:tiny-biased/{checkpoints['tiny-biased']}?prompts={templates}&classes=imagenet")
    for file in files:
        file.write_bytes(b"cut off")
    assert load_classifier(uri, **OPTIONS).spec.sha256 == before
    assert "making embeddings of prompts again, since" in caplog.text


def test_a_folder_with_its_configuration(checkpoints, templates, tmp_path):
    content = {"model_cfg": CONFIGURATIONS["tiny-vit"], "preprocess_cfg": {"mean": [0.5] * 3, "resize_mode": "squash"}}
    (tmp_path / "open_clip_config.json").write_text(json.dumps(content))
    uri = f"clip:{tmp_path}?prompts={templates}&classes=in9"
    with pytest.raises(
        MissingData, match=r"expected open_clip_model.safetensors in .*, but there are no weights in it"
    ):
        load_classifier(uri)
    (tmp_path / "open_clip_pytorch_model.bin").write_bytes(checkpoints["tiny-vit"].read_bytes())
    spec = load_classifier(uri, **OPTIONS).spec
    assert (spec.mean, spec.crop_mode, spec.id) == (
        (0.5,) * 3,
        "squash",
        f"clip:{tmp_path}?classes=in9&prompts={templates}",
    )


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("p.txt", "dog,a dog\ncat, a cat, lying\n"),
        ("p.csv", 'class,prompt\ndog,a dog\ncat,"a cat, lying"\n'),
        ("p.tsv", "dog\ta dog\ncat\ta cat, lying\n"),
        ("p.json", '{"dog": "a dog", "cat": ["a cat, lying"]}'),
    ],
)
def test_prompts_of_own_classes(name, content, tmp_path):
    (tmp_path / name).write_text(content)
    prompts = make_prompts(str(tmp_path / name))
    assert (prompts.space, prompts.classes) == ("", ("dog", "cat"))
    assert prompts.texts == (("a dog",), ("a cat, lying",))


def test_own_classes_make_a_space_of_their_own(checkpoints, tmp_path):
    (tmp_path / "p.txt").write_text("dog,a dog\ncat,a cat\n")
    classifier = load_classifier(f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={tmp_path / 'p.txt'}", **OPTIONS)
    assert classifier.classes == ("dog", "cat")
    assert classifier.spec.space.startswith("clip:tiny-vit/")


def test_prompts_of_the_nine_and_of_imagenet_are_recognised(tmp_path):
    lines = [f"{name},a {name}" for name in IN9_PROMPT_NAMES]
    (tmp_path / "nine.txt").write_text("\n".join(reversed(lines)))
    nine = make_prompts(str(tmp_path / "nine.txt"))
    assert (nine.space, nine.texts[0], nine.texts[8]) == ("in9", ("a dog",), ("a fish",))
    (tmp_path / "all.json").write_text(json.dumps({synset: ["x"] for synset in reversed(imagenet_synsets())}))
    assert make_prompts(str(tmp_path / "all.json")).space == "imagenet"
    (tmp_path / "eight.txt").write_text("\n".join(lines[:8]))
    with pytest.raises(BadInput, match=r"for all 9 classes of in9 in .*, but 1 have none \(fish\)"):
        make_prompts(str(tmp_path / "eight.txt"), "in9")
    (tmp_path / "other.txt").write_text("\n".join([*lines[:8], "fsh,a fish"]))
    with pytest.raises(BadInput, match="expected a class of in9 in .*, got 'fsh'; did you mean 'fish'"):
        make_prompts(str(tmp_path / "other.txt"), "in9")


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("p.txt", b"", "expected prompts in .*, but it has none; write templates with {}"),
        ("p.txt", b"a photo of a dog\n", "expected a template or class,prompt in line 1 of .*, got 'a photo of a dog'"),
        ("p.txt", b"a {}\ndog,a dog\n", "expected either templates or prompts in .*, got both"),
        ("p.txt", b"dog,a dog\n", "expected prompts for at least two classes"),
        ("p.txt", b"\xff\xfe\x00\x00\xd8", "but it is no text in UTF-8"),
        ("p.json", b"{", "expected JSON in"),
        ("p.json", b'["a dog"]', "expected templates or prompts in .*, got list of another form"),
    ],
)
def test_prompts_that_are_none(name, content, sentence, tmp_path):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(BadInput, match=sentence):
        make_prompts(str(tmp_path / name))


def test_names_that_are_none(checkpoints, tmp_path):
    with pytest.raises(UnknownName, match="unknown open_clip architecture 'ViT-B-33'; did you mean 'ViT-B-"):
        load_classifier("clip:ViT-B-33/openai")
    with pytest.raises(UnknownName, match="'clip:ViT-B-32/nope' does not say which weights; .*clip:ViT-B-32/openai"):
        load_classifier("clip:ViT-B-32/nope")
    with pytest.raises(MissingData, match="expected a checkpoint at .*absent.pt, but there is none"):
        load_classifier(f"clip:ViT-B-32/{tmp_path / 'absent.pt'}")
    with pytest.raises(MissingData, match="expected a file of prompts at .*absent.txt, but it cannot be read"):
        load_classifier(f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={tmp_path / 'absent.txt'}")
    with pytest.raises(BadInput, match="expected classes=imagenet or classes=in9, got classes=coco"):
        load_classifier(f"clip:tiny-vit/{checkpoints['tiny-vit']}?classes=coco")


def test_a_tokenizer_that_is_not_here_is_named(checkpoints, monkeypatch):
    def refuse(_name):
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "get_tokenizer", refuse)
    with pytest.raises(MissingData, match=r"the tokenizer of tiny-vit is not on this machine .*\(no network\)"):
        load_classifier(f"clip:tiny-vit/{checkpoints['tiny-vit']}?classes=in9")


def test_weights_of_another_architecture(checkpoints, templates):
    with pytest.raises(BadInput, match="expected the weights of tiny-resnet in .*, but they cannot be loaded"):
        load_classifier(f"clip:tiny-resnet/{checkpoints['tiny-vit']}?prompts={templates}&classes=in9")


def test_a_hub_out_of_reach_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(downloads, "why_unreachable", lambda _address: "Network is unreachable")
    for name in ("clip:ViT-B-32/laion2b_s34b_b79k", "clip:ViT-B/32/laion2b_s34b_b79k"):
        with pytest.raises(
            MissingData, match=f"the weights of {name} are not on this machine .*Network is unreachable"
        ):
            load_classifier(name)


def test_loading_leaves_logging_alone(checkpoints, templates):
    root = logging.getLogger()
    before = root.level, root.handlers[:]
    load_classifier(f"clip:tiny-vit/{checkpoints['tiny-vit']}?prompts={templates}&classes=in9", **OPTIONS)
    assert (root.level, root.handlers) == before
