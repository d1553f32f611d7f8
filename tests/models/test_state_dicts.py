"""State dicts as trainers leave them: under any entry and prefix, with averages, losses and normalisers beside them."""

from __future__ import annotations

import itertools
import re
import warnings

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from torch import nn
from torch.optim.swa_utils import AveragedModel
from torchvision import models

from bglab.errors import BadInput, UnknownName
from bglab.models import IN9_MEAN, IN9_STD, architecture_guesses, load_classifier, state_digest
from bglab.models.architectures import tensor_layout
from bglab.models.sources import open_weights
from tests.fixtures.checkpoints import SMALL, prefixed, small
from tests.fixtures.networks import random_images

DIGEST = state_digest(small())


@pytest.fixture
def load(tmp_path):
    def load_content(content, options="", architecture=SMALL):
        file = tmp_path / "c.pth"
        torch.save(content, file)
        options = "&".join(filter(None, [f"architecture={architecture}" if architecture else "", options]))
        return open_weights(f"file:{file}{'?' if options else ''}{options}")[1]

    return load_content


WRAPPERS = ("module.", "_orig_mod.", "model.", "net.", "backbone.", "encoder.", "a_name_of_my_own.", "0.")


@pytest.mark.parametrize(
    "prefix",
    [*WRAPPERS, *("".join(pair) for pair in itertools.islice(itertools.product(WRAPPERS, repeat=2), 0, 64, 5))],
)
def test_any_wrapper_comes_off(load, prefix):
    assert state_digest(load({"state_dict": prefixed(small().state_dict(), prefix)}).network) == DIGEST


def test_wrappers_inside_of_the_network_come_off(load):
    state = {re.sub(r"^(layer\d)\.", r"module.\1._orig_mod.", name): t for name, t in small().state_dict().items()}
    state = {name if name.startswith("module.") else f"module.{name}": tensor for name, tensor in state.items()}
    assert state_digest(load(state).network) == DIGEST


@pytest.mark.parametrize(
    "entries",
    ["state_dict", "model", "model_state_dict", "net", "weights", "params", "network", "averaged", "model.state_dict"]
    + ["checkpoint.model.module", "whatever"],
)
def test_the_weights_are_found_in_any_entry(load, entries):
    content = small().state_dict()
    for entry in reversed(entries.split(".")):
        content = {"epoch": 3, entry: content, "optimizer": {"state": {0: {"exp_avg": torch.zeros(3)}}}}
    assert state_digest(load(content).network) == DIGEST


def test_averaged_weights_are_preferred_as_in_timm_and_can_be_chosen(load):
    content = {"state_dict": small(seed=1).state_dict(), "state_dict_ema": small().state_dict()}
    default, raw, named = load(content), load(content, "weights=model"), load(content, "weights=state_dict")
    assert state_digest(default.network) == state_digest(load(content, "weights=ema").network) == DIGEST
    assert state_digest(raw.network) == state_digest(named.network) == state_digest(small(seed=1))
    assert "the averaged weights of 'state_dict_ema' are used; ?weights= chooses those of 'state_dict'" in default.notes
    with pytest.raises(BadInput, match=r"expected weights 'best' in .*, got .*state_dict_ema"):
        load(content, "weights=best")
    assert any("the averaged ones of 'ema'" in note for note in load({"ema": small().state_dict()}).notes)


def test_a_choice_that_only_the_user_can_make_is_left_to_the_user(load):
    content = {"best": small().state_dict(), "last": small(seed=1).state_dict()}
    with pytest.raises(BadInput, match=r"got 2; choose one: \?weights=best or \?weights=last"):
        load(content)
    assert state_digest(load(content, "weights=best").network) == DIGEST
    # the same weights under two names are no choice
    same = {"best": small().state_dict(), "last": small().state_dict()}
    assert state_digest(load(same).network) == DIGEST


def test_averages_of_torch_and_of_lightning_inside_of_the_state_dict(load):
    weights = load(AveragedModel(small()).state_dict())
    assert state_digest(weights.network) == DIGEST
    assert any("n_averaged" in note for note in weights.notes)
    both = {**prefixed(small(seed=1).state_dict(), "model."), **prefixed(small().state_dict(), "ema_model.module.")}
    assert state_digest(load({"state_dict": both}).network) == DIGEST
    assert state_digest(load({"state_dict": both}, "weights=model").network) == state_digest(small(seed=1))


def test_a_lightning_checkpoint_with_losses_and_metrics(load):
    state = prefixed(small().state_dict(), "model.") | {"loss.weight": torch.ones(9), "val_acc.total": torch.tensor(3)}
    content = {"state_dict": state, "hyper_parameters": {"arch": SMALL, "lr": 0.1}, "pytorch-lightning_version": "2.4"}
    weights = load(content, architecture="")
    assert state_digest(weights.network) == DIGEST
    assert f"left out, since {SMALL} has no such tensors: loss.weight, val_acc.total" in weights.notes
    assert f"the architecture {SMALL} is that of the checkpoint's entry 'hyper_parameters.arch'" in weights.notes


