"""Weights that have to be downloaded: cached ones ask nobody, and a host that does not answer is named soon."""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time

import pytest
import safetensors.torch
import timm
import torch
from huggingface_hub import constants
from torchvision import models

from bglab.errors import MissingData
from bglab.models import downloads, load_classifier
from bglab.models.weights import state_digest

TIMM = "timm:test_resnet.r160_in1k"
TORCHVISION = "tv:shufflenet_v2_x0_5/IMAGENET1K_V1"


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("HF_HUB_ETAG_TIMEOUT", raising=False)


@pytest.fixture(autouse=True)
def caches(tmp_path, monkeypatch):
    """Point both clients at empty caches."""
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    return tmp_path


@pytest.fixture
def nobody_is_asked(monkeypatch):
    def refuse(address):
        raise AssertionError(f"{address} was asked")

    monkeypatch.setattr(downloads, "why_unreachable", refuse)


@contextlib.contextmanager
def silent():
    """Accept connections and never answer, as behind a firewall that drops packets."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@contextlib.contextmanager
def answering(status, *, after_s=0.0):
    """Answer every request with a status, and yield the address and the list of requests."""
    asked = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):  # noqa: N802 - prescribed
            asked.append(self.path)
            time.sleep(after_s)
            self.send_response(status)
            self.send_header("Location", "http://192.0.2.1/elsewhere")
            self.end_headers()

        def log_message(self, *_arguments):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
        server.shutdown()


def closed_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def keep_in_hub_cache(folder, repository, network):
    commit, place = "0" * 40, folder / "hub" / f"models--{repository.replace('/', '--')}"
    file = place / "snapshots" / commit / "model.safetensors"
    file.parent.mkdir(parents=True)
    safetensors.torch.save_file(network.state_dict(), file)
    (place / "refs").mkdir()
    (place / "refs" / "main").write_text(commit)
    return file


def test_cached_weights_of_timm_ask_nobody(caches, nobody_is_asked, monkeypatch):
    # a hub that does not answer would be found out: timm itself asks it even for what is cached
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", "http://192.0.2.1/{repo_id}/{revision}/{filename}")
    torch.manual_seed(1)
    network = timm.create_model("test_resnet")
    keep_in_hub_cache(caches, "timm/test_resnet.r160_in1k", network)
    start = time.monotonic()
    loaded = load_classifier(TIMM, engine="torch", device="cpu")
    assert time.monotonic() - start < 5
    assert loaded.spec.sha256 == state_digest(network)
    assert loaded.spec.input_size == 160


def test_cached_weights_of_torchvision_ask_nobody(caches, nobody_is_asked):
    torch.manual_seed(1)
    network = models.get_model("shufflenet_v2_x0_5")
    address = models.get_model_weights("shufflenet_v2_x0_5")["IMAGENET1K_V1"].url
    folder = caches / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.save(network.state_dict(), folder / address.rpartition("/")[2])
    assert load_classifier(TORCHVISION, engine="torch", device="cpu").spec.sha256 == state_digest(network)


def test_a_damaged_file_of_the_cache_is_named(caches, nobody_is_asked):
    file = keep_in_hub_cache(caches, "timm/test_resnet.r160_in1k", timm.create_model("test_resnet"))
    file.write_bytes(b"cut off")
    with pytest.raises(MissingData, match=f"in {file}, but they cannot be loaded .* again, remove {file.resolve()}$"):
        load_classifier(TIMM)


@pytest.mark.parametrize(
    ("name", "folder", "setting"), [(TIMM, "hub", "HF_HUB_CACHE"), (TORCHVISION, "torch/hub/checkpoints", "TORCH_HOME")]
)
def test_a_host_out_of_reach_is_named(name, folder, setting, caches, monkeypatch):
    monkeypatch.setattr(downloads, "why_unreachable", lambda _address: "Network is unreachable")
    with pytest.raises(MissingData) as error:
        load_classifier(name)
    said = str(error.value)
    assert said.startswith(f"the weights of {name} are not on this machine and could not be fetched (")
    assert " cannot be reached: Network is unreachable); go online once, copy this cache from a machine" in said
    assert f"that has them: {caches / folder} ({setting} names another), or use lite:efficientnet_lite0" in said


def test_a_download_that_fails_says_why(monkeypatch):
    def refuse(*_args, **_options):
        raise ConnectionError("the connection closed")

    monkeypatch.setattr(downloads, "why_unreachable", lambda _address: "")
    monkeypatch.setattr(timm, "create_model", refuse)
    with pytest.raises(MissingData, match=r"could not be fetched \(the connection closed\); go online once"):
        load_classifier(TIMM)


IN_TIME = """
import time, bglab
try:
    bglab.load_classifier("timm:resnet50")  # imports what loading needs
except bglab.UnknownName:
    pass
start = time.monotonic()
try:
    bglab.load_classifier("timm:resnet50.a1_in1k")
except bglab.MissingData as problem:
    print(f"{time.monotonic() - start:.2f} {problem}")
"""


@pytest.mark.slow
def test_offline_timm_says_so_within_ten_seconds(caches):
    with silent() as address:
        own = {"HF_ENDPOINT": address, "HF_HOME": str(caches / "home")}
        done = subprocess.run(
            [sys.executable, "-c", IN_TIME], env=os.environ | own, capture_output=True, text=True, check=False
        )
    seconds, _, said = done.stdout.partition(" ")
    assert "127.0.0.1 cannot be reached: no answer within 4 s, and HF_HUB_ETAG_TIMEOUT=60" in said, done.stderr
    assert float(seconds) < 10


def test_who_never_answers_is_left_after_the_limit(monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE_S", 0.4)
    with silent() as address:
        start = time.monotonic()
        assert downloads.why_unreachable(f"{address}/a").startswith("no answer within 0.4 s")
        assert 0.3 < time.monotonic() - start < 2
    start = time.monotonic()
    assert downloads.why_unreachable("http://192.0.2.1/a")  # an address that belongs to nobody
    assert time.monotonic() - start < 2


def test_a_port_that_is_closed_is_out_of_reach():
    assert downloads.why_unreachable(f"http://127.0.0.1:{closed_port()}/a") == "Connection refused"


@pytest.mark.parametrize("status", [200, 302, 404, 405, 503])
def test_any_answer_counts_and_no_redirection_is_followed(status):
    with answering(status) as (address, asked):
        assert downloads.why_unreachable(f"{address}/a") == ""
    assert asked == ["/a"]


def test_a_slow_answer_counts_and_the_hubs_own_setting_allows_for_slower_ones(monkeypatch):
    monkeypatch.setattr(downloads, "PATIENCE_S", 0.2)
    with answering(200, after_s=0.6) as (address, _asked):
        assert downloads.why_unreachable(f"{address}/a").startswith("no answer within 0.2 s")
        monkeypatch.setenv("HF_HUB_ETAG_TIMEOUT", "20")
        assert downloads.why_unreachable(f"{address}/a") == ""


def test_the_proxy_of_the_environment_is_asked(monkeypatch):
    with answering(200) as (address, asked):
        monkeypatch.setenv("http_proxy", address)
        assert downloads.why_unreachable("http://hub.invalid/a") == ""
    assert asked == ["http://hub.invalid/a"]
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{closed_port()}")
    assert downloads.why_unreachable("http://hub.invalid/a") == "Connection refused"
    monkeypatch.setenv("http_proxy", "socks5://127.0.0.1:9")  # only the client may know how to use it
    assert downloads.why_unreachable("http://hub.invalid/a") == ""
