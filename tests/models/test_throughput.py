"""Many images through OpenVINO: the bits of single images at every setting, and the best setting kept."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from bglab.models import MANY, Batching, Setting, classify_batches, throughput
from bglab.models.engines import EngineChoice, noise_images
from bglab.saliency import GradCam
from fixtures.networks import fresh, random_images
from fixtures.stand_ins import make_classifier

pytestmark = pytest.mark.skipif(
    not pytest.importorskip("openvino", reason="OpenVINO is not installed"), reason="OpenVINO is not installed"
)
SIZE = 64
ARCHITECTURES = ("test_efficientnet", "test_resnet", "test_vit", "test_convnext", "tv_mobilenet_v3_small")


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Measure for hundredths of a second."""
    monkeypatch.setattr(throughput, "_EACH_S", 0.01)
    monkeypatch.setattr(throughput, "_ROUNDS", 1)


def started(name="test_efficientnet", key=""):
    network = fresh(name, SIZE).network
    return EngineChoice("openvino", "cpu").start(network, key)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("setting", [Setting(1, 4), Setting(2, 2), Setting(3, 8)])
def test_any_setting_has_the_logits_of_single_images(name, setting):
    compiled = started(name).compiled(SIZE, SIZE)
    images = random_images(19, SIZE).numpy()
    pool = compiled.compile_for(setting)
    (alone,) = compiled.one_by_one([images])
    for count in (19, setting.batch, 1):
        found = pool.begin([images[:count]])()[0]
        if not np.array_equal(found, alone[:count]):  # such a setting is left out; see below
            assert not throughput._is_equal(pool, [images], (alone,))
            return
    assert throughput._is_equal(pool, [images[:5]], (alone[:5],))


@pytest.mark.parametrize("name", ["test_efficientnet", "test_resnet"])
def test_many_images_have_the_logits_of_few(name):
    engine, images = started(name), random_images(37, SIZE)
    before = engine.logits(images)
    engine.get_ready(SIZE, SIZE, MANY)
    setting = engine.compiled(SIZE, SIZE).setting
    assert setting is not None
    assert torch.equal(engine.logits(images), before)
    assert torch.equal(torch.cat([engine.logits(images[:1]), engine.logits(images[1:])]), before)


def test_maps_of_many_images_are_those_of_few():
    classifier, images = fresh("test_efficientnet", SIZE, engine="openvino"), random_images(21, SIZE)
    explainer = GradCam(classifier)
    before = explainer.cam(images)
    explainer.get_ready(SIZE, SIZE, MANY)
    assert [compiled.setting is None for compiled in explainer._compiled.values()] == [False]
    assert all(torch.equal(one, other) for one, other in zip(before, explainer.cam(images), strict=True))


def test_few_images_are_not_worth_measuring():
    engine = started()
    engine.get_ready(SIZE, SIZE, MANY - 1)
    assert engine.compiled(SIZE, SIZE).setting is None


def test_the_best_setting_is_kept(monkeypatch):
    tried = []
    monkeypatch.setattr(throughput, "_rate", lambda pool, _: tried.append(pool.setting) or 1 / pool.setting.batch)
    engine = started(key="kept")
    engine.get_ready(SIZE, SIZE, MANY)
    best = engine.compiled(SIZE, SIZE).setting
    assert best.batch == 1
    count = len(tried)
    engine.get_ready(SIZE, SIZE, MANY)
    again = started(key="kept")
    again.get_ready(SIZE, SIZE, MANY)
    assert again.compiled(SIZE, SIZE).setting == best
    assert len(tried) == count
    other = started(key="another network")
    other.get_ready(SIZE, SIZE, MANY)
    assert len(tried) == 2 * count


def test_a_damaged_note_of_the_setting_is_made_again(monkeypatch, caplog):
    tried = []
    monkeypatch.setattr(throughput, "_rate", lambda pool, _: tried.append(pool.setting) or 1.0)
    engine = started(key="noted")
    engine.get_ready(SIZE, SIZE, MANY)
    compiled = engine.compiled(SIZE, SIZE)
    file = throughput.setting_entry(compiled._key, compiled._core).find() / "setting.json"
    file.write_text(json.dumps({"streams": 1, "batch": 1, "more": 1}))
    count = len(tried)
    started(key="noted").get_ready(SIZE, SIZE, MANY)
    assert len(tried) == 2 * count
    assert "damaged" in caplog.text