def test_losses_without_a_wrapper_are_left_out_but_layers_are_not(load):
    state = small().state_dict()
    for name in ("criterion.weight", "metrics.f1.total", "aux_head.weight", "total_ops", "layer1.0.total_params"):
        assert any(name in note for note in load({**state, name: torch.ones(2)}).notes)
    for name in ("norm_pre.weight", "layer5.0.conv1.weight", "layer1.0.se.fc1.weight", "head_dist.weight"):
        with pytest.raises(BadInput, match=rf"the architecture has no {name}"):
            load({**state, name: torch.ones(2)})


def test_a_deeper_network_is_not_taken_for_a_shallower_one(load):
    deep = {name: torch.zeros(()).expand(tensor.shape) for name, tensor in tensor_layout("tv_resnet34", 9).items()}
    with pytest.raises(BadInput, match=r"the architecture has no layer1\.2\.conv1\.weight, .* more tensors than it"):
        load(deep, architecture="tv_resnet18")


@pytest.mark.parametrize("prefix", ["", "module."])
def test_the_normaliser_of_the_robustness_library_is_used(load, prefix):
    mean, std = torch.tensor([0.4717, 0.4499, 0.3837]).view(3, 1, 1), torch.tensor([0.26, 0.25, 0.24]).view(3, 1, 1)
    own = small().state_dict()
    state = {"normalizer.new_mean": mean, "normalizer.new_std": std, **prefixed(own, "model.")}
    state |= {"attacker.normalize.new_mean": mean + 1, "attacker.normalize.new_std": std}
    state |= prefixed(own, "attacker.model.")
    weights = load({"model": prefixed(state, prefix), "epoch": 150})
    assert state_digest(weights.network) == DIGEST
    assert weights.mean == (0.4717, 0.4499, 0.3837)
    assert weights.std == (0.26, 0.25, 0.24)
    assert any(f"'{prefix}normalizer.new_mean'" in note for note in weights.notes)
    other = load({"model": state}, "mean=0.5,0.5,0.5")
    assert other.mean == (0.5, 0.5, 0.5)
    assert any(note.startswith("mean= replaces what the checkpoint says") for note in other.notes)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_are_converted_and_told(load, dtype):
    weights = load(small().to(dtype).state_dict())
    assert all(tensor.dtype != dtype for tensor in weights.network.state_dict().values())
    assert any(f"{str(dtype).removeprefix('torch.')} to float32" in note for note in weights.notes)
    exact = small().to(dtype).float()
    assert state_digest(weights.network) == state_digest(exact)


def test_numbers_that_are_no_weights_are_refused_by_the_name_of_their_tensor(load):
    state = small().state_dict()
    weight = state["fc.weight"]
    nan = weight.clone()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # deprecated by torch
        quantised = torch.quantize_per_tensor(weight, 0.1, 0, torch.qint8)
    nan[0, 0] = float("nan")
    for tensor, sentence in (
        (nan, rf"fc\.weight has 1 of {weight.numel()} numbers that are NaN or infinite"),
        (weight.to(torch.int8), r"fc\.weight is int8; save the network before quantisation"),
        (weight.to(torch.complex64), r"fc\.weight is complex64"),
        (weight.to_sparse(), r"fc\.weight is sparse"),
        (quantised, r"fc\.weight is quantised"),
        (weight.T.clone(), r"fc\.weight has the shape \d+×9 instead of"),
    ):
        with pytest.raises(BadInput, match=sentence):
            load({**state, "fc.weight": tensor})


def test_missing_tensors_are_named_and_counted(load):
    state = small().state_dict()
    headless = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    with pytest.raises(BadInput, match=rf"fc\.weight, fc\.bias are missing, 2 of {len(state)} tensors"):
        load(headless)
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    weights = load({name: tensor for name, tensor in state.items() if name not in counters})
    assert any(note.startswith(f"{len(counters)} counters num_batches_tracked are missing") for note in weights.notes)
    with pytest.raises(BadInput, match="none of its tensors goes by a name of that architecture"):
        load({"a": torch.zeros(3)})


