"""What only a real GPU shows: the precision of float32, and going on with smaller batches when its memory is full."""

from __future__ import annotations

import copy
import gc
from dataclasses import replace

import numpy as np
import pytest
import torch

from bglab.evaluation import all_logits, predict
from bglab.models import Batching, classify_batches
from bglab.models.engines import EngineChoice, pick_device
from bglab.saliency import saliency_maps, saliency_table
from bglab.search import search_matrix
from bglab.training import PRESETS, fit
from bglab.variants import compose
from fixtures.accelerators import CUDA, SIZE, Place
from fixtures.networks import fresh, random_images

pytestmark = pytest.mark.cuda
QUIET = {"progress": False}


def relative_error(found, exact):
    return float((found.cpu().double() - exact).norm() / exact.norm())


@pytest.mark.parametrize("architecture", ["resnet10t", "test_vit", "test_convnext"])
def test_float32_is_ieee_and_tf32_is_not(architecture):
    classifier, images = fresh(architecture, 160, classes=9), random_images(16, 160)
    with torch.inference_mode():
        exact = copy.deepcopy(classifier.network).double()(images)
    errors = {
        amp_dtype: relative_error(Place(CUDA).bring(classifier, amp_dtype)(images), exact)
        for amp_dtype in ("none", "tf32", "bfloat16")
    }
    assert errors["none"] < 1e-5
    assert 10 * errors["none"] < errors["tf32"] < errors["bfloat16"]


def test_the_device_of_the_machine_is_found(classifier, scenes):
    engine = EngineChoice(device="cuda", amp_dtype="tf32").start(copy.deepcopy(classifier.network))
    assert pick_device("auto") == CUDA
    assert (engine.name, engine.precision, engine.device) == ("torch", "tf32", CUDA)
    table = predict(Place(CUDA).bring(classifier, "tf32"), compose(scenes, "original"), **QUIET)
    assert (table.attrs["precision"], table.attrs["device"]) == ("tf32", torch.cuda.get_device_name())
    assert table["dataset"].str.endswith("-tf32").all()


def test_repeated_runs_have_the_same_bits_if_that_is_asked_for(classifier, scenes):
    here = Place(CUDA).bring(classifier, deterministic=True)
    tables = [predict(here, compose(scenes, "original"), **QUIET) for _ in range(3)]
    assert all(table["confidence"].equals(tables[0]["confidence"]) for table in tables)
    assert tables[0].attrs["deterministic"]
    maps = [saliency_maps(here, random_images(4, SIZE), method="input_gradient") for _ in range(3)]
    assert all(torch.equal(one, maps[0]) for one in maps)


def test_a_full_memory_halves_the_batch(classifier):
    here = Place(CUDA).bring(classifier)
    images = random_images(256, 224)
    expected = here(images).cpu()
    gc.collect()
    torch.cuda.empty_cache()
    _, total = torch.cuda.mem_get_info()
    # room for some of the activations of 256 images of 224 pixels, not for all
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + (512 << 20)) / total)
    try:
        batching = Batching(256)
        logits = torch.cat(list(classify_batches(here, lambda part: images[part].to(CUDA), len(images), batching)))
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert batching.size < 256
    assert torch.allclose(logits, expected, atol=1e-4)


def test_rendering_in_a_thread_does_not_overtake_the_network(classifier, scenes):
    here = Place(CUDA).bring(classifier)
    dataset = compose(scenes, "mixed_rand")
    once = all_logits(here, dataset, batch_size=len(dataset), **QUIET)
    for _ in range(20):
        assert torch.allclose(all_logits(here, dataset, batch_size=3, **QUIET), once, atol=1e-4)


def test_composing_in_a_stream_of_its_own_does_not_overtake_the_network(classifier, scenes):
    here = Place(CUDA).bring(classifier)
    whole = search_matrix(here, scenes, batch_size=1000, **QUIET)
    for _ in range(20):
        assert np.array_equal(search_matrix(here, scenes, batch_size=3, **QUIET).native, whole.native)
    by_memory = search_matrix(here, scenes, block_rows=4, **QUIET)
    assert np.array_equal(by_memory.native, whole.native)
    assert by_memory.run["batch_size"] in {2**n for n in range(12)}


def test_repeated_training_has_the_same_weights_if_that_is_asked_for(scenes, tmp_path):
    recipe = replace(PRESETS["toy"], architecture="resnet10t", size=SIZE, epochs=2, batch_size=9, deterministic=True)
    trained = [fit(recipe, scenes, out=tmp_path / f"{i}.pt", device="cuda", **QUIET) for i in range(2)]
    assert trained[0].spec.sha256 == trained[1].spec.sha256


def test_a_trained_network_is_loaded_on_the_device(scenes, tmp_path):
    recipe = replace(PRESETS["toy"], architecture="resnet10t", size=SIZE, epochs=1, batch_size=9, amp_dtype="bfloat16")
    watch = {"original": compose(scenes, "original")}
    trained = fit(recipe, scenes, out=tmp_path / "net.pt", device="cuda", watch=watch, **QUIET)
    assert trained.engine.device == CUDA
    table = saliency_table(trained, scenes, ("original",), batch_size=8, **QUIET)
    assert len(table) == 18
    assert np.isfinite(table["confidence"]).all()