def test_the_most_promising_settings_are_measured_as_long_as_there_is_time(monkeypatch):
    monkeypatch.setattr(throughput, "_streams", lambda: [2, 1])
    monkeypatch.setattr(throughput, "_is_equal", lambda pool, *_: pool.batch != 8)
    monkeypatch.setattr(throughput, "_rate", lambda pool, _: {2: 10.0, 1: 9.0, 4: 12.0, 16: 11.0}[pool.batch])
    found = [setting for setting, _ in throughput.sweep(lambda setting: setting, [], ())]
    assert found == [(s, b) for s in (2, 1) for b in (2, 1, 4, 16)]  # 16 is slower than 4, so 32 is not tried
    monkeypatch.setattr(throughput, "_MOST_S", -1.0)
    assert list(throughput.sweep(lambda setting: setting, [], ())) == []
    monkeypatch.setattr(throughput, "_rate", lambda pool, _: 1 / pool.batch)
    assert len(list(throughput.sweep(lambda setting: setting, [], (), every=True))) == 10


def test_a_busy_moment_does_not_decide(monkeypatch, unchecked):
    monkeypatch.setattr(throughput, "_ROUNDS", 5)
    monkeypatch.setattr(throughput, "_streams", lambda: [2])
    monkeypatch.setattr(throughput, "_is_equal", lambda *_: True)
    rates = {2: [90.0, *[120.0] * 5], 4: [100.0, *[100.0] * 5], 1: [80.0] * 6, 8: [110.0] + [70.0] * 5}
    monkeypatch.setattr(throughput, "_rate", lambda pool, _: rates.get(pool.setting.batch, [1.0] * 6).pop(0))
    chosen = throughput._best_pool(lambda setting: SimpleNamespace(setting=setting), [], (), None)
    assert chosen.setting == (2, 2)


def test_settings_with_other_bits_are_left_out(monkeypatch):
    engine = started()
    images = noise_images(SIZE, SIZE, count=9)
    before = engine.logits(images)
    run = throughput.Pool._run
    monkeypatch.setattr(
        throughput.Pool, "_run", lambda pool, inputs: tuple(value + 1e-6 for value in run(pool, inputs))
    )
    engine.get_ready(SIZE, SIZE, MANY)
    assert engine.compiled(SIZE, SIZE).setting is None
    assert torch.equal(engine.logits(images), before)


def test_several_threads_share_the_requests():
    engine, images = started(), random_images(40, SIZE)
    engine.get_ready(SIZE, SIZE, MANY)
    expected, found = engine.logits(images), {}
    threads = [threading.Thread(target=lambda i=i: found.update({i: engine.logits(images[i:])})) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(torch.equal(found[i], expected[i:]) for i in range(8))


def test_the_next_batch_begins_before_the_last_is_waited_for(monkeypatch):
    classifier, order = make_classifier(lambda images: images[:, 0, 0, 0].long()), []

    def begin(images):
        number = int(images[0, 0, 0, 0])
        order.append(f"begin {number}")
        logits = classifier.engine.logits(images)
        return lambda: order.append(f"wait {number}") or logits

    monkeypatch.setattr(classifier.engine, "begin", begin)
    levels = torch.arange(4, dtype=torch.uint8).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    logits = torch.cat(list(classify_batches(classifier, lambda part: levels[part], 4, Batching(1))))
    assert logits.argmax(dim=1).tolist() == [0, 1, 2, 3]
    assert order == ["begin 0", "begin 1", "wait 0", "begin 2", "wait 1", "begin 3", "wait 2", "wait 3"]


REPORTING = """
import sys
from bglab.models.engines import _core
_core()
import openvino.tools.ovc.convert_impl as converter
print(converter.tm.__name__)
"""


def test_nothing_is_reported_over_the_network():
    run = subprocess.run([sys.executable, "-c", REPORTING], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "openvino.tools.ovc.telemetry_stub"