def test_the_architecture_of_training_scripts(load):
    state = prefixed(models.resnet18(num_classes=9).state_dict(), "module.")
    # the entry of PyTorch's own script means torchvision's network, that of timm's script means timm's
    weights = load({"arch": "resnet18", "state_dict": state, "best_acc1": torch.tensor(70.0)}, architecture="")
    assert "the architecture tv_resnet18 is that of the checkpoint's entry 'arch'" in weights.notes
    weights = load({"arch": "resnet18", "state_dict": state, "version": 2}, architecture="")
    assert "the architecture resnet18 is that of the checkpoint's entry 'arch'" in weights.notes
    only = load(
        {"arch": "squeezenet1_1", "state_dict": models.squeezenet1_1(num_classes=9).state_dict()}, architecture=""
    )
    assert "the architecture tv_squeezenet1_1 is that of the checkpoint's entry 'arch'" in only.notes
    with pytest.raises(UnknownName, match=r"got 'MyNet' in its entry 'arch'; give a name that timm knows"):
        load({"arch": "MyNet", "state_dict": {"stem.weight": torch.zeros(3)}}, architecture="")
    replaced = load({"arch": "resnet18", "state_dict": small().state_dict()})
    assert f"architecture={SMALL} replaces resnet18 of the entry 'arch'" in replaced.notes


def test_the_architectures_that_fit_are_suggested(load):
    # views of one zero take no space in a file
    shapes = {name: tensor.shape for name, tensor in tensor_layout("tv_vgg11", 9).items()}
    state = {name: torch.zeros(()).expand(shape) for name, shape in shapes.items()}
    with pytest.raises(BadInput, match=r"do not fit: .* Its tensors fit architecture=tv_vgg11"):
        load(state, architecture="vgg11")
    with pytest.raises(UnknownName, match=r"got none; .* Its tensors fit architecture=resnet18 or tv_resnet18$"):
        load(
            {name: torch.zeros(()).expand(t.shape) for name, t in tensor_layout("resnet18", 9).items()}, architecture=""
        )


@pytest.mark.slow
def test_the_tensors_that_architectures_are_recognised_by_exist():
    for part, names in architecture_guesses._COMMON.items():
        assert all(part in tensor_layout(name, 9) for name in names), part


def test_heads_that_only_training_needs(load):
    for auxiliary in (True, False):
        network = models.googlenet(weights=None, num_classes=9, aux_logits=auxiliary, init_weights=False).eval()
        weights = load(network.state_dict(), architecture="tv_googlenet")
        noise = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
        with torch.inference_mode():
            assert torch.equal(weights.network.eval()(noise), network(noise))
        assert any("aux1" in note for note in weights.notes) == auxiliary


def by_hand(network: nn.Module, images: torch.Tensor, mean, std) -> torch.Tensor:
    """Compute logits with nothing but the network."""
    mean, std = torch.tensor(mean).view(3, 1, 1), torch.tensor(std).view(3, 1, 1)
    with torch.inference_mode():
        return network((images.float() / 255 - mean) / std)


@pytest.mark.parametrize("wrapper", ["", "module.", "model._orig_mod.", "safetensors"])
@pytest.mark.parametrize("outputs", [9, 1000])
def test_predictions_are_those_of_timm_alone(tmp_path, wrapper, outputs):
    from safetensors.torch import save_file

    file = tmp_path / ("c.safetensors" if wrapper == "safetensors" else "c.pth")
    state = small(outputs).state_dict()
    save_file(state, file) if wrapper == "safetensors" else torch.save({"state_dict": prefixed(state, wrapper)}, file)
    classifier = load_classifier(f"file:{file}?architecture={SMALL}", engine="torch", device="cpu")

    network = timm.create_model(SMALL, num_classes=outputs).eval()
    network.load_state_dict(state)
    config = timm.data.resolve_model_data_config(network)
    mean, std = (IN9_MEAN, IN9_STD) if outputs == 9 else (config["mean"], config["std"])
    images = random_images(8)
    assert torch.allclose(classifier(images), by_hand(network, images, mean, std), atol=1e-5)
    assert (classifier.spec.mean, classifier.spec.std) == (mean, std)
    assert classifier.spec.input_size == config["input_size"][-1]
    assert (classifier.spec.crop_pct, classifier.spec.interpolation) == (config["crop_pct"], config["interpolation"])


def test_predictions_on_photographs_are_those_of_torchvision_alone(tmp_path, mini):
    torch.manual_seed(0)
    network = models.resnet18(num_classes=9).eval()
    torch.save({"model": prefixed(network.state_dict(), "module.")}, tmp_path / "c.pth")
    uri = f"file:{tmp_path / 'c.pth'}?architecture=tv_resnet18&mean=0.485,0.456,0.406&std=0.229,0.224,0.225"
    classifier = load_classifier(uri, engine="torch", device="cpu")
    files = sorted((mini / "bg_challenge" / "original").rglob("*.JPEG"))[:4]
    assert files
    for file in files:
        with Image.open(file) as photograph:
            image = torch.from_numpy(np.array(photograph.convert("RGB"))).permute(2, 0, 1)[None]
        expected = by_hand(network, image, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
        assert torch.allclose(classifier(image), expected, atol=1e-4)
        assert int(classifier(image).argmax()) == int(expected.argmax())
